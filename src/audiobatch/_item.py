"""One request of a batch on its way, and the outcomes that it can have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from attrs import evolve, frozen

from audiobatch._ids import new_id
from audiobatch.errors import AudiobatchError, FailureCode, NotAttempted
from audiobatch.metainfo import InfoHashes, Torrent, TorrentFile
from audiobatch.models import Download, DownloadRequest, DownloadStatus, TorrentStatus
from audiobatch.results import DownloadFailure, Outcome, Stage


@frozen
class Item:
    """A valid request, with its place in the batch, and its torrent as soon as that is at hand.

    Attributes:
        index: Its place.
        request: The request.
        torrent: Its torrent, if that is at hand.
        known: What record or client say of its info-hashes; a magnet link may name only one of two.
        record: The record that it was made from, in a recovery.
        there: The record under which the client already has it. It goes on for its metadata alone.
    """

    index: int
    request: DownloadRequest
    torrent: Torrent | None = None
    known: InfoHashes | None = None
    record: Download | None = None
    there: Download | None = None

    @property
    def size(self) -> int:
        """Bytes of the torrent at hand; see `size_of`."""
        return size_of(self.torrent)

    @property
    def info_hashes(self) -> InfoHashes:
        """Those of the torrent at hand, and what else is known of them."""
        assert self.torrent is not None, "the torrent is not at hand yet"
        return self.torrent.info_hashes if self.known is None else self.torrent.info_hashes.joined(self.known)

    def knowing(self, status: TorrentStatus | None) -> Item:
        """Return it with the info-hashes that the client names for it."""
        if status is None or status.info_hashes is None:
            return self
        return evolve(self, known=self.info_hashes.joined(status.info_hashes))

    def is_same_torrent(self, other: Item) -> bool:
        """Tell whether both, with their torrents at hand, are of one torrent."""
        return self.info_hashes.matches(other.info_hashes)

    def new_record(self, client: str, status: DownloadStatus) -> Download:
        """Make a record of it, with its torrent."""
        return Download(
            id=new_id(),
            request=self.request,
            info_hashes=self.info_hashes,
            client=client,
            status=status,
            created_at=datetime.now(UTC),
            torrent=self.torrent,
        )

    def succeeded(self, record: Download, *, already_present: bool) -> Download:
        """Report that it is in the client; the torrent's bytes stay with the record."""
        return evolve(
            record,
            index=self.index,
            request=self.request,
            # The record may have been made from a link that names only one of the two hashes of a hybrid.
            info_hashes=self.info_hashes.joined(record.info_hashes) if self.torrent else record.info_hashes,
            already_present=already_present,
            torrent=None,
        )

    def not_fetched(self, error: AudiobatchError) -> Outcome:
        """Report that its torrent could not be had; if the client has it all the same, that is a success."""
        if self.there is not None:
            return self.succeeded(self.there, already_present=True)
        return self.failed(error, Stage.FETCH)

    def failed(self, error: AudiobatchError, stage: Stage, *, cause: FailureCode | None = None) -> DownloadFailure:
        """Report that it is not in the client, or may not be.

        Args:
            error: Why.
            stage: Where that was.
            cause: The code of what ended the batch early, if this item is to carry that.
        """
        failure = DownloadFailure.from_error(error, index=self.index, request=self.request, stage=stage)
        # What ends a batch says nothing of the request: it is worth running again once that is mended.
        return failure if cause is None else evolve(failure, retryable=True, cause=cause)

    def echo(self, outcome: Outcome) -> Outcome:
        """Report for this item what became of its twin."""
        if isinstance(outcome, Download):
            return self.succeeded(outcome, already_present=True)
        return evolve(outcome, index=self.index, request=self.request)


def size_of(torrent: object) -> int:
    """Return the bytes of a torrent file; anything else counts for nothing."""
    return len(torrent.content) if isinstance(torrent, TorrentFile) else 0


class BatchEnded(Exception):
    """The batch cannot go on: the client or the repository is of no use, or it was told to stop.

    Attributes:
        error: Why; it belongs to the next item that has no outcome yet.
        stage: Where.
    """

    def __init__(self, error: AudiobatchError, stage: Stage) -> None:
        super().__init__(str(error))
        self.error = error
        self.stage = stage

    @property
    def cause(self) -> FailureCode:
        """The code of what ended it."""
        return self.error.cause if isinstance(self.error, NotAttempted) else self.error.code

    def outcomes(self, items: Iterable[Item]) -> Iterator[DownloadFailure]:
        """Report of the items that have no outcome yet: the first one carries why."""
        error = self.error
        for number, item in enumerate(items):
            yield item.failed(error, self.stage, cause=None if number else self.cause)
            error = not_attempted(self.error)


def not_attempted(reason: AudiobatchError) -> NotAttempted:
    """Say of an item that the batch ended before it, and why."""
    if isinstance(reason, NotAttempted):
        return reason
    error = NotAttempted(f"not attempted, because {reason}", retry_after=reason.retry_after)
    error.cause = reason.code
    return error


STOPPED = NotAttempted("not attempted, because the batch was stopped")


class Twins:
    """Finds the items of a group that ask for the same thing, so that it is done once.

    Args:
        items: The group.
        keys: What an item asks for: those that share one of them are twins. Two magnet links, each with
            one info-hash of a hybrid, are so because of a third one that has both.
    """

    def __init__(self, items: Iterable[Item], keys: Callable[[Item], Iterable[str]]) -> None:
        families: list[list[Item]] = []
        family_of: dict[str, list[Item]] = {}
        for item in items:
            own = list(keys(item))
            related = list({id(family_of[key]): family_of[key] for key in own if key in family_of}.values())
            if not related:
                families.append(related_to := [])
            else:
                related_to, *others = related
                for other in others:
                    related_to.extend(other)
                    own.extend(key for member in other for key in keys(member))
                    other.clear()
            related_to.append(item)
            family_of.update(dict.fromkeys(own, related_to))
        families = [family for family in families if family]
        for family in families:
            family.sort(key=_tells_less)
        self._families = {family[0].index: family for family in families}

    @property
    def first(self) -> list[Item]:
        """One of each kind, the one whose torrent tells most: those that something is done for."""
        return [family[0] for family in self._families.values()]

    def outcomes(self, outcome: Outcome) -> Iterable[Outcome]:
        """Return the outcome of a first one, and what it means for its twins."""
        _, *others = self._families[outcome.index]
        return [outcome, *(item.echo(outcome) for item in others)]


def _tells_less(item: Item) -> tuple[bool, bool]:
    """Sort a file before magnet links, and a link with both info-hashes before one with one."""
    is_file = isinstance(item.torrent, TorrentFile)
    return not is_file, item.torrent is not None and None in (item.info_hashes.v1, item.info_hashes.v2)
