"""What a tracker may answer, and what becomes of it."""

from __future__ import annotations

import gzip
import itertools
import socket
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

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
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.metainfo import MagnetLink, Torrent, TorrentFile, parse_magnet
from audiobatch.models import DownloadRequest
from audiobatch.protocols import TorrentFetcher
from support.server import PATIENCE, Answer, Exchange, LoopbackServer
from support.torrents import book

SOON = PATIENCE / 2  # seconds: long before the server would give up by itself
HOST = "http://me:s3cret@tracker.test"
URL = f"{HOST}/s3cret/x.torrent?passkey=s3cret"
HTTPS = URL.replace("http:", "https:")
BODY = book("Dune", comment=b"\x00\xff\r\n")
PACKED = gzip.compress(BODY, mtime=0)
MAGNET = f"xt=urn:btih:{'ab' * 20}&dn=Dune&tr=http://t.test/s3cret/announce"


def fetch(url: str = URL, fetcher: HttpFetcher | None = None, **options: object) -> Torrent:
    """Fetch with a fetcher of these options; it fits the port."""
    request = DownloadRequest(title="Dune", author="Frank Herbert", torrent_url=url)
    with fetcher or HttpFetcher(**options) as made:  # type: ignore[arg-type]
        port: TorrentFetcher = made
        return port.fetch(request)


