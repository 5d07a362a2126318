"""What an SQS message may be, and its checksums."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.services.sqs.errors import SqsError
from localcloud.services.sqs.message import (
    MAX_MESSAGE_BYTES,
    AttributeValue,
    Content,
    check_content,
    content_size_bytes,
    md5_of_attributes,
    md5_of_body,
)

ALLOWED = st.text(
    st.one_of(
        st.sampled_from("\t\n\r"),
        st.characters(min_codepoint=0x20, max_codepoint=0xD7FF),
        st.characters(min_codepoint=0xE000, max_codepoint=0xFFFD),
        st.characters(min_codepoint=0x10000, max_codepoint=0x10FFFF),
    ),
    min_size=1,
)


def text(value: str, data_type: str = "String") -> AttributeValue:
    return AttributeValue(data_type, value)


def code_of(content: Content) -> str:
    with pytest.raises(SqsError) as caught:
        check_content(content)
    return caught.value.query_code


@given(ALLOWED)
def test_every_allowed_character_may_be_in_a_body(body: str) -> None:
    """What the quota page lists is accepted, and hashed and counted in UTF-8."""
    check_content(Content(body))
    assert content_size_bytes(Content(body)) == len(body.encode())


@pytest.mark.parametrize("character", ["\0", "\x08", "\x0b", "\x1f", chr(0xD800), chr(0xDFFF), "\ufffe", "\uffff"])
def test_other_characters_are_refused(character: str) -> None:
    """Control characters, surrogates and non-characters are refused in a body, in attribute values and types."""
    assert code_of(Content(f"a{character}")) == "InvalidMessageContents"
    assert code_of(Content("a", {"n": text(f"a{character}")})) == "InvalidParameterValue"
    assert code_of(Content("a", {"n": text("a", f"String.{character}")})) == "InvalidParameterValue"


def test_an_empty_body_is_missing() -> None:
    """SQS has no empty messages."""
    assert code_of(Content("")) == "MissingParameter"


def test_the_size_counts_body_names_types_and_values() -> None:
    """1 MiB in all is accepted, one byte more is not."""
    attributes = {"name": text("value"), "blob": AttributeValue("Binary", b"\0\1")}
    spent = len("nameStringvalueblobBinary") + 2
    check_content(Content("x" * (MAX_MESSAGE_BYTES - spent), attributes))
    assert code_of(Content("x" * (MAX_MESSAGE_BYTES - spent + 1), attributes)) == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("", text("x")),
        ("a" * 257, text("x")),
        ("AWS.x", text("x")),
        ("amazon.x", text("x")),
        (".a", text("x")),
        ("a.", text("x")),
        ("a..b", text("x")),
        ("a b", text("x")),
        ("ok", text("")),
        ("ok", text("x", "")),
        ("ok", text("x", "Colour")),
        ("ok", text("x", "Binary")),
        ("ok", text("x", "Number")),
        ("ok", text("x", "String." + "l" * 250)),
        ("ok", AttributeValue("String", b"x")),
        ("ok", AttributeValue("Binary", b"")),
    ],
)
def test_attributes_that_break_a_rule_are_refused(name: str, attribute: AttributeValue) -> None:
    """Names, types and values each have their rules."""
    assert code_of(Content("body", {name: attribute})) == "InvalidParameterValue"


def test_ten_attributes_are_the_most() -> None:
    """Ten are accepted, eleven are not."""
    check_content(Content("x", {f"n{number}": text("v") for number in range(10)}))
    assert code_of(Content("x", {f"n{number}": text("v") for number in range(11)})) == "InvalidParameterValue"


def test_the_trace_header_is_the_only_system_attribute() -> None:
    """AWSTraceHeader, a String; nothing else."""
    check_content(Content("x", system={"AWSTraceHeader": text("Root=1-a-b")}))
    assert code_of(Content("x", system={"Other": text("x")})) == "InvalidParameterValue"
    assert code_of(Content("x", system={"AWSTraceHeader": text("1", "Number")})) == "InvalidParameterValue"


def test_checksums_are_those_of_aws() -> None:
    """The digest of the developer guide's rule: length and bytes of name, type and value, sorted by name."""
    attributes = {"b": AttributeValue("Binary", b"\0\1"), "a": text("x")}
    assert md5_of_body("hé") == "33fcd01258e6ba07ef405dc9e721f3a7"
    assert md5_of_attributes(attributes) == "fa20e2def088daf7b14bc51e836c5547"
    assert md5_of_attributes({}) == ""
