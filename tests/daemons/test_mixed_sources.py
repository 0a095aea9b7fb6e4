"""One batch from four kinds of sources, on a real qBittorrent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from audiobatch import BatchDownloader, FailureCode
from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.fetchers.choice import FirstAccepting
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.fetchers.myanonamouse import MyAnonamouseFetcher, download_url
from audiobatch.metainfo import parse_torrent
from audiobatch.models import DownloadRequest
from audiobatch.repositories.sqlite import SQLiteRepository
from audiobatch.sessions import FileSessionStore
from support.myanonamouse import FIRST, MyAnonamouse
from support.qbittorrent import Daemon
from support.server import Exchange, LoopbackServer
from support.torrents import book
from support.tracker import Tracker

pytestmark = pytest.mark.daemon


def magnet(name: str) -> str:
    """Return a magnet link to the book of that name."""
    return f"magnet:?xt=urn:btih:{parse_torrent(book(name)).info_hashes.v1}&dn={name}"


def prowlarr(exchange: Exchange) -> None:
    """Answer like Prowlarr: a magnet link, the tracker's trouble, or a door into the network."""
    match exchange.path.partition("?")[0]:
        case "/1/download":
            exchange.send(301, Location=magnet("by-prowlarr"), Content_Length="0")
        case "/2/download":
            exchange.send(500, b'<error code="500" description="Download failed"/>', Content_Length="49")
        case _:
            exchange.send(302, Location="http://169.254.169.254/latest/meta-data", Content_Length="0")


def ask(title: str, url: str) -> DownloadRequest:
    """Make a request."""
    return DownloadRequest(title=title, author="A. Mariner", torrent_url=url, category="Mixed")


@pytest.fixture
def indexer() -> Iterator[LoopbackServer]:
    """Give a Prowlarr."""
    with LoopbackServer(prowlarr) as server:
        yield server


def test_a_batch_mixes_its_sources(
    client: QBittorrentClient,
    daemon: Daemon,
    tracker: Tracker,
    indexer: LoopbackServer,
    repository: SQLiteRepository,
    tmp_path: Path,
) -> None:
    """An id of MyAnonamouse, a link of Prowlarr to a magnet, a plain URL and a magnet are queued; the rest is told."""
    requests = [
        ask("Mouse", download_url(7)),
        ask("Prowlarr", f"{indexer.url}/1/download?apikey=s3cret&link=x&file=y"),
        ask("Plain", f"{tracker.url}/hybrid/plain"),
        ask("Magnet", magnet("linked")),
        ask("Trouble", f"{indexer.url}/2/download?apikey=s3cret&link=x&file=y"),
        ask("Trap", f"{indexer.url}/3/download?apikey=s3cret&link=x&file=y"),
    ]
    with (
        MyAnonamouse() as site,
        site.detour() as detour,
        HttpFetcher(trusted_origins=[tracker.url, indexer.url]) as plain,
        MyAnonamouseFetcher(FIRST, sessions=FileSessionStore(tmp_path / "session.json"), transport=detour) as mouse,
    ):
        fetcher = FirstAccepting(mouse, plain)
        result = BatchDownloader(client=client, fetcher=fetcher, repository=repository).run(requests)

    assert [download.request.title for download in result.successful] == ["Mouse", "Prowlarr", "Plain", "Magnet"]
    shown = {row["hash"]: row["category"] for row in daemon.torrents()}
    assert len(shown) == 4
    for download in result.successful:
        assert {shown.get(client_id) for client_id in download.info_hashes.client_ids} & {"Mixed"}
    assert [failure.code for failure in result.failed] == [
        FailureCode.FETCH_UNAVAILABLE,
        FailureCode.BLOCKED_ADDRESS,
    ]
    assert not any("s3cret" in failure.error for failure in result.failed)
