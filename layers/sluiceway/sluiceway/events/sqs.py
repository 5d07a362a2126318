"""A batch of SQS messages as an event source mapping delivers it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["BatchReport", "SqsBatch", "SqsMessage"]


class BatchReport(NamedTuple):
    """What became of a batch: `failed` holds the ids of messages that go back to the queue; the rest are done."""

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


class SqsBatch(NamedTuple):
    """The messages of one invocation, in delivery order."""

    messages: tuple[SqsMessage, ...]
