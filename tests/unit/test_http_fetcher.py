"""What a tracker may answer, and what becomes of it."""

from __future__ import annotations

import gzip
import itertools
import os
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pytest_httpx import HTTPXMock

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
from audiobatch.fetchers.http import HttpFetcher, Politeness
from audiobatch.metainfo import MagnetLink, Torrent, TorrentFile, parse_magnet
from audiobatch.models import DownloadRequest
from audiobatch.protocols import TorrentFetcher
from support.errors import family
from support.server import PATIENCE, Answer, Exchange, LoopbackServer
from support.torrents import book
from support.tracker import LOOPBACK

SOON = PATIENCE / 2  # seconds: long before the server would give up by itself
WEEK = 7 * 86_400.0  # seconds
HOST = "http://tracker.test"
URL = f"{HOST}/s3cret/x.torrent?passkey=s3cret"
HTTPS = URL.replace("http:", "https:")
BODY = book("Dune", comment=b"\x00\xff\r\n")
PACKED = gzip.compress(BODY, mtime=0)
RAW = zlib.compress(BODY)[2:-4]  # without the wrapper
MAGNET = f"xt=urn:btih:{'ab' * 20}&dn=Dune&tr=http://t.test/s3cret/announce"
PROWLARR = "http://nas.test:9696/1/download?apikey=s3cret&link=s3cret&file=Dune"
JACKETT = "http://nas.test:9117/dl/books/?jackett_apikey=s3cret&path=s3cret&file=Dune"
XML = b'<?xml version="1.0" encoding="UTF-8"?><error code="900" description="s3cret"/>'
MOCKED = httpx.HTTPTransport()  # what pytest-httpx answers in the stead of


def request_for(url: str) -> DownloadRequest:
    """Ask for the book behind a URL."""
    return DownloadRequest(title="Dune", author="Frank Herbert", torrent_url=url)


def fetch(url: str = URL, *, transport: httpx.BaseTransport | None = MOCKED, **options: object) -> Torrent:
    """Fetch with a fetcher of these options, where mocked servers are; it fits the port."""
    with HttpFetcher(transport=transport, **options) as made:  # type: ignore[arg-type]
        port: TorrentFetcher = made
        return port.fetch(request_for(url))


def fetch_here(url: str, **options: object) -> Torrent:
    """Fetch with a fetcher of these options, for real, from a server on loopback."""
    return fetch(url, transport=None, allowed_networks=LOOPBACK, **options)


@contextmanager
def failing(error: type[FetchError], match: str | None = None, *, retry_after: float | None = None) -> Iterator[None]:
    """Expect exactly this error, without a secret in it and without an error of httpx behind it."""
    with pytest.raises(FetchError, match=match) as caught:
        yield
    assert type(caught.value) is error
    assert caught.value.retry_after == (retry_after if retry_after is None else pytest.approx(retry_after, abs=5))
    for member in family(caught.value):
        assert "s3cret" not in str(member)
        assert not type(member).__module__.startswith("http")


