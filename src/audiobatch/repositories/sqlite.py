"""Records in one SQLite file, shared by threads and by processes."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random

from audiobatch._closing import Closing
from audiobatch._file_modes import warn_if_shared
from audiobatch._fork import abandon, here, renew_in_child, rest_at_fork
from audiobatch.errors import (
    ConfigurationError,
    RepositoryError,
    RepositoryUnavailable,
    SchemaMismatch,
)
from audiobatch.models import Download, DownloadStatus
from audiobatch.repositories._records import dump_request, dump_torrent, load_record

SCHEMA_VERSION: Final = 1
"""The version of the tables, as the file itself says it (``PRAGMA user_version``)."""

_APPLICATION_ID: Final = 0x41624263  # tells our files from other SQLite databases

_SCHEMA: Final = (
    """CREATE TABLE downloads (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        client TEXT NOT NULL,
        v1 TEXT,
        v2 TEXT,
        torrent_url TEXT NOT NULL,
        request TEXT NOT NULL,
        status TEXT NOT NULL,
        created_at TEXT NOT NULL
    )""",
    "CREATE UNIQUE INDEX downloads_by_v1 ON downloads (client, v1) WHERE v1 IS NOT NULL",
    "CREATE UNIQUE INDEX downloads_by_v2 ON downloads (client, v2) WHERE v2 IS NOT NULL",
    "CREATE INDEX downloads_by_url ON downloads (client, torrent_url)",
    # A table of its own, so that a new status does not write a torrent's bytes once more, and so that
    # the few records that still hold their torrent are found without reading all the others.
    "CREATE TABLE torrents (number INTEGER PRIMARY KEY REFERENCES downloads (number), content BLOB NOT NULL)",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
_COLUMNS: Final = "d.number, d.id, d.client, d.v1, d.v2, d.request, d.status, d.created_at, t.content"
_PAGE_SIZE: Final = 16 * 1024  # bytes: a torrent of 1 MB is written a third faster than with SQLite's own 4 KiB


class SQLiteRepository(Closing):
    """Keeps records in one file, in WAL mode, with ``synchronous=FULL``.

    What `reserve` and `save` have written survives a crash of the process and of the
    machine. Several processes may use one file, on a local disk (not on a network share).
    A process that forks may go on using the object in the child.

    Args:
        path: The file; it is made, readable by its owner alone, if it is not there. Of one that
            is there and that others can read, a warning is logged.
        timeout: Seconds to wait while another process holds the file's write lock.

    Raises:
        ConfigurationError: The path is no path of a file.
        SchemaMismatch: The file is no audiobatch database, or of a newer version.
        RepositoryUnavailable: It cannot be opened.
        RepositoryError: It is damaged.
    """

    def __init__(self, path: str | os.PathLike[str], *, timeout: float = 30.0) -> None:
        self._path = os.fspath(path)
        if self._path in ("", ":memory:"):
            raise ConfigurationError("give the path of a file; MemoryRepository keeps records without one")
        self._timeout = timeout
        self._lock = threading.Lock()
        self._connection = self._open()
        self._opened_by = here()
        renew_in_child(self, SQLiteRepository._renew)
        # SQLite itself has locks that a thread in the middle of a call would leave to the child for ever.
        rest_at_fork(self, lambda owner: owner._lock)  # noqa: SLF001 - of this class
        warn_if_shared(*(f"{self._path}{suffix}" for suffix in ("", "-wal", "-shm")))

    def __repr__(self) -> str:
        return f"SQLiteRepository({self._path!r})"

    def find(self, keys: Collection[str], /, *, client: str) -> Mapping[str, Download]:
        """Look up by torrent URL or info-hash; see `Repository.find`."""
        found: dict[str, Download] = {}
        parameters = {"keys": json.dumps(list(keys)), "client": client}
        with self._session() as connection:
            for column in ("torrent_url", "v1", "v2"):
                rows = connection.execute(
                    f"SELECT k.value, {_COLUMNS} FROM json_each(:keys) k"
                    f" CROSS JOIN downloads d ON d.client = :client AND d.{column} = k.value"
                    " LEFT JOIN torrents t ON t.number = d.number ORDER BY d.number",
                    parameters,
                )
                found |= {key: load_record(row) for key, *row in rows}
        return found

    def sizes(self, urls: Collection[str], /, *, client: str) -> Mapping[str, int]:
        """Tell how large the torrents of URLs are; see `SupportsSizes.sizes`."""
        found: Counter[str] = Counter()
        with self._session() as connection:
            # Added up here, because SQLite would read what it has to group.
            for url, size in connection.execute(
                "SELECT k.value, length(t.content) FROM json_each(:urls) k"
                " CROSS JOIN downloads d ON d.client = :client AND d.torrent_url = k.value"
                " CROSS JOIN torrents t ON t.number = d.number",
                {"urls": json.dumps(list(set(urls))), "client": client},
            ):
                found[url] += size
        return found

    def reserve(self, downloads: Sequence[Download], /) -> Sequence[Download]:
        """Insert what is not held yet; see `Repository.reserve`."""
        with self._transaction() as connection:
            return [_holder(connection, download) or _insert(connection, download) for download in downloads]

    def save(self, downloads: Sequence[Download], /) -> None:
        """Update by id; see `Repository.save`."""
        with self._transaction() as connection:
            for download in downloads:
                connection.execute(
                    "UPDATE downloads SET torrent_url = ?, request = ?, status = ? WHERE id = ?",
                    (download.request.torrent_url, dump_request(download), download.status, download.id),
                )
                _learn(connection, download)
                _write_torrent(connection, download)

    def unsettled(self, *, client: str) -> Iterator[Download]:
        """Yield what a recovery has to look at; see `Repository.unsettled`."""
        last = -1
        # One by one, because each holds a torrent, and these can be large.
        while True:
            with self._session() as connection:
                row = connection.execute(
                    f"SELECT {_COLUMNS} FROM torrents t CROSS JOIN downloads d ON d.number = t.number"
                    " WHERE t.number > ? AND d.client = ? AND d.status IN (?, ?) ORDER BY t.number LIMIT 1",
                    (last, client, DownloadStatus.RESERVED, DownloadStatus.QUEUED),
                ).fetchone()
            if row is None:
                return
            last = row[0]
            yield load_record(row)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._opened_by.is_here():
                self._connection.close()

    def _renew(self) -> None:
        self._lock = threading.Lock()
        abandon(self._connection)

    @contextmanager
    def _session(self) -> Iterator[sqlite3.Connection]:
        """Give the connection to one thread at a time, and turn SQLite's errors into ours."""
        here()
        with self._lock, _translated_errors(self._path):
            if not self._opened_by.is_here():
                self._connection, self._opened_by = self._open(), here()
            yield self._connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._session() as connection:
            if _identity(self._path) != self._file:
                raise RepositoryUnavailable(f"the database {self._path!r} was removed or replaced: open it anew")
            # Immediate: take the write lock before reading, so that what was read still holds when it is written.
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _open(self) -> sqlite3.Connection:
        with _translated_errors(self._path):
            try:
                # Made by us so that nobody else can read it from its first moment on: URLs hold passkeys.
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            except OSError as error:
                raise RepositoryUnavailable(f"cannot open the database {self._path!r}: {error.strerror}") from None
            connection = sqlite3.connect(
                self._path, timeout=self._timeout, isolation_level=None, check_same_thread=False
            )
            # Of damaged text an error of sqlite3 would show all; like this, our own validation refuses it.
            connection.text_factory = lambda text: text.decode(errors="surrogateescape")
            self._file = _identity(self._path)
            try:
                self._set_up(connection)
            except BaseException:
                connection.close()
                raise
            return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        # Two processes that switch a new file to WAL at once make one of them fail without waiting.
        for attempt in Retrying(
            retry=retry_if_exception(_is_busy),
            stop=stop_after_delay(self._timeout),
            wait=wait_random(0.005, 0.05),
            reraise=True,
        ):
            with attempt:
                connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")  # means something for a new file alone
                connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        if _is_current(connection):
            return
        connection.execute("BEGIN IMMEDIATE")
        if not _is_current(connection):
            for statement in _SCHEMA:
                connection.execute(statement)
        connection.execute("COMMIT")


