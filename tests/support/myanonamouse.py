"""A stand-in for MyAnonamouse on loopback, and the way to it for a fetcher that knows the real address alone.

It is built from second-hand facts: the site's own API pages are for members, so what it does here is
what the sources, tests and issues of other programs say that it does. Nothing in it was tried on the site.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Literal
from urllib.parse import SplitResult, parse_qs, urlsplit

import httpx
from attrs import Factory, frozen

from support.server import PATIENCE, Exchange, LoopbackServer
from support.torrents import book

HOST: Final = "www.myanonamouse.net"
FIRST: Final = "first%2Bvalue%3D"  # with percent escapes, as real ones have them
ADDRESS: Final = "203.0.113.77"  # what the site says the caller's address is: nobody is to repeat it
ATTRIBUTES: Final = "domain=.myanonamouse.net; path=/; secure; HttpOnly"
LOG_IN: Final = "/login.php?returnto=%2Ftor%2Fdownload.php"


@frozen
class Reply:
    """An answer.

    Attributes:
        status: Its HTTP status.
        body: Its body.
        headers: Its headers, besides the cookie.
        rotates: Whether it brings the next cookie, as an answer does where the session is fine.
        how: Answer, or hang up, or say nothing for as long as the server runs.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = Factory(dict)
    rotates: bool = True
    how: Literal["answer", "hang up", "silence"] = "answer"


def told(text: str) -> bytes:
    """Return a text that the site sends, with the caller's address in it for an asterisk."""
    return text.replace("*", ADDRESS).encode()


HANG_UP: Final = Reply(0, how="hang up", rotates=False)
SILENCE: Final = Reply(0, how="silence", rotates=False)
EMPTY: Final = Reply(200)
PAGE: Final = Reply(200, told("<!DOCTYPE html><html><title>Log in</title>Your address is *</html>"))
GONE: Final = Reply(404, told("<h1>Not found</h1>*"))
TOO_MANY: Final = Reply(429, told("Too many requests from *"))
BROKEN: Final = Reply(500, told("<h1>Internal Server Error</h1>*"))
MISSING_TID: Final = Reply(400, told("<h1>Invalid download link: missing tid (torrent id)</h1>"))
IP_MISMATCH: Final = Reply(403, told("Invalid session - IP mismatch: *"), rotates=False)
ASN_MISMATCH: Final = Reply(403, told("Invalid session - ASN mismatch: *"), rotates=False)
WRONG_TYPE: Final = Reply(403, told("Incorrect session type - not allowed this function (*)"), rotates=False)
NOT_SIGNED_IN: Final = Reply(200, told("Error, you are not signed in <br />Other error"), rotates=False)
NO_COOKIE: Final = Reply(401, told("ip * does not match account, and no auth cookie provided"), rotates=False)
LOGIN: Final = Reply(302, headers={"Location": LOG_IN}, rotates=False)
ENDED: Final = Reply(
    302, headers={"Location": LOG_IN, "Set-Cookie": f"mam_id=deleted; Max-Age=0; {ATTRIBUTES}"}, rotates=False
)


def freeze(left: str = "1d 02:04:02") -> Reply:
    """Make the answer to whoever has too many torrents that are not seeded for long enough."""
    text = "Attempted to Download Past Unsatisfied limit. Happened: 2026-10-05 15:53:57"
    return Reply(200, told(f"<b>{text}</b><br />Time Till Download Allowed:&nbsp;{left} (*)"))


def page_url(torrent_id: int) -> str:
    """Return the address of a torrent's page; the torrent behind it is that of the book ``mam-ID``."""
    return f"https://{HOST}/t/{torrent_id}"


