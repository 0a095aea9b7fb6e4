"""Batches in async programs, on asyncio and on trio."""

from __future__ import annotations

import asyncio
import contextvars
import gc
from contextlib import aclosing
from threading import Event, get_ident

import anyio
import pytest
from anyio import to_thread, wait_all_tasks_blocked

from audiobatch import (
    BatchDownloader,
    BatchResult,
    BatchTooLargeError,
    DownloadFailure,
    DownloadStatus,
    EmptyBatchError,
    FailureCode,
)
from audiobatch.aio import AsyncBatchDownloader
from audiobatch.errors import ClientUnavailable, ConfigurationError, TorrentNotFound
from audiobatch.metainfo import Torrent
from audiobatch.models import AddOptions, DownloadRequest
from audiobatch.repositories.memory import MemoryRepository
from support.fakes import AT_ONCE, FakeClient, FakeFetcher, codes, request, torrent

pytestmark = pytest.mark.anyio

PATIENCE = 20.0  # seconds


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each test on both."""
    return str(request.param)


class Gate:
    """Keeps a call waiting until the test lets it through.

    Attributes:
        reached: Set as soon as something waits here.
        opened: Set by the test.
        passed: Set when it went on.
    """

    def __init__(self) -> None:
        self.reached, self.opened, self.passed = Event(), Event(), Event()

    def wait(self) -> None:
        """Wait, in a thread of a batch."""
        self.reached.set()
        assert self.opened.wait(PATIENCE), "the test never opened the gate"
        self.passed.set()

    async def is_reached(self) -> None:
        """Wait, in the event loop, until something is here."""
        assert await to_thread.run_sync(self.reached.wait, PATIENCE), "nothing came to the gate"

    async def open_when_cancelled(self) -> None:
        """Open it, but not before every task has heard of its cancellation."""
        with anyio.CancelScope(shield=True):
            await wait_all_tasks_blocked()
        self.opened.set()


class GatedFetcher(FakeFetcher):
    """Waits before it serves the book called "gated"."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()

    def fetch(self, request: DownloadRequest, /) -> Torrent:
        """Serve."""
        if request.title == "gated":
            self.gate.wait()
        return super().fetch(request)


