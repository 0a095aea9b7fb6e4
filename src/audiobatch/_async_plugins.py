"""Let plug-ins written with ``async def`` serve the synchronous ports."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from threading import get_ident
from typing import Protocol, TypeVar, runtime_checkable

from anyio import CancelScope, RunFinishedError, from_thread
from anyio.lowlevel import current_token

from audiobatch._fork import here
from audiobatch._patience import waiting_thread
from audiobatch.errors import ConfigurationError
from audiobatch.metainfo import InfoHashes, Torrent
from audiobatch.models import AddOptions, Download, DownloadRequest, TorrentStatus
from audiobatch.protocols import Repository, TorrentClient, TorrentFetcher

_T = TypeVar("_T")


class AsyncTorrentFetcher(Protocol):
    """A `TorrentFetcher` whose method is a coroutine."""

    async def fetch(self, request: DownloadRequest, /) -> Torrent:
        """See `TorrentFetcher.fetch`."""
        ...


class AsyncTorrentClient(Protocol):
    """A `TorrentClient` whose methods are coroutines."""

    @property
    def name(self) -> str:
        """See `TorrentClient.name`."""
        ...

    async def add(self, torrent: Torrent, options: AddOptions, /) -> None:
        """See `TorrentClient.add`."""
        ...

    async def status(self, info_hashes: Collection[InfoHashes], /) -> Mapping[InfoHashes, TorrentStatus]:
        """See `TorrentClient.status`."""
        ...


@runtime_checkable
class AsyncSupportsCheck(Protocol):
    """A `SupportsCheck` whose method is a coroutine."""

    async def check(self) -> None:
        """See `SupportsCheck.check`."""
        ...


@runtime_checkable
class AsyncSupportsBulkAdd(Protocol):
    """A `SupportsBulkAdd` whose method is a coroutine."""

    async def add_all(self, torrents: Sequence[Torrent], options: AddOptions, /) -> None:
        """See `SupportsBulkAdd.add_all`."""
        ...


class AsyncRepository(Protocol):
    """A `Repository` whose methods are coroutines, and one an async iterator."""

    async def find(self, keys: Collection[str], /, *, client: str) -> Mapping[str, Download]:
        """See `Repository.find`."""
        ...

    async def reserve(self, downloads: Sequence[Download], /) -> Sequence[Download]:
        """See `Repository.reserve`."""
        ...

    async def save(self, downloads: Sequence[Download], /) -> None:
        """See `Repository.save`."""
        ...

    def unsettled(self, *, client: str) -> AsyncIterator[Download]:
        """See `Repository.unsettled`."""
        ...


def fetcher_from_async(fetcher: AsyncTorrentFetcher) -> TorrentFetcher:
    """Make a fetcher for a `BatchDownloader` of one with coroutines. Call it in the event loop that runs them.

    Raises:
        ConfigurationError: No event loop is running here.
    """
    return _Fetcher(fetcher)


def client_from_async(client: AsyncTorrentClient) -> TorrentClient:
    """Make a client for a `BatchDownloader` of one with coroutines. Call it in the event loop that runs them.

    What `SupportsCheck` and `SupportsBulkAdd` name is passed on if it is there.

    Raises:
        ConfigurationError: No event loop is running here.
    """
    return _Client(client)


def repository_from_async(repository: AsyncRepository) -> Repository:
    """Make a repository for a `BatchDownloader` of one with coroutines. Call it in the event loop that runs them.

    Raises:
        ConfigurationError: No event loop is running here.
    """
    return _Repository(repository)


class _Loop:
    """The event loop that was running when this was made, to be called from other threads."""

    def __init__(self) -> None:
        try:
            self._token = current_token()
        except RuntimeError:
            raise ConfigurationError("call it inside a running event loop, whose plug-in it is") from None
        self._thread = get_ident()
        self._process = here()

    def call(self, function: Callable[[], Awaitable[_T]]) -> _T:
        """Await in the loop, and return or raise here what comes of it.

        Raises:
            ConfigurationError: The loop's own thread waits for this, so that nothing could run there; or it has
                ended; or it runs in the process that this one was forked from.
        """
        self._process.require("the event loop of an async plug-in", "make the plug-in anew here")
        if self._thread in (get_ident(), waiting_thread()):
            raise ConfigurationError("a batch with async plug-ins would block its event loop: use AsyncBatchDownloader")

        async def undisturbed() -> _T:
            # A batch that is cancelled still has to settle what is in flight.
            with CancelScope(shield=True):
                result = await function()
            return result  # noqa: RET504 - a scope may swallow an exception, for all that a type checker knows

        try:
            return from_thread.run(undisturbed, token=self._token)
        except RunFinishedError:
            raise ConfigurationError("the event loop of an async plug-in has ended: make it anew") from None


class _Fetcher:
    def __init__(self, inner: AsyncTorrentFetcher) -> None:
        self._inner, self._loop = inner, _Loop()

    def fetch(self, request: DownloadRequest, /) -> Torrent:
        return self._loop.call(lambda: self._inner.fetch(request))


class _Client:
    def __init__(self, inner: AsyncTorrentClient) -> None:
        self._inner, self._loop = inner, _Loop()
        # Attributes of the object, so that only what the plug-in can do is found here.
        if isinstance(inner, AsyncSupportsCheck):
            self.check = lambda: self._loop.call(inner.check)
        if isinstance(inner, AsyncSupportsBulkAdd):
            self.add_all = lambda torrents, options: self._loop.call(lambda: inner.add_all(torrents, options))

    @property
    def name(self) -> str:
        return self._inner.name

    def add(self, torrent: Torrent, options: AddOptions, /) -> None:
        self._loop.call(lambda: self._inner.add(torrent, options))

    def status(self, info_hashes: Collection[InfoHashes], /) -> Mapping[InfoHashes, TorrentStatus]:
        return self._loop.call(lambda: self._inner.status(info_hashes))


class _Repository:
    def __init__(self, inner: AsyncRepository) -> None:
        self._inner, self._loop = inner, _Loop()

    def find(self, keys: Collection[str], /, *, client: str) -> Mapping[str, Download]:
        return self._loop.call(lambda: self._inner.find(keys, client=client))

    def reserve(self, downloads: Sequence[Download], /) -> Sequence[Download]:
        return self._loop.call(lambda: self._inner.reserve(downloads))

    def save(self, downloads: Sequence[Download], /) -> None:
        self._loop.call(lambda: self._inner.save(downloads))

    def unsettled(self, *, client: str) -> Iterator[Download]:
        records = self._inner.unsettled(client=client)

        async def following() -> Download | None:
            return await anext(records, None)

        while (record := self._loop.call(following)) is not None:
            yield record
