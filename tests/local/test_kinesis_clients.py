"""Kinesis over real sockets: boto3 and aiobotocore against the local cloud's AWS port, pushed events included."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aioboto3
import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

from localcloud.clock import SystemClock
from localcloud.front import Front
from localcloud.listening import open_listener
from localcloud.services.contract import Denied, Permission
from localcloud.services.kinesis.limits import MIB, Limits
from localcloud.services.kinesis.model import Streams
from localcloud.services.kinesis.wire import KinesisService

pytestmark = pytest.mark.local
REGION = "eu-west-1"
KEYS = {"aws_access_key_id": "AK", "aws_secret_access_key": "secret", "region_name": REGION}
ONCE = Config(retries={"total_max_attempts": 1})


@dataclass
class Cloud:
    """A front with Kinesis alone, and what IAM was asked; `denied` actions are refused."""

    streams: Streams
    asked: list[Permission] = field(default_factory=list)
    denied: set[str] = field(default_factory=set)
    url: str = ""

    def authorise(self, _key: str, permissions: tuple[Permission, ...]) -> Denied | None:
        self.asked += permissions
        refused = [permission for permission in permissions if permission.action in self.denied]
        reason = "no identity-based policy allows the action"
        return Denied("arn:aws:iam::123456789012:user/u", refused[0], reason) if refused else None

    def client(self) -> Any:
        return boto3.client("kinesis", endpoint_url=self.url, config=ONCE, **KEYS)

    def arn(self, name: str = "s") -> str:
        return self.streams.arn_of(name, REGION)


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    """A running front; streams change their state in 50 ms, and control calls are not counted."""
    streams = Streams(clock=SystemClock(), rng=random.Random(1), limits=Limits(calls=False), delay_s=0.05)
    made = Cloud(streams)
    front = Front([KinesisService(streams)], authorise=made.authorise, rng=random.Random(1))
    async with front.serve(open_listener()) as made.url:
        yield made


@asynccontextmanager
async def async_client(cloud: Cloud) -> AsyncGenerator[Any]:
    """aiobotocore's client, which tries once."""
    async with aioboto3.Session(**KEYS).client("kinesis", endpoint_url=cloud.url, config=ONCE) as client:
        yield client


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - the socket's other end tells nobody
            await asyncio.sleep(0.002)


async def make(cloud: Cloud, client: Any, **more: Any) -> None:
    await client.create_stream(StreamName="s", **({"ShardCount": 1} | more))
    await cloud.streams.get("s", REGION).settle()


async def register(cloud: Cloud, client: Any) -> str:
    told = await client.register_stream_consumer(StreamARN=cloud.arn(), ConsumerName="c")
    stream = cloud.streams.get("s", REGION)
    await until(lambda: stream.consumers["c"].status == "ACTIVE")
    return told["Consumer"]["ConsumerARN"]


