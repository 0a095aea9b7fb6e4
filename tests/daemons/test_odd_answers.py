"""What curl and qBittorrent take, we take: odd answers of servers, compared byte for byte."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from audiobatch import DownloadRequest
from audiobatch.errors import FetchError
from audiobatch.fetchers.http import HttpFetcher
from support.odd_answers import CASES, OddServer, odd_server, render
from support.qbittorrent import GENERATIONS, Daemon, Generation
from support.tracker import LOOPBACK

pytestmark = pytest.mark.daemon

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "odd-answers.md"
SETTLED: Final = 3.0  # seconds without another torrent, after which no more are waited for
GROUP_SETTLED: Final = 0.4
AT_ONCE: Final = 4
CURL: Final = ("curl", "-q", "-sSL", "--max-time", "20")
NUMBERS: Final = range(len(CASES))


def installed(reason: str | None) -> None:
    """Skip without what is to be compared with, but fail where it is meant to be."""
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def odd() -> Iterator[OddServer]:
    """Give the server of odd answers."""
    with odd_server() as server:
        yield server


def ask(taken: Callable[[int], bool]) -> list[bool]:
    """Ask for all of them, some at a time."""
    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(taken, NUMBERS))


@pytest.fixture(scope="module")
def curls(odd: OddServer) -> list[bool]:
    """Ask curl, once as it is and once with ``--compressed``: it takes what it takes in either way."""
    installed(None if shutil.which("curl") else "curl is not installed (.ci/install-daemons does that)")

    def taken(number: int) -> bool:
        return any(
            made.returncode == 0 and odd.torrents[number].is_in(made.stdout)
            for option in ((), ("--compressed",))
            for made in [subprocess.run([*CURL, *option, odd.url_of(number)], capture_output=True, check=False)]
        )

    return ask(taken)


def of_qbittorrent(odd: OddServer, daemon: Daemon) -> list[bool]:
    """Add the URLs, a few at a time, because its downloads can hang for ever; those that make them do so come last."""
    numbers = sorted(NUMBERS, key=lambda number: CASES[number].hangs)
    for some in range(0, len(numbers), AT_ONCE):
        urls = [odd.url_of(number) for number in numbers[some : some + AT_ONCE]]
        daemon.session.post("torrents/add", data={"urls": "\n".join(urls)}).raise_for_status()
        settle(daemon, GROUP_SETTLED)
    settle(daemon, SETTLED)
    hashes = {row["hash"] for row in daemon.torrents()}
    return [odd.torrents[number].info_hash in hashes for number in NUMBERS]


def settle(daemon: Daemon, quiet: float) -> None:
    """Wait until no more torrents come."""
    there, since = -1, time.monotonic()
    while time.monotonic() - since < quiet:
        count = len(daemon.torrents())
        there, since = (there, since) if count == there else (count, time.monotonic())
        time.sleep(0.05)


@pytest.fixture(scope="module")
def qbittorrents(odd: OddServer) -> Sequence[list[bool]]:
    """Ask each generation."""
    for generation in GENERATIONS:
        installed(generation.missing)

    def answers(generation: Generation) -> list[bool]:
        with Daemon(generation) as daemon:
            return of_qbittorrent(odd, daemon)

    with ThreadPoolExecutor(len(GENERATIONS)) as threads:
        return list(threads.map(answers, GENERATIONS))


@pytest.fixture(scope="module")
def ours(odd: OddServer) -> list[str]:
    """Ask our fetcher; what it takes is an empty text, and else there is its sentence."""
    with HttpFetcher(allowed_networks=LOOPBACK, timeout=20) as fetcher:

        def sentence(number: int) -> str:
            wanted = DownloadRequest(title="Odd", author="A", torrent_url=odd.url_of(number))
            try:
                torrent = fetcher.fetch(wanted)
            except FetchError as error:
                return str(error).replace(odd.url, "the server")
            assert torrent.info_hashes.v1 == odd.torrents[number].info_hash
            return ""

        with ThreadPoolExecutor(8) as threads:
            return list(threads.map(sentence, NUMBERS))


def test_what_both_take_we_take(curls: list[bool], qbittorrents: Sequence[list[bool]], ours: list[str]) -> None:
    """Under the same info-hash."""
    both = [number for number in NUMBERS if curls[number] and any(answers[number] for answers in qbittorrents)]

    assert [CASES[number].what for number in both if ours[number]] == []
    assert len(both) > 40


def test_the_published_table_is_the_one_of_this_run(
    curls: list[bool], qbittorrents: Sequence[list[bool]], ours: list[str]
) -> None:
    """The document holds what was just seen, or is written anew if that is wanted."""
    written = render([generation.name for generation in GENERATIONS], curls, qbittorrents, ours)
    if os.environ.get("AUDIOBATCH_WRITE_DOCS") == "1":
        DOCUMENT.write_text(written, encoding="utf-8")
    published = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else ""
    assert published == written, "docs/odd-answers.md is out of date: run this again with AUDIOBATCH_WRITE_DOCS=1"
