"""boto3's client and resource against our wire over a real socket: parsing, retries, checksums, paginators, waiters."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import boto3
import pytest
from aiohttp import web
from boto3.dynamodb.conditions import Attr, Key
from botocore.config import Config
from botocore.exceptions import ClientError

from localcloud.clock import SystemClock
from localcloud.services.contract import WireRequest
from localcloud.services.dynamodb.wire import DynamoService

KEY = {"pk": {"S": "x"}}


async def serve(ready: threading.Event, stop: asyncio.Event, found: dict[str, str]) -> None:
    """A server with nothing before the service."""
    service = DynamoService(SystemClock())

    async def handle(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        answer = await service.handle(WireRequest("dynamodb", "eu-west-1", "POST", "/", "", headers, body, "key", "id"))
        assert isinstance(answer.body, bytes)
        return web.Response(status=answer.status, body=answer.body, headers=dict(answer.headers))

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    found["url"] = f"http://{host}:{port}"
    ready.set()
    await stop.wait()
    await runner.cleanup()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The server's URL; it runs on a loop in a thread, because boto3 blocks."""
    ready, found = threading.Event(), dict[str, str]()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve(ready, stop, found)))
    thread.start()
    assert ready.wait(10)
    yield found["url"]
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


def options(endpoint: str) -> dict[str, Any]:
    return {
        "endpoint_url": endpoint,
        "region_name": "eu-west-1",
        "aws_access_key_id": "key",
        "aws_secret_access_key": "secret",
        "config": Config(retries={"max_attempts": 0}),
    }


def test_resource_round_trip(endpoint: str) -> None:
    """The table resource writes and reads every Python type, conditions and pages included."""
    dynamodb: Any = boto3.resource("dynamodb", **options(endpoint))
    table = dynamodb.create_table(
        TableName="things",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "N"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    table.wait_until_exists()
    item = {
        "pk": "p", "sk": 1, "text": "é\U0001f600", "number": Decimal("1.50"), "none": None, "flag": True,
        "list": [1, "a", {"b": []}], "strings": {"a", "b"}, "numbers": {1, Decimal("2.5")}, "map": {"x": {"y": "z"}},
    }  # fmt: skip
    table.put_item(Item=item, ConditionExpression=Attr("pk").not_exists())
    assert table.get_item(Key={"pk": "p", "sk": 1})["Item"] == item
    with table.batch_writer() as batch:
        for number in range(2, 60):
            batch.put_item(Item={"pk": "p", "sk": number, "even": number % 2 == 0})
    found = table.query(
        KeyConditionExpression=Key("pk").eq("p") & Key("sk").between(10, 20), FilterExpression=Attr("even").eq(True)
    )
    assert [int(entry["sk"]) for entry in found["Items"]] == [10, 12, 14, 16, 18, 20]
    table.reload()
    assert table.item_count == 59


def test_client_errors_and_pages(endpoint: str) -> None:
    """Errors carry AWS's codes and members; paginators and waiters end."""
    client: Any = boto3.client("dynamodb", **options(endpoint))
    client.create_table(
        TableName="pages",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for number in range(25):
        client.put_item(TableName="pages", Item={"pk": {"S": str(number)}, "data": {"B": bytes([number])}})
    pages = client.get_paginator("scan").paginate(TableName="pages", PaginationConfig={"PageSize": 4})
    assert sorted(item["data"]["B"] for page in pages for item in page["Items"]) == [bytes([n]) for n in range(25)]
    with pytest.raises(client.exceptions.ConditionalCheckFailedException) as caught:
        client.put_item(
            TableName="pages",
            Item={"pk": {"S": "1"}},
            ConditionExpression="attribute_not_exists(pk)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    assert caught.value.response["Item"] == {"pk": {"S": "1"}, "data": {"B": b"\x01"}}
    with pytest.raises(client.exceptions.TransactionCanceledException) as cancelled:
        client.transact_write_items(
            TransactItems=[
                {"Put": {"TableName": "pages", "Item": {"pk": {"S": "new"}}}},
                {"Delete": {"TableName": "pages", "Key": KEY, "ConditionExpression": "attribute_exists(pk)"}},
            ]
        )
    assert [reason["Code"] for reason in cancelled.value.response["CancellationReasons"]] == [
        "None",
        "ConditionalCheckFailed",
    ]
    with pytest.raises(ClientError) as unknown:
        client.execute_statement(Statement="SELECT * FROM pages")
    assert unknown.value.response["Error"]["Code"] == "UnknownOperationException"
    client.delete_table(TableName="pages")
    client.get_waiter("table_not_exists").wait(TableName="pages")
