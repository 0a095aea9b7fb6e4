"""What the embedded engine remembers of its torrents: one file, for one process at a time."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from audiobatch._fork import abandon, renew_in_child, rest_at_fork
from audiobatch.errors import ClientUnavailable


class ResumeData:
    """Entries of bytes by key, each durable when its call returns.

    SQLite gives what is needed here: atomic writes, and a lock that ends with the process,
    however it ends.

    Raises:
        ClientUnavailable: Another process holds the file, or it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        rest_at_fork(self, lambda owner: owner._lock)  # noqa: SLF001 - of this class
        with self._translated_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # it holds passkeys of trackers
            self._connection = sqlite3.connect(path, timeout=1, isolation_level=None, check_same_thread=False)
        renew_in_child(self, lambda owner: abandon(owner._connection))  # noqa: SLF001
        try:
            with self._translated_errors():
                self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                self._connection.execute("BEGIN EXCLUSIVE")
                self._connection.execute(
                    "CREATE TABLE IF NOT EXISTS resume_data (key TEXT PRIMARY KEY, entry BLOB NOT NULL)"
                )
                self._connection.execute("COMMIT")
        except BaseException:
            self._connection.close()
            raise

    def entries(self) -> list[bytes]:
        """Return all entries, in the order in which their keys came first."""
        with self._translated_errors():
            return [entry for (entry,) in self._connection.execute("SELECT entry FROM resume_data ORDER BY rowid")]

    def write(self, key: str, entry: bytes) -> None:
        """Keep an entry, instead of an older one of that key."""
        with self._lock, self._translated_errors():
            self._connection.execute(
                "INSERT INTO resume_data (key, entry) VALUES (?, ?)"
                " ON CONFLICT (key) DO UPDATE SET entry = excluded.entry",
                (key, entry),
            )

    def remove(self, key: str) -> None:
        """Forget an entry, if it is there."""
        with self._lock, self._translated_errors():
            self._connection.execute("DELETE FROM resume_data WHERE key = ?", (key,))

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            held = getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY")
            reason = "another process uses it" if held else str(error)
            raise ClientUnavailable(f"the engine's state in {str(self._path)!r} cannot be used: {reason}") from None
