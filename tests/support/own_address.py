"""Serve a book at a public address of this very machine, and try to fetch it: in a network namespace of its own.

Usage: ``unshare --net python -m support.own_address``. It prints what came of each try.
"""

from __future__ import annotations

import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from audiobatch.errors import FetchError
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.models import DownloadRequest
from support.torrents import book

ADDRESSES = ("8.8.8.8", "8.8.8.9", "2606:4700::1111")
_ANY_ADDRESS = Path("/proc/sys/net/ipv4/ip_nonlocal_bind")


class _Tracker(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = book("Dune")
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def fetch(url: str, **options: Any) -> str:
    """Return what came of it."""
    with HttpFetcher(**options) as fetcher:
        try:
            return type(fetcher.fetch(DownloadRequest(title="Dune", author="A", torrent_url=url))).__name__
        except FetchError as error:
            return str(error)


def main() -> None:
    """Do it."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in ADDRESSES:
        length, options = ("128", ["nodad"]) if ":" in address else ("24", [])
        subprocess.run(["ip", "address", "add", f"{address}/{length}", "dev", "lo", *options], check=True)
    for address in ADDRESSES:
        _try(address)
    _ANY_ADDRESS.write_text("1")
    _try(ADDRESSES[0])


def _try(address: str) -> None:
    server = _server(address)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = f"[{address}]" if ":" in address else address
    origin = f"http://{host}:{server.server_port}"
    print(fetch(f"{origin}/1"))  # noqa: T201
    print(fetch(f"{origin}/1", trusted_origins=[origin]))  # noqa: T201
    server.shutdown()


def _server(address: str) -> ThreadingHTTPServer:
    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in address else socket.AF_INET

    return Server((address, 0), _Tracker)


if __name__ == "__main__":
    main()
