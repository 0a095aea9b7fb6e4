"""Read bencode (BEP 3) twice: find the ``info`` value as clients do, then decode all of it within narrower bounds.

`find_info` takes whatever a client may take: it steps over values without making objects
of them, most at the speed of the regular expression engine. `decode` makes objects, and
notes what is not canonical. Neither recurses, and no input exhausts the memory or the
processor. Both raise `ValueError` with a short reason, and nothing else.
"""

from __future__ import annotations

import re
from functools import cache
from operator import gt
from typing import Final, TypeAlias

from attrs import field, frozen, mutable

Value: TypeAlias = "int | bytes | list[Value] | dict[bytes, Value]"
Span: TypeAlias = tuple[int, int]

# What `find_info` goes through: no client goes deeper; and so many steps take about a fifth of a second.
MAX_DEPTH: Final = 100
MAX_STEPS: Final = 400_000
# What `decode` goes through: libtorrent goes no deeper; and so many values take as long, and up to 30 MiB.
MAX_DECODED_DEPTH: Final = 99
MAX_DECODED: Final = 300_000

_NOT_BENCODED: Final = "it is not bencoded, or cut short"
_INT64: Final = range(-(2**63), 2**63)


def _any_number_of(*alternatives: str, most: str = "") -> str:
    # Up to 3.11.4, Python goes on from where the last repetition has failed. What never matches takes it back.
    return f"(?:{'|'.join(alternatives)}|(?!)){{0,{most}}}+"


def _short_texts() -> str:
    """Return a pattern for texts of up to 99 bytes: what a regular expression cannot count, it has to enumerate."""
    tens = (
        f"{tens}(?::.{{{tens}}}|{'|'.join(f'{ones}:.{{{10 * tens + ones}}}' for ones in range(10))})"
        for tens in range(1, 10)
    )
    return f"(?:{'|'.join(('0{1,257}:', *tens))})"


# Clients read numbers and lengths with zeros before them, up to these numbers of digits.
_SCALAR = f"i-?[0-9]{{1,20}}e|{_short_texts()}"
_EMPTY = "(?:[ld]e)++"
_FLAT = f"[ld]{_any_number_of(_SCALAR)}e"
# It is short, because what turns out to be deeper has to be gone through again.
_SHALLOW = f"[ld]{_any_number_of(_SCALAR, _EMPTY, _FLAT, most='16')}e"
_LEVELS: Final = 2
_STEP = "(?:([ld])|(e)|([0-9]{1,257}):)"
_OPEN, _END, _TEXT = 1, 2, 3


def _compile(pattern: str) -> re.Pattern[bytes]:
    return re.compile(pattern.encode(), re.DOTALL)


_LENGTH: Final = _compile("([0-9]{1,257}):")
_NUMBER: Final = _compile("i(-?[0-9]{1,20})e")
_INFO_KEYS: Final = (b"file tree", b"files", b"length", b"meta version", b"name", b"name.utf-8", b"private")


def _others(*keys: bytes) -> re.Pattern[bytes]:
    """Match the next members of a dictionary up to one of these keys, to one that is not so simple, or to the end."""
    wanted = "|".join(f"{len(key)}:{re.escape(key.decode())}" for key in keys)
    return _compile(
        _any_number_of(f"(?!0*(?:{wanted})){_short_texts()}(?:{_SCALAR}|{_SHALLOW})") + "(?:([0-9]{1,257}):|e)"
    )


@frozen
class _Patterns:
    """What takes a while to be compiled, and so is compiled when the first torrent is read."""

    value: re.Pattern[bytes] = field(factory=lambda: _compile(f"{_SCALAR}|{_STEP}"))
    values: re.Pattern[bytes] = field(factory=lambda: _compile(_any_number_of(_SCALAR, _EMPTY, _SHALLOW) + _STEP))
    deep_values: re.Pattern[bytes] = field(factory=lambda: _compile(_any_number_of(_SCALAR) + _STEP))
    others_than_info: re.Pattern[bytes] = field(factory=lambda: _others(b"info"))
    others_in_info: re.Pattern[bytes] = field(factory=lambda: _others(*_INFO_KEYS))


_patterns = cache(_Patterns)


@frozen
class Info:
    """Where the ``info`` value of a document stands, and what identifies a torrent in it.

    Attributes:
        span: Where it begins and ends.
        members: The same of its members; of a key that stands twice, the first, as clients take it.
        end: Where the document ends; more bytes may follow.
    """

    span: Span
    members: dict[bytes, Span]
    end: int


def find_info(data: bytes) -> Info:
    """Find the one ``info`` value of a document.

    Raises:
        ValueError: The data is not a bencoded dictionary, is cut short, has too many values to be
            read, or does not have exactly one ``info``, which is a dictionary.
    """
    return _Walk(data).find_info()


