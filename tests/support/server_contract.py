"""What every server of the examples has to do: suites that the test classes of each inherit."""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.example_server import PATIENCE, Example, ExampleServer, ProxyingTracker, settings
from support.qbittorrent import Daemon
from support.waiting import wait_until

ONE_ANSWER = "/api/downloads/batch"
STREAM = "/api/downloads/batch/stream"
BATCHES = "/api/downloads/batches"
README = Path(__file__).parents[2] / "docs/examples/README.md"


def send_curl_line(server: ExampleServer) -> httpx.Response:
    """Send what the README's curl line sends."""
    (line,) = (line for line in README.read_text().splitlines() if line.startswith("curl "))
    command, *options, data, body = shlex.split(line)
    assert (command, options[:2], options[3], data) == ("curl", ["-X", "POST"], "-H", "-d")
    name, _, value = options[4].partition(": ")
    path = options[2].removeprefix("localhost:8080")
    return server.http.post(path, content=body, headers={name: value})


def events(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    """Read server-sent events: the name of each, and what its data says."""
    name, data = "", ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            data += value
        elif not line and data:
            yield name, json.loads(data)
            name, data = "", ""


def held(daemon: Daemon, *names: str) -> dict[str, object]:
    """Return those of these books that the client has, each with its info-hash.

    Others may be there too: a server that recovers brings back what the test before has deleted.
    """
    return {str(row["name"]): row["hash"] for row in daemon.torrents() if row["name"] in names}


def names(*numbers: int) -> list[str]:
    """Return names of books."""
    return [f"book-{number}" for number in numbers]


class RefusingServer:
    """What needs no torrent client; a subclass's module has a fixture `example`."""

    def test_the_readme_says_how_to_start_it(self, example: Example) -> None:
        """With the very program that the tests start."""
        commands = [shlex.split(quoted) for quoted in re.findall(r"`([^`\n]+)`", README.read_text())]
        _, *program = example.command

        assert program[:2] in [command[:2] for command in commands]

    @pytest.mark.parametrize("route", [ONE_ANSWER, STREAM, BATCHES])
    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            ('{"downloads": []}', "empty"),
            (json.dumps({"downloads": [{}] * 51}), "exceeds the limit of 50"),
            ("no JSON", "not valid JSON"),
            ("", "not valid JSON"),
            ('{"items": [{}]}', "must be an object with a list"),
            ("[{}]", "must be an object with a list"),
        ],
    )
    def test_what_is_no_batch_is_refused(self, lonely: ExampleServer, route: str, body: str, reason: str) -> None:
        """The answer is 400 with a sentence that says why."""
        answer = lonely.http.post(route, content=body, headers={"Content-Type": "application/json"})

        assert answer.status_code == 400
        assert list(answer.json()) == ["error"]
        assert reason in answer.json()["error"]

    @pytest.mark.parametrize("route", [ONE_ANSWER, STREAM, BATCHES])
    def test_a_body_that_is_too_large_is_refused(self, lonely: ExampleServer, route: str) -> None:
        """More than a megabyte is not read: that it would come is enough."""
        connection = HTTPConnection(lonely.http.base_url.host, lonely.http.base_url.port, timeout=PATIENCE)
        with closing(connection):
            connection.putrequest("POST", route)
            connection.putheader("Content-Length", str(1024 * 1024 + 1))
            connection.endheaders()
            answer = connection.getresponse()

            assert answer.status == 413
            assert list(json.load(answer)) == ["error"]

    @pytest.mark.parametrize("route", [ONE_ANSWER, STREAM, BATCHES])
    @pytest.mark.parametrize(
        "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "jsonp"]
    )
    def test_what_a_form_can_send_is_refused(self, lonely: ExampleServer, route: str, kind: str) -> None:
        """Any web page can have a browser post these, without asking first; JSON it cannot."""
        headers = {"Content-Type": kind} if kind else {}
        answer = lonely.http.post(route, content='{"downloads": [{}]}', headers=headers)

        assert answer.status_code == 415
        assert answer.json() == {"error": "send the batch as application/json"}

    @pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "localhost.evil.example", ""])
    def test_another_host_name_is_not_answered(self, lonely: ExampleServer, host: str) -> None:
        """A page whose own name was made to lead to this machine reaches nothing."""
        answer = lonely.http.post(ONE_ANSWER, json={"downloads": [{}]}, headers={"Host": host})

        assert answer.status_code == 400

    def test_a_caller_cannot_set_where_the_data_goes(self, lonely: ExampleServer, tracker: ProxyingTracker) -> None:
        """The download that tries fails alone, before anything is asked of anybody."""
        (book,) = tracker.books("a")
        answer = lonely.http.post(ONE_ANSWER, json={"downloads": [{**book, "save_path": "/etc/cron.d"}]})

        (failure,) = answer.json()["failed"]
        assert failure["code"] == "invalid_request"
        assert failure["error"] == "Validation failed: save_path cannot be set here: leave it out"
        assert tracker.arrived == []

    def test_what_it_writes_only_its_user_can_read(self, lonely: ExampleServer) -> None:
        """Whatever the mask of whoever starts it says: records hold passkeys."""
        lonely.http.get("/")
        files = list(lonely.database.parent.glob(f"{lonely.database.name}*"))

        assert files
        assert all(file.stat().st_mode & 0o077 == 0 for file in files)

    def test_an_unknown_batch_is_not_found(self, lonely: ExampleServer) -> None:
        """No report is made up."""
        assert lonely.http.get(f"{BATCHES}/00000000-0000-0000-0000-000000000000").status_code == 404
        assert lonely.http.get(f"{BATCHES}/x").status_code == 404

    def test_it_serves_while_the_torrent_client_is_down(self, lonely: ExampleServer, tracker: ProxyingTracker) -> None:
        """It starts, and a batch that cannot be queued is answered with 200 and the reason, without a fetch."""
        answer = lonely.http.post(ONE_ANSWER, json={"downloads": tracker.books("a", "b")})

        assert answer.status_code == 200
        assert answer.json()["successful"] == []
        assert [item["code"] for item in answer.json()["failed"]] == ["client_unavailable", "not_attempted"]
        assert tracker.arrived == []


