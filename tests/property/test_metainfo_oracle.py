"""Info-hashes are those that libtorrent finds, whatever is done to a file or a link."""

from __future__ import annotations

import base64
import hashlib
import random
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiobatch.errors import NotATorrent
from audiobatch.metainfo import parse_magnet, parse_torrent
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
        return hashes(lt.load_torrent_buffer(content).ti.info_hashes())
    except RuntimeError:
        return None


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
def test_a_mutated_torrent_is_refused_or_has_the_hashes_of_libtorrent(seed: int, torrents: list[bytes]) -> None:
    """No damage makes another error, another hash, or a hash where libtorrent refuses."""
    chance = random.Random(seed)
    accepted = 0
    for _ in range(1000):
        content = mutated(chance.choice(torrents), torrents, chance)
        ours = our_hashes(content)
        assert ours in (None, libtorrent_hashes(content)), content
        accepted += ours is not None
    assert accepted > 20, "too few mutations leave a torrent that the two parsers can be compared by"


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
def test_a_name_of_one_character_is_accepted_only_if_libtorrent_accepts_it(codes: range) -> None:
    """Clients drop some characters from names; a torrent of whose name nothing is left is not added."""
    for content in (bencode({"info": SOUND | {b"name": chr(code)}}) for code in codes):
        assert our_hashes(content) in (None, libtorrent_hashes(content)), content


@given(DOCUMENTS)
def test_arbitrary_data_is_refused_or_has_the_hashes_of_libtorrent(content: bytes) -> None:
    """Bytes of any kind, and bencode of any structure, end in NotATorrent or in a torrent with the right hashes."""
    assert our_hashes(content) in (None, libtorrent_hashes(content))


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
