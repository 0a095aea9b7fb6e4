"""The parts of the engine by themselves: verdicts, retries, and the look-ahead."""

from __future__ import annotations

import gc
import threading
import time
import uuid
import weakref
from itertools import product
from typing import Any

import pytest

from audiobatch import RetryPolicy, _lookahead
from audiobatch._ids import new_id
from audiobatch._lookahead import look_ahead
from audiobatch._settle import is_unclear, verdict, was_done
from audiobatch.errors import (
    AudiobatchError,
    ClientAuthError,
    ClientError,
    ClientUnavailable,
    ConfigurationError,
    FetchDenied,
    FetchUnavailable,
    NotAdded,
    RateLimited,
    TorrentRejected,
    Unconfirmed,
    Unsupported,
)
from support.waiting import wait_until

ANSWERS = (
    None,
    ClientError("odd"),
    ClientUnavailable("gone"),
    TorrentRejected("no"),
    NotAdded("perhaps a duplicate"),
    Unsupported("cannot"),
    ClientAuthError("who?"),
)


class TestVerdicts:
    """What is true of an item, for every answer and every lookup."""

    @pytest.mark.parametrize("answer", ANSWERS)
    def test_what_was_seen_succeeded(self, answer: AudiobatchError | None) -> None:
        """Whatever the client had answered."""
        assert verdict(answer, seen=True) is verdict(answer, seen=True, unclear=True, sent_before=True) is None

    @pytest.mark.parametrize(
        ("answer", "seen", "unclear", "sent_before"),
        list(product(ANSWERS, (False, None), (False, True), (False, True))),
    )
    def test_what_was_not_seen_failed(
        self,
        answer: AudiobatchError | None,
        seen: bool | None,  # noqa: FBT001
        unclear: bool,  # noqa: FBT001
        sent_before: bool,  # noqa: FBT001
    ) -> None:
        """With the client's own reason only where that is certain, else as unconfirmed."""
        error = verdict(answer, seen=seen, unclear=unclear, sent_before=sent_before)

        never_sent = not was_done(answer) and not unclear and not sent_before
        certain = never_sent or (isinstance(answer, TorrentRejected) and seen is False and not unclear)
        assert (error is answer) == certain
        assert certain or isinstance(error, Unconfirmed)

    def test_only_what_leaves_everything_open_is_unclear(self) -> None:
        """An acceptance and a refusal are clear, each in its way."""
        assert [is_unclear(answer) for answer in ANSWERS] == [False, True, True, False, False, False, False]


class TestRetries:
    """How often, and how long in between."""

    def test_the_waits_grow_up_to_a_limit(self) -> None:
        """Each is longer than the one before by the factor, and none longer than the limit."""
        assert _waits(RetryPolicy(attempts=5, wait=1, factor=3, max_wait=10), FetchUnavailable("x")) == [1, 3, 9, 10]

    def test_a_wait_that_was_asked_for_is_kept(self) -> None:
        """If it is longer than the back-off, and not too long to wait for."""
        policy = RetryPolicy(attempts=3, wait=1, max_wait=10)

        assert _waits(policy, RateLimited("x", retry_after=5)) == [5, 5]
        assert _waits(policy, RateLimited("x", retry_after=0)) == [1, 2]
        assert _waits(policy, RateLimited("x", retry_after=11)) == []

    @pytest.mark.parametrize("error", [FetchDenied("no"), ValueError("a bug")])
    def test_what_is_not_transient_is_not_tried_again(self, error: Exception) -> None:
        """It is raised at once."""
        assert _waits(RetryPolicy(attempts=3), error) == []

    def test_a_result_that_will_not_do_is_asked_for_again(self) -> None:
        """And returned all the same when the tries are used up."""
        results = iter(range(10))
        policy = RetryPolicy(attempts=4, wait=0)

        assert policy.call(lambda: next(results), stop=threading.Event(), unless=lambda number: number == 2) == 2
        assert policy.call(lambda: next(results), stop=threading.Event(), unless=lambda _: False) == 6

    @pytest.mark.parametrize(
        "wrong", [{"attempts": 0}, {"wait": -1}, {"factor": 0.5}, {"factor": float("nan")}, {"max_wait": -1}]
    )
    def test_numbers_out_of_range_are_refused(self, wrong: dict[str, int]) -> None:
        """When the policy is made, not when it is used."""
        with pytest.raises(ConfigurationError, match=next(iter(wrong))):
            RetryPolicy(**wrong)


