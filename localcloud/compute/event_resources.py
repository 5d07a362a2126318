"""CloudFormation's links to functions: `AWS::Lambda::Permission` and `AWS::Lambda::EventSourceMapping` (SQS).

Sources: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-permission.html,
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-eventsourcemapping.html
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from localcloud.compute.event_source_sqs import Queue, SqsMapping, SqsMappingConfig
from localcloud.compute.function import FunctionSpec
from localcloud.compute.functions import Functions, InvokeResult
from localcloud.compute.policies import FunctionPolicies, Grant
from localcloud.services.lambda_.errors import LambdaError
from localcloud.services.sqs.message import Message
from localcloud.template.handler import Physical, Resource, Support, Supported
from localcloud.template.properties import Properties, read_properties

__all__ = ["EventSourceMappingHandler", "PermissionHandler"]

MAX_BATCH: Final = 10_000  # CreateEventSourceMapping: BatchSize of standard queues
MAX_BATCH_WITHOUT_WINDOW: Final = 10
MAX_WINDOW_S: Final = 300
_ACTIONS: Final = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
_STREAMS: Final = Supported(Support.REFUSED, "event sources other than SQS queues are not served here")

MayDo = Callable[[str, str, str], bool]
"""Whether a role (ARN) may do an action on a resource (ARN)."""
TraceOf = Callable[[Message], str]
"""The trace header for what is done with a message, "" where it has none."""


class PermissionHandler:
    """`AWS::Lambda::Permission`: a statement of a function's resource policy."""

    type: str = "AWS::Lambda::Permission"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        "Action": Supported(),
        "EventSourceToken": Supported(Support.REFUSED, "Alexa skills are not served here"),
        "FunctionName": Supported(),
        "FunctionUrlAuthType": Supported(),
        "InvokedViaFunctionUrl": Supported(),
        "Principal": Supported(),
        "PrincipalOrgID": Supported(Support.REFUSED, "organisations are not served here"),
        "SourceAccount": Supported(),
        "SourceArn": Supported(),
    }

    def __init__(self, functions: Functions, policies: FunctionPolicies) -> None:
        self._functions = functions
        self._policies = policies

    async def create(self, resource: Resource) -> Physical:
        """Add the statement. Raises TemplateError where the function is not there."""
        read = read_properties(resource)
        spec = _function(read, self._functions)
        sid = f"{resource.context.stack_name}-{resource.logical_id}"
        grant = Grant(
            sid=sid,
            action=read.text("Action"),
            principal=read.text("Principal"),
            source_arn=read.text("SourceArn", ""),
            source_account=read.text("SourceAccount", ""),
            url_auth_type=read.choice("FunctionUrlAuthType", ("", "AWS_IAM", "NONE"), ""),
            via_url=read.flag("InvokedViaFunctionUrl", default=False),
        )
        self._policies.add(spec.arn, grant)
        return Physical(sid, {"Id": sid})

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Take the statement away."""
        self._policies.remove(physical.ref)


class EventSourceMappingHandler:
    """`AWS::Lambda::EventSourceMapping` from SQS. Ref is its UUID. `group` owns the running mappings.

    `find_queue` gives the queue of an ARN; `may_do` says what the function's role may (all, where nobody asks);
    `trace_of` gives the trace header below which a message is handled (its AWSTraceHeader, where nobody says).
    """

    type: str = "AWS::Lambda::EventSourceMapping"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        **dict.fromkeys(
            (
                "AmazonManagedKafkaEventSourceConfig", "BisectBatchOnFunctionError", "DestinationConfig",
                "DocumentDBEventSourceConfig", "MaximumRecordAgeInSeconds", "MaximumRetryAttempts",
                "ParallelizationFactor", "Queues", "SelfManagedEventSource", "SelfManagedKafkaEventSourceConfig",
                "SourceAccessConfigurations", "StartingPosition", "StartingPositionTimestamp", "Topics",
                "TumblingWindowInSeconds",
            ),
            _STREAMS,
        ),
        "BatchSize": Supported(),
        "Enabled": Supported(),
        "EventSourceArn": Supported(),
        "FilterCriteria": Supported(Support.REFUSED, "filters of event source mappings are not served here"),
        "FunctionName": Supported(),
        "FunctionResponseTypes": Supported(reason="SQS mappings have no other", values=("ReportBatchItemFailures",)),
        "KmsKeyArn": Supported(Support.REFUSED, "filters of event source mappings are not served here"),
        "MaximumBatchingWindowInSeconds": Supported(),
        "MetricsConfig": Supported(Support.PARTIAL, "recorded; metrics are not kept here"),
        "ProvisionedPollerConfig": Supported(Support.REFUSED, "provisioned pollers are not served here"),
        "ScalingConfig": Supported(),
        "Tags": Supported(),
    }  # fmt: skip

    def __init__(  # noqa: PLR0913 - what mappings ask of other services, all keyword-only but one
        self,
        functions: Functions,
        *,
        find_queue: Callable[[str], Queue | None],
        group: asyncio.TaskGroup,
        rng: random.Random,
        may_do: MayDo | None = None,
        trace_of: TraceOf | None = None,
    ) -> None:
        self._functions = functions
        self._find_queue = find_queue
        self._group = group
        self._rng = rng
        self._may_do = may_do
        self._trace_of = trace_of or _trace_header
        self._running: dict[str, asyncio.Task[None]] = {}

    async def create(self, resource: Resource) -> Physical:
        """Start the mapping. Raises TemplateError for what CreateEventSourceMapping would refuse."""
        read, context = read_properties(resource), resource.context
        spec = _function(read, self._functions)
        queue = self._queue(read, spec)
        config = _config(read)
        mapping_id = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        if read.flag("Enabled", default=True):
            invoker = _Invoker(self._functions, spec.arn, self._trace_of)
            mapping = SqsMapping(queue, invoker, config, rng=self._rng)
            self._running[mapping_id] = self._group.create_task(mapping.run())
        arn = f"arn:{context.partition}:lambda:{context.region}:{context.account_id}:event-source-mapping:{mapping_id}"
        return Physical(mapping_id, {"Id": mapping_id, "EventSourceMappingArn": arn})

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Stop it; invocations that run go on, their messages come back."""
        self.stop(physical.ref)

    def stop(self, mapping_id: str = "") -> None:
        """Stop one mapping, or all of them."""
        for name in [mapping_id] if mapping_id else list(self._running):
            task = self._running.pop(name, None)
            if task is not None:
                task.cancel()

    def _queue(self, read: Properties, spec: FunctionSpec) -> Queue:
        arn = read.text("EventSourceArn")
        if ":sqs:" not in arn:
            raise read.error("EventSourceArn", f"{arn} is no SQS queue: other event sources are not served here")
        queue = self._find_queue(arn)
        if queue is None:
            raise read.error("EventSourceArn", f"there is no queue {arn}")
        visibility_s = int(queue.attributes.get("VisibilityTimeout", "30"))
        if visibility_s < spec.timeout_s:
            timeout = f"{visibility_s} seconds is less than Function timeout: {spec.timeout_s} seconds"
            raise read.error("EventSourceArn", f"Queue visibility timeout: {timeout}")
        for action in _ACTIONS:
            if self._may_do is not None and not self._may_do(spec.role_arn, action, arn):
                name = action.removeprefix("sqs:")
                detail = f"The provided execution role does not have permissions to call {name} on SQS"
                raise read.error("FunctionName", detail)
        return queue


