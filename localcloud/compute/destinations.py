"""Where an event source mapping tells of records that it gave up: a queue, a topic or a bucket.

Knows no service: each destination is made over one call that its owner gives it. A call that raises is a failed
delivery, which the mapping tries again and reports.
Source: https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from localcloud.compute.stream_batches import encode_json
from localcloud.uuids import new_uuid

__all__ = [
    "BucketDestination",
    "FailureDestination",
    "MessageDestination",
    "PutObject",
    "SendText",
]

SendText = Callable[[str], Awaitable[object]]
"""Sends a message with this body to a queue, or publishes this text to a topic."""
PutObject = Callable[[str, bytes], Awaitable[object]]
"""Puts an object: its key and its content, JSON."""


class FailureDestination(Protocol):
    """Keeps what is known of a batch that was given up."""

    async def send(self, document: Mapping[str, Any], payload: bytes) -> None:
        """Keep the invocation record; `payload` is the event that the function had, or would have had.

        Raises whatever the service does.
        """
        ...


class MessageDestination:
    """An SQS queue or an SNS topic: the document is the message."""

    def __init__(self, send_text: SendText) -> None:
        self._send_text = send_text

    async def send(self, document: Mapping[str, Any], payload: bytes) -> None:  # noqa: ARG002 - metadata only
        """Send or publish the document; the payload is not part of it."""
        await self._send_text(encode_json(document).decode())


class BucketDestination:
    """An S3 bucket: an object of its own for each document, which has the event as text under `payload`."""

    def __init__(self, put_object: PutObject, *, mapping_id: str, rng: random.Random) -> None:
        self._put_object = put_object
        self._mapping_id = mapping_id
        self._rng = rng

    async def send(self, document: Mapping[str, Any], payload: bytes) -> None:
        """Put `aws/lambda/<mapping>/<shard>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<UUID>`."""
        batch: Mapping[str, Any] = document.get("KinesisBatchInfo") or document["DDBStreamBatchInfo"]
        at = datetime.fromisoformat(document["timestamp"])
        key = f"aws/lambda/{self._mapping_id}/{batch['shardId']}/{at:%Y/%m/%d}/{at:%Y-%m-%dT%H.%M.%S}-"
        await self._put_object(key + new_uuid(self._rng), encode_json({**document, "payload": payload.decode()}))
