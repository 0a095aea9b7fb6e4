"""The command: what it reads, prints and returns."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from audiobatch import _watch
from audiobatch.__main__ import main
from audiobatch.downloader import BatchDownloader
from audiobatch.models import Download, TorrentState, TorrentStatus
from audiobatch.repositories.memory import MemoryRepository
from support.fakes import AT_ONCE, FakeClient, FakeFetcher, request, torrent
from support.tracker import Tracker
from support.waiting import wait_until

NOBODY = "http://127.0.0.1:9"  # the discard port: nobody listens there


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what it writes by default in a folder of the test."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


def written(tmp_path: Path, document: object) -> str:
    """Write a batch to a file, and return its path."""
    path = tmp_path / "batch.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return str(path)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("{", "not valid JSON"),
        ("[]", "must be an object with a list"),
        ({"downloads": []}, "empty"),
        ({"downloads": [{}] * 51}, "limit of 50"),
    ],
)
def test_a_batch_that_is_refused_touches_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], document: object, said: str
) -> None:
    """The status is 2, the reason is told, and no file is made."""
    assert main(["run", written(tmp_path, document), "--client", NOBODY]) == 2

    output = capsys.readouterr()
    assert (output.out, said in output.err) == ("", True)
    assert [path.name for path in tmp_path.iterdir()] == ["batch.json"]


def test_a_missing_file_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """The name of it stands in the message."""
    assert main(["run", "nowhere.json"]) == 2
    assert "'nowhere.json' cannot be read: No such file" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["nas:8080", "", " "])
def test_a_client_that_cannot_be_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], url: str) -> None:
    """A URL without a scheme is refused before anything is asked of anybody; an empty one does not mean the engine."""
    assert main(["run", written(tmp_path, {"downloads": [{}]}), "--client", url]) == 2
    assert "must look like http://host:port" in capsys.readouterr().err


def test_failures_are_printed_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result goes to standard output, whole, and the status is 1; standard input will do."""
    document = {"downloads": [{"title": "T", "author": "A", "torrent_url": "http://127.0.0.1:9/x"}, {"title": "T"}]}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(document).encode())))

    assert main(["run", "-", "--client", NOBODY, "--db", str(tmp_path / "records.db")]) == 1

    output = capsys.readouterr()
    result = json.loads(output.out)
    assert result["successful"] == []
    assert [(failure["index"], failure["code"]) for failure in result["failed"]] == [
        (0, "client_unavailable"),
        (1, "invalid_request"),
    ]
    assert "earlier downloads could not be looked at" in output.err


@pytest.mark.parametrize(("text", "said"), [("novalue", "NAME=VALUE"), ("=x", "NAME=VALUE")])
def test_a_setting_needs_name_and_value(capsys: pytest.CaptureFixture[str], text: str, said: str) -> None:
    """The parser says how it is to be given."""
    with pytest.raises(SystemExit, match="2"):
        main(["run", "-", "--engine-setting", text])
    assert said in capsys.readouterr().err


class TestWatching:
    """Waiting for downloads that somebody else does."""

    def test_it_ends_when_everything_is_complete_or_broken(self) -> None:
        """A torrent in error, and one that is gone, do not become complete by waiting."""
        client = FakeClient()
        downloader = BatchDownloader(
            client=client, fetcher=FakeFetcher(), repository=MemoryRepository(), confirm_retry=AT_ONCE
        )
        downloads = downloader.run([request(name) for name in ("good", "bad", "gone")]).successful
        shown = iter((0.5, 1.0))

        def status(_: object) -> dict[object, TorrentStatus]:
            progress = next(shown)
            state = TorrentState.COMPLETE if progress == 1.0 else TorrentState.DOWNLOADING
            return {
                torrent("good").info_hashes: TorrentStatus(state=state, progress=progress),
                torrent("bad").info_hashes: TorrentStatus(state=TorrentState.ERROR, progress=0.1),
            }

        client.status = status  # type: ignore[method-assign, assignment]
        first, last = _watch.watch(client, downloads, stop=threading.Event(), every=0)

        assert (len(first.complete), len(last.complete), len(last.broken)) == (0, 1, 2)
        assert last.progress == pytest.approx(1.1 / 3)

    def test_it_ends_when_it_is_stopped(self) -> None:
        """Nobody waits for the next look."""
        client = FakeClient()
        downloads: list[Download] = list(
            BatchDownloader(client=client, fetcher=FakeFetcher(), repository=MemoryRepository())
            .run([request("one")])
            .successful
        )
        stop = threading.Event()
        stop.set()

        (only,) = _watch.watch(client, downloads, stop=stop, every=3600)

        assert only.complete == []


