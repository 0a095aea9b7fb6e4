"""Read a URL once, into what a fetch has to know of it."""

from __future__ import annotations

import re
from typing import Final

import httpx
from attrs import field, frozen

from audiobatch._urls import origin
from audiobatch.errors import BlockedAddress

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"([a-z0-9_-]+\.)*[a-z0-9_-]+\.?|[0-9a-f]*:[0-9a-f:.]*", re.IGNORECASE)
_MAX_HOST: Final = 253  # characters (RFC 1035, 2.3.4), as it is asked for
_MAX_LABEL: Final = 63


@frozen
class Location:
    """Where a request goes. All of it is ASCII, and nothing of it has to be computed any more.

    Attributes:
        url: The URL in the form in which it is asked for, and joined with what it leads to.
        scheme: ``http`` or ``https``.
        host: A name or an address, without brackets; a name that is not ASCII as its A-label (RFC 5891).
        port: The one that is connected to.
        origin: What may be shown of it: scheme, host, and a port that is not the scheme's own.
        path: Without the query.
    """

    url: httpx.URL = field(repr=False)
    scheme: str
    host: str
    port: int
    origin: str
    path: str = field(repr=False)

    def __str__(self) -> str:
        return str(self.url)


def read_location(given: str) -> Location:
    """Read a URL that somebody else has given.

    Raises:
        BlockedAddress: It cannot be read, or can be read in more than one way; or it is none that is fetched.
    """
    read = _read(given)
    # Raised out here: an error that is raised while handling another one takes that along, with parts of the URL.
    if read is None:
        raise BlockedAddress("the URL cannot be read")
    location, read_alike, has_login = read
    if location.scheme not in _DEFAULT_PORTS:
        raise BlockedAddress("only http, https and magnet URLs are fetched")
    if has_login:
        raise BlockedAddress("a URL with a user or a password in it is not used: give those as credentials")
    if len(location.host) > _MAX_HOST or max(map(len, location.host.split("."))) > _MAX_LABEL:
        raise BlockedAddress("the URL names a host that is longer than a name can be")
    if not read_alike or not _HOST.fullmatch(location.host):
        raise BlockedAddress("the URL names a host that can be read in more than one way")
    return location


def join(location: Location, target: str) -> str | None:
    """Return the URL that a redirect leads to, or None if it cannot be read."""
    try:
        return str(location.url.join(target))
    except (httpx.InvalidURL, ValueError, TypeError):
        return None


def _read(given: str) -> tuple[Location, bool, bool] | None:
    """Read a URL; tell too whether all who read it see the same origin, and whether it has a user part.

    The parts of an `httpx.URL` are computed when they are asked for, and can raise then. Here all of them are.
    """
    try:
        url = httpx.URL(given)
        shown = origin(str(url))
        host = url.raw_host.decode("ascii")
        location = Location(
            url=url,
            scheme=url.scheme,
            host=host,
            port=_DEFAULT_PORTS.get(url.scheme, 0) if url.port is None else url.port,  # 0 is a port, if a bad one
            origin=shown,
            path=url.raw_path.decode("ascii").partition("?")[0],
        )
        return location, shown == origin(given) or not url.host.isascii(), bool(url.userinfo)
    except (httpx.InvalidURL, ValueError, TypeError):  # UnicodeError is a ValueError, and so are those of idna
        return None
