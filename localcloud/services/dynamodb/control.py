"""The operations on tables: create, describe, list, delete, time to live, backups' status.

A table is ACTIVE as soon as it is created and gone as soon as it is deleted.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Operations_Amazon_DynamoDB.html
"""

from __future__ import annotations

from typing import Any, Final

from localcloud.services.dynamodb.errors import member_violation, validation
from localcloud.services.dynamodb.members import Members
from localcloud.services.dynamodb.model import Database
from localcloud.services.dynamodb.replication import describe_membership
from localcloud.services.dynamodb.schema import Index, index_place
from localcloud.services.dynamodb.table import Table
from localcloud.services.dynamodb.table_requests import parse_definition
from localcloud.services.dynamodb.values import item_size

__all__ = [
    "create_table",
    "delete_table",
    "describe",
    "describe_continuous_backups",
    "describe_table",
    "describe_time_to_live",
    "list_tables",
    "members_of",
    "table_arn",
    "update_time_to_live",
]

MAX_NAMES: Final = 100  # API_ListTables.html, Limit


def create_table(database: Database, request: Members) -> dict[str, Any]:
    """CreateTable. Raises DynamoError."""
    return {"TableDescription": describe(database, database.create(parse_definition(request)))}


def describe_table(database: Database, request: Members) -> dict[str, Any]:
    """DescribeTable. Raises DynamoError."""
    table = database.table(request.only("TableName").table(), named=True)
    return {"Table": describe(database, table)}


def delete_table(database: Database, request: Members) -> dict[str, Any]:
    """DeleteTable. Raises DynamoError."""
    name = request.only("TableName").table()
    states = database.table(name, named=True).states
    if states is not None:
        states.check_settled(name, database.clock.time())
    if database.global_tables is not None:
        database.global_tables.check_delete(database, name)
    table = database.drop(name)
    return {"TableDescription": {**describe(database, table), "TableStatus": "DELETING"}}


def list_tables(database: Database, request: Members) -> dict[str, Any]:
    """ListTables, sorted by name. Raises DynamoError."""
    request.only("ExclusiveStartTableName", "Limit")
    limit = request.count("Limit", low=1, high=MAX_NAMES) or MAX_NAMES
    start = request.text("ExclusiveStartTableName")
    names = [name for name in database.names() if start is None or name > start]
    answer: dict[str, Any] = {"TableNames": names[:limit]}
    if len(names) > limit:
        answer["LastEvaluatedTableName"] = names[limit - 1]
    return answer


def update_time_to_live(database: Database, request: Members) -> dict[str, Any]:
    """UpdateTimeToLive. Raises DynamoError."""
    request.only("TableName", "TimeToLiveSpecification")
    name = request.table()
    request.required("TimeToLiveSpecification")
    wanted = (request.structure("TimeToLiveSpecification") or Members({})).only("AttributeName", "Enabled")
    wanted.required("Enabled")
    attribute = str(wanted.required("AttributeName"))
    if not 1 <= len(attribute) <= 255:  # API_TimeToLiveSpecification.html
        bound = "greater than or equal to 1" if not attribute else "less than or equal to 255"
        place = "timeToLiveSpecification.attributeName"
        raise member_violation(attribute, place, f"Member must have length {bound}")
    table = database.table(name, named=True)
    enabled = wanted.flag("Enabled")
    if enabled == (table.ttl_attribute is not None):
        raise validation(f"TimeToLive is already {'enabled' if enabled else 'disabled'}")
    if not enabled and table.ttl_attribute != attribute:
        raise validation(
            f"TimeToLive is active on a different AttributeName: current AttributeName is {table.ttl_attribute}"
        )
    if table.membership is not None and table.membership.is_strong:
        raise validation("TimeToLive is not supported on global tables with multi-Region strong consistency")
    for member, replica in members_of(database, table):
        member.set_ttl(replica, attribute if enabled else None)
    return {"TimeToLiveSpecification": {"AttributeName": attribute, "Enabled": enabled}}


def describe_time_to_live(database: Database, request: Members) -> dict[str, Any]:
    """DescribeTimeToLive. Raises DynamoError."""
    attribute = database.table(request.only("TableName").table(), named=True).ttl_attribute
    if attribute is None:
        return {"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}}
    return {"TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED", "AttributeName": attribute}}