async def test_boto3_lives_through_a_streams_life(cloud: Cloud) -> None:
    """Its waiters and paginators, parsers and errors agree with every answer."""

    def work() -> None:
        kinesis = cloud.client()
        kinesis.create_stream(StreamName="s", ShardCount=2, Tags={"a": "b"})
        kinesis.get_waiter("stream_exists").wait(StreamName="s", WaiterConfig={"Delay": 0.05})
        put = kinesis.put_record(StreamName="s", Data=b"\x00\xff", PartitionKey="é", ExplicitHashKey="0")
        assert put["ShardId"] == "shardId-000000000000"
        told = kinesis.put_records(
            StreamName="s", Records=[{"Data": str(number).encode(), "PartitionKey": str(number)} for number in range(9)]
        )
        assert told["FailedRecordCount"] == 0
        pages = kinesis.get_paginator("list_shards").paginate(StreamARN=cloud.arn(), PaginationConfig={"PageSize": 1})
        shards = [shard["ShardId"] for page in pages for shard in page["Shards"]]
        assert shards == ["shardId-000000000000", "shardId-000000000001"]
        found = []
        for shard in shards:
            start = {"ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
            iterator = kinesis.get_shard_iterator(StreamName="s", **start)["ShardIterator"]
            found += kinesis.get_records(ShardIterator=iterator)["Records"]
        assert sorted(record["Data"] for record in found) == [b"\x00\xff", *(str(each).encode() for each in range(9))]
        assert abs(found[0]["ApproximateArrivalTimestamp"].timestamp() - time.time()) < 60
        kinesis.merge_shards(StreamName="s", ShardToMerge=shards[0], AdjacentShardToMerge=shards[1])
        kinesis.get_waiter("stream_exists").wait(StreamName="s", WaiterConfig={"Delay": 0.05})
        assert kinesis.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]["OpenShardCount"] == 1
        assert kinesis.list_tags_for_stream(StreamName="s")["Tags"] == [{"Key": "a", "Value": "b"}]
        assert [page["StreamNames"] for page in kinesis.get_paginator("list_streams").paginate()] == [["s"]]
        kinesis.delete_stream(StreamName="s")
        kinesis.get_waiter("stream_not_exists").wait(StreamName="s", WaiterConfig={"Delay": 0.05})
        for error, call in (
            (kinesis.exceptions.ResourceNotFoundException, lambda: kinesis.describe_stream(StreamName="s")),
            (kinesis.exceptions.InvalidArgumentException, lambda: kinesis.get_records(ShardIterator="x")),
        ):
            with pytest.raises(error):
                call()

    await asyncio.to_thread(work)


async def test_aiobotocore_polls_to_the_end_of_a_split_shard(cloud: Cloud) -> None:
    """NextShardIterator is absent at the end, and ChildShards are parsed."""
    async with async_client(cloud) as client:
        await make(cloud, client)
        await client.put_record(StreamName="s", Data=b"x", PartitionKey="k")
        await client.split_shard(StreamName="s", ShardToSplit="shardId-000000000000", NewStartingHashKey=str(1 << 127))
        await cloud.streams.get("s", REGION).settle()
        start = {"ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"}
        iterator = (await client.get_shard_iterator(StreamName="s", **start))["ShardIterator"]
        told = await client.get_records(ShardIterator=iterator)
    assert ([record["Data"] for record in told["Records"]], "NextShardIterator" in told) == ([b"x"], False)
    assert [child["ShardId"] for child in told["ChildShards"]] == ["shardId-000000000001", "shardId-000000000002"]


async def test_aiobotocore_reads_what_is_pushed(cloud: Cloud) -> None:
    """initial-response, records as they are put, large ones too, and the children at the end."""
    async with async_client(cloud) as client:
        await make(cloud, client)
        consumer = await register(cloud, client)
        await client.put_record(StreamName="s", Data=b"first", PartitionKey="k")
        told = await client.subscribe_to_shard(
            ConsumerARN=consumer, ShardId="shardId-000000000000", StartingPosition={"Type": "TRIM_HORIZON"}
        )
        events = aiter(told["EventStream"])
        event = (await anext(events))["SubscribeToShardEvent"]
        assert ([record["Data"] for record in event["Records"]], event["MillisBehindLatest"]) == ([b"first"], 0)
        large = bytes(range(256)) * 2_500
        await client.put_record(StreamName="s", Data=large, PartitionKey="k")
        event = (await anext(events))["SubscribeToShardEvent"]
        assert [record["Data"] for record in event["Records"]] == [large]
        assert int(event["ContinuationSequenceNumber"]) > int(event["Records"][0]["SequenceNumber"])
        await client.update_shard_count(StreamName="s", TargetShardCount=2, ScalingType="UNIFORM_SCALING")
        event = (await anext(events))["SubscribeToShardEvent"]
        assert ([child["ShardId"] for child in event["ChildShards"]], event["Records"]) == (
            ["shardId-000000000001", "shardId-000000000002"],
            [],
        )
        assert [event async for event in events] == []
    assert Permission("kinesis:SubscribeToShard", consumer) in cloud.asked