@mutable
class _Walk:
    data: bytes
    steps_left: int = MAX_STEPS
    patterns: _Patterns = field(factory=_patterns)

    def find_info(self) -> Info:
        if self.data[:1] != b"d":
            raise ValueError(
                "it is not one bencoded dictionary" if self.patterns.value.match(self.data) else _NOT_BENCODED
            )
        info = None
        members: dict[bytes, Span] = {}
        key, at = self._key(self.patterns.others_than_info, 1)
        while key is not None:
            start = at
            if key != b"info":
                at = self._skip(start, depth=1)
            elif info is not None:
                raise ValueError("it has the same key twice: info")
            else:
                at = self._info(start, members)
                info = (start, at)
            key, at = self._key(self.patterns.others_than_info, at)
        if info is None:
            raise ValueError("it has no info dictionary")
        return Info(info, members, at)

    def _info(self, start: int, members: dict[bytes, Span]) -> int:
        if self.data[start : start + 1] != b"d":
            self._skip(start, depth=1)
            raise ValueError("its info value is not a dictionary")
        key, at = self._key(self.patterns.others_in_info, start + 1)
        while key is not None:
            end = self._skip(at, depth=2)
            if key in _INFO_KEYS:
                members.setdefault(key, (at, end))
            key, at = self._key(self.patterns.others_in_info, end)
        return at

    def _key(self, others: re.Pattern[bytes], at: int) -> tuple[bytes | None, int]:
        """Go on to the next key that is not skimmed over, or to the end: return it or None, and where it ends."""
        self._count()
        found = others.match(self.data, at)
        if found is None:
            raise ValueError(_NOT_BENCODED)
        start = found.end()
        if found.lastindex != 1:
            return None, start
        end = self._within(start + int(found[1]))
        return self.data[start:end], end

    def _skip(self, at: int, depth: int) -> int:
        """Return where the value ends that begins there, inside of so many containers."""
        outside = depth
        pattern = self.patterns.value
        while True:
            self._count()
            found = pattern.match(self.data, at)
            if found is None:
                raise ValueError(_NOT_BENCODED)
            at = found.end()
            if found.lastindex == _OPEN:
                depth += 1
                if depth > MAX_DEPTH:
                    raise ValueError("it is nested too deeply")
            elif found.lastindex == _END:
                depth -= 1
            elif found.lastindex == _TEXT:
                at = self._within(at + int(found[_TEXT]))
            if depth <= outside:
                break
            pattern = self.patterns.values if depth <= MAX_DEPTH - _LEVELS else self.patterns.deep_values
        if depth < outside:
            raise ValueError("a value is missing")
        return at

    def _within(self, end: int) -> int:
        if end > len(self.data):
            raise ValueError("it is cut short")
        return end

    def _count(self) -> None:
        self.steps_left -= 1
        if self.steps_left < 0:
            raise ValueError("it has too many values")


def read_number(data: bytes, span: Span | None) -> int:
    """Read a number that was found, as clients do: what is none, or is beyond 64 bits, counts as 0."""
    number = _NUMBER.fullmatch(data, *span) if span else None
    return value if number and (value := int(number[1])) in _INT64 else 0


def find_text(data: bytes, span: Span | None) -> Span | None:
    """Return where the bytes of a text stand that was found; None if it is none."""
    length = _LENGTH.match(data, *span) if span else None
    return (length.end(), length.end() + int(length[1])) if length else None


@mutable
class Document:
    """What `decode` has made.

    Attributes:
        root: The dictionary. Of a key that stands twice, the first counts, as clients take it.
        fault: What is not canonical, if anything but the order of keys.
        unsorted: Where the dictionaries begin whose keys are not in order.
    """

    root: dict[bytes, Value] = field(factory=dict)
    fault: str | None = None
    unsorted: list[int] = field(factory=list)

    def dictionary(self, items: list[Value], start: int) -> dict[bytes, Value]:
        """Make a dictionary of keys and values in turn."""
        keys = [key for key in items[::2] if isinstance(key, bytes)]
        if 2 * len(keys) != len(items):
            raise ValueError("a value is missing, or a dictionary key is not a string")
        if any(map(gt, keys, keys[1:])):
            self.unsorted.append(start)
        members = dict(zip(keys, items[1::2], strict=True))
        if len(members) < len(keys):
            self.fault = "a dictionary has the same key twice"
            members.clear()
            for key, value in zip(keys, items[1::2], strict=True):
                members.setdefault(key, value)
        return members

    def number(self, digits: bytes) -> int:
        """Read a number as clients do: one beyond 64 bits is none."""
        value = int(digits)
        if value in _INT64:
            return value
        self.fault = "a number is too large"
        return 0


_TOKEN: Final = _compile("(0|[1-9][0-9]{0,9}):|([0-9]{1,257}):|i(0|-?[1-9][0-9]{0,18})e|i(-?[0-9]{1,20})e|([ld])|(e)")
_TEXTS, _NUMBERS, _BEGIN, _NOT_CANONICAL = 2, 4, 5, (2, 4)


def decode(data: bytes) -> Document:
    """Decode the dictionary at the beginning; `find_info` has read it before.

    Raises:
        ValueError: It is not bencode after all, or breaks one of the limits.
    """
    document = Document()
    around: list[tuple[list[Value], int]] = []
    items: list[Value] = []
    start = at = 0
    for _ in range(MAX_DECODED):
        token = _TOKEN.match(data, at)
        if token is None:
            raise ValueError(_NOT_BENCODED)
        at = token.end()
        kind = token.lastindex or 0
        if kind in _NOT_CANONICAL:
            document.fault = "a number or a length begins with a zero, or is too large"
        if kind <= _TEXTS:
            end = at + int(token[kind])
            items.append(data[at:end])
            at = end
        elif kind <= _NUMBERS:
            items.append(document.number(token[kind]))
        elif kind == _BEGIN:
            if len(around) == MAX_DECODED_DEPTH:
                raise ValueError("it is nested too deeply")
            around.append((items, start))
            items, start = [], at - 1
        else:
            made = document.dictionary(items, start) if data[start] == ord("d") else items
            items, start = around.pop()
            items.append(made)
            if not around:
                break
    else:
        raise ValueError(f"it has more than {MAX_DECODED:,} values")
    assert isinstance(made, dict)
    document.root = made
    return document
