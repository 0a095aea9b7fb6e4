"""Servers that mean harm, or are no qBittorrent at all: what a client gives them of its memory and its time."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import time
import zlib

import pytest

from audiobatch.clients._exchange import MAX_LIST, MAX_WORDS
from audiobatch.clients._http import HttpConnection
from audiobatch.errors import ClientUnavailable
from support.attacked import Damage, attacked
from support.hostile import (
    CHUNKED,
    GZIP,
    HUGE,
    MIB,
    MOVED,
    OK,
    ZEROS,
    ZLIB,
    bombs,
    for_ever,
    is_silent,
    packs_little_then_streams,
    sends,
    streams,
)
from support.peak import MEASURABLE
from support.server import Answer, Exchange, LoopbackServer

pytestmark = pytest.mark.skipif(not MEASURABLE, reason="the peak of a process can be reset on Linux alone")

SHORT = 0.5  # seconds, for what is about time
MARGIN = 2.5  # seconds, for a machine that is busy
SOON = 10.0  # seconds: what is about size ends long before its timeout, and by itself
BUFFERED = 8 * MIB  # what the system takes from the server before anybody reads it

MEDIA = "application/x-bittorrent"

CHECKS = ["check", "check, given"]
LOOK_UPS = ["look up", "look up, given"]
BOUND = {**dict.fromkeys(CHECKS, MAX_WORDS), **dict.fromkeys(LOOK_UPS, MAX_LIST)}
MOST = {**dict.fromkeys(CHECKS, 10 * MIB), **dict.fromkeys(LOOK_UPS, 4 * MAX_LIST)}


def is_qbittorrent(exchange: Exchange) -> None:
    """Answer as it does where there is no torrent."""
    body = b"2.11.4" if exchange.path.endswith("webapiVersion") else b"[]"
    exchange.send(200, body, Content_Length=str(len(body)))


def nested(layers: int) -> bytes:
    """Pack 1 GiB of zeros, and that again, and again: about a kilobyte in the end."""
    packing = zlib.compressobj(9, wbits=GZIP)
    body = b"".join(packing.compress(bytes(MIB)) for _ in range(1024)) + packing.flush()
    for _ in range(layers - 1):
        body = gzip.compress(body)
    return body


def packed(body: bytes, coding: bytes) -> Answer:
    """Answer with what is packed already."""
    return sends(OK + b"Content-Encoding: " + coding + b"\r\n\r\n", body)


def suffer(answer: Answer, who: str, *, raw: bool = False, scheme: str = "http", **options: float) -> Damage:
    """Let a process call a server that answers like this, and tell what came of it."""
    with LoopbackServer(is_qbittorrent) as good, LoopbackServer(answer, raw=raw) as bad:
        damage = attacked(good.url, bad.url.replace("http", scheme, 1), who=who, **options)
        assert bad.dripped < BOUND[who] + BUFFERED or damage.error == "ClientUnavailable"
    return damage


@pytest.mark.parametrize("who", [*CHECKS, *LOOK_UPS])
def test_what_is_harmless_takes_little(who: str) -> None:
    """And it is no error."""
    damage = suffer(is_qbittorrent, who)

    assert damage.error is None
    assert damage.growth < 2 * MIB


class TestSize:
    """Answers that are too large: refused as soon as the limit is reached, long before the time is over."""

    @pytest.mark.parametrize("who", ["check", "look up, given"])
    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(bombs("gzip", GZIP), id="gzip bomb"),
            pytest.param(bombs("deflate", ZLIB), id="deflate bomb"),
            pytest.param(packed(nested(2), b"gzip, gzip"), id="twice packed"),
            pytest.param(packed(nested(3), b"gzip,gzip, gzip"), id="three times packed"),
            pytest.param(packs_little_then_streams(), id="10 GB after the packed end"),
            pytest.param(streams(), id="10 GB"),
            pytest.param(streams(b"Content-Length: %d" % HUGE), id="10 GB announced"),
            pytest.param(
                sends(CHUNKED, then=itertools.repeat(b"10000\r\n" + ZEROS + b"\r\n", HUGE // len(ZEROS))),
                id="10 GB in chunks",
            ),
        ],
    )
    def test_it_is_refused_within_bounds(self, who: str, answer: Answer) -> None:
        """With an error that does not pass by itself, so that nothing asks for it again."""
        damage = suffer(answer, who)

        assert damage.error == "ClientError"
        assert damage.growth < MOST[who]
        assert damage.seconds < SOON

    @pytest.mark.parametrize("who", ["check", "look up, given"])
    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            (sends(OK, *(b"X-%d: y\r\n" % number for number in range(100_000)), b"\r\n"), "ClientUnavailable"),
            (sends(OK, b"X: ", then=itertools.repeat(ZEROS, HUGE // len(ZEROS))), "ClientUnavailable"),
            (sends(then=for_ever(b"H")), "ClientUnavailable"),
            (sends(CHUNKED, b"1;x=", then=for_ever(b"y")), "ClientUnavailable"),
            (sends(CHUNKED, b"0\r\n", then=for_ever(b"X: y\r\n")), "ClientUnavailable"),
            (sends(MOVED + b"\r\n", then=for_ever(b".")), "ClientError"),
            (streams(status=b"HTTP/1.1 500 No\r\n"), "ClientUnavailable"),
            (streams(status=b"HTTP/1.1 403 No\r\n"), "ClientAuthError"),
            (streams(status=b"HTTP/1.1 404 No\r\n"), "ClientError"),
        ],
        ids=[
            *("100,000 headers", "endless header", "endless status line", "endless extension", "trailers"),
            *("endless redirect", "endless 500", "endless 403", "endless 404"),
        ],
    )
    def test_headers_and_error_pages_have_bounds_too(self, who: str, answer: Answer, error: str) -> None:
        """What a page says beyond its status is of no interest."""
        damage = suffer(answer, who)

        assert damage.error == error
        assert damage.growth < MOST["check"]
        assert damage.seconds < SOON

    @pytest.mark.parametrize("who", ["look up"])
    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(b"[" * (MAX_LIST - 10), id="depth"),
            pytest.param(b"[{" + b'"a":{' * 5_000_000, id="depth in an object"),
            pytest.param(b"[" + b"[]," * 10_000_000, id="lists"),
            pytest.param(b'[{"a":[' + b"[]," * 10_000_000, id="lists in an object"),
            pytest.param(b"[" + b"{}," * 10_000_000, id="objects"),
            pytest.param(b'[{"a":"' + b"a" * (MAX_LIST - 100), id="a text"),
            pytest.param(b'[{"a":' + b"1" * (MAX_LIST - 100), id="a number"),
            pytest.param(b'["' + "\U0001f4d6".encode() * 8_000_000, id="wide letters"),
        ],
    )
    def test_a_list_takes_no_more_than_its_bytes(self, who: str, body: bytes) -> None:
        """What is made of it while it is read comes on top of that, and is bounded too."""
        damage = suffer(sends(OK + b"\r\n", body), who)

        assert damage.error == "ClientUnavailable"
        assert damage.growth < MOST[who]
        assert damage.seconds < SOON

    @pytest.mark.parametrize("who", LOOK_UPS)
    def test_a_list_of_many_torrents_is_read(self, who: str) -> None:
        """20,000 rows of today's length, which is nearly what fits."""
        row = json.dumps({"hash": "f" * 40, "name": "\u00e4" * 100, "magnet_uri": "magnet:?xt=" + "t" * 900}).encode()
        body = b"[" + b",".join([row] * 20_000) + b"]"
        assert 20 * MIB < len(body) < MAX_LIST

        damage = suffer(sends(OK + b"Content-Length: %d\r\n\r\n" % len(body), body), who)

        assert damage.error is None
        assert damage.growth < MOST[who]
        assert damage.seconds < SOON


