"""A batch that is told to stop ends soon, be its client silent, or busy with another batch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import pytest

from audiobatch import BatchDownloader, BatchResult, RetryPolicy
from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.errors import NotAttempted
from audiobatch.metainfo import InfoHashes, Torrent
from audiobatch.models import AddOptions, TorrentStatus
from audiobatch.repositories.memory import MemoryRepository
from support.fakes import FakeClient, FakeFetcher, codes, request
from support.server import Exchange, LoopbackServer
from support.waiting import wait_until

SOON = 2.5  # seconds, for what is heard at once; the machine may be busy
GRACE = 10.0  # seconds, for what was handed over: an add and a look
LONG = 30.0  # seconds that the client would wait by itself
BATCH = [request("Dune"), request("Emma")]


class Qbittorrent(LoopbackServer):
    """Has no torrent, and does not answer where it is told to be silent.

    Attributes:
        silent: The calls that get no answer.
        asked: What was called, in order.
    """

    def __init__(self, *silent: str) -> None:
        self.silent = set(silent)
        self.asked: list[str] = []
        super().__init__(self._serve)

    def _serve(self, exchange: Exchange) -> None:
        name = exchange.path.rpartition("/")[2]
        self.asked.append(name)
        if name in self.silent:
            self.stopping.wait()
            return
        body = {"webapiVersion": b"2.11.4", "info": b"[]"}.get(name, b"Ok.")
        exchange.send(200, body, Content_Length=str(len(body)))

    def hears(self, name: str) -> Callable[[], bool]:
        """Tell whether something was called."""
        return lambda: name in self.asked


@pytest.fixture(params=["own", "given"])
def http(request: pytest.FixtureRequest) -> Iterator[httpx.Client | None]:
    """Give an httpx client, or none."""
    if request.param == "own":
        yield None
        return
    with httpx.Client(trust_env=False) as http:
        yield http


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Give threads for batches."""
    with ThreadPoolExecutor(4) as pool:
        yield pool


def downloader_for(client: object, repository: MemoryRepository | None = None) -> BatchDownloader:
    """Make a downloader that looks but twice."""
    return BatchDownloader(
        client=client,  # type: ignore[arg-type]
        fetcher=FakeFetcher(),
        repository=repository or MemoryRepository(),
        confirm_retry=RetryPolicy(attempts=2, wait=0),
    )


def result_of(running: Future[BatchResult], seconds: float) -> BatchResult:
    """Return the result, which is there in time."""
    start = time.monotonic()
    result = running.result(timeout=LONG)
    assert time.monotonic() - start < seconds
    return result


def test_a_look_that_hangs(pool: ThreadPoolExecutor, http: httpx.Client | None) -> None:
    """Nothing was handed over: no item was attempted, and no tracker was asked."""
    stop = threading.Event()
    with Qbittorrent("webapiVersion") as server, QBittorrentClient(server.url, timeout=LONG, http=http) as client:
        running = pool.submit(downloader_for(client).run, BATCH, stop=stop)
        wait_until(server.hears("webapiVersion"), "the batch asks")

        stop.set()
        result = result_of(running, SOON)

    assert codes(result) == ["not_attempted", "not_attempted"]
    assert all(failure.error.endswith("not attempted, because the batch was stopped") for failure in result.failed)
    assert server.asked == ["webapiVersion"]


def test_an_add_that_hangs(pool: ThreadPoolExecutor, http: httpx.Client | None) -> None:
    """It may be there: that is looked up, and where it is not seen, left for a recovery."""
    stop, repository = threading.Event(), MemoryRepository()
    with Qbittorrent("add") as server, QBittorrentClient(server.url, timeout=LONG, http=http) as client:
        running = pool.submit(downloader_for(client, repository).run, BATCH[:1], stop=stop)
        wait_until(server.hears("add"), "the batch adds")

        stop.set()
        result = result_of(running, GRACE)
        unsettled = list(repository.unsettled(client=client.name))

    assert codes(result) == ["unconfirmed"]
    assert server.asked[-2:] == ["add", "info"]
    assert [record.request for record in unsettled] == BATCH[:1]


