"""A tracker on loopback: serves the torrents of books, and counts what it is asked for."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from support.torrents import Kind, book

KINDS: tuple[Kind, ...] = ("v1", "v2", "hybrid")


class Tracker:
    """Serves ``/KIND/NAME``: the torrent of that book. ``/page`` is an HTML page, all else is not there.

    Attributes:
        asked: The path of each request, in order.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                kind, _, name = self.path.strip("/").partition("/")
                if self.path == "/page":
                    body = b"<!DOCTYPE html><title>Log in</title>"
                elif kind in KINDS:
                    body = book(name, kind=kind)
                else:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
