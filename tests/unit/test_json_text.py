"""JSON as AWS's services read it."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.clock import SystemClock
from localcloud.json_text import MalformedJson, parse_json, read_json, write_json
from localcloud.services.contract import WireRequest
from localcloud.services.dynamodb.wire import DynamoService

MALFORMED = [
    (b"{", "Expecting property name enclosed in double quotes: line 1 column 2"),
    (b"", "Expecting value: line 1 column 1"),
    (b"NaN", "NaN is no JSON"),
    (b'{"a":-Infinity}', "-Infinity is no JSON"),
    (b'"\xff"', "Invalid UTF-8 at byte 1"),
    (b'"\xed\xa0\x80"', "Invalid UTF-8 at byte 1"),
    (b'\xef\xbb\xbf"a"', "Unexpected UTF-8 BOM"),
    ('"a"'.encode("utf-16"), "Invalid UTF-8 at byte 0"),
    (b"[" * 100_000, "Nested too deeply"),
    (b"9" * 5000, "Exceeds the limit"),
    (b'{"a":[1e999]}', "A number is out of range"),
    (b"-1e400", "A number is out of range"),
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.mark.parametrize(("body", "words"), MALFORMED, ids=[words for _, words in MALFORMED])
def test_what_is_no_json_is_refused_with_its_place(body: bytes, words: str) -> None:
    """One error for every way to be no JSON, and it quotes nothing of the body."""
    with pytest.raises(MalformedJson, match=words):
        parse_json(body)


@pytest.mark.parametrize("body", [b'"\\ud800"', b'{"\\uDFFF":1}', b'["a","\\ud83dx"]'])
def test_half_a_character_is_parsed_and_not_read(body: bytes) -> None:
    """A payload that is only passed on may hold one; text that will be written again may not."""
    parse_json(body)
    with pytest.raises(MalformedJson, match="Half of a surrogate pair"):
        read_json(body)


@given(VALUES, st.booleans())
def test_what_json_writes_is_read(value: Any, ascii_only: bool) -> None:
    """Pairs of escapes are whole characters."""
    assert read_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("PutItem", b'{"TableName":"t","Item":{"k":{"SS":["\\ud800"]}}}'),
        ("TransactGetItems", b'{"ReturnConsumedCapacity":"\\ud800"}'),
        ("PutItem", b"[" * 100_000),
    ],
)
async def test_dynamodb_refuses_what_it_could_not_answer(operation: str, body: bytes) -> None:
    """A SerializationException, whatever operation it came to; never a 500."""
    service = DynamoService(SystemClock(), randomness=random.Random(1))
    request = _request(operation, body)
    assert await _refusal(service, request) == "SerializationException"
    assert service.permissions(request) == ()


async def test_a_batch_for_a_table_without_a_name_is_refused() -> None:
    """A member may be named with no letter at all."""
    service = DynamoService(SystemClock(), randomness=random.Random(1))
    assert await _refusal(service, _request("BatchWriteItem", b'{"RequestItems":{"":null}}')) == "ValidationException"


async def _refusal(service: DynamoService, request: WireRequest) -> str:
    answer = await service.handle(request)
    assert isinstance(answer.body, bytes)
    assert answer.status == 400
    return json.loads(answer.body)["__type"].rpartition("#")[2]


def _request(operation: str, body: bytes) -> WireRequest:
    target = {"x-amz-target": f"DynamoDB_20120810.{operation}"}
    return WireRequest("dynamodb", "eu-west-1", "POST", "/", "", target, body, "AK", "id")


def test_half_of_a_surrogate_pair_is_written_as_its_escape() -> None:
    """So what is written can be sent, and is read as the same; all other text stays as it is."""
    assert write_json({"a": "\ud800é"}) == '{"a":"\\ud800\\u00e9"}'
    assert write_json({"a": "é😀"}) == '{"a":"é😀"}'


@given(VALUES)
def test_what_is_written_is_read_as_the_same(value: Any) -> None:
    """Whatever JSON has, in UTF-8."""
    assert parse_json(write_json(value).encode()) == value
