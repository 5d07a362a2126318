"""boto3's DynamoDB Streams client against the AWS port over a real socket: one address serves both APIs."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from localcloud.clock import SystemClock
from localcloud.front import Front
from localcloud.listening import open_listener
from localcloud.services.contract import Denied, Permission
from localcloud.services.dynamodb.wire import DynamoService

pytestmark = pytest.mark.local


@asynccontextmanager
async def serve(asked: list[Permission], denied: set[str]) -> AsyncGenerator[str]:
    """A front with DynamoDB; it denies the actions in `denied`."""

    def authorise(_: str, permissions: tuple[Permission, ...]) -> Denied | None:
        asked.extend(permissions)
        for permission in permissions:
            if permission.action in denied:
                return Denied("arn:aws:iam::123456789012:user/u", permission, "no policy allows it")
        return None

    front = Front([DynamoService(SystemClock())], authorise=authorise, rng=random.Random(1))
    listener: socket.socket = open_listener("127.0.0.1", 0)
    async with front.serve(listener) as url:
        yield url


def clients(url: str | None = None) -> tuple[Any, Any]:
    """boto3's two clients; without a URL they read the environment."""
    options: dict[str, Any] = {
        "region_name": "eu-west-1",
        "aws_access_key_id": "key",
        "aws_secret_access_key": "secret",
        "config": Config(retries={"max_attempts": 0}),
    }
    if url is not None:
        options["endpoint_url"] = url
    sdk: Any = boto3
    return sdk.client("dynamodb", **options), sdk.client("dynamodbstreams", **options)


def follow(tables: Any, streams: Any) -> dict[str, Any]:
    """A stream from its table's creation to the end of its only page."""
    made = tables.create_table(
        TableName="things",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "B"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    arn = made["TableDescription"]["LatestStreamArn"]
    tables.put_item(TableName="things", Item={"id": {"B": b"\x00\xff"}, "set": {"NS": ["1", "2"]}})
    shard = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
    where = {"StreamArn": arn, "ShardId": shard}
    place = streams.get_shard_iterator(**where, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    page = streams.get_records(ShardIterator=place, Limit=10)
    assert streams.list_streams(TableName="things")["Streams"][0]["StreamArn"] == arn
    return page


async def in_thread(work: Callable[[], Any]) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, work)


async def test_boto3_reads_a_stream_and_parses_every_member() -> None:
    """A record comes through botocore's own parser with bytes as bytes and its date as a date."""
    asked: list[Permission] = []
    async with serve(asked, set()) as url:
        page = await in_thread(lambda: follow(*clients(url)))
    (record,) = page["Records"]
    inner = record["dynamodb"]
    assert inner["Keys"] == {"id": {"B": b"\x00\xff"}}
    assert inner["NewImage"] == {"id": {"B": b"\x00\xff"}, "set": {"NS": ["1", "2"]}}
    assert abs((datetime.now(UTC) - inner["ApproximateCreationDateTime"]).total_seconds()) < 60
    assert (record["eventName"], record["eventVersion"], record["awsRegion"]) == ("INSERT", "1.1", "eu-west-1")
    assert "NextShardIterator" in page
    stream = asked[-1].resource.removesuffix("/*")
    assert [permission.action for permission in asked if permission.resource.startswith(stream)] == [
        "dynamodb:DescribeStream",
        "dynamodb:GetShardIterator",
        "dynamodb:GetRecords",
        "dynamodb:ListStreams",
    ]


async def test_the_environment_names_the_address_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS_ENDPOINT_URL is enough for the streams client, though its endpoint prefix on AWS is another."""
    async with serve([], set()) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        page = await in_thread(lambda: follow(*clients()))
    assert len(page["Records"]) == 1


async def test_errors_are_botocores_own_classes() -> None:
    """What the service raises and what IAM refuses are exceptions that a client can catch by name."""
    async with serve([], {"dynamodb:ListStreams"}) as url:
        _, streams = clients(url)

        def unknown() -> Any:
            arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/none/stream/2026-01-01T00:00:00.000"
            return streams.describe_stream(StreamArn=arn)

        with pytest.raises(streams.exceptions.ResourceNotFoundException):
            await in_thread(unknown)
        with pytest.raises(ClientError, match="AccessDeniedException") as caught:
            await in_thread(streams.list_streams)
    error: Any = caught.value
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400
