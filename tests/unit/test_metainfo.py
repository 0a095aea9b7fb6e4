"""What counts as a torrent file, and which info-hashes it has."""

from __future__ import annotations

import hashlib

import pytest

from audiobatch.errors import NotATorrent
from audiobatch.metainfo import InfoHashes, parse_torrent
from support.odd_torrents import (
    LARGE,
    LARGE_ROOT,
    LAYER,
    ROOT,
    encode,
    file,
    info_of,
    large,
    leaf,
    padding,
    pair,
    several,
    spliced,
    torrent,
)
from support.torrents import PIECE_LENGTH, Kind, bencode, book

MAGNET = "magnet:?xt=urn:btih:" + "a" * 40


def with_value(raw: bytes) -> bytes:
    """Put raw bytes where a value of the top level belongs."""
    return book("A Book")[:-1] + b"1:x" + raw + b"e"


def doubt(content: bytes) -> str | None:
    """Parse what clients might refuse, and return why they might."""
    return parse_torrent(content).doubt


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
    assert (parsed.name, parsed.total_size, parsed.private, parsed.doubt) == ("A Book", 6, False, None)


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
    assert parsed.doubt is None


@pytest.mark.parametrize("kind", ["v2", "hybrid"])
@pytest.mark.parametrize("nested", [False, True])
def test_unsorted_info_is_doubtful_where_there_is_a_meta_version(kind: Kind, *, nested: bool) -> None:
    """BEP 52 asks for sorted keys, at every depth of the info value."""
    pairs = [("b", 1), ("a", 2)]
    content = torrent(kind, {"x": pairs}) if nested else torrent(kind).replace(b"4:name4:Book", b"4:name4:Book1:a0:")
    assert doubt(content) == "the keys of its info dictionary are not sorted"


def test_unsorted_keys_outside_the_info_value_do_no_harm() -> None:
    """The order of the top level has no part in the hash, of v2 either."""
    info = torrent("v2")[len(b"d4:info") : -len(b"12:piece layersdee")]
    parsed = parse_torrent(b"d12:piece layersde4:info" + info + b"1:ad1:b0:1:a0:ee")
    assert parsed.info_hashes == parse_torrent(torrent("v2")).info_hashes
    assert parsed.doubt is None


def test_only_the_info_of_the_top_level_is_hashed() -> None:
    """Another key of that name further down, or a text that looks like one, misleads nobody."""
    parsed = parse_torrent(torrent(top={"a": {"info": {"name": "Decoy"}}, "b": b"4:infod4:name5:Decoye"}))
    assert parsed.info_hashes == parse_torrent(torrent()).info_hashes
    assert parsed.name == "Book"


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b" \t\n"])
def test_white_space_at_the_end_is_accepted(end: bytes) -> None:
    """Some trackers end the file with a line break; the hash is the same."""
    parsed = parse_torrent(torrent() + end)
    assert parsed.info_hashes == parse_torrent(torrent()).info_hashes
    assert parsed.doubt is None


@pytest.mark.parametrize("end", [b"\0", b"e", b"# a comment", b"\n<br />Warning: ", torrent("v1", {"name": "Other"})])
@pytest.mark.parametrize("kind", ["v1", "v2", "hybrid"])
def test_other_bytes_at_the_end_are_doubtful(kind: Kind, end: bytes) -> None:
    """Some trackers append comments, zeros or errors; clients read up to the end of the dictionary."""
    parsed = parse_torrent(torrent(kind) + end)
    assert parsed.info_hashes == parse_torrent(torrent(kind)).info_hashes
    assert parsed.content.endswith(end)
    assert parsed.doubt == "more bytes follow after its end"


