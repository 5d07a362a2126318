"""DynamoDB attribute values against boto3's own serializer, and the rules that boto3 leaves to the service."""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import Binary, TypeDeserializer, TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.aws.attributes import (
    decode_item,
    decode_value,
    encode_item,
    encode_value,
    read_integer,
    read_integers,
    read_mapping,
    read_text,
)
from sluiceway.errors import Rejected

integers = st.integers(min_value=-(10**38) + 1, max_value=10**38 - 1)
decimals = st.builds(
    lambda coefficient, exponent: Decimal(coefficient).scaleb(exponent),
    st.integers(min_value=-(10**30), max_value=10**30),
    st.integers(min_value=-60, max_value=60),
)
numbers = integers | decimals
scalars = st.none() | st.booleans() | numbers | st.text() | st.binary(max_size=64)
sets = (
    st.sets(st.text(), min_size=1, max_size=5)
    | st.sets(numbers, min_size=1, max_size=5)
    | st.sets(st.binary(max_size=9), min_size=1, max_size=5)
)
values = st.recursive(
    scalars | sets,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1), inner, max_size=4),
    max_leaves=12,
)


def to_wire(value: Any) -> Any:
    """What botocore's JSON serializer makes of boto3's form: bytes as base64; set order is not told apart."""
    if isinstance(value, dict):
        ((kind, content),) = value.items()
        if kind == "M":
            return {kind: {name: to_wire(inner) for name, inner in content.items()}}
        if kind == "L":
            return {kind: [to_wire(inner) for inner in content]}
        if kind == "B":
            return {kind: base64.b64encode(content).decode()}
        if kind == "BS":
            return {kind: {base64.b64encode(one).decode() for one in content}}
        if kind == "N":
            return {kind: Decimal(content)}
        if kind in {"SS", "NS"}:
            return {kind: {Decimal(one) if kind == "NS" else one for one in content}}
    return value


def comparable(value: Any) -> Any:
    """Ours in the same form: numbers by value, sets without order."""
    ((kind, content),) = value.items()
    if kind == "M":
        return {kind: {name: comparable(inner) for name, inner in content.items()}}
    if kind == "L":
        return {kind: [comparable(inner) for inner in content]}
    if kind == "N":
        return {kind: Decimal(content)}
    if kind in {"SS", "BS"}:
        return {kind: set(content)}
    if kind == "NS":
        return {kind: {Decimal(one) for one in content}}
    return value


def from_boto(value: Any) -> Any:
    """boto3's Python form with its Binary wrapper taken off."""
    if isinstance(value, Binary):
        return bytes(value)
    if isinstance(value, list):
        return [from_boto(inner) for inner in value]
    if isinstance(value, set):
        return {from_boto(inner) for inner in value}
    if isinstance(value, dict):
        return {name: from_boto(inner) for name, inner in value.items()}
    return value


@given(values)
def test_writes_what_boto3_writes(value: Any) -> None:
    """Every value is written as boto3 writes it, numbers compared by value."""
    assert comparable(encode_value(value)) == to_wire(TypeSerializer().serialize(value))


@given(values)
def test_reads_back_what_was_written(value: Any) -> None:
    """Writing and reading gives the value back, exactly; tuples aside, which read back as lists."""
    assert decode_value(encode_value(value)) == value


@given(values)
def test_reads_what_boto3_reads(value: Any) -> None:
    """boto3 reads the same value from what we wrote."""
    written = encode_value(value)

    def bytes_back(wire: Any) -> Any:
        ((kind, content),) = wire.items()
        if kind == "B":
            return {kind: base64.b64decode(content)}
        if kind == "BS":
            return {kind: [base64.b64decode(one) for one in content]}
        if kind == "L":
            return {kind: [bytes_back(inner) for inner in content]}
        if kind == "M":
            return {kind: {name: bytes_back(inner) for name, inner in content.items()}}
        return wire

    assert from_boto(TypeDeserializer().deserialize(bytes_back(written))) == decode_value(written)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (Decimal("-0.00"), "0"),
        (Decimal("1.500"), "1.5"),
        (10**125, "1E+125"),
        (Decimal("9" * 38 + "E88"), "9." + "9" * 37 + "E+125"),
        (Decimal("1E-130"), "1E-130"),
        (-(10**38) + 1, "-" + "9" * 38),
        (Decimal("1" + "0" * 60), "1E+60"),
    ],
)
def test_numbers_up_to_the_limits(value: int | Decimal, text: str) -> None:
    """38 significant digits and magnitudes from 1E-130 to under 1E+126 are written exactly, without trailing zeros."""
    assert encode_value(value) == {"N": text}