class _Invoker:
    """Invokes one function for a mapping: in the trace of the batch's first message, the others' are linked to it."""

    def __init__(self, functions: Functions, arn: str, trace_of: TraceOf) -> None:
        self._functions = functions
        self._arn = arn
        self._trace_of = trace_of

    async def __call__(self, payload: bytes, batch: Sequence[Message]) -> InvokeResult:
        return await self._functions.invoke(self._arn, payload, batch=tuple(map(self._trace_of, batch)))


def _trace_header(message: Message) -> str:
    return message.system.get("AWSTraceHeader", "")


def _config(read: Properties) -> SqsMappingConfig:
    window_s = read.integer("MaximumBatchingWindowInSeconds", 0, low=0, high=MAX_WINDOW_S)
    batch_size = read.integer("BatchSize", MAX_BATCH_WITHOUT_WINDOW, low=1, high=MAX_BATCH)
    if batch_size > MAX_BATCH_WITHOUT_WINDOW and not window_s:
        detail = "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
        raise read.error("BatchSize", detail)
    scaling = read.nested("ScalingConfig")
    limit = scaling.integer("MaximumConcurrency", low=2, high=1000) if "MaximumConcurrency" in scaling else None
    report = "ReportBatchItemFailures" in read.texts("FunctionResponseTypes")
    return SqsMappingConfig(batch_size=batch_size, window_s=window_s, max_concurrency=limit, report_failures=report)


def _function(read: Properties, functions: Functions) -> FunctionSpec:
    try:
        return functions.get(read.text("FunctionName"))
    except LambdaError as error:
        raise read.error("FunctionName", error.message) from error
