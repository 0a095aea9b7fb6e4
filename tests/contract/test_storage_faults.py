"""What becomes of batches and records when the file under them fails."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Final, TypeAlias

import pytest

from audiobatch import BatchDownloader, DownloadStatus
from audiobatch.errors import RepositoryUnavailable, SchemaMismatch
from audiobatch.repositories.sqlite import SCHEMA_VERSION, SQLiteRepository
from contract.repository_contract import record
from support.fakes import AT_ONCE, FakeClient, FakeFetcher, codes, request

Fault: TypeAlias = Callable[[SQLiteRepository, Path], AbstractContextManager[None]]
# Each needs pages of its own.
BOOKS: Final = [request(f"book {number}", tags=[f"{number}-{tag:0180}" for tag in range(50)]) for number in range(8)]


@contextmanager
def locked(_: SQLiteRepository, path: Path) -> Iterator[None]:
    """Let another process write for longer than anybody waits."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def read_only(repository: SQLiteRepository, _: Path) -> Iterator[None]:
    """Let the connection refuse to write, as with a file on a medium that cannot be written to."""
    repository._connection.execute("PRAGMA query_only = ON")
    yield
    repository._connection.execute("PRAGMA query_only = OFF")


@contextmanager
def full(repository: SQLiteRepository, _: Path) -> Iterator[None]:
    """Leave no room for another page."""
    repository._connection.execute("PRAGMA max_page_count = 1")
    yield
    repository._connection.execute("PRAGMA max_page_count = 100000")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the path of a file that is not there yet."""
    return tmp_path / "records.db"


@pytest.fixture
def client() -> FakeClient:
    """Give an empty client."""
    return FakeClient()


@pytest.fixture
def fetcher() -> FakeFetcher:
    """Give a fetcher that knows every book."""
    return FakeFetcher()


@pytest.fixture
def start(client: FakeClient, fetcher: FakeFetcher) -> Callable[[SQLiteRepository], BatchDownloader]:
    """Give a function that starts the program over a repository."""
    return lambda repository: BatchDownloader(
        client=client, fetcher=fetcher, repository=repository, fetch_retry=AT_ONCE, confirm_retry=AT_ONCE
    )


Start: TypeAlias = Callable[[SQLiteRepository], BatchDownloader]


def settled(repository: SQLiteRepository, downloader: BatchDownloader, client: FakeClient) -> bool:
    """Recover, and tell whether every record is queued then, and its torrent in the client."""
    assert not downloader.recover().failed
    records = repository.find([book.torrent_url for book in BOOKS], client="fake").values()
    return all(it.status is DownloadStatus.QUEUED and it.info_hashes in client.torrents for it in records)


@pytest.mark.parametrize(
    ("fault", "message"), [(locked, "locked"), (read_only, "readonly"), (full, "full")], ids=["locked", "ro", "full"]
)
def test_what_cannot_be_reserved_is_not_added(
    path: Path, client: FakeClient, start: Start, fault: Fault, message: str
) -> None:
    """The batch ends with the cause, nothing is added or half written, and all is well when the fault is gone."""
    with SQLiteRepository(path, timeout=0.01) as repository:
        downloader = start(repository)
        with fault(repository, path):
            result = downloader.run(BOOKS)

        assert set(codes(result)) == {"repository_unavailable", "not_attempted"}
        assert (result.failed[0].code, message in result.failed[0].error) == ("repository_unavailable", True)
        assert not client.torrents
        assert list(repository.unsettled(client="fake")) == []
        assert codes(downloader.run(result.retryable)) == ["ok"] * 8
        assert settled(repository, downloader, client)


@pytest.mark.parametrize("fault", [locked, read_only])
@pytest.mark.parametrize("lost", [False, True])
def test_what_was_added_is_told_although_it_cannot_be_written_down(
    path: Path,
    client: FakeClient,
    start: Start,
    fault: Fault,
    lost: bool,  # noqa: FBT001
) -> None:
    """The fault comes between add and settling: the report is true, and a recovery closes the records."""
    with SQLiteRepository(path, timeout=0.01) as repository:
        downloader = start(repository)
        faults: list[AbstractContextManager[None]] = []

        def break_it(_: str) -> None:
            if not faults:
                faults.append(fault(repository, path))
                faults[0].__enter__()

        client.on_add = break_it
        result = downloader.run(BOOKS)
        client.on_add = lambda _: None
        faults[0].__exit__(None, None, None)

        assert {done.info_hashes for done in result.successful} == set(client.torrents)
        assert len(client.torrents) == codes(result).count("ok") >= 1
        assert set(codes(result)) <= {"ok", "repository_unavailable", "not_attempted"}
        if lost:
            client.torrents.clear()
        assert settled(repository, downloader, client)
        assert len(client.torrents) >= len(result.successful)


@pytest.mark.parametrize("fault", [locked, read_only])
def test_a_recovery_that_cannot_write_loses_nothing(path: Path, client: FakeClient, start: Start, fault: Fault) -> None:
    """What the client has lost stays owed, and is put back by the next recovery."""
    with SQLiteRepository(path, timeout=0.01) as repository:
        downloader = start(repository)
        downloader.run(BOOKS)
        client.torrents.clear()
        with fault(repository, path):
            result = downloader.recover()

        assert set(codes(result)) == {"repository_unavailable", "not_attempted"}
        assert not client.torrents
        assert settled(repository, downloader, client)
        assert len(client.torrents) == 8


def test_a_file_that_was_replaced_is_refused_until_it_is_back(path: Path, client: FakeClient, start: Start) -> None:
    """What is no database is not touched; with the old file back a recovery finds everything."""
    with SQLiteRepository(path) as repository:
        start(repository).run(BOOKS)
    kept = path.read_bytes()
    path.write_bytes(b"something else entirely " * 1000)
    with pytest.raises(SchemaMismatch):
        SQLiteRepository(path)
    assert path.read_bytes() == b"something else entirely " * 1000

    path.write_bytes(kept)
    client.torrents.clear()
    with SQLiteRepository(path) as repository:
        assert settled(repository, start(repository), client)
    assert len(client.torrents) == 8


def test_a_newer_file_is_refused_and_left_as_it_is(path: Path, client: FakeClient, start: Start) -> None:
    """The version that wrote it settles what is open."""
    with SQLiteRepository(path) as repository:
        start(repository).run(BOOKS)
    _set_version(path, SCHEMA_VERSION + 1)
    before = path.read_bytes()
    with pytest.raises(SchemaMismatch):
        SQLiteRepository(path)
    assert path.read_bytes() == before

    _set_version(path, SCHEMA_VERSION)
    client.torrents.clear()
    with SQLiteRepository(path) as repository:
        assert settled(repository, start(repository), client)
    assert len(client.torrents) == 8


def _set_version(path: Path, version: int) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")


@pytest.mark.skipif(os.name != "posix", reason="this system does not delete open files")
def test_a_file_that_was_deleted_takes_no_reservation(path: Path, client: FakeClient, start: Start) -> None:
    """What is written to a file that is gone outlives nothing: it is not reserved, and so it is not added."""
    with SQLiteRepository(path) as repository:
        start(repository).run(BOOKS[:2])
        for file in path.parent.iterdir():
            file.unlink()
        result = start(repository).run(BOOKS[2:])

    assert set(codes(result)) == {"repository_unavailable", "not_attempted"}
    assert len(client.torrents) == 2
    with SQLiteRepository(path) as repository:
        assert codes(start(repository).run(BOOKS)) == ["ok"] * 8
        assert settled(repository, start(repository), client)


PROGRAM: Final = """
import os, signal, sys
from attrs import evolve
from audiobatch.models import DownloadStatus
from audiobatch.repositories.sqlite import SQLiteRepository, _insert, _write_torrent
from contract.repository_contract import record

