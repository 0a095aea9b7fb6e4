"""The standard streams of the command: what is said there is clean, and a stream that breaks ends nothing.

Any of them may be a pipe that nobody reads any more, a file on a full disk, or closed. Then a batch goes
on all the same, because what it has done so far is done.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TextIO

from audiobatch._printable import printable


def prepare() -> None:
    """Let the streams take any character; what their encoding does not have is written as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with suppress(OSError, ValueError):  # it is closed already
                stream.reconfigure(errors="backslashreplace")


def say(message: str) -> None:
    """Tell a person, on standard error, in one line."""
    _write(sys.stderr, f"{printable(message)}\n")


def draw(text: str, *, last: bool) -> None:
    """Draw a line over the one before, where a person watches."""
    if is_watched():
        _write(sys.stderr, f"\r{printable(text)}" + ("\n" if last else ""))


def is_watched() -> bool:
    """Tell whether standard error is a terminal."""
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except ValueError:  # it is closed
        return False


def put_out(text: str) -> str | None:
    """Write lines on standard output. Return why that failed; None if it did not."""
    return _write(sys.stdout, f"{text}\n")


def finish() -> None:
    """Write what is still in the buffers, so that Python does not fail on it at the exit, with a status of its own."""
    for stream in (sys.stdout, sys.stderr):
        _write(stream, "")


def _write(stream: TextIO | None, text: str) -> str | None:
    if stream is None:
        return "it is closed"
    try:
        raw = getattr(stream, "buffer", None)
        if text and isinstance(raw, io.RawIOBase):
            _write_all(raw, text.replace("\n", os.linesep).encode(stream.encoding, "backslashreplace"))
        else:
            stream.write(text)
            stream.flush()
    except (OSError, ValueError) as error:
        _lead_nowhere(stream)
        return getattr(error, "strerror", None) or str(error)
    return None


def _write_all(raw: io.RawIOBase, content: bytes) -> None:
    """Write to a stream without a buffer (PYTHONUNBUFFERED), which may take a part only, without an error."""
    remaining = memoryview(content)
    while remaining:
        taken = raw.write(remaining)
        if not taken:
            raise BlockingIOError("it takes nothing more")
        remaining = remaining[taken:]


def _lead_nowhere(stream: TextIO) -> None:
    """Let what is left in its buffer go: each flush would fail on it again."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        stream.flush()