@pytest.mark.parametrize("raw", [b"i0e", b"i9223372036854775807e", b"i-9223372036854775808e", b"0:", b"de", b"le"])
def test_values_at_the_limits_of_bencode_are_accepted(raw: bytes) -> None:
    """Empty values and the ends of 64 bits are well-formed."""
    parsed = parse_torrent(with_value(raw))
    assert (parsed.name, parsed.doubt) == ("A Book", None)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [(raw, "begins with a zero") for raw in (b"i01e", b"i-0e", b"i-01e", b"01:a", b"00:", b"l0000000001:ae")]
    + [(raw, "too large") for raw in (b"i9223372036854775808e", b"i-9223372036854775809e", b"i" + b"9" * 20 + b"e")]
    + [(raw, "the same key twice") for raw in (b"d1:a0:1:a0:e", b"ld0:0:0:0:ee", b"0:1:xi1e")]
    + [(raw, "not a string") for raw in (b"di1ei2ee", b"dle0:e", b"d1:ae", b"l" * 9 + b"di1e0:e" + b"e" * 9)],
)
@pytest.mark.parametrize("inside", [False, True], ids=["outside", "inside"])
def test_what_is_no_canonical_bencode_is_doubtful(raw: bytes, reason: str, *, inside: bool) -> None:
    """Zeros before a number, what is beyond 64 bits, and keys that stand twice leave the info-hash as it is."""
    content = spliced("v1", b"1:x" + raw) if inside else with_value(raw)
    assert reason in (doubt(content) or "")


def test_of_a_key_that_stands_twice_the_first_counts() -> None:
    """So do clients read it."""
    twice = b"6:lengthi7e4:name5:Other7:privatei1e6:pieces40:" + bytes(40)
    parsed = parse_torrent(spliced("v1", twice))
    raw = b"d" + twice + encode(info_of("v1", {}))[1:]
    assert parsed.info_hashes == InfoHashes(v1=hashlib.sha1(raw).hexdigest())
    assert (parsed.name, parsed.total_size, parsed.private) == ("Other", 7, True)
    assert parsed.doubt == "a dictionary has the same key twice"


@pytest.mark.parametrize(
    "raw",
    [
        *(b"i+1e", b"i1_0e", b"i 1e", b"ie", b"i-e", b"i1"),
        *(pytest.param(b"i" + b"9" * 21 + b"e", id="21 digits"), pytest.param(b"i" + b"9" * 5000 + b"e", id="huge")),
        *(b"-1:a", b"1", b"1000:a", b"99999999999:a", pytest.param(b"0" * 5000 + b"1:a", id="many zeros")),
        b"x",
    ],
)
@pytest.mark.parametrize("around", [b"", b"l", b"lll", b"lllll", b"d1:al"])
def test_what_is_no_bencode_is_refused(raw: bytes, around: bytes) -> None:
    """Where the end of a value is not clear, the info-hash is not either."""
    closed = b"e" * (around.count(b"l") + around.count(b"d"))
    with pytest.raises(NotATorrent, match=r"not bencoded|cut short"):
        parse_torrent(with_value(around + raw + b"0:" + closed))


@pytest.mark.parametrize("end", [b"1:xe", b"1:x", b"i1e0:e", b"le0:e"])
def test_a_key_needs_a_value_and_is_a_text(end: bytes) -> None:
    """At the top level nothing else can be read."""
    with pytest.raises(NotATorrent, match=r"not bencoded|a value is missing|cut short"):
        parse_torrent(torrent()[:-1] + end)
    with pytest.raises(NotATorrent, match=r"not bencoded|a value is missing|cut short"):
        parse_torrent(torrent()[:-2] + end + b"e")


def test_every_truncation_is_refused() -> None:
    """However much of the end is missing, it is no torrent."""
    content = torrent("hybrid")
    for length in range(len(content)):
        with pytest.raises(NotATorrent):
            parse_torrent(content[:length])


def test_a_depth_of_a_hundred_is_the_limit() -> None:
    """No client reads more; the dictionary at the top and 99 lists within it pass, but clients read one less."""
    assert doubt(with_value(b"l" * 98 + b"e" * 98)) is None
    for filling in (b"", b"i1e", b"1:a", b"300:" + bytes(300)):
        nested = b"l" * 99 + (filling + b"e") * 99
        assert doubt(with_value(nested)) == "it is nested too deeply"
    for depth in (100, 101, 102, 103, 50_000):
        with pytest.raises(NotATorrent, match="nested too deeply"):
            parse_torrent(with_value(b"l" * depth + b"e" * depth))


