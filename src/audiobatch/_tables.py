"""Show the items of a batch as a table, as text for terminals and logs or as HTML for notebooks."""

from __future__ import annotations

import locale
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import Enum
from html import escape
from typing import Final, Protocol, TypeAlias

from attrs import frozen

from audiobatch._printable import encodable, printable
from audiobatch.models import GivenRequest, texts_of

Row: TypeAlias = dict[str, str | int | float | bool | None]
"""A row of a data frame: plain values, under names that are the same in each row."""


class Tone(Enum):
    """How good the news of a line is: a mark that a reader without colours sees too, and a colour for the others.

    The second mark is for streams that do not take the first. The colours are such that a white page and a
    nearly black one show them well (WCAG 2.1, 3:1), and so do the grey rows of a notebook.
    """

    GOOD = ("✓", "+", "#2a9d5c")
    BAD = ("✗", "x", "#d9534f")
    OPEN = ("?", "?", "#ad7f0b")


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
        title=(about["title"] or "").strip() or "(no title)",
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
_CELL: Final = (
    "text-align:left;vertical-align:top;line-height:1.4;padding:0.3em 0.6em;"
    "border-bottom:1px solid rgba(128,128,128,0.4)"
)


class Tabular(ABC):
    """Shows itself as a table: with ``str()``, in IPython, and in a notebook.

    As text it is made for ``print``: characters that the encoding of standard output does not have stand as
    escapes, and marks are plain ones unless files that this machine opens by default have the others, too.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def _caption(self) -> str:
        """What stands above the table."""

    @property
    @abstractmethod
    def _lines(self) -> Sequence[Line]:
        """What stands in it."""

    def __str__(self) -> str:
        return as_text(self._caption, self._lines, _encoding_of_output(), _encoding_of_files())

    def _repr_html_(self) -> str:
        return as_html(self._caption, self._lines)

    def _repr_pretty_(self, printer: _Printer, _: bool, /) -> None:  # noqa: FBT001 - IPython calls it so
        printer.text(str(self))


class _Printer(Protocol):
    """IPython's."""

    def text(self, obj: str, /) -> object: ...


def _encoding_of_output() -> str | None:
    # Without a console, as with pythonw, there is no standard output; what replaces it may take all text.
    encoding = getattr(sys.stdout, "encoding", None)
    return encoding if isinstance(encoding, str) else None


def _encoding_of_files() -> str:
    return "utf-8" if sys.flags.utf8_mode else locale.getencoding()


def as_text(caption: str, lines: Sequence[Line], *encodings: str | None) -> str:
    """Return the caption, and below it a line for each item.

    Args:
        caption: What stands above.
        lines: What stands below.
        encodings: The text is one that the first of them has, and the marks are ones that all of them have.
    """
    symbols = "".join(tone.value[0] for tone in Tone)
    plain = any(encodable(symbols, encoding) != symbols for encoding in encodings)
    text = "\n".join([caption, *(_text_line(line, plain=plain) for line in lines)])
    return encodable(text, encodings[0]) if encodings else text


def _text_line(line: Line, *, plain: bool) -> str:
    symbol, plain_mark, _ = line.tone.value
    mark = plain_mark if plain else symbol
    book = f"{line.title}, by {line.author}" if line.author else line.title
    return printable(f"{line.index:>3}  {mark} {line.verdict}  {book}" + (f": {line.details}" if line.details else ""))


def as_html(caption: str, lines: Sequence[Line]) -> str:
    """Return a table that screen readers understand, that needs no script, and in which all text is escaped."""
    headings = "".join(f'<th scope="col" style="{_CELL}">{heading}</th>' for heading in _HEADINGS)
    return (
        f'<table style="{_TABLE}"><caption style="{_CAPTION}">{escape(caption)}</caption>'
        f"<thead><tr>{headings}</tr></thead><tbody>{''.join(map(_html_row, lines))}</tbody></table>"
    )


def _html_row(line: Line) -> str:
    mark, _, colour = line.tone.value
    # dir="auto", since a title may be written from right to left without turning the cells around it.
    return (
        f'<tr><td style="{_CELL}">{line.index}</td>'
        f'<th scope="row" dir="auto" style="{_wide(line.title)};font-weight:inherit">{escape(line.title)}</th>'
        f'<td dir="auto" style="{_wide(line.author)}">{escape(line.author)}</td>'
        f'<td dir="auto" style="{_wide(line.series)}">{escape(line.series)}</td>'
        f'<td style="{_CELL};box-shadow:inset 4px 0 {colour};white-space:nowrap">'
        f'<span aria-hidden="true">{mark}</span> {escape(line.verdict)}</td>'
        f'<td dir="auto" style="{_wide(line.details, least=12)}">{escape(line.details)}</td></tr>'
    )


def _wide(text: str, *, least: int = 6) -> str:
    """Return the style of a cell that wraps its text, and breaks a word only if it is very long."""
    return f"{_CELL};overflow-wrap:anywhere;max-width:30em" + (f";min-width:{least}em" if text else "")
