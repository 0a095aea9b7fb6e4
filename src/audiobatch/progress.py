"""Show how batches go on, each as a bar, in a terminal or in a notebook (extra ``progress``)."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from threading import RLock
from typing import Any, Final, Never, TextIO, TypeAlias

from attrs import define, field

from audiobatch._fork import renew_in_child
from audiobatch.errors import FailureCode
from audiobatch.events import BatchEvent, BatchFinished, BatchStarted, Fetched, Settled, Waiting
from audiobatch.models import Download

try:
    from tqdm.std import TqdmDefaultWriteLock, tqdm  # type: ignore[attr-defined]  # its stubs leave the lock out
except ImportError as missing:
    raise ImportError("ProgressBar needs an extra: pip install 'audiobatch[progress]'") from missing

_Bar: TypeAlias = "tqdm[Never]"

# No title and no URL: those come from elsewhere, and the bar stays as short as a line.
_FORMAT: Final = "{desc}: {n_fmt}/{total_fmt} |{bar}| {elapsed}{postfix}"
_NOTEBOOK_WIDTH: Final = 100  # characters of a text bar there, for what it is written to has no width of its own


class ProgressBar:
    """Shows a bar for each batch, with how many of its items are queued and failed: give it as ``on_event``.

    In a terminal it is drawn on standard error; where that is no terminal but a log, say, nothing is.
    In a notebook it is a widget, or drawn as text if ``ipywidgets`` is not installed. One object
    serves several batches at once. Print with ``tqdm.write`` while a bar is shown.

    Args:
        file: Draw there instead, in text, whatever it is.
    """

    def __init__(self, *, file: TextIO | None = None) -> None:
        self._file = file
        self._shown: dict[str, _Shown] = {}
        renew_in_child(self, ProgressBar._renew)

    def _renew(self) -> None:
        for shown in self._shown.values():
            shown.bar.disable = True  # it is the parent's to draw, also as it ends
        self._shown = {}
        _kind.cache_clear()
        TqdmDefaultWriteLock.th_lock = RLock()  # another thread may have been drawing

    def __call__(self, event: BatchEvent, /) -> None:
        """Show what an event of `audiobatch.events` tells of."""
        if isinstance(event, BatchStarted):
            bar = _open(event.size, self._file)
            if bar is not None:
                self._shown[event.batch] = _Shown(bar)
        elif event.batch in self._shown:
            self._shown[event.batch].follow(event)
            if isinstance(event, BatchFinished):
                self._shown.pop(event.batch).close()


@define
class _Shown:
    """A batch under way, and its bar."""

    bar: _Bar
    queued: int = 0
    failed: int = 0
    waits: dict[int, Waiting] = field(factory=dict)

    def follow(self, event: BatchEvent) -> None:
        match event:
            case Waiting(index=index):
                self.waits[index] = event
            case Fetched(index=index):
                self.waits.pop(index, None)
            case Settled(outcome=outcome):
                self.waits.pop(outcome.index, None)
                self.queued += isinstance(outcome, Download)
                self.failed += not isinstance(outcome, Download)
                self.bar.n = self.queued + self.failed
            case BatchFinished():
                self.waits.clear()
        self.bar.set_postfix_str(self._describe())

    def close(self) -> None:
        self.bar.clear()  # if a bar above it has ended first, it would stay there and be drawn once more above
        self.bar.close()

    def _describe(self) -> str:
        counts = f"{self.queued} queued, {self.failed} failed"
        if not self.waits:
            return counts
        longest = max(self.waits.values(), key=lambda wait: wait.seconds)
        seconds = f"{math.ceil(longest.seconds)} s"
        if longest.code is FailureCode.RATE_LIMITED:
            return f"{counts}, waiting {seconds} for the tracker"
        return f"{counts}, trying again in {seconds}"


def _open(size: int, file: TextIO | None) -> _Bar | None:
    """Open a bar where the user can see it, if there is such a place."""
    if file is None and _in_notebook():
        if find_spec("ipywidgets"):
            return _kind("tqdm.notebook")(total=size)
        # What is on standard error looks like an error there. And there is no going up a line, to where another bar is.
        return _kind("tqdm.std")(total=size, file=sys.stdout, ncols=_NOTEBOOK_WIDTH, position=0)
    if file is None:
        file = sys.stderr
        if file is None or not file.isatty():
            return None
    return _kind("tqdm.std")(total=size, file=file, dynamic_ncols=True)


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


@cache
def _kind(module: str) -> Callable[..., _Bar]:
    """Return what opens a bar, of the kind that this module of tqdm has, and leaves the rest of the process alone.

    tqdm would start a thread that never ends, and make a lock that spans processes: with that, an
    application can no longer choose how its processes start, and one that is killed can hold up the others.
    """
    bars = import_module(module).tqdm
    modest: Any = type(bars.__name__, (bars,), {"monitor_interval": 0})
    modest.set_lock(TqdmDefaultWriteLock.th_lock)  # with the bars of others, which share the screen, threads take turns
    return partial(modest, desc="Audiobooks", bar_format=_FORMAT)
