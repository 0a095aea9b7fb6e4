"""A reverse proxy on loopback that breaks chosen requests on their way to a qBittorrent daemon, or its answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from attrs import evolve, field, frozen, mutable

_API = "/api/v2/"
_PAGE = b"<!DOCTYPE html><title>Welcome</title><p>This is not what you asked for."
_DROPS = 10  # pieces of a long answer that drips
_DROP_PAUSE = 0.01  # seconds
_PATIENCE = 10.0  # seconds for a daemon to answer
_NOT_PASSED_ON = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "keep-alive", "accept-encoding"}
)


class Fault(Enum):
    """What happens to a request; the value says it in words."""

    DROP_ANSWER = "passed on, then the connection is closed without an answer"
    DROP_REQUEST = "not passed on, the connection is closed"
    BAD_GATEWAY = "passed on, then answered with 502"
    HTML = "passed on, then answered with 200 and an HTML page"
    FALSE_SUCCESS = 'not passed on, but answered with 200 and "Ok."'
    FORBIDDEN = "not passed on, answered with 403"
    HANG = "passed on, but never answered"
    DRIP = "passed on, and answered in slow drops"
    EMPTY_LOOKUP = "not passed on, answered with an empty list"
    TRUNCATED = "passed on, and half of the answer's body left out"
    CUT_BODY = "passed on, and the connection cut before the announced end of the answer"
    CONFLICT = "not passed on, answered with 409"
    CONFLICT_AFTER = "passed on, then answered with 409"
    FAILS_AFTER = 'passed on, then answered with 200 and "Fails."'
    CUT_REQUEST = "half of it passed on, then both connections are closed"
    SOME_FILES = "passed on without every other file"
    SOME_FILES_LOST = "passed on without every other file, then the connection is closed without an answer"
    BAD_FILE = "passed on with one more file, that is no torrent"
    BAD_FILE_LOST = "passed on with one more file, that is no torrent, then answered with 502"


@frozen
class _Answer:
    status: int
    body: bytes
    headers: Sequence[tuple[str, str]] = ()
    announced: int | None = None

    def raw(self) -> bytes:
        length = len(self.body) if self.announced is None else self.announced
        lines = [
            f"HTTP/1.1 {self.status} Status",
            *(f"{name}: {value}" for name, value in self.headers if name.lower() not in _NOT_PASSED_ON),
            f"Content-Length: {length}",
            "Connection: close",
        ]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


_NOT_FORWARDED = {
    Fault.FALSE_SUCCESS: _Answer(200, b"Ok.", [("Content-Type", "text/plain")]),
    Fault.FORBIDDEN: _Answer(403, b"Forbidden", [("Content-Type", "text/plain")]),
    Fault.CONFLICT: _Answer(409, b"Conflict", [("Content-Type", "text/plain")]),
    Fault.EMPTY_LOOKUP: _Answer(200, b"[]", [("Content-Type", "application/json")]),
}
_REPLACED = {
    Fault.BAD_GATEWAY: _Answer(502, _PAGE, [("Content-Type", "text/html")]),
    Fault.HTML: _Answer(200, _PAGE, [("Content-Type", "text/html")]),
    Fault.CONFLICT_AFTER: _NOT_FORWARDED[Fault.CONFLICT],
    Fault.FAILS_AFTER: _Answer(200, b"Fails.", [("Content-Type", "text/plain")]),
}
_REPLACED[Fault.BAD_FILE_LOST] = _REPLACED[Fault.BAD_GATEWAY]


def _without_every_other_file(body: bytes, boundary: bytes) -> bytes:
    """Leave out the second file of a form, the fourth, and so on."""
    first, *parts, last = body.split(b"--" + boundary)
    files = [part for part in parts if b"filename=" in part.partition(b"\r\n\r\n")[0]]
    kept = [part for part in parts if part not in files[1::2]]
    return (b"--" + boundary).join([first, *kept, last])


def _with_a_bad_file(body: bytes, boundary: bytes) -> bytes:
    """Put a file that is no torrent in front of the others."""
    head = b'Content-Disposition: form-data; name="torrents"; filename="bad.torrent"'
    return b"--" + boundary + b"\r\n" + head + b"\r\n\r\n<html>\r\n" + body


_CHANGED = {
    Fault.SOME_FILES: _without_every_other_file,
    Fault.SOME_FILES_LOST: _without_every_other_file,
    Fault.BAD_FILE: _with_a_bad_file,
    Fault.BAD_FILE_LOST: _with_a_bad_file,
}


@mutable
class _Rule:
    path: str
    fault: Fault
    left: int | None
    skip: int
    since: str | None
    action: Callable[[], None] | None
    seen: set[str] = field(factory=set)

    def applies(self, path: str) -> bool:
        """Tell whether it is this request's turn, and count it."""
        self.seen.add(path)
        if path != self.path or self.left == 0 or (self.since is not None and self.since not in self.seen):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.left is not None:
            self.left -= 1
        return True


