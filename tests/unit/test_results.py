"""How results and plans show themselves: as text, as HTML, and as rows."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiobatch import (
    BatchPlan,
    BatchResult,
    DownloadFailure,
    FailureCode,
    PlannedAction,
    PlannedDownload,
    Stage,
)
from audiobatch._item import Item
from audiobatch.models import Download, DownloadStatus, restore_request
from support.fakes import request, torrent

HOSTILE: Final = '<script>alert("1")</script>\n\x1b[2J&amp;\u202e'


def queued(index: int, name: str, *, already_present: bool = False) -> Download:
    """Make the download of a book."""
    item = Item(index, request(name), torrent(name))
    return item.succeeded(item.new_record("fake", DownloadStatus.QUEUED), already_present=already_present)


def failed(
    index: int, given: object, *, code: FailureCode = FailureCode.FETCH_UNAVAILABLE, **more: object
) -> DownloadFailure:
    """Make a failure."""
    fields: dict[str, object] = {"error": "it is down", "stage": Stage.FETCH, "retryable": True, **more}
    return DownloadFailure(index=index, request=given, code=code, **fields)  # type: ignore[arg-type]


RESULT: Final = BatchResult(
    [
        queued(0, "one"),
        queued(1, "two", already_present=True),
        failed(2, request("three", series="A Series", category="Books"), retry_after=30.0),
        failed(3, request("four"), code=FailureCode.UNCONFIRMED, stage=Stage.CONFIRM),
        failed(4, {"title": "five"}, code=FailureCode.INVALID_REQUEST, stage=Stage.VALIDATE, retryable=False),
    ]
)
PLAN: Final = BatchPlan(
    [
        PlannedDownload(index=0, request=request("one"), action=PlannedAction.FETCH),
        PlannedDownload(index=1, request=request("two"), action=PlannedAction.ADD, info_hash="ab" * 20),
        PlannedDownload(index=2, request=request("three"), action=PlannedAction.PRESENT, info_hash="cd" * 20),
        PlannedDownload(index=3, request=request("one"), action=PlannedAction.DUPLICATE, same_as=0),
        PlannedDownload(index=4, request={}, action=PlannedAction.INVALID, error="title is required"),
    ]
)


class Reader(HTMLParser):
    """Reads a table as a screen reader does.

    Attributes:
        tags: The names of all elements, in order.
        attributes: Those of all elements together.
        cells: The text of each row's cells.
        open: Elements that are not closed yet.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.cells: list[list[str]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.tags.append(tag)
        self.attributes += attrs
        self.open.append(tag)
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        """Check that elements are closed in order."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note text of a cell."""
        if {"td", "th"} & set(self.open):
            self.cells[-1][-1] += data


class TestRows:
    """What a data frame is made of."""

    def test_each_row_has_the_same_names(self) -> None:
        """In the same order, with plain values."""
        rows = RESULT.rows()

        assert len({tuple(row) for row in rows}) == 1
        assert [row["index"] for row in rows] == [0, 1, 2, 3, 4]
        assert all(type(value) in (str, int, float, bool, type(None)) for row in rows for value in row.values())

    def test_an_outcome_has_one_word(self) -> None:
        """What may be in the client all the same is not called failed."""
        assert [row["outcome"] for row in RESULT.rows()] == [
            "queued",
            "already_present",
            "failed",
            "unconfirmed",
            "failed",
        ]

    def test_a_good_one_and_a_bad_one(self) -> None:
        """Each has what applies to it."""
        good, _, bad, *_, invalid = RESULT.rows()

        assert good == {
            **dict.fromkeys(bad),
            "index": 0,
            "outcome": "queued",
            "title": "one",
            "author": "An Author",
            "info_hash": queued(0, "one").info_hash,
        }
        assert bad == {
            "index": 2,
            "outcome": "failed",
            "title": "three",
            "author": "An Author",
            "series": "A Series",
            "category": "Books",
            "save_path": None,
            "info_hash": None,
            "code": "fetch_unavailable",
            "stage": "fetch",
            "error": "it is down",
            "retryable": True,
            "retry_after": 30.0,
        }
        assert (invalid["title"], invalid["author"]) == ("five", None)

    @pytest.mark.parametrize("title", [None, 5, ["T"], "x" * 501, "half a \ud800 pair", "nul \0"], ids=repr)
    def test_what_did_not_validate_is_shown_only_if_it_is_a_good_text(self, title: object) -> None:
        """Anything else may be anything."""
        (row,) = BatchResult([failed(0, {"title": title, "author": "A"})]).rows()

        assert (row["title"], row["author"]) == (None, "A")
        assert "(no title)" in str(BatchResult([failed(0, {"title": title})]))

    def test_a_request_that_is_no_mapping(self) -> None:
        """A JSON array may hold a number where a request should be."""
        (row,) = BatchResult([failed(0, 17)]).rows()

        assert row["title"] is None

    def test_no_url_is_in_it(self) -> None:
        """A table is shown to others, and URLs hold passkeys."""
        shown = f"{RESULT.rows()}{RESULT}{RESULT._repr_html_()}{PLAN.rows()}{PLAN}{PLAN._repr_html_()}"

        assert "tracker.test" not in shown
        assert "s3cret" not in shown

    def test_those_of_a_plan(self) -> None:
        """The same for what would be done."""
        rows = PLAN.rows()

        assert [row["action"] for row in rows] == ["fetch", "add", "present", "duplicate", "invalid"]
        assert len({tuple(row) for row in rows}) == 1
        assert (rows[1]["info_hash"], rows[3]["same_as"], rows[4]["error"]) == ("ab" * 20, 0, "title is required")


class TestText:
    """What ``print`` shows."""

    def test_of_a_result(self) -> None:
        """A line for each, that says what became of it and why."""
        one, two = (queued(index, name).info_hash for index, name in enumerate(["one", "two"]))

        assert str(RESULT).splitlines() == [
            "2 of 5 downloads are in the torrent client",
            f"  0  ✓ queued  one, by An Author: {one}",
            f"  1  ✓ already present  two, by An Author: {two}",
            "  2  ✗ failed  three, by An Author: it is down (worth another try in 30 s)",
            "  3  ? unconfirmed  four, by An Author: it is down (worth another try)",
            "  4  ✗ failed  five: it is down",
        ]

    def test_of_a_plan(self) -> None:
        """A line for each, that says what would become of it."""
        assert str(PLAN).splitlines() == [
            "A plan for 5 downloads, with 1 to be fetched",
            "  0  ✓ would be fetched and added  one, by An Author",
            f"  1  ✓ would be added without a fetch  two, by An Author: {'ab' * 20}",
            f"  2  ✓ is there already  three, by An Author: {'cd' * 20}",
            "  3  ? is in the batch twice  one, by An Author: asks for the same as item 0",
            "  4  ✗ would fail  (no title): title is required",
        ]

    @given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
    def test_a_title_cannot_break_out_of_its_line(self, title: str) -> None:
        """Nor move the cursor, whatever it holds."""
        # A record of an earlier version can hold what a request of today cannot.
        stored = {"title": f"T{title}".replace("\0", ""), "author": "A", "torrent_url": "http://t.test/"}
        shown = str(BatchResult([failed(0, restore_request(stored))]))

        _, line = shown.split("\n")
        assert line.isprintable()


class TestHtml:
    """What a notebook shows."""

    @pytest.mark.parametrize("shown", [RESULT, PLAN], ids=["result", "plan"])
    def test_it_is_a_table_for_everybody(self, shown: BatchResult | BatchPlan) -> None:
        """With a caption, and headings that a screen reader can name; the outcome is a word, not just a colour."""
        read = Reader(shown._repr_html_())

        assert read.open == []
        assert set(read.tags) == {"table", "caption", "thead", "tbody", "tr", "th", "td", "span"}
        assert read.cells[0] == ["#", "Title", "Author", "Series", "Outcome", "Details"]
        assert [value for name, value in read.attributes if name == "scope"] == ["col"] * 6 + ["row"] * 5
        assert ("aria-hidden", "true") in read.attributes

    def test_it_says_what_the_text_says(self) -> None:
        """Word for word."""
        rows = Reader(RESULT._repr_html_()).cells[1:]

        assert rows[2] == [
            "2",
            "three",
            "An Author",
            "A Series",
            "✗ failed",
            "it is down (worth another try in 30 s)",
        ]

    def test_it_brings_no_colour_of_its_own_for_text_and_page(self) -> None:
        """Those are the reader's, light or dark."""
        page = RESULT._repr_html_()
        styles = ";".join(re.findall(r'style="([^"]*)"', page)).split(";")

        assert {style for style in styles if style.startswith(("color:", "background"))} == {
            "color:inherit",
            "background:transparent",
        }

    @given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
    def test_everything_is_escaped(self, text: str) -> None:
        """Whatever stands in a title, an author, a series or an error shows as that very text."""
        title = f"T{text}<script>&\"'".replace("\0", "")
        texts = dict.fromkeys(("title", "author", "series"), title)
        asked = restore_request({**texts, "torrent_url": "http://t.test/"})
        page = BatchResult([failed(0, asked, error=title, retryable=False)])._repr_html_()

        assert "<script" not in page
        row = Reader(page.replace("\r", "&#13;")).cells[1]
        assert row[1:4] == [asked.title, asked.author, asked.series]
        assert row[5] == html.unescape(html.escape(title))

    def test_hostile_text_stays_text(self) -> None:
        """The example that everybody tries first."""
        page = BatchResult([failed(0, {"title": "T", "author": HOSTILE}, error=HOSTILE)])._repr_html_()

        assert "<script" not in page
        assert "&lt;script&gt;" in page


@pytest.mark.parametrize("shown", [RESULT, PLAN], ids=["result", "plan"])
def test_ipython_shows_the_text(shown: BatchResult | BatchPlan) -> None:
    """In its terminal too, the value of a cell is a table."""
    printed: list[str] = []

    class Printer:
        def text(self, obj: str, /) -> None:
            printed.append(obj)

    shown._repr_pretty_(Printer(), False)  # noqa: FBT003 - as IPython calls it

    assert printed == [str(shown)]
