"""What counts as a magnet link, which info-hashes it names, and what info-hashes are."""

from __future__ import annotations

import base64
import re
import time

import pytest
from attrs.exceptions import FrozenInstanceError

from audiobatch.errors import NotATorrent
from audiobatch.metainfo import InfoHashes, MagnetLink, parse_magnet
from support.magnets import SPELLINGS, link

V1, OTHER_V1 = "0123456789abcdef" * 2 + "01234567", "ab" * 20
V2, OTHER_V2 = "0123456789abcdef" * 4, "cd" * 32
BASE32 = base64.b32encode(bytes.fromhex(V1)).decode()

CONTROLS = [*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\u2028", "\u2029", "\ud800", "\udfff"]
MARKS = "a;b=c#d!'()*\"<>[]{}|^`~"

BTIH, BTMH = f"urn:btih:{V1}", f"urn:btmh:1220{V2}"


@pytest.mark.parametrize(
    ("query", "v1", "v2"),
    [
        (f"xt={BTIH}", V1, None),
        (f"xt=urn:btih:{V1.upper()}", V1, None),
        (f"xt=urn:btih:{BASE32}", V1, None),
        (f"xt=urn:btih:{BASE32.lower()}", V1, None),
        (f"xt={BTMH}", None, V2),
        (f"xt=urn:btmh:1220{V2.upper()}", None, V2),
        (f"xt={BTIH}&xt={BTMH}", V1, V2),
        (f"xt={BTMH}&dn=Book&xt={BTIH}", V1, V2),
        (f"xt.1={BTIH}&xt.2={BTMH}", V1, V2),
        (f"xt.10={BTIH}", V1, None),
        (f"xt=urn%3Abtih%3A{V1}", V1, None),
        (f"xt=urn%3abtmh%3a1220{V2}", None, V2),
        (f"xt={BTIH}&xt=urn:btih:{BASE32}", V1, None),
        (f"xt={BTIH}&xt=urn:sha1:ABCDEF", V1, None),
        ("xt=urn:btih:" + "AIAI" * 8, "02008" * 8, None),
        ("xt=urn:btih:" + "A1AI" * 8, "02008" * 8, None),
        ("xt=urn:btih:" + "a1a1" * 8, "02008" * 8, None),
        (f"xt=URN:BTIH:{V1}", V1, None),
        (f"xt=Urn:BtMh:1220{V2}", None, V2),
        (f"%78%74=urn:btih:{V1}", V1, None),
        (f"XT.={BTIH}", V1, None),
        (f"&&xt={BTIH}&&flag&=&a=&dn=", V1, None),
        (f"xt={BTIH}&xt={BTIH[:-1]}&xt=urn:btmh:1114", V1, None),
        pytest.param(f"xt={BTIH}" + "&a=1" * 5000, V1, None, id="5001 parameters"),
        (f"dn=Book&tr=https%3A%2F%2Ftracker.example%2Fannounce%3Fxt%3D1&xt={BTIH}", V1, None),
    ],
)
def test_info_hashes_of_a_magnet_link_in_every_spelling(query: str, v1: str | None, v2: str | None) -> None:
    """Hex or base32, in either case, v1, v2 or both: the info-hashes come out as lower-case hex."""
    assert parse_magnet(f"magnet:?{query}").info_hashes == InfoHashes(v1=v1, v2=v2)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        (f"xt={BTIH}&xt=urn:btih:{OTHER_V1}", "more than one torrent"),
        (f"xt.1={BTMH}&xt.2=urn:btmh:1220{OTHER_V2}", "more than one torrent"),
        ("", "no info-hash"),
        ("dn=Book", "no info-hash"),
        ("xt=", "no info-hash"),
        (f"xs={BTIH}", "no info-hash"),
        (f"xt={V1}", "no info-hash"),
        (f"xt=urn:sha1:{V1}", "no info-hash"),
        (f"dn=xt%3D{BTIH}", "no info-hash"),
        (f"xt={BTIH[:-1]}", "no info-hash"),
        (f"xt={BTIH}0", "no info-hash"),
        (f"xt={BTIH[:-1]}g", "no info-hash"),
        (f"xt=urn:btih:{BASE32[:-1]}", "no info-hash"),
        (f"xt=urn:btih:{BASE32[:-1]}0", "no info-hash"),
        (f"xt=urn:btih:{BASE32[:-1]}8", "no info-hash"),
        (f"xt=urn:btih:{V2}", "no info-hash"),
        (f"xt={BTMH[:-1]}", "no info-hash"),
        (f"xt={BTMH}0", "no info-hash"),
        (f"xt=urn:btmh:{V2}", "no info-hash"),
        (f"xt=urn:btmh:1114{V1}", "no info-hash"),
    ],
)
def test_a_magnet_link_without_one_clear_torrent_is_refused(query: str, reason: str) -> None:
    """It has to name one torrent, by hashes of the right length and alphabet."""
    with pytest.raises(NotATorrent, match=f"^not a usable magnet link: .*{reason}"):
        parse_magnet(f"magnet:?{query}")


