"""Write events to the log, with their fields as ``extra``, for whoever collects logs as data.

What is in the result anyway is no warning: a program that sets up no logging shows none of it.
"""

from __future__ import annotations

import logging

from audiobatch.events import BatchEvent, BatchFinished, BatchStarted, Fetched, Settled, Submitted, Waiting
from audiobatch.models import Download

_log = logging.getLogger("audiobatch")


def log_event(event: BatchEvent) -> None:
    """Log an event; no field of it is a URL, nor anything else that could hold a secret."""
    match event:
        case BatchStarted(batch=batch, size=size):
            _log.info("batch of %d started", size, extra={"event": "batch_started", "batch": batch, "size": size})
        case BatchFinished(batch=batch, successful=successful, failed=failed, seconds=seconds):
            counts = {"successful": successful, "failed": failed, "seconds": seconds}
            extra = {"event": "batch_finished", "batch": batch, **counts}
            _log.info("batch finished: %d successful, %d failed", successful, failed, extra=extra)
        case Waiting(batch=batch, index=index, seconds=seconds, code=code):
            extra = {"event": "waiting", "batch": batch, "index": index, "seconds": seconds, "code": code.value}
            _log.info("item %d waits %.1f s before it is fetched: %s", index, seconds, code.value, extra=extra)
        case Fetched(batch=batch, index=index, seconds=seconds, size=size):
            extra = {"event": "fetched", "batch": batch, "index": index, "seconds": seconds, "size": size}
            _log.debug("item %d was fetched in %.1f s", index, seconds, extra=extra)
        case Submitted(batch=batch, indices=indices):
            _log.debug(
                "%d torrents were handed to the client",
                len(indices),
                extra={"event": "submitted", "batch": batch, "indices": indices},
            )
        case Settled():
            _log_outcome(event)


def _log_outcome(event: Settled) -> None:
    outcome = event.outcome
    extra = {"event": "settled", "batch": event.batch, "index": outcome.index}
    if isinstance(outcome, Download):
        extra |= {"info_hash": outcome.info_hash, "already_present": outcome.already_present}
        _log.debug("item %d is in the client as %s", outcome.index, outcome.info_hash, extra=extra)
    else:
        extra |= {"code": outcome.code.value, "stage": outcome.stage.value, "retryable": outcome.retryable}
        _log.info("item %d failed: %s", outcome.index, outcome.error, extra=extra)
