"""No state of a local cloud lives outside it: what a reset drops is all that there is, and what it keeps is listed.

A cloud is reset by dropping it and opening another (`localcloud.lasting`). That forgets everything but what is at
module level, and what `Kept` hands from one to the next.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from localcloud.kept import Kept
from tests.shape.conftest import ROOT

MODULES = sorted((ROOT / "localcloud").rglob("*.py"))
FILLED_LATER = frozenset({
    "Counter", "Event", "Lock", "OrderedDict", "Queue", "WeakKeyDictionary", "WeakSet", "WeakValueDictionary",
    "bytearray", "count", "defaultdict", "deque", "dict", "list", "set",
})  # fmt: skip
MAY_HOLD = re.compile(r"^\w.*= .*[({[][]})]$|^\s+global |\bcache\b|lru_cache", re.MULTILINE)
REMEMBERED = {  # by functions that are asked nothing, so as old as the process
    "localcloud/moto_call.py:_close_what_objects_hold",  # a change of moto's code, made once
    "localcloud/moto_call.py:_leave_bucket_policies_unread",  # the same
    "localcloud/parts/lambda_api.py:open_api",  # inside a function, so as old as its cloud
    "localcloud/services/iam/managed.py:_read_delegated",  # a file of the package
}


def _worth_reading() -> Iterator[tuple[Path, ast.Module]]:
    """The modules in which one of these can be: to parse all of them takes seconds."""
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        if MAY_HOLD.search(text):
            yield path, ast.parse(text)


def _kept_at_module_level(tree: ast.Module) -> Iterator[str]:
    """Names of empty containers, counters and the like, and of what a function rebinds."""
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and _is_filled_later(node.value):
            yield ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield from node.names


def _is_filled_later(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Dict | ast.List | ast.Set):
        return not (value.keys if isinstance(value, ast.Dict) else value.elts)
    if not isinstance(value, ast.Call) or value.args:
        return False
    called = value.func.value if isinstance(value.func, ast.Subscript) else value.func
    return ast.unparse(called).rpartition(".")[2] in FILLED_LATER


def _remembering(tree: ast.Module) -> Iterator[str]:
    """Functions without a parameter whose answer is kept; what is kept by its question is an answer to that alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.args.args:
            named = [ast.unparse(each) for each in node.decorator_list]
            if any("cache" in each and "cached_property" not in each for each in named):
                yield node.name


def _found(path: Path, names: Iterator[str]) -> list[str]:
    return [f"{path.relative_to(ROOT)}:{name}" for name in names]


def test_no_module_holds_what_a_cloud_changes() -> None:
    """Every service's state hangs on an object that is made when a cloud is opened."""
    trees = list(_worth_reading())
    assert [each for path, tree in trees for each in _found(path, _kept_at_module_level(tree))] == []
    assert {each for path, tree in trees for each in _found(path, _remembering(tree))} == REMEMBERED


@pytest.mark.parametrize(
    "code", ["X = {}", "X: dict[str, int] = {}", "X = set[str]()", "X = itertools.count()", "def f():\n    global X"]
)
def test_the_check_sees_state(code: str) -> None:
    """Each way to keep something at module level is found."""
    assert MAY_HOLD.search(code)
    assert list(_kept_at_module_level(ast.parse(code))) == ["X"]


def test_what_is_kept_is_listed() -> None:
    """A reset keeps these: none has state of an application, or `Kept.empty` empties it, as the stack's exports."""
    assert {each.name for each in fields(Kept)} == {
        "engine", "gate", "options", "own", "reaper", "runtimes", "servers", "sockets", "stack",
    }  # fmt: skip


def test_the_check_sees_an_answer_that_is_kept() -> None:
    """Of a function that is asked nothing; not one that is kept by its question."""
    code = "@cache\ndef opened(): ...\n\n@lru_cache(maxsize=9)\ndef parsed(text): ...\n"
    assert list(_remembering(ast.parse(code))) == ["opened"]
