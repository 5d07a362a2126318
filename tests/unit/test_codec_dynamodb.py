"""codec.dynamodb: batches of a DynamoDB stream's event source mapping, items in Python."""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.aws.attributes import decode_item, encode_item
from sluiceway.codec import dynamodb
from sluiceway.errors import Misconfigured, Rejected
from sluiceway.events.dynamodb import DynamoDbBatch, DynamoDbRecord

STREAM = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-11-27T00:00:00.000"
NUMBERS = st.integers(-(10**38) + 1, 10**38 - 1) | st.decimals(
    allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=12
)
SCALARS = st.text() | NUMBERS | st.binary() | st.booleans() | st.none()
SETS = (
    st.sets(st.text(), min_size=1)
    | st.sets(st.binary(), min_size=1)
    | st.sets(st.integers(-(10**30), 10**30), min_size=1)
)
NAMES = st.text(min_size=1)
VALUES = st.recursive(
    SCALARS | SETS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)


def wire(number: int = 1, **members: Any) -> dict[str, Any]:
    """A record as the mapping delivers it; `members` of `dynamodb` beside the usual ones."""
    return {
        "eventID": f"e{number}",
        "eventName": "MODIFY",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-west-1",
        "dynamodb": {
            "ApproximateCreationDateTime": 1_545_084_650.0,
            "Keys": {"id": {"S": "o1"}},
            "SequenceNumber": str(number),
            "SizeBytes": 26,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
            **members,
        },
        "eventSourceARN": STREAM,
    }


def decode_one(**members: Any) -> DynamoDbRecord:
    (record,) = dynamodb.decode({"Records": [wire(**members)]}).records
    return record


@given(item=st.dictionaries(NAMES, VALUES, max_size=4))
def test_an_image_reads_as_the_table_itself_is_read(item: dict[str, Any]):
    """The same values of the same types as the wire client gives for the same item, sets and numbers included."""
    written = encode_item(item)
    found = decode_one(NewImage=written).new_image
    theirs = decode_item(written)
    assert found == theirs
    assert repr(found) == repr(theirs)


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("0", 0),
        ("-12", -12),
        ("99999999999999999999999999999999999999", 10**38 - 1),
        ("0.1", Decimal("0.1")),
        ("3.10", Decimal("3.10")),
        ("1E+125", Decimal("1E+125")),
        ("-1E-130", Decimal("-1E-130")),
        ("1.2345678901234567890123456789012345678", Decimal("1.2345678901234567890123456789012345678")),
    ],
)
def test_numbers_are_exact(literal: str, value: object):
    """38 digits survive, whatever the context of decimals is; no float comes near."""
    found = decode_one(NewImage={"n": {"N": literal}}).new_image
    assert found == {"n": value}
    assert type(found["n"]) is type(value)


@pytest.mark.parametrize(
    "attribute",
    [
        {"N": "1_0"},
        {"N": "NaN"},
        {"N": "Infinity"},
        {"N": "٣"},
        {"N": " 1"},
        {"N": ""},
        {"N": 5},
        {"N": "1E+126"},
        {"N": "1E-131"},
        {"N": "1E+999999999"},
        {"N": "0." + "0" * 300},
        {"N": "9" * 127},
        {"S": 5},
        {"B": "!"},
        {"BOOL": "true"},
        {"NULL": False},
        {"L": {}},
        {"M": []},
        {"SS": "a"},
        {"NS": ["x"]},
        {"X": "a"},
        {"S": "a", "N": "1"},
        {},
        "a",
        None,
    ],
)
def test_what_is_no_attribute_value_is_named(attribute: object):
    """The error says which record, image and attribute; nothing of the value."""
    with pytest.raises(Rejected) as caught:
        decode_one(NewImage={"total": attribute})
    assert (caught.value.reason, caught.value.field) == ("malformed-event", "Records[0].dynamodb.NewImage.total")
    assert str(caught.value).startswith("the event's Records[0].dynamodb.NewImage.total is not ")
    assert "E+999" not in str(caught.value)


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {"S": "deep"}
    for _ in range(levels):
        value = {"L": [value]}
    return value


def test_depth_is_bounded():
    """32 levels, as DynamoDB has them; more is refused before the interpreter's stack is."""
    assert decode_one(NewImage={"a": nested(32)}).new_image is not None
    for levels in (33, 900):
        with pytest.raises(Rejected, match="32 levels"):
            decode_one(NewImage={"a": nested(levels)})


