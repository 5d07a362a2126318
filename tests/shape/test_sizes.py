"""A person can read it in one sitting: modules, functions and public names stay small."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
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
VAGUE = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _nodes() -> Iterator[tuple[str, ast.AST]]:
    """Every node of every shipped module, with `path:line` where it has a line."""
    for path in SHIPPED:
        name = str(path.relative_to(ROOT))
        for node in ast.walk(_tree(path)):
            yield f"{name}:{getattr(node, 'lineno', 1)}", node


def test_there_is_something_to_check() -> None:
    """The folders are where this test looks."""
    assert len(SHIPPED) > 100


def test_modules_are_short() -> None:
    """A module has at most 400 lines."""
    lines = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in SHIPPED}
    assert {name: count for name, count in lines.items() if count > MODULE_LINES} == {}


def test_modules_say_what_they_own() -> None:
    """A module that is not empty opens with a docstring."""
    assert [path for path in SHIPPED if _tree(path).body and not ast.get_docstring(_tree(path))] == []


def test_functions_are_short() -> None:
    """No function has more than 50 lines."""
    functions = ((at, node) for at, node in _nodes() if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    assert [at for at, node in functions if (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES] == []


def test_all_is_sorted() -> None:
    """`__all__` is in ruff's order: constants, then classes, then functions, each by name."""
    found = [(path, names) for path in SHIPPED for names in _exported(_tree(path))]
    assert found
    assert [str(path) for path, names in found if names != sorted(names, key=_rank)] == []


def test_all_is_true() -> None:
    """Every name in `__all__` exists in its module, once."""
    wrong = [
        (str(path.relative_to(ROOT)), name)
        for path in SHIPPED
        for names in _exported(_tree(path))
        for name in names
        if name not in _bound(_tree(path)) or names.count(name) > 1
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["WINDOW", "Batch", "read"], ["WINDOW", "Batch", "read"]),
        (["read", "Batch", "WINDOW"], ["WINDOW", "Batch", "read"]),
        (["part10", "part9"], ["part9", "part10"]),
    ],
)
def test_the_order_is_ruffs(names: list[str], order: list[str]) -> None:
    """The order of this test is the one that `ruff check --fix` makes (RUF022)."""
    assert sorted(names, key=_rank) == order


def test_no_vague_module_names() -> None:
    """Nothing is called utils, helpers, common, base or manager."""
    parts = {path: {part.removesuffix(".py") for part in path.relative_to(ROOT).parts} for path in SHIPPED}
    assert [str(path) for path, names in parts.items() if names & VAGUE] == []


def test_shipped_code_never_asserts_nor_catches_everything() -> None:
    """No `assert` for validation, no bare except, no BaseException handler, no unfinished function."""
    assert [at for at, node in _nodes() if _is_banned(node)] == []


@pytest.mark.parametrize(
    "code",
    [
        "assert x",
        "try:\n    f()\nexcept:\n    pass",
        "try:\n    f()\nexcept BaseException:\n    pass",
        "try:\n    f()\nexcept (ValueError, BaseException):\n    pass",
        "raise NotImplementedError",
        "raise NotImplementedError('later') from None",
    ],
)
def test_the_check_sees_what_is_banned(code: str) -> None:
    """Each of the banned forms is found."""
    assert any(_is_banned(node) for node in ast.walk(ast.parse(code)))


def _is_banned(node: ast.AST) -> bool:
    if isinstance(node, ast.ExceptHandler):
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        return any(each is None or (isinstance(each, ast.Name) and each.id == "BaseException") for each in caught)
    if isinstance(node, ast.Raise):  # to ask whether somebody else's code raised it is another matter
        raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"
    return isinstance(node, ast.Assert)


def _exported(tree: ast.Module) -> Iterator[list[str]]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            yield list(ast.literal_eval(node.value))


def _rank(name: str) -> tuple[int, list[tuple[int, str]]]:
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2
    parts = re.findall(r"\d+|\D+", name)
    return kind, [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _bound(tree: ast.Module) -> set[str]:
    """What a module's top level binds, below `if` and `try` too."""
    found: set[str] = set()
    for node in tree.body:
        for each in ast.walk(node) if isinstance(node, ast.If | ast.Try) else [node]:
            found |= _names(each)
    return found


def _names(node: ast.AST) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name.split(".")[0] for alias in node.names}
    if isinstance(node, ast.Assign):
        return {each.id for target in node.targets for each in ast.walk(target) if isinstance(each, ast.Name)}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return {node.target.id}
    return set()
