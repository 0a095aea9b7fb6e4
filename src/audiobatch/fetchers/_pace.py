"""Keep a distance between requests to a tracker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock
from typing import Final

from audiobatch._patience import nobody_waits
from audiobatch.errors import FetchError

_GLANCE: Final = 0.1  # seconds between two looks at whether there is still a reason to wait


class Pace:
    """Lets one through at a time, each no sooner than `gap` seconds after the one before began."""

    def __init__(self, gap: float) -> None:
        self._gap = gap
        self._turn = Lock()
        self._next = 0.0
        self._closed = Event()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for one's turn, and have it until the block ends; in it, call `step` before the request.

        Raises:
            FetchError: Nobody waits for it any more, or the pace has ended.
        """
        while not self._turn.acquire(timeout=_GLANCE):
            self._raise_if_over()
        try:
            self._raise_if_over()
            yield
        finally:
            self._turn.release()

    def step(self) -> None:
        """Wait until the next request may go out.

        Raises:
            FetchError: As for `turn`.
        """
        while (left := self._next - time.monotonic()) > 0 and not self._closed.wait(min(left, _GLANCE)):
            self._raise_if_over()
        self._raise_if_over()
        self._next = time.monotonic() + self._gap

    def end(self) -> None:
        """Let nobody wait any longer."""
        self._closed.set()

    def _raise_if_over(self) -> None:
        if self._closed.is_set():
            raise FetchError("the fetcher was closed before the tracker was asked")
        if nobody_waits():
            raise FetchError("the batch ended before the tracker was asked")