@contextmanager
def served(answer: Answer) -> Iterator[str]:
    """Run a server that answers like this, and give a URL there."""
    with LoopbackServer(answer) as server:
        yield f"{server.url}/s3cret?passkey=s3cret"


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Expect that it does not take longer."""
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds


def redirect(httpx_mock: HTTPXMock, location: str, *, url: str = URL, status: int = 302) -> None:
    """Order an answer that leads elsewhere."""
    httpx_mock.add_response(url=url, status_code=status, headers={"Location": location})


class TestTheRequest:
    """What is asked of the tracker, and by whom."""

    def test_the_bytes_come_back_untouched(self, httpx_mock: HTTPXMock) -> None:
        """One GET for one fetch, under an honest name, and asking for nothing packed."""
        httpx_mock.add_response(url=URL, method="GET", content=BODY)

        torrent = fetch()

        assert isinstance(torrent, TorrentFile)
        assert torrent.content == BODY
        (sent,) = httpx_mock.get_requests()
        assert sent.headers["accept-encoding"] == "identity"
        assert sent.headers["user-agent"].startswith("audiobatch/")

    @pytest.mark.parametrize(
        ("url", "accepted"),
        [(URL, True), (HTTPS, True), ("HTTPS://TRACKER.TEST", True), ("magnet:?x", False), ("MAGNET:?x", False)],
    )
    def test_it_takes_what_is_on_the_web(self, url: str, *, accepted: bool) -> None:
        """A magnet link needs no fetcher."""
        with HttpFetcher() as fetcher:
            assert fetcher.accepts(url) is accepted

    @pytest.mark.parametrize("user", ["me:s3cret", "s3cret", ":s3cret", "me:s3cret%40x"])
    @pytest.mark.parametrize("how", ["given", "redirected to"])
    def test_a_user_in_a_url_is_refused(self, httpx_mock: HTTPXMock, how: str, user: str) -> None:
        """A redirect could make us sign in elsewhere, and a URL is shown more often than a password should be."""
        url = f"http://{user}@tracker.test/s3cret"
        if how == "redirected to":
            redirect(httpx_mock, url)

        with failing(BlockedAddress, "give those as credentials"):
            fetch(url if how == "given" else URL)

    def test_the_repr_shows_the_origins_alone(self) -> None:
        """Without a slash at the end and the port that goes without saying, and without credentials."""
        with HttpFetcher(
            trusted_origins=["http://NAS:9696/", "http://a:80"], credentials={"http://nas:9696": {"X-Key": "s3cret"}}
        ) as fetcher:
            assert repr(fetcher) == "HttpFetcher(trusted_origins=['http://a', 'http://nas:9696'])"

    @pytest.mark.parametrize(
        "given",
        [
            "",
            "nas:9696",
            "ftp://nas",
            "http://",
            "http://nas:x",
            "http://nas/s3cret",
            "magnet:?x",
            "http://me:s3cret@nas",
        ],
    )
    @pytest.mark.parametrize("option", ["trusted_origins", "credentials"])
    def test_an_origin_must_be_one(self, option: str, given: str) -> None:
        """Scheme and host, perhaps a port, and nothing more."""
        options: dict[str, Any] = {option: {"http://fine": {}, given: {"Cookie": "s3cret"}}}

        with pytest.raises(ConfigurationError, match="origin") as caught:
            HttpFetcher(**options)

        assert "s3cret" not in str(caught.value)

    def test_an_injected_transport_is_used_and_stays_open(self) -> None:
        """Whoever made it closes it; it gets our own headers and no others, and may have its answers at hand."""
        asked: list[httpx.Request] = []

        class Watched(httpx.MockTransport):
            closed = False

            def close(self) -> None:
                self.closed = True

        def answer(request: httpx.Request) -> httpx.Response:
            asked.append(request)
            return httpx.Response(200, content=BODY)

        transport = Watched(answer)

        assert isinstance(fetch(transport=transport), TorrentFile)
        assert not transport.closed
        assert [set(request.headers) for request in asked] == [{"host", "accept", "accept-encoding", "user-agent"}]

    def test_its_own_connections_are_closed(self) -> None:
        """With the fetcher, and not before: the next fetch uses them again."""
        connections, ended = [], threading.Event()

        def answer(exchange: Exchange) -> None:
            exchange.connection.settimeout(PATIENCE)
            connections.append(exchange.client_address)
            while line := exchange.rfile.readline():
                if not line.strip():
                    exchange.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY))
            ended.set()

        with LoopbackServer(answer, raw=True) as server:
            with HttpFetcher(allowed_networks=LOOPBACK) as fetcher:
                for _ in range(2):
                    fetcher.fetch(request_for(f"{server.url}/s3cret"))
                assert not ended.is_set()

            assert ended.wait(PATIENCE)

        assert len(connections) == 1

    def test_what_the_environment_says_is_not_used(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Neither a proxy, nor a password for the host."""
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password s3cret\n")
        monkeypatch.setenv("NETRC", os.fspath(tmp_path / "netrc"))
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
        signed: list[str | None] = []

        def answer(exchange: Exchange) -> None:
            signed.append(exchange.headers["Authorization"])
            exchange.send(200, BODY)

        with served(answer) as url:
            assert isinstance(fetch_here(url), TorrentFile)

        assert signed == [None]


