"""Let a fetcher that waits for its turn know that nobody waits for the torrent any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_is_over: ContextVar[Callable[[], bool]] = ContextVar("audiobatch_is_over", default=lambda: False)


@contextmanager
def while_wanted(is_over: Callable[[], bool]) -> Iterator[None]:
    """Let `nobody_waits`, asked by this thread in this block, tell what `is_over` says."""
    token = _is_over.set(is_over)
    try:
        yield
    finally:
        _is_over.reset(token)


def nobody_waits() -> bool:
    """Tell whether the batch that this thread fetches for has ended."""
    return _is_over.get()()
