"""Run a batch, and be killed between an add and the closing of its record: a program for the crash tests.

Arguments: the daemon's URL, the database, the URL of a torrent, and "before" or "after" the add.
"""

from __future__ import annotations

import os
import signal
import sys

from audiobatch import BatchDownloader, DownloadRequest
from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.metainfo import Torrent
from audiobatch.models import AddOptions
from audiobatch.repositories.sqlite import SQLiteRepository
from support.qbittorrent import PASSWORD, USERNAME
from support.tracker import LOOPBACK


class KilledClient(QBittorrentClient):
    """A client whose process gets a SIGKILL when it adds something."""

    def add(self, torrent: Torrent, options: AddOptions, /) -> None:
        """Add if the add is to come first, and die."""
        if sys.argv[4] == "after":
            super().add(torrent, options)
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    BatchDownloader(
        client=KilledClient(sys.argv[1], username=USERNAME, password=PASSWORD),
        fetcher=HttpFetcher(allowed_networks=LOOPBACK),
        repository=SQLiteRepository(sys.argv[2]),
    ).run([DownloadRequest(title="Doomed", author="A", torrent_url=sys.argv[3], category="Crash")])
