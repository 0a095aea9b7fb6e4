"""Where a book is saved: a template that makes a folder from a request, safe on every file system."""

from __future__ import annotations

import re
from collections.abc import Mapping
from os import PathLike, fspath
from string import Formatter
from typing import Final
from unicodedata import category

from attrs import field, frozen

from audiobatch._names import SHORTEST_LIMIT, safe_name
from audiobatch.errors import ConfigurationError
from audiobatch.models import DownloadRequest

_FIELDS: Final = ("author", "series", "title", "category")
_KNOWN: Final = ", ".join(f"{{{name}}}" for name in _FIELDS)
_LONGEST_NAME: Final = 255  # bytes, on ext4 and APFS; NTFS counts UTF-16 units, which are never more
_LONGEST_TEXT: Final = 4096  # characters of a root or a template; no system takes a longer path
_SEPARATOR: Final = re.compile(r"[/\\]")
_CLOSING_BRACKETS: Final = ")]}"


@frozen
class _Part:
    """One folder of a template: fields, and the texts before, between and after them."""

    texts: tuple[str, ...]
    fields: tuple[str, ...]

    def fill(self, values: Mapping[str, str | None]) -> str | None:
        """Put in the values; None if it has fields and all of them are absent."""
        if self.fields and all(values[name] is None for name in self.fields):
            return None
        filled, skipped = "", False
        for text, name in zip(self.texts, self.fields, strict=False):
            value = values[name]
            if value is not None and skipped:
                filled += text.lstrip(_CLOSING_BRACKETS) if filled else ""
            elif value is not None:
                filled += text
            filled += value or ""
            skipped = value is None
        return filled if skipped else filled + self.texts[-1]


def _checked_root(root: str | PathLike[str]) -> str:
    path = fspath(root)
    if not isinstance(path, str):
        raise ConfigurationError("the root of the save paths must be text, not bytes")
    if len(path) > _LONGEST_TEXT:
        raise ConfigurationError(f"the root of the save paths is longer than {_LONGEST_TEXT} characters")
    if ".." in (part.rstrip() for part in _SEPARATOR.split(path)):
        problem = "write it without '..'"
    elif path.startswith("~"):
        problem = "write it in full, for a torrent client does not know whose home '~' is"
    elif path != path.strip() or any(category(character) in {"Cc", "Cs"} for character in path):
        problem = "leave out the spaces around it, and characters that are no text"
    else:
        return path
    raise ConfigurationError(f"the root of the save paths, {path!r}, cannot be used: {problem}")


def _checked_limit(max_name_bytes: int) -> int:
    if not SHORTEST_LIMIT <= max_name_bytes <= _LONGEST_NAME:
        raise ConfigurationError(
            f"max_name_bytes must be from {SHORTEST_LIMIT} to {_LONGEST_NAME}, not {max_name_bytes}"
        )
    return max_name_bytes


