"""Between a batch and the call of its client that is under way: whether anybody still waits for the answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Event

from attrs import field, mutable


@mutable
class Cancellation:
    """When a call is to be given up because its batch was stopped.

    Args:
        stop: Set when the batch is to end.
        grace: Seconds that the call still gets after that.
    """

    _stop: Event
    _grace: float = 0.0
    _seen: float | None = field(default=None, init=False)

    def is_due(self) -> bool:
        """Tell whether the call is to be given up now."""
        if not self._stop.is_set():
            return False
        now = time.monotonic()
        if self._seen is None:
            self._seen = now
        return now - self._seen >= self._grace


_current: ContextVar[Cancellation | None] = ContextVar("audiobatch_cancellation", default=None)


@contextmanager
def cancelled_by(cancellation: Cancellation) -> Iterator[None]:
    """Let the calls that this thread makes in this block be given up by this."""
    token = _current.set(cancellation)
    try:
        yield
    finally:
        _current.reset(token)


def is_cancelled() -> bool:
    """Tell whether the call that this thread makes is to be given up."""
    cancellation = _current.get()
    return cancellation is not None and cancellation.is_due()