@pytest.mark.parametrize("uri", ["", "magnet", f"http://host/?xt={BTIH}", f"?xt={BTIH}", f" magnet:?xt={BTIH}", V1])
def test_what_does_not_start_as_a_magnet_link_is_refused(uri: str) -> None:
    """The scheme decides, and a bare hash has none."""
    with pytest.raises(NotATorrent, match="must start with magnet:"):
        parse_magnet(uri)


def test_the_length_of_a_magnet_link_is_limited() -> None:
    """At most 65,536 characters are read."""
    longest = f"magnet:?xt={BTIH}&dn=".ljust(65_536, "x")
    assert parse_magnet(longest).info_hashes == InfoHashes(v1=V1)
    with pytest.raises(NotATorrent, match="at most 65536 characters"):
        parse_magnet(longest + "x")


@pytest.mark.parametrize("character", CONTROLS)
@pytest.mark.parametrize("place", ["xt=urn:btih:{0}&dn=x{1}http://host/", "xt=urn:bt{1}ih:{0}"])
def test_control_characters_in_a_magnet_link_are_refused(place: str, character: str) -> None:
    """A line break would make two links out of one: qBittorrent is given links one a line."""
    with pytest.raises(NotATorrent):
        parse_magnet("magnet:?" + place.format(V1, character))


@pytest.mark.parametrize("query", [f"xt={BTIH}&dn=Book#&xt=urn:btih:{OTHER_V1}", f"xt={BTIH}&xt.=urn:btih:{OTHER_V1}"])
def test_no_second_torrent_hides_in_a_magnet_link(query: str) -> None:
    """Clients read past a hash sign, and `xt.` as `xt`: they would add the second torrent, so it counts here too."""
    with pytest.raises(NotATorrent):
        parse_magnet(f"magnet:?{query}")


@pytest.mark.parametrize(
    "topic",
    [
        pytest.param("urn:btih:" + "\u212a" * 32, id="Kelvin"),
        pytest.param("urn:btih:" + "\u017f" * 32, id="long s"),
        pytest.param(f"urn:bt\u0131h:{V1}", id="dotless i"),
        pytest.param("urn:btih:" + "\u0661" * 40, id="Arabic digits"),
    ],
)
def test_letters_beyond_ascii_are_no_digits_of_an_info_hash(topic: str) -> None:
    """The Kelvin sign is no K and the long s no S, though they are when case is ignored."""
    with pytest.raises(NotATorrent):
        parse_magnet(f"magnet:?xt={topic}")


