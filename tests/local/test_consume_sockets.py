"""Consumers over real sockets: the wire client against the local cloud's Kinesis and DynamoDB, polled and pushed."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest

from localcloud.clock import SystemClock
from localcloud.front import Front
from localcloud.listening import open_listener
from localcloud.services.dynamodb.wire import DynamoService
from localcloud.services.kinesis.limits import Limits
from localcloud.services.kinesis.model import Streams
from localcloud.services.kinesis.wire import KinesisService
from sluiceway.aws.dynamodb import DYNAMODB
from sluiceway.aws.kinesis import KINESIS
from sluiceway.aws.leases import DynamoDbLeaseStore
from sluiceway.aws.streams import KinesisReader
from sluiceway.aws.wire import Wire
from sluiceway.events.kinesis import KinesisRecord
from sluiceway.flows.consume import ConsumeDesk, ConsumeOptions, Consumer, Manner, ReplayOptions, open_replay
from sluiceway.rules.consuming.spans import Span
from tests.contract.test_lease_stores import DEFINITION, TABLE
from tests.fakes import MemoryDeadLetters
from tests.unit.kinesis_setup import REGION, b64
from tests.unit.wire_server import environ

pytestmark = pytest.mark.local
MANNER = Manner(share=1.0, idle_s=0.2)


@dataclass
class Cloud:
    """A front with Kinesis and DynamoDB, and a client of it."""

    streams: Streams
    wire: Wire

    @property
    def arn(self) -> str:
        return self.streams.arn_of("s", REGION)

    async def call(self, operation: str, **members: object) -> dict[str, object]:
        return (await self.wire.call(KINESIS, operation, members)).json()

    async def settle(self) -> None:
        await self.streams.get("s", REGION).settle()

    async def put(self, *numbers: int) -> None:
        records = [{"Data": b64(b"%d" % number), "PartitionKey": f"key-{number % 8}"} for number in numbers]
        assert (await self.call("PutRecords", StreamName="s", Records=records))["FailedRecordCount"] == 0

    async def register(self) -> str:
        reader = KinesisReader(self.wire, self.arn)
        await reader.register_consumer("c")
        while (found := await reader.describe_consumer("c")).status != "ACTIVE":  # noqa: ASYNC110 - as on AWS
            await asyncio.sleep(0.02)
        return found.arn


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    """A running front with a stream of two shards and a table of leases."""
    streams = Streams(clock=SystemClock(), rng=random.Random(1), limits=Limits(calls=False), delay_s=0.05)
    front = Front(
        [KinesisService(streams), DynamoService(SystemClock())], authorise=lambda *_: None, rng=random.Random(1)
    )
    async with (
        front.serve(open_listener()) as address,
        Wire.open(environ(AWS_ENDPOINT_URL=address, AWS_REGION=REGION)) as wire,
    ):
        made = Cloud(streams, wire)
        await made.wire.call(DYNAMODB, "CreateTable", DEFINITION)
        await made.call("CreateStream", StreamName="s", ShardCount=2)
        await made.settle()
        yield made


def make(cloud: Cloud, seen: list[KinesisRecord], *, consumer_arn: str = "", span: Span | None = None) -> Consumer:
    async def handle(record: KinesisRecord) -> None:
        seen.append(record)

    return Consumer(
        KinesisReader(cloud.wire, cloud.arn, consumer_arn=consumer_arn),
        DynamoDbLeaseStore(cloud.wire, TABLE, namespace="replay" if span else "orders"),
        handle,
        desk=ConsumeDesk(MemoryDeadLetters()),
        span=span or Span("TRIM_HORIZON"),
        options=ConsumeOptions(lease_s=3.0, round_s=0.3, manner=MANNER),
    )


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - the socket's other end tells nobody
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("pushed", [False, True])
async def test_two_workers_follow_a_stream_through_a_merge_and_a_split(cloud: Cloud, *, pushed: bool) -> None:
    """Polled and pushed: each record once, each key in order; the second worker takes its share, then all of it."""
    consumer_arn = await cloud.register() if pushed else ""
    seen: list[KinesisRecord] = []
    one, other = (make(cloud, seen, consumer_arn=consumer_arn) for _ in range(2))
    async with asyncio.TaskGroup() as group:
        group.create_task(one.run())
        await cloud.put(*range(20))
        await until(lambda: len(seen) == 20)
        group.create_task(other.run())
        await until(lambda: len(one.progress()) == len(other.progress()) == 1)
        await cloud.put(*range(20, 40))
        await until(lambda: len(seen) == 40)
        one.stop()
        await cloud.call(
            "MergeShards", StreamName="s", ShardToMerge="shardId-000000000000",
            AdjacentShardToMerge="shardId-000000000001",
        )  # fmt: skip
        await cloud.settle()
        await cloud.put(*range(40, 60))
        await cloud.call(
            "SplitShard", StreamName="s", ShardToSplit="shardId-000000000002", NewStartingHashKey=str(1 << 127)
        )
        await cloud.settle()
        await cloud.put(*range(60, 80))
        await until(lambda: len(seen) == 80)
        assert len(one.progress()) == 0
        other.stop()
    assert Counter(int(record.data) for record in seen) == Counter(range(80))
    for key in range(8):
        mine = [int(record.data) for record in seen if record.partition_key == f"key-{key}"]
        assert mine == sorted(mine)
    assert {int(record.shard_id[-1]) for record in seen} == {0, 1, 2, 3, 4}


async def test_a_killed_workers_records_come_again_from_its_checkpoint(cloud: Cloud) -> None:
    """Its lease lapses in DynamoDB; what it had checkpointed does not come again."""
    seen: list[KinesisRecord] = []
    killed = make(cloud, seen)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(killed.run())
        await cloud.put(*range(20))
        await until(lambda: len(seen) == 20)
        await until(lambda: all(each.in_hand == 0 for each in killed.progress()))
        store = DynamoDbLeaseStore(cloud.wire, TABLE, namespace="orders")
        async with asyncio.timeout(10):
            while not all(lease.checkpoint.sequence_number for lease in await store.list()):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        task.cancel()
    again: list[KinesisRecord] = []
    heir = make(cloud, again)
    async with asyncio.TaskGroup() as group:
        group.create_task(heir.run())
        await cloud.put(*range(20, 40))
        await until(lambda: len(again) == 20)
        heir.stop()
    assert sorted(int(record.data) for record in again) == list(range(20, 40))


@pytest.mark.parametrize("pushed", [False, True])
async def test_a_replay_reads_what_there_was(cloud: Cloud, *, pushed: bool) -> None:
    """As an iterator and as a namespace of its own; later records are not in it."""
    consumer_arn = await cloud.register() if pushed else ""
    await cloud.put(*range(30))
    await asyncio.sleep(0.02)  # an arrival has whole milliseconds
    until_ms = int(SystemClock().time() * 1000)
    await asyncio.sleep(0.02)
    await cloud.put(99)
    reader = KinesisReader(cloud.wire, cloud.arn, consumer_arn=consumer_arn)
    async with (
        asyncio.timeout(20),
        open_replay(reader, Span(until_ms=until_ms), options=ReplayOptions(manner=MANNER)) as replay,
    ):
        found = [int(record.data) async for record in replay]
    assert sorted(found) == list(range(30))
    seen: list[KinesisRecord] = []
    async with asyncio.timeout(20):
        await make(cloud, seen, consumer_arn=consumer_arn, span=Span(until_ms=until_ms)).run()
    assert sorted(int(record.data) for record in seen) == list(range(30))
