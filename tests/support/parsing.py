"""A process that parses: what came of it, and what that took. The torrent is in a file."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from attrs import asdict, frozen

from audiobatch.errors import NotATorrent
from audiobatch.metainfo import parse_torrent
from support.peak import memory, reset_peak
from support.torrents import book


@frozen
class Cost:
    """What it took to parse a torrent.

    Attributes:
        said: Why it was refused, or is doubtful; None if neither.
        growth: Bytes by which the memory of the process grew at the most meanwhile.
        seconds: What the processor spent on it.
    """

    said: str | None
    growth: int
    seconds: float


def parse_apart(torrent: Path) -> Cost:
    """Let a new process parse a torrent."""
    program = [sys.executable, "-m", "support.parsing", str(torrent)]
    tests = Path(__file__).parent.parent
    ended = subprocess.run(program, stdout=subprocess.PIPE, check=True, timeout=60, cwd=tests)
    return Cost(**json.loads(ended.stdout))


def _parse(content: bytes) -> str | None:
    try:
        return parse_torrent(content).doubt
    except NotATorrent as error:
        return str(error)


def _pay(content: bytes) -> Cost:
    reset_peak()
    before, start = memory("VmRSS"), time.process_time()
    said = _parse(content)
    seconds = time.process_time() - start
    return Cost(said, memory("VmHWM") - before, seconds)


if __name__ == "__main__":
    _parse(book("A Book", kind="hybrid"))
    print(json.dumps(asdict(_pay(Path(sys.argv[1]).read_bytes()))))  # noqa: T201
