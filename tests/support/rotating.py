"""Fetch with a session in a file, and be killed at a moment of one's own choosing: a program for the crash tests.

Arguments: the stand-in's URL, the session's file, the URL of a torrent, and the moment: "writing" and "renaming"
are in the middle of a save, "saved" is right after it, and "using" is when the answer is about to be read.
"""

from __future__ import annotations

import os
import signal
import sys
from unittest.mock import patch

from audiobatch.fetchers.myanonamouse import MyAnonamouseFetcher
from audiobatch.models import DownloadRequest
from audiobatch.sessions import FileSessionStore, Session
from support.myanonamouse import FIRST, Detour


class KilledStore(FileSessionStore):
    """A store whose process gets a SIGKILL when something is saved."""

    def save(self, session: Session, /) -> None:
        """Save, and die."""
        super().save(session)
        die()


def die(*_: object) -> None:
    """Get a SIGKILL."""
    os.kill(os.getpid(), signal.SIGKILL)


MOMENTS = {"writing": "os.fsync", "renaming": "os.replace", "using": "audiobatch.fetchers.myanonamouse.read"}

if __name__ == "__main__":
    site, path, url, moment = sys.argv[1:]
    store = KilledStore(path) if moment == "saved" else FileSessionStore(path)
    with (
        patch(MOMENTS.get(moment, "os.abort"), die),
        Detour(site) as detour,
        MyAnonamouseFetcher(FIRST, sessions=store, transport=detour) as fetcher,
    ):
        fetcher.fetch(DownloadRequest(title="Doomed", author="A", torrent_url=url))