def test_so_many_values_are_looked_at() -> None:
    """The beginning and the end of a list or dictionary count as one each; with more it is doubtful."""
    around = 16
    assert doubt(with_value(b"l" + b"0:" * (300_000 - around) + b"e")) is None
    assert doubt(with_value(b"l" + b"0:" * (300_001 - around) + b"e")) == "it has more than 300,000 values"


@pytest.mark.parametrize("filling", [b"0:", b"i1e", b"le", b"d1:a1:be", b"1:a", b"d6:lengthi1e4:pathl5:a.mp3ee"])
def test_many_more_values_are_stepped_over(filling: bytes) -> None:
    """The info-hash is as certain as ever: here are three million, as many as libtorrent reads."""
    each = len(filling.replace(b"6:length", b"0:").replace(b"4:path", b"0:")) // 2
    parsed = parse_torrent(with_value(b"l" + filling * (3_000_000 // max(each, 1)) + b"e"))
    assert parsed.info_hashes == parse_torrent(book("A Book")).info_hashes
    assert (parsed.name, parsed.total_size, parsed.doubt) == ("A Book", 6, "it has more than 300,000 values")


def test_values_that_take_too_long_to_step_over_are_refused() -> None:
    """Of millions of lists in lists in lists, no client needs to know."""
    with pytest.raises(NotATorrent, match="too many values"):
        parse_torrent(with_value(b"l" + b"llll0:eeee" * 100_000 + b"e"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not bencoded"),
        (b"<!DOCTYPE html><title>Login</title>", "not bencoded"),
        (b"\n" + torrent(), "not bencoded"),
        (b"i1e", "not one bencoded dictionary"),
        (b"4:info", "not one bencoded dictionary"),
        (b"l" + torrent() + b"e", "not one bencoded dictionary"),
        (b"de", "no info dictionary"),
        (bencode({"magnet-uri": MAGNET}), "no info dictionary"),
        (bencode({"info": "text"}), "info value is not a dictionary"),
        (bencode({"info": ({"name": "Book"},)}), "info value is not a dictionary"),
        (bencode({"info": "text", "magnet-uri": MAGNET}), "info value is not a dictionary"),
        (torrent()[:-1] + b"4:infodee", "same key twice"),
        (torrent()[:-1] + b"4:info0:e", "same key twice"),
        (torrent()[:-1] + b"04:infodee", "same key twice"),
        (torrent()[:-1] + b"1:xi1e4:info" + torrent()[7:], "same key twice"),
        (torrent("v1", {"meta version": 3}), "newer than 2"),
        (torrent("hybrid", {"meta version": 3}), "newer than 2"),
    ],
)
def test_what_holds_no_single_info_dictionary_is_refused(content: bytes, reason: str) -> None:
    """Web pages, other values, magnets in disguise and files with two info values are no torrents."""
    with pytest.raises(NotATorrent, match=f"^not a valid torrent file: .*{reason}"):
        parse_torrent(content)


@pytest.mark.parametrize("name", [None, "", ".", "..", "/", "\0", "\u200b", "\u202e", "\ufeff\ufeff", 5])
@pytest.mark.parametrize("kind", ["v1", "v2", "hybrid"])
def test_without_a_name_it_is_doubtful(kind: Kind, name: object) -> None:
    """A name may be missing, or clients leave nothing of it."""
    parsed = parse_torrent(torrent(kind, {"name": name}))
    assert parsed.doubt == "it has no usable name"
    assert parsed.name == (name if isinstance(name, str) else "")


@pytest.mark.parametrize(
    ("changes", "name"),
    [({"name": b"B\xfccher"}, "B\ufffdcher"), ({"name.utf-8": "Bücher"}, "Bücher"), ({"name.utf-8": 5}, "Book")],
)
def test_the_name_is_read_whatever_its_encoding(changes: dict[str, object], name: str) -> None:
    """The UTF-8 name goes first, and bytes that are none are replaced."""
    assert parse_torrent(torrent(info=changes)).name == name


MARK = "\ufeff"


@pytest.mark.parametrize(
    "content",
    [
        torrent("v1", {"name": MARK}),
        torrent("v1", {"name": "/\u202e" + MARK + "\u200f"}),
        torrent("v1", {"name": MARK}, {"comment": ("x",) * 300_000}),
        torrent("v1", {"name": "Book", "name.utf-8": MARK}),
        torrent("v2", {"file tree": {MARK: leaf()}}),
        torrent("hybrid", {"name": MARK, "file tree": {MARK: leaf()}}),
    ],
)
def test_what_clients_crash_of_is_refused(content: bytes) -> None:
    """Given a file whose whole name is a byte order mark, qBittorrent ends at once."""
    with pytest.raises(NotATorrent, match="byte order mark alone"):
        parse_torrent(content)


@pytest.mark.parametrize(
    "content",
    [
        torrent("v1", {"name": MARK + "a"}),
        torrent("v2", {"name": MARK}),
        several(file(1, MARK), name=MARK),
        torrent("v2", {"file tree": {MARK: {"a": leaf()}}}),
        torrent("v2", {"file tree": {"a": leaf(), MARK: leaf()}}),
        torrent("v2", {"file tree": 5}),
        torrent("v2", {"file tree": [("", leaf())]}),
    ],
)
def test_a_byte_order_mark_elsewhere_does_no_harm(content: bytes) -> None:
    """In a longer name, and in the name of a folder, they live with it."""
    assert parse_torrent(content).content is content


def test_a_very_long_name_is_cut() -> None:
    """Whoever shows it, or keeps it, need not fear it."""
    parsed = parse_torrent(torrent(info={"name": "n" * 100_000}))
    assert (parsed.name, parsed.doubt) == ("n" * 1024, None)


@pytest.mark.parametrize(
    ("kind", "length", "reason"),
    [("v1", length, "missing or out of range") for length in (None, 0, -1, 2**29, 2**30, "16384", 2**62)]
    + [(kind, length, "power of two") for kind in ("v2", "hybrid") for length in (8192, 16383, 16385, 49152)],
)
def test_a_piece_length_that_clients_refuse_is_doubtful(kind: Kind, length: object, reason: str) -> None:
    """It is positive and below 512 MiB, and for v2 a power of two of at least 16 KiB."""
    assert reason in (doubt(torrent(kind, {"piece length": length})) or "")


@pytest.mark.parametrize(("kind", "length"), [("v1", 1), ("v1", 2**29 - 16384), ("v2", 16384), ("hybrid", 2**28)])
def test_a_piece_length_at_the_limit_is_accepted(kind: Kind, length: int) -> None:
    """The smallest and the largest piece lengths are torrents."""
    parsed = parse_torrent(torrent(kind, {"piece length": length}))
    assert (parsed.total_size, parsed.doubt) == (1, None)


FILE_LIST = (file(3, "CD 1", "a.mp3"), padding(PIECE_LENGTH - 3), file(4, "b.mp3"), file(0, "empty.txt"))


def test_padding_files_are_not_counted_in_the_size() -> None:
    """Padding is not content, while it does take pieces."""
    parsed = parse_torrent(several(*FILE_LIST, pieces=2))
    assert (parsed.total_size, parsed.doubt) == (7, None)


def test_a_symbolic_link_takes_no_room() -> None:
    """A link has no length of its own (BEP 47), whatever it says."""
    link = {"attr": "l", "path": ("link",), "symlink path": ("a.mp3",)}
    files = (file(3, "a.mp3"), link, link | {"length": 10**9})
    parsed = parse_torrent(several(*files))
    assert (parsed.total_size, parsed.doubt) == (3, None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"length": length}, "length of a file") for length in (None, -1, 2**44, "1")]
    + [({"files": (file(length, "a"),)}, "length of a file") for length in (-1, 2**44, "1")]
    + [({"files": ({"path": ("a",)},)}, "length of a file")]
    + [({"files": (entry,)}, "entry of its file list") for entry in (5, "a", ())]
    + [({"files": ({"length": 1, "path": path},)}, "no usable path") for path in ((), (5,), ("a", ()), "a", 5)]
    + [({"files": ({"length": 1},)}, "no usable path")]
    + [({"files": (file(1, *"a" * 101),)}, "lies too deep")]
    + [({"length": 0, "pieces": b""}, "no content"), ({"files": (), "pieces": b""}, "no content")]
    + [({"length": 2**40}, "too many pieces"), ({"pieces": None}, "no piece hashes"), ({"pieces": 5}, "piece hashes")]
    + [({"pieces": bytes(length)}, "piece hashes do not cover") for length in (0, 19, 21, 40)]
    + [({"file tree": {"Book": leaf()}}, "no v2 version number")],
)
def test_a_malformed_v1_info_is_doubtful(changes: dict[str, object], reason: str) -> None:
    """Lengths, paths and piece hashes have to fit together."""
    parsed = parse_torrent(torrent(info=changes))
    assert reason in (parsed.doubt or "")
    assert parsed.info_hashes.v2 is None
    assert parsed.total_size >= 0


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
    parsed = parse_torrent(torrent("v2", {"file tree": tree}))
    assert (parsed.total_size, parsed.doubt) == (7, None)


