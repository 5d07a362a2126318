"""What is wrong with the retriers, the catchers and the choice rules of a state. Pure.

Source: https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from localcloud.services.states.choice import COMPARISONS, TESTS, read_timestamp
from localcloud.services.states.failures import ALL
from localcloud.services.states.fields import template_problems
from localcloud.services.states.paths import BadPath, parse_path, parse_reference

__all__ = ["Problem", "check_catch", "check_choices", "check_names", "check_next", "check_retry", "items_of"]

MAX_ATTEMPTS: Final = 99_999_999
MAX_DELAY_S: Final = 31_622_400  # MaxDelaySeconds: "less than 31622400"
MAX_DEPTH: Final = 50  # of And, Or and Not inside each other, ours
TARGET: Final = "MISSING_TRANSITION_TARGET"
_JITTERS: Final = ("FULL", "NONE")  # a tuple, for what stands there may have no hash
_RETRY: Final = frozenset(
    {"BackoffRate", "Comment", "ErrorEquals", "IntervalSeconds", "JitterStrategy", "MaxAttempts", "MaxDelaySeconds"}
)
_CATCH: Final = frozenset({"Assign", "Comment", "ErrorEquals", "Next", "ResultPath"})
_BESIDE: Final = frozenset({"Assign", "Comment", "Next", "Variable"})


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong; `place` is where in the state."""

    message: str
    place: str
    code: str = "SCHEMA_VALIDATION_FAILED"


