"""Let Ctrl-C stop a batch between two steps, instead of in the middle of one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType


@contextmanager
def stop_on_interrupt() -> Iterator[Event]:
    """Give an event, to be passed as ``stop``, that the first Ctrl-C sets; a second one interrupts as usual.

    For programs: it replaces the handler of SIGINT while the block runs.

    Raises:
        ValueError: It is not called in the main thread, the only one that may handle signals.
    """
    stop = Event()

    def on_interrupt(_: int, __: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        stop.set()

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
