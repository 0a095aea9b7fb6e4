"""Fifty torrents from a tracker into a qBittorrent: by what people use today, by audiobatch, and as fast as can be.

Each function does the whole job, set-up included, and returns nothing: whether the daemon
has all of it is looked up behind its back. The folder is new and empty, for records.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import aiohttp
import httpx
import qbittorrentapi
from aioqbt.api import AddFormBuilder
from aioqbt.client import create_client

from audiobatch import BatchDownloader, DownloadRequest
from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.metainfo import parse_torrent
from audiobatch.repositories.sqlite import SQLiteRepository
from support.qbittorrent import PASSWORD, USERNAME

AT_ONCE: Final = 8  # fetches, for all that fetch several at once
Contestant = Callable[[Sequence[str], str, Path], None]


def sequential_loop(urls: Sequence[str], daemon: str, _: Path) -> None:
    """Fetch, add, and look up, one after the other: the loop that most scripts have."""
    with httpx.Client() as http:
        _log_in(http, daemon)
        for url in urls:
            content = http.get(url).raise_for_status().content
            _add(http, daemon, [content])
            _look_up(http, daemon, [content])


def qbittorrent_api_loop(urls: Sequence[str], daemon: str, _: Path) -> None:
    """Fetch, add with qbittorrent-api, and look up, one after the other."""
    with httpx.Client() as http:
        client = qbittorrentapi.Client(host=daemon, username=USERNAME, password=PASSWORD, FORCE_SCHEME_FROM_HOST=True)
        client.auth_log_in()
        for url in urls:
            content = http.get(url).raise_for_status().content
            client.torrents_add(torrent_files=content)
            client.torrents_info(torrent_hashes=parse_torrent(content).info_hashes.primary)
        client.auth_log_out()


def aioqbt_eight(urls: Sequence[str], daemon: str, _: Path) -> None:
    """Fetch, add and look up in eight asyncio tasks at once."""

    async def work() -> None:
        remaining = iter(urls)
        # Its session's jar would drop the cookie of a host that is an address.
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as http:
            client = await create_client(f"{daemon}/api/v2/", USERNAME, PASSWORD, http=http)

            async def one_after_the_other() -> None:
                for url in remaining:
                    async with http.get(url) as answer:
                        content = await answer.read()
                    form = AddFormBuilder.with_client(client).include_file(content).build()
                    await client.torrents.add(form)
                    await client.torrents.info(hashes=[parse_torrent(content).info_hashes.primary])

            await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))

    asyncio.run(work())


def audiobatch(urls: Sequence[str], daemon: str, folder: Path) -> None:
    """Run a batch, with every record on disk."""
    requests = [DownloadRequest(title=f"Book {n}", author="A", torrent_url=url) for n, url in enumerate(urls)]
    with (
        QBittorrentClient(daemon, username=USERNAME, password=PASSWORD) as client,
        HttpFetcher(allowed_networks=["127.0.0.0/8"]) as fetcher,
        SQLiteRepository(Path(folder, "records.db")) as repository,
    ):
        downloader = BatchDownloader(
            client=client, fetcher=fetcher, repository=repository, max_concurrent_fetches=AT_ONCE
        )
        downloader.run(requests).raise_for_failures()


def raw_floor(urls: Sequence[str], daemon: str, _: Path) -> None:
    """Fetch with bare httpx in eight threads, add all in one request, and look up once: nothing less would do."""
    with httpx.Client() as http, ThreadPoolExecutor(AT_ONCE) as pool:
        contents = list(pool.map(lambda url: http.get(url).raise_for_status().content, urls))
        _log_in(http, daemon)
        _add(http, daemon, contents)
        _look_up(http, daemon, contents)


CONTESTANTS: Final[Sequence[Contestant]] = (
    sequential_loop,
    qbittorrent_api_loop,
    aioqbt_eight,
    audiobatch,
    raw_floor,
)


def _log_in(http: httpx.Client, daemon: str) -> None:
    http.post(f"{daemon}/api/v2/auth/login", data={"username": USERNAME, "password": PASSWORD}).raise_for_status()


def _add(http: httpx.Client, daemon: str, contents: Sequence[bytes]) -> None:
    files = [("torrents", (f"{number}.torrent", content)) for number, content in enumerate(contents)]
    http.post(f"{daemon}/api/v2/torrents/add", files=files).raise_for_status()


def _look_up(http: httpx.Client, daemon: str, contents: Sequence[bytes]) -> None:
    hashes = "|".join(parse_torrent(content).info_hashes.primary for content in contents)
    http.post(f"{daemon}/api/v2/torrents/info", data={"hashes": hashes}).raise_for_status()
