"""A request's parameters, read and typed once. Knows the shapes of SNS's requests, and no topic."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import cast

from localcloud.services.sns.errors import SnsError, invalid, invalid_attribute
from localcloud.services.sns.message import Attribute, Publication, read_structure

__all__ = ["Parameters"]


class Parameters:
    """Parameters by their names in the API. `where` begins the names of ValidationError: an entry of a batch."""

    def __init__(self, values: Mapping[str, object], *, where: str = "") -> None:
        self._values = values
        self._where = where

    def has(self, name: str) -> bool:
        """Whether it was given at all."""
        return self._values.get(name) is not None

    def text(self, name: str, default: str = "") -> str:
        """A string. Raises SnsError: MalformedInput."""
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise _wrong(name, "a string")
        return value

    def required(self, name: str) -> str:
        """A string that must be there. Raises SnsError: InvalidParameter."""
        if not self.has(name):
            raise invalid(f"{name} Reason: no value for required parameter")
        return self.text(name)

    def texts(self, name: str) -> list[str]:
        """A list of strings, [] where absent. Raises SnsError: MalformedInput."""
        found: list[str] = []
        for value in self._list(name):
            if not isinstance(value, str):
                raise _wrong(name, "a list of strings")
            found.append(value)
        return found

    def text_map(self, name: str) -> dict[str, str]:
        """A map of strings, {} where absent. Raises SnsError: MalformedInput."""
        found: dict[str, str] = {}
        for key, value in _mapping(name, self._values.get(name)).items():
            if value is not None and not isinstance(value, str):
                raise _wrong(name, "a map of strings")
            found[key] = value or ""
        return found

    def tags(self) -> dict[str, str]:
        """`Tags`, {} where absent. Raises SnsError: InvalidParameter, MalformedInput."""
        tags = [Parameters(_mapping("Tags", value)) for value in self._list("Tags")]
        found = {tag.required("Key"): tag.text("Value") for tag in tags}
        if len(found) < len(tags):
            raise invalid("Duplicated keys are not allowed.")
        return found

    def entries(self) -> list[Parameters]:
        """The entries of a batch."""
        name = "PublishBatchRequestEntries"
        return [
            Parameters(_mapping(name, value), where=f"publishBatchRequestEntries.{number}.member.")
            for number, value in enumerate(self._list(name), start=1)
        ]

    def publication(self) -> Publication:
        """The message of Publish, or of an entry of its batch.

        Raises SnsError: InvalidParameter, ParameterValueInvalid, ValidationError, MalformedInput.
        """
        message = self.text("Message")
        return Publication(
            message=message,
            subject=self.text("Subject") if self.has("Subject") else None,
            attributes=self._attributes(),
            texts=read_structure(self.text("MessageStructure"), message) if message else None,
            group_id=self.text("MessageGroupId"),
            deduplication_id=self.text("MessageDeduplicationId"),
        )

    def _attributes(self) -> dict[str, Attribute]:
        found: dict[str, Attribute] = {}
        for name, value in _mapping("MessageAttributes", self._values.get("MessageAttributes")).items():
            members = Parameters(_mapping("MessageAttributes", value))
            if not members.has("DataType"):
                at = f"{self._where}messageAttributes.{name}.member.dataType"
                raise SnsError(
                    "ValidationError",
                    f"1 validation error detected: Value null at '{at}' failed to satisfy constraint: "
                    "Member must not be null",
                )
            found[name] = _attribute(name, members)
        return found

    def _list(self, name: str) -> list[object]:
        value = self._values.get(name)
        if value is None or value == "":
            return []
        if not isinstance(value, list):
            raise _wrong(name, "a list")
        return cast("list[object]", value)


def _attribute(name: str, members: Parameters) -> Attribute:
    data_type = members.text("DataType")
    if members.has("BinaryValue"):
        try:
            return Attribute(data_type, base64.b64decode(members.text("BinaryValue"), validate=True))
        except (binascii.Error, ValueError) as error:
            raise invalid_attribute(f"The binary value of message attribute '{name}' is not Base64.") from error
    return Attribute(data_type, members.text("StringValue"))


def _mapping(name: str, value: object) -> Mapping[str, object]:
    if value is None or value == "":
        return {}
    if not isinstance(value, dict):
        raise _wrong(name, "a structure")
    return cast("dict[str, object]", value)


def _wrong(name: str, expected: str) -> SnsError:
    return SnsError("MalformedInput", f"{name} is not {expected}.")
