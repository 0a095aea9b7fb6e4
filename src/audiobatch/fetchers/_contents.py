"""What the bytes of an answer are, by how they begin."""

from __future__ import annotations

import codecs
import re
from typing import Final

_START: Final = 4096  # bytes that are looked at
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_BENCODED: Final = re.compile(rb"d([0-9]|e)")
_BEFORE: Final = re.compile(r"\s+|<!--.*?-->", re.DOTALL)
_DECLARATION: Final = re.compile(r"<\?xml[^<>]*>")
_KINDS: Final = (
    (b"\x1f\x8b", "packed with gzip, which no header of it says"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd, which was not asked for"),
    (b"PK\x03\x04", "a ZIP archive, not a torrent: is the torrent in it?"),
    (b"Rar!\x1a\x07", "a RAR archive, not a torrent"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive, not a torrent"),
    (b"%PDF-", "a PDF document, not a torrent"),
)
_PAGE: Final = "an HTML page, not a torrent: is the login missing or expired?"
_XML: Final = "an XML document, not a torrent"
_BEGINNINGS: Final = (
    (r"<(rss|feed|error)\b", _XML),
    (r"<", _PAGE),
    (r"[{\[]", "a JSON document, not a torrent"),
    (r"d[0-9]", "a torrent with something before it, which no client takes"),
)


def is_bencoded(body: bytes) -> bool:
    """Tell whether a body begins as a bencoded dictionary does (BEP 3), and no text."""
    return _BENCODED.match(body) is not None


def text_of(body: bytes) -> str:
    """Return a body as text, in the encoding that its byte order mark names, or else as UTF-8."""
    for mark, encoding in _BOMS:
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, errors="replace")
    return body.decode(errors="replace")


def describe(body: bytes) -> str | None:
    """Say what it is that came instead of a torrent, if that can be told from its start."""
    if (packed := next((what for magic, what in _KINDS if body.startswith(magic)), None)) is not None:
        return packed
    start = _without(_BEFORE, text_of(body[:_START])).lower()
    if not start:
        return "empty" if len(body) <= _START else None
    if start.startswith("<?xml"):
        # A page can begin like that too, and so can a feed.
        start = _without(_BEFORE, _DECLARATION.sub("", start, count=1))
        return _PAGE if start.startswith(("<!doctype html", "<html")) else _XML
    what = next((what for beginning, what in _BEGINNINGS if re.match(beginning, start)), None)
    return None if is_bencoded(body) else what


def _without(pattern: re.Pattern[str], text: str) -> str:
    """Take off the beginning of a text whatever matches there."""
    at = 0
    while (found := pattern.match(text, at)) is not None:
        at = found.end()
    return text[at:]
