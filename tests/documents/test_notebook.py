"""The notebook of the docs runs as it stands, headless, and shows what is kept in it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nbclient", reason="Jupyter is not installed")

from support.notebook import NOTEBOOK, Shelf, as_kept, execute, read_notebook
from support.qbittorrent import GENERATIONS, Daemon, Generation

pytestmark = pytest.mark.daemon

WITH_PANDAS = "frame"  # the cell whose output is another with each version of pandas
WIDGETS = "application/vnd.jupyter.widget-state+json"


@pytest.fixture(scope="module")
def generation() -> Generation:
    """Give one generation: a notebook is the same to all of them."""
    (generation, *_) = GENERATIONS
    if generation.missing:
        if os.environ.get("CI"):
            pytest.fail(generation.missing)
        pytest.skip(generation.missing)
    return generation


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    """Give the tracker of the notebook, with all its troubles ahead."""
    with Shelf() as shelf:
        yield shelf


def outputs(notebook: Any) -> dict[str, list[Any]]:
    """Return what each code cell shows, by the cell's id, but for the seconds at a bar."""
    cells = {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    for shown in cells.values():
        for output in shown:
            if output.output_type == "stream":
                output.text = re.sub(r"\| \d\d:\d\d, ", "| 00:00, ", output.text)
    return cells


def test_it_shows_what_is_kept_in_it(daemon: Daemon, shelf: Shelf, tmp_path: Path) -> None:
    """Run without widgets, whose bars no page shows that does not run, each cell comes to the outputs of the file."""
    shown = outputs(as_kept(execute(tmp_path, daemon, shelf, widgets=False)))
    kept = outputs(read_notebook())
    frame, kept_frame = shown.pop(WITH_PANDAS), kept.pop(WITH_PANDAS)

    assert shown == kept, "run `nox -s pictures`"
    for (output,) in (frame, kept_frame):
        assert re.findall(r"<td>([a-z_]+)</td>\s*<td>[a-z]+</td>", output.data["text/html"]) == [
            "torrent_not_found",
            "invalid_request",
            "fetch_unavailable",
        ]
    assert {(row["category"], row["save_path"] != "") for row in daemon.torrents()} == {("Audiobooks", True)}
    assert len(daemon.torrents()) == 4


def test_it_shows_widgets_where_there_are_any(daemon: Daemon, shelf: Shelf, tmp_path: Path) -> None:
    """A bar for each batch, and nothing on standard error."""
    notebook = execute(tmp_path, daemon, shelf, widgets=True)
    shown = outputs(notebook)
    states = [model["state"] for model in notebook.metadata.widgets[WIDGETS]["state"].values()]
    bars = [state for state in states if state["_model_name"] == "FloatProgressModel"]
    texts = [state["value"] for state in states if state["_model_name"] == "HTMLModel"]

    assert not [output for output in chain(*shown.values()) if output.get("name") == "stderr"]
    assert [(bar["value"], bar["max"], bar["bar_style"]) for bar in bars] == [
        (1.0, 1.0, "success"),
        (6.0, 6.0, "success"),
        (1.0, 1.0, "success"),
    ]
    assert [re.sub(r"\d\d:\d\d", "", text.replace("\N{FIGURE SPACE}", " ")).strip() for text in texts] == [
        *("Audiobooks: 1/1", ", 1 queued, 0 failed"),
        *("Audiobooks: 6/6", ", 3 queued, 3 failed"),
        *("Audiobooks: 1/1", ", 1 queued, 0 failed"),
    ]
    (_, table) = shown["run"]
    assert "3 of 6 downloads are in the torrent client" in table.data["text/html"]


def test_what_is_kept_tells_nothing_of_a_machine() -> None:
    """No path, no address of a test, no time, and the ids are those that somebody wrote."""
    text = NOTEBOOK.read_text(encoding="utf-8")

    assert as_kept(read_notebook()) == read_notebook()
    assert not re.search(r"127\.0\.0\.1|localhost|/(home|root|tmp|usr|work)/|\d{4}-\d\d-\d\d", text)
    assert all(re.fullmatch(r"[a-z-]+", cell.id) for cell in read_notebook().cells)