def check_retry(state: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with a state's retriers."""
    retriers = items_of(state, "Retry")
    for number, retrier in enumerate(retriers):
        at = f"/Retry[{number}]"
        yield from check_names(retrier, at, _RETRY, is_last=number == len(retriers) - 1)
        for name, low, high in (("IntervalSeconds", 1, MAX_ATTEMPTS), ("MaxAttempts", 0, MAX_ATTEMPTS)):
            yield from _check_whole(retrier, name, at, low=low, high=high)
        yield from _check_whole(retrier, "MaxDelaySeconds", at, low=1, high=MAX_DELAY_S - 1)
        rate = retrier.get("BackoffRate", 2.0)
        if isinstance(rate, bool) or not isinstance(rate, int | float) or rate < 1:
            yield Problem("Value is not a number of at least 1.0", f"{at}/BackoffRate")
        if retrier.get("JitterStrategy", "NONE") not in _JITTERS:
            yield Problem("Value is not FULL or NONE", f"{at}/JitterStrategy")
        interval, most = retrier.get("IntervalSeconds", 1), retrier.get("MaxDelaySeconds")
        if isinstance(interval, int) and isinstance(most, int) and most <= interval:
            yield Problem("MaxDelaySeconds must be greater than IntervalSeconds", f"{at}/MaxDelaySeconds")


def check_catch(state: Mapping[str, Any], others: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with a state's catchers."""
    catchers = items_of(state, "Catch")
    for number, catcher in enumerate(catchers):
        at = f"/Catch[{number}]"
        yield from check_names(catcher, at, _CATCH, is_last=number == len(catchers) - 1)
        yield from check_next(catcher, at, others)
        yield from _check_assign(catcher, at)
        reference = catcher.get("ResultPath")
        if reference is not None:
            try:
                parse_reference(reference if isinstance(reference, str) else "")
            except BadPath:
                yield Problem("Value is not a valid Reference Path", f"{at}/ResultPath")


def check_choices(state: Mapping[str, Any], others: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the rules of a Choice, and with its Default."""
    for number, rule in enumerate(items_of(state, "Choices")):
        at = f"/Choices[{number}]"
        yield from check_next(rule, at, others)
        yield from _check_assign(rule, at)
        yield from _check_rule(rule, at, depth=0)
    default = state.get("Default")
    if isinstance(default, str) and default not in others:
        yield Problem(f"Missing 'Default' target: {default}", "/Default", TARGET)


def items_of(state: Mapping[str, Any], field: str) -> list[dict[str, Any]]:
    """The objects of a field that lists some."""
    value = state.get(field)
    items = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", each) if isinstance(each, dict) else {} for each in items]


def check_names(item: Mapping[str, Any], at: str, known: frozenset[str], *, is_last: bool) -> Iterator[Problem]:
    """What is wrong with the names of a retrier's or catcher's fields, and of the errors that it takes."""
    for name in item:
        if name not in known:
            yield Problem("Field is not supported", f"{at}/{name}")
    names = item.get("ErrorEquals")
    listed = cast("list[Any]", names) if isinstance(names, list) else []
    if not listed or not all(isinstance(name, str) for name in listed):
        yield Problem("The field 'ErrorEquals' is required and is a non-empty array of strings", f"{at}/ErrorEquals")
    elif ALL in listed and (len(listed) > 1 or not is_last):
        yield Problem(f"{ALL} must appear alone and at the end of the list", f"{at}/ErrorEquals")


def check_next(item: Mapping[str, Any], at: str, others: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with where a catcher or a choice rule leads to."""
    target = item.get("Next")
    if not isinstance(target, str):
        yield Problem("The field 'Next' is required but was missing", f"{at}/Next")
    elif target not in others:
        yield Problem(f"Missing 'Next' target: {target}", f"{at}/Next", TARGET)


def _check_assign(item: Mapping[str, Any], at: str) -> Iterator[Problem]:
    assigned = item.get("Assign", {})
    if not isinstance(assigned, dict):
        yield Problem("Value is not an object", f"{at}/Assign")
    for place, message in template_problems(assigned):
        yield Problem(message, f"{at}/Assign{place}")


def _check_whole(item: Mapping[str, Any], name: str, at: str, *, low: int, high: int) -> Iterator[Problem]:
    value = item.get(name, low)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        yield Problem(f"Value is not an integer between {low} and {high}", f"{at}/{name}")


def _check_rule(rule: Mapping[str, Any], at: str, *, depth: int) -> Iterator[Problem]:
    if depth > MAX_DEPTH:
        yield Problem(f"Choice rules nested deeper than {MAX_DEPTH} are not served", at, "NOT_SERVED")
        return
    beside = _BESIDE if depth == 0 else _BESIDE - {"Next", "Assign"}
    operators = [name for name in rule if name not in beside]
    if len(operators) != 1:
        yield Problem("A choice rule must have exactly one comparison operator", at)
        return
    name, value = operators[0], rule[operators[0]]
    if name in {"And", "Or"}:
        rules = cast("list[Any]", value) if isinstance(value, list) else []
        if not rules:
            yield Problem("Value is not a non-empty array", f"{at}/{name}")
        for number, each in enumerate(rules):
            inner = cast("dict[str, Any]", each) if isinstance(each, dict) else {}
            yield from _check_rule(inner, f"{at}/{name}[{number}]", depth=depth + 1)
    elif name == "Not":
        inner = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        yield from _check_rule(inner, f"{at}/Not", depth=depth + 1)
    else:
        yield from _check_comparison(name, value, rule.get("Variable"), at=at)


def _check_comparison(name: str, value: Any, variable: Any, *, at: str) -> Iterator[Problem]:
    if not _is_path(variable):
        yield Problem("Value is not a valid JSONPath", f"{at}/Variable")
    plain = name.removesuffix("Path")
    if name in TESTS:
        fine = isinstance(value, bool)
    elif name in COMPARISONS:
        fine = _fits(name, value)
    elif plain in COMPARISONS and plain != "StringMatches":
        fine = _is_path(value)
    else:
        yield Problem("Field is not supported", f"{at}/{name}")
        return
    if not fine:
        yield Problem("Value has the wrong type for this comparison", f"{at}/{name}")


def _fits(name: str, value: Any) -> bool:
    if name.startswith("Boolean"):
        return isinstance(value, bool)
    if name.startswith("Numeric"):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return read_timestamp(value) is not None if name.startswith("Timestamp") else isinstance(value, str)


def _is_path(value: Any) -> bool:
    try:
        parse_path(value if isinstance(value, str) else "")
    except BadPath:
        return False
    return True
