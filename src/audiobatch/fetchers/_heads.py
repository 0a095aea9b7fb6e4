"""Makes the head of an answer readable for h11, as curl and browsers read it.

h11 refuses a whole answer for one line of its head that is not as RFC 9112 wants it. What
others pass over is passed over here too, before h11 sees it. The lines that say where the
body ends are the exception: where two of them disagree, nobody knows, and h11 says so.
"""

from __future__ import annotations

import re
from typing import Final

from attrs import define, field

_MAX_HEAD: Final = 96 * 1024  # bytes; h11 reads no more than 100 KiB of one here
_BEGINNING: Final = b"HTTP/"
_END: Final = re.compile(rb"\n\r?\n")
_INTERIM: Final = re.compile(rb"HTTP/[0-9]\.[0-9] 1[0-9]{2}\b")
_HEADER: Final = re.compile(rb"([A-Za-z0-9!#$%&'*+.^_`|~-]+)[ \t]*:(.*)", re.DOTALL)
_UNREADABLE: Final = re.compile(rb"[\x00\r\x0b\x0c]")  # in a value
_LENGTH_WITH_PLUS: Final = re.compile(rb"\s*\+([0-9]+)\s*")
_CLOSE: Final = b"Connection: close"  # because who knows whether the next answer begins where it seems


@define
class HeadReader:
    """Takes what a connection receives, and gives it on with readable heads. Bodies are never touched.

    A head begins with the first byte after a request, and after an interim answer (1xx).
    """

    _kept: bytearray = field(factory=bytearray, init=False)
    _searched: int = field(default=0, init=False)
    _expected: bool = field(default=False, init=False)

    def expect(self) -> None:
        """Take what comes next for the head of an answer, because a request was sent."""
        self._expected = True

    def take(self, received: bytes) -> bytes:
        """Return what can be given on of what was received: nothing as long as a head is not whole.

        Args:
            received: Nothing, if the connection has ended: then all that was kept is returned.
        """
        if not self._expected:
            return received
        self._kept += received
        given = bytearray()
        while self._expected and (head := self._next_head()) is not None:
            given += readable(head)
            self._expected = _INTERIM.match(head) is not None
        if not received or not self._may_become_a_head():
            self._expected = False
        if not self._expected:
            given += self._kept
            self._forget(len(self._kept))
        return bytes(given)

    def _may_become_a_head(self) -> bool:
        start = bytes(self._kept[: len(_BEGINNING) + 4]).lstrip(b"\r\n")[: len(_BEGINNING)]
        return len(self._kept) <= _MAX_HEAD and _BEGINNING.startswith(start)

    def _next_head(self) -> bytes | None:
        """Take a whole head off what is kept, without empty lines before it."""
        if not self._may_become_a_head():
            return None
        blank = len(self._kept) - len(self._kept.lstrip(b"\r\n"))
        end = _END.search(self._kept, max(self._searched, blank))
        if end is None:
            self._searched = max(0, len(self._kept) - 2)
            return None
        head = bytes(self._kept[blank : end.end()])
        self._forget(end.end())
        return head

    def _forget(self, count: int) -> None:
        del self._kept[:count]
        self._searched = 0


def readable(head: bytes) -> bytes:
    """Return a head, from its status line to its empty line, in which each line is one that h11 reads.

    A line without a name is left out, and so is its continuation. White space before a colon,
    and what no value may hold, is taken away.
    """
    status, *lines = [line.removesuffix(b"\r") for line in head.split(b"\n")][:-2]
    read: list[bytes] = []
    folded_into_nothing, chunked = True, False
    for line in lines:
        if line[:1] in (b" ", b"\t"):
            if not folded_into_nothing:
                read.append(_UNREADABLE.sub(b" ", line))
            continue
        made = _header(line)
        if made is not None and made.lower() == b"transfer-encoding: chunked":
            made, chunked = (None if chunked else made), True
        folded_into_nothing = made is None
        if made is not None:
            read.append(made)
    if read == lines:
        return head
    return b"\r\n".join((status, *read, _CLOSE, b"", b""))


def _header(line: bytes) -> bytes | None:
    """Return one header as h11 reads it, the line itself if that is so already, or None to leave it out."""
    found = _HEADER.fullmatch(line)
    if found is None:
        return None
    name, value = found[1], _UNREADABLE.sub(b" ", found[2])
    match name.lower():
        case b"transfer-encoding" if value.strip().lower() == b"identity":
            return None  # the word for none, of RFC 2616; RFC 9112 has it no more
        case b"transfer-encoding" if value.strip().lower() == b"chunked":
            return name + b": chunked"
        case b"content-length" if plus := _LENGTH_WITH_PLUS.fullmatch(value):
            value = b" " + plus[1]
    return name + b":" + value
