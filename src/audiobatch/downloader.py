"""`BatchDownloader`: a batch of requests in, the truth about each of them out."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from itertools import chain, islice
from threading import Event
from typing import Final

from audiobatch._admission import SavePath, admit
from audiobatch._fork import StaysHere, here
from audiobatch._item import Item
from audiobatch._pipeline import Pipeline
from audiobatch._planning import plan_batch
from audiobatch._records import Records
from audiobatch._retry import RetryPolicy
from audiobatch._serial import SerialClient
from audiobatch._telling import Announcer, Teller
from audiobatch.errors import (
    BatchTooLargeError,
    ConfigurationError,
    EmptyBatchError,
    InvalidBatchError,
)
from audiobatch.events import Listener
from audiobatch.models import Download, GivenRequest
from audiobatch.plans import BatchPlan
from audiobatch.protocols import Repository, TorrentClient, TorrentFetcher
from audiobatch.results import BatchResult, DownloadFailure, Outcome

_log = logging.getLogger("audiobatch")

MAX_BATCH_SIZE: Final = 50
"""Requests that a batch may hold, unless the downloader is told otherwise."""

FETCH_RETRY: Final = RetryPolicy(attempts=3, wait=0.5, factor=2.0)
"""For a tracker that is down for the moment: once more after half a second, and one second later."""

CONFIRM_RETRY: Final = RetryPolicy(attempts=7, wait=0.005, factor=3.2)
"""For a torrent that does not show yet: six more looks within two and a half seconds, the first at once.

