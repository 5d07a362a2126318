"""Kinesis event source mapping: a batch of one shard's records in, a partial batch response out.

Aggregates of the Kinesis Producer Library are opened here. One that cannot be opened is one record's fault, not the
event's: the rest of the shard must not wait for it.
Source: https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from sluiceway.codec.shape import malformed, mapping, sequence, text
from sluiceway.errors import Misconfigured, Rejected
from sluiceway.events.kinesis import KinesisBatch, KinesisRecord
from sluiceway.events.sqs import BatchReport

__all__ = [
    "AGGREGATE",
    "correlation_id",
    "decode",
    "decode_entries",
    "encode",
    "read_entries",
    "read_records",
    "read_sequence_number",
    "read_time_ms",
]

MAX_RECORDS: Final = 10_000  # the largest BatchSize of a stream
# Source: https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
MAX_DIGITS: Final = 129  # of a sequence number: the API's pattern is 0|([1-9]\d{0,128})
AGGREGATE: Final = b"\xf3\x89\x9a\xc2"  # how an aggregate begins; `codec.kpl` is imported with the first one


def decode(raw: object) -> KinesisBatch:
    """The batch, in the shard's order: at most 10,000 records of one shard, and what their aggregates hold.

    Raises: Rejected (`malformed-event`); Misconfigured where the mapping has a tumbling window.
    """
    return KinesisBatch(decode_entries(read_records(raw, "aws:kinesis")))


def decode_entries(entries: Iterable[tuple[int, Mapping[str, object]]]) -> tuple[KinesisRecord, ...]:
    """The records of an event's entries (place and members of each), and what their aggregates hold.

    Raises: Rejected (`malformed-event`), for records of two shards or streams as well.
    """
    decoded: list[KinesisRecord] = []
    for index, fields in entries:
        record = _record(fields, index)
        if decoded and record.stream_arn != decoded[0].stream_arn:
            raise malformed(f"Records[{index}].eventSourceARN", "the first record's: a batch is of one stream")
        if decoded and record.shard_id != decoded[0].shard_id:
            raise malformed(f"Records[{index}].eventID", "of the first record's shard: a batch is of one")
        if record.data.startswith(AGGREGATE):
            decoded.extend(_open(record))
        else:
            decoded.append(record)
    return tuple(decoded)


def encode(reply: BatchReport) -> dict[str, object]:
    """The partial batch response, for a mapping with ReportBatchItemFailures.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
    """
    return {"batchItemFailures": [{"itemIdentifier": sequence_number} for sequence_number in reply.failed]}


def correlation_id(event: KinesisBatch) -> str:
    """Always "": a record has none, unless its data says so."""
    del event
    return ""


def read_records(raw: object, source: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    """Place and members of each record of a stream's event.

    Raises: Rejected (`malformed-event`); Misconfigured where the mapping has a tumbling window, whose state a report
    of failures alone would lose.
    """
    root = mapping(raw, "root")
    if "window" in root or "isFinalInvokeForWindow" in root:
        raise Misconfigured("a batch of a tumbling window answers with its state", what="TumblingWindowInSeconds")
    yield from read_entries(root, source)


def read_entries(root: Mapping[str, object], source: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    """Place and members of each record of a stream's event, whatever it has beside. Raises: Rejected."""
    records = sequence(root.get("Records"), "Records")
    if len(records) > MAX_RECORDS:
        raise malformed("Records", f"an array of at most {MAX_RECORDS}")
    for index, record in enumerate(records):
        fields = mapping(record, f"Records[{index}]")
        if fields.get("eventSource") != source:
            raise malformed(f"Records[{index}].eventSource", source)
        yield index, fields


def read_sequence_number(value: object, member: str) -> str:
    """A sequence number: decimal digits. Raises: Rejected."""
    digits = text(value, member)
    if not (digits.isascii() and digits.isdigit() and len(digits) <= MAX_DIGITS):
        raise malformed(member, "a sequence number")
    return digits


def read_time_ms(value: object, member: str) -> int:
    """Epoch seconds, with or without a fraction, as epoch milliseconds. Raises: Rejected."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1e12:
        raise malformed(member, "a time in epoch seconds")
    return round(value * 1000)


def _record(fields: Mapping[str, object], index: int) -> KinesisRecord:
    place = f"Records[{index}]"
    kinesis = mapping(fields.get("kinesis"), f"{place}.kinesis")
    shard_id, colon, _ = text(fields.get("eventID"), f"{place}.eventID").partition(":")
    if not colon:
        raise malformed(f"{place}.eventID", "a shard's id, a colon and a sequence number")
    return KinesisRecord(
        sequence_number=read_sequence_number(kinesis.get("sequenceNumber"), f"{place}.kinesis.sequenceNumber"),
        partition_key=text(kinesis.get("partitionKey"), f"{place}.kinesis.partitionKey"),
        data=_data(kinesis.get("data"), f"{place}.kinesis.data"),
        arrived_ms=read_time_ms(
            kinesis.get("approximateArrivalTimestamp"), f"{place}.kinesis.approximateArrivalTimestamp"
        ),
        shard_id=shard_id,
        stream_arn=text(fields.get("eventSourceARN"), f"{place}.eventSourceARN"),
    )


def _data(value: object, member: str) -> bytes:
    try:
        return binascii.a2b_base64(text(value, member), strict_mode=True)
    except ValueError as error:
        raise malformed(member, "base64") from error


def _open(record: KinesisRecord) -> Iterator[KinesisRecord]:
    """The records of an aggregate; the record itself where it is none, or none that can be opened."""
    from sluiceway.codec import kpl  # noqa: PLC0415 - cold start: only a shard that has aggregates pays for them

    try:
        aggregate = kpl.open_aggregate(record.data)
    except Rejected as fault:
        yield record._replace(fault=fault)
        return
    if aggregate is None:
        yield record
        return
    for one in aggregate.records:
        yield record._replace(
            partition_key=one.partition_key,
            data=one.data,
            explicit_hash_key=one.explicit_hash_key or "",
            sub_sequence=one.subsequence_number,
        )