class TestCredentials:
    """Who gets to see them."""

    SECRETS = {"Cookie": "pass=s3cret", "X-Api-Key": "s3cret"}  # noqa: RUF012

    def seen(self, httpx_mock: HTTPXMock) -> list[tuple[str, bool]]:
        """Return the origins that were asked, in order, and whether they got all of it or nothing."""
        asked = []
        for request in httpx_mock.get_requests():
            sent = {name: request.headers[name] for name in self.SECRETS if name in request.headers}
            assert sent in ({}, self.SECRETS)
            asked.append((str(request.url.copy_with(path="/")), bool(sent)))
        return asked

    @pytest.mark.parametrize(
        ("origin", "sent"),
        [
            *[(same, True) for same in ("https://tracker.test", "https://tracker.test:443", "https://Tracker.TEST")],
            *[(other, False) for other in ("http://tracker.test", "https://tracker.test:8443")],
            *[(other, False) for other in ("https://www.tracker.test", "https://test", "https://tracker.test.")],
            *[(other, False) for other in ("https://tracker.test.evil.test", "https://eviltracker.test")],
        ],
    )
    @pytest.mark.parametrize("how", ["given", "redirected to"])
    def test_they_are_for_one_origin(self, httpx_mock: HTTPXMock, how: str, origin: str, *, sent: bool) -> None:
        """Scheme, host and port must be the same, be it the URL that was given or where that leads."""
        start, target = "https://start.test/1", f"{origin}/2"
        if how == "redirected to":
            redirect(httpx_mock, target, url=start)
        httpx_mock.add_response(url=target, content=BODY)

        fetch(
            target if how == "given" else start,
            credentials={"https://tracker.test": self.SECRETS},
            trusted_origins=["http://tracker.test"],  # for the redirect from https
        )

        assert [got for _, got in self.seen(httpx_mock)] == [*([False] if how == "redirected to" else []), sent]

    @pytest.mark.parametrize("away", ["https://other.test", "https://tracker.test:8443", "http://tracker.test"])
    def test_they_stay_behind_on_a_way_round(self, httpx_mock: HTTPXMock, away: str) -> None:
        """Whoever the tracker leads to gets nothing; it gets them again when that leads back."""
        start, back = "https://tracker.test/1", "https://tracker.test/3"
        redirect(httpx_mock, f"{away}/2", url=start)
        redirect(httpx_mock, back, url=f"{away}/2")
        httpx_mock.add_response(url=back, content=BODY)

        fetch(start, credentials={"https://tracker.test": self.SECRETS}, trusted_origins=["http://tracker.test"])

        home = ("https://tracker.test/", True)
        assert self.seen(httpx_mock) == [home, (f"{away}/", False), home]

    def test_each_origin_has_its_own(self, httpx_mock: HTTPXMock) -> None:
        """A header of ours can be among them, whatever the case of its name."""
        redirect(httpx_mock, "https://b.test/", url="https://a.test/")
        httpx_mock.add_response(url="https://b.test/", content=BODY)

        fetch(
            "https://a.test/", credentials={"https://A.test:443/": {"user-agent": "me"}, "https://b.test": {"Key": "b"}}
        )

        first, second = (request.headers for request in httpx_mock.get_requests())
        assert (first.get_list("User-Agent"), first.get("Key")) == (["me"], None)
        assert second["User-Agent"].startswith("audiobatch/")
        assert second["Key"] == "b"

    @pytest.mark.parametrize("status", [401, 404, 429, 503])
    def test_no_error_tells_them(self, httpx_mock: HTTPXMock, status: int) -> None:
        """Whatever the tracker makes of them."""
        httpx_mock.add_response(status_code=status, text="s3cret")

        with pytest.raises(FetchError) as caught:
            fetch(credentials={HOST: self.SECRETS})

        assert "s3cret" not in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *[
                ("Cookie", f"s3cret{bad}")
                for bad in ("\r\nX: y", "\n", "\r", "\0", " ", "\t", "\x7f", "\u00e9", "\u010a")
            ],
            *[("Cookie", ""), ("Cookie", " s3cret")],
            *[(bad, "s3cret") for bad in ("", "X\n", "X\r\nY", "X:", "X Y", " X", "\u00dc")],
        ],
    )
    def test_what_cannot_be_a_header_is_refused(self, name: str, value: str) -> None:
        """At once, and without showing it: a line break would make two headers of one."""
        with pytest.raises(ConfigurationError, match="header that cannot be sent") as caught:
            HttpFetcher(credentials={"https://tracker.test": {"X-Fine": "1", name: value}})

        assert "s3cret" not in str(caught.value)


