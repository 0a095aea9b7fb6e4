"""Where a session is kept: whole, for its owner alone, and past a SIGKILL."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import support.rotating
from audiobatch.errors import ConfigurationError
from audiobatch.fetchers.myanonamouse import MyAnonamouseFetcher
from audiobatch.models import DownloadRequest
from audiobatch.sessions import FileSessionStore, MemorySessionStore, Session, SessionStore
from support.myanonamouse import FIRST, MyAnonamouse, page_url

TESTS = Path(__file__).parents[1]
OLD = Session.begin("s3cret-old")
NEW = Session(OLD.configured, "s3cret-new")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the path of a file that is not there yet, alone in its folder."""
    return tmp_path / "session.json"


class TestSession:
    """What is kept."""

    def test_its_repr_shows_nothing(self) -> None:
        """Neither the cookie nor what could be used to guess it."""
        assert repr(NEW) == "Session()"

    def test_it_tells_what_it_began_with_and_not_how_that_looks(self) -> None:
        """The same cookie gives the same mark, another one another, and none holds the cookie."""
        assert Session.begin("s3cret-old") == OLD
        assert Session.begin("s3cret-other").configured != OLD.configured
        assert "s3cret" not in OLD.configured


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_what_was_saved_last_is_loaded(kind: str, path: Path) -> None:
    """Before anything was saved, there is nothing."""
    store: SessionStore = MemorySessionStore() if kind == "memory" else FileSessionStore(path)

    assert store.load() is None
    store.save(OLD)
    assert store.load() == OLD
    store.save(NEW)
    assert store.load() == NEW