@pytest.mark.parametrize(
    ("tree", "reason"),
    [(tree, "no v2 file tree") for tree in (None, (), "tree", 5)]
    + [({}, "no content"), ({"folder": {}}, "no content"), ({"a": leaf(0)}, "no content")]
    + [({"a": node}, "malformed") for node in (5, "file", (), {"": 5}, {"": ()}, leaf() | {"b": leaf()})]
    + [(leaf(), "malformed"), ({"": leaf()}, "malformed"), ({"a": leaf(attr="p")}, "malformed")]
    + [({name: leaf()}, "no usable path") for name in (".", "..", "/", "\u200b")]
    + [({"a": leaf(length)}, "length of a file") for length in (None, -1, 2**44, "1")]
    + [({"a": leaf(root=root)}, "no v2 hash") for root in (None, b"", ROOT[:31], bytes(32), 5)],
)
def test_a_malformed_v2_file_tree_is_doubtful(tree: object, reason: str) -> None:
    """Each node is a folder with names or a file with a length and a hash."""
    parsed = parse_torrent(torrent("v2", {"file tree": tree}))
    assert reason in (parsed.doubt or "")
    assert parsed.info_hashes.v1 is None
    assert parsed.total_size >= 0


def test_piece_layers_that_match_are_accepted() -> None:
    """A file larger than a piece has its layer beside the info value."""
    parsed = parse_torrent(large({LARGE_ROOT: LAYER}))
    assert (parsed.total_size, parsed.doubt) == (LARGE, None)


