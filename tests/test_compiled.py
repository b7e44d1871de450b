"""The modules that may be compiled keep to what docs/compiled.md says, as far as that can be seen."""

import ast
import importlib
import inspect
import tomllib
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import TypeVar

import pytest

from gateway.compiled import COMPILED

ROOT = Path(__file__).parent.parent
_HATCH = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]
MODULES = sorted(
    path.relative_to(ROOT)
    for pattern in _HATCH["build"]["targets"]["wheel"]["hooks"]["custom"]["modules"]
    for path in ROOT.glob(pattern)
    if path.name != "__init__.py"
)
NAMES = [".".join(path.with_suffix("").parts) for path in MODULES]

_Node = TypeVar("_Node", bound=ast.AST)
modules = pytest.mark.parametrize("module", MODULES, ids=str)


@modules
def test_nothing_waits_in_a_handler(module: Path) -> None:
    """Whatever runs meanwhile would have that exception as its context, and keep it."""
    for handler in _nodes(module, ast.ExceptHandler):
        assert not [each for each in ast.walk(handler) if isinstance(each, ast.Await | ast.Yield)]


@modules
def test_a_name_is_given_to_one_kind_of_exception(module: Path) -> None:
    """In each function: it would have the type of the first."""
    for function in (*_nodes(module, ast.FunctionDef), *_nodes(module, ast.AsyncFunctionDef)):
        kinds: dict[str, set[str]] = {}
        for each in ast.walk(function):
            if isinstance(each, ast.ExceptHandler) and each.name and each.type:
                kinds.setdefault(each.name, set()).add(ast.unparse(each.type))
        assert not [name for name, types in kinds.items() if len(types) > 1]


@modules
def test_a_class_has_its_bases_among_them(module: Path) -> None:
    """Or Python's own; and no class outside inherits from it: objects would be broken, or refused."""
    names = set(NAMES)
    for cls in _classes(".".join(module.with_suffix("").parts)):
        if issubclass(cls, Enum):  # these stay as they are
            continue
        for base in cls.__mro__[1:]:
            assert base.__module__ in names | {"builtins", "typing"}, f"{cls.__name__} of {base.__name__}"
        for child in cls.__subclasses__():
            assert child.__module__ in names or child.__module__.split(".")[0] not in {
                "gateway",
                "location_store",
            }


@pytest.mark.skipif(not COMPILED, reason="of the compiled tree: make test-compiled")
def test_all_of_them_are_compiled() -> None:
    for name in NAMES:
        file = importlib.import_module(name).__file__
        assert file is not None
        assert not file.endswith(".py")


def _nodes(module: Path, kind: type[_Node]) -> Iterator[_Node]:
    for node in ast.walk(ast.parse((ROOT / module).read_text("utf-8"))):
        if isinstance(node, kind):
            yield node


def _classes(name: str) -> Iterator[type]:
    module = importlib.import_module(name)
    for cls in vars(module).values():
        if inspect.isclass(cls) and cls.__module__ == name:
            yield cls
