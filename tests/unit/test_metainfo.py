"""What counts as a torrent file, and which info-hashes it has."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import pytest

from audiobatch.errors import NotATorrent
from audiobatch.metainfo import InfoHashes, parse_torrent
from support.torrents import PIECE_LENGTH, Kind, bencode, book

ROOT = hashlib.sha256(b"root").digest()

LARGE = 2 * PIECE_LENGTH + 1
LEAVES = [hashlib.sha256(b"leaf %d" % number).digest() for number in range(3)]
LARGE_ROOT = hashlib.sha256(
    hashlib.sha256(LEAVES[0] + LEAVES[1]).digest() + hashlib.sha256(LEAVES[2] + bytes(32)).digest()
).digest()
LAYER = b"".join(LEAVES)


def leaf(length: object = 1, root: object = ROOT, **more: object) -> dict[str, object]:
    """Make a file of a v2 file tree; None takes a part of it away."""
    return {"": without_none({"length": length, "pieces root": root, **more})}


def without_none(parts: Mapping[str, object]) -> dict[str, object]:
    """Take away the parts that are None."""
    return {key: value for key, value in parts.items() if value is not None}


def torrent(
    kind: Kind = "v1", info: Mapping[str, object] | None = None, top: Mapping[str, object] | None = None
) -> bytes:
    """Make a torrent of one byte, with other parts in its info value and at the top; None takes a part away."""
    parts: dict[str, object] = {"name": "Book", "piece length": PIECE_LENGTH}
    if kind != "v2":
        parts |= {"length": 1, "pieces": bytes(20)}
    if kind != "v1":
        parts |= {"meta version": 2, "file tree": {"Book": leaf()}}
        top = {"piece layers": {}, **(top or {})}
    return bencode(without_none({"info": without_none({**parts, **(info or {})}), **(top or {})}))


def large(layers: object) -> bytes:
    """Make a v2 torrent of one file of three pieces, with these piece layers."""
    return torrent("v2", {"file tree": {"Book": leaf(LARGE, LARGE_ROOT)}}, {"piece layers": layers})


def with_value(raw: bytes) -> bytes:
    """Put raw bytes where a value of the top level belongs."""
    return book("A Book")[:-1] + b"1:x" + raw + b"e"


def v1_file(length: object, *path: str, **more: object) -> dict[str, object]:
    """Make an entry of a v1 file list."""
    return {"length": length, "path": path, **more}


def padding(length: int) -> dict[str, object]:
    """Make a padding file of a v1 file list."""
    return v1_file(length, ".pad", str(length), attr="p")


@pytest.mark.parametrize("kind", ["v1", "v2", "hybrid"])
def test_each_kind_has_the_digests_of_its_raw_info_value(kind: Kind) -> None:
    """A v1 torrent has the SHA-1, a v2 torrent the SHA-256, and a hybrid has both of the same bytes."""
    content = book("A Book", kind=kind)
    start, stop = len(b"d4:info"), len(content) - len(b"e" if kind == "v1" else b"12:piece layersdee")
    raw = content[start:stop]
    parsed = parse_torrent(content)
    assert parsed.info_hashes == InfoHashes(
        v1=hashlib.sha1(raw).hexdigest() if kind != "v2" else None,
        v2=hashlib.sha256(raw).hexdigest() if kind != "v1" else None,
    )
    assert (parsed.name, parsed.total_size, parsed.private) == ("A Book", 6, False)


@pytest.mark.parametrize("kind", ["v1", "v2", "hybrid"])
def test_the_bytes_are_kept_untouched_and_out_of_the_repr(kind: Kind) -> None:
    """What a client gets later is the very object that came, and the repr does not spill it."""
    content = book("A Book", kind=kind, announce="https://tracker.example/passkey/announce") + b"\r\n"
    parsed = parse_torrent(content)
    assert parsed.content is content
    assert "passkey" not in repr(parsed)


def test_unsorted_info_of_v1_is_hashed_as_it_stands() -> None:
    """Old torrents with unsorted keys keep the hash that their tracker knows."""
    info = bencode([("pieces", bytes(20)), ("piece length", PIECE_LENGTH), ("name", "Book"), ("length", 1)])
    parsed = parse_torrent(b"d4:info" + info + b"8:announce0:e")
    assert parsed.info_hashes == InfoHashes(v1=hashlib.sha1(info).hexdigest())


@pytest.mark.parametrize("kind", ["v2", "hybrid"])
@pytest.mark.parametrize("nested", [False, True])
def test_unsorted_info_is_refused_where_there_is_a_meta_version(kind: Kind, *, nested: bool) -> None:
    """BEP 52 asks for sorted keys, at every depth of the info value."""
    pairs = [("b", 1), ("a", 2)]
    content = torrent(kind, {"x": pairs}) if nested else torrent(kind).replace(b"4:name4:Book", b"4:name4:Book1:a0:")
    with pytest.raises(NotATorrent, match="keys of its info dictionary are not sorted"):
        parse_torrent(content)


def test_unsorted_keys_outside_the_info_value_do_no_harm() -> None:
    """The order of the top level has no part in the hash, of v2 either."""
    info = torrent("v2")[len(b"d4:info") : -len(b"12:piece layersdee")]
    parsed = parse_torrent(b"d12:piece layersde4:info" + info + b"1:ad1:b0:1:a0:ee")
    assert parsed.info_hashes == parse_torrent(torrent("v2")).info_hashes


def test_only_the_info_of_the_top_level_is_hashed() -> None:
    """Another key of that name further down, or a text that looks like one, misleads nobody."""
    parsed = parse_torrent(torrent(top={"a": {"info": {"name": "Decoy"}}, "b": b"4:infod4:name5:Decoye"}))
    assert parsed.info_hashes == parse_torrent(torrent()).info_hashes
    assert parsed.name == "Book"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b" \t\n"])
def test_white_space_at_the_end_is_accepted(end: bytes) -> None:
    """Some trackers end the file with a line break; the hash is the same."""
    assert parse_torrent(torrent() + end).info_hashes == parse_torrent(torrent()).info_hashes


@pytest.mark.parametrize("raw", [b"i0e", b"i9223372036854775807e", b"i-9223372036854775808e", b"0:", b"de", b"le"])
def test_values_at_the_limits_of_bencode_are_accepted(raw: bytes) -> None:
    """Empty values and the ends of 64 bits are well-formed."""
    assert parse_torrent(with_value(raw)).name == "A Book"


@pytest.mark.parametrize(
    "raw",
    [
        *(b"i01e", b"i-0e", b"i-01e", b"i+1e", b"i1_0e", b"i 1e", b"ie", b"i-e", b"i1"),
        *(b"i9223372036854775808e", b"i-9223372036854775809e", pytest.param(b"i" + b"9" * 5000 + b"e", id="huge")),
        *(b"01:a", b"00:", b"-1:a", b"1", b"1000:a", b"99999999999:a"),
        *(b"di1ei2ee", b"dle0:e", b"d1:ae", b"e", b"x", b""),
    ],
)
def test_what_is_no_strict_bencode_is_refused(raw: bytes) -> None:
    """Leading zeros, numbers beyond 64 bits, keys that are no strings and missing values are refused."""
    with pytest.raises(NotATorrent):
        parse_torrent(with_value(raw))


def test_every_truncation_is_refused() -> None:
    """However much of the end is missing, it is no torrent."""
    content = torrent("hybrid")
    for length in range(len(content)):
        with pytest.raises(NotATorrent):
            parse_torrent(content[:length])


def test_a_depth_of_a_hundred_is_the_limit() -> None:
    """The dictionary at the top and 99 lists within it pass, one more does not."""
    assert parse_torrent(with_value(b"l" * 99 + b"e" * 99)).name == "A Book"
    for depth in (100, 50_000):
        with pytest.raises(NotATorrent, match="nested too deeply"):
            parse_torrent(with_value(b"l" * depth + b"e" * depth))


def test_so_many_values_are_the_limit() -> None:
    """The beginning and the end of a list or dictionary count as one each."""
    around = 16
    assert parse_torrent(with_value(b"l" + b"0:" * (300_000 - around) + b"e")).name == "A Book"
    with pytest.raises(NotATorrent, match="too many values"):
        parse_torrent(with_value(b"l" + b"0:" * (300_001 - around) + b"e"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not bencoded"),
        (b"<!DOCTYPE html><title>Login</title>", "not bencoded"),
        (b"\n" + torrent(), "not bencoded"),
        (b"i1e", "not one bencoded dictionary"),
        (b"4:info", "not one bencoded dictionary"),
        (b"l" + torrent() + b"e", "not one bencoded dictionary"),
        (torrent() + b"\0", "not one bencoded dictionary"),
        (torrent() + torrent(), "not one bencoded dictionary"),
        (b"de", "no info dictionary"),
        (bencode({"magnet-uri": "magnet:?xt=urn:btih:" + "a" * 40}), "no info dictionary"),
        (bencode({"info": "text"}), "info value is not a dictionary"),
        (bencode({"info": ({"name": "Book"},)}), "info value is not a dictionary"),
        (torrent()[:-1] + b"4:infodee", "same key twice"),
        (torrent().replace(b"4:name4:Book", b"4:name4:Book4:name4:Evil"), "same key twice"),
    ],
)
def test_what_holds_no_single_info_dictionary_is_refused(content: bytes, reason: str) -> None:
    """Web pages, other values, magnets in disguise and files with two info values are no torrents."""
    with pytest.raises(NotATorrent, match=f"^not a valid torrent file: .*{reason}"):
        parse_torrent(content)


@pytest.mark.parametrize("name", [None, "", ".", "..", "/", "\0", "\u200b", "\u202e", "\ufeff", 5])
def test_a_name_is_needed(name: object) -> None:
    """A name that is missing, or of which clients leave nothing, is refused."""
    with pytest.raises(NotATorrent, match="no usable name"):
        parse_torrent(torrent(info={"name": name}))


@pytest.mark.parametrize(
    ("changes", "name"),
    [({"name": b"B\xfccher"}, "B\ufffdcher"), ({"name.utf-8": "Bücher"}, "Bücher"), ({"name.utf-8": 5}, "Book")],
)
def test_the_name_is_read_whatever_its_encoding(changes: dict[str, object], name: str) -> None:
    """The UTF-8 name goes first, and bytes that are none are replaced."""
    assert parse_torrent(torrent(info=changes)).name == name


@pytest.mark.parametrize(
    ("kind", "length", "reason"),
    [("v1", length, "missing or out of range") for length in (None, 0, -1, 2**30, "16384", 2**62)]
    + [(kind, length, "power of two") for kind in ("v2", "hybrid") for length in (8192, 16383, 16385, 49152)],
)
def test_a_piece_length_that_clients_refuse_is_refused(kind: Kind, length: object, reason: str) -> None:
    """It is positive and below 1 GiB, and for v2 a power of two of at least 16 KiB."""
    with pytest.raises(NotATorrent, match=reason):
        parse_torrent(torrent(kind, {"piece length": length}))


@pytest.mark.parametrize(("kind", "length"), [("v1", 1), ("v1", 2**30 - 1), ("v2", 16384), ("hybrid", 2**29)])
def test_a_piece_length_at_the_limit_is_accepted(kind: Kind, length: int) -> None:
    """The smallest and the largest piece lengths are torrents."""
    assert parse_torrent(torrent(kind, {"piece length": length})).total_size == 1


FILE_LIST = (v1_file(3, "CD 1", "a.mp3"), padding(PIECE_LENGTH - 3), v1_file(4, "b.mp3"), v1_file(0, "empty.txt"))


def test_padding_files_are_not_counted_in_the_size() -> None:
    """Padding is not content, while it does take pieces."""
    assert parse_torrent(torrent(info={"length": None, "files": FILE_LIST, "pieces": bytes(40)})).total_size == 7


def test_a_symbolic_link_takes_no_room() -> None:
    """A link has no length of its own (BEP 47), whatever it says."""
    link = {"attr": "l", "path": ("link",), "symlink path": ("a.mp3",)}
    files = (v1_file(3, "a.mp3"), link, link | {"length": 10**9})
    assert parse_torrent(torrent(info={"length": None, "files": files})).total_size == 3


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"length": length}, "length of a file") for length in (None, -1, 2**48, "1")]
    + [({"files": (v1_file(length, "a"),)}, "length of a file") for length in (-1, 2**48, "1")]
    + [({"files": ({"path": ("a",)},)}, "length of a file")]
    + [({"files": (entry,)}, "entry of its file list") for entry in (5, "a", ())]
    + [({"files": ({"length": 1, "path": path},)}, "no usable path") for path in ((), (5,), ("a", ()), "a", 5)]
    + [({"files": ({"length": 1},)}, "no usable path")]
    + [({"length": 0, "pieces": b""}, "no content"), ({"files": (), "pieces": b""}, "no content")]
    + [({"length": 2**40}, "too many pieces"), ({"pieces": None}, "no piece hashes"), ({"pieces": 5}, "piece hashes")]
    + [({"pieces": bytes(length)}, "piece hashes do not cover") for length in (0, 19, 21, 40)]
    + [({"meta version": 3}, "newer than 2"), ({"file tree": {"Book": leaf()}}, "no v2 version number")],
)
def test_a_malformed_v1_info_is_refused(changes: dict[str, object], reason: str) -> None:
    """Lengths, paths and piece hashes have to fit together."""
    with pytest.raises(NotATorrent, match=reason):
        parse_torrent(torrent(info=changes))


@pytest.mark.parametrize(
    ("info", "top", "private"),
    [
        ({"private": 1}, {}, True),
        ({"private": 0}, {}, False),
        ({}, {}, False),
        ({"private": "1"}, {}, False),
        ({}, {"private": 1}, False),
    ],
)
@pytest.mark.parametrize("kind", ["v1", "v2", "hybrid"])
def test_the_private_flag_is_read_from_the_info_value(
    kind: Kind, info: dict[str, object], top: dict[str, object], *, private: bool
) -> None:
    """Only a number other than zero inside of the info value binds a torrent to its trackers."""
    assert parse_torrent(torrent(kind, info, top)).private is private


def test_a_v2_tree_of_folders_is_read() -> None:
    """Sizes of all files count, and an empty file and a link need no hash."""
    tree = {
        "CD 1": {"a.mp3": leaf(3), "empty.txt": leaf(0, root=None)},
        "b.mp3": leaf(4),
        "link": leaf(None, root=None, attr="l"),
    }
    assert parse_torrent(torrent("v2", {"file tree": tree})).total_size == 7


@pytest.mark.parametrize(
    ("tree", "reason"),
    [(tree, "no v2 file tree") for tree in (None, (), "tree", 5)]
    + [({}, "no content"), ({"folder": {}}, "no content"), ({"a": leaf(0)}, "no content")]
    + [({"a": node}, "malformed") for node in (5, "file", (), {"": 5}, {"": ()}, leaf() | {"b": leaf()})]
    + [(leaf(), "malformed"), ({"": leaf()}, "malformed"), ({"a": leaf(attr="p")}, "malformed")]
    + [({"a": leaf(length)}, "length of a file") for length in (None, -1, 2**48, "1")]
    + [({"a": leaf(root=root)}, "no v2 hash") for root in (None, b"", ROOT[:31], bytes(32), 5)],
)
def test_a_malformed_v2_file_tree_is_refused(tree: object, reason: str) -> None:
    """Each node is a folder with names or a file with a length and a hash."""
    with pytest.raises(NotATorrent, match=reason):
        parse_torrent(torrent("v2", {"file tree": tree}))


def test_piece_layers_that_match_are_accepted() -> None:
    """A file larger than a piece has its layer beside the info value."""
    assert parse_torrent(large({LARGE_ROOT: LAYER})).total_size == LARGE


@pytest.mark.parametrize(
    ("layers", "reason"),
    [(layers, "not those of its files") for layers in (None, (), {}, {ROOT: LAYER}, {LARGE_ROOT: LAYER, ROOT: LAYER})]
    + [({LARGE_ROOT: layer}, "malformed") for layer in (b"", LAYER[:-1], LAYER[:-32], LAYER + bytes(32), 5)]
    + [({LARGE_ROOT: LAYER[32:] + LAYER[:32]}, "does not match its file")],
)
def test_piece_layers_that_do_not_match_are_refused(layers: object, reason: str) -> None:
    """Layers are there for exactly the large files, and hash to their roots."""
    with pytest.raises(NotATorrent, match=reason):
        parse_torrent(large(layers))


HYBRID_TREE = {"a.mp3": leaf(3), "b.mp3": leaf(4)}
A, B, GAP = v1_file(3, "a.mp3"), v1_file(4, "b.mp3"), padding(PIECE_LENGTH - 3)


def hybrid(*files: object) -> bytes:
    """Make a hybrid of two files, with this v1 file list."""
    return torrent("hybrid", {"length": None, "files": files, "file tree": HYBRID_TREE, "pieces": bytes(40)})


def test_a_hybrid_of_several_files_is_accepted_with_its_padding() -> None:
    """Both lists name the same files, and the size leaves the padding out."""
    assert parse_torrent(hybrid(A, GAP, B)).total_size == 7


@pytest.mark.parametrize(
    "files",
    [
        (A, B),
        (A, padding(PIECE_LENGTH - 4), B),
        (A, GAP),
        (A, GAP, v1_file(5, "b.mp3")),
        (A, GAP, v1_file(4, "c.mp3")),
        (B, padding(PIECE_LENGTH - 4), A),
        (A, GAP, B, padding(PIECE_LENGTH - 4), v1_file(1, "c.mp3")),
    ],
)
def test_a_hybrid_whose_lists_differ_is_refused(files: tuple[object, ...]) -> None:
    """Names, sizes, order and alignment have to be the same, or peers would get different files."""
    with pytest.raises(NotATorrent, match="v1 and v2 file lists differ"):
        parse_torrent(hybrid(*files))
