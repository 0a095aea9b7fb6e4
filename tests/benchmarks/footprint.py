"""What a batch costs besides waiting: processor time, memory, imports; and whether that grows."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from attrs import evolve

from audiobatch import BatchDownloader, DownloadRequest
from audiobatch._ids import new_id
from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.metainfo import InfoHashes, parse_torrent
from audiobatch.models import Download, DownloadStatus
from audiobatch.repositories.sqlite import SQLiteRepository
from benchmarks.contest import BOOKS, HERE, program
from benchmarks.far_tracker import torrent
from support.fakes import FakeClient, FakeFetcher, request
from support.qbittorrent import PASSWORD, USERNAME, Daemon

BATCHES: Final = 40
MANY: Final = 1_000_000


def processor_seconds_per_item(rounds: int) -> float:
    """Run batches with a client and a fetcher in memory, and SQLite: what is left is our own work."""
    spent = []
    with tempfile.TemporaryDirectory() as folder, SQLiteRepository(Path(folder, "records.db")) as repository:
        for number in range(-1, rounds):
            downloader = BatchDownloader(client=FakeClient(), fetcher=FakeFetcher(), repository=repository)
            batch = [request(f"book-{number}-{index}") for index in range(BOOKS)]
            begun = time.process_time()
            downloader.run(batch).raise_for_failures()
            if number >= 0:
                spent.append((time.process_time() - begun) / BOOKS)
    return median(spent)


def seconds_per_batch(daemon: Daemon) -> Sequence[float]:
    """Queue 2,000 torrents in batches of fifty, and return what each batch took."""
    daemon.remove_all()
    seconds = []
    with (
        program("far_tracker", BATCHES * BOOKS, 16_000, 0.0) as tracker,
        tempfile.TemporaryDirectory() as folder,
        QBittorrentClient(daemon.url, username=USERNAME, password=PASSWORD) as client,
        HttpFetcher(allowed_networks=["127.0.0.0/8"]) as fetcher,
        SQLiteRepository(Path(folder, "records.db")) as repository,
    ):
        downloader = BatchDownloader(client=client, fetcher=fetcher, repository=repository)
        for batch in range(BATCHES):
            numbers = range(batch * BOOKS, (batch + 1) * BOOKS)
            begun = time.perf_counter()
            downloader.run([ask(number, f"{tracker}/{number}") for number in numbers]).raise_for_failures()
            seconds.append(time.perf_counter() - begun)
    daemon.remove_all()
    return seconds


def ask(number: int, url: str) -> DownloadRequest:
    """Make a request."""
    return DownloadRequest(title=f"Book {number}", author="A", torrent_url=url)


def growth_of_the_repository(rounds: int) -> dict[str, float]:
    """Return for `find` and `reserve` how much longer fifty take with a million records than with none."""
    taken: dict[str, list[float]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        SQLiteRepository(Path(folder, "few.db")) as few,
        SQLiteRepository(Path(folder, "many.db")) as many,
    ):
        for start in range(0, MANY, 10_000):
            many.reserve([_record(start + number, kept=False) for number in range(10_000)])
        for turn in range(-2, rounds):
            for name, repository in (("few", few), ("many", many)):
                records = [_record(MANY + (turn + 2) * BOOKS + number, kept=True) for number in range(BOOKS)]
                finding = _seconds(partial(repository.find, [r.request.torrent_url for r in records], client="c"))
                reserving = _seconds(partial(repository.reserve, records))
                repository.save([evolve(record, status=DownloadStatus.FAILED, torrent=None) for record in records])
                if turn >= 0:
                    taken.setdefault(f"find {name}", []).append(finding)
                    taken.setdefault(f"reserve {name}", []).append(reserving)
    return {
        what: median(m / f for m, f in zip(taken[f"{what} many"], taken[f"{what} few"], strict=True))
        for what in ("find", "reserve")
    }


def _seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def _record(number: int, *, kept: bool) -> Download:
    known = parse_torrent(torrent(number % 1000, 16_000)) if kept else None
    return Download(
        id=new_id(),
        request=ask(number, f"https://tracker.example/{number}"),
        info_hashes=InfoHashes(v1=uuid.uuid4().hex + "00000000"),
        client="c",
        status=DownloadStatus.QUEUED,
        created_at=datetime.now(UTC),
        torrent=known,
    )


def memory_of_a_batch(daemon: Daemon) -> float:
    """Return by how many times their own bytes fifty torrents of 1 MB raise the peak memory of a process."""
    with program("far_tracker", BOOKS, 1_000_000, 0.0) as tracker:
        daemon.remove_all()
        grown = int(_run(str(HERE / "one_batch.py"), tracker, daemon.url))
        daemon.remove_all()
    return grown / (BOOKS * 1_000_000)


def import_times(rounds: int) -> dict[str, float]:
    """Return the median of what a process takes that imports this and nothing else, in seconds."""
    taken: dict[str, list[float]] = {"pass": [], "import httpx": [], "import audiobatch": []}
    for _ in range(rounds):
        for statement, seconds in taken.items():
            seconds.append(_seconds(partial(_run, "-c", statement)))
    return {statement: median(seconds) for statement, seconds in taken.items()}


def _run(*arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
