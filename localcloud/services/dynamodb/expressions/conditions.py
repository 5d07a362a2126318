"""Condition and filter expressions: the tree, and whether it holds for an item.

Pure: an item and a tree in, a truth value out. Parsing lives in `condition_parser`.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from operator import ge, gt, le, lt
from typing import Any, Final

from localcloud.services.dynamodb.expressions.paths import Path, find_value
from localcloud.services.dynamodb.values import Value, value_size

__all__ = [
    "Between",
    "Call",
    "Combined",
    "Compare",
    "Condition",
    "In",
    "Literal",
    "Not",
    "Operand",
    "Size",
    "holds",
    "walk_paths",
]

ORDERED_TYPES: Final = frozenset({"S", "N", "B"})


@dataclass(frozen=True, slots=True)
class Literal:
    """A `:value`; None where the request does not define it (a fault is noted then)."""

    value: Value | None


@dataclass(frozen=True, slots=True)
class Size:
    """`size(operand)`."""

    operand: Operand


Operand = Path | Literal | Size


@dataclass(frozen=True, slots=True)
class Compare:
    """`left operator right`; operator is one of = <> < <= > >=."""

    operator: str
    left: Operand
    right: Operand


@dataclass(frozen=True, slots=True)
class Between:
    """`operand BETWEEN low AND high`, both ends included."""

    operand: Operand
    low: Operand
    high: Operand


@dataclass(frozen=True, slots=True)
class In:
    """`operand IN (choices)`."""

    operand: Operand
    choices: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A function that is a condition; its operands were checked when it was parsed."""

    name: str
    operands: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """`NOT condition`."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class Combined:
    """Conditions joined by `AND` or by `OR` (`word`)."""

    word: str
    conditions: tuple[Condition, ...]


Condition = Compare | Between | In | Call | Not | Combined


def holds(condition: Condition, item: Mapping[str, Value]) -> bool:
    """Whether `item` (an empty mapping where there is none) meets `condition`."""
    match condition:
        case Combined("AND", conditions):
            return all(holds(part, item) for part in conditions)
        case Combined(_, conditions):
            return any(holds(part, item) for part in conditions)
        case Not(negated):
            return not holds(negated, item)
        case Call(name, operands):
            return _FUNCTIONS[name](*(_evaluate(operand, item) for operand in operands))
        case _:
            return _compares(condition, item)


def walk_paths(condition: Condition) -> list[Path]:
    """Every path that `condition` names, in the order of the text."""
    match condition:
        case Combined(_, conditions):
            return [path for part in conditions for path in walk_paths(part)]
        case Not(negated):
            return walk_paths(negated)
        case Call(_, operands):
            return _operand_paths(*operands)
        case Compare(_, left, right):
            return _operand_paths(left, right)
        case Between(operand, low, high):
            return _operand_paths(operand, low, high)
        case In(operand, choices):
            return _operand_paths(operand, *choices)


def _operand_paths(*operands: Operand) -> list[Path]:
    found: list[Path] = []
    for operand in operands:
        inner = operand
        while isinstance(inner, Size):
            inner = inner.operand
        if isinstance(inner, Path):
            found.append(inner)
    return found


def _compares(condition: Compare | Between | In, item: Mapping[str, Value]) -> bool:
    match condition:
        case Compare(operator, left, right):
            return _COMPARATORS[operator](_evaluate(left, item), _evaluate(right, item))
        case Between(operand, low, high):
            value = _evaluate(operand, item)
            return _ordered(ge, value, _evaluate(low, item)) and _ordered(le, value, _evaluate(high, item))
        case In(operand, choices):
            value = _evaluate(operand, item)
            return any(_equal(value, _evaluate(choice, item)) for choice in choices)


def _evaluate(operand: Operand, item: Mapping[str, Value]) -> Value | None:
    match operand:
        case Literal(value):
            return value
        case Size(inner):
            value = _evaluate(inner, item)
            return None if value is None else _measure(value)
        case _:
            return find_value(item, operand)


def _measure(value: Value) -> Value | None:
    """What `size` gives: UTF-8 bytes, bytes or elements; nothing for the types that have no size."""
    if value.type in {"S", "B"}:
        return Value("N", Decimal(value_size(value)))
    if value.type in {"SS", "NS", "BS", "L", "M"}:
        return Value("N", Decimal(len(value.data)))
    return None


def _equal(left: Value | None, right: Value | None) -> bool:
    return left is not None and left == right


def _differ(left: Value | None, right: Value | None) -> bool:
    return not _equal(left, right)


def _ordered(order: Callable[[Any, Any], bool], left: Value | None, right: Value | None) -> bool:
    if left is None or right is None or left.type != right.type or left.type not in ORDERED_TYPES:
        return False
    return order(left.data, right.data)


def _ordering(order: Callable[[Any, Any], bool]) -> Callable[[Value | None, Value | None], bool]:
    def compare(left: Value | None, right: Value | None) -> bool:
        return _ordered(order, left, right)

    return compare


def _exists(value: Value | None) -> bool:
    return value is not None


def _is_missing(value: Value | None) -> bool:
    return value is None


def _has_type(value: Value | None, kind: Value | None) -> bool:
    return value is not None and kind is not None and value.type == kind.data


def _begins_with(value: Value | None, prefix: Value | None) -> bool:
    if value is None or prefix is None or value.type != prefix.type or value.type not in {"S", "B"}:
        return False
    return value.data.startswith(prefix.data)


def _contains(value: Value | None, member: Value | None) -> bool:
    if value is None or member is None:
        return False
    if value.type == "L":
        return member in value.data
    if value.type in {"SS", "NS", "BS"}:
        return member.type == value.type[0] and member.data in value.data
    return value.type in {"S", "B"} and member.type == value.type and member.data in value.data


_COMPARATORS: Final[Mapping[str, Callable[[Value | None, Value | None], bool]]] = {
    "=": _equal,
    "<>": _differ,
    "<": _ordering(lt),
    "<=": _ordering(le),
    ">": _ordering(gt),
    ">=": _ordering(ge),
}
_FUNCTIONS: Final[Mapping[str, Callable[..., bool]]] = {
    "attribute_exists": _exists,
    "attribute_not_exists": _is_missing,
    "attribute_type": _has_type,
    "begins_with": _begins_with,
    "contains": _contains,
}