def _do_nothing() -> None:
    pass


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        """Pass the request on, or do with it what is planned; that the other side hangs up is its good right."""
        self.close_connection = True
        proxy = self.server.proxy
        with suppress(OSError):
            with proxy.in_flight():
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                rule = proxy.begin(self.path.removeprefix(_API))
                fault, action = (rule.fault, rule.action) if rule else (None, None)
                *most, last = self._drops(fault, body, action or _do_nothing)
                for drop in most:
                    self.wfile.write(drop)
                    if fault is Fault.DRIP:
                        proxy.stopping.wait(_DROP_PAUSE)
            # With the last byte the client has its answer, and may send the next request.
            if fault is Fault.HANG:
                proxy.stopping.wait()
            self.wfile.write(last)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep quiet."""

    def _drops(self, fault: Fault | None, body: bytes, action: Callable[[], None]) -> list[bytes]:
        """Return what is to be sent, in at least one piece."""
        answer = self._answer(fault, body, action)
        if answer is None:
            return [b""]
        raw = answer.raw()
        if answer.status >= 500:
            return [raw]  # of which the client reads no more than the status
        if fault is not Fault.DRIP:
            return [raw[:-1], raw[-1:]]
        start = len(raw) - len(answer.body)
        size = max(1, -(-len(answer.body) // _DROPS))
        return [raw[:start], *(raw[at : at + size] for at in range(start, len(raw), size))]

    def _answer(self, fault: Fault | None, body: bytes, action: Callable[[], None]) -> _Answer | None:
        """Return the answer to give, or None if there is to be none."""
        answer = self._pass_on(fault, body)
        action()
        if fault in _NOT_FORWARDED:
            return _NOT_FORWARDED[fault]
        if answer is None or fault in (Fault.DROP_ANSWER, Fault.HANG, Fault.SOME_FILES_LOST):
            return None
        match fault:
            case Fault.TRUNCATED:
                return evolve(answer, body=answer.body[: len(answer.body) // 2])
            case Fault.CUT_BODY:
                return evolve(answer, announced=len(answer.body) + 10)
        return answer if fault is None else _REPLACED.get(fault, answer)

    def _pass_on(self, fault: Fault | None, body: bytes) -> _Answer | None:
        """Let the daemon have of the request what it is to get; None if it does not answer."""
        if fault is Fault.DROP_REQUEST or fault in _NOT_FORWARDED:
            return None
        if fault is Fault.CUT_REQUEST:
            return self._forward(body[: len(body) // 2], announced=len(body))
        _, _, boundary = self.headers.get("Content-Type", "").partition("boundary=")
        change = _CHANGED.get(fault) if fault and boundary else None
        return self._forward(change(body, boundary.encode("latin-1")) if change else body)

    def _forward(self, body: bytes, *, announced: int | None = None) -> _Answer | None:
        """Ask the daemon; if more is announced than comes, hang up on it instead of waiting for an answer."""
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _NOT_PASSED_ON}
        headers["Content-Length"] = str(len(body) if announced is None else announced)
        connection = HTTPConnection(self.server.proxy.upstream, timeout=_PATIENCE)
        try:
            connection.request("POST", self.path, body, headers)  # it sets a Host that the daemon takes for its own
            if announced is not None:
                return None
            got = connection.getresponse()
            return _Answer(got.status, got.read(), got.getheaders())
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # leaving the proxy waits for all of them
    proxy: FaultProxy


class FaultProxy:
    """Stands between a client and a daemon for the time of a ``with`` block.

    Attributes:
        url: Where it is, without a slash at the end.
        upstream: Host and port of the daemon.
        requests: The path of each request below the API's root, in order.
        largest_in_flight: How many requests there were at once, at most.
        stopping: Set when it is to end; whatever waits in an answer waits on this.
    """

    def __init__(self, url: str) -> None:
        self.upstream = urlsplit(url).netloc
        self.requests: list[str] = []
        self.largest_in_flight = 0
        self.stopping = threading.Event()
        self._in_flight = 0
        self._lock = threading.Lock()
        self._rules: list[_Rule] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def plan(
        self,
        *,
        path: str,
        fault: Fault,
        first: int | None = None,
        skip: int = 0,
        since: str | None = None,
        action: Callable[[], None] | None = None,
    ) -> None:
        """Give the next requests to a path a fault; where several plans apply, the oldest one counts.

        Args:
            path: Below the API's root, such as ``torrents/add``.
            fault: What happens to them.
            first: How many of them; None for all.
            skip: How many are left alone before.
            since: Counts only what comes after a request to this path.
            action: Called each time, when as much of the request was passed on as is to be, before the answer.
        """
        with self._lock:
            self._rules.append(_Rule(path, fault, first, skip, since, action))

    def heal(self) -> None:
        """Forget all plans: from now on requests are passed on as they are."""
        with self._lock:
            self._rules.clear()

    def begin(self, path: str) -> _Rule | None:
        """Note a request, and return what is to happen to it."""
        with self._lock:
            self.requests.append(path)
            return next(iter([rule for rule in self._rules if rule.applies(path)]), None)

    @contextmanager
    def in_flight(self) -> Iterator[None]:
        """Count a request as long as it has no whole answer."""
        with self._lock:
            self._in_flight += 1
            self.largest_in_flight = max(self.largest_in_flight, self._in_flight)
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
