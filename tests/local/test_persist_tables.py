"""`sluiceway up --persist`: a cloud killed while many clients write to its tables loses nothing it acknowledged."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.local.conftest import RunningCloud, start_cloud

pytestmark = pytest.mark.local

WRITERS = 6
ACKNOWLEDGED = 400  # before each kill
END_S = 60.0
TEMPLATE = """
Resources:
  Things:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: things
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions:
        - {AttributeName: pk, AttributeType: S}
        - {AttributeName: kind, AttributeType: S}
      KeySchema: [{AttributeName: pk, KeyType: HASH}]
      GlobalSecondaryIndexes:
        - IndexName: by_kind
          KeySchema: [{AttributeName: kind, KeyType: HASH}]
          Projection: {ProjectionType: KEYS_ONLY}
"""


class Acknowledged:
    """What writers were told is written."""

    def __init__(self) -> None:
        self.items: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        self.lock = Lock()

    def note(self, writer: int, names: list[str], value: str) -> int:
        with self.lock:
            self.items.update(dict.fromkeys(names, value))
            self.counts[f"count-{writer}"] += 1
            return sum(self.counts.values())


def client(cloud: RunningCloud) -> Any:
    keys = {"aws_access_key_id": "me", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    config = Config(retries={"total_max_attempts": 1}, max_pool_connections=1)
    return boto3.client("dynamodb", endpoint_url=cloud.status["endpoints"]["aws"], config=config, **keys)


def write_until_killed(cloud: RunningCloud, writer: int, told: Acknowledged, enough: Event) -> None:
    """Items alone, in a batch, and two in a transaction with a counter; ends with the first call that fails."""
    dynamodb = client(cloud)
    number = sum(told.counts.values())
    while True:
        number += 1
        value = f"{writer}-{number}"
        names = [f"{value}-a", f"{value}-b"]
        puts = [{"pk": {"S": name}, "kind": {"S": f"k{writer}"}, "value": {"S": value}} for name in names]
        count = {
            "TableName": "things",
            "Key": {"pk": {"S": f"count-{writer}"}},
            "UpdateExpression": "ADD n :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        }
        try:
            if number % 2:
                transaction = [{"Put": {"TableName": "things", "Item": item}} for item in puts]
                dynamodb.transact_write_items(TransactItems=[*transaction, {"Update": count}])
            else:
                dynamodb.batch_write_item(RequestItems={"things": [{"PutRequest": {"Item": item}} for item in puts]})
                dynamodb.update_item(**count)
        except (BotoCoreError, ClientError):
            return
        if told.note(writer, names, value) >= ACKNOWLEDGED:
            enough.set()


def read(dynamodb: Any, **request: Any) -> dict[str, dict[str, Any]]:
    pages = dynamodb.get_paginator("query" if "KeyConditionExpression" in request else "scan").paginate(**request)
    return {item["pk"]["S"]: item for page in pages for item in page["Items"]}


def wait(found: Callable[[], bool], what: str) -> None:
    ends = time.monotonic() + END_S
    while not found():
        assert time.monotonic() < ends, what
        time.sleep(0.02)


def test_a_cloud_killed_under_writes_has_every_acknowledged_one(tmp_path: Path) -> None:
    """Items, batches and counters are there; a transaction is there whole or not at all; the index holds the same."""
    template = tmp_path / "t.yaml"
    template.write_text(TEMPLATE)
    options = ["--persist", str(tmp_path / "keep"), "--template", str(template)]
    cloud = start_cloud(tmp_path / "state", *options)
    told = Acknowledged()
    try:
        enough = Event()
        with ThreadPoolExecutor(WRITERS) as pool:
            for writer in range(WRITERS):
                pool.submit(write_until_killed, cloud, writer, told, enough)
            assert enough.wait(END_S), told.counts
            os.kill(cloud.status["pid"], signal.SIGKILL)
        wait(lambda: cloud.sluiceway("status", check=False).returncode != 0, "the killed cloud still answers")
        cloud = start_cloud(tmp_path / "state", *options)
        dynamodb = client(cloud)
        found = read(dynamodb, TableName="things")
        counts = {name: int(item["n"]["N"]) for name, item in found.items() if name.startswith("count-")}
        kept = {name: item["value"]["S"] for name, item in found.items() if "value" in item}
        assert {name: value for name, value in told.items.items() if kept.get(name) != value} == {}
        for name, count in told.counts.items():
            assert count <= counts[name] <= count + 1, name  # one more may have been written and not answered
        whole = Counter(value for value in kept.values() if int(value.partition("-")[2]) % 2)
        assert set(whole.values()) == {2}
        by_kind: set[str] = set()
        for writer in range(WRITERS):
            asked = {"KeyConditionExpression": "kind = :k", "ExpressionAttributeValues": {":k": {"S": f"k{writer}"}}}
            by_kind |= read(dynamodb, TableName="things", IndexName="by_kind", **asked).keys()
        assert by_kind == kept.keys()
    finally:
        cloud.sluiceway("down", check=False)
