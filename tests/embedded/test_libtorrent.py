"""The embedded engine: it downloads, and goes on where another process stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

pytest.importorskip("libtorrent", reason="the extra libtorrent is not installed")

from audiobatch import BatchDownloader, _demo
from audiobatch._watch import watch
from audiobatch.clients.libtorrent import LibtorrentClient
from audiobatch.errors import ClientUnavailable, TorrentRejected, Unsupported
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.metainfo import TorrentFile, parse_magnet, parse_torrent
from audiobatch.models import AddOptions, TorrentState
from audiobatch.repositories.memory import MemoryRepository
from support.torrents import book
from support.tracker import KINDS, LOOPBACK
from support.waiting import wait_until


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give the folder that the engine saves to."""
    return tmp_path / "audiobooks"


@pytest.fixture
def engine(folder: Path) -> Iterator[LibtorrentClient]:
    """Give an engine that stays on this machine."""
    with LibtorrentClient(folder, settings=_demo.LOOPBACK_ONLY) as engine:
        yield engine


@pytest.fixture
def library(tmp_path: Path) -> Iterator[str]:
    """Give the URL of a server that has torrents, and their data as web seeds."""
    source = tmp_path / "library"
    _demo.make_books(source)
    with _demo.serve(source) as url:
        yield url


def same(files: list[str], one: Path, other: Path) -> bool:
    """Tell whether the files are in both folders, byte by byte the same."""
    return all((one / file).exists() and (one / file).read_bytes() == (other / file).read_bytes() for file in files)


def test_it_downloads_what_the_source_has(engine: LibtorrentClient, folder: Path, library: str, tmp_path: Path) -> None:
    """A whole batch: the bytes on disk equal the source, for v1, v2 and hybrid torrents."""
    with HttpFetcher(allowed_networks=LOOPBACK) as fetcher:
        result = BatchDownloader(client=engine, fetcher=fetcher, repository=MemoryRepository()).run(
            _demo.batch(library)
        )

    *_, last = watch(engine, result.successful, stop=threading.Event(), every=0.05)

    assert len(last.complete) == len(result.successful) == 3
    assert last.progress == 1.0
    files = [path for each in _demo.BOOKS for path in each.files]
    # libtorrent counts a piece as there as soon as it has hashed it, and may still be writing the last ones.
    wait_until(lambda: same(files, folder, tmp_path / "library"), "what was downloaded is on disk as in the source")


def test_a_second_process_goes_on_where_the_first_stopped(folder: Path, library: str) -> None:
    """The first one only adds; the next one has the torrents, and downloads them."""
    with (
        LibtorrentClient(folder, settings={**_demo.LOOPBACK_ONLY, "download_rate_limit": 1}) as first,
        HttpFetcher(allowed_networks=LOOPBACK) as f,
    ):
        result = BatchDownloader(client=first, fetcher=f, repository=MemoryRepository()).run(_demo.batch(library))

    with LibtorrentClient(folder, settings=_demo.LOOPBACK_ONLY) as second:
        assert second.name == first.name
        *_, last = watch(second, result.successful, stop=threading.Event(), every=0.05)

    assert len(last.complete) == 3


def test_what_is_complete_stays_complete(folder: Path, library: str) -> None:
    """After a proper end nothing is checked or downloaded again."""
    with (
        LibtorrentClient(folder, settings=_demo.LOOPBACK_ONLY) as first,
        HttpFetcher(allowed_networks=LOOPBACK) as fetcher,
    ):
        result = BatchDownloader(client=first, fetcher=fetcher, repository=MemoryRepository()).run(_demo.batch(library))
        list(watch(first, result.successful, stop=threading.Event(), every=0.05))

    with LibtorrentClient(folder, settings=_demo.LOOPBACK_ONLY) as second:
        hashes = [done.info_hashes for done in result.successful]
        wait_until(
            lambda: {status.state for status in second.status(hashes).values()} == {TorrentState.COMPLETE},
            "everything is complete without the server",
        )