@frozen
class SavePathTemplate:
    r"""Gives each book a folder of its own, made from what its request says.

    The usual template is the layout that Audiobookshelf reads::

        save_path = SavePathTemplate("/audiobooks")
        save_path(DownloadRequest(title="Dawn: Part 1", author="A. Mariner", series="Tides", torrent_url=url))
        # '/audiobooks/A. Mariner/Tides/Dawn - Part 1'
        save_path(DownloadRequest(title="Where Now?", author="E. Gone", torrent_url=url))
        # '/audiobooks/E. Gone/Where Now_'

    It is made for the ``save_path`` of `BatchDownloader`. It makes no folder and looks at no disk.

    Whatever a request holds, its folder is below the root, and Linux, macOS, Windows and SMB
    servers take the names of all folders on the way:

    * ``_`` stands for each character that one of them forbids, and for a dot in front.
    * A colon before a space becomes a dash: ``Dawn: Part 1``, ``Dawn - Part 1``.
    * ``_`` follows the name of a Windows device: ``CON_``.
    * Dots and spaces at the end are left out, and so is what cannot be seen.
    * Accents are composed (NFC), and any space becomes a plain one.
    * A name that is too long loses something of its middle: ``The Long … Volume 2``.

    So two books may come to one folder. Within a batch, `BatchDownloader` refuses the later one.

    Args:
        root: The folder of the library as the torrent client sees it: ``/audiobooks``,
            ``D:\Audiobooks``, ``\\nas\audiobooks``, or one below the client's own folder, which
            an empty text stands for. The first separator in it is used for the rest too.
        template: Folders, with ``/`` between them, of ``{author}``, ``{series}``, ``{title}``,
            ``{category}`` and text that is safe as it is. The title must be there. A folder
            whose fields are all absent is left out. In others, an absent field takes along what
            stands before it, and at an end what stands around it: without a series,
            ``{series} - {title}`` and ``{title} ({series})`` are the title alone.
        max_name_bytes: How long the name of one folder may be: 32 to 255 bytes of UTF-8. The
            default is what an encrypted shared folder of a Synology NAS takes; 255 is right for
            ext4, APFS and NTFS. Old Windows programs take no more than 260 characters for a
            whole path: have a short root and about 64 there.

    Raises:
        ConfigurationError: One of these cannot be used; the message says what to write.
    """

    root: str = field(converter=_checked_root)
    template: str = "{author}/{series}/{title}"
    max_name_bytes: int = field(default=143, kw_only=True, converter=_checked_limit)
    _parts: tuple[_Part, ...] = field(init=False, repr=False, eq=False)

    @_parts.default
    def _take_apart(self) -> tuple[_Part, ...]:
        if len(self.template) > _LONGEST_TEXT:
            raise ConfigurationError(f"the save-path template is longer than {_LONGEST_TEXT} characters")
        try:
            return _parse(self.template, self.max_name_bytes)
        except ValueError as error:
            raise ConfigurationError(f"the save-path template {self.template!r} cannot be used: {error}") from None

    def __call__(self, request: DownloadRequest, /) -> str:
        """Return the folder for the book of a request."""
        values = {name: getattr(request, name) for name in _FIELDS}
        filled = [part.fill(values) for part in self._parts]
        names = [safe_name(text, self.max_name_bytes) for text in filled if text is not None]
        separator = self._separator
        start = self.root and self.root.rstrip("/\\") + separator
        return start + separator.join(names)

    @property
    def _separator(self) -> str:
        found = _SEPARATOR.search(self.root)
        if found:
            return found[0]
        return "\\" if self.root.endswith(":") else "/"


def _parse(template: str, max_name_bytes: int) -> tuple[_Part, ...]:
    """Take a template apart.

    Raises:
        ValueError: It cannot be used; the message says what to write.
    """
    if "\\" in template:
        raise ValueError("write / between folders, on Windows too")
    parts = tuple(map(_parse_part, template.split("/")))
    for part in parts:
        sample = part.fill(dict.fromkeys(_FIELDS, "x")) or ""
        safe = safe_name(sample, max_name_bytes)
        if not sample:
            raise ValueError("write one / between two folders, and none around them")
        if sample != safe:
            raise ValueError(f"it makes folders like {sample!r}, which not every file system takes; write {safe!r}")
    if not any("title" in part.fields for part in parts):
        raise ValueError("put {title} into it, or books will share a folder")
    return parts


def _parse_part(text: str) -> _Part:
    try:
        pieces = list(Formatter().parse(text))
    except ValueError:
        raise ValueError("close each brace, and write it twice where it is meant as a brace") from None
    texts, fields = [""], list[str]()
    for literal, name, form, conversion in pieces:
        texts[-1] += literal
        if name is not None:
            if name not in _FIELDS or form or conversion:
                raise ValueError(f"write nothing else in braces than {_KNOWN}")
            fields.append(name)
            texts.append("")
    return _Part(tuple(texts), tuple(fields))
