"""Kinesis resources of a template become streams, consumers and policies of the model."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.kinesis.model import Streams
from localcloud.services.kinesis.resources import StreamConsumerHandler, StreamHandler, StreamPolicyHandler
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Physical, Resource, StackContext, Support

CONTEXT = StackContext("sluiceway", "eu-west-1", "123456789012", "aws", Path())
ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/s"
POLICY = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Principal": {"AWS": "123456789012"},
        "Action": "kinesis:DescribeStreamSummary",
        "Resource": ARN,
    },
}


def resource(logical_id: str, type_name: str, **properties: Any) -> Resource:
    return Resource(logical_id, type_name, properties, CONTEXT)


def with_streams(test: Callable[[Streams], Awaitable[None]]) -> None:
    async def main() -> None:
        await test(Streams(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(1)))

    run_virtual(main)


async def make(streams: Streams, **properties: Any) -> Physical:
    handler = StreamHandler(streams)
    return await handler.create(resource("Events", handler.type, **properties))


def test_a_stream_is_made_as_the_template_says() -> None:
    """Numbers in any spelling; ACTIVE when the handler comes back; Ref is the name."""

    async def test(streams: Streams) -> None:
        made = await make(
            streams,
            Name="s",
            ShardCount="3",
            RetentionPeriodHours=48,
            MaxRecordSizeInKiB="2048",
            Tags=[{"Key": "a", "Value": "b"}],
            StreamEncryption={"EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"},
            DesiredShardLevelMetrics=["IncomingBytes"],
            StreamModeDetails={"StreamMode": "PROVISIONED"},
        )
        assert made == Physical("s", {"Arn": ARN})
        stream = streams.find(ARN)
        assert stream is not None
        assert (stream.status, stream.open_count) == ("ACTIVE", 3)
        definition = stream.definition
        assert (definition.retention_h, definition.max_record_kib, definition.tags) == (48, 2048, {"a": "b"})
        assert (definition.key_id, definition.metrics) == ("alias/aws/kinesis", frozenset({"IncomingBytes"}))
        assert asyncio.get_running_loop().time() == 0.0

    with_streams(test)


def test_what_a_stream_has_without_properties() -> None:
    """A name of stack and logical id, one shard, 24 hours."""

    async def test(streams: Streams) -> None:
        made = await make(streams)
        assert made.ref == "sluiceway-Events"
        stream = streams.find(str(made.attributes["Arn"]))
        assert stream is not None
        assert (stream.open_count, stream.definition.retention_h, stream.definition.mode) == (1, 24, "PROVISIONED")

    with_streams(test)


def test_an_on_demand_stream_and_its_distribution() -> None:
    """Four shards; AUTO distribution is for such streams."""

    async def test(streams: Streams) -> None:
        mode = {"StreamMode": "ON_DEMAND"}
        await make(streams, Name="s", StreamModeDetails=mode, RecordDistributionStrategy="AUTO")
        stream = streams.find(ARN)
        assert stream is not None
        assert (stream.open_count, stream.definition.spreads) == (4, True)

    with_streams(test)


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"Name": "a b"}, "Name"),
        ({"ShardCount": 0}, "ShardCount"),
        ({"ShardCount": 2, "StreamModeDetails": {"StreamMode": "ON_DEMAND"}}, "ShardCount must not"),
        ({"StreamModeDetails": {"StreamMode": "FAST"}}, "StreamModeDetails.StreamMode"),
        ({"RetentionPeriodHours": 23}, "Minimum allowed retention"),
        ({"RetentionPeriodHours": 8761}, "Maximum allowed retention"),
        ({"MaxRecordSizeInKiB": 1}, "MaxRecordSizeInKiB"),
        ({"StreamEncryption": {"EncryptionType": "NONE", "KeyId": "k"}}, "EncryptionType"),
        ({"StreamEncryption": {"EncryptionType": "KMS"}}, "KeyId"),
        ({"DesiredShardLevelMetrics": ["X"]}, "DesiredShardLevelMetrics"),
        ({"RecordDistributionStrategy": "AUTO"}, "RecordDistributionStrategy"),
        ({"Tags": [{"Key": "aws:x", "Value": ""}]}, "reserved"),
        ({"ShardCount": 10_001}, "at most 10000"),
    ],
)
def test_streams_that_make_no_sense(properties: dict[str, Any], words: str) -> None:
    """The error names the resource, and the property or what CreateStream would say."""

    async def test(streams: Streams) -> None:
        with pytest.raises(TemplateError, match="Events") as caught:
            await make(streams, **properties)
        assert words in str(caught.value)
        assert streams.list("eu-west-1") == []

    with_streams(test)


def test_two_streams_of_a_name_are_refused() -> None:
    """In the API's words."""

    async def test(streams: Streams) -> None:
        await make(streams, Name="s")
        with pytest.raises(TemplateError, match="already exists"):
            await make(streams, Name="s")

    with_streams(test)


