"""The promise as a machine: whatever fails, is killed or is taken away, the report is the truth."""

from __future__ import annotations

import logging
import tempfile
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from audiobatch import BatchDownloader, Download, DownloadFailure, DownloadRequest, DownloadStatus, FailureCode
from audiobatch.errors import ClientError, RepositoryError
from audiobatch.metainfo import InfoHashes, TorrentFile
from audiobatch.models import GivenRequest
from audiobatch.protocols import Repository
from audiobatch.repositories import sqlite
from audiobatch.repositories._records import load_record
from audiobatch.repositories.memory import MemoryRepository
from audiobatch.results import Outcome
from property.promise_world import BOOKS, GIVEN, LEADS_TO, NAMES, PLANS, Crash, OneByOne, Plan, World
from support.fakes import AT_ONCE
from support.inline import Inline

# What says that the request itself, or what it leads to, is no good: whatever else happens, it is worth running again.
AT_FAULT: Final = {
    FailureCode.INVALID_REQUEST,
    FailureCode.NOT_A_TORRENT,
    FailureCode.TORRENT_NOT_FOUND,
    FailureCode.FETCH_DENIED,
    FailureCode.BLOCKED_ADDRESS,
    FailureCode.FETCH_ERROR,
    FailureCode.TORRENT_REJECTED,
    FailureCode.UNSUPPORTED,
}

steps: Final[Counter[str]] = Counter()
"""How many steps each machine has made."""


