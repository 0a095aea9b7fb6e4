"""What goes into a batch and what comes out of it: values, no I/O.

A `DownloadRequest` becomes a `Download`, which is its record too, or a failure (see
`audiobatch.results`). `AddOptions` and `TorrentStatus` are what passes between the
pipeline and a torrent client.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeAlias

from attrs import NOTHING, field, fields, frozen

from audiobatch._magnet import MAX_MAGNET_LENGTH
from audiobatch._urls import has_control_characters, is_magnet, origin
from audiobatch.errors import InvalidRequestError, NotATorrent
from audiobatch.metainfo import InfoHashes, Torrent, parse_magnet

MAX_TITLE_LENGTH: Final = 500
"""Characters of a title, after trimming."""

MAX_AUTHOR_LENGTH: Final = 200
"""Characters of an author's name, after trimming."""

MAX_SERIES_LENGTH: Final = 200
"""Characters of a series' name, after trimming."""

MAX_CATEGORY_LENGTH: Final = 200
"""Characters of a category, after trimming."""

MAX_TAGS: Final = 100
"""Tags of one request."""

MAX_TAG_LENGTH: Final = 200
"""Characters of a tag, after trimming."""

MAX_SAVE_PATH_LENGTH: Final = 4096
"""Characters of a folder's path, after trimming."""

MAX_URL_LENGTH: Final = 8192
"""Characters of a torrent's URL; a magnet link may have 65,536, of which a client gets 8,192 at most."""


def _trimmed(value: str) -> str:
    # The method of str itself: what is derived from it may have another one.
    return str.strip(value) if isinstance(value, str) else value


def _trimmed_or_none(value: str | None) -> str | None:
    return str.strip(value) or None if isinstance(value, str) else value


