"""DynamoDB with streams on a clock that tests move: both APIs through the wire."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from localcloud.clock import VIRTUAL_EPOCH_S, Clock
from localcloud.services.contract import WireRequest, WireResponse
from localcloud.services.dynamodb.store import Store
from localcloud.services.dynamodb.streams import StreamLimits
from localcloud.services.dynamodb.wire import DynamoService

REGION = "eu-west-1"
TABLE_ARN = f"arn:aws:dynamodb:{REGION}:123456789012:table/things"
STREAM_OPERATIONS = ("ListStreams", "DescribeStream", "GetShardIterator", "GetRecords")


class HandClock:
    """A date that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = VIRTUAL_EPOCH_S

    def time(self) -> float:
        return self.now


class World:
    """A service and its callers: `ok` wants an answer, `error` gives an error's code and message."""

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        limits: StreamLimits | None = None,
        store: Store | None = None,
        randomness: Random | None = None,
    ) -> None:
        self.clock = HandClock()
        self.service = DynamoService(
            clock or self.clock, randomness=randomness or Random(7), stream_limits=limits, store=store
        )

    async def send(self, operation: str, request: dict[str, Any]) -> WireResponse:
        return await self.service.handle(wire_request(operation, request))

    async def ok(self, operation: str, **request: Any) -> dict[str, Any]:
        answer = await self.send(operation, request)
        assert isinstance(answer.body, bytes)
        assert answer.status == 200, answer.body
        return json.loads(answer.body)

    async def error(self, operation: str, **request: Any) -> tuple[str, str]:
        answer = await self.send(operation, request)
        assert isinstance(answer.body, bytes)
        assert answer.status == 400, answer.body
        body = json.loads(answer.body)
        return body["__type"].rpartition("#")[2], body.get("message", body.get("Message"))

    async def create(self, view_type: str | None = "NEW_AND_OLD_IMAGES", **more: Any) -> dict[str, Any]:
        """The table `things` with key `id`; its description."""
        stream = {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": view_type}} if view_type else {}
        answer = await self.ok("CreateTable", **create_request("things"), **stream, **more)
        return answer["TableDescription"]

    async def put(self, key: str, **attributes: Any) -> None:
        await self.ok("PutItem", TableName="things", Item={"id": {"S": key}, **attributes})

    async def stream_arn(self) -> str:
        return (await self.ok("DescribeTable", TableName="things"))["Table"]["LatestStreamArn"]

    async def describe(self, **more: Any) -> dict[str, Any]:
        """The latest stream's description."""
        arn = more.pop("StreamArn", None) or await self.stream_arn()
        return (await self.ok("DescribeStream", StreamArn=arn, **more))["StreamDescription"]

    async def iterator(self, kind: str = "TRIM_HORIZON", *, shard: int = -1, sequence: str | None = None) -> str:
        """An iterator of one of the latest stream's shards."""
        stream = await self.describe()
        shard_id = stream["Shards"][shard]["ShardId"]
        number = {} if sequence is None else {"SequenceNumber": sequence}
        answer = await self.ok(
            "GetShardIterator", StreamArn=stream["StreamArn"], ShardId=shard_id, ShardIteratorType=kind, **number
        )
        return answer["ShardIterator"]

    async def records(self) -> list[dict[str, Any]]:
        """Every record of the latest stream, shard by shard, page by page."""
        found: list[dict[str, Any]] = []
        for number in range(len((await self.describe())["Shards"])):
            place: str | None = await self.iterator(shard=number)
            while place is not None:
                page = await self.ok("GetRecords", ShardIterator=place)
                found += page["Records"]
                place = page.get("NextShardIterator") if page["Records"] else None
        return found


def create_request(name: str) -> dict[str, Any]:
    return {
        "TableName": name,
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    }


def wire_request(operation: str, request: dict[str, Any], region: str = REGION) -> WireRequest:
    version = "DynamoDBStreams_20120810" if operation in STREAM_OPERATIONS else "DynamoDB_20120810"
    headers = {"x-amz-target": f"{version}.{operation}"}
    body = json.dumps(request).encode()
    return WireRequest("dynamodb", region, "POST", "/", "", headers, body, "key", "id")
