"""The command as a process of its own, over a client and a fetcher in memory: ``python -m support.command``.

What the client has in the end stands in the file that CLIENT_FILE names, a title a line. TROUBLE makes the
client misbehave when it gets its third torrent.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from audiobatch import __main__ as command
from audiobatch.errors import AudiobatchError
from support.fakes import FakeClient, FakeFetcher

TROUBLED = 3


def make_trouble(_: str) -> AudiobatchError | None:
    """Do what TROUBLE says, at the third torrent."""
    if len(client.torrents) + 1 == TROUBLED:
        match os.environ.get("TROUBLE"):
            case "bug":
                raise ZeroDivisionError("a bug of the client")
            case "no disk":
                raise OSError(28, "No space left on device")
            case "interrupted twice":
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
            case "interrupted":
                os.kill(os.getpid(), signal.SIGINT)
    return None


client = FakeClient()
client.on_add = make_trouble
command._open_client = lambda *_: client
command._open_fetcher = lambda *_: FakeFetcher()

if __name__ == "__main__":
    try:
        sys.exit(command.main())
    finally:
        Path(os.environ["CLIENT_FILE"]).write_text("x\n" * len(client.torrents))
