"""Run what stands in the README and in the docs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(?P<language>[^\n`]*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)


def documents() -> list[str]:
    """Return the path of each document, from the root on."""
    return sorted(str(path.relative_to(ROOT)) for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def languages(document: str) -> list[str]:
    """Return the language of each block of a document, in order."""
    return [block["language"] for block in _BLOCK.finditer(_text(document))]


def blocks(document: str, language: str) -> list[str]:
    """Return the blocks of a document in one language, in order."""
    return [block["text"] for block in _BLOCK.finditer(_text(document)) if block["language"] == language]


def tables(document: str) -> list[list[list[str]]]:
    """Return the tables of a document: rows of cells, without the heading."""
    found = re.findall(r"(?:^\|.*\n)+", _text(document), re.MULTILINE)
    return [[[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[2:]] for table in found]


def run_all(document: str, *, here: Mapping[str, str] | None = None) -> Sequence[dict[str, Any]]:
    """Run all Python blocks of a document, each on its own, and return the names that each makes.

    Args:
        document: Its path, from the root on.
        here: Texts of the blocks, with what stands for them here; each has to be found.
    """
    codes = blocks(document, "python")
    for written, meant in (here or {}).items():
        assert any(written in code for code in codes), f"{document} says nothing of {written}"
        codes = [code.replace(written, meant) for code in codes]
    return [_run(code, f"{document}, block {number}") for number, code in enumerate(codes, start=1)]


def _run(code: str, name: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": name}
    exec(compile(code, name, "exec"), names)
    return names


def _text(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")
