"""Torrents from any http or https URL: public trackers, Prowlarr and Jackett links."""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Final
from urllib.parse import urljoin, urlsplit

import httpx
from attrs import frozen

from audiobatch._closing import Closing
from audiobatch._urls import is_magnet, origin
from audiobatch.errors import (
    BlockedAddress,
    ConfigurationError,
    FetchDenied,
    FetchError,
    FetchUnavailable,
    NotATorrent,
    RateLimited,
    TorrentNotFound,
)
from audiobatch.metainfo import Torrent, parse_magnet, parse_torrent
from audiobatch.models import DownloadRequest

MAX_REDIRECTS: Final = 5
MAX_SIZE: Final = 16 * 1024 * 1024
_MAX_MAGNET_BODY: Final = 8 * 1024
_RATE_LIMIT_PAUSE: Final = 60.0  # seconds, where a tracker asks to slow down but not for how long
_LOGIN_PAGE: Final = re.compile(r"/(log|sign)[-_]?in\b", re.IGNORECASE)


@frozen
class _Answer:
    status: int
    location: str | None
    retry_after: float | None
    body: bytes


class HttpFetcher(Closing):
    """Fetches torrents with plain GET requests, and follows redirects itself, five at most.

    It stops at a magnet link, be it in a redirect or in a short answer, and returns that.
    Proxies and passwords from the environment are not used.

    Args:
        trusted_origins: Servers that you vouch for, each as ``scheme://host`` or
            ``scheme://host:port``. A redirect may lead from https to plain http only there.
        timeout: Seconds to wait for the server at each step, and for all answers together. A
            server that drips its headers can stretch it.
        max_size: Bytes that an answer may have, on the wire and unpacked.
        http: An httpx client to use instead of an own one, for a proxy or a private
            certificate authority. It stays yours to close.

    Raises:
        ConfigurationError: An origin cannot be read.
    """

    def __init__(
        self,
        *,
        trusted_origins: Iterable[str] = (),
        timeout: float = 30.0,
        max_size: int = MAX_SIZE,
        http: httpx.Client | None = None,
    ) -> None:
        self._trusted = frozenset(map(_read_origin, trusted_origins))
        self._timeout = timeout
        self._max_size = max_size
        self._owned = http is None
        self._http = http or httpx.Client(trust_env=False)
        self._headers = {
            "Accept": "application/x-bittorrent, */*;q=0.1",
            "Accept-Encoding": "identity",  # a torrent hardly shrinks, and what is not packed cannot be a bomb
            "User-Agent": f"audiobatch/{version('audiobatch')}",
        }

    def __repr__(self) -> str:
        return f"HttpFetcher(trusted_origins={sorted(self._trusted)})"

    def fetch(self, request: DownloadRequest, /) -> Torrent:
        """Fetch and parse the torrent of a request; see `TorrentFetcher.fetch`."""
        deadline = time.monotonic() + self._timeout
        url = request.torrent_url
        for _ in range(1 + MAX_REDIRECTS):
            answer = self._get(url, deadline)
            if answer.location is None:
                _raise_for_status(answer, origin(url))
                return _parse(answer.body, origin(url))
            if is_magnet(answer.location):
                return parse_magnet(answer.location)
            url = self._follow(url, answer.location)
        raise FetchDenied(f"{origin(request.torrent_url)} redirects more than {MAX_REDIRECTS} times")

    def close(self) -> None:
        """Close the connections, if they are our own."""
        if self._owned:
            self._http.close()

    def _get(self, url: str, deadline: float) -> _Answer:
        try:
            with self._http.stream(
                "GET",
                url,
                headers=self._headers,
                timeout=max(deadline - time.monotonic(), 0.001),
                follow_redirects=False,
            ) as response:
                body = b"".join(self._read(response, deadline)) if response.is_success else b""
                return _Answer(
                    status=response.status_code,
                    # As it came: httpx would make a URL with a host out of a magnet link.
                    location=response.headers.get("location") if response.is_redirect else None,
                    retry_after=_read_retry_after(response.headers.get("retry-after")),
                    body=body,
                )
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, zlib.error) as error:
            failure = _translate(error, url)
        # Raised out here, for httpx's errors hold the whole URL, and must not travel along as a context.
        raise failure

    def _read(self, response: httpx.Response, deadline: float) -> Iterator[bytes]:
        """Yield the body unpacked, in bounded pieces, for as long as size and time allow."""
        unpack = _unpacker(response.headers.get("content-encoding", "identity").strip().lower())
        received = unpacked = 0
        for chunk in response.iter_raw():
            piece = unpack(chunk, self._max_size - unpacked + 1)
            received += len(chunk)
            unpacked += len(piece)
            if max(received, unpacked) > self._max_size:
                raise NotATorrent(f"the answer is larger than {self._max_size} bytes")
            if time.monotonic() > deadline:
                raise FetchUnavailable(f"the answer took longer than {self._timeout:g} seconds")
            yield piece

    def _follow(self, url: str, location: str) -> str:
        """Return where a redirect leads.

        Raises:
            FetchDenied: To a login page.
            BlockedAddress: To where we do not go.
        """
        try:
            target = urljoin(url, location)
            target_origin = origin(target)
        except ValueError:
            raise BlockedAddress(f"{origin(url)} redirects to a URL that cannot be read") from None
        if not target_origin.startswith(("http://", "https://")):
            raise BlockedAddress(f"{origin(url)} redirects to something that is no http, https or magnet URL")
        if _LOGIN_PAGE.search(urlsplit(target).path):
            raise FetchDenied(f"{origin(url)} redirects to a login page: the session is missing or has expired")
        if urlsplit(url).scheme.lower() == "https" and not (
            target_origin.startswith("https://") or target_origin in self._trusted
        ):
            raise BlockedAddress(
                f"{origin(url)} redirects from https to {target_origin}: "
                "if that is intended, name the latter in trusted_origins"
            )
        return target


