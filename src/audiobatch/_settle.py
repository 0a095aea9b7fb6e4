"""From what the add said and what the lookup said to what is true: pure decisions.

The answer to an add is a hint. What counts is whether the client shows our info-hash
afterwards; only where that is not known, or the torrent is not there, does the hint speak.
"""

from __future__ import annotations

from attrs import evolve

from audiobatch._urls import is_magnet
from audiobatch.errors import (
    AudiobatchError,
    ClientAuthError,
    NotAdded,
    TorrentRejected,
    Unconfirmed,
    Unsupported,
)
from audiobatch.metainfo import InfoHashes, MagnetLink, Torrent
from audiobatch.models import Download, DownloadRequest, DownloadStatus

_NOT_DONE = (Unsupported, ClientAuthError)


def verdict(
    answer: AudiobatchError | None, *, seen: bool | None, unclear: bool = False, sent_before: bool = False
) -> AudiobatchError | None:
    """Say why an item that was submitted failed, or None if it succeeded.

    Args:
        answer: What the last add raised; None if the client accepted it.
        seen: Whether a lookup after the add showed the torrent; None if none could tell.
        unclear: This batch has sent it before, and nothing clear was heard of that.
        sent_before: This was not the first time: this batch has sent it together with others, or an
            earlier one has left its record open.
    """
    if seen:
        return None
    if isinstance(answer, TorrentRejected) and seen is False and not unclear:
        return answer
    if isinstance(answer, _NOT_DONE) and not unclear and not sent_before:
        return answer
    said = "the torrent client accepted it" if answer is None else f"the add was not confirmed ({answer})"
    shown = "does not show it" if seen is False else "cannot be asked whether it is there"
    return Unconfirmed(f"{said}, but the client {shown}; recover() settles it later")


def was_done(answer: AudiobatchError | None) -> bool:
    """Tell whether the client may have done anything, so that a lookup is worth its while."""
    return not isinstance(answer, _NOT_DONE)


def is_unclear(answer: AudiobatchError | None) -> bool:
    """Tell whether an answer to an add leaves open if the client has received it."""
    return answer is not None and not isinstance(answer, (*_NOT_DONE, TorrentRejected, NotAdded))


def learned(record: Download, info_hashes: InfoHashes | None) -> Download:
    """Return the record with an info-hash that was not known when it was made."""
    return evolve(record, info_hashes=record.info_hashes.joined(info_hashes))


def led_to_link(request: DownloadRequest, torrent: Torrent | None) -> bool:
    """Tell whether the URL of a request has led to a magnet link.

    While the client has no metadata for it, the record keeps the link: it says that another fetch brings no file.
    """
    return isinstance(torrent, MagnetLink) and not is_magnet(request.torrent_url)


def closed(record: Download, error: AudiobatchError | None, *, before: Download | None = None) -> Download:
    """Return the record as it is to be kept, once it is known what became of its item.

    A confirmed one keeps its torrent until a later look has seen it again, for a daemon
    that is killed right after its answer forgets what it has just been given.

    Args:
        record: As it was reserved.
        error: The verdict; `NotAttempted` where it was not submitted at all.
        before: The record as an earlier batch has left it, if there was one.
    """
    if error is None:
        seen_before = record.status is DownloadStatus.QUEUED
        return evolve(record, status=DownloadStatus.QUEUED, torrent=None if seen_before else record.torrent)
    if isinstance(error, Unconfirmed):
        return record
    if isinstance(error, TorrentRejected | Unsupported):
        return evolve(record, status=DownloadStatus.FAILED, torrent=None)
    if before is not None and before.unsettled:
        # Nothing was done: a recovery still has to see to what the earlier batch has left.
        return before
    # It was never tried. With the torrent kept, trying it later costs the tracker nothing.
    return evolve(record, status=DownloadStatus.FAILED)
