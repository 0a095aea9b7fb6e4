"""Check the ``info`` dictionary of a torrent, v1 (BEP 3), v2 (BEP 52) or hybrid.

What passes is meant to pass in every client, so the rules are libtorrent's and never
looser: a file that a client would refuse is better refused before anything is recorded.
Each function raises `ValueError` with a short reason, and nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

from attrs import frozen

from audiobatch._bencode import Document, Value

BLOCK: Final = 16 * 1024
"""Bytes in a leaf of the v2 hash tree, and the smallest v2 piece length."""

_MAX_PIECES: Final = 0x200000
_MAX_PIECE_LENGTH: Final = 2**30 - 1
_MAX_FILE_SIZE: Final = 2**48 - 1
_ROOT_SIZE: Final = 32
# Separators, and characters that show nothing or turn the direction of writing: libtorrent leaves them out of names.
_DROPPED_FROM_NAMES: Final = dict.fromkeys(
    [
        0,
        *b"/\\",
        0x061C,
        *range(0x200B, 0x2010),
        *range(0x202A, 0x202F),
        *range(0x2060, 0x2065),
        *range(0x2066, 0x206A),
        0xFEFF,
    ]
)

Dictionary = dict[bytes, Value]


@frozen
class _File:
    path: tuple[bytes, ...]
    size: int
    padding: bool = False
    root: bytes = b""


@frozen
class Layout:
    """What is worth knowing of a checked ``info`` dictionary."""

    name: str
    total_size: int
    private: bool
    has_v1: bool
    has_v2: bool


def check(document: Document) -> Layout:
    """Check the dictionary, and the piece layers beside it where it has v2 parts."""
    info = document.root[b"info"]
    if not isinstance(info, dict):
        raise ValueError("its info value is not a dictionary")
    version = _integer(info, b"meta version", default=0)
    if version > 2:
        raise ValueError("it is of a version newer than 2")
    if version > 0 and not document.info_sorted:
        raise ValueError("the keys of its info dictionary are not sorted")
    if version < 2 and isinstance(info.get(b"file tree"), dict):
        raise ValueError("it has a v2 file tree but no v2 version number")
    name = _name(info)
    has_v1 = version < 2 or b"length" in info or isinstance(info.get(b"files"), list)
    piece_length = _piece_length(info, power_of_two=version == 2)
    files_v1 = list(_v1_files(info, name)) if has_v1 else []
    files_v2 = _v2_files(info) if version == 2 else []
    if files_v1 and files_v2:
        _check_same_files(files_v1, files_v2, piece_length)
    if files_v2:
        pieces = sum(-(-file.size // piece_length) for file in files_v2)
        _check_piece_layers(files_v2, piece_length, document.root.get(b"piece layers"))
    else:
        pieces = -(-sum(file.size for file in files_v1) // piece_length)
    _check_pieces(info.get(b"pieces"), pieces, required=has_v1)
    return Layout(
        name=name.decode(errors="replace"),
        total_size=sum(file.size for file in files_v2 or files_v1 if not file.padding),
        private=_integer(info, b"private", default=0) != 0,
        has_v1=has_v1,
        has_v2=version == 2,
    )


def _integer(dictionary: Dictionary, key: bytes, *, default: int) -> int:
    value = dictionary.get(key)
    return value if isinstance(value, int) else default


def _name(info: Dictionary) -> bytes:
    name = next((value for key in (b"name.utf-8", b"name") if isinstance(value := info.get(key), bytes)), b"")
    if name.decode(errors="replace").translate(_DROPPED_FROM_NAMES) in ("", ".", ".."):
        raise ValueError("it has no usable name")
    return name


def _piece_length(info: Dictionary, *, power_of_two: bool) -> int:
    length = _integer(info, b"piece length", default=0)
    if not 0 < length <= _MAX_PIECE_LENGTH:
        raise ValueError("its piece length is missing or out of range")
    if power_of_two and (length < BLOCK or length & (length - 1)):
        raise ValueError("its piece length is not a power of two of at least 16 KiB")
    return length


def _size(file: Dictionary) -> int:
    # A symbolic link takes no room in the payload (BEP 47).
    size = 0 if b"l" in _attributes(file) else _integer(file, b"length", default=-1)
    if not 0 <= size <= _MAX_FILE_SIZE:
        raise ValueError("the length of a file is missing or out of range")
    return size


def _attributes(file: Dictionary) -> bytes:
    attributes = file.get(b"attr")
    return attributes if isinstance(attributes, bytes) else b""


def _v1_files(info: Dictionary, name: bytes) -> Iterator[_File]:
    files = info.get(b"files")
    if not isinstance(files, list):
        yield _File((name,), _size(info), padding=b"p" in _attributes(info))
        return
    for file in files:
        if not isinstance(file, dict):
            raise ValueError("an entry of its file list is not a dictionary")
        yield _File(_path(file), _size(file), padding=b"p" in _attributes(file))


def _path(file: Dictionary) -> tuple[bytes, ...]:
    path = next((value for key in (b"path.utf-8", b"path") if isinstance(value := file.get(key), list)), [])
    elements = tuple(element for element in path if isinstance(element, bytes))
    if len(elements) != len(path) or not (elements or b"p" in _attributes(file)):
        raise ValueError("a file in it has no usable path")
    return elements


def _v2_files(info: Dictionary) -> list[_File]:
    tree = info.get(b"file tree")
    if not isinstance(tree, dict):
        raise ValueError("it has no v2 file tree")
    files = []
    # Depth first and in order; a stack instead of recursion, for the depth is the input's.
    pending: list[tuple[tuple[bytes, ...], Value]] = [((), tree)]
    while pending:
        path, node = pending.pop()
        if not isinstance(node, dict) or (path and not path[-1]):
            raise ValueError("its v2 file tree is malformed")
        if path and node.keys() == {b""}:
            files.append(_v2_file(path, node[b""]))
        else:
            pending.extend(((*path, key), child) for key, child in reversed(node.items()))
    return files


def _v2_file(path: tuple[bytes, ...], leaf: Value) -> _File:
    if not isinstance(leaf, dict) or b"p" in _attributes(leaf):
        raise ValueError("its v2 file tree is malformed")
    size, root = _size(leaf), leaf.get(b"pieces root", b"")
    if not isinstance(root, bytes) or (size and (len(root) != _ROOT_SIZE or not any(root))):
        raise ValueError("a file in it has no v2 hash")
    return _File(path, size, root=root)


def _check_same_files(files_v1: list[_File], files_v2: list[_File], piece_length: int) -> None:
    # A hybrid describes the same files twice; in the v1 list padding aligns them (BEP 52).
    same = [(file.path, file.size) for file in files_v1 if not file.padding] == [
        (file.path, file.size) for file in files_v2
    ]
    offset = 0
    for file in files_v1:
        same = same and (file.padding or offset % piece_length == 0)
        offset += file.size
        same = same and (not file.padding or offset % piece_length == 0)
    if not same:
        raise ValueError("its v1 and v2 file lists differ")


def _check_pieces(pieces: Value | None, count: int, *, required: bool) -> None:
    if not 0 < count <= _MAX_PIECES:
        raise ValueError("it has no content, or too many pieces")
    if not isinstance(pieces, bytes):
        if required:
            raise ValueError("it has no piece hashes")
    elif len(pieces) != 20 * count:
        raise ValueError("its piece hashes do not cover its files")


def _check_piece_layers(files: list[_File], piece_length: int, layers: Value | None) -> None:
    large = [file for file in files if file.size > piece_length]
    if not isinstance(layers, dict) or layers.keys() != {file.root for file in large}:
        raise ValueError("its v2 piece layers are not those of its files")
    for file in large:
        layer = layers[file.root]
        if not isinstance(layer, bytes) or len(layer) != _ROOT_SIZE * -(-file.size // piece_length):
            raise ValueError("a v2 piece layer is malformed")
        if _merkle_root(layer, piece_length) != file.root:
            raise ValueError("a v2 piece layer does not match its file")


def _merkle_root(layer: bytes, piece_length: int) -> bytes:
    padding = bytes(_ROOT_SIZE)
    for _ in range((piece_length // BLOCK).bit_length() - 1):
        padding = _sha256(padding * 2)
    hashes = [layer[at : at + _ROOT_SIZE] for at in range(0, len(layer), _ROOT_SIZE)]
    hashes += [padding] * ((1 << (len(hashes) - 1).bit_length()) - len(hashes))
    while len(hashes) > 1:
        hashes = [_sha256(left + right) for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
