"""A tracker on loopback: serves the torrents of books, and counts what it is asked for."""

from __future__ import annotations

from support.server import Exchange, LoopbackServer
from support.torrents import Kind, book

LOOPBACK = ("127.0.0.0/8",)  # what a fetcher must be allowed, for anything here to be fetched
KINDS: tuple[Kind, ...] = ("v1", "v2", "hybrid")


class Tracker(LoopbackServer):
    """Serves ``/KIND/NAME``: the torrent of that book. ``/page`` is an HTML page, all else is not there.

    Attributes:
        asked: The path of each request, in order.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__(self._serve)

    def _serve(self, exchange: Exchange) -> None:
        self.asked.append(exchange.path)
        kind, _, name = exchange.path.strip("/").partition("/")
        if exchange.path == "/page":
            body = b"<!DOCTYPE html><title>Log in</title>"
        elif kind in KINDS:
            body = book(name, kind=kind)
        else:
            exchange.send(404, Content_Length="0")
            return
        exchange.send(200, body, Content_Length=str(len(body)))