def family(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that travels along with it."""
    yield error
    for other in (error.__cause__, error.__context__):
        if other is not None:
            yield from family(other)


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
        yield server.url.replace("127", "me:s3cret@127", 1) + "/s3cret?passkey=s3cret"


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

    def test_the_repr_shows_the_origins_alone(self) -> None:
        """Neither a user part nor a slash at the end belongs to one."""
        with HttpFetcher(trusted_origins=["http://me:s3cret@NAS:9696/", "http://a:80"]) as fetcher:
            assert repr(fetcher) == "HttpFetcher(trusted_origins=['http://a', 'http://nas:9696'])"

    @pytest.mark.parametrize(
        "given", ["", "nas:9696", "ftp://nas", "http://", "http://nas:x", "http://nas/s3cret", "magnet:?x"]
    )
    def test_a_trusted_origin_must_be_one(self, given: str) -> None:
        """Scheme and host, perhaps a port, and nothing more."""
        with pytest.raises(ConfigurationError, match="origin") as caught:
            HttpFetcher(trusted_origins=["http://fine", given])

        assert "s3cret" not in str(caught.value)

    def test_an_injected_http_client_is_used_and_stays_open(self, httpx_mock: HTTPXMock) -> None:
        """Whoever made it closes it; and even if it follows redirects, the fetcher does that itself."""
        redirect(httpx_mock, "magnet:?" + MAGNET)

        with httpx.Client(headers={"X-Mine": "1"}, follow_redirects=True) as http:
            assert fetch(http=http) == parse_magnet("magnet:?" + MAGNET)
            assert not http.is_closed

        assert httpx_mock.get_requests()[0].headers["x-mine"] == "1"

    def test_its_own_http_client_is_closed(self) -> None:
        """After that, nothing can be fetched."""
        fetcher = HttpFetcher()
        fetcher.close()

        with pytest.raises(RuntimeError, match="closed"):
            fetch(fetcher=fetcher)


class TestRedirects:
    """Where a tracker may lead."""

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_relative_and_absolute_ones_are_followed(self, httpx_mock: HTTPXMock, status: int) -> None:
        """Five of them, if need be."""
        hops = ["/1", "2?x=1", "//tracker.test/3", "http://other.test/4", "https://other.test/5"]
        reached = ["/1", "/2?x=1"]
        urls = [URL, *(HOST + path for path in reached), "http://tracker.test/3", *hops[3:]]
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

    @pytest.mark.parametrize(
        ("location", "error", "match"),
        [
            ("/login.php?returnto=s3cret", FetchDenied, "login"),
            ("https://tracker.test/Sign_In?s3cret", FetchDenied, "login"),
            ("/account/log-in", FetchDenied, "login"),
            ("ftp://tracker.test/s3cret", BlockedAddress, "no http"),
            ("file:///etc/s3cret", BlockedAddress, "cannot be read"),
            ("javascript:s3cret", BlockedAddress, "cannot be (read|used)"),
            ("http://[s3cret", BlockedAddress, "cannot be read"),
            ("http://other.test:s3cret/", BlockedAddress, "cannot be read"),
            ("http:///s3cret", BlockedAddress, "cannot be read"),
            ("http://other.test/", BlockedAddress, "trusted_origins"),
            ("http://tracker.test/s3cret", BlockedAddress, "trusted_origins"),
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
            *[(garbage, None) for garbage in ("soon", "", "-5", "1e3", "1.5", "9" * 30)],
            *[(f"Wed, {garbage} 07:28:00 GMT", None) for garbage in ("99 Oct 2015", "21 Oct 99999999999")],
        ],
    )
    def test_how_long_to_wait_is_read(self, httpx_mock: HTTPXMock, header: str | None, pause: float | None) -> None:
        """What cannot be read counts as absent: then it is a minute, where the tracker asked to slow down."""
        headers = {} if header is None else {"Retry-After": header}
        httpx_mock.add_response(status_code=503, headers=headers)
        httpx_mock.add_response(status_code=429, headers=headers)

        with failing(FetchUnavailable, "503", retry_after=pause):
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


class TestBodies:
    """What comes with a success."""

    @pytest.mark.parametrize(
        ("body", "match"),
        [
            (b"<!DOCTYPE html><title>s3cret</title>", "HTML page.*login"),
            (b"\r\n <HTML>s3cret", "HTML page.*login"),
            (b"<h1>Invalid download link: s3cret</h1>", "HTML page.*login"),
            (b'<?xml version="1.0"?><error description="s3cret"/>', "XML"),
            (b'{"error": "s3cret"}', "JSON"),
            (b'["s3cret"]', "JSON"),
            (b"", "empty"),
            (b" \n", "empty"),
            (BODY[:-1], "not a valid torrent"),
            (BODY + b"s3cret", "not a valid torrent"),
            (b"s3cret \x00\xff", "not a valid torrent"),
            (b"magnet:?dn=s3cret", "magnet"),
            (b"magnet:?" + MAGNET.encode() + b"&dn=" + b"x" * 8192, "torrent"),
            (b"magnet:?" + MAGNET.encode().replace(b"btih", b"bt\xffih"), "magnet"),
        ],
    )
    def test_what_is_no_torrent_is_named(self, httpx_mock: HTTPXMock, body: bytes, match: str) -> None:
        """Whatever type it claims to be; and nothing of it is repeated."""
        httpx_mock.add_response(content=body, headers={"Content-Type": "application/x-bittorrent"})

        with failing(NotATorrent, match):
            fetch()

    @pytest.mark.parametrize("coding", ["gzip", "X-GZIP", "deflate", "identity", ""])
    def test_what_is_packed_unasked_is_unpacked(self, coding: str) -> None:
        """In however many pieces it comes."""
        content = {"gzip": PACKED, "x-gzip": PACKED, "deflate": zlib.compress(BODY)}.get(coding.lower(), BODY)
        drops = [bytes([byte]) for byte in content]

        with served(lambda it: it.send(200, Content_Encoding=coding, drops=drops)) as url:
            torrent = fetch(url)

        assert isinstance(torrent, TorrentFile)
        assert torrent.content == BODY

    @pytest.mark.parametrize(
        ("coding", "content", "error"),
        [
            pytest.param("br", BODY, NotATorrent, id="unknown"),
            pytest.param("gzip, gzip", gzip.compress(PACKED, mtime=0), NotATorrent, id="twice"),
            pytest.param("gzip", BODY, FetchUnavailable, id="not packed"),
            pytest.param("gzip", PACKED[:-20], NotATorrent, id="cut short"),
        ],
    )
    def test_what_cannot_be_unpacked_is_refused(self, coding: str, content: bytes, error: type[FetchError]) -> None:
        """Be it broken, cut short, or packed in another way."""
        with served(lambda it: it.send(200, content, Content_Encoding=coding)) as url, failing(error):
            fetch(url)

    @pytest.mark.parametrize("coding", ["identity", "gzip"])
    def test_the_size_is_limited(self, coding: str) -> None:
        """What is just as large as allowed is taken, and one byte more is not: packed or not."""
        content = PACKED if coding == "gzip" else BODY
        limit = max(len(content), len(BODY))

        with served(lambda it: it.send(200, content, Content_Encoding=coding)) as url:
            assert isinstance(fetch(url, max_size=limit), TorrentFile)
            with failing(NotATorrent, f"larger than {limit - 1} bytes"):
                fetch(url, max_size=limit - 1)

    def test_an_endless_answer_is_left(self) -> None:
        """It is not read on after the limit."""
        endless = itertools.repeat(bytes(4096))

        with (
            served(lambda it: it.send(200, drops=endless)) as url,
            within(SOON),
            failing(NotATorrent, "larger"),
        ):
            fetch(url, max_size=100_000)

    def test_a_bomb_does_not_go_off(self) -> None:
        """A small body that unpacks to far more is given up early, and never takes up much memory."""
        bomb = gzip.compress(bytes(20_000_000))

        with served(lambda it: it.send(200, bomb, Content_Encoding="gzip")) as url:
            tracemalloc.start()
            try:
                with failing(NotATorrent, "larger than 100000 bytes"):
                    fetch(url, max_size=100_000)
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
            fetch(url, timeout=0.3)

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
            fetch(url)

    def test_nobody_listens(self) -> None:
        """A refused connection is something that may pass."""
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            with failing(FetchUnavailable, "cannot be reached"):
                fetch(f"http://me:s3cret@127.0.0.1:{held.getsockname()[1]}/s3cret")

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
            fetch(target if how == "given" else url)

        assert "s3cret" not in str(caught.value)
