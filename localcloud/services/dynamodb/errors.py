"""DynamoDB's error answers, each with the code and the words of AWS.

Knows the codes, their namespaces and HTTP statuses; knows nothing of the state that made them.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = [
    "DynamoError",
    "condition_failed",
    "invalid_parameter",
    "malformed",
    "member_violation",
    "not_served",
    "schema_violation",
    "table_missing",
    "validation",
]

_SERVICE: Final = "com.amazonaws.dynamodb.v20120810#"
_NAMESPACES: Final = {
    "ValidationException": "com.amazon.coral.validate#",
    "SerializationException": "com.amazon.coral.service#",
    "UnknownOperationException": "com.amazon.coral.service#",
}
_CAPITAL_MESSAGE: Final = frozenset({"SerializationException", "TransactionCanceledException"})


class DynamoError(Exception):
    """One error answer: `code` without namespace, `message` in AWS's words, `fields` beside them, the HTTP `status`.

    `schema`: the key that does not match the table's schema is "table" or "index"; "" of all other errors.
    """

    schema: str = ""

    def __init__(self, code: str, message: str, *, fields: Mapping[str, Any] | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fields = dict(fields or {})
        self.status = status

    def body(self) -> dict[str, Any]:
        """The JSON object that goes on the wire."""
        member = "Message" if self.code in _CAPITAL_MESSAGE else "message"
        kind = _NAMESPACES.get(self.code, _SERVICE) + self.code
        return {"__type": kind, **self.fields, member: self.message}


def validation(message: str) -> DynamoError:
    """A ValidationException that says `message`."""
    return DynamoError("ValidationException", message)


def invalid_parameter(detail: str) -> DynamoError:
    """A ValidationException of the largest family: one of the values makes no sense."""
    return validation(f"One or more parameter values were invalid: {detail}")


def schema_violation(message: str, *, of: str = "table") -> DynamoError:
    """A ValidationException: a key `of` the table or an index is missing or of another type than the schema says."""
    error = validation(message)
    error.schema = of
    return error


def member_violation(value: object, member: str, constraint: str) -> DynamoError:
    """A ValidationException of the request's shape; `member` is the lower-camel path, `value` None where absent."""
    shown = "null" if value is None else f"'{value}'"
    return validation(
        f"1 validation error detected: Value {shown} at '{member}' failed to satisfy constraint: {constraint}"
    )


def malformed(message: str) -> DynamoError:
    """A SerializationException: the JSON does not have the API's shape."""
    return DynamoError("SerializationException", message)


def table_missing(table: str | None = None) -> DynamoError:
    """A ResourceNotFoundException; control operations name the table, item operations do not."""
    named = f": Table: {table} not found" if table is not None else ""
    return DynamoError("ResourceNotFoundException", f"Requested resource not found{named}")


def condition_failed(item: Mapping[str, Any] | None) -> DynamoError:
    """A ConditionalCheckFailedException, with the item (wire form) where the caller asked for it."""
    fields = {} if item is None else {"Item": item}
    return DynamoError("ConditionalCheckFailedException", "The conditional request failed", fields=fields)


def not_served(what: str) -> DynamoError:
    """A ValidationException of our own: AWS would take `what`, the local cloud does not and says so."""
    return validation(f"The local cloud does not serve {what}")