class TestTime:
    """Answers that take for ever: left when the time is over, however steadily something comes."""

    @pytest.mark.parametrize("who", CHECKS)
    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(is_silent, id="nothing"),
            pytest.param(sends(OK + b"\r\n", then=itertools.repeat(b"["), every=0.02), id="body"),
            pytest.param(sends(OK + b"\r\n", then=itertools.repeat(b"["), every=1.0), id="a byte in a second"),
            pytest.param(sends(*(bytes([byte]) for byte in OK * 20), every=0.02), id="status line"),
            pytest.param(sends(OK, then=itertools.repeat(b"X: y\r\n"), every=0.02), id="headers"),
            pytest.param(sends(CHUNKED, b"0\r\n", then=itertools.repeat(b"X: y\r\n"), every=0.02), id="trailers"),
            pytest.param(
                sends(then=itertools.repeat(b"HTTP/1.1 103 Early Hints\r\n\r\n"), every=0.02), id="early hints"
            ),
            pytest.param(sends(then=for_ever(b"HTTP/1.1 103 Early Hints\r\n\r\n")), id="firehose of early hints"),
            pytest.param(
                sends(CHUNKED, then=itertools.repeat(b"1;x=" + b"y" * 60_000 + b"\r\n.\r\n")),
                id="firehose of extensions",
            ),
            pytest.param(
                sends(OK + b"Content-Encoding: gzip\r\n\r\n", then=itertools.repeat(b"\0"), every=0.02), id="packed"
            ),
        ],
    )
    def test_drops_and_floods_end_in_time(self, who: str, answer: Answer) -> None:
        """Be it the headers or the body that they come in, and whoever has made the httpx client."""
        damage = suffer(answer, who, timeout=SHORT)

        assert damage.error in ("ClientUnavailable", "ClientError")
        assert damage.growth < MOST["check"]
        assert damage.seconds < SHORT + MARGIN

    @pytest.mark.parametrize("who", CHECKS)
    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(is_silent, id="nothing"),
            pytest.param(sends(b"\x16\x03\x03\x40\x00\x02", then=itertools.repeat(b"\0"), every=0.02), id="in drops"),
        ],
    )
    def test_a_handshake_ends_in_time(self, who: str, answer: Answer) -> None:
        """Before TLS stands, it is the same."""
        damage = suffer(answer, who, raw=True, scheme="https", timeout=SHORT)

        assert damage.error == "ClientUnavailable"
        assert damage.growth < MOST["check"]
        assert damage.seconds < SHORT + MARGIN


