"""Follow a URL to what lies behind it, within bounds: where it may lead, how much may come, how long it may take."""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from io import BytesIO
from typing import Final
from urllib.parse import urlsplit

import httpx
from attrs import define, field, frozen

from audiobatch._tls import TLS_ONLY, tls_trouble, wants_tls
from audiobatch._urls import is_magnet, origin
from audiobatch.errors import BlockedAddress, FetchDenied, FetchError, FetchUnavailable, NotATorrent
from audiobatch.fetchers._addresses import Destinations
from audiobatch.fetchers._pace import Paces
from audiobatch.fetchers._resolution import spelled_out
from audiobatch.fetchers._transport import Errand, on_errand

MAX_REDIRECTS: Final = 5
MAX_SIZE: Final = 16 * 1024 * 1024
TIMEOUT: Final = 30.0

_MAX_PAGE: Final = 64 * 1024  # what is read of an answer that is no success
_OVERHEAD: Final = 1024 * 1024  # headers and framing of all hops together
_PIECE: Final = 256 * 1024  # what is unpacked at once
_LOGIN_PAGE: Final = re.compile(r"/(log|sign)[-_]?in\b", re.IGNORECASE)
_HOST: Final = re.compile(r"([a-z0-9_-]+\.)*[a-z0-9_-]+\.?|[0-9a-f]*:[0-9a-f:.]*", re.IGNORECASE)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@cache
def _user_agent() -> str:
    return f"audiobatch/{version('audiobatch')}"


@frozen
class Answer:
    """What came in the end.

    Attributes:
        url: Where it came from, after all redirects.
        status: The HTTP status: never a redirect.
        headers: Its headers.
        body: The body, unpacked; of what is no success, the first 64 KiB at most.
    """

    url: str = field(repr=False)
    status: int
    headers: httpx.Headers = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def source(self) -> str:
        """The origin it came from, for messages."""
        return origin(self.url)


@frozen
class Redirection:
    """Where an answer leads that this module does not follow: a magnet link."""

    magnet: str = field(repr=False)


HeadersFor = Callable[[str], Mapping[str, str]]
Seen = Callable[[str, httpx.Headers], None]


def _no_headers(_: str) -> Mapping[str, str]:
    return {}


def _unseen(_: str, __: httpx.Headers) -> None:
    pass


