"""When to try once more: bounded, with back-off, and at once over when the batch is stopped."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, TypeVar

from attrs import frozen

from audiobatch.errors import AudiobatchError, ConfigurationError

if TYPE_CHECKING:
    from tenacity import RetryCallState

_T = TypeVar("_T")


@frozen(kw_only=True)
class RetryPolicy:
    """How often something is tried, and how long to wait in between.

    Only a transient error is tried again, and not one that says that it is not to be repeated
    (`AudiobatchError.repeated`). Where the other side asked for a longer wait
    (``retry_after``) that wait is kept; if it is longer than ``max_wait``, it is not tried again.

    Args:
        attempts: Tries in all, at least 1.
        wait: Seconds before the second try.
        factor: By how much each further wait is longer than the one before.
        max_wait: Seconds that a wait takes at most.

    Raises:
        ConfigurationError: ``attempts`` or ``factor`` is below 1, or a wait below 0.
    """

    attempts: int = 3
    wait: float = 0.5
    factor: float = 2.0
    max_wait: float = 10.0

    def __attrs_post_init__(self) -> None:
        for name, least in (("attempts", 1), ("wait", 0), ("factor", 1), ("max_wait", 0)):
            if not getattr(self, name) >= least:
                raise ConfigurationError(f"{name} must be at least {least}")

    def call(
        self,
        function: Callable[[], _T],
        *,
        stop: Event,
        unless: Callable[[_T], bool] | None = None,
        on_wait: Callable[[float, AudiobatchError], None] | None = None,
    ) -> _T:
        """Call until it succeeds; with ``unless``, until the result satisfies that.

        Args:
            function: What to call.
            stop: Ends the waiting, and with it the tries, as soon as it is set.
            unless: Tells of a result whether it will do.
            on_wait: Told before each wait how many seconds it takes, and the error that is the reason.

        Returns:
            The result of the last call.

        Raises:
            AudiobatchError: What the last call raised.
        """
        # Imported when it is needed, for it takes long, and an application starts without it.
        from tenacity import (  # noqa: PLC0415
            Retrying,
            retry_if_exception,
            retry_if_result,
            stop_after_attempt,
            stop_when_event_set,
        )
        from tenacity.nap import sleep_using_event  # noqa: PLC0415

        retrying = Retrying(
            stop=stop_after_attempt(self.attempts) | stop_when_event_set(stop),
            wait=self._seconds,
            sleep=sleep_using_event(stop),
            retry=retry_if_exception(self._is_worth_waiting)
            | retry_if_result(lambda result: unless is not None and not unless(result)),
            before_sleep=partial(_tell, on_wait) if on_wait else None,
            retry_error_callback=_last_outcome,
        )
        try:
            return retrying(function)
        finally:
            # It refers to itself, and so would keep what it was given, torrents too, until they are garbage collected.
            retrying.iter_state.reset()

    def _is_worth_waiting(self, error: BaseException) -> bool:
        if not isinstance(error, AudiobatchError) or not error.transient or not error.repeated:
            return False
        return (error.retry_after or 0) <= self.max_wait

    def _seconds(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked_for = error.retry_after if isinstance(error, AudiobatchError) else None
        backoff: float = self.wait * self.factor ** (state.attempt_number - 1)
        return min(max(backoff, asked_for or 0), self.max_wait)


def _tell(on_wait: Callable[[float, AudiobatchError], None], state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, AudiobatchError) and state.next_action:
        on_wait(state.next_action.sleep, error)


def _last_outcome(state: RetryCallState) -> object:
    assert state.outcome is not None
    return state.outcome.result()
