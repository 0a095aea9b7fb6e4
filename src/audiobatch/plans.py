"""What would become of a batch: the answer of `BatchDownloader.plan`."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from attrs import field, frozen

from audiobatch._tables import Line, Row, Tabular, Tone, line
from audiobatch.models import GivenRequest, show_request, texts_of


class PlannedAction(StrEnum):
    """What a run would do for a request."""

    FETCH = "fetch"
    """Fetch its torrent, and hand that to the torrent client."""
    ADD = "add"
    """Hand it over without a fetch: it is a magnet link, or its torrent is on record."""
    PRESENT = "present"
    """Nothing: the torrent client has it."""
    DUPLICATE = "duplicate"
    """Nothing of its own: another item of the batch asks for the same."""
    INVALID = "invalid"
    """Nothing: the request does not validate."""


@frozen(kw_only=True)
class PlannedDownload:
    """What would become of one request.

    Attributes:
        index: The position of the request in the batch, from 0.
        request: The request as it would be run; what did not validate stands here as it came.
        action: What a run would do.
        info_hash: As `Download.info_hash`, where it is known before a fetch.
        same_as: The index of the item that asks for the same, for `PlannedAction.DUPLICATE`.
        error: Why it would fail, for `PlannedAction.INVALID`: one sentence, free of secrets.
    """

    index: int
    request: GivenRequest = field(repr=show_request)
    action: PlannedAction
    info_hash: str | None = None
    same_as: int | None = None
    error: str | None = None


_ACTIONS: Final = {
    PlannedAction.FETCH: (Tone.GOOD, "would be fetched and added"),
    PlannedAction.ADD: (Tone.GOOD, "would be added without a fetch"),
    PlannedAction.PRESENT: (Tone.GOOD, "is there already"),
    PlannedAction.DUPLICATE: (Tone.OPEN, "is in the batch twice"),
    PlannedAction.INVALID: (Tone.BAD, "would fail"),
}


@frozen
class BatchPlan(Tabular):
    """What would become of a batch, as far as it is known before anything is fetched.

    ``str()`` makes a readable table of it, and so do IPython and a notebook.

    Args:
        items: One for each request, in request order.
    """

    items: tuple[PlannedDownload, ...] = field(converter=tuple[PlannedDownload, ...])

    def rows(self) -> list[Row]:
        """Return a row for each request, for a data frame.

        Such as ``pandas.DataFrame(rows)``, or ``polars.DataFrame(rows, infer_schema_length=None)``.

        URLs are left out, for they can hold passkeys.
        """
        return [
            {
                "index": item.index,
                "action": item.action.value,
                **texts_of(item.request),
                "info_hash": item.info_hash,
                "same_as": item.same_as,
                "error": item.error,
            }
            for item in self.items
        ]

    @property
    def _caption(self) -> str:
        fetches = sum(item.action is PlannedAction.FETCH for item in self.items)
        return f"A plan for {len(self.items)} downloads, with {fetches} to be fetched"

    @property
    def _lines(self) -> list[Line]:
        return [line(item.index, item.request, *_ACTIONS[item.action], _details(item)) for item in self.items]


def _details(item: PlannedDownload) -> str:
    if item.same_as is not None:
        return f"asks for the same as item {item.same_as}"
    return item.error or item.info_hash or ""