class GatedClient(FakeClient):
    """Waits after it has taken the book called "gated", before it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()

    def add(self, torrent: Torrent, options: AddOptions, /) -> None:
        """Take it."""
        super().add(torrent, options)
        if torrent.name == "gated":
            self.gate.wait()


@pytest.fixture
def fetcher() -> GatedFetcher:
    """Give a fetcher with a gate."""
    return GatedFetcher()


@pytest.fixture
def plain(client: FakeClient, fetcher: GatedFetcher, repository: MemoryRepository) -> BatchDownloader:
    """Give a downloader that does one thing after the other."""
    return BatchDownloader(
        client=client,
        fetcher=fetcher,
        repository=repository,
        max_concurrent_fetches=1,
        fetch_retry=AT_ONCE,
        confirm_retry=AT_ONCE,
    )


@pytest.fixture
def downloader(plain: BatchDownloader) -> AsyncBatchDownloader:
    """Give the same for async programs."""
    return AsyncBatchDownloader(plain)


class TestTheSameNames:
    """Each does what its synchronous namesake does."""

    async def test_run(self, downloader: AsyncBatchDownloader, client: FakeClient) -> None:
        """A batch and its report."""
        result = await downloader.run([request("a"), request("missing"), {}])

        assert isinstance(result, BatchResult)
        assert codes(result) == ["ok", "torrent_not_found", "invalid_request"]
        assert client.names("a") == ["a"]

    async def test_stream(self, downloader: AsyncBatchDownloader) -> None:
        """Each outcome, as soon as it is settled."""
        batch = [request(name) for name in ("a", "missing", "b")]
        outcomes = [outcome async for outcome in downloader.stream(batch)]

        assert codes(BatchResult(outcomes)) == ["ok", "torrent_not_found", "ok"]

    async def test_an_outcome_comes_before_the_batch_is_through(
        self, downloader: AsyncBatchDownloader, fetcher: GatedFetcher
    ) -> None:
        """While a later item is still being fetched."""
        async with aclosing(downloader.stream([request("missing"), request("gated")])) as outcomes:
            first = await anext(outcomes)
            assert first.index == 0
            fetcher.gate.opened.set()
            assert [outcome.index async for outcome in outcomes] == [1]

    async def test_download(self, downloader: AsyncBatchDownloader) -> None:
        """One book, or the error."""
        assert (await downloader.download(request("a"))).info_hash == torrent("a").info_hashes.v1
        with pytest.raises(TorrentNotFound):
            await downloader.download(request("missing"))

    async def test_plan(self, downloader: AsyncBatchDownloader, client: FakeClient) -> None:
        """What would happen."""
        assert [item.action for item in (await downloader.plan([request("a")])).items] == ["fetch"]
        assert client.torrents == {}

    async def test_recover(self, downloader: AsyncBatchDownloader, client: FakeClient) -> None:
        """What was left open is settled."""
        await downloader.run([request("a")])
        client.torrents.clear()

        assert len((await downloader.recover()).successful) == 1
        assert client.names("a") == ["a"]

    async def test_a_batch_that_is_none(self, downloader: AsyncBatchDownloader) -> None:
        """The error comes bare, in no group, and at the call of a stream, before anything is awaited."""
        with pytest.raises(EmptyBatchError):
            await downloader.run([])
        with pytest.raises(BatchTooLargeError):
            downloader.stream([{}] * 51)
        with pytest.raises(EmptyBatchError):
            await downloader.plan([])

    async def test_a_bug_of_a_fetcher_fails_its_item(
        self, downloader: AsyncBatchDownloader, fetcher: GatedFetcher, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The others get there, and the log says where it was."""
        fetcher.errors["bug"] = [TypeError("a bug")]

        result = await downloader.run([request("bug"), request("good")])

        assert codes(result) == ["fetch_error", "ok"]
        assert "the fetcher failed unexpectedly\nTraceback" in caplog.text

    async def test_context_variables_are_seen(self, downloader: AsyncBatchDownloader, client: FakeClient) -> None:
        """What is set around a batch holds in the thread that runs it, as tracing needs it."""
        caller: contextvars.ContextVar[str] = contextvars.ContextVar("caller", default="nobody")
        seen: list[str] = []

        def on_add(_: str) -> None:
            seen.append(caller.get())

        client.on_add = on_add
        caller.set("somebody")
        await downloader.run([request("a")])

        assert seen == ["somebody"]


