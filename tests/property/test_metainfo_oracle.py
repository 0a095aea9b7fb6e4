"""Info-hashes are those that libtorrent finds, whatever is done to a file or a link.

The rule for files has two sides. What libtorrent takes is handed over under its hashes,
and what it refuses is refused or doubtful. Only where ``info`` stands twice is it refused
although libtorrent takes the first.
"""

from __future__ import annotations

import base64
import hashlib
import random
from collections import Counter
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiobatch.errors import NotATorrent
from audiobatch.metainfo import parse_magnet, parse_torrent
from support.odd_torrents import MAGNET, Raw, encode, odd_torrents, torrent
from support.torrents import bencode, book

lt: Any = pytest.importorskip("libtorrent")

Hashes: TypeAlias = "tuple[str | None, str | None]"

LAYOUTS = {
    "one file": {"Book.m4b": 100_000},
    "one byte": {"Book.m4b": 1},
    "one piece": {"Book.m4b": 16_384},
    "several files": {"Book/a.mp3": 100_000, "Book/CD 1/b.mp3": 16_384, "Book/CD 1/empty.txt": 0, "Book/z.jpg": 5},
    "aligned files": {"Book/a.mp3": 65_536, "Book/b.mp3": 32_768, "Book/c.mp3": 65_536},
    "names in UTF-8": {"Bücher/Ärger.mp3": 20_000, "Bücher/日本.mp3": 3},
}
FLAGS = {"v1": "v1_only", "v2": "v2_only", "hybrid": None}

SNIPPETS = [
    *(b"de", b"le", b"i0e", b"i-1e", b"i1e", b"0:", b"1:a", b"e", b"d", b"l", b"2:..", b"i9999999999999999999e"),
    *(b"4:attr1:p", b"4:attr1:l", b"4:attr1:x", b"4:attr1:h", b"12:symlink pathl1:ae", b"12:meta versioni2e"),
]


def make(folder: Path, layout: str, kind: str, piece_length: int) -> bytes:
    """Have libtorrent make a torrent of files with these names and sizes."""
    content = random.Random(layout)
    names = LAYOUTS[layout]
    for name, size in names.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.randbytes(size))
    flags = getattr(lt.create_torrent, FLAGS[kind] or "", 0)
    entries = [lt.create_file_entry(name, size) for name, size in sorted(names.items())]
    creator = lt.create_torrent(entries, piece_length, flags)
    creator.set_creation_date(0)
    lt.set_piece_hashes(creator, str(folder))
    made: bytes = lt.bencode(creator.generate())
    return made


def libtorrent_hashes(content: bytes) -> Hashes | None:
    """Return what libtorrent takes for the info-hashes, or None if it refuses."""
    try:
        info = lt.load_torrent_buffer(content).ti
    except RuntimeError:
        return None
    # A file that has a magnet link in place of its info is read, but qBittorrent never shows what it names.
    return hashes(info.info_hashes()) if info else None


def hashes(info_hashes: Any) -> Hashes:
    """Return libtorrent's info-hashes as hex."""
    return (
        str(info_hashes.v1) if info_hashes.has_v1() else None,
        str(info_hashes.v2) if info_hashes.has_v2() else None,
    )


def our_hashes(content: bytes) -> Hashes | None:
    """Return what we take for the info-hashes, or None if we refuse; no other error is let pass."""
    try:
        found = parse_torrent(content).info_hashes
    except NotATorrent:
        return None
    return found.v1, found.v2


def compare(content: bytes) -> str:
    """Compare both parsers; return whether it was sound, doubtful or refused."""
    theirs = libtorrent_hashes(content)
    try:
        ours = parse_torrent(content)
    except NotATorrent as error:
        if theirs is not None and "the same key twice: info" not in str(error):
            pytest.fail(f"libtorrent takes {content!r}, but {error}")
        return "refused"
    found = ours.info_hashes.v1, ours.info_hashes.v2
    assert theirs in (None, found), content
    assert theirs is not None or ours.doubt is not None, content
    assert ours.total_size >= 0
    assert len(ours.name) <= 1024
    return "sound" if ours.doubt is None else "doubtful"