@pytest.mark.parametrize(
    ("layers", "reason"),
    [(layers, "not those of its files") for layers in (None, (), {}, {ROOT: LAYER}, {LARGE_ROOT: LAYER, ROOT: LAYER})]
    + [({LARGE_ROOT: layer}, "malformed") for layer in (b"", LAYER[:-1], LAYER[:-32], LAYER + bytes(32), 5)]
    + [({LARGE_ROOT: LAYER[32:] + LAYER[:32]}, "does not match its file")],
)
def test_piece_layers_that_do_not_match_are_doubtful(layers: object, reason: str) -> None:
    """Layers are there for exactly the large files, and hash to their roots."""
    parsed = parse_torrent(large(layers))
    assert reason in (parsed.doubt or "")
    assert parsed.total_size == LARGE


def test_files_of_one_root_share_a_layer() -> None:
    """The same content under two names has one hash tree; with another size it cannot have."""
    tree = {"a": leaf(LARGE, LARGE_ROOT), "b": leaf(LARGE, LARGE_ROOT)}
    assert doubt(torrent("v2", {"file tree": tree}, {"piece layers": {LARGE_ROOT: LAYER}})) is None
    tree["a"] = leaf(LARGE + PIECE_LENGTH, LARGE_ROOT)
    assert doubt(torrent("v2", {"file tree": tree}, {"piece layers": {LARGE_ROOT: LAYER}})) == (
        "a v2 piece layer is malformed"
    )


