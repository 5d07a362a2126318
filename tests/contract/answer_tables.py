"""Tables in two DynamoDBs here, those of streamed answers and subscriptions or others, with trouble on the way to them.

A `Post` is what lies between a store and its tables: it can lose an answer (and ask again, as the wire client does),
break off before a call, and deliver a write once more, long after.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import boto3
from botocore import xform_name
from botocore.exceptions import ClientError

from localcloud.clock import SystemClock
from localcloud.services.contract import WireRequest
from localcloud.services.dynamodb.wire import DynamoService
from sluiceway.aws.endpoints import ServiceSpec
from sluiceway.aws.reply import Reply
from sluiceway.aws.request import _write_json
from sluiceway.errors import ConditionFailed
from tests.fakes import unavailable

REGION = "eu-west-1"
ANSWERS, CONNECTIONS, SUBSCRIPTIONS = "conversations", "connections", "subscriptions"
Request = Mapping[str, Any]
Send = Callable[[str, Request], Awaitable[Request]]
TABLES: list[dict[str, Any]] = [
    {
        "TableName": ANSWERS,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("caller", "item")],
        "KeySchema": [
            {"AttributeName": "caller", "KeyType": "HASH"},
            {"AttributeName": "item", "KeyType": "RANGE"},
        ],
    },
    {
        "TableName": CONNECTIONS,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "connection_id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "connection_id", "KeyType": "HASH"}],
    },
    {
        "TableName": SUBSCRIPTIONS,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("connection_id", "topic")],
        "KeySchema": [
            {"AttributeName": "connection_id", "KeyType": "HASH"},
            {"AttributeName": "topic", "KeyType": "RANGE"},
        ],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": "by_topic",
                "KeySchema": [
                    {"AttributeName": "topic", "KeyType": "HASH"},
                    {"AttributeName": "connection_id", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    },
]


def local_tables(tables: Sequence[Request] = TABLES) -> Send:
    """The local cloud's DynamoDB with these tables."""
    service = DynamoService(SystemClock())

    async def send(operation: str, request: Request) -> Request:
        headers = {"x-amz-target": f"DynamoDB_20120810.{operation}"}
        sent = json.dumps(request).encode()
        answer = await service.handle(WireRequest("dynamodb", REGION, "POST", "/", "", headers, sent, "key", "req"))
        assert isinstance(answer.body, bytes)
        return _read(operation, json.loads(answer.body)) if answer.status != 200 else json.loads(answer.body)

    async def first(operation: str, request: Request) -> Request:
        if REGION not in service._databases:
            service.database(REGION)
            for table in tables:
                await send("CreateTable", table)
        return await send(operation, request)

    return first


def make_moto(tables: Sequence[Request] = TABLES) -> Any:
    """A boto3 client of moto's DynamoDB with these tables; for use under `mock_aws`."""
    client: Any = boto3.client("dynamodb", region_name=REGION, aws_access_key_id="a", aws_secret_access_key="b")
    for table in tables:
        client.create_table(**table)
    return client


def moto_tables(client: Any = None) -> Send:
    """moto's DynamoDB behind `client`, or behind one that is made here."""
    client = client or make_moto()

    async def send(operation: str, request: Request) -> Request:
        try:
            return getattr(client, xform_name(operation))(**request)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            return _read(operation, {"__type": f"x#{code}", "Item": error.response.get("Item")})

    return send


def _read(operation: str, fault: Request) -> Request:
    code = str(fault["__type"]).partition("#")[2]
    assert code == "ConditionalCheckFailedException", fault
    failed = ConditionFailed("failed", service="dynamodb", operation=operation, code=code)
    failed.item = fault.get("Item")
    raise failed


@dataclass
class Post:
    """A Caller. `twice`: every call is done twice and the second answer counts. `calls` are those that were made.

    `break_before`: the n-th call from now on is not made, and fails. `lose_after`: it is made, and fails. `waits` makes
    every call take a while.
    """

    send: Send
    twice: bool = False
    break_before: int = 0
    lose_after: int = 0
    waits: Random | None = None
    calls: list[tuple[str, Request]] = field(default_factory=list)

    async def call(
        self,
        service: ServiceSpec,
        operation: str,
        body: Mapping[str, object] | bytes = b"",
        *,
        path: str = "/",
        method: str = "POST",
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        deadline: float | None = None,
    ) -> Reply:
        del service, path, method, query, headers, deadline
        assert isinstance(body, Mapping)
        _write_json(body)  # refuses what the wire refuses
        await self._wait()
        if self._is_next("break_before"):
            raise unavailable(operation)
        self.calls.append((operation, body))
        if self.twice:
            await self._ignore(operation, body)
            await self._wait()
        if self._is_next("lose_after"):
            await self._ignore(operation, body)
            raise unavailable(operation)
        answer = await self.send(operation, body)
        await self._wait()
        return Reply(200, {}, json.dumps(answer, default=str).encode())

    async def deliver_again(self, operation: str, request: Request) -> None:
        """A request that was under way for long arrives once more."""
        await self._ignore(operation, request)

    async def _ignore(self, operation: str, body: Request) -> None:
        try:
            await self.send(operation, body)
        except ConditionFailed:
            return

    def _is_next(self, name: str) -> bool:
        left = getattr(self, name)
        setattr(self, name, max(0, left - 1))
        return left == 1

    async def _wait(self) -> None:
        if self.waits is not None:
            await asyncio.sleep(self.waits.random())
