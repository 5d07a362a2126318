"""Makes the tables of the tier home with boto3: keys in both Regions, doubts in each, the term in a third."""

from __future__ import annotations

from typing import Any

import boto3

EAST, WEST, THIRD = "us-east-1", "us-west-2", "us-east-2"


def layout(*names: str) -> dict[str, Any]:
    """The keys of a table: a partition key, and a sort key where there are two."""
    return {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in names],
        "KeySchema": [
            {"AttributeName": name, "KeyType": kind} for name, kind in zip(names, ("HASH", "RANGE"), strict=False)
        ],
    }


def client(region: str) -> Any:
    return boto3.client("dynamodb", region_name=region)


def expire(table: str, region: str) -> None:
    """Let DynamoDB delete what has expired."""
    client(region).update_time_to_live(
        TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expiration"}
    )


def make_tables() -> None:
    """Where `AWS_ENDPOINT_URL` points; waits until they can be used."""
    in_east = client(EAST)
    in_east.create_table(
        TableName="keys",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        **layout("id"),
    )
    in_east.get_waiter("table_exists").wait(TableName="keys")
    expire("keys", EAST)
    in_east.update_table(TableName="keys", ReplicaUpdates=[{"Create": {"RegionName": WEST}}])
    for region, table in ((EAST, "doubts"), (WEST, "doubts"), (THIRD, "terms")):
        there = client(region)
        there.create_table(TableName=table, **layout("id", "item"))
        there.get_waiter("table_exists").wait(TableName=table)
        if table == "doubts":
            expire(table, region)


if __name__ == "__main__":
    make_tables()