class TestRedirects:
    """Where a tracker may lead."""

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_relative_and_absolute_ones_are_followed(self, httpx_mock: HTTPXMock, status: int) -> None:
        """Five of them, if need be."""
        hops = ["/1", "2?x=1", "//tracker.test/3", "http://other.test/4", "https://other.test/5"]
        reached = ["/1", "/2?x=1"]
        urls = [URL, *(HOST + path for path in [*reached, "/3"]), *hops[3:]]
        for url, location in zip(urls, hops, strict=False):
            redirect(httpx_mock, location, url=url, status=status)
        httpx_mock.add_response(url=urls[-1], content=BODY)

        torrent = fetch()

        assert isinstance(torrent, TorrentFile)
        assert [str(request.url) for request in httpx_mock.get_requests()] == urls

    def test_a_sixth_is_refused(self, httpx_mock: HTTPXMock) -> None:
        """Whoever leads on for ever is left after that."""
        httpx_mock.add_response(status_code=302, headers={"Location": "?passkey=s3cret"}, is_reusable=True)

        with failing(FetchDenied, "more than 5"):
            fetch()

        assert len(httpx_mock.get_requests()) == 6

    @pytest.mark.parametrize(
        ("character", "encoded"),
        [("\u00a0", "%C2%A0"), ("\u3000", "%E3%80%80"), ("\u200d", "%E2%80%8D"), ("\U0001fae9", "%F0%9F%AB%A9")],
    )
    def test_what_no_url_may_hold_is_percent_encoded(self, httpx_mock: HTTPXMock, character: str, encoded: str) -> None:
        """Spaces of all kinds, joiners, and emoji that this version of Python does not know yet."""
        httpx_mock.add_response(url=f"{HOST}/a{encoded}b?c={encoded}d", content=BODY)

        assert isinstance(fetch(f"{HOST}/a{character}b?c={character}d"), TorrentFile)

    @pytest.mark.parametrize("scheme", ["magnet:?", "MAGNET:?", "Magnet:?"])
    @pytest.mark.parametrize("how", ["in a redirect", "as the answer"])
    def test_a_magnet_link_is_a_torrent_too(self, httpx_mock: HTTPXMock, how: str, scheme: str) -> None:
        """Prowlarr and Jackett redirect to it, some indexers send it as text."""
        if how == "in a redirect":
            redirect(httpx_mock, scheme + MAGNET, url=HTTPS, status=301)
        else:
            httpx_mock.add_response(url=HTTPS, text=f"\n {scheme}{MAGNET}\r\n")

        torrent = fetch(HTTPS)

        assert isinstance(torrent, MagnetLink)
        assert torrent == parse_magnet("magnet:?" + MAGNET)

    @pytest.mark.parametrize("how", ["in a redirect", "as the answer"])
    def test_a_long_magnet_link_is_one_too(self, httpx_mock: HTTPXMock, how: str) -> None:
        """It has more trackers than fit into what a client is given."""
        link = "magnet:?" + MAGNET + "&tr=http%3A%2F%2Ftracker.test" * 1000
        if how == "in a redirect":
            redirect(httpx_mock, link, url=HTTPS, status=301)
        else:
            httpx_mock.add_response(url=HTTPS, text=link)

        assert fetch(HTTPS) == parse_magnet(link)

    @pytest.mark.parametrize(
        ("location", "error", "match"),
        [
            ("/login.php?returnto=s3cret", FetchDenied, "login"),
            ("https://tracker.test/Sign_In?s3cret", FetchDenied, "login"),
            ("/account/log-in", FetchDenied, "login"),
            ("ftp://tracker.test/s3cret", BlockedAddress, "elsewhere: only http, https and magnet"),
            ("file:///etc/s3cret", BlockedAddress, "cannot be read"),
            ("javascript:s3cret", BlockedAddress, "cannot be read"),
            ("http://[s3cret", BlockedAddress, "cannot be read|can be read in more than one way"),
            ("http://other.test:s3cret/", BlockedAddress, "cannot be read"),
            ("http:///s3cret", BlockedAddress, "cannot be read"),
            ("http://other.test/", BlockedAddress, "trusted_origins"),
            ("http://tracker.test/s3cret", BlockedAddress, "trusted_origins"),
            ("https://127.0.0.1/s3cret", BlockedAddress, "elsewhere: 127.0.0.1 leads into a private"),
            ("https://[::ffff:10.0.0.1]/s3cret", BlockedAddress, "leads into a private"),
            ("http://nas:9697/s3cret", BlockedAddress, "trusted_origins"),
            ("https://nas:9696/login", FetchDenied, "login"),
            ("https://tracker.test:22/s3cret", BlockedAddress, "https://tracker.test:22 has a port"),
            ("magnet:?dn=s3cret", NotATorrent, "magnet"),
        ],
    )
    def test_elsewhere_it_does_not_go(
        self, httpx_mock: HTTPXMock, location: str, error: type[FetchError], match: str
    ) -> None:
        """Nothing more is requested, and the target is not told but for its origin."""
        redirect(httpx_mock, location, url=HTTPS)

        with failing(error, match):
            fetch(HTTPS, trusted_origins=["http://nas:9696"])

        assert len(httpx_mock.get_requests()) == 1

    def test_to_a_trusted_origin_it_may_leave_https(self, httpx_mock: HTTPXMock) -> None:
        """Scheme, host and port must be those that were named."""
        redirect(httpx_mock, "http://NAS:9696/1/download?apikey=s3cret", url=HTTPS)
        httpx_mock.add_response(url="http://nas:9696/1/download?apikey=s3cret", content=BODY)

        assert isinstance(fetch(HTTPS, trusted_origins=["http://nas:9696"]), TorrentFile)