def test_what_is_no_session_of_myanonamouse_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes from the environment, and is looked at before anything is asked of anybody."""
    batch = written(tmp_path, {"downloads": [{"title": "T", "author": "A", "torrent_url": f"{NOBODY}/x"}]})

    monkeypatch.setenv("AUDIOBATCH_MAM_ID", "mam_id=;")
    assert main(["run", batch, "--client", NOBODY]) == 2
    assert "no mam_id" in capsys.readouterr().err


class TestTheEmbeddedEngine:
    """The default client, from the command line."""

    @pytest.fixture(autouse=True)
    def _libtorrent(self) -> None:
        pytest.importorskip("libtorrent", reason="the extra libtorrent is not installed")

    @pytest.fixture
    def arguments(self) -> list[str]:
        """Give what keeps the engine on this machine."""
        from audiobatch._demo import LOOPBACK_ONLY  # noqa: PLC0415

        shown = {name: str(value).lower() for name, value in LOOPBACK_ONLY.items()}
        return ["run", "-", *(part for name in shown for part in ("--engine-setting", f"{name}={shown[name]}"))]

    def test_the_demo_succeeds(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """It tells what it does, item by item, and keeps the files where it is told to."""
        assert main(["demo", "--save-to", str(tmp_path / "kept")]) == 0

        said = capsys.readouterr().out
        assert "Queued 3 of 5" in said
        assert said.count("  same ") == 6
        assert "All is as it should be." in said
        assert (tmp_path / "kept" / "The Lighthouse.m4b").stat().st_size == 1_500_000

    def test_it_waits_until_everything_is_there(
        self,
        tmp_path: Path,
        arguments: list[str],
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """With --wait the command ends when the files are on disk; a second run finds it all done."""
        from audiobatch import _demo, wire  # noqa: PLC0415

        _demo.make_books(tmp_path / "library")
        with _demo.serve(tmp_path / "library") as url:
            document = json.dumps({"downloads": [wire.dump_request(good) for good in _demo.batch(url)[:3]]})
            for _ in range(2):
                monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(document.encode())))
                monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
                assert main([*arguments, "--trust", url, "--wait"]) == 0

        output = capsys.readouterr()
        assert "3 of 3 complete" in output.err
        assert "[3/3]" in output.err
        assert "looked at 3 earlier downloads" in output.err
        assert (tmp_path / "audiobooks" / "The Lighthouse.m4b").stat().st_size == 1_500_000
        assert (tmp_path / "data" / "audiobatch" / "downloads.db").exists()

    def test_links_of_myanonamouse_go_to_its_own_fetcher(
        self, arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Which knows, before it asks the site, that this one would not work."""
        link = "https://www.myanonamouse.net/tor/download.php/s3cret"
        document = {"downloads": [{"title": "T", "author": "A", "torrent_url": link}]}
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(document).encode())))
        monkeypatch.setenv("AUDIOBATCH_MAM_ID", "mam_id=s3cret;")

        assert main(arguments) == 1

        (failure,) = json.loads(capsys.readouterr().out)["failed"]
        assert failure["code"] == "torrent_not_found"
        assert "links without it do not work" in failure["error"]

    def test_without_waiting_it_says_how_to_go_on(
        self, arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The engine ends with the command: the user is told."""
        with Tracker() as tracker:
            document = {"downloads": [{"title": "T", "author": "A", "torrent_url": f"{tracker.url}/v1/book"}]}
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(document).encode())))
            assert main([*arguments, "--trust", tracker.url]) == 0

        output = capsys.readouterr()
        assert len(json.loads(output.out)["successful"]) == 1
        assert "--wait" in output.err

    def test_ctrl_c_ends_the_waiting(
        self, arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The result was printed before, what is not complete is named, and the status is 1."""
        interrupted = threading.Thread(target=_interrupt_when_printed, args=(capsys,))
        with Tracker() as tracker:
            document = {"downloads": [{"title": "T", "author": "A", "torrent_url": f"{tracker.url}/v1/book"}]}
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(document).encode())))
            interrupted.start()
            status = main([*arguments, "--trust", tracker.url, "--wait"])
            interrupted.join()

        assert status == 1
        assert "not complete: T" in capsys.readouterr().err


def _interrupt_when_printed(capsys: pytest.CaptureFixture[str]) -> None:
    wait_until(lambda: "successful" in capsys.readouterr().out, "the result is printed")
    os.kill(os.getpid(), signal.SIGINT)
