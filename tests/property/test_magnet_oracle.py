"""Whatever magnet link libtorrent takes, we take under the same info-hash; and whatever we write, it reads like us."""

from __future__ import annotations

import base64
from typing import Any, Final

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from audiobatch.errors import NotATorrent
from audiobatch.metainfo import InfoHashes, MagnetLink, parse_magnet
from support.magnets import SPELLINGS, link

lt: Any = pytest.importorskip("libtorrent")

V1: Final = "0123456789abcdef" * 2 + "01234567"
V2: Final = "0123456789abcdef" * 4
B32: Final = base64.b32encode(bytes.fromhex(V1)).decode()

AMBIGUOUS: Final = ("more than one torrent", "all zeros", "control characters")
"""Why we refuse what libtorrent takes: it is not certain which torrent is meant, or a client would never show it."""

STARTS: Final = st.sampled_from(
    ["magnet:?", "magnet:?&", "magnet:", "MAGNET:?", "magnet:??", "magnet:?=&", "magnet:/?"]
)
NAMES: Final = st.sampled_from(
    ["xt", "XT", "xt.1", "xt.", "xt.a", "xt.1.2", "%78t", "x+t", " xt", "dn", "tr", "ws", "xs", "so", "x.pe", "dht", ""]
)
HASHES: Final = st.sampled_from(
    [V1, V1.upper(), B32, B32.lower(), B32[:-1] + "1", V1[:-1], V1 + "0", V2, "%30" + V1[1:]]
)
TOPICS: Final = st.builds(
    "{}{}{}".format,
    st.sampled_from(
        ["urn:btih:", "URN:BTIH:", "urn:btmh:1220", "urn%3Abtih%3A", "urn:btmh:", "urn:sha1:", "btih:", ""]
    ),
    HASHES,
    st.sampled_from(["", "", "", " ", "#top", ";", "%", "%00", "&", "\u00a0"]),
)
VALUES: Final = TOPICS | st.text(st.characters(codec="utf-8"), max_size=8) | st.text("%+&=;#12AFaf", max_size=8)
PARAMETERS: Final = st.builds("{}{}{}".format, NAMES, st.sampled_from(["=", "=", "=", ""]), VALUES)
LINKS: Final = st.builds(
    lambda start, parameters: start + "&".join(parameters),
    STARTS,
    st.lists(st.just(f"xt=urn:btih:{V1}") | PARAMETERS, min_size=1, max_size=5),
)


def of_libtorrent(uri: str) -> InfoHashes | None:
    """Return what libtorrent takes for the info-hashes, or None if it refuses, or finds nothing but zeros."""
    try:
        found = lt.parse_magnet_uri(uri).info_hashes
    except RuntimeError:
        return None
    v1, v2 = str(found.v1) if found.has_v1() else None, str(found.v2) if found.has_v2() else None
    return InfoHashes(v1=v1, v2=v2) if v1 or v2 else None


def read(uri: str) -> MagnetLink | None:
    """Return what we understand, or None if we refuse for a reason that would make libtorrent refuse as well."""
    try:
        return parse_magnet(uri)
    except NotATorrent as error:
        if any(reason in str(error) for reason in AMBIGUOUS):
            reject()
        return None


def check(uri: str) -> None:
    """Compare both on a link as it came, and on what we have written of it."""
    theirs, ours = of_libtorrent(uri), read(uri)
    if ours is None:
        assert theirs is None
        return
    assert theirs in (None, ours.info_hashes)
    assert of_libtorrent(ours.uri) == ours.info_hashes


@given(LINKS)
def test_a_link_of_any_spelling_is_read_as_libtorrent_reads_it(uri: str) -> None:
    """Or better: what is broken in a link does not make it unusable."""
    check(uri)


@pytest.mark.parametrize("spelling", sorted(SPELLINGS.keys() - {"two torrents", "zeros"}))
def test_the_spellings_that_there_are_are_read_as_libtorrent_reads_them(spelling: str) -> None:
    """Those that the daemons are tried with."""
    check(link(spelling))
