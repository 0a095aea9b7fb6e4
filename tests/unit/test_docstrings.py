"""Every public name says what it is for, what it takes, in which units, and what it raises."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from types import ModuleType

import attrs
import pytest

from audiobatch import errors
from support.public import PublicName, documented_constants, public_names

pytest.importorskip("libtorrent", reason="the extra libtorrent is not installed")
pytest.importorskip("tqdm", reason="the extra progress is not installed")

NAMES = {name.path: name for name in public_names()}
CALLABLES = [name for name in NAMES.values() if name.kind in ("function", "method", "class")]
FIELDS = [name for name in NAMES.values() if name.kind == "field"]
UNIT = re.compile(
    r"\b(seconds?|bytes|characters|tries|batches|requests?|torrents|positions?|index|0\.0 to 1\.0"
    r"|how (many|much|often) .+)\b",
    re.IGNORECASE,
)
REFERENCE = re.compile(r"(?:see|as for|same as)\s+`([\w.]+)`", re.IGNORECASE)
RAISED_IN_VAIN = {
    "audiobatch.fetchers.myanonamouse.MyAnonamouseFetcher.fetch": {"ConfigurationError"},  # it has read the id itself
}


def path(name: PublicName) -> str:
    """Return what to call it in a report."""
    return name.path


def sections(docstring: str) -> dict[str, str]:
    """Split a docstring of the Google style into its sections; the text before the first is called ""."""
    parts = re.split(r"^(Args|Attributes|Returns|Yields|Raises):$", docstring, flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def entries(docstring: str, *names: str) -> dict[str, str]:
    """Return what some sections say of each name in them."""
    found = sections(docstring)
    text = "".join(found.get(name, "") for name in names)
    return dict(re.findall(r"^    (\w+): (.*(?:\n(?:     .*|(?=\n)))*)", text, re.MULTILINE))


def parameters(name: PublicName) -> list[inspect.Parameter]:
    """Return what a function takes, or the constructor that somebody wrote; one of attrs takes the fields."""
    function = name.value
    if name.kind == "class":
        written = not attrs.has(name.value) and not getattr(name.value, "_is_protocol", False)
        function = vars(name.value).get("__init__") if written else None
    found = list(inspect.signature(function).parameters.values()) if function else []
    return found if name.kind == "function" else found[1:]


def referred_to(name: PublicName) -> Iterator[PublicName]:
    """Yield what a docstring refers to for the rest."""
    for reference in REFERENCE.findall(name.docstring):
        inside = f"{name.path.rpartition('.')[0]}.{reference}"
        known = [each for each in (reference, inside) if each in NAMES]
        known = known or [each for each in NAMES if each.endswith(f".{reference}")]
        assert len(known) == 1, f"{name.path} refers to {reference}, which is not one public name"
        yield NAMES[known[0]]


@pytest.mark.parametrize(
    "name", [name for name in NAMES.values() if name.kind not in ("field", "constant", "member")], ids=path
)
def test_it_has_a_docstring(name: PublicName) -> None:
    """One that begins with a sentence."""
    assert re.match(r".+[.:?]$", name.docstring.split("\n\n")[0], re.DOTALL), name.docstring


@pytest.mark.parametrize("name", [name for name in NAMES.values() if name.kind == "constant"], ids=path)
def test_a_constant_has_a_docstring_below_it(name: PublicName) -> None:
    """As Sphinx reads it."""
    assert documented_constants(import_module(name.path.rpartition(".")[0]))[name.name]


@pytest.mark.parametrize("name", FIELDS, ids=path)
def test_a_field_is_described(name: PublicName) -> None:
    """In the docstring of its class."""
    assert name.owner is not None
    assert name.name in entries(inspect.cleandoc(name.owner.__doc__ or ""), "Args", "Attributes")


@pytest.mark.parametrize("name", [name for name in CALLABLES if parameters(name)], ids=path)
def test_arguments_are_told_of(name: PublicName) -> None:
    """A constructor describes each; a function that takes several names each, or refers to one that does."""
    taken = [parameter.name for parameter in parameters(name)]
    told = entries(name.docstring, "Args")

    if name.kind == "class":
        assert set(taken) <= set(told)
    elif len(taken) > 1 and not list(referred_to(name)) and not is_overriding(name):
        assert not [each for each in taken if each.rstrip("s") not in name.docstring]


def is_overriding(name: PublicName) -> bool:
    """Tell whether the method is one of a class of Python's own, which tells of the arguments."""
    assert name.owner is not None or name.kind != "method"
    return any(name.name in vars(base) for base in (name.owner or object).__mro__ if base.__module__ == "builtins")


