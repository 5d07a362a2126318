"""Attribute values, numbers and the sorted collection: exactness, sizes, order."""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.services.dynamodb.errors import DynamoError
from localcloud.services.dynamodb.numbers import add_numbers, format_number, number_size, parse_number, subtract_numbers
from localcloud.services.dynamodb.ordered import SortedEntries
from localcloud.services.dynamodb.values import encode_item, encode_value, item_size, parse_item, parse_value

LEAVES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8).map(lambda text: {"S": text}),
    st.integers(-(10**30), 10**30).map(lambda number: {"N": str(number)}),
    st.binary(max_size=6).map(lambda data: {"B": base64.b64encode(data).decode()}),
    st.booleans().map(lambda flag: {"BOOL": flag}),
    st.just({"NULL": True}),
    st.sets(st.text("abcé", min_size=1, max_size=3), min_size=1, max_size=4).map(lambda texts: {"SS": sorted(texts)}),
    st.sets(st.integers(-99, 99), min_size=1, max_size=4).map(
        lambda numbers: {"NS": [str(n) for n in sorted(numbers)]}
    ),
)
TREES: st.SearchStrategy[dict[str, Any]] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda found: {"L": found}),
        st.dictionaries(st.text("abc", max_size=3), inner, max_size=3).map(lambda found: {"M": found}),
    ),
    max_leaves=10,
)


@given(TREES)
def test_values_come_back_as_they_went_in(raw: dict[str, Any]) -> None:
    """Parsing and encoding are each other's inverse on canonical values."""
    assert encode_value(parse_value(raw)) == raw


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", "1"),
        ("+1.50", "1.5"),
        ("-0.0", "0"),
        ("007", "7"),
        ("1e3", "1000"),
        ("1E-3", "0.001"),
        (".5", "0.5"),
        ("5.", "5"),
        ("12345678901234567890123456789012345678", "12345678901234567890123456789012345678"),
        ("1e125", "1" + "0" * 125),
        ("0e999", "0"),
    ],
)
def test_numbers_have_one_canonical_text(text: str, expected: str) -> None:
    """No exponent, no needless zero, no negative zero."""
    assert format_number(parse_number(text)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The parameter cannot be converted to a numeric value"),
        ("b", "The parameter cannot be converted to a numeric value: b"),
        ("1 ", "The parameter cannot be converted to a numeric value: 1 "),
        ("NaN", "The parameter cannot be converted to a numeric value: NaN"),
        ("Infinity", "The parameter cannot be converted to a numeric value: Infinity"),
        ("1_000", "The parameter cannot be converted to a numeric value: 1_000"),
        ("\u0661", "The parameter cannot be converted to a numeric value: \u0661"),
        ("123456789012345678901234567890123456789", "Attempting to store more than 38 significant digits in a Number"),
        (
            "-1.23456789012345678901234567890123456789",
            "Attempting to store more than 38 significant digits in a Number",
        ),
        ("1e999999999", "Number overflow. Attempting to store a number with magnitude larger than supported range"),
        ("1e126", "Number overflow. Attempting to store a number with magnitude larger than supported range"),
        ("-1e126", "Number overflow. Attempting to store a number with magnitude larger than supported range"),
        ("1e-131", "Number underflow. Attempting to store a number with magnitude smaller than supported range"),
    ],
)
def test_numbers_outside_the_type_are_refused(text: str, message: str) -> None:
    """38 digits and AWS's range hold, in AWS's words."""
    with pytest.raises(DynamoError) as caught:
        parse_number(text)
    assert caught.value.message == message


def test_38_digits_hold_trailing_and_leading_zeros_apart() -> None:
    """Zeros around the significant digits do not count."""
    assert format_number(parse_number("1" * 38 + "0" * 50)) == "1" * 38 + "0" * 50
    assert number_size(parse_number("1" * 38 + "0" * 50)) == 20
    assert number_size(parse_number("-1")) == 3


@given(st.integers(-(10**30), 10**30), st.integers(-(10**30), 10**30), st.integers(-6, 0))
def test_sums_are_exact(left: int, right: int, shift: int) -> None:
    """Addition and subtraction are those of integers, at any scale that fits."""
    one, two = Decimal(f"{left}e{shift}"), Decimal(f"{right}e{shift}")
    assert add_numbers(one, two) == Decimal(f"{left + right}e{shift}")
    assert subtract_numbers(one, two) == Decimal(f"{left - right}e{shift}")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({}, "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"),
        (
            {"S": "a", "N": "1"},
            ("Supplied AttributeValue has more than one datatypes set, "
            "must contain exactly one of the supported datatypes"),
        ),
        (
            {"NULL": False},
            ("One or more parameter values were invalid: "
            "Null attribute value types must have the value of true"),
        ),
        ({"SS": []}, "One or more parameter values were invalid: An string set  may not be empty"),
        ({"NS": []}, "One or more parameter values were invalid: An number set  may not be empty"),
        ({"BS": []}, "One or more parameter values were invalid: Binary sets should not be empty"),
        ({"SS": ["", ""]}, "One or more parameter values were invalid: Input collection [, ] contains duplicates."),
        ({"NS": [""]}, "The parameter cannot be converted to a numeric value"),
        ({"SS": ["a", "a"]}, "One or more parameter values were invalid: Input collection [a, a] contains duplicates."),
        ({"NS": ["1", "1.0"]}, "Input collection contains duplicates"),
        (
            {"BS": ["Yg==", "Yg=="]},
            "One or more parameter values were invalid: Input collection [Yg==, Yg==]of type BS contains duplicates.",
        ),
        (
            {"BS": ["", ""]},
            "One or more parameter values were invalid: Input collection [, ]of type BS contains duplicates.",
        ),
    ],
)  # fmt: skip
def test_malformed_values_are_refused_in_aws_words(raw: dict[str, Any], message: str) -> None:
    """Each fault of a value has AWS's own sentence, odd spaces included."""
    with pytest.raises(DynamoError) as caught:
        parse_value(raw)
    assert (caught.value.code, caught.value.message) == ("ValidationException", message)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"S": 1}, "NUMBER_VALUE cannot be converted to String"),
        ({"N": True}, "TRUE_VALUE cannot be converted to String"),
        ({"BOOL": "true"}, "STRING_VALUE cannot be converted to Boolean"),
        ({"B": "abc"}, "Base64 encoded length is expected a multiple of 4 bytes but found: 3"),
    ],
)
def test_json_of_another_shape_is_a_serialization_error(raw: dict[str, Any], message: str) -> None:
    """A token of the wrong kind never reaches the model."""
    with pytest.raises(DynamoError) as caught:
        parse_value(raw)
    assert (caught.value.code, caught.value.message) == ("SerializationException", message)


