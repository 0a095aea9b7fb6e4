"""Work ahead of whoever takes the results: several at once, bounded, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

from audiobatch._fork import here

_LINGER = 0.01  # seconds: what is fetched side by side comes back side by side, and costs less in one group

_T = TypeVar("_T")
_R = TypeVar("_R")


def look_ahead(
    function: Callable[[_T], _R], items: Iterable[_T], *, workers: int, furthest: int
) -> Generator[list[tuple[_T, _R]], None, None]:
    """Apply the function to the items in threads, and yield groups of items with their results.

    A group holds everything that is ready when the taker comes for it, or in the moment after
    that, at least one, in the order of the items. While the taker is busy with the first group,
    at most `workers` more items are begun, for until it comes back they may have been begun for
    nothing; from then on, `furthest`.

    Close it when you leave early: that gives up what is not begun, and waits for what is.

    Args:
        function: What to do with an item. What it raises is raised here, in the item's turn.
        items: Taken one by one, no sooner than there is a place.
        workers: Threads.
        furthest: Items that may be begun and not taken, once a group was.
    """
    remaining = iter(items)
    ahead = workers
    begun: deque[tuple[_T, Future[_R]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="audiobatch-fetch")
    process = here()

    def begin_more() -> None:
        begun.extend((item, pool.submit(function, item)) for item in islice(remaining, ahead - len(begun)))

    try:
        begin_more()
        while begun:
            group = _take_ready(begun)
            begin_more()
            yield group
            ahead = max(furthest, workers)
    finally:
        if process.is_here():  # in a forked child the threads are gone, maybe with a future's lock in hand
            for _, future in begun:
                future.cancel()
            pool.shutdown()


def _take_ready(begun: deque[tuple[_T, Future[_R]]]) -> list[tuple[_T, _R]]:
    begun[0][1].result()
    wait((future for _, future in begun), timeout=_LINGER)
    group: list[tuple[_T, _R]] = []
    while begun and (not group or begun[0][1].done()):
        item, future = begun.popleft()
        group.append((item, future.result()))
    return group
