"""Attribute values: parsed once from the wire, immutable inside, written back canonically.

Owns the ten types, their checks and their sizes. A `Value` is a tag and its data:
S str, N Decimal, B bytes, BOOL bool, NULL True, SS/NS/BS frozenset, L tuple of Value, M dict of Value (never changed in
place). Items are `dict[str, Value]`. This module is the codec: only here does wire JSON (`Any`) become values.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple, cast

from localcloud.services.dynamodb.errors import DynamoError, invalid_parameter, malformed, validation
from localcloud.services.dynamodb.numbers import format_number, number_size, parse_number

__all__ = [
    "Item",
    "Value",
    "check_nesting",
    "encode_item",
    "encode_value",
    "item_size",
    "parse_item",
    "parse_value",
    "unexpected",
    "value_size",
]

MAX_ITEM_BYTES: Final = 400 * 1024  # Constraints.html, "Item size"
MAX_NESTING: Final = 32  # Constraints.html, "Nested attribute depth"
_CONTAINER_BYTES: Final = 3  # CapacityUnitCalculations.html: a list or map, whatever it holds
_ELEMENT_BYTES: Final = 1  # and each of its elements


class Value(NamedTuple):
    """One attribute value; what `data` is follows from `type` (see the module)."""

    type: str
    data: Any


Item = dict[str, Value]


def parse_item(raw: object) -> Item:
    """A map of attribute values. Raises DynamoError in AWS's words where one is malformed."""
    if not isinstance(raw, dict):
        raise malformed(unexpected(raw, "map"))
    return {name: parse_value(value) for name, value in cast("dict[str, Any]", raw).items()}


