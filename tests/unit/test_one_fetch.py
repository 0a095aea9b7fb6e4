"""What is kept within one fetch, and what is never asked twice: cookies of redirects, answers that were lost."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_httpx import HTTPXMock

from audiobatch import BatchDownloader, DownloadFailure, DownloadRequest, FailureCode, RetryPolicy
from audiobatch.errors import FetchError, FetchUnavailable
from audiobatch.fetchers._cookies import Cookies
from audiobatch.fetchers._location import read_location
from audiobatch.fetchers._pace import Paces
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.repositories.memory import MemoryRepository
from support.fakes import FakeClient
from support.server import Exchange, LoopbackServer
from support.torrents import book
from support.tracker import LOOPBACK

PAGE = "http://tracker.example/a/page"
BODY = book("Dune")
OFTEN = RetryPolicy(attempts=3, wait=0)


def cookie_after(*lines: str, page: str = PAGE, next_page: str = "http://tracker.example/a/next") -> str | None:
    """Return what the next request is sent after a page has set these cookies."""
    cookies = Cookies()
    cookies.keep(read_location(page), lines)
    return cookies.header(read_location(next_page))


class TestCookies:
    """A cookie that a redirect sets is sent along to the same origin, and to nobody else (RFC 6265)."""

    @pytest.mark.parametrize(
        ("line", "sent"),
        [
            ("id=1", "id=1"),
            ("id=1; HttpOnly; SameSite=Lax; Path=/", "id=1"),
            ("id=1; Domain=tracker.example", "id=1"),
            ("id=1; Domain=.example", "id=1"),
            ("id=1; Domain=other.example", None),
            ("id=1; Secure", None),
            ("id=1; Path=/b", None),
            ("id=1; Path=/a", "id=1"),
            ("id=1; Path=/a/ne", None),
            ("id=1; Max-Age=0", None),
            ("id=1; Max-Age=-5", None),
            ("id=1; Max-Age=60", "id=1"),
            ("id=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", None),
            ("id=1; Expires=Fri, 01 Jan 2100 00:00:00 GMT", "id=1"),
            ("id=1; Expires=soon", "id=1"),
            ("id=", "id="),
            ("=1", None),
            ("id", None),
            ("", None),
            ("i d=1", None),
            ("id=1\x01", None),
            ("id=\u00e9", None),
            ("id=" + "x" * 5000, None),
        ],
    )
    def test_a_cookie(self, line: str, sent: str | None) -> None:
        """What cannot be read is passed over."""
        assert cookie_after(line) == sent

    def test_the_last_value_counts(self) -> None:
        """And a cookie can be taken back."""
        assert cookie_after("id=1", "other=2", "id=3") == "other=2; id=3"
        assert cookie_after("id=1", "id=x; Max-Age=0") is None

    @pytest.mark.parametrize(
        "elsewhere",
        [
            "https://tracker.example/a/",
            "http://tracker.example:81/a/",
            "http://x.tracker.example/a/",
            "http://example/a/",
        ],
    )
    def test_another_origin_does_not_get_it(self, elsewhere: str) -> None:
        """Not even another port, or a name below."""
        assert cookie_after("id=1; Domain=example; Path=/", next_page=elsewhere) is None

    def test_none_is_shown(self) -> None:
        """A cookie is a key to an account, and so may be the path that it is for."""
        cookies = Cookies()
        cookies.keep(read_location("http://tracker.example/s3cret/page"), ["session=s3cret"])

        assert "s3cret" not in repr(cookies)

    def test_there_are_not_many(self) -> None:
        """Nobody can make us carry more than a few."""
        sent = cookie_after(*(f"id{number}=1" for number in range(1000)))

        assert sent is not None
        assert sent.count(";") == 19

    @given(st.lists(st.text(max_size=60), max_size=5))
    def test_whatever_is_set(self, lines: list[str]) -> None:
        """What is sent is one line of printable ASCII."""
        sent = cookie_after(*lines)

        assert sent is None or (sent.isascii() and sent.isprintable())

    def test_it_is_sent_with_the_next_hop(self, httpx_mock: HTTPXMock) -> None:
        """Beside what is sent anyway, and in this fetch only."""
        first, second = f"{PAGE}?1", "http://tracker.example/a/2"
        headers = [("Location", second), ("Set-Cookie", "id=1"), ("Set-Cookie", "go=2; Path=/")]
        httpx_mock.add_response(url=first, status_code=302, headers=headers, is_reusable=True)
        httpx_mock.add_response(url=second, content=BODY, is_reusable=True)
        credentials = {"http://tracker.example": {"cookie": "uid=7"}}

        with HttpFetcher(transport=httpx.HTTPTransport(), credentials=credentials) as fetcher:
            for _ in range(2):
                fetcher._retrieval.get(first, headers_for=fetcher._headers_for)

        sent = [request.headers.get("cookie") for request in httpx_mock.get_requests()]
        assert sent == ["uid=7", "uid=7; id=1; go=2"] * 2

    def test_it_takes_the_place_of_one_that_was_configured(self, httpx_mock: HTTPXMock) -> None:
        """A server that is sent both goes by the old one, as often as not."""
        httpx_mock.add_response(url=PAGE, status_code=302, headers={"Location": "/2", "Set-Cookie": "pass=new; Path=/"})
        httpx_mock.add_response(url="http://tracker.example/2", content=BODY)
        credentials = {"http://tracker.example": {"Cookie": "uid=7; pass=old"}}

        with HttpFetcher(transport=httpx.HTTPTransport(), credentials=credentials) as fetcher:
            fetcher._retrieval.get(PAGE, headers_for=fetcher._headers_for)

        assert [each.headers["cookie"] for each in httpx_mock.get_requests()] == ["uid=7; pass=old", "uid=7; pass=new"]


def hang_up(exchange: Exchange) -> None:
    """Read the request, and close without a word."""
    exchange.close_connection = True
    exchange.connection.shutdown(socket.SHUT_RDWR)


def break_off(exchange: Exchange) -> None:
    """Send half of the answer."""
    exchange.send(200, BODY[:10], Content_Length=str(len(BODY)))
    exchange.close_connection = True


def babble(exchange: Exchange) -> None:
    """Send what is no HTTP."""
    exchange.wfile.write(b"\x00\x01\x02\r\n\r\n")
    exchange.close_connection = True


def say_nothing(exchange: Exchange) -> None:
    """Keep whoever asks waiting."""
    exchange.server.stopping.wait(20)


class TestLostAnswers:
    """A tracker counts what it was asked for: it is not asked again by itself when its answer was lost."""

    def run(self, answer: Callable[[Exchange], None]) -> tuple[int, DownloadFailure]:
        """Run a batch of one, and return how often the tracker was asked, and what became of it."""
        asked: list[str] = []

        def count_and_answer(exchange: Exchange) -> None:
            asked.append(exchange.path)
            answer(exchange)

        with LoopbackServer(count_and_answer) as server, HttpFetcher(allowed_networks=LOOPBACK, timeout=0.5) as fetcher:
            downloader = BatchDownloader(
                client=FakeClient(), fetcher=fetcher, repository=MemoryRepository(), fetch_retry=OFTEN
            )
            book = {"title": "T", "author": "A", "torrent_url": f"{server.url}/1"}
            (outcome,) = downloader.run([book]).outcomes
        assert isinstance(outcome, DownloadFailure)
        return len(asked), outcome

    @pytest.mark.parametrize("answer", [hang_up, break_off, babble, say_nothing])
    def test_the_tracker_is_asked_once(self, answer: Callable[[Exchange], None]) -> None:
        """Whoever asked may do so again."""
        asked, failure = self.run(answer)

        assert asked == 1
        assert failure.code is FailureCode.FETCH_UNAVAILABLE
        assert failure.retryable

    def test_what_has_led_to_a_dead_server_is_asked_once(self) -> None:
        """Prowlarr, for one, counts a grab when it redirects, and does not know what becomes of it."""
        with socket.create_server(("127.0.0.1", 0)) as held:
            dead = f"http://127.0.0.1:{held.getsockname()[1]}/"
        asked, failure = self.run(lambda exchange: exchange.send(302, Location=dead, Content_Length="0"))

        assert asked == 1
        assert failure.code is FailureCode.FETCH_UNAVAILABLE
        assert failure.retryable

    @pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
    def test_a_tracker_that_says_it_failed_is_asked_again(self, status: int) -> None:
        """Its answer came: what was asked for was not handed out."""
        asked, failure = self.run(lambda exchange: exchange.send(status, Content_Length="0"))

        assert asked == OFTEN.attempts
        assert failure.code is FailureCode.FETCH_UNAVAILABLE

    def test_where_nobody_listens_it_is_tried_again(self) -> None:
        """Nothing was sent."""
        with socket.create_server(("127.0.0.1", 0)) as held:
            port = held.getsockname()[1]
        waits: list[float] = []
        with HttpFetcher(allowed_networks=LOOPBACK) as fetcher, pytest.raises(FetchUnavailable) as caught:
            OFTEN.call(
                lambda: fetcher._retrieval.get(f"http://127.0.0.1:{port}/"),
                stop=threading.Event(),
                on_wait=lambda seconds, _: waits.append(seconds),
            )

        assert caught.value.repeated
        assert len(waits) == OFTEN.attempts - 1


class TestPaces:
    """A host that is not asked any more is forgotten, once its gap is over."""

    def test_ten_thousand_hosts_leave_nothing_behind(self) -> None:
        """What is kept does not grow with them."""
        paces = Paces(0.0, at_once=8)
        for number in range(10_000):
            with paces.turn(f"t{number}.example"):
                pass

        assert len(paces._of_hosts) <= 2

    def test_a_gap_is_kept_whoever_else_is_asked(self) -> None:
        """A host that may not be asked yet is remembered."""
        paces = Paces(3600.0, at_once=1)
        for number in range(100):
            with paces.turn(f"t{number}.example"):
                pass

        assert len(paces._of_hosts) == 100
        paces.end()

        with pytest.raises(FetchError, match="closed"), paces.turn("t0.example"):
            pytest.fail("its gap is over")

    def test_hosts_that_are_slow_keep_no_others(self) -> None:
        """Two that are asked for minutes are no reason to remember all that are asked meanwhile."""
        paces = Paces(0.0, at_once=8)
        with paces.turn("slow.example"), paces.turn("slower.example"):
            for number in range(1000):
                with paces.turn(f"t{number}.example"):
                    pass
            assert len(paces._of_hosts) <= 4
            assert {"slow.example", "slower.example"} <= paces._of_hosts.keys()

    def test_nobody_is_asked_once_it_has_ended(self) -> None:
        """Also not who was not asked before: a batch that goes on meanwhile says so of each item."""
        asked: list[str] = []

        def answer(request: httpx.Request) -> httpx.Response:
            asked.append(request.url.host)
            return httpx.Response(404)

        fetcher = HttpFetcher(transport=httpx.MockTransport(answer))
        fetcher.close()
        guarded = HttpFetcher()
        guarded.close()
        for closed in (fetcher, guarded):
            with pytest.raises(FetchError, match="was closed before the tracker was asked"):
                closed.fetch(DownloadRequest(title="T", author="A", torrent_url="http://t.example/1"))

        assert not asked
