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

import httpx
from attrs import define, field, frozen

from audiobatch._tls import TLS_ONLY, tls_trouble, wants_tls
from audiobatch._urls import is_magnet
from audiobatch.errors import BlockedAddress, FetchDenied, FetchError, FetchUnavailable, NotATorrent
from audiobatch.fetchers._addresses import Destinations
from audiobatch.fetchers._cookies import Cookies
from audiobatch.fetchers._location import Location, join, read_location
from audiobatch.fetchers._pace import Paces
from audiobatch.fetchers._packing import unpacker
from audiobatch.fetchers._resolution import spelled_out
from audiobatch.fetchers._transport import Errand, on_errand

MAX_REDIRECTS: Final = 5
MAX_SIZE: Final = 16 * 1024 * 1024
TIMEOUT: Final = 30.0

_MAX_PAGE: Final = 64 * 1024  # what is read of an answer that is no success
_OVERHEAD: Final = 1024 * 1024  # headers and framing of all hops together
# The last part of a path is the whole name of a login page: a book may be called "Login to Murder".
_LOGIN_PAGE: Final = re.compile(
    r".*/(log|sign)[-_]?in(\.(php|html?|aspx?|jsp|cgi|do))?(/index\.\w+)?/?(;.*)?", re.IGNORECASE
)


@cache
def _user_agent() -> str:
    return f"audiobatch/{version('audiobatch')}"


@frozen
class Answer:
    """What came in the end.

    Attributes:
        location: Where it came from, after all redirects.
        status: The HTTP status: never a redirect.
        headers: Its headers.
        body: The body, unpacked; of what is no success, the first 64 KiB at most.
    """

    location: Location
    status: int
    headers: httpx.Headers = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def source(self) -> str:
        """The origin it came from, for messages."""
        return self.location.origin

    @property
    def is_success(self) -> bool:
        """Whether the status says so."""
        return 200 <= self.status < 300


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
        keeps_cookies: Send a cookie that a redirect has set along to the same origin, in that fetch.
    """

    _transport: httpx.BaseTransport
    _destinations: Destinations
    _timeout: float
    _max_size: int = MAX_SIZE
    _paces: Paces | None = None
    _keeps_cookies: bool = False

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
        cookies = Cookies()
        with on_errand(errand):
            hop = first = self._admit(url)
            for _ in range(1 + MAX_REDIRECTS):
                with self._turn(hop, errand):
                    answer = self._ask(hop, _with_cookies(headers_for(str(hop)), cookies.header(hop)), seen, errand)
                target = answer.headers.get("location")
                if not (300 <= answer.status < 400 and target):
                    return answer
                if is_magnet(target):
                    # As it came: a parser of URLs would make one with a host out of it.
                    return Redirection(target)
                if self._keeps_cookies:
                    cookies.keep(hop, answer.headers.get_list("set-cookie"))
                hop = self._follow(hop, target)
        raise FetchDenied(f"{first.origin} redirects more than {MAX_REDIRECTS} times")

    def _admit(self, given: str) -> Location:
        """Read a URL, and refuse what we do not ask for whatever its address; that one is checked on connecting."""
        location = read_location(given)
        trusted = self._destinations.trusts(location.origin)
        # The guarded transport checks what it connects to; a proxy, or another transport, would not.
        self._destinations.require(spelled_out(location.host, location.port), host=location.host, trusted=trusted)
        if not trusted and not self._destinations.permits_port(location.port):
            raise BlockedAddress(
                f"{location.origin} has a port where no tracker is: if it is one, name it in trusted_origins"
            )
        return location

    def _follow(self, hop: Location, given: str) -> Location:
        joined = join(hop, given)
        if joined is None:
            raise BlockedAddress(f"{hop.origin} redirects to a URL that cannot be read")
        try:
            target = self._admit(joined)
        except BlockedAddress as error:
            raise BlockedAddress(f"{hop.origin} redirects elsewhere: {error}") from None
        if _LOGIN_PAGE.fullmatch(target.path):
            raise FetchDenied(f"{hop.origin} redirects to a login page: the session is missing or has expired")
        if hop.scheme == "https" and target.scheme != "https" and not self._destinations.trusts(target.origin):
            raise BlockedAddress(
                f"{hop.origin} redirects from https to {target.origin}: "
                "if that is intended, name the latter in trusted_origins"
            )
        return target

    @contextmanager
    def _turn(self, hop: Location, errand: Errand) -> Iterator[None]:
        if self._paces is None:
            yield
            return
        with self._paces.turn(hop.host) as waited:
            errand.deadline += waited
            yield

    def _ask(self, hop: Location, headers: Mapping[str, str], seen: Seen, errand: Errand) -> Answer:
        try:
            response = self._transport.handle_request(self._request(hop.url, headers, errand))
            try:
                errand.answered = True
                seen(str(hop), response.headers)
                body = b"" if response.is_redirect else self._body(response, errand)
            finally:
                response.close()
            if response.status_code == 400 and hop.scheme == "http" and wants_tls(body):
                raise FetchError(f"{hop.origin} {TLS_ONLY}")
            return Answer(hop, response.status_code, response.headers, body)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, zlib.error) as error:
            failure = _translate(error, hop.origin)
            # What has led here was asked for, too: to begin anew would count there.
            failure.repeated = failure.repeated and not errand.answered
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
        unpack = unpacker(response.headers.get("content-encoding", ""))
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
                raise _lost(f"the answer took longer than {self._timeout:g} seconds")


def _with_cookies(headers: Mapping[str, str], cookies: str | None) -> Mapping[str, str]:
    if cookies is None:
        return headers
    others = {name: value for name, value in headers.items() if name.lower() != "cookie"}
    given = [pair.strip() for name in headers.keys() - others.keys() for pair in headers[name].split(";")]
    anew = {_name(pair) for pair in cookies.split("; ")}
    return {**others, "Cookie": "; ".join([*(pair for pair in given if _name(pair) not in anew), cookies])}


def _name(pair: str) -> str:
    return pair.partition("=")[0]


def _translate(error: Exception, source: str) -> FetchError:
    if (trouble := tls_trouble(error, "tls=")) is not None:
        return FetchError(f"{source} {trouble}")
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout() | httpx.ProxyError():
            return FetchUnavailable(f"{source} cannot be reached")
        case httpx.TimeoutException():
            return _lost(f"{source} did not answer in time")
        case httpx.InvalidURL() | httpx.UnsupportedProtocol() | httpx.LocalProtocolError() | UnicodeError():
            return BlockedAddress(f"the URL at {source} cannot be used")
        case zlib.error():
            return _lost(f"{source} sent compressed data that is damaged")
        case _:
            return _lost(f"{source} gave a broken answer ({type(error).__name__})")


def _lost(sentence: str) -> FetchUnavailable:
    """Make the error for an answer that did not come whole: the request was sent, and may count as a snatch."""
    error = FetchUnavailable(sentence)
    error.repeated = False
    return error
