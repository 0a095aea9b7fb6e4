"""Run one batch, and print by how many bytes it has raised the peak memory of this process.

Usage: ``python one_batch.py TRACKER_URL DAEMON_URL``.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from audiobatch import BatchDownloader, DownloadRequest
from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.repositories.sqlite import SQLiteRepository
from support.qbittorrent import PASSWORD, USERNAME


def peak() -> int:
    """Return the largest amount of memory that this process has had, in bytes."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])


def run(tracker: str, daemon: str) -> None:
    """Queue the first torrent, so that all is imported and open, and then all fifty."""
    with (
        tempfile.TemporaryDirectory() as folder,
        QBittorrentClient(daemon, username=USERNAME, password=PASSWORD) as client,
        HttpFetcher(allowed_networks=["127.0.0.0/8"]) as fetcher,
        SQLiteRepository(Path(folder, "records.db")) as repository,
    ):
        downloader = BatchDownloader(client=client, fetcher=fetcher, repository=repository, max_concurrent_fetches=8)
        books = [DownloadRequest(title=f"{n}", author="A", torrent_url=f"{tracker}/{n}") for n in range(50)]
        downloader.run(books[:1]).raise_for_failures()
        Path("/proc/self/clear_refs").write_text("5")  # starts the peak anew
        before = peak()
        downloader.run(books[1:]).raise_for_failures()
        print(peak() - before)  # noqa: T201


if __name__ == "__main__":
    run(*sys.argv[1:])
