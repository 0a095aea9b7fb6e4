"""The house keeps its shape: who imports whom, and what `import audiobatch` costs."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import audiobatch

HOME = Path(audiobatch.__file__).parent
MODULES = sorted(path.relative_to(HOME) for path in HOME.rglob("*.py"))
PORTS = ("clients", "fetchers", "repositories")


def imported(module: Path) -> set[str]:
    """Return the full names of the modules that a module of ours imports."""
    tree = ast.parse((HOME / module).read_text())
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("module", [module for module in MODULES if module.parts[0] in PORTS], ids=str)
def test_adapters_do_not_import_each_other(module: Path) -> None:
    """An adapter stands alone: what several share lies in a private module beside them."""
    own = f"audiobatch.{'.'.join(module.with_suffix('').parts)}"
    others = {
        f"audiobatch.{'.'.join(other.with_suffix('').parts)}"
        for other in MODULES
        if other.parts[0] in PORTS and not other.name.startswith("_")
    }

    assert not (imported(module) & others) - {own}


@pytest.mark.parametrize("module", [module for module in MODULES if module.parts[0] not in PORTS], ids=str)
def test_httpx_stays_at_the_rim(module: Path) -> None:
    """Only fetchers, and the clients that speak HTTP, know of it."""
    assert "httpx" not in imported(module)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_only_the_async_facade_knows_of_event_loops(module: Path) -> None:
    """The pipeline has one colour."""
    facade = module.name in ("aio.py", "_async_plugins.py")

    assert facade or not any(name.split(".")[0] in ("anyio", "asyncio", "trio") for name in imported(module))


@pytest.mark.parametrize(
    "module",
    [
        *("results.py", "plans.py", "_tables.py", "_printable.py", "_names.py", "_same_folder.py", "_decomposition.py"),
        *("models.py", "metainfo.py", "_layout.py", "_piece_layers.py", "_bencode.py", "_settle.py", "_urls.py"),
        "errors.py",
        *(f"fetchers/{name}.py" for name in ("_addresses", "_answers", "_mam_answers", "_mam_cookie")),
    ],
)
def test_values_and_decisions_do_no_input_or_output(module: str) -> None:
    """They import nothing that could."""
    assert not imported(Path(module)) & {"os", "pathlib", "sqlite3", "socket", "threading", "logging", "time"}


def test_importing_audiobatch_imports_no_adapter_and_no_extra() -> None:
    """Not even httpx, which an application may never need."""
    program = "import sys, audiobatch; print(*sys.modules)"
    bare = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60, env=bare
    )
    loaded = set(answer.stdout.split())

    assert "audiobatch.downloader" in loaded
    assert not loaded & {"httpx", "libtorrent", "sqlite3", "anyio", "tqdm"}
    assert not {name for name in loaded if name.startswith(tuple(f"audiobatch.{port}." for port in PORTS))}


def test_a_missing_extra_is_named() -> None:
    """The error says what to install."""
    program = "import sys; sys.modules['libtorrent'] = None; import audiobatch.clients.libtorrent"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)

    assert answer.returncode == 1
    assert "ImportError: LibtorrentClient needs an extra: pip install 'audiobatch[libtorrent]'" in answer.stderr


def test_every_module_says_what_it_is_for() -> None:
    """In its first line; and none grows beyond what one can oversee."""
    for module in MODULES:
        text = (HOME / module).read_text()
        assert text.startswith('"""'), module
        assert len(text.splitlines()) <= 350, module
