"""Show the items of a batch as a table, as text for terminals and logs or as HTML for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from html import escape
from typing import Final, TypeAlias

from attrs import frozen

from audiobatch.models import GivenRequest, texts_of

Row: TypeAlias = dict[str, str | int | float | bool | None]
"""A row of a data frame: plain values, under names that are the same in each row."""


class Tone(Enum):
    """How good the news of a line is: a mark that a reader without colours sees too, and a colour for the others.

    The colours are such that both a white and a nearly black page show them well (WCAG 2.1, 3:1).
    """

    GOOD = ("✓", "#2a9d5c")
    BAD = ("✗", "#d9534f")
    OPEN = ("?", "#b8860b")


@frozen(kw_only=True)
class Line:
    """One item: what it is, and what is to be said of it."""

    index: int
    title: str
    author: str
    series: str
    tone: Tone
    verdict: str
    details: str


def line(index: int, request: GivenRequest, tone: Tone, verdict: str, details: str) -> Line:
    """Make the line of an item from its request."""
    about = texts_of(request)
    return Line(
        index=index,
        title=about["title"] or "(no title)",
        author=about["author"] or "",
        series=about["series"] or "",
        tone=tone,
        verdict=verdict,
        details=details,
    )


_HEADINGS: Final = ("#", "Title", "Author", "Series", "Outcome", "Details")
# Styles stand at each element: many a notebook removes what stands in a <style>. Colours of text and page are the
# reader's own, so that it suits light and dark.
_TABLE: Final = "border-collapse:collapse;color:inherit;background:transparent;font-size:0.95em"
_CAPTION: Final = "caption-side:top;text-align:left;color:inherit;font-weight:bold;padding:0.3em 0"
_CELL: Final = "text-align:left;vertical-align:top;padding:0.3em 0.8em;border-bottom:1px solid rgba(128,128,128,0.4)"
_WIDE: Final = f"{_CELL};overflow-wrap:anywhere;max-width:30em"


def as_text(caption: str, lines: Sequence[Line]) -> str:
    """Return the caption, and below it a line for each item."""
    return "\n".join([caption, *(_text_line(line) for line in lines)])


def _text_line(line: Line) -> str:
    book = f"{line.title}, by {line.author}" if line.author else line.title
    text = f"{line.index:>3}  {line.tone.value[0]} {line.verdict}  {book}" + (
        f": {line.details}" if line.details else ""
    )
    # A title may come from anywhere: it is not to break the line, nor to move the cursor.
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def as_html(caption: str, lines: Sequence[Line]) -> str:
    """Return a table that screen readers understand, that needs no script, and in which all text is escaped."""
    headings = "".join(f'<th scope="col" style="{_CELL}">{heading}</th>' for heading in _HEADINGS)
    return (
        f'<table style="{_TABLE}"><caption style="{_CAPTION}">{escape(caption)}</caption>'
        f"<thead><tr>{headings}</tr></thead><tbody>{''.join(map(_html_row, lines))}</tbody></table>"
    )


def _html_row(line: Line) -> str:
    mark, colour = line.tone.value
    # dir="auto", since a title may be written from right to left without turning the cells around it.
    return (
        f'<tr><td style="{_CELL}">{line.index}</td>'
        f'<th scope="row" dir="auto" style="{_WIDE};font-weight:inherit">{escape(line.title)}</th>'
        f'<td dir="auto" style="{_WIDE}">{escape(line.author)}</td>'
        f'<td dir="auto" style="{_WIDE}">{escape(line.series)}</td>'
        f'<td style="{_CELL};border-left:4px solid {colour};white-space:nowrap">'
        f'<span aria-hidden="true">{mark}</span> {escape(line.verdict)}</td>'
        f'<td dir="auto" style="{_WIDE}">{escape(line.details)}</td></tr>'
    )
