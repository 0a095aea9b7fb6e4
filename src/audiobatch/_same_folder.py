"""Tell whether two paths may lead to one folder, on whatever file system they are."""

from __future__ import annotations

import posixpath
import re
from typing import Final

from audiobatch._decomposition import decomposed

# Unicode's default ignorables, and the annotation signs after them. ext4 and HFS+ leave such out when they compare.
INVISIBLE: Final = re.compile(
    r"[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_SEPARATORS: Final = re.compile(r"[/\\]+")


def same_folder_key(path: str) -> str:
    """Return a text that is the same for all paths that some file system takes for one.

    Paths with different keys are different folders everywhere, apart from links. Paths with
    the same key may be one: macOS, Windows and SMB pass over case; each system has its own
    view of composed characters, of invisible ones, and of dots and spaces at the end of a
    name; and either slash may separate.

    Args:
        path: A path of any system, absolute or relative. It is not looked up.
    """
    parts = posixpath.normpath(_SEPARATORS.sub("/", path)).split("/")
    return "/".join(part if part == ".." else _folded(part) for part in parts)


def _folded(name: str) -> str:
    apart = decomposed(INVISIBLE.sub("", name), "NFKD")
    # Upper case first, since Windows compares that: a dotless i may be an I there.
    return apart.upper().casefold().rstrip(" .")
