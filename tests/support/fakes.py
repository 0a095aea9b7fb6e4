"""A torrent client and a fetcher in memory, that do what a test tells them to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence

import pytest

from audiobatch import BatchResult, DownloadFailure, RetryPolicy
from audiobatch.errors import AudiobatchError, NotAdded, TorrentNotFound
from audiobatch.metainfo import InfoHashes, Torrent, TorrentFile, parse_torrent
from audiobatch.models import AddOptions, DownloadRequest, TorrentState, TorrentStatus
from support.torrents import book

AT_ONCE = RetryPolicy(attempts=3, wait=0)


def request(name: str, *, title: str | None = None, **fields: object) -> DownloadRequest:
    """Make the request for the book of that name."""
    given: dict[str, object] = {
        "title": title or name,
        "author": "An Author",
        "torrent_url": f"http://tracker.test/{name}.torrent?passkey=s3cret",
        **fields,
    }
    return DownloadRequest(**given)  # type: ignore[arg-type]


def torrent(name: str) -> TorrentFile:
    """Return the torrent of the book of that name; one that is called doubtful is."""
    return parse_torrent(book(name) + (b"\0" if name.startswith("doubtful") else b""))


class FakeFetcher:
    """Serves the book that is named in the URL, and counts.

    Attributes:
        fetched: The names asked for, in order.
        errors: For a name, what the next tries raise, one after the other.
        served: For a name, the name of the book that is served instead.
    """

    def __init__(self) -> None:
        self.fetched: list[str] = []
        self.errors: dict[str, list[Exception]] = {}
        self.served: dict[str, str] = {}

    def fetch(self, request: DownloadRequest, /) -> Torrent:
        """Serve, or raise what was ordered."""
        name = request.torrent_url.rsplit("/", 1)[1].split(".torrent")[0]
        self.fetched.append(name)
        if self.errors.get(name):
            raise self.errors[name].pop(0)
        if name.startswith("missing"):
            raise TorrentNotFound("no such torrent")
        return torrent(self.served.get(name, name))


class FakeClient:
    """Keeps torrents in a dictionary, and can be told to misbehave.

    Attributes:
        torrents: What it has, with the options of the add.
        calls: What was asked of it, in order: "check", "status", "add NAME".
        on_add: Called with the name before an add; what it returns is raised. If it returns
            an error the add is not done, unless the name is in `applied_anyway`.
        applied_anyway: Names that are added although an error is raised.
        hidden: Names that are never shown by a lookup.
        lookups: What the next lookups do: raise this, or (None) answer as they should.
        check_error: What `check` raises.
    """

    name = "fake"

    def __init__(self) -> None:
        self.torrents: dict[InfoHashes, AddOptions] = {}
        self.calls: list[str] = []
        self.on_add: Callable[[str], AudiobatchError | None] = lambda _: None
        self.applied_anyway: set[str] = set()
        self.hidden: set[InfoHashes] = set()
        self.lookups: list[AudiobatchError | None] = []
        self.check_error: AudiobatchError | None = None
        self._busy = threading.Lock()

    def _enter(self, call: str) -> None:
        if not self._busy.acquire(blocking=False):
            pytest.fail("two requests at once")
        self.calls.append(call)

    def check(self) -> None:
        """Raise what was ordered."""
        self._enter("check")
        self._busy.release()
        if self.check_error is not None:
            raise self.check_error

    def add(self, torrent: Torrent, options: AddOptions, /) -> None:
        """Take the torrent, or do what was ordered."""
        self._enter(f"add {torrent.name}")
        self._busy.release()
        error = self.on_add(torrent.name)
        if error is None or torrent.name in self.applied_anyway:
            self.torrents.setdefault(torrent.info_hashes, options)
        if error is not None:
            raise error

    def status(self, info_hashes: Collection[InfoHashes], /) -> Mapping[InfoHashes, TorrentStatus]:
        """Tell which of them are there."""
        self._enter("status")
        self._busy.release()
        error = self.lookups.pop(0) if self.lookups else None
        if error is not None:
            raise error
        there = TorrentStatus(state=TorrentState.DOWNLOADING, progress=0.0)
        return {
            asked: there
            for asked in info_hashes
            if any(asked.matches(held) for held in self.torrents) and asked not in self.hidden
        }

    def names(self, *known: str) -> list[str]:
        """Return which of the books of these names it has."""
        return [name for name in known if torrent(name).info_hashes in self.torrents]


class FakeBulkClient(FakeClient):
    """Takes several torrents in one request, too; such a call is noted as "add_all NAME NAME".

    Attributes:
        on_add_all: Called with the names before a request with several; what it returns is raised. If it
            returns an error the torrents are not taken, unless their names are in `applied_anyway`.
        left_out: Names that a request with several does not bring in although it is accepted.
        options: Those of each request with several, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on_add_all: Callable[[Sequence[str]], AudiobatchError | None] = lambda _: None
        self.left_out: set[str] = set()
        self.options: list[AddOptions] = []

    def add_all(self, torrents: Sequence[Torrent], options: AddOptions, /) -> None:
        """Take the torrents, or do what was ordered."""
        names = [torrent.name for torrent in torrents]
        self._enter(" ".join(["add_all", *names]))
        self._busy.release()
        self.options.append(options)
        error = self.on_add_all(names)
        for torrent in torrents:
            taken = torrent.name in self.applied_anyway if error else torrent.name not in self.left_out
            if taken:
                self.torrents.setdefault(torrent.info_hashes, options)
        if error is not None:
            raise error

    def times(self, name: str) -> int:
        """Return how often the torrent of that name was handed over."""
        return sum(call.startswith("add") and name in call.split()[1:] for call in self.calls)


