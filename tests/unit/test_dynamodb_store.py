"""The durable store: what was answered is there again after the process is gone."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from localcloud.clock import SystemClock
from localcloud.services.contract import WireRequest
from localcloud.services.dynamodb.store import Store
from localcloud.services.dynamodb.table import Change
from localcloud.services.dynamodb.wire import DynamoService

ROOT = Path(__file__).parents[2]
TABLE = {
    "TableName": "kept",
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    "AttributeDefinitions": [
        {"AttributeName": "pk", "AttributeType": "B"},
        {"AttributeName": "sk", "AttributeType": "N"},
        {"AttributeName": "by", "AttributeType": "S"},
    ],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by_by",
            "KeySchema": [{"AttributeName": "by", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["x"]},
        }
    ],
    "BillingMode": "PAY_PER_REQUEST",
    "Tags": [{"Key": "a", "Value": "b"}],
}
WRITER = """
import asyncio, json, sys
sys.path[:0] = sys.argv[3:]
from pathlib import Path
from localcloud.clock import SystemClock
from localcloud.services.contract import WireRequest
from localcloud.services.dynamodb.store import Store
from localcloud.services.dynamodb.wire import DynamoService

service = DynamoService(SystemClock(), store=Store(Path(sys.argv[1])))

async def call(operation, request):
    headers = {"x-amz-target": "DynamoDB_20120810." + operation}
    body = json.dumps(request).encode()
    answer = await service.handle(WireRequest("dynamodb", "eu-west-1", "POST", "/", "", headers, body, "k", "i"))
    assert answer.status == 200, answer.body

async def main():
    await call("CreateTable", json.loads(sys.argv[2]))
    number = 0
    while True:
        await call("PutItem", {"TableName": "kept", "Item": {"pk": {"B": "YQ=="}, "sk": {"N": str(number)}}})
        print(number, flush=True)
        number += 1

with asyncio.Runner() as runner:
    runner.run(main())
"""


async def call(service: DynamoService, operation: str, request: dict[str, Any], region: str = "eu-west-1") -> Any:
    headers = {"x-amz-target": f"DynamoDB_20120810.{operation}"}
    body = json.dumps(request).encode()
    answer = await service.handle(WireRequest("dynamodb", region, "POST", "/", "", headers, body, "key", "id"))
    assert isinstance(answer.body, bytes)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


async def test_tables_items_and_settings_come_back(tmp_path: Path) -> None:
    """A second service on the same folder has the same table, items, indexes, tags and time to live."""
    first = DynamoService(SystemClock(), store=Store(tmp_path))
    await call(first, "CreateTable", TABLE)
    ttl = {"TableName": "kept", "TimeToLiveSpecification": {"AttributeName": "t", "Enabled": True}}
    await call(first, "UpdateTimeToLive", ttl)
    items = [
        {"pk": {"B": "YQ=="}, "sk": {"N": "1.5"}, "by": {"S": "é"}, "x": {"L": [{"NS": ["1", "2"]}, {"NULL": True}]}},
        {"pk": {"B": "/w=="}, "sk": {"N": "-1"}},
    ]
    for item in items:
        await call(first, "PutItem", {"TableName": "kept", "Item": item})
    await call(first, "PutItem", {"TableName": "kept", "Item": {"pk": {"B": "YQ=="}, "sk": {"N": "9"}}})
    await call(first, "DeleteItem", {"TableName": "kept", "Key": {"pk": {"B": "YQ=="}, "sk": {"N": "9.0"}}})
    described = await call(first, "DescribeTable", {"TableName": "kept"})
    first.close()
    second = DynamoService(SystemClock(), store=Store(tmp_path))
    assert await call(second, "DescribeTable", {"TableName": "kept"}) == described
    found = (await call(second, "Scan", {"TableName": "kept"}))["Items"]
    assert sorted(map(json.dumps, found)) == sorted(map(json.dumps, items))
    index = await call(second, "Scan", {"TableName": "kept", "IndexName": "by_by"})
    assert index["Count"] == 1
    shown = await call(second, "DescribeTimeToLive", {"TableName": "kept"})
    assert shown["TimeToLiveDescription"]["AttributeName"] == "t"
    assert await call(second, "ListTables", {}, "us-east-1") == {"TableNames": []}
    await call(second, "DeleteTable", {"TableName": "kept"})
    second.close()
    third = DynamoService(SystemClock(), store=Store(tmp_path))
    assert await call(third, "ListTables", {}) == {"TableNames": []}
    third.close()


async def test_a_transaction_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    """A transaction that is cut off while it is being kept leaves nothing in the file."""
    first = DynamoService(SystemClock(), store=Store(tmp_path))
    await call(first, "CreateTable", TABLE)
    heard: list[Change] = []

    def cut_off(change: Change) -> None:
        heard.append(change)
        if len(heard) == 2:
            raise KeyboardInterrupt

    first.database("eu-west-1").subscribe(cut_off)
    puts = [
        {"Put": {"TableName": "kept", "Item": {"pk": {"B": "YQ=="}, "sk": {"N": str(number)}}}} for number in range(3)
    ]
    with pytest.raises(KeyboardInterrupt):
        await call(first, "TransactWriteItems", {"TransactItems": puts})
    first.close()
    second = DynamoService(SystemClock(), store=Store(tmp_path))
    assert (await call(second, "Scan", {"TableName": "kept"}))["Count"] == 0
    second.close()


def write_until_killed(folder: Path) -> int:
    """Let a process write, kill it, and return the number of the last write that it reported."""
    command = [sys.executable, "-c", WRITER, str(folder), json.dumps(TABLE), str(ROOT), str(ROOT / "layers/sluiceway")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        answered = [int(next(process.stdout)) for _ in range(50)][-1]
        process.send_signal(signal.SIGKILL)
        return max([answered, *(int(line) for line in process.stdout if line.endswith("\n"))])


async def test_a_killed_process_loses_nothing_it_answered(tmp_path: Path) -> None:
    """Every write that was answered before SIGKILL is there afterwards."""
    answered = write_until_killed(tmp_path)
    service = DynamoService(SystemClock(), store=Store(tmp_path))
    count = (await call(service, "Scan", {"TableName": "kept", "Select": "COUNT"}))["Count"]
    service.close()
    assert count in {answered + 1, answered + 2}
