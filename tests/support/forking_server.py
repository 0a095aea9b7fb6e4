"""A web application and Celery tasks with one downloader, made and used before any of their processes is forked."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from audiobatch import BatchDownloader
from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.repositories.sqlite import SQLiteRepository
from audiobatch.wire import dump_result
from support.qbittorrent import PASSWORD, USERNAME
from support.tracker import LOOPBACK

_tracker = os.environ["FORKING_TRACKER"]
_folder = Path(os.environ["FORKING_FOLDER"])

downloader = BatchDownloader(
    client=QBittorrentClient(os.environ["FORKING_CLIENT"], username=USERNAME, password=PASSWORD),
    fetcher=HttpFetcher(allowed_networks=LOOPBACK),
    repository=SQLiteRepository(_folder / "records.db"),
)


def run(name: str) -> dict[str, Any]:
    """Run a batch of ten, and return its report with the process that it is from."""
    books = [
        {"title": f"{name} {number}", "author": "A", "torrent_url": f"{_tracker}/v1/{name}-{number}"}
        for number in range(10)
    ]
    return {**dump_result(downloader.run(books)), "process": os.getpid()}


def _keep_on() -> None:
    for number in range(1000):
        run(f"parent{number}")


run("before")
if os.environ["FORKING_PARENT"] == "busy":
    threading.Thread(target=_keep_on, daemon=True).start()


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Run the batch that the path names (WSGI)."""
    body = json.dumps(run(environ["PATH_INFO"].strip("/"))).encode() if environ["PATH_INFO"] != "/" else b"{}"
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
