"""SQS operations: one queue, its messages.

Owns request shapes and limits of the JSON protocol. Must not know what a message means. Source:
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/Welcome.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast

from sluiceway.aws.endpoints import ServiceSpec
from sluiceway.aws.wire import Caller

__all__ = ["MAX_ATTRIBUTES", "MAX_MESSAGE_BYTES", "SQS", "Queue", "ReceivedMessage"]

SQS: Final = ServiceSpec(
    endpoint_prefix="sqs", signing_name="sqs", protocol="json-1.0", env_name="SQS", target_prefix="AmazonSQS"
)
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
MAX_MESSAGE_BYTES: Final = 1_048_576  # body and attributes together
MAX_ATTRIBUTES: Final = 10
DEPTH: Final = "ApproximateNumberOfMessages"


class ReceivedMessage(NamedTuple):
    """One received message. `attributes` are its String and Number attributes; binary ones are left out."""

    message_id: str
    receipt_handle: str
    body: str
    attributes: Mapping[str, str]
    receive_count: int


class Queue:
    """One queue, by its URL. Holds no connection: those are the `Caller`'s."""

    def __init__(self, caller: Caller, url: str) -> None:
        self._caller = caller
        self.url = url

    async def send(
        self,
        body: str,
        *,
        attributes: Mapping[str, str] | None = None,
        delay_s: int | None = None,
        deadline: float | None = None,
    ) -> str:
        """Send one message with String attributes and return its message id.

        `body` has 1 to 1,048,576 bytes with the attributes; `delay_s` 0 to 900 (None: the queue's own). Raises what
        `Caller.call` raises. A retry whose first answer was lost sends the message twice: standard queues may anyway.
        """
        request: dict[str, object] = {"QueueUrl": self.url, "MessageBody": body}
        if attributes:
            request["MessageAttributes"] = {
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            }
        if delay_s is not None:
            request["DelaySeconds"] = delay_s
        reply = await self._caller.call(SQS, "SendMessage", request, deadline=deadline)
        return str(reply.json()["MessageId"])

    async def receive(
        self,
        *,
        max_messages: int = 1,
        wait_s: int = 0,
        visibility_s: int | None = None,
        deadline: float | None = None,
    ) -> list[ReceivedMessage]:
        """Receive up to `max_messages` (1 to 10), waiting up to `wait_s` (0 to 20) for the first."""
        request: dict[str, object] = {
            "QueueUrl": self.url,
            "MaxNumberOfMessages": max_messages,
            "WaitTimeSeconds": wait_s,
            "MessageSystemAttributeNames": ["ApproximateReceiveCount"],
            "MessageAttributeNames": ["All"],
        }
        if visibility_s is not None:
            request["VisibilityTimeout"] = visibility_s
        reply = await self._caller.call(SQS, "ReceiveMessage", request, deadline=deadline)
        messages = cast("list[dict[str, Any]]", reply.json().get("Messages") or [])
        return [_read_message(message) for message in messages]

    async def depth(self, *, deadline: float | None = None) -> int:
        """About how many messages wait to be received."""
        request = {"QueueUrl": self.url, "AttributeNames": [DEPTH]}
        reply = await self._caller.call(SQS, "GetQueueAttributes", request, deadline=deadline)
        return int(reply.json()["Attributes"][DEPTH])

    async def delete(self, receipt_handle: str, *, deadline: float | None = None) -> None:
        """Delete the message that `receipt_handle` received."""
        request = {"QueueUrl": self.url, "ReceiptHandle": receipt_handle}
        await self._caller.call(SQS, "DeleteMessage", request, deadline=deadline)

    async def change_visibility(self, receipt_handle: str, visibility_s: int, *, deadline: float | None = None) -> None:
        """Hide a received message for `visibility_s` (0 to 43,200) more seconds from now; 0 shows it at once.

        Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html
        """
        request = {"QueueUrl": self.url, "ReceiptHandle": receipt_handle, "VisibilityTimeout": visibility_s}
        await self._caller.call(SQS, "ChangeMessageVisibility", request, deadline=deadline)


def _read_message(message: Mapping[str, Any]) -> ReceivedMessage:
    attributes = cast("Mapping[str, Mapping[str, Any]]", message.get("MessageAttributes") or {})
    system = cast("Mapping[str, str]", message.get("Attributes") or {})
    return ReceivedMessage(
        message_id=str(message["MessageId"]),
        receipt_handle=str(message["ReceiptHandle"]),
        body=str(message["Body"]),
        attributes={name: str(value["StringValue"]) for name, value in attributes.items() if "StringValue" in value},
        receive_count=int(system.get("ApproximateReceiveCount", "1")),
    )
