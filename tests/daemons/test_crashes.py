"""Processes that are killed, and several at once: nothing is lost, and nothing is there twice."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import signal
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from audiobatch import DownloadRequest, DownloadStatus
from audiobatch.metainfo import parse_torrent
from audiobatch.repositories.sqlite import SQLiteRepository
from daemons.doomed import Fuse, opened, run_once, run_until_killed, run_with_fuse
from support.qbittorrent import Daemon
from support.torrents import book
from support.tracker import KINDS, Tracker

pytestmark = pytest.mark.daemon

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("AUDIOBATCH_KILLS", "20"))  # for each generation

# Children come from a server that has imported everything: starting one takes milliseconds.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["daemons.doomed"])


def wanted(tracker: Tracker, number: int) -> DownloadRequest:
    """Ask for the book of that number."""
    return DownloadRequest(
        title=f"{number}", author="A", torrent_url=f"{tracker.url}/{KINDS[number % 3]}/book-{number}"
    )


def hashes_in(daemon: Daemon) -> list[str]:
    """Return the ids of all torrents of the daemon."""
    return sorted(str(row["hash"]) for row in daemon.torrents())


def expected_id(request: DownloadRequest) -> str:
    """Return the id by which the daemon knows the book that was asked for."""
    kind, name = request.torrent_url.rsplit("/", 2)[1:]
    found = parse_torrent(book(name, kind=kind)).info_hashes  # type: ignore[arg-type]
    return found.v2[:40] if found.v2 else str(found.v1)


class Ledger:
    """The database, seen from outside: is it sound, and what does it hold?"""

    def __init__(self, path: Path, daemon: Daemon) -> None:
        self.path = path
        self.client = f"qbittorrent@{daemon.url}"

    def check(self) -> None:
        """See that the file is sound; it may not be there yet, or be empty."""
        if self.path.exists() and self.path.stat().st_size:
            connection = sqlite3.connect(self.path)
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            connection.close()

    def urls(self, requests: list[DownloadRequest]) -> dict[str, DownloadStatus]:
        """Return which of these are on record, and how they stand."""
        with SQLiteRepository(self.path) as records:
            found = records.find([request.torrent_url for request in requests], client=self.client)
        return {url: record.status for url, record in found.items()}


def published(document: str, first_column: str) -> list[list[str]]:
    """Return the rows of the table of a document whose first column has that name."""
    lines = (ROOT / "docs" / document).read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {first_column} |"))
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines[start + 2 :])
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_a_kill_at_each_step_ends_as_published(daemon: Daemon, tracker: Tracker, tmp_path: Path) -> None:
    """The table of the docs tells, for a kill before and after each step, what is there and what becomes of it."""
    request = wanted(tracker, 2)
    log = tmp_path / "steps"
    run_with_fuse(daemon.url, tmp_path / "unharmed.db", request, Fuse("", after=False, log=log))
    steps = dict.fromkeys(log.read_text().splitlines())

    seen = [_kill(request, step, daemon, tracker, tmp_path, after=after) for step in steps for after in (False, True)]

    assert published("reliability.md", "killed") == seen


def _kill(
    request: DownloadRequest, step: str, daemon: Daemon, tracker: Tracker, folder: Path, *, after: bool
) -> list[str]:
    """Kill a process at one of its steps, mend it, and return the row of the table."""
    daemon.remove_all()
    tracker.asked.clear()
    ledger = Ledger(folder / f"{step} {after}.db", daemon)
    fuse = Fuse(step, after=after, log=folder / "steps of the doomed")
    child = processes.Process(target=run_with_fuse, args=(daemon.url, ledger.path, request, fuse))
    child.start()
    child.join(timeout=60)
    assert child.exitcode == -signal.SIGKILL
    ledger.check()

    def there() -> str:
        assert hashes_in(daemon) in ([], [expected_id(request)])
        return "yes" if hashes_in(daemon) else "no"

    row = [
        f"{'after' if after else 'before'} {step}",
        str(ledger.urls([request]).get(request.torrent_url, "nothing")),
        there(),
    ]
    asked = len(tracker.asked)
    with opened(daemon.url, ledger.path) as downloader:
        assert downloader.recover().failed == ()
        assert len(tracker.asked) == asked, "recovery asked the tracker"
        row.append(there())
        assert len(downloader.run([request]).successful) == 1
    assert ledger.urls([request]) == {request.torrent_url: DownloadStatus.QUEUED}
    return [*row, there(), str(len(tracker.asked))]


def test_kills_at_random_moments_lose_nothing(daemon: Daemon, tracker: Tracker, tmp_path: Path) -> None:
    """One process after the other is killed in the middle of its batches; the next one goes on from the records."""
    moments = random.Random(daemon.generation.name)
    ledger = Ledger(tmp_path / "records.db", daemon)
    everything = [wanted(tracker, number) for number in range(KILLS * 6)]
    fetched: Counter[str] = Counter()
    known: set[str] = set()
    killed = 0
    for kill in range(KILLS):
        # Overlapping batches: some of it is new, some of it was in the batches of those killed before.
        batches = [moments.sample(everything[: (kill + 1) * 6], k=6) for _ in range(50)]
        child = processes.Process(target=run_until_killed, args=(daemon.url, ledger.path, batches))
        child.start()
        child.join(timeout=moments.uniform(0.0, 0.6))
        child.kill()
        child.join(timeout=60)
        killed += child.exitcode == -signal.SIGKILL

        ledger.check()
        asked = Counter(tracker.asked)
        assert not {path for path in known if asked[path] > fetched[path]}, "a reserved torrent was fetched again"
        fetched = asked
        known = {url.removeprefix(tracker.url) for url in ledger.urls(everything)}

    with opened(daemon.url, ledger.path) as downloader:
        assert downloader.recover().failed == ()
    on_record = ledger.urls(everything)
    assert set(on_record.values()) <= {DownloadStatus.QUEUED}
    assert sorted(expected_id(r) for r in everything if r.torrent_url in on_record) == hashes_in(daemon)
    assert killed == KILLS


def test_four_processes_share_a_database_and_a_daemon(daemon: Daemon, tracker: Tracker, tmp_path: Path) -> None:
    """Overlapping batches of fifty: each torrent is there once, on one record, and each report is true."""
    ledger = Ledger(tmp_path / "records.db", daemon)
    everything = [wanted(tracker, number) for number in range(110)]
    batches = [everything[start : start + 50] for start in (0, 20, 40, 60)]

    with processes.Pool(4) as pool:
        reports = pool.starmap(run_once, [(daemon.url, ledger.path, batch) for batch in batches])

    assert hashes_in(daemon) == sorted(map(expected_id, everything))
    assert [len(report["successful"]) for report in reports] == [50] * 4  # type: ignore[arg-type]
    ids: dict[str, set[str]] = {}
    for report, batch in zip(reports, batches, strict=True):
        for done, request in zip(report["successful"], batch, strict=True):  # type: ignore[call-overload]
            assert expected_id(request) in (done["info_hashes"]["v1"], (done["info_hashes"]["v2"] or "")[:40])
            ids.setdefault(done["info_hash"], set()).add(done["id"])
    assert all(len(found) == 1 for found in ids.values()), "two records for one torrent"
    assert ledger.urls(everything) == {request.torrent_url: DownloadStatus.QUEUED for request in everything}
    ledger.check()
