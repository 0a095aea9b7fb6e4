"""Say what an answer means: the torrent in it, or the error."""

from __future__ import annotations

import re
from typing import Final

from audiobatch._magnet import MAX_MAGNET_LENGTH
from audiobatch._urls import is_magnet
from audiobatch.errors import FetchDenied, FetchError, FetchUnavailable, NotATorrent, RateLimited, TorrentNotFound
from audiobatch.fetchers._contents import describe, text_of
from audiobatch.fetchers._retrieval import Answer
from audiobatch.fetchers._wait import RATE_LIMIT_PAUSE, retry_after
from audiobatch.metainfo import Torrent, parse_magnet, parse_torrent

_LONG_PAUSE: Final = 10.0  # seconds; with a longer one the server is not in trouble, but wants to be left alone
_UNKNOWN_CODING: Final = re.compile(r"\b(br|zstd|compress|x-compress|lzma|xz|bzip2)\b", re.IGNORECASE)


def error_of(answer: Answer) -> FetchError | None:
    """Return the error that the status stands for, or None for a success."""
    source, pause = answer.source, retry_after(answer)
    match answer.status:
        case 401 | 403:
            return FetchDenied(f"{source} refuses the download ({answer.status}): is the login missing or expired?")
        case 404 | 410:
            return TorrentNotFound(f"{source} has no such torrent ({answer.status})")
        case 429:
            wait = RATE_LIMIT_PAUSE if pause is None else pause
            return RateLimited(f"{source} asks to slow down (429)", retry_after=wait)
        case status if status == 408 or status >= 500:
            return unavailable(f"{source} has trouble just now ({status})", pause)
        case status if not 200 <= status < 300:
            return FetchDenied(f"{source} refuses the download ({status})")
    return None


def unavailable(message: str, pause: float | None) -> RateLimited | FetchUnavailable:
    """Return the error for a server that has trouble, or that asks to be left alone for long."""
    if pause is not None and pause > _LONG_PAUSE:
        return RateLimited(f"{message}, and asks to be left alone for a while", retry_after=pause)
    return FetchUnavailable(message, retry_after=pause)


def torrent_in(answer: Answer) -> Torrent:
    """Return the torrent that the body of a success is.

    Raises:
        NotATorrent: It is something else; what, it says if that can be told.
    """
    if len(answer.body) <= MAX_MAGNET_LENGTH and is_magnet(text := text_of(answer.body).strip()):
        return parse_magnet(text)
    try:
        return parse_torrent(answer.body)
    except NotATorrent as error:
        what = _packing_of(answer) or describe(answer.body) or error
        raise NotATorrent(f"what {answer.source} sent is {what}") from None


def _packing_of(answer: Answer) -> str | None:
    """Say in which way a body is packed that was taken as it is, because that way is not known here."""
    found = _UNKNOWN_CODING.search(answer.headers.get("content-encoding", ""))
    return f"compressed with {found[1].lower()}, which was not asked for" if found else None
