"""No message, repr, log record or traceback shows a secret, whatever goes wrong, and wherever the secret stands."""

from __future__ import annotations

import base64
import html
import itertools
import json
import logging
import socket
import sqlite3
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus

import httpx
import pytest
from attrs import frozen
from hypothesis import event, given, settings
from hypothesis import strategies as st

from audiobatch import BatchDownloader, RetryPolicy, wire
from audiobatch._quiet import _LOGGERS, quiet
from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.errors import AudiobatchError, RepositoryUnavailable, TorrentRejected
from audiobatch.fetchers.choice import FirstAccepting
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.fetchers.myanonamouse import MyAnonamouseFetcher, download_url
from audiobatch.metainfo import parse_magnet, parse_torrent
from audiobatch.models import AddOptions, DownloadRequest
from audiobatch.protocols import Repository
from audiobatch.repositories.memory import MemoryRepository
from audiobatch.repositories.sqlite import SQLiteRepository
from audiobatch.sessions import FileSessionStore, Session
from support.fakes import FakeClient
from support.resolver import Net
from support.secrets import SECRETS, Secrets, Witness, witness
from support.server import PATIENCE, Exchange, LoopbackServer
from support.torrents import book
from support.tracker import LOOPBACK

SOON = 0.05  # seconds that a fetch may take where the answer never ends
SMALL = 20_000  # bytes that an answer may have where a larger one comes
ONCE = RetryPolicy(attempts=1)
TLS = ssl.create_default_context()
HEX = "ab" * 20
MAM = "https://www.myanonamouse.net"
RAW = "surrogateescape"  # bytes that are no text pass through text unchanged

_T = TypeVar("_T")
Plant = Callable[[Secrets], str]


@pytest.fixture(scope="module", autouse=True)
def at_home() -> Iterator[None]:
    """Let no name server be asked, and nothing be connected to but loopback, wherever a URL leads."""
    with pytest.MonkeyPatch.context() as patch:
        Net(patch)
        yield


class Wire(LoopbackServer):
    """Answers each request with the bytes that are ordered, and hangs up.

    Attributes:
        bytes: What to send.
        by_path: What to send instead, where the path ends like this.
        closes: Whether to hang up after that; otherwise the other side has to.
    """

    def __init__(self, closed_port: int) -> None:
        self.bytes = b""
        self.by_path: Mapping[str, bytes] = {}
        self.closes = True
        self._closed_port = closed_port
        super().__init__(self._send, raw=True)

    def order(self, answer: bytes, *, closes: bool = True, **by_path: bytes) -> None:
        """Let the next requests be answered like this; an underscore in a path stands for a slash."""
        self.bytes, self.closes = answer, closes
        self.by_path = {end.replace("_", "/"): given for end, given in by_path.items()}

    def placed(self, url: str) -> str:
        """Put the places into a URL: that of this server, or one where nobody is."""
        return url.replace("WIRE", self.url.removeprefix("http://")).replace("CLOSED", f"127.0.0.1:{self._closed_port}")

    def _send(self, exchange: Exchange) -> None:
        answer = self.bytes
        if exchange.connection.recv(1, socket.MSG_PEEK) != b"\x16":  # not the hello of TLS, which ends with no line
            path = _read(exchange)
            answer = next((given for end, given in self.by_path.items() if path.endswith(end)), answer)
        exchange.wfile.write(answer)
        if not self.closes:
            exchange.rfile.read()


def _read(exchange: Exchange) -> str:
    """Read a request to its end, and return the path."""
    _, path, *_ = exchange.rfile.readline().decode().split()
    length = 0
    while line := exchange.rfile.readline().strip().lower():
        if line.startswith(b"content-length:"):
            length = int(line[15:])
    exchange.rfile.read(length)
    return path


@pytest.fixture(scope="module")
def server() -> Iterator[Wire]:
    """Run one server for all of them, and keep a port that nobody listens on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with Wire(held.getsockname()[1]) as running:
            yield running


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give paths in a folder, none of them used yet."""
    folder = tmp_path_factory.mktemp("secrets")
    return (folder / f"file-{number}" for number in itertools.count())


def attempt(seen: Witness, act: Callable[[], _T]) -> _T | None:
    """Do it, and show what comes of it to the witness, be it one of our errors; any other error is a bug."""
    try:
        result = act()
    except AudiobatchError as error:
        seen.see(error)
        event(type(error).__name__)
        return None
    seen.see(result)
    event(type(result).__name__)
    return result


def head(start: str, *headers: str) -> str:
    """Write what comes before a body."""
    return "\r\n".join([start, *headers]) + "\r\n\r\n"


def torrent(secrets: Secrets) -> str:
    """Write a torrent with secrets wherever trackers put them."""
    url = f"http://t.test/{secrets.url('announce')}/announce?key={secrets.url('announce')}"
    more: dict[str, Any] = {"announce": url, "url-list": url, "comment": secrets.text("comment")}
    return book("Dune", **more).decode(errors=RAW)


def packed(text: str) -> bytes:
    """Return the bytes of what is text for the most part."""
    return text.encode(errors=RAW)


def sized(start: str, body: str, *headers: str) -> str:
    """Write an answer of the right length."""
    return head(start, f"Content-Length: {len(packed(body))}", *headers) + body


@frozen
class Answer:
    """A whole answer, with its secrets still to be filled in."""

    plant: Plant

    def written(self, secrets: Secrets) -> bytes:
        """Fill them in."""
        return packed(self.plant(secrets))