def mutated(content: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """Do one to three random things to a torrent, mostly near its beginning."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(changed) if chance.random() < 0.3 else min(len(changed), 900))
        match chance.randrange(7):
            case 0:
                changed[at] = chance.randrange(256)
            case 1:
                del changed[at : at + chance.randint(1, 4)]
            case 2:
                changed[at:at] = chance.choice(SNIPPETS)
            case 3:
                start = chance.randrange(len(changed))
                changed[at:at] = changed[start : start + chance.randint(1, 60)]
            case 4:
                del changed[at:]
            case 5:
                digits = [place for place, byte in enumerate(changed[:900]) if byte in b"0123456789"]
                changed[chance.choice(digits or [at])] = chance.choice(b"0123456789")
            case _:
                changed[at:] = chance.choice(others)[at:]
        changed = changed or bytearray(b"d")
    return bytes(changed)


@pytest.fixture(scope="module")
def torrents(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Torrents of one file and of several, of each kind."""
    folder = tmp_path_factory.mktemp("torrents")
    return [make(folder, layout, kind, 32_768) for layout in ("one file", "several files") for kind in FLAGS]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", FLAGS)
@pytest.mark.parametrize("piece_length", [16_384, 32_768, 131_072])
def test_the_hashes_of_whole_torrents_are_those_of_libtorrent(
    tmp_path: Path, layout: str, kind: str, piece_length: int
) -> None:
    """Torrents of all kinds have the hashes, the name and the size that libtorrent gives them."""
    content = make(tmp_path, layout, kind, piece_length)
    parsed = parse_torrent(content)
    assert (parsed.info_hashes.v1, parsed.info_hashes.v2) == libtorrent_hashes(content)
    assert (parsed.info_hashes.v1 is not None, parsed.info_hashes.v2 is not None) == (kind != "v2", kind != "v1")
    assert parsed.name == next(iter(LAYOUTS[layout])).split("/")[0]
    assert parsed.total_size == sum(LAYOUTS[layout].values())


@pytest.mark.parametrize("shift", range(1, 5))
def test_the_hash_of_unsorted_v1_info_is_that_of_libtorrent(shift: int) -> None:
    """Keys in another order are hashed as they stand, as libtorrent does."""
    pairs = [("length", 1), ("name", "Book"), ("piece length", 16_384), ("pieces", bytes(20)), ("private", 1)]
    info = bencode(pairs[shift:] + pairs[:shift])
    content = b"d4:info" + info + b"e"
    assert our_hashes(content) == libtorrent_hashes(content) == (hashlib.sha1(info).hexdigest(), None)


@pytest.mark.parametrize("seed", range(10))
def test_a_mutated_torrent_is_what_libtorrent_takes_it_for(seed: int, torrents: list[bytes]) -> None:
    """No damage makes another error, another hash, or an undoubted hash where libtorrent refuses."""
    chance = random.Random(seed)
    verdicts = Counter(compare(mutated(chance.choice(torrents), torrents, chance)) for _ in range(1000))
    assert min(verdicts["sound"], verdicts["doubtful"], verdicts["refused"]) > 20, "too few can be compared"


ODD = odd_torrents()


@pytest.mark.parametrize("name", ODD)
def test_an_odd_torrent_is_what_libtorrent_takes_it_for(name: str) -> None:
    """Each oddity that there is, alone."""
    compare(ODD[name])


def restructured(value: object, chance: random.Random) -> object:
    """Do something to a value that leaves it bencode, more or less: here, or further down."""
    items = value if isinstance(value, list) else None
    if items and chance.random() < 0.75:
        at = chance.randrange(len(items))
        key, inner = items[at]
        return [*items[:at], (key, restructured(inner, chance)), *items[at + 1 :]]
    if isinstance(value, tuple) and value and chance.random() < 0.75:
        at = chance.randrange(len(value))
        return (*value[:at], restructured(value[at], chance), *value[at + 1 :])
    if items:
        return chance.choice(CHANGES)(items, chance)
    if isinstance(value, int):
        return chance.choice([0, 1, -1, 2**31, 2**62, -value, value + 1, Raw(b"i0%de" % abs(value)), b"1", ()])
    if isinstance(value, bytes):
        return chance.choice(
            [value + b"\0", value[:-1], value * 2, b"", b"..", b"\xff", Raw(b"0%d:" % len(value) + value), 5, ()]
        )
    return chance.choice([value, (), [], 0, b""])


Items: TypeAlias = "list[tuple[object, object]]"


def doubled(items: Items, chance: random.Random) -> Items:
    """Let a key stand twice, with its value or another one's, next to each other or apart."""
    key, _ = chance.choice(items)
    at = chance.randrange(len(items) + 1)
    return [*items[:at], (key, chance.choice(items)[1]), *items[at:]]


def shuffled(items: Items, chance: random.Random) -> Items:
    """Give the keys another order."""
    return chance.sample(items, len(items))


def reduced(items: Items, chance: random.Random) -> Items:
    """Leave one out."""
    at = chance.randrange(len(items))
    return items[:at] + items[at + 1 :]


def enriched(items: Items, chance: random.Random) -> Items:
    """Add something that means something, in order or not."""
    extra = chance.choice(EXTRAS)
    return sorted([*items, extra], key=lambda item: bytes(item[0])) if chance.random() < 0.7 else [extra, *items]  # type: ignore[call-overload]


def exchanged(items: Items, chance: random.Random) -> Items:
    """Give a key the value of another."""
    at = chance.randrange(len(items))
    return [*items[:at], (items[at][0], chance.choice(items)[1]), *items[at + 1 :]]


CHANGES = [doubled, shuffled, reduced, enriched, exchanged]
LEAF: Items = [(b"", [(b"length", 5), (b"pieces root", bytes(range(32)))])]
EXTRAS: Items = [
    *((b"meta version", version) for version in (-1, 0, 1, 2, 3, 2**32, 2**32 + 2, b"2")),
    *((b"length", length) for length in (0, 1, 2**44, b"1")),
    *((b"files", ()), (b"files", []), (b"files", ([(b"length", 1), (b"path", (b"a",))],))),
    *((b"file tree", tree) for tree in ([], (), [(b"a", LEAF)], [(b"a", LEAF), (b"b", LEAF)], [(b"..", LEAF)])),
    *((b"name", name) for name in (b"", b"..", b"\1", b"\xe2\x80\x8b", b"\xff")),
    *((b"name.utf-8", name) for name in (b"", b"Other", 5)),
    *((b"pieces", pieces) for pieces in (b"", bytes(20), bytes(40))),
    *((b"attr", attributes) for attributes in (b"p", b"l", b"x", 5)),
    *((b"piece layers", ()), (b"piece layers", []), (b"piece layers", b"")),
    *((b"a", nested) for nested in (Raw(b"l" * 95 + b"e" * 95), Raw(b"di1e0:e"), Raw(b"d1:ae"), Raw(b"i-0e"))),
    (b"", b""),
    (b"info", []),
    (b"magnet-uri", MAGNET.encode()),
]


def parted(content: bytes) -> object:
    """Take a sound torrent apart, into what `encode` puts together again."""

    def part(value: Any) -> object:
        if isinstance(value, dict):
            return [(key, part(inner)) for key, inner in value.items()]
        return tuple(map(part, value)) if isinstance(value, list) else value

    return part(lt.bdecode(content))


ENDS = [b"", b"", b"", b"\n", b"\0", b"# x", b"e", b"i1e", b"d4:infodee"]


@pytest.mark.parametrize("seed", range(10))
def test_a_restructured_torrent_is_what_libtorrent_takes_it_for(seed: int, torrents: list[bytes]) -> None:
    """Keys that are missing, stand twice or in another order, values of other kinds, and bytes at the end."""
    chance = random.Random(seed)
    apart = [parted(content) for content in (*torrents, book("A Book", kind="hybrid"), torrent("v2"))]
    verdicts: Counter[str] = Counter()
    for _ in range(1000):
        value = chance.choice(apart)
        for _ in range(chance.randint(1, 3)):
            value = restructured(value, chance)
        verdicts[compare(encode(value) + chance.choice(ENDS))] += 1
    assert min(verdicts["sound"], verdicts["doubtful"], verdicts["refused"]) > 20, "too few can be compared"


KEYS = st.binary(max_size=3) | st.sampled_from(
    [
        *(b"attr", b"file tree", b"files", b"info", b"length", b"meta version", b"name", b"name.utf-8", b"path"),
        *(b"piece layers", b"piece length", b"pieces", b"pieces root", b"private", b""),
    ]
)
NUMBERS = st.sampled_from([0, 1, 2, 20, 16_384]) | st.integers(min_value=-(2**65), max_value=2**65)
TEXTS = st.sampled_from([bytes(20), bytes(range(32)), b"Book", b"p", b""]) | st.binary(max_size=40)
VALUES = st.recursive(
    NUMBERS | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=6)
        | st.lists(st.tuples(KEYS, inner), max_size=6)
    ),
    max_leaves=25,
)
SOUND: dict[bytes, object] = {b"length": 1, b"name": b"Book", b"piece length": 16_384, b"pieces": bytes(20)}
HYBRID = book("A Book", kind="hybrid")
DOCUMENTS = st.one_of(
    st.binary(max_size=200),
    VALUES.map(bencode),
    st.dictionaries(KEYS, VALUES, max_size=6).map(lambda changes: bencode({"info": SOUND | changes})),
    st.builds(lambda at, extra: HYBRID[:at] + extra + HYBRID[at:], st.integers(0, len(HYBRID)), st.binary(max_size=4)),
)