def _read_origin(given: str) -> str:
    try:
        read = origin(given)
    except ValueError:
        read = ""
    if not read.startswith(("http://", "https://")) or urlsplit(given).path.strip("/"):
        raise ConfigurationError("a trusted origin must look like http://host:port, without a path")
    return read


def _unpacker(encoding: str) -> Callable[[bytes, int], bytes]:
    """Return what unpacks a body piece by piece: from some bytes, at most so many."""
    if encoding in ("identity", ""):
        return lambda chunk, _: chunk
    if encoding in ("gzip", "x-gzip", "deflate"):
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress
    raise NotATorrent("the answer is compressed in a way that was not asked for")


def _read_retry_after(value: str | None) -> float | None:
    """Read the header's seconds, or its date (RFC 9110, 10.2.3), as seconds from now."""
    if value is None:
        return None
    value = value.strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return max(((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds(), 0.0)


def _translate(error: Exception, url: str) -> FetchError:
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return FetchUnavailable(f"{origin(url)} cannot be reached")
        case httpx.TimeoutException():
            return FetchUnavailable(f"{origin(url)} did not answer in time")
        case httpx.InvalidURL() | httpx.UnsupportedProtocol() | UnicodeError():
            return BlockedAddress(f"the URL at {origin(url)} cannot be used")
        case httpx.RemoteProtocolError() if "location header" in str(error):
            return BlockedAddress(f"{origin(url)} redirects to a URL that cannot be read")
        case zlib.error():
            return FetchUnavailable(f"{origin(url)} sent compressed data that is damaged")
        case _:
            return FetchUnavailable(f"{origin(url)} gave a broken answer ({type(error).__name__})")


def _raise_for_status(answer: _Answer, source: str) -> None:
    match answer.status:
        case 401 | 403:
            raise FetchDenied(f"{source} refuses the download ({answer.status}): is the login missing or expired?")
        case 404 | 410:
            raise TorrentNotFound(f"{source} has no such torrent ({answer.status})")
        case 429:
            pause = _RATE_LIMIT_PAUSE if answer.retry_after is None else answer.retry_after
            raise RateLimited(f"{source} asks to slow down (429)", retry_after=pause)
        case status if status == 408 or status >= 500:
            raise FetchUnavailable(f"{source} has trouble just now ({status})", retry_after=answer.retry_after)
        case status if not 200 <= status < 300:
            raise FetchDenied(f"{source} refuses the download ({status})")


def _parse(body: bytes, source: str) -> Torrent:
    start = body.lstrip()[:200].lower()
    if start.startswith(b"magnet:") and len(body) <= _MAX_MAGNET_BODY:
        return parse_magnet(body.decode(errors="replace").strip())
    try:
        return parse_torrent(body)
    except NotATorrent as error:
        raise NotATorrent(f"what {source} sent is {_describe(start) or error}") from None


def _describe(start: bytes) -> str | None:
    """Say what it is that came instead of a torrent, if that can be told from its start."""
    if not start:
        return "empty"
    if start.startswith((b"<?xml", b"<rss", b"<feed", b"<error")):
        return "an XML document, not a torrent"
    if start.startswith(b"<"):
        return "an HTML page, not a torrent: is the login missing or expired?"
    if start.startswith((b"{", b"[")):
        return "a JSON document, not a torrent"
    return None
