"""The event that an SQS mapping hands to a function, and what the function's answer says of its messages. Pure.

Sources: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html (the event),
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html (partial batch responses)
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Sequence
from typing import Any, cast

from localcloud.json_text import parse_json
from localcloud.services.sqs.message import AttributeValue, Message, md5_of_attributes

__all__ = ["build_event", "build_record", "read_failures"]


def build_record(message: Message, *, queue_arn: str, region: str) -> dict[str, Any]:
    """One entry of `Records`."""
    record: dict[str, Any] = {
        "messageId": message.message_id,
        "receiptHandle": message.receipt_handle,
        "body": message.body,
        "attributes": dict(message.system),
        "messageAttributes": {name: _attribute(value) for name, value in message.message_attributes.items()},
        "md5OfBody": message.md5_of_body,
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": region,
    }
    if message.message_attributes:
        record["md5OfMessageAttributes"] = md5_of_attributes(message.message_attributes)
    return record


def build_event(records: Sequence[str]) -> bytes:
    """The event of records that are JSON already."""
    return f'{{"Records":[{",".join(records)}]}}'.encode()


def read_failures(payload: bytes, message_ids: Collection[str]) -> frozenset[str]:
    """Which of `message_ids` failed, by the answer of a function that reports batch item failures.

    Nothing reported is success: no answer, null, no list, an empty list. An answer that cannot be read, and one failure
    without a known identifier, fail the whole batch.
    """
    every = frozenset(message_ids)
    try:
        answer: Any = parse_json(payload) if payload else None
    except ValueError:
        return every
    if isinstance(answer, dict):
        answer = cast("dict[str, Any]", answer).get("batchItemFailures")
        named = [] if answer is None else [_identifier(entry) for entry in _entries(answer)]
        return frozenset(named) if set(named) <= every else every
    return frozenset() if answer is None else every


def _entries(failures: Any) -> list[Any]:
    return cast("list[Any]", failures) if isinstance(failures, list) else [None]


def _identifier(entry: Any) -> str:
    """The itemIdentifier of one failure; "" where there is none, which is nobody's."""
    name: Any = cast("dict[str, Any]", entry).get("itemIdentifier") if isinstance(entry, dict) else None
    return name if isinstance(name, str) else ""


def _attribute(attribute: AttributeValue) -> dict[str, Any]:
    value = attribute.value
    found: dict[str, Any] = {"stringListValues": [], "binaryListValues": [], "dataType": attribute.data_type}
    if isinstance(value, bytes):
        return {"binaryValue": base64.b64encode(value).decode(), **found}
    return {"stringValue": value, **found}