@pytest.mark.parametrize(
    "value",
    [
        1.5,
        10**38 + 1,
        10**126,
        10**5000,
        Decimal("1E-131"),
        Decimal("1E+126"),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("Infinity"),
        Decimal("-Infinity"),
        Decimal("0." + "1" * 39),
        set(),
        {"a", 1},
        {True},
        {1.5},
        {None},
        {("a",)},
        object(),
        {1: "a"},
        {"": "a"},
        1j,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_dynamodb_cannot_hold_is_refused(value: Any) -> None:
    """A value without an exact attribute value is Rejected before anything is sent."""
    with pytest.raises(Rejected) as caught:
        encode_value(value)
    assert caught.value.reason == "invalid-attribute"


def test_the_refusal_names_the_attribute() -> None:
    """The field of the refusal is the attribute's name."""
    with pytest.raises(Rejected, match="a float is not exact") as caught:
        encode_item({"fine": 1, "price": 1.5})  # pyright: ignore[reportArgumentType] - the point of the test
    assert caught.value.field == "price"


def test_empty_strings_bytes_lists_and_maps_are_values() -> None:
    """Only sets may not be empty."""
    item = {"s": "", "b": b"", "l": [], "m": {}}
    assert decode_item(encode_item(item)) == item


def test_nesting_ends_at_32_levels() -> None:
    """The 33rd level is refused, not a RecursionError."""
    value: Any = "leaf"
    for _ in range(32):
        value = [value]
    assert decode_value(encode_value(value)) == value
    with pytest.raises(Rejected, match="32 levels"):
        encode_value([value])


def test_integers_read_as_int_and_others_as_decimal() -> None:
    """The type of a number tells whether it was written as a whole one."""
    read = decode_item({"i": {"N": "-12"}, "d": {"N": "1.5"}, "e": {"N": "1E+3"}})
    assert [type(value) for value in read.values()] == [int, Decimal, Decimal]


@pytest.mark.parametrize(
    "wire",
    [
        None,
        "S",
        {},
        {"S": "a", "N": "1"},
        {"X": "a"},
        {"S": 1},
        {"N": 1},
        {"N": "one"},
        {"N": "NaN"},
        {"B": "not base64!"},
        {"BOOL": "true"},
        {"L": {}},
        {"M": []},
        {"NS": 5},
    ],
    ids=repr,
)
def test_what_is_no_attribute_value_is_refused(wire: Any) -> None:
    """A malformed attribute value from the wire is Rejected, whatever is wrong with it."""
    with pytest.raises(Rejected):
        decode_value(wire)


def test_members_of_an_item_are_read_as_what_they_are() -> None:
    """Texts, numbers without their fraction, lists of numbers and maps; what is absent or of another kind is empty."""
    wire = {
        "text": {"S": "a"},
        "number": {"N": "7"},
        "exact": {"N": "1.5E3"},
        "list": {"L": [{"N": "1"}, {"N": "2.0"}, {"S": "3"}]},
        "map": {"M": {"a": {"N": "1"}}},
    }
    item = decode_item(wire)
    assert [read_text(item, name) for name in ("text", "number", "none")] == ["a", "", ""]
    assert [read_integer(item, name) for name in ("number", "exact", "text", "map", "none")] == [7, 1500, 0, 0, 0]
    assert [read_integers(item, name) for name in ("list", "number", "none")] == [(1, 2), (), ()]
    assert [read_mapping(item, name) for name in ("map", "list", "none")] == [{"a": 1}, None, None]
