"""How the command ends: status 2 means that nothing was touched, whatever becomes of its streams."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from audiobatch import BatchDownloader, BatchResult, __main__, _watch
from audiobatch.__main__ import main
from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.errors import AudiobatchError, ClientAuthError, ClientUnavailable
from audiobatch.models import TorrentState, TorrentStatus
from audiobatch.repositories.sqlite import SQLiteRepository
from audiobatch.wire import dump_request
from support.fakes import AT_ONCE, FakeClient, FakeFetcher, request

TESTS = Path(__file__).parent.parent
BOOKS = 40
posix = pytest.mark.skipif(os.name != "posix", reason="needs the streams of a Unix shell")
full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")


class Place:
    """A folder with a batch, and what a process leaves in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # The result is not to fit into the buffer of a pipe.
        books = [
            dump_request(request(f"book {number}", title=f"Book {number}", save_path="x" * 4000))
            for number in range(BOOKS)
        ]
        (folder / "batch.json").write_text(json.dumps({"downloads": books}))

    @property
    def queued(self) -> int:
        """How many torrents the client has."""
        return len((self.folder / "client").read_text().splitlines())

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a process."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AUDIOBATCH")}
        own = {"CLIENT_FILE": str(self.folder / "client"), "XDG_DATA_HOME": str(self.folder / "data")}
        return {**inherited, "PYTHONPATH": str(TESTS), **own, **more}

    def run(self, shell: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        """Run the batch in a shell, with something appended to the command."""
        command = f'"{sys.executable}" -m support.command run batch.json --client fake {shell}'
        return subprocess.run(
            ["bash", "-c", f"set -o pipefail; {command}"],
            cwd=self.folder,
            env=self.environment(**more),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    @contextmanager
    def start(self, **streams: IO[Any] | int) -> Iterator[subprocess.Popen[bytes]]:
        """Run the batch with streams of one's own."""
        command = [sys.executable, "-m", "support.command", "run", "batch.json", "--client", "fake"]
        with subprocess.Popen(command, cwd=self.folder, env=self.environment(), **streams) as process:  # type: ignore[call-overload]
            yield process


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Give a folder with a batch."""
    return Place(tmp_path)


@posix
class TestStandardOutput:
    """It breaks after the whole batch was queued."""

    @pytest.mark.parametrize(
        "shell", ["| true", "| head -c 1 >/dev/null", pytest.param(">/dev/full", marks=full), ">&-"], ids=repr
    )
    @pytest.mark.parametrize("unbuffered", ["", "1"])
    def test_a_result_that_cannot_be_written_is_told(self, place: Place, shell: str, unbuffered: str) -> None:
        """The status is 1, and the result stands on standard error, item by item."""
        answer = place.run(shell, PYTHONUNBUFFERED=unbuffered)

        assert answer.returncode == 1
        assert place.queued == BOOKS
        assert "the result cannot be written to standard output (" in answer.stderr
        assert f"{BOOKS} of {BOOKS} downloads are in the torrent client" in answer.stderr
        assert answer.stderr.count("queued  Book ") == BOOKS
        assert "Traceback" not in answer.stderr
        assert "Exception ignored" not in answer.stderr

    def test_a_reader_that_leaves_before_it_began(self, place: Place) -> None:
        """The same, with nobody to hear of it either."""
        reading, writing = os.pipe()
        os.close(reading)
        with place.start(stdout=writing, stderr=writing) as process:
            os.close(writing)
            assert process.wait(60) == 1
        assert place.queued == BOOKS

    @pytest.mark.parametrize("unbuffered", ["", "1"])
    def test_what_fits_is_written(self, place: Place, unbuffered: str) -> None:
        """Whole, and nothing else."""
        answer = place.run(PYTHONUNBUFFERED=unbuffered)

        assert (answer.returncode, answer.stderr) == (0, "")
        assert len(json.loads(answer.stdout)["successful"]) == place.queued == BOOKS

    @pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
    def test_any_encoding_will_do(self, place: Place, encoding: str) -> None:
        """JSON is ASCII, and what is said is escaped."""
        book = dump_request(request("missing", title="Bücher \N{CHECK MARK}"))
        (place.folder / "batch.json").write_text(json.dumps({"downloads": [book, {"ü\x1b": 1}]}))

        assert place.run(PYTHONIOENCODING=encoding).returncode == 1
        assert place.run("2>&-", PYTHONIOENCODING=encoding).returncode == 1


@posix
class TestStandardError:
    """It says things to people, and is no reason for anything."""

    @pytest.mark.parametrize("shell", ["2>&-", pytest.param("2>/dev/full", marks=full)], ids=repr)
    def test_a_batch_goes_on_without_it(self, place: Place, shell: str) -> None:
        """What would be said is not mixed into the result."""
        (place.folder / "data").mkdir()
        (place.folder / "data" / "audiobatch").mkdir(mode=0o700)
        database = place.folder / "data" / "audiobatch" / "downloads.db"
        with SQLiteRepository(database):
            database.chmod(0o644)  # something to be said

        answer = place.run(shell)

        assert answer.returncode == 0
        assert len(json.loads(answer.stdout)["successful"]) == place.queued == BOOKS

    def test_nothing_can_be_said_at_all(self, place: Place) -> None:
        """The batch is done, and the status says that nobody got its result."""
        assert place.run(">&- 2>&-").returncode == 1
        assert place.queued == BOOKS

    @pytest.mark.parametrize("shell", ["", ">&-", "2>&-", ">&- 2>&-", pytest.param(">/dev/full", marks=full)], ids=repr)
    def test_a_refusal_stays_a_refusal(self, place: Place, shell: str) -> None:
        """Nothing was touched, and that is what 2 says."""
        (place.folder / "batch.json").write_text("{")

        assert place.run(shell).returncode == 2
        assert place.queued == 0
        assert not (place.folder / "data").exists()


@posix
class TestTroubleInTheMiddle:
    """Something was queued already."""

    @pytest.mark.parametrize(
        ("trouble", "said"),
        [
            ("bug", "ZeroDivisionError: a bug"),
            ("no disk", "error: [Errno 28] No space left on device"),
            ("interrupted twice", "interrupted; the next run looks at what that has left"),
        ],
    )
    def test_what_is_known_is_written(self, place: Place, trouble: str, said: str) -> None:
        """The JSON is whole and true, how much is missing is told, and the status is 1."""
        answer = place.run(TROUBLE=trouble)

        result = json.loads(answer.stdout)
        known = len(result["successful"]) + len(result["failed"])
        assert answer.returncode == 1
        assert place.queued >= len(result["successful"])
        assert place.queued >= 2
        assert trouble == "interrupted twice" or known == 3
        assert known < BOOKS
        assert f"{BOOKS - known} of {BOOKS} items have no outcome" in answer.stderr
        assert said in answer.stderr
        assert ("Traceback" in answer.stderr) == (trouble == "bug")

    def test_one_interrupt_ends_it_between_two_steps(self, place: Place) -> None:
        """Each item has an outcome, and one can go on from there."""
        answer = place.run(TROUBLE="interrupted")

        result = json.loads(answer.stdout)
        assert answer.returncode == 1
        assert len(result["successful"]) == place.queued == 3
        assert {failure["retryable"] for failure in result["failed"]} == {True}
        assert len(result["failed"]) == BOOKS - 3
        assert "stopped; what had been handed over was settled first" in answer.stderr

    def test_the_broken_result_of_a_broken_batch(self, place: Place) -> None:
        """Both are told."""
        answer = place.run(">&-", TROUBLE="no disk")

        assert answer.returncode == 1
        assert "items have no outcome" in answer.stderr
        assert "cannot be written to standard output (it is closed)" in answer.stderr


@posix
def test_an_interrupt_while_the_batch_is_read_touches_nothing(place: Place) -> None:
    """Whoever waits for standard input has nothing to lose."""
    program = (
        "import os, signal, threading\n"
        "from support import command\n"
        "threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT]).start()\n"
        "raise SystemExit(command.command.main(['run', '-']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=place.folder,
        env=place.environment(),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.read() == b"interrupted; nothing was touched\n"
        assert process.wait(60) == 2


@posix
def test_no_standard_input(place: Place) -> None:
    """It is told so."""
    answer = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -m support.command run - <&-'],
        cwd=place.folder,
        env=place.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert answer.returncode == 2
    assert answer.stderr == "error: there is no standard input to read the batch from\n"


@full
def test_a_batch_without_end_is_refused(place: Place) -> None:
    """No more of it is read than a batch may be long."""
    assert main(["run", "/dev/zero", "--db", str(place.folder / "x.db")]) == 2


def test_a_folder_is_no_batch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """That is told, too."""
    assert main(["run", str(tmp_path)]) == 2
    assert "cannot be read" in capsys.readouterr().err


class TestInThisProcess:
    """With a client that the test holds in its hands."""

    @pytest.fixture
    def client(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeClient:
        """Give a client in memory, which the command takes."""
        client = FakeClient()
        monkeypatch.setattr(__main__, "_open_client", lambda *_: client)
        monkeypatch.setattr(__main__, "_open_fetcher", lambda *_: FakeFetcher())
        monkeypatch.chdir(tmp_path)
        document = {"downloads": [dump_request(request(name)) for name in ("one", "two")]}
        (tmp_path / "batch.json").write_text(json.dumps(document))
        return client

    def test_what_the_recovery_has_touched_is_no_refusal(
        self, client: FakeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It has added a torrent of an earlier run before the batch failed as a whole."""
        with SQLiteRepository(tmp_path / "x.db") as repository:
            client.on_add = lambda _: ClientUnavailable("killed")
            client.lookups = [None, *[ClientUnavailable("killed")] * 99]
            BatchDownloader(client=client, fetcher=FakeFetcher(), repository=repository, confirm_retry=AT_ONCE).run(
                [request("three")]
            )
        client.on_add = lambda _: None
        client.lookups.clear()

        def refuse(*_: object, **__: object) -> None:
            raise AudiobatchError("the batch cannot be run")

        monkeypatch.setattr(BatchDownloader, "stream", refuse)

        assert main(["run", "batch.json", "--db", "x.db"]) == 1
        assert len(client.torrents) == 1

    def test_what_ended_a_batch_early_is_told(self, client: FakeClient, capsys: pytest.CaptureFixture[str]) -> None:
        """With what to do then."""
        client.check_error = ClientAuthError("wrong password")

        assert main(["run", "batch.json", "--db", "x.db"]) == 1

        output = capsys.readouterr()
        assert "the batch ended early: Failed to create download: wrong password; mend that, and run it" in output.err
        assert [failure["retryable"] for failure in json.loads(output.out)["failed"]] == [True, True]

    @pytest.mark.parametrize("troubles", [1, 3])
    def test_a_wait_goes_on_after_trouble(
        self, client: FakeClient, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, troubles: int
    ) -> None:
        """It is told once, and in the end everything is there."""
        self._wait_with(client, monkeypatch, [ClientUnavailable("it answered with 503")] * troubles)

        assert main(["run", "batch.json", "--db", "x.db", "--wait"]) == 0

        output = capsys.readouterr()
        assert output.err.count("cannot be asked how far the downloads are: it answered with 503") == 1
        assert len(json.loads(output.out)["successful"]) == 2

    @pytest.mark.parametrize("error", [ClientUnavailable("it is down"), ClientAuthError("the login is refused")])
    def test_a_wait_ends_when_there_is_no_point_in_it(
        self,
        client: FakeClient,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        error: AudiobatchError,
    ) -> None:
        """The result was written before; what is not known to be complete is named, and the status is 1."""
        monkeypatch.setattr(__main__, "PATIENCE", 0.0)
        self._wait_with(client, monkeypatch, [error] * 999)

        assert main(["run", "batch.json", "--db", "x.db", "--wait"]) == 1

        output = capsys.readouterr()
        assert str(error) in output.err
        assert "it is not waited for any longer" in output.err
        assert "not complete: one\nnot complete: two\n" in output.err
        assert len(json.loads(output.out)["successful"]) == 2

    def test_nothing_is_waited_for_where_nothing_was_queued(
        self, client: FakeClient, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The client is not asked."""
        client.check_error = ClientAuthError("wrong password")

        assert main(["run", "batch.json", "--db", "x.db", "--wait"]) == 1
        assert "status" not in client.calls
        assert "cannot be asked" not in capsys.readouterr().err

    def _wait_with(self, client: FakeClient, monkeypatch: pytest.MonkeyPatch, errors: list[AudiobatchError]) -> None:
        """Let looks fail like this once the batch is run; after that, everything is complete."""

        def watch(*arguments: Any, **options: Any) -> Any:
            client.lookups = list(errors)
            known = client.status

            def status(hashes: Any) -> Any:
                done = TorrentStatus(state=TorrentState.COMPLETE, progress=1.0)
                return dict.fromkeys(known(hashes), done)

            client.status = status  # type: ignore[method-assign]
            return _watch.watch(*arguments, every=0.0, **options)

        monkeypatch.setattr(__main__, "watch", watch)

    def test_a_title_gives_no_orders_to_the_terminal(
        self, client: FakeClient, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Wherever it is said: while the batch runs, and where it is named in the end."""
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        monkeypatch.setattr(__main__, "PATIENCE", 0.0)
        self._wait_with(client, monkeypatch, [ClientUnavailable("\x1b[2J\r")] * 9)
        books = [
            dump_request(request("one", title="turned \N{RIGHT-TO-LEFT OVERRIDE}")),
            {"\x1b[2J": 1},
            {"title": "\x1b"},
        ]
        (tmp_path / "batch.json").write_text(json.dumps({"downloads": books}))

        assert main(["run", "batch.json", "--db", "x.db", "--wait"]) == 1

        said = capsys.readouterr().err
        assert all(line.isprintable() for line in said.split("\n"))
        assert "turned \N{REPLACEMENT CHARACTER}: queued" in said
        assert "not complete: turned \N{REPLACEMENT CHARACTER}" in said

    def test_an_argument_gives_no_orders_either(self, capsys: pytest.CaptureFixture[str]) -> None:
        """It may have been pasted."""
        for arguments in (["run", "x", "--\x1b[2J"], ["run", "x", "y\x1b[2J"], ["\x1b[2J"], ["run", "\x1b[2J.json"]):
            try:
                assert main(arguments) == 2
            except SystemExit as left:
                assert left.code == 2  # noqa: PT017 - there are two ways out
            assert "\x1b" not in capsys.readouterr().err


class TestTheEnvironment:
    """What is empty is not set."""

    @pytest.fixture
    def made(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, object]]:
        """Give what clients are made with."""
        made: list[dict[str, object]] = []
        real = QBittorrentClient.__init__

        def note(self: QBittorrentClient, url: str, **options: Any) -> None:
            made.append(options)
            real(self, url, **options)

        monkeypatch.setattr(QBittorrentClient, "__init__", note)
        monkeypatch.setattr(BatchDownloader, "recover", lambda *_, **__: BatchResult([]))
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        for name in ("USERNAME", "PASSWORD", "API_KEY", "MAM_ID", "PROXY"):
            monkeypatch.delenv(f"AUDIOBATCH_{name}", raising=False)
        monkeypatch.chdir(tmp_path)
        (tmp_path / "batch.json").write_text('{"downloads": [{}]}')
        return made

    @pytest.mark.parametrize("empty", ["", " ", "\t\n"], ids=repr)
    def test_empty_variables(self, made: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch, empty: str) -> None:
        """Whatever is left of a compose file."""
        for name in ("USERNAME", "PASSWORD", "MAM_ID", "PROXY"):
            monkeypatch.setenv(f"AUDIOBATCH_{name}", empty)
        monkeypatch.setenv("AUDIOBATCH_API_KEY", "qbt_0123456789")

        assert main(["run", "batch.json", "--client", "http://127.0.0.1:9"]) == 1
        monkeypatch.setenv("AUDIOBATCH_API_KEY", empty)
        assert main(["run", "batch.json", "--client", "http://127.0.0.1:9"]) == 1

        nothing = {"username": None, "password": None, "verify": None}
        assert made == [{**nothing, "api_key": "qbt_0123456789"}, {**nothing, "api_key": None}]

    @pytest.mark.parametrize(
        ("variables", "said"),
        [
            ({"API_KEY": "qbt_s3cret", "USERNAME": "admin"}, "AUDIOBATCH_API_KEY replaces AUDIOBATCH_USERNAME and"),
            ({"API_KEY": "qbt_s3cret", "PASSWORD": "s3cret"}, "AUDIOBATCH_API_KEY replaces AUDIOBATCH_USERNAME and"),
            ({"USERNAME": "admin"}, "belong together: set both, or none"),
            ({"PASSWORD": "s3cret", "USERNAME": " "}, "belong together: set both, or none"),
        ],
        ids=str,
    )
    def test_what_contradicts_itself_is_refused(
        self,
        made: list[dict[str, object]],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        variables: dict[str, str],
        said: str,
    ) -> None:
        """With the names of the variables, and without what they hold."""
        for name, value in variables.items():
            monkeypatch.setenv(f"AUDIOBATCH_{name}", value)

        assert main(["run", "batch.json", "--client", "http://127.0.0.1:9"]) == 2

        told = capsys.readouterr().err
        assert said in told
        assert "s3cret" not in told
        assert made == []

    @pytest.mark.parametrize("given", ["", " ", "relative/data"], ids=repr)
    def test_a_data_folder_that_is_none(
        self, made: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str
    ) -> None:
        """Then the records are kept at home, in a folder of one's own."""
        monkeypatch.setenv("XDG_DATA_HOME", given)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))

        assert main(["run", "batch.json", "--client", "http://127.0.0.1:9"]) == 1

        folder = tmp_path / "home" / ".local" / "share" / "audiobatch"
        assert [path.name for path in folder.iterdir()] == ["downloads.db"]
        assert folder.stat().st_mode & 0o777 == 0o700
        assert made
        assert not (tmp_path / "relative").exists()

    @pytest.mark.parametrize("home", ["", "relative", "file"])
    def test_without_a_place_for_records_the_option_is_named(
        self,
        made: list[dict[str, object]],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        tmp_path: Path,
        home: str,
    ) -> None:
        """A service may have no home, or one where nothing can be written."""
        (tmp_path / "file").write_text("no folder")
        monkeypatch.setenv("XDG_DATA_HOME", "")
        monkeypatch.setenv("HOME", str(tmp_path / home) if home == "file" else home)

        assert main(["run", "batch.json", "--client", "http://127.0.0.1:9"]) == 2
        assert "with --db FILE the records are kept elsewhere" in capsys.readouterr().err
        assert main(["run", "batch.json", "--client", "http://127.0.0.1:9", "--db", "x.db"]) == 1
        assert made

    def test_a_home_that_nobody_knows(
        self, made: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """As in a container with a user of its own."""

        def unknown() -> Path:
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setenv("XDG_DATA_HOME", "")
        monkeypatch.setattr(Path, "home", unknown)

        assert main(["run", "batch.json", "--client", "http://127.0.0.1:9"]) == 2
        assert "set HOME or XDG_DATA_HOME; with --db FILE" in capsys.readouterr().err
        assert made

    def test_a_database_that_cannot_be_opened(
        self, made: list[dict[str, object]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Something else has its name."""
        (tmp_path / "data" / "audiobatch" / "downloads.db").mkdir(parents=True)

        assert main(["run", "batch.json", "--client", "http://127.0.0.1:9"]) == 2
        assert "with --db FILE the records are kept elsewhere" in capsys.readouterr().err
        assert made


@posix
def test_the_script_takes_no_module_from_the_folder_where_it_is_called(tmp_path: Path) -> None:
    """A file of somebody else's, with the name of a module, is not run."""
    script = tmp_path / "bin" / "audiobatch"
    script.parent.mkdir()
    # As pip makes it of what pyproject.toml says.
    script.write_text(f"#!{sys.executable}\nimport sys\nfrom audiobatch.__main__ import main\nsys.exit(main())\n")
    script.chmod(0o755)
    hostile = tmp_path / "here"
    hostile.mkdir()
    for name in ("httpx", "argparse", "attrs", "json", "audiobatch", "attr", "logging"):
        (hostile / f"{name}.py").write_text("raise SystemExit('taken over')")

    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    answer = subprocess.run(
        [script, "run", "nowhere.json"],
        cwd=hostile,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert answer.returncode == 2
    assert "'nowhere.json' cannot be read" in answer.stderr
