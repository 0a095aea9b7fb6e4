"""A JSON list of objects, read one by one: however long it is, it takes little more memory than its bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

MAX_ROWS: Final = 500_000
"""Objects in a list: many times what any client has."""

_WINDOW: Final = 64 * 1024  # bytes that are read at once
_MAX_OBJECT: Final = 256 * 1024  # bytes; in memory it can take many times that
_BLANK: Final = re.compile(r"[ \t\r\n]*")
_decoder: Final = json.JSONDecoder()


def rows_in(body: bytes) -> Iterator[dict[str, Any]]:
    """Yield each object of the list.

    Raises:
        ValueError: It is no list of objects, or too long a one, or one of them is too large.
    """
    window = _Window(body)
    window.take("[")
    if window.sign() != "]":
        for _ in range(MAX_ROWS):
            yield window.take_object()
            if window.sign() != ",":
                break
            window.take(",")
    window.take("]")
    window.take("")


class _Window:
    """The part of the body that is read just now, as text, and how far it has been taken."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._start = 0  # in bytes, where the text begins
        self._text = ""
        self._taken = 0  # in characters, of the text
        self._move(_WINDOW)

    def _move(self, size: int) -> None:
        """Begin the window where the text has been taken to."""
        self._start += _size(self._text[: self._taken])
        # This way each byte can be counted again, although the last letter may be cut.
        self._text = self._body[self._start : self._start + size].decode(errors="surrogateescape")
        self._taken = 0

    @property
    def _reaches_the_end(self) -> bool:
        return self._start + _size(self._text) >= len(self._body)

    def sign(self) -> str:
        """Return the next character that is not blank; at the end, nothing."""
        while True:
            blank = _BLANK.match(self._text, self._taken)
            assert blank is not None
            self._taken = blank.end()
            if self._taken < len(self._text) or self._reaches_the_end:
                return self._text[self._taken : self._taken + 1]
            self._move(_WINDOW)

    def take(self, sign: str) -> None:
        """Take this sign, which must be the next one."""
        if self.sign() != sign:
            raise ValueError("no list of objects")
        self._taken += len(sign)

    def take_object(self) -> dict[str, Any]:
        """Take the object that must come next."""
        if self.sign() != "{":
            raise ValueError("no list of objects")
        sizes = iter((_WINDOW, _MAX_OBJECT))
        while (found := self._parse()) is None:
            size = next(sizes, None)
            if size is None or self._reaches_the_end:
                raise ValueError("an object that is broken, or too large")
            self._move(size)
        return found

    def _parse(self) -> dict[str, Any] | None:
        """Return the object, or None if the window does not hold it whole."""
        try:
            found, self._taken = _decoder.raw_decode(self._text, self._taken)
        except json.JSONDecodeError:
            return None
        except RecursionError:
            raise ValueError("nested too deeply") from None
        assert isinstance(found, dict)
        return found


def _size(text: str) -> int:
    return len(text.encode(errors="surrogateescape"))
