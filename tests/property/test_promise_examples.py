"""What the machine has found, each in the few steps that it takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from audiobatch import DownloadStatus
from audiobatch.errors import ClientError, ClientUnavailable
from property.promise_world import Plan
from property.test_promise import MemoryPromise

GONE: Final[list[type[ClientError]]] = [ClientUnavailable] * 9


@pytest.fixture
def machine() -> Iterator[MemoryPromise]:
    """Give a machine, that checks each step, and at the end recovers and checks that too."""
    machine = MemoryPromise()
    yield machine
    machine.records_are_sound()
    machine.teardown()


@pytest.mark.parametrize("second", ["auth", "refuse", "unsupported"])
def test_a_refusal_of_the_second_try_says_nothing_of_the_first(machine: MemoryPromise, second: str) -> None:
    """The first try had arrived, and shows later: the report must not say that it is not there."""
    machine.run_a_batch(["tracker 0"], Plan(adds=["unclear-applied", second], hide=9))


def test_a_recovery_that_is_stopped_is_made_again(machine: MemoryPromise) -> None:
    """What the client has lost is put back by the second recovery, if the first one did not come to it."""
    machine.run_a_batch_in_peace(["tracker 0", "tracker 1"])
    machine.the_client_is_killed()
    machine.recover_in_trouble(Plan(stop_at=6))


@pytest.mark.parametrize("adds", [["auth"], ["unclear"]])
def test_a_recovery_in_which_the_client_goes_is_made_again(machine: MemoryPromise, adds: list[str]) -> None:
    """As when it is stopped."""
    machine.run_a_batch_in_peace(["tracker 0", "tracker 1"])
    machine.the_client_is_killed()
    machine.recover_in_trouble(Plan(adds=adds, looks=[None, None, *GONE]))


def test_an_unconfirmed_one_stays_owed_when_a_later_batch_does_not_come_to_it(machine: MemoryPromise) -> None:
    """The first report has sent its reader to a recovery: that another batch was stopped does not change it."""
    machine.run_a_batch(["tracker 0"], Plan(adds=["lose"]))
    machine.run_a_batch(["again 0"], Plan(stop_at=3))


def test_a_torrent_is_kept_although_a_twin_in_the_same_batch_has_seen_it(machine: MemoryPromise) -> None:
    """A look in the same moment does not tell whether the client has it on disk."""
    machine.run_a_batch(["tracker 0", "mirror 0"], Plan(workers=1, ahead=False))


def test_two_records_of_one_book_are_both_settled(machine: MemoryPromise) -> None:
    """Two links that each name a half of a hybrid have a record each, until the file brings them together."""
    machine.run_a_batch(["magnet 2 v1", "magnet 2 v2"], Plan(adds=["lose", "lose"]))
    machine.run_a_batch(["tracker 2"], Plan(adds=["lose"]))
    machine.recover()

    assert [record.status for record in machine.records()] == [DownloadStatus.QUEUED] * 2


def test_two_links_to_one_record_are_handed_over_one_after_the_other(machine: MemoryPromise) -> None:
    """What goes to the client is on record, also where the halves of a hybrid share one."""
    machine.run_a_batch_in_peace(["magnet 6 whole"])
    machine.the_client_is_killed()
    machine.run_a_batch_in_peace(["magnet 6 v1", "magnet 6 v2"])


def test_the_reported_info_hash_is_one_that_the_client_has(machine: MemoryPromise) -> None:
    """The record names one half of a hybrid, and the client has it under the other."""
    machine.run_a_batch_in_peace(["magnet 2 v1", "magnet 2 v2"])
    machine.the_user_removes_a_torrent(0)
    machine.run_a_batch_in_peace(["magnet 2 whole"])


@pytest.mark.parametrize("first", ["accept", "refuse", "duplicate", "unclear"])
@pytest.mark.parametrize("second", ["accept", "auth", "refuse", "duplicate", "unsupported"])
def test_what_came_with_others_and_does_not_show_is_not_denied(machine: MemoryPromise, first: str, second: str) -> None:
    """Whatever the answers: the request with both had brought them in."""
    plan = Plan(together=True, all_adds=[(first, [True])], adds=[second] * 2, hide=9)
    machine.run_a_batch(["tracker 0", "tracker 1"], plan)


def test_in_a_recovery_a_login_that_is_refused_for_several_leaves_them_open(machine: MemoryPromise) -> None:
    """The earlier batch may have brought them there."""
    machine.run_a_batch(["tracker 0", "tracker 1"], Plan(adds=["lose"] * 4))
    machine.recover_in_trouble(Plan(together=True, all_adds=[("auth", [False])]))


def test_the_rest_of_several_that_were_sent_is_open_after_a_stop(machine: MemoryPromise) -> None:
    """One in two came in, and the others have not been sent alone yet."""
    names = [f"tracker {number}" for number in range(4)]
    for stop_at in range(1, 16):
        machine.run_a_batch(names, Plan(together=True, all_adds=[("refuse", [True, False])], stop_at=stop_at))