qBittorrent shows one after a few milliseconds, and fifty after forty.
"""


def admit_batch(requests: Iterable[GivenRequest], *, limit: int) -> list[GivenRequest]:
    """Return the requests as a list, if they make a batch at all.

    Args:
        requests: Anything to iterate over; no more than ``limit + 1`` are taken from it.
        limit: How many a batch may hold.

    Raises:
        EmptyBatchError: There is none.
        BatchTooLargeError: There are more than the limit.
        InvalidBatchError: It is a text or a mapping, no collection of requests.
    """
    if isinstance(requests, str | bytes | Mapping):
        raise InvalidBatchError("give a list of requests; wire.load_batch reads one from JSON")
    batch = list(islice(requests, limit + 1))
    if not batch:
        raise EmptyBatchError("the batch is empty: give at least one request")
    if len(batch) > limit:
        raise BatchTooLargeError(f"the batch exceeds the limit of {limit} requests: split it")
    return batch


class BatchDownloader(StaysHere):
    """Queues batches of audiobook downloads in a torrent client.

    After `run`, every item reported as successful is in the client under its own
    info-hash, and every item reported as failed is not there, or says ``unconfirmed``.
    Of an item that the batch ended before, it says that this batch did not hand it over:
    what was in the client before was not looked at.

    Several threads may use one object, each with its own batch; the client still gets one
    request at a time. Whoever made client, fetcher and repository closes them.

    It may be made before a fork, and used before and after it, in parent and children: each
    process connects and logs in by itself. A batch stays in the process that has begun it.

    Args:
        client: Where the torrents go.
        fetcher: Where they come from.
        repository: Where it is written down, before the client gets anything.
        max_batch_size: Requests that one batch may hold, at least 1.
        max_concurrent_fetches: Torrents fetched at once, at least 1.
        fetch_retry: How to go on after a tracker's transient error.
        confirm_retry: How to look for a torrent that the client does not show yet.
        save_path: Makes the folder for a request that names none, such as
            `audiobatch.folders.SavePathTemplate`. An item that would share its folder with
            another torrent of the batch fails alone.
        on_event: Gets each event of `audiobatch.events`.

    Raises:
        ConfigurationError: A number is below 1.
    """

    def __init__(  # noqa: PLR0913 - each is a decision of its own
        self,
        *,
        client: TorrentClient,
        fetcher: TorrentFetcher,
        repository: Repository,
        max_batch_size: int = MAX_BATCH_SIZE,
        max_concurrent_fetches: int = 4,
        fetch_retry: RetryPolicy = FETCH_RETRY,
        confirm_retry: RetryPolicy = CONFIRM_RETRY,
        save_path: SavePath | None = None,
        on_event: Listener | None = None,
    ) -> None:
        if max_batch_size < 1 or max_concurrent_fetches < 1:
            raise ConfigurationError("max_batch_size and max_concurrent_fetches must be at least 1")
        self._max_batch_size = max_batch_size
        self._client = SerialClient(client, confirm_retry)
        self._repository = Records(repository)
        self._save_path = save_path
        self._announce = Announcer(on_event)
        self._pipeline = Pipeline(
            client=self._client,
            fetcher=fetcher,
            repository=self._repository,
            max_concurrent_fetches=max_concurrent_fetches,
            fetch_retry=fetch_retry,
        )

    def run(self, requests: Iterable[GivenRequest], *, stop: Event | None = None) -> BatchResult:
        """Queue a batch, and report on every item of it.

        Args:
            requests: 1 to ``max_batch_size`` requests; a mapping is read as `wire.load_request`
                does. One that does not validate fails alone.
            stop: Set it, from any thread, to end the batch between two steps: what was
                handed over is settled, the rest comes back as ``not_attempted``. A client that
                does not answer is not waited for any longer; an add that is under way gets a
                few seconds, and is ``unconfirmed`` after that.

        Raises:
            EmptyBatchError: There is no request.
            BatchTooLargeError: There are more than ``max_batch_size``.
            InvalidBatchError: It is no collection of requests. After each of the three,
                nothing was touched.
            ConfigurationError: This is called by the downloader's own listener.
        """
        return BatchResult(self.stream(requests, stop=stop))

    def stream(self, requests: Iterable[GivenRequest], *, stop: Event | None = None) -> Generator[Outcome, None, None]:
        """Queue a batch, and yield each outcome as soon as it is settled, in no fixed order.

        Takes and raises the same as `run`, at the call. An iteration that is not finished
        leaves the rest of the batch undone.

        Raises:
            ConfigurationError: This is called by the downloader's own listener; or, as the
                iteration goes on, it does so in a process that was forked in the meantime.
        """
        here()
        self._announce.require_silence()
        return self._stream(admit_batch(requests, limit=self._max_batch_size), stop or Event())

    def download(self, request: GivenRequest, *, stop: Event | None = None) -> Download:
        """Queue a single request.

        Args:
            request: As one of those of `run`.
            stop: As for `run`.

        Raises:
            AudiobatchError: Why it failed: the error that belongs to the failure's code.
        """
        outcome = self.run([request], stop=stop).outcomes[0]
        if isinstance(outcome, DownloadFailure):
            raise outcome.as_error()
        return outcome

    def plan(self, requests: Iterable[GivenRequest], *, stop: Event | None = None) -> BatchPlan:
        """Say what `run` would do, as far as it can be known without a fetch; nothing is fetched, added or written.

        Requests are validated, and duplicates found: by URL, and where info-hashes are known,
        from magnet links and records, by those too.

        Args:
            requests: As for `run`.
            stop: Set it, from any thread, to end the waiting for the client.

        Raises:
            InvalidBatchError: As for `run`.
            ClientError: The client cannot be asked what it has.
            NotAttempted: It was stopped before the client had answered.
            RepositoryError: The records cannot be read.
        """
        admission = admit(admit_batch(requests, limit=self._max_batch_size), self._save_path)
        return plan_batch(
            admission.items,
            admission.failures,
            client=self._client,
            repository=self._repository,
            stop=stop or Event(),
        )

    def recover(self, *, stop: Event | None = None) -> BatchResult:
        """Settle what earlier runs left open, without asking any tracker again.

        Call it when a program starts. What a crash left between record and client is looked
        up, and added from the record where it is missing. So is what the client had
        confirmed but has lost since (a daemon killed right after its answer does that).

        Returns:
            What became of each record that was open. The indices count the records.

        Raises:
            ClientError: The client is of no use now; nothing was changed.
            NotAttempted: It was stopped before the client had answered; nothing was changed.
            RepositoryError: The records cannot be read.
        """
        stop = stop or Event()
        self._client.check(stop)
        records = self._repository.unsettled(client=self._client.name)
        items = (_recovering(index, record) for index, record in enumerate(records))
        outcomes = list(self._pipeline.submit(items, stop))
        _log.info("recovery looked at %d downloads", len(outcomes))
        return BatchResult(outcomes)

    def _stream(self, given: Sequence[GivenRequest], stop: Event) -> Generator[Outcome, None, None]:
        teller = Teller(self._announce)
        with teller.batch(len(given)):
            admission = admit(given, self._save_path)
            with closing(self._pipeline.run(admission.items, stop, teller)) as outcomes:
                for outcome in chain(admission.failures, outcomes):
                    teller.settled(outcome)
                    yield outcome
                    teller.require_own_process()


def _recovering(index: int, record: Download) -> Item:
    return Item(index, record.request, record.torrent, known=record.info_hashes, record=record)