@contextmanager
def _translated_errors(path: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise RepositoryUnavailable(f"the database {path!r} cannot be used: {error}") from error
    except sqlite3.Error as error:
        if _name(error) == "SQLITE_NOTADB":
            raise SchemaMismatch(f"{path!r} is not a database: give the path of another file") from error
        raise RepositoryError(f"the database {path!r} failed: {error}") from error


def _identity(path: str) -> tuple[int, int] | None:
    """Tell files apart: SQLite would go on writing to one that is no longer there, and all of it would be lost."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_busy(error: BaseException) -> bool:
    return isinstance(error, sqlite3.Error) and _name(error).startswith("SQLITE_BUSY")


def _name(error: sqlite3.Error) -> str:
    # Misuse, such as calling a closed connection, has none.
    return getattr(error, "sqlite_errorname", "")


def _is_current(connection: sqlite3.Connection) -> bool:
    """Tell whether the schema is in place; False for a new file."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if (version, application, tables) == (0, 0, 0):
        return False
    if application != _APPLICATION_ID:
        raise SchemaMismatch("the file is a database of another program: give the path of another file")
    if version != SCHEMA_VERSION:
        raise SchemaMismatch(f"the database has schema version {version}, this audiobatch knows {SCHEMA_VERSION}")
    return True


def _holder(connection: sqlite3.Connection, download: Download) -> Download | None:
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM downloads d LEFT JOIN torrents t ON t.number = d.number"
        " WHERE d.client = :client AND (d.v1 = :v1 OR d.v2 = :v2) ORDER BY d.number LIMIT 1",
        {"client": download.client, "v1": download.info_hashes.v1, "v2": download.info_hashes.v2},
    ).fetchone()
    return None if row is None else load_record(row)