async def test_boto3_reads_what_is_pushed(cloud: Cloud) -> None:
    """Over HTTP/1.1 as well; an error inside the stream is raised where it is read."""
    async with async_client(cloud) as client:
        await make(cloud, client)
        consumer = await register(cloud, client)

    def work() -> bytes:
        kinesis = cloud.client()
        kinesis.put_record(StreamName="s", Data=b"x", PartitionKey="k")
        start = {"Type": "TRIM_HORIZON"}
        told = kinesis.subscribe_to_shard(ConsumerARN=consumer, ShardId="shardId-000000000000", StartingPosition=start)
        events = iter(told["EventStream"])
        event = next(events)["SubscribeToShardEvent"]
        with pytest.raises(kinesis.exceptions.ResourceInUseException):
            kinesis.subscribe_to_shard(ConsumerARN=consumer, ShardId="shardId-000000000000", StartingPosition=start)
        kinesis.deregister_stream_consumer(ConsumerARN=consumer)
        with pytest.raises(EventStreamError, match="ResourceNotFoundException"):
            next(events)
        told["EventStream"].close()
        return event["Records"][0]["Data"]

    assert await asyncio.to_thread(work) == b"x"


async def test_a_caller_who_goes_away_waits_no_more(cloud: Cloud) -> None:
    """A subscription whose socket is closed leaves no one waiting at the shard."""
    async with async_client(cloud) as client:
        await make(cloud, client)
        consumer = await register(cloud, client)
        told = await client.subscribe_to_shard(
            ConsumerARN=consumer, ShardId="shardId-000000000000", StartingPosition={"Type": "LATEST"}
        )
        shard = cloud.streams.get("s", REGION).shard("shardId-000000000000")
        await until(lambda: bool(shard._waiters))
        told["EventStream"].close()
        await until(lambda: not shard._waiters)


async def test_a_record_is_pushed_in_milliseconds(cloud: Cloud) -> None:
    """From the answer of the put to the event in the client's hands."""
    async with async_client(cloud) as client:
        await make(cloud, client)
        consumer = await register(cloud, client)
        told = await client.subscribe_to_shard(
            ConsumerARN=consumer, ShardId="shardId-000000000000", StartingPosition={"Type": "LATEST"}
        )
        events, waits_ms = aiter(told["EventStream"]), []
        for number in range(20):
            put = await client.put_record(StreamName="s", Data=str(number).encode(), PartitionKey="k")
            began = time.perf_counter()
            event = (await anext(events))["SubscribeToShardEvent"]
            waits_ms.append((time.perf_counter() - began) * 1000)
            assert event["Records"][0]["SequenceNumber"] == put["SequenceNumber"]
        told["EventStream"].close()
    assert sorted(waits_ms)[10] < 50


async def test_what_iam_denies_is_denied(cloud: Cloud) -> None:
    """AccessDeniedException on the stream, a 400 as JSON services answer it; nothing was put."""
    async with async_client(cloud) as client:
        await make(cloud, client)
        cloud.denied.add("kinesis:PutRecords")
        with pytest.raises(ClientError) as caught:
            await client.put_records(StreamName="s", Records=[{"Data": b"x", "PartitionKey": "k"}])
    told = caught.value.response
    assert (told["Error"]["Code"], told["ResponseMetadata"]["HTTPStatusCode"]) == ("AccessDeniedException", 400)
    assert cloud.arn() in told["Error"]["Message"]
    assert cloud.streams.get("s", REGION).shard("shardId-000000000000").held == 0


async def test_a_request_of_ten_mebibytes_goes_through(cloud: Cloud) -> None:
    """The largest PutRecords there is, and an answer as large."""
    async with async_client(cloud) as client:
        await make(cloud, client)
        await client.update_max_record_size(StreamARN=cloud.arn(), MaxRecordSizeInKiB=10_240)
        await cloud.streams.get("s", REGION).settle()
    data = bytes(10 * MIB - 1)

    def work() -> bytes:
        kinesis = cloud.client()
        told = kinesis.put_records(StreamName="s", Records=[{"Data": data, "PartitionKey": "k"}])
        assert told["FailedRecordCount"] == 0
        start = {"ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"}
        iterator = kinesis.get_shard_iterator(StreamName="s", **start)["ShardIterator"]
        (record,) = kinesis.get_records(ShardIterator=iterator)["Records"]
        return record["Data"]

    assert await asyncio.to_thread(work) == data
