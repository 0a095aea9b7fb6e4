"""The Celery example: a prefork worker, a folder for a broker, and a real qBittorrent."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.result import AsyncResult

from audiobatch import EmptyBatchError
from audiobatch.repositories.sqlite import SQLiteRepository
from support.example_server import PATIENCE, Program, ProxyingTracker, settings
from support.qbittorrent import Daemon
from support.server_contract import names
from support.waiting import wait_until

pytestmark = pytest.mark.daemon

HERE = Path(__file__).parent


class Worker(Program):
    """A worker of the example, its broker being a folder.

    Attributes:
        app: What sends tasks to it.
    """

    def __init__(self, *, processes: int, folder: Path, environment: dict[str, str]) -> None:
        command = ["-m", "celery", "-A", "tasks", "worker", "--pool", "prefork", "--loglevel", "INFO"]
        super().__init__(
            [*command, "--concurrency", str(processes), "--without-mingle", "--", "worker.lost_wait=1"],
            folder=HERE,
            environment={**environment, "CELERY_FOLDER": str(folder)},
            log=folder / "log.txt",
        )
        self.app = Celery(broker="filesystem://", backend=f"file://{folder / 'results'}", set_as_current=False)
        self.app.conf.broker_transport_options = {
            "data_folder_in": str(folder / "queue"),
            "data_folder_out": str(folder / "queue"),
            "control_folder": str(folder / "control"),
        }

    @property
    def processes(self) -> list[int]:
        """The processes of its pool, in the order in which they were made."""
        return [int(number) for number in re.findall(r"process (\d+) is ready", self.output)]

    def send(self, downloads: list[dict[str, object]]) -> AsyncResult[dict[str, Any]]:
        """Send it a batch."""
        wait_until(lambda: " ready." in self.output, "the worker is ready", seconds=PATIENCE)
        sent: AsyncResult[dict[str, Any]] = self.app.send_task("audiobatch.download_batch", [{"downloads": downloads}])
        return sent


@pytest.fixture
def environment(daemon: Daemon, tracker: ProxyingTracker, database: Path) -> dict[str, str]:
    """Give the settings of a worker."""
    return settings(client=daemon.url, tracker=tracker, database=database)


def titles(report: dict[str, Any]) -> set[str]:
    """Return what was queued."""
    return {item["request"]["title"] for item in report["successful"]}


def test_batches_run_in_the_processes_of_the_pool(
    environment: dict[str, str], daemon: Daemon, tracker: ProxyingTracker, database: Path, tmp_path: Path
) -> None:
    """Two at once, each in a child of the worker; both reports are true, and nothing is left open in the end."""
    tracker.delay = 1.0
    with Worker(processes=2, folder=tmp_path, environment=environment) as worker:
        one = worker.send([*tracker.books("a", "b"), {"title": "no URL"}])
        two = worker.send([*tracker.books("c"), {"title": "L", "author": "A", "torrent_url": f"{tracker.url}/lost"}])
        first, second = one.get(timeout=PATIENCE), two.get(timeout=PATIENCE)
        code = worker.terminate()

    assert code == 0
    assert (titles(first), titles(second)) == ({"a", "b"}, {"c"})
    assert [(item["index"], item["code"]) for item in first["failed"]] == [(2, "invalid_request")]
    assert [(item["index"], item["code"]) for item in second["failed"]] == [(1, "torrent_not_found")]
    assert {item["info_hash"] for item in first["successful"] + second["successful"]} == {
        row["hash"] for row in daemon.torrents()
    }
    done_by = re.findall(r"INFO/ForkPoolWorker-(\d).*download_batch.* succeeded", worker.output)
    assert sorted(done_by) == ["1", "2"]
    assert len(re.findall(r"process \d+ has closed its downloader", worker.output)) == 2
    assert "/v1/" not in worker.output  # no log line shows the path of a URL
    with SQLiteRepository(database) as repository:
        assert "reserved" not in {record.status for record in repository.unsettled(client=f"qbittorrent@{daemon.url}")}


def test_a_batch_whose_process_dies_runs_again(
    environment: dict[str, str], daemon: Daemon, tracker: ProxyingTracker, tmp_path: Path
) -> None:
    """Another process does what is left of it, and the report is true."""
    tracker.delay = 0.5
    with Worker(processes=1, folder=tmp_path, environment=environment) as worker:
        sent = worker.send(tracker.books(*names(*range(10))))
        wait_until(lambda: len(daemon.torrents()) > 0, "the first are queued", seconds=PATIENCE)
        (process,) = worker.processes
        os.kill(process, signal.SIGKILL)
        report = sent.get(timeout=PATIENCE)

    assert titles(report) == set(names(*range(10)))
    assert any(item["already_present"] for item in report["successful"])
    assert len(daemon.torrents()) == 10
    assert len(tracker.arrived) < 20  # what was on record was not fetched again
    assert len(worker.processes) == 2


def test_what_is_no_batch_is_an_error_of_the_caller(environment: dict[str, str], tmp_path: Path) -> None:
    """The caller gets the very error, and the worker does not try again."""
    with Worker(processes=1, folder=tmp_path, environment=environment) as worker:
        sent = worker.send([])
        with pytest.raises(EmptyBatchError, match="the batch is empty"):
            sent.get(timeout=PATIENCE)
