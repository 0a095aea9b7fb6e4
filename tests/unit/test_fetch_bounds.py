"""Servers that mean harm: what they may take of a fetcher's memory and time, measured in a process of its own each."""

from __future__ import annotations

import itertools
import zlib
from typing import Any

import pytest

from audiobatch.fetchers._retrieval import MAX_SIZE, TIMEOUT
from support.attacked import Damage, attacked
from support.hostile import (
    BOMB_BLOCKS,
    CHUNKED,
    GZIP,
    HUGE,
    MOVED,
    OK,
    PACKED_ZEROS,
    ZEROS,
    ZLIB,
    bomb,
    bombs,
    for_ever,
    is_silent,
    packs_little_then_streams,
    sends,
    streams,
)
from support.peak import MEASURABLE
from support.server import Answer, LoopbackServer
from support.tracker import Tracker

pytestmark = pytest.mark.skipif(not MEASURABLE, reason="the peak of a process can be reset on Linux alone")

MIB = 1024 * 1024
MOST = 40 * MIB  # what the memory may grow by
BUFFERED = 8 * MIB  # what the system takes from the server before anybody reads it
SHORT = 0.5  # seconds, for what is about time
MARGIN = 2.0  # seconds, for a machine that is busy
SOON = 10.0  # seconds: what is about size ends long before its timeout, and by itself


def suffer(answer: Answer, *, raw: bool = False, scheme: str = "http", **options: Any) -> tuple[Damage, LoopbackServer]:
    """Let a process fetch from a server that answers like this, and tell what came of it."""
    with Tracker() as tracker, LoopbackServer(answer, raw=raw) as server:
        url = server.url.replace("http", scheme, 1)
        return attacked(f"{tracker.url}/v1/Dune", f"{url}/x", **options), server


class TestTheMeasure:
    """What the other tests stand on."""

    @pytest.mark.parametrize("bits", [GZIP, ZLIB])
    def test_a_bomb_is_one(self, bits: int) -> None:
        """What goes over the wire is less than an answer may have, and its blocks unpack, each by itself."""
        start, block = bomb(bits)

        assert len(start) + len(block) * BOMB_BLOCKS < MAX_SIZE
        assert PACKED_ZEROS * BOMB_BLOCKS >= HUGE
        assert zlib.decompressobj(bits).decompress(start + 3 * block) == b"0" + bytes(3 * PACKED_ZEROS)

    def test_growth_is_noticed(self) -> None:
        """A fetcher that may take more takes it, and it shows."""
        damage, _ = suffer(streams(), max_size=5 * MAX_SIZE)

        assert damage.error == "NotATorrent"
        assert damage.growth > 4 * MAX_SIZE

    def test_what_is_harmless_takes_little(self) -> None:
        """And it is no error."""
        with Tracker() as tracker:
            damage = attacked(f"{tracker.url}/v1/Dune", f"{tracker.url}/v2/Emma")

        assert damage.error is None
        assert damage.growth < 2 * MIB


