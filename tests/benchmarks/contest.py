"""Run the contestants in turn, round by round, over all cases, and see that each did the whole job."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from statistics import median
from typing import Final

import httpx
from attrs import define, field, frozen

from benchmarks.contestants import CONTESTANTS, Contestant
from support.qbittorrent import Daemon
from support.waiting import wait_until

BOOKS: Final = 50
HERE: Final = Path(__file__).parent


@frozen
class Case:
    """How far away tracker and daemon are, and how large a torrent is.

    Attributes:
        tracker: Seconds that the tracker takes for an answer.
        daemon: Seconds that a round trip to the daemon takes.
        size: Bytes of a torrent.
    """

    tracker: float
    daemon: float
    size: int

    def __str__(self) -> str:
        size = f"{self.size // 1_000_000} MB" if self.size >= 1_000_000 else f"{self.size // 1_000} KB"
        return f"{self.tracker * 1000:.0f} ms | {self.daemon * 1000:.0f} ms | {size}"


CASES: Final = tuple(Case(*each) for each in product((0.0, 0.1), (0.0, 0.02), (16_000, 1_000_000)))


@define
class Results:
    """What was measured in a case.

    Attributes:
        seconds: For each contestant, what each round took.
        in_flight: For each, the largest number of requests under way to the daemon at once.
    """

    seconds: dict[str, list[float]] = field(factory=dict)
    in_flight: dict[str, int] = field(factory=dict)

    def median(self, name: str) -> float:
        """Return what a contestant took."""
        return median(self.seconds[name])

    def ratio(self, name: str, other: str) -> float:
        """Return how much longer one took than another: the median over the rounds, each compared in itself."""
        return median(mine / theirs for mine, theirs in zip(self.seconds[name], self.seconds[other], strict=True))


@contextmanager
def program(name: str, *arguments: object) -> Iterator[str]:
    """Run one of the programs beside this file, and give the URL that it serves at."""
    command = [sys.executable, str(HERE / f"{name}.py"), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def run_case(case: Case, daemon: Daemon, rounds: int) -> Results:
    """Let all contestants do the job so many times, in turn."""
    results = Results()
    with (
        program("far_tracker", BOOKS, case.size, case.tracker) as tracker,
        program("far_daemon", daemon.port, case.daemon) as near,
        httpx.Client(trust_env=False) as http,
    ):
        urls = [f"{tracker}/{number}" for number in range(BOOKS)]
        for turn in range(-1, rounds):  # the first round warms up, and is not counted
            for contestant in CONTESTANTS:
                daemon.remove_all()
                http.get(f"{near}/_in_flight")
                seconds = _time(contestant, urls, near)
                wait_until(lambda: len(daemon.torrents()) == BOOKS, "the whole batch is there")
                most = int(http.get(f"{near}/_in_flight").text)
                name = contestant.__name__
                results.in_flight[name] = max(most, results.in_flight.get(name, 0))
                if turn >= 0:
                    results.seconds.setdefault(name, []).append(seconds)
        daemon.remove_all()
    return results


def _time(contestant: Contestant, urls: list[str], daemon: str) -> float:
    gc.collect()
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        contestant(urls, daemon, Path(folder))
        return time.perf_counter() - begun
