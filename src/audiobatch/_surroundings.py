"""What the command takes from its surroundings: variables of the environment, and the user's data folder."""

from __future__ import annotations

import os
from pathlib import Path

from audiobatch.errors import ConfigurationError


def given(name: str) -> str | None:
    """Return a variable of the environment; an empty one, or one of spaces, is not set."""
    value = os.environ.get(name, "")
    return value if value.strip() else None


def kept(name: str) -> Path:
    """Return where a file of ours lies among the user's data; the folder is there then.

    Raises:
        ConfigurationError: There is no such folder, and none can be made.
    """
    folder = _data() / "audiobatch"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"the folder {str(folder)!r} cannot be made: {error.strerror}") from None
    return folder / name


def _data() -> Path:
    # Relative paths in it are to be passed over, says the XDG Base Directory Specification.
    data = Path(given("XDG_DATA_HOME") or "")
    if data.is_absolute():
        return data
    try:
        # With an empty HOME, that would be the root of all files.
        home = Path() if "HOME" in os.environ and given("HOME") is None else Path.home()
    except RuntimeError:
        home = Path()
    if not home.is_absolute():
        raise ConfigurationError("there is no home folder to keep data in: set HOME or XDG_DATA_HOME")
    return home / ".local" / "share"
