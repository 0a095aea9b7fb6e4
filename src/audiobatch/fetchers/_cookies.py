"""Keep the cookies that servers set on the way of one fetch, each for its own origin (RFC 6265)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from attrs import define, field

from audiobatch.fetchers._location import Location

_MAX_COOKIES: Final = 20  # of one origin; browsers keep 50 or more
_MAX_LENGTH: Final = 4096  # characters of one cookie with its attributes (RFC 6265, 6.1)
_MAX_LINES: Final = 50  # of one answer
_PAIR: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+=[!-:<-~]*")  # without spaces, semicolons and control characters


@define
class Cookies:
    """The cookies of one fetch. They are sent to the very origin that has set them, and to nobody else."""

    _kept: dict[str, dict[tuple[str, str], str]] = field(factory=dict, repr=False)

    def keep(self, location: Location, lines: Iterable[str]) -> None:
        """Take what an answer sets.

        Args:
            location: Where the answer came from.
            lines: The values of its ``Set-Cookie`` headers; what cannot be read in them is passed over.
        """
        for line in list(lines)[:_MAX_LINES]:
            pair, *attributes = (part.strip() for part in line[: _MAX_LENGTH + 1].split(";"))
            if len(line) <= _MAX_LENGTH and _PAIR.fullmatch(pair):
                self._keep_one(location, pair, dict(_attribute(attribute) for attribute in attributes))

    def header(self, location: Location) -> str | None:
        """Return the value of the ``Cookie`` header for a request, or None if there is no cookie for it."""
        kept = self._kept.get(location.origin, {})
        sent = [pair for (path, _), pair in kept.items() if _is_below(location.path, path)]
        return "; ".join(sent) or None

    def _keep_one(self, location: Location, pair: str, attributes: dict[str, str]) -> None:
        domain = attributes.get("domain", "").lstrip(".").lower()
        if domain and location.host.lower() != domain and not location.host.lower().endswith(f".{domain}"):
            return
        if "secure" in attributes and location.scheme != "https":
            return
        path = attributes.get("path", "")
        if not path.startswith("/"):
            path = location.path.rpartition("/")[0] or "/"  # RFC 6265, 5.1.4
        kept = self._kept.setdefault(location.origin, {})
        key = (path, pair.partition("=")[0])
        kept.pop(key, None)
        if not _is_over(attributes) and len(kept) < _MAX_COOKIES:
            kept[key] = pair


def _attribute(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip().lower(), value.strip()


def _is_below(path: str, folder: str) -> bool:
    """Tell whether a cookie of that path goes with a request for this one (RFC 6265, 5.1.4)."""
    return path == folder or path.startswith(folder if folder.endswith("/") else f"{folder}/")


def _is_over(attributes: dict[str, str]) -> bool:
    """Tell whether a cookie is set in order to remove it."""
    if re.fullmatch(r"-?[0-9]{1,18}", age := attributes.get("max-age", "")):
        return int(age) <= 0
    try:
        expires = parsedate_to_datetime(attributes.get("expires", ""))
    except (ValueError, OverflowError):
        return False
    return (expires if expires.tzinfo else expires.replace(tzinfo=UTC)) <= datetime.now(UTC)
