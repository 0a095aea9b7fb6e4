"""Say what an answer of MyAnonamouse means. What is known of them is second-hand: see the guide."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from attrs import frozen

from audiobatch._urls import is_magnet
from audiobatch.errors import FetchDenied, FetchError, NotATorrent, RateLimited, TorrentNotFound
from audiobatch.fetchers._answers import error_of, torrent_in
from audiobatch.fetchers._contents import is_bencoded, text_of
from audiobatch.fetchers._retrieval import Answer
from audiobatch.fetchers._wait import MAX_PAUSE, retry_after
from audiobatch.metainfo import Torrent

_MAX_TEXT: Final = 64 * 1024  # bytes of a page that are looked at
_PAUSE: Final = 1800.0  # seconds after a 429: no Retry-After was ever seen, and half an hour is what others wait
_FREEZE: Final = timedelta(hours=26)  # what a download freeze was seen to last
_FREEZE_LEFT: Final = re.compile(r"time till download allowed:\s*(?:(\d+)\s*d[a-z]*,?\s*)?(\d+):(\d+):(\d+)")
_SESSION_SIGNS: Final = (  # in this order, for the site writes "Invalid session - IP mismatch"
    ("asn mismatch", "has locked the session to another network (ASN)"),
    ("ip mismatch", "has locked the session to another IP address"),
    ("incorrect session type", "does not let a session of this type download"),
    ("no (auth|session) cookie|not signed in|invalid session", "does not know the session (any more)"),
    ("does not match account", "has locked the session to another IP address"),
)
NEW_SESSION: Final = "make a session for this machine's address at Preferences, Security, and configure its mam_id"


@frozen
class Refusal:
    """An answer that holds no torrent.

    Attributes:
        error: The reason.
        of_session: It is the session that was refused, whatever it would ask for.
    """

    error: FetchError
    of_session: bool = False


def read(answer: Answer) -> Torrent | Refusal:
    """Return the torrent in an answer, or why there is none."""
    start = text_of(answer.body[:_MAX_TEXT])
    if answer.status == 200 and (is_bencoded(answer.body) or is_magnet(start.strip())):
        try:
            return torrent_in(answer)
        except NotATorrent as error:
            return Refusal(error)
    text = " ".join(re.sub(r"<[^<>]*>|&nbsp;", " ", start).lower().split())
    return _refusal_told(text) or _refusal_by_status(answer)


def _refusal_told(text: str) -> Refusal | None:
    """Find one of the sentences that the site is known to use; the status beside them is not always known."""
    if "past unsatisfied limit" in text or "time till download allowed" in text:
        left = _time_left(text)
        reason = "too many torrents are not seeded for long enough yet"
        frozen_for = f"MyAnonamouse has frozen downloads for another {_spoken(left)}: {reason}"
        return Refusal(RateLimited(frozen_for, retry_after=left))
    if "missing tid" in text:
        return Refusal(TorrentNotFound("MyAnonamouse says that the link lacks the torrent's id (tid)"))
    return next((_session_refused(reason) for sign, reason in _SESSION_SIGNS if re.search(sign, text)), None)


def _refusal_by_status(answer: Answer) -> Refusal:
    match answer.status:
        case 200:
            return _session_refused("sent a page instead of a torrent, as it does when a session has ended")
        case 401:
            return _session_refused("does not accept the session (401)")
        case 429:
            pause = retry_after(answer)
            asked = _PAUSE if pause is None else pause
            return Refusal(RateLimited("MyAnonamouse asks to slow down (429)", retry_after=asked))
        case _:
            return Refusal(error_of(answer) or NotATorrent("what MyAnonamouse sent is not a torrent"))


def _session_refused(reason: str) -> Refusal:
    return Refusal(FetchDenied(f"MyAnonamouse {reason}: {NEW_SESSION}"), of_session=True)


def _time_left(text: str) -> float:
    found = _FREEZE_LEFT.search(text)
    if found is None:
        return _FREEZE.total_seconds()
    days, hours, minutes, seconds = (int(part[:6]) if part else 0 for part in found.groups())
    return min(timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds(), MAX_PAUSE)


def _spoken(seconds: float) -> str:
    minutes = max(round(seconds / 60), 1)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