def test_an_add_and_the_look_after_it_that_hang(pool: ThreadPoolExecutor) -> None:
    """It cannot be told, and is said to be so."""
    stop = threading.Event()
    with Qbittorrent("add") as server, QBittorrentClient(server.url, timeout=LONG) as client:
        running = pool.submit(downloader_for(client).run, BATCH[:1], stop=stop)
        wait_until(server.hears("add"), "the batch adds")
        server.silent.add("info")

        stop.set()
        result = result_of(running, GRACE)

    assert codes(result) == ["unconfirmed"]
    assert "cannot be asked" in result.failed[0].error


@pytest.mark.parametrize("what", ["plan", "recover"])
def test_what_asks_the_client_alone(pool: ThreadPoolExecutor, what: str) -> None:
    """There is no report then: it raises."""
    stop = threading.Event()
    with Qbittorrent("webapiVersion") as server, QBittorrentClient(server.url, timeout=LONG) as client:
        downloader = downloader_for(client)
        asks: dict[str, Callable[[], object]] = {
            "plan": lambda: downloader.plan(BATCH, stop=stop),
            "recover": lambda: downloader.recover(stop=stop),
        }
        running = pool.submit(asks[what])
        wait_until(server.hears("webapiVersion"), "it asks")

        stop.set()

        with pytest.raises(NotAttempted, match="stopped"):
            running.result(timeout=SOON)


class Gated(FakeClient):
    """A client whose methods wait at a gate.

    Attributes:
        gate: Lets them through.
        at_gate: Set when one waits there.
        closed_for: What has to wait.
    """

    def __init__(self, closed_for: str) -> None:
        super().__init__()
        self.gate, self.at_gate = threading.Event(), threading.Event()
        self.closed_for = closed_for

    def _wait(self, call: str) -> None:
        if call == self.closed_for:
            self.at_gate.set()
            assert self.gate.wait(LONG)

    def check(self) -> None:
        """Wait, and answer."""
        self._wait("check")
        super().check()

    def add(self, torrent: Torrent, options: AddOptions, /) -> None:
        """Wait, and take it."""
        self._wait("add")
        super().add(torrent, options)

    def status(self, info_hashes: Collection[InfoHashes], /) -> Mapping[InfoHashes, TorrentStatus]:
        """Wait, and tell."""
        self._wait("status")
        return super().status(info_hashes)


@pytest.mark.parametrize("busy_with", ["check", "add", "status"])
def test_while_another_batch_has_its_turn(pool: ThreadPoolExecutor, busy_with: str) -> None:
    """The one that waits ends; the one that is at work goes on, and comes through."""
    client, stop = Gated(busy_with), threading.Event()
    downloader = downloader_for(client)
    working = pool.submit(downloader.run, [request("Dune")])
    assert client.at_gate.wait(LONG)
    waiting = pool.submit(downloader.run, [request("Emma")], stop=stop)
    time.sleep(0.2)  # it may or may not have come to where it waits

    stop.set()
    result = result_of(waiting, SOON)
    client.gate.set()

    assert codes(result) == ["not_attempted"]
    assert codes(result_of(working, LONG)) == ["ok"]
    assert client.names("Dune", "Emma") == ["Dune"]


def test_an_add_that_waits_for_its_turn_is_not_sent_any_more(pool: ThreadPoolExecutor) -> None:
    """And its torrent is kept on record, so that the next batch need not fetch it."""
    client, stop, repository = Gated("nothing"), threading.Event(), MemoryRepository()
    downloader = downloader_for(client, repository)
    with downloader._client._turn:
        # It has looked, and fetched, and waits with its add.
        waiting = pool.submit(downloader._client.add, FakeFetcher().fetch(request("Emma")), AddOptions(), stop)
        time.sleep(0.2)
        stop.set()
        error = waiting.result(timeout=SOON)

    assert isinstance(error, NotAttempted)
    assert client.calls == []


def test_the_others_come_through_when_one_gives_up(pool: ThreadPoolExecutor) -> None:
    """A call that hangs has its deadline, whoever waits behind it: that is in seconds, here half a one."""
    with Qbittorrent("webapiVersion") as server, QBittorrentClient(server.url, timeout=0.5) as client:
        downloader = downloader_for(client)
        first = pool.submit(downloader.run, [request("Dune")])
        wait_until(server.hears("webapiVersion"), "the first batch asks")
        second = pool.submit(downloader.run, [request("Emma")])

        results = [codes(result_of(running, GRACE)) for running in (first, second)]

    assert results == [["client_unavailable"], ["client_unavailable"]]
