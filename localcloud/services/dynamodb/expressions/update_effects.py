"""What an update expression does to an item.

Pure: every source is evaluated on the item as it was, before any place is looked at; then all places change at once.
Values are never changed in place, so old and new item share what did not change.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final

from localcloud.services.dynamodb.errors import DynamoError, validation
from localcloud.services.dynamodb.expressions.conditions import Literal
from localcloud.services.dynamodb.expressions.paths import Path, find_value
from localcloud.services.dynamodb.expressions.updates import (
    Action,
    Arithmetic,
    IfNotExists,
    ListAppend,
    Source,
    Update,
)
from localcloud.services.dynamodb.numbers import add_numbers, subtract_numbers
from localcloud.services.dynamodb.values import Item, Value

__all__ = ["apply_update"]

_BRANCHES: Final = ("M", "L")


@dataclass(slots=True)
class _Change:
    """What happens below one place: a value to set, a removal, or changes further down."""

    value: Value | None = None
    removed: bool = False
    below: dict[str | int, _Change] = field(default_factory=dict["str | int", "_Change"])


def apply_update(update: Update, item: Mapping[str, Value]) -> Item:
    """The item after `update`; `item` is as stored, or the key alone where nothing was stored.

    Raises DynamoError where a path does not fit the item or an operand has the wrong type.
    """
    root = _Change()
    effects = [(action, _effect(action, item)) for action in update.actions if action.section == "SET"]
    effects += [(action, None) for action in update.actions if action.section != "SET"]
    for action, found in effects:
        _check_place(item, action.path)
        change = found or _effect(action, item)
        if change is None:
            continue
        branch = root
        for part in action.path.parts[:-1]:
            branch = branch.below.setdefault(part, _Change())
        branch.below[action.path.parts[-1]] = change
    return _change_members(item, root.below)


def _effect(action: Action, item: Mapping[str, Value]) -> _Change | None:
    if action.section == "REMOVE":
        return _Change(removed=True)
    if action.source is None:
        return None
    value = _evaluate(action.source, item)
    if action.section == "SET":
        return _Change(value=value)
    current = find_value(item, action.path)
    if action.section == "ADD":
        return _Change(value=value if current is None else _added(current, value))
    return None if current is None else _deleted(current, value)


def _evaluate(source: Source, item: Mapping[str, Value]) -> Value:
    match source:
        case Literal(Value() as value):
            return value
        case IfNotExists(path, otherwise):
            found = find_value(item, path)
            return _evaluate(otherwise, item) if found is None else found
        case ListAppend(first, second):
            return _appended(_evaluate(first, item), _evaluate(second, item))
        case Arithmetic(operator, left, right):
            return _sum(operator, _evaluate(left, item), _evaluate(right, item))
        case Path() | Literal():
            found = find_value(item, source) if isinstance(source, Path) else None
            if found is not None:
                return found
    raise validation("The provided expression refers to an attribute that does not exist in the item")


def _appended(first: Value, second: Value) -> Value:
    if first.type != "L" or second.type != "L":
        raise _wrong_operand()
    return Value("L", first.data + second.data)


def _sum(operator: str, left: Value, right: Value) -> Value:
    if left.type != "N" or right.type != "N":
        raise _wrong_operand()
    combine = add_numbers if operator == "+" else subtract_numbers
    return Value("N", combine(left.data, right.data))


def _added(current: Value, value: Value) -> Value:
    if current.type != value.type:
        raise _wrong_operand()
    if value.type == "N":
        return Value("N", add_numbers(current.data, value.data))
    return Value(value.type, current.data | value.data)


def _deleted(current: Value, value: Value) -> _Change:
    if current.type != value.type:
        raise _wrong_operand()
    left = current.data - value.data
    return _Change(value=Value(value.type, left)) if left else _Change(removed=True)


def _check_place(item: Mapping[str, Value], path: Path) -> None:
    """The parent of `path` must be there, and be a map for a name, a list for a position."""
    if len(path.parts) == 1:
        return
    parent = find_value(item, Path(path.parts[:-1]))
    wanted = "L" if isinstance(path.parts[-1], int) else "M"
    if parent is None or parent.type != wanted:
        raise validation("The document path provided in the update expression is invalid for update")


def _change_members(members: Mapping[str, Value], changes: Mapping[str | int, _Change]) -> Item:
    changed = dict(members)
    for part, change in changes.items():
        name = str(part)
        if change.removed:
            changed.pop(name, None)
        else:
            changed[name] = _changed(members.get(name), change)
    return changed


def _change_elements(elements: tuple[Value, ...], changes: Mapping[str | int, _Change]) -> tuple[Value, ...]:
    """Positions mean the list as it was: replace first, then append what lies beyond the end, then remove."""
    changed: list[Value | None] = list(elements)
    beyond: list[Value] = []
    for place, change in sorted(_positions(changes), key=itemgetter(0)):
        if place >= len(elements):
            if not change.removed:
                beyond.append(_changed(None, change))
        else:
            changed[place] = None if change.removed else _changed(elements[place], change)
    return tuple(element for element in (*changed, *beyond) if element is not None)


def _positions(changes: Mapping[str | int, _Change]) -> list[tuple[int, _Change]]:
    return [(part, change) for part, change in changes.items() if isinstance(part, int)]


def _changed(value: Value | None, change: _Change) -> Value:
    if change.value is not None:
        return change.value
    if value is None or value.type not in _BRANCHES:
        raise validation("The document path provided in the update expression is invalid for update")
    if value.type == "M":
        return Value("M", _change_members(value.data, change.below))
    return Value("L", _change_elements(value.data, change.below))


def _wrong_operand() -> DynamoError:
    return validation("An operand in the update expression has an incorrect data type")
