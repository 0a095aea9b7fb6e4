"""Find the addresses of a host, in time, and with a bounded number of threads."""

from __future__ import annotations

import socket
import time
from concurrent.futures import Future, wait
from ipaddress import ip_address
from threading import BoundedSemaphore, Lock, Thread
from typing import Final

from audiobatch._fork import renew_in_child
from audiobatch._patience import nobody_waits
from audiobatch.fetchers._addresses import Address

MAX_LOOK_UPS: Final = 16  # under way at once, over all fetchers of a process: each has a thread
_NOBODYS: Final = {4: "192.0.2.1", 6: "2001:db8::1"}  # for documentation alone (RFC 5737, RFC 3849)
_GLANCE: Final = 0.1  # seconds between two looks at whether there is still a reason to wait


def resolve(host: str, port: int, *, flags: int = 0) -> list[Address]:
    """Return the addresses of a host, in the order to try them.

    Args:
        host: A name, or an address in any spelling that the system takes, such as ``0x7f.1``.
        port: Where the connection will go.
        flags: For `socket.getaddrinfo`.

    Raises:
        OSError: There is no such host.
        UnicodeError: It cannot be a host.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    # A dictionary, because it keeps the order and drops what comes twice; of an address with a zone, the address.
    return list(dict.fromkeys(ip_address(str(place[0]).partition("%")[0]) for *_, place in found))


def spelled_out(host: str, port: int) -> list[Address]:
    """Return the address that a host itself says, or nothing if it is a name: no name server is asked."""
    host = host.lower().rstrip(".")  # the root's dot makes a name of an address for some, for others it does not
    if host.rpartition(".")[2] == "localhost":
        host = "127.0.0.1"
    try:
        return resolve(host, port, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return []


def is_own(address: Address) -> bool:
    """Tell whether an address is one of this machine: to the others, no socket can be bound.

    Where the system lets a socket be bound to any address, that tells nothing, and so no address is one.
    """
    return _can_be_bound(str(address)) and not _can_be_bound(_NOBODYS[address.version])


def _can_be_bound(address: str) -> bool:
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


class LookUps:
    """Looks hosts up in threads, because name servers can be slow and the system's call knows no limit.

    A host that is being looked up is not looked up a second time beside that, so a name
    server that is silent about one host takes one thread, however many wait for it.

    Args:
        at_once: Threads at the most. Where all are busy, a new look-up waits for its turn.
    """

    def __init__(self, at_once: int = MAX_LOOK_UPS) -> None:
        self._at_once = at_once
        self._begin_anew()
        renew_in_child(self, LookUps._begin_anew)

    def _begin_anew(self) -> None:
        self._places = BoundedSemaphore(self._at_once)
        self._lock = Lock()
        self._under_way: dict[str, Future[list[Address]]] = {}

    def addresses(self, host: str, port: int, timeout: float) -> list[Address]:
        """Return the addresses of a host; see `resolve`.

        Raises:
            TimeoutError: That took longer than ``timeout`` seconds, or nobody waits for it any more.
            OSError: There is no such host.
            UnicodeError: It cannot be a host.
        """
        deadline = time.monotonic() + timeout
        future = self._begin(host, port, deadline)
        while not wait([future], min(_GLANCE, max(deadline - time.monotonic(), 0))).done:
            _require_time(deadline)
        return future.result()

    def _begin(self, host: str, port: int, deadline: float) -> Future[list[Address]]:
        key = host.lower()  # without the port: whatever that is, the addresses are the same
        while True:
            with self._lock:
                if key in self._under_way:
                    return self._under_way[key]
                if self._places.acquire(blocking=False):
                    future = self._under_way[key] = Future()
                    break
            _require_time(deadline)
            if self._places.acquire(timeout=_GLANCE):
                self._places.release()
        try:
            Thread(target=self._run, args=(key, port, future), name="audiobatch-resolve", daemon=True).start()
        except RuntimeError:
            self._finish(key, future, OSError("no thread can be started"))
        return future

    def _run(self, key: str, port: int, future: Future[list[Address]]) -> None:
        try:
            outcome: list[Address] | Exception = resolve(key, port)
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            outcome = error
        self._finish(key, future, outcome)

    def _finish(self, key: str, future: Future[list[Address]], outcome: list[Address] | Exception) -> None:
        with self._lock:
            del self._under_way[key]
        self._places.release()
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


def _require_time(deadline: float) -> None:
    if time.monotonic() >= deadline or nobody_waits():
        raise TimeoutError
