"""The notebook of the docs, and what it is run against: a real qBittorrent, and a tracker on loopback.

It is run as it stands, with the addresses that a reader sees. In the kernel these lead elsewhere;
a script sees to that, which IPython runs first.
"""

from __future__ import annotations

import os
from pathlib import Path
from unittest.mock import patch

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from support.qbittorrent import PASSWORD, Daemon
from support.server import Exchange, LoopbackServer
from support.torrents import book

TESTS = Path(__file__).parents[1]
NOTEBOOK = TESTS.parent / "docs" / "notebook.ipynb"

_FIRST_LINES = """\
import sys
from support.elsewhere import lead_elsewhere
lead_elsewhere({places!r})
"""
_WITHOUT_WIDGETS = "sys.modules['ipywidgets'] = None\n"


class Shelf(LoopbackServer):
    """The tracker of the notebook: number 102 is to be waited for, 104 is gone, and 106 has trouble three times."""

    def __init__(self) -> None:
        self._waits, self._troubles = 1, 3
        super().__init__(self._serve)

    def _serve(self, exchange: Exchange) -> None:
        number = exchange.path.removeprefix("/torrents/")
        if number == "102" and self._waits:
            self._waits -= 1
            exchange.send(429, Content_Length="0", Retry_After="2")
        elif number == "106" and self._troubles:
            self._troubles -= 1
            exchange.send(503, Content_Length="0")
        elif number == "104":
            exchange.send(404, Content_Length="0")
        else:
            body = book(number)
            exchange.send(200, body, Content_Length=str(len(body)))


def read_notebook() -> NotebookNode:
    """Return the notebook as it is kept."""
    notebook: NotebookNode = nbformat.reads(NOTEBOOK.read_text(encoding="utf-8"), as_version=4)  # type: ignore[no-untyped-call]
    return notebook


def write_notebook(notebook: NotebookNode) -> None:
    """Keep a notebook."""
    NOTEBOOK.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")  # type: ignore[no-untyped-call]


def environment(folder: Path, daemon: Daemon, shelf: Shelf, *, widgets: bool = True) -> dict[str, str]:
    """Return an environment for Jupyter and its kernels, in which they keep all their files in a folder."""
    places = {"http://nas:8080": daemon.url, "https://tracker.example": shelf.url}
    startup = folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "first.py").write_text(_FIRST_LINES.format(places=places) + ("" if widgets else _WITHOUT_WIDGETS))
    return {
        **os.environ,
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "PYTHONPATH": str(TESTS),
        "QBITTORRENT_PASSWORD": PASSWORD,
    }


def execute(folder: Path, daemon: Daemon, shelf: Shelf, *, widgets: bool) -> NotebookNode:
    """Run the notebook from its first cell to its last, in a kernel of this Python, and return it with its outputs.

    Args:
        folder: Where the kernel works, and keeps its files.
        daemon: Plays ``http://nas:8080``.
        shelf: Plays ``https://tracker.example``.
        widgets: Whether the kernel has ipywidgets.
    """
    notebook = read_notebook()
    for cell in notebook.cells:
        cell.pop("outputs", None)
    client = NotebookClient(
        notebook,
        timeout=60,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    with patch.dict(os.environ, environment(folder, daemon, shelf, widgets=widgets)):
        return client.execute()


def as_kept(notebook: NotebookNode) -> NotebookNode:
    """Leave out of a notebook that was run what differs from run to run, or tells of the machine."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata = {}
        for output in cell.get("outputs", ()):
            if "text/html" in output.get("data", ()):
                # The repr beside a table, with ids and times in it, is shown to nobody.
                output.data.pop("text/plain", None)
    return notebook
