"""Take the valid requests of one batch from the first look-up, over the fetch, to their outcomes."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from threading import Event

from attrs import evolve, frozen

from audiobatch._course import Course
from audiobatch._item import STOPPED, BatchEnded, Item, Twins, not_attempted
from audiobatch._known import find_known
from audiobatch._lookahead import look_ahead
from audiobatch._patience import Patience, waiting_with
from audiobatch._retry import RetryPolicy
from audiobatch._serial import SerialClient
from audiobatch._settle import closed
from audiobatch._submission import submit_group
from audiobatch._telling import Teller
from audiobatch.errors import AudiobatchError, FailureCode
from audiobatch.metainfo import Torrent
from audiobatch.models import Download, DownloadStatus
from audiobatch.protocols import Repository, TorrentFetcher
from audiobatch.results import Outcome, Stage

_log = logging.getLogger("audiobatch")

_FURTHEST = 64  # torrents that may be fetched ahead of the client, once it has shown that it takes them


@frozen(kw_only=True)
class Pipeline:
    """What a batch runs through. Several threads may run one each at the same time."""

    client: SerialClient
    fetcher: TorrentFetcher
    repository: Repository
    max_concurrent_fetches: int
    fetch_retry: RetryPolicy

    def run(self, items: Sequence[Item], stop: Event, teller: Teller) -> Iterator[Outcome]:
        """Look up, fetch and submit; yield one outcome for each item, as soon as it is settled."""
        twins = Twins(items, lambda one, other: one.request.torrent_url == other.request.torrent_url)
        first_ones = self._look_up_and_fetch(twins.first, Course(stop, teller))
        yield from _answer_all(items, (outcome for first in first_ones for outcome in twins.outcomes(first)))

    def submit(self, items: Sequence[Item], stop: Event) -> Iterator[Outcome]:
        """Submit items whose torrents are at hand, each on a record of its own; yield one outcome for each."""
        yield from _answer_all(items, self._submit_group(items, Course(stop)))

    def _look_up_and_fetch(self, items: Sequence[Item], course: Course) -> Iterator[Outcome]:
        if not items:
            return
        present, remaining = self._look_up(items, course.stop)
        yield from present
        obtain = partial(self._obtain, course=course)
        with (
            self._keeping_what_was_fetched(course),
            closing(look_ahead(obtain, remaining, workers=self.max_concurrent_fetches, furthest=_FURTHEST)) as groups,
            _setting_at_the_end(course.ended),
        ):
            for group in groups:
                if course.stop.is_set():
                    raise BatchEnded(STOPPED, Stage.FETCH)
                at_hand: list[Item] = []
                for item, got in group:
                    if isinstance(got, AudiobatchError):
                        yield item.failed(got, Stage.FETCH)
                    else:
                        at_hand.append(evolve(item, torrent=got))
                yield from self._submit_different(at_hand, course)

    def _submit_different(self, items: Sequence[Item], course: Course) -> Iterator[Outcome]:
        """Submit each torrent once; one that has failed in this batch is not tried again under another URL."""
        twins = Twins(items, Item.is_same_torrent)
        fresh: list[Item] = []
        for item in twins.first:
            failure = course.lessons.failure_of(item)
            if failure is None:
                fresh.append(item)
            else:
                yield from twins.outcomes(item.echo(failure))
        for outcome in self._submit_group(fresh, course):
            yield from twins.outcomes(outcome)

    def _submit_group(self, items: Sequence[Item], course: Course) -> Iterator[Outcome]:
        if items:
            yield from submit_group(items, client=self.client, repository=self.repository, course=course)

    @contextmanager
    def _keeping_what_was_fetched(self, course: Course) -> Iterator[None]:
        """Write down what was fetched and came to nothing, as a batch that ends early leaves it.

        A tracker counts each fetch; from the record, the next batch needs none.
        """
        try:
            yield
        finally:
            if course.teller.process.is_here():
                self._keep(course.lessons.fetched_for_nothing)

    def _keep(self, items: Sequence[Item]) -> None:
        left = [item.new_record(self.client.name, DownloadStatus.FAILED) for item in items]
        try:
            if left:
                self.repository.reserve(left)
        except AudiobatchError as error:
            _log.warning("%d torrents that were fetched will have to be fetched again: %s", len(left), error)

    def _look_up(self, items: Sequence[Item], stop: Event) -> tuple[list[Outcome], list[Item]]:
        """Find what is known by its URL: no tracker is asked for what is in the client, or still on record.

        Returns:
            The outcomes of those that are in the client, and the other items.

        Raises:
            BatchEnded: The client or the repository is of no use: no tracker is to be asked for anything.
        """
        if stop.is_set():
            raise BatchEnded(STOPPED, Stage.LOOK_UP)
        try:
            known = find_known(items, client=self.client, repository=self.repository, stop=stop)
            records = known.records
            there = {url: record for url, record in records.items() if record.info_hashes in known.present}
            return self._report_present(items, there), [
                _with_torrent_on_record(item, records) for item in items if item.request.torrent_url not in there
            ]
        except AudiobatchError as error:
            raise BatchEnded(error, Stage.LOOK_UP) from None

    def _report_present(self, items: Sequence[Item], records: Mapping[str, Download]) -> list[Outcome]:
        after = {url: closed(record, None) for url, record in records.items()}
        if changed := [record for url, record in after.items() if record != records[url]]:
            try:
                self.repository.save(changed)
            except AudiobatchError as error:
                _log.warning("that %d downloads were seen again is not on record: %s", len(changed), error)
                after = dict(records)
        return [
            item.succeeded(after[item.request.torrent_url], already_present=True)
            for item in items
            if item.request.torrent_url in after
        ]

    def _obtain(self, item: Item, course: Course) -> Torrent | AudiobatchError:
        """Fetch the torrent if it is not at hand; runs ahead, in threads of its own."""
        if item.torrent is not None:
            return item.torrent
        if course.is_over():
            return STOPPED
        url = item.request.torrent_url
        if (wish := course.lessons.wish_of(url)) is not None:
            return not_attempted(wish)
        begun = time.monotonic()
        try:
            torrent = self._fetch(item, course)
        except AudiobatchError as error:
            course.lessons.note_fetch(url, error)
            return error
        course.lessons.note_torrent(evolve(item, torrent=torrent))
        course.teller.fetched(item, torrent, time.monotonic() - begun)
        return torrent

    def _fetch(self, item: Item, course: Course) -> Torrent:
        tell = partial(course.teller.waiting, item)
        with waiting_with(Patience(course.is_over, partial(tell, code=FailureCode.RATE_LIMITED), course.thread)):
            return self.fetch_retry.call(
                lambda: self.fetcher.fetch(item.request),
                stop=course.stop,
                on_wait=lambda seconds, error: tell(seconds, error.code),
            )


@contextmanager
def _setting_at_the_end(event: Event) -> Iterator[None]:
    try:
        yield
    finally:
        event.set()


def _answer_all(items: Sequence[Item], outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """Pass outcomes on, and if the batch ends early, say so for every item that is left."""
    unanswered = {item.index: item for item in items}
    try:
        for outcome in outcomes:
            del unanswered[outcome.index]
            yield outcome
    except BatchEnded as end:
        _log.warning("the batch ended before %d of its items: %s", len(unanswered), end.error)
        error = end.error
        for item in unanswered.values():
            yield item.failed(error, end.stage)
            error = not_attempted(end.error)


def _with_torrent_on_record(item: Item, records: Mapping[str, Download]) -> Item:
    record = records.get(item.request.torrent_url)
    return evolve(item, torrent=record.torrent) if item.torrent is None and record is not None else item
