"""Read a magnet link in any spelling, and write it in the one that every client takes (BEP 9, BEP 52)."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import quote, unquote_plus

from attrs import field, frozen

from audiobatch._urls import has_control_characters, is_magnet

MAX_MAGNET_LENGTH: Final = 64 * 1024
"""Characters of a magnet link that is read."""

_MAX_WRITTEN: Final = (
    8 * 1024
)  # characters of a link that is written: the daemons take more, not every proxy before them
_TOPIC: Final = re.compile(r"xt(\.[0-9]*)?", re.IGNORECASE | re.ASCII)
_TRACKER: Final = re.compile(r"tr(\.[0-9]*)?", re.IGNORECASE | re.ASCII)
_TORRENT: Final = re.compile(r"urn:bt[im]h:", re.IGNORECASE | re.ASCII)
# libtorrent reads a 1 as an I.
_BTIH: Final = re.compile(r"urn:btih:(?:(?P<hex>[0-9a-f]{40})|(?P<base32>[a-z1-7]{32}))", re.IGNORECASE | re.ASCII)
_BTMH: Final = re.compile(r"urn:btmh:1220(?P<hex>[0-9a-f]{64})", re.IGNORECASE | re.ASCII)
_NOTHING: Final = "0" * 40
_STRAY_PERCENT: Final = re.compile("%(?![0-9A-Fa-f]{2})")
_PRINTABLE: Final = "".join(map(chr, range(0x21, 0x7F)))


@frozen(kw_only=True)
class Magnet:
    """What a magnet link says.

    Attributes:
        v1: The v1 info-hash in lower-case hex, or None.
        v2: The v2 info-hash in lower-case hex, or None.
        name: The display name, or an empty string.
        uri: The link, written anew.
    """

    v1: str | None
    v2: str | None
    name: str
    uri: str = field(repr=False)


@frozen
class _Parameter:
    """One parameter of a link, decoded, and as it is written."""

    key: str
    value: str = field(repr=False)
    written: str = field(repr=False)

    @property
    def is_topic(self) -> bool:
        return _TOPIC.fullmatch(self.key) is not None

    @property
    def is_tracker(self) -> bool:
        return _TRACKER.fullmatch(self.key) is not None


def read(link: str) -> Magnet:
    """Read a magnet link that names one torrent, by its v1 info-hash, its v2 info-hash, or both.

    The link is written anew from what was understood: the info-hashes first, in hex, then the other
    parameters in their order. These stay as they came, but for what no URI may hold: that is
    percent-encoded. What makes it longer than 8 KiB is left out: trackers first, the last ones before the others.

    Raises:
        ValueError: It is no magnet link, is too long, or does not say for certain which torrent it means.
    """
    if not is_magnet(link) or len(link) > MAX_MAGNET_LENGTH:
        raise ValueError(f"it must start with magnet: and have at most {MAX_MAGNET_LENGTH} characters")
    if has_control_characters(link):
        # Clients read a list of links line by line: a line break would smuggle in another one.
        raise ValueError("it holds control characters")
    # Up to the very end, because clients know no fragment (#) in a magnet link.
    parameters = [_parameter(given) for given in link[len("magnet:") :].removeprefix("?").split("&")]
    v1, v2 = _info_hashes([parameter.value for parameter in parameters if parameter.is_topic])
    topics = [f"urn:btih:{v1}"] * (v1 is not None) + [f"urn:btmh:1220{v2}"] * (v2 is not None)
    return Magnet(
        v1=v1,
        v2=v2,
        name=next((parameter.value for parameter in parameters if parameter.key == "dn" and parameter.value), ""),
        uri="magnet:?" + "&".join(_fitting([f"xt={topic}" for topic in topics], _others(parameters))),
    )


def _parameter(given: str) -> _Parameter:
    key, _, value = given.partition("=")
    # What is left as it came is printable ASCII, and so no client finds a line break in it.
    written = quote(_STRAY_PERCENT.sub("%25", given), safe=_PRINTABLE)
    return _Parameter(unquote_plus(key), unquote_plus(value), written)


def _info_hashes(topics: Iterable[str]) -> tuple[str | None, str | None]:
    topics = set(topics)
    v1 = {_btih_hex(match) for topic in topics if (match := _BTIH.fullmatch(topic))}
    v2 = {match["hex"].lower() for topic in topics if (match := _BTMH.fullmatch(topic))}
    if len(v1) > 1 or len(v2) > 1:
        raise ValueError("it names more than one torrent")
    if not v1 and not v2:
        raise ValueError("it has no info-hash (xt=urn:btih: or xt=urn:btmh:)")
    if any(info_hash.startswith(_NOTHING) for info_hash in v1 | v2):
        # Clients take it and never show it; qBittorrent 4.5.2 even loses others that come in the same request.
        raise ValueError("its info-hash is all zeros")
    return next(iter(v1), None), next(iter(v2), None)


def _btih_hex(match: re.Match[str]) -> str:
    if match["hex"]:
        return match["hex"].lower()
    return base64.b32decode(match["base32"].upper().replace("1", "I")).hex()


def _others(parameters: Iterable[_Parameter]) -> list[_Parameter]:
    """Return what is written besides the info-hashes.

    What has no value says nothing, and libtorrent takes its name for a part of the next one's. Of a topic that
    looks like an info-hash and is none, it refuses the whole link.
    """
    return [
        parameter
        for parameter in parameters
        if parameter.value and not (parameter.is_topic and _TORRENT.match(parameter.value))
    ]


def _fitting(topics: Sequence[str], others: Sequence[_Parameter]) -> list[str]:
    """Return the parameters of a link that is not too long: the topics, and of the others what fits."""
    length = len("magnet:?") + sum(len(written) + 1 for written in topics) - 1
    length += sum(1 + len(other.written) for other in others)
    left_out = set()
    for place in sorted(range(len(others)), key=lambda place: (others[place].is_tracker, place), reverse=True):
        if length <= _MAX_WRITTEN:
            break
        left_out.add(place)
        length -= 1 + len(others[place].written)
    return [*topics, *(other.written for place, other in enumerate(others) if place not in left_out)]
