"""AWS for cold starts, on loopback: the local cloud's tables and its scripted model, and services that take anything.

It runs in a thread of the test's own process, so that a cold start's CPU is the function's alone.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from localcloud import clock as local_clock
from localcloud.front import Front
from localcloud.listening import open_listener
from localcloud.models.scripted import Reply, Script, ScriptedEngine
from localcloud.services.bedrock.wire import BedrockService
from localcloud.services.contract import Permission, WireRequest, WireResponse
from localcloud.services.dynamodb.wire import DynamoService
from sluiceway.aws.answers import DynamoDbAnswerStore, DynamoDbConnectionStore
from sluiceway.aws.dynamodb import Table
from sluiceway.aws.regions import DynamoDbTermStore
from sluiceway.aws.subscriptions import DynamoDbSubscriptionStore
from sluiceway.aws.wire import Wire
from sluiceway.flows.stream.asking import make_record
from sluiceway.ports import AnswerRecord, Connection, Reader, Subscription, SystemClock
from sluiceway.region.handover import found_group
from sluiceway.rules.answers import Ask, parse_ask
from sluiceway.rules.terms import first_term
from tests.unit.wire_server import environ

REGION, GROUP = "us-east-1", "group"
CALLER, CONNECTION = "uMBHe6kexU-xUuQZ-yogLw", "Fx3dXeTyIAMCJTg="  # of the recorded events
KEYS = {
    "jobs": ("job_id",),
    "keys": ("id",),
    "conversations": ("caller", "item"),
    "connections": ("connection_id",),
    "subscriptions": ("connection_id", "topic"),
    "rules": ("topic", "rule_id"),
    "rollups": ("rollup", "period"),
    "terms": ("id", "item"),
    "regions": ("id", "item"),
}


NO_OBJECTS = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
STREAM = {  # what PutRecords answers, and DescribeStreamSummary
    "FailedRecordCount": 0,
    "Records": [{"ShardId": "shardId-000000000000", "SequenceNumber": "1"}],
    "StreamDescriptionSummary": {"StreamARN": "arn", "StreamStatus": "ACTIVE", "OpenShardCount": 1},
}
DEPTH = b'{"Attributes":{"ApproximateNumberOfMessages":"0"}}'


class _Accepting:
    """A service that takes everything and says one thing, nothing by default."""

    def __init__(self, name: str, status: int = 200, body: bytes = b"{}") -> None:
        self.name = name
        self._status = status
        self._body = body

    def permissions(self, _request: WireRequest) -> tuple[Permission, ...]:
        return ()

    async def handle(self, _request: WireRequest) -> WireResponse:
        return WireResponse(self._status, self._body, {"content-type": "application/json"})


class StandIn:
    """`url` is its address; `reset` makes it anew: empty tables but for what the recorded events go on with."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.url = ""
        self.front = Front(
            [
                BedrockService(ScriptedEngine(Script(replies=(Reply("", "Rivers."),)))),
                _Accepting("sqs", body=DEPTH),
                _Accepting("lambda", 202),
                _Accepting("execute-api"),
                _Accepting("kinesis", body=json.dumps(STREAM).encode()),
                _Accepting("s3", body=NO_OBJECTS),
            ],
            authorise=lambda _key, _needs: None,
            rng=random.Random(1),
        )

    def reset(self) -> None:
        """Called from another thread."""
        self._wait_for(self._make_anew())

    def _wait_for(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    async def _make_anew(self) -> None:
        tables = DynamoService(local_clock.SystemClock())
        for name, keys in KEYS.items():
            await tables.handle(_create(name, keys))
        self.front.add(tables)
        async with Wire.open(environ(AWS_ENDPOINT_URL=self.url, AWS_REGION=REGION)) as wire:
            clock = SystemClock()
            expires_s = clock.now_ms() // 1000 + 3600
            known = DynamoDbConnectionStore(Table(wire, "connections"))
            await known.open(Connection(CONNECTION, CALLER, clock.now_ms(), expires_s=expires_s))
            subscriptions = DynamoDbSubscriptionStore(Table(wire, "subscriptions"))
            wanted = Subscription(CONNECTION, "records", 1, '{"order":[7]}', ("order",), expires_s)
            await subscriptions.put(wanted)
            await found_group(DynamoDbTermStore(Table(wire, "terms")), first_term(GROUP, REGION, now_ms=clock.now_ms()))
            record, ask = _asked(clock.now_ms())
            await DynamoDbAnswerStore(Table(wire, "conversations"), clock).create(record, ask.question)


def _asked(now_ms: int) -> tuple[AnswerRecord, Ask]:
    """The answer that stream_answer's recorded order is for, which here somebody has asked for and waits."""
    ask = parse_ask(json.dumps({"req": "never-asked", "prompt": "Name three rivers."}))
    record = make_record(ask, CALLER, now_ms, correlation_id="c")
    return replace(record, readers=(Reader(CONNECTION, 1),)), ask


def _schema(keys: tuple[str, ...]) -> list[dict[str, str]]:
    return [{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)]


def _create(name: str, keys: tuple[str, ...]) -> WireRequest:
    table: dict[str, Any] = {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"} for key in keys],
        "KeySchema": _schema(keys),
    }
    if "topic" in keys:
        by_topic = {"IndexName": "by_topic", "KeySchema": _schema(keys[::-1]), "Projection": {"ProjectionType": "ALL"}}
        table["GlobalSecondaryIndexes"] = [by_topic]
    headers = {"x-amz-target": "DynamoDB_20120810.CreateTable"}
    return WireRequest("dynamodb", REGION, "POST", "/", "", headers, json.dumps(table).encode(), "key", "request")


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """The stand-in, for the length of the block."""
    loop = asyncio.new_event_loop()
    made = StandIn(loop)
    end = asyncio.Event()
    ready = threading.Event()

    async def serve() -> None:
        async with made.front.serve(open_listener()) as made.url:
            ready.set()
            await end.wait()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(timeout=10)
        yield made
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(timeout=10)
