"""How hosts are looked up: in threads of a bounded number, each host once at a time, and in time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

import pytest

from audiobatch._patience import Patience, waiting_with
from audiobatch.fetchers import _resolution
from audiobatch.fetchers._resolution import LookUps
from support.server import PATIENCE
from support.waiting import wait_until

ADDRESS = ip_address("8.8.8.8")


class NameServer:
    """Answers when a test lets it.

    Attributes:
        asked: The hosts that were asked for.
        answering: It answers while this is set.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answering = threading.Event()

    def resolve(self, host: str, _: int) -> list[object]:
        """Play `resolve`."""
        self.asked.append(host)
        assert self.answering.wait(PATIENCE)
        if host == "lost.example":
            raise OSError("no such host")
        return [ADDRESS]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    """Put a name server that is silent in place of the system's."""
    server = NameServer()
    monkeypatch.setattr(_resolution, "resolve", server.resolve)
    yield server
    server.answering.set()
    wait_until(lambda: not threads(), "all threads have ended")


def threads() -> list[threading.Thread]:
    """Return those that look something up."""
    return [thread for thread in threading.enumerate() if thread.name == "audiobatch-resolve"]


def test_a_dead_name_server_takes_a_bounded_number_of_threads(server: NameServer) -> None:
    """Those that find no place wait for one, no longer than they may, and then it is an error."""
    look_ups = LookUps(at_once=4)
    with ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(look_ups.addresses, f"t{number}.example", 80, 0.3) for number in range(20)]
        for each in waiting:
            with pytest.raises(TimeoutError):
                each.result()

    assert len(server.asked) == 4
    assert len(threads()) == 4


def test_a_place_is_free_again_when_the_name_server_answers(server: NameServer) -> None:
    """However late."""
    look_ups = LookUps(at_once=1)
    with pytest.raises(TimeoutError):
        look_ups.addresses("slow.example", 80, 0.01)
    server.answering.set()

    assert look_ups.addresses("next.example", 80, PATIENCE) == [ADDRESS]


def test_a_host_is_looked_up_once_for_all_who_wait(server: NameServer) -> None:
    """And so a host that nobody answers for takes one thread; other hosts have the rest."""
    look_ups = LookUps(at_once=2)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(look_ups.addresses, "Slow.example", 80, PATIENCE) for _ in range(7)]
        wait_until(lambda: server.asked == ["slow.example"], "it is asked for")
        other = pool.submit(look_ups.addresses, "other.example", 80, PATIENCE)
        wait_until(lambda: len(server.asked) == 2, "the other one is asked for")
        server.answering.set()

        assert [each.result() for each in (*waiting, other)] == [[ADDRESS]] * 8


def test_what_goes_wrong_is_told_to_whoever_waits(server: NameServer) -> None:
    """And the next one asks again."""
    server.answering.set()
    look_ups = LookUps()
    for _ in range(2):
        with pytest.raises(OSError, match="no such host"):
            look_ups.addresses("lost.example", 80, PATIENCE)

    assert len(server.asked) == 2


@pytest.mark.parametrize("at_once", [1, 2])
def test_nobody_waits_for_a_batch_that_has_ended(server: NameServer, at_once: int) -> None:
    """Neither for an answer, nor for a place."""
    look_ups = LookUps(at_once=at_once)
    over = threading.Event()

    def fetch() -> None:
        with waiting_with(Patience(over.is_set)):
            look_ups.addresses("tracker.example", 80, PATIENCE)

    with ThreadPoolExecutor(2) as pool:
        pool.submit(look_ups.addresses, "first.example", 80, 1)
        wait_until(lambda: server.asked == ["first.example"], "the first one has its place")
        waiting = pool.submit(fetch)
        over.set()
        with pytest.raises(TimeoutError):
            waiting.result(PATIENCE)


def test_a_system_without_threads_is_an_error(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this look-up alone: its place is free for the next one."""
    server.answering.set()
    look_ups = LookUps(at_once=1)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(OSError, match="no thread"):
            look_ups.addresses("tracker.example", 80, PATIENCE)

    assert look_ups.addresses("tracker.example", 80, PATIENCE) == [ADDRESS]


def test_another_port_is_no_other_host(server: NameServer) -> None:
    """Otherwise one host that nobody answers for could take all threads, with a URL for each port."""
    look_ups = LookUps(at_once=2)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(look_ups.addresses, "slow.example", port, PATIENCE) for port in range(8000, 8008)]
        wait_until(lambda: server.asked == ["slow.example"], "it is asked for")
        server.answering.set()

        assert [each.result() for each in waiting] == [[ADDRESS]] * 8
    assert server.asked == ["slow.example"]
