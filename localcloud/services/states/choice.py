"""The rules of Choice states. Pure.

A comparison with a value of another type does not hold. Timestamps are RFC 3339. Source:
https://docs.aws.amazon.com/step-functions/latest/dg/state-choice.html
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, cast

from localcloud.matching import match_runs
from localcloud.services.states.data import resolve
from localcloud.services.states.failures import RUNTIME, StateFailure
from localcloud.services.states.paths import MISSING, Scope, find, parse_path

__all__ = ["COMPARISONS", "TESTS", "holds", "read_timestamp"]

_TIMESTAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_ORDERS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "Equals": operator.eq,
    "GreaterThan": operator.gt,
    "GreaterThanEquals": operator.ge,
    "LessThan": operator.lt,
    "LessThanEquals": operator.le,
}


def read_timestamp(value: object) -> float | None:
    """Epoch seconds of an RFC 3339 timestamp, None for what is none."""
    if not isinstance(value, str) or not _TIMESTAMP.fullmatch(value):
        return None
    try:
        return datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError):
        return None


def _text(value: Any) -> Any:
    return value if isinstance(value, str) else None


def _number(value: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _flag(value: Any) -> Any:
    return value if isinstance(value, bool) else None


_TYPES: Final[Mapping[str, Callable[[Any], Any]]] = {
    "Boolean": _flag,
    "Numeric": _number,
    "String": _text,
    "Timestamp": read_timestamp,
}


def _make(read: Callable[[Any], Any], order: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(value: Any, wanted: Any) -> bool:
        one, two = read(value), read(wanted)
        return one is not None and two is not None and order(one, two)

    return compare


def _matches(value: Any, wanted: Any) -> bool:
    """`*` stands for any characters, `\\*` for itself."""
    if not isinstance(value, str) or not isinstance(wanted, str):
        return False
    parts = [""]
    for piece in re.split(r"(\\[\\*]|\*)", wanted):
        if piece == "*":
            parts.append("")
        else:
            parts[-1] += piece[1:] if piece[:1] == "\\" else piece
    return match_runs(parts, value)


COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "BooleanEquals": _make(_flag, operator.eq),
    "StringMatches": _matches,
    **{
        f"{kind}{name}": _make(read, order)
        for kind, read in _TYPES.items()
        for name, order in _ORDERS.items()
        if kind != "Boolean"
    },
}
"""Each also with `Path` behind its name, which then leads to the value to compare with; but for StringMatches."""

TESTS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "IsBoolean": lambda value: isinstance(value, bool),
    "IsNull": lambda value: value is None,
    "IsNumeric": lambda value: _number(value) is not None,
    "IsPresent": lambda value: value is not MISSING,
    "IsString": lambda value: isinstance(value, str),
    "IsTimestamp": lambda value: read_timestamp(value) is not None,
}


def holds(rule: Mapping[str, Any], scope: Scope) -> bool:
    """Whether a rule holds. Raises StateFailure States.Runtime for a Variable that leads nowhere."""
    if "And" in rule:
        return all(holds(each, scope) for each in cast("list[dict[str, Any]]", rule["And"]))
    if "Or" in rule:
        return any(holds(each, scope) for each in cast("list[dict[str, Any]]", rule["Or"]))
    if "Not" in rule:
        return not holds(rule["Not"], scope)
    value = find(parse_path(rule["Variable"]), scope)
    for name, test in TESTS.items():
        if name in rule:
            return _test(name, test(value), rule, missing=value is MISSING)
    if value is MISSING:
        raise _leads_nowhere(rule)
    name = next(name for name in rule if name in COMPARISONS or name.removesuffix("Path") in COMPARISONS)
    wanted = rule[name] if name in COMPARISONS else resolve(rule[name], scope)
    return COMPARISONS[name.removesuffix("Path")](value, wanted)


def _test(name: str, passed: bool, rule: Mapping[str, Any], *, missing: bool) -> bool:  # noqa: FBT001 - what was seen
    if missing and name != "IsPresent":
        raise _leads_nowhere(rule)
    return passed is rule[name]


def _leads_nowhere(rule: Mapping[str, Any]) -> StateFailure:
    message = f"Invalid path '{rule['Variable']}': The choice state's condition path references an invalid value."
    return StateFailure(RUNTIME, message, located=False)
