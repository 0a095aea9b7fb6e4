"""What a given httpx client may do on the way, and what becomes of its troubles."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from audiobatch.clients._exchange import Exchange as ClientExchange
from audiobatch.clients._http import HttpConnection
from audiobatch.errors import ClientError, ClientUnavailable
from support.server import Exchange, LoopbackServer

MOST = 70_000  # bytes, more than a word may have


@contextmanager
def connected(handler: Callable[[httpx.Request], httpx.Response], **options: Any) -> Iterator[HttpConnection]:
    """Give a connection through a client that asks nobody."""
    with httpx.Client(transport=httpx.MockTransport(handler), **options) as http:
        yield HttpConnection("http://nas", api="api", timeout=1, http=http)


def test_a_hook_may_read_the_answer_first() -> None:
    """It is there all the same."""
    seen: list[str] = []

    def read(response: httpx.Response) -> None:
        response.read()
        seen.append(response.text)

    with (
        LoopbackServer(lambda exchange: exchange.send(200, b"Ok.", Content_Length="3")) as server,
        httpx.Client(trust_env=False, event_hooks={"response": [read]}) as http,
    ):
        answer = HttpConnection(server.url, api="api", timeout=5, http=http).post("x")

    assert (answer.text, seen) == ("Ok.", ["Ok."])


def test_what_a_hook_has_read_has_a_bound_too() -> None:
    """It is not taken on."""
    with (
        connected(lambda _: httpx.Response(200, content=b"x" * MOST)) as connection,
        pytest.raises(ClientError, match="larger than 64 KiB"),
    ):
        connection.post("x")


def test_a_hook_that_read_a_part_leaves_nothing_usable() -> None:
    """The rest alone is no answer."""

    def take_a_part(response: httpx.Response) -> None:
        next(response.iter_raw(1))

    with (
        LoopbackServer(lambda exchange: exchange.send(200, b"Ok.", Content_Length="3")) as server,
        httpx.Client(trust_env=False, event_hooks={"response": [take_a_part]}) as http,
        pytest.raises(ClientUnavailable, match="no usable answer"),
    ):
        HttpConnection(server.url, api="api", timeout=5, http=http).post("x")


@pytest.mark.parametrize(
    ("trouble", "match"),
    [
        (httpx.ProxyError("407 Proxy Authentication Required"), "through the proxy"),
        (httpx.PoolTimeout("full"), "in time"),
        (httpx.InvalidURL("no"), "no usable answer"),
        (ValueError("a hook's"), "no usable answer"),
    ],
)
def test_its_troubles_become_ours(trouble: Exception, match: str) -> None:
    """And do not travel along."""

    def fail(_: httpx.Request) -> httpx.Response:
        raise trouble

    with connected(fail) as connection, pytest.raises(ClientUnavailable, match=match) as caught:
        connection.post("x")

    assert caught.value.__context__ is None


def test_a_bug_in_it_is_not_hidden() -> None:
    """It leaves as it came."""

    def fail(_: httpx.Request) -> httpx.Response:
        raise LookupError("a bug")

    with connected(fail) as connection, pytest.raises(LookupError, match="a bug"):
        connection.post("x")


def test_what_is_no_text_is_not_sent() -> None:
    """The sentence shows nothing of it."""
    with (
        connected(lambda _: httpx.Response(200)) as connection,
        pytest.raises(ClientError, match="cannot be sent") as caught,
    ):
        connection.post("x", data={"a": "s3cret\ud800"})

    assert "s3cret" not in str(caught.value)


def test_nothing_is_sent_once_nobody_waits() -> None:
    """A connection that stands too late is not used: whoever waited has gone on."""
    raised: list[Exception] = []
    left, over = threading.Event(), threading.Event()

    def connect_slowly(request: httpx.Request) -> httpx.Response:
        assert left.wait(30)
        try:
            request.extensions["trace"]("http11.send_request_headers.started", {})
        except httpx.WriteError as error:
            raised.append(error)
        over.set()
        return httpx.Response(200)

    with httpx.Client(transport=httpx.MockTransport(connect_slowly)) as http:
        with pytest.raises(ClientUnavailable, match="in time"):
            HttpConnection("http://nas", api="api", timeout=0.1, http=http).post("x")
        left.set()
        assert over.wait(30)

    assert len(raised) == 1


def test_a_flood_of_cookies_is_not_kept() -> None:
    """Each would be sent with every request from then on."""
    sent: list[str] = []

    def flood(exchange: Exchange) -> None:
        sent.append(exchange.headers.get("Cookie", ""))
        exchange.send_response(200)
        for number in range(60):
            exchange.send_header("Set-Cookie", f"c{len(sent)}-{number}={'x' * 100}")
        exchange.send_header("Content-Length", "0")
        exchange.end_headers()

    with LoopbackServer(flood) as server:
        connection = HttpConnection(server.url, api="api", timeout=5)
        for _ in range(4):
            connection.post("x")
        connection.close()

    assert sent == [""] * 4


def test_an_exchange_does_not_show_what_is_sent() -> None:
    """The path of a client at a shared server can hold a key."""
    with httpx.Client() as http:
        exchange = ClientExchange(http, http.build_request("POST", "http://nas/s3cret/x"), MOST, deque())

        assert "s3cret" not in repr(exchange)
