"""Filtering over a real stream, table and function process: a rule is written, and what it shows arrives."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from sluiceway.aws.filter_rules import DynamoDbFilterRuleStore
from sluiceway.aws.wire import Wire
from sluiceway.ports import SystemClock
from sluiceway.rules.filtering import parse_rule
from tests.local.conftest import RunningCloud, call_api, start_cloud

pytestmark = pytest.mark.local

PATIENCE_S = 90.0  # a busy machine starts a process in seconds; nothing here waits for it
SECRET = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


class World:
    """The application's stack, and clients of it."""

    def __init__(self, cloud: RunningCloud, fan_out: str) -> None:
        self.cloud = cloud
        self.fan_out = fan_out
        self.outputs: dict[str, str] = cloud.status["outputs"]
        self.url = cloud.status["endpoints"]["aws"]
        self.stack = self.outputs["RecordsStreamName"].partition("-RecordsStream")[0]

    def client(self, name: str) -> Any:
        return boto3.client(
            name, endpoint_url=self.url, region_name="us-east-1", aws_access_key_id="root", aws_secret_access_key="root"
        )

    def wire(self) -> Any:
        return Wire.open(
            {
                "AWS_ENDPOINT_URL": self.url,
                "AWS_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": "root",
                "AWS_SECRET_ACCESS_KEY": "root",
            }
        )

    async def put(self, *orders: dict[str, Any] | bytes) -> None:
        records = [
            {"Data": order if isinstance(order, bytes) else json.dumps(order).encode(), "PartitionKey": "one"}
            for order in orders
        ]
        done = await asyncio.to_thread(
            self.client("kinesis").put_records, StreamName=self.outputs["RecordsStreamName"], Records=records
        )
        assert done["FailedRecordCount"] == 0

    async def drain(self, url: str, enough: Callable[[list[Any]], bool]) -> list[Any]:
        """Messages of a queue until there are enough."""
        sqs = self.client("sqs")
        found: list[Any] = []
        async with asyncio.timeout(PATIENCE_S):
            while not enough(found):
                got = await asyncio.to_thread(
                    sqs.receive_message,
                    QueueUrl=url,
                    MaxNumberOfMessages=10,
                    WaitTimeSeconds=1,
                    MessageAttributeNames=["All"],
                )
                for message in got.get("Messages", []):
                    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                    found.append(message)
        return found


