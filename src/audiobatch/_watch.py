"""Watch downloads in a torrent client until each is complete, or will not become so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import Event

from attrs import frozen

from audiobatch.models import Download, TorrentState, TorrentStatus
from audiobatch.protocols import TorrentClient


@frozen
class Watched:
    """How downloads stand at one moment, each with its status; None if it is no longer in the client."""

    downloads: tuple[tuple[Download, TorrentStatus | None], ...]

    @property
    def complete(self) -> list[Download]:
        """Those whose data is all there."""
        return [download for download, status in self.downloads if status and status.state is TorrentState.COMPLETE]

    @property
    def broken(self) -> list[Download]:
        """Those that will not get there by themselves: in error, or gone from the client."""
        return [download for download, status in self.downloads if not status or status.state is TorrentState.ERROR]

    @property
    def progress(self) -> float:
        """The mean progress, 0.0 to 1.0."""
        return sum(status.progress for _, status in self.downloads if status) / max(len(self.downloads), 1)


def watch(
    client: TorrentClient, downloads: Sequence[Download], *, stop: Event, every: float = 1.0
) -> Iterator[Watched]:
    """Yield how the downloads stand, again and again; the last one is final, unless it was stopped.

    Args:
        client: The client that has them.
        downloads: What to watch.
        stop: Ends it at once.
        every: Seconds between two looks.
    """
    known = [download.info_hashes for download in downloads]
    while True:
        statuses = client.status(known)
        watched = Watched(
            tuple((download, statuses.get(hashes)) for download, hashes in zip(downloads, known, strict=True))
        )
        yield watched
        # As soon as it has the metadata of a hybrid torrent, a client may know it by another info-hash.
        known = [hashes.joined(statuses[hashes].info_hashes) if hashes in statuses else hashes for hashes in known]
        if len(watched.complete) + len(watched.broken) == len(downloads) or stop.wait(every):
            return
