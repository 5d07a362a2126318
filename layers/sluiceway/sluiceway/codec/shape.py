"""Typed access to decoded JSON: the right type, or `Rejected` with the member's name and never its value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from sluiceway.errors import Rejected

__all__ = ["integer", "malformed", "mapping", "optional_mapping", "optional_text", "sequence", "text", "texts"]


def malformed(member: str, expected: str) -> Rejected:
    """The error for an event whose `member` is not `expected`."""
    return Rejected(f"the event's {member} is not {expected}", reason="malformed-event", field=member)


def integer(value: object, member: str) -> int:
    """`value` as a whole number. Raises: Rejected."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise malformed(member, "a whole number")
    return value


def mapping(value: object, member: str) -> Mapping[str, object]:
    """`value` as a JSON object. Raises: Rejected."""
    if not isinstance(value, Mapping):
        raise malformed(member, "an object")
    return cast("Mapping[str, object]", value)


def optional_mapping(value: object, member: str) -> Mapping[str, object]:
    """`value` as a JSON object, empty for null. Raises: Rejected."""
    return {} if value is None else mapping(value, member)


def sequence(value: object, member: str) -> Sequence[object]:
    """`value` as a JSON array. Raises: Rejected."""
    if not isinstance(value, list | tuple):
        raise malformed(member, "an array")
    return cast("Sequence[object]", value)


def text(value: object, member: str) -> str:
    """`value` as a string. Raises: Rejected."""
    if not isinstance(value, str):
        raise malformed(member, "a string")
    return value


def optional_text(value: object, member: str) -> str:
    """`value` as a string, "" for null. Raises: Rejected."""
    return "" if value is None else text(value, member)


def texts(value: object, member: str) -> dict[str, str]:
    """`value` as an object of strings, empty for null. Raises: Rejected."""
    return {name: text(item, f"{member}.{name}") for name, item in optional_mapping(value, member).items()}
