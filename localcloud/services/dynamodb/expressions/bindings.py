"""ExpressionAttributeNames and ExpressionAttributeValues of one request: what each placeholder stands for.

Owns the checks on the two maps, and which placeholders the request's expressions used: an unused one is an error.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.ExpressionAttributeNames.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from localcloud.services.dynamodb.errors import DynamoError, malformed, validation
from localcloud.services.dynamodb.expressions.faults import Fault, Faults
from localcloud.services.dynamodb.expressions.reserved import RESERVED_WORDS
from localcloud.services.dynamodb.values import Value, parse_value, unexpected

__all__ = ["Bindings"]

_ALIAS: Final = re.compile(r"#[A-Za-z0-9_]+\Z")
_PLACEHOLDER: Final = re.compile(r":[A-Za-z0-9_]+\Z")


class Bindings:
    """The placeholders of one request; None where a map is absent.

    Raises DynamoError in AWS's words where a map is empty, a key or a value malformed.
    """

    def __init__(self, names: Mapping[str, Any] | None, values: Mapping[str, Any] | None) -> None:
        self._names = _parse_names(names)
        self._values = _parse_values(values)
        self._used: set[str] = set()

    def name(self, text: str, faults: Faults) -> str:
        """The attribute that a path element (`colour` or `#c`) names."""
        if text[0] != "#":
            if text.upper() in RESERVED_WORDS:
                faults.note(Fault.RESERVED_WORD, f"Attribute name is a reserved keyword; reserved keyword: {text}")
            return text
        self._used.add(text)
        found = self._names.get(text)
        if found is None:
            faults.note(
                Fault.UNDEFINED,
                f"An expression attribute name used in the document path is not defined; attribute name: {text}",
            )
        return found or text

    def value(self, text: str, faults: Faults) -> Value | None:
        """The value of `:v`; None (and a noted fault) where it is not defined."""
        self._used.add(text)
        found = self._values.get(text)
        if found is None:
            faults.note(
                Fault.UNDEFINED,
                f"An expression attribute value used in expression is not defined; attribute value: {text}",
            )
        return found

    def settle(self) -> None:
        """Check that everything was used. Raises DynamoError."""
        for member, bound in (("Names", self._names), ("Values", self._values)):
            unused = [key for key in bound if key not in self._used]
            if unused:
                keys = ", ".join(unused)
                raise validation(
                    f"Value provided in ExpressionAttribute{member} unused in expressions: keys: {{{keys}}}"
                )


def _parse_names(names: Mapping[str, Any] | None) -> dict[str, str]:
    if names is None:
        return {}
    if not names:
        raise validation("ExpressionAttributeNames must not be empty")
    for key, name in names.items():
        if _ALIAS.match(key) is None:
            raise validation(f'ExpressionAttributeNames contains invalid key: Syntax error; key: "{key}"')
        if not isinstance(name, str):
            raise malformed(unexpected(name, "String"))
        if not name:
            raise validation(f"ExpressionAttributeNames contains invalid value: Empty attribute name for key {key}")
    return dict(names)


def _parse_values(values: Mapping[str, Any] | None) -> dict[str, Value]:
    if values is None:
        return {}
    if not values:
        raise validation("ExpressionAttributeValues must not be empty")
    parsed: dict[str, Value] = {}
    for key, raw in values.items():
        if _PLACEHOLDER.match(key) is None:
            raise validation(f'ExpressionAttributeValues contains invalid key: Syntax error; key: "{key}"')
        try:
            parsed[key] = parse_value(raw)
        except DynamoError as error:
            if error.code != "ValidationException":
                raise
            message = f"ExpressionAttributeValues contains invalid value: {error.message} for key {key}"
            raise validation(message) from error
    return parsed
