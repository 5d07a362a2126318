"""The operations on one item: PutItem, UpdateItem, DeleteItem, GetItem.

Owns their members and answers; what a write is lies in `writes`.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Operations_Amazon_DynamoDB.html
"""

from __future__ import annotations

from typing import Any, Final

from localcloud.services.dynamodb.capacity import (
    capacity_mode,
    collection_metrics,
    describe_usage,
    read_units,
    read_usage,
    wants_metrics,
    write_usage,
)
from localcloud.services.dynamodb.errors import validation
from localcloud.services.dynamodb.expressions import Update, parse_projection, project_item
from localcloud.services.dynamodb.members import Members
from localcloud.services.dynamodb.model import Database
from localcloud.services.dynamodb.schema import primary_key
from localcloud.services.dynamodb.table import Change
from localcloud.services.dynamodb.throttling import charge_read, check_read
from localcloud.services.dynamodb.values import Item, encode_item
from localcloud.services.dynamodb.writes import open_bindings, parse_write

__all__ = ["delete_item", "get_item", "put_item", "update_item"]

_WRITE_MEMBERS: Final = (
    "TableName",
    "ConditionExpression",
    "ExpressionAttributeNames",
    "ExpressionAttributeValues",
    "ReturnConsumedCapacity",
    "ReturnItemCollectionMetrics",
    "ReturnValues",
    "ReturnValuesOnConditionCheckFailure",
)
_ALL_RETURNS: Final = ("ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW")


def put_item(database: Database, request: Members) -> dict[str, Any]:
    """PutItem: store an item whole. Raises DynamoError."""
    return _write_item(database, "Put", request.only(*_WRITE_MEMBERS, "Item"))


def update_item(database: Database, request: Members) -> dict[str, Any]:
    """UpdateItem: change parts of an item, or make it. Raises DynamoError."""
    return _write_item(database, "Update", request.only(*_WRITE_MEMBERS, "Key", "UpdateExpression"))


def delete_item(database: Database, request: Members) -> dict[str, Any]:
    """DeleteItem: remove an item if it is there. Raises DynamoError."""
    return _write_item(database, "Delete", request.only(*_WRITE_MEMBERS, "Key"))


def get_item(database: Database, request: Members) -> dict[str, Any]:
    """GetItem: one item by its key, or no Item member. Raises DynamoError."""
    request.only(
        "TableName",
        "Key",
        "ConsistentRead",
        "ProjectionExpression",
        "ExpressionAttributeNames",
        "ReturnConsumedCapacity",
    )
    name, given, mode = request.table(), request.item("Key"), capacity_mode(request)
    bindings = open_bindings(request, ("ProjectionExpression",))
    text = request.text("ProjectionExpression")
    projection = None if text is None else parse_projection(text, bindings)
    bindings.settle()
    table = database.table(name)
    check_read(table)
    record = table.records.get(primary_key(table.definition, given, exact=True))
    answer: dict[str, Any] = {}
    if record is not None:
        item = record.item if projection is None else project_item(record.item, projection)
        answer["Item"] = encode_item(item)
    units = read_units(0 if record is None else record.size_bytes, consistent=request.flag("ConsistentRead"))
    usage = read_usage(table, units)
    charge_read(usage)
    if mode != "NONE":
        answer["ConsumedCapacity"] = describe_usage(usage, mode)
    return answer


def _write_item(database: Database, kind: str, request: Members) -> dict[str, Any]:
    returns = request.choice("ReturnValues", _ALL_RETURNS, "NONE")
    mode, is_measured = capacity_mode(request), wants_metrics(request)
    if kind != "Update" and returns not in {"ALL_OLD", "NONE"}:
        raise validation("Return values set to invalid value")
    write = parse_write(database, kind, request)
    write.check()
    image = write.image()
    write.spend(image)
    change = write.apply(image)
    answer: dict[str, Any] = {}
    attributes = _returned(change, returns, write.update)
    if attributes:
        answer["Attributes"] = encode_item(attributes)
    if mode != "NONE":
        answer["ConsumedCapacity"] = describe_usage(write_usage(change), mode)
    metrics = collection_metrics(write.table, write.key) if is_measured else None
    if metrics is not None:
        answer["ItemCollectionMetrics"] = metrics
    return answer


def _returned(change: Change, returns: str, update: Update | None) -> Item:
    """The attributes that ReturnValues asks for, empty where there are none."""
    if returns == "NONE":
        return {}
    record = change.old if returns.endswith("OLD") else change.new
    if record is None:
        return {}
    if returns.startswith("ALL"):
        return record.item
    return {} if update is None else project_item(record.item, update.paths)
