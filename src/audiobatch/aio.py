"""Batches in async programs, on asyncio and on trio: the same names, to be awaited.

The pipeline itself is synchronous and runs in worker threads. Those are an allowance of its
own, so that an application's other work in threads never waits for a batch.

A plug-in written with ``async def`` serves the same ports: `fetcher_from_async`,
`client_from_async` and `repository_from_async` let the threads of a batch call it in the
event loop.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from concurrent.futures import Future
from functools import partial
from threading import Event
from typing import Final, TypeVar

from anyio import CancelScope, CapacityLimiter, create_task_group, sleep_forever, to_thread
from anyio.lowlevel import RunVar

from audiobatch._async_plugins import (
    AsyncRepository,
    AsyncSupportsBulkAdd,
    AsyncSupportsCheck,
    AsyncTorrentClient,
    AsyncTorrentFetcher,
    client_from_async,
    fetcher_from_async,
    repository_from_async,
)
from audiobatch._fork import StaysHere
from audiobatch.downloader import BatchDownloader
from audiobatch.errors import ConfigurationError
from audiobatch.models import Download, GivenRequest
from audiobatch.plans import BatchPlan
from audiobatch.results import BatchResult, Outcome

__all__ = [
    "MAX_CONCURRENT_BATCHES",
    "AsyncBatchDownloader",
    "AsyncRepository",
    "AsyncSupportsBulkAdd",
    "AsyncSupportsCheck",
    "AsyncTorrentClient",
    "AsyncTorrentFetcher",
    "client_from_async",
    "fetcher_from_async",
    "repository_from_async",
]

MAX_CONCURRENT_BATCHES: Final = 32
"""Batches that may be under way at once, each in a thread, unless the downloader is told otherwise."""

_T = TypeVar("_T")


class AsyncBatchDownloader(StaysHere):
    """Runs the batches of a `BatchDownloader` without blocking the event loop.

    Whatever is cancelled here (a task, a scope, a time-out) ends its batch between two steps:
    what is in flight is waited for and settled, the rest is left undone, and only then the
    cancellation goes on. The records are true. How long that takes is up to the time-outs of
    fetcher and client.

    Args:
        downloader: Does the work; it may be used elsewhere at the same time.
        max_concurrent_batches: How many may be under way at once in one event loop, at least 1;
            further ones wait.

    Raises:
        ConfigurationError: The number is below 1.
    """

    def __init__(self, downloader: BatchDownloader, *, max_concurrent_batches: int = MAX_CONCURRENT_BATCHES) -> None:
        if max_concurrent_batches < 1:
            raise ConfigurationError("max_concurrent_batches must be at least 1")
        self._downloader = downloader
        self._max_concurrent_batches = max_concurrent_batches
        # One for each event loop: a limiter belongs to the loop in which it is used.
        self._limiters: RunVar[CapacityLimiter] = RunVar("audiobatch_limiter")

    async def run(self, requests: Iterable[GivenRequest]) -> BatchResult:
        """Queue a batch, and report on every item of it; see `BatchDownloader.run`.

        Raises:
            InvalidBatchError: As there.
        """
        return await self._in_thread(lambda stop: self._downloader.run(requests, stop=stop))

    def stream(self, requests: Iterable[GivenRequest]) -> AsyncGenerator[Outcome, None]:
        """Queue a batch, and yield each outcome as soon as it is settled; see `BatchDownloader.stream`.

        Nothing is done before the first outcome is asked for. Close it where you leave it early,
        with `contextlib.aclosing`: that leaves the rest of the batch undone, and waits for what
        is in flight.

        Raises:
            InvalidBatchError: As there, at the call.
        """
        stop = Event()
        return self._follow(self._downloader.stream(requests, stop=stop), stop)

    async def _follow(self, outcomes: Generator[Outcome, None, None], stop: Event) -> AsyncGenerator[Outcome, None]:
        try:
            while (outcome := await self._in_thread(lambda _: next(outcomes, None), stop)) is not None:
                yield outcome
        finally:
            stop.set()
            with CancelScope(shield=True):
                # Without a turn: whoever leaves is not to wait for the batches of others.
                await self._in_thread(lambda _: outcomes.close(), stop, CapacityLimiter(1))

    async def download(self, request: GivenRequest) -> Download:
        """Queue a single request; see `BatchDownloader.download`.

        Raises:
            AudiobatchError: Why it failed.
        """
        return await self._in_thread(lambda stop: self._downloader.download(request, stop=stop))

    async def plan(self, requests: Iterable[GivenRequest]) -> BatchPlan:
        """Say what `run` would do; see `BatchDownloader.plan`.

        Raises:
            AudiobatchError: As there.
        """
        return await self._in_thread(lambda stop: self._downloader.plan(requests, stop=stop))

    async def recover(self) -> BatchResult:
        """Settle what earlier runs left open; see `BatchDownloader.recover`.

        Raises:
            AudiobatchError: As there.
        """
        return await self._in_thread(lambda stop: self._downloader.recover(stop=stop))

    async def _in_thread(
        self, work: Callable[[Event], _T], stop: Event | None = None, limiter: CapacityLimiter | None = None
    ) -> _T:
        """Call in a thread; if this is cancelled, set `stop`, and wait until the call has returned."""
        stop = stop or Event()
        done: Future[_T] = Future()

        async def call() -> None:
            try:
                done.set_result(await to_thread.run_sync(partial(work, stop), limiter=limiter or self._limiter()))
            except Exception as error:  # noqa: BLE001 - raised below, where no group wraps it
                done.set_exception(error)
            group.cancel_scope.cancel()

        # A task of its own for the call: a group waits for its tasks even where asyncio cancels the task around it
        # by itself, which no shield keeps off.
        async with create_task_group() as group:
            group.start_soon(call)
            try:
                await sleep_forever()
            finally:
                if not done.done():
                    stop.set()
        return done.result()

    def _limiter(self) -> CapacityLimiter:
        try:
            return self._limiters.get()
        except LookupError:
            limiter = CapacityLimiter(self._max_concurrent_batches)
            self._limiters.set(limiter)
            return limiter
