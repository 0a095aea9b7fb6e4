"""Every Python snippet of the README and the docs runs as it stands, on real things."""

from __future__ import annotations

import ast
import json
import re
import signal
import ssl
from functools import partial
from pathlib import Path

import pytest

from audiobatch import BatchDownloader, DownloadRequest, FailureCode
from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.errors import Unsupported
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.fetchers.myanonamouse import MyAnonamouseFetcher
from audiobatch.metainfo import Torrent, parse_magnet
from audiobatch.models import AddOptions
from audiobatch.repositories.memory import MemoryRepository
from audiobatch.repositories.sqlite import SQLiteRepository
from support.fakes import FakeClient, FakeFetcher, codes, request
from support.myanonamouse import FIRST, MyAnonamouse
from support.qbittorrent import PASSWORD, Daemon
from support.snippets import blocks, documents, languages, run_all, tables
from support.torrents import book
from support.tracker import Tracker

HASH = "0123456789abcdef0123456789abcdef01234567"


def shown(document: str, printed: str, tracker: Tracker, named: str) -> None:
    """Check that a document shows what was printed, but for the info-hash and the address of the tracker."""
    told = re.sub(r"\b[0-9a-f]{40}\b", HASH, printed.replace(tracker.url, named))
    assert told.splitlines() == blocks(document, "text")[0].splitlines()


