"""The batches of an SQS mapping: received by tens, filtered, gathered up to a size, a number and a window.

A message that no filter wants is deleted at once and counts nowhere. Knows a queue by the `Queue` protocol, and nothing
of functions.
Sources: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html, with-sqs-filtering.html
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from localcloud.compute.event_source import MAX_EVENT_BYTES, Criteria, is_kept
from localcloud.compute.event_source_sqs_scaling import Scaling
from localcloud.compute.sqs_event import build_record
from localcloud.services.sqs.errors import SqsError
from localcloud.services.sqs.message import Message

__all__ = ["Batches", "Limits", "Queue", "Taken", "split"]

log = logging.getLogger(__name__)

RECEIVE_MESSAGES: Final = 10  # ReceiveMessage gives at most ten
LONG_POLL_S: Final = 20.0
_MEND_S: Final = 1.0


class Queue(Protocol):
    """What a mapping needs of a queue (`localcloud.services.sqs.queue.Queue` is one)."""

    arn: str

    @property
    def attributes(self) -> Mapping[str, str]:
        """The queue's attributes as text; VisibilityTimeout is read."""
        ...

    async def receive(
        self, max_messages: int = 1, *, wait_s: float | None = None, visibility_s: int | None = None
    ) -> list[Message]:
        """Take visible messages, waiting for the first. Raises SqsError where the queue is gone."""
        ...

    async def delete(self, receipt_handle: str) -> None:
        """Delete a message. Raises SqsError where a FIFO queue's handle has expired."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """When a batch is full, and how long it waits to be. `is_ordered`: it stays whole, though it fits no event."""

    batch_size: int
    window_s: float
    is_ordered: bool


@dataclass(frozen=True, slots=True)
class Taken:
    """A message in hand, with its record as JSON and when it becomes visible to others."""

    message: Message
    record: str
    size_bytes: int
    expires_at: float

    @property
    def group_id(self) -> str:
        """Its message group, "" for none."""
        return self.message.content.group_id


class Batches:
    """Takes messages from a queue, batch by batch."""

    def __init__(self, queue: Queue, limits: Limits, *, criteria: Criteria | None, scaling: Scaling) -> None:
        self._queue = queue
        self._limits = limits
        self._criteria = criteria
        self._scaling = scaling
        self._rest: list[Taken] = []

    async def gather(self) -> list[Taken]:
        """The next batch, [] where none came in a long poll. What does not fit one event begins the next batch, unless
        order matters.

        Safe to cancel: messages in hand are the queue's again after their visibility timeout.
        """
        loop = asyncio.get_running_loop()
        batch = [taken for taken in self._rest if taken.expires_at > loop.time()]
        self._rest = []
        if not batch:
            batch = await self._receive(self._limits.batch_size, LONG_POLL_S)
            if not batch:
                self._scaling.rest()
        closes = loop.time() + self._limits.window_s
        size_bytes = sum(taken.size_bytes for taken in batch)
        while 0 < len(batch) < self._limits.batch_size and loop.time() < closes and size_bytes <= MAX_EVENT_BYTES:
            more = await self._receive(self._limits.batch_size - len(batch), closes - loop.time())
            size_bytes += sum(taken.size_bytes for taken in more)
            batch += more
            await asyncio.sleep(0)
        if self._limits.is_ordered:
            return batch
        first, *rest = split(batch) or [[]]
        self._rest = [taken for part in rest for taken in part]
        return first

    async def _receive(self, want: int, wait_s: float) -> list[Taken]:
        """Messages that the filters want, waiting for the first of them. Their bytes count at once."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + min(wait_s, LONG_POLL_S)
        while True:
            await self._scaling.admit_poll()
            left_s = min(max(0.0, deadline - loop.time()), LONG_POLL_S)  # sums of times round up, too
            messages = await self._queue.receive(min(want, RECEIVE_MESSAGES), wait_s=left_s)
            kept, refused = await self._keep(messages)
            self._scaling.spend(sum(taken.size_bytes for taken in kept))
            if kept or not messages or loop.time() >= deadline:
                return kept
            await asyncio.sleep(_MEND_S if refused else 0)  # others have their turn, however long the queue is

    async def _keep(self, messages: Sequence[Message]) -> tuple[list[Taken], bool]:
        """What the filters want, and whether something that they do not want could not be deleted."""
        refused = False
        kept: list[Taken] = []
        region = self._queue.arn.split(":")[3]
        expires_at = asyncio.get_running_loop().time() + float(self._queue.attributes.get("VisibilityTimeout", "30"))
        for message in messages:
            record = build_record(message, queue_arn=self._queue.arn, region=region)
            if is_kept(self._criteria, record, record_id=message.message_id):
                text = json.dumps(record, separators=(",", ":"))
                kept.append(Taken(message, text, len(text.encode()) + 1, expires_at))
            else:
                refused |= not await self._discard(message)
        return kept, refused

    async def _discard(self, message: Message) -> bool:
        try:
            await self._queue.delete(message.receipt_handle)
        except SqsError as error:  # a FIFO queue without a visibility timeout refuses, and gives the message again
            log.info("mapping.discard_refused", extra={"queue": self._queue.arn, "code": error.code})
            return False
        return True


def split(batch: Sequence[Taken]) -> list[list[Taken]]:
    """`batch` in its order, in parts that each fit one event."""
    parts: list[list[Taken]] = []
    size_bytes = 0
    for taken in batch:
        size_bytes += taken.size_bytes
        if not parts or size_bytes > MAX_EVENT_BYTES:
            parts.append([])
            size_bytes = taken.size_bytes
        parts[-1].append(taken)
    return parts
