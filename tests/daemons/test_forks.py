"""A downloader that was used before a fork, in many children of it, against a real qBittorrent of each generation.

gunicorn and Celery are tried where their examples are.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from audiobatch.metainfo import parse_torrent
from support.qbittorrent import Daemon, Generation
from support.torrents import book
from support.tracker import Tracker

pytestmark = [pytest.mark.daemon, pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")]

DEADLINE = 120.0  # seconds for what should take a tenth of that
MANY, FEW = 48, 8  # children of each kind: many on one generation, because what is tried is on our side


def run(arguments: list[str]) -> str:
    """Run the program, and kill it with its children if it hangs; return what it printed."""
    command = [sys.executable, "-m", "daemons.forking", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    program = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    )
    try:
        printed, _ = program.communicate(timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        os.killpg(program.pid, signal.SIGKILL)
        printed, _ = program.communicate()
        pytest.fail(f"it hangs: {printed}")
    return printed


@pytest.mark.parametrize("parent", ["idle", "busy"])
@pytest.mark.parametrize("way", ["fork", "pool"])
def test_every_statement_of_every_child_is_true(
    generation: Generation, daemon: Daemon, tracker: Tracker, tmp_path: Path, way: str, parent: str
) -> None:
    """Each names its own books, under their own hashes, and the client has them by these names; none hangs."""
    children = MANY if generation.name < "5" else FEW

    printed = run([daemon.url, tracker.url, str(tmp_path), way, parent, str(children)])

    assert printed == ""
    in_client = {row["hash"]: row["name"] for row in daemon.torrents()}
    reports = {file.stem: json.loads(file.read_text()) for file in tmp_path.glob("*.json")}
    assert reports.keys() >= {"before", "after", *(f"child{number}" for number in range(children))}
    for name, report in reports.items():
        books = [f"{name}-{number}" for number in range(10)]
        true = [
            [f"{name} {number}", parse_torrent(book(title)).info_hashes.v1, False] for number, title in enumerate(books)
        ]
        assert report == true
        assert [in_client.get(info_hash) for _, info_hash, _ in true] == [parse_torrent(book(b)).name for b in books]
    assert len(in_client) == 10 * len(reports)
