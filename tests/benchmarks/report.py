"""Write what was measured: a page, and a picture."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.contest import BOOKS, HERE, Case, Results
from benchmarks.contestants import AT_ONCE

NAMES: Final = {
    "sequential_loop": "sequential loop",
    "qbittorrent_api_loop": "qbittorrent-api loop",
    "aioqbt_eight": "aioqbt, eight tasks",
    "audiobatch": "audiobatch",
    "raw_floor": "raw floor",
}


def write(
    folder: Path, measured: Mapping[Case, Results], costs: Mapping[str, float], *, version: str, rounds: int
) -> None:
    """Write ``performance.md`` and ``performance.svg`` into a folder."""
    most = {name: max(results.in_flight[name] for results in measured.values()) for name in NAMES}
    page = (HERE / "page.md").read_text()
    (folder / "performance.md").write_text(
        page.format(
            books=BOOKS,
            version=version,
            machine=f"{platform.machine()}, Python {platform.python_version()}",
            rounds=rounds,
            at_once=AT_ONCE,
            rows="".join(_row(case, results) for case, results in measured.items()),
            in_flight=", ".join(f"{NAMES[name]} {count}" for name, count in most.items()),
            **costs,
        )
    )
    _draw(measured).savefig(folder / "performance.svg", transparent=True, metadata={"Date": None})


def _row(case: Case, results: Results) -> str:
    times = " | ".join(f"{results.median(name) * 1000:,.0f} ms" for name in NAMES)
    ratios = (
        results.ratio("audiobatch", "raw_floor"),
        *(results.ratio(name, "audiobatch") for name in ("sequential_loop", "aioqbt_eight", "qbittorrent_api_loop")),
    )
    return f"| {case} | {times} | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |\n"


def _draw(measured: Mapping[Case, Results]) -> Figure:
    grey = "#808080"  # can be read on white and on black
    mpl.rcParams.update({"svg.hashsalt": "audiobatch", "text.color": grey, "axes.labelcolor": grey})
    mpl.rcParams.update({"xtick.color": grey, "ytick.color": grey, "axes.edgecolor": grey, "font.size": 9})
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(NAMES)
    colours: Sequence[str] = ("#9aa5b1", "#6b7c93", "#d9a441", "#1f9d76", "#b8b8b8")
    for number, (name, colour) in enumerate(zip(NAMES, colours, strict=True)):
        places = [index + (number - 2) * width for index in range(len(measured))]
        heights = [results.median(name) for results in measured.values()]
        axes.bar(places, heights, width, label=NAMES[name], color=colour)
    axes.set_yscale("log")
    axes.set_ylabel(f"seconds for {BOOKS} torrents")
    axes.set_xticks(range(len(measured)), [_label(case) for case in measured])
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=len(NAMES), frameon=False)
    return figure


def _label(case: Case) -> str:
    tracker, daemon, size = str(case).split(" | ")
    return f"tracker {tracker}\ndaemon {daemon}\n{size}"


def growth(seconds: Sequence[float]) -> float:
    """Return how much longer the last ten took than the first ten."""
    return median(seconds[-10:]) / median(seconds[:10])
