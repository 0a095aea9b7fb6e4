"""After a fork: nothing of the parent is used in the child, and nothing of it is disturbed."""

from __future__ import annotations

import copy
import gc
import io
import os
import pickle
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import httpx
import pytest
from attrs import define

from audiobatch import BatchDownloader, DownloadRequest, _fork
from audiobatch.aio import AsyncBatchDownloader, fetcher_from_async
from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.errors import ConfigurationError
from audiobatch.events import BatchEvent, BatchFinished, BatchStarted, Submitted
from audiobatch.fetchers._pace import Pace, Paces
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.fetchers.myanonamouse import MyAnonamouseFetcher
from audiobatch.metainfo import Torrent
from audiobatch.progress import ProgressBar
from audiobatch.protocols import Repository
from audiobatch.repositories.memory import MemoryRepository
from audiobatch.repositories.sqlite import SQLiteRepository
from support.fakes import FakeClient, FakeFetcher, codes, request, torrent
from support.forked import in_child
from support.server import Exchange, LoopbackServer
from support.torrents import book
from support.tracker import LOOPBACK, Tracker

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]

ANOTHERS = "belongs to the process that this one was forked from"


@contextmanager
def held(lock: Any) -> Iterator[None]:
    """Let another thread hold a lock for as long as the block lasts."""
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    try:
        yield
    finally:
        done.set()
        thread.join()


def downloader(client: FakeClient, **given: Any) -> BatchDownloader:
    """Make a downloader of fakes."""
    parts: dict[str, Any] = {"fetcher": FakeFetcher(), "repository": MemoryRepository(), **given}
    return BatchDownloader(client=client, **parts)


