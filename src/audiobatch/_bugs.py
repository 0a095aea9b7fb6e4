"""Keep a bug of a plug-in where it belongs: what it was not to raise becomes an error of ours, and is logged."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from traceback import StackSummary, walk_tb
from typing import Final, TypeVar

from audiobatch.errors import AudiobatchError, FailureCode

_log = logging.getLogger("audiobatch")

_MOST_FRAMES: Final = 20
_LONGEST_NAME: Final = 60

_T = TypeVar("_T")


def guarded(call: Callable[[], _T], raises: type[AudiobatchError], part: str) -> _T:
    """Call what may hold a bug, and turn whatever it was not to raise into an error of ours.

    Args:
        call: Calls it.
        raises: The class of the error.
        part: What it is, for a person: "the fetcher".

    Raises:
        AudiobatchError: One that it has raised, or one of the class that was given.
    """
    try:
        return call()
    except Exception as error:
        if isinstance(error, AudiobatchError) and _is_sound(error):
            raise
        log_bug(error, f"{part} failed unexpectedly")
        kind = kind_of(error)
    # Raised out here, because a foreign exception can hold anything, and must not travel along as a context.
    raise raises(f"{part} failed unexpectedly ({kind}): the log of audiobatch says where")


def _is_sound(error: AudiobatchError) -> bool:
    """Tell whether an error can be reported: a plug-in may have derived a class of its own."""
    try:
        str(error)
        return isinstance(error.code, FailureCode) and isinstance(error.retry_after, int | float | None)
    except Exception:  # noqa: BLE001 - whatever it is, the error is of no use
        return False


def log_bug(error: BaseException, message: str) -> None:
    """Log where an exception was raised, without its text or any line of source: both may hold a secret."""
    if not _log.isEnabledFor(logging.ERROR):
        return
    frames = StackSummary.extract(walk_tb(error.__traceback__), lookup_lines=False)[-_MOST_FRAMES:]
    places = [f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}' for frame in frames]
    where = frames[-1]
    record = _log.makeRecord(_log.name, logging.ERROR, where.filename, where.lineno or 0, message, (), None)
    record.exc_text = "\n".join(["Traceback (most recent call last):", *places, kind_of(error)])
    _log.handle(record)


def kind_of(value: object) -> str:
    """Return the name of a value's class, as it may be shown."""
    return re.sub(r"\W", "?", type(value).__name__[:_LONGEST_NAME], flags=re.ASCII)
