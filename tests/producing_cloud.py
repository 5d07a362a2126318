"""The local cloud's Kinesis and DynamoDB on a real socket, on a loop and thread of its own, for producers."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from localcloud.clock import SystemClock
from localcloud.front import Front
from localcloud.listening import open_listener
from localcloud.services.dynamodb.wire import DynamoService
from localcloud.services.kinesis.model import Streams
from localcloud.services.kinesis.wire import KinesisService
from sluiceway.aws.dynamodb import DYNAMODB
from sluiceway.aws.kinesis import KINESIS
from sluiceway.aws.wire import Wire
from tests.contract.idempotency_tables import DEFINITION
from tests.unit.wire_server import environ

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
