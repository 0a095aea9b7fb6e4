"""Watch downloads in a torrent client until each is complete, or will not become so."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from threading import Event

from attrs import frozen

from audiobatch._cancellation import Cancellation, cancelled_by
from audiobatch.errors import AudiobatchError
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
    client: TorrentClient,
    downloads: Sequence[Download],
    *,
    stop: Event,
    every: float = 1.0,
    patience: float = 0.0,
    on_trouble: Callable[[AudiobatchError], None] = lambda _: None,
) -> Iterator[Watched]:
    """Yield how the downloads stand, again and again; the last one is final, unless it was stopped.

    Args:
        client: The client that has them.
        downloads: What to watch.
        stop: Ends it at once.
        every: Seconds between two looks.
        patience: Seconds for which the client may be unavailable.
        on_trouble: Told when that begins, and why.

    Raises:
        ClientError: The client cannot be asked, for longer than that, or for good.
    """
    failing_since: float | None = None
    known = [download.info_hashes for download in downloads]
    while True:
        try:
            with cancelled_by(Cancellation(stop)):
                statuses = client.status(known)
        except AudiobatchError as error:
            if failing_since is None:
                failing_since = time.monotonic()
                on_trouble(error)
            if not error.transient or time.monotonic() - failing_since >= patience:
                raise
        else:
            failing_since = None
            watched = Watched(
                tuple((download, statuses.get(hashes)) for download, hashes in zip(downloads, known, strict=True))
            )
            yield watched
            if len(watched.complete) + len(watched.broken) == len(downloads):
                return
            # As soon as it has the metadata of a hybrid torrent, a client may know it by another info-hash.
            known = [hashes.joined(statuses[hashes].info_hashes) if hashes in statuses else hashes for hashes in known]
        if stop.wait(every):
            return