repository = SQLiteRepository(sys.argv[1])
held = record("held")
repository.reserve([held])
connection = repository._connection
connection.execute("PRAGMA cache_size = 1")  # so that pages are written before the commit
connection.execute("BEGIN IMMEDIATE")
for number in range(200):
    _insert(connection, record(f"lost {number}"))
connection.execute("UPDATE downloads SET status = 'failed'")
_write_torrent(connection, evolve(held, torrent=None))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name != "posix", reason="this system has no SIGKILL")
def test_a_killed_process_leaves_nothing_of_its_transaction(path: Path) -> None:
    """What was committed before is whole, what was not is not there, and the file goes on working."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    program = subprocess.run([sys.executable, "-c", PROGRAM, path], env=environment, check=False, timeout=60)
    assert program.returncode == -signal.SIGKILL
    assert path.with_name("records.db-wal").stat().st_size > 100_000

    with SQLiteRepository(path) as repository:
        assert repository._connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        (held,) = repository.unsettled(client="client")
        assert (held.request.title, held.status) == ("held", DownloadStatus.RESERVED)
        assert held.torrent is not None
        assert repository._connection.execute("SELECT count(*) FROM downloads").fetchone() == (1,)
        repository.reserve([record("new")])
        assert [it.request.title for it in repository.unsettled(client="client")] == ["held", "new"]


def test_a_connection_that_was_locked_out_is_as_good_as_before(path: Path) -> None:
    """No transaction stays open after an error."""
    with SQLiteRepository(path, timeout=0.01) as repository:
        for fault in (locked, read_only, full):
            with fault(repository, path), pytest.raises(RepositoryUnavailable):
                repository.reserve([record(f"{fault} {number}") for number in range(50)])
            assert not repository._connection.in_transaction
        assert len(repository.reserve([record("one")])) == 1