def test_half_a_surrogate_pair_is_refused() -> None:
    """What UTF-8 cannot carry is not stored."""
    with pytest.raises(DynamoError) as caught:
        parse_value({"S": "\ud800"})
    assert caught.value.code == "SerializationException"


def test_nesting_ends_at_32() -> None:
    """32 levels are stored, 33 are refused."""
    raw: dict[str, Any] = {"S": "x"}
    for _ in range(32):
        raw = {"L": [raw]}
    parse_value(raw)
    with pytest.raises(DynamoError, match="Nesting Levels have exceeded supported limits"):
        parse_value({"L": [raw]})


def test_sizes_are_those_of_the_developer_guide() -> None:
    """Names and values in UTF-8, 3 bytes for a container and 1 for each element, half a byte a digit."""
    item = parse_item(
        {
            "pk": {"S": "é"},
            "n": {"N": "-12.50"},
            "b": {"B": "YWJj"},
            "t": {"BOOL": True},
            "l": {"L": [{"S": "ab"}, {"NULL": True}]},
            "m": {"M": {"k": {"S": "v"}}},
        }
    )
    assert item_size(item) == (2 + 2) + (1 + 4) + (1 + 3) + (1 + 1) + (1 + 3 + 3 + 2) + (1 + 3 + 1 + 2)


def test_sets_may_hold_empty_values() -> None:
    """An empty text and empty bytes are members like others; an empty set is none.

    Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
    """
    raw = {"a": {"SS": ["", "a"]}, "b": {"BS": ["", "Yg=="]}}
    assert encode_item(parse_item(raw)) == raw


def test_sets_are_written_sorted() -> None:
    """Equal sets have equal bytes on the wire."""
    raw = {"a": {"SS": ["b", "a"]}, "n": {"NS": ["10", "2"]}, "b": {"BS": ["Yg==", "YQ=="]}}
    assert encode_item(parse_item(raw)) == {
        "a": {"SS": ["a", "b"]},
        "n": {"NS": ["2", "10"]},
        "b": {"BS": ["YQ==", "Yg=="]},
    }


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 60)), max_size=200), st.integers(-1, 61), st.booleans())
def test_sorted_entries_are_a_sorted_list(steps: list[tuple[bool, int]], bound: int, is_open: bool) -> None:
    """Whatever is added and removed, walks in both directions give the sorted list's answer."""
    entries, expected = SortedEntries(), set[int]()
    for adds, number in steps:
        if adds and number not in expected:
            entries.add((number, "k"))
            expected.add(number)
        elif not adds and number in expected:
            entries.remove((number, "k"))
            expected.remove(number)
    assert len(entries) == len(expected)
    assert [n for n, _ in entries.ascending()] == sorted(expected)
    assert [n for n, _ in entries.descending()] == sorted(expected, reverse=True)
    above = [n for n in sorted(expected) if n > bound or (n == bound and not is_open)]
    below = [n for n in sorted(expected, reverse=True) if n < bound or (n == bound and not is_open)]
    assert [n for n, _ in entries.ascending(low=bound, low_open=is_open)] == above
    assert [n for n, _ in entries.descending(high=bound, high_open=is_open)] == below
    assert [n for n, _ in entries.ascending((bound, "k"))] == [n for n in sorted(expected) if n > bound]
    assert [n for n, _ in entries.descending((bound, "k"))] == [n for n in sorted(expected, reverse=True) if n < bound]


def test_sorted_entries_split_their_runs() -> None:
    """Order holds over many runs, however entries come and go."""
    entries = SortedEntries()
    numbers = [(number * 7919) % 10_007 for number in range(10_007)]
    for number in numbers:
        entries.add((number, ""))
    for number in numbers[::2]:
        entries.remove((number, ""))
    expected = sorted(numbers[1::2])
    assert [n for n, _ in entries.ascending()] == expected
    assert [n for n, _ in entries.ascending(low=5000)] == [n for n in expected if n >= 5000]
    assert [n for n, _ in entries.descending(high=5000)] == [n for n in reversed(expected) if n <= 5000]
    with pytest.raises(KeyError):
        entries.remove((numbers[0], ""))
