"""The newest letters of a dead-letter queue, with why they are there.

They are received and shown again at once, so each look counts as a receive, as in AWS's own console.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from localcloud.console.mesh.cloud import Cloud, Json
from localcloud.replay.letters import REASONS, members, read_object
from sluiceway.aws.sqs import SQS

__all__ = ["MOST", "describe_letter", "read_letters"]

MOST: Final = 10
LOOKS: Final = 10  # of ten letters each: a queue gives them in no order
HIDDEN_S: Final = 30  # while the others are looked at; shown again at the end


async def read_letters(cloud: Cloud, queue: str) -> Json:
    """The ten newest of a hundred, newest first: `{"queue", "letters": [LETTER], "seen"}`. Raises SluicewayError."""
    url = str((await cloud.ask(SQS, "GetQueueUrl", {"QueueName": queue}))["QueueUrl"])
    messages: dict[str, Json] = {}
    try:
        for _ in range(LOOKS):
            found = await _receive(cloud, url)
            messages |= {str(each["MessageId"]): each for each in found}
            if len(found) < MOST:
                break
    finally:
        await _show_again(cloud, url, [str(each["ReceiptHandle"]) for each in messages.values()])
    letters = sorted(map(describe_letter, messages.values()), key=lambda each: -each["sent_ms"])
    return {"queue": queue, "letters": letters[:MOST], "seen": len(letters)}


async def _receive(cloud: Cloud, url: str) -> list[Json]:
    asked = {
        "QueueUrl": url,
        "MaxNumberOfMessages": MOST,
        "VisibilityTimeout": HIDDEN_S,
        "MessageSystemAttributeNames": ["SentTimestamp"],
        "MessageAttributeNames": ["All"],
    }
    return cast("list[Json]", (await cloud.ask(SQS, "ReceiveMessage", asked)).get("Messages") or [])


async def _show_again(cloud: Cloud, url: str, receipts: list[str]) -> None:
    for begin in range(0, len(receipts), MOST):
        entries = [
            {"Id": str(at), "ReceiptHandle": receipt, "VisibilityTimeout": 0}
            for at, receipt in enumerate(receipts[begin : begin + MOST])
        ]
        await cloud.ask(SQS, "ChangeMessageVisibilityBatch", {"QueueUrl": url, "Entries": entries})


def describe_letter(message: Mapping[str, Any]) -> Json:
    """LETTER of the API's docstring. What the letter carries is not shown, only where it came from."""
    attributes = cast("Mapping[str, Mapping[str, str]]", message.get("MessageAttributes") or {})
    texts = {name: str(value.get("StringValue", "")) for name, value in attributes.items()}
    body = read_object(str(message.get("Body", "")))
    context = members(body, "requestContext")
    batch = members(body, "KinesisBatchInfo") or members(body, "DDBStreamBatchInfo")
    named = next(((texts[why], texts.get(more, "")) for why, more in REASONS if texts.get(why)), ("", ""))
    response = members(body, "responseContext")
    error = str(response.get("functionError") or "")
    return {
        "id": message["MessageId"],
        "sent_ms": int(cast("Mapping[str, str]", message.get("Attributes") or {}).get("SentTimestamp", "0")),
        "reason": named[0] or str(context.get("condition") or "") or "not said",
        "detail": named[1] or error,
        "shard": texts.get("shard_id") or str(batch.get("shardId") or "") or None,
        "first": texts.get("sequence_number") or str(batch.get("startSequenceNumber") or "") or None,
        "records": batch.get("batchSize", 1),
    }
