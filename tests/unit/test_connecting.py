"""How one of a host's addresses is chosen (RFC 8305), with threads of a bounded number, and what is kept of hosts."""

from __future__ import annotations

import gc
import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from ipaddress import ip_address

import httpcore
import pytest

from audiobatch._patience import Patience, waiting_with
from audiobatch.fetchers import _connecting, _transport
from audiobatch.fetchers._addresses import Address
from audiobatch.fetchers._connecting import Connector
from audiobatch.fetchers.http import HttpFetcher
from support.server import PATIENCE
from support.torrents import book
from support.waiting import wait_until

DEAD = [ip_address(f"2606:4700::{last}") for last in range(1, 7)]
GOOD = ip_address("8.8.8.8")
SEVERAL = [DEAD[0], GOOD]


class Internet:
    """Connects to one address, refuses some, and keeps waiting whoever tries the others.

    Attributes:
        tried: The addresses that were tried, in order.
        refusing: Those that refuse at once.
        streams: The connections that were made.
    """

    def __init__(self) -> None:
        self.tried: list[Address] = []
        self.refusing: set[Address] = set()
        self.streams: list[httpcore.MockStream] = []
        self.released = threading.Event()

    def connect(self, address: Address, seconds: float) -> httpcore.NetworkStream:
        """Play a backend."""
        assert seconds > 0
        self.tried.append(address)
        if address in self.refusing:
            raise httpcore.ConnectError
        if address != GOOD:
            self.released.wait(min(seconds, PATIENCE))
            raise httpcore.ConnectTimeout
        self.streams.append(httpcore.MockStream([]))
        return self.streams[-1]


@pytest.fixture
def internet() -> Iterator[Internet]:
    """Give one, and let nobody wait for it in the end."""
    internet = Internet()
    yield internet
    internet.released.set()
    wait_until(lambda: threads() == 0, "all threads have ended")


def threads() -> int:
    """Count those that connect."""
    return sum(thread.name == "audiobatch-connect" for thread in threading.enumerate())


def test_ipv6_and_ipv4_take_turns(internet: Internet) -> None:
    """Where IPv6 does not work at all, no number of its addresses hides that IPv4 does."""
    begun = time.monotonic()
    address, _ = Connector().connect("t.example", [*DEAD, GOOD], PATIENCE, internet.connect)

    assert address == GOOD
    assert internet.tried == [DEAD[0], GOOD]
    assert 0.2 < time.monotonic() - begun < 2


def test_lost_races_keep_a_bounded_number_of_threads(internet: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses that say nothing hold their threads; who finds no place tries one address after the other."""
    monkeypatch.setattr(_connecting, "_HEAD_START", 0.001)
    monkeypatch.setattr(_connecting, "_MAX_RACES", 3)
    connector = Connector()
    for number in range(10):
        assert connector.connect(f"t{number}.example", SEVERAL, 0.5, internet.connect)[0] == GOOD

    assert threads() <= 3
    internet.released.set()
    wait_until(lambda: threads() == 0, "the lost attempts have ended")
    internet.tried.clear()
    connector.connect("t.example", SEVERAL, PATIENCE, internet.connect)
    assert internet.tried[-1] == GOOD


def test_one_after_the_other_ends_too(internet: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    """When none answers, when its time is over, and when nobody waits any more."""
    monkeypatch.setattr(_connecting, "_MAX_RACES", 0)
    connector = Connector()
    with pytest.raises(httpcore.ConnectTimeout):
        connector.connect("t.example", DEAD, 0.1, internet.connect)
    internet.refusing |= set(DEAD)
    with pytest.raises(httpcore.ConnectError):
        connector.connect("t.example", DEAD, PATIENCE, internet.connect)
    internet.tried.clear()
    with waiting_with(Patience(lambda: True)), pytest.raises(httpcore.ConnectTimeout):
        connector.connect("t.example", DEAD, PATIENCE, internet.connect)
    assert internet.tried == []


def test_a_system_without_threads_is_an_error(internet: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this connection alone."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    connector = Connector()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for _ in range(50):
            with pytest.raises(httpcore.ConnectError):
                connector.connect("t.example", SEVERAL, PATIENCE, internet.connect)

    assert connector.connect("t.example", SEVERAL, PATIENCE, internet.connect)[0] == GOOD
    assert threads() <= 1


def test_nobody_waits_for_a_race_of_a_batch_that_has_ended(internet: Internet) -> None:
    """It is stopped within a moment, whatever the addresses do."""
    over = threading.Event()

    def fetch() -> None:
        with waiting_with(Patience(over.is_set)):
            Connector().connect("t.example", DEAD, PATIENCE, internet.connect)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(fetch)
        wait_until(lambda: internet.tried != [], "it has begun")
        over.set()
        with pytest.raises(httpcore.ConnectTimeout):
            waiting.result(PATIENCE)
    assert not internet.released.is_set()


def test_ten_thousand_hosts_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long their names are, a fetcher has as much memory in use after them as after the first few hundred."""
    body = book("Dune")
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    class Tracker(httpcore.NetworkBackend):
        def connect_tcp(self, *_: object, **__: object) -> httpcore.NetworkStream:
            return httpcore.MockStream([answer])

    class AtOnce(threading.Thread):
        """Runs in the caller's thread, because whoever measures coverage keeps something of each other one."""

        def start(self) -> None:
            self.run()

    monkeypatch.setattr(_connecting, "Thread", AtOnce)
    monkeypatch.setattr(httpcore, "SyncBackend", Tracker)
    monkeypatch.setattr(_transport._look_ups, "addresses", lambda host, *_: SEVERAL if "7." in host else [GOOD])
    with ExitStack() as stack:
        fetcher = stack.enter_context(HttpFetcher())
        _fetch(fetcher, range(600))
        tracemalloc.start()
        stack.callback(tracemalloc.stop)
        _fetch(fetcher, range(600, 1_200))
        before = _kept()
        _fetch(fetcher, range(1_200, 10_000))
        after = _kept()

    assert after - before < 512 * 1024


def _fetch(fetcher: HttpFetcher, numbers: range) -> None:
    for number in numbers:
        host = ".".join([f"{number:063}"] * 3)
        fetcher._retrieval.get(f"http://{host}.example/1")


def _kept() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
