"""Fifty torrents in one request to a real qBittorrent of each generation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import httpx
import pytest
from attrs import evolve

from audiobatch import BatchDownloader, Download, DownloadRequest, DownloadStatus, RetryPolicy
from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.downloader import CONFIRM_RETRY
from audiobatch.errors import NotAdded, TorrentRejected
from audiobatch.metainfo import Torrent, TorrentFile, parse_magnet, parse_torrent
from audiobatch.models import AddOptions
from audiobatch.repositories.sqlite import SQLiteRepository
from support.fakes import codes
from support.inline import Inline
from support.qbittorrent import PASSWORD, USERNAME, Daemon, Generation
from support.torrents import book
from support.tracker import KINDS
from support.waiting import wait_until

pytestmark = pytest.mark.daemon

OPTIONS: Final = AddOptions(category="Audio/Books", tags=("one", "two"), save_path="/tmp/kept", paused=True)


def torrents(count: int, *, magnets: bool = False) -> list[Torrent]:
    """Make torrents of every kind in turn, and magnet links in between if they are wanted."""
    files: list[Torrent] = [parse_torrent(book(f"book {number}", kind=KINDS[number % 3])) for number in range(count)]
    for number in range(0, count if magnets else 0, 5):
        files[number] = parse_magnet(f"magnet:?xt=urn:btih:{number + 1:040x}&dn=link+{number}")
    return files


class Shelf:
    """A fetcher that has the torrents at hand, by their number."""

    def __init__(self, torrents: list[Torrent]) -> None:
        self._torrents = torrents

    def fetch(self, request: DownloadRequest, /) -> Torrent:
        """Hand out the torrent that the URL ends with the number of."""
        return self._torrents[int(request.torrent_url.rpartition("/")[2])]

    @property
    def requests(self) -> list[DownloadRequest]:
        """A request for each of them."""
        return [
            DownloadRequest(title=f"{number}", author="A", torrent_url=f"http://tracker.test/{number}")
            for number in range(len(self._torrents))
        ]


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


@pytest.fixture(autouse=True)
def _all_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all be fetched before the client's turn comes: a batch is one group."""
    monkeypatch.setattr("audiobatch._lookahead.ThreadPoolExecutor", lambda *_, **__: Inline(ahead=True))


def downloader_of(
    client: QBittorrentClient, shelf: Shelf, repository: SQLiteRepository, retry: RetryPolicy = CONFIRM_RETRY
) -> BatchDownloader:
    """Make a downloader as a user would, with room for fifty at once."""
    return BatchDownloader(
        client=client, fetcher=shelf, repository=repository, max_concurrent_fetches=50, confirm_retry=retry
    )


@pytest.mark.parametrize("magnets", [False, True], ids=["files", "files and magnet links"])
def test_fifty_go_in_one_request(
    client: QBittorrentClient,
    daemon: Daemon,
    repository: SQLiteRepository,
    asked: list[str],
    magnets: bool,  # noqa: FBT001
) -> None:
    """All of them are in the client, each under its info-hash, and none was there before."""
    shelf = Shelf(torrents(50, magnets=magnets))

    result = downloader_of(client, shelf, repository).run(shelf.requests)

    assert codes(result) == ["ok"] * 50
    assert not any(done.already_present for done in result.successful)
    assert {done.status for done in result.successful} == {DownloadStatus.QUEUED}
    assert len(daemon.torrents()) == 50
    assert asked.count("torrents/add") == 1


def test_the_options_are_those_of_all(client: QBittorrentClient, daemon: Daemon, generation: Generation) -> None:
    """Category, tags, save path and pause, for files and magnet links."""
    wanted = torrents(6, magnets=True)

    client.add_all(wanted, OPTIONS)

    hashes = [torrent.info_hashes for torrent in wanted]
    wait_until(lambda: len(client.status(hashes)) == 6, "all are listed")
    wait_until(lambda: not any("checking" in str(row["state"]) for row in daemon.torrents()), "all are checked")
    paused = "paused" if generation.name < "5" else "stopped"
    for row in daemon.torrents():
        assert (row["category"], row["tags"], row["save_path"]) == ("Audio/Books", "one, two", "/tmp/kept")
        assert row["auto_tmm"] is False
        assert str(row["state"]).startswith(paused)


@pytest.mark.parametrize("place", [0, 49])
def test_a_bad_one_fails_alone(
    client: QBittorrentClient, daemon: Daemon, repository: SQLiteRepository, asked: list[str], place: int
) -> None:
    """The whole request is refused when any part of it is taken: the other forty-nine get there all the same."""
    wanted = torrents(50)
    file = wanted[place]
    assert isinstance(file, TorrentFile)
    wanted[place] = evolve(file, content=file.content[:-1])  # damaged after it was checked
    shelf = Shelf(wanted)
    # What is not there is not waited for as long as by default.
    downloader = downloader_of(client, shelf, repository, RetryPolicy(attempts=5, wait=0.05))

    result = downloader.run(shelf.requests)

    assert codes(result) == ["torrent_rejected" if number == place else "ok" for number in range(50)]
    assert not any(done.already_present for done in result.successful)
    assert len(daemon.torrents()) == 49
    assert 2 <= asked.count("torrents/add") <= 1 + 50
    records = list(repository.unsettled(client=client.name))
    assert [record.status for record in records] == [DownloadStatus.QUEUED] * 49


def test_what_somebody_else_has_added_in_the_same_moment_is_a_success(
    client: QBittorrentClient,
    daemon: Daemon,
    repository: SQLiteRepository,
    asked: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It came after the first look: qBittorrent takes the others, and says nothing of this one."""
    shelf = Shelf(torrents(5))
    reserve = repository.reserve

    def reserve_late(downloads: Sequence[Download], /) -> Sequence[Download]:
        client.add(torrents(5)[2], AddOptions())
        wait_until(lambda: len(daemon.torrents()) == 1, "it is listed")
        return reserve(downloads)

    monkeypatch.setattr(repository, "reserve", reserve_late)

    result = downloader_of(client, shelf, repository).run(shelf.requests)

    assert codes(result) == ["ok"] * 5
    assert asked.count("torrents/add") == 2


def test_nothing_new_is_no_success(client: QBittorrentClient, daemon: Daemon) -> None:
    """A request of nothing but duplicates, or of nothing but pages, is refused."""
    wanted = torrents(3)
    client.add_all(wanted, AddOptions())
    wait_until(lambda: len(client.status([torrent.info_hashes for torrent in wanted])) == 3, "all are listed")
    pages: list[Torrent] = [evolve(file, content=b"<html>") for file in wanted if isinstance(file, TorrentFile)]

    with pytest.raises(NotAdded, match="no reason"):
        client.add_all(wanted, AddOptions())
    with pytest.raises(TorrentRejected, match="as a torrent file"):
        client.add_all(pages, AddOptions())
    assert len(daemon.torrents()) == 3
