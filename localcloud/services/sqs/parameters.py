"""A request's parameters, read and typed once: the same whether they came as JSON or as a form.

Knows no protocol; forms give numbers as text, so text that is a number counts as one.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final, cast

from localcloud.services.sqs.errors import SqsError, invalid_value, missing
from localcloud.services.sqs.message import AttributeValue, Content

__all__ = ["Parameters"]

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}")
_LARGEST: Final = 2**63 - 1
_SHOWN_CHARS: Final = 256  # of a value, in an error


class Parameters:
    """Parameters by the names of the JSON protocol."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def has(self, name: str) -> bool:
        """Whether it was given at all."""
        return self._values.get(name) is not None

    def text(self, name: str, default: str = "") -> str:
        """A string. Raises SqsError: SerializationException."""
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise _wrong(name, "a string")
        return value

    def required(self, name: str) -> str:
        """A string that must be there. Raises SqsError: MissingParameter."""
        value = self.text(name)
        if not value:
            raise missing(name)
        return value

    def number(self, name: str) -> int | None:
        """A whole number, None where absent. Raises SqsError: InvalidParameterValue, SerializationException."""
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, str):
            if not _INTEGER.fullmatch(value):
                shown = value[:_SHOWN_CHARS]
                raise invalid_value(f"Value {shown} for parameter {name} is invalid. Reason: Not a number.")
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not -_LARGEST <= value <= _LARGEST:
            raise _wrong(name, "a number")
        return value

    def texts(self, name: str) -> list[str]:
        """A list of strings. Raises SqsError: SerializationException."""
        found: list[str] = []
        for value in self._list(name):
            if not isinstance(value, str):
                raise _wrong(name, "a list of strings")
            found.append(value)
        return found

    def text_map(self, name: str) -> dict[str, str]:
        """A map of strings. Raises SqsError: SerializationException."""
        found: dict[str, str] = {}
        for key, value in self._map(name).items():
            if not isinstance(value, str):
                raise _wrong(name, "a map of strings")
            found[key] = value
        return found

    def entries(self) -> list[Parameters]:
        """The entries of a batch request."""
        return [Parameters(_mapping("Entries", entry)) for entry in self._list("Entries")]

    def content(self) -> Content:
        """The message of a SendMessage, or of an entry of its batch."""
        return Content(
            self.required("MessageBody"),
            self._attribute_map("MessageAttributes"),
            self._attribute_map("MessageSystemAttributes"),
            self.text("MessageGroupId"),
            self.text("MessageDeduplicationId"),
        )

    def _attribute_map(self, name: str) -> dict[str, AttributeValue]:
        return {key: _attribute(key, Parameters(_mapping(name, value))) for key, value in self._map(name).items()}

    def _list(self, name: str) -> list[object]:
        value = self._values.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise _wrong(name, "a list")
        return cast("list[object]", value)

    def _map(self, name: str) -> Mapping[str, object]:
        value = self._values.get(name)
        return {} if value is None else _mapping(name, value)


def _attribute(name: str, value: Parameters) -> AttributeValue:
    if value.has("StringListValues") or value.has("BinaryListValues"):
        raise SqsError("UnsupportedOperation", "Message attribute lists are not supported.")
    data_type = value.text("DataType")
    if value.has("BinaryValue") and value.has("StringValue"):
        raise invalid_value(f"Message attribute '{name}' must have one value, of type String or Binary.")
    if value.has("BinaryValue"):
        try:
            return AttributeValue(data_type, base64.b64decode(value.text("BinaryValue"), validate=True))
        except (binascii.Error, ValueError) as error:
            raise _wrong(name, "base64") from error
    if not value.has("StringValue") and data_type.startswith("Binary"):
        return AttributeValue(data_type, b"")
    return AttributeValue(data_type, value.text("StringValue"))


def _mapping(name: str, value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise _wrong(name, "a structure")
    return cast("dict[str, object]", value)


def _wrong(name: str, expected: str) -> SqsError:
    return SqsError("SerializationException", f"{name} is not {expected}.")
