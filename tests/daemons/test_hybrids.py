"""Hybrid torrents, and magnet links with and without metadata, on real qBittorrents of three generations."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from itertools import permutations
from typing import Any

import httpx
import pytest

pytest.importorskip("libtorrent", reason="the extra libtorrent is not installed")

from audiobatch import BatchDownloader, DownloadRequest, PlannedAction
from audiobatch._watch import watch
from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.metainfo import InfoHashes, parse_magnet, parse_torrent
from audiobatch.models import AddOptions
from audiobatch.repositories.sqlite import SQLiteRepository
from support.fakes import codes
from support.inline import Inline
from support.qbittorrent import PASSWORD, USERNAME, Daemon
from support.swarm import Seed
from support.torrents import Kind, book
from support.tracker import Tracker
from support.waiting import wait_until

pytestmark = pytest.mark.daemon

DUNE = parse_torrent(book("dune", kind="hybrid"))
WHOLE = DUNE.info_hashes


@pytest.fixture
def asked() -> list[str]:
    """Collect the path of each request that the client sends."""
    return []


@pytest.fixture
def client(daemon: Daemon, asked: list[str]) -> Iterator[QBittorrentClient]:
    """Give a client that is watched."""
    hooks = {"request": [lambda request: asked.append(request.url.path.removeprefix("/api/v2/"))]}
    with httpx.Client(trust_env=False, verify=False, event_hooks=hooks) as http:
        yield QBittorrentClient(daemon.url, username=USERNAME, password=PASSWORD, http=http)


@pytest.fixture
def seed() -> Iterator[Seed]:
    """Give a peer that has the book."""
    with Seed("dune", "hybrid") as seed:
        yield seed


def link_of(name: str, half: str, *parameters: str, kind: Kind = "hybrid") -> str:
    """Make a magnet link that names one info-hash of a book, or both."""
    hashes = parse_torrent(book(name, kind=kind)).info_hashes
    topics = {"v1": f"xt=urn:btih:{hashes.v1}", "v2": f"xt=urn:btmh:1220{hashes.v2}"}
    topics["both"] = "&".join(topics.values())
    return "magnet:?" + "&".join([topics[half], "dn=linked", *parameters])


def wanted(url: str, **fields: Any) -> DownloadRequest:
    """Ask for what is behind a URL."""
    return DownloadRequest(title="T", author="A", torrent_url=url, **fields)


def is_whole(daemon: Daemon) -> bool:
    """Tell whether the daemon has the one book, with both info-hashes."""
    return [(row["infohash_v1"], row["infohash_v2"]) for row in daemon.torrents()] == [(WHOLE.v1, WHOLE.v2)]


class TestWhenTheMetadataArrives:
    """From then on qBittorrent finds a hybrid by its v2 info-hash alone."""

    @pytest.mark.parametrize("half", ["v1", "v2", "both"])
    def test_it_stays_a_success(
        self,
        downloader: BatchDownloader,
        client: QBittorrentClient,
        daemon: Daemon,
        repository: SQLiteRepository,
        asked: list[str],
        seed: Seed,
        half: str,
    ) -> None:
        """For the next batch, a plan, a recovery and a watcher; both info-hashes are told and kept."""
        batch = [wanted(link_of("dune", half, seed.peer))]
        first = downloader.run(batch)
        assert codes(first) == ["ok"]
        wait_until(lambda: is_whole(daemon), "the metadata is there", seconds=30)

        (planned,) = downloader.plan(batch).items
        (again,) = downloader.run(batch).successful
        recovered = downloader.recover()
        *_, last = watch(client, first.successful, stop=threading.Event(), every=0.1)

        assert planned.action is PlannedAction.PRESENT
        assert (again.info_hashes, again.already_present) == (WHOLE, True)
        assert recovered.failed == ()
        assert len(last.complete) == 1
        (record,) = repository.find([str(WHOLE.v1)], client=client.name).values()
        assert record.info_hashes == WHOLE
        assert list(repository.unsettled(client=client.name)) == []
        assert asked.count("torrents/add") == 1

    def test_it_is_found_by_what_it_was_asked_for(
        self, client: QBittorrentClient, daemon: Daemon, asked: list[str], seed: Seed
    ) -> None:
        """A search in the list is made for the v1 info-hash of a link alone, and only if it is missing."""
        client.add(parse_magnet(link_of("dune", "v1", seed.peer)), AddOptions())
        wait_until(lambda: is_whole(daemon), "the metadata is there", seconds=30)
        client.add(parse_torrent(book("another", kind="hybrid")), AddOptions())
        wait_until(lambda: len(daemon.torrents()) == 2, "another one is there")
        v1, v2 = InfoHashes(v1=WHOLE.v1), InfoHashes(v2=WHOLE.v2)
        asked.clear()

        assert {hashes: status.info_hashes for hashes, status in client.status([WHOLE, v2]).items()} == {
            WHOLE: WHOLE,
            v2: WHOLE,
        }
        assert len(asked) == 1
        (status,) = client.status([v1, InfoHashes(v1="ab" * 20)]).values()
        assert (status.info_hashes, status.has_metadata) == (WHOLE, True)
        assert len(asked) == 3

    @pytest.mark.parametrize("together", [True, False])
    @pytest.mark.parametrize("order", list(permutations(["v1", "v2", "file"])), ids=" ".join)
    def test_twins_of_all_kinds_succeed(  # noqa: PLR0913, PLR0917 - fixtures
        self,
        downloader: BatchDownloader,
        daemon: Daemon,
        tracker: Tracker,
        repository: SQLiteRepository,
        asked: list[str],
        seed: Seed,
        monkeypatch: pytest.MonkeyPatch,
        order: tuple[str, ...],
        together: bool,  # noqa: FBT001
    ) -> None:
        """In one batch, in any order: one torrent in the end, and nothing is added later."""
        monkeypatch.setattr("audiobatch._lookahead.ThreadPoolExecutor", lambda *_, **__: Inline(ahead=together))
        urls = {half: link_of("dune", half, seed.peer) for half in ("v1", "v2")}
        urls["file"] = f"{tracker.url}/hybrid/dune"
        batch = [wanted(urls[name]) for name in order]

        result = downloader.run(batch)
        wait_until(lambda: is_whole(daemon), "there is one, with its metadata", seconds=30)
        added = asked.count("torrents/add")
        results = [downloader.recover(), downloader.run(batch), downloader.recover()]

        assert codes(result) == ["ok"] * 3
        assert all(done.info_hashes.matches(WHOLE) for done in result.successful)
        assert [each.failed for each in results] == [(), (), ()]
        assert [done.info_hashes for done in results[1].successful] == [WHOLE] * 3
        assert asked.count("torrents/add") == added
        assert tracker.asked == ["/hybrid/dune"]
        assert (
            len(
                {
                    record.id
                    for record in repository.find(list(urls.values()), client=result.successful[0].client).values()
                }
            )
            <= 2
        )
        assert list(repository.unsettled(client=result.successful[0].client)) == []

    def test_two_links_that_turn_out_to_be_one(
        self,
        downloader: BatchDownloader,
        client: QBittorrentClient,
        daemon: Daemon,
        repository: SQLiteRepository,
        asked: list[str],
        seed: Seed,
    ) -> None:
        """Each keeps its record; both are settled, and tell both info-hashes."""
        batch = [wanted(link_of("dune", half, seed.peer)) for half in ("v1", "v2")]
        assert codes(downloader.run(batch)) == ["ok", "ok"]
        wait_until(lambda: is_whole(daemon), "they are one", seconds=30)
        added = asked.count("torrents/add")

        results = [downloader.recover(), downloader.run(batch), downloader.run(batch[::-1])]

        assert [done.info_hashes for result in results for done in result.successful] == [WHOLE] * 6
        assert len(repository.find([str(WHOLE.v1), str(WHOLE.v2)], client=client.name)) == 2
        assert list(repository.unsettled(client=client.name)) == []
        assert asked.count("torrents/add") == added

    def test_a_daemon_that_forgets_it_gets_it_again(
        self,
        downloader: BatchDownloader,
        daemon: Daemon,
        repository: SQLiteRepository,
        client: QBittorrentClient,
        seed: Seed,
    ) -> None:
        """From the link on record, which still names one info-hash alone."""
        batch = [wanted(link_of("dune", "v1", seed.peer))]
        downloader.run(batch)
        wait_until(lambda: is_whole(daemon), "the metadata is there", seconds=30)
        daemon.remove_all()

        (done,) = downloader.recover().successful
        wait_until(lambda: is_whole(daemon), "it is there again", seconds=30)

        assert not done.already_present
        assert [each.info_hashes for each in downloader.recover().successful] == [WHOLE]
        assert list(repository.unsettled(client=client.name)) == []


class TestStuckLinks:
    """A magnet link without peers, and the file that has its metadata."""

    @pytest.mark.parametrize("paused", [False, True])
    @pytest.mark.parametrize(
        ("kind", "half"), [("v1", "v1"), ("hybrid", "v1"), ("hybrid", "v2"), ("hybrid", "both"), ("v2", "v2")]
    )
    def test_the_file_gives_it_its_metadata(
        self,
        downloader: BatchDownloader,
        client: QBittorrentClient,
        daemon: Daemon,
        tracker: Tracker,
        repository: SQLiteRepository,
        kind: Kind,
        half: str,
        paused: bool,  # noqa: FBT001
    ) -> None:
        """It was there before, and has its size and its files now; the record is closed by the next look."""
        link = parse_magnet(link_of("stuck", half, kind=kind))
        client.add(link, AddOptions(paused=paused, category="Mine"))
        wait_until(lambda: bool(client.status([link.info_hashes])), "the link is there")
        (before,) = client.status([link.info_hashes]).values()

        (done,) = downloader.run([wanted(f"{tracker.url}/{kind}/stuck")]).successful

        (row,) = daemon.torrents()
        files = daemon.session.get("torrents/files", params={"hash": str(row["hash"])}).json()
        assert before.has_metadata is False
        assert done.already_present
        assert done.info_hashes == parse_torrent(book("stuck", kind=kind)).info_hashes
        assert (row["size"], row["category"]) == (5, "Mine")
        assert [(file["name"], file["size"]) for file in files] == [("stuck", 5)]
        assert downloader.recover().failed == ()
        assert list(repository.unsettled(client=client.name)) == []

    def test_one_among_new_ones(
        self,
        downloader: BatchDownloader,
        client: QBittorrentClient,
        daemon: Daemon,
        tracker: Tracker,
        asked: list[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """It goes in the same request, and the new ones are told from it."""
        monkeypatch.setattr("audiobatch._lookahead.ThreadPoolExecutor", lambda *_, **__: Inline(ahead=True))
        links = [parse_magnet(link_of(name, "v1", kind="hybrid")) for name in ("stuck", "stick")]
        client.add_all(links, AddOptions())
        wait_until(lambda: len(client.status([link.info_hashes for link in links])) == 2, "the links are there")
        asked.clear()

        result = downloader.run([wanted(f"{tracker.url}/hybrid/{name}") for name in ("a", "stuck", "b", "stick")])

        assert [done.already_present for done in result.successful] == [False, True, False, True]
        assert sorted(str(row["size"]) for row in daemon.torrents()) == ["1", "1", "5", "5"]
        assert asked.count("torrents/add") == 1


class TestOptions:
    """What is not asked for is not sent, and what leads elsewhere neither."""

    @pytest.mark.parametrize("paused", [None, True, False])
    @pytest.mark.parametrize("by_default", [False, True])
    def test_a_preference_decides_where_nothing_is_said(
        self,
        downloader: BatchDownloader,
        daemon: Daemon,
        tracker: Tracker,
        paused: bool | None,  # noqa: FBT001
        by_default: bool,  # noqa: FBT001
    ) -> None:
        """`Do not start torrents` is a setting of qBittorrent that only true or false override."""
        preference = {"start_paused_enabled": by_default, "add_stopped_enabled": by_default}
        daemon.session.post("app/setPreferences", data={"json": json.dumps(preference)}).raise_for_status()

        assert codes(downloader.run([wanted(f"{tracker.url}/v1/book", paused=paused)])) == ["ok"]

        wait_until(lambda: "checking" not in str(daemon.torrents()[0]["state"]), "it is checked")
        stands_still = str(daemon.torrents()[0]["state"]).startswith(("paused", "stopped"))
        assert stands_still is (by_default if paused is None else paused)

    @pytest.mark.parametrize("category", ["../x", "a/../../x", "..", "a/.. /x", "é" * 128, "a\\..\\x"])
    def test_a_category_that_leads_elsewhere_fails_alone(
        self, downloader: BatchDownloader, daemon: Daemon, tracker: Tracker, category: str
    ) -> None:
        """Under automatic management it would be saved outside qBittorrent's folder; the others get there."""
        daemon.session.post("app/setPreferences", data={"json": '{"auto_tmm_enabled": true}'}).raise_for_status()
        before = daemon.session.get("torrents/categories").json()

        result = downloader.run(
            [
                wanted(f"{tracker.url}/v1/a", category="Books/New"),
                wanted(f"{tracker.url}/v1/b", category=category),
                wanted(f"{tracker.url}/v1/c", category="Books/New"),
            ]
        )

        assert codes(result) in (["ok", "unsupported", "ok"], ["ok", "invalid_request", "ok"])
        assert sorted(str(row["name"]) for row in daemon.torrents()) == ["a", "c"]
        assert daemon.session.get("torrents/categories").json().keys() <= before.keys() | {"Books", "Books/New"}
        daemon.session.post("app/setPreferences", data={"json": '{"auto_tmm_enabled": false}'})
