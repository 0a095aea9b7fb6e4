"""The repository of the Django example keeps the contract of all repositories."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import django
import pytest
from django.core.management import call_command
from django.db import connection, connections, transaction

from audiobatch.errors import RepositoryError, RepositoryUnavailable
from audiobatch.protocols import Repository
from contract.repository_contract import RepositoryContract, record


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Set Django up in this process, with a new database, and give its file."""
    file = tmp_path_factory.mktemp("django") / "records.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        patch.setenv("DJANGO_SETTINGS_MODULE", "bookshelf.settings")
        patch.setenv("AUDIOBATCH_DB", str(file))
        django.setup()
        call_command("migrate", verbosity=0)
        yield file
        connections.close_all()


class TestDjangoRepository(RepositoryContract):
    """Records in a table of Django's."""

    @pytest.fixture
    def repository(self, file: Path) -> Repository:
        """Give one without records."""
        assert file.exists()
        from downloads.models import Record  # noqa: PLC0415 - Django has to be set up for it
        from downloads.repository import DjangoRepository  # noqa: PLC0415

        Record.objects.all().delete()
        return DjangoRepository()

    def test_a_locked_database_is_unavailable_for_the_moment(
        self, repository: Repository, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """While somebody else writes for too long, the error says so and is transient."""
        connection.close()
        monkeypatch.setitem(connection.settings_dict["OPTIONS"], "timeout", 0.01)
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(RepositoryUnavailable, match="OperationalError"):
                repository.reserve([record("one")])

        assert repository.reserve([record("one")])

    def test_a_record_that_cannot_be_read_is_told_by_its_id(self, repository: Repository, file: Path) -> None:
        """The error names it, and nothing of its content."""
        held = record("one")
        repository.reserve([held])
        with closing(sqlite3.connect(file)) as other, other:
            other.execute("""UPDATE downloads_record SET request = '{"title": "no URL"}'""")

        with pytest.raises(RepositoryError, match=held.id) as caught:
            list(repository.unsettled(client="client"))
        assert "title" not in str(caught.value)

    def test_what_could_be_rolled_back_is_not_reserved(self, repository: Repository) -> None:
        """Within somebody else's transaction it is an error of the program."""
        with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
            repository.reserve([record("one")])

    def test_a_thread_leaves_no_connection_open(self, repository: Repository) -> None:
        """Nobody but the repository would close it there."""

        def use() -> object:
            repository.reserve([record("one")])
            return connection.connection

        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(use).result() is None
