"""codec.fan_out: orders between invocations of one function, beside a stream's batches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.codec import fan_out, kinesis
from sluiceway.errors import Rejected
from sluiceway.events.fan_out import PartOrder, PartReport
from sluiceway.events.kinesis import KinesisRecord
from sluiceway.events.sqs import BatchReport

EVENTS = Path(__file__).parents[2] / "events" / "broadcast_records"
STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/Orders"
FAULT = Rejected("no", reason="malformed-aggregate")
COUNTS = st.integers(0, 1 << 53)
RECORDS = st.builds(
    KinesisRecord,
    sequence_number=st.integers(0, 10**60).map(str),
    partition_key=st.just(""),
    data=st.binary(max_size=40),
    arrived_ms=st.just(0),
    shard_id=st.just("shardId-0"),
    stream_arn=st.just(STREAM),
    explicit_hash_key=st.just(""),
    sub_sequence=st.none() | st.integers(0, 1 << 53),
    fault=st.none(),
)
ORDER: dict[str, Any] = {
    "order": {"v": 1, "topic": "orders", "part": 3, "until_ms": 7, "stream": STREAM, "shard": "shardId-0"},
    "records": [["49", None, "e30="], ["50", 2, None]],
}


LOST = st.lists(st.integers(0, 10**60).map(str), max_size=8).map(tuple)


@given(st.builds(PartOrder, st.text(min_size=1), COUNTS, COUNTS, st.lists(RECORDS, min_size=1).map(tuple), LOST))
def test_an_order_arrives_as_it_was_given(order: PartOrder) -> None:
    """With what the part may have lost, and every record's number, place and data; what only producers and metrics need
    stays behind."""
    assert fan_out.decode(json.loads(json.dumps(fan_out.encode_order(order)))) == order


def test_an_aggregate_that_could_not_be_opened_stays_one() -> None:
    """Its data does not go along: nobody is given it."""
    order = fan_out.decode(ORDER)
    assert isinstance(order, PartOrder)
    good, bad = order.records
    assert (good.data, good.fault, good.sequence_number) == (b"{}", None, "49")
    assert bad.fault is not None
    assert (bad.fault.reason, bad.data, bad.sub_sequence) == ("malformed-aggregate", b"", 2)
    assert fan_out.encode_order(order) == ORDER


@given(st.builds(PartReport, st.booleans(), COUNTS, COUNTS, COUNTS, COUNTS))
def test_a_report_arrives_as_it_was_given(report: PartReport) -> None:
    """By the names of its members."""
    assert fan_out.decode_report(json.loads(json.dumps(fan_out.encode(report)))) == report


def test_a_streams_batch_is_what_it_was() -> None:
    """Event and reply are those of `codec.kinesis`."""
    event = json.loads((EVENTS / "one_record.json").read_text())
    assert fan_out.decode(event) == kinesis.decode(event)
    assert fan_out.encode(BatchReport(("7",))) == kinesis.encode(BatchReport(("7",)))
    assert fan_out.correlation_id(fan_out.decode(event)) == ""


def _changed(path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    event = json.loads(json.dumps(ORDER))
    place = event
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return event


@pytest.mark.parametrize(
    ("path", "value", "member"),
    [
        (("order",), [], "order"),
        (("order", "v"), 2, "order.v"),
        (("order", "topic"), None, "order.topic"),
        (("order", "part"), -1, "order.part"),
        (("order", "part"), True, "order.part"),
        (("order", "until_ms"), 1.5, "order.until_ms"),
        (("order", "until_ms"), 1 << 60, "order.until_ms"),
        (("order", "shard"), 5, "order.shard"),
        (("order", "lost"), "49", "order.lost"),
        (("order", "lost"), ["49", 50], "order.lost[1]"),
        (("order", "stream"), None, "order.stream"),
        (("records",), None, "records"),
        (("records", 1), ["50", 2], "records[1]"),
        (("records", 1), "50", "records[1]"),
        (("records", 0, 0), "4x", "records[0]"),
        (("records", 0, 1), "0", "records[0]"),
        (("records", 0, 2), "e30", "records[0]"),
        (("records", 0, 2), 30, "records[0]"),
    ],
)
def test_what_is_no_order_is_refused_by_its_member(path: tuple[str | int, ...], value: object, member: str) -> None:
    """Rejected, whatever stands there."""
    with pytest.raises(Rejected) as caught:
        fan_out.decode(_changed(path, value))
    assert (caught.value.reason, caught.value.field) == ("malformed-event", member)


@pytest.mark.parametrize("raw", [None, [], {}, {"is_begun": 1}, {"is_begun": True}, {"batchItemFailures": []}])
def test_what_is_no_report_is_refused(raw: object) -> None:
    """An older version of the function answers something else."""
    with pytest.raises(Rejected):
        fan_out.decode_report(raw)
