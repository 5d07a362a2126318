"""Records of a source as the events of a pipe. Pure.

A pipe's events are what Lambda would get in `Records`, but that the members of `kinesis` lie beside the others. Their
data (`body` of a message, `data` of a Kinesis record) is text, in which templates and paths look as if it were decoded.
Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-event-source.html
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from localcloud.json_text import MalformedJson
from localcloud.services.events.json_values import decode

__all__ = ["PipeEvent", "read_records", "with_data"]

_ITEM_ID: Final = {"sqs": "messageId", "kinesis": "eventID", "dynamodb": "eventID"}  # what batchItemFailures name


@dataclass(frozen=True, slots=True)
class PipeEvent:
    """One event. `item_id`: how a target's batchItemFailures name it; `mapping_id`: how those of a mapping do."""

    fields: Mapping[str, object]
    item_id: str
    mapping_id: str


def read_records(payload: bytes, kind: str) -> list[PipeEvent]:
    """The events in what a mapping hands over. `kind`: "sqs", "kinesis" or "dynamodb"."""
    event = cast("dict[str, list[dict[str, object]]]", decode(payload.decode()))
    return [_read(record, kind) for record in event["Records"]]


def _read(record: dict[str, object], kind: str) -> PipeEvent:
    item_id = str(record[_ITEM_ID[kind]])
    if kind == "sqs":
        return PipeEvent(record, item_id, item_id)
    if kind == "dynamodb":
        change = cast("dict[str, object]", record["dynamodb"])
        return PipeEvent(record, item_id, str(change["SequenceNumber"]))
    inner = cast("dict[str, object]", record["kinesis"])
    others = {name: value for name, value in record.items() if name != "kinesis"}
    return PipeEvent({**inner, **others}, item_id, str(inner["sequenceNumber"]))


def with_data(fields: Mapping[str, object], kind: str) -> Mapping[str, object]:
    """The event with its data decoded: JSON where it is JSON, else text; bytes that are no text stay in base64."""
    name = {"sqs": "body", "kinesis": "data"}.get(kind)
    raw = fields.get(name) if name else None
    if not isinstance(raw, str):
        return fields
    return {**fields, str(name): _read_text(raw if kind == "sqs" else _read_bytes(raw))}


def _read_bytes(raw: str) -> str:
    try:
        return base64.b64decode(raw, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return raw


def _read_text(text: str) -> object:
    try:
        return decode(text)
    except MalformedJson:
        return text
