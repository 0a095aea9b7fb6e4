"""Make any text the name of a folder that every file system takes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from unicodedata import category, combining

from audiobatch._decomposition import composed
from audiobatch._same_folder import INVISIBLE

SHORTEST_LIMIT: Final = 32
"""Bytes. A name that is cut to less says nothing any more."""

_FILLER: Final = "_"
_ELLIPSIS: Final = "…"
_FORBIDDEN: Final = frozenset('<>:"/\\|?*')
# Controls; what Unicode has not assigned, which APFS refuses; private use, by which SMB clients write what is
# forbidden; lone surrogates.
_UNSAFE: Final = frozenset({"Cc", "Cn", "Co", "Cs"})
_SPACES: Final = re.compile(r"\s+")
_SUBTITLE: Final = re.compile(r" ?: ")
_JOINERS: Final = "\u200c\u200d"
# Persian, Indic scripts and emoji need them; between Latin letters they only hide.
_STRAY_JOINER: Final = re.compile(
    r"(?<![\u0370-\u200b\u200e-\U0010ffff])[\u200c\u200d]|[\u200c\u200d](?![\u0370-\u200b\u200e-\U0010ffff])"
)
_SKIN_TONES: Final = "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"
# Windows takes them for devices, with anything behind a dot.
_DEVICE: Final = re.compile(
    r"\A(con|prn|aux|nul|clock\$|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?= *(?:\.|\Z))", re.IGNORECASE
)
_MOST_MARKS: Final = 24  # in a row; APFS refuses more than 30, with those that are part of a composed character
_LONGEST_CLUSTER: Final = 32  # code points


def safe_name(text: str, max_bytes: int) -> str:
    """Return the name closest to a text that Linux, macOS, Windows and SMB all take.

    It is never empty, in composed form (NFC), and does not change when made safe again.

    Args:
        text: Anything, lone surrogates included.
        max_bytes: How long the name may be in UTF-8, at least `SHORTEST_LIMIT`. What is longer
            loses something of its middle, so that the number of a volume at its end stays.
    """
    text = INVISIBLE.sub(lambda found: found[0] if found[0] in _JOINERS else "", composed(text))
    text = "".join(map(_safe_character, _SUBTITLE.sub(" - ", _SPACES.sub(" ", text))))
    text = composed(_STRAY_JOINER.sub("", text))
    name = " ".join(_without_surplus_marks(text).split())
    if name.startswith("."):  # hidden on Unix, passed over by Audiobookshelf
        name = _FILLER + name[1:]
    name = name.rstrip(" .") or _FILLER  # Windows leaves them out
    return _cut(_DEVICE.sub(rf"\1{_FILLER}", name), max_bytes)


def _safe_character(character: str) -> str:
    if character.isspace():
        return " "
    return _FILLER if character in _FORBIDDEN or category(character) in _UNSAFE else character


def _without_surplus_marks(text: str) -> str:
    kept, row = [], 0
    for character in text:
        row = row + 1 if combining(character) else 0
        if row <= _MOST_MARKS:
            kept.append(character)
    return "".join(kept)


def _cut(name: str, max_bytes: int) -> str:
    if len(name.encode()) <= max_bytes:
        return name
    clusters = _clusters(name)
    tail = _fitting(reversed(clusters), max_bytes // 4)[::-1]
    head = _fitting(clusters, max_bytes - len("".join([_ELLIPSIS, *tail]).encode()))
    return "".join([*head, _ELLIPSIS, *tail])


def _clusters(name: str) -> list[str]:
    """Split a name so that each character stays with its marks, and an emoji in one piece."""
    found = [""]
    for character in name:
        attached = category(character).startswith("M") or character in _JOINERS + _SKIN_TONES
        if (attached or found[-1].endswith("\u200d")) and len(found[-1]) < _LONGEST_CLUSTER:
            found[-1] += character
        else:
            found.append(character)
    return found


def _fitting(clusters: Iterable[str], max_bytes: int) -> list[str]:
    """Take from the beginning as many as fit."""
    taken: list[str] = []
    for cluster in clusters:
        max_bytes -= len(cluster.encode())
        if max_bytes < 0:
            break
        taken.append(cluster)
    return taken
