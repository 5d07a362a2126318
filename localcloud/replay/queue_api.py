"""The SQS operations that dead letters need and `sluiceway.aws.sqs` has not: whole messages, many at a time.

Owns request shapes. A message keeps its binary attributes and the queue's own attributes, so that it can be sent on as
it was. Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from sluiceway.aws.sqs import SQS
from sluiceway.aws.wire import Caller
from sluiceway.errors import Misconfigured

__all__ = ["Letter", "LetterQueue", "find_queue"]

MAX_BATCH: Final = 10  # of one request
MAX_PAGES: Final = 100


class Letter(NamedTuple):
    """A message as received. `attributes` are its own, as on the wire; `system` the queue's (SentTimestamp, ...)."""

    message_id: str
    receipt: str
    body: str
    attributes: Mapping[str, Mapping[str, Any]]
    system: Mapping[str, str]

    def text(self, name: str) -> str:
        """The text of an attribute of its own, "" where it has none."""
        return str(self.attributes.get(name, {}).get("StringValue", ""))


class LetterQueue:
    """One queue, by its URL. Raises what `Caller.call` raises."""

    def __init__(self, caller: Caller, url: str) -> None:
        self._caller = caller
        self.url = url

    async def receive(self, *, wait_s: int, visibility_s: int) -> list[Letter]:
        """Up to 10 messages, hidden for `visibility_s` (0 to 43,200); waits `wait_s` (0 to 20) for the first."""
        request: dict[str, object] = {
            "MaxNumberOfMessages": MAX_BATCH,
            "WaitTimeSeconds": wait_s,
            "VisibilityTimeout": visibility_s,
            "MessageSystemAttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        }
        told = await self._call("ReceiveMessage", request)
        return [_read_letter(message) for message in cast("list[dict[str, Any]]", told.get("Messages") or [])]

    async def delete(self, receipts: Sequence[str]) -> list[str]:
        """Delete these messages; gives the receipts of those that the queue did not delete."""
        entries = [{"ReceiptHandle": receipt} for receipt in receipts]
        return await self._batches("DeleteMessageBatch", entries)

    async def hide(self, receipts: Sequence[str], seconds: int) -> list[str]:
        """Hide these messages for `seconds` from now, 0 to show them; gives the receipts for which it failed."""
        entries = [{"ReceiptHandle": receipt, "VisibilityTimeout": seconds} for receipt in receipts]
        return await self._batches("ChangeMessageVisibilityBatch", entries)

    async def send(
        self, body: str, attributes: Mapping[str, Mapping[str, Any]], *, group: str = "", dedup_id: str = ""
    ) -> None:
        """Send a message with these attributes, as on the wire. Group and deduplication id: for FIFO queues only."""
        request: dict[str, object] = {"MessageBody": body, "MessageAttributes": attributes}
        if self.url.endswith(".fifo"):
            request |= {"MessageGroupId": group, "MessageDeduplicationId": dedup_id}
        await self._call("SendMessage", request)

    async def facts(self) -> Mapping[str, str]:
        """Its ARN (`QueueArn`) and about how many messages it has (`ApproximateNumberOfMessages`)."""
        told = await self._call("GetQueueAttributes", {"AttributeNames": ["QueueArn", "ApproximateNumberOfMessages"]})
        return cast("Mapping[str, str]", told.get("Attributes") or {})

    async def source_urls(self) -> list[str]:
        """The queues whose dead letters come here."""
        urls: list[str] = []
        request: dict[str, object] = {"MaxResults": 1000}
        for _ in range(MAX_PAGES):
            told = await self._call("ListDeadLetterSourceQueues", request)
            urls += cast("list[str]", told.get("queueUrls") or [])
            if not told.get("NextToken"):
                break
            request["NextToken"] = told["NextToken"]
        return urls

    async def _batches(self, operation: str, entries: Sequence[Mapping[str, object]]) -> list[str]:
        failed: list[str] = []
        for begin in range(0, len(entries), MAX_BATCH):
            part = entries[begin : begin + MAX_BATCH]
            request = {"Entries": [{"Id": str(at), **entry} for at, entry in enumerate(part)]}
            told = await self._call(operation, request)
            failed += [str(part[int(each["Id"])]["ReceiptHandle"]) for each in told.get("Failed") or ()]
        return failed

    async def _call(self, operation: str, request: Mapping[str, object]) -> dict[str, Any]:
        reply = await self._caller.call(SQS, operation, {"QueueUrl": self.url, **request})
        return reply.json()


async def find_queue(caller: Caller, named: str) -> str:
    """The URL of a queue by its URL, name or ARN. Raises ServiceError where there is none, Misconfigured."""
    if named.startswith(("http://", "https://")):
        return named
    request: dict[str, object] = {"QueueName": named}
    if named.startswith("arn:"):
        parts = named.split(":")
        if len(parts) != 6:
            raise Misconfigured(f"{named} is no queue's ARN", what="queue")
        request = {"QueueName": parts[5], "QueueOwnerAWSAccountId": parts[4]}
    reply = await caller.call(SQS, "GetQueueUrl", request)
    return str(reply.json()["QueueUrl"])


def _read_letter(message: Mapping[str, Any]) -> Letter:
    return Letter(
        message_id=str(message["MessageId"]),
        receipt=str(message["ReceiptHandle"]),
        body=str(message.get("Body", "")),
        attributes=cast("Mapping[str, Mapping[str, Any]]", message.get("MessageAttributes") or {}),
        system=cast("Mapping[str, str]", message.get("Attributes") or {}),
    )