def _trimmed_each(values: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    # What is neither list nor tuple is left as it is, for the validation to refuse.
    # Of too many, one more than there may be is enough for it.
    return tuple(map(_trimmed, values[: MAX_TAGS + 1])) if isinstance(values, list | tuple) else values


def _show_origin(url: str) -> str:
    return repr(f"{origin(url)}/..." if not is_magnet(url) else "magnet:...")


@frozen(kw_only=True)
class AddOptions:
    """How a torrent is to be added: what the pipeline tells a client besides the torrent.

    Attributes:
        category: The client's category or label; created there if it is unknown.
        tags: The client's tags.
        save_path: The folder as the client sees it, or None for the client's own choice.
        paused: True adds it without starting it, False starts it, and None leaves that to the
            client's own settings.
    """

    category: str | None = None
    tags: tuple[str, ...] = ()
    save_path: str | None = None
    paused: bool | None = None


@frozen(kw_only=True)
class DownloadRequest:
    """One audiobook that somebody wants.

    Text is trimmed; a blank optional text counts as absent. No text holds control characters or line breaks.

    Args:
        title: 1 to 500 characters.
        author: 1 to 200 characters.
        torrent_url: Where the ``.torrent`` is: ``http`` or ``https``, up to 8,192 characters, or a
            magnet link, up to 65,536. It may hold a passkey, so the repr shows its host alone.
        series: The name of the series, without a number; up to 200 characters.
        category: See `AddOptions`, as for the fields below; up to 200 characters.
        tags: A list or tuple of up to 100 texts of up to 200 characters, without commas.
        save_path: A folder as the torrent client sees it; up to 4096 characters.
        paused: True, False, or None for what the client's own settings say.

    Raises:
        InvalidRequestError: Something of this does not hold; the message names every problem.
    """

    title: str = field(converter=_trimmed)
    author: str = field(converter=_trimmed)
    torrent_url: str = field(converter=_trimmed, repr=_show_origin)
    series: str | None = field(default=None, converter=_trimmed_or_none)
    category: str | None = field(default=None, converter=_trimmed_or_none)
    tags: tuple[str, ...] = field(default=(), converter=_trimmed_each)
    save_path: str | None = field(default=None, converter=_trimmed_or_none)
    paused: bool | None = None

    def __attrs_post_init__(self) -> None:
        _require_none(_problems(self))

    @property
    def options(self) -> AddOptions:
        """The part of the request that the torrent client is told."""
        return AddOptions(category=self.category, tags=self.tags, save_path=self.save_path, paused=self.paused)


_OPTIONAL_TEXTS: Final = {
    "series": MAX_SERIES_LENGTH,
    "category": MAX_CATEGORY_LENGTH,
    "save_path": MAX_SAVE_PATH_LENGTH,
}
_TEXTS: Final = {"title": MAX_TITLE_LENGTH, "author": MAX_AUTHOR_LENGTH, **_OPTIONAL_TEXTS}
_FIELDS: Final = fields(DownloadRequest)

# They move the cursor of a terminal, end a line, or end a header.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# JSON can smuggle in half a surrogate pair, which no file and no database takes.
_NO_TEXT: Final = re.compile(r"[\x00\ud800-\udfff]")


def restore_request(values: Mapping[str, Any]) -> DownloadRequest:
    """Make a request of what an earlier version has stored, with the bounds that it had then.

    A record must stay readable, although texts could be longer and hold control characters once.

    Args:
        values: The fields; what is left out has its default.

    Raises:
        InvalidRequestError: No version would have taken them: they are damaged.
    """
    request = DownloadRequest.__new__(DownloadRequest)
    for attribute in _FIELDS:
        value = values.get(attribute.name, None if attribute.default is NOTHING else attribute.default)
        # As attrs itself fills what is frozen; `__init__` would validate with the bounds of today.
        object.__setattr__(request, attribute.name, tuple(value) if isinstance(value, list) else value)
    _require_none(_problems(request, stored=True))
    return request


def _require_none(problems: Iterable[str]) -> None:
    found = dict.fromkeys(problems)  # of a hundred bad tags, one sentence is enough
    if found:
        raise InvalidRequestError("; ".join(found))


def _problems(request: DownloadRequest, *, stored: bool = False) -> Iterator[str]:
    check = _text_problems if stored else _line_problems
    yield from check("title", request.title, None if stored else MAX_TITLE_LENGTH, required=True)
    yield from check("author", request.author, None if stored else MAX_AUTHOR_LENGTH, required=True)
    yield from _url_problems(request.torrent_url)
    for name, maximum in _OPTIONAL_TEXTS.items():
        yield from check(name, getattr(request, name), None if stored else maximum)
    if not isinstance(request.tags, tuple):
        yield "tags must be a list of texts"
    elif len(request.tags) > MAX_TAGS and not stored:
        yield f"tags are more than {MAX_TAGS}"
    else:
        for tag in request.tags:
            yield from check("each of the tags", tag, None if stored else MAX_TAG_LENGTH, required=True)
        if any(isinstance(tag, str) and "," in tag for tag in request.tags):
            yield "a tag cannot hold a comma"
    if not isinstance(request.paused, bool | None):
        yield "paused must be true or false"


def _text_problems(name: str, value: object, maximum: int | None = None, *, required: bool = False) -> Iterator[str]:
    if value is None or (isinstance(value, str) and not value):
        if required:
            yield f"{name} is required"
    elif not isinstance(value, str):  # and not compared with anything: a value of a data frame may refuse that
        yield f"{name} must be text"
    elif maximum is not None and len(value) > maximum:
        yield f"{name} is longer than {maximum} characters"
    elif _NO_TEXT.search(value):
        yield f"{name} holds characters that are no valid text"


def _line_problems(name: str, value: object, maximum: int | None, *, required: bool = False) -> Iterator[str]:
    """Check what is shown in one line."""
    found = list(_text_problems(name, value, maximum, required=required))
    yield from found
    if not found and isinstance(value, str) and _CONTROL.search(value):
        yield f"{name} holds control characters, such as a line break or a tab"


def _url_problems(url: object) -> Iterator[str]:
    longest = MAX_MAGNET_LENGTH if isinstance(url, str) and is_magnet(url) else MAX_URL_LENGTH
    found = list(_text_problems("torrent_url", url, longest, required=True))
    if found or not isinstance(url, str):
        yield from found
    elif is_magnet(url):
        try:
            parse_magnet(url)
        except NotATorrent as error:
            yield f"torrent_url is {error}"
    elif not url.lower().startswith(("http://", "https://")):
        yield "torrent_url must be an http, https or magnet URL"
    elif has_control_characters(url):
        yield "torrent_url holds characters that are not allowed in a URL"
    else:
        try:
            origin(url)
        except ValueError:
            yield "torrent_url names no host, or a port that is no number"


GivenRequest: TypeAlias = DownloadRequest | Mapping[str, object]
"""A request as a caller may give it; a mapping is read as `audiobatch.wire.load_request` does."""


def show_request(request: object) -> str:
    """Return a repr without secrets; what did not validate may hold them anywhere."""
    return repr(request) if isinstance(request, DownloadRequest) else "..."


def texts_of(request: GivenRequest) -> dict[str, str | None]:
    """Return the texts that may be shown of a request, URL and tags left out.

    What did not validate may hold anything, or be anything: of that, what is a good text by itself.
    """
    if isinstance(request, DownloadRequest):
        return {name: getattr(request, name) for name in _TEXTS}
    return {name: _text_of(request, name, maximum) for name, maximum in _TEXTS.items()}


def _text_of(request: object, name: str, maximum: int) -> str | None:
    try:
        value = request.get(name) if isinstance(request, Mapping) else None
    except Exception:  # noqa: BLE001 - it was logged when the request was read
        return None
    return value if isinstance(value, str) and not any(_line_problems(name, value, maximum)) else None


class DownloadStatus(StrEnum):
    """How far the record of a download has come."""

    RESERVED = "reserved"
    """Written down before the add; whether the client has the torrent is open."""
    QUEUED = "queued"
    """Seen in the client under its info-hash."""
    FAILED = "failed"
    """Reported as failed: the client did not take it, or it was never handed over."""


@frozen(kw_only=True)
class Download:
    """A download that is in the torrent client, and its record in the repository.

    Attributes:
        id: Identifies the record; a UUID.
        request: The request, with the folder that was made for it if it named none.
        info_hashes: Our own, taken from the torrent before it was added. Where a magnet link names only one
            of two, the other one is added as soon as it is known.
        client: `TorrentClient.name` of the client that holds it.
        status: See `DownloadStatus`.
        created_at: When the record was made, in UTC.
        torrent: What was fetched, for as long as it may have to be added again. Only
            records carry it; what a batch returns does not.
        index: The position of the request in the batch that returned this, from 0.
        already_present: The client had the torrent before this batch would have added it.
    """

    id: str
    request: DownloadRequest
    info_hashes: InfoHashes
    client: str
    status: DownloadStatus
    created_at: datetime
    torrent: Torrent | None = field(default=None, repr=False)
    index: int = 0
    already_present: bool = False

    @property
    def unsettled(self) -> bool:
        """A recovery has to look at this record: it is reserved, or queued and still holds its torrent."""
        return self.status is DownloadStatus.RESERVED or (
            self.status is DownloadStatus.QUEUED and self.torrent is not None
        )

    @property
    def info_hash(self) -> str:
        """The info-hash to show: v1 (40 hex digits) where there is one, else v2 (64)."""
        return self.info_hashes.primary


class TorrentState(StrEnum):
    """What a torrent client is doing with a torrent, in words that all clients share."""

    QUEUED = "queued"
    CHECKING = "checking"
    DOWNLOADING = "downloading"
    PAUSED = "paused"
    COMPLETE = "complete"
    ERROR = "error"


@frozen(kw_only=True)
class TorrentStatus:
    """How a torrent stands in a client at the moment of a lookup.

    Attributes:
        state: `TorrentState.COMPLETE` means that all its wanted data is on disk.
        progress: The part of the wanted data that is there, 0.0 to 1.0.
        info_hashes: Those that the client itself names for it, which may be more than it was asked for;
            None if it does not tell.
        has_metadata: False for a magnet link whose metainfo has not arrived; None if the client does not tell.
    """

    state: TorrentState
    progress: float
    info_hashes: InfoHashes | None = None
    has_metadata: bool | None = None
