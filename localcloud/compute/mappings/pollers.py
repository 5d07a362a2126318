"""What polls for a mapping, made over the services of the local cloud; and what Lambda checks before it makes one.

The one place where mappings meet queues, streams, functions and roles.
Sources: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html, with-kinesis.html, with-ddb.html
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from localcloud.clock import Clock
from localcloud.compute.event_source import Poller
from localcloud.compute.event_source_sqs import Invoke, Queue, SqsMapping, SqsMappingConfig
from localcloud.compute.event_source_stream import MappingFacts, MetricSink, StreamMapping
from localcloud.compute.function import FunctionSpec
from localcloud.compute.functions import Functions, InvokeResult
from localcloud.compute.mappings.destinations import DESTINATION_ACTIONS, DestinationCaller, service_of_destination
from localcloud.compute.mappings.event_counts import CountedInvoke, CountedQueue, EventCounts, asks_for_counts
from localcloud.compute.mappings.registry import EventSourceMapping
from localcloud.compute.mappings.settings import MappingSettings, kind_of_source
from localcloud.compute.stream_config import StreamMappingConfig, find_conflict
from localcloud.compute.stream_source import StreamGone, StreamSource
from localcloud.services.sqs.message import Message
from localcloud.template.properties import Properties

__all__ = ["MappingPollers", "MayDo", "OpenStream", "TraceOf"]

_QUEUE_ACTIONS: Final = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
_STREAM_ACTIONS: Final = {
    "kinesis": ("GetRecords", "GetShardIterator", "DescribeStream", "ListShards"),
    "consumer": ("SubscribeToShard",),
    "dynamodb": ("GetRecords", "GetShardIterator", "DescribeStream"),
}

MayDo = Callable[[str, str, str], bool]
"""Whether a role (ARN) may do an action on a resource (ARN)."""
TraceOf = Callable[[Message], str]
"""The trace header for what is done with a message, "" where it has none."""


class OpenStream(Protocol):
    """Finds streams and consumers."""

    def __call__(self, arn: str, role_arn: str, *, opens_aggregates: bool = False) -> StreamSource:
        """The source of an ARN, read for a role (ARN), with its aggregates opened or not."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingPollers:
    """`Pollers` over the services: `find_queue` gives the queue of an ARN, None where there is none."""

    functions: Functions
    find_queue: Callable[[str], Queue | None]
    open_stream: OpenStream
    destinations: DestinationCaller
    may_do: MayDo
    trace_of: TraceOf
    metrics: MetricSink
    clock: Clock
    rng: random.Random

    def check(self, read: Properties, spec: FunctionSpec, settings: MappingSettings) -> None:
        """Whether source and destination are there and the role may use them. Raises TemplateError."""
        arn = read.text("EventSourceArn")
        if isinstance(settings.poller, SqsMappingConfig):
            self._check_queue(read, spec, arn)
            return
        conflict = find_conflict(settings.poller)
        if conflict:
            raise read.error("TumblingWindowInSeconds", conflict)
        self._check_stream(read, spec, arn)
        if settings.destination_arn:
            self._check_destination(read, spec, settings.destination_arn)

    def make(self, mapping: EventSourceMapping) -> Poller:
        """A poller for a mapping that `check` has passed. Raises StreamGone where its source is gone since."""
        settings = mapping.settings
        if isinstance(settings.poller, SqsMappingConfig):
            queue = self.find_queue(mapping.source_arn)
            if queue is None:
                raise StreamGone(mapping.source_arn)
            invoker = _QueueInvoker(self.functions, mapping.function_arn, self.trace_of)
            counted = self._count(mapping, queue, invoker, reports=settings.poller.report_failures)
            return SqsMapping(*counted, settings.poller, criteria=settings.criteria, rng=self.rng)
        return self._make_stream(mapping, settings.poller)

    def _count(
        self, mapping: EventSourceMapping, queue: Queue, invoke: Invoke, *, reports: bool
    ) -> tuple[Queue, Invoke]:
        if not asks_for_counts(mapping.members):
            return queue, invoke
        counts = EventCounts(self.metrics, mapping.mapping_id)
        return CountedQueue(queue, counts), CountedInvoke(invoke, counts, reports=reports)

    def _make_stream(self, mapping: EventSourceMapping, config: StreamMappingConfig) -> StreamMapping:
        settings, spec = mapping.settings, mapping.spec
        opens = settings.criteria is not None and "/consumer/" in mapping.source_arn
        destination = None
        if settings.destination_arn:
            destination = self.destinations.open(
                settings.destination_arn, role_arn=spec.role_arn, region=spec.region, mapping_id=mapping.mapping_id
            )
        return StreamMapping(
            self.open_stream(mapping.source_arn, spec.role_arn, opens_aggregates=opens),
            _StreamInvoker(self.functions, mapping.function_arn),
            config,
            facts=MappingFacts(
                mapping_id=mapping.mapping_id, function_arn=mapping.function_arn, function_name=spec.name
            ),
            criteria=settings.criteria,
            destination=destination,
            metrics=self.metrics,
            checkpoints=mapping.checkpoints,
            clock=self.clock,
            rng=self.rng,
        )

    def _check_queue(self, read: Properties, spec: FunctionSpec, arn: str) -> None:
        queue = self.find_queue(arn)
        if queue is None:
            raise read.error("EventSourceArn", f"there is no queue {arn}")
        visibility_s = int(queue.attributes.get("VisibilityTimeout", "30"))
        if visibility_s < spec.timeout_s:
            timeout = f"{visibility_s} seconds is less than Function timeout: {spec.timeout_s} seconds"
            raise read.error("EventSourceArn", f"Queue visibility timeout: {timeout}")
        for action in _QUEUE_ACTIONS:
            if not self.may_do(spec.role_arn, f"sqs:{action}", arn):
                detail = f"The provided execution role does not have permissions to call {action} on SQS"
                raise read.error("FunctionName", detail)

    def _check_stream(self, read: Properties, spec: FunctionSpec, arn: str) -> None:
        try:
            self.open_stream(arn, spec.role_arn).shards()
        except StreamGone:
            raise read.error("EventSourceArn", f"Stream not found: {arn}") from None
        kind = kind_of_source(arn) or ""
        stream, is_consumer, _ = arn.partition("/consumer/")
        needed = [(f"{kind}:{action}", stream) for action in _STREAM_ACTIONS[kind]]
        if is_consumer:
            needed = [(f"kinesis:{action}", arn) for action in _STREAM_ACTIONS["consumer"]]
        missing = [action for action, on in needed if not self.may_do(spec.role_arn, action, on)]
        if missing:
            names = ", ".join(action.partition(":")[2] for action, _ in needed)
            detail = f"Please ensure the role can perform the {names} Actions on your stream in IAM."
            raise read.error("FunctionName", f"Cannot access stream {arn}. {detail}")

    def _check_destination(self, read: Properties, spec: FunctionSpec, arn: str) -> None:
        service = service_of_destination(arn)
        if not service:
            detail = f"{arn} may be no destination: standard SQS queues, standard SNS topics and S3 buckets may"
            raise read.error("DestinationConfig", detail)
        action, said = DESTINATION_ACTIONS[service]
        resource = f"{arn}/*" if service == "s3" else arn
        if not self.may_do(spec.role_arn, action, resource):
            detail = f"The provided execution role does not have permissions to {said}"
            raise read.error("FunctionName", detail)


class _QueueInvoker:
    """Invokes one function for a mapping: in the trace of the batch's first message, the others' are linked to it."""

    def __init__(self, functions: Functions, arn: str, trace_of: TraceOf) -> None:
        self._functions = functions
        self._arn = arn
        self._trace_of = trace_of

    async def __call__(self, payload: bytes, batch: Sequence[Message]) -> InvokeResult:
        return await self._functions.invoke(self._arn, payload, batch=tuple(map(self._trace_of, batch)))


class _StreamInvoker:
    """Invokes one function for a mapping from a stream, whose records carry no trace."""

    def __init__(self, functions: Functions, arn: str) -> None:
        self._functions = functions
        self._arn = arn

    async def __call__(self, payload: bytes) -> InvokeResult:
        return await self._functions.invoke(self._arn, payload)
