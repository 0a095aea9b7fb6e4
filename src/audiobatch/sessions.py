"""Where a tracker's session is kept, for one whose cookie changes with its answers."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from attrs import field, frozen

from audiobatch._file_modes import warn_if_shared
from audiobatch.errors import ConfigurationError


@frozen
class Session:
    """A session as its tracker left it.

    Attributes:
        configured: The SHA-256 (in hexadecimal digits) of the cookie that it began with: tells
            whether the user has configured another one since.
        current: The cookie's newest value, a secret.
    """

    configured: str = field(repr=False)
    current: str = field(repr=False)

    @classmethod
    def begin(cls, cookie: str) -> Session:
        """Begin a session with the cookie that the user has configured."""
        return cls(sha256(cookie.encode()).hexdigest(), cookie)


class SessionStore(Protocol):
    """Keeps one session, for one holder at a time: two would take the newest cookie from each other."""

    def load(self) -> Session | None:
        """Return what was saved last, or None if nothing was.

        Raises:
            ConfigurationError: What is there cannot be read.
        """
        ...

    def save(self, session: Session, /) -> None:
        """Keep the session; when this returns, it survives the process being killed.

        Raises:
            OSError: It cannot be kept.
        """
        ...


class MemorySessionStore:
    """Keeps a session for as long as the process lives."""

    def __init__(self) -> None:
        self._session: Session | None = None

    def load(self) -> Session | None:
        """Return the session, if there is one."""
        return self._session

    def save(self, session: Session, /) -> None:
        """Keep the session."""
        self._session = session


class FileSessionStore:
    """Keeps a session in a file that only its owner can read, replaced as a whole.

    Of a file that is there and that others can read, a warning is logged; the first `save` replaces it.

    Args:
        path: The file; its folder must be there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        warn_if_shared(self._path)

    def __repr__(self) -> str:
        return f"FileSessionStore({str(self._path)!r})"

    def load(self) -> Session | None:
        """Return the session in the file, if there is one; see `SessionStore.load`."""
        failure = None
        try:
            document = json.loads(self._path.read_bytes())
            session = Session(document["configured"], document["current"])
            if isinstance(session.configured, str) and isinstance(session.current, str):
                return session
        except FileNotFoundError:
            return None
        except OSError as error:
            failure = f"{error.strerror}: make it readable"
        except (ValueError, KeyError, TypeError, RecursionError):
            pass
        # Raised out here, for the error of a JSON parser holds what it was given.
        failure = failure or "it holds no session: remove it"
        raise ConfigurationError(f"the session file {str(self._path)!r} cannot be read: {failure}")

    def save(self, session: Session, /) -> None:
        """Replace the file by a new one; see `SessionStore.save`."""
        content = json.dumps({"configured": session.configured, "current": session.current})
        # Always the same name, so that none is left behind where a process is killed.
        temporary = self._path.with_name(f".{self._path.name}.new")
        with suppress(FileNotFoundError):
            temporary.unlink()
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "w") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        _sync_folder(self._path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power cut, where a system lets folders be synced."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
