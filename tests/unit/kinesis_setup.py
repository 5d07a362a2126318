"""Kinesis on a virtual clock, called through its wire, as its tests do."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.contract import WireRequest, WireResponse
from localcloud.services.kinesis.limits import Limits
from localcloud.services.kinesis.model import Streams
from localcloud.services.kinesis.wire import KinesisService
from sluiceway.aws.event_stream import MessageParser

REGION = "eu-west-1"
OPEN = Limits(reads=False, writes=False, calls=False, quotas=False)
LAST_HASH = (1 << 128) - 1


class Refused(Exception):
    """The API answered with an error."""

    def __init__(self, code: str, message: str, status: int) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


class Api:
    """A client of a fresh account."""

    def __init__(self, **options: Any) -> None:
        self.clock = LoopClock(asyncio.get_running_loop())
        self.streams = Streams(clock=self.clock, rng=random.Random(1), **options)
        self.service = KinesisService(self.streams)

    def request(self, operation: str, body: bytes, **headers: str) -> WireRequest:
        named = {"x-amz-target": f"Kinesis_20131202.{operation}", "content-type": "application/x-amz-json-1.1"}
        return WireRequest(
            service="kinesis",
            region=REGION,
            method="POST",
            path="/",
            query="",
            headers=named | headers,
            body=body,
            access_key="AK",
            request_id="r",
        )

    async def send(self, operation: str, **members: Any) -> WireResponse:
        return await self.service.handle(self.request(operation, json.dumps(members).encode()))

    async def call(self, operation: str, **members: Any) -> Any:
        """The answer. Raises Refused."""
        answer = await self.send(operation, **members)
        assert isinstance(answer.body, bytes)
        told = json.loads(answer.body or b"{}")
        if answer.status >= 400:
            raise Refused(told["__type"], told.get("message", told.get("Message", "")), answer.status)
        return told

    async def refusal(self, operation: str, **members: Any) -> Refused:
        """The error that the call ends with."""
        with pytest.raises(Refused) as caught:
            await self.call(operation, **members)
        return caught.value

    async def code(self, operation: str, **members: Any) -> str:
        return (await self.refusal(operation, **members)).code

    async def make(self, name: str = "s", shards: int = 1) -> str:
        """An ACTIVE stream; gives its ARN."""
        await self.call("CreateStream", StreamName=name, ShardCount=shards)
        await self.settle(name)
        return self.streams.arn_of(name, REGION)

    async def settle(self, name: str = "s") -> None:
        await self.streams.get(name, REGION).settle()

    async def put(self, data: bytes, key: str = "k", name: str = "s", **more: Any) -> dict[str, Any]:
        return await self.call("PutRecord", StreamName=name, Data=b64(data), PartitionKey=key, **more)

    async def iterator(self, kind: str = "TRIM_HORIZON", shard: int = 0, name: str = "s", **more: Any) -> str:
        told = await self.call(
            "GetShardIterator", StreamName=name, ShardId=shard_id(shard), ShardIteratorType=kind, **more
        )
        return told["ShardIterator"]

    async def read(self, kind: str = "TRIM_HORIZON", shard: int = 0, **more: Any) -> list[bytes]:
        """The data of the records from an iterator on."""
        told = await self.call("GetRecords", ShardIterator=await self.iterator(kind, shard, **more))
        return datas(told)

    async def consumer(self, stream_arn: str, name: str = "c") -> str:
        """An ACTIVE consumer; gives its ARN."""
        told = await self.call("RegisterStreamConsumer", StreamARN=stream_arn, ConsumerName=name)
        await asyncio.sleep(1)
        return told["Consumer"]["ConsumerARN"]

    async def subscribe(self, consumer_arn: str, shard: int = 0, **position: Any) -> Pushed:
        """A subscription. Raises Refused."""
        start = position or {"Type": "TRIM_HORIZON"}
        answer = await self.send(
            "SubscribeToShard", ConsumerARN=consumer_arn, ShardId=shard_id(shard), StartingPosition=start
        )
        if isinstance(answer.body, bytes):
            told = json.loads(answer.body)
            raise Refused(told["__type"], told["message"], answer.status)
        assert answer.headers["content-type"] == "application/vnd.amazon.eventstream"
        return Pushed(answer.body)


class Pushed:
    """The events of a subscription as a client parses them: (event type, payload)."""

    def __init__(self, body: Any) -> None:
        self._body = body
        self._parser = MessageParser()

    async def next(self) -> tuple[str, Any]:
        """Raises StopAsyncIteration at the end."""
        (message,) = self._parser.feed(await anext(self._body))
        kind = message.headers[":message-type"]
        return str(message.headers[f":{kind}-type"]), json.loads(message.payload)

    async def event(self) -> Any:
        """The payload of the next SubscribeToShardEvent."""
        name, payload = await self.next()
        while name == "initial-response":
            name, payload = await self.next()
        assert name == "SubscribeToShardEvent"
        return payload

    async def close(self) -> None:
        await self._body.aclose()


def with_api(test: Callable[[Api], Awaitable[None]], **options: Any) -> None:
    """Run `test` with a fresh account on a virtual loop."""

    async def main() -> None:
        await test(Api(**options))

    run_virtual(main)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def datas(told: dict[str, Any]) -> list[bytes]:
    return [base64.b64decode(record["Data"]) for record in told["Records"]]


def shard_id(number: int) -> str:
    return f"shardId-{number:012d}"


def now() -> float:
    return asyncio.get_running_loop().time()