def _insert(connection: sqlite3.Connection, download: Download) -> Download:
    connection.execute(
        "INSERT INTO downloads (id, client, v1, v2, torrent_url, request, status, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            download.id,
            download.client,
            download.info_hashes.v1,
            download.info_hashes.v2,
            download.request.torrent_url,
            dump_request(download),
            download.status,
            download.created_at.isoformat(),
        ),
    )
    _write_torrent(connection, download)
    return download


def _learn(connection: sqlite3.Connection, download: Download) -> None:
    """Add the second info-hash of a hybrid; where another record holds it, that one keeps it."""
    hashes = {"id": download.id, "v1": download.info_hashes.v1, "v2": download.info_hashes.v2}
    if None in hashes.values():
        return
    for missing, known in (("v1", "v2"), ("v2", "v1")):
        connection.execute(
            f"UPDATE OR IGNORE downloads SET {missing} = :{missing}"
            f" WHERE id = :id AND {missing} IS NULL AND {known} = :{known}",
            hashes,
        )


def _write_torrent(connection: sqlite3.Connection, download: Download) -> None:
    if download.torrent is None:
        connection.execute(
            "DELETE FROM torrents WHERE number = (SELECT number FROM downloads WHERE id = ?)", (download.id,)
        )
        return
    connection.execute(
        "INSERT INTO torrents (number, content) SELECT number, ? FROM downloads WHERE id = ?"
        " ON CONFLICT (number) DO UPDATE SET content = excluded.content WHERE content <> excluded.content",
        (dump_torrent(download.torrent), download.id),
    )
