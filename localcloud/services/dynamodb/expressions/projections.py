"""Projection expressions: which parts of an item go back to the caller.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.ProjectionExpressions.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from localcloud.services.dynamodb.expressions.bindings import Bindings
from localcloud.services.dynamodb.expressions.faults import Faults
from localcloud.services.dynamodb.expressions.lexer import Cursor
from localcloud.services.dynamodb.expressions.paths import Path, check_disjoint, parse_path
from localcloud.services.dynamodb.values import Item, Value

__all__ = ["parse_projection", "project_item"]

_Tree = dict[str | int, Any]  # part -> its own tree; an empty tree means all of it


def parse_projection(text: str, bindings: Bindings) -> tuple[Path, ...]:
    """The paths of a ProjectionExpression. Raises DynamoError in AWS's words."""
    faults = Faults("ProjectionExpression")
    cursor = Cursor(text, faults)
    paths = [parse_path(cursor, bindings)]
    while cursor.accept(","):
        paths.append(parse_path(cursor, bindings))
    if cursor.token.kind != "end":
        cursor.fail()
    check_disjoint(paths, faults)
    faults.settle()
    return tuple(paths)


def project_item(item: Mapping[str, Value], paths: Iterable[Path]) -> Item:
    """What `paths` select of `item`; maps keep their shape, lists close up and keep their order."""
    tree: _Tree = {}
    for path in paths:
        branch = tree
        for part in path.parts:
            branch = branch.setdefault(part, {})
    return _select_members(item, tree)


def _select_members(members: Mapping[str, Value], tree: _Tree) -> Item:
    chosen: Item = {}
    for part, branch in tree.items():
        value = members.get(part) if isinstance(part, str) else None
        selected = None if value is None else _select(value, branch)
        if selected is not None:
            chosen[str(part)] = selected
    return chosen


def _select(value: Value, tree: _Tree) -> Value | None:
    if not tree:
        return value
    if value.type == "M":
        members = _select_members(value.data, tree)
        return Value("M", members) if members else None
    if value.type == "L":
        places = sorted(part for part in tree if isinstance(part, int) and part < len(value.data))
        found = (_select(value.data[place], tree[place]) for place in places)
        elements = tuple(element for element in found if element is not None)
        return Value("L", elements) if elements else None
    return None
