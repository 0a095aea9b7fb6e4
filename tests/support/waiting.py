"""Wait for something to become true, with a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_never = threading.Event()


def wait_until(condition: Callable[[], bool], what: str, *, seconds: float = 20.0) -> None:
    """Ask again and again until the condition holds; fail with `what` when the time is up."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        _never.wait(0.02)