@pytest.mark.parametrize(
    ("link", "written"),
    [
        pytest.param(f"MAGNET:?xt=urn:btih:{V1.upper()}&dn=A+B", f"xt={BTIH}&dn=A+B", id="case"),
        pytest.param(f"magnet:xt=URN:BTIH:{BASE32}", f"xt={BTIH}", id="no question mark, upper case, base32"),
        pytest.param(f"magnet:?dn=A&&%78t.3=urn%3Abtih%3A{V1}&dn=&flag", f"xt={BTIH}&dn=A", id="encoded, and empty"),
        pytest.param(f"magnet:?xt={BTMH}&dn=A&xt={BTIH}", f"xt={BTIH}&xt={BTMH}&dn=A", id="hybrid"),
        pytest.param(f"magnet:?xt={BTIH}&xt={BTIH[:-1]}&xt=urn:btmh:1114&dn=A", f"xt={BTIH}&dn=A", id="broken topics"),
        pytest.param(f"magnet:?xt=urn:sha1:AB&xt={BTIH}", f"xt={BTIH}&xt=urn:sha1:AB", id="another topic"),
        pytest.param(f"magnet:?dn=A&xt={BTIH}&dn=B&tr=C&x.pe=D", f"xt={BTIH}&dn=A&dn=B&tr=C&x.pe=D", id="order"),
        pytest.param(f"magnet:?xt={BTIH}&dn={MARKS}", f"xt={BTIH}&dn={MARKS}", id="ASCII"),
        pytest.param(
            f"magnet:?xt={BTIH}&dn=%0A%0D%00%e2%80%a8", f"xt={BTIH}&dn=%0A%0D%00%e2%80%a8", id="stays encoded"
        ),
        pytest.param(
            f"magnet:?xt={BTIH}&dn=100%&x=%4&y=%zz", f"xt={BTIH}&dn=100%25&x=%254&y=%25zz", id="stray percent"
        ),
        pytest.param(f"magnet:?xt={BTIH}&dn=A B", f"xt={BTIH}&dn=A%20B", id="space"),
        pytest.param(f"magnet:?xt={BTIH}&dn=\u00a0\u3000", f"xt={BTIH}&dn=%C2%A0%E3%80%80", id="no-break, ideographic"),
        pytest.param(
            f"magnet:?xt={BTIH}&dn=\u200c\u200d\u00ad", f"xt={BTIH}&dn=%E2%80%8C%E2%80%8D%C2%AD", id="joiners"
        ),
        pytest.param(f"magnet:?xt={BTIH}&dn=\U0001fae9\U0010ffff", f"xt={BTIH}&dn=%F0%9F%AB%A9%F4%8F%BF%BF", id="new"),
    ],
)
def test_a_link_is_written_anew_from_what_was_understood(link: str, written: str) -> None:
    """The info-hashes come first, in hex; the other parameters follow as they came, percent-encoded where need be."""
    assert parse_magnet(link).uri == f"magnet:?{written}"


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_what_is_written_is_read_as_it_was_and_holds_no_line_break(spelling: str) -> None:
    """A record keeps what was written: it comes back the same, in printable ASCII of at most 8 KiB."""
    try:
        found = parse_magnet(link(spelling))
    except NotATorrent:
        return
    assert re.fullmatch(r"magnet:\?xt=urn:bt[im]h:[!-~]+", found.uri)
    assert len(found.uri) <= 8192
    again = parse_magnet(found.uri)
    assert (again.uri, again.info_hashes) == (found.uri, found.info_hashes)


@pytest.mark.parametrize("count", range(170, 220))
def test_a_link_that_is_too_long_loses_its_last_trackers(count: int) -> None:
    """As few as need be; the other parameters stay, also those that stand behind them."""
    trackers = [f"tr=http%3A%2F%2Ftracker.test%2F{number:014}" for number in range(count)]

    uri = parse_magnet(f"magnet:?xt={BTIH}&dn=Book&{'&'.join(trackers)}&x.pe=192.0.2.1:1").uri

    kept = [part for part in uri.split("&") if part.startswith("tr=")]
    assert kept == trackers[: len(kept)]
    assert uri.endswith("&x.pe=192.0.2.1:1")
    assert len(uri) <= 8192
    assert kept == trackers or len(uri) + 1 + len(trackers[0]) > 8192


def test_a_link_that_is_too_long_without_trackers_loses_its_last_parameters() -> None:
    """The info-hash always fits."""
    name, tracker = "dn=" + "%E6%9B%B8" * 1000, "tr=http%3A%2F%2Ftracker.test"

    assert parse_magnet(f"magnet:?xt={BTIH}&so=1-2&{tracker}&{name}").uri == f"magnet:?xt={BTIH}&so=1-2"
    assert parse_magnet(f"magnet:?xt={BTIH}&{name[:-900]}&{tracker}&x={name}").uri == f"magnet:?xt={BTIH}&{name[:-900]}"


@pytest.mark.parametrize("part", ["&", "&a=", "&a=1", "&tr=%41", "%", "&xt=a", "\u3000", f"&xt={BTIH}"])
def test_the_work_for_a_long_link_is_bounded(part: str) -> None:
    """Whatever it is made of, and however many parameters that makes."""
    began = time.process_time()
    found = parse_magnet(f"magnet:?xt={BTIH}&b=" + part * (65_000 // len(part)))

    assert found.info_hashes == InfoHashes(v1=V1)
    assert time.process_time() - began < 1


def test_a_link_that_a_plug_in_makes_by_hand_holds_no_line_break_either() -> None:
    """A client is given such links one a line."""
    for character in CONTROLS:
        with pytest.raises(ValueError, match="control characters: let parse_magnet"):
            MagnetLink(uri=f"magnet:?xt={BTIH}{character}", info_hashes=InfoHashes(v1=V1), name="")


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("", ""),
        ("&dn=", ""),
        ("&dn=A+Book%3A%20One", "A Book: One"),
        ("&dn=B%C3%BCcher", "Bücher"),
        ("&dn=%FF", "\ufffd"),
    ],
)
def test_the_display_name_is_decoded(query: str, name: str) -> None:
    """The name is what `dn` says, or empty."""
    assert parse_magnet(f"magnet:?xt={BTIH}{query}").name == name


