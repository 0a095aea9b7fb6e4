"""Made-up secrets, and a search for them in everything that a user, a log or a bug report gets to see."""

from __future__ import annotations

import base64
import logging
import pickle
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Final

from hypothesis import strategies as st

# What stands inside a secret: nothing, or something that other places write in another way.
_GLUES: Final = {
    "token": ("", "-", "%2B", "!", ".", "~", "$"),
    "url": ("", "-", "\u00e9", "%C3%A9", "%20", "+", "'", "\\", "~", "%2F", "%"),
    "text": ("", " ", "\u00e9", '"', "'", "<b>", "&", "%", "\\", "\U0001f511"),
}


class Secrets:
    """Hands out secrets, each of its own for the place it goes to, and finds all of them again.

    A secret is ``HEAD glue TAIL``: whatever quotes, escapes, lowers or cuts it, one of the two
    stays as it is. Both begin or end with the place (lower-case letters), to tell which one has leaked.

    Args:
        salt: Makes them different from those of another object.
        glue: Chooses what stands in the middle of them.
    """

    def __init__(self, salt: int, glue: int) -> None:
        self._salt = salt
        self._glue = glue
        self._given: dict[str, tuple[str, str, str]] = {}

    def __repr__(self) -> str:
        return f"Secrets({self._salt}, {self._glue})"

    def token(self, place: str) -> str:
        """Return a secret that may be a cookie's value."""
        return self._take(place, "token")

    def url(self, place: str) -> str:
        """Return a secret that may stand anywhere in a URL, but in the host."""
        return self._take(place, "url")

    def text(self, place: str) -> str:
        """Return a secret of printable text."""
        return self._take(place, "text")

    def _take(self, place: str, kind: str) -> str:
        glues = _GLUES[kind]
        digest = sha256(f"{self._salt} {place}".encode()).hexdigest()
        head, tail = f"{place}zq{digest[:12]}", f"{digest[12:24]}qz{place}"
        glue = glues[self._glue % len(glues)]
        self._given[f"{place} {kind}"] = (head, glue, tail)
        return head + glue + tail

    def found_in(self, texts: Sequence[str]) -> list[str]:
        """Return where secrets show, each with what stands around it."""
        everything = "\n".join(texts)
        lowered = everything.lower()
        halves = sorted({half for head, _, tail in self._given.values() for half in (head, tail)})
        return [_around(lowered, half) for half in halves if half in lowered] + [
            _around(everything, encoded) for encoded in sorted(self._encoded()) if encoded in everything
        ]

    def _encoded(self) -> set[str]:
        """Return what base64 makes of each half, wherever it stands in what is encoded."""
        return {
            base64.b64encode(b"\0" * shift + half.encode()).decode()[2 * shift : -4]
            for head, _, tail in self._given.values()
            for half in (head, tail)
            for shift in range(3)
        }


def _around(text: str, needle: str) -> str:
    at = text.index(needle)
    return f"{needle}: {text[max(at - 60, 0) : at + 90]!r}"


SECRETS: Final = st.builds(Secrets, st.integers(0, 2**32), st.integers(0, 10))


class Witness(logging.Handler):
    """Sees every log record, and is shown everything else.

    Attributes:
        texts: All that was seen.
    """

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message, the traceback if there is one, and what a structured log would keep."""
        self.texts += [self.format(record), repr(record.__dict__)]

    def see(self, *things: object) -> None:
        """Keep how things show; of an error, also everything that travels along with it."""
        for thing in things:
            self.texts += [str(thing), repr(thing)]
            if isinstance(thing, BaseException):
                self.texts += _of_error(thing)


def _of_error(error: BaseException) -> Iterator[str]:
    yield "".join(traceback.format_exception(error))
    yield pickle.dumps(error).decode("latin-1")  # as it crosses the border of a process
    for member in _family(error):
        yield str(member)
        yield repr(member)
        # A parser's error holds what it was given; a frame's own variables nobody can keep out.
        yield repr(vars(member))


def _family(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that travels along with it, shown in a traceback or not."""
    yield error
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    for other in (error.__cause__, error.__context__, *inner):
        if other is not None:
            yield from _family(other)


@contextmanager
def witness() -> Iterator[Witness]:
    """Give a witness that gets the records of all loggers, at every level, for the time of the block."""
    root, seeing = logging.getLogger(), Witness()
    level = root.level
    root.addHandler(seeing)
    root.setLevel(logging.DEBUG)
    try:
        yield seeing
    finally:
        root.setLevel(level)
        root.removeHandler(seeing)