def describe_continuous_backups(database: Database, request: Members) -> dict[str, Any]:
    """DescribeContinuousBackups: there are none here, and the answer says so. Raises DynamoError."""
    database.table(request.only("TableName").table(), named=True)
    return {
        "ContinuousBackupsDescription": {
            "ContinuousBackupsStatus": "DISABLED",
            "PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": "DISABLED"},
        }
    }


def members_of(database: Database, table: Table) -> list[tuple[Database, Table]]:
    """Every replica of the table's global table, itself first: what a setting that they share is set on."""
    tables = database.global_tables
    return [(database, table)] if tables is None else tables.members(database, table)


def table_arn(database: Database, name: str) -> str:
    """The ARN of a table in the database's Region."""
    return f"arn:aws:dynamodb:{database.region}:{database.account_id}:table/{name}"


def describe(database: Database, table: Table) -> dict[str, Any]:
    """A table as DescribeTable shows it."""
    definition, states, now = table.definition, table.states, database.clock.time()
    arn = table_arn(database, definition.name)
    used = (*definition.keys.names, *(name for index in definition.indexes.values() for name in index.keys.names))
    answer: dict[str, Any] = {
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": definition.types[name]} for name in dict.fromkeys(used)
        ],
        "TableName": definition.name,
        "KeySchema": definition.keys.describe(),
        "TableStatus": "UPDATING" if states is not None and states.is_updating(now) else "ACTIVE",
        "CreationDateTime": round(table.created_s, 3),
        "ProvisionedThroughput": _throughput(definition.throughput),
        "TableSizeBytes": table.size_bytes,
        "ItemCount": len(table.records),
        "TableArn": arn,
        "TableId": table.table_id,
        "DeletionProtectionEnabled": definition.is_protected,
    }
    if table.on_demand_s is not None:
        answer["BillingModeSummary"] = {
            "BillingMode": definition.billing_mode,
            "LastUpdateToPayPerRequestDateTime": round(table.on_demand_s, 3),
        }
    answer |= describe_membership(database.region, table)
    if definition.stream_view is not None:
        answer["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": definition.stream_view}
    if table.stream_label is not None:  # also after the stream was disabled
        answer |= {"LatestStreamLabel": table.stream_label, "LatestStreamArn": database.streams.arn(table)}
    for member, is_global in (("LocalSecondaryIndexes", False), ("GlobalSecondaryIndexes", True)):
        found = [index for index in definition.indexes.values() if index.is_global is is_global]
        if found:
            answer[member] = [_describe_index(table, index, arn, now=now) for index in found]
    going = [] if states is None else states.going(now)
    if going:
        shown = [{**_describe_keys(index, arn), "IndexStatus": "DELETING"} for index in going]
        answer.setdefault("GlobalSecondaryIndexes", []).extend(shown)
    return answer


def _describe_index(table: Table, index: Index, arn: str, *, now: float) -> dict[str, Any]:
    table.order(index)  # which brings it to now
    held = [
        index.project(record.item, table.definition.keys)
        for record in table.seen(index).values()
        if index_place(table.definition, index, record.item) is not None
    ]
    answer = {**_describe_keys(index, arn), "IndexSizeBytes": sum(map(item_size, held)), "ItemCount": len(held)}
    if index.is_global:
        state = {"IndexStatus": "ACTIVE"} if table.states is None else table.states.describe(index.name, now)
        answer |= {**state, "ProvisionedThroughput": _throughput(index.throughput)}
    return answer


def _describe_keys(index: Index, arn: str) -> dict[str, Any]:
    projection: dict[str, Any] = {"ProjectionType": index.projection}
    if index.included:
        projection["NonKeyAttributes"] = list(index.included)
    return {
        "IndexName": index.name,
        "KeySchema": index.keys.describe(),
        "Projection": projection,
        "IndexArn": f"{arn}/index/{index.name}",
    }


def _throughput(units: tuple[int, int]) -> dict[str, int]:
    reads, writes = units
    return {"NumberOfDecreasesToday": 0, "ReadCapacityUnits": reads, "WriteCapacityUnits": writes}