def test_a_change_is_decoded():
    """What it was, what it is, of which item, when, and that it was the caller's doing."""
    record = decode_one(NewImage={"id": {"S": "o1"}, "n": {"N": "2"}}, OldImage={"id": {"S": "o1"}, "n": {"N": "1"}})
    assert record == DynamoDbRecord(
        sequence_number="1",
        event_id="e1",
        change="MODIFY",
        keys={"id": "o1"},
        item="o1",
        stream_arn=STREAM,
        new_image={"id": "o1", "n": 2},
        old_image={"id": "o1", "n": 1},
        changed_ms=1_545_084_650_000,
        size_bytes=26,
        view="NEW_AND_OLD_IMAGES",
    )


def test_an_expiry_is_told_from_a_deletion():
    """Time to live removes as the service itself."""
    raw = wire() | {"eventName": "REMOVE"}
    service = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    records = dynamodb.decode({"Records": [raw, raw | {"userIdentity": service}]}).records
    assert [record.expired for record in records] == [False, True]


def test_items_are_told_apart_by_their_whole_key():
    """Two keys in either order are one item; another sort key, or a value of another type, is another."""
    keys = [
        {"pk": {"S": "a"}, "sk": {"N": "1"}},
        {"sk": {"N": "1"}, "pk": {"S": "a"}},
        {"pk": {"S": "a"}, "sk": {"N": "2"}},
        {"pk": {"S": "a"}, "sk": {"S": "1"}},
        {"pk": {"S": "1"}, "sk": {"S": "a"}},
    ]
    batch = dynamodb.decode({"Records": [wire(at, Keys=key) for at, key in enumerate(keys)]})
    lanes = [batch.lane_of(record) for record in batch.records]
    assert lanes[0] == lanes[1]
    assert len(set(lanes)) == 4
    encoded = base64.b64encode(b"1").decode()
    singles = [{"pk": {"S": "1"}}, {"pk": {"N": "1"}}, {"pk": {"B": encoded}}]
    batch = dynamodb.decode({"Records": [wire(at, Keys=key) for at, key in enumerate(singles)]})
    assert len({batch.lane_of(record) for record in batch.records}) == 3


@pytest.mark.parametrize(
    "keys",
    [None, {}, {"id": {"BOOL": True}}, {"id": {"M": {}}}, {"id": {"SS": ["a"]}}, {name: {"S": "x"} for name in "abc"}],
)
def test_a_key_is_one_or_two_scalars(keys: object):
    """An item that cannot be told from others has no lane: refused."""
    with pytest.raises(Rejected, match=r"Records\[0\].dynamodb.Keys"):
        decode_one(Keys=keys)


@pytest.mark.parametrize(
    ("other", "field"),
    [
        ({"eventSourceARN": STREAM + "2"}, "Records[1].eventSourceARN"),
        ({"eventSource": "aws:kinesis"}, "Records[1].eventSource"),
        ({"eventName": "UPSERT"}, "Records[1].eventName"),
        ({"eventID": None}, "Records[1].eventID"),
        ({"dynamodb": None}, "Records[1].dynamodb"),
        ({"dynamodb": {"Keys": {"id": {"S": "o"}}}}, "Records[1].dynamodb.SequenceNumber"),
    ],
)
def test_a_wrong_record_is_named(other: dict[str, object], field: str):
    """One clear error, with the place."""
    with pytest.raises(Rejected) as caught:
        dynamodb.decode({"Records": [wire(1), wire(2) | other]})
    assert (caught.value.reason, caught.value.field) == ("malformed-event", field)


def test_a_tumbling_window_is_refused_by_name():
    """Its state would be lost."""
    with pytest.raises(Misconfigured) as caught:
        dynamodb.decode({"Records": [], "window": {}})
    assert caught.value.what == "TumblingWindowInSeconds"


def test_the_content_is_the_item_that_the_change_is_about():
    """The new image; of what was removed the old one; and a view that has it not is the deployment's fault."""
    image = {"id": {"S": "o1"}}
    assert decode_one(NewImage=image).content == {"id": "o1"}
    removed = wire(OldImage=image) | {"eventName": "REMOVE"}
    assert dynamodb.decode({"Records": [removed]}).records[0].content == {"id": "o1"}
    with pytest.raises(Misconfigured) as caught:
        _ = decode_one(StreamViewType="KEYS_ONLY").content
    assert caught.value.what == "StreamViewType"


def test_the_report_is_the_lowest_unfinished_sequence_number():
    """By number, not as text."""
    batch = dynamodb.decode({"Records": [wire(9), wire(10)]})
    assert dynamodb.encode(batch.report(batch.records[::-1])) == {"batchItemFailures": [{"itemIdentifier": "9"}]}
    assert dynamodb.encode(DynamoDbBatch(()).report([])) == {"batchItemFailures": []}
    assert dynamodb.correlation_id(batch) == ""
