"""Bring a group of torrents into the client: look up, reserve, submit, confirm, settle."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from threading import Event

from attrs import evolve, mutable

from audiobatch._course import Course
from audiobatch._item import STOPPED, BatchEnded, Item, not_attempted
from audiobatch._lessons import Lessons
from audiobatch._serial import SerialClient
from audiobatch._settle import closed, is_unclear, verdict, was_done
from audiobatch.errors import (
    AudiobatchError,
    ClientAuthError,
    NotAdded,
    TorrentRejected,
    Unconfirmed,
    Unsupported,
)
from audiobatch.metainfo import TorrentFile
from audiobatch.models import Download, DownloadStatus
from audiobatch.protocols import Repository
from audiobatch.results import Outcome, Stage

_log = logging.getLogger("audiobatch")
_MAX_SENDS = 2
_MAX_TOGETHER = 16 * 1024 * 1024  # bytes of torrents in one request: qBittorrent reads 64 MiB, many a proxy less


@mutable
class _Entry:
    """How far an item has come.

    Attributes:
        item: Its torrent is at hand.
        record: What is on record for it.
        before: The record as an earlier batch has left it, if there was one.
        present: The client had the torrent before anything was sent.
        unclear: It was sent before, and nothing clear was heard of that.
        sends: How often it was handed over.
        in_company: The last time, it was to go together with others.
        answer: What the last add raised; None if the client accepted it.
        seen: Whether it was seen in the client after that; None if no lookup could tell.
    """

    item: Item
    record: Download
    before: Download | None
    present: bool
    unclear: bool = False
    sends: int = 0
    in_company: bool = False
    answer: AudiobatchError | None = None
    seen: bool | None = None

    @property
    def error(self) -> AudiobatchError | None:
        """Why it failed, as far as is known now; None if it is in the client."""
        if self.present:
            return None
        if not self.sends:
            return STOPPED
        left_open = self.before is not None and self.before.status is DownloadStatus.RESERVED
        return verdict(self.answer, seen=self.seen, unclear=self.unclear, sent_before=left_open or self.sends > 1)

    @property
    def has_outcome(self) -> bool:
        """It was submitted, or was there already: what became of it is known."""
        return self.present or self.sends > 0

    @property
    def already_present(self) -> bool:
        """It came into the client before this batch brought it there, as far as can be told."""
        refused = isinstance(self.answer, NotAdded | TorrentRejected) and not self.in_company
        return self.present or (self.sends == 1 and refused)

    @property
    def goes_alone(self) -> bool:
        """It was handed over before, and with the others it did not go well; or it might spoil it for them."""
        return self.in_company or self.sends > 0 or self.doubt is not None

    @property
    def doubt(self) -> str | None:
        """Why the client might refuse its torrent, if anything speaks against it."""
        torrent = self.item.torrent
        return torrent.doubt if isinstance(torrent, TorrentFile) else None

    def outcome(self) -> Outcome:
        """Report what became of it."""
        if (error := self.error) is None:
            return self.item.succeeded(self.record, already_present=self.already_present)
        return self.item.failed(error, Stage.CONFIRM if isinstance(error, Unconfirmed) else Stage.SUBMIT)


def submit_group(
    items: Sequence[Item], *, client: SerialClient, repository: Repository, course: Course
) -> Iterator[Outcome]:
    """Yield the outcome of each item that was submitted, or was there already.

    Args:
        items: Their torrents are at hand. What turns out to be the same one comes in a group of its own, later.
        client: Where they go.
        repository: Where it is written down before.
        course: Its stop keeps what has not been handed over from being so; what is learnt here is added.

    Raises:
        BatchEnded: What was yielded before stands; the other items were not handed over.
    """
    try:
        present = client.look_up([item.info_hashes for item in items], course.stop)
    except AudiobatchError as error:
        raise BatchEnded(error, Stage.LOOK_UP) from None
    try:
        entries, later = _reserve([(item, item.info_hashes in present) for item in items], client.name, repository)
    except AudiobatchError as error:
        raise BatchEnded(error, Stage.RESERVE) from None
    end = _submit([entry for entry in entries if not entry.present], client, course)
    try:
        _settle(entries, repository, course.lessons)
    except AudiobatchError as error:
        _log.warning("the outcome of %d downloads is not on record; recover() mends that: %s", len(entries), error)
        end = end or BatchEnded(not_attempted(error), Stage.SETTLE)
    for entry in entries:
        if entry.has_outcome:
            outcome = entry.outcome()
            course.lessons.note_outcome(entry.item, outcome)
            yield outcome
    if end is not None:
        raise end
    if later:
        yield from submit_group(later, client=client, repository=repository, course=course)


def _reserve(
    items: Sequence[tuple[Item, bool]], client: str, repository: Repository
) -> tuple[list[_Entry], list[Item]]:
    """Write down what is about to be added, before anything is.

    Returns:
        An entry for each record; and the items that have to wait for one of these, being of
        the same torrent, or sharing its record as two links do that name a hash of a hybrid each.
    """
    new = [item.new_record(client, DownloadStatus.RESERVED) for item, _ in items]
    entries: list[_Entry] = []
    later: list[Item] = []
    taken_up: list[Download] = []
    for (item, present), mine, held in zip(items, new, repository.reserve(new), strict=True):
        if any(held.id == entry.record.id or item.is_same_torrent(entry.item) for entry in entries):
            later.append(item)
            continue
        record = held
        if not present:
            # Where an older record exists, the client lost or never got it: it is taken up again.
            record = evolve(held, request=item.request, status=DownloadStatus.RESERVED, torrent=item.torrent)
            if record != held:
                taken_up.append(record)
        before = held if held.id != mine.id else None
        entries.append(_Entry(item, record, before, present=present))
    if taken_up:
        repository.save(taken_up)
    return entries, later


def _submit(entries: Sequence[_Entry], client: SerialClient, course: Course) -> BatchEnded | None:
    """Hand over what is absent, and look it up; say why if the batch has to end."""
    waiting = deque(entries)
    end = None
    while waiting and end is None:
        sent, end = _send(waiting, client, course)
        if sent:
            end = _confirm(sent, client, course.stop) or end
        # Only a lookup that shows absence allows to send again what had no clear answer, or shared one with others.
        again = [
            entry
            for entry in sent
            if entry.seen is False and entry.sends < _MAX_SENDS and (entry.in_company or is_unclear(entry.answer))
        ]
        for entry in again:
            entry.unclear = is_unclear(entry.answer)
        waiting.extendleft(reversed(again))
    return end


def _send(waiting: deque[_Entry], client: SerialClient, course: Course) -> tuple[list[_Entry], BatchEnded | None]:
    """Send until all is sent, or an answer says that looking up or ending the batch comes first."""
    sent: list[_Entry] = []
    while waiting:
        if course.stop.is_set():
            return sent, BatchEnded(STOPPED, Stage.SUBMIT)
        together = _take_together(waiting) if client.takes_many else [waiting.popleft()]
        answer = _hand_over(together, client)
        if was_done(answer):
            course.teller.submitted([entry.item for entry in together])
        sent.extend(together)
        if isinstance(answer, ClientAuthError):
            return sent, BatchEnded(not_attempted(answer), Stage.SUBMIT)
        if is_unclear(answer):
            break
    return sent, None


def _take_together(waiting: deque[_Entry]) -> list[_Entry]:
    """Take from the waiting those that can go in one request with the first."""
    first = waiting.popleft()
    if first.goes_alone:
        return [first]
    options = first.item.request.options
    together, size, rest = [first], _size(first), list(waiting)
    waiting.clear()
    for entry in rest:
        if entry.goes_alone or entry.item.request.options != options or size + _size(entry) > _MAX_TOGETHER:
            waiting.append(entry)
        else:
            together.append(entry)
            size += _size(entry)
    return together


def _size(entry: _Entry) -> int:
    torrent = entry.item.torrent
    return len(torrent.content) if isinstance(torrent, TorrentFile) else 0


def _hand_over(entries: Sequence[_Entry], client: SerialClient) -> AudiobatchError | None:
    torrents = [entry.item.torrent for entry in entries if entry.item.torrent is not None]
    options = entries[0].item.request.options
    several = len(entries) > 1
    answer = client.add_all(torrents, options) if several else client.add(torrents[0], options)
    if several and isinstance(answer, TorrentRejected):
        # It does not say of whom.
        answer = NotAdded(f"the client did not take the request with {len(entries)} torrents: {answer}")
    elif isinstance(answer, TorrentRejected) and (doubt := entries[0].doubt):
        answer = TorrentRejected(f"{answer}: {doubt}")
    for entry in entries:
        entry.answer, entry.in_company = answer, several
        # Where nothing was sent because of one of them, the others are still to have their turn.
        entry.sends += not (several and isinstance(answer, Unsupported))
    return answer


def _confirm(sent: Sequence[_Entry], client: SerialClient, stop: Event) -> BatchEnded | None:
    seen, error = client.confirm([entry.item.info_hashes for entry in sent if was_done(entry.answer)], stop)
    for entry in sent:
        entry.seen = True if entry.item.info_hashes in seen else None if error else False
    return BatchEnded(not_attempted(error), Stage.CONFIRM) if error else None


def _settle(entries: Sequence[_Entry], repository: Repository, lessons: Lessons) -> None:
    """Close the records in one transaction."""
    after = {number: _closed(entry, lessons) for number, entry in enumerate(entries)}
    changed = {number: record for number, record in after.items() if record != entries[number].record}
    if changed:
        repository.save(list(changed.values()))
    for number, record in changed.items():
        entries[number].record = record


def _closed(entry: _Entry, lessons: Lessons) -> Download:
    if entry.present and (entry.record.id in lessons.confirmed or entry.record.info_hashes != entry.item.info_hashes):
        # No later look: this very batch has brought it there, or what was seen is not all that the record is about.
        return evolve(entry.record, status=DownloadStatus.QUEUED)
    return closed(entry.record, entry.error, before=entry.before)
