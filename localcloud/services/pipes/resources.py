"""CloudFormation's `AWS::Pipes::Pipe` over the model.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-pipes-pipe.html
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, cast

from localcloud.services.events.envelope import write_time
from localcloud.services.events.shapes import Items, Moment, Shape, Structure, Table, Whole
from localcloud.services.pipes.errors import PipesError
from localcloud.services.pipes.model import Pipes
from localcloud.services.pipes.requests import CREATE, read_request
from localcloud.template.handler import Physical, Resource, Support, Supported
from localcloud.template.properties import read_properties, scalar_text

__all__ = ["PipeHandler"]

MAX_NAME_CHARS: Final = 64
_SERVED: Final = Supported()
_ELSEWHERE: Final = Supported(Support.REFUSED, "this service is not served here as a part of a pipe")


class PipeHandler:
    """`AWS::Pipes::Pipe`. Ref is the name; attributes Arn, CurrentState, StateReason and the two times."""

    type: str = "AWS::Pipes::Pipe"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        "Description": _SERVED,
        "DesiredState": _SERVED,
        "Enrichment": Supported(reason="a function or an Express state machine"),
        "EnrichmentParameters.HttpParameters": _ELSEWHERE,
        "EnrichmentParameters.InputTemplate": _SERVED,
        "KmsKeyIdentifier": Supported(Support.REFUSED, "customer managed keys of pipes are not served here"),
        "LogConfiguration": Supported(Support.REFUSED, "logs of pipes are not served here"),
        "Name": _SERVED,
        "RoleArn": _SERVED,
        "Source": Supported(reason="a queue, a Kinesis stream or a DynamoDB stream"),
        "SourceParameters.ActiveMQBrokerParameters": _ELSEWHERE,
        "SourceParameters.DynamoDBStreamParameters": _SERVED,
        "SourceParameters.FilterCriteria": _SERVED,
        "SourceParameters.KinesisStreamParameters": _SERVED,
        "SourceParameters.ManagedStreamingKafkaParameters": _ELSEWHERE,
        "SourceParameters.RabbitMQBrokerParameters": _ELSEWHERE,
        "SourceParameters.SelfManagedKafkaParameters": _ELSEWHERE,
        "SourceParameters.SqsQueueParameters": _SERVED,
        "Tags": _SERVED,
        "Target": Supported(reason="a queue, a function, a topic, a stream, an event bus or a state machine"),
        "TargetParameters.BatchJobParameters": _ELSEWHERE,
        "TargetParameters.CloudWatchLogsParameters": _ELSEWHERE,
        "TargetParameters.EcsTaskParameters": _ELSEWHERE,
        "TargetParameters.EventBridgeEventBusParameters.DetailType": _SERVED,
        "TargetParameters.EventBridgeEventBusParameters.EndpointId": _ELSEWHERE,
        "TargetParameters.EventBridgeEventBusParameters.Resources": _SERVED,
        "TargetParameters.EventBridgeEventBusParameters.Source": _SERVED,
        "TargetParameters.EventBridgeEventBusParameters.Time": _SERVED,
        "TargetParameters.HttpParameters": _ELSEWHERE,
        "TargetParameters.InputTemplate": _SERVED,
        "TargetParameters.KinesisStreamParameters": _SERVED,
        "TargetParameters.LambdaFunctionParameters": _SERVED,
        "TargetParameters.RedshiftDataParameters": _ELSEWHERE,
        "TargetParameters.SageMakerPipelineParameters": _ELSEWHERE,
        "TargetParameters.SqsQueueParameters": _SERVED,
        "TargetParameters.StepFunctionStateMachineParameters": _SERVED,
        "TargetParameters.TimestreamParameters": _ELSEWHERE,
    }

    def __init__(self, pipes: Pipes) -> None:
        self._pipes = pipes

    async def create(self, resource: Resource) -> Physical:
        """Make the pipe and wait until it runs or rests. Raises TemplateError where it cannot."""
        read, context = read_properties(resource), resource.context
        name = read.text("Name", f"{context.stack_name}-{resource.logical_id}"[:MAX_NAME_CHARS])
        given = {**_typed(read.values, CREATE), "Name": name}
        if "Tags" in read:
            given["Tags"] = read.text_map("Tags")
        try:
            pipe = self._pipes.create(read_request(CREATE, given), context.region)
        except PipesError as error:
            raise read.error("", error.message) from error
        await pipe.settled.wait()
        if pipe.state == "CREATE_FAILED":
            await self._pipes.remove(pipe.arn)
            raise read.error("", pipe.reason)
        attributes = {
            "Arn": pipe.arn,
            "CreationTime": write_time(pipe.created_s),
            "CurrentState": pipe.state,
            "LastModifiedTime": write_time(pipe.modified_s),
            "StateReason": pipe.reason,
        }
        return Physical(name, attributes)

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the ARN says it all
        """Stop the pipe and forget it, where it is still there."""
        await self._pipes.remove(str(physical.attributes["Arn"]))


def _typed(value: Any, shape: Shape) -> Any:
    """A template's value as the API has it: its numbers are numbers. What has another form is left to the shape."""
    if isinstance(shape, Structure) and isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value)
        return {
            name: _typed(each, shape.members[name]) if name in shape.members else each for name, each in members.items()
        }
    if isinstance(shape, Items) and isinstance(value, list):
        return [_typed(each, shape.item) for each in cast("list[Any]", value)]
    text = scalar_text(value)
    return value if text is None or isinstance(shape, Table) else _scalar(text, shape)


def _scalar(text: str, shape: Shape) -> str | int | float:
    try:
        if isinstance(shape, Whole):
            return int(text)
        if isinstance(shape, Moment):
            return _read_moment(text)
    except ValueError:
        pass
    return text


def _read_moment(text: str) -> float:
    """Epoch seconds or ISO 8601."""
    try:
        return float(text)
    except ValueError:
        return datetime.fromisoformat(text).timestamp()