@pytest.mark.parametrize("name", [*CALLABLES, *FIELDS], ids=path)
def test_a_number_has_a_unit(name: PublicName) -> None:
    """Whether it is an argument or a field: seconds, bytes, or what is counted."""
    if name.kind == "field":
        assert name.owner is not None
        told = entries(inspect.cleandoc(name.owner.__doc__ or ""), "Args", "Attributes")
        numbers = [name.name] if is_number(name.owner.__annotations__[name.name]) else []
    else:
        told = entries(name.docstring, "Args")
        numbers = [parameter.name for parameter in parameters(name) if is_number(parameter.annotation)]

    for number in numbers:
        assert UNIT.search(f"{number}: {told.get(number)}"), f"{name.path}: {number}"


def is_number(annotation: str) -> bool:
    """Tell whether an annotation is that of a number, or of none."""
    return re.fullmatch(r"(int|float)( \| None)?", annotation) is not None


@pytest.mark.parametrize("name", CALLABLES, ids=path)
def test_errors_are_told_of(name: PublicName) -> None:
    """What is raised here, or in what is called in the same module, stands under Raises, or where that refers to."""
    expected = raised_by(name) - RAISED_IN_VAIN.get(name.path, set())
    told = {error for place in [name, *referred_to(name)] for error in told_errors(place)}

    assert not [error for error in expected if not any(issubclass(named(error), named(other)) for other in told)]


def raised_by(name: PublicName) -> set[str]:
    """Return the names of the errors that can come out of a call."""
    own = name.value.__qualname__
    starts = [f"{own}.__init__", f"{own}.__attrs_post_init__"] if name.kind == "class" else [own]
    return {error for start in starts for error in raised_in(name.module, start, set())}


def raised_in(module: ModuleType, function: str, seen: set[str]) -> set[str]:
    """Follow calls within a module."""
    defined = functions(module)
    if function in seen or function not in defined:
        return set()
    seen.add(function)
    owner = function.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(defined[function]):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
            found |= {node.exc.func.id} if named(node.exc.func.id) is not object else set()
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            called = f"{owner}.{called.removeprefix('self.')}" if called.startswith("self.") else called
            found |= raised_in(module, called, seen)
    return found


@cache
def functions(module: ModuleType) -> dict[str, ast.AST]:
    """Return the functions and methods that a module defines."""
    found: dict[str, ast.AST] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.ClassDef):
            methods = [each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
            found |= {f"{node.name}.{method.name}": method for method in methods}
    return found


def named(error: str) -> type:
    """Return an error of ours, or of Python, by its name; `object` if it is none."""
    found = getattr(errors, error, None) or getattr(builtins, error, None)
    return found if isinstance(found, type) and issubclass(found, BaseException) else object


def told_errors(name: PublicName) -> set[str]:
    """Return the errors that a docstring tells of, or that of its class; for a class, those of its methods too."""
    told = set(entries(name.docstring, "Raises"))
    if name.owner is not None:
        told |= set(re.findall(r"`(\w+Error)`", inspect.cleandoc(name.owner.__doc__ or "")))
    if name.kind == "class" and getattr(name.value, "_is_protocol", False):
        told |= {error for other in NAMES.values() if other.owner is name.value for error in told_errors(other)}
    return {error for error in told if named(error) is not object}