def test_a_stream_goes_with_its_consumers() -> None:
    """At once, also where something changes it at that moment; a second time is no error."""

    async def test(streams: Streams) -> None:
        made = await make(streams, Name="s", ShardCount=2)
        stream = streams.find(ARN)
        assert stream is not None
        streams.register(stream, "c")
        streams.scale(stream, 4)
        handler = StreamHandler(streams)
        events = resource("Events", handler.type)
        await handler.delete(events, made)
        assert streams.find(ARN) is None
        await handler.delete(events, made)
        await asyncio.sleep(1)  # what was under way comes to nothing
        assert streams.list("eu-west-1") == []

    with_streams(test)


def test_a_consumer_is_registered_and_active() -> None:
    """Ref is its ARN; it is gone after its deletion."""

    async def test(streams: Streams) -> None:
        await make(streams, Name="s")
        handler = StreamConsumerHandler(streams)
        tags = [{"Key": "a", "Value": "b"}]
        wanted = resource("Reader", handler.type, StreamARN=ARN, ConsumerName="c", Tags=tags)
        made = await handler.create(wanted)
        assert made == Physical(
            f"{ARN}/consumer/c:1800000000",
            {
                "ConsumerARN": made.ref,
                "ConsumerCreationTimestamp": "1800000000",
                "ConsumerName": "c",
                "ConsumerStatus": "ACTIVE",
                "StreamARN": ARN,
            },
        )
        found = streams.find_consumer(made.ref)
        assert found is not None
        assert (found[1].status, found[1].tags) == ("ACTIVE", {"a": "b"})
        with pytest.raises(TemplateError, match="already exists"):
            await handler.create(wanted)
        await handler.delete(wanted, made)
        await handler.delete(wanted, made)
        await asyncio.sleep(1)
        assert streams.find_consumer(made.ref) is None

    with_streams(test)


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"ConsumerName": "c"}, "StreamARN"),
        ({"StreamARN": ARN}, "ConsumerName"),
        ({"StreamARN": ARN, "ConsumerName": "a b"}, "ConsumerName"),
        ({"StreamARN": f"{ARN}x", "ConsumerName": "c"}, "there is no stream"),
        ({"StreamARN": ARN, "ConsumerName": "c", "Tags": [{"Key": "a;", "Value": ""}]}, "invalid characters"),
    ],
)
def test_consumers_that_make_no_sense(properties: dict[str, Any], words: str) -> None:
    """The error names the resource and what is wrong."""

    async def test(streams: Streams) -> None:
        await make(streams, Name="s")
        handler = StreamConsumerHandler(streams)
        with pytest.raises(TemplateError, match=words):
            await handler.create(resource("Reader", handler.type, **properties))

    with_streams(test)


def test_a_policy_of_a_stream_or_a_consumer() -> None:
    """As a map or as text; taken off at the end."""

    async def test(streams: Streams) -> None:
        await make(streams, Name="s")
        consumers = StreamConsumerHandler(streams)
        consumer = await consumers.create(resource("Reader", consumers.type, StreamARN=ARN, ConsumerName="c"))
        handler = StreamPolicyHandler(streams)
        for arn, policy in ((ARN, POLICY), (consumer.ref, json.dumps(POLICY))):
            wanted = resource("Policy", handler.type, ResourceArn=arn, ResourcePolicy=policy)
            made = await handler.create(wanted)
            assert (made.ref, json.loads(streams.policy_text(arn))) == (arn, POLICY)
            await handler.delete(wanted, made)
            assert streams.policy_text(arn) == ""
        with pytest.raises(TemplateError, match="there is no stream or consumer"):
            await handler.create(resource("Policy", handler.type, ResourceArn=f"{ARN}x", ResourcePolicy=POLICY))
        with pytest.raises(TemplateError, match="not valid"):
            await handler.create(resource("Policy", handler.type, ResourceArn=ARN, ResourcePolicy={"Version": "1"}))

    with_streams(test)


def test_the_ledger_tells_what_differs() -> None:
    """Encryption and on-demand are partial, warm throughput is refused; kept state is said to be none."""

    async def test(streams: Streams) -> None:
        table = StreamHandler(streams).properties
        assert {name for name, entry in table.items() if entry.support is not Support.SERVED} == {
            "StreamEncryption.EncryptionType",
            "StreamEncryption.KeyId",
            "WarmThroughputMiBps",
        }
        assert table["WarmThroughputMiBps"].support is Support.REFUSED
        differs = table["StreamModeDetails.StreamMode"].differs
        assert differs is not None
        assert (differs("PROVISIONED"), "does not scale" in differs("ON_DEMAND")) == ("", True)
        assert StreamHandler(streams).support.support is Support.SERVED
        kept = StreamHandler(streams, keeps=True).support
        assert (kept.support, "begins empty" in kept.reason) == (Support.PARTIAL, True)

    with_streams(test)
