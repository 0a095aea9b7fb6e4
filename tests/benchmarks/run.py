"""Measure everything, and write the page: ``python -m benchmarks.run [--rounds N] [--generation VERSION]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import footprint, report
from benchmarks.contest import CASES, run_case
from support.qbittorrent import GENERATIONS, Daemon

DOCS = Path(__file__).parents[2] / "docs"


def main() -> None:
    """Do it all; it takes about a quarter of an hour."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run")
    parser.add_argument("--rounds", type=int, default=7, help="how often each contestant does each case")
    parser.add_argument("--generation", default="5.1.0", choices=[generation.name for generation in GENERATIONS])
    parser.add_argument("--into", type=Path, default=DOCS, help="the folder for the page and the picture")
    options = parser.parse_args()
    (generation,) = (generation for generation in GENERATIONS if generation.name == options.generation)
    if generation.missing:
        sys.exit(generation.missing)
    measured = {}
    with Daemon(generation) as daemon:
        for case in CASES:
            measured[case] = run_case(case, daemon, options.rounds)
            say(f"{case}: {measured[case].ratio('audiobatch', 'raw_floor'):.2f} times the floor")
        say("2,000 requests")
        last = report.growth(footprint.seconds_per_batch(daemon))
        memory = footprint.memory_of_a_batch(daemon)
    say("1,000,000 records")
    repository = footprint.growth_of_the_repository(options.rounds)
    imports = footprint.import_times(3 * options.rounds)
    costs = {
        "own": 1000 * footprint.processor_seconds_per_item(options.rounds),
        "last": last,
        "memory": memory,
        **repository,
        "imports": (imports["import audiobatch"] - imports["pass"]) / (imports["import httpx"] - imports["pass"]),
    }
    report.write(options.into, measured, costs, version=generation.name, rounds=options.rounds)


def say(what: str) -> None:
    """Show progress, for all of it takes a while."""
    print(what, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
