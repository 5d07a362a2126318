"""JSONata as a port: expressions and what they may look at go in, values come out. Knows no engine.

Source: https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

__all__ = [
    "Evaluator",
    "FailedQuery",
    "Query",
    "QueryFailed",
    "expression_of",
    "expressions_in",
    "put_values",
    "used_names",
]

_EXPRESSION: Final = re.compile(r"\{%(.*)%\}", re.DOTALL)
_VARIABLE: Final = re.compile(r"\$([A-Za-z_]\w*)")


@dataclass(frozen=True, slots=True)
class Query:
    """Expressions that are evaluated in their order, all over the same variables. `seed` decides all chance in them."""

    texts: Sequence[str]
    variables: Mapping[str, Any]
    seed: int
    now_ms: int


@dataclass(frozen=True, slots=True)
class FailedQuery:
    """Which expression failed, the number of it, and why: `undefined` has no value, `unsupported` a function's."""

    number: int
    reason: str
    undefined: bool = False
    unsupported: bool = False


class QueryFailed(Exception):
    """An expression gave no value."""

    def __init__(self, failed: FailedQuery) -> None:
        super().__init__(failed.reason)
        self.failed = failed


class Evaluator(Protocol):
    """Whoever evaluates."""

    async def evaluate(self, query: Query) -> list[Any]:
        """The values of all expressions, JSON. Raises QueryFailed for the first that gives none."""
        ...

    async def close(self) -> None:
        """Nobody asks any more."""
        ...


def expression_of(value: object) -> str | None:
    """The expression in a field's value, None where it is none: `{%` and `%}` are its first and its last characters."""
    found = _EXPRESSION.fullmatch(value) if isinstance(value, str) else None
    return None if found is None else found[1].strip()


def expressions_in(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Each place of a value at any depth that is an expression, `Output/a/b[0]`, and the expression."""
    if isinstance(value, dict):
        for name, each in cast("dict[str, Any]", value).items():
            yield from expressions_in(each, f"{place}/{name}" if place else name)
    elif isinstance(value, list):
        for number, each in enumerate(cast("list[Any]", value)):
            yield from expressions_in(each, f"{place}[{number}]")
    else:
        text = expression_of(value)
        if text is not None:
            yield place, text


def put_values(value: Any, values: Iterator[Any]) -> Any:
    """The value with each of its expressions, in their order, replaced by the next of `values`."""
    if isinstance(value, dict):
        return {name: put_values(each, values) for name, each in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [put_values(each, values) for each in cast("list[Any]", value)]
    return value if expression_of(value) is None else next(values)


def used_names(texts: Sequence[str]) -> set[str]:
    """Every name that could be a variable's in the expressions."""
    return {name for text in texts for name in _VARIABLE.findall(text)}
