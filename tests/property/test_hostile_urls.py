"""Thousands of hostile URLs, redirects and bodies: each item has its outcome, and nothing private is reached."""

from __future__ import annotations

import logging
import random
import string
from ipaddress import ip_address

import httpcore
import pytest

from audiobatch import BatchDownloader, DownloadFailure, FailureCode
from audiobatch.fetchers import _transport
from audiobatch.fetchers._addresses import Destinations
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.repositories.memory import MemoryRepository
from support.fakes import AT_ONCE, FakeClient
from support.torrents import book

RUNS = 400
BATCH = 50  # 20,000 in all
NAMES = {
    "tracker.example": ["93.184.216.34"],
    "inside.example": ["192.168.1.7"],
    "both.example": ["93.184.216.35", "192.168.1.7"],  # refused whole
    "two.example": ["2606:4700::1111", "93.184.216.36"],
}

_ODD = (
    "%[]@:/\\?#&;=+~^`|<>{}\"' ._-"
    "\u00e9\u2024\uff0e\u3002\u00df\u0131\u200d\u202e\u00a0\u00ad\ufeff\u2044\u1d2c\U0001f600"
)
_SCHEMES = ["http", "https", "HTTP", "hTTps", "http:", "ftp", "javascript", "file", "data", "", "http\u200d"]
_HOSTS = [
    *NAMES,
    *("127.0.0.1", "localhost", "LOCALHOST.", "0", "0x7f.1", "2130706433", "127.1", "017700000001", "10.0.0.1"),
    *(
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::%\u00e9]",
        "[::1%25lo]",
        "[fe80::1%eth0]",
        "[",
        "]",
        "[]",
        "[::",
        "::1",
        "[1]",
    ),
    *(
        "169.254.169.254",
        "[fd00:ec2::254]",
        "1.1.1.1.",
        "256.1.1.1",
        "1.2.3",
        "\u0661.1.1.1",
        "\uff11\uff12\uff17.0.0.1",
    ),
    *("xn--", "xn--a", "xn--zzzzzzzz", "a..b", ".", "..", "-", "a" * 64, "a." * 130, "\u00e9" * 70, "ex\u00e4mple.de"),
    *("tracker.example%2f", "tracker%00.example", "tracker.example\\@inside.example", "tracker\uff0eexample", ""),
]
_PORTS = ["", ":80", ":443", ":0", ":65536", ":99999999999", ":-1", ":\u0661", ":8080", ":22", ":", ":a", ":08080"]
_PATHS = ["", "/", "/x", "//x", "/%", "/%zz", "/\u00e9", "/..", "?a=b", "#f", "/a b", "\\x", "/login", ";p", "/%00"]
_USERS = ["", "", "", "user@", "user:pass@", "@", ":@", "%40@", "a@b@"]
_BODIES = [
    b"", b"d", b"e", b"<html>", b"\xef\xbb\xbf<html>", b"{", b"[1]", b"magnet:?xt=urn:btih:" + b"a" * 40, b"magnet:",
    b"d4:infod4:name", b"i", b"0:", b"d4:infoi1ee", b"\x00" * 100, b"\xff" * 100, b"<error code='500'/>", b"d1:ae",
]  # fmt: skip


def _mutated(draw: random.Random, text: str) -> str:
    """Change a few characters of a text."""
    characters = list(text)
    for _ in range(draw.choice([0, 0, 1, 1, 2, 5])):
        place = draw.randrange(len(characters) + 1)
        characters[place : place + draw.randrange(2)] = draw.choice(_ODD + string.printable)
    return "".join(characters)


def hostile_url(draw: random.Random) -> str:
    """Make a URL of odd parts."""
    parts = (draw.choice(_SCHEMES[: draw.choice([2, len(_SCHEMES)])]), "://", draw.choice(_USERS), draw.choice(_HOSTS))
    return _mutated(draw, "".join((*parts, draw.choice(_PORTS), draw.choice(_PATHS))))


class HostileTracker(httpcore.NetworkBackend):
    """Plays the whole internet: it sees each connection, and answers with what it likes."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.reached: set[str] = set()

    def connect_tcp(self, host: str, *_: object, **__: object) -> httpcore.NetworkStream:
        """Note the address."""
        self.reached.add(host)
        return httpcore.MockStream([self._answer()])

    def _answer(self) -> bytes:
        body = self.draw.choice([*_BODIES, book(f"book-{self.draw.randrange(10**9)}")])
        headers = [b"Content-Length: %d" % len(body), b"Connection: close"]
        status = self.draw.choice(
            [b"200 OK", b"200 OK", b"301 Moved", b"302 Found", b"404 No", b"500 No", b"99 x", b""]
        )
        if self.draw.random() < 0.7:
            target = self.draw.choice([hostile_url(self.draw), _mutated(self.draw, "/next"), "magnet:?xt="])
            headers.append(b"Location: " + target.encode("utf-8", "replace").replace(b"\n", b""))
        return b"HTTP/1.1 %s\r\n%s\r\n\r\n%s" % (status, b"\r\n".join(headers), body)


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> HostileTracker:
    """Give an internet that answers names with made-up addresses, and connects to none."""
    tracker = HostileTracker(random.Random(1105))

    def look_up(host: str, *_: object) -> list[object]:
        return [ip_address(address) for address in NAMES.get(host.lower().rstrip("."), ["93.184.216.99"])]

    monkeypatch.setattr(httpcore, "SyncBackend", lambda: tracker)
    monkeypatch.setattr(_transport._look_ups, "addresses", look_up)
    return tracker


def test_nothing_but_our_errors_and_nothing_private(tracker: HostileTracker, caplog: pytest.LogCaptureFixture) -> None:
    """Of 20,000 requests each has its outcome; no bug was met on the way, and only public addresses."""
    caplog.set_level(logging.ERROR, logger="audiobatch")
    codes: set[str] = set()
    for _ in range(RUNS):
        client = FakeClient()
        with HttpFetcher() as fetcher:
            downloader = BatchDownloader(
                client=client,
                fetcher=fetcher,
                repository=MemoryRepository(),
                fetch_retry=AT_ONCE,
                confirm_retry=AT_ONCE,
            )
            given = [
                {"title": f"Book {number}", "author": "A", "torrent_url": hostile_url(tracker.draw)}
                for number in range(BATCH)
            ]
            outcomes = downloader.run(given).outcomes
        assert [outcome.index for outcome in outcomes] == list(range(BATCH))
        codes |= {outcome.code for outcome in outcomes if isinstance(outcome, DownloadFailure)}
        assert len(client.torrents) <= sum(not isinstance(outcome, DownloadFailure) for outcome in outcomes)

    assert caplog.records == []
    assert {FailureCode.BLOCKED_ADDRESS, FailureCode.INVALID_REQUEST, FailureCode.NOT_A_TORRENT} <= codes
    assert codes <= {
        FailureCode.BLOCKED_ADDRESS, FailureCode.INVALID_REQUEST, FailureCode.NOT_A_TORRENT, FailureCode.FETCH_DENIED,
        FailureCode.FETCH_UNAVAILABLE, FailureCode.TORRENT_NOT_FOUND, FailureCode.RATE_LIMITED,
    }  # fmt: skip
    assert {"93.184.216.34", "93.184.216.36", "93.184.216.99", "2606:4700::1111"} & tracker.reached
    assert "93.184.216.35" not in tracker.reached
    assert all(Destinations()._permits(ip_address(address), trusted=False) for address in tracker.reached)
