"""A small HTTP server on loopback, for what a mocked transport cannot show: streams, size and time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

PATIENCE = 30.0  # seconds after which an answer that would drip for ever just ends

Answer = Callable[["Exchange"], None]


class Exchange(BaseHTTPRequestHandler):
    """One request, and the means to answer it: decently, in drops, or not at all."""

    server: _Server

    def handle(self) -> None:
        """Read the request, or answer without, as one may who does not speak HTTP."""
        if self.server.raw:
            self.do_GET()
        else:
            super().handle()

    def do_GET(self) -> None:
        """Let the test answer; that the other side hangs up meanwhile is its good right."""
        with suppress(OSError):
            self.server.answer(self)

    def do_POST(self) -> None:
        """Take the body first, as a server would."""
        if self.server.takes_bodies:
            self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep quiet."""

    def send(
        self, status: int, body: bytes = b"", *, drops: Iterable[bytes] = (), every: float = 0.0, **headers: str
    ) -> None:
        """Send an answer, its body whole or in drops; an underscore in a header's name stands for a hyphen."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)
        self.drip(drops, every=every)

    def drip(self, drops: Iterable[bytes], *, every: float) -> None:
        """Send one drop after the other, each after a pause, until the server stops or its patience ends."""
        deadline = time.monotonic() + PATIENCE
        for drop in drops:
            if self.server.stopping.wait(every) or time.monotonic() > deadline:
                return
            self.server.dripped += len(drop)
            self.wfile.write(drop)


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # leaving the server waits for all of them
    answer: Answer
    raw: bool
    takes_bodies: bool
    dripped = 0
    stopping: threading.Event


class LoopbackServer:
    """Runs a server in a thread for the time of a ``with`` block.

    Args:
        answer: Answers each request.
        raw: It answers each connection instead, and nothing is read of what comes there.
        takes_bodies: It reads the body of a POST before it answers.

    Attributes:
        url: Where it is, without a slash at the end.
        stopping: Set when it is to end; whatever waits in an answer waits on this.
    """

    def __init__(self, answer: Answer, *, raw: bool = False, takes_bodies: bool = True) -> None:
        self._server = _Server(("127.0.0.1", 0), Exchange)
        self._server.answer, self._server.raw, self._server.takes_bodies = answer, raw, takes_bodies
        self.stopping = self._server.stopping = threading.Event()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def buffers(self, size: int) -> None:
        """Let the system hold no more than about so many bytes of what nobody has read yet."""
        self._server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)

    @property
    def dripped(self) -> int:
        """Return how many bytes all drops had so far."""
        return self._server.dripped

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
