"""An executor without threads, so that what depends on their speed is the same each time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any


class Inline(Executor):
    """Runs everything in the caller's thread, at once or when its result is wanted."""

    def __init__(self, *, ahead: bool) -> None:
        self._ahead = ahead

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Take a call."""
        due = _Due(lambda: fn(*args, **kwargs))
        if self._ahead:
            due.work()
        return due


class _Due(Future[Any]):
    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__()
        self._call = call

    def work(self) -> None:
        try:
            self.set_result(self._call())
        except BaseException as error:  # noqa: BLE001  # as an executor does
            self.set_exception(error)

    def result(self, timeout: float | None = None) -> Any:
        if not self.done():
            self.work()
        return super().result(timeout)
