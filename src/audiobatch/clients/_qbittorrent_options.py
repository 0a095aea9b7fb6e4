"""Spell the options of an add as qBittorrent's form fields, and refuse those that would lead elsewhere.

qBittorrent makes folders of a category (below its own, under automatic management) and of a save
path. What it would silently drop, change, or resolve to another folder is refused before it is sent.
Tried on 4.5.2, 5.1.0 and 5.3.0.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from audiobatch.errors import Unsupported
from audiobatch.models import AddOptions

_MAX_PART: Final = 255
"""Bytes of one part of a path, as UTF-8: no common file system takes more."""
_MAX_CATEGORY: Final = 1024
"""Bytes of a category; qBittorrent's own folder comes before it."""
_MAX_PATH: Final = 4095
"""Bytes of a whole path; with more, the torrent ends in the state "error"."""

# Dots alone lead to another folder. Up to 5.1 these signs become spaces in a path, and 5.3 and Windows
# leave spaces (Windows also dots) at the end of a part out: ".. " and "..?" may come to the same.
_LEADS_ELSEWHERE: Final = re.compile(r'[\s.<>:"|?*]*')
_BREAKS: Final = ("Cc", "Cs", "Zl", "Zp")


def add_fields(options: AddOptions) -> dict[str, str]:
    """Return the form fields of ``torrents/add`` for these options.

    Raises:
        Unsupported: qBittorrent would not do what they say.
    """
    fields: dict[str, str] = {}
    if options.paused is not None:
        # Called "paused" up to 4.6 and "stopped" since 5.0; the other one is ignored.
        fields = dict.fromkeys(("paused", "stopped"), "true" if options.paused else "false")
    if options.category is not None:
        _check_category(options.category)
        fields["category"] = options.category
    if options.tags:
        _check_tags(options.tags)
        fields["tags"] = ",".join(options.tags)
    if options.save_path is not None:
        _check_save_path(options.save_path)
        # Up to 4.5 the path is ignored when automatic management is the default.
        fields |= {"savepath": options.save_path, "autoTMM": "false"}
    return fields


def _check_category(category: str) -> None:
    _check_text("category", category, _MAX_CATEGORY)
    parts = category.split("/")
    if "\\" in category or "" in parts:
        raise Unsupported(
            "qBittorrent cannot make this category: no backslash, and no slash at an end or next to another one"
        )
    if any(_LEADS_ELSEWHERE.fullmatch(part) for part in parts):
        raise Unsupported(
            "qBittorrent would save this category in another folder: give each part of the category letters or digits"
        )
    _check_parts("category", parts)


def _check_tags(tags: tuple[str, ...]) -> None:
    for tag in tags:
        _check_text("tags", tag, _MAX_PATH)
        if "," in tag:
            raise Unsupported("qBittorrent would make two tags of one with a comma: give them one by one")


def _check_save_path(path: str) -> None:
    _check_text("save_path", path, _MAX_PATH)
    # On Windows both separate the parts.
    parts = path.replace("\\", "/").split("/")
    if any(part.strip() == ".." for part in parts):
        raise Unsupported("qBittorrent would save in another folder: give a save_path without ..")
    _check_parts("save_path", parts)


def _check_text(name: str, text: str, maximum: int) -> None:
    if len(text) > maximum or _size(text) > maximum:
        raise Unsupported(f"qBittorrent takes {name} of up to {maximum} bytes: give a shorter one")
    if any(unicodedata.category(character) in _BREAKS for character in text):
        raise Unsupported(f"{name} holds control characters: leave them out")


def _check_parts(name: str, parts: list[str]) -> None:
    if any(_size(part) > _MAX_PART for part in parts):
        raise Unsupported(f"a part of {name} is longer than {_MAX_PART} bytes, which no disk takes: shorten it")


def _size(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))