class TestStatuses:
    """What is no success."""

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            *dict.fromkeys((300, 304, 400, 401, 403, 405, 418, 451), FetchDenied).items(),
            *dict.fromkeys((404, 410), TorrentNotFound).items(),
            *dict.fromkeys((408, 500, 502, 503, 504, 521, 522), FetchUnavailable).items(),
        ],
    )
    def test_each_has_its_error(self, httpx_mock: HTTPXMock, status: int, error: type[FetchError]) -> None:
        """Whatever comes with it, be it a torrent."""
        httpx_mock.add_response(status_code=status, content=BODY)

        with failing(error, str(status)):
            fetch()

    @pytest.mark.parametrize(
        ("header", "pause"),
        [
            *[(None, None), ("120", 120.0), (" 0 ", 0.0), ("5\x1f", 5.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)],
            *[("604801", WEEK), ("999999999", WEEK), ("Fri, 31 Dec 9999 23:59:59 GMT", WEEK)],
            *[(garbage, None) for garbage in ("soon", "", "-5", "1e3", "1.5", "9" * 30)],
            *[(f"Wed, {garbage} 07:28:00 GMT", None) for garbage in ("99 Oct 2015", "21 Oct 99999999999")],
        ],
    )
    def test_how_long_to_wait_is_read(self, httpx_mock: HTTPXMock, header: str | None, pause: float | None) -> None:
        """A week at most; what cannot be read counts as absent: a minute then, where it asked to slow down.

        A server that is in trouble for longer than anybody waits asks to be left alone as well.
        """
        headers = {} if header is None else {"Retry-After": header}
        httpx_mock.add_response(status_code=503, headers=headers)
        httpx_mock.add_response(status_code=429, headers=headers)

        with failing(RateLimited if (pause or 0) > 10 else FetchUnavailable, "503", retry_after=pause):
            fetch()
        with failing(RateLimited, "429", retry_after=60.0 if pause is None else pause):
            fetch()

    @pytest.mark.parametrize("zone", ["GMT", "", "+0000", "-0000"])
    def test_a_date_to_wait_for_is_read(self, httpx_mock: HTTPXMock, zone: str) -> None:
        """As seconds from now; without a zone it is in UTC."""
        later = format_datetime(datetime.now(UTC) + timedelta(hours=1)).replace("+0000", zone).strip()
        httpx_mock.add_response(status_code=429, headers={"Retry-After": later})

        with failing(RateLimited, retry_after=3600.0):
            fetch()

    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(lambda it: it.send(429, b"?", Retry_After="9", Content_Encoding="br"), id="unknown coding"),
            pytest.param(lambda it: it.send(429, b"?", Retry_After="9", Content_Encoding="gzip"), id="not packed"),
            pytest.param(lambda it: it.send(429, b"?", Retry_After="9", Content_Length="2"), id="cut short"),
            pytest.param(lambda it: it.send(429, drops=itertools.repeat(b"?"), every=0.02, Retry_After="9"), id="slow"),
            pytest.param(lambda it: it.send(429, drops=itertools.repeat(bytes(4096)), Retry_After="9"), id="endless"),
        ],
    )
    def test_they_count_whatever_the_page_is_like(self, answer: Answer) -> None:
        """Nothing of it is needed to know what is meant."""
        with served(answer) as url, within(SOON), failing(RateLimited, "429", retry_after=9.0):
            fetch_here(url, timeout=1.0)