def codes(result: BatchResult) -> list[str]:
    """Return what became of each item, in short."""
    return [outcome.code if isinstance(outcome, DownloadFailure) else "ok" for outcome in result.outcomes]


class SwarmClient(FakeClient):
    """Knows a magnet link by what it names until its metadata `arrives`, and tells what it knows, as qBittorrent does.

    A file for what is there already is refused; the metadata is taken from it all the same.

    Attributes:
        takes_metadata: Whether it does so.
        complete: What of its torrents has its metadata.
    """

    def __init__(self) -> None:
        super().__init__()
        self.takes_metadata = True
        self.complete: set[InfoHashes] = set()

    def arrives(self, whole: InfoHashes) -> None:
        """Let the metadata of a torrent arrive: all that is there of it becomes one, known by all its info-hashes."""
        options = [self.torrents.pop(held) for held in list(self.torrents) if held.matches(whole)]
        self.torrents[whole] = options[0]
        self.complete.add(whole)

    def add(self, torrent: Torrent, options: AddOptions, /) -> None:
        """Take the torrent, or its metadata, or do what was ordered."""
        is_there = any(held.matches(torrent.info_hashes) for held in self.torrents)
        try:
            super().add(torrent, options)
        finally:
            if isinstance(torrent, TorrentFile) and (torrent.info_hashes in self.torrents or is_there):
                if self.takes_metadata or not is_there:
                    self.arrives(torrent.info_hashes)
                else:
                    self.torrents.pop(torrent.info_hashes, None)
        if is_there:
            raise NotAdded("a duplicate")

    def status(self, info_hashes: Collection[InfoHashes], /) -> Mapping[InfoHashes, TorrentStatus]:
        """Tell which of them are there, and what it knows of each."""
        found = super().status(info_hashes)
        return {asked: self._status(asked) for asked in found}

    def _status(self, asked: InfoHashes) -> TorrentStatus:
        held = next(held for held in self.torrents if held.matches(asked))
        return TorrentStatus(
            state=TorrentState.DOWNLOADING, progress=0.0, info_hashes=held, has_metadata=held in self.complete
        )
