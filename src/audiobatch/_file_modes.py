"""Tell the owner of files with secrets that others can read them.

They are made for their owner alone; but a copy, or a file of somebody's own making, may not be. Nothing is
changed by itself, because a file may be shared on purpose.
"""

from __future__ import annotations

import logging
import os
import shlex
import stat
from pathlib import Path

_log = logging.getLogger("audiobatch")


def warn_if_shared(*paths: str | Path) -> None:
    """Log a warning with what to type, if other users can read or change one of these files."""
    if os.name != "posix":  # elsewhere, the mode of a file says nothing of that
        return
    shared = [str(path) for path in paths if _is_shared(Path(path))]
    if shared:
        _log.warning("other users can read files that hold secrets: chmod 600 %s", shlex.join(shared))


def _is_shared(path: Path) -> bool:
    try:
        found = path.stat()
    except OSError:
        return False
    return found.st_uid == os.geteuid() and bool(stat.S_IMODE(found.st_mode) & 0o066)
