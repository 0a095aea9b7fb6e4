"""Bring a group of torrents into the client: look up, reserve, submit, confirm, settle."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from threading import Event

from attrs import evolve, mutable

from audiobatch._course import Course
from audiobatch._item import STOPPED, BatchEnded, Item, not_attempted
from audiobatch._known import is_worth_handing_over, with_torrent_of
from audiobatch._lessons import Lessons
from audiobatch._serial import SerialClient
from audiobatch._settle import closed, is_unclear, learned, led_to_link, verdict, was_done
from audiobatch.errors import (
    AudiobatchError,
    ClientAuthError,
    NotAdded,
    TorrentRejected,
    Unconfirmed,
    Unsupported,
)
from audiobatch.metainfo import InfoHashes, TorrentFile
from audiobatch.models import Download, DownloadStatus, TorrentStatus
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
        gives_metadata: It did so without the metadata, which goes to it with this file.
        unclear: It was sent before, and nothing clear was heard of that.
        sends: How often it was handed over.
        in_company: The last time, it was to go together with others.
        answer: What the last add raised; None if the client accepted it.
        seen: Whether it was seen in the client after that; None if no lookup could tell.
        shown: The info-hashes that the client has named for it before anything was sent.
        lacks_metadata: It was last seen without its metadata.
    """

    item: Item
    record: Download
    before: Download | None
    present: bool
    gives_metadata: bool = False
    unclear: bool = False
    sends: int = 0
    in_company: bool = False
    answer: AudiobatchError | None = None
    seen: bool | None = None
    shown: InfoHashes | None = None
    lacks_metadata: bool = False

    @property
    def error(self) -> AudiobatchError | None:
        """Why it failed, as far as is known now; None if it is in the client."""
        if self.present and self.seen is not False:
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
    def is_all_seen(self) -> bool:
        """What the client has is all that the record is about, and not just the other half of a hybrid."""
        recorded, shown = self.record.info_hashes, self.shown
        if recorded == self.item.info_hashes:
            return True
        return shown is not None and shown.matches(recorded) and shown.joined(recorded) == shown

    @property
    def in_vain(self) -> bool:
        """The client has twice been given the metadata, and does not take it."""
        if not self.seen or self.before is None or self.before.status is not DownloadStatus.QUEUED:
            return False
        return self.lacks_metadata and self.before.torrent == self.item.torrent

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
        # A login that is refused ends the batch.
        cause = error.code if isinstance(error, ClientAuthError) else None
        return self.item.failed(error, Stage.CONFIRM if isinstance(error, Unconfirmed) else Stage.SUBMIT, cause=cause)


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
        statuses = client.look_up([item.info_hashes for item in items], course.stop)
    except AudiobatchError as error:
        raise BatchEnded(error, Stage.LOOK_UP) from None
    found = [(item, statuses.get(item.info_hashes)) for item in items]
    try:
        entries, later = _reserve([(item.knowing(status), status) for item, status in found], client.name, repository)
    except AudiobatchError as error:
        raise BatchEnded(error, Stage.RESERVE) from None
    end = _submit([entry for entry in entries if not entry.present or entry.gives_metadata], client, course)
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
    items: Sequence[tuple[Item, TorrentStatus | None]], client: str, repository: Repository
) -> tuple[list[_Entry], list[Item]]:
    """Write down what is about to be added, before anything is.

    Args:
        items: Each with how it stands in the client, or None if it is not there.
        client: Its name.
        repository: Where it is written down.

    Returns:
        An entry for each record; and the items that have to wait for one of these, being of
        the same torrent, or sharing its record as two links do that name a hash of a hybrid each.
    """
    new = {item.index: item.new_record(client, DownloadStatus.RESERVED) for item, _ in items if item.record is None}
    reserved = dict(zip(new, repository.reserve(list(new.values())), strict=True)) if new else {}
    entries: list[_Entry] = []
    later: list[Item] = []
    taken: set[str] = set()
    changed: list[Download] = []
    for item, status in items:
        held = item.record or reserved[item.index]
        names = {held.id, *item.info_hashes.known}
        if names & taken:
            later.append(item)
            continue
        taken |= names
        is_mine = item.index in new and held.id == new[item.index].id
        entry = _Entry(item, held, None if is_mine else held, present=status is not None)
        if status is not None:
            entry.shown, entry.lacks_metadata = status.info_hashes, status.has_metadata is False
        if status is not None and is_worth_handing_over(best := with_torrent_of(held, item), status):
            entry.item, entry.gives_metadata = best, True
        if not entry.present or entry.gives_metadata:
            # Where an older record exists, the client lost or never got it: it is taken up again.
            entry.record = _taken_up(held, entry.item)
            if entry.record != held:
                changed.append(entry.record)
        entries.append(entry)
    if changed:
        repository.save(changed)
    return entries, later


def _taken_up(record: Download, item: Item) -> Download:
    record = evolve(record, request=item.request, status=DownloadStatus.RESERVED, torrent=item.torrent)
    return learned(record, item.info_hashes)


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
        answer = _hand_over(together, client, course.stop)
        if answer is STOPPED:
            return sent, BatchEnded(STOPPED, Stage.SUBMIT)
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


def _hand_over(entries: Sequence[_Entry], client: SerialClient, stop: Event) -> AudiobatchError | None:
    torrents = [entry.item.torrent for entry in entries if entry.item.torrent is not None]
    options = entries[0].item.request.options
    several = len(entries) > 1
    answer = client.add_all(torrents, options, stop) if several else client.add(torrents[0], options, stop)
    if answer is STOPPED:
        return answer  # before anything was sent
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
    asked = {entry.item.info_hashes: entry for entry in sent if was_done(entry.answer)}
    whole = [hashes for hashes, entry in asked.items() if entry.gives_metadata]
    statuses, error = client.confirm(asked, stop, whole=whole)
    for entry in sent:
        if entry.present and not was_done(entry.answer):
            continue  # nothing was done since it was seen
        status = statuses.get(entry.item.info_hashes)
        entry.seen = True if status else None if error else False
        entry.lacks_metadata = status is not None and status.has_metadata is False
        entry.item = entry.item.knowing(status)
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
    return learned(_closed_as_reported(entry, lessons), entry.item.info_hashes)


def _closed_as_reported(entry: _Entry, lessons: Lessons) -> Download:
    if entry.gives_metadata and entry.error is None:
        # A later look has to see that the client has kept the metadata; but twice in vain is enough.
        torrent = None if entry.in_vain else entry.record.torrent
        return evolve(entry.record, status=DownloadStatus.QUEUED, torrent=torrent)
    request, torrent = entry.item.request, entry.item.torrent
    if entry.present and entry.lacks_metadata and led_to_link(request, torrent) and request == entry.record.request:
        return evolve(entry.record, status=DownloadStatus.QUEUED, torrent=torrent)
    if entry.present and (entry.record.id in lessons.confirmed or not entry.is_all_seen):
        # No later look: this very batch has brought it there, or what was seen is not all that the record is about.
        return evolve(entry.record, status=DownloadStatus.QUEUED)
    return closed(entry.record, entry.error, before=entry.before)
