"""Measure what other routes of the FastAPI example feel of 30 batches that are under way.

``python -m benchmarks.neighbour``, with ``tests`` on the path. Two trivial routes, one async and
one that runs in the default threads, are asked in turn by one caller, with a short pause after each
answer: in each round first while nothing goes on, and then while 30 callers send one batch after
the other, from a slow tracker into a real qBittorrent.

Tracker, daemon and callers need the same machine. What that alone costs, a second server shows, which
has no batches: it is asked in turn with the first one, at the same time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from importlib import import_module
from itertools import count, islice
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Final, TypeAlias

import httpx
from attrs import frozen

from benchmarks.contest import HERE, program
from support.example_server import Example, ExampleServer
from support.qbittorrent import GENERATIONS, PASSWORD, USERNAME, Daemon
from support.waiting import wait_until

if TYPE_CHECKING:
    from fastapi import FastAPI

EXAMPLE: Final = HERE.parents[1] / "docs/examples/fastapi"
ROUTES: Final = ("/async", "/sync")
PAUSE: Final = 0.002  # seconds between two requests of the caller whose waits are measured
TORRENT: Final = 2_000  # bytes
BOOKS: Final = 20_000  # different ones that the tracker has

Taken: TypeAlias = Mapping[str, Sequence[float]]
"""For each route, what each request took, in seconds."""


@frozen
class Round:
    """What was measured in a round.

    Attributes:
        quiet: While nothing went on.
        elsewhere: While batches were under way, in a server that had none of them.
        here: At the same time, in the server that had them.
    """

    quiet: Taken
    elsewhere: Taken
    here: Taken


def create_app() -> FastAPI:
    """Return the example with two neighbours: what uvicorn serves."""
    example = import_module("main")  # it is on the path in the server alone
    served: FastAPI = example.app

    @served.get("/async")
    async def answer_in_the_loop() -> dict[str, str]:
        return {"it": "works"}

    @served.get("/sync")
    def answer_in_a_thread() -> dict[str, str]:
        return {"it": "works"}

    @served.get("/under-way")
    async def count_batches() -> int:
        return int(example.MAX_OPEN - served.state.batches.places.value)

    return served


def send_batches(server: str, tracker: str, callers: int, size: int, first: int) -> None:
    """Let so many callers send batches of ever new books, for ever; it runs in a process of its own."""
    numbers = count(first)

    def send(_: int) -> None:
        with httpx.Client(base_url=server, trust_env=False, timeout=600) as http:
            while True:
                books = [
                    {"title": f"Book {number}", "author": "A", "torrent_url": f"{tracker}/{number}"}
                    for number in islice(numbers, size)
                ]
                answer = http.post("/api/downloads/batch", json={"downloads": books}).raise_for_status().json()
                assert answer["failed"] == [], answer["failed"]

    with ThreadPoolExecutor(callers) as pool:
        for one in [pool.submit(send, caller) for caller in range(callers)]:
            one.result()


@contextmanager
def load(*arguments: object) -> Iterator[None]:
    """Let batches be sent while the block runs. When it ends, the callers hang up."""
    command = [sys.executable, "-m", "benchmarks.neighbour", "--load", *map(str, arguments)]
    with subprocess.Popen(command, env=environment()) as sender:
        try:
            yield
            assert sender.poll() is None, "a batch did not go well"
        finally:
            sender.kill()


def environment(**more: str) -> Mapping[str, str]:
    """Return the environment of a process that finds these modules, and the example."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (HERE.parent, EXAMPLE))), **more}


def sample(servers: Sequence[ExampleServer], times: int) -> Sequence[Taken]:
    """Ask each route of each server so many times, all of them in turn."""
    connections = [HTTPConnection("127.0.0.1", server.http.base_url.port or 80, timeout=60) for server in servers]
    taken: list[dict[str, list[float]]] = [{route: [] for route in ROUTES} for _ in servers]
    for _ in range(times):
        for route in ROUTES:
            for connection, seconds in zip(connections, taken, strict=True):
                begun = time.perf_counter()
                connection.request("GET", route)
                assert connection.getresponse().read() == b'{"it":"works"}'
                seconds[route].append(time.perf_counter() - begun)
                time.sleep(PAUSE)
    for connection in connections:
        connection.close()
    return taken