OK = "HTTP/1.1 200 OK"
PAGES: Mapping[str, Plant] = {
    "html": lambda s: f"<!DOCTYPE html><title>Log in</title>{html.escape(s.text('page'))}{s.text('page')}",
    "xml": lambda s: f'<?xml version="1.0"?><error code="100" description="apikey {s.text("page")}"/>',
    "json": lambda s: json.dumps({"error": s.text("page")}),
    "rows": lambda s: json.dumps([{"hash": s.text("page"), "state": s.text("page"), "progress": s.text("page")}]),
    "list": lambda s: json.dumps([s.text("page")]),
    "text": lambda s: s.text("page"),
    "digits": lambda s: "9" * 5000 + s.text("page"),
    "magnet without a hash": lambda s: f"magnet:?dn={s.url('page')}&tr=http://t.test/{s.url('page')}",
    "magnet of two": lambda s: f"magnet:?xt=urn:btih:{HEX}&xt=urn:btih:{'cd' * 20}&tr=http://t.test/{s.url('page')}",
    "magnet": lambda s: (
        f"magnet:?xt=urn:btih:{HEX}&dn=Dune&tr={quote('http://t.test/' + s.url('page'))}&xs={s.url('page')}"
    ),
    "torrent": torrent,
    "torrent with more": lambda s: torrent(s) + s.text("page"),
    "half a torrent": lambda s: torrent(s)[:-40],
    "no torrent": lambda s: f"d8:announce{len(s.text('page').encode())}:{s.text('page')}4:infoi1ee",
    "a bad name": lambda s: (
        f"d8:announce3:abc4:infod6:lengthi1e4:name{len(s.text('page').encode())}:{s.text('page')}ee"
    ),
    "a wrong key": lambda s: (
        f"d{len(s.text('page').encode())}:{s.text('page')}i1e{len(s.text('page').encode())}:{s.text('page')}e"
    ),
    "session": lambda s: f"Invalid session - IP mismatch: {s.text('page')}",
    "freeze": lambda s: f"Past Unsatisfied limit. Time Till Download Allowed: 1d 02:04:02 {s.text('page')}",
    "no id": lambda s: f"<h1>Invalid download link: missing tid {s.text('page')}</h1>",
    "Fails.": lambda _: "Fails.",
    "empty": lambda _: "",
}
HEADERS: Mapping[str, Plant] = {
    "cookie": lambda s: f"Set-Cookie: mam_id={s.token('setcookie')}; Path=/{s.token('setcookie')}",
    "other cookie": lambda s: f"Set-Cookie: uid={s.text('setcookie')}; expires={s.text('setcookie')}",
    "challenge": lambda s: f'WWW-Authenticate: Basic realm="{s.text("header")}"',
    "pause": lambda s: f"Retry-After: {s.text('header')}",
    "type": lambda s: f"Content-Type: text/plain; charset={s.text('header')}",
    "no encoding of text": lambda s: f"Content-Type: application/json; charset=hex; x={s.text('header')}",
    "name": lambda s: f'Content-Disposition: attachment; filename="{s.text("header")}.torrent"',
    "coding": lambda s: f"Content-Encoding: {s.text('header')}",
    "packed": lambda _: "Content-Encoding: gzip",
    "leads on": lambda s: f"Location: {s.url('location')}",
    "own": lambda s: f"X-{s.token('header')}: {s.text('header')}",
}
TELLING = ["cookie", "other cookie", "challenge", "pause", "name", "own"]
CHANGING = [name for name in HEADERS if name not in TELLING]  # each of them lets the body be read in another way
STATUSES = [
    200,
    201,
    204,
    299,
    300,
    304,
    400,
    401,
    402,
    403,
    404,
    405,
    408,
    409,
    410,
    415,
    418,
    429,
    500,
    502,
    503,
    599,
    999,
]
LOCATIONS: Mapping[str, Plant] = {
    "login": lambda s: f"/login.php?returnto={s.url('location')}",
    "itself": lambda s: f"?passkey={s.url('location')}",
    "user": lambda s: f"http://{s.token('location')}:{quote(s.url('location'), safe='')}@127.0.0.1/{s.url('location')}",
    "ftp": lambda s: f"ftp://t.test/{s.url('location')}",
    "file": lambda s: f"file:///{s.url('location')}",
    "script": lambda s: f"javascript:{s.url('location')}",
    "no host": lambda s: f"http:///{s.url('location')}",
    "bad port": lambda s: f"http://127.0.0.1:{s.url('location')}/",
    "large port": lambda s: f"http://127.0.0.1:99999/{s.url('location')}",
    "bad brackets": lambda s: f"http://[{s.url('location')}]/",
    "open bracket": lambda s: f"http://[{s.url('location')}",
    "odd letters": lambda s: f"http://{s.token('location')}:{s.token('location')}@\u2100.test/{s.url('location')}",
    "bad name": lambda s: f"http://xn--zzzzzz/{s.url('location')}",
    "empty label": lambda s: f"http://a..b/{s.url('location')}",
    "backslash": lambda s: f"http://a\\@b/{s.url('location')}",
    "private": lambda s: f"http://10.0.0.1/{s.url('location')}",
    "metadata": lambda s: f"http://169.254.169.254/{s.url('location')}",
    "foreign port": lambda s: f"http://127.0.0.1:25/{s.url('location')}",
    "nowhere": lambda s: f"http://nowhere.test/{s.url('location')}",
    "magnet": lambda s: f"magnet:?xt=urn:btih:{HEX}&tr=http://t.test/{s.url('location')}",
    "no magnet": lambda s: f"magnet:?dn={s.url('location')}",
    "too long": lambda s: f"/{s.url('location')}" * 3000,
    "controls": lambda s: f"/{s.url('location')}\x01\x7f{s.url('location')}",
}
BROKEN: Mapping[str, Plant] = {
    "no http": lambda s: f"SSH-2.0-{s.text('line')}\r\n\r\n",
    "no status": lambda s: head(f"HTTP/1.1 2x0 {s.text('line')}"),
    "odd status": lambda s: head(f"HTTP/1.1 099 {s.text('line')}"),
    "reason": lambda s: sized(f"HTTP/1.1 500 {s.text('line')}", s.text("page")),
    "no colon": lambda s: head(OK, s.text("line")),
    "bad name": lambda s: head(OK, f" {s.text('line')} : {s.text('line')}"),
    "nul": lambda s: head(OK, f"Set-Cookie: uid=\0{s.text('line')}"),
    "length": lambda s: head(OK, f"Content-Length: {s.text('line')}"),
    "lengths": lambda s: sized(OK, s.text("page"), f"Content-Length: 1{s.text('line')}"),
    "coding": lambda s: head(OK, f"Transfer-Encoding: {s.text('line')}"),
    "chunk": lambda s: head(OK, "Transfer-Encoding: chunked") + f"{s.text('line')}\r\n",
    "cut short": lambda s: head(OK, "Content-Length: 999") + s.text("page"),
    "half a head": lambda s: f"{OK}\r\nSet-Cookie: uid={s.text('line')}",
    "hung up": lambda _: "",
    "wait": lambda s: head("HTTP/1.1 100 Continue", f"Set-Cookie: uid={s.text('line')}") * 3,
    "other protocol": lambda s: head("HTTP/1.1 101 Switching Protocols", f"Upgrade: {s.text('line')}"),
    "large": lambda s: sized(OK, s.text("page") * SMALL),
    "bomb": lambda s: sized("HTTP/1.1 404 Gone", s.text("page") * SMALL),
}