class Daemon(LoopbackServer):
    """What looks like a qBittorrent that has nothing.

    Attributes:
        asked: Each request: the port that it came from, the path, and whether it had a session.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[int, str, bool]] = []
        super().__init__(self._serve)

    def _serve(self, exchange: Exchange) -> None:
        exchange.rfile.read(int(exchange.headers.get("Content-Length", 0)))
        path = exchange.path.removeprefix("/api/v2/")
        self.asked.append((exchange.client_address[1], path, "Cookie" in exchange.headers))
        if path == "auth/login":
            exchange.send(200, b"Ok.", Content_Length="3", Set_Cookie="SID=1; path=/")
        else:
            exchange.send(200, b"2.8", Content_Length="3")


@pytest.fixture(autouse=True)
def _post_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Exchange, "do_POST", Exchange.do_GET, raising=False)
    monkeypatch.setattr(Exchange, "protocol_version", "HTTP/1.1")


class TestTheSharedPiece:
    """What every part is built on."""

    def test_a_process_knows_itself(self) -> None:
        """It stays what it is, and each child, and each child of that, is another one."""
        process = _fork.here()

        assert process.is_here()
        assert in_child(process.is_here) == "False"
        assert in_child(lambda: _fork.here().is_here()) == "True"
        assert in_child(lambda: in_child(process.is_here)) == "False"

    def test_what_another_process_began_is_refused(self) -> None:
        """The error says what it is and what to do."""
        process = _fork.here()

        assert in_child(lambda: process.require("it", "do that")) == f"ConfigurationError: it {ANOTHERS}: do that"

    def test_owners_that_compare_equal_are_renewed_each(self) -> None:
        """Also such that cannot be hashed; one that is gone is not asked for."""

        @define
        class Owner:
            renewed: int = 0

            def renew(self) -> None:
                self.renewed += 1

        owners = [Owner(), Owner()]
        for owner in [*owners, Owner()]:
            _fork.renew_in_child(owner, Owner.renew)
        del owner
        gc.collect()

        assert in_child(lambda: owners) == str([Owner(1), Owner(1)])
        assert owners == [Owner(), Owner()]

    def test_it_forks_while_nobody_holds_the_lock(self) -> None:
        """Afterwards the parent's lock is free."""

        class Owner:
            lock = Lock()

        owner = Owner()
        _fork.rest_at_fork(owner, lambda owner: owner.lock)

        assert in_child(owner.lock.locked) == "True"  # by the thread that has forked
        assert not owner.lock.locked()

    def test_a_fork_waits_for_a_second_at_most(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Then it forks all the same."""
        monkeypatch.setattr(_fork, "_PATIENCE", 0.01)
        owner = MemoryRepository()

        with held(owner._lock):
            assert in_child(lambda: owner) == "MemoryRepository(0 records)"
            assert owner._lock.locked()

    def test_a_connection_lives_on_in_the_parent_alone(self) -> None:
        """The child can neither read nor end it; nor can it close what has got its number since."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            _fork.sever_in_child(ours)

            def use() -> str:
                try:
                    ours.recv(1)
                except OSError:
                    ours.close()
                    return "refused"
                return "read"

            theirs.send(b"secret")

            assert in_child(use) == "refused"
            assert ours.recv(6) == b"secret"

    def test_a_closed_connection_is_none(self) -> None:
        """There is nothing to let go of."""
        ours, theirs = socket.socketpair()
        _fork.sever_in_child(ours)
        ours.close()
        theirs.close()

        assert in_child(lambda: "fine") == "fine"

    def test_a_fork_that_python_was_not_told_of(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The process id tells it, once, where a call begins: uWSGI forks like that."""
        process = _fork.here()
        repository = MemoryRepository()
        lock = repository._lock
        monkeypatch.setattr(_fork, "_here", process)
        monkeypatch.setattr(process, "_id", -1)

        assert _fork.here() is not process
        assert repository._lock is not lock


class TestBatches:
    """A downloader in a child, and a batch that a fork has split."""

    def test_a_child_runs_batches_while_the_parent_is_busy(self) -> None:
        """Not even a client's turn, an announcement or a record that is under way is waited for."""
        batches = downloader(FakeClient())
        with held(batches._client._lock), held(batches._announce._turn):
            assert in_child(lambda: codes(batches.run([request("a")]))) == "['ok']"

    def test_a_child_of_a_child_does_too(self) -> None:
        """Each has its own locks."""
        batches = downloader(FakeClient())

        assert in_child(lambda: in_child(lambda: codes(batches.run([request("a")])))) == "['ok']"

    def test_a_batch_is_not_continued_in_a_child(self) -> None:
        """The child says so, tells nobody and writes nothing; the parent goes on."""
        told: list[BatchEvent] = []
        repository = MemoryRepository()
        batches = downloader(FakeClient(), repository=repository, on_event=told.append, max_concurrent_fetches=1)
        outcomes = batches.stream([request(name) for name in "abc"])
        next(outcomes)

        def go_on() -> object:
            before = len(told), repr(repository)
            try:
                return next(outcomes)
            finally:
                assert (len(told), repr(repository)) == before

        assert in_child(go_on) == (
            f"ConfigurationError: a batch that is under way {ANOTHERS}: run a batch of its own here"
        )
        assert len(list(outcomes)) == 2
        assert isinstance(told[-1], BatchFinished)

    def test_a_batch_is_not_ended_by_a_child(self) -> None:
        """Neither by closing it there, nor as it is collected."""
        told: list[BatchEvent] = []
        repository = MemoryRepository()
        batches = downloader(FakeClient(), repository=repository, on_event=told.append, max_concurrent_fetches=1)
        outcomes = batches.stream([request(name) for name in "abc"])
        next(outcomes)

        def end() -> bool:
            before = len(told), repr(repository)
            outcomes.close()
            return (len(told), repr(repository)) == before

        assert in_child(end) == "True"
        assert len(list(outcomes)) == 2

    def test_a_batch_that_was_not_begun_is_the_childs(self) -> None:
        """Nothing of it was done before the fork."""
        outcomes = downloader(FakeClient()).stream([request("a")])

        assert in_child(lambda: len(list(outcomes))) == "1"

    @pytest.mark.parametrize("kind", [BatchStarted, Submitted, BatchFinished])
    def test_a_listener_that_forks_and_returns_in_both(self, kind: type[BatchEvent]) -> None:
        """The child does not go on with the batch, and the parent does."""
        program = (
            "import os, sys\n"
            "from audiobatch.events import *\n"
            "from audiobatch.errors import ConfigurationError\n"
            "from support.fakes import *\n"
            "from unit.test_forks import downloader\n"
            "from audiobatch.repositories.memory import MemoryRepository\n"
            "child = None\n"
            "def fork(event):\n"
            "    global child\n"
            f"    if isinstance(event, {kind.__name__}): child = os.fork()\n"
            "batches = downloader(FakeClient(), on_event=fork)\n"
            "try:\n"
            "    result = codes(batches.run([request('a'), request('b')]))\n"
            "except ConfigurationError as error:\n"
            "    sys.exit(7 if 'under way' in str(error) else 8)\n"
            "assert child and result == ['ok'] * 2, (child, result)\n"
            "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n"
        )
        run_program(program)

    def test_a_listener_may_have_a_child_run_a_batch(self) -> None:
        """It is not taken for the listener itself: the child's locks are its own."""
        answers: list[str] = []
        parent = os.getpid()

        def listen(event: BatchEvent) -> None:
            if isinstance(event, BatchStarted) and os.getpid() == parent:
                answers.append(in_child(lambda: codes(batches.run([request("b")]))))

        batches = downloader(FakeClient(), on_event=listen)

        assert codes(batches.run([request("a")])) == ["ok"]
        assert answers == ["['ok']"]


class TestParts:
    """Each part that has something of its process."""

    def test_a_child_of_a_client_connects_and_logs_in_by_itself(self) -> None:
        """The parent's connection and session stay the parent's, and go on."""
        with Daemon() as daemon, QBittorrentClient(daemon.url, username="u", password="p") as client:
            client.check()
            answers = [in_child(client.check) for _ in range(3)]
            client.check()

        assert answers == ["None"] * 3
        parent, *children = dict.fromkeys(port for port, _, _ in daemon.asked)
        assert len(children) == 3
        login, check = ("auth/login", False), ("app/webapiVersion", True)
        assert [asked[1:] for asked in daemon.asked if asked[0] == parent] == [login, check, check]
        assert all([asked[1:] for asked in daemon.asked if asked[0] == child] == [login, check] for child in children)

    def test_a_child_of_a_client_closes_its_own_connections(self) -> None:
        """A client that is closed there goes on in the parent."""
        with Daemon() as daemon, QBittorrentClient(daemon.url) as client:
            client.check()

            assert in_child(client.close) == "None"
            client.check()
            assert len({port for port, _, _ in daemon.asked}) == 1

    def test_the_lock_of_a_connection_is_the_childs(self) -> None:
        """A thread that is just opening one is not waited for."""
        with Daemon() as daemon, QBittorrentClient(daemon.url) as client, held(client._connection._lock):
            assert in_child(client.check) == "None"

    def test_a_refused_password_stays_refused(self) -> None:
        """Each child would take one of the five tries before the ban."""
        with Daemon() as daemon, QBittorrentClient(daemon.url, username="u", password="p") as client:
            client._refusal = "refused"

            assert in_child(client.check) == "ClientAuthError: refused"
            assert daemon.asked == []

    def test_an_httpx_client_of_the_user_is_refused(self) -> None:
        """Whether it was used before, and by whom, nobody can tell."""
        with Daemon() as daemon, httpx.Client(trust_env=False) as http:
            client = QBittorrentClient(daemon.url, http=http)

            assert in_child(client.check) == (
                f"ConfigurationError: the httpx client given as http= {ANOTHERS}: "
                "make both anew in this process, or leave http= out"
            )
            client.check()

    def test_a_child_of_a_fetcher_connects_by_itself(self) -> None:
        """Also while other threads of the parent hold its locks, and the host's turns."""
        ports: list[int] = []

        def serve(exchange: Exchange) -> None:
            ports.append(exchange.client_address[1])
            body = book("a")
            exchange.send(200, body, Content_Length=str(len(body)))

        with LoopbackServer(serve) as server, HttpFetcher(allowed_networks=LOOPBACK) as fetcher:
            wanted = request("a", torrent_url=f"{server.url}/a")
            fetcher.fetch(wanted)
            pace = next(iter(fetcher._paces._of_hosts.values()))
            with held(fetcher._paces._lock), held(pace._lock):
                answer = in_child(lambda: fetcher.fetch(wanted).name)
            fetcher.fetch(wanted)
            closed = in_child(fetcher.close)
            fetcher.fetch(wanted)

        assert (answer, closed) == ("a", "None")
        assert [ports.index(port) for port in ports] == [0, 1, 0, 0]

    def test_a_transport_of_the_user_is_refused(self) -> None:
        """It may have connections too."""
        fetcher = HttpFetcher(transport=httpx.MockTransport(lambda _: httpx.Response(200, content=book("a"))))

        assert in_child(lambda: fetcher.fetch(request("a"))).startswith(
            f"ConfigurationError: the httpx transport given as transport= {ANOTHERS}"
        )
        assert fetcher.fetch(request("a")).name == "a"

    def test_turns_of_a_pace_are_the_childs_and_its_distance_is_kept(self) -> None:
        """What has ended stays so."""
        paces, ended = Paces(0.0, at_once=1), Pace(0.0)
        ended.end()

        def take() -> str:
            with paces.turn("host"):
                return "taken"

        def take_ended() -> None:
            with ended.turn():
                pass

        with paces.turn("host"):
            assert in_child(take) == "taken"
            assert "was closed" in in_child(take_ended)
            pace = paces._of_hosts["host"]
            assert in_child(lambda: pace._next) == str(pace._next)

    def test_a_session_of_myanonamouse_stays_with_its_process(self) -> None:
        """Two that change one cookie would take it from each other."""
        fetcher = MyAnonamouseFetcher("x" * 40)

        answer = in_child(lambda: fetcher.fetch(request("a", torrent_url="https://www.myanonamouse.net/t/1")))

        assert answer == (
            f"ConfigurationError: the session of MyAnonamouse {ANOTHERS}: "
            "make a fetcher with a session of its own in each process"
        )
        assert in_child(fetcher.close) == "None"

    @pytest.mark.parametrize("kind", ["memory", "sqlite"])
    def test_records_are_not_waited_for(self, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Even if a thread does not come to rest in time."""
        monkeypatch.setattr(_fork, "_PATIENCE", 0.01)
        repository: Repository = MemoryRepository() if kind == "memory" else SQLiteRepository(tmp_path / "records.db")
        with held(repository._lock):  # type: ignore[attr-defined]
            assert in_child(lambda: repository.find(["a"], client="c")) == "{}"
        if isinstance(repository, SQLiteRepository):
            repository.close()

    def test_closing_records_in_a_child_leaves_the_parents(self, tmp_path: Path) -> None:
        """They are opened when they are needed, and not before."""
        with SQLiteRepository(tmp_path / "records.db") as repository:
            assert in_child(repository.close) == "None"
            assert repository.find(["a"], client="c") == {}

    def test_an_async_plug_in_belongs_to_the_loop_of_its_process(self) -> None:
        """Nobody would ever answer."""
        import asyncio  # noqa: PLC0415 - for this alone

        class Fetcher:
            async def fetch(self, _: DownloadRequest, /) -> Torrent:
                raise NotImplementedError

        async def main() -> str:
            fetcher = fetcher_from_async(Fetcher())
            return in_child(lambda: fetcher.fetch(request("a")))

        assert asyncio.run(main()) == (
            f"ConfigurationError: the event loop of an async plug-in {ANOTHERS}: make the plug-in anew here"
        )

    def test_async_batches_run_in_the_loop_of_a_child(self) -> None:
        """What limits them belongs to the loop."""
        import asyncio  # noqa: PLC0415 - for this alone

        batches = AsyncBatchDownloader(downloader(FakeClient()))

        async def run() -> str:
            return str(codes(await batches.run([request("a")])))

        assert asyncio.run(run()) == "['ok']"
        assert in_child(lambda: asyncio.run(run())) == "['ok']"

    def test_bars_of_the_parent_are_not_drawn_by_a_child(self) -> None:
        """Neither on, nor to their end; and it has bars of its own, whoever was drawing."""
        from tqdm.std import TqdmDefaultWriteLock  # type: ignore[attr-defined]  # noqa: PLC0415

        file = io.StringIO()
        show = ProgressBar(file=file)
        show(BatchStarted(batch="parent", size=1))

        def draw() -> list[str]:
            file.truncate(0)
            show(BatchFinished(batch="parent", successful=1, failed=0, seconds=1))
            gc.collect()
            drawn = [file.getvalue()]
            show(BatchStarted(batch="child", size=1))
            show(BatchFinished(batch="child", successful=1, failed=0, seconds=1))
            return [*drawn, str("Audiobooks" in file.getvalue())]

        with held(TqdmDefaultWriteLock.th_lock):
            assert in_child(draw) == "['', 'True']"
        show(BatchFinished(batch="parent", successful=1, failed=0, seconds=1))


class TestTheEmbeddedEngine:
    """It cannot cross a fork, and says so."""

    def test_a_child_can_neither_use_nor_harm_it(self, tmp_path: Path) -> None:
        """The parent goes on, closes it in the end, and its state is whole."""
        pytest.importorskip("libtorrent")
        program = (
            "import os, sys\n"
            "from audiobatch.clients.libtorrent import LibtorrentClient\n"
            "from audiobatch.errors import ConfigurationError\n"
            "from audiobatch.models import AddOptions\n"
            "from support.fakes import torrent\n"
            "quiet = {'listen_interfaces': '127.0.0.1:0', 'enable_dht': False, 'enable_lsd': False}\n"
            f"engine = LibtorrentClient({str(tmp_path)!r}, settings=quiet)\n"
            "a = torrent('a'); engine.add(a, AddOptions(paused=True))\n"
            "if (child := os.fork()) == 0:\n"
            "    status, add = lambda: engine.status([a.info_hashes]), lambda: engine.add(a, AddOptions())\n"
            "    for call in (engine.check, status, add):\n"
            "        try: call()\n"
            "        except ConfigurationError as error: assert 'the embedded engine belongs to' in str(error)\n"
            "        else: sys.exit(8)\n"
            "    with engine: pass\n"
            "    del engine\n"
            "    sys.exit(7)\n"
            "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n"
            "assert len(engine.status([a.info_hashes])) == 1; engine.close()\n"
            f"with LibtorrentClient({str(tmp_path)!r}, settings=quiet) as again:\n"
            "    assert len(again.status([a.info_hashes])) == 1\n"
            "if os.fork() == 0: os._exit(0)\n"
        )
        run_program(program)


class TestEnds:
    """How a child may end."""

    @pytest.mark.parametrize("end", ["sys.exit()", "os._exit(0)", "batches = None; import gc; gc.collect()"])
    def test_a_child_ends_in_silence(self, tmp_path: Path, end: str) -> None:
        """Blocks and the interpreter close what was inherited: no warning, no wait, and the parent goes on."""
        program = (
            "import os, sys, threading\n"
            "from support.fakes import *\n"
            "from unit.test_forks import downloader, held\n"
            "from audiobatch import *\n"
            "from audiobatch.repositories.sqlite import SQLiteRepository\n"
            "from audiobatch.fetchers.http import HttpFetcher\n"
            "from support.tracker import *\n"
            "tracker = Tracker().__enter__()\n"
            "with HttpFetcher(allowed_networks=LOOPBACK) as fetcher:\n"
            f"  with SQLiteRepository({str(tmp_path / 'r.db')!r}) as records:\n"
            "    batches = downloader(FakeClient(), fetcher=fetcher, repository=records, max_concurrent_fetches=1)\n"
            "    url = tracker.url + '/v1/'\n"
            "    outcomes = batches.stream([request(n, torrent_url=url + n) for n in 'abc']); next(outcomes)\n"
            "    with held(records._lock): child = os.fork()\n"
            "    if child == 0:\n"
            f"        {end}\n"
            "        os._exit(0)\n"
            "    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
            "    assert len(list(outcomes)) == 2\n"
            "tracker.__exit__(None, None, None)\n"
        )
        run_program(program)


class TestTLS:
    """Connections with TLS."""

    def test_a_child_says_no_goodbye_on_the_parents_connection(self) -> None:
        """A severed TLS connection can be closed and collected, and the other end sees nothing of it."""
        ours, theirs = socket.socketpair()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        wrapped = context.wrap_socket(ours, do_handshake_on_connect=False)
        with wrapped, theirs:
            _fork.sever_in_child(wrapped)
            wrapped.settimeout(0)
            with pytest.raises(ssl.SSLWantReadError):
                wrapped.do_handshake()
            theirs.recv(64 * 1024)
            theirs.settimeout(0)

            assert in_child(wrapped.close) == "None"
            with pytest.raises(BlockingIOError):  # not the end of the stream either
                theirs.recv(1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: downloader(FakeClient()),
        lambda: AsyncBatchDownloader(downloader(FakeClient())),
        lambda: QBittorrentClient("http://nas", username="u", password="very secret"),
        HttpFetcher,
        lambda: MyAnonamouseFetcher("x" * 40),
        MemoryRepository,
    ],
)
@pytest.mark.parametrize("how", [pickle.dumps, copy.copy, copy.deepcopy])
def test_what_belongs_to_a_process_is_not_sent_to_another(
    make: Callable[[], object], how: Callable[[object], object]
) -> None:
    """As with ``spawn`` and ``forkserver``: a clear error in place of a copy with a password in it."""
    thing = make()

    with pytest.raises(ConfigurationError, match=r"a .* cannot be copied or sent to another process: make one there"):
        how(thing)


def run_program(program: str) -> None:
    """Run it with warnings as errors; it says nothing, and ends in time."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent.parent)])}
    quiet = ["-W", "error", "-W", "ignore:This process:DeprecationWarning"]
    answer = subprocess.run(
        [sys.executable, *quiet, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


def test_a_tracker_is_asked_by_each_child_once() -> None:
    """Forty children of one used downloader: each gets the torrents that it has asked for."""
    with Tracker() as tracker, HttpFetcher(allowed_networks=LOOPBACK) as fetcher:
        batches = downloader(FakeClient(), fetcher=fetcher)
        batches.run([request("before", torrent_url=f"{tracker.url}/v1/before")])

        def run(name: str) -> list[str]:
            result = batches.run([request(name, torrent_url=f"{tracker.url}/v1/{name}")])
            return [done.info_hash for done in result.successful]

        for number in range(40):
            name = f"book-{number}"
            assert in_child(partial(run, name)) == str([torrent(name).info_hashes.v1])
