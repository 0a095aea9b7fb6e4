"""What the guide to qBittorrent says of ports, proxies and folders holds on each generation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import pytest

from audiobatch import BatchDownloader
from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.errors import ClientAuthError
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.repositories.memory import MemoryRepository
from support.qbittorrent import PASSWORD, USERNAME, Daemon, Generation
from support.tracker import Tracker

pytestmark = pytest.mark.daemon


class PortMapping(httpx.BaseTransport):
    """Leads to a daemon whatever the URL says, and leaves the rest of a request as it is, as Docker does."""

    def __init__(self, url: str) -> None:
        self._port = urlsplit(url).port
        self._transport = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Pass it on."""
        inside = request.url.copy_with(scheme="http", host="127.0.0.1", port=self._port)
        passed_on = httpx.Request(request.method, inside, headers=request.headers, stream=request.stream)
        return self._transport.handle_request(passed_on)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()


@contextmanager
def reached_as(url: str, daemon: Daemon, *, auth: tuple[str, str] | None = None) -> Iterator[QBittorrentClient]:
    """Give a client that reaches the daemon under a URL."""
    with httpx.Client(transport=PortMapping(daemon.url), auth=auth) as http:
        yield QBittorrentClient(url, username=USERNAME, password=PASSWORD, http=http)


def test_a_port_that_is_its_own_inside_and_outside_works(daemon: Daemon) -> None:
    """The name of the host does not matter."""
    with reached_as(f"http://nas:{daemon.port}", daemon) as client:
        client.check()


def test_another_port_outside_is_refused(daemon: Daemon) -> None:
    """With 401, before the password is looked at: the sentence names the port."""
    with (
        reached_as(f"http://nas:{daemon.port + 1}", daemon) as client,
        pytest.raises(ClientAuthError, match="wrong user name or password, or a port that is not its own"),
    ):
        client.check()


@pytest.mark.parametrize("url", ["http://nas", "https://nas.example"])
def test_a_host_without_a_port_is_accepted(daemon: Daemon, url: str) -> None:
    """As where the port outside is the usual one."""
    with reached_as(url, daemon) as client:
        client.check()


def test_a_login_meant_for_a_proxy_is_taken_for_its_own_since_5_2(daemon: Daemon, generation: Generation) -> None:
    """And refused; an older one does not look at it."""
    with reached_as(daemon.url, daemon, auth=("proxy", "its password")) as client:
        if tuple(map(int, generation.name.split("."))) < (5, 2):
            client.check()
        else:
            with pytest.raises(ClientAuthError):
                client.check()


@pytest.mark.parametrize("automatic", [False, True])
def test_without_a_save_path_the_settings_of_qbittorrent_decide(
    daemon: Daemon, client: QBittorrentClient, fetcher: HttpFetcher, tracker: Tracker, *, automatic: bool
) -> None:
    """With automatic management it is the folder of the category, else the default one; a path of our own counts."""
    daemon.session.post("torrents/createCategory", data={"category": "Books", "savePath": "/tmp/of-the-category"})
    before = daemon.session.get("app/preferences").json()
    assert before["auto_tmm_enabled"] is False, "manual is what a new qBittorrent has"
    daemon.session.post("app/setPreferences", data={"json": json.dumps({"auto_tmm_enabled": automatic})})
    downloader = BatchDownloader(client=client, fetcher=fetcher, repository=MemoryRepository())
    wanted = {"author": "A", "category": "Books", "paused": True}
    try:
        downloader.run(
            [
                {"title": "Placed by qBittorrent", "torrent_url": f"{tracker.url}/v1/theirs", **wanted},
                {"title": "Placed", "torrent_url": f"{tracker.url}/v1/ours", "save_path": "/tmp/of-our-own", **wanted},
            ]
        ).raise_for_failures()
        folders = {row["name"]: row["save_path"] for row in daemon.torrents()}
    finally:
        daemon.session.post("app/setPreferences", data={"json": json.dumps({"auto_tmm_enabled": False})})

    default = before["save_path"].rstrip("/")
    assert folders == {"theirs": "/tmp/of-the-category" if automatic else default, "ours": "/tmp/of-our-own"}


def test_what_is_there_stays_as_it_is(
    daemon: Daemon, client: QBittorrentClient, fetcher: HttpFetcher, tracker: Tracker
) -> None:
    """Neither category nor folder change when it is asked for once more."""
    downloader = BatchDownloader(client=client, fetcher=fetcher, repository=MemoryRepository())
    first = {"title": "T", "author": "A", "torrent_url": f"{tracker.url}/v1/book", "paused": True, "category": "First"}
    downloader.download(first)

    again = downloader.download({**first, "category": "Second", "tags": ["new"], "save_path": "/tmp/elsewhere"})

    assert again.already_present
    (row,) = daemon.torrents()
    assert (row["category"], row["tags"]) == ("First", "")
    assert row["save_path"] != "/tmp/elsewhere"
