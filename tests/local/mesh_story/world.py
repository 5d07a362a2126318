"""The stack of the mesh's story: the application's own template with other statements, and what its readers need."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Final, cast

import boto3

from sluiceway.aws.filter_rules import DynamoDbFilterRuleStore
from sluiceway.aws.streams import KinesisReader
from sluiceway.aws.wire import Wire
from sluiceway.flows.consume import Manner, ReplayOptions, open_replay
from sluiceway.ports import SystemClock
from sluiceway.rules.consuming.spans import Span
from sluiceway.rules.filtering import parse_rule
from tests.contract.test_lease_stores import DEFINITION
from tests.local.conftest import ROOT, RunningCloud
from tests.local.mesh_story import orders as shop
from tests.local.mesh_story.orders import Stored

PATIENCE_S: Final = 120.0  # a busy machine; nothing here waits for it
HALF: Final = 1 << 127  # where the second shard begins
FIRST: Final = "shardId-000000000000"
ON_DEMAND: Final = "      StreamModeDetails: {StreamMode: ON_DEMAND}\n"
PUBLIC: Final = """'{"records":"public"}'"""


def write_template(folder: Path) -> Path:
    """The application's template with statements for its topic, and two shards that may be split."""
    text = (ROOT / "template.yaml").read_text(encoding="utf-8")
    assert (text.count(ON_DEMAND), text.count(PUBLIC)) == (1, 1)
    text = text.replace(ON_DEMAND, "      ShardCount: 2\n")
    text = text.replace(PUBLIC, f"'{json.dumps({'records': shop.ACCESS})}'")
    for name in ("functions", "layers"):
        (folder / name).symlink_to(ROOT / name)
    path = folder / "template.yaml"
    path.write_text(text)
    return path


class World:
    """The application's stack, with a queue, a stream and a table of its readers."""

    def __init__(self, cloud: RunningCloud) -> None:
        self.cloud = cloud
        self.outputs: dict[str, str] = cloud.status["outputs"]
        self.source = self.outputs["RecordsStreamName"]
        stack = self.source.partition("-RecordsStream")[0]
        self.settings = {
            "AWS_ENDPOINT_URL": cloud.status["endpoints"]["aws"],
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "root",
            "AWS_SECRET_ACCESS_KEY": "root",
        }
        sqs, self.kinesis = self.client("sqs"), self.client("kinesis")
        self.fraud = sqs.create_queue(QueueName=f"{stack}-mesh-fraud")["QueueUrl"]
        self.letters = sqs.create_queue(QueueName=f"{stack}-mesh-letters")["QueueUrl"]
        self.analytics = f"{stack}-mesh-analytics"
        self.leases = f"{stack}-mesh-leases"
        self.kinesis.create_stream(StreamName=self.analytics, ShardCount=2)
        self.client("dynamodb").create_table(**{**DEFINITION, "TableName": self.leases})
        self.kinesis.get_waiter("stream_exists").wait(StreamName=self.analytics, WaiterConfig={"Delay": 1})

    def client(self, name: str) -> Any:
        return cast("Any", boto3).client(
            name,
            endpoint_url=self.settings["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id="root",
            aws_secret_access_key="root",
        )

    async def write_rules(self, wire: Wire) -> None:
        """One for each reader of a part."""
        store = DynamoDbFilterRuleStore(wire, self.outputs["RulesTableName"], SystemClock())
        fraud = {
            "rule_id": "fraud",
            "pattern": shop.FRAUD,
            "columns": ["order", "region", "total", "customer", "card"],
            "masks": {"customer.name": "redact", "customer.email": "drop", "card": "hash"},
            "destination": {"type": "sqs", "url": self.fraud},
        }
        analytics = {
            "rule_id": "analytics",
            "columns": list(shop.ANALYTICS),
            "masks": {"customer.id": "tokenise"},
            "destination": {"type": "stream", "name": self.analytics},
        }
        for rule in (fraud, analytics):
            await store.put(parse_rule({"topic": "records", **rule}))

    async def read_source(self, wire: Wire) -> list[Stored]:
        """All that the stream keeps: what happened."""
        stored: list[Stored] = []
        options = ReplayOptions(manner=Manner(share=0.8))
        async with open_replay(KinesisReader(wire, self.source), Span(), options=options) as replay:
            async for record in replay:
                stored.append(
                    Stored(record.shard_id, record.sequence_number, record.partition_key, shop.read_order(record.data))
                )
        return stored

    async def split(self) -> None:
        """Split the first shard, and wait until its children take records."""
        call = self.kinesis.split_shard
        await asyncio.to_thread(call, StreamName=self.source, ShardToSplit=FIRST, NewStartingHashKey=str(HALF // 2))
        async with asyncio.timeout(PATIENCE_S):
            while True:
                told = await asyncio.to_thread(self.kinesis.describe_stream_summary, StreamName=self.source)
                if told["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE":
                    return
                await asyncio.sleep(0.2)

    async def drain(self, url: str, wanted: set[str]) -> list[dict[str, Any]]:
        """Messages of a queue until all of these ids were among them, and then whatever is left."""
        sqs, missing = self.client("sqs"), set(wanted)
        found: list[dict[str, Any]] = []
        async with asyncio.timeout(PATIENCE_S):
            while True:
                got = await asyncio.to_thread(
                    sqs.receive_message,
                    QueueUrl=url,
                    MaxNumberOfMessages=10,
                    WaitTimeSeconds=1,
                    MessageAttributeNames=["All"],
                )
                messages = got.get("Messages", [])
                if not messages and not missing:
                    return found
                for message in messages:
                    found.append(message)
                    missing.discard(message["MessageAttributes"].get("message_id", {}).get("StringValue", ""))
                if messages:
                    gone = [{"Id": str(at), "ReceiptHandle": m["ReceiptHandle"]} for at, m in enumerate(messages)]
                    await asyncio.to_thread(sqs.delete_message_batch, QueueUrl=url, Entries=gone)

    def read_logs(self) -> str:
        """What every function has logged."""
        return "".join(Path(path).read_text() for path in self.cloud.status["logs"].values() if Path(path).exists())
