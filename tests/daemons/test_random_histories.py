"""Random histories of batches, faults, recoveries and killed daemons, on a real qBittorrent of each generation."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from audiobatch import BatchDownloader, Download, DownloadRequest, DownloadStatus, FailureCode, RetryPolicy
from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.metainfo import parse_torrent
from audiobatch.repositories.sqlite import SQLiteRepository
from support.fault_proxy import Fault, FaultProxy
from support.fault_table import ADD, LOOKUP
from support.qbittorrent import PASSWORD, USERNAME, Daemon, Generation
from support.torrents import book
from support.tracker import KINDS, LOOPBACK, Tracker
from support.waiting import wait_until

pytestmark = pytest.mark.daemon

HISTORIES: Final = 150 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 12  # for each generation
STEPS: Final = 12
NUMBERS: Final = st.lists(st.integers(0, 7), min_size=1, max_size=5, unique=True)
PLANS: Final = st.lists(
    st.tuples(st.sampled_from([ADD, LOOKUP]), st.sampled_from(Fault), st.integers(1, 3)), max_size=2
)


class Histories(RuleBasedStateMachine):
    """A daemon behind a proxy, and a database, over which anything may come.

    After each batch: a success is in the daemon; a failure that is not `unconfirmed` is not, if it
    was not there before. After each recovery without faults: nothing is left reserved.
    """

    generation: Generation

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.daemon = self.stack.enter_context(Daemon(self.generation))
        self.proxy = self.stack.enter_context(FaultProxy(self.daemon.url))
        self.tracker = self.stack.enter_context(Tracker())
        http = self.stack.enter_context(httpx.Client(trust_env=False, verify=False))
        self.client = QBittorrentClient(self.proxy.url, username=USERNAME, password=PASSWORD, timeout=0.4, http=http)
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        self.repository = self.stack.enter_context(SQLiteRepository(Path(folder) / "records.db"))
        self.downloader = BatchDownloader(
            client=self.client,
            fetcher=self.stack.enter_context(HttpFetcher(allowed_networks=LOOPBACK)),
            repository=self.repository,
            confirm_retry=RetryPolicy(attempts=4, wait=0.05, factor=2.0),
        )
        self.markers = 0

    def ids(self) -> set[str]:
        """Return all ids in the daemon, as soon as everything that was handed over before has landed."""
        self.markers += 1
        name = f"marker {self.markers}"
        self.daemon.torrents()  # sees to it that the session is good
        self.daemon.session.post("torrents/add", files={"t": ("m.torrent", book(name))}).raise_for_status()
        wait_until(lambda: name in {row["name"] for row in self.daemon.torrents()}, f"{name} is listed")
        return {str(row["hash"]) for row in self.daemon.torrents()}

    @staticmethod
    def id_of(number: int) -> str:
        """Return the id by which the daemon knows the book of that number."""
        found = parse_torrent(book(f"book-{number}", kind=KINDS[number % 3])).info_hashes
        return found.v2[:40] if found.v2 else str(found.v1)

    @rule(numbers=NUMBERS, plan=PLANS)
    def run_a_batch(self, numbers: list[int], plan: list[tuple[str, Fault, int]]) -> None:
        """Run a batch with faults on the way; the report is true."""
        before = self.ids()
        for path, fault, first in plan:
            self.proxy.plan(path=path, fault=fault, first=first)
        result = self.downloader.run(
            DownloadRequest(title=f"{n}", author="A", torrent_url=f"{self.tracker.url}/{KINDS[n % 3]}/book-{n}")
            for n in numbers
        )
        self.proxy.heal()

        after = self.ids()
        for number, outcome in zip(numbers, result.outcomes, strict=True):
            if isinstance(outcome, Download):
                assert self.id_of(number) in after, "reported as successful, but not there"
            elif outcome.code is not FailureCode.UNCONFIRMED:
                assert self.id_of(number) not in after - before, "reported as failed, but there"
        assert self.proxy.largest_in_flight <= 1

    @rule()
    def recover(self) -> None:
        """Recover without faults: no tracker is asked, nothing is left reserved, and what is queued is there."""
        asked = len(self.tracker.asked)
        assert self.downloader.recover().failed == ()

        open_records = list(self.repository.unsettled(client=self.client.name))
        assert {record.status for record in open_records} <= {DownloadStatus.QUEUED}
        assert len(self.tracker.asked) == asked

    @rule()
    def the_daemon_is_killed(self) -> None:
        """It forgets what it has not written down yet, and comes back."""
        self.daemon.kill()
        self.daemon.start()

    @rule(number=st.integers(0, 7))
    def the_user_removes_a_torrent(self, number: int) -> None:
        """Whether it is there or not."""
        self.ids()
        self.daemon.session.post("torrents/delete", data={"hashes": self.id_of(number), "deleteFiles": "true"})
        wait_until(lambda: self.id_of(number) not in self.ids(), "it is removed")

    def teardown(self) -> None:
        """End with a recovery, after which everything on record as queued and held is in the daemon."""
        try:
            self.proxy.heal()
            owed = {record.info_hashes for record in self.repository.unsettled(client=self.client.name)}
            self.recover()
            assert set(self.client.status(owed)) == owed
        finally:
            self.stack.close()


def test_random_histories(generation: Generation) -> None:
    """Whatever comes, the report is true, and a recovery mends the rest."""
    machine = type("Histories", (Histories,), {"generation": generation})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=HISTORIES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
