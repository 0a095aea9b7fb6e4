"""A program that makes a downloader, uses it, and forks: each child runs a batch of its own with it."""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import count
from multiprocessing import get_context
from pathlib import Path

from audiobatch import BatchDownloader, BatchResult, Download
from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.repositories.sqlite import SQLiteRepository
from support.qbittorrent import PASSWORD, USERNAME
from support.tracker import LOOPBACK

BOOKS = 10
_AT_ONCE = 6  # children

_url, _tracker, _folder = sys.argv[1:4]
downloader = BatchDownloader(
    client=QBittorrentClient(_url, username=USERNAME, password=PASSWORD),
    fetcher=HttpFetcher(allowed_networks=LOOPBACK),
    repository=SQLiteRepository(Path(_folder) / "records.db"),
)


def batch(name: str, size: int = BOOKS) -> list[dict[str, object]]:
    """Return the requests of a batch of that name."""
    return [
        {"title": f"{name} {number}", "author": "A", "torrent_url": f"{_tracker}/v1/{name}-{number}"}
        for number in range(size)
    ]


def statements(result: BatchResult) -> list[list[object]]:
    """Return what a result says of each item: its title, its info-hash or why not, and whether it was there."""
    return [
        [done.request.title, done.info_hash, done.already_present]
        if isinstance(done, Download)
        else [done.index, f"{done.code}: {done.error}", None]
        for done in result.outcomes
    ]


def work(name: str) -> None:
    """Run a batch, and leave a report of it."""
    report = statements(downloader.run(batch(name)))
    (Path(_folder) / f"{name}.json").write_text(json.dumps(report))


def fork(names: list[str]) -> None:
    """Fork a child for each name, several at once, and wait for all."""
    running: set[int] = set()
    for name in names:
        if len(running) == _AT_ONCE:
            running.remove(os.wait()[0])
        child = os.fork()
        if child == 0:
            try:
                work(name)
            except BaseException:  # noqa: BLE001 - there is nobody to raise it to
                traceback.print_exc()
            finally:
                os._exit(0)
        running.add(child)
    for _ in running:
        os.wait()


def pool(names: list[str]) -> None:
    """Let pools work for the names, each with as many children as names."""
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        with ProcessPoolExecutor(len(some), mp_context=get_context("fork")) as executor:
            list(executor.map(work, some))


@contextmanager
def _busy() -> Iterator[None]:
    """Let three threads run batches for as long as the block lasts; their reports are kept too."""
    stop, numbers = threading.Event(), count()

    def keep_on() -> None:
        while not stop.is_set():
            work(f"parent{next(numbers)}")

    threads = [threading.Thread(target=keep_on) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def main(way: str, parent: str, children: int) -> None:
    """Use the downloader, then fork that many children in that way."""
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    work("before")
    names = [f"child{number}" for number in range(children)]
    run = {"fork": fork, "pool": pool}[way]
    if parent == "busy":
        with _busy():
            run(names)
    else:
        run(names)
    work("after")


if __name__ == "__main__":
    main(sys.argv[4], sys.argv[5], int(sys.argv[6]))
