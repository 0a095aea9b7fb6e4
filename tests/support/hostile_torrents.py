"""Torrents of 16 MiB that are made to take as much of a parser's time and memory as they can."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from support.odd_torrents import Raw, encode, info_of, leaf, several, torrent

SIZE: Final = 16 * 1024 * 1024

FILLINGS: Final = {
    "empty texts": b"0:",
    "numbers": b"i1e",
    "long numbers": b"i-1000000000000000000e",
    "short texts": b"2:ab",
    "texts of 99 bytes": b"99:" + b"a" * 99,
    "texts of 100 bytes": b"100:" + b"a" * 100,
    "texts with zeros before their length": b"01:a",
    "empty lists": b"le",
    "empty dictionaries": b"de",
    "lists of one": b"l1:ae",
    "dictionaries of one": b"d1:ai1ee",
    "two levels": b"ll0:ee",
    "three levels": b"lll0:eee",
    "four levels": b"llll0:eeee",
    "four levels, late": b"l" + b"l0:e" * 60 + b"lll0:eeee",
    "four levels, later": b"ll" + b"le" * 500 + b"0:" * 500 + b"ll0:eeee",
    "lists of 25": b"l" + b"0:" * 25 + b"e",
    "lists of 24 lists, late": b"l" + b"l0:e" * 23 + b"lll0:eeee",
    "ninety levels": b"l" * 90 + b"0:" + b"e" * 90,
    "ninety levels of dictionaries": b"d1:a" * 90 + b"0:" + b"e" * 90,
    "files": b"d6:lengthi1e4:pathl1:aee",
    "files with long paths": b"d6:lengthi1e4:pathl" + b"1:a" * 90 + b"ee",
    "files with long names": b"d6:lengthi1e4:pathl200:" + "\U0001f4da".encode() * 50 + b"ee",
    "v2 files": b"1:ad0:d6:lengthi1e11:pieces root32:" + b"r" * 32 + b"ee",
    "the same key again": b"4:name1:a",
    "a key that might be info": b"4:infp1:a",
}


def _filled(before: bytes, filling: bytes, after: bytes) -> bytes:
    return before + filling * ((SIZE - len(before) - len(after)) // len(filling)) + after


def _around(filling: bytes) -> Iterator[tuple[str, bytes]]:
    """Put a filling where each part of a parser has to go through it."""
    sound = encode(info_of("v1", {}))
    v2 = encode(info_of("v2", {"file tree": None}))
    yield "in a list", _filled(b"d4:info" + sound + b"1:xl", filling, b"ee")
    yield "in a list of info", _filled(b"d4:infod1:al", filling, b"e" + sound[1:] + b"e")
    yield "in lists without an end", _filled(b"d4:info" + sound + b"1:xlllllll", filling, b"")
    yield "deep down", _filled(b"d4:info" + sound + b"1:x" + b"l" * 95, filling, b"e" * 96)
    yield "just below", _filled(b"d4:info" + sound + b"1:xll", filling, b"llll0:eeeeeee")
    yield "as members", _filled(b"d4:info" + sound, filling * 2, b"e")
    yield "as values of members", _filled(b"d4:info" + sound, b"1:x" + filling, b"e")
    yield "as values of members of info", _filled(b"d4:infod", b"1:x" + filling, sound[1:] + b"e")
    yield "as files", _filled(b"d4:infod5:filesl", filling, b"e" + sound[1:] + b"e")
    yield "as a file tree", _filled(b"d4:infod9:file treed", filling, b"e" + v2[1:] + b"e")


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _v2(files: bytes, layers: bytes, piece_length: int = 16384, source: bytes = b"") -> bytes:
    parts = {"file tree": Raw(b"d" + files + b"e"), "piece length": piece_length, "x": source}
    return torrent("v2", parts, {"piece layers": Raw(b"d" + layers + b"e")})


def _tree_file(number: int, length: int, root: bytes) -> bytes:
    return b"6:%06d" % number + encode(leaf(length, root))


def _one_layer(hashes: int) -> bytes:
    """Describe one file whose layer has so many hashes."""
    root = _sha256(b"%d" % hashes)
    layer = encode({root: bytes(32 * hashes)})[1:-1]
    return _v2(_tree_file(0, hashes * 16384, root), layer)


def _shared_root(files: int, hashes: int) -> bytes:
    """Describe many files that share a large layer, whose root is right."""
    level = [_sha256(b"%d" % number) for number in range(hashes)]
    layer = b"".join(level)
    while len(level) > 1:
        level = [_sha256(left + right) for left, right in zip(level[::2], level[1::2], strict=True)]
    tree = b"".join(_tree_file(number, hashes * 16384, level[0]) for number in range(files))
    return _v2(tree, encode({level[0]: layer})[1:-1])


def _many_layers(files: int, piece_length: int) -> bytes:
    """Describe many files with a layer of two hashes each."""
    roots = sorted(_sha256(b"%d" % number) for number in range(files))
    tree = b"".join(_tree_file(number, 2 * piece_length, root) for number, root in enumerate(roots))
    return _v2(tree, b"".join(b"32:" + root + b"64:" + root + root for root in roots), piece_length)


def _wide_and_deep(folders: int, files: int) -> bytes:
    """Describe many files below many folders."""
    name = b"a" * 60
    tree = b"".join(_tree_file(number, 1, _sha256(b"x")) for number in range(files))
    return _v2((b"60:" + name + b"d") * folders + tree + b"e" * folders, b"")


def _long_path_pairs(names: int, files: int) -> bytes:
    """Describe a hybrid of many files with long paths that all agree, down to the last."""
    folders = ["f"] * names
    listed = tuple({"length": 16384, "path": (*folders, f"{number:06}")} for number in range(files))
    tree = b"".join(_tree_file(number, 16384, _sha256(b"x")) for number in range(files))
    nested = Raw(b"d" + b"1:fd" * names + tree + b"e" * names + b"e")
    return torrent("hybrid", {"file tree": nested, "files": listed, "length": None, "pieces": bytes(20 * files)})


SPECIAL: Final[dict[str, Callable[[], bytes]]] = {
    "a layer of half a million hashes": lambda: _one_layer(500_000),
    "a layer that is just checked": lambda: _one_layer(2**17),
    "a layer one above a power of two": lambda: _one_layer(2**16 + 1),
    "many files of one root": lambda: _shared_root(8_000, 2**8),
    "files of one large root": lambda: _shared_root(30, 2**16),
    "many files of one large root": lambda: _shared_root(20_000, 2**16),
    "as many files of one large root as fit": lambda: _shared_root(150_000, 2**16),
    "many layers": lambda: _many_layers(30_000, 16384),
    "many layers with much padding": lambda: _many_layers(30_000, 2**28),
    "as many layers as fit": lambda: _many_layers(80_000, 2**28),
    "files below many folders": lambda: _wide_and_deep(90, 25_000),
    "as many files below many folders as fit": lambda: _wide_and_deep(90, 150_000),
    "hybrids with long paths": lambda: _long_path_pairs(80, 2_500),
    "hybrids with many files": lambda: _long_path_pairs(2, 12_000),
    "a long name": lambda: torrent(info={"name": "\U0001f4da" * (SIZE // 4 - 100)}),
    "a long name of marks": lambda: torrent(info={"name": "/" * (SIZE - 500) + "\ufeffa"}),
    "a long name that shows nothing": lambda: several({"length": 1, "path": ("\u202e" * (SIZE // 3 - 500),)}),
    "a name in the tree that shows nothing": lambda: torrent(
        "v2", {"file tree": {"\u202e" * (SIZE // 3 - 500): leaf()}}
    ),
    "long pieces": lambda: torrent(info={"pieces": bytes(SIZE - 500)}),
    "pieces of a hybrid": lambda: torrent("hybrid", {"pieces": bytes(SIZE - 500)}),
    "white space at the end": lambda: torrent() + b" " * (SIZE - 500) + b"x",
    "zeros in a length": lambda: b"d" + b"0" * (SIZE - 500) + b"1:a",
    "lists without an end": lambda: b"d1:a" + b"l" * (SIZE - 500),
    "a text without an end": lambda: b"d1:a99999999:" + bytes(SIZE - 500),
    "unsorted dictionaries": lambda: _filled(
        b"d4:info" + encode(info_of("v2", {}))[:-1] + b"1:xl", b"d1:b0:1:a0:e", b"eee"
    ),
    "unsorted dictionaries that are decoded": lambda: (
        b"d4:info" + encode(info_of("v2", {}))[:-1] + b"1:xl" + b"d1:b0:1:a0:e" * 49_000 + b"eee"
    ),
    "long keys that are alike": lambda: (
        b"d4:info"
        + encode(info_of("v1", {}))
        + b"".join(b"110:" + b"k" * 100 + b"%010d0:" % n for n in range(130_000))
        + b"e"
    ),
    "long keys twice": lambda: (
        b"d4:info"
        + encode(info_of("v1", {}))
        + b"".join(b"110:" + b"k" * 100 + b"%010d0:" % (n // 2) for n in range(130_000))
        + b"e"
    ),
}


PLACES: Final = [place for place, _ in _around(b"0:")]

# Those that take the most, and one for each filling: all would take minutes.
WORST: Final = [
    *((name, PLACES[number % len(PLACES)]) for number, name in enumerate(FILLINGS)),
    ("four levels, late", "as values of members of info"),
    ("four levels, late", "just below"),
    ("two levels", "in a list of info"),
    ("empty dictionaries", "as values of members of info"),
    ("lists of 24 lists, late", "deep down"),
    ("texts of 99 bytes", "as members"),
    ("texts of 100 bytes", "as a file tree"),
    ("files", "as files"),
    ("files with long names", "as files"),
    ("v2 files", "as a file tree"),
]


def hostile_torrents() -> dict[str, Callable[[], bytes]]:
    """Return what makes each of them, by name."""
    return SPECIAL | {f"{name} {place}": partial(_made, FILLINGS[name], place) for name, place in WORST}


def _made(filling: bytes, place: str) -> bytes:
    return next(content for there, content in _around(filling) if there == place)
