"""Every Python snippet of the README and the docs runs as it stands, on real things."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from audiobatch import BatchDownloader, FailureCode
from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.fetchers.myanonamouse import MyAnonamouseFetcher
from audiobatch.models import DownloadRequest
from audiobatch.protocols import TorrentFetcher
from audiobatch.repositories.sqlite import SQLiteRepository
from support.myanonamouse import FIRST, MyAnonamouse
from support.qbittorrent import Daemon
from support.torrents import book
from support.tracker import Tracker

pytestmark = pytest.mark.daemon

ROOT = Path(__file__).parents[2]


def snippets(document: str) -> list[str]:
    """Return the Python blocks of a document, in order."""
    return re.findall(r"^```python\n(.*?)^```$", (ROOT / document).read_text(), re.DOTALL | re.MULTILINE)


def run(code: str) -> dict[str, Callable[..., object]]:
    """Run a snippet and return the names that it makes."""
    names: dict[str, Callable[..., object]] = {}
    exec(compile(code, "snippet", "exec"), names)
    return names


def test_the_example_of_the_readme(
    daemon: Daemon,
    tracker: Tracker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the addresses of a real qBittorrent and a tracker it queues one book and reports the other."""
    (code,) = snippets("README.md")
    monkeypatch.chdir(tmp_path)

    here = {
        "http://nas:8080": daemon.url,
        "https://tracker.example": tracker.url,
        "HttpFetcher()": f"HttpFetcher(trusted_origins=['{tracker.url}'])",
    }
    for named, real in here.items():
        assert named in code
        code = code.replace(named, real)
    run(code)

    queued, failed = capsys.readouterr().out.splitlines()
    assert failed.startswith(f"1 {FailureCode.TORRENT_NOT_FOUND} Failed to download torrent: ")
    (row,) = daemon.torrents()
    assert queued == f"0 The Lighthouse {row['hash']}"
    assert row["category"] == "Audiobooks"


def test_the_snippets_of_the_guide(
    downloader: BatchDownloader, daemon: Daemon, tracker: Tracker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each does what the text around it says."""
    pytest.importorskip("libtorrent", reason="the extra libtorrent is not installed")
    outcomes, stopping, recovery, vpn, plug_in, contract = map(run, snippets("docs/guide.md"))
    good = {"title": "Good", "author": "A", "torrent_url": f"{tracker.url}/v1/good"}
    lost = {"title": "Lost", "author": "A", "torrent_url": f"{tracker.url}/lost"}

    outcomes["report"](downloader, [good])
    outcomes["insist"](downloader, [good, lost])
    assert capsys.readouterr().out == "1 could not be fetched\n"

    assert stopping["patiently"](downloader, [good]).failed == ()  # type: ignore[attr-defined]
    recovery["start"](downloader)
    assert callable(vpn["behind_the_vpn"])
    (tmp_path / "book.torrent").write_bytes(book("book"))
    fetch = plug_in["FolderFetcher"](tmp_path).fetch  # type: ignore[attr-defined]
    assert fetch(DownloadRequest(title="B", author="A", torrent_url="http://x.test/book.torrent")).name == "book"
    assert '"already_present": true' in str(contract["answer"](downloader, json.dumps({"downloads": [good]}).encode()))
    assert [row["name"] for row in daemon.torrents()] == ["good"]


def test_the_snippets_about_private_trackers(
    daemon: Daemon,
    client: QBittorrentClient,
    repository: SQLiteRepository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What they make fits together to one downloader, and the book is queued."""
    monkeypatch.chdir(tmp_path)
    mouse, prowlarr, tracker, several = map(run, snippets("docs/private-trackers.md"))

    with mouse["mouse"](FIRST) as own, prowlarr["with_prowlarr"]() as plain:  # type: ignore[attr-defined]
        assert isinstance(own, MyAnonamouseFetcher)
        fetcher: TorrentFetcher = several["mixed"](own, plain)  # type: ignore[assignment]
        request: DownloadRequest = mouse["book"](7)  # type: ignore[assignment]
        with MyAnonamouse() as site, site.detour() as detour:
            own._retrieval._transport = detour
            downloader = BatchDownloader(client=client, fetcher=fetcher, repository=repository)
            assert downloader.run([request]).failed == ()
    assert "s3cret" not in repr(tracker["with_cookie"]("uid=1; pass=s3cret"))
    assert [row["name"] for row in daemon.torrents()] == ["mam-7"]


def test_the_readme_names_the_options_of_the_command() -> None:
    """What stands there can be typed."""
    command = [sys.executable, "-m", "audiobatch", "run", "--help"]
    helped = subprocess.run(command, capture_output=True, text=True, check=True)
    named = set(re.findall(r"--[a-z-]+", (ROOT / "README.md").read_text()))

    assert named <= set(re.findall(r"--[a-z-]+", helped.stdout))