class TestIndexers:
    """Links of Prowlarr and Jackett, which ask the tracker when they are asked."""

    @pytest.mark.parametrize(("url", "status"), [(PROWLARR, 301), (JACKETT, 302)])
    def test_they_lead_to_a_magnet_link(self, httpx_mock: HTTPXMock, url: str, status: int) -> None:
        """Each with a status of its own."""
        redirect(httpx_mock, "magnet:?" + MAGNET, url=url, status=status)

        assert fetch(url) == parse_magnet("magnet:?" + MAGNET)

    @pytest.mark.parametrize("url", [PROWLARR, JACKETT])
    def test_they_lead_to_the_tracker(self, httpx_mock: HTTPXMock, url: str) -> None:
        """Its passkey is in that URL, and what it answers is its own."""
        target = "https://tracker.test/dl/s3cret?passkey=s3cret"
        redirect(httpx_mock, target, url=url, status=301)
        httpx_mock.add_response(url=target, content=BODY)
        redirect(httpx_mock, target, url=url, status=301)
        httpx_mock.add_response(url=target, status_code=404)

        assert isinstance(fetch(url), TorrentFile)
        with failing(TorrentNotFound, "^https://tracker.test has no such torrent"):
            fetch(url)

    def test_they_are_at_home(self) -> None:
        """There, they are asked if they are trusted."""
        with LoopbackServer(lambda it: it.send(200, BODY, Content_Type="application/x-bittorrent")) as server:
            url = f"{server.url}/1/download?apikey=s3cret&link=s3cret"

            assert isinstance(fetch(url, transport=None, trusted_origins=[server.url]), TorrentFile)
            with failing(BlockedAddress, "trusted_origins"):
                fetch(url, transport=None)

    @pytest.mark.parametrize(
        ("url", "status", "name"),
        [
            (PROWLARR, 500, "Prowlarr at http://nas.test:9696"),
            (PROWLARR.replace("/1/", "/prowlarr/1/"), 500, "Prowlarr at http://nas.test:9696"),
            (JACKETT, 404, "Jackett at http://nas.test:9117"),
            (JACKETT.replace("/dl/", "/jackett/dl/"), 404, "Jackett at http://nas.test:9117"),
        ],
    )
    @pytest.mark.parametrize(("header", "pause"), [(None, 60.0), ("soon", 60.0), ("0", 0.0), ("3600", 3600.0)])
    def test_the_trackers_trouble_may_pass(
        self, httpx_mock: HTTPXMock, url: str, status: int, name: str, header: str | None, pause: float
    ) -> None:
        """Their one status for everything says little: it is tried again, but for the tracker's sake not at once."""
        headers = {"Content-Type": "application/rss+xml"} | ({} if header is None else {"Retry-After": header})
        httpx_mock.add_response(status_code=status, content=XML, headers=headers)

        error = RateLimited if header == "3600" else FetchUnavailable
        with failing(error, f"^{name} could not get the torrent from its tracker", retry_after=pause):
            fetch(url)

    @pytest.mark.parametrize(
        ("url", "status", "error", "pause"),
        [
            (PROWLARR, 410, TorrentNotFound, None),
            (PROWLARR, 404, TorrentNotFound, None),
            (PROWLARR, 401, FetchDenied, None),
            (PROWLARR, 400, FetchDenied, None),
            (PROWLARR, 429, RateLimited, 120.0),
            (PROWLARR, 503, RateLimited, 120.0),
            (JACKETT, 401, FetchDenied, None),
            (JACKETT, 500, RateLimited, 120.0),
            (JACKETT.replace("jackett_apikey", "key"), 404, TorrentNotFound, None),
            (PROWLARR.replace("apikey", "key"), 500, RateLimited, 120.0),
            (PROWLARR.replace("download", "details"), 500, RateLimited, 120.0),
        ],
    )
    def test_the_other_statuses_mean_what_they_say(
        self, httpx_mock: HTTPXMock, url: str, status: int, error: type[FetchError], pause: float | None
    ) -> None:
        """So do all of them where no such program answers."""
        headers = {"Content-Type": "application/rss+xml", "Retry-After": "120"}
        httpx_mock.add_response(status_code=status, content=XML, headers=headers)

        with failing(error, f"^http://nas.test:[0-9]+ .*{status}", retry_after=pause):
            fetch(url)

    def test_an_error_sent_as_a_success_is_named(self, httpx_mock: HTTPXMock) -> None:
        """It is no torrent, whatever the status."""
        httpx_mock.add_response(content=XML, headers={"Content-Type": "application/rss+xml"})

        with failing(NotATorrent, "XML"):
            fetch(PROWLARR)


