"""A table of torrents that are odd in one way each, by name: what clients make of them is another matter."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from support.torrents import PIECE_LENGTH, Kind, bencode

ROOT: Final = hashlib.sha256(b"root").digest()
LARGE: Final = 2 * PIECE_LENGTH + 1
LEAVES: Final = [hashlib.sha256(b"leaf %d" % number).digest() for number in range(3)]
LARGE_ROOT: Final = hashlib.sha256(
    hashlib.sha256(LEAVES[0] + LEAVES[1]).digest() + hashlib.sha256(LEAVES[2] + bytes(32)).digest()
).digest()
LAYER: Final = b"".join(LEAVES)
KINDS: Final[tuple[Kind, ...]] = ("v1", "v2", "hybrid")
MAGNET: Final = "magnet:?xt=urn:btih:" + "ab" * 20

Parts = Mapping[str, object]


class Raw(bytes):
    """Bytes that stand for a value as they are."""


def encode(value: object) -> bytes:
    """Encode in canonical form, but for what is raw, and for dictionaries given as a list of pairs."""
    match value:
        case Raw():
            return bytes(value)
        case tuple():
            return b"l" + b"".join(map(encode, value)) + b"e"
        case dict():
            members = sorted((key.encode() if isinstance(key, str) else key, item) for key, item in value.items())
            return b"d" + b"".join(bencode(key) + encode(item) for key, item in members) + b"e"
        case list():
            return b"d" + b"".join(encode(key) + encode(item) for key, item in value) + b"e"
    return bencode(value)


def given(parts: Parts) -> dict[str, object]:
    """Leave out the parts that are None."""
    return {key: value for key, value in parts.items() if value is not None}


def leaf(length: object = 1, root: object = ROOT, **more: object) -> dict[str, object]:
    """Make a file of a v2 file tree; None takes a part of it away."""
    return {"": given({"length": length, "pieces root": root, **more})}


def file(length: object, *path: object, **more: object) -> dict[str, object]:
    """Make an entry of a v1 file list."""
    return given({"length": length, "path": path, **more})


def padding(length: int) -> dict[str, object]:
    """Make a padding file of a v1 file list."""
    return file(length, ".pad", str(length), attr="p")


def info_of(kind: Kind, changes: Parts) -> dict[str, object]:
    """Make an info value of one byte, with other parts; None takes a part away."""
    parts: dict[str, object] = {"name": "Book", "piece length": PIECE_LENGTH, "source": "Book"}
    if kind != "v2":
        parts |= {"length": 1, "pieces": bytes(20)}
    if kind != "v1":
        parts |= {"meta version": 2, "file tree": {"Book": leaf()}}
    return given({**parts, **changes})


def torrent(kind: Kind = "v1", info: Parts | None = None, top: Parts | None = None) -> bytes:
    """Make a torrent of one byte, with other parts in its info value and at the top; None takes a part away."""
    layers: Parts = {} if kind == "v1" else {"piece layers": {}}
    return encode(given({"info": info_of(kind, info or {}), **layers, **(top or {})}))


def several(*files: object, pieces: int = 1, **info: object) -> bytes:
    """Make a v1 torrent with this list of files."""
    return torrent("v1", {"length": None, "files": files, "pieces": bytes(20 * pieces), **info})


def large(layers: object, **info: object) -> bytes:
    """Make a v2 torrent of one file of three pieces, with these piece layers."""
    return torrent("v2", {"file tree": {"Book": leaf(LARGE, LARGE_ROOT)}, **info}, {"piece layers": layers})


PAIR: Final = {"a.mp3": leaf(3), "b.mp3": leaf(4)}


def pair(*files: object, pieces: int = 2, tree: Parts = PAIR) -> bytes:
    """Make a hybrid of two files, with this v1 file list."""
    return torrent("hybrid", {"length": None, "files": files, "file tree": tree, "pieces": bytes(20 * pieces)})


def spliced(kind: Kind, raw: bytes) -> bytes:
    """Put raw members before the others of an info value."""
    sound = encode(info_of(kind, {}))
    return b"d4:infod" + raw + sound[1:] + (b"e" if kind == "v1" else b"12:piece layersdee")


Named = dict[str, bytes]


def odd_torrents() -> Named:
    """Return more than two hundred torrents by name, no two of them with the same info value."""
    makers = (_ends, _keys, _depths, _names, _piece_lengths, _v1_files, _v2_files, _layers, _hybrids, _versions, _tops)
    table: Named = {}
    for maker in makers:
        made = maker()
        assert not made.keys() & table.keys()
        table |= made
    # "Book" stands in each of them at least once, as the source.
    return {
        name: content.replace(b"4:Book", b"4:B%03d" % number) for number, (name, content) in enumerate(table.items())
    }


def _ends() -> Named:
    ends: dict[str, bytes] = {
        "nothing": b"",
        "a line break": b"\r\n",
        "a space": b" ",
        "a NUL": b"\0",
        "many NULs": bytes(4096),
        "an e": b"e",
        "a comment": b"# tracker.example",
        "an error text": b"<br />\n<b>Warning</b>: Cannot modify header information",
        "a page": b"<!DOCTYPE html><html></html>",
        "JSON": b'{"error": "none"}',
        "another torrent": torrent("v1", {"name": "Another"}),
        "half a torrent": torrent("v1", {"name": "Another"})[:40],
        "a number": b"i1e",
        "bytes of every kind": bytes(range(256)),
    }
    return {f"{kind}, behind its end {end}": torrent(kind) + ends[end] for kind in KINDS for end in ends}


def _keys() -> Named:
    members = {
        "another name first": b"4:name4:Evil",
        "the same name twice": b"4:name4:Book",
        "another length first": b"6:lengthi1e",
        "another piece length first": b"12:piece lengthi32768e",
        "private twice": b"7:privatei1e7:privatei0e",
        "an unknown key twice": b"1:ai1e1:ai2e",
        "a key twice further down": b"1:ad1:ai1e1:ai2ee",
        "no order": b"1:zi1e1:ai1e",
        "no order further down": b"1:ad1:zi1e1:ai1ee",
        "an empty key": b"0:1:a",
        "a key that is a number": b"1:ad2:10i1e1:9i1ee",
        "a number with a zero before it": b"1:ai01e",
        "a negative number with a zero before it": b"1:ai-01e",
        "minus zero": b"1:ai-0e",
        "a number beyond 64 bits": b"1:ai9223372036854775808e",
        "a number of 20 digits": b"1:ai99999999999999999999e",
        "a number of 21 digits": b"1:ai999999999999999999999e",
        "a text with a zero before its length": b"1:a03:abc",
        "a text with many zeros before its length": b"1:a" + b"0" * 200 + b"3:abc",
        "a key with a zero before its length": b"01:ai1e",
        "an empty text with many zeros": b"1:a0000:",
        "a number with a plus": b"1:ai+1e",
        "a number that is empty": b"1:aie",
        "a length with a minus": b"1:a-1:",
        "a key without a value": b"1:ad1:be",
        "a key that is no text": b"1:adi1ei2ee",
        "a list as a key": b"1:adlei2ee",
        "a text of 300 bytes": b"1:a300:" + bytes(300),
        "bytes that are no UTF-8": b"3:\xff\xfe\xfd3:\xff\xfe\xfd",
    }
    return {f"{kind}, {name}": spliced(kind, raw) for kind in KINDS for name, raw in members.items()}


def _depths() -> Named:
    return {
        f"{kind}, {depth} levels": spliced(kind, b"1:a" + b"l" * (depth - 2) + b"e" * (depth - 2))
        for kind in KINDS
        for depth in (50, 98, 99, 100, 101, 5000)
    } | {
        "350,000 numbers": spliced("v1", b"1:al" + b"i1e" * 350_000 + b"e"),
        "350,000 lists": spliced("v1", b"1:al" + b"le" * 350_000 + b"e"),
        "175,000 unknown keys": spliced("v1", b"".join(b"6:%06di1e" % number for number in range(175_000))),
        "50,000 files": several(*(file(1, f"{number:05}") for number in range(50_000)), pieces=4),
    }


def _names() -> Named:
    names: dict[str, object] = {
        "no name": None,
        "an empty name": "",
        "a number as name": 5,
        "a list as name": ("Book",),
        "a dot as name": ".",
        "two dots as name": "..",
        "three dots as name": "...",
        "a slash as name": "/",
        "a backslash as name": "\\",
        "a NUL as name": "\0",
        "a NUL in its name": "a\0b",
        "a name of control characters": "\1\2\3",
        "a line break in its name": "a\nb",
        "a name of a zero-width space": "\u200b",
        "a name of a direction mark": "\u202e",
        "a name of a byte order mark": "\ufeff",
        "a name that is no UTF-8": b"B\xfccher",
        "a name with slashes": "a/../../b",
        "a name of 300 bytes": "n" * 300,
        "a name of 70,000 bytes": "n" * 70_000,
        "a name of spaces": "   ",
        "an emoji as name": "\U0001f4da",
    }
    return {
        f"{kind}, {what}": torrent(kind, {"name": name}) for kind in ("v1", "v2") for what, name in names.items()
    } | {
        "name.utf-8 that differs": torrent(info={"name.utf-8": "Other"}),
        "name.utf-8 that is a number": torrent(info={"name.utf-8": 5}),
        "name.utf-8 alone": torrent(info={"name": None, "name.utf-8": "Other"}),
        "name.utf-8 that is empty": torrent(info={"name.utf-8": ""}),
    }


def _piece_lengths() -> Named:
    lengths = (None, 0, -1, 1, 3, 8192, 16385, 49152, 2**28, 2**29 - 16384, 2**29, 2**30 - 1, 2**30, 2**40, "16384")
    return {
        f"{kind}, a piece length of {length!r}": torrent(kind, {"piece length": length})
        for kind in KINDS
        for length in lengths
    } | {
        "a piece length with a zero before it": torrent().replace(b"i16384e", b"i016384e"),
        "pieces that are missing": torrent(info={"pieces": None}),
        "pieces that are a number": torrent(info={"pieces": 5}),
        "pieces that are too many": torrent(info={"pieces": bytes(40)}),
        "pieces that are half": torrent(info={"pieces": bytes(19)}),
    }


def _v1_files() -> Named:
    most = (2**30 - 1) * PIECE_LENGTH
    return {
        f"a length of {length!r}": torrent(
            info={
                "length": length,
                "piece length": 2**28,
                "pieces": bytes(20 * min(max(1, -(-length // 2**28)), 2**17)),
            }
        )
        for length in (-1, 0, 1, most - 1, most, 2**44, 2**48, 2**62)
    } | {
        "a length that is a text": torrent(info={"length": "1"}),
        "no length": torrent(info={"length": None}),
        "length and files": torrent(info={"files": (file(1, "a"),)}),
        "files that are a dictionary": torrent(info={"files": {}}),
        "no files": several(pieces=0),
        "an entry that is a number": several(5),
        "an entry without a path": several({"length": 1}),
        "an entry with an empty path": several(file(1)),
        "an entry with a path that is a text": several({"length": 1, "path": "a"}),
        "a path with a number": several(file(1, 5)),
        "a path with an empty name": several(file(1, "")),
        "several files with an empty name": several(file(1, ""), file(1, ""), file(1, "")),
        "several files of one name": several(file(1, "a"), file(1, "a"), file(1, "A")),
        "a file named as a folder": several(file(1, "a"), file(1, "a", "b")),
        "a path with dots": several(file(1, "..", "..", "etc", "passwd")),
        "a path of dots": several(file(1, "..")),
        "a path with slashes": several(file(1, "/etc/passwd")),
        "a path of 200 names": several(file(1, *"a" * 200)),
        "a path with control characters": several(file(1, "\1\2")),
        "a path that is no UTF-8": several(file(1, b"\xff")),
        "path.utf-8": several(file(1, "a", **{"path.utf-8": ("b",)})),
        "path.utf-8 that is a text": several(file(1, "a", **{"path.utf-8": "b"})),
        "nothing but empty files": several(file(0, "a"), file(0, "b"), pieces=0),
        "a padding file without a path": several(file(3, "a"), {"attr": "p", "length": 5}),
        "nothing but padding": several(padding(5)),
        "a link without a target": several(file(1, "a"), file(None, "b", attr="l")),
        "a link": several(file(1, "a"), file(None, "b", attr="l", **{"symlink path": ("a",)})),
        "a link to outside": several(file(1, "a"), file(None, "b", attr="l", **{"symlink path": ("..", "x")})),
        "a link with a length": several(file(1, "a"), file(5, "b", attr="l", **{"symlink path": ("a",)})),
        "unknown attributes": several(file(1, "a", attr="xyz")),
        "attributes that are a number": several(file(1, "a", attr=5)),
        "checksums of files": several(file(1, "a", sha1=bytes(20), ed2k=bytes(16), md5sum="0" * 32)),
    }


def _v2_files() -> Named:
    trees: dict[str, object] = {
        "no tree": None,
        "a tree that is a list": (),
        "an empty tree": {},
        "an empty folder": {"a": {}, "b": leaf()},
        "a tree that is a file": leaf(),
        "a node that is a number": {"a": 5},
        "a node that is file and folder": {"a": leaf() | {"b": leaf()}},
        "a leaf that is a number": {"a": {"": 5}},
        "an empty name in the tree": {"": leaf()},
        "dots in the tree": {"..": leaf()},
        "a dot in the tree": {".": leaf()},
        "a folder of dots": {"..": {"a": leaf()}},
        "dots in a folder": {"a": {"..": leaf(), "b": leaf()}},
        "a slash in the tree": {"/": leaf()},
        "a NUL in the tree": {"\0": leaf()},
        "a zero-width space in the tree": {"\u200b": leaf()},
        "control characters in the tree": {"\1": leaf()},
        "files that differ in case": {"A": leaf(), "a": leaf()},
        "an empty file without a root": {"a": leaf(), "b": leaf(0, None)},
        "an empty file with a root": {"a": leaf(), "b": leaf(0)},
        "nothing but an empty v2 file": {"a": leaf(0)},
        "a file without a root": {"a": leaf(root=None)},
        "a file with a short root": {"a": leaf(root=ROOT[:31])},
        "a file with a root of zeros": {"a": leaf(root=bytes(32))},
        "a v2 length below zero": {"a": leaf(-1)},
        "a v2 length that is a text": {"a": leaf("1")},
        "no v2 length": {"a": leaf(None)},
        "a v2 length beyond all": {"a": leaf(2**45)},
        "a padding file in the tree": {"a": leaf(attr="p")},
        "a v2 link without a target": {"a": leaf(), "b": leaf(None, None, attr="l")},
        "a v2 link": {"a": leaf(), "b": leaf(None, None, attr="l", **{"symlink path": ("a",)})},
        "more in a leaf": {"a": leaf(mtime=5, other="x")},
    }
    deep: dict[str, object] = leaf()
    for _ in range(90):
        deep = {"a": deep}
    trees["a tree of 90 folders"] = deep
    return {name: torrent("v2", {"file tree": tree}) for name, tree in trees.items()}


def _layers() -> Named:
    layers: dict[str, object] = {
        "layers that are right": {LARGE_ROOT: LAYER},
        "no layers": None,
        "empty layers": {},
        "layers that are a list": (1,),
        "layers that are a text": "x",
        "a layer that is short": {LARGE_ROOT: LAYER[:-32]},
        "a layer that is long": {LARGE_ROOT: LAYER + bytes(32)},
        "a layer that is cut": {LARGE_ROOT: LAYER[:-1]},
        "a layer of other hashes": {LARGE_ROOT: LAYER[32:] + LAYER[:32]},
        "a layer that is a number": {LARGE_ROOT: 5},
        "a layer of nobody": {LARGE_ROOT: LAYER, ROOT: LAYER},
        "a layer of nobody alone": {ROOT: LAYER},
        "a layer with a short key": {LARGE_ROOT: LAYER, "x": "y"},
    }
    tree = {"a": leaf(LARGE, LARGE_ROOT), "b": leaf(LARGE, LARGE_ROOT)}
    return {name: large(parts) for name, parts in layers.items()} | {
        "layers of which one is missing": torrent(
            "v2",
            {"file tree": {"a": leaf(LARGE, LARGE_ROOT), "b": leaf(LARGE, ROOT)}},
            {"piece layers": {LARGE_ROOT: LAYER}},
        ),
        "two files of one root": torrent("v2", {"file tree": tree}, {"piece layers": {LARGE_ROOT: LAYER}}),
        "layers twice": large({LARGE_ROOT: LAYER})[:-1] + b"12:piece layersdee",
        "layers of a small file": torrent("v2", top={"piece layers": {ROOT: bytes(32)}}),
        "v1 with layers": torrent("v1", top={"piece layers": {ROOT: bytes(32)}}),
    }


def _hybrids() -> Named:
    a, b, gap, tail = file(3, "a.mp3"), file(4, "b.mp3"), padding(PIECE_LENGTH - 3), padding(PIECE_LENGTH - 4)
    empty = PAIR | {"empty.txt": leaf(0, None)}
    return {
        "lists that agree": pair(a, gap, b),
        "lists that agree, with padding at the end": pair(a, gap, b, tail),
        "an empty file in the v1 list alone": pair(a, gap, b, file(0, "empty.txt")),
        "an empty file in the v2 list alone": pair(a, gap, b, tree=empty),
        "an empty file in both": pair(a, gap, b, file(0, "empty.txt"), tree=empty),
        "no padding": pair(a, b, pieces=1),
        "padding of another size": pair(a, padding(PIECE_LENGTH - 4), b),
        "a file less": pair(a, gap),
        "another size": pair(a, gap, file(5, "b.mp3")),
        "another name": pair(a, gap, file(4, "c.mp3")),
        "another order": pair(b, tail, a),
        "a list in place of a length": torrent("hybrid", {"length": None, "files": (file(1, "Book"),)}),
        "one file under another name": torrent("hybrid", {"file tree": {"Other": leaf()}}),
        "one file of another size": torrent("hybrid", {"length": 2}),
        "v2 with an empty list": torrent("v2", {"files": ()}),
        "v2 with files that are a dictionary": torrent("v2", {"files": {}}),
        "v2 with a length that is a text": torrent("v2", {"length": "x"}),
        "v2 with a length": torrent("v2", {"length": 1}),
        "v2 with pieces": torrent("v2", {"pieces": bytes(20)}),
        "v2 with pieces of another number": torrent("v2", {"pieces": bytes(40)}),
        "a hybrid without pieces": torrent("hybrid", {"pieces": None}),
        "a hybrid with pieces of another number": torrent("hybrid", {"pieces": bytes(40)}),
    }


def _versions() -> Named:
    versions = (None, "2", -1, 0, 1, 2, 3, 2**31, 2**32, 2**32 + 1, 2**32 + 2, 2**32 + 3, 2**63)
    return {
        f"{kind} of version {version!r}": torrent(kind, {"meta version": version})
        for kind in KINDS
        for version in versions
    } | {
        "v1 with a file tree that is a text": torrent("v1", {"file tree": "x"}),
        "version 1 without order": torrent("v1", {"meta version": 1, "x": [("b", 1), ("a", 2)]}),
        "version 2 with a zero before it": torrent("hybrid").replace(b"versioni2e", b"versioni02e"),
        "version 1, then 2": torrent("hybrid").replace(b"12:meta versioni2e", b"12:meta versioni1e12:meta versioni2e"),
    }


def _tops() -> Named:
    return {
        "private": torrent(info={"private": 1}),
        "a top level without order": b"d1:zi1e" + torrent()[1:],
        "announce twice": b"d8:announce1:a8:announce1:b" + torrent()[1:],
        "info with a zero before its length": torrent().replace(b"4:info", b"04:info"),
        "an info further down": b"d1:ad4:infod4:name4:Evilee" + torrent()[1:],
        "an info in a text": b"d1:a18:4:infod4:name1:xee" + torrent()[1:],
        "announce that is a number": torrent(top={"announce": 5}),
        "trackers that are odd": torrent(top={"announce": "x", "announce-list": (("",), "y", (5,))}),
        "nodes that are odd": torrent(top={"nodes": (5, ("a", "b"), ("c", -1))}),
        "seeds that are odd": torrent(top={"url-list": ("", 5, "http://a b/"), "httpseeds": 5}),
        "a creation date below zero": torrent(top={"creation date": -(2**63)}),
        "bad UTF-8 everywhere": torrent(top={"comment": b"\xff", "created by": b"\xfe", "encoding": b"\xfd"}),
        "info that is a text": encode({"info": "Book"}),
        "info that is a list": encode({"info": ("Book",)}),
        "no info": encode({"announce": "Book"}),
        "a magnet link in its place": encode({"comment": "Book", "magnet-uri": MAGNET}),
        "a line break before it": b"\n" + torrent(),
        "a byte order mark before it": b"\xef\xbb\xbf" + torrent(),
        "a list around it": b"l" + torrent() + b"e",
        "a page": b"<!DOCTYPE html><title>Book</title>",
        "JSON": b'{"title": "Book"}',
        "cut in the middle": torrent()[:60],
        "cut before its end": torrent()[:-1],
        "nothing": b"",
    }
