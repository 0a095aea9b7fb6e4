"""Files that hold secrets are their owner's alone, and of others one hears."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from audiobatch import _file_modes
from audiobatch.repositories.sqlite import SQLiteRepository
from audiobatch.sessions import FileSessionStore, Session

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs modes of files")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was warned of."""
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o602, 0o777])
def test_a_database_that_others_can_read_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    """With what to type; it is not changed, because it may be shared on purpose."""
    path = tmp_path / "my records.db"
    SQLiteRepository(path).close()
    path.chmod(mode)

    with SQLiteRepository(path):
        files = " ".join(f"'{path}{suffix}'" for suffix in ("", "-wal", "-shm") if Path(f"{path}{suffix}").exists())
        assert warnings(caplog) == [f"other users can read files that hold secrets: chmod 600 {files}"]

    assert path.stat().st_mode & 0o777 == mode


def test_a_log_beside_the_database_is_looked_at_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What was written last stands there alone."""
    path = tmp_path / "records.db"
    with SQLiteRepository(path):
        for suffix in ("-wal", "-shm"):
            assert Path(f"{path}{suffix}").stat().st_mode & 0o777 == 0o600
        Path(f"{path}-wal").chmod(0o644)
        with SQLiteRepository(path):
            assert warnings(caplog) == [f"other users can read files that hold secrets: chmod 600 {path}-wal"]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_what_we_make_is_never_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture, umask: int) -> None:
    """Whatever the umask says."""
    before = os.umask(umask)
    try:
        for _ in range(2):
            SQLiteRepository(tmp_path / "records.db").close()
            FileSessionStore(tmp_path / "session.json").save(Session.begin("s3cret"))
    finally:
        os.umask(before)

    assert warnings(caplog) == []
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_session_that_others_can_read_is_told_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The first save makes it its owner's alone."""
    path = tmp_path / "session.json"
    store = FileSessionStore(path)
    store.save(Session.begin("s3cret"))
    path.chmod(0o644)

    store = FileSessionStore(path)
    store.load()
    store.load()
    store.save(Session.begin("s3cret"))

    assert warnings(caplog) == [f"other users can read files that hold secrets: chmod 600 {path}"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_of_another_user_is_not_ours_to_mend(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group may share it on purpose."""
    (tmp_path / "x").touch(mode=0o644)
    monkeypatch.setattr(os, "geteuid", lambda: -1)

    _file_modes.warn_if_shared(tmp_path / "x", tmp_path / "absent")

    assert warnings(caplog) == []


def test_elsewhere_modes_say_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows shows each file as one that all can read."""
    (tmp_path / "x").touch(mode=0o644)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(_file_modes, "os", type("System", (), {"name": "nt"}))
        _file_modes.warn_if_shared(tmp_path / "x")

    assert warnings(caplog) == []