def parse_value(raw: object, depth: int = 0) -> Value:
    """One attribute value. Raises DynamoError in AWS's words where it is malformed."""
    if not isinstance(raw, dict):
        raise malformed(unexpected(raw, "structure"))
    if depth > MAX_NESTING:
        raise _too_deep()
    found = [
        _PARSERS[tag](data, depth)
        for tag, data in cast("dict[str, Any]", raw).items()
        if tag in _PARSERS and data is not None
    ]
    if not found:
        raise validation("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
    if len(found) > 1:
        raise validation(
            "Supplied AttributeValue has more than one datatypes set, "
            "must contain exactly one of the supported datatypes"
        )
    return found[0]


def check_nesting(value: Value, depth: int = 0) -> None:
    """Check that a value built from others still nests 32 levels at most. Raises DynamoError."""
    if depth > MAX_NESTING:
        raise _too_deep()
    if value.type in {"L", "M"}:
        for element in value.data.values() if value.type == "M" else value.data:
            check_nesting(element, depth + 1)


def encode_item(item: Mapping[str, Value]) -> dict[str, Any]:
    """The wire form of an item."""
    return {name: encode_value(value) for name, value in item.items()}


def encode_value(value: Value) -> dict[str, Any]:
    """The wire form of a value; sets are sorted, so that equal values have equal bytes."""
    encoder = _ENCODERS.get(value.type)
    return {value.type: value.data if encoder is None else encoder(value.data)}


def item_size(item: Mapping[str, Value]) -> int:
    """Bytes that AWS counts for an item: names in UTF-8 and values.

    Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    return sum(len(name.encode()) + value_size(value) for name, value in item.items())


def value_size(value: Value) -> int:
    """Bytes that AWS counts for a value."""
    kind, data = value
    if kind == "S":
        return len(data) if data.isascii() else len(data.encode())
    return _SIZES[kind](data)


def _too_deep() -> DynamoError:
    return validation(
        "Nesting Levels have exceeded supported limits: "
        "Attributes in the item have nested levels beyond supported limit"
    )


def unexpected(raw: object, wanted: str) -> str:
    """What AWS's JSON reader says about a token of the wrong kind; `wanted`: String, Boolean, Integer, map, list..."""
    if isinstance(raw, dict):
        return "Start of structure or map found where not expected"
    if isinstance(raw, list):
        scalar = wanted in {"String", "Boolean", "Integer"}
        return (
            f"Unrecognized collection type class java.lang.{wanted}"
            if scalar
            else "Start of list found where not expected"
        )
    found = "NUMBER_VALUE"
    if isinstance(raw, bool):
        found = "TRUE_VALUE" if raw else "FALSE_VALUE"
    elif isinstance(raw, str):
        found = "STRING_VALUE"
    if wanted in {"structure", "map", "list"}:
        return "Unexpected value type in payload"
    return f"{found} cannot be converted to {wanted}"


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise malformed(unexpected(raw, "String"))
    return raw


def _flag(raw: object) -> bool:
    if not isinstance(raw, bool):
        raise malformed(unexpected(raw, "Boolean"))
    return raw


def _array(raw: object) -> list[Any]:
    if not isinstance(raw, list):
        raise malformed(unexpected(raw, "list"))
    return cast("list[Any]", raw)


def _binary(raw: object) -> bytes:
    text = _text(raw)
    if len(text) % 4:
        raise malformed(f"Base64 encoded length is expected a multiple of 4 bytes but found: {len(text)}")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise malformed("Invalid Base64 character in a binary value") from error


def _parse_string(raw: object, _depth: int) -> Value:
    text = _text(raw)
    try:
        if not text.isascii():
            text.encode()
    except UnicodeEncodeError as error:
        raise malformed("A string holds half of a surrogate pair, which UTF-8 cannot carry") from error
    return Value("S", text)


def _parse_n(raw: object, _depth: int) -> Value:
    return Value("N", parse_number(_text(raw)))


def _parse_b(raw: object, _depth: int) -> Value:
    return Value("B", _binary(raw))


def _parse_bool(raw: object, _depth: int) -> Value:
    return Value("BOOL", _flag(raw))


def _parse_null(raw: object, _depth: int) -> Value:
    if not _flag(raw):
        raise invalid_parameter("Null attribute value types must have the value of true")
    return Value("NULL", True)


def _parse_ss(raw: object, _depth: int) -> Value:
    members = [_text(member) for member in _array(raw)]
    if not members:
        raise invalid_parameter("An string set  may not be empty")
    unique = frozenset(members)
    if len(unique) != len(members):
        raise invalid_parameter(f"Input collection [{', '.join(members)}] contains duplicates.")
    return Value("SS", unique)


def _parse_ns(raw: object, _depth: int) -> Value:
    members = [parse_number(_text(member)) for member in _array(raw)]
    if not members:
        raise invalid_parameter("An number set  may not be empty")
    unique = frozenset(members)
    if len(unique) != len(members):
        raise validation("Input collection contains duplicates")
    return Value("NS", unique)


def _parse_bs(raw: object, _depth: int) -> Value:
    texts = _array(raw)
    members = [_binary(member) for member in texts]
    if not members:
        raise invalid_parameter("Binary sets should not be empty")
    unique = frozenset(members)
    if len(unique) != len(members):
        raise invalid_parameter(f"Input collection [{', '.join(texts)}]of type BS contains duplicates.")
    return Value("BS", unique)


def _parse_l(raw: object, depth: int) -> Value:
    return Value("L", tuple(parse_value(element, depth + 1) for element in _array(raw)))


def _parse_m(raw: object, depth: int) -> Value:
    if not isinstance(raw, dict):
        raise malformed(unexpected(raw, "map"))
    members = cast("dict[str, Any]", raw).items()
    return Value("M", {name: parse_value(member, depth + 1) for name, member in members})


def _encode_b(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _encode_ss(data: frozenset[str]) -> list[str]:
    return sorted(data)


def _encode_ns(data: frozenset[Decimal]) -> list[str]:
    return [format_number(number) for number in sorted(data)]


def _encode_bs(data: frozenset[bytes]) -> list[str]:
    return [_encode_b(member) for member in sorted(data)]


def _encode_l(data: Iterable[Value]) -> list[dict[str, Any]]:
    return [encode_value(element) for element in data]


def _texts_size(data: Iterable[str]) -> int:
    return sum(len(member.encode()) for member in data)


def _numbers_size(data: Iterable[Decimal]) -> int:
    return sum(map(number_size, data))


def _binaries_size(data: Iterable[bytes]) -> int:
    return sum(map(len, data))


def _list_size(data: Iterable[Value]) -> int:
    return _CONTAINER_BYTES + sum(_ELEMENT_BYTES + value_size(element) for element in data)


def _map_size(data: Mapping[str, Value]) -> int:
    return _CONTAINER_BYTES + len(data) * _ELEMENT_BYTES + item_size(data)


def _one(_data: object) -> int:
    return 1


_PARSERS: Final[dict[str, Callable[[Any, int], Value]]] = {
    "S": _parse_string,
    "N": _parse_n,
    "B": _parse_b,
    "BOOL": _parse_bool,
    "NULL": _parse_null,
    "SS": _parse_ss,
    "NS": _parse_ns,
    "BS": _parse_bs,
    "L": _parse_l,
    "M": _parse_m,
}
_ENCODERS: Final[dict[str, Callable[[Any], Any]]] = {
    "N": format_number,
    "B": _encode_b,
    "SS": _encode_ss,
    "NS": _encode_ns,
    "BS": _encode_bs,
    "L": _encode_l,
    "M": encode_item,
}
_SIZES: Final[dict[str, Callable[[Any], int]]] = {
    "N": number_size,
    "B": len,
    "BOOL": _one,
    "NULL": _one,
    "SS": _texts_size,
    "NS": _numbers_size,
    "BS": _binaries_size,
    "L": _list_size,
    "M": _map_size,
}
