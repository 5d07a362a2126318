"""The target of a pipe: what is refused of it, and what each service is told beside an event. Pure.

Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-event-target.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from localcloud.services.pipes.errors import not_served, validation
from localcloud.services.pipes.inputs import InputTemplate, Parameter

__all__ = ["BusParameters", "TargetSettings", "read_target"]

_TARGET: Final = "Invalid target parameter provided for target."
_MAX_BATCH: Final[Mapping[str, int]] = {
    "events": 10,
    "kinesis": 500,
    "lambda": 10_000,
    "sns": 10,
    "sqs": 10,
    "states": 10_000,
}
_BLOCKS: Final[Mapping[str, str]] = {
    "events": "EventBridgeEventBusParameters",
    "kinesis": "KinesisStreamParameters",
    "lambda": "LambdaFunctionParameters",
    "sqs": "SqsQueueParameters",
    "states": "StepFunctionStateMachineParameters",
}
_KINDS: Final = {"events": "event-bus/", "states": "stateMachine:"}
_ELSEWHERE: Final = frozenset(
    {
        "batch", "ecs", "execute-api", "firehose", "inspector", "logs", "redshift", "redshift-serverless", "sagemaker",
        "timestream",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class BusParameters:
    """What of an event's envelope the pipe says; None: as by default."""

    source: Parameter | None
    detail_type: Parameter | None
    resources: tuple[Parameter, ...]
    time: Parameter | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSettings:
    """A target. `waits`: for what a function or a machine answers. `max_batch`: what it takes at once."""

    arn: str
    service: str
    max_batch: int
    template: InputTemplate | None
    waits: bool
    partition_key: Parameter | None
    group_id: Parameter | None
    deduplication_id: Parameter | None
    bus: BusParameters


def read_target(arn: str, parameters: Mapping[str, Any], region: str) -> TargetSettings:
    """The target of an ARN. Raises PipesError."""
    service = _check(arn, region)
    for other, name in _BLOCKS.items():
        if name in parameters and other != service:
            raise validation(_TARGET)
    block: Mapping[str, Any] = parameters.get(_BLOCKS.get(service, ""), {})
    group_id = block.get("MessageGroupId", "")
    if service == "kinesis" and not block.get("PartitionKey"):
        raise validation("KinesisStreamParameters.PartitionKey is required for the target.")
    if arn.endswith(".fifo") and not group_id:
        raise validation("SqsQueueParameters.MessageGroupId is required for a FIFO queue.")
    template = parameters.get("InputTemplate", "")
    return TargetSettings(
        arn=arn,
        service=service,
        max_batch=_MAX_BATCH[service],
        template=InputTemplate(template) if template else None,
        waits=block.get("InvocationType", "REQUEST_RESPONSE") == "REQUEST_RESPONSE",
        partition_key=_parameter(block, "PartitionKey"),
        group_id=_parameter(block, "MessageGroupId"),
        deduplication_id=_parameter(block, "MessageDeduplicationId"),
        bus=BusParameters(
            source=_parameter(block, "Source"),
            detail_type=_parameter(block, "DetailType"),
            resources=tuple(Parameter(each) for each in block.get("Resources", [])),
            time=_parameter(block, "Time"),
        ),
    )


def _parameter(block: Mapping[str, Any], name: str) -> Parameter | None:
    return Parameter(block[name]) if block.get(name) else None


def _check(arn: str, region: str) -> str:
    _, _, service, target_region, _, rest = arn.split(":", 5)
    if service in _ELSEWHERE or rest.startswith("api-destination/"):
        raise not_served(f"Targets of the service {service} are")
    if service not in _MAX_BATCH or not rest.startswith(_KINDS.get(service, "")):
        raise validation(_TARGET)
    if service == "sns" and rest.endswith(".fifo"):
        raise validation(_TARGET)  # there is no parameter for its message group
    if target_region != region:
        raise validation("Creating cross-region pipe is not permitted.")
    return service
