"""Keep what belongs to one process out of the processes that are forked from it.

A forked child gets a copy of every object, and with it the parent's connections, the locks
that its threads held, and none of those threads. So each object that has such things gets
new ones in the child, before anything else runs there.
"""

from __future__ import annotations

import os
import socket
import weakref
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, local
from typing import Any, Final, Never, TypeVar

from audiobatch.errors import ConfigurationError

_T = TypeVar("_T")

_PATIENCE: Final = 1.0  # seconds that a fork waits for a thread to come to rest


class Process:
    """A process, told apart from its parent and its children: ids of processes come round again."""

    def __init__(self) -> None:
        self._id = os.getpid()

    def is_here(self) -> bool:
        """Tell whether this code runs in that process."""
        return self is here()

    def require(self, what: str, instead: str) -> None:
        """Refuse what another process has begun.

        Args:
            what: What cannot be used here, as the subject of a sentence.
            instead: What to do.

        Raises:
            ConfigurationError: This code runs in another process.
        """
        if not self.is_here():
            raise ConfigurationError(f"{what} belongs to the process that this one was forked from: {instead}")


def here() -> Process:
    """Return the process that this code runs in."""
    if _here._id != os.getpid():  # noqa: SLF001 - of this module
        # Forked by something that is not Python, and that has told it nothing: uWSGI does so by default.
        with _turns.setdefault(os.getpid(), Lock()):
            if _here._id != os.getpid():  # noqa: SLF001
                _begin_child()
    return _here


def renew_in_child(owner: _T, renew: Callable[[_T], None]) -> None:
    """In each child of this process, call `renew` with the owner, for as long as it lives.

    It replaces what it finds: to close that, or to wait for one of its locks, could hang. One function for each owner.
    """
    _remember(_owners, owner, renew)


def sever_in_child(connection: socket.socket) -> None:
    """In each child of this process, let go of the connection, so that nothing there can read or end it."""
    _remember(_connections, connection, _sever)


def rest_at_fork(owner: _T, lock_of: Callable[[_T], Lock]) -> None:
    """Fork only while nobody holds this lock, for what it guards cannot be forked in the middle of a call.

    A fork waits for that no longer than a second.
    """
    _remember(_resting, owner, lock_of)


def abandon(thing: object) -> None:
    """Never let go of it, not even when the interpreter ends: its end would reach what the parent still uses."""
    from ctypes import py_object, pythonapi  # noqa: PLC0415 - of use in a few children alone

    pythonapi.Py_IncRef(py_object(thing))


class StaysHere:
    """Something that cannot be sent to another process, because it has connections, locks or passwords."""

    def __reduce_ex__(self, _: object) -> Never:
        name = type(self).__name__
        raise ConfigurationError(f"a {name} cannot be copied or sent to another process: make one there")


class _Held(local):
    """What the thread that forks holds meanwhile."""

    def __init__(self) -> None:
        self.locks: list[Lock] = []


_Remembered = dict[int, tuple["weakref.ref[Any]", Callable[[Any], Any]]]

_here = Process()
_turns: dict[int, Lock] = {}
_owners: _Remembered = {}
_connections: _Remembered = {}
_resting: _Remembered = {}
_held = _Held()


def _remember(where: _Remembered, owner: object, what: Callable[[Any], Any]) -> None:
    # By number, because what compares equal to another is still an object of its own.
    number = id(owner)
    where[number] = weakref.ref(owner, lambda _: where.pop(number, None)), what


def _recall(where: _Remembered) -> list[tuple[Any, Callable[[Any], Any]]]:
    found = ((reference(), what) for reference, what in list(where.values()))
    return [(owner, what) for owner, what in found if owner is not None]


def _sever(connection: socket.socket) -> None:
    """Put ``/dev/null`` in the place of the connection, which lives on in the parent.

    The object could not be closed: it may be in use, and TLS could want one of its locks.
    """
    number = connection.fileno()
    if number < 0:
        return
    with suppress(OSError):
        nothing = os.open(os.devnull, os.O_RDWR)
        try:
            os.dup2(nothing, number, inheritable=False)
        finally:
            os.close(nothing)


def _come_to_rest() -> None:
    for owner, lock_of in _recall(_resting):
        lock = lock_of(owner)
        if lock.acquire(timeout=_PATIENCE):
            _held.locks.append(lock)


def _go_on() -> None:
    while _held.locks:
        _held.locks.pop().release()


def _begin_child() -> None:
    global _here  # noqa: PLW0603 - there is one process
    _held.locks.clear()  # their owners get new ones
    for connection, sever in _recall(_connections):
        sever(connection)
    _connections.clear()
    for owner, renew in _recall(_owners):
        renew(owner)
    _here = Process()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(before=_come_to_rest, after_in_parent=_go_on, after_in_child=_begin_child)
