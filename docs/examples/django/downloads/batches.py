"""The downloader of this process, and the batches that it runs in the background."""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from functools import cache
from queue import Empty, SimpleQueue
from threading import BoundedSemaphore, Event, Thread
from typing import Any

from django.db import connections
from django.utils import timezone

from audiobatch import AudiobatchError, BatchDownloader, BatchResult
from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.results import Outcome
from audiobatch.wire import dump_result
from downloads.models import Report
from downloads.repository import DjangoRepository

AT_ONCE = 8  # batches that run in the background side by side; more of them wait
MAX_OPEN = 100  # batches in the background that are not finished, for each process
KEPT = timedelta(days=7)
HEARTBEAT = 15.0  # seconds: many a proxy cuts a connection that is silent for 30 or 60
RECOVERY_PAUSE = 60.0  # seconds

log = logging.getLogger(__name__)


class Busy(Exception):
    """Too many batches are under way."""


@contextmanager
def open_downloader() -> Iterator[BatchDownloader]:
    """Give a downloader as the environment describes it, and close it in the end."""
    given = {name: value for name, value in os.environ.items() if value.strip()}  # an empty one is not set
    with (
        QBittorrentClient(
            given["QBITTORRENT_URL"],
            username=given.get("QBITTORRENT_USERNAME"),
            password=given.get("QBITTORRENT_PASSWORD"),
        ) as client,
        HttpFetcher(
            trusted_origins=given.get("AUDIOBATCH_TRUST", "").split(), proxy=given.get("AUDIOBATCH_PROXY")
        ) as fetcher,
    ):
        yield BatchDownloader(client=client, fetcher=fetcher, repository=DjangoRepository())


class Batches:
    """Runs batches, here or in threads of its own."""

    def __init__(self) -> None:
        self._resources = ExitStack()
        self._downloader = self._resources.enter_context(open_downloader())
        self._stop = Event()
        self._places = BoundedSemaphore(MAX_OPEN)
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="batch")
        self._recovery = Thread(target=self._recover, name="recovery", daemon=True)
        self._recovery.start()
        atexit.register(self.close)

    def run(self, requests: list[Any]) -> BatchResult:
        """Run a batch in this thread."""
        return self._downloader.run(requests, stop=self._stop)

    def start(self, requests: list[Any]) -> Report:
        """Run a batch in the background, and keep its report in the database."""
        outcomes = self._downloader.stream(requests, stop=self._stop)
        Report.objects.filter(updated_at__lt=timezone.now() - KEPT).delete()
        report = Report.objects.create(result=dump_result(BatchResult(())))
        try:
            self._submit(lambda: _keep_report(report, outcomes))
        except Busy:
            report.delete()
            raise
        return report

    def stream(self, requests: list[Any]) -> Iterator[Outcome | None]:
        """Run a batch in the background, and yield each outcome; None when there was none for a while.

        An iteration that is left ends the batch after its next outcome.
        """
        outcomes = self._downloader.stream(requests, stop=self._stop)
        queue: SimpleQueue[Outcome | None] = SimpleQueue()
        left = Event()
        self._submit(lambda: _pass_on(outcomes, queue, left))
        return _listen(queue, left)

    def stop(self) -> None:
        """End all batches between two steps: the rest of each comes back as not attempted."""
        self._stop.set()

    def close(self) -> None:
        """Stop all batches, wait until they have settled, and close the downloader."""
        self.stop()
        self._pool.shutdown()
        self._recovery.join()
        self._resources.close()

    def _submit(self, job: Callable[[], None]) -> None:
        if not self._places.acquire(blocking=False):
            raise Busy("too many batches are under way: try again later")
        self._pool.submit(job).add_done_callback(self._leave_place)

    def _leave_place(self, done: Future[None]) -> None:
        self._places.release()
        if error := done.exception():
            log.error("a batch ended with an error", exc_info=error)

    def _recover(self) -> None:
        """Settle what an earlier process left open, as soon as the client can be asked."""
        while not self._stop.is_set():
            try:
                self._downloader.recover(stop=self._stop)
            except AudiobatchError as error:
                log.warning("what was left open stays so for now: %s", error)
                self._stop.wait(RECOVERY_PAUSE)
            else:
                return


@cache
def batches() -> Batches:
    """Return those of this process. The first call makes the downloader: at the start, and after any fork."""
    return Batches()


def _keep_report(report: Report, outcomes: Generator[Outcome, None, None]) -> None:
    known: list[Outcome] = []
    status = "aborted"
    try:
        with closing(outcomes):
            for outcome in outcomes:
                known.append(outcome)
                report.result = dump_result(BatchResult(known))
                report.save(update_fields=["result", "updated_at"])
        status = "finished"
    finally:
        report.status = status
        report.save(update_fields=["status", "updated_at"])
        connections.close_all()  # those of this thread, which nobody else closes


def _pass_on(outcomes: Generator[Outcome, None, None], queue: SimpleQueue[Outcome | None], left: Event) -> None:
    try:
        with closing(outcomes):
            for outcome in outcomes:
                queue.put(outcome)
                if left.is_set():
                    return
    finally:
        queue.put(None)


def _listen(queue: SimpleQueue[Outcome | None], left: Event) -> Iterator[Outcome | None]:
    try:
        while True:
            try:
                outcome = queue.get(timeout=HEARTBEAT)
            except Empty:
                yield None
                continue
            if outcome is None:
                return
            yield outcome
    finally:
        left.set()