@pytest.fixture(scope="module", params=["false", "true"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    overrides = (f"MaskKey={SECRET}", f"RecordsFanOut={request.param}")
    cloud = start_cloud(tmp_path_factory.mktemp("filtering"), "--parameter-overrides", *overrides)
    yield World(cloud, request.param)
    cloud.sluiceway("down")


def test_the_function_reads_the_stream_or_a_consumer_that_nobody_else_has(world: World) -> None:
    """With RecordsFanOut it is the consumer `filter`; every other mapping goes on reading the stream."""
    kinesis = world.client("kinesis")
    stream = kinesis.describe_stream_summary(StreamName=world.outputs["RecordsStreamName"])["StreamDescriptionSummary"]
    consumers = kinesis.list_stream_consumers(StreamARN=stream["StreamARN"])["Consumers"]
    names = {each["ConsumerARN"]: each["ConsumerName"] for each in consumers}
    assert sorted(names.values()) == (["filter", "mesh"] if world.fan_out == "true" else [])
    mappings = world.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    read = {each["FunctionArn"].rpartition(":")[2]: each["EventSourceArn"] for each in mappings}
    own = read[world.outputs["FilterRecordsName"]]
    assert names.get(own, own) == ("filter" if world.fan_out == "true" else stream["StreamARN"])
    others = {read[world.outputs[name]] for name in ("BroadcastRecordsName", "RollUpRecordsName")}
    assert others == {stream["StreamARN"]}


async def test_a_rule_filters_masks_and_changes_without_a_deployment(world: World) -> None:
    """Rows, columns and a token, in the order of the stream; what is no JSON is a dead letter. Then the rule is
    another, and so is what it shows, in seconds; what is published over HTTP goes the same way."""
    sqs = world.client("sqs")
    name = f"{world.stack}-mesh-{uuid.uuid4().hex[:8]}.fifo"
    url = sqs.create_queue(QueueName=name, Attributes={"FifoQueue": "true"})["QueueUrl"]
    rule = parse_rule(
        {
            "topic": "records",
            "rule_id": "large",
            "pattern": {"total": [{"numeric": [">=", 100]}]},
            "columns": ["order", "customer"],
            "masks": {"customer.email": "tokenise"},
            "destination": {"type": "sqs", "url": url},
        }
    )
    async with world.wire() as wire:
        store = DynamoDbFilterRuleStore(wire, world.outputs["RulesTableName"], SystemClock())
        kept = await store.put(rule)
        async with asyncio.timeout(PATIENCE_S):
            while True:  # until the function has read the rule
                await world.put({"order": -1, "total": 1000, "customer": {"email": "a@b.c"}})
                if (got := sqs.receive_message(QueueUrl=url, WaitTimeSeconds=2).get("Messages")) is not None:
                    break
        sqs.delete_message(QueueUrl=url, ReceiptHandle=got[0]["ReceiptHandle"])
        orders = [{"order": at, "total": at % 3 * 60, "customer": {"email": "a@b.c", "n": at}} for at in range(60)]
        await world.put(*orders[:30], b"no JSON", *orders[30:])
        wanted = [order["order"] for order in orders if order["total"] >= 100]
        found = await world.drain(
            url, lambda found: {json.loads(each["Body"])["order"] for each in found} >= set(wanted)
        )
        bodies = [json.loads(each["Body"]) for each in found]
        assert [body["order"] for body in bodies if body["order"] >= 0] == wanted
        assert {body["customer"]["email"][:7] for body in bodies} == {"tok_k1_"}
        assert len({body["customer"]["email"] for body in bodies}) == 1
        assert all(body.keys() == {"order", "customer"} for body in bodies)
        letters = await world.drain(world.outputs["FilterDeadLettersUrl"], bool)
        assert letters[0]["MessageAttributes"]["reason"]["StringValue"] == "malformed-event"

        await store.put(kept._replace(columns=("total",), masks=()))
        async with asyncio.timeout(PATIENCE_S):
            while True:
                await world.put({"order": 7, "total": 777, "customer": {}})
                (message, *_) = await world.drain(url, bool)
                if json.loads(message["Body"]) == {"total": 777}:
                    break
        body = {"records": [{"key": "ann", "data": {"order": 8, "total": 888, "customer": {}}}]}
        token = world.cloud.sluiceway("token").stdout.strip()
        reply = await asyncio.to_thread(
            call_api, world.cloud.api, "POST", "topics/records/records", token=token, body=body
        )
        assert reply.status == 200
        found = await world.drain(url, lambda found: any(json.loads(each["Body"]) == {"total": 888} for each in found))
        assert {json.loads(each["Body"])["total"] for each in found} <= {777, 888}


async def test_what_a_rule_dropped_is_told_by_cloudwatch(world: World) -> None:
    """Every record once: sent, filtered, no JSON, or refused since the destination is not there."""
    sqs, cloudwatch = world.client("sqs"), world.client("cloudwatch")
    url = sqs.create_queue(QueueName=f"{world.stack}-mesh-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    rules = {"told": url, "astray": url + "x"}
    async with world.wire() as wire:
        store = DynamoDbFilterRuleStore(wire, world.outputs["RulesTableName"], SystemClock())
        for rule_id, to in rules.items():
            members = {"topic": "records", "rule_id": rule_id, "pattern": {"told": [True]}}
            await store.put(parse_rule({**members, "destination": {"type": "sqs", "url": to}}))
    last, got = 0, list[int]()
    async with asyncio.timeout(PATIENCE_S):
        while not got or max(got) < last:  # until the function has read the rules, and all that was put meanwhile
            if not got:
                last += 1
                await world.put({"told": True, "order": last})
            for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=2).get("Messages", []):
                got.append(json.loads(message["Body"])["order"])

    def read(rule_id: str) -> Counter[str]:
        found: Counter[str] = Counter()
        of = {"service": world.outputs["FilterRecordsName"], "topic": "records", "rule": rule_id}
        dimensions = [{"Name": name, "Value": value} for name, value in of.items()]
        listed = cloudwatch.list_metrics(Namespace="Sluiceway", Dimensions=dimensions)["Metrics"]
        for name in {each["MetricName"] for each in listed}:
            now = datetime.now(UTC)
            told = cloudwatch.get_metric_statistics(
                Namespace="Sluiceway", MetricName=name, Dimensions=dimensions, Period=60, Statistics=["Sum"],
                StartTime=now - timedelta(hours=1), EndTime=now + timedelta(minutes=1),
            )  # fmt: skip
            found[name] = int(sum(point["Sum"] for point in told["Datapoints"]))
        return found

    async def wait_for(holds: Callable[[dict[str, Counter[str]]], bool]) -> dict[str, Counter[str]]:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = {each: await asyncio.to_thread(read, each) for each in rules}
                if holds(found):
                    return found
                await asyncio.sleep(0.5)

    sent = len(set(got))
    before = await wait_for(
        lambda found: (found["told"]["RuleSent"], found["astray"]["RuleDroppedMisconfigured"]) == (sent, sent)
    )
    await world.put(*[{"told": True}] * 3, *[{"told": False}] * 4, b"no JSON")
    expected = {
        "told": {"RuleSent": 3, "RuleDroppedUnmatched": 4, "RuleDroppedMalformed": 1},
        "astray": {"RuleDroppedMisconfigured": 3, "RuleDroppedUnmatched": 4, "RuleDroppedMalformed": 1},
    }
    found = await wait_for(lambda found: all((found[each] - before[each]).total() >= 8 for each in rules))
    assert {each: found[each] - before[each] for each in rules} == expected
