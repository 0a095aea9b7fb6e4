"""From what the add said and what the lookup said to what is true: pure decisions.

The answer to an add is a hint. What counts is whether the client shows our info-hash
afterwards; only where that is not known, or the torrent is not there, does the hint speak.
"""

from __future__ import annotations

from attrs import evolve

from audiobatch.errors import (
    AudiobatchError,
    ClientAuthError,
    TorrentRejected,
    Unconfirmed,
    Unsupported,
)
from audiobatch.models import Download, DownloadStatus

_NOT_DONE = (Unsupported, ClientAuthError)


def verdict(answer: AudiobatchError | None, *, seen: bool | None) -> AudiobatchError | None:
    """Say why an item that was submitted failed, or None if it succeeded.

    Args:
        answer: What the add raised; None if the client accepted it.
        seen: Whether a lookup after the add showed the torrent; None if none could tell.
    """
    if seen:
        return None
    if isinstance(answer, _NOT_DONE) or (isinstance(answer, TorrentRejected) and seen is False):
        return answer
    said = "the torrent client accepted it" if answer is None else f"the add was not confirmed ({answer})"
    shown = "does not show it" if seen is False else "cannot be asked whether it is there"
    return Unconfirmed(f"{said}, but the client {shown}; recover() settles it later")


def was_done(answer: AudiobatchError | None) -> bool:
    """Tell whether the client may have done anything, so that a lookup is worth its while."""
    return not isinstance(answer, _NOT_DONE)


def is_unclear(answer: AudiobatchError | None) -> bool:
    """Tell whether an answer to an add leaves open if anything was done."""
    return answer is not None and not isinstance(answer, (*_NOT_DONE, TorrentRejected))


def closed(record: Download, error: AudiobatchError | None, *, made_here: bool) -> Download:
    """Return the record as it is to be kept, once it is known what became of its item.

    A confirmed one keeps its torrent until a later look has seen it again, for a daemon
    that is killed right after its answer forgets what it has just been given.

    Args:
        record: As it was reserved.
        error: The verdict; `NotAttempted` where it was not submitted at all.
        made_here: Nobody else relies on the record: this batch made it, or took it up again.
    """
    if error is None:
        seen_before = record.status is DownloadStatus.QUEUED
        return evolve(record, status=DownloadStatus.QUEUED, torrent=None if seen_before else record.torrent)
    if isinstance(error, TorrentRejected | Unsupported):
        return evolve(record, status=DownloadStatus.FAILED, torrent=None)
    if isinstance(error, Unconfirmed) or not made_here:
        return record
    # It was never tried. With the torrent kept, trying it later costs the tracker nothing.
    return evolve(record, status=DownloadStatus.FAILED)