class TestBodies:
    """What comes with a success."""

    @pytest.mark.parametrize(
        ("body", "match"),
        [
            (b"<!DOCTYPE html><title>s3cret</title>", "HTML page.*login"),
            (b"\r\n <HTML>s3cret", "HTML page.*login"),
            (b"<h1>Invalid download link: s3cret</h1>", "HTML page.*login"),
            (b'<?xml version="1.0"?><error description="s3cret"/>', "XML"),
            (b"\xef\xbb\xbf<!DOCTYPE html>s3cret", "HTML page.*login"),
            (b"\xef\xbb\xbf \n<!-- s3cret -->\n<html>s3cret", "HTML page.*login"),
            ("\ufeff<html>s3cret".encode("utf-16-le"), "HTML page.*login"),
            ("\ufeff<html>s3cret".encode("utf-16-be"), "HTML page.*login"),
            (b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "s3cret">', "HTML page.*login"),
            (b'\xef\xbb\xbf<?xml version="1.0"?><rss>s3cret', "XML"),
            (b'\xef\xbb\xbf{"error": "s3cret"}', "JSON"),
            (PACKED, "packed with gzip"),
            (b"\x28\xb5\x2f\xfds3cret", "packed with zstd"),
            (b"PK\x03\x04s3cret", "ZIP archive"),
            (b"Rar!\x1a\x07\x01\x00", "RAR archive"),
            (b"%PDF-1.4 s3cret", "PDF"),
            (b"\r\n" + BODY, "something before it"),
            (b'{"error": "s3cret"}', "JSON"),
            (b'["s3cret"]', "JSON"),
            (b"", "empty"),
            (b" \n", "empty"),
            (BODY[:-1], "not a valid torrent"),
            (b"s3cret \x00\xff", "not a valid torrent"),
            (b"magnet:?dn=s3cret", "magnet"),
            (b"magnet:?" + MAGNET.encode() + b"&dn=" + b"x" * 65_536, "torrent"),
            (b"magnet:?" + MAGNET.encode().replace(b"btih", b"bt\xffih"), "magnet"),
        ],
    )
    def test_what_is_no_torrent_is_named(self, httpx_mock: HTTPXMock, body: bytes, match: str) -> None:
        """Whatever type it claims to be; and nothing of it is repeated."""
        httpx_mock.add_response(content=body, headers={"Content-Type": "application/x-bittorrent"})

        with failing(NotATorrent, match):
            fetch()

    @pytest.mark.parametrize(
        "coding",
        [
            *("gzip", "X-GZIP", "deflate", "raw deflate", "gzip, identity", "utf-8, gzip", "identity", ""),
            *("none", "utf-8", "UTF-8", "binary", "8bit", "br", "application/x-bittorrent", "identity, identity"),
        ],
    )
    def test_what_is_packed_unasked_is_unpacked(self, coding: str) -> None:
        """In however many pieces it comes; and a coding that is none says nothing."""
        content = {"deflate": zlib.compress(BODY), "raw deflate": RAW}.get(coding, BODY)
        content = PACKED if "gzip" in coding.lower() else content
        coding = coding.removeprefix("raw ")
        drops = [bytes([byte]) for byte in content]

        with served(lambda it: it.send(200, Content_Encoding=coding, drops=drops)) as url:
            torrent = fetch_here(url)

        assert isinstance(torrent, TorrentFile)
        assert torrent.content == BODY

    @pytest.mark.parametrize(
        ("coding", "content", "error"),
        [
            pytest.param("br", b"\x8b\x02\x80" + BODY, NotATorrent, id="unknown"),
            pytest.param("gzip, gzip", gzip.compress(PACKED, mtime=0), NotATorrent, id="twice"),
            pytest.param("gzip", BODY, FetchUnavailable, id="not packed"),
            pytest.param("gzip", PACKED[:-20], NotATorrent, id="cut short"),
        ],
    )
    def test_what_cannot_be_unpacked_is_refused(self, coding: str, content: bytes, error: type[FetchError]) -> None:
        """Be it broken, cut short, or packed in another way."""
        with served(lambda it: it.send(200, content, Content_Encoding=coding)) as url, failing(error):
            fetch_here(url)

    @pytest.mark.parametrize("coding", ["identity", "gzip"])
    def test_the_size_is_limited(self, coding: str) -> None:
        """What is just as large as allowed is taken, and one byte more is not: packed or not."""
        content = PACKED if coding == "gzip" else BODY
        limit = max(len(content), len(BODY))

        with served(lambda it: it.send(200, content, Content_Encoding=coding)) as url:
            assert isinstance(fetch_here(url, max_size=limit), TorrentFile)
            with failing(NotATorrent, f"larger than {limit - 1} bytes"):
                fetch_here(url, max_size=limit - 1)

    def test_what_follows_the_packed_end_counts_too(self) -> None:
        """A little of it is nothing to worry about, but it is part of the size."""
        limit = len(PACKED) + 4096
        drops = [PACKED, *itertools.repeat(bytes(1024), 4)]

        with served(lambda it: it.send(200, drops=drops, Content_Encoding="gzip")) as url:
            assert isinstance(fetch_here(url, max_size=limit), TorrentFile)
            with failing(NotATorrent, "larger"):
                fetch_here(url, max_size=limit - 1)

    def test_an_endless_answer_is_left(self) -> None:
        """It is not read on after the limit."""
        endless = itertools.repeat(bytes(4096))

        with (
            served(lambda it: it.send(200, drops=endless)) as url,
            within(SOON),
            failing(NotATorrent, "larger"),
        ):
            fetch_here(url, max_size=100_000)

    def test_a_bomb_does_not_go_off(self) -> None:
        """A small body that unpacks to far more is given up early, and never takes up much memory."""
        bomb = gzip.compress(bytes(20_000_000))

        with served(lambda it: it.send(200, bomb, Content_Encoding="gzip")) as url:
            tracemalloc.start()
            try:
                with failing(NotATorrent, "larger than 100000 bytes"):
                    fetch_here(url, max_size=100_000)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

        assert len(bomb) < 100_000
        assert peak < 2_000_000


def drip_body(exchange: Exchange) -> None:
    """Send a body byte by byte."""
    exchange.send(200, drops=itertools.repeat(b"d"), every=0.02)


def drip_redirects(exchange: Exchange) -> None:
    """Redirect to itself, each time after a while."""
    exchange.drip([b"HTTP/1.1 302 Found\r\nLocation: /s3cret\r\nContent-Length: 0\r\n\r\n"], every=0.2)


def hush(exchange: Exchange) -> None:
    """Send nothing at all."""
    exchange.drip([b"HTTP/1.1 404 Not Found\r\n\r\n"], every=PATIENCE)


class TestTrouble:
    """Trackers that are slow, broken, or not there."""

    @pytest.mark.parametrize("slow", [drip_body, drip_redirects, hush])
    def test_the_whole_fetch_has_a_deadline(self, slow: Answer) -> None:
        """However steadily something comes, it ends after that time, redirects included."""
        with served(slow) as url, within(SOON), failing(FetchUnavailable, r"0\.3 seconds|in time"):
            fetch_here(url, timeout=0.3)

    def test_an_injected_transport_has_it_too(self) -> None:
        """Whatever it makes of the timeouts that it is told."""

        class Endless(httpx.SyncByteStream):
            def __iter__(self) -> Iterator[bytes]:
                return itertools.repeat(b"d")

        transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Endless()))

        with within(SOON), failing(FetchUnavailable, r"0\.1 seconds"):
            fetch(transport=transport, timeout=0.1)

    @pytest.mark.parametrize(
        "answer",
        [
            lambda it: it.send(200, BODY[:-9], Content_Length=str(len(BODY))),
            lambda it: it.send(200, b"zz\r\n", Transfer_Encoding="chunked"),
            lambda it: it.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n"),
            lambda it: it.wfile.write(b"HTTP/1.1 200 OK\r\nContent-"),
            lambda _: None,
        ],
        ids=["cut short", "bad chunk", "not http", "half a header", "hung up"],
    )
    def test_a_broken_answer_may_be_better_next_time(self, answer: Answer) -> None:
        """Nothing that did not come whole is taken for a torrent."""
        with served(answer) as url, failing(FetchUnavailable, "broken answer"):
            fetch_here(url)

    def test_nobody_listens(self) -> None:
        """A refused connection is something that may pass."""
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            with failing(FetchUnavailable, "cannot be reached"):
                fetch_here(f"http://127.0.0.1:{held.getsockname()[1]}/s3cret")

    @pytest.mark.parametrize(
        ("error", "failure"),
        [
            *[
                (FetchUnavailable, each)
                for each in (httpx.ConnectTimeout, httpx.PoolTimeout, httpx.RemoteProtocolError)
            ],
            *[(BlockedAddress, each) for each in (httpx.UnsupportedProtocol, httpx.InvalidURL)],
        ],
    )
    def test_errors_of_httpx_stay_inside(
        self, httpx_mock: HTTPXMock, failure: type[Exception], error: type[FetchError]
    ) -> None:
        """They hold the URL, so they do not travel along."""
        httpx_mock.add_exception(failure(f"trouble at {URL}"))

        with failing(error, "http://tracker.test"):
            fetch()

    @pytest.mark.parametrize("host", ["a..b", "a" * 64, "xn--\u00fc", "[v1.x]"])
    @pytest.mark.parametrize("how", ["given", "redirected to"])
    def test_a_host_that_cannot_be_is_an_error_of_ours(self, host: str, how: str) -> None:
        """No tracker can make anything else leave the fetcher by sending us there."""
        target = f"http://{host}/s3cret"

        with served(lambda it: it.send(302, Location=target)) as url, pytest.raises(FetchError) as caught:
            fetch_here(target if how == "given" else url)

        assert not any("s3cret" in str(member) for member in family(caught.value))


