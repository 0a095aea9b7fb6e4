"""A JSON list is read row by row, as `json` would read it whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiobatch.clients._json_rows import MAX_ROWS, rows_in

ROWS: list[dict[str, Any]] = [
    {"name": "ä📖" * 20, "progress": 0.5, "tags": ["a", {"b": None}]},
    {"name": "x" * 70_000},
    {},
    {"name": "📖" * 15_000, "n": -1e300},
]


@pytest.mark.parametrize("between", [b",", b" ,\r\n\t ", b"," + b" " * 70_000], ids=["tight", "spaced", "far"])
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_all_rows_are_read(between: bytes, count: int, *, ascii_only: bool) -> None:
    """Wherever they end, and however long they are."""
    rows = (ROWS * 10)[:count]
    written = between.join(json.dumps(row, ensure_ascii=ascii_only).encode() for row in rows)

    assert list(rows_in(b" [" + written + b"]\n")) == rows


@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers() | st.booleans() | st.none())), st.integers(0, 4))
def test_it_reads_what_json_reads(rows: list[dict[str, Any]], indent: int) -> None:
    """In whatever form it is written."""
    written = json.dumps(rows, indent=indent, ensure_ascii=bool(indent % 2))

    assert list(rows_in(written.encode(errors="surrogatepass"))) == json.loads(written)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b" ", b"null", b"{}", b"1", b'"["', b"[", b"[1]", b"[null]", b"[[]]", b"[{", b"[{}", b"[{},]", b"[,{}]"),
        *(b"[{}]x", b"[{}][", b"[{} {}]", b"[{}],", b"\xef\xbb\xbf[]", b"{}[]", b"[{'a': 1}]", b'[{"a": \xff}]'),
        b'[{"a": ' + b"[" * 100_000,
        b'[{"a": "' + b"x" * 300_000 + b'"}]',
        b'[{"a": ' + b"1" * 5000 + b"}]",
        b"[" + b"{}," * (MAX_ROWS + 1),
    ],
    ids=lambda body: str(body[:12]),
)
def test_what_is_no_list_of_objects_is_refused(body: bytes) -> None:
    """Be it broken, nested too deeply, or too large."""
    with pytest.raises(ValueError):  # noqa: PT011 - which one it is says nothing to the caller
        list(rows_in(body))
