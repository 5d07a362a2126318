"""What may be published, and by whom: each refusal names the field and its limit."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.errors import Misconfigured, Rejected
from sluiceway.rules.publishing import (
    MAX_BODY_BYTES,
    NewRecord,
    encode_data,
    parse_idempotency_key,
    parse_records,
    read_publishers,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.tuples(st.text(), st.dictionaries(st.text(), VALUES, max_size=3)), min_size=1, max_size=5))
def test_records_come_out_as_they_were_sent(sent: list[tuple[str, dict[str, object]]]) -> None:
    """Keys and data survive, and what is put is their JSON."""
    body = json.dumps({"records": [{"key": key, "data": data} for key, data in sent]}).encode()
    assert parse_records(body) == [NewRecord(key, data) for key, data in sent]
    for _, data in sent:
        assert json.loads(encode_data("t", data)) == data


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        (b"", "body", "JSON"),
        (b"\xff", "body", "JSON"),
        (b"[" * 100_000, "body", "JSON"),
        (b"[]", "body", "object"),
        (b"{}", "records", "1 to 500"),
        (b'{"records":{}}', "records", "1 to 500"),
        (b'{"records":[]}', "records", "1 to 500"),
        (json.dumps({"records": [{"key": "k", "data": {}}] * 501}).encode(), "records", "1 to 500"),
        (b'{"records":[{"key":"k","data":{}}],"more":1}', "more", "only records"),
        (b'{"records":[1]}', "records[0]", "key and data"),
        (b'{"records":[{"key":"k","data":{}},{"key":1,"data":{}}]}', "records[1].key", "1 to 256"),
        (b'{"records":[{"data":{}}]}', "records[0].key", "1 to 256"),
        (b'{"records":[{"key":"k","data":[1]}]}', "records[0].data", "object"),
        (b'{"records":[{"key":"k"}]}', "records[0].data", "object"),
        (b'{"records":[{"key":"k","data":{},"hash":"1"}]}', "records[0].hash", "only data and key"),
        (b'{"records":[{"key":"k","data":{"a":1,"a":2}}]}', "body", "twice"),
        (b'{"records":[{"key":"k","data":{"a":1e999}}]}', "body", "double"),
        (b'{"records":[{"key":"k","data":{"a":NaN}}]}', "body", "JSON"),
        (b'{"records":[{"key":"k","data":{"a":' + b"1" * 5_000 + b"}}]}", "body", "JSON"),
    ],
)
def test_a_body_that_is_none_is_refused_by_its_field(body: bytes, field: str, says: str) -> None:
    """The text names the field and the rule."""
    with pytest.raises(Rejected) as caught:
        parse_records(body)
    assert (caught.value.reason, caught.value.field) == ("invalid-body", field)
    assert str(caught.value).startswith(field)
    assert says in str(caught.value)


def test_a_body_of_more_than_four_mebibytes_is_refused_unread() -> None:
    """By its length, with the limit."""
    with pytest.raises(Rejected, match=str(MAX_BODY_BYTES)) as caught:
        parse_records(b"[" * (MAX_BODY_BYTES + 1))
    assert (caught.value.reason, caught.value.field) == ("body-too-large", "body")


def test_half_a_surrogate_pair_is_no_data() -> None:
    """JSON can write it, UTF-8 cannot."""
    (record,) = parse_records(b'{"records":[{"key":"k","data":{"a":"\\ud800"}}]}')
    with pytest.raises(Rejected) as caught:
        encode_data("t", record.data)
    assert caught.value.reason == "invalid-data"


@pytest.mark.parametrize("key", ["", "k" * 129, "😀" * 65])
def test_an_idempotency_key_has_its_length(key: str) -> None:
    """1 to 128 UTF-16 code units, as a job's."""
    with pytest.raises(Rejected) as caught:
        parse_idempotency_key({"idempotency-key": key})
    assert (caught.value.reason, caught.value.field) == ("invalid-idempotency-key", "Idempotency-Key")
    assert parse_idempotency_key({}) is None
    assert parse_idempotency_key({"idempotency-key": "😀" * 64}) == "😀" * 64


def test_publishers_are_everybody_or_a_list() -> None:
    """Every topic has its entry."""
    assert read_publishers({"a": "*", "b": ["ann"], "c": []}, ["a", "b", "c"], "PUBLISHERS") == {
        "a": None,
        "b": frozenset({"ann"}),
        "c": frozenset(),
    }


@pytest.mark.parametrize(
    "declared", [{}, {"a": "*", "b": "*"}, {"a": "ann"}, {"a": [1]}, {"a": [""]}, {"a": ["x", "x"]}]
)
def test_other_publishers_are_misconfigured(declared: dict[str, object]) -> None:
    """A missing topic, one too many, and callers that are none; the setting is named."""
    with pytest.raises(Misconfigured) as caught:
        read_publishers(declared, ["a"], "PUBLISHERS")
    assert caught.value.what == "PUBLISHERS"