@st.composite
def _answers(draw: st.DrawFn) -> Answer:
    kind = draw(st.sampled_from(["page", "page", "page", "torrent", "redirect", "broken"]))
    if kind == "torrent":
        return Answer(lambda s: sized(OK, PAGES["torrent"](s), HEADERS["cookie"](s)))
    if kind == "broken":
        return Answer(BROKEN[draw(st.sampled_from([*BROKEN]))])
    headers = [
        HEADERS[name] for name in (*TELLING, *draw(st.lists(st.sampled_from(CHANGING), max_size=2, unique=True)))
    ]
    if kind == "redirect":
        status, body = draw(st.sampled_from([301, 302, 307, 308])), PAGES["empty"]
        target = LOCATIONS[draw(st.sampled_from([*LOCATIONS]))]
        headers.append(lambda s: f"Location: {target(s)}")
    else:
        status = draw(st.just(200) | st.sampled_from(STATUSES))
        body = PAGES[draw(st.sampled_from([*PAGES]))]
    return Answer(lambda s: sized(f"HTTP/1.1 {status} Status", body(s), *(header(s) for header in headers)))


ANSWERS = _answers()
URLS: Mapping[str, Plant] = {
    "passkey": lambda s: f"http://WIRE/{s.url('path')}/x.torrent?passkey={s.url('query')}#{s.url('fragment')}",
    "prowlarr": lambda s: f"http://WIRE/1/download?apikey={s.url('query')}&link={s.url('query')}",
    "jackett": lambda s: f"http://WIRE/dl/x/{s.url('path')}?jackett_apikey={s.url('query')}&path={s.url('query')}",
    "no query": lambda s: f"HTTP://WIRE?{s.url('query')}",
    "user": lambda s: f"http://{s.token('user')}:{quote(s.url('password'), safe='')}@WIRE/{s.url('path')}",
    "user alone": lambda s: f"http://{quote(s.url('user'), safe='')}@WIRE/{s.url('path')}",
    "tls": lambda s: f"https://WIRE/{s.url('path')}?{s.url('query')}",
    "nobody": lambda s: f"http://CLOSED/{s.url('path')}?{s.url('query')}",
    "nowhere": lambda s: f"http://nowhere.test/{s.url('path')}?{s.url('query')}",
    "private": lambda s: f"http://10.0.0.1/{s.url('path')}?{s.url('query')}",
    "metadata": lambda s: f"http://169.254.169.254/{s.url('path')}",
    "foreign port": lambda s: f"http://127.0.0.1:25/{s.url('path')}",
    "bad name": lambda s: f"http://xn--zzzzzz/{s.url('path')}",
    "empty label": lambda s: f"http://a..b/{s.url('path')}",
    "mam": lambda s: f"{MAM}/tor/download.php?tid=1&hash={s.url('query')}#{s.url('fragment')}",
    "mam page": lambda s: f"https://{s.token('user')}:{s.token('password')}@www.myanonamouse.net/t/1?{s.url('query')}",
    "mam without id": lambda s: f"{MAM}/tor/download.php/{s.url('path')}?{s.url('query')}",
    "mam wedge": lambda s: f"{MAM}/tor/download.php?tid=1&fl&{s.url('query')}",
}
HTTP_URLS = st.just(URLS["passkey"]) | st.sampled_from([URLS[name] for name in URLS if not name.startswith("mam")])
MAM_URLS = st.just(URLS["mam"]) | st.sampled_from([URLS[name] for name in URLS if name.startswith("mam")])


PROXIES = {"proxy": "http://USER@WIRE", "nobody as proxy": "http://USER@CLOSED"}


def request(url: str) -> DownloadRequest:
    """Ask for what is behind the URL."""
    return DownloadRequest(title="Dune", author="Frank Herbert", torrent_url=url)


def test_a_secret_is_found_however_it_is_written() -> None:
    """The search itself is not blind: quoted, escaped, encoded, cut or lowered, it sees them."""
    spellings: list[Callable[[str], str]] = [
        *(str, repr, ascii, quote, quote_plus, json.dumps, html.escape, str.upper, str.lower),
        *(lambda it: repr(it.encode()), lambda it: it[:30], lambda it: it[-30:], lambda it: quote(quote(it))),
        *(lambda it, more=more: base64.b64encode(f"{more}{it}".encode()).decode() for more in ("", "u", "me")),
    ]
    for spelling, glue in itertools.product(spellings, range(11)):
        secrets = Secrets(0, glue)
        for take in (secrets.token, secrets.url, secrets.text):
            assert secrets.found_in([f"xx {spelling(take('place'))} xx"])
            assert secrets.found_in(["nothing to see", "place"]) == []