class Promise(RuleBasedStateMachine):
    """Batches, recoveries, crashes and meddling, in any order, and what has to hold all the time.

    Of each run that comes to its end:

    1.  There is one outcome for each index, in order, and it gives the request back as it came.
    2.  A success is in the client under the reported info-hashes, and these are of the book behind the URL.
        One that was not ``already_present`` was handed over in this run; one that was had been there before, or the
        client has refused it as if it had been, or another item of the same run brought it there.
    3.  A failure other than ``unconfirmed`` is not in the client; or it was before the run (the report of a client that
        cannot be asked cannot tell); or another item of the same run asked for it too, and says so.
    4.  ``unconfirmed`` was handed over in this run, and unless a twin knows better its record waits for a recovery.

    Of every run, also one that crashes, is stopped, or is left early:

    5.  What goes to the client is on record, reserved, with this very torrent; a lookup has just shown that the client
        does not have it; it was not handed over since; the run was not told to stop; no item costs more than two adds,
        be it alone or together with others; what goes together is of different torrents.
    6.  A torrent that is on record is not fetched, nor is one whose URL leads to what the client shows. No URL is
        asked more often than the policy says. A recovery asks no tracker at all.
    7.  The client gets one call at a time.
    8.  What was owed stays owed: a record that a recovery has to look at (reserved, or confirmed and still holding its
        torrent) may only leave that state because the client has the torrent, or has plainly refused it in this run.
    9.  What came into the client in this run, and was not refused after that, still has its torrent on record at the
        end of it: nothing tells yet that the client has it on disk.

    At all times:

    10. No two records share an info-hash, and a record holds no torrent but its own; what is reserved holds one.

    After a recovery in which nothing fails:

    11. Everything that was owed is in the client, reported as a success, and recorded as queued; and where a record
        held a file, the client has its metadata.
    """

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.open())
        self.boot()

    @abstractmethod
    def open(self) -> Repository:
        """Open the storage."""

    @abstractmethod
    def reopen(self) -> Repository:
        """Open the storage again after a crash."""

    @abstractmethod
    def records(self) -> list[Download]:
        """Return all records, oldest first."""

    def boot(self, workers: int = 4, *, together: bool = False) -> None:
        """Start the program."""
        self.downloader = BatchDownloader(
            client=self.world if together else OneByOne(self.world),
            fetcher=self.world,
            repository=self.world,
            max_concurrent_fetches=workers,
            fetch_retry=AT_ONCE,
            confirm_retry=AT_ONCE,
        )

    @rule(names=NAMES, plan=PLANS)
    def run_a_batch(self, names: list[str], plan: Plan) -> None:
        """Run a batch in which things go wrong."""
        given = [GIVEN[name] for name in names]
        self.run(given, plan, lambda: self.downloader.run(given, stop=self.world.stop).outcomes)

    @rule(names=NAMES, together=st.booleans())
    def run_a_batch_in_peace(self, names: list[str], *, together: bool = False) -> None:
        """Run a batch in which nothing goes wrong."""
        given = [GIVEN[name] for name in names]
        self.run(given, Plan(together=together), lambda: self.downloader.run(given).outcomes)

    @rule(names=NAMES, plan=PLANS, taken=st.integers(0, 7))
    def leave_a_batch_early(self, names: list[str], plan: Plan, taken: int) -> None:
        """Take some outcomes of a batch, and drop the rest."""
        given = [GIVEN[name] for name in names]

        def take() -> Sequence[Outcome]:
            stream = self.downloader.stream(given, stop=self.world.stop)
            outcomes = list(islice(stream, taken))
            stream.close()
            return outcomes

        self.run(given, plan, take, complete=False)

    @rule(plan=PLANS)
    def recover_in_trouble(self, plan: Plan) -> None:
        """Recover while things go wrong."""
        given = [record.request for record in self.records() if owed(record)]
        self.run(given, plan, lambda: self.downloader.recover(stop=self.world.stop).outcomes, recovering=True)

    @rule(together=st.booleans())
    def recover(self, *, together: bool = False) -> None:
        """Recover in peace: everything is settled."""
        before = [record for record in self.records() if owed(record)]
        self.world.torrents = dict.fromkeys(self.world.torrents, 0)
        outcomes = self.run(
            [record.request for record in before],
            Plan(together=together),
            lambda: self.downloader.recover().outcomes,
            recovering=True,
        )
        assert outcomes is not None
        assert all(isinstance(outcome, Download) for outcome in outcomes)
        after = {record.id: record for record in self.records()}
        assert all(self.world.has(record.info_hashes) for record in before)
        files = [record.torrent.info_hashes for record in before if isinstance(record.torrent, TorrentFile)]
        assert all(self.world.has(hashes, self.world.with_metadata & self.world.torrents.keys()) for hashes in files)
        assert {after[record.id].status for record in before} <= {DownloadStatus.QUEUED}
        assert not [record for record in after.values() if record.status is DownloadStatus.RESERVED]

    @rule(number=st.integers(0, 7))
    def the_user_removes_a_torrent(self, number: int) -> None:
        """Take something out of the client behind our back."""
        for hashes in list(self.world.torrents)[number : number + 1]:
            del self.world.torrents[hashes]
            self.world.with_metadata.discard(hashes)
        self.count()

    @rule(number=st.integers(0, 7))
    def metadata_arrives(self, number: int) -> None:
        """Let a magnet link find its metadata: the client knows a hybrid by both info-hashes, and two links as one."""
        for hashes in [hashes for hashes in self.world.torrents if hashes not in self.world.with_metadata]:
            if number == 0 and hashes in self.world.torrents:
                self.world.complete(hashes)
            number -= 1
        self.count()

    @rule()
    def the_client_persists(self) -> None:
        """Let the client write to disk what it has."""
        self.world.persisted = set(self.world.torrents)
        self.count()

    @rule()
    def the_client_is_killed(self) -> None:
        """Let the client forget what it had not yet written."""
        kept = self.world.persisted
        self.world.with_metadata &= kept
        self.world.torrents = {hashes: 0 for hashes in self.world.torrents if hashes in kept}
        self.count()

    @invariant()
    def records_are_sound(self) -> None:
        """Check what holds for the records at all times."""
        records = self.records()
        hashes = [one for record in records for one in (record.info_hashes.v1, record.info_hashes.v2) if one]
        assert len(hashes) == len(set(hashes)), "two records share an info-hash"
        for record in records:
            assert record.torrent is None or record.torrent.info_hashes.matches(record.info_hashes)
            assert record.torrent is not None or record.status is not DownloadStatus.RESERVED

    def teardown(self) -> None:
        """End with a recovery in peace."""
        self.recover()
        steps[type(self).__name__] -= 1

    def count(self) -> None:
        """Count a step."""
        steps[type(self).__name__] += 1

    def run(
        self,
        given: Sequence[GivenRequest],
        plan: Plan,
        call: Callable[[], Sequence[Outcome]],
        *,
        complete: bool = True,
        recovering: bool = False,
    ) -> Sequence[Outcome] | None:
        """Do a run, and check it; return its outcomes if it comes to an end."""
        before, records = set(self.world.torrents), self.records()
        self.boot(plan.workers, together=plan.together)
        self.world.begin(plan, recovering=recovering)
        outcomes = None
        with patch("audiobatch._lookahead.ThreadPoolExecutor", lambda *_, **__: Inline(ahead=plan.ahead)):
            try:
                outcomes = call()
            except Crash:
                self.world.storage = self.reopen()
            except (ClientError, RepositoryError):
                assert recovering, "a run reports, it does not raise"
        self.check_what_is_owed(records)
        if outcomes is not None:
            assert not complete or [outcome.index for outcome in outcomes] == list(range(len(given)))
            for outcome in outcomes:
                self.check_outcome(given, outcome, before, outcomes, complete=complete)
        assert all(times <= AT_ONCE.attempts for times in self.world.fetched.values())
        assert len(self.world.sent) <= 2 * len(given)
        self.count()
        return outcomes

    def check_what_is_owed(self, before: Sequence[Download]) -> None:
        """Check that nothing is lost of what an earlier run has left to a recovery, and of what this one has added."""
        after = {record.id: record for record in self.records()}
        refusals = [hashes for hashes, refused in self.world.sent if refused]
        for record in before:
            if owed(record) and not owed(after[record.id]):
                settled = self.world.has(record.info_hashes) or self.world.has(record.info_hashes, refusals)
                assert settled, "a recovery will not look at it any more"
        for hashes in self.world.added:
            kept = any(owed(it) and it.info_hashes.matches(hashes) for it in after.values())
            assert kept or self.world.has(hashes, refusals), "its torrent is dropped"

    def check_outcome(
        self,
        given: Sequence[GivenRequest],
        outcome: Outcome,
        before: set[InfoHashes],
        outcomes: Sequence[Outcome],
        *,
        complete: bool,
    ) -> None:
        """Check that an outcome is true."""
        request = given[outcome.index]
        assert outcome.request == request
        if isinstance(outcome, DownloadFailure):
            assert outcome.retryable == (outcome.code not in AT_FAULT), "whose fault is it?"
        if not isinstance(request, DownloadRequest) or request.torrent_url not in LEADS_TO:
            assert isinstance(outcome, DownloadFailure)
            assert outcome.code is not FailureCode.UNCONFIRMED
            assert isinstance(request, DownloadRequest) or outcome.code is FailureCode.INVALID_REQUEST
            return
        url = request.torrent_url
        target, whole = LEADS_TO[url].info_hashes, BOOKS[url]
        handed_over = any(hashes.matches(target) or hashes.matches(whole) for hashes, _ in self.world.sent)
        twins = [
            other
            for other in outcomes
            if other.index != outcome.index and BOOKS.get(url_of(given[other.index])) == whole
        ]
        if isinstance(outcome, Download):
            reported = outcome.info_hashes
            assert self.world.has(reported), "reported as successful, but not there"
            assert reported.matches(target) or reported.matches(whole)
            assert (reported.v1 in (None, whole.v1), reported.v2 in (None, whole.v2)) == (True, True)
            assert outcome.already_present or handed_over
            there = self.world.has(whole, [*before, *self.world.doubtful])
            assert there or twins or not outcome.already_present or not complete
            assert outcome.torrent is None
        elif outcome.code is FailureCode.UNCONFIRMED:
            assert handed_over
            waiting = [it for it in self.records() if it.info_hashes.matches(target)]
            assert twins or not complete or any(it.status is DownloadStatus.RESERVED for it in waiting)
        elif self.world.has(target) and not self.world.has(target, before):
            told = any(isinstance(twin, Download) or twin.code is FailureCode.UNCONFIRMED for twin in twins)
            assert told, "reported as failed, but there"


