"""The members of a request, read with their types and constraints.

Owns the errors of a request's shape, and the refusal of members that are not served; knows no operation.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/CommonErrors.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

from localcloud.services.dynamodb.errors import invalid_parameter, malformed, member_violation, not_served, validation
from localcloud.services.dynamodb.values import Item, parse_item, unexpected

__all__ = ["Members", "check_table_name"]

LEGACY: Final = frozenset(
    {
        "AttributeUpdates",
        "AttributesToGet",
        "ConditionalOperator",
        "Expected",
        "KeyConditions",
        "QueryFilter",
        "ScanFilter",
    }
)
_TABLE_NAME: Final = re.compile(r"[a-zA-Z0-9_.-]+\Z")
_TABLE_ARN: Final = re.compile(r"arn:[^:]+:dynamodb:[^:]+:[0-9]{12}:table/([a-zA-Z0-9_.-]+)\Z")


class Members:
    """One structure of a request. `path` is where it stands, in lower camel case ("" for the request itself)."""

    def __init__(self, raw: object, path: str = "") -> None:
        if not isinstance(raw, dict):
            raise malformed("Unexpected value type in payload")
        self._raw = {name: value for name, value in cast("dict[str, Any]", raw).items() if value is not None}
        self._path = path

    def __contains__(self, name: str) -> bool:
        return name in self._raw

    def only(self, *names: str) -> Members:
        """Refuse every other member aloud. Raises DynamoError."""
        for name in self._raw:
            if name in names:
                continue
            if name in LEGACY:
                raise not_served(f"the legacy parameter {name}; use the expression that replaced it")
            raise not_served(f"the parameter {name} of this operation")
        return self

    def required(self, name: str) -> Any:
        """The raw member. Raises DynamoError where it is missing."""
        if name not in self._raw:
            raise member_violation(None, self._at(name), "Member must not be null")
        return self._raw[name]

    def text(self, name: str) -> str | None:
        """A string, None where it is missing."""
        value = self._raw.get(name)
        if value is not None and not isinstance(value, str):
            raise malformed(unexpected(value, "String"))
        return value

    def flag(self, name: str) -> bool:
        """A boolean, False where it is missing."""
        value = self._raw.get(name, False)
        if not isinstance(value, bool):
            raise malformed(unexpected(value, "Boolean"))
        return value

    def count(self, name: str, *, low: int, high: int | None = None) -> int | None:
        """A whole number from `low` to `high`, None where it is missing."""
        value = self._raw.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise malformed(unexpected(value, "Integer"))
        if value < low:
            raise member_violation(value, self._at(name), f"Member must have value greater than or equal to {low}")
        if high is not None and value > high:
            raise member_violation(value, self._at(name), f"Member must have value less than or equal to {high}")
        return value

    def choice(self, name: str, allowed: Sequence[str], default: str) -> str:
        """One of the strings in `allowed`."""
        value = self.text(name)
        if value is None:
            return default
        if value not in allowed:
            raise member_violation(value, self._at(name), f"Member must satisfy enum value set: [{', '.join(allowed)}]")
        return value

    def mapping(self, name: str) -> Mapping[str, Any] | None:
        """A map, None where it is missing."""
        value = self._raw.get(name)
        if value is not None and not isinstance(value, dict):
            raise malformed(unexpected(value, "map"))
        return cast("dict[str, Any] | None", value)

    def elements(self, name: str) -> list[Any]:
        """A list. Raises DynamoError where it is missing."""
        value = self.required(name)
        if not isinstance(value, list):
            raise malformed("Unexpected value type in payload")
        return cast("list[Any]", value)

    def item(self, name: str) -> Item:
        """A map of attribute values. Raises DynamoError where it is missing."""
        return parse_item(self.required(name))

    def table(self) -> str:
        """The table's name, from TableName as a name or an ARN."""
        self.required("TableName")
        return check_table_name(self.text("TableName") or "")

    def structures(self, name: str) -> Iterable[Members]:
        """The structures of a list."""
        place = self._at(name)
        return [Members(raw, f"{place}.{number}.member") for number, raw in enumerate(self.elements(name), 1)]

    def structure(self, name: str) -> Members | None:
        """A structure, None where it is missing."""
        value = self._raw.get(name)
        return None if value is None else Members(value, self._at(name))

    def _at(self, name: str) -> str:
        lowered = name[:1].lower() + name[1:]
        return f"{self._path}.{lowered}" if self._path else lowered


def check_table_name(text: str) -> str:
    """The name in `text`, a table's name or ARN. Raises DynamoError where it is neither."""
    arn = _TABLE_ARN.match(text)
    name = text if arn is None else arn[1]
    if not name:
        raise invalid_parameter("The parameter 'TableName' is required but was not present in the request")
    if _TABLE_NAME.match(name) is None:
        raise member_violation(text, "tableName", "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+")
    if not 3 <= len(name) <= 255:  # Constraints.html, "Table names"
        raise validation("TableName must be at least 3 characters long and at most 255 characters long")
    return name