class TestCancelling:
    """A batch that is cancelled stops between two steps, and leaves true records."""

    async def test_while_it_fetches(
        self,
        downloader: AsyncBatchDownloader,
        fetcher: GatedFetcher,
        client: FakeClient,
        repository: MemoryRepository,
    ) -> None:
        """The fetch under way is waited for and kept on record; nothing more is asked or added."""
        batch = [request("missing"), request("gated"), request("later")]
        came_back = []
        async with anyio.create_task_group() as tasks:

            async def run() -> None:
                try:
                    await downloader.run(batch)
                finally:
                    came_back.append(fetcher.gate.passed.is_set())

            tasks.start_soon(run)
            await fetcher.gate.is_reached()
            tasks.cancel_scope.cancel()
            await fetcher.gate.open_when_cancelled()

        assert came_back == [True]
        assert fetcher.fetched == ["missing", "gated"]
        assert client.torrents == {}
        (record,) = repository.find([request("gated").torrent_url], client="fake").values()
        assert (record.status, record.torrent) == (DownloadStatus.FAILED, torrent("gated"))

    async def test_while_it_adds(self, fetcher: GatedFetcher, repository: MemoryRepository) -> None:
        """What the client was given is looked up and settled; the rest is left undone."""
        client = GatedClient()
        plain = BatchDownloader(
            client=client,
            fetcher=fetcher,
            repository=repository,
            max_concurrent_fetches=1,
            confirm_retry=AT_ONCE,
        )
        fetcher.gate.opened.set()
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(AsyncBatchDownloader(plain).run, [request("gated"), request("later")])
                await client.gate.is_reached()
                scope.cancel()
                await client.gate.open_when_cancelled()

        (record,) = repository.find([request("gated").torrent_url], client="fake").values()
        assert record.status is DownloadStatus.QUEUED
        assert client.names("gated", "later") == ["gated"]

    async def test_the_cancellation_goes_on(self, downloader: AsyncBatchDownloader, fetcher: GatedFetcher) -> None:
        """A time-out around a batch is a time-out, after the batch has ended."""
        fetcher.gate.opened.set()
        with pytest.raises(TimeoutError):
            with anyio.fail_after(0):
                await downloader.run([request("gated")])

    async def test_a_stream_that_is_cancelled(
        self, downloader: AsyncBatchDownloader, fetcher: GatedFetcher, client: FakeClient
    ) -> None:
        """It ends as a run does."""
        seen: list[int] = []
        async with anyio.create_task_group() as tasks:

            async def consume() -> None:
                async for outcome in downloader.stream([request(name) for name in ("missing", "gated", "later")]):
                    seen.append(outcome.index)  # noqa: PERF401 - what was seen before the cancellation counts

            tasks.start_soon(consume)
            await fetcher.gate.is_reached()
            tasks.cancel_scope.cancel()
            await fetcher.gate.open_when_cancelled()

        assert seen in ([], [0])
        assert fetcher.fetched == ["missing", "gated"]
        assert client.torrents == {}

    async def test_a_stream_that_is_left_early(
        self, downloader: AsyncBatchDownloader, fetcher: GatedFetcher, client: FakeClient
    ) -> None:
        """Closing it leaves the rest undone."""
        batch = [request("missing"), *(request(f"later {number}") for number in range(20))]
        async with aclosing(downloader.stream(batch)) as outcomes:
            async for _ in outcomes:
                break

        assert len(fetcher.fetched) <= 3
        assert client.torrents == {}

    async def test_a_stream_ends_although_others_have_all_threads(
        self, plain: BatchDownloader, fetcher: GatedFetcher
    ) -> None:
        """To close one needs no turn: who leaves does not wait for the batches of others."""
        one_at_a_time = AsyncBatchDownloader(plain, max_concurrent_batches=1)
        leaving = one_at_a_time.stream([request("missing"), *(request(f"later {number}") for number in range(20))])
        await anext(leaving)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one_at_a_time.run, [request("gated")])
            await fetcher.gate.is_reached()
            tasks.start_soon(self._open_late, fetcher.gate)
            await leaving.aclose()
            closed_first = not fetcher.gate.opened.is_set()
            fetcher.gate.opened.set()

        assert closed_first

    async def _open_late(self, gate: Gate) -> None:
        await to_thread.run_sync(gate.opened.wait, 2.0)
        gate.opened.set()

    async def test_a_batch_that_waits_for_its_turn(self, plain: BatchDownloader, fetcher: GatedFetcher) -> None:
        """It is cancelled at once, and was never begun."""
        one_at_a_time = AsyncBatchDownloader(plain, max_concurrent_batches=1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one_at_a_time.run, [request("gated")])
            await fetcher.gate.is_reached()
            with anyio.move_on_after(0.05) as scope:
                await one_at_a_time.run([request("never")])
            assert scope.cancelled_caught
            assert not fetcher.gate.passed.is_set()
            fetcher.gate.opened.set()

        assert fetcher.fetched == ["gated"]


