"""What an answer says in words, be they XML, JSON or a page, where its status does not: above all, that it is too much.

Nothing of these words is repeated: they are somebody else's, and can hold an address or a key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from audiobatch.errors import FetchDenied, FetchError, FetchUnavailable, RateLimited, TorrentNotFound
from audiobatch.fetchers._contents import is_bencoded, text_of
from audiobatch.fetchers._retrieval import Answer
from audiobatch.fetchers._wait import LIMIT_PAUSE, MAX_PAUSE, RATE_LIMIT_PAUSE, retry_after

_MAX_DOCUMENT: Final = 64 * 1024  # bytes of XML or JSON that are looked at
_MAX_PAGE: Final = 8 * 1024  # bytes of a page that can be a notice, and
_MAX_WORDS: Final = 600  # characters of it without its tags: what is longer is about something else

# A Torznab or Newznab error: <error code="..." description="..."/>
_XML_ERROR: Final = re.compile(r"\s*(?:<\?xml[^<>]{0,200}>)?\s*<error\b([^<>]{0,4000})>?", re.IGNORECASE)
_XML_CODE: Final = re.compile(r"\bcode\s*=\s*[\"']?\s*([0-9]{1,4})\b", re.IGNORECASE)

_TOO_MUCH: Final = re.compile(
    r"too many (?:\w+ ){0,2}(?:requests|downloads|grabs|hits|queries|calls|snatches)"
    r"|(?<!no )\brate[ _-]?limit"
    r"|\bslow down\b|\bthrottled\b"
    r"|\b(?:limit|quota|maximum)\b(?: \S+){0,6}? (?:reached|exceeded|hit|used up)\b"
    r"|\b(?:reached|exceeded|hit|over|used up)\b(?: \S+){0,6}? (?:limit|quota|maximum)\b",
)
_MESSAGES: Final = frozenset(
    {"error", "errors", "message", "msg", "detail", "details", "description", "reason", "title"}
)
_CODES: Final = frozenset({"code", "status", "status_code", "statuscode", "error", "error_code", "errorcode"})
_WAITS: Final = frozenset({"retry_after", "retry-after", "retryafter"})

_JSON_ERRORS: Final[Sequence[tuple[frozenset[str], Callable[[str], FetchError]]]] = (
    (
        frozenset({"401", "403"}),
        lambda source: FetchDenied(f"{source} refuses the download, as a JSON document says: is the login missing?"),
    ),
    (
        frozenset({"404", "410"}),
        lambda source: TorrentNotFound(f"{source} has no such torrent, as a JSON document says"),
    ),
    (
        frozenset({"500", "502", "503", "504"}),
        lambda source: FetchUnavailable(f"{source} has trouble just now, as a JSON document says"),
    ),
)


def error_told(answer: Answer) -> FetchError | None:
    """Return the error that an answer names in words, or None if it names none.

    A status that is no success has its meaning already; of that, words can make a limit alone.
    """
    if answer.status in (401, 429) or is_bencoded(answer.body):
        return None
    text = text_of(answer.body[:_MAX_DOCUMENT]).lstrip()
    if (found := _XML_ERROR.match(text)) is not None:
        error = _error_of_xml(answer, found[1])
    elif text.startswith(("{", "[")):
        error = _error_of_json(answer, text)
    else:
        error = _error_of_page(answer, text)
    return error if answer.is_success or isinstance(error, RateLimited) else None


def _error_of_xml(answer: Answer, attributes: str) -> FetchError | None:
    """Read the codes of Newznab (its API's "Error Codes"), which Torznab has taken over."""
    if _says_too_much(attributes):
        return _limited(answer)
    found = _XML_CODE.search(attributes)
    code = int(found[1]) if found else 0
    if code in (429, 501, 910) or (code == 500 and answer.is_success):
        # 500 is "request limit reached" there, but Prowlarr repeats its HTTP status by it.
        return _too_often(answer) if code == 429 else _limited(answer)
    match code:
        case 100 | 101 | 102 | 103 | 104 | 105 | 107:
            return FetchDenied(f"{answer.source} refuses the account or the API key (error {code})")
        case 200 | 201 | 202 | 203:
            return FetchDenied(f"{answer.source} does not understand the link (error {code})")
        case 300:
            return TorrentNotFound(f"{answer.source} has no such torrent (error {code})")
    return None


def _error_of_json(answer: Answer, text: str) -> FetchError | None:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    fields = list(_fields(document))
    wait = next((_seconds(value) for name, value in fields if name in _WAITS), None)
    if any(isinstance(value, str) and name in _MESSAGES and _says_too_much(value) for name, value in fields):
        return _limited(answer, wait)
    codes = {str(value) for name, value in fields if name in _CODES and isinstance(value, int | str)}
    if "429" in codes:
        return _too_often(answer, wait)
    return next((error(answer.source) for told, error in _JSON_ERRORS if codes & told), None)


def _fields(document: object, depth: int = 2) -> Iterator[tuple[str, object]]:
    """Yield the names and values of a JSON document's upper levels; what stands in a list has its list's name."""
    if isinstance(document, list):
        for value in document[:10]:
            yield from _fields(value, depth)
    elif isinstance(document, Mapping):
        for name, value in document.items():
            yield from ((name.lower(), one) for one in (value[:10] if isinstance(value, list) else [value]))
            if depth:
                yield from _fields(value, depth - 1)


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_PAUSE:
        return None
    return float(value)


def _error_of_page(answer: Answer, text: str) -> FetchError | None:
    if len(answer.body) > _MAX_PAGE:
        return None
    words = " ".join(re.sub(r"<[^<>]*>|&nbsp;", " ", text).split())
    return _limited(answer) if len(words) <= _MAX_WORDS and _says_too_much(words) else None


def _says_too_much(words: str) -> bool:
    return _TOO_MUCH.search(" ".join(words[:_MAX_DOCUMENT].lower().split())) is not None


def _limited(answer: Answer, wait: float | None = None) -> RateLimited:
    return RateLimited(
        f"{answer.source} says that a limit of it is reached", retry_after=_pause(answer, wait, LIMIT_PAUSE)
    )


def _too_often(answer: Answer, wait: float | None = None) -> RateLimited:
    return RateLimited(
        f"{answer.source} asks to slow down, in words", retry_after=_pause(answer, wait, RATE_LIMIT_PAUSE)
    )


def _pause(answer: Answer, told: float | None, usual: float) -> float:
    of_header = retry_after(answer)
    return next(wait for wait in (of_header, told, usual) if wait is not None)
