"""Fixtures: a real qBittorrent of each generation, a tracker, and a downloader between the two."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from audiobatch import BatchDownloader
from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.repositories.sqlite import SQLiteRepository
from support.qbittorrent import GENERATIONS, PASSWORD, USERNAME, Daemon, Generation
from support.tracker import LOOPBACK, Tracker


@pytest.fixture(scope="module", params=GENERATIONS, ids=lambda generation: generation.name)
def generation(request: pytest.FixtureRequest) -> Generation:
    """Give each generation in turn; without it, skip, but fail where it is meant to be."""
    generation: Generation = request.param
    if generation.missing:
        if os.environ.get("CI"):
            pytest.fail(generation.missing)
        pytest.skip(generation.missing)
    return generation


@pytest.fixture(scope="module")
def running(generation: Generation) -> Iterator[Daemon]:
    """Give a daemon that the tests of a module share."""
    with Daemon(generation) as daemon:
        yield daemon


@pytest.fixture
def daemon(running: Daemon) -> Iterator[Daemon]:
    """Give the daemon without any torrent."""
    yield running
    running.remove_all()


@pytest.fixture
def tracker() -> Iterator[Tracker]:
    """Give a tracker that has not been asked yet."""
    with Tracker() as tracker:
        yield tracker


@pytest.fixture
def client(daemon: Daemon) -> Iterator[QBittorrentClient]:
    """Give a client with the right password."""
    with QBittorrentClient(daemon.url, username=USERNAME, password=PASSWORD) as client:
        yield client


@pytest.fixture
def fetcher() -> Iterator[HttpFetcher]:
    """Give a plain fetcher."""
    with HttpFetcher(allowed_networks=LOOPBACK) as fetcher:
        yield fetcher


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Give the path of the records."""
    return tmp_path / "records.db"


@pytest.fixture
def repository(database: Path) -> Iterator[SQLiteRepository]:
    """Give an empty repository."""
    with SQLiteRepository(database) as repository:
        yield repository


@pytest.fixture
def downloader(client: QBittorrentClient, fetcher: HttpFetcher, repository: SQLiteRepository) -> BatchDownloader:
    """Give a downloader as a user would make it."""
    return BatchDownloader(client=client, fetcher=fetcher, repository=repository)
