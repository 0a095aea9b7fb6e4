"""Find every public name of audiobatch, and what is said of it."""

from __future__ import annotations

import ast
import inspect
import pkgutil
from collections.abc import Iterator
from enum import Enum
from functools import cache
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any

import attrs
from attrs import frozen

import audiobatch


@frozen
class PublicName:
    """A name that somebody may use.

    Attributes:
        path: From the package on: ``audiobatch.models.Download.info_hash``.
        kind: What it names: module, class, function, method, property, constant, field or member (of an enum).
        value: What it stands for; of a method or a property, the function. None for a field.
        owner: For what stands in a class, the class.
    """

    path: str
    kind: str
    value: Any
    owner: type | None = None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]

    @property
    def module(self) -> ModuleType:
        """The module that defines it, which may be a private one."""
        return import_module((self.owner or self.value).__module__)

    @property
    def docstring(self) -> str:
        """What is said of it; what it inherits does not count."""
        return inspect.cleandoc(self.value.__dict__.get("__doc__") or getattr(self.value, "__doc__", None) or "")


def public_modules() -> list[str]:
    """Return the name of each module without an underscore in front, the package first."""
    found = pkgutil.walk_packages(audiobatch.__path__, "audiobatch.")
    return ["audiobatch", *(name for _, name, _ in found if "._" not in name and ".__" not in name)]


@cache
def public_names() -> tuple[PublicName, ...]:
    """Return every public name, each once, at the place where it is meant to be imported from."""
    return tuple(name for module in public_modules() for name in _of_module(import_module(module)))


def _of_module(module: ModuleType) -> Iterator[PublicName]:
    prefix = module.__name__
    yield PublicName(prefix, "module", module)
    constants = documented_constants(module)
    for name, value in vars(module).items():
        path = f"{prefix}.{name}"
        if name.startswith("_") or not _is_at_home(name, value, module):
            continue
        if isinstance(value, type):
            yield PublicName(path, "class", value)
            yield from _of_class(path, value)
        elif isinstance(value, FunctionType):
            yield PublicName(path, "function", inspect.unwrap(value))
        elif name in constants:
            yield PublicName(path, "constant", value)


def _is_at_home(name: str, value: object, module: ModuleType) -> bool:
    """Tell whether a name is to be imported from here: it is defined here, or exported here and private elsewhere."""
    home = value.__module__ if isinstance(value, type | FunctionType) else module.__name__
    exported = getattr(module, "__all__", None)
    if exported is not None and name not in exported:
        return False
    return home == module.__name__ or (exported is not None and "._" in home)


def _of_class(path: str, cls: type) -> Iterator[PublicName]:
    if attrs.has(cls):
        for field in attrs.fields(cls):
            if not field.name.startswith("_"):
                yield PublicName(f"{path}.{field.name}", "field", None, cls)
    for name, value in vars(cls).items():
        if name.startswith("_"):
            continue
        inside = f"{path}.{name}"
        if isinstance(value, property):
            yield PublicName(inside, "property", value.fget, cls)
        elif isinstance(value, classmethod | staticmethod):
            yield PublicName(inside, "method", value.__func__, cls)
        elif isinstance(value, FunctionType):
            yield PublicName(inside, "method", inspect.unwrap(value), cls)
        elif isinstance(value, Enum):
            yield PublicName(inside, "member", value, cls)


@cache
def documented_constants(module: ModuleType) -> dict[str, str | None]:
    """Return what is assigned in a module, and the docstring that stands below each."""
    body = ast.parse(inspect.getsource(module)).body
    found: dict[str, str | None] = {}
    for statement, following in zip(body, [*body[1:], None], strict=True):
        targets = [statement.target] if isinstance(statement, ast.AnnAssign) else getattr(statement, "targets", [])
        found |= {target.id: _text(following) for target in targets if isinstance(target, ast.Name)}
    return found


def _text(statement: ast.stmt | None) -> str | None:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return str(statement.value.value)
    return None
