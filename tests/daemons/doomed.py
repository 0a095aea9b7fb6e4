"""Processes for the crash tests: they run batches on a real daemon, and are killed while they do."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from audiobatch import BatchDownloader, BatchResult, Download, DownloadRequest, RetryPolicy, wire
from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.metainfo import InfoHashes, Torrent
from audiobatch.models import AddOptions, TorrentStatus
from audiobatch.repositories.sqlite import SQLiteRepository
from support.qbittorrent import PASSWORD, USERNAME
from support.tracker import LOOPBACK

_T = TypeVar("_T")


class Fuse:
    """Kills this process with SIGKILL right before or right after it first comes to a step.

    Args:
        step: The name of a call of a port; an empty one lets the process live.
        after: The call returns first.
        log: The file that gets the name of each step that is come to.
    """

    def __init__(self, step: str, *, after: bool, log: Path) -> None:
        self._step = step
        self._after = after
        self._log = log

    def around(self, step: str, call: Callable[[], _T]) -> _T:
        """Make a call, unless this is the moment; or die when it has returned."""
        with self._log.open("a") as log:
            log.write(f"{step}\n")
        if step == self._step and not self._after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = call()
        if step == self._step:
            os.kill(os.getpid(), signal.SIGKILL)
        return result


class FusedClient(QBittorrentClient):
    """A client whose calls burn a fuse."""

    fuse: Fuse
    _added = False

    def check(self) -> None:
        """Check, or die."""
        self.fuse.around("check", super().check)

    def add(self, torrent: Torrent, options: AddOptions, /) -> None:
        """Add, or die."""
        self._added = True
        self.fuse.around("add", lambda: super(FusedClient, self).add(torrent, options))

    def status(self, info_hashes: Collection[InfoHashes], /) -> Mapping[InfoHashes, TorrentStatus]:
        """Look up, or die."""
        step = "confirm" if self._added else "look up"
        return self.fuse.around(step, lambda: super(FusedClient, self).status(info_hashes))


class FusedFetcher(HttpFetcher):
    """A fetcher whose calls burn a fuse."""

    fuse: Fuse

    def fetch(self, request: DownloadRequest, /) -> Torrent:
        """Fetch, or die."""
        return self.fuse.around("fetch", lambda: super(FusedFetcher, self).fetch(request))


class FusedRepository(SQLiteRepository):
    """A repository whose calls burn a fuse."""

    fuse: Fuse

    def find(self, keys: Collection[str], /, *, client: str) -> Mapping[str, Download]:
        """Find, or die."""
        return self.fuse.around("find", lambda: super(FusedRepository, self).find(keys, client=client))

    def reserve(self, downloads: Sequence[Download], /) -> Sequence[Download]:
        """Reserve, or die."""
        return self.fuse.around("reserve", lambda: super(FusedRepository, self).reserve(downloads))

    def save(self, downloads: Sequence[Download], /) -> None:
        """Save, or die."""
        self.fuse.around("settle", lambda: super(FusedRepository, self).save(downloads))


def run_with_fuse(url: str, database: Path, request: DownloadRequest, fuse: Fuse) -> None:
    """Run a batch of one, and be killed where the fuse ends, if it comes to that."""
    FusedClient.fuse = FusedFetcher.fuse = FusedRepository.fuse = fuse
    with (
        FusedClient(url, username=USERNAME, password=PASSWORD) as client,
        FusedFetcher(allowed_networks=LOOPBACK) as fetcher,
        FusedRepository(database) as repository,
    ):
        BatchDownloader(client=client, fetcher=fetcher, repository=repository).run([request])


@contextmanager
def opened(url: str, database: Path) -> Iterator[BatchDownloader]:
    """Give a downloader as a program would make it."""
    with (
        QBittorrentClient(url, username=USERNAME, password=PASSWORD) as client,
        HttpFetcher(allowed_networks=LOOPBACK) as fetcher,
        SQLiteRepository(database) as repository,
    ):
        yield BatchDownloader(
            client=client,
            fetcher=fetcher,
            repository=repository,
            confirm_retry=RetryPolicy(attempts=5, wait=0.1, factor=3.0),
        )


def run_until_killed(url: str, database: Path, batches: list[list[DownloadRequest]]) -> None:
    """Do what a program does: recover at the start, then run batch after batch without an end."""
    with opened(url, database) as downloader:
        downloader.recover()
        for batch in itertools.cycle(batches):
            downloader.run(batch)


def run_once(url: str, database: Path, requests: list[DownloadRequest]) -> dict[str, object]:
    """Run one batch, and return the report as JSON data."""
    with opened(url, database) as downloader:
        result: BatchResult = downloader.run(requests)
        return wire.dump_result(result)