def owed(record: Download) -> bool:
    """Tell whether a recovery has to look at a record."""
    held = record.status is DownloadStatus.QUEUED and record.torrent is not None
    return held or record.status is DownloadStatus.RESERVED


def url_of(request: GivenRequest) -> str:
    """Return the URL of a valid request."""
    return request.torrent_url if isinstance(request, DownloadRequest) else ""


class MemoryPromise(Promise):
    """The promise over records in memory."""

    def open(self) -> Repository:
        """Make an empty one."""
        self.memory = MemoryRepository()
        return self.memory

    def reopen(self) -> Repository:
        """Take over the records, as if they had been kept."""
        self.memory, before = MemoryRepository(), self.memory
        self.memory._records = before._records
        return self.memory

    def records(self) -> list[Download]:
        """Return all records, oldest first."""
        return list(self.memory._records.values())


class SQLitePromise(Promise):
    """The promise over records in a file, that is opened again after each crash."""

    def open(self) -> Repository:
        """Make a new file."""
        self.folder = tempfile.TemporaryDirectory()
        self.file = self._open()
        return self.file

    def reopen(self) -> Repository:
        """Open the file again."""
        self.file.close()
        self.file = self._open()
        return self.file

    def _open(self) -> sqlite.SQLiteRepository:
        file = sqlite.SQLiteRepository(Path(self.folder.name) / "records.db")
        # The machine crashes calls, never the kernel: there is nothing to wait for the disk for.
        file._connection.execute("PRAGMA synchronous = OFF")
        return file

    def records(self) -> list[Download]:
        """Return all records, oldest first."""
        rows = self.file._connection.execute(
            f"SELECT {sqlite._COLUMNS} FROM downloads d LEFT JOIN torrents t ON t.number = d.number ORDER BY d.number"
        )
        return [load_record(row) for row in rows]

    def teardown(self) -> None:
        """End with a recovery in peace, and remove the file."""
        try:
            super().teardown()
        finally:
            self.file.close()
            self.folder.cleanup()


@pytest.fixture(autouse=True, scope="module")
def _silence() -> Iterator[None]:
    """Keep hundreds of thousands of lines out of the log."""
    logger = logging.getLogger("audiobatch")
    logger.disabled = True
    yield
    logger.disabled = False


SETTINGS: Final = settings(
    max_examples=settings().max_examples // 2 + 30,
    stateful_step_count=50,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
TestMemoryPromise = MemoryPromise.TestCase
TestMemoryPromise.settings = SETTINGS
TestSQLitePromise = SQLitePromise.TestCase
TestSQLitePromise.settings = SETTINGS


def test_the_machines_were_not_idle() -> None:
    """Both machines together made ten thousand steps."""
    if len(steps) < 2:
        pytest.skip("only a part of the machines ran")
    assert steps.total() >= 10_000
