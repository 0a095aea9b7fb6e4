"""Which trackers have asked to be left alone."""

from __future__ import annotations

from audiobatch._urls import origin
from audiobatch.errors import AudiobatchError, RateLimited


class Pauses:
    """Remembers, for the time of one batch, who asked to slow down. Used by several threads."""

    def __init__(self) -> None:
        self._asked: dict[str, RateLimited] = {}

    def note(self, url: str, error: AudiobatchError) -> None:
        """Note what came of a fetch, if it was the wish to be left alone."""
        if isinstance(error, RateLimited):
            self._asked[origin(url)] = error

    def wished_by(self, url: str) -> RateLimited | None:
        """Return the wish of the tracker behind this URL, if there is one."""
        return self._asked.get(origin(url))