class MyAnonamouse(LoopbackServer):
    """Serves ``/tor/download.php?tid=N``, the torrent of the book ``mam-N``, to whoever has the session's cookie.

    Each answer brings a new cookie, and the one before is worth nothing from then on. Whoever comes
    without a good one is led to the login page, and told to delete what he has. Whoever brings other
    cookies of a browser besides loses the session.

    Attributes:
        cookie: The one that is good now; None after the session has ended.
        rotates: Whether answers bring a new cookie.
        tolerates: Whether the older cookies of the session stay good.
        gone: The ids of torrents that are there no more.
        linger: Seconds that each request is in progress before it is answered.
        asked: Path and query of each request, in order.
        cookies: The ``Cookie`` header of each request, in order.
        moments: When each request came, on the clock that was given.
        wedges: The ids for which a freeleech wedge was spent.
        most_at_once: The largest number of requests that were in progress at a time.

    Args:
        cookie: The first one.
        clock: Tells the time.
    """

    def __init__(self, cookie: str = FIRST, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.cookie: str | None = cookie
        self.rotates = True
        self.tolerates = False
        self.gone: set[int] = set()
        self.linger = 0.0
        self.asked: list[str] = []
        self.cookies: list[str | None] = []
        self.moments: list[float] = []
        self.wedges: list[int] = []
        self.most_at_once = 0
        self._at_once = 0
        self._first = cookie
        self._older: set[str] = set()
        self._orders: deque[Reply] = deque()
        self._clock = clock
        self._lock = threading.Lock()
        super().__init__(self._serve)

    def order(self, *replies: Reply) -> None:
        """Let the next requests that come with a good cookie be answered like this, one after the other."""
        self._orders.extend(replies)

    def end_session(self) -> None:
        """Let no cookie be good any more."""
        self.cookie = None
        self._older.clear()

    def begin_session(self, cookie: str) -> None:
        """Let this cookie be good, and no other."""
        self.end_session()
        self.cookie = self._first = cookie

    def detour(self) -> httpx.BaseTransport:
        """Return a transport that takes what is meant for the real site here, and goes nowhere else."""
        return Detour(self.url)

    def _serve(self, exchange: Exchange) -> None:
        with self._in_progress(exchange):
            self.stopping.wait(self.linger)
            with self._lock:
                reply = self._reply(exchange)
                fresh = self._next_cookie() if reply.rotates else None
        # Out here, for whoever has the last byte may send the next request at once.
        if reply.how == "answer":
            exchange.send_response(reply.status)
            if fresh is not None:
                exchange.send_header("Set-Cookie", f"mam_id={fresh}; {ATTRIBUTES}")
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                exchange.send_header(name, value)
            exchange.end_headers()
            exchange.wfile.write(reply.body)
        elif reply.how == "silence":
            exchange.drip([b""], every=PATIENCE)

    @contextmanager
    def _in_progress(self, exchange: Exchange) -> Iterator[None]:
        with self._lock:
            self.asked.append(exchange.path)
            self.cookies.append(exchange.headers.get("Cookie"))
            self.moments.append(self._clock())
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            yield
        finally:
            with self._lock:
                self._at_once -= 1

    def _reply(self, exchange: Exchange) -> Reply:
        pairs = exchange.headers.get("Cookie", "").split(";")
        brought = dict(pair.strip().partition("=")[::2] for pair in pairs if pair.strip())
        if "mam_id" not in brought:
            return NO_COOKIE if exchange.path.startswith("/tor/download.php/") else LOGIN
        if brought.keys() != {"mam_id"}:
            self.end_session()
        if brought["mam_id"] != self.cookie and brought["mam_id"] not in self._older:
            return ENDED
        return self._orders.popleft() if self._orders else self._torrent(urlsplit(exchange.path))

    def _torrent(self, parts: SplitResult) -> Reply:
        asked = parse_qs(parts.query, keep_blank_values=True)
        if not f"{parts.path}/".startswith("/tor/download.php/"):
            return GONE
        if not asked.get("tid", [""])[0].isdecimal():
            return MISSING_TID
        torrent_id = int(asked["tid"][0])
        if torrent_id in self.gone:
            return GONE
        if "fl" in asked:
            self.wedges.append(torrent_id)
        return Reply(200, book(f"mam-{torrent_id}"), {"Content-Type": "application/x-bittorrent"})

    def _next_cookie(self) -> str | None:
        if not self.rotates or self.cookie is None:
            return None
        if self.tolerates:
            self._older.add(self.cookie)
        self.cookie = f"{self._first}{len(self.asked)}"
        return self.cookie


class Detour(httpx.BaseTransport):
    """Sends what is meant for the real site, and has to be https, to a server on loopback in plain http.

    Args:
        url: Where that server is.
    """

    def __init__(self, url: str) -> None:
        self._url = httpx.URL(url)
        self._http = httpx.HTTPTransport(verify=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it there as it is: path, query and headers."""
        meant = (request.url.scheme, request.url.host, request.url.port)
        assert meant == ("https", HOST, None), f"a request went out to {meant}"
        there = request.url.copy_with(scheme="http", host=self._url.host, port=self._url.port)
        return self._http.handle_request(
            httpx.Request(request.method, there, headers=request.headers, extensions=request.extensions)
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
