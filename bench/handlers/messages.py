"""The event as the peers parse it, into dataclasses: what Sluiceway's SQS codec gives a flow, checked less."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Message:
    message_id: str
    receipt_handle: str
    body: str
    attributes: Mapping[str, str]
    receive_count: int
    sent_ms: int
    queue_arn: str


def parse(event: dict[str, Any]) -> list[Message]:
    return [
        Message(
            message_id=record["messageId"],
            receipt_handle=record["receiptHandle"],
            body=record["body"],
            attributes={name: value["stringValue"] for name, value in record["messageAttributes"].items()},
            receive_count=int(record["attributes"]["ApproximateReceiveCount"]),
            sent_ms=int(record["attributes"]["SentTimestamp"]),
            queue_arn=record["eventSourceARN"],
        )
        for record in event["Records"]
    ]
