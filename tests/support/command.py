"""The command as a process of its own, over a client and a fetcher in memory: ``python -m support.command``.

How many torrents the client has in the end can be told from the lines of the file that CLIENT_FILE names. TROUBLE
says what happens when the third one is there.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from audiobatch import __main__ as command
from audiobatch.downloader import BatchDownloader
from audiobatch.errors import AudiobatchError
from audiobatch.results import Outcome
from support.fakes import FakeClient, FakeFetcher

TROUBLED = 3


def interrupt(_name: str) -> AudiobatchError | None:
    """Press Ctrl-C while the third torrent is added."""
    if len(client.torrents) + 1 == TROUBLED and TROUBLE.startswith("interrupted"):
        for _ in range(2 if TROUBLE == "interrupted twice" else 1):
            os.kill(os.getpid(), signal.SIGINT)
    return None


def troubled_stream(*arguments: Any, **options: Any) -> Iterator[Outcome]:
    """Fail after the third outcome."""
    for number, outcome in enumerate(stream(*arguments, **options), start=1):
        yield outcome
        if number == TROUBLED and TROUBLE == "bug":
            raise ZeroDivisionError("a bug")
        if number == TROUBLED and TROUBLE == "no disk":
            raise OSError(28, "No space left on device")


TROUBLE = os.environ.get("TROUBLE", "")
client = FakeClient()
client.on_add = interrupt
stream = BatchDownloader.stream
BatchDownloader.stream = troubled_stream  # type: ignore[assignment, method-assign]
command._open_client = lambda *_: client
command._open_fetcher = lambda *_: FakeFetcher()

if __name__ == "__main__":
    try:
        sys.exit(command.main())
    finally:
        Path(os.environ["CLIENT_FILE"]).write_text("x\n" * len(client.torrents))