@pytest.mark.parametrize("codes", [range(0x3000), range(0xFE00, 0x10000), range(0xE0000, 0xE0080)])
def test_a_name_of_one_character_is_what_libtorrent_takes_it_for(codes: range) -> None:
    """Clients drop some characters from names; a torrent of whose name nothing is left is not added."""
    for content in (bencode({"info": SOUND | {b"name": chr(code)}}) for code in codes):
        compare(content)


@given(DOCUMENTS)
def test_arbitrary_data_is_what_libtorrent_takes_it_for(content: bytes) -> None:
    """Bytes of any kind, and bencode of any structure, end in NotATorrent or in a torrent with the right hashes."""
    compare(content)


def spelled(digest: bytes, spelling: str) -> str:
    """Write the topic of a magnet link in one of the spellings that there are."""
    text = {
        "hex": f"urn:btih:{digest.hex()}",
        "HEX": f"urn:btih:{digest.hex().upper()}",
        "base32": f"urn:btih:{base64.b32encode(digest).decode().lower()}",
        "BASE32": f"urn:btih:{base64.b32encode(digest).decode()}",
        "btmh": f"urn:btmh:1220{digest.hex()}",
        "BTMH": f"urn:btmh:1220{digest.hex().upper()}",
    }
    return text[spelling]


