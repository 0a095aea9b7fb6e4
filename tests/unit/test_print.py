"""``print`` of a result, or of a plan, works on whatever standard output is."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiobatch import BatchPlan, PlannedAction, PlannedDownload
from audiobatch._printable import encodable, printable
from support.fakes import request

PROGRAM: Final = """
import sys
from audiobatch import BatchDownloader, BatchPlan, BatchResult
from audiobatch.repositories.memory import MemoryRepository
from support.fakes import FakeClient, FakeFetcher, request

downloader = BatchDownloader(client=FakeClient(), fetcher=FakeFetcher(), repository=MemoryRepository())
books = [request("one", title="B\\u00fccher"), request("missing", title="\\u65e5\\u672c"), {}]
print(downloader.plan(books))
result = downloader.run(books)
print(result)
print(result.ended_by, result)
print(f"{result}")
if len(sys.argv) > 1:
    with open(sys.argv[1], "w") as file:  # in the encoding of this machine
        print(downloader.run([request("one")]), file=file)
"""


def printed(*arguments: str, **environment: str) -> bytes:
    """Run the program, and return what it printed."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LC_", "LANG"))}
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={**inherited, "PYTHONPATH": str(Path(__file__).parent.parent), **environment},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (answer.returncode, answer.stderr) == (0, b"")
    return answer.stdout


@pytest.mark.parametrize(
    ("encoding", "good", "bad"),
    [
        ("ascii", r"+ queued  B\xfccher, by An Author: ", r"x failed  \u65e5\u672c, by"),
        ("cp1252", "+ queued  Bücher, by An Author: ", r"x failed  \u65e5\u672c, by"),
        ("latin-1:strict", "+ queued  Bücher, by An Author: ", r"x failed  \u65e5\u672c, by"),
        ("cp437", "+ queued  Bücher, by An Author: ", r"x failed  \u65e5\u672c, by"),
        ("shift_jis", r"+ queued  B\xfccher, by An Author: ", "x failed  日本, by"),
        ("utf-8", "✓ queued  Bücher, by An Author: ", "✗ failed  日本, by"),
        ("utf-16", "✓ queued  Bücher, by An Author: ", "✗ failed  日本, by"),
    ],
)
def test_symbols_and_titles_stand_where_the_stream_takes_them(encoding: str, good: str, bad: str) -> None:
    """Plain marks and escapes elsewhere, and an error nowhere."""
    shown = printed(PYTHONIOENCODING=encoding).decode(encoding.partition(":")[0])

    assert good in shown
    assert bad in shown


@pytest.mark.parametrize("environment", [{"PYTHONUTF8": "1"}, {"LC_ALL": "C"}, {"LC_ALL": "C.UTF-8"}, {}], ids=str)
def test_the_usual_settings_show_symbols(environment: dict[str, str]) -> None:
    """Python makes UTF-8 of a locale that says nothing."""
    assert "✓ queued  Bücher" in printed(**environment).decode()


@pytest.mark.skipif(os.name != "posix", reason="needs a locale of one's own")
def test_a_file_in_the_encoding_of_the_machine_takes_it(tmp_path: Path) -> None:
    """Although standard output would take more."""
    path = tmp_path / "out.txt"

    printed(str(path), LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="utf-8")

    assert "+ already present  one, by" in path.read_text(encoding="ascii")


class Stream(io.StringIO):
    """A standard output, with an encoding of that name."""

    def __init__(self, encoding: object) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Return the name."""
        return self._encoding  # type: ignore[return-value]


@pytest.mark.parametrize("encoding", [None, "utf-8"])
def test_where_there_is_no_encoding_all_text_is_taken(monkeypatch: pytest.MonkeyPatch, encoding: str | None) -> None:
    """Without a console (pythonw) there is no standard output; a buffer in its place takes text as it is."""
    for stream in (None, object(), Stream(encoding), Stream(8)):
        monkeypatch.setattr(sys, "stdout", stream)
        assert "✓ is there" in _table()


@pytest.mark.parametrize("encoding", ["no such encoding", "rot13", "undefined", "idna"])
def test_what_is_no_encoding_takes_ascii(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    """A stream may say anything of itself."""
    monkeypatch.setattr(sys, "stdout", Stream(encoding))

    assert "+ is there" in _table()
    assert _table().isascii()


def _table() -> str:
    return str(BatchPlan([PlannedDownload(index=0, request=request("é"), action=PlannedAction.PRESENT)]))


@given(st.text(st.characters()), st.sampled_from(["ascii", "cp1252", "utf-8", "utf-16", "latin-1", "shift_jis"]))
def test_any_text_becomes_one_that_a_stream_takes(text: str, encoding: str) -> None:
    """And one that it takes as it is stays so."""
    fit = encodable(text, encoding)

    assert fit.encode(encoding).decode(encoding) == fit
    assert encodable(fit, encoding) == fit
    if text.isascii():
        assert fit == text
    assert json.loads(json.dumps(fit)) == fit


@given(st.text(st.characters()))
def test_any_text_becomes_one_line(text: str) -> None:
    """Of as many characters."""
    line = printable(text)

    assert line.isprintable()
    assert len(line) == len(text)
    assert printable(line) == line
