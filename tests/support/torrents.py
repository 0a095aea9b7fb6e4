"""Make small torrents, with nothing but the standard library."""

from __future__ import annotations

import hashlib
from typing import Literal

PIECE_LENGTH = 16 * 1024
Kind = Literal["v1", "v2", "hybrid"]


def bencode(value: object) -> bytes:
    """Encode in canonical form; a list of pairs stands for a dictionary in that very order."""
    match value:
        case int():
            return b"i%de" % value
        case bytes():
            return b"%d:%s" % (len(value), value)
        case str():
            return bencode(value.encode())
        case tuple():
            return b"l" + b"".join(map(bencode, value)) + b"e"
        case dict():
            return bencode(sorted((key.encode() if isinstance(key, str) else key, item) for key, item in value.items()))
        case list():
            return b"d" + b"".join(bencode(key) + bencode(item) for key, item in value) + b"e"
    raise TypeError(type(value))


def book(name: str, *, kind: Kind = "v1", **extra: object) -> bytes:
    """Make the torrent of one small file that holds its own name; `extra` goes to the top level."""
    data = name.encode()
    info: dict[str, object] = {"name": name, "piece length": PIECE_LENGTH}
    if kind != "v2":
        info |= {"length": len(data), "pieces": hashlib.sha1(data).digest()}
    if kind != "v1":
        leaf = {"length": len(data), "pieces root": hashlib.sha256(data).digest()}
        info |= {"meta version": 2, "file tree": {name: {"": leaf}}}
        extra = {"piece layers": {}, **extra}
    return bencode({"info": info, **extra})
