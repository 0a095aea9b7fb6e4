"""The decisions about what is true, over every combination of what can be known."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from audiobatch import Download, DownloadRequest, DownloadStatus, FailureCode
from audiobatch._settle import closed, is_unclear, verdict, was_done
from audiobatch.errors import (
    AudiobatchError,
    ClientAuthError,
    ClientError,
    NotAdded,
    NotAttempted,
    TorrentRejected,
    Unconfirmed,
    Unsupported,
    error_for,
)
from support.fakes import torrent

ANSWERS: Final = st.none() | st.sampled_from(FailureCode).map(lambda code: error_for(code, "said so"))
"""None and every error of ours, transient or not, of the client or of anything else."""
SEEN: Final = st.sampled_from([True, False, None])
RECORDS: Final = st.builds(
    Download,
    id=st.uuids().map(str),
    request=st.just(DownloadRequest(title="A", author="B", torrent_url="http://tracker.test/one")),
    info_hashes=st.just(torrent("one").info_hashes),
    client=st.just("fake"),
    status=st.sampled_from(DownloadStatus),
    created_at=st.just(datetime(2026, 1, 1, tzinfo=UTC)),
    torrent=st.none() | st.just(torrent("one")),
)
VERDICTS: Final = st.builds(lambda answer, seen: verdict(answer, seen=seen), ANSWERS, SEEN) | st.just(
    NotAttempted("the batch ended")
)
"""Everything that can end an item which was written down."""


@given(ANSWERS, SEEN)
def test_what_was_seen_is_a_success_and_nothing_else_is(answer: AudiobatchError | None, seen: bool | None) -> None:  # noqa: FBT001
    """The lookup alone makes a success, whatever the client has answered."""
    assert (verdict(answer, seen=seen) is None) == (seen is True)


@given(ANSWERS, SEEN)
def test_what_may_be_there_is_unconfirmed(answer: AudiobatchError | None, seen: bool | None) -> None:  # noqa: FBT001
    """Any other failure takes an answer that excludes it, and a plain refusal takes a lookup too."""
    error = verdict(answer, seen=seen)
    excluded = isinstance(answer, Unsupported | ClientAuthError) or (
        isinstance(answer, TorrentRejected) and seen is False
    )

    if error is not None:
        assert isinstance(error, Unconfirmed) != excluded
        assert error is answer or not excluded
        assert error.transient or excluded


@given(ANSWERS, SEEN)
def test_a_verdict_is_an_error_of_the_client(answer: AudiobatchError | None, seen: bool | None) -> None:  # noqa: FBT001
    """Whatever is raised by an add, the report speaks of the client, and tells what was heard."""
    error = verdict(answer, seen=seen)

    assert error is None or isinstance(error, ClientError)
    assert error is None or answer is None or str(answer) in str(error)


@given(ANSWERS)
def test_an_answer_is_an_acceptance_a_refusal_or_unclear(answer: AudiobatchError | None) -> None:
    """One of three: and what is unclear, or accepted, may have been done."""
    refused = isinstance(answer, TorrentRejected | NotAdded | Unsupported | ClientAuthError)

    assert (answer is None) + refused + is_unclear(answer) == 1
    assert was_done(answer) or refused
    assert not is_unclear(answer) or was_done(answer)


@given(ANSWERS)
def test_what_was_not_done_needs_no_lookup(answer: AudiobatchError | None) -> None:
    """Only where nothing was done the verdict is the same with and without a lookup that shows absence."""
    known, unknown = verdict(answer, seen=False), verdict(answer, seen=None)

    assert was_done(answer) or known is unknown is answer
    assert not was_done(answer) or isinstance(unknown, Unconfirmed)


@given(RECORDS, VERDICTS)
def test_closing_changes_status_and_torrent_alone(record: Download, error: AudiobatchError | None) -> None:
    """What identifies a record stays, and no torrent comes from nowhere."""
    after = closed(record, error)

    assert evolve(after, status=record.status, torrent=record.torrent) == record
    assert after.torrent in (record.torrent, None)


@given(RECORDS)
def test_a_success_is_queued_and_drops_its_torrent_at_the_second_look(record: Download) -> None:
    """Only what was queued before is known to have outlived its add; to look a third time changes nothing."""
    after = closed(record, None)

    assert after.status is DownloadStatus.QUEUED
    assert after.torrent == (None if record.status is DownloadStatus.QUEUED else record.torrent)
    settled = closed(after, None)
    assert settled.torrent is None
    assert closed(settled, None) == settled


@given(RECORDS, VERDICTS)
def test_only_a_success_is_recorded_as_queued(record: Download, error: AudiobatchError | None) -> None:
    """No failure makes a record say that the client has it."""
    after = closed(record, error)

    assert after.status is not DownloadStatus.QUEUED or error is None or after == record


@given(RECORDS, ANSWERS, st.sampled_from([False, None]))
def test_an_unconfirmed_record_is_left_to_recovery(
    record: Download,
    answer: AudiobatchError | None,
    seen: bool | None,  # noqa: FBT001
) -> None:
    """It stays as it was reserved, with its torrent."""
    error = verdict(answer, seen=seen)

    assert not isinstance(error, Unconfirmed) or closed(record, error) == record


@given(RECORDS, st.sampled_from([TorrentRejected("no"), Unsupported("no")]))
def test_a_refused_record_holds_no_torrent(record: Download, error: ClientError) -> None:
    """Trying it again is up to whoever asks for it again."""
    after = closed(record, error)

    assert (after.status, after.torrent) == (DownloadStatus.FAILED, None)


@given(RECORDS, st.sampled_from([NotAttempted("ended"), ClientAuthError("no")]), st.none() | RECORDS)
def test_what_was_never_done_leaves_things_as_they_were(
    record: Download, error: AudiobatchError, before: Download | None
) -> None:
    """A later try asks no tracker; and what an earlier batch has left to recovery, stays so."""
    after = closed(record, error, before=before)

    if before is not None and before.unsettled:
        assert after == before
    else:
        assert (after.status, after.torrent) == (DownloadStatus.FAILED, record.torrent)
