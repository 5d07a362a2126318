"""What a dead letter keeps of a shard's record, the record as an event holds it; and which records have letters.

The body is one record of the event, as JSON: in `{"Records": [...]}` it is an event for the same function. A record of
an aggregate stands alone there, with its own key and data. What is too large for a message of SQS goes without data or
images: while the stream keeps it, it can be read by its shard and sequence number. Must not know queues.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, cast

from sluiceway import log
from sluiceway.errors import Rejected
from sluiceway.events.dynamodb import DynamoDbRecord
from sluiceway.events.kinesis import KinesisRecord

__all__ = ["choose_letters", "write_letter"]

MAX_LETTERS: Final = 1_000  # dead letters of one aggregate: ten seconds or so, one after the other

# 1,048,576 bytes with the attributes; they have up to 8 kB here, a reason and a detail among them.
# Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
MAX_BODY_BYTES: Final = 1_048_576 - 8 * 1024


def choose_letters(poison: Sequence[tuple[KinesisRecord, Rejected]]) -> list[Rejected | None]:
    """What the letter of each record says, None for one that has none.

    Of an aggregate that is poison through and through, the last of MAX_LETTERS speaks for the rest: an aggregate comes
    again whole, and one with more letters than an invocation can send would do so for a day.
    """
    told: list[Rejected | None] = [fault for _, fault in poison]
    aggregates: dict[str, list[int]] = {}
    for at, (record, _) in enumerate(poison):
        if record.sub_sequence is not None:
            aggregates.setdefault(record.sequence_number, []).append(at)
    for sequence_number, places in aggregates.items():
        others = places[MAX_LETTERS:]
        if others:
            _, last = poison[places[MAX_LETTERS - 1]]
            said = f"{last}; so are {len(others)} records behind it in its aggregate, which have no letters"
            told[places[MAX_LETTERS - 1]] = Rejected(said, reason=last.reason)
            for at in others:
                told[at] = None
            log.warning("batch.letters_spared", sequence_number=sequence_number, records=len(others))
    return told


def write_letter(record: KinesisRecord | DynamoDbRecord) -> tuple[str, dict[str, str]]:
    """Body (ASCII, at most 1,040,384 bytes) and attributes: the source's ARN, the sequence number, the shard if known.

    The attribute `left_out` is `data` or `images` where the body has them not.
    """
    if isinstance(record, KinesisRecord):
        return _write_kinesis(record)
    return _write_dynamodb(record)


def _write_kinesis(record: KinesisRecord) -> tuple[str, dict[str, str]]:
    attributes = {
        "source_arn": record.stream_arn,
        "shard_id": record.shard_id,
        "sequence_number": record.sequence_number,
    }
    if record.sub_sequence is not None:
        attributes["sub_sequence"] = str(record.sub_sequence)
    kinesis: dict[str, object] = {
        "kinesisSchemaVersion": "1.0",
        "partitionKey": record.partition_key,
        "sequenceNumber": record.sequence_number,
        "data": binascii.b2a_base64(record.data, newline=False).decode("ascii"),
        "approximateArrivalTimestamp": record.arrived_ms / 1000,
    }
    letter: dict[str, object] = {
        "kinesis": kinesis,
        "eventSource": "aws:kinesis",
        "eventID": f"{record.shard_id}:{record.sequence_number}",
        "eventName": "aws:kinesis:record",
        "eventSourceARN": record.stream_arn,
    }
    body = json.dumps(letter, separators=(",", ":"))
    if len(body) > MAX_BODY_BYTES:
        del kinesis["data"]
        attributes["left_out"] = "data"
        body = json.dumps(letter, separators=(",", ":"))
    return body, attributes


def _write_dynamodb(record: DynamoDbRecord) -> tuple[str, dict[str, str]]:
    attributes = {"source_arn": record.stream_arn, "sequence_number": record.sequence_number}
    images = {"NewImage": record.new_image, "OldImage": record.old_image}
    stream: dict[str, object] = {
        "ApproximateCreationDateTime": record.changed_ms / 1000,
        "Keys": _write_item(record.keys),
        **{name: _write_item(image) for name, image in images.items() if image is not None},
        "SequenceNumber": record.sequence_number,
        "SizeBytes": record.size_bytes,
        "StreamViewType": record.view,
    }
    letter: dict[str, object] = {
        "eventID": record.event_id,
        "eventName": record.change,
        "eventSource": "aws:dynamodb",
        "dynamodb": stream,
        "eventSourceARN": record.stream_arn,
    }
    if record.expired:
        letter["userIdentity"] = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    body = json.dumps(letter, separators=(",", ":"))
    if len(body) > MAX_BODY_BYTES:
        for name in images:
            stream.pop(name, None)
        attributes["left_out"] = "images"
        body = json.dumps(letter, separators=(",", ":"))
    return body, attributes


def _write_item(item: Mapping[str, object]) -> dict[str, object]:
    return {name: _write(value) for name, value in item.items()}


def _write(value: object) -> dict[str, object]:
    """One attribute as DynamoDB's JSON has it; only what `codec.dynamodb` reads comes here."""
    if isinstance(value, bool):
        return {"BOOL": value}
    if value is None:
        return {"NULL": True}
    if isinstance(value, Mapping):
        return {"M": _write_item(cast("Mapping[str, object]", value))}
    if isinstance(value, list):
        return {"L": [_write(inner) for inner in cast("list[object]", value)]}
    if isinstance(value, set):
        written = [_write_scalar(member) for member in cast("set[object]", value)]
        kind = next(iter(written))[0] if written else "S"
        return {f"{kind}S": sorted(text for _, text in written)}
    kind, text = _write_scalar(value)
    return {kind: text}


def _write_scalar(value: Any) -> tuple[str, str]:
    if isinstance(value, bytes):
        return "B", binascii.b2a_base64(value, newline=False).decode("ascii")
    if isinstance(value, int | Decimal):
        return "N", str(value)
    return "S", value
