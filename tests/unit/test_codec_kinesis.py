"""codec.kinesis: batches of a Kinesis event source mapping, their aggregates opened."""

from __future__ import annotations

import base64
import hashlib
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.codec import kinesis
from sluiceway.codec.kpl import CorruptAggregate
from sluiceway.codec.kpl.aggregate import MAGIC
from sluiceway.errors import Misconfigured, Rejected
from sluiceway.events.kinesis import KinesisBatch, KinesisRecord
from sluiceway.events.sqs import BatchReport

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
FIRST = 49590338271490256608559692538361571095921575989136588898
RECORDS = st.builds(
    KinesisRecord,
    sequence_number=st.integers(0, 10**56).map(str),
    partition_key=st.text(min_size=1, max_size=256),
    data=st.binary().filter(lambda data: not data.startswith(b"\xf3\x89\x9a\xc2")),
    arrived_ms=st.integers(0, 2**41),
    shard_id=st.just("shardId-000000000006"),
    stream_arn=st.just(STREAM),
    explicit_hash_key=st.just(""),
    sub_sequence=st.none(),
    fault=st.none(),
)


def wire(record: KinesisRecord) -> dict[str, object]:
    """`record` as the mapping delivers it."""
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record.partition_key,
            "sequenceNumber": record.sequence_number,
            "data": base64.b64encode(record.data).decode(),
            "approximateArrivalTimestamp": record.arrived_ms / 1000,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{record.shard_id}:{record.sequence_number}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda-role",
        "awsRegion": "eu-west-1",
        "eventSourceARN": record.stream_arn,
    }


def make(data: bytes, *, number: int = FIRST) -> KinesisRecord:
    return KinesisRecord(str(number), "key", data, 1_545_084_650_987, "shardId-000000000006", STREAM)


def aggregate(*payloads: bytes) -> bytes:
    """What a producer library makes of a few short `payloads`, with keys k0, k1, ..., byte by byte."""
    message = b"".join(b"\x0a\x02k%d" % at for at in range(len(payloads)))
    for at, data in enumerate(payloads):
        record = b"\x08" + bytes([at]) + b"\x1a" + bytes([len(data)]) + data
        message += b"\x1a" + bytes([len(record)]) + record
    return b"\xf3\x89\x9a\xc2" + message + hashlib.md5(message).digest()


@given(records=st.lists(RECORDS, max_size=3))
def test_a_batch_is_decoded_in_order(records: list[KinesisRecord]):
    """Nothing is lost or changed on the way in, whatever is in keys and data."""
    assert kinesis.decode({"Records": [wire(record) for record in records]}) == KinesisBatch(tuple(records))


def test_an_aggregate_is_opened():
    """Each of its records has its own key and data, shares the sequence number, and is told apart by its place."""
    whole, alone = make(aggregate(b"one", b"two")), make(b"three", number=FIRST + 1)
    found = kinesis.decode({"Records": [wire(whole), wire(alone)]}).records
    assert found == (
        whole._replace(partition_key="k0", data=b"one", sub_sequence=0),
        whole._replace(partition_key="k1", data=b"two", sub_sequence=1),
        alone,
    )


def test_an_aggregate_that_cannot_be_opened_is_one_records_fault():
    """A producer's broken bytes must not stop the shard: the record has the fault, the others are as they were."""
    broken = bytearray(aggregate(b"one", b"two"))
    broken[-1] ^= 1
    found = kinesis.decode({"Records": [wire(make(bytes(broken))), wire(make(b"x", number=FIRST + 1))]}).records
    assert [record.data for record in found] == [bytes(broken), b"x"]
    assert isinstance(found[0].fault, CorruptAggregate)
    assert found[1].fault is None


def test_a_record_too_short_for_an_aggregate_is_a_record():
    """Four bytes of magic alone are somebody's data."""
    assert kinesis.decode({"Records": [wire(make(b"\xf3\x89\x9a\xc2"))]}).records == (make(b"\xf3\x89\x9a\xc2"),)


