"""What a JSONata expression looks at from its top: names, `$`, `$$` and the members of `$states`. Loads the engine.

An expression of a state has no context of its own: only variables lead anywhere. The first step of a path is read at
the top; later steps, predicates, orders and groups are read in what the steps before them give.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, cast

from localcloud.services.states.jsonata_engine import BadExpression, parse_expression

__all__ = ["BadExpression", "find_references"]

_INSIDE: Final = (
    "expression",
    "expressions",
    "arguments",
    "procedure",
    "body",
    "lhs",
    "rhs",
    "condition",
    "then",
    "_else",
)
_ELSEWHERE: Final = ("predicate", "stages", "group", "terms", "pattern", "update", "delete", "expr")
_PAIRS: Final = "lhs_object"
_SIGNS: Final = {"descendant": "**", "parent": "%", "wildcard": "*"}


def find_references(text: str) -> Iterator[str]:
    """Each reference in the expression: `$states.input`, `$$`, `$`, or a bare name. Raises BadExpression."""
    pending: list[tuple[Any, bool]] = [(parse_expression(text).ast, True)]
    while pending:
        node, is_top = pending.pop()
        if isinstance(node, list | tuple):
            pending.extend((each, is_top) for each in cast("list[Any]", node))
        elif hasattr(node, "position"):
            yield from _named(node, is_top)
            pending.extend(_parts(node, is_top))


def _named(node: Any, is_top: bool) -> Iterator[str]:  # noqa: FBT001 - where it is read
    kind = node.type
    if kind == "variable" and node.value == "$":
        yield "$$"
    elif is_top and kind == "variable" and node.value == "":
        yield "$"
    elif is_top and kind == "name":
        yield str(node.value)
    elif is_top and kind in _SIGNS:
        yield _SIGNS[kind]
    elif kind == "path":
        first, *others = node.steps
        if first.type == "variable" and first.value == "states" and others and others[0].type == "name":
            yield f"$states.{others[0].value}"


def _parts(node: Any, is_top: bool) -> Iterator[tuple[Any, bool]]:  # noqa: FBT001 - as above
    steps: list[Any] = getattr(node, "steps", None) or []
    for number, step in enumerate(steps):
        yield step, is_top and number == 0
    if node.type not in {"path", "sort", "transform"}:
        for name in _INSIDE:
            yield getattr(node, name, None), is_top
    for name in _ELSEWHERE:
        yield getattr(node, name, None), False
    yield getattr(node, _PAIRS, None), is_top and node.type == "unary"
