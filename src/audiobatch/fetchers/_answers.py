"""Say what an answer means: the torrent in it, or the error."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from audiobatch._magnet import MAX_MAGNET_LENGTH
from audiobatch.errors import FetchDenied, FetchError, FetchUnavailable, NotATorrent, RateLimited, TorrentNotFound
from audiobatch.fetchers._retrieval import Answer
from audiobatch.metainfo import Torrent, parse_magnet, parse_torrent

_RATE_LIMIT_PAUSE: Final = 60.0  # seconds, where a tracker asks to slow down but not for how long
MAX_PAUSE: Final = 7 * 86_400.0  # seconds; what asks for more is not to be believed


def error_of(answer: Answer) -> FetchError | None:
    """Return the error that the status stands for, or None for a success."""
    source, pause = answer.source, retry_after(answer)
    match answer.status:
        case 401 | 403:
            return FetchDenied(f"{source} refuses the download ({answer.status}): is the login missing or expired?")
        case 404 | 410:
            return TorrentNotFound(f"{source} has no such torrent ({answer.status})")
        case 429:
            wait = _RATE_LIMIT_PAUSE if pause is None else pause
            return RateLimited(f"{source} asks to slow down (429)", retry_after=wait)
        case status if status == 408 or status >= 500:
            return FetchUnavailable(f"{source} has trouble just now ({status})", retry_after=pause)
        case status if not 200 <= status < 300:
            return FetchDenied(f"{source} refuses the download ({status})")
    return None


def torrent_in(answer: Answer) -> Torrent:
    """Return the torrent that the body of a success is.

    Raises:
        NotATorrent: It is something else; what, it says if that can be told.
    """
    start = answer.body.lstrip()[:200].lower()
    if start.startswith(b"magnet:") and len(answer.body) <= MAX_MAGNET_LENGTH:
        return parse_magnet(answer.body.decode(errors="replace").strip())
    try:
        return parse_torrent(answer.body)
    except NotATorrent as error:
        raise NotATorrent(f"what {answer.source} sent is {_describe(start) or error}") from None


def retry_after(answer: Answer) -> float | None:
    """Read the header's seconds, or its date (RFC 9110, 10.2.3), as seconds from now, a week at most."""
    value = answer.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        return min(float(value), MAX_PAUSE)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    left = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime.now(UTC)
    return min(max(left.total_seconds(), 0.0), MAX_PAUSE)


def _describe(start: bytes) -> str | None:
    """Say what it is that came instead of a torrent, if that can be told from its start."""
    if not start:
        return "empty"
    if start.startswith((b"<?xml", b"<rss", b"<feed", b"<error")):
        return "an XML document, not a torrent"
    if start.startswith(b"<"):
        return "an HTML page, not a torrent: is the login missing or expired?"
    if start.startswith((b"{", b"[")):
        return "a JSON document, not a torrent"
    return None