class QueueingServer:
    """What it does with a real qBittorrent; a subclass's module has a fixture `example`.

    Attributes:
        records: The name of the table that holds the records.
        last_answer: The status of what a caller gets whose batch is ended by SIGTERM.
    """

    records = "downloads"
    last_answer = 200

    @pytest.mark.usefixtures("daemon")
    def test_the_request_of_the_readme(self, server: ExampleServer, tracker: ProxyingTracker) -> None:
        """It is answered with 200 and both lists, and a clear reason for each of the two that fail."""
        answer = send_curl_line(server)

        assert answer.status_code == 200
        assert answer.json()["successful"] == []
        assert [
            (item["index"], item["request"]["title"], item["code"], item["retryable"])
            for item in answer.json()["failed"]
        ] == [(0, "Test1", "torrent_not_found", False), (1, "Test2", "torrent_not_found", False)]
        assert all("http://example.com" in item["error"] for item in answer.json()["failed"])
        assert sorted(tracker.arrived) == ["http://example.com/test1.torrent", "http://example.com/test2.torrent"]

    def test_what_can_be_had_is_queued(self, server: ExampleServer, daemon: Daemon, tracker: ProxyingTracker) -> None:
        """Each is reported under the info-hash that it has in the client; a bad request fails alone."""
        batch = [*tracker.books("one", "two"), {"title": "no URL"}]

        answer = server.http.post(ONE_ANSWER, json={"downloads": batch})

        assert answer.status_code == 200
        queued = {item["request"]["title"]: item["info_hash"] for item in answer.json()["successful"]}
        assert queued.keys() == {"one", "two"}
        assert queued == held(daemon, "one", "two")
        assert [(item["index"], item["code"]) for item in answer.json()["failed"]] == [(2, "invalid_request")]

    def test_a_batch_can_be_left_running(self, server: ExampleServer, daemon: Daemon, tracker: ProxyingTracker) -> None:
        """It is accepted at once, and its report can be asked for until it is finished, and after that."""
        tracker.delay = 0.1

        accepted = server.http.post(BATCHES, json={"downloads": [*tracker.books("a", "b", "c"), {}]})

        assert accepted.status_code == 202
        assert accepted.json()["status"] == "running"
        place = accepted.headers["Location"]
        assert place.endswith(f"{BATCHES}/{accepted.json()['id']}")
        wait_until(lambda: server.http.get(place).json()["status"] == "finished", "the batch is finished")
        report = server.http.get(place).json()
        assert [item["request"]["title"] for item in report["successful"]] == ["a", "b", "c"]
        assert [item["index"] for item in report["failed"]] == [3]
        assert held(daemon, "a", "b", "c").keys() == {"a", "b", "c"}

    def test_outcomes_are_streamed(self, server: ExampleServer, daemon: Daemon, tracker: ProxyingTracker) -> None:
        """Each comes as an event of its own, and the last event holds the whole report."""
        tracker.delay = 0.1

        with server.http.stream("POST", STREAM, json={"downloads": [*tracker.books("x", "y"), {}]}) as answer:
            assert answer.status_code == 200
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            *outcomes, (last, report) = events(answer.iter_lines())

        assert [name for name, _ in outcomes] == ["outcome"] * 3
        assert sorted(data["index"] for _, data in outcomes) == [0, 1, 2]
        assert last == "result"
        assert [item["index"] for item in report["successful"]] == [0, 1]
        assert [item for _, item in outcomes if "code" in item] == report["failed"]
        assert held(daemon, "x", "y").keys() == {"x", "y"}

    def test_leaving_a_stream_ends_its_batch(
        self, server: ExampleServer, daemon: Daemon, tracker: ProxyingTracker
    ) -> None:
        """What is under way is settled, and the rest is not fetched any more."""
        tracker.delay = 0.3
        batch = names(*range(40))

        with server.http.stream("POST", STREAM, json={"downloads": tracker.books(*batch)}) as answer:
            first, _ = next(events(answer.iter_lines()))
        wait_until(lambda: tracker.quiet_for > 2.0, "the tracker is not asked any more")

        assert first == "outcome"
        assert 1 <= len(held(daemon, *batch)) <= len(tracker.arrived) < 40

    def test_sigterm_ends_it_in_good_order(
        self, example: Example, daemon: Daemon, tracker: ProxyingTracker, database: Path, tmp_path: Path
    ) -> None:
        """With batches under way, its records agree with the client afterwards, and nothing is left open."""
        tracker.delay = 1.0
        environment = settings(client=daemon.url, tracker=tracker, database=database)
        with (
            ExampleServer(example, environment=environment, log=tmp_path / "log.txt") as server,
            ThreadPoolExecutor(1) as pool,
        ):
            server.http.post(BATCHES, json={"downloads": tracker.books(*names(*range(30)))}).raise_for_status()
            waiting = pool.submit(
                server.http.post, ONE_ANSWER, json={"downloads": tracker.books(*names(*range(30, 60)))}
            )
            wait_until(lambda: len(daemon.torrents()) > 1, "some of it is queued")
            code = server.terminate()
            answer = waiting.result()

        assert code in example.clean_exits, server.output
        assert len(tracker.arrived) < 60
        # What uvicorn writes of a request that it gives up is no trouble.
        assert server.output.count("Traceback") == server.output.count("CancelledError: Task cancelled")
        self.check_records(database, daemon)
        assert answer.status_code == self.last_answer
        if self.last_answer == 200:
            queued, failed = answer.json()["successful"], answer.json()["failed"]
            assert len(queued) + len(failed) == 30
            assert {item["code"] for item in failed} == {"not_attempted"}
            assert {item["info_hash"] for item in queued} <= {row["hash"] for row in daemon.torrents()}

    def check_records(self, database: Path, daemon: Daemon) -> None:
        """See that what is on record as queued is in the client, and nothing else, and that nothing is open."""
        with closing(sqlite3.connect(database)) as connection:
            statuses = dict(connection.execute(f"SELECT v1, status FROM {self.records}"))
        assert "reserved" not in statuses.values()
        assert {info_hash for info_hash, status in statuses.items() if status == "queued"} == {
            row["hash"] for row in daemon.torrents()
        }
