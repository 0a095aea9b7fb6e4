"""A downloader that was made and used before ``gunicorn --preload`` or Celery forked, against a real qBittorrent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from audiobatch.metainfo import parse_torrent
from support.example_server import PATIENCE, Example, ExampleServer, Program
from support.qbittorrent import GENERATIONS, Daemon
from support.torrents import book
from support.tracker import Tracker
from support.waiting import wait_until

pytestmark = [pytest.mark.daemon, pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")]

TESTS = Path(__file__).parent.parent
NAMES = [f"child{number}" for number in range(12)]


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """Give a daemon of whichever generation is here."""
    generation = next((generation for generation in GENERATIONS if not generation.missing), None)
    if generation is None:
        if os.environ.get("CI"):
            pytest.fail("no qBittorrent is installed (.ci/install-daemons does that)")
        pytest.skip("no qBittorrent is installed")
    with Daemon(generation) as daemon:
        yield daemon


@pytest.fixture
def tracker() -> Iterator[Tracker]:
    """Give a tracker."""
    with Tracker() as tracker:
        yield tracker


@pytest.fixture(params=["idle", "busy"])
def environment(request: pytest.FixtureRequest, daemon: Daemon, tracker: Tracker, tmp_path: Path) -> dict[str, str]:
    """Tell the server what it works with."""
    for each in ("queue", "control", "results"):
        (tmp_path / each).mkdir()
    return {
        "FORKING_CLIENT": daemon.url,
        "FORKING_TRACKER": tracker.url,
        "FORKING_FOLDER": str(tmp_path),
        "FORKING_PARENT": request.param,
        "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS / "documents")]),
        "PYTHONWARNINGS": "ignore:This process:DeprecationWarning",
    }


def require_true(reports: list[dict[str, Any]], daemon: Daemon) -> None:
    """Compare every statement with what the books are and what the client has."""
    in_client = {row["hash"]: row["name"] for row in daemon.torrents()}
    assert len(reports) == len(NAMES)
    for name, report in zip(NAMES, reports, strict=True):
        assert report["failed"] == []
        for number, said in enumerate(report["successful"]):
            torrent = parse_torrent(book(f"{name}-{number}"))
            statement = said["request"]["title"], said["info_hash"], said["already_present"]
            assert statement == (f"{name} {number}", torrent.info_hashes.v1, False)
            assert in_client[torrent.info_hashes.v1] == torrent.name
        assert len(report["successful"]) == 10


def test_workers_of_gunicorn(environment: dict[str, str], daemon: Daemon, tmp_path: Path) -> None:
    """Four, from one preloaded application: every statement is true, and none hangs."""
    command = ["-m", "gunicorn", "support.forking_server:application", "--preload", "-w", "4"]
    example = Example(folder=tmp_path, command=[*command, "--bind", "127.0.0.1:{port}"])
    with (
        ExampleServer(example, environment=environment, log=tmp_path / "log.txt") as server,
        ThreadPoolExecutor(8) as pool,
    ):
        reports: list[dict[str, Any]] = list(pool.map(lambda name: server.http.get(f"/{name}").json(), NAMES))

    require_true(reports, daemon)


def test_processes_of_celery(environment: dict[str, str], daemon: Daemon, tmp_path: Path) -> None:
    """Four of a prefork pool: every statement is true, and none hangs."""
    command = ["-m", "celery", "-A", "forking_tasks", "worker", "--pool", "prefork", "--concurrency", "4"]
    worker = Program(
        [*command, "--without-mingle", "--without-gossip"],
        folder=tmp_path,
        environment=environment,
        log=tmp_path / "log.txt",
    )
    app = Celery(broker="filesystem://", backend=f"file://{tmp_path / 'results'}", set_as_current=False)
    app.conf.broker_transport_options = {
        "data_folder_in": str(tmp_path / "queue"),
        "data_folder_out": str(tmp_path / "queue"),
        "control_folder": str(tmp_path / "control"),
    }
    with worker:
        sent = [app.send_task("run", [name]) for name in NAMES]
        wait_until(lambda: all(task.ready() for task in sent), "all batches are done", seconds=PATIENCE)
        reports = [task.get(timeout=PATIENCE) for task in sent]

    require_true(reports, daemon)
    assert len({report["process"] for report in reports}) > 1
