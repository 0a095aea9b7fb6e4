"""What the URL of a torrent client says: where it is, and the login that goes along with each request."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from urllib.parse import SplitResult, unquote

import httpx
from attrs import field, frozen

from audiobatch._urls import origin, split
from audiobatch.errors import ConfigurationError


@frozen
class Endpoint:
    """Where a client's API is.

    Attributes:
        origin: Scheme, host and port, in one spelling: what may be shown.
        path: Below that, without a slash at the end; at a shared server it can hold a key.
        authorization: The header for a user and a password in the URL, or None.
    """

    origin: str
    path: str = field(repr=False)
    authorization: str | None = field(repr=False)

    @property
    def url(self) -> str:
        """The root of the API, without the user part."""
        return self.origin + self.path

    @property
    def identity(self) -> str:
        """What stands for this place in names and records: a digest tells one path from another, and shows none."""
        if not self.path:
            return self.origin
        return f"{self.origin}/#{hashlib.sha256(self.path.encode()).hexdigest()[:8]}"

    @classmethod
    def read(cls, url: str) -> Endpoint:
        """Read a URL; what cannot be used in it is refused, not left out.

        Raises:
            ConfigurationError: It is no http or https URL, or has a query or a fragment, or
                a user part that cannot be sent.
        """
        if isinstance(url, str) and ("?" in url or "#" in url):
            raise ConfigurationError(
                "a query or a fragment in the client's URL is not used: leave it out "
                "(in a password, write ? as %3F and # as %23)"
            )
        parts = _split(url)
        if parts is None:
            raise ConfigurationError("the client's URL must look like http://host:port")
        return cls(origin(url), parts.path.rstrip("/"), _authorization(parts))


def _split(url: object) -> SplitResult | None:
    """Return the parts of a URL that each reader of it reads in the same way."""
    if not isinstance(url, str) or not url.isprintable() or " " in url or "\\" in url:
        return None
    if not url.lower().startswith(("http://", "https://")):
        return None
    try:
        parts, read = split(url), httpx.URL(url)
        host, sent = read.host, read.raw_host  # of some hosts only these fail, and a request reads them
        agree = origin(str(read)) == origin(url) or not host.isascii()
    except (httpx.InvalidURL, ValueError):
        return None
    return parts if agree and sent else None


def _authorization(parts: SplitResult) -> str | None:
    if parts.username is None:
        if "@" in parts.netloc:
            raise ConfigurationError("the client's URL has a password without a user in it")
        return None
    try:
        user, password = (unquote(part or "", errors="strict") for part in (parts.username, parts.password))
    except UnicodeDecodeError:
        user = password = ""
    if not user or ":" in user or not (user + password).isprintable():
        raise ConfigurationError(
            "the user and the password in the client's URL cannot be sent: is one of them misspelt?"
        )
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode("ascii")
