"""Key condition expressions: one value of the partition key, and a range of the sort key where it is wanted.

Owns the shape that AWS allows here; the table's schema is checked by the one who has it.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.KeyConditionExpressions.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from localcloud.services.dynamodb.errors import DynamoError, validation
from localcloud.services.dynamodb.expressions.bindings import Bindings
from localcloud.services.dynamodb.expressions.condition_parser import parse_condition
from localcloud.services.dynamodb.expressions.conditions import (
    Between,
    Call,
    Combined,
    Compare,
    Condition,
    In,
    Literal,
    Not,
    Operand,
    Size,
)
from localcloud.services.dynamodb.expressions.paths import Path
from localcloud.services.dynamodb.values import Value

__all__ = ["KeyCondition", "parse_key_condition"]

_SWAPPED: Final = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True, slots=True)
class KeyCondition:
    """What one key attribute must be. `operator`: = < <= > >= BETWEEN begins_with; BETWEEN has two values."""

    name: str
    operator: str
    values: tuple[Value, ...]


def parse_key_condition(text: str, bindings: Bindings) -> dict[str, KeyCondition]:
    """Conditions by attribute name. Raises DynamoError where the shape is not one that a query can answer."""
    tree = parse_condition(text, bindings, parameter="KeyConditionExpression")
    _check_operators(tree)
    conditions: dict[str, KeyCondition] = {}
    for part in _conjuncts(tree):
        condition = _single(part)
        if condition.name in conditions:
            raise validation(
                "Invalid KeyConditionExpression: KeyConditionExpressions must only contain one condition per key"
            )
        conditions[condition.name] = condition
    return conditions


def _conjuncts(tree: Condition) -> list[Condition]:
    if isinstance(tree, Combined) and tree.word == "AND":
        return [leaf for part in tree.conditions for leaf in _conjuncts(part)]
    return [tree]


def _check_operators(tree: Condition) -> None:
    operator = ""
    match tree:
        case Combined("OR", _) | Not() | In():
            operator = "OR" if isinstance(tree, Combined) else type(tree).__name__.upper()
        case Compare("<>", _, _):
            operator = "<>"
        case Call(name, _) if name != "begins_with":
            operator = name
        case Combined(_, parts):
            for part in parts:
                _check_operators(part)
        case _:
            pass
    if operator:
        raise validation(f"Invalid operator used in KeyConditionExpression: {operator}")


def _single(condition: Condition) -> KeyCondition:
    match condition:
        case Compare(operator, left, right):
            operands: tuple[Operand, ...] = (left, right)
        case Between(operand, low, high):
            operator, operands = "BETWEEN", (operand, low, high)
        case Call(operator, operands):
            pass
        case _:
            raise validation("Query key condition not supported")
    if operator in {"BETWEEN", "begins_with"} and isinstance(operands[0], Literal):
        raise _unfit(f"{operator} operator must have the key attribute as its first operand")
    path = _only_path(operands)
    values = tuple(operand.value for operand in operands if isinstance(operand, Literal) and operand.value is not None)
    if isinstance(operands[0], Literal):
        operator = _SWAPPED[operator]
    return KeyCondition(path.root, operator, values)


def _only_path(operands: tuple[Operand, ...]) -> Path:
    found: Path | None = None
    for operand in operands:
        if isinstance(operand, Size):
            raise validation("KeyConditionExpressions cannot contain nested operations")
        if isinstance(operand, Path):
            if found is not None:
                raise _unfit("Multiple attribute names used in one condition")
            if len(operand.parts) > 1:
                raise validation("KeyConditionExpressions cannot have conditions on nested attributes")
            found = operand
    if found is None:
        raise _unfit("No key attribute specified")
    return found


def _unfit(why: str) -> DynamoError:
    return validation(f"Invalid condition in KeyConditionExpression: {why}")
