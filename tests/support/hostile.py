"""Answers of servers that mean harm: they never end, they drip, or they are far larger than they look."""

from __future__ import annotations

import itertools
import socket
import zlib
from collections.abc import Iterable

from support.server import Answer, Exchange

MIB = 1024 * 1024
HUGE = 10_000_000_000  # bytes
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
MOVED = b"HTTP/1.1 302 Found\r\nLocation: /again\r\n"
ZEROS = bytes(64 * 1024)
PACKED_ZEROS = 5 * MIB  # that many of them, in a few KiB
BOMB_BLOCKS = HUGE // PACKED_ZEROS + 1


def sends(*start: bytes, then: Iterable[bytes] = (), every: float = 0.0) -> Answer:
    """Answer with these bytes, and whatever comes then, until nobody listens any more."""

    def answer(exchange: Exchange) -> None:
        exchange.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, len(ZEROS))
        exchange.drip(itertools.chain(start, then), every=every)

    return answer


def is_silent(exchange: Exchange) -> None:
    """Do not answer at all."""
    exchange.server.stopping.wait()


def for_ever(drop: bytes) -> Iterable[bytes]:
    """Yield the same again and again, as much at once as a firehose would."""
    return itertools.repeat(drop * (len(ZEROS) // len(drop)))


def bomb(bits: int) -> tuple[bytes, bytes]:
    """Return the start of compressed zeros, and a block of them that can follow any number of times."""
    packing = zlib.compressobj(9, wbits=bits)
    return packing.compress(b"0") + packing.flush(zlib.Z_FULL_FLUSH), (
        packing.compress(bytes(PACKED_ZEROS)) + packing.flush(zlib.Z_FULL_FLUSH)
    )


GZIP, ZLIB = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS


def bombs(coding: str, bits: int, status: bytes = OK) -> Answer:
    """Answer with 10 GB of zeros, compressed."""
    start, block = bomb(bits)
    head = status + b"Content-Encoding: " + coding.encode() + b"\r\n\r\n"
    return sends(head, start, then=itertools.repeat(block, BOMB_BLOCKS))


def streams(*headers: bytes, status: bytes = OK) -> Answer:
    """Answer with 10 GB as they are."""
    head = status + b"".join(header + b"\r\n" for header in headers) + b"\r\n"
    return sends(head, then=itertools.repeat(ZEROS, HUGE // len(ZEROS)))


def packs_little_then_streams() -> Answer:
    """Answer with compressed data that ends at once, and 10 GB after its end."""
    packing = zlib.compressobj(wbits=GZIP)
    member = packing.compress(b"d") + packing.flush()
    return sends(OK + b"Content-Encoding: gzip\r\n\r\n" + member, then=itertools.repeat(ZEROS, HUGE // len(ZEROS)))