def _waits(policy: RetryPolicy, error: Exception) -> list[float]:
    """Return the seconds that a policy waits when something keeps failing."""
    waits: list[float] = []

    class Clock(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            waits.append(timeout)
            return False

    def fail() -> None:
        raise error

    with pytest.raises(type(error)):
        policy.call(fail, stop=Clock())
    return waits


def test_what_was_given_to_a_retry_is_let_go_of_at_once() -> None:
    """Not when garbage is collected: it may refer to torrents."""

    class Enough:
        def __call__(self, _: object) -> bool:
            return True

    enough = Enough()
    gone = weakref.ref(enough)
    gc.disable()
    try:
        RetryPolicy(attempts=2, wait=0).call(list, stop=threading.Event(), unless=enough)
        del enough
        assert gone() is None
    finally:
        gc.enable()


class TestLookAhead:
    """Work in threads, taken in order."""

    def test_everything_comes_once_and_in_order(self) -> None:
        """Whatever the number of workers."""
        for workers in (1, 3, 50):
            groups = list(look_ahead(lambda number: number * 2, range(40), workers=workers, furthest=20))
            assert [pair for group in groups for pair in group] == [(number, number * 2) for number in range(40)]
            assert all(1 <= len(group) <= max(workers, 20) for group in groups)

    def test_nothing_to_do_is_done_at_once(self) -> None:
        """No items, no groups."""
        assert list(look_ahead(lambda _: None, [], workers=2, furthest=2)) == []

    def test_it_does_not_run_further_ahead_than_it_may(self) -> None:
        """While nobody takes results, as many are begun as there are workers; once a group was taken, a few more."""
        begun: list[int] = []
        groups = look_ahead(begun.append, range(100), workers=4, furthest=10)

        taken = 0
        for further in (4, 10, 10):
            taken += len(next(groups))
            assert len(begun) <= taken + further
        groups.close()
        assert len(begun) <= taken + 10

    def test_it_runs_further_ahead_once_the_results_are_taken(self) -> None:
        """Then a group can hold more than there are workers."""
        begun: list[int] = []
        groups = look_ahead(begun.append, range(40), workers=4, furthest=10)

        taken = 0
        for further in (4, 10):
            taken += len(next(groups))
            wait_until(lambda: len(begun) == taken + further, "all that may be begun is")  # noqa: B023

        assert len(next(groups)) > 4
        groups.close()

    def test_as_many_run_at_once_as_there_are_workers(self) -> None:
        """Four that wait for each other meet."""
        meeting = threading.Barrier(4, timeout=20)

        assert len([1 for _ in look_ahead(lambda _: meeting.wait(), range(4), workers=4, furthest=4)]) >= 1

    def test_nothing_is_begun_while_the_results_are_as_large_as_they_may_be(self) -> None:
        """As soon as they are gone, it goes on; what is under way is expected to be as large as the largest."""
        begun: list[int] = []

        def make(number: int) -> bytes:
            begun.append(number)
            return bytes(10)

        groups = look_ahead(make, range(40), workers=2, furthest=20, size=len, most=30)

        taken = 0
        while group := next(groups, None):
            taken += len(group)
            assert len(begun) <= taken + 3
            time.sleep(0.001)
            assert len(begun) <= taken + 3
            group.clear()
        assert taken == 40

    def test_what_is_with_the_taker_counts_too(self) -> None:
        """Until it comes back."""
        begun: list[int] = []

        def make(number: int) -> bytes:
            begun.append(number)
            return bytes(100)

        groups = look_ahead(make, range(9), workers=4, furthest=9, size=len, most=1)

        first = next(groups)
        time.sleep(0.05)
        assert len(begun) <= 4
        assert len(first) + sum(map(len, groups)) == 9

    def test_one_that_is_late_delays_what_comes_after_it_within_its_bounds(self) -> None:
        """The first one is always begun: nobody waits for something that has no room."""
        late = threading.Event()
        begun: list[int] = []

        def make(number: int) -> bytes:
            begun.append(number)
            if number == 0:
                late.wait(20)
            return bytes(100)

        groups = look_ahead(make, range(9), workers=2, furthest=9, size=len, most=150)
        threading.Timer(0.1, late.set).start()

        assert sum(map(len, groups)) == 9
        assert begun[0] == 0

    def test_a_result_without_a_size_takes_no_room(self) -> None:
        """What failed does not hold up what comes after it."""

        def fail(number: int) -> bytes:
            if number % 2:
                raise LookupError
            return b""

        groups = look_ahead(fail, range(3), workers=3, furthest=3, size=len, most=1)

        with pytest.raises(LookupError):
            list(groups)

    def test_nothing_is_begun_once_it_is_closed(self) -> None:
        """Although what was under way leaves room."""
        begun: list[int] = []
        going_on = threading.Event()

        def make(number: int) -> None:
            begun.append(number)
            if number:
                going_on.wait(20)

        groups = look_ahead(make, range(40), workers=4, furthest=20)
        next(groups)
        wait_until(lambda: len(begun) > 3, "as many are under way as there are workers")
        threading.Timer(0.05, going_on.set).start()
        groups.close()

        assert len(begun) <= 5

    def test_an_error_comes_in_its_turn(self) -> None:
        """Those before it are not lost."""

        def fail_at_two(number: int) -> int:
            if number == 2:
                message = "two"
                raise LookupError(message)
            return number

        groups = look_ahead(fail_at_two, range(9), workers=1, furthest=1)

        assert [next(groups), next(groups)] == [[(0, 0)], [(1, 1)]]
        with pytest.raises(LookupError, match="two"):
            next(groups)


class TestIds:
    """The ids of records."""

    def test_they_are_uuids_that_sort_by_time(self) -> None:
        """Version and variant say so, and no two are equal."""
        before = time.time_ns() // 1_000_000
        ids = [uuid.UUID(new_id()) for _ in range(1000)]
        after = time.time_ns() // 1_000_000

        assert {(made.version, made.variant) for made in ids} == {(7, uuid.RFC_4122)}
        assert len(set(ids)) == 1000
        moments = [made.int >> 80 for made in ids]
        assert moments == sorted(moments)
        assert before <= moments[0] <= moments[-1] <= after


def test_nothing_is_lost_where_a_worker_is_counted_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine, a result can be taken before its worker has said that it is free for the next one."""
    finished = _lookahead._Queue._finished

    def finish_late(queue: Any, future: Any) -> None:
        time.sleep(3 * _lookahead._LINGER)
        finished(queue, future)

    monkeypatch.setattr(_lookahead._Queue, "_finished", finish_late)
    groups = look_ahead(lambda item: item, range(5), workers=1, furthest=64)

    assert [item for group in groups for item, _ in group] == [0, 1, 2, 3, 4]
