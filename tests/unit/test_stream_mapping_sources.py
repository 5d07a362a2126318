"""Stream mappings over the local cloud's own Kinesis and DynamoDB, which the streams of other tests stand for."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.compute.event_source_stream import Checkpoints, StreamMapping
from localcloud.compute.functions import InvokeResult
from localcloud.compute.source_dynamodb import DynamoSource
from localcloud.compute.source_kinesis import KinesisSource
from localcloud.compute.stream_config import StreamMappingConfig
from localcloud.compute.stream_source import StreamSource
from localcloud.services.dynamodb.streams import SHARD_LIFE_S
from localcloud.services.kinesis.model import Streams
from localcloud.services.kinesis.shard import Content
from localcloud.services.kinesis.stream import Definition
from tests.unit.dynamodb_streams_setup import World as TableWorld
from tests.unit.stream_world import FACTS, HORIZON, OK

ROLE = "arn:aws:iam::123456789012:role/lambda-role"
HALF = 1 << 127


@asynccontextmanager
async def mapped(source: StreamSource, clock: Any, **config: Any) -> AsyncGenerator[list[tuple[float, dict[str, Any]]]]:
    """What the function sees: (loop time, event)."""
    loop = asyncio.get_running_loop()
    seen: list[tuple[float, dict[str, Any]]] = []

    async def invoke(payload: bytes) -> InvokeResult:
        seen.append((round(loop.time(), 2), json.loads(payload)))
        return OK

    mapping = StreamMapping(
        source,
        invoke,
        StreamMappingConfig(start=HORIZON, **config),
        facts=FACTS,
        checkpoints=Checkpoints(),
        clock=clock,
        rng=random.Random(1),
    )
    task = loop.create_task(mapping.run())
    try:
        yield seen
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def texts(seen: list[tuple[float, dict[str, Any]]]) -> list[str]:
    records = [record for _, event in seen for record in event["Records"]]
    return [base64.b64decode(record["kinesis"]["data"]).decode() for record in records]


@pytest.mark.parametrize("pushes", [False, True])
def test_a_kinesis_stream_is_read_over_a_split_and_a_merge(pushes: bool) -> None:
    """Nothing lost, nothing twice, each key in order, within the stream's own read limits."""

    async def main() -> None:
        clock = LoopClock(asyncio.get_running_loop())
        streams = Streams(clock=clock, rng=random.Random(1))
        stream = streams.create("s", "eu-west-1", Definition())
        stream.hurry()
        arn = streams.arn_of("s", "eu-west-1")
        if pushes:
            consumer = streams.register(stream, "c")
            consumer.activate()
            arn = consumer.arn
        async with mapped(KinesisSource(streams, arn, role_arn=ROLE), clock, batch_size=7, parallelization=3) as seen:
            for number in range(300):
                if number == 100:
                    streams.split(stream, "shardId-000000000000", HALF)
                    await stream.settle()
                if number == 200:
                    streams.merge(stream, "shardId-000000000001", "shardId-000000000002")
                    await stream.settle()
                text = str(number).encode()
                stream.put(Content(base64.b64encode(text).decode(), f"key-{number % 12}", len(text)))
                await asyncio.sleep(0.1)
            await asyncio.sleep(10)
            found = [int(text) for text in texts(seen)]
            assert sorted(found) == list(range(300))
            for key in range(12):
                mine = [number for number in found if number % 12 == key]
                assert mine == sorted(mine)
            shards = {record["eventID"].split(":")[0] for _, event in seen for record in event["Records"]}
            assert len(shards) == 4

    run_virtual(main)


@pytest.mark.parametrize(("pushes", "delay_s"), [(False, 1.0), (True, 0.0)])
def test_a_consumer_gets_a_record_at_once_and_a_stream_within_a_second(pushes: bool, delay_s: float) -> None:
    """After five minutes of silence, when a subscription has ended, as well."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        clock = LoopClock(loop)
        streams = Streams(clock=clock, rng=random.Random(1))
        stream = streams.create("s", "eu-west-1", Definition())
        stream.hurry()
        consumer = streams.register(stream, "c")
        consumer.activate()
        arn = consumer.arn if pushes else streams.arn_of("s", "eu-west-1")
        async with mapped(KinesisSource(streams, arn, role_arn=ROLE), clock) as seen:
            for wait_s in (10.3, 700.3):
                await asyncio.sleep(wait_s)
                sent = loop.time()
                stream.put(Content(base64.b64encode(b"x").decode(), "k", 1))
                await asyncio.sleep(1.1)
                assert 0 <= seen[-1][0] - sent + 0.01 <= delay_s + 0.02
            assert len(seen) == 2

    run_virtual(main)


def test_a_deleted_consumer_ends_the_mapping() -> None:
    """Its stream goes on."""

    async def main() -> None:
        clock = LoopClock(asyncio.get_running_loop())
        streams = Streams(clock=clock, rng=random.Random(1))
        stream = streams.create("s", "eu-west-1", Definition())
        stream.hurry()
        consumer = streams.register(stream, "c")
        consumer.activate()
        source = KinesisSource(streams, consumer.arn, role_arn=ROLE)
        config = StreamMappingConfig(start=HORIZON)

        async def invoke(payload: bytes) -> InvokeResult:
            return OK

        mapping = StreamMapping(
            source, invoke, config, facts=FACTS, checkpoints=Checkpoints(), clock=clock, rng=random.Random(1)
        )
        async with asyncio.timeout(60):
            async with asyncio.TaskGroup() as group:
                group.create_task(mapping.run())
                await asyncio.sleep(5)
                stream.deregister(consumer)
        assert mapping.last_result == f"PROBLEM: Stream not found: {consumer.arn}"

    run_virtual(main)


def test_a_dynamodb_stream_is_read_over_shards_that_follow_one_another() -> None:
    """Every change of an item, in order, over hours."""
    world = TableWorld()

    async def main() -> None:
        arn = (await world.create("NEW_IMAGE"))["LatestStreamArn"]
        async with mapped(DynamoSource(world.service, arn), world.clock, batch_size=10) as seen:
            for number in range(40):
                await world.put(f"item-{number % 5}", n={"N": str(number)})
                world.clock.now += SHARD_LIFE_S / 9
                await asyncio.sleep(1)
            await asyncio.sleep(20)
            records = [record for _, event in seen for record in event["Records"]]
            assert [int(record["dynamodb"]["NewImage"]["n"]["N"]) for record in records] == list(range(40))
            assert {record["eventSourceARN"] for record in records} == {arn}

    run_virtual(main)
