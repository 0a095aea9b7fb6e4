"""The tree of errors, their codes, and their way through a pickle."""

from __future__ import annotations

import inspect
import pickle
import re
from collections import Counter
from collections.abc import Iterator
from types import ModuleType

import pytest

import audiobatch
from audiobatch import errors
from audiobatch.errors import AudiobatchError, BatchFailed, FailureCode, FetchError, error_for

CLASSES = [
    member
    for _, member in inspect.getmembers(errors, inspect.isclass)
    if issubclass(member, AudiobatchError) and member is not BatchFailed
]


def drawn_tree() -> Iterator[tuple[str, str | None, bool]]:
    """Read name, parent and star of each class from the tree in the module's docstring."""
    parents: list[str] = []
    drawing = re.compile(r"^ {4}(?P<indent>(?:[│├└─ ]{4})*)(?P<name>[A-Z]\w+)(?P<star> \*)?(?: {2}|$)")
    for line in (errors.__doc__ or "").splitlines():
        if found := drawing.match(line):
            depth = len(found["indent"]) // 4
            parents[depth:] = [found["name"]]
            yield found["name"], parents[depth - 1] if depth else None, found["star"] is not None


def test_the_drawn_tree_is_the_real_one() -> None:
    """The drawing names every class once, under its base, with a star if it is transient."""
    drawn = sorted(drawn_tree(), key=str)
    real = [(cls.__name__, cls.__bases__[0].__name__, cls.transient) for cls in CLASSES if cls is not AudiobatchError]
    assert drawn == sorted([("AudiobatchError", None, False), *real], key=str)
    assert BatchFailed.__bases__ == (ExceptionGroup, AudiobatchError)
    assert "BatchFailed(ExceptionGroup, AudiobatchError)" in (errors.__doc__ or "")


def test_every_code_has_exactly_one_class() -> None:
    """Neither is a code shared, nor is one left without a class."""
    assert Counter(cls.code for cls in CLASSES) == Counter(FailureCode)


@pytest.mark.parametrize("code", FailureCode)
def test_an_error_is_made_from_its_code(code: FailureCode) -> None:
    """The class belongs to the code, and message and hint are passed on."""
    error = error_for(code, "Too fast.", retry_after=1.5)
    assert (type(error).code, str(error), error.retry_after) == (code, "Too fast.", 1.5)
    assert error_for(code, "No hint.").retry_after is None


@pytest.mark.parametrize("retry_after", [None, 0.0, 2.5])
@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_survives_a_pickle(cls: type[AudiobatchError], retry_after: float | None) -> None:
    """Class, message, code, hint and notes cross the border of a process."""
    error = cls("It broke.", retry_after=retry_after)
    error.add_note("item 3 of the batch")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls
    assert (str(again), again.code, again.transient) == ("It broke.", cls.code, cls.transient)
    assert (again.retry_after, again.__notes__) == (retry_after, ["item 3 of the batch"])


def members(group: BatchFailed) -> list[AudiobatchError]:
    """Return the errors of a group, which holds no groups."""
    return [error for error in group.exceptions if not isinstance(error, ExceptionGroup)]


def test_a_failed_batch_survives_a_pickle() -> None:
    """The group comes back as what it was, with each of its errors."""
    inner = [error_for(FailureCode.RATE_LIMITED, "Slower.", retry_after=9.0), error_for(FailureCode.UNSUPPORTED, "No.")]
    inner[0].add_note("item 0 of the batch")
    again = pickle.loads(pickle.dumps(BatchFailed("2 of 5 downloads failed", inner)))
    assert type(again) is BatchFailed
    assert again.message == "2 of 5 downloads failed"
    assert [(type(error), str(error), error.retry_after) for error in members(again)] == [
        (type(error), str(error), error.retry_after) for error in inner
    ]
    assert members(again)[0].__notes__ == ["item 0 of the batch"]
    assert (again.code, again.transient, again.retry_after) == (FailureCode.ERROR, False, None)


def test_a_failed_batch_keeps_its_class_when_it_is_divided() -> None:
    """Split and subgroup give groups of the same class, with the same message."""
    group = BatchFailed(
        "all failed", [error_for(code, code) for code in (FailureCode.NOT_A_TORRENT, FailureCode.ERROR)]
    )
    fetch, rest = group.split(FetchError)
    assert isinstance(fetch, BatchFailed)
    assert isinstance(rest, BatchFailed)
    assert (fetch.message, [error.code for error in members(fetch)]) == ("all failed", [FailureCode.NOT_A_TORRENT])
    assert (rest.message, [error.code for error in members(rest)]) == ("all failed", [FailureCode.ERROR])
    assert isinstance(group.subgroup(FetchError), BatchFailed)


def test_an_error_may_be_caught_as_what_it_is_besides() -> None:
    """A request that does not validate is a ValueError, and a failed batch an AudiobatchError."""
    assert isinstance(error_for(FailureCode.INVALID_REQUEST, "No title."), ValueError)
    with pytest.raises(AudiobatchError):
        raise BatchFailed("1 of 1 downloads failed", [error_for(FailureCode.ERROR, "It broke.")])


def test_the_public_names_are_those_of_all() -> None:
    """`__all__` is sorted, and holds every public name of the package that is not a module."""
    public = {
        name
        for name, value in vars(audiobatch).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert audiobatch.__all__ == sorted(public)
