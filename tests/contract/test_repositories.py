"""The repository contract, for each implementation, and what is SQLite's own."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from audiobatch.errors import (
    ConfigurationError,
    RepositoryError,
    RepositoryUnavailable,
    SchemaMismatch,
)
from audiobatch.metainfo import InfoHashes, MagnetLink, TorrentFile, parse_magnet
from audiobatch.models import Download, DownloadStatus
from audiobatch.protocols import Repository
from audiobatch.repositories.memory import MemoryRepository
from audiobatch.repositories.sqlite import SCHEMA_VERSION, SQLiteRepository
from contract.repository_contract import RepositoryContract, record


class TestMemoryRepository(RepositoryContract):
    """Records in memory."""

    @pytest.fixture
    def repository(self) -> Repository:
        """Give an empty one."""
        return MemoryRepository()

    def test_its_repr_tells_how_many_records_it_has(self) -> None:
        """Records themselves, with their URLs, are not shown."""
        repository = MemoryRepository()
        repository.reserve([record("one")])

        assert repr(repository) == "MemoryRepository(1 records)"


class TestSQLiteRepository(RepositoryContract):
    """Records in a file."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """Give the path of a file that is not there yet."""
        return tmp_path / "records.db"

    @pytest.fixture
    def repository(self, path: Path) -> Iterator[Repository]:
        """Give one with a new file."""
        with SQLiteRepository(path) as repository:
            yield repository

    def test_records_outlive_the_object(self, path: Path) -> None:
        """What was reserved is there for the next one that opens the file."""
        new = record("one")
        with SQLiteRepository(path) as repository:
            repository.reserve([new])

        with SQLiteRepository(path) as repository:
            assert [new] == list(repository.unsettled(client="client"))

    def test_the_file_is_for_its_owner_alone(self, repository: Repository, path: Path) -> None:
        """URLs hold passkeys: neither the file nor what SQLite puts beside it can be read by others."""
        repository.reserve([record("one")])

        assert {0o600} == {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}

    def test_it_is_durable_and_does_not_block_readers(self, repository: SQLiteRepository) -> None:
        """It writes ahead to a log, and waits for the disk at each commit."""
        connection = repository._connection

        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)

    def test_several_processes_agree_on_the_holders(self, path: Path) -> None:
        """Four processes that open a new file and reserve the same torrents get the same records."""
        with multiprocessing.get_context("spawn").Pool(4) as pool:
            answers = pool.map(_reserve_ten, [path] * 4)

        assert all(answer == answers[0] for answer in answers)
        with SQLiteRepository(path) as repository:
            assert answers[0] == [found.id for found in repository.unsettled(client="client")]

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
    @pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
    def test_it_goes_on_in_a_forked_child(self, path: Path) -> None:
        """Parent and child may both use the object that was made before the fork."""
        with SQLiteRepository(path) as repository:
            repository.reserve([record("before")])
            child = multiprocessing.get_context("fork").Process(target=repository.reserve, args=([record("child")],))
            child.start()
            child.join(timeout=30)
            repository.reserve([record("parent")])
            titles = {found.request.title for found in repository.unsettled(client="client")}

        assert child.exitcode == 0
        assert titles == {"before", "child", "parent"}

    def test_a_failed_transaction_changes_nothing(self, repository: SQLiteRepository) -> None:
        """If one record of several cannot be written, none is, and the next call works."""
        held = record("one")
        repository.reserve([held])

        with pytest.raises(RepositoryError):
            repository.reserve([record("two"), evolve(record("three"), id=held.id)])

        assert [held] == list(repository.unsettled(client="client"))
        repository.reserve([record("two")])

    def test_a_locked_file_is_unavailable_for_the_moment(self, path: Path) -> None:
        """While another process writes for longer than the timeout, the error says so and is transient."""
        with SQLiteRepository(path, timeout=0.01) as repository:
            blocker = sqlite3.connect(path, isolation_level=None)
            blocker.execute("BEGIN IMMEDIATE")
            with pytest.raises(RepositoryUnavailable, match="locked"):
                repository.reserve([record("one")])
            blocker.close()

            assert repository.reserve([record("one")])

    def test_a_file_that_is_no_database_is_refused_and_kept(self, path: Path) -> None:
        """It is not overwritten, whatever it is."""
        path.write_bytes(b"not a database, but long enough to be looked at " * 100)

        with pytest.raises(SchemaMismatch, match="another file"):
            SQLiteRepository(path)

        assert path.read_bytes().startswith(b"not a database")

    @pytest.mark.parametrize("statement", ["CREATE TABLE other (x)", "PRAGMA user_version = 5"])
    def test_a_database_of_another_program_is_refused(self, path: Path, statement: str) -> None:
        """Our tables are not put beside somebody else's."""
        other = sqlite3.connect(path)
        other.execute(statement)
        other.close()

        with pytest.raises(SchemaMismatch, match="another program"):
            SQLiteRepository(path)

    def test_a_newer_schema_is_refused(self, path: Path) -> None:
        """A file that a later version has written is left alone."""
        SQLiteRepository(path).close()
        newer = sqlite3.connect(path)
        newer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        newer.close()

        with pytest.raises(SchemaMismatch, match=f"version {SCHEMA_VERSION + 1}"):
            SQLiteRepository(path)

    def test_a_missing_folder_is_told(self, tmp_path: Path) -> None:
        """The folder is not made: a wrong path would go unnoticed."""
        with pytest.raises(RepositoryUnavailable, match="No such file or directory"):
            SQLiteRepository(tmp_path / "missing" / "records.db")

    @pytest.mark.parametrize("path", ["", ":memory:"])
    def test_it_wants_a_file(self, path: str) -> None:
        """For records in memory there is another repository."""
        with pytest.raises(ConfigurationError, match="MemoryRepository"):
            SQLiteRepository(path)

    def test_a_record_that_cannot_be_read_is_told_by_its_id(self, repository: SQLiteRepository) -> None:
        """A damaged record is an error of ours, that names it and nothing of its content."""
        held = record("one")
        repository.reserve([held])
        repository._connection.execute("UPDATE downloads SET request = 'x'")

        with pytest.raises(RepositoryError, match=held.id):
            list(repository.unsettled(client="client"))

    def test_a_magnet_link_that_was_kept_as_it_came_is_read_in_the_spelling_of_today(
        self, repository: SQLiteRepository
    ) -> None:
        """Earlier versions kept such links; a client would never show what it is given like that."""
        link = f"magnet:&&%78t=URN:BTIH:{'AB' * 20}&dn=&tr=x"
        held = record("one", url=link, torrent=parse_magnet(link))
        repository.reserve([held])
        repository._connection.execute("UPDATE torrents SET content = ?", (link.encode(),))

        (found,) = repository.unsettled(client="client")

        assert found == held
        assert found.torrent == MagnetLink(
            uri=f"magnet:?xt=urn:btih:{'ab' * 20}&tr=x", info_hashes=InfoHashes(v1="ab" * 20), name=""
        )

    def test_it_tells_how_large_the_torrents_are(self, repository: SQLiteRepository) -> None:
        """Of each URL, what its records keep, those of other clients left out."""
        url = "https://tracker.test/one"
        held = [record("one", url=url), record("two", url=url), record("three"), record("four", client="other")]
        repository.reserve(held)
        repository.save([evolve(held[2], status=DownloadStatus.QUEUED, torrent=None)])
        urls = [one.request.torrent_url for one in held]

        assert repository.sizes(urls, client="client") == {url: sum(_size(one) for one in held[:2])}
        assert repository.sizes(urls, client="other") == {urls[3]: _size(held[3])}
        assert repository.sizes([], client="client") == {}

    def test_a_closed_repository_is_an_error_of_ours(self, path: Path) -> None:
        """Using it after closing is told, not crashed with."""
        repository = SQLiteRepository(path)
        repository.close()

        with pytest.raises(RepositoryError, match="closed"):
            repository.find(["x"], client="client")

    def test_its_repr_names_the_file(self, repository: SQLiteRepository, path: Path) -> None:
        """That is what one wants to know of it."""
        assert repr(repository) == f"SQLiteRepository({str(path)!r})"

    def test_a_new_status_leaves_the_bytes_of_the_torrent_alone(self, repository: SQLiteRepository) -> None:
        """Saving a status writes no torrent again: the row that holds it is not changed."""
        held = record("one")
        repository.reserve([held])
        before = repository._connection.total_changes

        repository.save([evolve(held, status=DownloadStatus.QUEUED)])

        assert repository._connection.total_changes == before + 1


def _size(held: Download) -> int:
    assert isinstance(held.torrent, TorrentFile)
    return len(held.torrent.content)


def _reserve_ten(path: Path) -> list[str]:
    with SQLiteRepository(path) as repository:
        return [held.id for held in repository.reserve([record(f"book {number}") for number in range(10)])]