class TestTheFile:
    """A file that holds a session."""

    def test_another_store_reads_it(self, path: Path) -> None:
        """That of the next process, say; the path may be a text."""
        FileSessionStore(path).save(NEW)

        assert FileSessionStore(str(path)).load() == NEW

    def test_its_repr_shows_the_path_alone(self, path: Path) -> None:
        """What is in the file is a secret."""
        store = FileSessionStore(path)
        store.save(NEW)

        assert repr(store) == f"FileSessionStore({str(path)!r})"

    def test_only_its_owner_can_read_it(self, path: Path) -> None:
        """Whatever the umask says, and whatever was there before."""
        path.touch()
        path.chmod(0o666)
        before = os.umask(0)
        try:
            FileSessionStore(path).save(NEW)
        finally:
            os.umask(before)

        assert path.stat().st_mode & 0o777 == 0o600

    def test_it_is_replaced_as_a_whole(self, path: Path) -> None:
        """Whoever has the old one open goes on reading that."""
        store = FileSessionStore(path)
        store.save(OLD)

        with path.open() as opened:
            store.save(NEW)
            content = opened.read()

        assert OLD.current in content
        assert NEW.current not in content
        assert list(path.parent.iterdir()) == [path]

    def test_it_is_on_the_disk_before_it_counts(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """First all of the new file, beside the old one, then its name: a power cut leaves one of them whole."""
        steps: list[str] = []
        sync, replace = os.fsync, os.replace

        def note_sync(handle: int) -> None:
            found = os.fstat(handle)
            steps.append("folder" if stat.S_ISDIR(found.st_mode) else f"file of {found.st_size}")
            sync(handle)

        def note_replace(source: str, target: Path) -> None:
            steps.append(f"renamed within {Path(source).parent}")
            replace(source, target)

        monkeypatch.setattr("os.fsync", note_sync)
        monkeypatch.setattr("os.replace", note_replace)
        FileSessionStore(path).save(NEW)

        assert steps == [f"file of {path.stat().st_size}", f"renamed within {path.parent}", "folder"]

    @pytest.mark.parametrize("step", ["os.fsync", "os.replace", "json.dumps"])
    def test_a_save_that_fails_leaves_no_trace(self, path: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The old session is still there, and nothing else."""
        store = FileSessionStore(path)
        store.save(OLD)

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(step, full)
        with pytest.raises(OSError, match="No space"):
            store.save(NEW)

        assert store.load() == OLD
        assert list(path.parent.iterdir()) == [path]

    def test_a_folder_that_is_not_there_is_not_made(self, path: Path) -> None:
        """It may be one that is not mounted."""
        with pytest.raises(FileNotFoundError):
            FileSessionStore(path.parent / "missing" / "session.json").save(NEW)

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"s3cret",
            b'{"configured": "s3cret", "current": "s3cret',
            b'{"current": "s3cret"}',
            b'{"seed": "s3cret", "current": "s3cret"}',
            b'{"configured": "s3cret", "current": 5}',
            b'{"configured": null, "current": "s3cret"}',
            b'["s3cret", "s3cret"]',
            b'"s3cret"',
            b"null",
            b"\xff\xfe\x00s3cret",
            b'{"configured": ' + b"[" * 100_000,
        ],
    )
    def test_what_is_no_session_is_refused(self, path: Path, content: bytes) -> None:
        """It is neither repeated nor overwritten: it may be somebody else's."""
        path.write_bytes(content)

        with pytest.raises(ConfigurationError, match="holds no session") as caught:
            FileSessionStore(path).load()

        assert "s3cret" not in str(caught.value)
        assert caught.value.__cause__ is caught.value.__context__ is None
        assert path.read_bytes() == content

    def test_what_cannot_be_read_is_refused(self, path: Path) -> None:
        """The system's reason is told."""
        path.mkdir()

        with pytest.raises(ConfigurationError, match="Is a directory"):
            FileSessionStore(path).load()

    def test_a_fetcher_is_not_made_with_such_a_file(self, path: Path) -> None:
        """It says so at the start, and not in the middle of a batch."""
        path.write_text("s3cret")

        with pytest.raises(ConfigurationError, match="holds no session"):
            MyAnonamouseFetcher(FIRST, sessions=FileSessionStore(path))


class TestKilled:
    """A process that is killed with SIGKILL while it fetches, and the one after it."""

    def fetch(self, site: MyAnonamouse, path: Path, torrent_id: int) -> str:
        """Fetch as the next process does, and return the torrent's name."""
        request = DownloadRequest(title="Next", author="A", torrent_url=page_url(torrent_id))
        with (
            site.detour() as detour,
            MyAnonamouseFetcher(FIRST, sessions=FileSessionStore(path), transport=detour) as fetcher,
        ):
            return fetcher.fetch(request).name

    def die(self, site: MyAnonamouse, path: Path, moment: str) -> None:
        """Let another process fetch, and die at that moment."""
        program, url = support.rotating.__file__, page_url(2)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
        child = subprocess.run([sys.executable, program, site.url, path, url, moment], env=environment, check=False)
        assert child.returncode == -signal.SIGKILL

    @pytest.mark.parametrize("moment", ["saved", "using"])
    @pytest.mark.parametrize("before", [0, 1], ids=["the first time", "later"])
    def test_after_the_save_nothing_is_lost(self, path: Path, moment: str, before: int) -> None:
        """Where only the newest cookie is good, the next process has it."""
        with MyAnonamouse() as site:
            for torrent_id in range(before):
                self.fetch(site, path, torrent_id)
            self.die(site, path, moment)

            assert self.fetch(site, path, 2) == "mam-2"
            assert len(site.asked) == before + 2

    @pytest.mark.parametrize("moment", ["writing", "renaming"])
    def test_in_the_middle_of_a_save_the_file_stays_whole(self, path: Path, moment: str) -> None:
        """It holds the cookie before, and where that is still good the next process goes on with it."""
        with MyAnonamouse() as site:
            site.tolerates = True
            self.fetch(site, path, 1)
            kept = FileSessionStore(path).load()
            self.die(site, path, moment)

            assert FileSessionStore(path).load() == kept
            assert {left.stat().st_mode & 0o777 for left in path.parent.iterdir()} == {0o600}
            assert self.fetch(site, path, 2) == "mam-2"
            assert site.cookies[2] == site.cookies[1]