def measure(options: argparse.Namespace, delay: float, daemon: Daemon) -> Iterator[Round]:
    """Measure round by round."""
    with (
        program("far_tracker", BOOKS, TORRENT, delay) as tracker,
        tempfile.TemporaryDirectory() as folder,
        ExitStack() as running,
    ):
        here, elsewhere = (
            running.enter_context(serve(Path(folder, name), daemon, tracker)) for name in ("here", "elsewhere")
        )
        sample((here, elsewhere), 200)  # warms up
        for turn in range(options.rounds):
            quiet, _ = sample((here, elsewhere), options.samples)
            first = turn * BOOKS // options.rounds
            with load(here.http.base_url, tracker, options.batches, options.items, first):
                wait_until(lambda: under_way(here) == options.batches, "all batches are under way")
                wait_until(lambda: len(daemon.torrents()) > 0, "the first are queued")
                busy, beside = sample((here, elsewhere), options.samples)
            wait_until(lambda: under_way(here) == 0, "the batches have ended with their callers")
            say(f"{len(daemon.torrents())} books were queued meanwhile")
            daemon.remove_all()
            yield Round(quiet, beside, busy)


def serve(folder: Path, daemon: Daemon, tracker: str) -> ExampleServer:
    """Return a server with records of its own."""
    folder.mkdir()
    command = ["-m", "uvicorn", "benchmarks.neighbour:create_app", "--factory", "--port", "{port}"]
    settings = environment(
        QBITTORRENT_URL=daemon.url,
        QBITTORRENT_USERNAME=USERNAME,
        QBITTORRENT_PASSWORD=PASSWORD,
        AUDIOBATCH_TRUST=tracker,
        AUDIOBATCH_DB=str(folder / "records.db"),
    )
    return ExampleServer(Example(folder=EXAMPLE, command=command), environment=settings, log=folder / "log.txt")


def under_way(server: ExampleServer) -> int:
    """Return how many batches a server has."""
    return int(server.http.get("/under-way").json())


def p99(seconds: Sequence[float]) -> float:
    """Return what 99 of 100 requests did not exceed."""
    return quantiles(seconds, n=100)[-1]


def tell(rounds: Sequence[Round]) -> None:
    """Print what the rounds show."""
    for route in ROUTES:
        say(f"{route}: milliseconds, of {sum(len(one.here[route]) for one in rounds)} requests each")
        for name in ("quiet", "elsewhere", "here"):
            taken = [seconds for one in rounds for seconds in getattr(one, name)[route]]
            say(f"  {name:9}  median {1000 * median(taken):6.2f}   99th percentile {1000 * p99(taken):6.2f}")
        for name in ("quiet", "elsewhere"):
            ratios = [p99(one.here[route]) / p99(getattr(one, name)[route]) for one in rounds]
            each = " ".join(f"{ratio:.2f}" for ratio in sorted(ratios))
            say(f"  99th percentile here to {name}: {median(ratios):.2f} times, the median of the rounds ({each})")


def main() -> None:
    """Measure, or be the load."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.neighbour")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--samples", type=int, default=500, help="of each route in each round, for each condition")
    parser.add_argument("--batches", type=int, default=30, help="that are under way at once")
    parser.add_argument("--items", type=int, default=10, help="of each batch")
    parser.add_argument(
        "--delays", type=float, nargs="+", default=[0.5, 1.0, 2.0], help="seconds that the tracker takes for an answer"
    )
    parser.add_argument("--generation", default="5.1.0", choices=[generation.name for generation in GENERATIONS])
    parser.add_argument("--load", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        server, tracker, *numbers = options.load
        send_batches(server, tracker, *map(int, numbers))
        return
    (generation,) = (generation for generation in GENERATIONS if generation.name == options.generation)
    if generation.missing:
        sys.exit(generation.missing)
    with Daemon(generation) as daemon:
        for delay in options.delays:
            say(f"with a tracker that takes {delay:g} s")
            tell(list(measure(options, delay, daemon)))


def say(what: str) -> None:
    """Show what was found."""
    print(what, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
