"""What may be shown of a URL, and what kind it is."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

# Category Cc, and the two separators that break a line: by code point, because what counts as
# printable changes with each version of Unicode.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def has_control_characters(url: str) -> bool:
    """Tell whether a URL holds what no URL can: a control character, a line break, or half of a character.

    All else can be percent-encoded.
    """
    return _CONTROL.search(url) is not None


def is_magnet(url: str) -> bool:
    """Tell whether a URL is a magnet link, by its scheme alone."""
    return url[:7].lower() == "magnet:"


def origin(url: str) -> str:
    """Return scheme, host and port, without the scheme's own port; a magnet link shows as ``magnet:``.

    User part, path and query are left out, for they can hold passkeys.

    Raises:
        ValueError: The URL has no host, or a port that is no number.
    """
    if is_magnet(url):
        return "magnet:"
    parts = urlsplit(url)
    scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    if not host:
        raise ValueError("the URL names no host")
    default = {"http": 80, "https": 443}.get(scheme)
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}" + (f":{port}" if port not in (None, default) else "")
