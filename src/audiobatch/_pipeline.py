"""Take the valid requests of one batch from the first look-up, over the fetch, to their outcomes."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from threading import Event

from attrs import evolve, frozen

from audiobatch._bugs import guarded, kind_of
from audiobatch._course import Course
from audiobatch._item import STOPPED, BatchEnded, Item, Twins, not_attempted, size_of
from audiobatch._known import find_known, is_worth_handing_over, with_record
from audiobatch._lessons import Lessons
from audiobatch._lookahead import look_ahead
from audiobatch._patience import Patience, waiting_with
from audiobatch._records import Records
from audiobatch._retry import RetryPolicy
from audiobatch._serial import SerialClient
from audiobatch._settle import closed, learned, led_to_link
from audiobatch._submission import submit_group
from audiobatch._telling import Teller
from audiobatch.errors import AudiobatchError, FailureCode, FetchError
from audiobatch.metainfo import Torrent, is_torrent
from audiobatch.models import Download, DownloadStatus
from audiobatch.protocols import TorrentFetcher
from audiobatch.results import Outcome, Stage

_log = logging.getLogger("audiobatch")

_LARGEST_GROUP = 50  # items of a recovery
_FURTHEST = 64  # torrents that may be fetched ahead of the client, once it has shown that it takes them
_MOST_BYTES = 64 * 1024 * 1024  # of torrents that are at hand and not settled, beside those under way


@frozen(kw_only=True)
class Pipeline:
    """What a batch runs through. Several threads may run one each at the same time."""

    client: SerialClient
    fetcher: TorrentFetcher
    repository: Records
    max_concurrent_fetches: int
    fetch_retry: RetryPolicy

    def run(self, items: Sequence[Item], stop: Event, teller: Teller) -> Generator[Outcome, None, None]:
        """Look up, fetch and submit; yield one outcome for each item, as soon as it is settled."""
        twins = Twins(items, lambda item: [item.request.torrent_url])
        with closing(self._in_parts(twins.first, stop, teller)) as first_ones:
            yield from _answer_all(items, (outcome for first in first_ones for outcome in twins.outcomes(first)))

    def submit(self, items: Iterable[Item], stop: Event) -> Iterator[Outcome]:
        """Submit items whose torrents are at hand, each on a record of its own; yield one outcome for each."""
        group: list[Item] = []
        for item in items:
            group.append(item)
            if len(group) == _LARGEST_GROUP or sum(item.size for item in group) >= _MOST_BYTES:
                yield from _answer_all(group, self._submit_group(group, Course(stop)))
                group = []
        yield from _answer_all(group, self._submit_group(group, Course(stop)))

    def _in_parts(self, items: Sequence[Item], stop: Event, teller: Teller) -> Generator[Outcome, None, None]:
        """Do as many at a time as their records, with the torrents that these keep, fit into the memory."""
        if not items:
            return
        lessons = Lessons()
        part: list[Item] = []
        size = 0
        for item, kept in self._with_sizes(items):
            if size and kept and size + kept > _MOST_BYTES:
                yield from self._look_up_and_fetch(part, Course(stop, teller, lessons))
                part, size = [], 0
            part.append(item)
            size += kept
        yield from self._look_up_and_fetch(part, Course(stop, teller, lessons))

    def _with_sizes(self, items: Sequence[Item]) -> list[tuple[Item, int]]:
        try:
            sizes = self.repository.sizes([item.request.torrent_url for item in items], client=self.client.name)
        except AudiobatchError as error:
            raise BatchEnded(error, Stage.LOOK_UP) from None
        return [(item, sizes.get(item.request.torrent_url, 0)) for item in items]

    def _look_up_and_fetch(self, items: Sequence[Item], course: Course) -> Generator[Outcome, None, None]:
        present, remaining = self._look_up(items, course.stop)
        yield from present
        there = {item.index: item.there for item in remaining if item.there is not None}
        with closing(self._fetch_and_submit(remaining, course)) as outcomes:
            try:
                for outcome in outcomes:
                    there.pop(outcome.index, None)
                    yield outcome
            except BatchEnded:
                for item in remaining:
                    if item.index in there:
                        yield item.succeeded(there[item.index], already_present=True)
                raise

    def _fetch_and_submit(self, items: Sequence[Item], course: Course) -> Generator[Outcome, None, None]:
        fetched = look_ahead(
            partial(self._obtain, course=course),
            items,
            workers=self.max_concurrent_fetches,
            furthest=_FURTHEST,
            size=size_of,
            most=_MOST_BYTES,
        )
        with (
            self._keeping_what_was_fetched(course),
            closing(fetched) as groups,
            _setting_at_the_end(course.ended),
        ):
            for group in groups:
                if course.stop.is_set():
                    raise BatchEnded(STOPPED, Stage.FETCH)
                for outcome in self._submit_fetched(group, course):
                    course.lessons.let_go(outcome)
                    yield outcome
                group.clear()

    def _submit_fetched(
        self, group: Sequence[tuple[Item, Torrent | AudiobatchError]], course: Course
    ) -> Iterator[Outcome]:
        at_hand: list[Item] = []
        for item, got in group:
            if isinstance(got, AudiobatchError):
                yield item.not_fetched(got)
            else:
                at_hand.append(evolve(item, torrent=got))
        yield from self._submit_different(at_hand, course)

    def _submit_different(self, items: Sequence[Item], course: Course) -> Iterator[Outcome]:
        """Submit each torrent once; one that has failed in this batch is not tried again under another URL."""
        twins = Twins(items, lambda item: item.info_hashes.known)
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
        try:
            if items:
                name = self.client.name
                self.repository.reserve([item.new_record(name, DownloadStatus.FAILED) for item in items])
        except AudiobatchError as error:
            _log.warning("%d torrents that were fetched will have to be fetched again: %s", len(items), error)

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
        except AudiobatchError as error:
            raise BatchEnded(error, Stage.LOOK_UP) from None
        there: dict[str, Download] = {}
        remaining: list[Item] = []
        for item in items:
            url = item.request.torrent_url
            record = known.records.get(url)
            if record is None:
                remaining.append(item)
                continue
            found, status = with_record(item, record), known.status_of(record)
            if status is None:
                remaining.append(found)
            elif is_worth_handing_over(found, status):
                remaining.append(evolve(found, there=learned(record, status.info_hashes)))
            else:
                seen = learned(record, status.info_hashes)
                waits = status.has_metadata is False and led_to_link(record.request, record.torrent)
                there[url] = seen if waits else closed(seen, None)
        return self._report_present(items, known.records, there), remaining

    def _report_present(
        self, items: Sequence[Item], records: Mapping[str, Download], after: Mapping[str, Download]
    ) -> list[Outcome]:
        if changed := [record for url, record in after.items() if record != records[url]]:
            try:
                self.repository.save(changed)
            except AudiobatchError as error:
                _log.warning("that %d downloads were seen again is not on record: %s", len(changed), error)
                after = {url: learned(records[url], record.info_hashes) for url, record in after.items()}
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
        fetch = partial(
            self.fetch_retry.call,
            lambda: self.fetcher.fetch(item.request),
            stop=course.stop,
            on_wait=lambda seconds, error: tell(seconds, error.code),
        )
        with waiting_with(Patience(course.is_over, partial(tell, code=FailureCode.RATE_LIMITED), course.thread)):
            torrent = guarded(fetch, FetchError, "the fetcher")
        if not is_torrent(torrent):
            raise FetchError(f"the fetcher returned no torrent, but what it is not meant to ({kind_of(torrent)})")
        return torrent


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
        yield from end.outcomes(unanswered.values())
