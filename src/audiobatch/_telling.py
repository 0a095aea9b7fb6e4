"""Tell of one batch while it goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock, get_ident

from attrs import define, field

from audiobatch._fork import Process, here, renew_in_child
from audiobatch._ids import new_id
from audiobatch._item import Item
from audiobatch._logbook import log_event
from audiobatch.errors import ConfigurationError, FailureCode
from audiobatch.events import (
    BatchEvent,
    BatchFinished,
    BatchStarted,
    Fetched,
    Listener,
    Settled,
    Submitted,
    Waiting,
    fan_out,
)
from audiobatch.metainfo import Torrent, TorrentFile
from audiobatch.models import Download
from audiobatch.results import Outcome


class Announcer:
    """Writes each event to the log and gives it to the listener, in one call at a time.

    Args:
        listener: Gets them; None where nobody listens.
    """

    def __init__(self, listener: Listener | None) -> None:
        self._tell = fan_out(log_event, *([] if listener is None else [listener]))
        self._turn = Lock()
        self._speaker: int | None = None
        renew_in_child(self, Announcer._renew)

    def _renew(self) -> None:
        self._turn, self._speaker = Lock(), None

    def __call__(self, event: BatchEvent) -> None:
        """Announce an event; it waits while another one is being told."""
        with self._turn:
            self._speaker = get_ident()
            try:
                self._tell(event)
            finally:
                self._speaker = None

    def require_silence(self) -> None:
        """Refuse what would wait for its own end.

        Raises:
            ConfigurationError: This is called by the listener.
        """
        if self._speaker == get_ident():
            raise ConfigurationError("a listener cannot run a batch of the downloader that it listens to")


def _unheard(_: BatchEvent) -> None:
    pass


@define
class Teller:
    """Makes the events of one batch, and announces them, in the process in which the batch was begun.

    Args:
        announce: Gets them; without it, nobody does.
    """

    _announce: Listener = _unheard
    process: Process = field(factory=here, init=False)
    _batch: str = field(factory=new_id, init=False)
    _successful: int = field(default=0, init=False)
    _failed: int = field(default=0, init=False)

    @contextmanager
    def batch(self, size: int) -> Iterator[None]:
        """Tell that the batch has started and, however the block ends, that it has finished."""
        begun = time.monotonic()
        self._tell(BatchStarted(batch=self._batch, size=size))
        try:
            yield
        finally:
            if self.process.is_here():
                self._tell(
                    BatchFinished(
                        batch=self._batch,
                        successful=self._successful,
                        failed=self._failed,
                        seconds=time.monotonic() - begun,
                    )
                )

    def waiting(self, item: Item, seconds: float, code: FailureCode) -> None:
        """Tell that an item is to be fetched after a wait."""
        self._tell(Waiting(batch=self._batch, index=item.index, request=item.request, seconds=seconds, code=code))

    def fetched(self, item: Item, torrent: Torrent, seconds: float) -> None:
        """Tell that a torrent was fetched."""
        size = len(torrent.content) if isinstance(torrent, TorrentFile) else 0
        self._tell(Fetched(batch=self._batch, index=item.index, request=item.request, seconds=seconds, size=size))

    def submitted(self, items: Sequence[Item]) -> None:
        """Tell that the client was given these."""
        self._tell(Submitted(batch=self._batch, indices=tuple(item.index for item in items)))

    def settled(self, outcome: Outcome) -> None:
        """Tell what became of an item."""
        if isinstance(outcome, Download):
            self._successful += 1
        else:
            self._failed += 1
        self._tell(Settled(batch=self._batch, outcome=outcome))

    def require_own_process(self) -> None:
        """Refuse to go on with a batch of the process that this one was forked from.

        Raises:
            ConfigurationError: It is one.
        """
        self.process.require("a batch that is under way", "run a batch of its own here")

    def _tell(self, event: BatchEvent) -> None:
        self._announce(event)
        self.require_own_process()  # a listener may fork, and return in both processes
