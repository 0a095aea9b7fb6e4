"""Real things for what the documents say, as for the tests with a daemon."""

from __future__ import annotations

from support.real import client, daemon, database, downloader, fetcher, generation, repository, running, tracker

__all__ = [
    "client",
    "daemon",
    "database",
    "downloader",
    "fetcher",
    "generation",
    "repository",
    "running",
    "tracker",
]
