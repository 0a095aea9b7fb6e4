"""Plug-ins with coroutines serve the same ports, and keep the same contracts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest
from anyio import to_thread, wait_all_tasks_blocked
from anyio.from_thread import start_blocking_portal

from audiobatch import BatchDownloader, DownloadStatus
from audiobatch.aio import (
    AsyncBatchDownloader,
    AsyncRepository,
    AsyncTorrentClient,
    AsyncTorrentFetcher,
    client_from_async,
    fetcher_from_async,
    repository_from_async,
)
from audiobatch.errors import ConfigurationError, TorrentNotFound
from audiobatch.metainfo import InfoHashes, Torrent
from audiobatch.models import AddOptions, Download, DownloadRequest, TorrentStatus
from audiobatch.protocols import Repository, SupportsBulkAdd, SupportsCheck, TorrentFetcher
from audiobatch.repositories.memory import MemoryRepository
from contract.repository_contract import RepositoryContract
from support.fakes import AT_ONCE, FakeBulkClient, FakeClient, FakeFetcher, codes, request, torrent

BACKENDS = ["asyncio", "trio"]


@pytest.fixture(params=BACKENDS)
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each test on both."""
    return str(request.param)


class Fetcher:
    """Fetches with a coroutine."""

    def __init__(self) -> None:
        self.inner = FakeFetcher()

    async def fetch(self, request: DownloadRequest, /) -> Torrent:
        """Serve, after a turn of the event loop."""
        await anyio.lowlevel.checkpoint()
        return self.inner.fetch(request)


class Client:
    """A client with coroutines, and nothing optional.

    Attributes:
        inner: What it has.
        added: Set as soon as it was given something.
        answers: It answers an add when this is set, as it is unless the test sees to it.
    """

    name = "fake"

    def __init__(self) -> None:
        self.inner = FakeBulkClient()
        self.added = anyio.Event()
        self.answers = anyio.Event()
        self.answers.set()

    async def add(self, torrent: Torrent, options: AddOptions, /) -> None:
        """Take it, and answer when it is time to."""
        self.inner.add(torrent, options)
        self.added.set()
        await self.answers.wait()

    async def status(self, info_hashes: Collection[InfoHashes], /) -> Mapping[InfoHashes, TorrentStatus]:
        """Tell what is there."""
        await anyio.lowlevel.checkpoint()
        return self.inner.status(info_hashes)


class ClientWithAll(Client):
    """One that can be checked, and takes several at once."""

    async def check(self) -> None:
        """Be well."""
        await anyio.lowlevel.checkpoint()
        self.inner.check()

    async def add_all(self, torrents: Sequence[Torrent], options: AddOptions, /) -> None:
        """Take them."""
        await anyio.lowlevel.checkpoint()
        self.inner.add_all(torrents, options)


class AsyncRecords:
    """A repository with coroutines."""

    def __init__(self) -> None:
        self.inner = MemoryRepository()

    async def find(self, keys: Collection[str], /, *, client: str) -> Mapping[str, Download]:
        """Find."""
        await anyio.lowlevel.checkpoint()
        return self.inner.find(keys, client=client)

    async def reserve(self, downloads: Sequence[Download], /) -> Sequence[Download]:
        """Reserve."""
        await anyio.lowlevel.checkpoint()
        return self.inner.reserve(downloads)

    async def save(self, downloads: Sequence[Download], /) -> None:
        """Save."""
        await anyio.lowlevel.checkpoint()
        self.inner.save(downloads)

    async def unsettled(self, *, client: str) -> AsyncIterator[Download]:
        """Iterate."""
        for record in self.inner.unsettled(client=client):
            await anyio.lowlevel.checkpoint()
            yield record


def conform(fetcher: Fetcher, client: Client, repository: AsyncRecords) -> None:
    """Let the type checker see that these are what the ports ask for."""
    _: tuple[AsyncTorrentFetcher, AsyncTorrentClient, AsyncRepository] = (fetcher, client, repository)


@pytest.mark.parametrize("backend", BACKENDS)
class TestRepositoryFromAsync(RepositoryContract):
    """Records that are kept by coroutines."""

    @pytest.fixture
    def repository(self, backend: str) -> Iterator[Repository]:
        """Give an empty one, whose event loop runs in a thread."""
        with start_blocking_portal(backend) as portal:
            yield portal.call(repository_from_async, AsyncRecords())


