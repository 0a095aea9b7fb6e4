"""Take characters apart into letters and marks, in a time that does not grow with the square of their number.

`unicodedata.normalize` sorts the marks in a row by moving each of them past the others: 100,000 of them
would hold up every thread of the process for many seconds.
"""

from __future__ import annotations

from typing import Literal
from unicodedata import combining, normalize

_SHORT = 256  # characters, for which the square does not matter


def decomposed(text: str, form: Literal["NFD", "NFKD"]) -> str:
    """Return what ``unicodedata.normalize`` does for this form."""
    if len(text) <= _SHORT or text.isascii():
        return normalize(form, text)
    # Each character alone, and then the canonical ordering: a stable sort of each row of marks (Unicode 3.11, D109).
    ordered: list[str] = []
    marks: list[str] = []
    for character in "".join(normalize(form, character) for character in text):
        if combining(character):
            marks.append(character)
            continue
        ordered += sorted(marks, key=combining)
        ordered.append(character)
        marks.clear()
    return "".join([*ordered, *sorted(marks, key=combining)])


def composed(text: str) -> str:
    """Return the composed form, NFC."""
    return normalize("NFC", decomposed(text, "NFD"))
