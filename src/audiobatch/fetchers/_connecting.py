"""Connect to whichever address of a host answers first (RFC 8305)."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from queue import Empty, SimpleQueue
from threading import BoundedSemaphore, Lock, Thread
from typing import Final, TypeAlias

import httpcore
from attrs import define, field

from audiobatch._fork import renew_in_child
from audiobatch._patience import nobody_waits
from audiobatch.fetchers._addresses import Address

_MAX_TRIED: Final = 4  # addresses of one host
_HEAD_START: Final = 0.25  # seconds that an address has before the next one is tried beside it (RFC 8305, 5)
_GLANCE: Final = 0.1  # seconds between two looks at whether there is still a reason to wait
_MAX_RACES: Final = 16  # under way at once, those included that are won and wait for their last thread
_LEAST: Final = 0.001  # seconds: to wait for none at all means something else to a socket
_MAX_KNOWN: Final = 256  # hosts of which is known which address has answered

Connect: TypeAlias = Callable[[Address, float], httpcore.NetworkStream]
"""Connects to an address within so many seconds, or raises `httpcore.ConnectError` or `httpcore.ConnectTimeout`."""


@define
class _Race:
    """Attempts to connect, side by side. The first that succeeds is taken; what comes later is closed."""

    connect: Connect
    deadline: float
    when_gone: Callable[[], None]
    """Called as soon as it is over and has no thread any more."""
    _outcomes: SimpleQueue[tuple[Address, httpcore.NetworkStream | Exception]] = field(factory=SimpleQueue, init=False)
    _lock: Lock = field(factory=Lock, init=False)
    _over: bool = field(default=False, init=False)
    _running: int = field(default=0, init=False)

    def start(self, address: Address) -> None:
        with self._lock:
            self._running += 1
        try:
            Thread(target=self._run, args=(address,), name="audiobatch-connect", daemon=True).start()
        except RuntimeError:
            self._finish(address, httpcore.ConnectError("no thread can be started"))

    def _run(self, address: Address) -> None:
        try:
            outcome: httpcore.NetworkStream | Exception = self.connect(address, _left_until(self.deadline))
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            outcome = error
        self._finish(address, outcome)

    def _finish(self, address: Address, outcome: httpcore.NetworkStream | Exception) -> None:
        with self._lock:
            self._running -= 1
            if not self._over:
                self._outcomes.put((address, outcome))
                return
            is_last = self._running == 0
        if isinstance(outcome, httpcore.NetworkStream):
            outcome.close()
        if is_last:
            self.when_gone()

    def next(self, seconds: float) -> tuple[Address, httpcore.NetworkStream | Exception] | None:
        """Return what comes of an attempt, or None if none ends within so many seconds."""
        try:
            return self._outcomes.get(timeout=max(seconds, 0))
        except Empty:
            return None

    def end(self) -> None:
        """Close whatever is connected and was not taken, now or later."""
        with self._lock:
            self._over = True
            is_gone = self._running == 0
        if is_gone:
            self.when_gone()
        while (left := self.next(0)) is not None:
            if isinstance(left[1], httpcore.NetworkStream):
                left[1].close()


class Connector:
    """Connects to hosts, and remembers for a while which address of a host has answered.

    An address that does not answer costs a quarter of a second then, once for each host.
    """

    def __init__(self) -> None:
        self._answered: OrderedDict[str, Address] = OrderedDict()
        self._renew()
        renew_in_child(self, Connector._renew)

    def _renew(self) -> None:
        self._lock = Lock()
        self._places = BoundedSemaphore(_MAX_RACES)

    def connect(
        self, host: str, addresses: Sequence[Address], timeout: float, connect: Connect
    ) -> tuple[Address, httpcore.NetworkStream]:
        """Connect to the first of the addresses that answers, and say which one; of many, only some are tried.

        Raises:
            httpcore.ConnectError: None of them can be connected to.
            httpcore.ConnectTimeout: None has answered within ``timeout`` seconds, or nobody waits any more.
        """
        tried = self._in_order(host, addresses)[:_MAX_TRIED]
        deadline, places = time.monotonic() + timeout, self._places
        if len(tried) == 1 or not places.acquire(blocking=False):
            return _one_by_one(tried, deadline, connect)
        race = _Race(connect, deadline, places.release)
        try:
            address, stream = self._first(race, tried)
        finally:
            race.end()
        self._remember(host, address)
        return address, stream

    def _first(self, race: _Race, addresses: Sequence[Address]) -> tuple[Address, httpcore.NetworkStream]:
        waiting, failed = list(addresses), 0
        failure: Exception = httpcore.ConnectTimeout()
        next_start = 0.0
        while failed < len(addresses):
            now = time.monotonic()
            if now >= race.deadline or nobody_waits():
                raise httpcore.ConnectTimeout
            if waiting and now >= next_start:
                race.start(waiting.pop(0))
                next_start = now + _HEAD_START
            until = min(race.deadline, next_start) if waiting else race.deadline
            ended = race.next(min(until - now, _GLANCE))
            if ended is None:
                continue
            address, outcome = ended
            if isinstance(outcome, httpcore.NetworkStream):
                return address, outcome
            failed, failure, next_start = failed + 1, outcome, 0.0
        raise failure

    def _in_order(self, host: str, addresses: Sequence[Address]) -> list[Address]:
        with self._lock:
            known = self._answered.get(host)
        return sorted(_by_turns(addresses), key=lambda address: address != known)

    def _remember(self, host: str, address: Address) -> None:
        with self._lock:
            self._answered[host] = address
            self._answered.move_to_end(host)
            if len(self._answered) > _MAX_KNOWN:
                self._answered.popitem(last=False)


def _by_turns(addresses: Sequence[Address]) -> list[Address]:
    """Let IPv6 and IPv4 take turns, for where one of them does not work, it does so for all its addresses."""
    first = [address for address in addresses if address.version == addresses[0].version]
    others = [address for address in addresses if address.version != addresses[0].version]
    return [address for address in chain(*zip_longest(first, others)) if address is not None]


def _one_by_one(
    addresses: Sequence[Address], deadline: float, connect: Connect
) -> tuple[Address, httpcore.NetworkStream]:
    """Connect without a thread: one address, or several where too many races are under way."""
    failure: Exception = httpcore.ConnectTimeout()
    for to_try, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
        if nobody_waits():
            raise httpcore.ConnectTimeout
        try:
            # Each gets its share of the time: one that swallows everything must not take it all.
            return address, connect(address, _left_until(deadline) / to_try)
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            failure = error
    raise failure


def _left_until(deadline: float) -> float:
    return max(deadline - time.monotonic(), _LEAST)
