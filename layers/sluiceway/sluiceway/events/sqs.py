"""A batch of SQS messages as an event source mapping delivers it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

__all__ = ["BatchReport", "SqsBatch", "SqsMessage"]


class BatchReport(NamedTuple):
    """What became of a batch: `failed` holds the ids of what goes back; the rest is done.

    Ids are message ids for a queue, and for a shard the one sequence number from which on it is read again.
    """

    failed: tuple[str, ...] = ()


class SqsMessage(NamedTuple):
    """One message. `attributes` are its String/Number message attributes, binary ones are left out.

    `receive_count` is ApproximateReceiveCount (1 on first delivery), `sent_ms` SentTimestamp in epoch milliseconds,
    `queue_arn` the source queue, `group_id` the message group ("" on a standard queue without one), `trace_header`
    the AWSTraceHeader ("" where none was sent).
    """

    message_id: str
    receipt_handle: str
    body: str
    attributes: Mapping[str, str]
    receive_count: int
    sent_ms: int
    queue_arn: str
    group_id: str = ""
    trace_header: str = ""

    @property
    def content(self) -> str:
        """What the sender wrote."""
        return self.body

    @property
    def log_fields(self) -> dict[str, str | int | None]:
        """What tells this message in a log line."""
        return {
            "message_id": self.message_id,
            "receive_count": self.receive_count,
            "correlation_id": self.attributes.get("correlation_id"),
        }


class SqsBatch(NamedTuple):
    """The messages of one invocation, in delivery order."""

    messages: tuple[SqsMessage, ...]

    @property
    def records(self) -> tuple[SqsMessage, ...]:
        """The messages."""
        return self.messages

    @property
    def lane_of(self) -> Callable[[SqsMessage], str] | None:
        """What keeps messages in order among themselves: the group of a FIFO queue, nothing on a standard one.

        A standard queue has groups too, for fairness alone.
        Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html
        """
        return attrgetter("group_id") if self.messages and self.messages[0].queue_arn.endswith(".fifo") else None

    def report(self, unfinished: Sequence[SqsMessage]) -> BatchReport:
        """Each unfinished message by its id: what is not named, Lambda deletes."""
        return BatchReport(tuple(message.message_id for message in unfinished))
