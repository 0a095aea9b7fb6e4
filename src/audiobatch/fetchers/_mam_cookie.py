"""Read the session cookie of MyAnonamouse: as people paste it, and as the site sets it."""

from __future__ import annotations

import re
from typing import Final

import httpx

COOKIE: Final = "mam_id"
_COOKIE_VALUE: Final = re.compile(r"[!#-+\--:<-\[\]-~]+")  # RFC 6265, 4.1.1: cookie-octet
_PASTED: Final = re.compile(r"""(?:^|[\s;:"'])mam_id\s*[=:]\s*["']?([^\s;"',]*)""", re.IGNORECASE)


def clean(pasted: str) -> str | None:
    """Take off a cookie what people paste around it; None if no cookie is left."""
    found = _PASTED.search(pasted)
    value = found[1] if found else pasted.strip().rstrip(";").strip().strip("\"'")
    return value if _is_value(value) else None


def new_cookie(headers: httpx.Headers) -> str | None:
    """Return the new value of the session's cookie, if an answer sets one.

    A session that the site ends is marked by the value ``deleted``, or by an age of nothing:
    that is no new value.
    """
    for line in reversed(headers.get_list("set-cookie")):
        value = _set_value(line)
        if value is not None:
            return value
    return None


def _set_value(line: str) -> str | None:
    name, _, rest = line.partition("=")
    value, *attributes = (part.strip() for part in rest.split(";"))
    value = value.strip('"')
    lowered = {attribute.lower().replace(" ", "") for attribute in attributes}
    ended = any(re.fullmatch(r"max-age=(0+|-.*)", attribute) for attribute in lowered)
    return value if name.strip() == COOKIE and _is_value(value) and not ended else None


def _is_value(value: str) -> bool:
    return value.lower() not in ("deleted", COOKIE) and _COOKIE_VALUE.fullmatch(value) is not None