def test_an_aggregate_is_known_by_its_first_bytes():
    """The codec looks for what `codec.kpl` opens."""
    assert kinesis.AGGREGATE == MAGIC


def test_who_sends_no_aggregate_imports_no_aggregates(monkeypatch: pytest.MonkeyPatch):
    """The cold start of a plain stream's function does not pay for them."""
    monkeypatch.setitem(sys.modules, "sluiceway.codec.kpl", None)  # importing it fails
    assert kinesis.decode({"Records": [wire(make(b"plain"))]}).records == (make(b"plain"),)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("sequenceNumber", None),
        ("sequenceNumber", "-1"),
        ("sequenceNumber", "1e3"),
        ("sequenceNumber", "٣"),
        ("sequenceNumber", "9" * 130),
        ("partitionKey", 5),
        ("data", "!!!!"),
        ("data", "QQ=\n="),
        ("data", None),
        ("approximateArrivalTimestamp", "1545084650.987"),
        ("approximateArrivalTimestamp", True),
        ("approximateArrivalTimestamp", float("nan")),
        ("approximateArrivalTimestamp", float("inf")),
        ("approximateArrivalTimestamp", -1),
    ],
)
def test_a_wrong_member_is_named(member: str, value: object):
    """The error says which record and member, and nothing of the data."""
    raw = wire(make(b"secret"))
    raw["kinesis"] = {**raw["kinesis"], member: value}  # type: ignore[dict-item]
    with pytest.raises(Rejected) as caught:
        kinesis.decode({"Records": [raw]})
    assert (caught.value.reason, caught.value.field) == ("malformed-event", f"Records[0].kinesis.{member}")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("raw", [None, [], {}, {"Records": None}, {"Records": [1]}, {"Records": [{}]}])
def test_another_event_is_malformed(raw: object):
    """A function attached to the wrong trigger says so."""
    with pytest.raises(Rejected, match="is not"):
        kinesis.decode(raw)


@pytest.mark.parametrize(
    ("other", "field"),
    [
        ({"eventSourceARN": STREAM + "2"}, "Records[1].eventSourceARN"),
        ({"eventID": "shardId-000000000007:1"}, "Records[1].eventID"),
        ({"eventID": "1"}, "Records[1].eventID"),
        ({"eventSource": "aws:sqs"}, "Records[1].eventSource"),
    ],
)
def test_a_batch_is_of_one_shard(other: dict[str, object], field: str):
    """An event of two streams or two shards is none of Lambda's: one checkpoint could not be right for both."""
    with pytest.raises(Rejected) as caught:
        kinesis.decode({"Records": [wire(make(b"")), wire(make(b"", number=FIRST + 1)) | other]})
    assert (caught.value.reason, caught.value.field) == ("malformed-event", field)


@pytest.mark.parametrize("member", ["window", "isFinalInvokeForWindow"])
def test_a_tumbling_window_is_refused_by_name(member: str):
    """A report of failures alone would lose the window's state: the deployment is wrong, not the event."""
    with pytest.raises(Misconfigured) as caught:
        kinesis.decode({"Records": [], member: {}, "state": {}})
    assert caught.value.what == "TumblingWindowInSeconds"


def test_an_event_is_bounded():
    """Ten thousand records are the most that a mapping can batch."""
    with pytest.raises(Rejected, match="at most 10000"):
        kinesis.decode({"Records": [wire(make(b""))] * 10_001})


def test_the_report_is_the_lowest_unfinished_sequence_number():
    """By number, not as text: of 9 and 10 it is 9. Nothing unfinished is an empty list."""
    batch = KinesisBatch(())
    report = batch.report([make(b"", number=10), make(b"", number=9), make(b"", number=11)])
    assert kinesis.encode(report) == {"batchItemFailures": [{"itemIdentifier": "9"}]}
    assert kinesis.encode(batch.report([])) == {"batchItemFailures": []}
    assert kinesis.encode(BatchReport()) == {"batchItemFailures": []}


def test_a_batch_has_no_correlation_id():
    """The Lambda request id must do."""
    assert kinesis.correlation_id(KinesisBatch(())) == ""
