"""A person can read it in one sitting: modules, functions and public names stay small."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted(
    path
    for folder in ("layers/sluiceway/sluiceway", "localcloud", "functions", "events")
    for path in (ROOT / folder).rglob("*.py")
)
MODULE_LINES = 400
FUNCTION_LINES = 50


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("path", SHIPPED, ids=_name)
def test_module_is_short_and_says_what_it_owns(path: Path) -> None:
    """A module has at most 400 lines and opens with a docstring."""
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MODULE_LINES
    assert ast.get_docstring(ast.parse(text)) or not text.strip(), "no module docstring"


@pytest.mark.parametrize("path", SHIPPED, ids=_name)
def test_functions_are_short(path: Path) -> None:
    """No function has more than 50 lines."""
    long = {
        f"{node.name}:{node.lineno}": lines
        for node in _functions(ast.parse(path.read_text(encoding="utf-8")))
        if (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES
    }
    assert long == {}


@pytest.mark.parametrize("path", SHIPPED, ids=_name)
def test_all_is_sorted_and_true(path: Path) -> None:
    """`__all__` is sorted, and every name in it exists in the module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            names = ast.literal_eval(node.value)
            assert list(names) == sorted(names)


@pytest.mark.parametrize("path", SHIPPED, ids=_name)
def test_no_vague_module_names(path: Path) -> None:
    """Nothing is called utils, helpers, common, base or manager."""
    parts = {part.removesuffix(".py") for part in path.relative_to(ROOT).parts}
    assert parts.isdisjoint({"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"})


@pytest.mark.parametrize("path", SHIPPED, ids=_name)
def test_shipped_code_never_asserts_nor_catches_everything(path: Path) -> None:
    """No `assert` for validation, no bare except, no BaseException handler, no unfinished function."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [
        f"{type(node).__name__}:{node.lineno}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert)
        or (isinstance(node, ast.ExceptHandler) and node.type is None)
        or (isinstance(node, ast.ExceptHandler) and isinstance(node.type, ast.Name) and node.type.id == "BaseException")
        or (isinstance(node, ast.Name) and node.id == "NotImplementedError")
    ]
    assert found == []
