"""Keep a distance between requests to a tracker."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from threading import Event, Lock, Semaphore
from typing import Final

from audiobatch._fork import renew_in_child
from audiobatch._patience import nobody_waits, tell_of_wait
from audiobatch.errors import FetchError

_GLANCE: Final = 0.1  # seconds between two looks at whether there is still a reason to wait
_CLOSED: Final = "the fetcher was closed before the tracker was asked"


class Pace:
    """Lets a few through at a time, each no sooner than `gap` seconds after the one before began."""

    def __init__(self, gap: float, *, at_once: int = 1) -> None:
        self._gap = gap
        self._turns = Semaphore(at_once)
        self._lock = Lock()
        self._next = 0.0
        self._closed = Event()
        self._at_once = at_once
        self.users = 0
        """How many wait for a turn, or have one; counted by `Paces`."""
        renew_in_child(self, Pace._renew)

    def _renew(self) -> None:
        closed, self._closed = self._closed.is_set(), Event()
        if closed:
            self._closed.set()
        self._turns = Semaphore(self._at_once)
        self._lock = Lock()
        self.users = 0  # they were threads of the parent

    @property
    def is_over(self) -> bool:
        """Nobody uses it, and the next request may go out at once: a new pace would be the same."""
        return self.users == 0 and time.monotonic() >= self._next

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for one's turn, and have it until the block ends; in it, call `step` before the request.

        Raises:
            FetchError: Nobody waits for it any more, or the pace has ended.
        """
        turns = self._turns
        while not turns.acquire(timeout=_GLANCE):
            self._raise_if_over()
        try:
            self._raise_if_over()
            yield
        finally:
            turns.release()

    def step(self) -> None:
        """Wait until the next request may go out.

        Raises:
            FetchError: As for `turn`.
        """
        with self._lock:
            mine = max(self._next, time.monotonic())
            self._next = mine + self._gap
        if mine - time.monotonic() > _GLANCE:
            tell_of_wait(mine - time.monotonic())
        while (left := mine - time.monotonic()) > 0 and not self._closed.wait(min(left, _GLANCE)):
            self._raise_if_over()
        self._raise_if_over()

    def end(self) -> None:
        """Let nobody wait any longer."""
        self._closed.set()

    def _raise_if_over(self) -> None:
        if self._closed.is_set():
            raise FetchError(_CLOSED)
        if nobody_waits():
            raise FetchError("the batch ended before the tracker was asked")


class Paces:
    """A pace for each host, for as long as the host is asked, or may not be asked yet."""

    def __init__(self, gap: float, *, at_once: int) -> None:
        self._gap = gap
        self._at_once = at_once
        self._of_hosts: OrderedDict[str, Pace] = OrderedDict()  # the one that was looked at longest ago comes first
        self._lock = Lock()
        self._ended = False
        renew_in_child(self, Paces._renew)

    def _renew(self) -> None:
        self._lock = Lock()  # and each pace, for which no host is to be pressed harder, renews itself

    @contextmanager
    def turn(self, host: str) -> Iterator[float]:
        """Wait until this host may be asked, and hold that place until the block ends.

        Yields:
            The seconds that this took.

        Raises:
            FetchError: Nobody waits for it any more, or all paces have ended.
        """
        with self._lock:
            if self._ended:  # also for a host that was not asked before, or was forgotten
                raise FetchError(_CLOSED)
            pace = self._of_hosts.setdefault(host, Pace(self._gap, at_once=self._at_once))
            pace.users += 1
            self._of_hosts.move_to_end(host)
            self._forget_what_is_over()
        try:
            begun = time.monotonic()
            with pace.turn():
                pace.step()
                yield time.monotonic() - begun
        finally:
            with self._lock:
                pace.users -= 1

    def end(self) -> None:
        """Let nobody wait any longer."""
        with self._lock:
            self._ended = True
            for pace in self._of_hosts.values():
                pace.end()

    def _forget_what_is_over(self) -> None:
        # Two at the most, and one is added: it shrinks, and no call takes longer than the others.
        for host in list(islice(self._of_hosts, 2)):
            self._of_hosts.move_to_end(host)  # or two that are in use for long would keep all behind them
            if self._of_hosts[host].is_over:
                del self._of_hosts[host]