@settings(max_examples=400)
@given(SECRETS, HTTP_URLS, ANSWERS, st.sampled_from(["", "", *PROXIES, "silence"]))
def test_the_general_fetcher(server: Wire, secrets: Secrets, url: Plant, answer: Answer, how: str) -> None:
    """Neither of the URL, nor of the credentials, nor of the proxy, nor of the answer anything shows."""
    server.order(answer.written(secrets), closes=how != "silence")
    asked = request(server.placed(url(secrets)))
    own = {"Cookie": f"uid=1; pass={secrets.token('cookie')}", "Authorization": f"Bearer {secrets.token('bearer')}"}
    user = f"{secrets.token('proxyuser')}:{secrets.token('proxypassword')}"
    with (
        witness() as seen,
        HttpFetcher(
            allowed_networks=LOOPBACK,
            credentials={server.placed("http://WIRE"): own, server.placed("https://WIRE"): own},
            proxy=server.placed(PROXIES[how].replace("USER", user)) if how in PROXIES else None,
            tls=TLS,
            timeout=SOON if how == "silence" else PATIENCE,
            max_size=SMALL,
        ) as fetcher,
    ):
        attempt(seen, lambda: fetcher.fetch(asked))
        seen.see(fetcher, asked, asked.options, fetcher._transport, fetcher._retrieval)
    assert secrets.found_in(seen.texts) == []


TROUBLES = [
    *(
        httpx.ConnectError,
        httpx.ConnectTimeout,
        httpx.ReadError,
        httpx.ReadTimeout,
        httpx.WriteError,
        httpx.PoolTimeout,
    ),
    *(
        httpx.CloseError,
        httpx.ProxyError,
        httpx.UnsupportedProtocol,
        httpx.LocalProtocolError,
        httpx.RemoteProtocolError,
    ),
    *(httpx.DecodingError, httpx.TooManyRedirects),
]


@given(SECRETS, st.sampled_from(TROUBLES), st.sampled_from(["http", "mam", "qbittorrent"]))
def test_what_a_transport_raises(secrets: Secrets, trouble: type[httpx.RequestError], who: str) -> None:
    """Its error holds the request, and may say anything: it does not travel along."""

    def fail(sent: httpx.Request) -> httpx.Response:
        raise trouble(f"no way to {sent.url} with {sent.headers} {secrets.text('said')}", request=sent)

    transport = httpx.MockTransport(fail)
    with witness() as seen:
        if who == "qbittorrent":
            http = httpx.Client(transport=transport, auth=("me", secrets.token("password")))
            client = QBittorrentClient("http://nas", api_key=secrets.token("apikey"), http=http)
            attempt(seen, client.check)
        elif who == "mam":
            with MyAnonamouseFetcher(secrets.token("mam"), transport=transport) as mam:
                attempt(seen, lambda: mam.fetch(request(download_url(1))))
        else:
            with HttpFetcher(transport=transport) as fetcher:
                attempt(
                    seen, lambda: fetcher.fetch(request(f"http://t.test/{secrets.url('path')}?{secrets.url('query')}"))
                )
    assert secrets.found_in(seen.texts) == []


class Stubborn:
    """Keeps no session, or none any more, and says which one."""

    def __init__(self, kept: Session | None = None, *, error: OSError | None = None) -> None:
        self.kept = kept
        self.error = error

    def load(self) -> Session | None:
        """Return what is kept."""
        return self.kept

    def save(self, session: Session, /) -> None:
        """Keep it, or fail."""
        if self.error is not None:
            raise self.error
        self.kept = session


