"""What a qBittorrent takes is handed over, under its own hashes: tried with more than four hundred odd torrents."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Final, TypeAlias

import pytest

from audiobatch import BatchDownloader, DownloadRequest
from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.errors import NotATorrent
from audiobatch.metainfo import Torrent, TorrentFile, parse_torrent
from audiobatch.repositories.sqlite import SQLiteRepository
from support.fakes import codes
from support.inline import Inline
from support.odd_torrents import odd_torrents
from support.qbittorrent import Daemon
from support.torrents import book
from support.waiting import wait_until

pytestmark = pytest.mark.daemon

Hashes: TypeAlias = "tuple[str | None, str | None]"

DEADLY: Final = "v1, a name of a byte order mark"
"""It ends the daemon, so it is refused, and not tried."""

ODD: Final = {name: content for name, content in odd_torrents().items() if name != DEADLY}


def those_handed_over() -> dict[str, TorrentFile]:
    """Parse all; leave out what is refused."""
    found = {}
    for name, content in ODD.items():
        with suppress(NotATorrent):
            found[name] = parse_torrent(content)
    return found


PARSED: Final = those_handed_over()
SHOWN_WITHIN: Final = 1.0  # seconds; 5 milliseconds are usual
AT_ONCE: Final = 100  # torrents, before they are removed


def given_to(daemon: Daemon, content: bytes) -> Hashes | None:
    """Hand a torrent over behind the library's back; return the hashes under which it appears, if it does."""
    before = {row["hash"] for row in daemon.torrents()}
    answer = daemon.session.post(
        "torrents/add",
        data={"paused": "true", "stopped": "true"},
        files={"torrents": ("x.torrent", content, "application/x-bittorrent")},
    )
    if not answer.is_success or answer.text == "Fails.":
        return None
    new: list[dict[str, object]] = []

    def is_shown() -> bool:
        new.extend(row for row in daemon.torrents() if row["hash"] not in before)
        return bool(new)

    try:
        wait_until(is_shown, "it is shown", seconds=SHOWN_WITHIN)
    except AssertionError:
        return None
    return str(new[0]["infohash_v1"]) or None, str(new[0]["infohash_v2"]) or None


@pytest.fixture(scope="module")
def taken(running: Daemon) -> Mapping[str, Hashes | None]:
    """Tell of each torrent what the daemon makes of it, one by one."""
    found = {}
    for number, (name, content) in enumerate(ODD.items(), 1):
        found[name] = given_to(running, content)
        if number % AT_ONCE == 0:
            running.remove_all()
    running.remove_all()
    return found


def test_what_the_daemon_takes_is_handed_over_under_its_hashes(taken: Mapping[str, Hashes | None]) -> None:
    """None is refused that it takes, and no hash is another one."""
    assert sum(hashes is not None for hashes in taken.values()) > 200
    ours = {name: (torrent.info_hashes.v1, torrent.info_hashes.v2) for name, torrent in PARSED.items()}

    assert {name: hashes for name, hashes in taken.items() if hashes and ours.get(name) != hashes} == {}


def test_what_the_daemon_refuses_was_refused_or_doubtful(taken: Mapping[str, Hashes | None]) -> None:
    """So it never goes together with others, which might be lost to them."""
    refused = [name for name, hashes in taken.items() if hashes is None]
    assert len(refused) > 100

    assert [name for name in refused if name in PARSED and PARSED[name].doubt is None] == []


class Shelf:
    """A fetcher that has torrents at hand, by name."""

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self._contents = list(contents.values())

    def fetch(self, request: DownloadRequest, /) -> Torrent:
        """Hand out the torrent that the URL ends with the number of."""
        return parse_torrent(self._contents[int(request.torrent_url.rpartition("/")[2])])

    @property
    def requests(self) -> list[DownloadRequest]:
        """A request for each of them."""
        return [
            DownloadRequest(title=f"{number}", author="A", torrent_url=f"http://tracker.test/{number}")
            for number in range(len(self._contents))
        ]


TAKEN: Final = ("v1, behind its end a comment", "v2, behind its end many NULs", "v1, another name first", "no layers")
REFUSED: Final = ("v1, no name", "v2, no order", "hybrid, a key that is no text", "a layer that is short", "no padding")


def test_doubtful_ones_do_not_spoil_their_neighbours(
    client: QBittorrentClient, daemon: Daemon, repository: SQLiteRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a batch, all are there but those that the daemon refuses; and these say why it might have."""
    monkeypatch.setattr("audiobatch._lookahead.ThreadPoolExecutor", lambda *_, **__: Inline(ahead=True))
    odd = [*TAKEN, *REFUSED]
    contents = {}
    for number in range(40):
        contents[f"book {number}"] = book(f"book {number}", kind=("v1", "v2", "hybrid")[number % 3])
        if number % 4 == 0 and odd:
            name = odd.pop()
            contents[name] = ODD[name]
    shelf = Shelf(contents)
    downloader = BatchDownloader(client=client, fetcher=shelf, repository=repository, max_concurrent_fetches=50)

    result = downloader.run(shelf.requests)

    assert codes(result) == ["torrent_rejected" if name in REFUSED else "ok" for name in contents]
    assert not any(done.already_present for done in result.successful)
    assert len(daemon.torrents()) == len(contents) - len(REFUSED)
    assert all("does not accept it as a torrent file: " in str(failure.error) for failure in result.failed)
