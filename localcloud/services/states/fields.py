"""The fields of states: which ones each type has, and what may stand in them. Pure.

Each checker says what is wrong with a value, "" where nothing is.
Source: https://docs.aws.amazon.com/step-functions/latest/dg/statemachine-structure.html and the pages of each state
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias, cast

from localcloud.services.states.choice import read_timestamp
from localcloud.services.states.intrinsics import BadIntrinsic, is_intrinsic, parse_intrinsic
from localcloud.services.states.paths import BadPath, parse_path, parse_reference

__all__ = ["FIELDS", "REQUIRED", "Checker", "template_problems"]

Checker: TypeAlias = Callable[[Any], str]
MAX_SECONDS: Final = 99_999_999  # TimeoutSeconds, Wait's Seconds: "a positive integer", at most 99999999
MAX_JSON_NESTING: Final = 200


def _any(_value: Any) -> str:
    return ""


def _text(value: Any) -> str:
    return "" if isinstance(value, str) else "Value is not a string"


def _flag(value: Any) -> str:
    return "" if isinstance(value, bool) else "Value is not a boolean"


def _path(value: Any) -> str:
    if value is None:
        return ""
    try:
        parse_path(value if isinstance(value, str) else "")
    except BadPath:
        return "Value is not a valid JSONPath"
    return ""


def _needed_path(value: Any) -> str:
    """A path, or an intrinsic function that gives the value."""
    if isinstance(value, str) and is_intrinsic(value):
        return _dynamic(value)
    return "Value is not a valid JSONPath" if value is None else _path(value)


def _reference(value: Any) -> str:
    if value is None:
        return ""
    try:
        parse_reference(value if isinstance(value, str) else "")
    except BadPath:
        return "Value is not a valid Reference Path"
    return ""


def _dynamic(value: Any) -> str:
    if not isinstance(value, str):
        return "must be a JSONPath or intrinsic function"
    try:
        if is_intrinsic(value):
            parse_intrinsic(value)
        else:
            parse_path(value)
    except (BadIntrinsic, BadPath):
        return "must be a valid JSONPath or a valid intrinsic function call"
    return ""


def template_problems(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Where and why a payload template is none."""
    if isinstance(value, dict):
        for name, each in cast("dict[str, Any]", value).items():
            if name.endswith(".$"):
                problem = _dynamic(each)
                if problem:
                    yield f"{path}/{name}", f"The value for the field '{name}' {problem}"
            else:
                yield from template_problems(each, f"{path}/{name}")
    elif isinstance(value, list):
        for number, each in enumerate(cast("list[Any]", value)):
            yield from template_problems(each, f"{path}[{number}]")


def _template(value: Any) -> str:
    return next((problem for _, problem in template_problems(value)), "")


def _object(value: Any) -> str:
    return "" if isinstance(value, dict) else "Value is not an object"


def _object_template(value: Any) -> str:
    return _object(value) or _template(value)


def _list(value: Any) -> str:
    return "" if isinstance(value, list) and value else "Value is not a non-empty array"


def _whole(low: int, high: int) -> Checker:
    def check(value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, int):
            return "Value is not an integer"
        return "" if low <= value <= high else f"Value is not between {low} and {high}"

    return check


def _percentage(value: Any) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return "" if is_number and 0 <= value <= 100 else "Value is not between 0 and 100"


def _timestamp(value: Any) -> str:
    return "" if read_timestamp(value) is not None else "Value is not a valid timestamp"


def _label(value: Any) -> str:
    fine = isinstance(value, str) and 0 < len(value) <= 40 and not set(value) & set(' <>{}[]?*"#%\\^|~`$&,;:/')
    return "" if fine else "Value is not a valid label of 1 to 40 characters"


_SECONDS: Final = _whole(1, MAX_SECONDS)
_COMMON: Final[Mapping[str, Checker]] = {"Type": _text, "Comment": _text, "QueryLanguage": _text}
_DATA: Final[Mapping[str, Checker]] = {"InputPath": _path, "OutputPath": _path}
_FLOW: Final[Mapping[str, Checker]] = {"Next": _text, "End": _flag}
_RESULT: Final[Mapping[str, Checker]] = {
    "ResultPath": _reference,
    "ResultSelector": _object_template,
    "Retry": _list,
    "Catch": _list,
}
_ASSIGN: Final[Mapping[str, Checker]] = {"Assign": _object_template}
_MOST: Final[Mapping[str, Checker]] = {**_COMMON, **_DATA, **_FLOW, **_ASSIGN}

FIELDS: Final[Mapping[str, Mapping[str, Checker]]] = {
    "Choice": {**_COMMON, **_DATA, **_ASSIGN, "Choices": _list, "Default": _text},
    "Fail": {**_COMMON, "Error": _text, "Cause": _text, "ErrorPath": _needed_path, "CausePath": _needed_path},
    "Map": {
        **_MOST,
        **_RESULT,
        "ItemBatcher": _object,
        "ItemProcessor": _object,
        "ItemReader": _object,
        "ItemSelector": _template,
        "ItemsPath": _needed_path,
        "Iterator": _object,
        "Label": _label,
        "MaxConcurrency": _whole(0, MAX_SECONDS),
        "MaxConcurrencyPath": _needed_path,
        "Parameters": _template,
        "ResultWriter": _object,
        "ToleratedFailureCount": _whole(0, MAX_SECONDS),
        "ToleratedFailureCountPath": _needed_path,
        "ToleratedFailurePercentage": _percentage,
        "ToleratedFailurePercentagePath": _needed_path,
    },
    "Parallel": {**_MOST, **_RESULT, "Branches": _list, "Parameters": _template},
    "Pass": {**_MOST, "Parameters": _template, "Result": _any, "ResultPath": _reference},
    "Succeed": {**_COMMON, **_DATA},
    "Task": {
        **_MOST,
        **_RESULT,
        "Credentials": _object,
        "HeartbeatSeconds": _SECONDS,
        "HeartbeatSecondsPath": _needed_path,
        "Parameters": _template,
        "Resource": _text,
        "TimeoutSeconds": _SECONDS,
        "TimeoutSecondsPath": _needed_path,
    },
    "Wait": {
        **_MOST,
        "Seconds": _whole(0, MAX_SECONDS),
        "SecondsPath": _needed_path,
        "Timestamp": _timestamp,
        "TimestampPath": _needed_path,
    },
}
REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "Choice": ("Choices",),
    "Parallel": ("Branches",),
    "Task": ("Resource",),
}
