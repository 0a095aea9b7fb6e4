"""Decode bencode (BEP 3) strictly, keeping the bytes of the ``info`` value as they stand.

The parser is iterative and bounded, so that no input exhausts the stack, the memory
or the processor. It raises `ValueError` with a short reason, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, TypeAlias

from attrs import field, frozen, mutable

Value: TypeAlias = "int | bytes | list[Value] | dict[bytes, Value]"

MAX_DEPTH: Final = 100
MAX_TOKENS: Final = 300_000  # bounds the processor time to about a third of a second, and the memory to 30 MiB

_TOKEN: Final = re.compile(
    rb"i(?P<int>0|-?[1-9][0-9]{0,18})e|(?P<string>0|[1-9][0-9]{0,9}):|(?P<list>l)|(?P<dict>d)|(?P<end>e)"
)
_INT64: Final = range(-(2**63), 2**63)


@frozen
class Document:
    """A decoded top-level dictionary, with what an info-hash needs of its ``info`` value."""

    root: dict[bytes, Value]
    info: memoryview
    info_sorted: bool


@mutable
class _Container:
    """A list or dictionary whose end has not been read yet."""

    start: int
    value: list[Value] | dict[bytes, Value]
    key: bytes | None = None
    last_key: bytes | None = None
    sorted: bool = field(default=True, init=False)

    def take(self, value: Value) -> None:
        if isinstance(self.value, list):
            self.value.append(value)
        elif self.key is not None:
            self.value[self.key] = value
            self.last_key, self.key = self.key, None
        elif not isinstance(value, bytes):
            raise ValueError("a dictionary key is not a string")
        elif value in self.value:
            raise ValueError("a dictionary has the same key twice")
        else:
            self.key = value
            if self.last_key is not None and value < self.last_key:
                self.sorted = False


def decode(data: bytes) -> Document:
    """Decode a whole document: one dictionary, then nothing but white space.

    Raises:
        ValueError: The data is not bencode, breaks one of the limits, holds a
            dictionary with a key twice, or has no ``info``.
    """
    open_containers: list[_Container] = []
    info = slice(0)
    unsorted: list[int] = []
    value: Value = 0
    stop = 0
    for start, stop, kind, scalar in _tokens(data):
        value, began = scalar, start
        if kind in ("list", "dict"):
            if len(open_containers) == MAX_DEPTH:
                raise ValueError("it is nested too deeply")
            open_containers.append(_Container(start, [] if kind == "list" else {}))
            continue
        if kind == "end":
            if not open_containers or open_containers[-1].key is not None:
                raise ValueError("a value is missing")
            container = open_containers.pop()
            value, began = container.value, container.start
            if not container.sorted:
                unsorted.append(began)
        if not open_containers:
            break
        if len(open_containers) == 1 and open_containers[0].key == b"info":
            info = slice(began, stop)
        open_containers[-1].take(value)
    if not isinstance(value, dict) or data[stop:].strip():
        raise ValueError("it is not one bencoded dictionary")
    if b"info" not in value:
        raise ValueError("it has no info dictionary")
    return Document(value, memoryview(data)[info], not any(info.start <= at < info.stop for at in unsorted))


def _tokens(data: bytes) -> Iterator[tuple[int, int, str, int | bytes]]:
    """Yield start, stop, kind and (of a number or a string) value of each token, without an end."""
    position = 0
    for _ in range(MAX_TOKENS):
        token = _TOKEN.match(data, position)
        if token is None:
            raise ValueError("it is not bencoded, or cut short")
        start, position = token.span()
        kind = str(token.lastgroup)
        value: int | bytes = 0
        if kind == "int":
            value = int(token["int"])
            if value not in _INT64:
                raise ValueError("a number is too large")
        elif kind == "string":
            start_of_text, position = position, position + int(token["string"])
            value = data[start_of_text:position]
            if position > len(data):
                raise ValueError("it is cut short")
        yield start, position, kind, value
    raise ValueError("it has too many values")
