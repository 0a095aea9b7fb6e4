"""Keep a distance between requests to a tracker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock


class Pace:
    """Lets one through at a time, each no sooner than `gap` seconds after the one before began."""

    def __init__(self, gap: float) -> None:
        self._gap = gap
        self._lock = Lock()
        self._next = 0.0
        self._hurry = Event()

    @contextmanager
    def turn(self) -> Iterator[Pace]:
        """Wait for one's turn, and have it until the block ends; in it, call `step` before each request."""
        with self._lock:
            yield self

    def step(self) -> bool:
        """Wait until the next request may go out; tell whether it still should: not after `end`."""
        self._hurry.wait(max(self._next - time.monotonic(), 0.0))
        self._next = time.monotonic() + self._gap
        return not self._hurry.is_set()

    def end(self) -> None:
        """Let nobody wait any longer."""
        self._hurry.set()
