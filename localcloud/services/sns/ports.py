"""What SNS needs of the services that it delivers to. Knows neither queues nor functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from localcloud.services.sns.message import Attribute

__all__ = ["Endpoints", "QueueMessage"]


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """A message for a queue. `group_id`, `deduplication_id` and `trace_header` are "" for none."""

    body: str
    attributes: Mapping[str, Attribute] = field(default_factory=dict[str, Attribute])
    group_id: str = ""
    deduplication_id: str = ""
    trace_header: str = ""


class Endpoints(Protocol):
    """Delivers on behalf of a topic (`topic_arn`), which the endpoint's own policy must allow."""

    async def send_to_queue(self, queue_arn: str, message: QueueMessage, *, topic_arn: str) -> None:
        """Put a message into a queue. Raises Undeliverable."""
        ...

    async def invoke_function(self, function_arn: str, event: bytes, *, topic_arn: str, trace_header: str) -> None:
        """Invoke a function asynchronously: returns when Lambda has the event. Raises Undeliverable."""
        ...
