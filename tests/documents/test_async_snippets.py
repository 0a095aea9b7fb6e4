"""The snippets about async programs do what the text around them says."""

from __future__ import annotations

import asyncio
from threading import Event
from typing import Any

import httpx
import pytest

from audiobatch import BatchDownloader, BatchResult, FailureCode
from audiobatch.aio import AsyncBatchDownloader
from audiobatch.metainfo import Torrent
from audiobatch.models import DownloadRequest
from audiobatch.repositories.memory import MemoryRepository
from support.fakes import AT_ONCE, FakeClient, FakeFetcher, codes, request
from support.snippets import run_all
from support.torrents import book

QUEUE, STREAM, TIME_OUT, PLUG_IN = range(4)


@pytest.fixture(scope="module")
def snippets() -> Any:
    """Give the names of each snippet, in order."""
    return run_all("docs/async.md")


class SlowFetcher(FakeFetcher):
    """Holds a fetch back until somebody has stopped waiting, and is released."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.released = Event(), Event()

    def fetch(self, request: DownloadRequest, /) -> Torrent:
        """Serve, but not at once."""
        self.begun.set()
        assert self.released.wait(20)
        return super().fetch(request)


def make(client: FakeClient, fetcher: FakeFetcher) -> BatchDownloader:
    """Make a downloader over things in memory."""
    return BatchDownloader(
        client=client, fetcher=fetcher, repository=MemoryRepository(), fetch_retry=AT_ONCE, confirm_retry=AT_ONCE
    )


def test_a_batch_is_awaited(snippets: Any) -> None:
    """The result is that of `BatchDownloader.run`."""
    downloader = make(FakeClient(), FakeFetcher())

    result = asyncio.run(snippets[QUEUE]["queue"](downloader, [request("book"), request("missing")]))

    assert isinstance(result, BatchResult)
    assert codes(result) == ["ok", "torrent_not_found"]


def test_a_stream_that_is_left_early_leaves_the_rest_undone(snippets: Any) -> None:
    """The first failure comes back."""
    batches = AsyncBatchDownloader(make(FakeClient(), FakeFetcher()))

    failure = asyncio.run(snippets[STREAM]["first_failure"](batches, [request("book"), request("missing")]))
    none = asyncio.run(snippets[STREAM]["first_failure"](batches, [request("book")]))

    assert failure.code is FailureCode.TORRENT_NOT_FOUND
    assert none is None


def test_a_time_out_ends_a_batch_between_two_steps(snippets: Any) -> None:
    """What was being fetched is waited for, and nothing is added after that."""
    client, fetcher = FakeClient(), SlowFetcher()
    within = snippets[TIME_OUT]["within"]
    batches = AsyncBatchDownloader(make(client, fetcher))

    async def release_when_it_is_late() -> BatchResult | None:
        loop = asyncio.get_running_loop()
        loop.call_later(0.2, fetcher.released.set)
        result: BatchResult | None = await within(0.05, batches, [request("book")])
        return result

    assert asyncio.run(release_when_it_is_late()) is None
    assert fetcher.begun.is_set()
    assert client.torrents == {}
    in_time = asyncio.run(within(30.0, batches, [request("book")]))
    assert codes(in_time) == ["ok"]


def test_an_async_fetcher_serves_a_batch(snippets: Any) -> None:
    """It fetches in the event loop, and its errors become failures."""

    def answer(asked: httpx.Request) -> httpx.Response:
        if asked.url.path == "/silent.torrent":
            raise httpx.ConnectError("nobody there")
        if asked.url.path == "/missing.torrent":
            return httpx.Response(404)
        return httpx.Response(200, content=book("book"))

    async def queue() -> BatchResult:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            batches = await snippets[PLUG_IN]["make"](http, FakeClient(), MemoryRepository())
            result: BatchResult = await batches.run([request("book"), request("missing"), request("silent")])
            return result

    assert codes(asyncio.run(queue())) == ["ok", "fetch_unavailable", "fetch_unavailable"]
