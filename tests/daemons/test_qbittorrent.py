"""The main job on real qBittorrents of three generations."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from audiobatch import (
    BatchDownloader,
    BatchTooLargeError,
    DownloadRequest,
    DownloadStatus,
    EmptyBatchError,
    FailureCode,
    Stage,
)
from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.errors import ClientAuthError, NotAdded, TorrentRejected
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.metainfo import TorrentFile, parse_magnet, parse_torrent
from audiobatch.models import AddOptions, GivenRequest, TorrentState
from audiobatch.repositories.sqlite import SQLiteRepository
from support.qbittorrent import PASSWORD, USERNAME, Daemon, Generation
from support.torrents import Kind, book
from support.tracker import KINDS, Tracker
from support.waiting import wait_until

pytestmark = pytest.mark.daemon


def wanted(tracker: Tracker, name: str, *, kind: Kind = "v1", **fields: object) -> DownloadRequest:
    """Ask for a book that the tracker serves."""
    return DownloadRequest(title=name, author="A", torrent_url=f"{tracker.url}/{kind}/{name}", **fields)  # type: ignore[arg-type]


def client_id(name: str, kind: Kind) -> str:
    """Return the id by which qBittorrent knows the book: v2 cut to 40 digits where there is one."""
    hashes = parse_torrent(book(name, kind=kind)).info_hashes
    return hashes.v2[:40] if hashes.v2 else str(hashes.v1)


def is_listed(daemon: Daemon, name: str) -> bool:
    """Tell whether the daemon lists a torrent of that name."""
    return name in {row["name"] for row in daemon.torrents()}


class TestTheFiveCases:
    """What the batch endpoint that this library comes from was planned to do."""

    def test_all_succeed(self, downloader: BatchDownloader, daemon: Daemon, tracker: Tracker) -> None:
        """Every item is in the client under the reported info-hash, whatever kind of torrent it is."""
        result = downloader.run([wanted(tracker, f"book-{kind}", kind=kind) for kind in KINDS])

        assert result.failed == ()
        assert [done.info_hashes for done in result.successful] == [
            parse_torrent(book(f"book-{kind}", kind=kind)).info_hashes for kind in KINDS
        ]
        assert {row["hash"] for row in daemon.torrents()} == {client_id(f"book-{kind}", kind) for kind in KINDS}

    def test_some_fail(self, downloader: BatchDownloader, daemon: Daemon, tracker: Tracker) -> None:
        """Validation, a missing torrent and a page instead of one fail; the others are queued."""
        batch: list[GivenRequest] = [
            wanted(tracker, "good"),
            {"title": "", "author": "A", "torrent_url": tracker.url},
            DownloadRequest(title="Missing", author="A", torrent_url=f"{tracker.url}/nowhere"),
            DownloadRequest(title="Page", author="A", torrent_url=f"{tracker.url}/page"),
            wanted(tracker, "better"),
        ]

        result = downloader.run(batch)

        assert [done.index for done in result.successful] == [0, 4]
        assert [(failure.index, failure.code, failure.error.split(": ")[0]) for failure in result.failed] == [
            (1, FailureCode.INVALID_REQUEST, "Validation failed"),
            (2, FailureCode.TORRENT_NOT_FOUND, "Failed to download torrent"),
            (3, FailureCode.NOT_A_TORRENT, "Failed to download torrent"),
        ]
        assert {row["name"] for row in daemon.torrents()} == {"good", "better"}

    def test_an_empty_batch_is_refused(self, downloader: BatchDownloader) -> None:
        """There is nothing to report on."""
        with pytest.raises(EmptyBatchError):
            downloader.run([])

    def test_fifty_one_items_are_refused_with_nothing_touched(
        self, downloader: BatchDownloader, daemon: Daemon, tracker: Tracker, repository: SQLiteRepository
    ) -> None:
        """No fetch, no add, no record."""
        with pytest.raises(BatchTooLargeError):
            downloader.run([wanted(tracker, f"book-{number}") for number in range(51)])

        assert (tracker.asked, daemon.torrents(), list(repository.unsettled(client=f"qbittorrent@{daemon.url}"))) == (
            [],
            [],
            [],
        )

    def test_all_fail(self, downloader: BatchDownloader, tracker: Tracker) -> None:
        """The result has an empty list of successes."""
        result = downloader.run(
            [DownloadRequest(title=f"{n}", author="A", torrent_url=f"{tracker.url}/nowhere/{n}") for n in range(3)]
        )

        assert (result.successful, len(result.failed)) == ((), 3)


def test_fifty_items_are_queued_and_recorded(
    downloader: BatchDownloader, daemon: Daemon, tracker: Tracker, client: QBittorrentClient, database: Path
) -> None:
    """Fifty good items: fifty fetches, fifty in the client, fifty on record."""
    batch = [wanted(tracker, f"book-{number}", kind=KINDS[number % 3]) for number in range(50)]

    result = downloader.run(batch)

    assert len(result.successful) == 50
    assert len(daemon.torrents()) == 50
    assert len(tracker.asked) == 50
    with SQLiteRepository(database) as records:
        found = records.find([request.torrent_url for request in batch], client=client.name)
    assert [record.status for record in found.values()] == [DownloadStatus.QUEUED] * 50


def test_options_reach_the_client(
    downloader: BatchDownloader, daemon: Daemon, tracker: Tracker, generation: Generation
) -> None:
    """Category, tags, save path and pause are what was asked for, on every generation."""
    downloader.run(
        [wanted(tracker, "book", category="Audio/Books", tags=["one", "two"], save_path="/tmp/kept", paused=True)]
    )

    wait_until(lambda: "checking" not in str(daemon.torrents()[0]["state"]), "the new torrent is checked")
    (row,) = daemon.torrents()
    assert (row["category"], row["tags"], row["save_path"]) == ("Audio/Books", "one, two", "/tmp/kept")
    assert row["auto_tmm"] is False
    assert row["state"] == ("pausedDL" if generation.name < "5" else "stoppedDL")


@pytest.mark.parametrize("kind", KINDS)
def test_a_duplicate_is_a_success_with_the_right_info_hash(
    downloader: BatchDownloader, daemon: Daemon, tracker: Tracker, kind: Kind
) -> None:
    """Somebody else has added it, and it is not the newest torrent in the client."""
    for name in ("old", "new"):
        file = (f"{name}.torrent", book(name, kind=kind))
        daemon.session.post("torrents/add", files={"t": file}).raise_for_status()
        wait_until(partial(is_listed, daemon, name), f"{name} is listed")

    (done,) = downloader.run([wanted(tracker, "old", kind=kind)]).successful

    assert done.already_present
    assert done.info_hashes == parse_torrent(book("old", kind=kind)).info_hashes
    assert len(daemon.torrents()) == 2


def test_the_same_batch_twice_gives_the_same_answer(
    downloader: BatchDownloader, daemon: Daemon, tracker: Tracker
) -> None:
    """Nothing is fetched or added again, and ids and info-hashes stay."""
    batch = [wanted(tracker, f"book-{kind}", kind=kind) for kind in KINDS]
    first = downloader.run(batch)
    second = downloader.run(batch)

    assert [done.id for done in first.successful] == [done.id for done in second.successful]
    assert all(done.already_present for done in second.successful)
    assert (len(tracker.asked), len(daemon.torrents())) == (3, 3)


def test_the_client_tells_duplicates_and_bad_files_apart_from_nothing(client: QBittorrentClient) -> None:
    """Both are refusals; only a lookup can tell them apart."""
    torrent = parse_torrent(book("book"))
    client.add(torrent, AddOptions())
    wait_until(lambda: bool(client.status([torrent.info_hashes])), "the torrent is listed")
    page = TorrentFile(
        content=b"<html>", info_hashes=parse_torrent(book("x")).info_hashes, name="", total_size=0, private=False
    )

    with pytest.raises(NotAdded, match="no reason"):
        client.add(torrent, AddOptions())
    with pytest.raises(TorrentRejected, match="as a torrent file"):
        client.add(page, AddOptions())
    assert client.status([page.info_hashes]) == {}


def test_a_magnet_link_is_queued(downloader: BatchDownloader, client: QBittorrentClient) -> None:
    """It is known by its info-hash before it has metadata."""
    link = parse_magnet("magnet:?xt=urn:btih:" + "ab" * 20 + "&dn=Some+book")

    (done,) = downloader.run([DownloadRequest(title="M", author="A", torrent_url=link.uri)]).successful

    assert done.info_hashes == link.info_hashes
    (status,) = client.status([link.info_hashes]).values()
    assert status.state in (TorrentState.DOWNLOADING, TorrentState.QUEUED)


class TestTheLogin:
    """One login for each client object, and none after a refusal."""

    @pytest.fixture
    def requests(self) -> list[str]:
        """Collect the path of each request that the client sends."""
        return []

    @pytest.fixture
    def http(self, requests: list[str]) -> Iterator[httpx.Client]:
        """Give an httpx client that is watched."""
        hooks = {"request": [lambda request: requests.append(request.url.path)]}
        with httpx.Client(trust_env=False, event_hooks=hooks) as http:
            yield http

    def test_a_wrong_password_is_tried_once(
        self,
        daemon: Daemon,
        tracker: Tracker,
        fetcher: HttpFetcher,
        repository: SQLiteRepository,
        http: httpx.Client,
        requests: list[str],
    ) -> None:
        """A batch of fifty: one attempt, nothing fetched, the rest not attempted, and nobody banned."""
        client = QBittorrentClient(daemon.url, username=USERNAME, password="wrong", http=http)
        downloader = BatchDownloader(client=client, fetcher=fetcher, repository=repository)
        batch = [wanted(tracker, f"book-{number}") for number in range(50)]

        for _ in range(6):  # the sixth failed login would be a ban
            result = downloader.run(batch)

        assert [failure.code for failure in result.failed] == ["client_auth"] + ["not_attempted"] * 49
        assert {failure.stage for failure in result.failed} == {Stage.LOOK_UP}
        assert requests == ["/api/v2/auth/login"]
        assert result.retryable == tuple(batch)
        assert result.ended_by is result.failed[0]
        assert tracker.asked == []
        with QBittorrentClient(daemon.url, username=USERNAME, password=PASSWORD) as allowed:
            allowed.check()

    def test_many_batches_need_one_login(
        self,
        daemon: Daemon,
        tracker: Tracker,
        fetcher: HttpFetcher,
        repository: SQLiteRepository,
        http: httpx.Client,
        requests: list[str],
    ) -> None:
        """The session is kept from batch to batch."""
        client = QBittorrentClient(daemon.url, username=USERNAME, password=PASSWORD, http=http)
        downloader = BatchDownloader(client=client, fetcher=fetcher, repository=repository)

        for number in range(3):
            assert downloader.run([wanted(tracker, f"book-{number}")]).failed == ()

        assert requests.count("/api/v2/auth/login") == 1

    def test_a_session_that_has_ended_is_opened_again(
        self, daemon: Daemon, http: httpx.Client, requests: list[str]
    ) -> None:
        """The call that found it closed is repeated within a new one."""
        client = QBittorrentClient(daemon.url, username=USERNAME, password=PASSWORD, http=http)
        client.check()
        http.post(f"{daemon.url}/api/v2/auth/logout").raise_for_status()

        torrent = parse_torrent(book("book"))
        client.add(torrent, AddOptions())

        wait_until(lambda: bool(client.status([torrent.info_hashes])), "the torrent is listed")
        assert requests.count("/api/v2/auth/login") == 2

    def test_an_api_key_needs_no_login(self, daemon: Daemon, generation: Generation) -> None:
        """Newer generations take a key; older ones refuse it with a clear error."""
        key = "qbt_" + "x" * 28
        if generation.name >= "5.2":
            key = daemon.session.post("app/rotateAPIKey").raise_for_status().json()["apiKey"]

        with QBittorrentClient(daemon.url, api_key=key) as client:
            if generation.name >= "5.2":
                client.check()
            else:
                with pytest.raises(ClientAuthError, match=r"since version 5\.2"):
                    client.check()


class TestCrashes:
    """A process or a daemon that is killed loses nothing."""

    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_recovery_after_sigkill_asks_no_tracker(
        self, downloader: BatchDownloader, daemon: Daemon, tracker: Tracker, database: Path, moment: str
    ) -> None:
        """Killed right before or right after the add, with the record still open: one torrent, one fetch."""
        url = f"{tracker.url}/hybrid/doomed"
        program = Path(__file__).with_name("crashing.py")
        ended = subprocess.run(
            [sys.executable, program, daemon.url, database, url, moment],
            env={**os.environ, "PYTHONPATH": str(program.parents[1])},
            timeout=60,
            check=False,
        )
        assert ended.returncode == -signal.SIGKILL
        assert len(daemon.torrents()) == (moment == "after")

        (done,) = downloader.recover().successful

        assert done.already_present == (moment == "after")
        assert done.info_hashes == parse_torrent(book("doomed", kind="hybrid")).info_hashes
        assert [(row["name"], row["category"]) for row in daemon.torrents()] == [("doomed", "Crash")]
        assert tracker.asked == ["/hybrid/doomed"]

    def test_what_a_killed_daemon_has_forgotten_is_put_back(
        self, generation: Generation, fetcher: HttpFetcher, repository: SQLiteRepository, tracker: Tracker
    ) -> None:
        """Killed right behind its answers, it has lost torrents; recovery brings them back without a fetch."""
        with Daemon(generation) as daemon:
            client = QBittorrentClient(daemon.url, username=USERNAME, password=PASSWORD)
            downloader = BatchDownloader(client=client, fetcher=fetcher, repository=repository)
            batch = [wanted(tracker, f"book-{number}", kind=KINDS[number % 3]) for number in range(9)]
            assert len(downloader.run(batch).successful) == 9
            daemon.kill()
            daemon.start()

            result = downloader.recover()

            assert (len(result.successful), result.failed) == (9, ())
            assert len(daemon.torrents()) == 9
            assert len(tracker.asked) == 9
            client.close()

    def test_a_daemon_that_is_down_costs_no_fetch(
        self, downloader: BatchDownloader, tracker: Tracker, daemon: Daemon, repository: SQLiteRepository
    ) -> None:
        """Dead before the batch began: no tracker is asked, and everything may be run again."""
        with QBittorrentClient("http://127.0.0.1:9", username=USERNAME, password=PASSWORD) as nobody:
            dead = BatchDownloader(client=nobody, fetcher=downloader._pipeline.fetcher, repository=repository)
            result = dead.run([wanted(tracker, f"book-{number}") for number in range(5)])

        assert [failure.code for failure in result.failed] == ["client_unavailable"] + ["not_attempted"] * 4
        assert tracker.asked == []
        again = downloader.run(result.retryable)
        assert (len(again.successful), again.failed, again.ended_by) == (5, (), None)
        assert len(daemon.torrents()) == 5
