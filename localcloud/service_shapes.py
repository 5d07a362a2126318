"""What AWS's own service models say of a request: members that must be there, types, lengths, ranges, enumerations.

The models are botocore's. moto takes what it is given on trust; this is what refuses it first, in AWS's words.
Source: https://smithy.io/2.0/spec/constraint-traits.html
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, cast

__all__ = ["Malformed", "ServiceShapes", "open_shapes"]

MAX_TOLD: Final = 10  # violations in one message
MAX_MATCHED: Final = 4_096  # characters of a value that is held against a pattern: patterns are not made for more
_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,), "integer": (int,), "long": (int,), "boolean": (bool,), "list": (list,), "map": (dict,),
    "blob": (str,), "timestamp": (int, float, str), "float": (int, float), "double": (int, float),
}  # fmt: skip


class Malformed(ValueError):
    """A member has another type than the API's: SerializationException on the wire."""


@dataclass(frozen=True, slots=True)
class ServiceShapes:
    """The model of one service."""

    operations: Mapping[str, Any]
    shapes: Mapping[str, Any]

    def violations(self, operation: str, body: Mapping[str, Any]) -> str:
        """What is wrong with the members of a request, "" for nothing. Raises Malformed.

        As AWS words it: `1 validation error detected: Value null at 'name' failed to satisfy constraint: ...`.
        """
        entry = self.operations[operation].get("input")
        if entry is None:
            return ""
        found = list(self._walk(entry["shape"], body, ""))[:MAX_TOLD]
        several = "" if len(found) == 1 else "s"
        return f"{len(found)} validation error{several} detected: {'; '.join(found)}" if found else ""

    def _walk(self, name: str, value: object, path: str) -> Iterator[str]:
        shape = self.shapes[name]
        if shape["type"] == "structure":
            yield from self._members(shape, value, path)
            return
        kind = _KINDS.get(shape["type"])
        if kind is not None and (not isinstance(value, kind) or (isinstance(value, bool) and bool not in kind)):
            raise Malformed(f"{_found(value)} can not be converted to {_article(shape['type'])}")
        if isinstance(value, str):
            yield from _text(shape, value, path)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield from _bounds(shape, value, f"Value '{value}' at '{path}'", what="value")
        else:
            yield from self._many(shape, cast("object", value), path)

    def _many(self, shape: Mapping[str, Any], value: object, path: str) -> Iterator[str]:
        if isinstance(value, list):
            items = cast("list[object]", value)
            yield from _bounds(shape, len(items), f"Value '{_cut(str(items))}' at '{path}'")
            for index, item in enumerate(items, 1):
                yield from self._walk(shape["member"]["shape"], item, f"{path}.{index}.member")
        elif isinstance(value, dict):
            for key, item in cast("dict[str, object]", value).items():
                yield from self._walk(shape["key"]["shape"], key, f"{path}.{_cut(key)}.key")
                yield from self._walk(shape["value"]["shape"], item, f"{path}.{_cut(key)}.member")

    def _members(self, shape: Mapping[str, Any], value: object, path: str) -> Iterator[str]:
        if not isinstance(value, dict):
            raise Malformed(f"{_found(value)} can not be converted to a structure")
        given = cast("dict[str, object]", value)
        for name, member in shape["members"].items():
            lowered = f"{name[:1].lower()}{name[1:]}"
            place = f"{path}.{lowered}" if path else lowered
            if given.get(name) is not None:
                yield from self._walk(member["shape"], given[name], place)
            elif name in shape.get("required", ()):
                yield f"Value null at '{place}' failed to satisfy constraint: Member must not be null"


def _text(shape: Mapping[str, Any], value: str, path: str) -> Iterator[str]:
    shown = "***" if shape.get("sensitive") else _cut(value)
    place = f"Value '{shown}' at '{path}'"
    size = len(value)
    if shape["type"] == "blob":
        try:
            size = len(binascii.a2b_base64(value, strict_mode=True))
        except ValueError as error:
            raise Malformed(f"the value at '{path}' is no base64") from error
    if shape["type"] == "timestamp":
        return
    faults = list(_bounds(shape, size, place))
    yield from faults
    if "enum" in shape and value not in shape["enum"]:
        allowed = ", ".join(shape["enum"])
        yield f"{place} failed to satisfy constraint: Member must satisfy enum value set: [{allowed}]"
    pattern = _compile(shape.get("pattern", "")) if not faults and shape["type"] == "string" else None
    if pattern is not None and size <= MAX_MATCHED and not pattern.fullmatch(value):
        told = shape["pattern"]
        yield f"{place} failed to satisfy constraint: Member must satisfy regular expression pattern: {told}"


def _bounds(shape: Mapping[str, Any], size: float, place: str, *, what: str = "length") -> Iterator[str]:
    low, high = shape.get("min"), shape.get("max")
    if low is not None and size < low:
        yield f"{place} failed to satisfy constraint: Member must have {what} greater than or equal to {low}"
    if high is not None and size > high:
        yield f"{place} failed to satisfy constraint: Member must have {what} less than or equal to {high}"


@lru_cache(maxsize=1_024)
def _compile(pattern: str) -> re.Pattern[str] | None:
    r"""None for a pattern that Python does not know (`\p{L}`): moto judges those alone."""
    try:
        return re.compile(pattern) if pattern else None
    except re.error:
        return None


def _article(kind: str) -> str:
    return {"integer": "an Integer", "long": "a Long", "list": "a list", "map": "a map"}.get(
        kind, f"a {kind.capitalize()}"
    )


def _found(value: object) -> str:
    if isinstance(value, dict):
        return "Start of structure or map found"
    return "Start of list found" if isinstance(value, list) else "The value"


def _cut(value: str) -> str:
    return value if len(value) <= 256 else f"{value[:256]}..."


@lru_cache(maxsize=16)
def open_shapes(service: str) -> ServiceShapes:
    """The model of a service (`ssm`), by botocore's name. Takes up to 100 ms the first time."""
    from botocore.loaders import Loader  # noqa: PLC0415 - 30 ms, at a service's first call only

    model: dict[str, Any] = cast("Any", Loader()).load_service_model(service, "service-2")
    return ServiceShapes(model["operations"], model["shapes"])