class TestOnAsyncioItself:
    """What asyncio does without anyio: it cancels a task from outside, and again if it likes."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        """Give asyncio alone."""
        return "asyncio"

    @pytest.mark.parametrize("times", [1, 3])
    async def test_a_task_that_is_cancelled(
        self,
        downloader: AsyncBatchDownloader,
        fetcher: GatedFetcher,
        client: FakeClient,
        repository: MemoryRepository,
        times: int,
    ) -> None:
        """However often: the batch is waited for, and its records are true."""
        task = asyncio.create_task(downloader.run([request("missing"), request("gated"), request("later")]))
        await fetcher.gate.is_reached()
        for _ in range(times):
            task.cancel()
            await asyncio.wait([task], timeout=0.01)
            assert not task.done()
        fetcher.gate.opened.set()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert fetcher.fetched == ["missing", "gated"]
        assert client.torrents == {}
        (record,) = repository.find([request("gated").torrent_url], client="fake").values()
        assert record.status is DownloadStatus.FAILED

    async def test_a_timeout(self, downloader: AsyncBatchDownloader, fetcher: GatedFetcher) -> None:
        """`asyncio.timeout` works as everywhere."""
        opening = asyncio.create_task(self._open_when_reached(fetcher.gate))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await downloader.run([request("gated"), request("later")])
        await opening

        assert fetcher.fetched == ["gated"]

    async def _open_when_reached(self, gate: Gate) -> None:
        await gate.is_reached()
        await asyncio.wait([asyncio.create_task(asyncio.Event().wait())], timeout=0.1)
        gate.opened.set()

    async def test_a_stream_that_is_dropped(
        self, downloader: AsyncBatchDownloader, fetcher: GatedFetcher, client: FakeClient
    ) -> None:
        """Without being closed, it is closed by the event loop, and the rest is left undone."""
        outcomes = downloader.stream([request("missing"), *(request(f"later {number}") for number in range(20))])
        async for _ in outcomes:
            break
        before = asyncio.all_tasks()
        del outcomes
        gc.collect()
        await asyncio.sleep(0)
        closing = asyncio.all_tasks() - before
        assert closing
        await asyncio.wait(closing, timeout=PATIENCE)

        assert len(fetcher.fetched) <= 3
        assert client.torrents == {}


class TestThreads:
    """Batches have threads of their own."""

    async def test_the_allowance_of_others_is_not_used(self, plain: BatchDownloader, fetcher: GatedFetcher) -> None:
        """Whatever else the application does in threads goes on beside any number of batches."""
        downloader = AsyncBatchDownloader(plain, max_concurrent_batches=2)
        others = to_thread.current_default_thread_limiter()
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(downloader.run, [request("gated")])
            await fetcher.gate.is_reached()
            assert others.borrowed_tokens == 0
            fetcher.gate.opened.set()

        assert fetcher.fetched.count("gated") <= 10

    async def test_no_more_than_allowed(self, repository: MemoryRepository) -> None:
        """Further batches wait."""
        client, busy, most = FakeClient(), [0], [0]

        class Counting(FakeFetcher):
            def fetch(self, request: DownloadRequest, /) -> Torrent:
                busy[0] += 1
                most[0] = max(most[0], busy[0])
                Event().wait(0.005)
                busy[0] -= 1
                return super().fetch(request)

        plain = BatchDownloader(
            client=client, fetcher=Counting(), repository=repository, max_concurrent_fetches=1, confirm_retry=AT_ONCE
        )
        downloader = AsyncBatchDownloader(plain, max_concurrent_batches=3)
        async with anyio.create_task_group() as tasks:
            for number in range(9):
                tasks.start_soon(downloader.run, [request(f"book {number}")])

        assert len(client.torrents) == 9
        assert most[0] <= 3

    async def test_the_loop_is_free_meanwhile(
        self, downloader: AsyncBatchDownloader, client: FakeClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The pipeline runs elsewhere."""
        where: list[int] = []
        monkeypatch.setattr(client, "check", lambda: where.append(get_ident()))
        await downloader.run([request("a")])

        assert len(where) == 1
        assert get_ident() not in where

    def test_one_object_in_several_loops(self, plain: BatchDownloader, anyio_backend: str) -> None:
        """One after the other, as in a task queue that starts a loop for each task."""
        downloader = AsyncBatchDownloader(plain, max_concurrent_batches=1)

        async def batch() -> BatchResult:
            return await downloader.run([request("a")])

        assert [codes(anyio.run(batch, backend=anyio_backend)) for _ in range(2)] == [["ok"], ["ok"]]

    @pytest.mark.parametrize("number", [0, -1])
    def test_less_than_one_is_refused(self, plain: BatchDownloader, number: int) -> None:
        """Nothing could ever run."""
        with pytest.raises(ConfigurationError, match="at least 1"):
            AsyncBatchDownloader(plain, max_concurrent_batches=number)


async def test_a_client_that_is_down(downloader: AsyncBatchDownloader, client: FakeClient) -> None:
    """It is a result, as ever; nothing but a cancellation is raised."""
    client.check_error = ClientUnavailable("down")
    result = await downloader.run([request("a"), request("b")])

    assert [failure.code for failure in result.failed] == [FailureCode.CLIENT_UNAVAILABLE, FailureCode.NOT_ATTEMPTED]
    assert all(isinstance(outcome, DownloadFailure) for outcome in result.outcomes)
