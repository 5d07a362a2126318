"""boto3 in several Regions against one address: a global table is made, written in one Region, read in another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from localcloud.clock import SystemClock
from localcloud.front import Front
from localcloud.listening import open_listener
from localcloud.regions.links import Lag, Links
from localcloud.services.contract import Denied, Permission
from localcloud.services.dynamodb.wire import DynamoService

pytestmark = pytest.mark.local

A, B, C = "us-east-1", "us-east-2", "us-west-2"
TABLE: dict[str, Any] = {
    "TableName": "things",
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
    "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
}


@asynccontextmanager
async def serve(links: Links, denied: frozenset[tuple[str, str]] = frozenset()) -> AsyncGenerator[str]:
    """A front with DynamoDB; it denies the (action, ARN) pairs in `denied`."""

    def authorise(_: str, permissions: tuple[Permission, ...]) -> Denied | None:
        for permission in permissions:
            if (permission.action, permission.resource) in denied:
                return Denied("arn:aws:iam::123456789012:user/u", permission, "no policy allows it")
        return None

    front = Front([DynamoService(SystemClock(), links=links)], authorise=authorise, rng=Random(1))
    async with front.serve(open_listener("127.0.0.1", 0)) as url:
        yield url


def client(url: str, region: str) -> Any:
    sdk: Any = boto3
    return sdk.client(
        "dynamodb",
        endpoint_url=url,
        region_name=region,
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        config=Config(retries={"max_attempts": 0}),
    )


def get(table: Any, key: str, *, strong: bool = False) -> Any:
    return table.get_item(TableName="things", Key={"id": {"S": key}}, ConsistentRead=strong).get("Item")


async def test_a_write_in_one_region_is_seen_in_the_other() -> None:
    """CreateTable and UpdateTable make it; a waiter of boto3 ends; a write arrives after the lag, a deletion too."""
    links = Links(rng=Random(1), lag=Lag(0.05))

    def make(here: Any, there: Any) -> Any:
        here.create_table(**TABLE)
        here.update_table(TableName="things", ReplicaUpdates=[{"Create": {"RegionName": B}}])
        there.get_waiter("table_exists").wait(TableName="things")
        return there.describe_table(TableName="things")["Table"]

    async with serve(links) as url:
        here, there = client(url, A), client(url, B)
        shown = await asyncio.to_thread(make, here, there)
        assert shown["Replicas"] == [{"RegionName": A, "ReplicaStatus": "ACTIVE"}]
        assert shown["GlobalTableVersion"] == "2019.11.21"
        item = {"id": {"S": "k"}, "v": {"N": "1"}}
        links.cut(A, B)
        await asyncio.to_thread(lambda: here.put_item(TableName="things", Item=item))
        assert await asyncio.to_thread(get, there, "k") is None
        links.heal(A, B)
        await links.drained()
        assert await asyncio.to_thread(get, there, "k") == item
        await asyncio.to_thread(lambda: there.delete_item(TableName="things", Key={"id": {"S": "k"}}))
        await links.drained()
        assert await asyncio.to_thread(get, here, "k") is None


async def test_strong_consistency_over_the_socket() -> None:
    """One of two claims wins; a cut-off Region answers 500, which boto3 knows as InternalServerError."""
    links = Links(rng=Random(1), hop=Lag(0.001))

    def work(url: str) -> tuple[str, Any, int]:
        here, there, third = (client(url, region) for region in (A, B, C))
        here.create_table(**TABLE)
        here.update_table(
            TableName="things",
            ReplicaUpdates=[{"Create": {"RegionName": B}}, {"Create": {"RegionName": C}}],
            MultiRegionConsistency="STRONG",
        )
        claim = {"TableName": "things", "ConditionExpression": "attribute_not_exists(id)"}
        here.put_item(**claim, Item={"id": {"S": "k"}, "by": {"S": "A"}})
        with pytest.raises(there.exceptions.ConditionalCheckFailedException):
            there.put_item(**claim, Item={"id": {"S": "k"}, "by": {"S": "B"}})
        winner = get(third, "k", strong=True)["by"]["S"]
        links.isolate(C, [A, B])
        with pytest.raises(third.exceptions.InternalServerError) as caught:
            get(third, "k", strong=True)
        return winner, get(third, "k")["by"]["S"], caught.value.response["ResponseMetadata"]["HTTPStatusCode"]

    async with serve(links) as url:
        assert await asyncio.to_thread(work, url) == ("A", "A", 500)


async def test_a_replica_needs_permissions_in_its_region() -> None:
    """UpdateTable is refused where the caller may not create the replica there; nothing is made."""

    def work(url: str) -> tuple[str, Any]:
        here = client(url, A)
        here.create_table(**TABLE)
        with pytest.raises(ClientError) as caught:
            here.update_table(TableName="things", ReplicaUpdates=[{"Create": {"RegionName": B}}])
        error: Any = caught.value
        return error.response["Error"]["Code"], client(url, B).list_tables()["TableNames"]

    denied = frozenset({("dynamodb:CreateTableReplica", f"arn:aws:dynamodb:{B}:123456789012:table/things")})
    async with serve(Links(rng=Random(1)), denied) as url:
        assert await asyncio.to_thread(work, url) == ("AccessDeniedException", [])