class TestPoliteness:
    """How hard a tracker is pressed."""

    def test_so_many_at_once_and_no_more(self) -> None:
        """Each host has its own number; who waits for a turn does not lose time for the fetch."""
        meeting, most, now = threading.Barrier(2, timeout=PATIENCE), [0], threading.Semaphore(0)

        def serve(exchange: Exchange) -> None:
            now.release()
            most[0] = max(most[0], now._value)
            meeting.wait()
            now.acquire()
            exchange.send(200, BODY, Content_Length=str(len(BODY)))

        polite = HttpFetcher(allowed_networks=LOOPBACK, politeness=Politeness(per_host=2))
        with served(serve) as url, polite, ThreadPoolExecutor(8) as pool:
            torrents = list(pool.map(lambda _: polite.fetch(request_for(url)), range(8)))

        assert len(torrents) == 8
        assert most == [2]

    def test_a_gap_is_kept(self) -> None:
        """However many threads there are, and counted by the host, not by the fetch."""
        moments: list[float] = []

        def serve(exchange: Exchange) -> None:
            moments.append(time.monotonic())
            if exchange.path == "/there":
                exchange.send(200, BODY, Content_Length=str(len(BODY)))
            else:
                exchange.send(302, Location="/there", Content_Length="0")

        slow = HttpFetcher(allowed_networks=LOOPBACK, politeness=Politeness(gap=0.1), timeout=0.3)
        with served(serve) as url, slow, ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda _: slow.fetch(request_for(url)), range(3)))

        assert len(moments) == 6
        assert max(moments) - min(moments) >= 0.45

    @pytest.mark.parametrize("given", [{"per_host": 0}, {"gap": -1}, {"gap": float("nan")}, {"gap": 1e9}])
    def test_impossible_ones_are_refused(self, given: dict[str, float]) -> None:
        """Nobody could ever ask, or all would wait for ever."""
        with pytest.raises(ConfigurationError, match="per_host"):
            Politeness(**given)  # type: ignore[arg-type]
