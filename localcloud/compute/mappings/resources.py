"""CloudFormation's `AWS::Lambda::EventSourceMapping`.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-eventsourcemapping.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from localcloud.compute.mappings.registry import Mappings
from localcloud.compute.mappings.settings import STREAM_SETTINGS
from localcloud.services.lambda_.errors import LambdaError
from localcloud.template.handler import Physical, Resource, Support, Supported
from localcloud.template.properties import read_properties

__all__ = ["EventSourceMappingHandler"]

_BROKERS: Final = Supported(Support.REFUSED, "Kafka, Amazon MQ and DocumentDB are not served here")


class EventSourceMappingHandler:
    """`AWS::Lambda::EventSourceMapping` from SQS, Kinesis, an enhanced fan-out consumer, DynamoDB Streams.

    Ref is its UUID.
    """

    type: str = "AWS::Lambda::EventSourceMapping"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        **dict.fromkeys(
            (
                "AmazonManagedKafkaEventSourceConfig",
                "DocumentDBEventSourceConfig",
                "Queues",
                "SelfManagedEventSource",
                "SelfManagedKafkaEventSourceConfig",
                "SourceAccessConfigurations",
                "Topics",
            ),
            _BROKERS,
        ),
        **dict.fromkeys(STREAM_SETTINGS, Supported()),
        "DestinationConfig.OnFailure": Supported(),
        "DestinationConfig.OnSuccess": Supported(Support.REFUSED, "event source mappings have no OnSuccess"),
        "BatchSize": Supported(),
        "Enabled": Supported(),
        "EventSourceArn": Supported(),
        "FilterCriteria": Supported(),
        "FunctionName": Supported(),
        "FunctionResponseTypes": Supported(reason="Lambda has no other", values=("ReportBatchItemFailures",)),
        "KmsKeyArn": Supported(Support.REFUSED, "encrypted filter criteria are not served here"),
        "MaximumBatchingWindowInSeconds": Supported(),
        "MetricsConfig": Supported(
            Support.PARTIAL, "EventCount of mappings from queues; those from streams only record it"
        ),
        "ProvisionedPollerConfig": Supported(),
        "ScalingConfig": Supported(),
        "StartingPosition": Supported(),
        "Tags": Supported(),
    }

    def __init__(self, mappings: Mappings) -> None:
        self._mappings = mappings

    async def create(self, resource: Resource) -> Physical:
        """Start the mapping. Raises TemplateError for what CreateEventSourceMapping would refuse."""
        read = read_properties(resource)
        try:
            mapping = self._mappings.create(read, tags=read.tags())
        except LambdaError as error:
            raise read.error("FunctionName", error.message) from error
        return Physical(mapping.mapping_id, {"Id": mapping.mapping_id, "EventSourceMappingArn": mapping.arn})

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Stop it; invocations that run go on, their messages come back."""
        await self._mappings.remove(physical.ref)