@pytest.mark.daemon
def test_the_example_of_the_readme(
    daemon: Daemon,
    tracker: Tracker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the addresses of a real qBittorrent and a tracker it queues one book and reports the other."""
    monkeypatch.chdir(tmp_path)

    run_all(
        "README.md",
        here={
            "http://nas:8080": daemon.url,
            "https://tracker.example": tracker.url,
            "HttpFetcher()": f"HttpFetcher(trusted_origins=['{tracker.url}'])",
        },
    )

    queued, failed = capsys.readouterr().out.splitlines()
    assert failed.startswith(f"1 {FailureCode.TORRENT_NOT_FOUND} Failed to download torrent: ")
    (row,) = daemon.torrents()
    assert queued == f"0 The Lighthouse {row['hash']}"
    assert row["category"] == "Audiobooks"


def test_the_example_of_the_landing_page(
    tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints what is shown below it."""
    pytest.importorskip("libtorrent", reason="the extra libtorrent is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("builtins.input", lambda _: "")

    run_all(
        "docs/index.md",
        here={
            "https://archive.org/download/{ALICE}/{ALICE}_archive.torrent": f"{tracker.url}/v1/alice",
            "{URL}.lost": f"{tracker.url}/lost",
            "HttpFetcher()": f"HttpFetcher(trusted_origins=['{tracker.url}'])",
            'LibtorrentClient("audiobooks")': (
                'LibtorrentClient("audiobooks", settings=__import__("audiobatch._demo")._demo.LOOPBACK_ONLY)'
            ),
        },
    )

    shown("docs/index.md", capsys.readouterr().out, tracker, "https://archive.org")


@pytest.mark.daemon
def test_the_quickstart(
    daemon: Daemon,
    tracker: Tracker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its program, with its file of requests, prints what is shown below it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QBITTORRENT_PASSWORD", PASSWORD)
    (batch,) = blocks("docs/quickstart.md", "json")
    Path("batch.json").write_text(batch.replace("https://tracker.example", tracker.url))

    run_all(
        "docs/quickstart.md",
        here={
            "http://nas:8080": daemon.url,
            "HttpFetcher()": f"HttpFetcher(trusted_origins=['{tracker.url}'])",
        },
    )

    shown("docs/quickstart.md", capsys.readouterr().out, tracker, "https://tracker.example")
    assert [row["name"] for row in daemon.torrents()] == ["lighthouse"]


@pytest.mark.daemon
def test_the_snippets_about_concepts(
    downloader: BatchDownloader, daemon: Daemon, tracker: Tracker, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each does what the text around it says."""
    outcomes, plans, stopping, recovery = run_all("docs/concepts.md")
    good = {"title": "Good", "author": "A", "torrent_url": f"{tracker.url}/v1/good"}
    lost = {"title": "Lost", "author": "A", "torrent_url": f"{tracker.url}/lost"}

    assert plans["fetches"](downloader, [good, lost]) == 2
    assert capsys.readouterr().out.startswith("A plan for 2 downloads, with 2 to be fetched\n")
    outcomes["report"](downloader, [good])
    outcomes["insist"](downloader, [good, lost])
    assert capsys.readouterr().out == "1 could not be fetched\n"
    assert plans["fetches"](downloader, [good, lost]) == 1

    assert stopping["patiently"](downloader, [good]).failed == ()
    recovery["start"](downloader)
    assert [row["name"] for row in daemon.torrents()] == ["good"]


def test_the_snippets_about_the_embedded_engine(fetcher: HttpFetcher, tracker: Tracker, tmp_path: Path) -> None:
    """One stays until all is downloaded, the other sets up the engine as libtorrent names things."""
    pytest.importorskip("libtorrent", reason="the extra libtorrent is not installed")
    from audiobatch._demo import LOOPBACK_ONLY  # noqa: PLC0415 - not there without the extra

    download, vpn = run_all("docs/embedded.md", here={"sleep(1)": "sleep(0.01)"})
    download["LibtorrentClient"] = partial(download["LibtorrentClient"], settings=LOOPBACK_ONLY)
    (tmp_path / "good").write_bytes(b"good")  # the whole book, so that no peer is needed

    wanted = [{"title": "Good", "author": "A", "torrent_url": f"{tracker.url}/v1/good"}]
    download["download_into"](str(tmp_path), fetcher, wanted)
    assert (tmp_path / "records.db").exists()

    chosen = {}
    vpn["LibtorrentClient"] = lambda folder, *, settings: chosen.update({folder: settings})
    vpn["behind_the_vpn"]("books")
    assert chosen == {"books": {"listen_interfaces": "10.8.0.2:6881", "enable_dht": False}}


@pytest.mark.daemon
def test_the_snippets_about_qbittorrent(
    daemon: Daemon, tracker: Tracker, fetcher: HttpFetcher, repository: SQLiteRepository
) -> None:
    """The clients can be used, and the category is made."""
    home, proxy, category = run_all("docs/qbittorrent.md", here={"http://nas:8080": daemon.url})

    with home["at_home"](PASSWORD) as client:
        downloader = BatchDownloader(client=client, fetcher=fetcher, repository=repository)
        wanted = category["into_a_category"](f"{tracker.url}/v1/good")
        wanted = DownloadRequest(title="Good", author="A", torrent_url=wanted.torrent_url, category=wanted.category)
        assert downloader.run([wanted]).failed == ()
    assert [(row["name"], row["category"]) for row in daemon.torrents()] == [("good", "Audiobooks")]

    with home["with_a_key"]("qbt_key") as client:
        assert client.name == f"qbittorrent@{daemon.url}"
    with proxy["through_the_proxy"]("secret", ssl.create_default_context()) as client:
        assert client.name == "qbittorrent@https://home.example/qbt"
        client.close()


@pytest.mark.daemon
def test_the_snippets_about_private_trackers(
    daemon: Daemon,
    client: QBittorrentClient,
    repository: SQLiteRepository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What they make fits together to one downloader, and the book is queued."""
    monkeypatch.chdir(tmp_path)
    mouse, prowlarr, tracker, several = run_all("docs/private-trackers.md")

    with mouse["mouse"](FIRST) as own, prowlarr["with_prowlarr"]() as plain:
        assert isinstance(own, MyAnonamouseFetcher)
        fetcher = several["mixed"](own, plain)
        with MyAnonamouse() as site, site.detour() as detour:
            own._retrieval._transport = detour
            downloader = BatchDownloader(client=client, fetcher=fetcher, repository=repository)
            assert downloader.run([mouse["book"](7)]).failed == ()
    assert "s3cret" not in repr(tracker["with_cookie"]("uid=1; pass=s3cret"))
    assert [row["name"] for row in daemon.torrents()] == ["mam-7"]


def test_the_snippets_about_folders() -> None:
    """The downloader gives each book the folder that the table says, and the other templates can be used."""
    library, others = run_all("docs/folders.md")
    client = FakeClient()
    downloader = library["into_the_library"](client, FakeFetcher(), MemoryRepository())
    (rows,) = tables("docs/folders.md")
    cells = [[cell.strip("`") for cell in row] for row in rows]

    result = downloader.run(
        [
            request(f"book-{number}", title=title, author=author, series=series)
            for number, (title, author, series, _) in enumerate(cells)
        ]
    )

    assert result.failed == ()
    assert [options.save_path for options in client.torrents.values()] == [folder for *_, folder in cells]
    tides = request("book", title="Dawn", series="Tides")
    assert others["BY_SERIES"](tides) == "/audiobooks/An Author/Tides - Dawn"
    assert others["BY_SERIES"](request("book", title="Dawn")) == "/audiobooks/An Author/Dawn"
    assert others["ON_WINDOWS"](tides) == "D:\\Audiobooks\\An Author\\Tides\\Dawn"


def test_the_snippets_about_plug_ins(tmp_path: Path) -> None:
    """The fetcher and the client of the guide do a batch together."""
    fetching, watching = run_all("docs/plug-ins.md")
    shelf, watched = tmp_path / "shelf", tmp_path / "watched"
    shelf.mkdir()
    watched.mkdir()
    (shelf / "book.torrent").write_bytes(book("book"))
    client = watching["WatchFolderClient"](watched)
    downloader = BatchDownloader(client=client, fetcher=fetching["FolderFetcher"](shelf), repository=MemoryRepository())

    result = downloader.run([request("book", torrent_url="http://shelf.test/book.torrent"), request("missing")])

    assert [download.request.title for download in result.successful] == ["book"]
    assert [failure.code for failure in result.failed] == [FailureCode.TORRENT_NOT_FOUND]
    (left,) = watched.iterdir()
    assert left.read_bytes() == book("book")
    link = parse_magnet(f"magnet:?xt=urn:btih:{HASH}")
    with pytest.raises(Unsupported):
        client.add(link, AddOptions())


def test_the_snippet_about_servers() -> None:
    """It answers with the JSON that the page shows, key by key."""
    (contract,) = run_all("docs/servers.md")
    (told,) = blocks("docs/servers.md", "json")
    downloader = BatchDownloader(client=FakeClient(), fetcher=FakeFetcher(), repository=MemoryRepository())
    batch = [
        {"title": "The Lighthouse", "author": "A. Mariner", "torrent_url": "http://tracker.test/lighthouse.torrent"},
        {"title": "", "author": "E. Gone", "torrent_url": "http://tracker.test/lost"},
    ]

    answer = json.loads(contract["answer"](downloader, json.dumps({"downloads": batch}).encode()))

    assert keys(answer) == keys(json.loads(told))
    assert answer["failed"][0]["error"] == json.loads(told)["failed"][0]["error"]


def keys(document: object) -> object:
    """Leave of a JSON document its keys and its form."""
    match document:
        case dict():
            return {key: keys(value) for key, value in document.items()}
        case list():
            return [keys(value) for value in document]
    return None


def test_the_snippets_about_notebooks() -> None:
    """Rows make a frame of the failures; Ctrl-C, which interrupts a kernel, ends a batch between two steps."""
    pytest.importorskip("pandas", reason="pandas is not installed")
    frames, stopping = run_all("docs/notebooks.md")
    fetcher = InterruptingFetcher()
    downloader = BatchDownloader(
        client=FakeClient(), fetcher=fetcher, repository=MemoryRepository(), max_concurrent_fetches=1
    )

    missing = frames["failures"](downloader.run([request("book"), request("missing")]))
    assert missing.to_dict("records") == [
        {"title": "missing", "author": "An Author", "code": "torrent_not_found", "retryable": False}
    ]

    fetcher.interrupts = True
    stopped = stopping["until_interrupted"](downloader, [request("one"), request("two")])
    assert set(codes(stopped)) <= {"ok", "not_attempted"}
    assert "not_attempted" in codes(stopped)


class InterruptingFetcher(FakeFetcher):
    """Is interrupted while it fetches, as by Ctrl-C."""

    interrupts = False

    def fetch(self, request: DownloadRequest, /) -> Torrent:
        """Serve, after the interruption."""
        if self.interrupts:
            self.interrupts = False
            signal.raise_signal(signal.SIGINT)
        return super().fetch(request)


def test_no_document_holds_a_python_block_that_no_test_runs() -> None:
    """Each document with such blocks is named in a call of `run_all`, which runs all of its blocks."""
    tests = [ast.parse(path.read_text()) for path in Path(__file__).parent.glob("test_*.py")]
    run = {
        ast.literal_eval(node.args[0])
        for tree in tests
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "run_all"
    }

    assert {document for document in documents() if "python" in languages(document)} == run


def test_snippets_are_typed(tmp_path: Path) -> None:
    """A strict type checker has nothing to say about them."""
    checker = pytest.importorskip("mypy.api", reason="mypy is not installed")
    for document in documents():
        for number, code in enumerate(blocks(document, "python"), start=1):
            name = re.sub(r"\W", "_", document.removesuffix(".md"))
            (tmp_path / f"{name}_{number}.py").write_text(code, encoding="utf-8")

    options = ["--strict", "--ignore-missing-imports", "--config-file=", f"--cache-dir={tmp_path / 'cache'}"]
    told, _, status = checker.run([*options, *map(str, tmp_path.glob("*.py"))])

    assert status == 0, told


def test_blocks_of_code_say_in_which_language_they_are() -> None:
    """So that none is passed over for being written otherwise; a directive of MyST stands in braces."""
    known = {"python", "sh", "json", "text", "yaml", "nginx", "{eval-rst}", "{include} ../CHANGELOG.md", "{toctree}"}

    for document in documents():
        unknown = [language for language in languages(document) if language not in known]
        assert [language for language in unknown if not language.startswith("{literalinclude} examples/")] == []
        assert "~~~" not in (Path(__file__).parents[2] / document).read_text(encoding="utf-8")