@define
class Retrieval:
    """Gets what is behind URLs with plain GET requests, each sent once, following redirects itself.

    Args:
        transport: What sends them.
        destinations: What may be asked.
        timeout: Seconds for everything together.
        max_size: Bytes that an answer may have, on the wire and unpacked.
        paces: When a host may be asked; waiting for that is not counted as time.
    """

    _transport: httpx.BaseTransport
    _destinations: Destinations
    _timeout: float
    _max_size: int = MAX_SIZE
    _paces: Paces | None = None

    def get(self, url: str, *, headers_for: HeadersFor = _no_headers, seen: Seen = _unseen) -> Answer | Redirection:
        """Return the answer that the URL leads to, or the magnet link that it leads to.

        Args:
            url: An http or https URL.
            headers_for: Gives what to send besides, asked anew for the URL of each hop.
            seen: Told of the URL and the headers of each answer, before anything else is read of it.

        Raises:
            BlockedAddress: The URL, or a redirect, leads to where we do not go.
            FetchDenied: It leads to a login page, or on and on.
            FetchUnavailable: Nobody there, too slow, or no proper HTTP.
            FetchError: There is something about TLS that will not pass by itself.
            NotATorrent: The answer is too large, or packed in an unknown way.
        """
        errand = Errand(time.monotonic() + self._timeout, self._max_size + _OVERHEAD)
        with on_errand(errand):
            hop = self._admit(url)
            for _ in range(1 + MAX_REDIRECTS):
                with self._turn(hop, errand):
                    answer = self._ask(hop, headers_for(str(hop)), seen, errand)
                location = answer.headers.get("location")
                if not (300 <= answer.status < 400 and location):
                    return answer
                if is_magnet(location):
                    # As it came: a parser of URLs would make one with a host out of it.
                    return Redirection(location)
                hop = self._follow(hop, location)
        raise FetchDenied(f"{origin(url)} redirects more than {MAX_REDIRECTS} times")

    def _admit(self, given: str) -> httpx.URL:
        """Read a URL, and refuse what we do not ask for whatever its address; that one is checked on connecting."""
        read = _read_url(given)
        if read is None:
            raise BlockedAddress("the URL cannot be read")
        url, agreed = read
        if url.scheme not in _DEFAULT_PORTS:
            raise BlockedAddress("only http, https and magnet URLs are fetched")
        if url.userinfo:
            raise BlockedAddress("a URL with a user or a password in it is not used: give those as credentials")
        host = url.raw_host.decode("ascii")  # as it is asked for; the other form of it cannot always be read
        if not agreed or not _HOST.fullmatch(host):
            raise BlockedAddress("the URL names a host that can be read in more than one way")
        trusted = self._destinations.trusts(str(url))
        port = _DEFAULT_PORTS[url.scheme] if url.port is None else url.port  # 0 is a port, if a bad one
        # The guarded transport checks what it connects to; a proxy, or another transport, would not.
        self._destinations.require(spelled_out(host, port), host=host, trusted=trusted)
        if not trusted and not self._destinations.permits_port(port):
            raise BlockedAddress(
                f"{origin(given)} has a port where no tracker is: if it is one, name it in trusted_origins"
            )
        return url

    def _follow(self, hop: httpx.URL, location: str) -> httpx.URL:
        source = origin(str(hop))
        joined = _join(hop, location)
        if joined is None:
            raise BlockedAddress(f"{source} redirects to a URL that cannot be read")
        try:
            target = self._admit(joined)
        except BlockedAddress as error:
            raise BlockedAddress(f"{source} redirects elsewhere: {error}") from None
        if _LOGIN_PAGE.search(urlsplit(str(target)).path):
            raise FetchDenied(f"{source} redirects to a login page: the session is missing or has expired")
        if hop.scheme == "https" and target.scheme != "https" and not self._destinations.trusts(str(target)):
            raise BlockedAddress(
                f"{source} redirects from https to {origin(str(target))}: "
                "if that is intended, name the latter in trusted_origins"
            )
        return target

    @contextmanager
    def _turn(self, hop: httpx.URL, errand: Errand) -> Iterator[None]:
        if self._paces is None:
            yield
            return
        with self._paces.turn(hop.raw_host.decode("ascii")) as waited:
            errand.deadline += waited
            yield

    def _ask(self, url: httpx.URL, headers: Mapping[str, str], seen: Seen, errand: Errand) -> Answer:
        try:
            response = self._transport.handle_request(self._request(url, headers, errand))
            try:
                seen(str(url), response.headers)
                body = b"" if response.is_redirect else self._body(response, errand)
            finally:
                response.close()
            if response.status_code == 400 and url.scheme == "http" and wants_tls(body):
                raise FetchError(f"{origin(str(url))} {TLS_ONLY}")
            return Answer(str(url), response.status_code, response.headers, body)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, zlib.error) as error:
            failure = _translate(error, origin(str(url)))
        # Raised out here, for httpx's errors hold the whole URL, and must not travel along as a context.
        raise failure

    def _request(self, url: httpx.URL, headers: Mapping[str, str], errand: Errand) -> httpx.Request:
        left = errand.time_left(None)
        sent = httpx.Headers(
            {
                "Accept": "application/x-bittorrent, */*;q=0.1",
                "Accept-Encoding": "identity",  # a torrent hardly shrinks, and what is not packed cannot be a bomb
                "User-Agent": _user_agent(),
            }
        )
        sent.update(headers)  # whatever the case of their names
        timeouts = {"connect": left, "read": left, "write": left, "pool": left}
        return httpx.Request("GET", url, headers=sent, extensions={"timeout": timeouts})

    def _body(self, response: httpx.Response, errand: Errand) -> bytes:
        body = BytesIO()  # a list would need far more than its bytes for each small piece, and all twice in the end
        try:
            for piece in self._read(response, errand):
                body.write(piece)
        except (FetchError, httpx.HTTPError, zlib.error):
            if response.is_success:
                raise
            # Of what is no success, the status and the headers say enough.
        return body.getvalue()

    def _read(self, response: httpx.Response, errand: Errand) -> Iterator[bytes]:
        """Yield the body unpacked, in bounded pieces, for as long as size and time allow."""
        unpack = _unpacker(response.headers.get("content-encoding", "identity").strip().lower())
        limit = self._max_size if response.is_success else _MAX_PAGE
        received = unpacked = 0
        # Not by iter_raw, for that refuses what a mocked transport has at hand already.
        assert isinstance(response.stream, httpx.SyncByteStream)
        for chunk in response.stream:
            received += len(chunk)
            for piece in unpack(chunk):
                unpacked += len(piece)
                if max(received, unpacked) > limit:
                    if not response.is_success:
                        return
                    raise NotATorrent(f"the answer is larger than {limit} bytes")
                yield piece
            if time.monotonic() > errand.deadline:
                raise FetchUnavailable(f"the answer took longer than {self._timeout:g} seconds")


# These two return None, for an error raised while handling another takes that along, and theirs hold parts of the URL.


def _read_url(given: str) -> tuple[httpx.URL, bool] | None:
    """Read a URL, and tell whether all who read it see the same origin."""
    try:
        url = httpx.URL(given)
        return url, origin(str(url)) == origin(given) or not url.host.isascii()
    except (httpx.InvalidURL, ValueError):
        return None


def _join(hop: httpx.URL, location: str) -> str | None:
    try:
        return str(hop.join(location))
    except (httpx.InvalidURL, ValueError):
        return None


def _unpacker(encoding: str) -> Callable[[bytes], Iterator[bytes]]:
    """Return what unpacks a body chunk by chunk, each into pieces of bounded size."""
    if encoding in ("identity", ""):
        return lambda chunk: iter((chunk,))
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise NotATorrent("the answer is compressed in a way that was not asked for")
    packed = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)

    def unpack(chunk: bytes) -> Iterator[bytes]:
        if packed.eof:
            yield b""  # what comes after the end counts, but is not kept
        while chunk and not packed.eof:
            yield packed.decompress(chunk, _PIECE)
            chunk = packed.unconsumed_tail

    return unpack


def _translate(error: Exception, source: str) -> FetchError:
    if (trouble := tls_trouble(error, "tls=")) is not None:
        return FetchError(f"{source} {trouble}")
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout() | httpx.ProxyError():
            return FetchUnavailable(f"{source} cannot be reached")
        case httpx.TimeoutException():
            return FetchUnavailable(f"{source} did not answer in time")
        case httpx.InvalidURL() | httpx.UnsupportedProtocol() | httpx.LocalProtocolError() | UnicodeError():
            return BlockedAddress(f"the URL at {source} cannot be used")
        case zlib.error():
            return FetchUnavailable(f"{source} sent compressed data that is damaged")
        case _:
            return FetchUnavailable(f"{source} gave a broken answer ({type(error).__name__})")