def test_a_large_upload_over_a_slow_line_gets_more_time() -> None:
    """A server that reads a MiB in a second is not slow, and `timeout` is for what it does then."""
    content = os.urandom(2 * MIB)

    def read_slowly(exchange: Exchange) -> None:
        left = int(exchange.headers["Content-Length"])
        while left > 0:
            left -= len(exchange.rfile.read(min(left, 128 * 1024)))
            time.sleep(1 / 8)
        exchange.send(200, b"Ok.", Content_Length="3")

    with LoopbackServer(read_slowly, takes_bodies=False) as server:
        server.buffers(64 * 1024)
        connection = HttpConnection(server.url, api="api/v2", timeout=SHORT)
        start = time.monotonic()
        answer = connection.post(
            "torrents/add", files=[("torrents", ("x.torrent", content, "application/x-bittorrent"))]
        )
        connection.close()

    assert (answer.status_code, answer.text) == (200, "Ok.")
    assert time.monotonic() - start > 2 * SHORT


def test_an_upload_that_nobody_reads_ends_in_time() -> None:
    """Whatever its size, nothing goes on for longer than `timeout`."""

    def is_deaf(exchange: Exchange) -> None:
        exchange.server.stopping.wait()

    with LoopbackServer(is_deaf, takes_bodies=False) as server:
        server.buffers(64 * 1024)
        connection = HttpConnection(server.url, api="api/v2", timeout=SHORT)
        start = time.monotonic()
        with pytest.raises(ClientUnavailable, match="in time"):
            connection.post(
                "torrents/add", files=[("torrents", ("x.torrent", bytes(16 * MIB), "application/x-bittorrent"))]
            )
        connection.close()

    assert time.monotonic() - start < SHORT + MARGIN