def test_very_large_piece_layers_are_not_checked() -> None:
    """That would take long; the torrent goes alone instead."""
    pieces = 2**17 + 1
    tree = {"Book": leaf(pieces * PIECE_LENGTH, ROOT)}
    content = torrent("v2", {"file tree": tree}, {"piece layers": {ROOT: bytes(32 * pieces)}})
    assert doubt(content) == "its v2 piece layers are too large to be checked"


A, B, GAP = file(3, "a.mp3"), file(4, "b.mp3"), padding(PIECE_LENGTH - 3)


def test_a_hybrid_of_several_files_is_accepted_with_its_padding() -> None:
    """Both lists name the same files, and the size leaves the padding out."""
    parsed = parse_torrent(pair(A, GAP, B))
    assert (parsed.total_size, parsed.doubt) == (7, None)


@pytest.mark.parametrize(
    "files",
    [
        (A, B),
        (A, padding(PIECE_LENGTH - 4), B),
        (A, GAP),
        (A, GAP, file(5, "b.mp3")),
        (A, GAP, file(4, "c.mp3")),
        (B, padding(PIECE_LENGTH - 4), A),
        (A, GAP, B, padding(PIECE_LENGTH - 4), file(1, "c.mp3")),
        (A, GAP, B, file(0, "empty.txt")),
    ],
)
def test_a_hybrid_whose_lists_differ_is_doubtful(files: tuple[object, ...]) -> None:
    """Names, sizes, order and alignment have to be the same, or peers would get different files."""
    parsed = parse_torrent(pair(*files))
    assert parsed.doubt == "its v1 and v2 file lists differ"
    assert None not in (parsed.info_hashes.v1, parsed.info_hashes.v2)


def test_a_hybrid_of_one_file_has_nothing_beside_it() -> None:
    """An empty folder in the tree makes it one of several files, for some clients."""
    assert doubt(torrent("hybrid", {"file tree": {"Book": leaf(), "z": {}}})) == "its v1 and v2 file lists differ"
    assert doubt(torrent("v2", {"file tree": {"Book": leaf(), "z": {}}})) is None


@pytest.mark.parametrize(
    ("kind", "changes", "has"),
    [
        ("v1", {"meta version": 0}, "v1"),
        ("v1", {"meta version": -2}, "v1"),
        ("v1", {"meta version": "2"}, "v1"),
        ("hybrid", {"meta version": 1}, "v1"),
        ("hybrid", {"meta version": 2**63}, "v1"),
        ("hybrid", {"meta version": 2**32 + 2}, "both"),
        ("hybrid", {"length": "text"}, "both"),
        ("hybrid", {"length": None}, "v2"),
        ("hybrid", {"length": None, "files": ()}, "both"),
        ("hybrid", {"length": None, "files": {}}, "v2"),
        ("hybrid", {"pieces": None}, "both"),
        ("v2", {"file tree": None}, "v2"),
    ],
)
def test_clients_tell_the_kind_by_version_and_v1_parts(kind: Kind, changes: dict[str, object], has: str) -> None:
    """Whether it has piece hashes or a file tree has no part in it, and libtorrent keeps 32 bits of the version."""
    hashes = parse_torrent(torrent(kind, changes)).info_hashes
    assert (hashes.v1 is not None, hashes.v2 is not None) == (has != "v2", has != "v1")
