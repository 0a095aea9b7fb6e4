"""The whole job on this machine alone: make audiobooks, serve them, download and compare them."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

import libtorrent as lt
from attrs import frozen

from audiobatch._printable import printable
from audiobatch._watch import watch
from audiobatch.clients.libtorrent import LibtorrentClient
from audiobatch.downloader import BatchDownloader
from audiobatch.errors import FailureCode
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.models import Download, DownloadRequest
from audiobatch.repositories.sqlite import SQLiteRepository
from audiobatch.results import BatchResult, DownloadFailure

LOOPBACK_ONLY: Final[Mapping[str, bool | int | str]] = {
    "listen_interfaces": "127.0.0.1:0",
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
}
_DEADLINE: Final = 60.0  # seconds for all downloads together


@frozen
class Book:
    """An audiobook to be made: its files with their sizes in bytes, and libtorrent's flags for its torrent."""

    title: str
    author: str
    files: Mapping[str, int]
    flags: int


BOOKS: Final = (
    Book("The Lighthouse", "A. Mariner", {"The Lighthouse.m4b": 1_500_000}, lt.create_torrent.v1_only),
    Book(
        "Winter Roads",
        "B. Walker",
        {"Winter Roads/CD1/01.mp3": 700_000, "Winter Roads/CD2/01.mp3": 500_000, "Winter Roads/cover.jpg": 40_000},
        0,
    ),
    Book(
        "A Small Orchard",
        "C. Planter",
        {"A Small Orchard/part 1.mp3": 900_000, "A Small Orchard/part 2.mp3": 300_000},
        lt.create_torrent.v2_only,
    ),
)


def make_books(folder: Path) -> None:
    """Write the files of all books, each with content of its own."""
    for book in BOOKS:
        for path, size in book.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(random.Random(path).randbytes(size))  # noqa: S311


def make_torrent(book: Book, folder: Path, web_seed: str) -> bytes:
    """Make the ``.torrent`` of a book whose data a web server holds (BEP 19)."""
    root = next(iter(book.files)).split("/", maxsplit=1)[0]
    torrent = lt.create_torrent(lt.list_files(str(folder / root)), 32 * 1024, book.flags)
    torrent.add_url_seed(web_seed)
    lt.set_piece_hashes(torrent, str(folder))
    return lt.bencode(torrent.generate())


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve the books of a folder, their torrents, and a bad one, on loopback; give the URL."""
    pages: dict[str, bytes] = {"/torrents/broken.torrent": b"<!DOCTYPE html><title>Please log in</title>"}

    class Library(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = pages.get(unquote(self.path))
            if body is None:
                self.send_error(404)
                return
            # A web seed is asked for ranges.
            asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            first, last = (int(asked[1]), int(asked[2])) if asked else (0, len(body) - 1)
            part = body[first : last + 1]
            self.send_response(206 if asked else 200)
            if asked:
                self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(body)}")
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            self.wfile.write(part)

        def log_message(self, *_: object) -> None:
            """Keep the console for the demo itself."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Library) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        for book in BOOKS:
            pages[f"/torrents/{book.title}.torrent"] = make_torrent(book, folder, f"{url}/data/")
            pages |= {f"/data/{path}": (folder / path).read_bytes() for path in book.files}
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield url
        finally:
            server.shutdown()
            thread.join()


def batch(url: str) -> list[DownloadRequest]:
    """Ask for every book, and for two that cannot be had."""
    titles = {book.title: (book.author, f"{quote(book.title)}.torrent") for book in BOOKS}
    titles |= {"The Broken Link": ("D. Webb", "broken.torrent"), "The Lost Tape": ("E. Gone", "missing.torrent")}
    return [
        DownloadRequest(title=title, author=author, torrent_url=f"{url}/torrents/{name}")
        for title, (author, name) in titles.items()
    ]


def run_demo(source: Path, target: Path) -> bool:
    """Do the whole job with these two folders, tell it on standard output, and say whether all went as it should."""
    print("Making a few small audiobooks, and serving them on this machine alone.")
    make_books(source)
    target.mkdir(parents=True, exist_ok=True)
    with (
        serve(source) as url,
        LibtorrentClient(target, settings=LOOPBACK_ONLY) as client,
        HttpFetcher(trusted_origins=[url]) as fetcher,
        SQLiteRepository(target / "downloads.db") as repository,
    ):
        downloader = BatchDownloader(client=client, fetcher=fetcher, repository=repository)
        result = downloader.run(batch(url))
        print(f"\nQueued {len(result.successful)} of {len(result.outcomes)}, one broken and one missing:")
        for outcome in result.outcomes:
            print(f"  {_describe(outcome)}")
        print(f"\nDownloading into {printable(str(target))}:")
        complete = _download(client, result)
    print("\nComparing the files with their source:")
    same = [_compare(path, source, target) for book in BOOKS for path in book.files]
    good = complete and all(same) and _is_expected(result)
    print("\nAll is as it should be." if good else "\nSomething is not as it should be.")
    return good


def _describe(outcome: Download | DownloadFailure) -> str:
    if isinstance(outcome, Download):
        return f"queued  {outcome.request.title}, by {outcome.request.author}: {outcome.info_hash}"
    assert isinstance(outcome.request, DownloadRequest)
    return f"failed  {outcome.request.title}, by {outcome.request.author}: {outcome.error}"


def _download(client: LibtorrentClient, result: BatchResult) -> bool:
    deadline = time.monotonic() + _DEADLINE
    for moment in watch(client, result.successful, stop=threading.Event(), every=0.2):
        done = len(moment.complete)
        if time.monotonic() > deadline:
            break
    print(f"  {done} of {len(result.successful)} complete")
    return done == len(result.successful)


def _compare(path: str, source: Path, target: Path) -> bool:
    expected = (source / path).read_bytes()
    same = (target / path).is_file() and (target / path).read_bytes() == expected
    print(f"  {'same' if same else 'DIFFERS'}    {path} ({len(expected):,} bytes)")
    return same


def _is_expected(result: BatchResult) -> bool:
    codes = [failure.code for failure in result.failed]
    return len(result.successful) == len(BOOKS) and codes == [FailureCode.NOT_A_TORRENT, FailureCode.TORRENT_NOT_FOUND]
