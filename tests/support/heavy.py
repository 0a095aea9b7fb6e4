"""A process that queues a batch of huge torrents, and tells what memory that took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from attrs import asdict, evolve, frozen

from audiobatch import BatchDownloader, DownloadRequest
from audiobatch.metainfo import InfoHashes, Torrent, TorrentFile, parse_torrent
from audiobatch.models import AddOptions, TorrentState, TorrentStatus
from audiobatch.repositories.sqlite import SQLiteRepository
from support.peak import memory, reset_peak

MIB: Final = 1024 * 1024
SIZE: Final = 16 * MIB  # of a torrent: the most that is fetched
COUNT: Final = 50  # the most that a batch may hold
FEWER: Final = 24  # still far more than the memory may grow by
_PIECE: Final = 16 * 1024
_PIECES: Final = (SIZE - 200) // 20
_REST: Final = bytes(_PIECES * 20) + b"ee"


@frozen
class Weight:
    """What a batch came to.

    Attributes:
        growth: Bytes by which the memory of the process grew at the most meanwhile.
        codes: What became of its items.
    """

    growth: int
    codes: tuple[str, ...]


def weigh(story: str) -> Weight:
    """Let a new process do what the story says, and tell what that took."""
    program = [sys.executable, "-m", "support.heavy", story]
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(program, stdout=subprocess.PIPE, check=True, timeout=120, env=os.environ | paths)
    found = json.loads(ended.stdout)
    return Weight(found["growth"], tuple(found["codes"]))


class Source:
    """Makes a torrent of 16 MiB for each URL: another one, or the same under another URL."""

    def __init__(self, *, same: bool = False) -> None:
        self._same = parse_torrent(_torrent("Book")) if same else None

    def fetch(self, request: DownloadRequest, /) -> Torrent:
        """Make it anew each time, as a fetch does."""
        if self._same is not None:
            return evolve(self._same, content=_torrent("Book"))
        return parse_torrent(_torrent(request.title))


def _torrent(name: str) -> bytes:
    named = f"4:name{len(name)}:{name}"
    start = f"d4:infod6:lengthi{_PIECES * _PIECE}e{named}12:piece lengthi{_PIECE}e6:pieces{_PIECES * 20}:"
    return start.encode() + _REST


class Sink:
    """A client that keeps the info-hashes alone."""

    name = "sink"

    def __init__(self) -> None:
        self.held: set[InfoHashes] = set()

    def add_all(self, torrents: Sequence[Torrent], _: AddOptions, /) -> None:
        """Take several, in one body as they are sent."""
        body = b"".join(torrent.content for torrent in torrents if isinstance(torrent, TorrentFile))
        assert body
        self.held.update(torrent.info_hashes for torrent in torrents)

    def add(self, torrent: Torrent, options: AddOptions, /) -> None:
        """Take one."""
        self.add_all([torrent], options)

    def status(self, info_hashes: Collection[InfoHashes], /) -> Mapping[InfoHashes, TorrentStatus]:
        """Tell what it has taken."""
        there = TorrentStatus(state=TorrentState.DOWNLOADING, progress=0.0)
        return {hashes: there for hashes in info_hashes if hashes in self.held}


def requests(count: int) -> list[DownloadRequest]:
    """Ask for as many books."""
    return [
        DownloadRequest(title=f"Book {number}", author="A", torrent_url=f"http://tracker.test/{number}")
        for number in range(count)
    ]


def _codes(outcomes: Sequence[object]) -> list[str]:
    return [str(getattr(outcome, "code", "ok")) for outcome in outcomes]


def _tell(story: str, repository: SQLiteRepository) -> Weight:
    client = Sink()
    downloader = BatchDownloader(client=client, fetcher=Source(same=story == "twins"), repository=repository)
    batch = requests(COUNT)
    if story in ("records", "recovery"):
        batch = requests(FEWER)
        downloader.run(batch)
        client.held.clear()
    reset_peak()
    before = memory("VmRSS")
    outcomes = downloader.recover() if story == "recovery" else downloader.run(batch)
    return Weight(memory("VmHWM") - before, tuple(_codes(outcomes.outcomes)))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, SQLiteRepository(Path(folder) / "records.db") as records:
        # It is about memory: there is nothing to wait for the disk for.
        records._connection.execute("PRAGMA synchronous = OFF")
        print(json.dumps(asdict(_tell(sys.argv[1], records))))  # noqa: T201
