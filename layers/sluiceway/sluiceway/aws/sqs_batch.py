"""SQS, many messages in one request.

Owns the request of SendMessageBatch. Must not know what a message means. Source:
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sluiceway.aws.batch_entries import Entry, Failures, refuse_entry
from sluiceway.aws.sqs import SQS
from sluiceway.aws.wire import Caller

__all__ = ["send_batch"]


async def send_batch(
    caller: Caller, queue_url: str, entries: Sequence[Entry], *, deadline: float | None = None
) -> Failures:
    """Send up to 10 messages, 1,048,576 bytes together; those that the queue did not take.

    Raises what `Caller.call` raises, and then nobody knows of any. A retry whose first answer was lost sends them twice
    to a standard queue.
    """
    request = {"QueueUrl": queue_url, "Entries": [_write(at, entry) for at, entry in enumerate(entries)]}
    reply = (await caller.call(SQS, "SendMessageBatch", request, deadline=deadline)).json()
    failed = cast("Sequence[Mapping[str, Any]]", reply.get("Failed") or ())
    return {
        int(each["Id"]): refuse_entry(
            service="sqs",
            operation="SendMessageBatch",
            code=str(each.get("Code", "")),
            message=str(each.get("Message", "")),
            is_senders_fault=bool(each.get("SenderFault", True)),
        )
        for each in failed
    }


def _write(at: int, entry: Entry) -> dict[str, object]:
    written: dict[str, object] = {
        "Id": str(at),
        "MessageBody": entry.body,
        "MessageAttributes": {
            name: {"DataType": "String", "StringValue": value} for name, value in entry.attributes.items()
        },
    }
    if entry.group:
        written["MessageGroupId"] = entry.group
    if entry.dedup_id:
        written["MessageDeduplicationId"] = entry.dedup_id
    return written
