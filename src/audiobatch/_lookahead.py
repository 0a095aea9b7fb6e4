"""Work ahead of whoever takes the results: several at once, bounded in number and in bytes, in order."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from threading import Condition
from typing import Generic, TypeVar

from attrs import define, field

from audiobatch._fork import here

_LINGER = 0.01  # seconds: what is fetched side by side comes back side by side, and costs less in one group

_T = TypeVar("_T")
_R = TypeVar("_R")


def look_ahead(
    function: Callable[[_T], _R],
    items: Iterable[_T],
    *,
    workers: int,
    furthest: int,
    size: Callable[[_R], int] = lambda _: 0,
    most: float = math.inf,
) -> Generator[list[tuple[_T, _R]], None, None]:
    """Apply the function to the items in threads, and yield groups of items with their results.

    A group holds everything that is ready when the taker comes for it, or in the moment after
    that, at least one, in the order of the items. While the taker is busy with the first group,
    at most `workers` more items are begun, because until it comes back they may have been begun
    for nothing; from then on, `furthest`.

    Close it when you leave early: that gives up what is not begun, and waits for what is.

    Args:
        function: What to do with an item. What it raises is raised here, in the item's turn.
        items: Taken one by one, no sooner than there is a place.
        workers: Threads.
        furthest: Items that may be begun and not taken, once a group was.
        size: The bytes that a result takes.
        most: Bytes. No more is begun than leaves the results that were not taken, or are still with the
            taker, and those under way below that. Of these, each is expected to take twice the largest so far.
    """
    process = here()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="audiobatch-fetch")
    queue = _Queue(pool, function, iter(items), workers=workers, size=size, most=most, furthest=workers)
    try:
        queue.begin()
        while group := queue.take():
            queue.begin()
            yield group
            del group  # what the taker has let go of is gone
            queue.make_room()
            queue.furthest = max(furthest, workers)
    finally:
        if process.is_here():  # in a forked child the threads are gone, maybe with a lock in hand
            queue.close()
            pool.shutdown()


@define(eq=False)
class _Queue(Generic[_T, _R]):
    """What is begun and not taken, in order; the taker and the workers, as they finish, begin more.

    Attributes:
        furthest: Items that may be begun and not taken.
    """

    _pool: Executor
    _function: Callable[[_T], _R]
    _items: Iterator[_T]
    _workers: int = field(kw_only=True)
    _size: Callable[[_R], int] = field(kw_only=True)
    _most: float = field(kw_only=True)
    furthest: int = field(kw_only=True)
    _begun: deque[tuple[_T, Future[_R]]] = field(factory=deque, init=False)
    _working: int = field(default=0, init=False)
    _bytes: int = field(default=0, init=False)
    _largest: int = field(default=0, init=False)
    _taken: int = field(default=0, init=False)
    _closed: bool = field(default=False, init=False)
    _changed: Condition = field(factory=Condition, init=False)

    def begin(self) -> None:
        """Begin as many as there is room for: always in order, so that nobody waits for one that has no room."""
        with self._changed:
            while self._has_room():
                try:
                    item = next(self._items)
                except StopIteration:
                    return
                future = self._pool.submit(self._function, item)
                self._working += 1
                self._begun.append((item, future))
                future.add_done_callback(self._finished)

    def _has_room(self) -> bool:
        if self._closed or self._working >= self._workers or len(self._begun) >= self.furthest:
            return False
        # While it is read, a result takes twice its bytes; and so does the next one, which is to have its place.
        expected = 2 * (self._working + 1) * self._largest
        return self._bytes + expected < self._most or not (self._bytes or self._working)

    def _finished(self, future: Future[_R]) -> None:
        with self._changed:
            self._working -= 1
            if not future.cancelled() and future.exception() is None:
                size = self._size(future.result())
                self._bytes += size
                self._largest = max(self._largest, size)
            self.begin()
            self._changed.notify_all()

    def take(self) -> list[tuple[_T, _R]]:
        """Wait for the first, and a moment for the others; return what is ready, or nothing if all was taken."""
        with self._changed:
            # A worker that has just finished may not have been counted yet, and begins the next ones when it is.
            self._changed.wait_for(lambda: self._begun or not self._working)
        if not self._begun:
            return []
        self._begun[0][1].result()
        group: list[tuple[_T, _R]] = []
        with self._changed:
            self._changed.wait_for(lambda: not self._working, timeout=_LINGER)
            while self._begun and (not group or self._begun[0][1].done()):
                item, future = self._begun.popleft()
                group.append((item, future.result()))
            self._taken = sum(self._size(result) for _, result in group)
        return group

    def make_room(self) -> None:
        """Count the group that was taken as gone, and use the room that it leaves."""
        with self._changed:
            self._bytes -= self._taken
            self.begin()

    def close(self) -> None:
        """Begin nothing more, and give up what is not under way."""
        with self._changed:
            self._closed = True
            for _, future in self._begun:
                future.cancel()
