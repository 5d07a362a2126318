"""CloudFormation's Kinesis resources over the model: `AWS::Kinesis::Stream`, `StreamConsumer` and `ResourcePolicy`.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_Kinesis.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from localcloud.services.kinesis.consumers import Consumer
from localcloud.services.kinesis.control import MAX_RECORD_KIB, MIN_RECORD_KIB, check_retention, make_definition
from localcloud.services.kinesis.describing import METRICS
from localcloud.services.kinesis.errors import KinesisError
from localcloud.services.kinesis.model import Streams
from localcloud.services.kinesis.resource_operations import check_policy
from localcloud.services.kinesis.stream import MIN_RETENTION_H, ON_DEMAND, PROVISIONED, Definition, Stream
from localcloud.services.kinesis.tags import add_tags
from localcloud.template.handler import Physical, Resource, Support, Supported
from localcloud.template.properties import Properties, json_text, read_properties, scalar_text

__all__ = ["StreamConsumerHandler", "StreamHandler", "StreamPolicyHandler"]

MAX_NAME_CHARS: Final = 128
_NAME: Final = re.compile(r"[a-zA-Z0-9_.-]{1,128}")
_PLAIN: Final = Supported(Support.PARTIAL, "recorded and told; records are not encrypted here")
_STRATEGIES: Final = ("AUTO", "USER_PARTITION_KEY")


def _tell_mode(mode: str) -> str:
    if mode != ON_DEMAND:
        return ""
    return "four shards with the write limits of provisioned ones; a stream does not scale by itself here"


class StreamHandler:
    """`AWS::Kinesis::Stream`. Ref is the name; attribute Arn.

    `keeps` says that other services keep their state between runs (`--persist`): streams begin empty all the same, and
    the ledger says so.
    """

    type: str = "AWS::Kinesis::Stream"

    def __init__(self, streams: Streams, *, keeps: bool = False) -> None:
        self._streams = streams
        self.support: Supported = (
            Supported(Support.PARTIAL, "records end with the process: with --persist, too, a stream begins empty")
            if keeps
            else Supported()
        )
        self.properties: Mapping[str, Supported] = {
            "DesiredShardLevelMetrics": Supported(),
            "MaxRecordSizeInKiB": Supported(),
            "Name": Supported(),
            "RecordDistributionStrategy": Supported(),
            "RetentionPeriodHours": Supported(),
            "ShardCount": Supported(),
            "StreamEncryption.EncryptionType": _PLAIN,
            "StreamEncryption.KeyId": _PLAIN,
            "StreamModeDetails.StreamMode": Supported(differs=_tell_mode),
            "Tags": Supported(),
            "WarmThroughputMiBps": Supported(Support.REFUSED, "warm throughput is not served here"),
        }

    async def create(self, resource: Resource) -> Physical:
        """Make the stream. CloudFormation waits until it is ACTIVE, so here it is so at once.

        Raises TemplateError for what CreateStream would refuse.
        """
        read = read_properties(resource)
        context = resource.context
        name = read.text("Name", f"{context.stack_name}-{resource.logical_id}"[:MAX_NAME_CHARS])
        if not _NAME.fullmatch(name):
            raise read.error("Name", f"must be 1 to 128 of a-z, A-Z, 0-9, _ . and -, is {name!r}")
        try:
            definition = _definition(read, name)
            stream = self._streams.create(name, context.region, definition)
        except KinesisError as error:
            raise read.error("", error.message) from error
        stream.hurry()
        return Physical(name, {"Arn": stream.arn})

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Delete the stream with its consumers, where it is still there."""
        stream = self._streams.find(str(physical.attributes["Arn"]))
        if stream is not None:
            stream.hurry()
            if stream.status != "DELETING":
                self._streams.delete(stream, with_consumers=True)
            stream.hurry()


