"""One caller of our DynamoDB through its wire, for tests that need no more, and tables as templates make them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

from localcloud.clock import Clock, LoopClock
from localcloud.services.contract import WireRequest
from localcloud.services.dynamodb.resources import TableHandler
from localcloud.services.dynamodb.wire import DynamoService
from localcloud.template.handler import Physical, Resource, StackContext

__all__ = ["ARN", "REGION", "Caller", "table_request", "wire_request"]

REGION = "eu-west-1"
ARN = f"arn:aws:dynamodb:{REGION}:123456789012:table/things"


def wire_request(operation: str, body: Mapping[str, Any], **headers: str) -> WireRequest:
    """A signed request."""
    given = {"x-amz-target": f"DynamoDB_20120810.{operation}", **headers}
    return WireRequest("dynamodb", REGION, "POST", "/", "", given, json.dumps(body).encode(), "key", "id")


def table_request(**more: Any) -> dict[str, Any]:
    """CreateTable of `things` with keys pk and sk, on demand."""
    return {
        "TableName": "things",
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        "BillingMode": "PAY_PER_REQUEST",
        **more,
    }


class Caller:
    """`ok` wants an answer, `refused` an error: its (code, message); `call` takes either."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.service = DynamoService(clock or LoopClock(asyncio.get_running_loop()), randomness=Random(1))

    async def call(self, operation: str, **request: Any) -> tuple[int, dict[str, Any]]:
        answer = await self.service.handle(wire_request(operation, request))
        assert isinstance(answer.body, bytes)
        return answer.status, json.loads(answer.body)

    async def ok(self, operation: str, **request: Any) -> dict[str, Any]:
        status, body = await self.call(operation, **request)
        assert status == 200, body
        return body

    async def refused(self, operation: str, **request: Any) -> tuple[str, str]:
        status, body = await self.call(operation, **request)
        assert status == 400, body
        return body["__type"].rpartition("#")[2], body.get("message") or body["Message"]

    async def put(self, pk: str, sk: str = "1", **attributes: Any) -> dict[str, Any]:
        """Put an item of text attributes, and of others as they stand on the wire."""
        named = {"pk": pk, "sk": sk, **attributes}
        item = {name: {"S": value} if isinstance(value, str) else value for name, value in named.items()}
        return await self.ok("PutItem", TableName="things", Item=item)

    async def describe(self) -> dict[str, Any]:
        """The table `things`."""
        return (await self.ok("DescribeTable", TableName="things"))["Table"]

    async def make(self, properties: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> Physical:
        """The table as a template makes it, with its `Metadata`."""
        context = StackContext("stack", REGION, "123456789012", "aws", Path())
        resource = Resource("Things", TableHandler.type, properties, context, metadata or {})
        return await TableHandler(self.service.database, keeps=True).create(resource)
