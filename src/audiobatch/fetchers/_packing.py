"""Unpacks the body of an answer as it comes, by what it says and by what it is."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Final

from audiobatch.errors import NotATorrent

Unpack = Callable[[bytes], Iterator[bytes]]

_PIECE: Final = 256 * 1024  # what is unpacked at once
_CODINGS: Final = ("gzip", "x-gzip", "deflate")
_ANY_WRAPPER: Final = zlib.MAX_WBITS | 32


def unpacker(encoding: str) -> Unpack:
    """Return what unpacks a body chunk by chunk, each into pieces of bounded size.

    Nothing but ``identity`` is asked for, and servers send what they like: ``none``, ``utf-8``, ``binary``. So a
    coding that is not known here says nothing, and the body is taken as it is: it is a torrent, or it is not.

    Args:
        encoding: The value of Content-Encoding (RFC 9110, 8.4).

    Raises:
        NotATorrent: It is packed more than once, which multiplies what a small body may cost.
    """
    named = [coding for part in encoding.lower().split(",") if (coding := part.strip()) not in ("", "identity")]
    packings = [coding for coding in named if coding in _CODINGS]
    if not packings:
        return lambda chunk: iter((chunk,))
    if len(packings) > 1:
        raise NotATorrent("the answer is compressed more than once, which was not asked for")
    # Beside a coding that is none, the one that is may be meant, or not: the body shows it.
    return _Packed(bare=0 if named != packings else -zlib.MAX_WBITS if packings == ["deflate"] else None)


class _Packed:
    """A packed body; deflate comes in its zlib wrapper (RFC 9110, 8.4.1.2), or raw, as many servers send it."""

    def __init__(self, *, bare: int | None) -> None:
        """Take what has no wrapper for packed like this, in zlib's bits, or for not packed where that is 0."""
        self._bare = bare
        self._start: bytes | None = None if bare is None else b""
        self._stream = zlib.decompressobj(wbits=_ANY_WRAPPER)

    def __call__(self, chunk: bytes) -> Iterator[bytes]:
        if self._start is not None:
            chunk = self._start + chunk
            self._start = chunk if len(chunk) < 2 else None
            if self._start is not None:
                return
            if _has_wrapper(chunk):
                self._bare = None
            elif self._bare:
                self._stream = zlib.decompressobj(wbits=self._bare)
        if self._bare == 0 or self._stream.eof:
            yield chunk if self._bare == 0 else b""  # what comes after the end counts, but is not kept
            return
        while chunk and not self._stream.eof:
            yield self._stream.decompress(chunk, _PIECE)
            chunk = self._stream.unconsumed_tail


def _has_wrapper(start: bytes) -> bool:
    """Tell whether gzip (RFC 1952, 2.3.1) or zlib (RFC 1950, 2.2) has packed it, by its first two bytes."""
    return start[:2] == b"\x1f\x8b" or (start[0] & 0x0F == 8 and int.from_bytes(start[:2], "big") % 31 == 0)