def test_the_repr_of_a_magnet_link_never_shows_it() -> None:
    """Trackers in the link hold passkeys."""
    link = parse_magnet(f"magnet:?xt={BTIH}&dn=Book&tr=https%3A%2F%2Ftracker.example%2Fs3cret%2Fannounce")
    assert "s3cret" not in repr(link)
    assert "tracker.example" not in repr(link)
    assert V1 in repr(link)


@pytest.mark.parametrize("bad", ["", "0", V1.upper(), V1[:-1], V1 + "0", V1[:-1] + "g", V1 + "\n", V2])
def test_a_v1_info_hash_has_40_lower_case_hex_digits(bad: str) -> None:
    """Any other form is refused, beside a good v2 info-hash too."""
    for v2 in (None, V2):
        with pytest.raises(ValueError, match="v1 info-hash has 40"):
            InfoHashes(v1=bad, v2=v2)


@pytest.mark.parametrize("bad", ["", "0", V2.upper(), V2[:-1], V2 + "0", V2[:-1] + "g", V2 + "\n", V1])
def test_a_v2_info_hash_has_64_lower_case_hex_digits(bad: str) -> None:
    """Any other form is refused, beside a good v1 info-hash too."""
    for v1 in (None, V1):
        with pytest.raises(ValueError, match="v2 info-hash has 64"):
            InfoHashes(v1=v1, v2=bad)


def test_at_least_one_info_hash_is_needed() -> None:
    """Nothing identifies no torrent."""
    with pytest.raises(ValueError, match="an info-hash is needed"):
        InfoHashes()


@pytest.mark.parametrize(
    ("info_hashes", "primary", "client_ids"),
    [
        (InfoHashes(v1=V1), V1, (V1,)),
        (InfoHashes(v2=V2), V2, (V2[:40], V2)),
        (InfoHashes(v1=OTHER_V1, v2=V2), OTHER_V1, (OTHER_V1, V2[:40], V2)),
    ],
)
def test_the_ids_of_a_torrent(info_hashes: InfoHashes, primary: str, client_ids: tuple[str, ...]) -> None:
    """The primary one is v1 where there is one; clients may know a v2 torrent by its first 40 digits."""
    assert (info_hashes.primary, str(info_hashes)) == (primary, primary)
    assert info_hashes.client_ids == client_ids


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (InfoHashes(v1=V1), InfoHashes(v1=V1), True),
        (InfoHashes(v2=V2), InfoHashes(v2=V2), True),
        (InfoHashes(v1=V1, v2=V2), InfoHashes(v1=V1), True),
        (InfoHashes(v1=V1, v2=V2), InfoHashes(v2=V2), True),
        (InfoHashes(v1=V1, v2=V2), InfoHashes(v1=V1, v2=OTHER_V2), True),
        (InfoHashes(v1=V1), InfoHashes(v2=V2), False),
        (InfoHashes(v1=V1), InfoHashes(v1=OTHER_V1), False),
        (InfoHashes(v2=V2), InfoHashes(v2=OTHER_V2), False),
        (InfoHashes(v1=V2[:40]), InfoHashes(v2=V2), False),
    ],
)
def test_info_hashes_match_if_they_share_one(one: InfoHashes, other: InfoHashes, *, same: bool) -> None:
    """One shared info-hash is enough, a missing one is none, and it holds in both directions."""
    assert one.matches(other) is same
    assert other.matches(one) is same


def test_info_hashes_are_values() -> None:
    """They are equal, hash alike and cannot be changed."""
    assert len({InfoHashes(v1=V1, v2=V2), InfoHashes(v1=V1, v2=V2)}) == 1
    with pytest.raises(FrozenInstanceError):
        InfoHashes(v1=V1).v1 = OTHER_V1  # type: ignore[misc]


@pytest.mark.parametrize(
    "topic", ["btih:" + "0" * 40, "btih:" + "A" * 32, "btmh:1220" + "0" * 64, "btmh:1220" + "0" * 40 + "f" * 24]
)
def test_a_hash_of_nothing_is_refused(topic: str) -> None:
    """Clients say that they have taken it, and never show it."""
    with pytest.raises(NotATorrent, match="all zeros"):
        parse_magnet(f"magnet:?xt=urn:{topic}")
