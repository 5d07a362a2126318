"""The metrics of EventCount, which a mapping from a queue has where its MetricsConfig asks for them.

Counts around the queue and the function that the mapping is given, so that a mapping without them pays nothing.
Source: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html#event-source-mapping-metrics
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from localcloud.compute.asynchronous import MetricSink
from localcloud.compute.event_source_sqs import Invoke, Queue
from localcloud.compute.functions import InvokeResult
from localcloud.compute.sqs_event import read_failures
from localcloud.services.lambda_.errors import LambdaError
from localcloud.services.sqs.message import Message

__all__ = ["CountedInvoke", "CountedQueue", "EventCounts", "asks_for_counts"]

MAX_HANDLES: Final = 120_000  # messages in flight of one queue: quotas-queues


def asks_for_counts(members: Mapping[str, Any]) -> bool:
    """Whether a mapping's MetricsConfig names EventCount."""
    config = cast("Mapping[str, Any]", members.get("MetricsConfig") or {})
    return "EventCount" in (config.get("Metrics") or ())


class EventCounts:
    """The counts of one mapping."""

    def __init__(self, metrics: MetricSink, mapping_id: str) -> None:
        self._metrics = metrics
        self._dimensions = {"EventSourceMappingUUID": mapping_id}
        self._handed: OrderedDict[str, None] = OrderedDict()  # receipt handles that the function has seen

    def count(self, name: str, events: int) -> None:
        """So many events."""
        if events:
            self._metrics.put("AWS/Lambda", name, float(events), dimensions=self._dimensions, unit="Count")

    def hand_over(self, batch: Sequence[Message]) -> None:
        """The function is about to see a batch."""
        self.count("InvokedEventCount", len(batch))
        for message in batch:
            self._handed[message.receipt_handle] = None
        while len(self._handed) > MAX_HANDLES:
            self._handed.popitem(last=False)

    def give_back(self, handles: Sequence[str]) -> None:
        """Messages that failed: they are the queue's again."""
        self.count("FailedInvokeEventCount", len(handles))
        for handle in handles:
            self._handed.pop(handle, None)

    def delete(self, handle: str) -> None:
        """A message is gone: the function took it, or no filter wanted it."""
        if handle in self._handed:
            del self._handed[handle]
            self.count("DeletedEventCount", 1)
        else:
            self.count("FilteredOutEventCount", 1)


class CountedQueue:
    """A queue, counted."""

    def __init__(self, queue: Queue, counts: EventCounts) -> None:
        self._queue = queue
        self._counts = counts
        self.arn = queue.arn

    @property
    def attributes(self) -> Mapping[str, str]:
        """The queue's."""
        return self._queue.attributes

    async def receive(
        self, max_messages: int = 1, *, wait_s: float | None = None, visibility_s: int | None = None
    ) -> list[Message]:
        """As the queue's."""
        found = await self._queue.receive(max_messages, wait_s=wait_s, visibility_s=visibility_s)
        self._counts.count("PolledEventCount", len(found))
        return found

    async def delete(self, receipt_handle: str) -> None:
        """As the queue's."""
        await self._queue.delete(receipt_handle)
        self._counts.delete(receipt_handle)


class CountedInvoke:
    """A function, counted. `reports`: it names the messages that failed."""

    def __init__(self, invoke: Invoke, counts: EventCounts, *, reports: bool) -> None:
        self._invoke = invoke
        self._counts = counts
        self._reports = reports

    async def __call__(self, payload: bytes, batch: Sequence[Message]) -> InvokeResult:
        """As the function's. An attempt that Lambda throttled counts as failed, and the next as another."""
        self._counts.hand_over(batch)
        handles = {message.message_id: message.receipt_handle for message in batch}
        try:
            result = await self._invoke(payload, batch)
        except LambdaError:
            self._counts.give_back(list(handles.values()))
            raise
        failed = handles.keys() if result.function_error else frozenset[str]()
        if self._reports and not result.function_error:
            failed = read_failures(result.payload, handles.keys())
        self._counts.give_back([handles[message_id] for message_id in failed])
        return result
