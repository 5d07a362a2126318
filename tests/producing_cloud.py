"""Kinesis for producers: on a real socket, on a loop and thread of its own, or called in place, here or at moto."""

from __future__ import annotations

import asyncio
import base64
import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from localcloud.clock import SystemClock
from localcloud.delegate import DelegatedService
from localcloud.front import Front
from localcloud.listening import open_listener
from localcloud.services.contract import Service
from localcloud.services.dynamodb.wire import DynamoService
from localcloud.services.kinesis.model import Streams
from localcloud.services.kinesis.wire import KinesisService
from sluiceway.aws.dynamodb import DYNAMODB
from sluiceway.aws.endpoints import ServiceSpec
from sluiceway.aws.kinesis import KINESIS, KinesisStream
from sluiceway.aws.reply import Reply, read_fault
from sluiceway.aws.wire import Wire
from sluiceway.codec.kpl import HashRange
from sluiceway.ports.producing import Entry
from tests.contract.idempotency_tables import DEFINITION
from tests.unit.wire_server import environ
from tests.wire_requests import json_request

REGION = "eu-west-1"
STREAM = "stack-RecordsStream-1"


@contextmanager
def serve_kinesis(*, shards: int = 2) -> Iterator[str]:
    """The address; there is a stream `STREAM` and the table of idempotency records."""
    started, addresses, loops = threading.Event(), list[str](), list[Any]()

    async def serve() -> None:
        streams = Streams(clock=SystemClock(), rng=random.Random(1), delay_s=0.0)
        services = [DynamoService(SystemClock()), KinesisService(streams)]
        front = Front(services, authorise=lambda *_: None, rng=random.Random(1))
        async with front.serve(open_listener("127.0.0.1", 0)) as address:
            stop = asyncio.Event()
            async with Wire.open(environ(AWS_ENDPOINT_URL=address)) as wire:
                await wire.call(DYNAMODB, "CreateTable", DEFINITION)
                await wire.call(KINESIS, "CreateStream", {"StreamName": STREAM, "ShardCount": shards})
            await streams.get(STREAM, "eu-west-1").settle()
            addresses.append(address)
            loops.append((asyncio.get_running_loop(), stop))
            started.set()
            await stop.wait()

    def run() -> None:
        with asyncio.Runner() as runner:
            runner.run(serve())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert started.wait(30)
    try:
        yield addresses[0]
    finally:
        loop, stop = loops[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


class Served:
    """A Kinesis, behind the operations that ship; it is the `Caller` too."""

    def __init__(self, service: Service, stream: str, *, look_s: float = 0.0) -> None:
        self._service = service
        self._look_s = look_s
        self.is_moto = isinstance(service, DelegatedService)
        self._named = {"StreamName": "orders"}
        self.stream = KinesisStream(self, stream)

    async def call(
        self, service: ServiceSpec, operation: str, body: Mapping[str, object] | bytes = b"", **more: Any
    ) -> Reply:
        del more
        request = json_request("kinesis", f"{service.target_prefix}.{operation}", body, region=REGION)
        answer = await self._service.handle(request)
        assert isinstance(answer.body, bytes)
        reply = Reply(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.body)
        if answer.status >= 400:
            raise read_fault(reply).refusal("kinesis", operation)
        return reply

    async def ask(self, operation: str, **members: Any) -> dict[str, Any]:
        return (await self.call(KINESIS, operation, members)).json()

    async def settle(self) -> None:
        """Until the stream is ACTIVE."""
        async with asyncio.timeout(10):
            while True:
                told = await self.ask("DescribeStreamSummary", **self._named)
                if told["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE":
                    return
                await asyncio.sleep(self._look_s)

    async def split(self, shard_id: str) -> None:
        (found,) = [each for each in await self.stream.open_shards() if each.shard_id == shard_id]
        middle = str((found.first + found.last) // 2 + 1)
        await self.ask("SplitShard", **self._named, ShardToSplit=shard_id, NewStartingHashKey=middle)
        await self.settle()

    async def merge(self, one: str, other: str) -> None:
        await self.ask("MergeShards", **self._named, ShardToMerge=one, AdjacentShardToMerge=other)
        await self.settle()

    async def read(self) -> list[tuple[str, HashRange, Entry]]:
        found: list[tuple[str, HashRange, Entry]] = []
        for shard in (await self.ask("ListShards", **self._named))["Shards"]:
            hashes = shard["HashKeyRange"]
            kept = HashRange(int(hashes["StartingHashKey"]), int(hashes["EndingHashKey"]))
            told = await self.ask(
                "GetShardIterator", **self._named, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )
            while (iterator := told.get("ShardIterator") or told.get("NextShardIterator")) is not None:
                told = await self.ask("GetRecords", ShardIterator=iterator)
                found += [
                    (shard["ShardId"], kept, Entry(each["PartitionKey"], base64.b64decode(each["Data"])))
                    for each in told["Records"]
                ]
                if not told["Records"]:
                    break
        return found