class TestSize:
    """Answers that never end: refused as soon as the limit is reached, long before the time is over."""

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            pytest.param(bombs("gzip", GZIP), "NotATorrent", id="gzip bomb"),
            pytest.param(bombs("deflate", ZLIB), "NotATorrent", id="deflate bomb"),
            pytest.param(bombs("gzip, gzip", GZIP), "NotATorrent", id="twice packed"),
            pytest.param(packs_little_then_streams(), "NotATorrent", id="10 GB after the packed end"),
            pytest.param(streams(), "NotATorrent", id="10 GB"),
            pytest.param(streams(b"Content-Length: %d" % HUGE), "NotATorrent", id="10 GB announced"),
            pytest.param(
                sends(CHUNKED, then=itertools.repeat(b"10000\r\n" + ZEROS + b"\r\n", HUGE // len(ZEROS))),
                "NotATorrent",
                id="10 GB in chunks",
            ),
            pytest.param(
                sends(CHUNKED, then=itertools.repeat(b"1;x=" + b"y" * 60_000 + b"\r\n.\r\n", HUGE // 60_000)),
                "NotATorrent",
                id="10 GB of chunk extensions",
            ),
            pytest.param(sends(CHUNKED, b"1;x=", then=for_ever(b"y")), "FetchUnavailable", id="endless extension"),
            pytest.param(
                sends(OK, *(b"X-%d: y\r\n" % number for number in range(100_000)), b"\r\n"),
                "FetchUnavailable",
                id="100,000 headers",
            ),
            pytest.param(
                sends(OK, b"X: ", then=itertools.repeat(b"y" * len(ZEROS), 1_000_000_000 // len(ZEROS))),
                "FetchUnavailable",
                id="header of 1 GB",
            ),
            pytest.param(sends(then=for_ever(b"H")), "FetchUnavailable", id="endless status line"),
            pytest.param(sends(CHUNKED, b"0\r\n", then=for_ever(b"X: y\r\n")), "FetchUnavailable", id="trailers"),
            pytest.param(streams(status=b"HTTP/1.1 404 No\r\n"), "TorrentNotFound", id="10 GB of an error page"),
            pytest.param(bombs("gzip", GZIP, b"HTTP/1.1 429 No\r\n"), "RateLimited", id="gzip bomb as an error page"),
            pytest.param(sends(MOVED + b"Content-Length: 0\r\n\r\n"), "FetchDenied", id="redirect loop"),
            pytest.param(sends(MOVED + b"\r\n", then=for_ever(b".")), "FetchDenied", id="endless redirects in a loop"),
            pytest.param(
                sends(b"HTTP/1.1 302 Found\r\nLocation: /" + b"x" * 90_000 + b"\r\n\r\n"),
                "BlockedAddress",
                id="redirect to a long URL",
            ),
        ],
    )
    def test_it_is_refused_within_bounds(self, answer: Answer, error: str) -> None:
        """It takes little memory and less time, and the server has not sent much more than an answer may have."""
        damage, server = suffer(answer)

        assert damage.error == error
        assert damage.growth < MOST
        assert damage.seconds < SOON < TIMEOUT
        assert server.dripped < MAX_SIZE + BUFFERED

    @pytest.mark.parametrize(
        "filling",
        [
            pytest.param(b"z", id="rubbish"),
            pytest.param(b"i1e", id="numbers"),
            pytest.param(b"2:ab", id="texts"),
            pytest.param(b"le", id="lists"),
        ],
    )
    def test_what_just_fits_is_kept_once(self, filling: bytes) -> None:
        """What is made of it while it is read comes on top of that, and is bounded too."""
        body = b"d4:infol" + filling * ((MAX_SIZE - 10) // len(filling)) + b"ee"

        damage, _ = suffer(sends(OK + b"\r\n", body))

        assert damage.error == "NotATorrent"
        assert damage.growth < MOST
        assert damage.seconds < SOON

    def test_tiny_chunks_take_no_more_than_they_bring(self) -> None:
        """However many there are, nothing is kept for each."""
        damage, server = suffer(sends(CHUNKED, then=for_ever(b"2\r\nab\r\n")), timeout=3 * SHORT)

        assert damage.error == "FetchUnavailable"
        assert damage.growth < server.dripped
        assert damage.seconds < 3 * SHORT + MARGIN


class TestTime:
    """Answers that take for ever: left when the time is over, however steadily something comes."""

    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(is_silent, id="nothing"),
            pytest.param(sends(OK + b"\r\n", then=itertools.repeat(b"d"), every=0.02), id="body"),
            pytest.param(sends(OK + b"\r\n", then=itertools.repeat(b"d"), every=1.0), id="a byte in a second"),
            pytest.param(sends(*(bytes([byte]) for byte in OK * 20), every=0.02), id="status line"),
            pytest.param(sends(OK, then=itertools.repeat(b"X: y\r\n"), every=0.02), id="headers"),
            pytest.param(sends(CHUNKED, b"0\r\n", then=itertools.repeat(b"X: y\r\n"), every=0.02), id="trailers"),
            pytest.param(
                sends(then=itertools.repeat(b"HTTP/1.1 103 Early Hints\r\n\r\n"), every=0.02), id="early hints"
            ),
            pytest.param(sends(then=for_ever(b"HTTP/1.1 103 Early Hints\r\n\r\n")), id="firehose of early hints"),
            pytest.param(sends(CHUNKED, then=for_ever(b"1\r\nd\r\n")), id="firehose of chunks"),
            pytest.param(sends(MOVED + b"Content-Length: 0\r\n\r\n", every=0.2), id="slow redirect loop"),
        ],
    )
    def test_drops_and_floods_end_in_time(self, answer: Answer) -> None:
        """Be it the headers or the body that they come in."""
        damage, _ = suffer(answer, timeout=SHORT)

        assert damage.error == "FetchUnavailable"
        assert damage.growth < MOST
        assert SHORT / 2 < damage.seconds < SHORT + MARGIN

    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(is_silent, id="nothing"),
            pytest.param(sends(b"\x16\x03\x03\x40\x00\x02", then=itertools.repeat(b"\0"), every=0.02), id="in drops"),
        ],
    )
    def test_a_handshake_ends_in_time(self, answer: Answer) -> None:
        """Before TLS stands, it is the same."""
        damage, _ = suffer(answer, raw=True, scheme="https", timeout=SHORT)

        assert damage.error == "FetchUnavailable"
        assert damage.growth < MOST
        assert SHORT / 2 < damage.seconds < SHORT + MARGIN