class Detour(httpx.BaseTransport):
    """Takes everything to the server on loopback, whatever it is meant for."""

    def __init__(self, server: Wire) -> None:
        self._server = server
        self._http = httpx.HTTPTransport(verify=False, trust_env=False)

    def handle_request(self, sent: httpx.Request) -> httpx.Response:
        """Send it there."""
        there = httpx.URL(self._server.url).copy_with(raw_path=sent.url.raw_path)
        return self._http.handle_request(
            httpx.Request(sent.method, there, headers=sent.headers, extensions=sent.extensions)
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


STORES: Mapping[str, Callable[[Secrets], Stubborn]] = {
    "fine": lambda _: Stubborn(),
    "with a newer cookie": lambda s: Stubborn(Session(Session.begin(s.token("mam")).configured, s.token("kept"))),
    "says too much": lambda s: Stubborn(error=OSError(f"no room for {s.text('store')}")),
    "on a full disk": lambda s: Stubborn(error=OSError(28, "No space left on device", s.text("store"))),
}


@settings(max_examples=300)
@given(SECRETS, MAM_URLS, ANSWERS, st.sampled_from([*STORES]), st.sampled_from(["spends wedges", "does not"]))
def test_the_fetcher_of_myanonamouse(
    server: Wire, secrets: Secrets, url: Plant, answer: Answer, store: str, wedges: str
) -> None:
    """Neither the cookie that was configured, nor those that came, show; nor does what the site writes."""
    server.order(answer.written(secrets))
    asked, elsewhere = request(url(secrets)), request(f"http://t.test/{secrets.url('path')}?{secrets.url('query')}")
    with witness() as seen, Detour(server) as detour:
        fetcher = MyAnonamouseFetcher(
            f'"mam_id={secrets.token("mam")}"; uid={secrets.token("uid")}',
            sessions=STORES[store](secrets),
            spend_wedges=wedges == "spends wedges",
            transport=detour,
        )
        choice = FirstAccepting(fetcher)
        attempt(seen, lambda: choice.fetch(asked))
        attempt(seen, lambda: choice.fetch(elsewhere))
        fetcher.close()  # nobody waits any more
        attempt(seen, lambda: fetcher.fetch(asked))
        seen.see(fetcher, choice, asked, fetcher._session, fetcher._refusal, fetcher._retrieval)
    assert secrets.found_in(seen.texts) == []


def plain_http() -> httpx.Client:
    """Make the client that the adapter makes by itself, but for the certificates, which take long to read."""
    return httpx.Client(trust_env=False, verify=False)


CREDENTIALS: Mapping[str, Callable[[Secrets], dict[str, Any]]] = {
    "none": lambda _: {},
    "password": lambda s: {"username": s.text("username"), "password": s.text("password")},
    "key": lambda s: {"api_key": s.token("apikey")},
    "key that cannot be sent": lambda s: {"api_key": s.text("apikey") + "\r\n" + s.text("apikey")},
}
CLIENT_URLS: Mapping[str, Plant] = {
    "plain": lambda _: "http://WIRE",
    "user": lambda s: f"HTTP://{s.token('user')}:{quote(s.url('urlpassword'), safe='')}@WIRE/",
    "query": lambda s: f"http://WIRE?key={s.url('query')}#{s.url('fragment')}",
    "nobody": lambda s: f"http://{s.token('user')}:{s.token('urlpassword')}@CLOSED",
}
LOGINS = {
    "fine": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nOk.",
    "refused": b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nFails.",
    "banned": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
}


@settings(max_examples=300)
@given(
    SECRETS,
    st.sampled_from([*CLIENT_URLS]),
    st.sampled_from([*CREDENTIALS]),
    st.none() | st.sampled_from([*LOGINS]),
    ANSWERS,
    st.sampled_from(["", "", "", "", "", "silence"]),
)
def test_the_client_for_qbittorrent(
    server: Wire, secrets: Secrets, url: str, known: str, login: str | None, answer: Answer, how: str
) -> None:
    """Neither password nor key nor the URL's user shows, whatever answers there; nor does what is handed over."""
    logins = {} if login is None else {"auth_login": LOGINS[login]}
    server.order(answer.written(secrets), closes=how != "silence", **logins)
    place = server.placed(CLIENT_URLS[url](secrets))
    magnet = parse_magnet(f"magnet:?xt=urn:btih:{HEX}&tr=http://t.test/{secrets.url('announce')}&dn=Dune")
    file = parse_torrent(packed(torrent(secrets)))
    given = {"timeout": SOON if how == "silence" else PATIENCE, **CREDENTIALS[known](secrets)}
    with witness() as seen, plain_http() as http:
        client = attempt(seen, lambda: QBittorrentClient(place, http=http, **given))
        if client is not None:  # and not refused, for what cannot be sent
            attempt(seen, lambda: client.add(magnet, AddOptions(category=f"\\{secrets.text('category')}")))
            attempt(seen, lambda: client.add(file, AddOptions()))
            if how != "silence":
                attempt(seen, client.check)
                attempt(seen, lambda: client.add(magnet, AddOptions()))
            attempt(seen, lambda: client.status([file.info_hashes]))
            seen.see(client, client.name, client._connection, client._connection.endpoint, magnet, file)
    assert secrets.found_in(seen.texts) == []


class Failing:
    """A repository that fails, and says something of what it was given."""

    def __init__(self, at: str) -> None:
        self._at = at
        self._within = MemoryRepository()

    def __getattr__(self, name: str) -> Any:
        """Fail in the method that was ordered, and do the others as they should be."""
        if name == self._at:
            raise RepositoryUnavailable("the records are not there just now")
        return getattr(self._within, name)


def _locked(path: Path) -> Repository:
    repository = SQLiteRepository(path)
    repository._connection.execute("PRAGMA query_only = 1")
    return repository


def _full(path: Path) -> Repository:
    repository = SQLiteRepository(path)
    (pages,) = repository._connection.execute("PRAGMA page_count").fetchone()
    repository._connection.execute(f"PRAGMA max_page_count = {pages}")
    return repository


def _closed(path: Path) -> Repository:
    repository = SQLiteRepository(path)
    repository.close()
    return repository


def _removed(path: Path) -> Repository:
    repository = SQLiteRepository(path)
    path.unlink()
    return repository


REPOSITORIES: Mapping[str, Callable[[Path], Repository]] = {
    "memory": lambda _: MemoryRepository(),
    "file": SQLiteRepository,
    "read only": _locked,
    "full": _full,
    "closed": _closed,
    "removed": _removed,
    **{f"no {at}": lambda _, at=at: Failing(at) for at in ("find", "reserve", "save", "unsettled")},  # type: ignore[misc]
}
FIELDS: Mapping[str, Callable[[Secrets], object]] = {
    "title": lambda s: s.text("title") * 100,
    "author": lambda s: f"\0{s.text('author')}",
    "series": lambda s: [s.text("series")],
    "category": lambda s: f"\ud800{s.text('category')}",
    "tags": lambda s: [f"{s.text('tag')},{s.text('tag')}"],
    "save_path": lambda s: f"\0{s.text('folder')}",
    "paused": lambda s: s.text("paused"),
    "passkey": lambda s: s.url("path"),
}
BAD_URLS: Mapping[str, Plant] = {
    "no scheme": lambda s: f"t.test/{s.url('path')}",
    "other scheme": lambda s: f"ftp://{s.token('user')}:{s.token('password')}@t.test/{s.url('path')}",
    "no host": lambda s: f"http:///{s.url('path')}",
    "bad port": lambda s: f"http://{s.token('user')}:{s.url('password')}/{s.url('path')}",
    "bad brackets": lambda s: f"http://[{s.token('user')}]/{s.url('path')}",
    "open bracket": lambda s: f"http://{s.token('user')}:{s.token('password')}@[::1/{s.url('path')}",
    "odd letters": lambda s: f"http://{s.token('user')}:{s.token('password')}@\u2100.test/{s.url('path')}",
    "controls": lambda s: f"http://t.test/{s.url('path')}\n{s.url('path')}",
    "nul": lambda s: f"http://t.test/{s.url('path')}\0{s.url('path')}",
    "half a pair": lambda s: f"http://t.test/{s.url('path')}\udc00{s.url('path')}",
    "too long": lambda s: f"http://t.test/{s.url('path')}" * 300,
    "magnet": lambda s: f"magnet:?dn={s.url('name')}&tr=http://t.test/{s.url('announce')}",
    "magnet of two": lambda s: f"magnet:?xt=urn:btih:{HEX}&xt=urn:btih:{'cd' * 20}&tr={s.url('announce')}",
    "magnet in two lines": lambda s: f"magnet:?xt=urn:btih:{HEX}&tr={s.url('announce')}\n{s.url('announce')}",
}
GOOD_MAGNET: Plant = lambda s: f"magnet:?xt=urn:btih:{HEX}&tr=http://t.test/{s.url('announce')}&dn=Dune"  # noqa: E731


def mapping(url: object, **fields: object) -> dict[str, object]:
    """Write a request as it comes from JSON."""
    return {"title": "Dune", "author": "Frank Herbert", "torrent_url": url, **fields}


@given(SECRETS, st.lists(st.sampled_from([*FIELDS]), max_size=3), st.none() | st.sampled_from([*BAD_URLS]))
def test_requests_that_do_not_validate(secrets: Secrets, fields: list[str], url: str | None) -> None:
    """What is wrong with a field is told, and nothing of what it holds; the report of a batch neither."""
    item = mapping(GOOD_MAGNET(secrets) if url is None else BAD_URLS[url](secrets))
    item |= {name: FIELDS[name](secrets) for name in fields}
    downloader = BatchDownloader(client=FakeClient(), fetcher=HttpFetcher(), repository=MemoryRepository())
    document = json.dumps({"downloads": [item]})
    with witness() as seen:
        if "passkey" not in item:
            attempt(seen, lambda: DownloadRequest(**item))  # type: ignore[arg-type]
        attempt(seen, lambda: wire.load_request(item))
        attempt(seen, lambda: downloader.run([item]))
        attempt(seen, lambda: downloader.download(item))
        attempt(seen, lambda: wire.load_batch(document[:-1]))
        attempt(seen, lambda: wire.load_batch(document.encode("utf-16")[:-1]))
        attempt(seen, lambda: wire.load_batch({"download": [item]}))
        attempt(seen, lambda: downloader.run(item))  # type: ignore[arg-type]
        attempt(seen, lambda: parse_magnet(str(item["torrent_url"])))
    assert secrets.found_in(seen.texts) == []


@settings(max_examples=300)
@given(
    SECRETS,
    st.sampled_from(STATUSES),
    st.sampled_from([*PAGES]),
    st.sampled_from(["passkey", "prowlarr", "jackett"]),
    st.sampled_from(["mam", "mam wedge"]),
)
def test_every_status(server: Wire, secrets: Secrets, status: int, page: str, url: str, mam_url: str) -> None:
    """What an answer says is judged by its status and by what it is, not repeated."""
    headers = [HEADERS[name](secrets) for name in TELLING]
    server.order(packed(sized(f"HTTP/1.1 {status} Status", PAGES[page](secrets), *headers)))
    magnet = parse_magnet(GOOD_MAGNET(secrets))
    with (
        witness() as seen,
        Detour(server) as detour,
        HttpFetcher(allowed_networks=LOOPBACK) as http,
        MyAnonamouseFetcher(secrets.token("mam"), spend_wedges=True, transport=detour) as mam,
        plain_http() as own,
        QBittorrentClient(server.url, http=own, api_key=secrets.token("apikey")) as client,
    ):
        attempt(seen, lambda: http.fetch(request(server.placed(URLS[url](secrets)))))
        attempt(seen, lambda: mam.fetch(request(URLS[mam_url](secrets))))
        attempt(seen, client.check)
        attempt(seen, lambda: client.add(magnet, AddOptions()))
        attempt(seen, lambda: client.status([magnet.info_hashes]))
    assert secrets.found_in(seen.texts) == []


@settings(max_examples=300)
@given(
    SECRETS,
    HTTP_URLS,
    st.none() | MAM_URLS,
    ANSWERS,
    st.sampled_from([*REPOSITORIES]),
    st.sampled_from(["takes", "takes", "refuses", "qbittorrent"]),
)
def test_a_whole_batch(
    server: Wire,
    paths: Iterator[Path],
    secrets: Secrets,
    url: Plant,
    mam_url: Plant | None,
    answer: Answer,
    kept: str,
    client: str,
) -> None:
    """Its outcomes, its errors and its log show nothing, wherever it fails."""
    server.order(answer.written(secrets))
    first = server.placed(url(secrets))
    batch: list[DownloadRequest | Mapping[str, object]] = [
        request(first),
        mapping(first),
        mapping(GOOD_MAGNET(secrets)),
    ]
    if mam_url is not None:
        batch.append(request(mam_url(secrets)))
    batch.append(mapping(BAD_URLS["bad port"](secrets), passkey=secrets.url("path")))
    fake = FakeClient()
    if client == "refuses":
        fake.on_add = lambda _: TorrentRejected("no")
    password: dict[str, Any] = {"username": secrets.text("username"), "password": secrets.text("password")}
    with (
        witness() as seen,
        Detour(server) as detour,
        HttpFetcher(allowed_networks=LOOPBACK, tls=TLS, max_size=SMALL) as http,
        MyAnonamouseFetcher(secrets.token("mam"), transport=detour) as mam,
        plain_http() as own,
        QBittorrentClient(server.url, http=own, **password) as qbittorrent,
    ):
        fetcher, repository = FirstAccepting(mam, http), REPOSITORIES[kept](next(paths))
        downloader = BatchDownloader(
            client=qbittorrent if client == "qbittorrent" else fake,
            fetcher=fetcher,
            repository=repository,
            fetch_retry=ONCE,
            confirm_retry=ONCE,
        )
        result = downloader.run(batch)
        seen.see(result, *result.outcomes, downloader, downloader._pipeline, fetcher, repository)
        attempt(seen, result.raise_for_failures)
        for failure in result.failed:
            seen.see(failure.error, failure.as_error())
        attempt(seen, downloader.recover)
        attempt(seen, lambda: downloader.download(request(first)))
        attempt(seen, lambda: list(repository.find([first], client=downloader._client.name).values()))
        attempt(seen, lambda: list(repository.unsettled(client=downloader._client.name)))
        if isinstance(repository, SQLiteRepository):
            repository.close()
    assert len(result.outcomes) == len(batch)
    assert secrets.found_in(seen.texts) == []


DAMAGES = {
    "request cut": "UPDATE downloads SET request = substr(request, 1, length(request) - 5)",
    "request no text": "UPDATE downloads SET request = CAST(CAST(request AS BLOB) || X'ff' AS TEXT)",
    "request of bytes": "UPDATE downloads SET request = CAST(request AS BLOB) || X'ff'",
    "request that is none": "UPDATE downloads SET request = replace(request, 'http', 'ftp')",
    "url no text": "UPDATE downloads SET torrent_url = CAST(CAST(torrent_url AS BLOB) || X'ff' AS TEXT)",
    "url for status": "UPDATE downloads SET status = 'queued ' || torrent_url",
    "url for date": "UPDATE downloads SET created_at = torrent_url",
    "url for hash": "UPDATE downloads SET v1 = torrent_url, v2 = NULL",
    "torrent cut": "UPDATE torrents SET content = substr(content, 1, 50)",
    "torrent no text": (
        "UPDATE torrents SET content = CAST('magnet:?' || (SELECT torrent_url FROM downloads) AS BLOB) || X'ff'"
    ),
    "no magnet": "UPDATE torrents SET content = CAST('magnet:?' || (SELECT torrent_url FROM downloads) AS BLOB)",
    "no torrents": "DROP TABLE torrents",
}


@settings(max_examples=60)
@given(SECRETS, st.sampled_from([*DAMAGES]))
def test_a_damaged_database(server: Wire, paths: Iterator[Path], secrets: Secrets, damage: str) -> None:
    """What cannot be read there is not told."""
    server.order(packed(sized(OK, torrent(secrets))))
    url = server.placed(URLS["passkey"](secrets))
    path = next(paths)
    with (
        witness() as seen,
        HttpFetcher(allowed_networks=LOOPBACK) as fetcher,
        SQLiteRepository(path) as repository,
    ):
        downloader = BatchDownloader(
            client=FakeClient(), fetcher=fetcher, repository=repository, fetch_retry=ONCE, confirm_retry=ONCE
        )
        assert downloader.run([request(url)]).successful
        with sqlite3.connect(path) as connection:
            connection.execute(DAMAGES[damage])
        connection.close()
        attempt(seen, lambda: list(repository.find([url], client="fake").values()))
        attempt(seen, lambda: list(repository.unsettled(client="fake")))
        attempt(seen, downloader.recover)
        result = downloader.run([request(url)])
        seen.see(result)
        attempt(seen, result.raise_for_failures)
    assert secrets.found_in(seen.texts) == []


SESSION_FILES: Mapping[str, Plant] = {
    "no json": lambda s: s.text("session"),
    "cut": lambda s: json.dumps({"configured": "", "current": s.text("session")})[:-1],
    "a list": lambda s: json.dumps([s.text("session")]),
    "a text": lambda s: json.dumps(s.text("session")),
    "no cookie": lambda s: json.dumps({"configured": s.text("session"), "mam_id": s.text("session")}),
    "no text": lambda s: json.dumps({"configured": [s.text("session")], "current": {s.text("session"): 1}}),
    "bytes": lambda s: f'{{"configured": "", "current": "{s.text("session")}\udcff"}}',
    "another": lambda s: json.dumps({"configured": "0" * 64, "current": s.text("session")}),
    "a line break": lambda s: json.dumps(
        {
            "configured": Session.begin(s.token("mam")).configured,
            "current": f"{s.token('session')}\r\n{s.token('session')}",
        }
    ),
    "odd letters": lambda s: json.dumps(
        {"configured": Session.begin(s.token("mam")).configured, "current": s.text("session") + "\u00e9"}
    ),
}


@given(SECRETS, st.sampled_from([*SESSION_FILES]), ANSWERS)
def test_a_damaged_session(server: Wire, paths: Iterator[Path], secrets: Secrets, content: str, answer: Answer) -> None:
    """What cannot be read or sent of it is not told."""
    server.order(answer.written(secrets))
    path = next(paths)
    path.write_bytes(packed(SESSION_FILES[content](secrets)))
    store = FileSessionStore(path)
    with witness() as seen, Detour(server) as detour:
        attempt(seen, store.load)
        fetcher = attempt(seen, lambda: MyAnonamouseFetcher(secrets.token("mam"), sessions=store, transport=detour))
        if fetcher is not None:
            with fetcher:
                attempt(seen, lambda: fetcher.fetch(request(download_url(1))))
        seen.see(store)
    assert secrets.found_in(seen.texts) == []


MAKERS: Mapping[str, Callable[[Secrets], object]] = {
    "origin with a path": lambda s: HttpFetcher(trusted_origins=[f"http://nas/{s.url('path')}"]),
    "origin with a user": lambda s: HttpFetcher(
        trusted_origins=[f"http://{s.token('user')}:{s.token('password')}@nas"]
    ),
    "origin with a bad port": lambda s: HttpFetcher(trusted_origins=[f"http://nas:{s.url('password')}"]),
    "origin with odd letters": lambda s: HttpFetcher(trusted_origins=[f"http://{s.token('user')}@\u2100.test"]),
    "origin in brackets": lambda s: HttpFetcher(trusted_origins=[f"http://[{s.token('user')}]"]),
    "no origin": lambda s: HttpFetcher(trusted_origins=[s.text("origin")]),
    "one origin": lambda s: HttpFetcher(trusted_origins=s.text("origin")),
    "no network": lambda s: HttpFetcher(allowed_networks=[f"10.0.0.0/{s.text('network')}"]),
    "one network": lambda s: HttpFetcher(allowed_networks=s.text("network")),
    "credentials with a user": lambda s: HttpFetcher(
        credentials={f"http://{s.token('user')}:{s.token('password')}@t": {}}
    ),
    "credentials for a URL": lambda s: HttpFetcher(credentials={f"http://t/{s.url('path')}": {}}),
    "credentials for a bad port": lambda s: HttpFetcher(credentials={f"http://t:{s.token('path')}": {}}),
    "header with a line break": lambda s: HttpFetcher(
        credentials={"http://t": {"Cookie": f"{s.token('cookie')}\n{s.token('cookie')}"}}
    ),
    "header with odd letters": lambda s: HttpFetcher(credentials={"http://t": {"Cookie": f"\u00e9{s.text('cookie')}"}}),
    "no name of a header": lambda s: HttpFetcher(credentials={"http://t": {f"Cookie: {s.text('cookie')}": "x"}}),
    "no proxy": lambda s: HttpFetcher(proxy=s.text("proxy")),
    "other proxy": lambda s: HttpFetcher(proxy=f"ftp://{s.token('user')}:{s.token('password')}@nas"),
    "proxy with a slash": lambda s: HttpFetcher(proxy=f"http://{s.token('user')}:{s.token('password')}/x@nas"),
    "proxy with odd letters": lambda s: HttpFetcher(
        proxy=f"http://{s.token('user')}:{s.token('password')}@\u2100.test"
    ),
    "proxy without host": lambda s: HttpFetcher(proxy=f"http://{s.token('user')}:{s.token('password')}@"),
    "proxy in brackets": lambda s: HttpFetcher(proxy=f"socks5://{s.token('user')}:{s.token('password')}@["),
    "socks": lambda s: HttpFetcher(proxy=f"socks5://{s.token('user')}:{s.token('password')}@nas"),
    "cookie with odd letters": lambda s: MyAnonamouseFetcher(f"\u00e9{s.text('mam')}"),
    "cookie with a line break": lambda s: MyAnonamouseFetcher(f"{s.token('mam')}\n{s.token('mam')}"),
    "cookie with a space": lambda s: MyAnonamouseFetcher(f"mam_id={s.token('mam')}\\ {s.token('mam')}"),
    "no gap": lambda s: MyAnonamouseFetcher(s.token("mam"), gap=0.5),
    "proxy for the cookie": lambda s: MyAnonamouseFetcher(
        s.token("mam"), proxy=f"http://{s.token('user')}:{s.token('password')}/x@nas"
    ),
    "no id": lambda s: download_url(s.text("id")),
    "no client": lambda s: QBittorrentClient(f"nas/{s.url('path')}"),
    "client with a bad port": lambda s: QBittorrentClient(f"http://{s.token('user')}:{s.token('password')}/x@nas"),
    "client with odd letters": lambda s: QBittorrentClient(f"http://{s.token('user')}:{s.token('password')}@\u2100"),
    "client in brackets": lambda s: QBittorrentClient(f"http://{s.token('user')}:{s.token('password')}@[nas"),
    "user without password": lambda s: QBittorrentClient("http://nas", username=s.text("username")),
    "password without user": lambda s: QBittorrentClient("http://nas", password=s.text("password")),
    "two credentials": lambda s: QBittorrentClient(
        "http://nas", username=s.text("username"), password=s.text("password"), api_key=s.text("apikey")
    ),
    "no torrent": lambda s: parse_torrent(f"d8:announce{s.text('announce')}".encode()),
    "no magnet": lambda s: parse_magnet(f"magnet:?tr={s.url('announce')}&dn={s.url('name')}"),
}


@settings(max_examples=400)
@given(SECRETS, st.sampled_from([*MAKERS]))
def test_arguments_that_cannot_be_used(secrets: Secrets, maker: str) -> None:
    """What is wrong with them is told, and nothing of what they hold."""
    with witness() as seen:
        attempt(seen, lambda: MAKERS[maker](secrets))
    assert secrets.found_in(seen.texts) == []


def test_requests_of_others_are_logged_as_ever(server: Wire) -> None:
    """Only what is asked by us is kept out: not what another thread asks meanwhile, nor what comes after."""
    server.order(packed(sized(OK, "")))
    records: dict[str, list[str]] = {}

    def ask(name: str) -> None:
        with witness() as seen:
            httpx.get(f"{server.url}/{name}", trust_env=False)
        records[name] = seen.texts

    ask("before")
    with quiet():
        other = Thread(target=ask, args=["meanwhile"])
        other.start()
        other.join()
        ask("ours")
    ask("after")

    for name in ("before", "meanwhile", "after"):
        assert any(f'HTTP Request: GET {server.url}/{name} "HTTP/1.1 200 OK"' in text for text in records[name])
        assert any("receive_response_headers" in text for text in records[name])
    assert records["ours"] == []


@pytest.mark.parametrize("name", _LOGGERS)
def test_each_library_beneath_is_kept_quiet(name: str) -> None:
    """Those also that only a client or a transport of the user's own brings in."""
    with witness() as seen:
        with quiet():
            logging.getLogger(name).error("ours")
        logging.getLogger(name).error("another's")
    assert [text for text in seen.texts if "ours" in text] == []
    assert "another's" in seen.texts
