"""What is wrong with a state in JSONata: its fields, its choice rules, its catchers, and the expressions in them. Pure.

Parsing an expression loads the engine, which a machine in JSONPath never does.
Sources: https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html and the pages of each state
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from localcloud.services.states.fields import FIELDS, REQUIRED, Checker
from localcloud.services.states.queries import expression_of, expressions_in
from localcloud.services.states.rules import Problem, check_names, check_next, items_of

__all__ = ["QUERY_FIELDS", "check_query_catch", "check_query_choices", "check_query_fields"]

_UNSUPPORTED: Final = "UNSUPPORTED_JSONATA_EXPRESSION"
_INVALID: Final = "INVALID_JSONATA_EXPRESSION"
_VARIABLE: Final = re.compile(r"[^\W\d]\w{0,79}")
_DROPPED: Final = frozenset(
    {
        "InputPath", "ItemsPath", "Iterator", "OutputPath", "Parameters", "Result", "ResultPath", "ResultSelector",
        "CausePath", "ErrorPath", "HeartbeatSecondsPath", "MaxConcurrencyPath", "SecondsPath", "TimeoutSecondsPath",
        "TimestampPath", "ToleratedFailureCountPath", "ToleratedFailurePercentagePath",
    }
)  # fmt: skip
_ADDED: Final[Mapping[str, tuple[str, ...]]] = {
    "Choice": ("Output",),
    "Map": ("Items", "Output"),
    "Parallel": ("Arguments", "Output"),
    "Pass": ("Output",),
    "Succeed": ("Output",),
    "Task": ("Arguments", "Output"),
    "Wait": ("Output",),
}
_EVALUATED: Final = (
    "Arguments", "Cause", "Error", "HeartbeatSeconds", "ItemBatcher", "ItemReader", "ItemSelector", "Items",
    "MaxConcurrency", "ResultWriter", "Seconds", "TimeoutSeconds", "Timestamp", "ToleratedFailureCount",
    "ToleratedFailurePercentage",
)  # fmt: skip
_WITH_RESULT: Final = frozenset({"Map", "Parallel", "Task"})
_CATCH: Final = frozenset({"Assign", "Comment", "ErrorEquals", "Next", "Output"})
_RULE: Final = frozenset({"Assign", "Comment", "Condition", "Next", "Output"})


def _any(_value: Any) -> str:
    return ""


def _or_expression(check: Checker) -> Checker:
    return lambda value: "" if expression_of(value) is not None else check(value)


def _items(value: Any) -> str:
    fine = isinstance(value, list | dict) or expression_of(value) is not None
    return "" if fine else "Value is not an array, an object or a JSONata expression"


def _fields() -> Iterator[tuple[str, Mapping[str, Checker]]]:
    for kind, known in FIELDS.items():
        kept = {name: check for name, check in known.items() if name not in _DROPPED}
        for name in (each for each in _EVALUATED if each in kept):
            kept[name] = _or_expression(kept[name])
        if "Assign" in kept:
            kept["Assign"] = _assigned
        if "ItemSelector" in kept:
            kept["ItemSelector"] = _any
        added: dict[str, Checker] = {name: _items if name == "Items" else _any for name in _ADDED.get(kind, ())}
        yield kind, kept | added


def _assigned(value: Any) -> str:
    if not isinstance(value, dict):
        return "Value is not an object"
    for name in cast("dict[str, Any]", value):
        if name == "states" or not _VARIABLE.fullmatch(name):
            return f"'{name}' is not a valid name of a variable"
    return ""


QUERY_FIELDS: Final[Mapping[str, Mapping[str, Checker]]] = dict(_fields())
"""The fields of each type of state, as `fields.FIELDS`."""


def check_query_fields(kind: str, state: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the fields of a state of a type, and with the expressions in them."""
    known = QUERY_FIELDS[kind]
    for name, value in state.items():
        yield from _check_field(kind, name, value)
    for name in REQUIRED.get(kind, ()):
        if name not in state:
            yield Problem(f"The field '{name}' is required but was missing", f"/{name}")
    if kind == "Wait" and ("Seconds" in state) is ("Timestamp" in state):
        yield Problem("Exactly one of 'Seconds' or 'Timestamp' is required", "")
    for name in (*_EVALUATED, "Assign", "Output"):
        if name in known:
            has_result = kind in _WITH_RESULT and name in {"Assign", "Output"}
            yield from _check_expressions(state.get(name), name, "$states.result" if has_result else "")


def _check_field(kind: str, name: str, value: Any) -> Iterator[Problem]:
    if name in QUERY_FIELDS[kind]:
        problem = QUERY_FIELDS[kind][name](value)
        if problem:
            yield Problem(problem, f"/{name}")
    elif name in FIELDS[kind]:
        message = f"The QueryLanguage is set to 'JSONata', but field '{name}' is only supported for the 'JSONPath'"
        yield Problem(f"{message} QueryLanguage", "")
    else:
        yield Problem("Field is not supported", f"/{name}")


def check_query_catch(state: Mapping[str, Any], others: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with a state's catchers."""
    catchers = items_of(state, "Catch")
    for number, catcher in enumerate(catchers):
        at = f"/Catch[{number}]"
        yield from check_names(catcher, at, _CATCH, is_last=number == len(catchers) - 1)
        yield from check_next(catcher, at, others)
        yield from _check_made(catcher, at, "$states.errorOutput")


def check_query_choices(state: Mapping[str, Any], others: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the rules of a Choice."""
    for number, rule in enumerate(items_of(state, "Choices")):
        at = f"/Choices[{number}]"
        for name in rule:
            if name not in _RULE:
                message = f"The QueryLanguage is set to 'JSONata', but field '{name}' is only supported for the"
                yield Problem(f"{message} 'JSONPath' QueryLanguage", at)
        yield from check_next(rule, at, others)
        condition = rule.get("Condition")
        if expression_of(condition) is None and not isinstance(condition, bool):
            yield Problem(
                "The field 'Condition' is required and is a boolean or a JSONata expression", f"{at}/Condition"
            )
        yield from _check_expressions(condition, f"{at[1:]}/Condition")
        yield from _check_made(rule, at, "")


def _check_made(item: Mapping[str, Any], at: str, extra: str) -> Iterator[Problem]:
    problem = _assigned(item.get("Assign", {}))
    if problem:
        yield Problem(problem, f"{at}/Assign")
    for name in ("Assign", "Output"):
        yield from _check_expressions(item.get(name), f"{at[1:]}/{name}", extra)


def _check_expressions(value: Any, place: str, extra: str = "") -> Iterator[Problem]:
    """What is wrong with the expressions in a field; `extra` is the member of `$states` that only some may look at."""
    found = list(expressions_in(value, place))
    if not found:
        return
    from localcloud.services.states.jsonata_references import BadExpression, find_references  # noqa: PLC0415 - lazy

    for where, text in found:
        try:
            references = list(dict.fromkeys(find_references(text)))
        except BadExpression as error:
            yield Problem(str(error), f"/{where}", _INVALID)
            continue
        for each in references:
            message = _refuse(each, extra)
            if message:
                yield Problem(message, f"/{where}", _UNSUPPORTED)


def _refuse(reference: str, extra: str) -> str:
    if reference in {"$states.context", "$states.input"} or (extra and reference == extra):
        return ""
    if reference.startswith("$states."):
        return f"Field '{reference}' does not exist."
    if reference == "$$":
        return "Reference to '$$' is not supported."
    return f"Reference to '{reference}' at the top level is not supported."
