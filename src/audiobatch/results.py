"""What a batch comes to: a `Download` or a `DownloadFailure` for each request.

A `BatchResult` shows itself as a table, in a terminal and in a notebook, and gives its
`BatchResult.rows` to pandas or polars.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final, TypeAlias

from attrs import field, frozen

from audiobatch._tables import Line, Row, Tabular, Tone, line
from audiobatch.errors import AudiobatchError, BatchFailed, FailureCode, error_for
from audiobatch.models import Download, DownloadRequest, GivenRequest, show_request, texts_of


class Stage(StrEnum):
    """Where in the pipeline an item failed."""

    VALIDATE = "validate"
    LOOK_UP = "look_up"
    FETCH = "fetch"
    RESERVE = "reserve"
    SUBMIT = "submit"
    CONFIRM = "confirm"
    SETTLE = "settle"


_PREFIXES: Final = {Stage.VALIDATE: "Validation failed: ", Stage.FETCH: "Failed to download torrent: "}
_PREFIX: Final = "Failed to create download: "


@frozen(kw_only=True)
class DownloadFailure:
    """A request that is not in the torrent client, or (`FailureCode.UNCONFIRMED`) may not be.

    Attributes:
        index: The position of the request in the batch, from 0.
        request: The request, with the folder that was made for it; what did not validate stands here as it came.
        error: One friendly sentence, free of secrets.
        code: The reason, for programs.
        stage: Where in the pipeline it failed.
        retryable: The request is worth running again, unchanged: later, or, where its batch ended early, as
            soon as the cause is mended.
        retry_after: Seconds to wait before that, if the other side said so.
        cause: Set on what carries why its batch ended early: the code of that, such as
            `FailureCode.CLIENT_AUTH`; `FailureCode.NOT_ATTEMPTED` where the batch was stopped.
    """

    index: int
    request: GivenRequest = field(repr=show_request)
    error: str
    code: FailureCode
    stage: Stage
    retryable: bool
    retry_after: float | None = None
    cause: FailureCode | None = None

    @classmethod
    def from_error(cls, error: AudiobatchError, *, index: int, request: GivenRequest, stage: Stage) -> DownloadFailure:
        """Describe an error that ended one item.

        Args:
            error: Why it failed.
            index: The position of the request in the batch, from 0.
            request: The request as it was given.
            stage: Where in the pipeline that was.
        """
        return cls(
            index=index,
            request=request,
            error=f"{_PREFIXES.get(stage, _PREFIX)}{error}",
            code=error.code,
            stage=stage,
            retryable=error.transient,
            retry_after=error.retry_after,
        )

    def as_error(self) -> AudiobatchError:
        """Return an error of the class that belongs to the code, with a note of the index."""
        error = error_for(self.code, self.error, retry_after=self.retry_after)
        error.add_note(f"item {self.index} of the batch")
        return error


Outcome: TypeAlias = Download | DownloadFailure
"""What becomes of a request."""


def _in_request_order(outcomes: Iterable[Outcome]) -> tuple[Outcome, ...]:
    return tuple(sorted(outcomes, key=lambda outcome: outcome.index))


@frozen
class BatchResult(Tabular):
    """What became of a batch: one outcome for each request, in request order.

    ``str()`` makes a readable table of it, and so do IPython and a notebook.

    Args:
        outcomes: All outcomes, each with its ``index``.
    """

    outcomes: tuple[Outcome, ...] = field(converter=_in_request_order)

    @property
    def successful(self) -> tuple[Download, ...]:
        """Everything that is in the torrent client, under the info-hash it is reported with."""
        return tuple(outcome for outcome in self.outcomes if isinstance(outcome, Download))

    @property
    def failed(self) -> tuple[DownloadFailure, ...]:
        """Everything that is not there, or of which that is not certain (``unconfirmed``)."""
        return tuple(outcome for outcome in self.outcomes if isinstance(outcome, DownloadFailure))

    @property
    def retryable(self) -> tuple[DownloadRequest, ...]:
        """Every request that is worth running again as it is, also of a batch that ended early.

        If `ended_by` is set, mend that first: a torrent client that refuses the login bans who goes on asking.
        """
        return tuple(
            failure.request
            for failure in self.failed
            if failure.retryable and isinstance(failure.request, DownloadRequest)
        )

    @property
    def ended_by(self) -> DownloadFailure | None:
        """The failure that carries why the batch ended early; None if it came to its end.

        Its ``cause`` is the code for programs, and its ``error`` the sentence for people.
        """
        carriers = [failure for failure in self.failed if failure.cause is not None]
        told = (failure for failure in carriers if failure.code is failure.cause)
        return next(told, carriers[0] if carriers else None)

    def raise_for_failures(self) -> None:
        """Do nothing if everything succeeded.

        Raises:
            BatchFailed: Something failed: an `ExceptionGroup` with one error for each item.
        """
        if self.failed:
            raise BatchFailed(
                f"{len(self.failed)} of {len(self.outcomes)} downloads failed",
                [failure.as_error() for failure in self.failed],
            )

    def rows(self) -> list[Row]:
        """Return a row for each outcome, for a data frame.

        Such as ``pandas.DataFrame(rows)``, or ``polars.DataFrame(rows, infer_schema_length=None)``.

        ``outcome`` is ``queued``, ``already_present``, ``failed`` or ``unconfirmed``; ``retry_after`` is in
        seconds. What does not apply is None. URLs are left out, for they can hold passkeys.
        """
        return [_row(outcome) for outcome in self.outcomes]

    @property
    def _caption(self) -> str:
        there = f"{len(self.successful)} of {len(self.outcomes)} downloads are in the torrent client"
        end = self.ended_by
        if end is None:
            return there
        stopped = end.cause is FailureCode.NOT_ATTEMPTED
        return f"{there}; the batch {'was stopped' if stopped else f'ended early ({end.cause})'}"

    @property
    def _lines(self) -> list[Line]:
        return [_line(outcome) for outcome in self.outcomes]


def _verdict(outcome: Outcome) -> str:
    if isinstance(outcome, Download):
        return "already_present" if outcome.already_present else "queued"
    return "unconfirmed" if outcome.code is FailureCode.UNCONFIRMED else "failed"


_TONES: Final = {"queued": Tone.GOOD, "already_present": Tone.GOOD, "failed": Tone.BAD, "unconfirmed": Tone.OPEN}
_NO_FAILURE: Final[Row] = dict.fromkeys(("code", "stage", "error", "retryable", "retry_after"))


def _row(outcome: Outcome) -> Row:
    row: Row = {"index": outcome.index, "outcome": _verdict(outcome), **texts_of(outcome.request)}
    if isinstance(outcome, Download):
        return {**row, "info_hash": outcome.info_hash, **_NO_FAILURE}
    return {
        **row,
        "info_hash": None,
        "code": outcome.code.value,
        "stage": outcome.stage.value,
        "error": outcome.error,
        "retryable": outcome.retryable,
        "retry_after": outcome.retry_after,
    }


def _line(outcome: Outcome) -> Line:
    verdict = _verdict(outcome)
    details = outcome.info_hash if isinstance(outcome, Download) else _describe(outcome)
    return line(outcome.index, outcome.request, _TONES[verdict], verdict.replace("_", " "), details)


def _describe(failure: DownloadFailure) -> str:
    if not failure.retryable:
        return failure.error
    mended = failure.cause not in (None, FailureCode.NOT_ATTEMPTED)
    when = "" if failure.retry_after is None else f" in {failure.retry_after:.0f} s"
    when += " once that is mended" if mended else ""
    return f"{failure.error} (worth another try{when})"
