"""One thing that is sent again, and how it looks in an event of Lambda's. Pure: knows no source and no target.

Sources: https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html, with-sqs.html, with-ddb.html
"""

from __future__ import annotations

import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast

from sluiceway.events.kinesis import KinesisRecord

__all__ = [
    "Item",
    "Kind",
    "Outcome",
    "group_lanes",
    "item_of_kinesis",
    "item_of_line",
    "item_of_record",
    "region_of",
    "write_line",
]

Kind: TypeAlias = Literal["kinesis", "sqs", "dynamodb", "event"]
"""What an event has it in: a list of records of its source, or (`event`) it is the event itself."""

Outcome: TypeAlias = tuple["Item", str]
"""An item and why it was refused; "" where it was taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A record or message. `content` is what its producer wrote; for `dynamodb` and `event` the JSON of all of it.

    `key` names it where something is said of it. `mark`: what a partial answer of a function names it by. `lane`: what
    one event may hold together, in order: a shard. `origin`: the ARN of the stream, queue or function it was for, ""
    where nobody knows. `arrived_ms`: epoch milliseconds, 0 where it has no date. `record`: the members of its entry in
    an event that `content` has not. `letter`: the dead letter that it came in. `fault`: why it can be sent nowhere.
    """

    kind: Kind
    key: str
    content: bytes
    mark: str = ""
    lane: str = ""
    origin: str = ""
    partition_key: str = ""
    arrived_ms: int = 0
    record: Mapping[str, Any] = field(default_factory=dict[str, Any])
    letter: str = ""
    fault: str = ""

    def as_record(self, source_arn: str = "") -> dict[str, Any]:
        """Its entry in `Records`, or the event that it is. `source_arn`: of the mapping, where that is not `origin`.

        Raises ValueError where an edit has left no JSON object of a kind that is one.
        """
        arn = source_arn or self.origin
        if self.kind == "kinesis":
            return self._as_kinesis(arn)
        if self.kind == "sqs":
            body = self.content.decode("utf-8", "surrogatepass")
            digest = hashlib.md5(self.content, usedforsecurity=False).hexdigest()
            found = {**self.record, "body": body, "md5OfBody": digest, "eventSource": "aws:sqs", "eventSourceARN": arn}
            return {**found, "awsRegion": region_of(arn)}
        whole: object = json.loads(self.content)
        if not isinstance(whole, dict):
            raise ValueError("it is no JSON object")  # noqa: TRY004 - it is the data that is wrong
        event = cast("dict[str, Any]", whole)
        return {**event, "eventSourceARN": arn} if self.kind == "dynamodb" and arn else event

    def _as_kinesis(self, arn: str) -> dict[str, Any]:
        return {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": self.partition_key,
                "sequenceNumber": self.mark,
                "data": binascii.b2a_base64(self.content, newline=False).decode("ascii"),
                "approximateArrivalTimestamp": self.arrived_ms / 1000,
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": f"{self.lane}:{self.mark}",
            "eventName": "aws:kinesis:record",
            "awsRegion": region_of(arn),
            "eventSourceARN": arn,
        }


def region_of(arn: str) -> str:
    """The Region that an ARN names, "" for none."""
    return (arn.split(":") + [""] * 4)[3]


def item_of_kinesis(record: KinesisRecord) -> Item:
    """A record of a stream as its producer wrote it."""
    place = "" if record.sub_sequence is None else f"/{record.sub_sequence}"
    return Item(
        kind="kinesis",
        key=f"{record.shard_id}/{record.sequence_number}{place}",
        content=record.data,
        mark=record.sequence_number,
        lane=record.shard_id,
        origin=record.stream_arn,
        partition_key=record.partition_key,
        arrived_ms=record.arrived_ms,
    )


def item_of_record(record: Mapping[str, Any], *, key: str, origin: str = "") -> Item | None:
    """A record of an event of Lambda's, of a stream or a queue; None where it is none.

    `origin` stands in where the record has no ARN.
    """
    try:
        arn = str(record.get("eventSourceARN") or origin)
        source = record.get("eventSource")
        if source == "aws:kinesis":
            return _of_kinesis(record, key, arn)
        if source == "aws:sqs":
            return _of_message(record, key, arn)
        if source == "aws:dynamodb":
            return _of_change(record, key, arn)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return None
    return None


def item_of_line(text: bytes, *, key: str) -> Item:
    """A line of JSON: a record of an event where it is one, else an event by itself. Raises ValueError."""
    value: object = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - it is the data that is wrong
    found = cast("Mapping[str, Any]", value)
    return item_of_record(found, key=key) or Item(kind="event", key=key, content=text, mark=key)


def _of_kinesis(record: Mapping[str, Any], key: str, arn: str) -> Item:
    kinesis = cast("Mapping[str, Any]", record["kinesis"])
    return Item(
        kind="kinesis",
        key=key,
        content=binascii.a2b_base64(kinesis["data"], strict_mode=True),
        mark=str(kinesis["sequenceNumber"]),
        lane=str(record.get("eventID") or "").rpartition(":")[0],
        origin=arn,
        partition_key=str(kinesis.get("partitionKey") or ""),
        arrived_ms=round(float(kinesis.get("approximateArrivalTimestamp") or 0) * 1000),
    )


def _of_message(record: Mapping[str, Any], key: str, arn: str) -> Item:
    kept = {name: value for name, value in record.items() if name not in {"body", "md5OfBody", "eventSourceARN"}}
    sent_ms = cast("Mapping[str, Any]", record.get("attributes") or {}).get("SentTimestamp") or 0
    return Item(
        kind="sqs",
        key=key,
        content=str(record["body"]).encode("utf-8", "surrogatepass"),
        mark=str(record["messageId"]),
        origin=arn,
        arrived_ms=int(sent_ms),
        record=kept,
    )


def _of_change(record: Mapping[str, Any], key: str, arn: str) -> Item:
    change = cast("Mapping[str, Any]", record["dynamodb"])
    return Item(
        kind="dynamodb",
        key=key,
        content=json.dumps(record, separators=(",", ":")).encode(),
        mark=str(change["SequenceNumber"]),
        lane=arn,
        origin=arn,
        arrived_ms=round(float(change.get("ApproximateCreationDateTime") or 0) * 1000),
    )


def write_line(item: Item) -> bytes:
    """The item as a line of JSON that `item_of_line` reads. Raises ValueError as `Item.as_record` does."""
    return json.dumps(item.as_record(), separators=(",", ":")).encode() + b"\n"


def group_lanes(items: Sequence[Item]) -> dict[tuple[Kind, str, str], list[int]]:
    """The places of the items that one event may hold together, in order, by kind, origin and lane."""
    lanes: dict[tuple[Kind, str, str], list[int]] = {}
    for at, item in enumerate(items):
        lanes.setdefault((item.kind, item.origin, item.lane), []).append(at)
    return lanes