def test_what_was_added_outlives_sigkill(folder: Path) -> None:
    """As soon as `add` has returned, the torrent is on disk."""
    program = (
        "import os, signal, sys\n"
        "from audiobatch._demo import LOOPBACK_ONLY\n"
        "from audiobatch.clients.libtorrent import LibtorrentClient\n"
        "from audiobatch.metainfo import parse_torrent\n"
        "from audiobatch.models import AddOptions\n"
        "engine = LibtorrentClient(sys.argv[1], settings=LOOPBACK_ONLY)\n"
        "engine.add(parse_torrent(sys.stdin.buffer.read()), AddOptions(paused=True))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    content = book("survivor", kind="hybrid")
    ended = subprocess.run([sys.executable, "-c", program, folder], input=content, timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL

    with LibtorrentClient(folder, settings=_demo.LOOPBACK_ONLY) as engine:
        hashes = parse_torrent(content).info_hashes
        assert hashes in engine.status([hashes])
        # It is checked first, which takes a moment on a busy machine.
        wait_until(lambda: engine.status([hashes])[hashes].state is TorrentState.PAUSED, "it is paused")


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_found_by_each_of_its_info_hashes(engine: LibtorrentClient, kind: str) -> None:
    """Also by a magnet link that names only one of them; adding it again changes nothing."""
    torrent = parse_torrent(book("book", kind=kind))  # type: ignore[arg-type]
    engine.add(torrent, AddOptions(paused=True))
    engine.add(torrent, AddOptions())
    unknown = parse_torrent(book("unknown")).info_hashes
    topics = [f"btih:{torrent.info_hashes.v1}", f"btmh:1220{torrent.info_hashes.v2}"]
    links = [parse_magnet(f"magnet:?xt=urn:{topic}").info_hashes for topic in topics if "None" not in topic]

    found = engine.status([torrent.info_hashes, *links, unknown])

    assert set(found) == {torrent.info_hashes, *links}
    assert {status.info_hashes for status in found.values()} == {torrent.info_hashes}
    wait_until(
        lambda: engine.status([torrent.info_hashes])[torrent.info_hashes].state is TorrentState.PAUSED,
        "it is checked, and still paused",
    )


@pytest.mark.parametrize("half", ["v1", "v2"])
def test_a_magnet_link_takes_the_metadata_of_a_file(engine: LibtorrentClient, half: str) -> None:
    """And from then on it is found by both info-hashes; what is no file of it is refused."""
    torrent = parse_torrent(book("book", kind="hybrid"))
    topic = {"v1": f"btih:{torrent.info_hashes.v1}", "v2": f"btmh:1220{torrent.info_hashes.v2}"}[half]
    link = parse_magnet(f"magnet:?xt=urn:{topic}")
    engine.add(link, AddOptions())
    (before,) = engine.status([link.info_hashes]).values()

    engine.add(link, AddOptions())
    with pytest.raises(TorrentRejected):
        engine.add(evolve(torrent, content=b"de"), AddOptions())
    engine.add(torrent, AddOptions())

    assert (before.info_hashes, before.has_metadata) == (link.info_hashes, False)
    wait_until(
        lambda: (
            [(each.info_hashes, each.has_metadata) for each in engine.status([link.info_hashes]).values()]
            == [(torrent.info_hashes, True)]
        ),
        "it has its metadata",
    )


def test_a_magnet_link_waits_for_its_metadata(engine: LibtorrentClient) -> None:
    """It is there at once, and it downloads nothing yet."""
    link = parse_magnet("magnet:?xt=urn:btih:" + "ab" * 20)
    engine.add(link, AddOptions())

    assert engine.status([link.info_hashes])[link.info_hashes].progress == 0.0


def test_a_save_path_is_relative_to_the_folder(engine: LibtorrentClient, folder: Path, library: str) -> None:
    """A request may sort its book into a folder of its own."""
    with HttpFetcher(allowed_networks=LOOPBACK) as fetcher:
        downloader = BatchDownloader(client=engine, fetcher=fetcher, repository=MemoryRepository())
        lighthouse = evolve(_demo.batch(library)[0], save_path="A. Mariner")
        result = downloader.run([lighthouse])

    list(watch(engine, result.successful, stop=threading.Event(), every=0.05))

    assert (folder / "A. Mariner" / "The Lighthouse.m4b").stat().st_size == 1_500_000


@pytest.mark.parametrize("path", ["..", "../x", "a/../../x"])
def test_a_save_path_that_leads_elsewhere_is_refused(engine: LibtorrentClient, path: str) -> None:
    """Nothing is added."""
    torrent = parse_torrent(book("book"))

    with pytest.raises(Unsupported, match="save_path"):
        engine.add(torrent, AddOptions(save_path=path))

    assert engine.status([torrent.info_hashes]) == {}


def test_what_libtorrent_refuses_is_rejected(engine: LibtorrentClient) -> None:
    """A file that slipped through is told as an error of ours, and not remembered."""
    hashes = parse_torrent(book("x")).info_hashes
    broken = TorrentFile(content=b"de", info_hashes=hashes, name="", total_size=0, private=False)

    with pytest.raises(TorrentRejected, match="libtorrent does not take it"):
        engine.add(broken, AddOptions())

    assert engine.status([hashes]) == {}


def test_one_process_at_a_time(engine: LibtorrentClient, folder: Path) -> None:
    """Two engines on the same files would spoil them: the second one is told so."""
    with pytest.raises(ClientUnavailable, match="another process uses it"):
        LibtorrentClient(folder, settings=_demo.LOOPBACK_ONLY)

    assert repr(engine) == f"LibtorrentClient({str(folder)!r})"


def test_a_state_that_is_no_database_is_told(tmp_path: Path) -> None:
    """It is not overwritten."""
    state = tmp_path / "state"
    state.write_bytes(b"something else altogether, and quite a lot of it " * 50)

    with pytest.raises(ClientUnavailable, match="cannot be used"):
        LibtorrentClient(tmp_path, state=state, settings=_demo.LOOPBACK_ONLY)


def test_an_entry_that_cannot_be_read_is_passed_over(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One damaged entry does not keep the others from going on."""
    torrent = parse_torrent(book("book"))
    with LibtorrentClient(folder, settings=_demo.LOOPBACK_ONLY) as first:
        first.add(torrent, AddOptions(paused=True))
        first._resume_data.write("damaged", b"damaged")

    with LibtorrentClient(folder, settings=_demo.LOOPBACK_ONLY) as second:
        assert len(second.status([torrent.info_hashes])) == 1
    assert "cannot read a torrent of its state" in caplog.text


def test_a_closed_engine_says_so(folder: Path) -> None:
    """Closing twice is harmless, using it afterwards is an error of ours."""
    engine = LibtorrentClient(folder, settings=_demo.LOOPBACK_ONLY)
    engine.close()
    engine.close()

    with pytest.raises(ClientUnavailable, match="closed"):
        engine.status([parse_torrent(book("x")).info_hashes])


def test_a_file_that_cannot_be_written_is_an_error_of_the_torrent(
    engine: LibtorrentClient, folder: Path, library: str
) -> None:
    """Where the folder of a book should be there is a file: its state is error, and it says no more progress."""
    (folder / "taken").write_text("a file")
    with HttpFetcher(allowed_networks=LOOPBACK) as fetcher:
        lighthouse = evolve(_demo.batch(library)[0], save_path="taken")
        result = BatchDownloader(client=engine, fetcher=fetcher, repository=MemoryRepository()).run([lighthouse])

    *_, last = watch(engine, result.successful, stop=threading.Event(), every=0.05)

    assert last.broken == list(result.successful)
