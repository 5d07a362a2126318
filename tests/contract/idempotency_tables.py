"""The table of idempotency records in two DynamoDBs here, and in memory."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from moto import mock_aws

from localcloud.clock import SystemClock
from localcloud.front import Front
from localcloud.listening import open_listener
from localcloud.services.dynamodb.wire import DynamoService
from sluiceway.aws.dynamodb import DYNAMODB
from sluiceway.aws.idempotency import DynamoDbIdempotencyStore
from sluiceway.aws.wire import Wire
from sluiceway.idempotency.memory import MemoryIdempotencyStore
from sluiceway.ports import IdempotencyStore
from tests.contract.answer_tables import Post, local_tables, make_moto, moto_tables
from tests.unit.wire_server import environ

TABLE = "idempotency"
DEFINITION: dict[str, Any] = {
    "TableName": TABLE,
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
}


@dataclass
class World:
    """One implementation, and the post to its table (None for memory)."""

    store: IdempotencyStore
    post: Post | None


def worlds(kind: str) -> Iterator[World]:
    """`memory`, `local` or `moto`; `, every call twice` delivers every call a second time."""
    kind, _, twice = kind.partition(", ")
    with mock_aws() if kind == "moto" else nullcontext():
        if kind == "memory":
            yield World(MemoryIdempotencyStore(), None)
            return
        post = Post(
            local_tables([DEFINITION]) if kind == "local" else moto_tables(make_moto([DEFINITION])), twice=bool(twice)
        )
        yield World(DynamoDbIdempotencyStore(post, TABLE), post)


@contextmanager
def serve_local() -> Iterator[str]:
    """The address of the local cloud's DynamoDB on a real socket, on a loop and thread of its own."""
    started, addresses, loops = threading.Event(), list[str](), list[Any]()

    async def serve() -> None:
        front = Front([DynamoService(SystemClock())], authorise=lambda *_: None, rng=random.Random(1))
        async with front.serve(open_listener("127.0.0.1", 0)) as address:
            stop = asyncio.Event()
            async with Wire.open(environ(AWS_ENDPOINT_URL=address)) as wire:
                await wire.call(DYNAMODB, "CreateTable", DEFINITION)
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
