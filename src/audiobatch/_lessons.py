"""What one batch has learnt so far, and goes by in its later groups."""

from __future__ import annotations

from audiobatch._item import Item
from audiobatch._urls import tracker_of
from audiobatch.errors import AudiobatchError, RateLimited
from audiobatch.metainfo import InfoHashes
from audiobatch.results import DownloadFailure, Outcome


class Lessons:
    """Trackers that ask to be left alone, torrents that were not taken, records that were just confirmed.

    What comes of fetches is told by several threads.
    """

    def __init__(self) -> None:
        self._wishes: dict[str, RateLimited] = {}
        self._failures: list[tuple[InfoHashes, DownloadFailure]] = []
        self._fetched: dict[int, Item] = {}
        self.confirmed: set[str] = set()
        """The ids of the records of what this batch itself has seen in the client."""

    def note_torrent(self, item: Item) -> None:
        """Note that an item's torrent was fetched, and is now at hand."""
        self._fetched[item.index] = item

    def let_go(self, outcome: Outcome) -> None:
        """Keep the torrent of an item no longer, because it has this outcome."""
        self._fetched.pop(outcome.index, None)

    @property
    def fetched_for_nothing(self) -> list[Item]:
        """Those whose torrent was fetched, and which have had no outcome."""
        return [self._fetched[index] for index in sorted(self._fetched)]

    def note_fetch(self, url: str, error: AudiobatchError) -> None:
        """Note what came of a fetch, if it was the wish to be left alone."""
        if isinstance(error, RateLimited):
            self._wishes[tracker_of(url)] = error

    def wish_of(self, url: str) -> RateLimited | None:
        """Return the wish of the tracker behind this URL, if there is one."""
        return self._wishes.get(tracker_of(url))

    def note_outcome(self, item: Item, outcome: Outcome) -> None:
        """Note what came of submitting an item."""
        if isinstance(outcome, DownloadFailure):
            self._failures.append((item.info_hashes, outcome))
        else:
            self.confirmed.add(outcome.id)

    def failure_of(self, item: Item) -> DownloadFailure | None:
        """Return why the same torrent failed before, under another URL."""
        return next((failure for hashes, failure in self._failures if hashes.matches(item.info_hashes)), None)
