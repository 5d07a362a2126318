"""The orders that one invocation of a function gives to others of it, beside the batches that a stream gives it.

    {"order": {"v": 1, "topic": ..., "part": 3, "until_ms": ..., "stream": <ARN>, "shard": ..., "lost"?: [<number>]},
     "records": [[<sequence number>, <sub-sequence or null>, <base64 of the data, null where it could not be opened>]]}

The answer is a report's members. Must not know how an invocation is made.
"""

from __future__ import annotations

import binascii
from typing import Final

from sluiceway.codec import kinesis
from sluiceway.codec.shape import integer, malformed, mapping, sequence, text
from sluiceway.errors import Rejected
from sluiceway.events.fan_out import PartOrder, PartReport
from sluiceway.events.kinesis import KinesisBatch, KinesisRecord
from sluiceway.events.sqs import BatchReport

__all__ = ["correlation_id", "decode", "decode_report", "encode", "encode_order"]

VERSION: Final = 1
MAX_NUMBER: Final = 1 << 53


def decode(raw: object) -> KinesisBatch | PartOrder:
    """An order, or what `kinesis.decode` makes of a batch. Raises: Rejected (`malformed-event`); Misconfigured."""
    root = mapping(raw, "root")
    if "order" not in root:
        return kinesis.decode(raw)
    order = mapping(root["order"], "order")
    if order.get("v") != VERSION:
        raise malformed("order.v", str(VERSION))
    stream, shard = text(order.get("stream"), "order.stream"), text(order.get("shard"), "order.shard")
    return PartOrder(
        topic=text(order.get("topic"), "order.topic"),
        part=_count(order.get("part"), "order.part"),
        until_ms=_count(order.get("until_ms"), "order.until_ms"),
        records=tuple(
            _record(each, stream=stream, shard=shard, member=f"records[{index}]")
            for index, each in enumerate(sequence(root.get("records"), "records"))
        ),
        lost=tuple(
            kinesis.read_sequence_number(each, f"order.lost[{index}]")
            for index, each in enumerate(sequence(order.get("lost", []), "order.lost"))
        ),
    )


def encode(reply: BatchReport | PartReport) -> dict[str, object]:
    """A report, or the partial batch response."""
    return reply._asdict() if isinstance(reply, PartReport) else kinesis.encode(reply)


def correlation_id(event: KinesisBatch | PartOrder) -> str:
    """Always "": neither has one."""
    del event
    return ""


def encode_order(order: PartOrder) -> dict[str, object]:
    """The payload of the invocation. The records are of one shard, and there is one at least."""
    first = order.records[0]
    about = {"v": VERSION, "topic": order.topic, "part": order.part, "until_ms": order.until_ms}
    lost = {"lost": list(order.lost)} if order.lost else {}
    return {
        "order": {**about, "stream": first.stream_arn, "shard": first.shard_id, **lost},
        "records": [[each.sequence_number, each.sub_sequence, _write(each)] for each in order.records],
    }


def decode_report(raw: object) -> PartReport:
    """What a worker answered. Raises: Rejected (`malformed-event`)."""
    members = mapping(raw, "root")
    is_begun = members.get("is_begun")
    if not isinstance(is_begun, bool):
        raise malformed("is_begun", "true or false")
    subscribers, posted, dropped, skipped = (
        _count(members.get(name), name) for name in ("subscribers", "posted", "dropped", "skipped")
    )
    return PartReport(is_begun, subscribers, posted, dropped, skipped)


def _write(record: KinesisRecord) -> str | None:
    return None if record.fault is not None else binascii.b2a_base64(record.data, newline=False).decode()


def _record(value: object, *, stream: str, shard: str, member: str) -> KinesisRecord:
    fields = sequence(value, member)
    if len(fields) != 3:
        raise malformed(member, "an array of three")
    number, sub, written = fields
    data, fault = b"", None
    if written is None:
        fault = Rejected("the aggregate could not be opened", reason="malformed-aggregate")
    else:
        data = _data(text(written, member), member)
    return KinesisRecord(
        sequence_number=kinesis.read_sequence_number(number, member),
        partition_key="",
        data=data,
        arrived_ms=0,
        shard_id=shard,
        stream_arn=stream,
        sub_sequence=None if sub is None else _count(sub, member),
        fault=fault,
    )


def _data(written: str, member: str) -> bytes:
    try:
        return binascii.a2b_base64(written, strict_mode=True)
    except ValueError as error:
        raise malformed(member, "base64") from error


def _count(value: object, member: str) -> int:
    number = integer(value, member)
    if not 0 <= number <= MAX_NUMBER:
        raise malformed(member, "a count")
    return number