# Clients take an info-hash of nothing but zeros for none at all.
V1_TOPICS = st.builds(
    spelled, st.binary(min_size=20, max_size=20).filter(any), st.sampled_from(["hex", "HEX", "base32", "BASE32"])
)
V2_TOPICS = st.builds(spelled, st.binary(min_size=32, max_size=32).filter(any), st.sampled_from(["btmh", "BTMH"]))


@given(
    topics=st.tuples(V1_TOPICS)
    | st.tuples(V2_TOPICS)
    | st.tuples(V1_TOPICS, V2_TOPICS)
    | st.tuples(V2_TOPICS, V1_TOPICS),
    numbered=st.booleans(),
    escaped=st.booleans(),
    name=st.none() | st.just("dn=A+Book%20%C3%BC"),
)
def test_the_hashes_of_a_magnet_link_are_those_of_libtorrent(
    *, topics: tuple[str, ...], numbered: bool, escaped: bool, name: str | None
) -> None:
    """Each spelling of v1, v2 or both gives the hashes and the name that libtorrent finds."""
    parts = [
        f"xt{f'.{number}' if numbered else ''}={topic.replace(':', '%3A') if escaped else topic}"
        for number, topic in enumerate(topics, 1)
    ]
    link = parse_magnet("magnet:?" + "&".join([*parts, *([name] if name else [])]))
    theirs = lt.parse_magnet_uri(link.uri)
    assert (link.info_hashes.v1, link.info_hashes.v2) == hashes(theirs.info_hashes)
    assert link.name == theirs.name
