"""What a dead letter says: why it is one, where it comes from, and what is to be sent again. Pure.

1. A letter of Sluiceway's has `reason` and `detail`; one of a stream is a record of an event (`flows.batch_letters`).
2. What a mapping or a pipe gave up is told in a document: a shard and two sequence numbers, and no data.
3. What Lambda gave up of an asynchronous invocation has the event in it (`requestPayload`), or is it, with the error
   in attributes (`ErrorCode`, `ErrorMessage`).
4. What EventBridge could not deliver is the event, with `ERROR_CODE`, `ERROR_MESSAGE`, `RULE_ARN`, `TARGET_ARN`.
5. What a queue's redrive policy moved has nothing but the queue that it was in.

Sources: https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html,
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html,
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from localcloud.replay.items import Item, item_of_record
from localcloud.replay.queue_api import Letter

__all__ = ["REASONS", "Extent", "Reading", "members", "read_letter", "read_object"]

# What flows, EventBridge and Lambda write beside a letter: the reason's attribute, and the detail's.
REASONS: Final = (("reason", "detail"), ("ERROR_CODE", "ERROR_MESSAGE"), ("ErrorCode", "ErrorMessage"))
_OF_BUS: Final = ("RULE_ARN", "TARGET_ARN")
_OF_LAMBDA: Final = ("RequestID", "ErrorCode")
_OWN: Final = frozenset({"reason", "detail"})  # what a flow put on a letter; the source never had it


@dataclass(frozen=True, slots=True)
class Extent:
    """A part of a shard that a letter points at. `sub`: the record's place in an aggregate, None for all there is."""

    stream_arn: str
    shard_id: str
    first: str
    last: str
    sub: int | None = None

    @property
    def is_table(self) -> bool:
        """Whether it is a table's stream."""
        return ":dynamodb:" in self.stream_arn


@dataclass(frozen=True, slots=True)
class Reading:
    """What a letter says. `item`: what is to be sent, None where it lies in a stream (`extent`)."""

    reason: str
    detail: str = ""
    origin: str = ""
    item: Item | None = None
    extent: Extent | None = None


def read_letter(letter: Letter) -> Reading:
    """What it says. One of no form known here is a message of a queue."""
    reason, detail = _find_reason(letter)
    body = read_object(letter.body)
    extent = _find_extent(body) or _find_left_out(letter)
    if extent is not None:
        why, more = _find_condition(body)
        return Reading(reason or why, detail or more, extent.stream_arn, None, extent)
    if "requestPayload" in body and "requestContext" in body:
        return _read_invocation(letter, body)
    record = item_of_record(body, key=letter.message_id, origin=letter.text("source_arn"))
    if record is not None:
        item = _with_letter(record, letter)
        return Reading(reason, detail, item.origin, item)
    return _read_plain(letter, reason, detail)


def _read_plain(letter: Letter, reason: str, detail: str) -> Reading:
    if all(map(letter.text, _OF_BUS)) or all(map(letter.text, _OF_LAMBDA)):
        origin = letter.text("TARGET_ARN") if ":lambda:" in letter.text("TARGET_ARN") else ""
        item = Item(kind="event", key=letter.message_id, content=letter.body.encode("utf-8", "surrogatepass"))
        return Reading(reason, detail, origin, _with_letter(item, letter, origin))
    origin = letter.system.get("DeadLetterQueueSourceArn", "")
    return Reading(reason or ("redrive-policy" if origin else ""), detail, origin, _make_message(letter, origin))


def _make_message(letter: Letter, origin: str) -> Item:
    added = frozenset[str]() if origin else _OWN
    attributes = {name: _write_attribute(value) for name, value in letter.attributes.items() if name not in added}
    record: dict[str, Any] = {
        "messageId": letter.message_id,
        "receiptHandle": letter.receipt,
        "attributes": dict(letter.system),
        "messageAttributes": attributes,
    }
    return Item(
        kind="sqs",
        key=letter.message_id,
        content=letter.body.encode("utf-8", "surrogatepass"),
        mark=letter.message_id,
        origin=origin,
        arrived_ms=_number(letter.system.get("SentTimestamp", "")),
        record=record,
        letter=letter.message_id,
    )


def _write_attribute(value: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"stringListValues": [], "binaryListValues": [], "dataType": value.get("DataType")}
    if "BinaryValue" in value:
        return {"binaryValue": value["BinaryValue"], **found}
    return {"stringValue": value.get("StringValue", ""), **found}


def _with_letter(item: Item, letter: Letter, origin: str = "") -> Item:
    return Item(
        kind=item.kind,
        key=letter.message_id,
        content=item.content,
        mark=item.mark or letter.message_id,
        lane=item.lane,
        origin=item.origin or origin,
        partition_key=item.partition_key,
        arrived_ms=item.arrived_ms,
        record=item.record,
        letter=letter.message_id,
    )


def _read_invocation(letter: Letter, body: Mapping[str, Any]) -> Reading:
    """A document of an asynchronous invocation's failure: the event is in it."""
    why, more = _find_condition(body)
    context = members(body, "requestContext")
    origin = str(context.get("functionArn") or "")
    content = json.dumps(body["requestPayload"], separators=(",", ":")).encode()
    item = Item(kind="event", key=letter.message_id, content=content, origin=origin, letter=letter.message_id)
    response = members(body, "responsePayload")
    return Reading(why, more or str(response.get("errorMessage") or ""), origin, item)


def _find_reason(letter: Letter) -> tuple[str, str]:
    for reason, detail in REASONS:
        if letter.text(reason):
            return letter.text(reason), letter.text(detail)
    return "", ""


def _find_condition(body: Mapping[str, Any]) -> tuple[str, str]:
    context = members(body, "requestContext") or members(body, "context")
    error = str(members(body, "responseContext").get("functionError") or "")
    return str(context.get("condition") or ""), error


def _find_extent(body: Mapping[str, Any]) -> Extent | None:
    batch = members(body, "KinesisBatchInfo") or members(body, "DDBStreamBatchInfo")
    names = ("streamArn", "shardId", "startSequenceNumber", "endSequenceNumber")
    found = [str(batch.get(name) or "") for name in names]
    if not all(found) or not (found[2].isdecimal() and found[3].isdecimal()):
        return None
    arn, shard_id, first, last = found
    return Extent(arn, shard_id, first, last)


def _find_left_out(letter: Letter) -> Extent | None:
    """Where the record lies whose data were too large for the letter."""
    shard, number = letter.text("shard_id"), letter.text("sequence_number")
    if letter.text("left_out") != "data" or not shard or not number.isdecimal():
        return None
    sub = letter.text("sub_sequence")
    return Extent(letter.text("source_arn"), shard, number, number, int(sub) if sub.isdecimal() else None)


def read_object(text: str) -> Mapping[str, Any]:
    """The JSON object in a letter's body, empty where it is none."""
    try:
        value: object = json.loads(text)
    except (RecursionError, ValueError):
        return {}
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def members(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object that `name` is in a body, empty where it is none."""
    value = body.get(name)
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0
