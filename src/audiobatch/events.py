"""What happens in a batch, told while it happens: a small closed set of events.

A `BatchDownloader` gives each of them to its ``on_event``: one call at a time, also from the
threads that fetch and from batches that run side by side, so that a listener needs no lock. It
should be quick, for the batch waits for it. What it raises is logged, and changes nothing.

The first event of a batch is `BatchStarted` and the last one `BatchFinished`, also when the
batch is stopped or its iteration is left early. In between, an item has one `Settled`; before
that, where it comes so far, `Waiting`, `Fetched` and `Submitted`. `BatchDownloader.recover`
tells of no events.

Events hold the requests with their whole URLs; their reprs show no more than a host.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeAlias

from attrs import field, frozen

from audiobatch.errors import FailureCode
from audiobatch.models import DownloadRequest
from audiobatch.results import Outcome

_log = logging.getLogger("audiobatch")


@frozen(kw_only=True)
class BatchStarted:
    """A batch begins.

    Attributes:
        batch: Identifies the batch in all its events and log records; a UUID.
        size: How many requests it holds.
    """

    batch: str
    size: int


@frozen(kw_only=True)
class Fetched:
    """The torrent of an item was fetched. What is on record, or a magnet link, is not.

    Attributes:
        batch: See `BatchStarted`.
        index: The position of the item in the batch, from 0.
        request: The item's request.
        seconds: What the fetch took, with all its tries and waits.
        size: Bytes of the ``.torrent``; 0 where the URL has led to a magnet link.
    """

    batch: str
    index: int
    request: DownloadRequest
    seconds: float
    size: int


@frozen(kw_only=True)
class Waiting:
    """An item is fetched after a wait: a try has failed, or the tracker is not asked as fast as that.

    Attributes:
        batch: See `BatchStarted`.
        index: The position of the item in the batch, from 0.
        request: The item's request.
        seconds: How long the wait is.
        code: Why: `FailureCode.RATE_LIMITED` where the tracker asked to slow down, or where a fetcher
            keeps the pace that it is to have; else what the try failed with.
    """

    batch: str
    index: int
    request: DownloadRequest
    seconds: float
    code: FailureCode


@frozen(kw_only=True)
class Submitted:
    """Torrents were handed to the torrent client, in one request; whether it took them is not known yet.

    An item may be handed over twice, if it did not show after the first time.

    Attributes:
        batch: See `BatchStarted`.
        indices: The positions of the items in the batch, from 0.
    """

    batch: str
    indices: tuple[int, ...]


@frozen(kw_only=True)
class Settled:
    """What became of an item is known, and on record.

    Attributes:
        batch: See `BatchStarted`.
        outcome: As `BatchDownloader.stream` yields it right afterwards.
    """

    batch: str
    outcome: Outcome


@frozen(kw_only=True)
class BatchFinished:
    """A batch has come to its end; if its iteration was left early, not all items have an outcome.

    Attributes:
        batch: See `BatchStarted`.
        successful: How many items succeeded.
        failed: How many did not.
        seconds: What the batch took.
    """

    batch: str
    successful: int
    failed: int
    seconds: float


BatchEvent: TypeAlias = BatchStarted | Fetched | Waiting | Submitted | Settled | BatchFinished
"""What a listener gets."""

Listener: TypeAlias = Callable[[BatchEvent], None]
"""What ``on_event`` takes."""


@frozen
class _FanOut:
    _listeners: tuple[Listener, ...] = field(converter=tuple[Listener, ...])

    def __call__(self, event: BatchEvent) -> None:
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:  # noqa: BLE001 - logged below
                # Whoever listens is not to change what happens: the torrent is in the client all the same.
                _log.exception("a listener failed on %s", type(event).__name__)


def fan_out(*listeners: Listener) -> Listener:
    """Make one listener of several: each gets every event, whatever the others raise."""
    return _FanOut(listeners)
