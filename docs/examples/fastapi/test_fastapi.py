"""The FastAPI example behind uvicorn."""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from support.example_server import PATIENCE, Example, ExampleServer, ProxyingTracker, settings
from support.qbittorrent import Daemon
from support.server_contract import BATCHES, ONE_ANSWER, QueueingServer, RefusingServer, held, names
from support.waiting import wait_until


@pytest.fixture(scope="module")
def example() -> Example:
    """Tell how the example is started."""
    command = ["-m", "uvicorn", "main:app", "--port", "{port}", "--timeout-graceful-shutdown", "2"]
    # Once all is closed, uvicorn ends by the very signal that it was sent.
    return Example(folder=Path(__file__).parent, command=command, clean_exits=(0, -signal.SIGTERM))


class TestRefusals(RefusingServer):
    """What needs no torrent client."""


@pytest.mark.daemon
class TestBatches(QueueingServer):
    """What it does with a real qBittorrent."""

    last_answer = 500  # uvicorn's own, for a request that did not end in the time that it was given

    def test_a_caller_who_hangs_up_ends_the_batch(
        self, example: Example, daemon: Daemon, tracker: ProxyingTracker, database: Path, tmp_path: Path
    ) -> None:
        """What is under way is settled, the rest is not fetched any more, and the records are true."""
        tracker.delay = 0.5
        environment = settings(client=daemon.url, tracker=tracker, database=database)
        with ExampleServer(example, environment=environment, log=tmp_path / "log.txt") as server:
            address = server.http.base_url
            with closing(HTTPConnection(address.host, address.port, timeout=PATIENCE)) as caller:
                body = json.dumps({"downloads": tracker.books(*names(*range(10)))})
                caller.request("POST", ONE_ANSWER, body, {"Content-Type": "application/json"})
                wait_until(lambda: len(daemon.torrents()) > 0, "the first are queued")
            wait_until(lambda: tracker.quiet_for > 2.0, "the tracker is not asked any more")

            self.check_records(database, daemon)
        assert 1 <= len(daemon.torrents()) <= len(tracker.arrived) < 10
        assert "Traceback" not in server.output

    def test_thirty_batches_at_once(self, server: ExampleServer, daemon: Daemon, tracker: ProxyingTracker) -> None:
        """While the tracker keeps all of them waiting, others are answered; in the end, all are queued."""
        tracker.delay = 0.5

        def send(number: int) -> int:
            answer = server.http.post(ONE_ANSWER, json={"downloads": tracker.books(f"thirty-{number}")})
            return len(answer.json()["successful"])

        with ThreadPoolExecutor(30) as pool:
            sent = [pool.submit(send, number) for number in range(30)]
            wait_until(lambda: len(tracker.arrived) > 0, "batches are under way")
            other = server.http.get(f"{BATCHES}/x")
            under_way = [one for one in sent if not one.done()]

        assert other.status_code == 404
        assert len(under_way) == 30
        assert [one.result() for one in sent] == [1] * 30
        assert len(held(daemon, *(f"thirty-{number}" for number in range(30)))) == 30