class StreamConsumerHandler:
    """`AWS::Kinesis::StreamConsumer`. Ref is the consumer's ARN, which is an attribute as well."""

    type: str = "AWS::Kinesis::StreamConsumer"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {"ConsumerName": Supported(), "StreamARN": Supported(), "Tags": Supported()}

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    async def create(self, resource: Resource) -> Physical:
        """Register the consumer. CloudFormation waits until it is ACTIVE, so here it is so at once.

        Raises TemplateError for what RegisterStreamConsumer would refuse.
        """
        read = read_properties(resource)
        stream_arn, name = read.text("StreamARN"), read.text("ConsumerName")
        if not _NAME.fullmatch(name):
            raise read.error("ConsumerName", f"must be 1 to 128 of a-z, A-Z, 0-9, _ . and -, is {name!r}")
        stream = self._streams.find(stream_arn)
        if stream is None:
            raise read.error("StreamARN", f"there is no stream {stream_arn}")
        tags: dict[str, str] = {}
        try:
            add_tags(tags, read.tags(), name=f"consumer {name}")
            consumer = self._streams.register(stream, name)
        except KinesisError as error:
            raise read.error("", error.message) from error
        consumer.tags = tags
        consumer.activate()
        attributes = {
            "ConsumerARN": consumer.arn,
            "ConsumerCreationTimestamp": str(int(consumer.created_s)),
            "ConsumerName": consumer.name,
            "ConsumerStatus": consumer.status,
            "StreamARN": stream.arn,
        }
        return Physical(consumer.arn, attributes)

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Deregister the consumer, where it is still there."""
        found = self._streams.find_consumer(physical.ref)
        if found is not None and found[1].status != "DELETING":
            found[0].deregister(found[1])


class StreamPolicyHandler:
    """`AWS::Kinesis::ResourcePolicy`, of a stream or of a consumer. Ref is the resource's ARN."""

    type: str = "AWS::Kinesis::ResourcePolicy"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {"ResourceArn": Supported(), "ResourcePolicy": Supported()}

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    async def create(self, resource: Resource) -> Physical:
        """Attach the policy. Raises TemplateError where the resource is not there, or the policy is none."""
        read = read_properties(resource)
        arn, given = read.text("ResourceArn"), read.values.get("ResourcePolicy")
        policy = scalar_text(given) or json_text(read.mapping("ResourcePolicy"))
        found = self._find(arn)
        if found is None:
            raise read.error("ResourceArn", f"there is no stream or consumer {arn}")
        try:
            check_policy(policy)
        except KinesisError as error:
            raise read.error("ResourcePolicy", error.message) from error
        found.policy = policy
        return Physical(arn)

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Take the policy off, where its resource is still there."""
        found = self._find(physical.ref)
        if found is not None:
            found.policy = ""

    def _find(self, arn: str) -> Stream | Consumer | None:
        consumer = self._streams.find_consumer(arn)
        return consumer[1] if consumer is not None else self._streams.find(arn)


def _definition(read: Properties, name: str) -> Definition:
    """The stream that the properties describe. Raises TemplateError, KinesisError."""
    mode = read.nested("StreamModeDetails").choice("StreamMode", (PROVISIONED, ON_DEMAND), PROVISIONED)
    count = read.integer("ShardCount", low=1) if "ShardCount" in read else None
    definition = make_definition(mode, 1 if count is None and mode == PROVISIONED else count)
    definition.retention_h = read.integer("RetentionPeriodHours", MIN_RETENTION_H)
    check_retention(definition.retention_h)
    definition.max_record_kib = read.integer(
        "MaxRecordSizeInKiB", MIN_RECORD_KIB, low=MIN_RECORD_KIB, high=MAX_RECORD_KIB
    )
    add_tags(definition.tags, read.tags(), name=f"stream {name}")
    if "StreamEncryption" in read:
        encryption = read.nested("StreamEncryption")
        encryption.choice("EncryptionType", ("KMS",))
        definition.key_id = encryption.text("KeyId")
    definition.metrics = _metrics(read)
    definition.spreads = read.choice("RecordDistributionStrategy", _STRATEGIES, _STRATEGIES[1]) == "AUTO"
    if definition.spreads and mode != ON_DEMAND:
        raise read.error("RecordDistributionStrategy", "AUTO is for streams in ON_DEMAND mode")
    return definition


def _metrics(read: Properties) -> frozenset[str]:
    asked = read.texts("DesiredShardLevelMetrics")
    for name in asked:
        if name not in (*METRICS, "ALL"):
            raise read.error("DesiredShardLevelMetrics", f"must be of {', '.join(METRICS)} or ALL, has {name!r}")
    return frozenset(METRICS) if "ALL" in asked else frozenset(asked)
