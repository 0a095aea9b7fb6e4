"""What may be shown of a URL, and what kind it is."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

# Category Cc, and the two separators that break a line: by code point, because what counts as
# printable changes with each version of Unicode.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_AUTHORITY: Final = re.compile(r"[^/?#]*//([^/?#]*)")
_MAX_AUTHORITY: Final = 1024  # characters that are not all ASCII: more than any host, user and password


# Links of Prowlarr (/1/download?apikey=...) and of Jackett (/dl/books/?jackett_apikey=...), below whatever base.
_INDEXERS: Final = (
    (re.compile(r"(.*/[0-9]{1,9})/(?:download|api)/?$", re.IGNORECASE), "apikey"),
    (re.compile(r"(.*/dl/[^/]+)(?:/|$)", re.IGNORECASE), "jackett_apikey"),
)


def has_control_characters(url: str) -> bool:
    """Tell whether a URL holds what no URL can: a control character, a line break, or half of a character.

    All else can be percent-encoded.
    """
    return _CONTROL.search(url) is not None


def is_magnet(url: str) -> bool:
    """Tell whether a URL is a magnet link, by its scheme alone."""
    return url[:7].lower() == "magnet:"


def split(url: str) -> SplitResult:
    """Take a URL apart.

    Raises:
        ValueError: It cannot be read, or what stands before its path is too long.
    """
    # What is not ASCII is normalized there, in a time that grows with the square, and no other thread runs meanwhile.
    found = _AUTHORITY.match(url)
    if found is not None and len(found[1]) > _MAX_AUTHORITY and not found[1].isascii():
        raise ValueError("the URL names a host that is longer than a name can be")
    return urlsplit(url)


def origin(url: str) -> str:
    """Return scheme, host and port, without the scheme's own port; a magnet link shows as ``magnet:``.

    User part, path and query are left out, for they can hold passkeys.

    Raises:
        ValueError: The URL has no host, or one that is too long, or a port that is no number.
    """
    if is_magnet(url):
        return "magnet:"
    parts = split(url)
    scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    if not host:
        raise ValueError("the URL names no host")
    default = {"http": 80, "https": 443}.get(scheme)
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}" + (f":{port}" if port not in (None, default) else "")


def tracker_of(url: str) -> str:
    """Return what stands for the tracker behind a URL: its origin, and where that has many behind it, which one.

    Prowlarr and Jackett name the tracker in the path of their links (seen in their sources, 2026).
    It is for comparing, and not to be shown: it holds a part of the path.

    Raises:
        ValueError: As `origin` does.
    """
    place, parts = origin(url), split(url)
    for path, key in _INDEXERS:
        if (found := path.match(parts.path)) is not None and re.search(rf"(^|&){key}=", parts.query, re.IGNORECASE):
            return f"{place}{found[1].lower()}"
    return place
