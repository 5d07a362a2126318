"""The table of idempotency records in two DynamoDBs here, and in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from moto import mock_aws

from sluiceway.aws.dynamodb import DYNAMODB
from sluiceway.aws.idempotency import DynamoDbIdempotencyStore
from sluiceway.aws.wire import Wire
from sluiceway.idempotency.memory import MemoryIdempotencyStore
from sluiceway.ports import IdempotencyStore
from tests.contract.answer_tables import Post, local_tables, make_moto, moto_tables
from tests.local.served_tables import served_tables
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
    """The address of the local cloud's DynamoDB on a real socket, with an empty table of records."""

    async def fill(address: str) -> None:
        async with Wire.open(environ(AWS_ENDPOINT_URL=address)) as wire:
            await wire.call(DYNAMODB, "CreateTable", DEFINITION)

    with served_tables(fill) as address:
        yield address
