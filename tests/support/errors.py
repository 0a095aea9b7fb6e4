"""What travels along with an error."""

from __future__ import annotations

from collections.abc import Iterator


def family(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that travels along with it."""
    yield error
    for other in (error.__cause__, error.__context__):
        if other is not None:
            yield from family(other)
