"""Between a fetcher of ours and the batch that waits for it: whether it still does, and for how long it must."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from attrs import frozen


@frozen
class Patience:
    """How a batch waits for a torrent.

    Args:
        is_over: Tells whether nobody waits for it any more.
        on_wait: Told the seconds that a fetcher will wait before it asks.
        thread: The thread that waits, by its identifier.
    """

    is_over: Callable[[], bool] = lambda: False
    on_wait: Callable[[float], None] = lambda _: None
    thread: int | None = None


_patience: ContextVar[Patience] = ContextVar("audiobatch_patience", default=Patience())  # noqa: B039 - it is frozen


@contextmanager
def waiting_with(patience: Patience) -> Iterator[None]:
    """Let the functions below, called by this thread in this block, go by this patience."""
    token = _patience.set(patience)
    try:
        yield
    finally:
        _patience.reset(token)


def nobody_waits() -> bool:
    """Tell whether the batch that this thread fetches for has ended."""
    return _patience.get().is_over()


def tell_of_wait(seconds: float) -> None:
    """Let the batch that this thread fetches for know how long it will wait."""
    _patience.get().on_wait(seconds)


def waiting_thread() -> int | None:
    """Return the thread that waits for what this thread fetches, if another one does."""
    return _patience.get().thread
