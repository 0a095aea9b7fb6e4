"""Run the notebook of the docs anew: keep its outputs, and pictures of it in JupyterLab, light and dark.

``python -m documents.screenshots`` does it, with ``tests`` on the path and Chromium installed.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from playwright.sync_api import FloatRect, Page, sync_playwright

from support.notebook import NOTEBOOK, Shelf, as_kept, environment, execute, write_notebook
from support.qbittorrent import GENERATIONS, Daemon, free_port
from support.waiting import wait_until

IMAGES = NOTEBOOK.parent / "images"
SHOWN = ("about-run", "run")  # the cells of the picture: from the first of them to the last
WIDTH, HEIGHT = 1000, 3000  # so high that no cell has to be scrolled to
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")

_KERNEL_IS_READY = """async () => {
    const context = jupyterapp.shell.currentWidget.sessionContext;
    await context.ready;
    await context.session.kernel.info;
}"""
_SETTINGS = {
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension/tracker.jupyterlab-settings": {"windowingMode": "none"},
}


@contextmanager
def jupyter_lab(folder: Path, environment: dict[str, str], theme: str) -> Iterator[str]:
    """Run JupyterLab on loopback, with the notebook in it; give the URL of the notebook."""
    settings = {**_SETTINGS, "@jupyterlab/apputils-extension/themes.jupyterlab-settings": {"theme": theme}}
    for name, values in settings.items():
        (folder / "settings" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "settings" / name).write_text(json.dumps(values))
    work = folder / "work"
    work.mkdir()
    shutil.copy(NOTEBOOK, work)
    port, token = free_port(), secrets.token_hex(16)
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": str(port),
        "ServerApp.root_dir": str(work),
        "ServerApp.open_browser": "False",
        "ServerApp.allow_root": "True",
        "LabApp.expose_app_in_browser": "True",
        "LabApp.user_settings_dir": str(folder / "settings"),
        "LabApp.workspaces_dir": str(folder / "workspaces"),
    }
    command = [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            command, env={**environment, "JUPYTER_TOKEN": token}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        ) as lab,
    ):
        try:
            wait_until(lambda: _answers(port, lab), "JupyterLab answers", seconds=60)
            yield f"http://127.0.0.1:{port}/doc/tree/{NOTEBOOK.name}?token={token}"
        finally:
            lab.terminate()


def _answers(port: int, lab: subprocess.Popen[bytes]) -> bool:
    assert lab.poll() is None, "JupyterLab ended at once"
    try:
        return httpx.get(f"http://127.0.0.1:{port}/api", trust_env=False).is_success
    except httpx.TransportError:
        return False


def run_all_cells(page: Page, url: str) -> None:
    """Open the notebook and run it, until its last cell has its number."""
    page.goto(url)
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    page.evaluate(_KERNEL_IS_READY)
    page.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")
    last = page.locator(".jp-CodeCell").last.locator(".jp-InputArea-prompt")
    wait_until(lambda: last.inner_text().strip("[]: ").isdigit(), "all cells have run", seconds=60)
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur(); window.getSelection().removeAllRanges()")


def frame_of(page: Page, first: int, last: int) -> FloatRect:
    """Return where the cells with these numbers are, and all between them."""
    cells = page.locator(".jp-Notebook .jp-Cell")
    top, bottom = cells.nth(first).bounding_box(), cells.nth(last).bounding_box()
    assert top is not None
    assert bottom is not None
    return {**top, "height": bottom["y"] + bottom["height"] - top["y"]}


def take_picture(theme: str, file: Path) -> None:
    """Run the notebook in JupyterLab with a theme, and keep a picture of the cells that are shown."""
    ids = [cell["id"] for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]]
    browser_path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    assert browser_path, "Chromium is not installed"
    with (
        tempfile.TemporaryDirectory() as folder,
        Daemon(GENERATIONS[0]) as daemon,
        Shelf() as shelf,
        jupyter_lab(Path(folder), environment(Path(folder), daemon, shelf), theme) as url,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=browser_path, args=QUIET) as browser,
    ):
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        run_all_cells(page, url)
        page.screenshot(path=file, clip=frame_of(page, *(ids.index(name) for name in SHOWN)))


def keep_outputs() -> None:
    """Run the notebook without widgets, whose bars no page shows that does not run, and keep what comes out."""
    with tempfile.TemporaryDirectory() as folder, Daemon(GENERATIONS[0]) as daemon, Shelf() as shelf:
        write_notebook(as_kept(execute(Path(folder), daemon, shelf, widgets=False)))


if __name__ == "__main__":
    keep_outputs()
    IMAGES.mkdir(exist_ok=True)
    take_picture("JupyterLab Light", IMAGES / "notebook-light.png")
    take_picture("JupyterLab Dark", IMAGES / "notebook-dark.png")
