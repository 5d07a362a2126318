"""Values as Java sees them: how they print, compare and add, and what an object of ours must offer a template.

Strings, numbers, booleans, None (null), lists and dicts stand for Java's String, Number, Boolean, null, List and Map.
Source: https://velocity.apache.org/engine/1.7/vtl-reference.html
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, Final, Protocol, cast, runtime_checkable

__all__ = [
    "MISSING",
    "JsonList",
    "Missing",
    "TemplateObject",
    "Unknown",
    "add",
    "arithmetic",
    "as_text",
    "compare",
    "equals",
    "java_double",
    "json_text",
    "kind_of",
    "truth",
]

_PLAIN_FROM: Final = 1e-3  # Double.toString uses no exponent from here
_PLAIN_TO: Final = 1e7  # to here, https://docs.oracle.com/javase/8/docs/api/java/lang/Double.html#toString-double-


class Unknown(Exception):
    """A property or method that a value does not have, or cannot apply; the message names it."""


@runtime_checkable
class TemplateObject(Protocol):
    """An object with named parts, such as `$input`."""

    def get(self, name: str) -> Any:
        """The property. Raises Unknown."""
        ...

    def call(self, name: str, arguments: Sequence[Any]) -> Any:
        """The method's answer. Raises Unknown."""
        ...


class JsonList(list[Any]):
    """A list out of a JSON document: it prints as JSON, where a map prints as Java's maps do."""


class Missing(str):
    """What a path into known data gives where nothing is, or null: to API Gateway the empty string.

    It has a string's methods; what a string has not is missing too.
    Source: https://github.com/localstack/localstack/pull/11886 (found on API Gateway; its reference does not say),
    https://github.com/dherault/serverless-offline/issues/1362, https://github.com/dherault/serverless-offline/issues/50
    """

    __slots__ = ()


MISSING: Final = Missing()


def java_double(value: float) -> str:
    """A double as `Double.toString` writes it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0 or _PLAIN_FROM <= abs(value) < _PLAIN_TO:
        text = f"{value:f}" if "e" in repr(value) else repr(value)
        return text if "." in text else text + ".0"
    mantissa, _, exponent = f"{value!r}".partition("e") if "e" in repr(value) else _scientific(value)
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}E{int(exponent)}"


def _scientific(value: float) -> tuple[str, str, str]:
    digits = len(repr(value).replace("-", "").replace(".", "").strip("0"))
    mantissa, _, exponent = f"{value:.{max(1, digits - 1)}e}".partition("e")
    return mantissa, "e", exponent


def json_text(value: Any) -> str:
    """A value as compact JSON, non-ASCII characters as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def as_text(value: Any) -> str:
    """`String.valueOf(value)`."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return java_double(value)
    if isinstance(value, (dict, list)):
        return _collection_text(cast("dict[Any, Any] | list[Any]", value))
    return str(value)


def _collection_text(values: dict[Any, Any] | list[Any]) -> str:
    if isinstance(values, JsonList):
        return json_text(values)
    if isinstance(values, dict):
        return "{" + ", ".join(f"{as_text(key)}={as_text(part)}" for key, part in values.items()) + "}"
    return "[" + ", ".join(map(as_text, values)) + "]"


def truth(value: Any) -> bool:
    """Whether `#if` takes it: false and null are not, everything else is (Velocity 1.7: "", so MISSING, and [] too)."""
    return value is not None and value is not False


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def equals(left: Any, right: Any) -> bool:
    """`==`: numbers by value, one class by `equals`, anything else by text; null is the empty string."""
    left, right = MISSING if left is None else left, MISSING if right is None else right
    if (_is_number(left) and _is_number(right)) or type(left) is type(right):
        return bool(left == right)
    if isinstance(left, (list, dict)) and isinstance(right, (list, dict)):
        return bool(cast("Any", left) == right)
    return as_text(left) == as_text(right)


def compare(operator: str, left: Any, right: Any) -> bool:
    """`<`, `<=`, `>` or `>=` of two numbers; false of what is missing. Raises Unknown for anything else."""
    if isinstance(left, Missing) or isinstance(right, Missing):
        return False  # as Velocity says of all that are no numbers, after a line in its log
    if not (_is_number(left) and _is_number(right)):
        raise Unknown(f"{operator} compares numbers, not {kind_of(left)} and {kind_of(right)}")
    if operator == "<":
        return bool(left < right)
    if operator == "<=":
        return bool(left <= right)
    return bool(left > right) if operator == ">" else bool(left >= right)


def add(left: Any, right: Any) -> Any:
    """`+`: joins where one side is a string, else adds numbers. Raises Unknown."""
    if (isinstance(left, str) or isinstance(right, str)) and left is not None and right is not None:
        return as_text(left) + as_text(right)
    return arithmetic("+", left, right)


def arithmetic(operator: str, left: Any, right: Any) -> Any:
    """Java's arithmetic: integer division cuts towards zero, a remainder the dividend's sign. Raises Unknown."""
    if not (_is_number(left) and _is_number(right)):
        raise Unknown(f"{operator} works on numbers, not {kind_of(left)} and {kind_of(right)}")
    if operator == "+":
        return left + right
    if operator == "-":
        return left - right
    if operator == "*":
        return left * right
    if right == 0:
        raise Unknown(f"{operator} by zero")
    return _divide(operator, left, right)


def _divide(operator: str, left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int):
        quotient = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
        return quotient if operator == "/" else left - quotient * right
    return left / right if operator == "/" else math.fmod(left, right)


def kind_of(value: Any) -> str:
    """What a value is, for messages: they name kinds and never values, which may be a person's."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "a string"
    if _is_number(value):
        return "a number"
    return "a map" if isinstance(value, dict) else "a list" if isinstance(value, list) else "an object"
