"""What the examples are tried against: a real qBittorrent, and a tracker that is their proxy too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.example_server import Example, ExampleServer, ProxyingTracker, settings
from support.qbittorrent import GENERATIONS, Daemon, free_port

pytest.register_assert_rewrite("support.server_contract")


@pytest.fixture(scope="session")
def running_daemon() -> Iterator[Daemon]:
    """Give one daemon for all tests, of whichever generation is here; without any, skip, but fail where one must be."""
    generation = next((generation for generation in GENERATIONS if not generation.missing), None)
    if generation is None:
        if os.environ.get("CI"):
            pytest.fail("no qBittorrent is installed (.ci/install-daemons does that)")
        pytest.skip("no qBittorrent is installed")
    with Daemon(generation) as daemon:
        yield daemon


@pytest.fixture
def daemon(running_daemon: Daemon) -> Iterator[Daemon]:
    """Give the daemon without any torrent."""
    yield running_daemon
    running_daemon.remove_all()


@pytest.fixture(scope="session")
def running_tracker() -> Iterator[ProxyingTracker]:
    """Give one tracker for all tests, for servers are told of it when they start."""
    with ProxyingTracker() as tracker:
        yield tracker


@pytest.fixture
def tracker(running_tracker: ProxyingTracker) -> Iterator[ProxyingTracker]:
    """Give the tracker, quick and not asked yet."""
    running_tracker.arrived.clear()
    yield running_tracker
    running_tracker.delay = 0.0


@pytest.fixture(scope="module")
def server(
    example: Example,
    running_daemon: Daemon,
    running_tracker: ProxyingTracker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ExampleServer]:
    """Give the example of the module, running."""
    folder = tmp_path_factory.mktemp("server")
    environment = settings(client=running_daemon.url, tracker=running_tracker, database=folder / "records.db")
    with ExampleServer(example, environment=environment, log=folder / "log.txt") as server:
        yield server


@pytest.fixture(scope="module")
def lonely(
    example: Example, running_tracker: ProxyingTracker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ExampleServer]:
    """Give the example running without its torrent client, and with variables that are blank: these are not set."""
    folder = tmp_path_factory.mktemp("lonely")
    nobody = f"http://127.0.0.1:{free_port()}"
    environment = settings(client=nobody, tracker=running_tracker, database=folder / "records.db")
    environment |= {"AUDIOBATCH_HOSTS": " ", "QBITTORRENT_USERNAME": " ", "QBITTORRENT_PASSWORD": " "}
    with ExampleServer(example, environment=environment, log=folder / "log.txt") as server:
        yield server


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Give the path of records that are a test's own."""
    return tmp_path / "records.db"
