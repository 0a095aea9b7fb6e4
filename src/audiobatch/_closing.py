"""Let a ``with`` block close what an adapter has opened."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

from audiobatch._fork import StaysHere


class Closing(StaysHere, ABC):
    """Something to be closed, that may stand in a ``with`` statement."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything that this object has opened."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
