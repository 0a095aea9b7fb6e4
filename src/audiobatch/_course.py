"""What one batch carries along: whether it is to go on, what it has learnt, and whom it tells."""

from __future__ import annotations

from threading import Event, get_ident

from attrs import field, frozen

from audiobatch._lessons import Lessons
from audiobatch._telling import Teller


@frozen
class Course:
    """One batch under way.

    Attributes:
        stop: Set from outside to end it between two steps.
        teller: Tells what happens.
        lessons: What it has learnt; the parts of a batch share it.
        ended: Set when nobody takes its outcomes any more.
        thread: The thread in which it was begun, by its identifier.
    """

    stop: Event
    teller: Teller = field(factory=Teller)
    lessons: Lessons = field(factory=Lessons)
    ended: Event = field(factory=Event, init=False)
    thread: int = field(factory=get_ident, init=False)

    def is_over(self) -> bool:
        """Tell whether nothing more is to be begun."""
        return self.stop.is_set() or self.ended.is_set()
