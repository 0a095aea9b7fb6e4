"""Say which info-hashes a torrent has, v1 (BEP 3), v2 (BEP 52) or both, and what about it is doubtful.

The client judges a torrent. What stands here only tells which ones it might refuse,
because one that it refuses can spoil a request for all that come with it. So the rules
are those of libtorrent, of its versions the strictest, and are never looser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final, TypeAlias

from attrs import frozen

from audiobatch._bencode import Document, Info, Span, Value, decode, find_text, read_number
from audiobatch._piece_layers import BLOCK, ROOT_SIZE, check_piece_layers

_MAX_PIECES: Final = 0x200000
_MAX_PIECE_LENGTH: Final = 2**29 - BLOCK
_MAX_FILE_SIZE: Final = (2**30 - 1) * BLOCK - 1
_MAX_FOLDERS: Final = 100
_MAX_NAME: Final = 1024  # bytes
_LISTS_DIFFER: Final = "its v1 and v2 file lists differ"
# As libtorrent 2.0 leaves it: without separators, and marks that turn the direction of writing.
_LEFT_OUT = rb"(?:[/\\\0]|\xe2\x80[\x8e\x8f\xaa-\xae])*+"
_BYTE_ORDER_MARK: Final = re.compile(_LEFT_OUT + rb"\xef\xbb\xbf" + _LEFT_OUT)
_WHITE_SPACE: Final = re.compile(rb"\s*+\Z")
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

Dictionary: TypeAlias = Mapping[bytes, Value]


@frozen
class Identity:
    """What tells a torrent from others.

    Attributes:
        name: The one that it suggests, cut where it is very long.
        private: It is bound to its own trackers (BEP 27).
        has_v1: Clients give it a v1 info-hash.
        has_v2: They give it a v2 info-hash.
    """

    name: str
    private: bool
    has_v1: bool
    has_v2: bool


@frozen
class Findings:
    """What a closer look at a torrent has shown.

    Attributes:
        doubt: Why a client might refuse it, or None if nothing speaks against it.
        total_size: Bytes of the payload, padding left out, as far as they can be told.
    """

    doubt: str | None
    total_size: int


@frozen
class _File:
    path: Sequence[Value]
    size: int
    padding: bool = False


def identify(data: bytes, info: Info) -> Identity:
    """Tell what a torrent is as clients do: by its version, and by whether it has v1 parts.

    Raises:
        ValueError: It is of a version that is not known yet, so nobody knows its info-hash; or a
            client would not survive it.
    """
    members = info.members
    version = _version(read_number(data, members.get(b"meta version")))
    if version > 2:
        raise ValueError("it is of a version newer than 2")
    has_list = _starts_with(b"l", data, members.get(b"files"))
    name = find_text(data, members.get(b"name.utf-8")) or find_text(data, members.get(b"name")) or (0, 0)
    only_name = _first_file(data, members.get(b"file tree")) if version == 2 else None if has_list else name
    if only_name and _BYTE_ORDER_MARK.fullmatch(data, *only_name):
        raise ValueError("its file is named by a byte order mark alone, of which qBittorrent crashes")
    return Identity(
        name=data[name[0] : min(name[1], name[0] + _MAX_NAME)].decode(errors="replace"),
        private=read_number(data, members.get(b"private")) != 0,
        has_v1=version < 2 or has_list or b"length" in members,
        has_v2=version == 2,
    )


def _first_file(data: bytes, tree: Span | None) -> Span | None:
    """Return where the name of the first file of a v2 tree stands, if that lies in no folder."""
    name = find_text(data, (tree[0] + 1, tree[1])) if tree and _starts_with(b"d", data, tree) else None
    return name if name and data.startswith(b"d0:", name[1]) else None


def _version(number: int) -> int:
    # libtorrent keeps 32 bits of it.
    return (number + 2**31) % 2**32 - 2**31


def _starts_with(kind: bytes, data: bytes, span: Span | None) -> bool:
    return span is not None and data.startswith(kind, span[0])


def examine(data: bytes, info: Info) -> Findings:
    """Look closer at a torrent, within bounds of time and memory; nothing is raised."""
    try:
        document = decode(data)
    except ValueError as error:
        return Findings(str(error), max(0, read_number(data, info.members.get(b"length"))))
    parts = document.root[b"info"]
    assert isinstance(parts, dict), "it was found as one"
    doubt = document.fault
    if not _WHITE_SPACE.match(data, info.end):
        doubt = "more bytes follow after its end"
    try:
        _check(document, parts, info)
    except ValueError as error:
        doubt = doubt or str(error)
    return Findings(doubt, _total_size(parts))


def _total_size(info: Dictionary) -> int:
    total = 0
    with suppress(ValueError):
        for file in _entries(info):
            if b"p" not in _attributes(file):
                total += max(0, _length(file))
    return total


def _entries(info: Dictionary) -> Iterator[Dictionary]:
    if isinstance(files := info.get(b"files"), list):
        return (file for file in files if isinstance(file, dict))
    if isinstance(tree := info.get(b"file tree"), dict):
        return (file for _, file in _leaves(tree))
    return iter((info,))


def _check(document: Document, info: Dictionary, found: Info) -> None:
    """Raise `ValueError` for what a client might not take."""
    version = _version(_integer(info, b"meta version"))
    start, stop = found.span
    if version > 0 and any(start <= at < stop for at in document.unsorted):
        raise ValueError("the keys of its info dictionary are not sorted")
    tree = info.get(b"file tree")
    if version < 2 and isinstance(tree, dict):
        raise ValueError("it has a v2 file tree but no v2 version number")
    name = _name(info)
    piece_length = _piece_length(info, power_of_two=version == 2)
    has_v1 = version < 2 or b"length" in info or isinstance(info.get(b"files"), list)
    files = list(_v1_files(info, name)) if has_v1 else []
    if version < 2:
        _check_pieces(info.get(b"pieces"), -(-sum(file.size for file in files) // piece_length), required=True)
        return
    if not isinstance(tree, dict):
        raise ValueError("it has no v2 file tree")
    if has_v1 and not isinstance(info.get(b"files"), list) and len(tree) > 1:
        raise ValueError(_LISTS_DIFFER)  # beside the one file, be it an empty folder
    _check_alignment(files, piece_length)
    hashed = _v2_files(tree, iter([file for file in files if not file.padding]) if files else None)
    _check_pieces(info.get(b"pieces"), sum(-(-size // piece_length) for size, _ in hashed), required=has_v1)
    check_piece_layers(hashed, piece_length, document.root.get(b"piece layers"))


def _integer(dictionary: Dictionary, key: bytes) -> int:
    value = dictionary.get(key)
    return value if isinstance(value, int) else 0


def _name(info: Dictionary) -> bytes:
    name = next((value for key in (b"name.utf-8", b"name") if isinstance(value := info.get(key), bytes)), b"")
    if not _is_usable(name):
        raise ValueError("it has no usable name")
    return name


def _is_usable(name: bytes) -> bool:
    return name[:1].isalnum() or name[:_MAX_NAME].decode(errors="replace").translate(_DROPPED_FROM_NAMES) not in (
        "",
        ".",
        "..",
    )


def _piece_length(info: Dictionary, *, power_of_two: bool) -> int:
    length = _integer(info, b"piece length")
    if not 0 < length <= _MAX_PIECE_LENGTH:
        raise ValueError("its piece length is missing or out of range")
    if power_of_two and (length < BLOCK or length & (length - 1)):
        raise ValueError("its piece length is not a power of two of at least 16 KiB")
    return length


def _length(file: Dictionary) -> int:
    # A symbolic link takes no room in the payload (BEP 47).
    length = 0 if b"l" in _attributes(file) else file.get(b"length")
    return length if isinstance(length, int) else -1


def _size(file: Dictionary) -> int:
    size = _length(file)
    if not 0 <= size <= _MAX_FILE_SIZE:
        raise ValueError("the length of a file is missing or out of range")
    return size


def _attributes(file: Dictionary) -> bytes:
    attributes = file.get(b"attr")
    return attributes if isinstance(attributes, bytes) else b""


def _v1_files(info: Dictionary, name: bytes) -> Iterator[_File]:
    files = info.get(b"files")
    if not isinstance(files, list):
        yield _File([name], _size(info), padding=b"p" in _attributes(info))
        return
    for file in files:
        if not isinstance(file, dict):
            raise ValueError("an entry of its file list is not a dictionary")
        yield _File(_path(file), _size(file), padding=b"p" in _attributes(file))


def _path(file: Dictionary) -> list[Value]:
    path = next((value for key in (b"path.utf-8", b"path") if isinstance(value := file.get(key), list)), [])
    if not all(isinstance(element, bytes) for element in path) or not (path or b"p" in _attributes(file)):
        raise ValueError("a file in it has no usable path")
    if len(path) > _MAX_FOLDERS:
        raise ValueError("a file in it lies too deep")
    return path


def _leaves(tree: Dictionary) -> Iterator[tuple[list[Value], Dictionary]]:
    """Yield each file of a v2 tree with its path, depth first and in order; the list of the path is used again."""
    path: list[Value] = []
    # A stack instead of recursion, because the depth is the input's.
    open_folders = [iter(tree.items())]
    while open_folders:
        name, node = next(open_folders[-1], (b"", None))
        if node is None:
            open_folders.pop()
            del path[-1:]
        elif not name or not isinstance(node, dict):
            raise ValueError("its v2 file tree is malformed")
        elif node.keys() == {b""}:
            leaf = node[b""]
            if not isinstance(leaf, dict):
                raise ValueError("its v2 file tree is malformed")
            path.append(name)
            yield path, leaf
            path.pop()
        else:
            path.append(name)
            open_folders.append(iter(node.items()))


def _v2_files(tree: Dictionary, twins: Iterator[_File] | None) -> list[tuple[int, bytes]]:
    """Return size and root of each file; the files of a hybrid's v1 list have to be the same, in the same order."""
    found = []
    for path, leaf in _leaves(tree):
        size, root = _size(leaf), leaf.get(b"pieces root", b"")
        if b"p" in _attributes(leaf):
            raise ValueError("its v2 file tree is malformed")
        if not all(isinstance(name, bytes) and _is_usable(name) for name in path[-1:]):
            raise ValueError("a file in it has no usable path")
        if not isinstance(root, bytes) or (size and (len(root) != ROOT_SIZE or not any(root))):
            raise ValueError("a file in it has no v2 hash")
        found.append((size, root))
        twin = next(twins, None) if twins else None
        if twins and (twin is None or (twin.path, twin.size) != (path, size)):
            raise ValueError(_LISTS_DIFFER)
    if twins and next(twins, None):
        raise ValueError(_LISTS_DIFFER)
    return found


def _check_alignment(files: Sequence[_File], piece_length: int) -> None:
    # In the v1 list of a hybrid, padding makes each file begin with a piece (BEP 52).
    offset = 0
    for file in files:
        begins = offset % piece_length == 0
        offset += file.size
        if not (offset % piece_length == 0 if file.padding else begins):
            raise ValueError(_LISTS_DIFFER)


def _check_pieces(pieces: Value | None, count: int, *, required: bool) -> None:
    if not 0 < count <= _MAX_PIECES:
        raise ValueError("it has no content, or too many pieces")
    if not isinstance(pieces, bytes):
        if required:
            raise ValueError("it has no piece hashes")
    elif len(pieces) != 20 * count:
        raise ValueError("its piece hashes do not cover its files")