def downloader_of(client: Client, fetcher: Fetcher, repository: AsyncRecords) -> BatchDownloader:
    """Make a downloader of nothing but plug-ins with coroutines; call it in their loop."""
    return BatchDownloader(
        client=client_from_async(client),
        fetcher=fetcher_from_async(fetcher),
        repository=repository_from_async(repository),
        fetch_retry=AT_ONCE,
        confirm_retry=AT_ONCE,
    )


@pytest.mark.anyio
@pytest.mark.parametrize("kind", [Client, ClientWithAll])
async def test_a_batch_over_coroutines_alone(kind: type[Client]) -> None:
    """Everything is awaited in the loop, from the thread of the batch and from those that fetch."""
    client, fetcher, repository = kind(), Fetcher(), AsyncRecords()
    downloader = AsyncBatchDownloader(downloader_of(client, fetcher, repository))
    result = await downloader.run([request("a"), request("missing"), request("b")])

    assert codes(result) == ["ok", "torrent_not_found", "ok"]
    assert client.inner.names("a", "b") == ["a", "b"]
    assert ("check" in client.inner.calls) is (kind is ClientWithAll)
    client.inner.torrents.clear()
    assert len((await downloader.recover()).successful) == 2


@pytest.mark.anyio
async def test_what_is_optional_is_there_if_the_plug_in_has_it() -> None:
    """A client without a check is not asked for one."""
    bare, full = client_from_async(Client()), client_from_async(ClientWithAll())

    assert (isinstance(bare, SupportsCheck), isinstance(bare, SupportsBulkAdd)) == (False, False)
    assert (isinstance(full, SupportsCheck), isinstance(full, SupportsBulkAdd)) == (True, True)
    assert bare.name == "fake"


@pytest.mark.anyio
async def test_a_batch_that_is_cancelled_settles_over_coroutines_too() -> None:
    """What the client was given is still looked up and written down, with the batch's own task cancelled."""
    client, fetcher, repository = Client(), Fetcher(), AsyncRecords()
    client.answers = anyio.Event()
    downloader = AsyncBatchDownloader(downloader_of(client, fetcher, repository))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(downloader.run, [request("a")])
        await client.added.wait()
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await wait_all_tasks_blocked()
        client.answers.set()

    (record,) = repository.inner.find([request("a").torrent_url], client="fake").values()
    assert record.status is DownloadStatus.QUEUED
    assert client.inner.names("a") == ["a"]


@pytest.mark.anyio
async def test_errors_come_through() -> None:
    """As the plug-in raised them."""
    fetcher = fetcher_from_async(Fetcher())

    assert (await to_thread.run_sync(fetcher.fetch, request("a"))).info_hashes == torrent("a").info_hashes
    with pytest.raises(TorrentNotFound, match="no such torrent"):
        await to_thread.run_sync(fetcher.fetch, request("missing"))


@pytest.mark.anyio
async def test_a_batch_in_the_loops_own_thread_is_refused() -> None:
    """It would wait for itself for ever; the error says what to use."""
    all_of_them = downloader_of(Client(), Fetcher(), AsyncRecords())
    # Here it is a thread of the batch that calls the loop, while the loop waits for the batch.
    fetcher_alone = BatchDownloader(
        client=FakeClient(), fetcher=fetcher_from_async(Fetcher()), repository=MemoryRepository()
    )

    for downloader in (all_of_them, fetcher_alone):
        result = downloader.run([request("a")])

        assert [failure.code for failure in result.failed] == ["configuration"]
        assert "use AsyncBatchDownloader" in result.failed[0].error


def test_without_a_loop_it_is_refused() -> None:
    """There is nothing that could run the coroutines."""
    with pytest.raises(ConfigurationError, match="inside a running event loop"):
        fetcher_from_async(Fetcher())
    with pytest.raises(ConfigurationError, match="inside a running event loop"):
        repository_from_async(AsyncRecords())


def test_a_loop_that_has_ended_is_told(anyio_backend: str) -> None:
    """As of a plug-in that was made in another ``asyncio.run``."""

    async def adapt() -> TorrentFetcher:
        return fetcher_from_async(Fetcher())

    fetcher = anyio.run(adapt, backend=anyio_backend)
    with (
        ThreadPoolExecutor(1) as thread,
        pytest.raises(ConfigurationError, match="has ended: make it anew"),
    ):
        thread.submit(fetcher.fetch, request("a")).result()
