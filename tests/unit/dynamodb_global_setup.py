"""DynamoDB in several Regions on a virtual clock, with links that tests cut, slow and heal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from localcloud.clock import LoopClock
from localcloud.regions.links import Lag, Links
from localcloud.services.dynamodb.store import Store
from localcloud.services.dynamodb.wire import DynamoService
from tests.unit.dynamodb_streams_setup import create_request, wire_request

A, B, C = "us-east-1", "us-east-2", "us-west-2"
STREAM = {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}}
LAG_S = 0.4
HOP_S = 0.05


class Refused(Exception):
    """An error answer: code, message, HTTP status."""

    def __init__(self, code: str, message: str, status: int) -> None:
        super().__init__(code, message, status)
        self.code, self.message, self.status = code, message, status


class Regions:
    """A service on the running virtual loop; lags are constant unless given."""

    def __init__(
        self, seed: int = 7, *, lag: Lag | None = None, hop: Lag | None = None, store: Store | None = None
    ) -> None:
        self.links = Links(rng=Random(seed), lag=lag or Lag(LAG_S), hop=hop or Lag(HOP_S))
        self.clock = LoopClock(asyncio.get_running_loop())
        self.service = DynamoService(self.clock, randomness=Random(seed), links=self.links, store=store)

    async def call(self, region: str, operation: str, **request: Any) -> dict[str, Any]:
        """The answer. Raises Refused."""
        answer = await self.service.handle(wire_request(operation, request, region))
        assert isinstance(answer.body, bytes)
        body = json.loads(answer.body)
        if answer.status != 200:
            message = body.get("message", body.get("Message"))
            raise Refused(body["__type"].rpartition("#")[2], message, answer.status)
        return body

    async def refusal(self, region: str, operation: str, **request: Any) -> tuple[str, str]:
        """(code, message) of the error that the request must get."""
        with pytest.raises(Refused) as caught:
            await self.call(region, operation, **request)
        error = caught.value
        assert error.status == (500 if error.code == "InternalServerError" else 400)
        return error.code, error.message

    async def table(self, *replicas: str, **more: Any) -> None:
        """The table `things` in A, with eventual replicas."""
        await self.call(A, "CreateTable", **create_request("things"), **STREAM, **more)
        if replicas:
            await self.replicate(replicas)

    async def replicate(self, replicas: Sequence[str], **more: Any) -> dict[str, Any]:
        updates = [{"Create": {"RegionName": region}} for region in replicas]
        return await self.call(A, "UpdateTable", TableName="things", ReplicaUpdates=updates, **more)

    async def strong(self, *, has_witness: bool = False, **more: Any) -> None:
        """The table `things`, strongly consistent, in A, B and C (which may be the witness)."""
        await self.call(A, "CreateTable", **create_request("things"), **STREAM, **more)
        if has_witness:
            witness = [{"Create": {"RegionName": C}}]
            await self.replicate([B], MultiRegionConsistency="STRONG", GlobalTableWitnessUpdates=witness)
        else:
            await self.replicate([B, C], MultiRegionConsistency="STRONG")
        for region in (B,) if has_witness else (B, C):
            await self.call(region, "UpdateTable", TableName="things", **STREAM)

    async def put(self, region: str, key: str, value: str, **more: Any) -> dict[str, Any]:
        item = {"id": {"S": key}, "v": {"S": value}}
        return await self.call(region, "PutItem", TableName="things", Item=item, **more)

    async def claim(self, region: str, key: str, value: str) -> bool:
        """Put where there is no such item; whether it was done."""
        try:
            await self.put(region, key, value, ConditionExpression="attribute_not_exists(id)")
        except Refused as error:
            if error.code != "ConditionalCheckFailedException":
                raise
            return False
        return True

    async def delete(self, region: str, key: str) -> None:
        await self.call(region, "DeleteItem", TableName="things", Key={"id": {"S": key}})

    async def get(self, region: str, key: str, *, strong: bool = False) -> str | None:
        answer = await self.call(region, "GetItem", TableName="things", Key={"id": {"S": key}}, ConsistentRead=strong)
        return answer["Item"]["v"]["S"] if "Item" in answer else None

    async def items(self, region: str) -> dict[str, str]:
        answer = await self.call(region, "Scan", TableName="things")
        return {item["id"]["S"]: item["v"]["S"] for item in answer["Items"]}

    async def stream(self, region: str) -> list[dict[str, Any]]:
        """Every record of the Region's stream."""
        table = (await self.call(region, "DescribeTable", TableName="things"))["Table"]
        arn = table["LatestStreamArn"]
        shards = (await self.call(region, "DescribeStream", StreamArn=arn))["StreamDescription"]["Shards"]
        found: list[dict[str, Any]] = []
        for shard in shards:
            where = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
            place: str | None = (await self.call(region, "GetShardIterator", **where))["ShardIterator"]
            while place is not None:
                page = await self.call(region, "GetRecords", ShardIterator=place)
                found += page["Records"]
                place = page.get("NextShardIterator") if page["Records"] else None
        return found

    async def changes(self, region: str) -> list[tuple[str, str, str | None]]:
        """(event, key, value) of every record of the Region's stream."""
        return [
            (
                record["eventName"],
                record["dynamodb"]["Keys"]["id"]["S"],
                record["dynamodb"].get("NewImage", {}).get("v", {}).get("S"),
            )
            for record in await self.stream(region)
        ]
