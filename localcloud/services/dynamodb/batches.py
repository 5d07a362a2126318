"""BatchGetItem and BatchWriteItem: many independent reads or writes in one request.

Nothing is atomic over a batch; here nothing is throttled, so nothing is left unprocessed but what exceeds 16 MB.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from localcloud.services.dynamodb.capacity import (
    Usage,
    capacity_mode,
    describe_usage,
    merge_usage,
    read_units,
    read_usage,
    write_usage,
)
from localcloud.services.dynamodb.errors import member_violation, validation
from localcloud.services.dynamodb.expressions import Path, parse_projection, project_item
from localcloud.services.dynamodb.members import Members, check_table_name
from localcloud.services.dynamodb.model import Database
from localcloud.services.dynamodb.schema import PrimaryKey, primary_key
from localcloud.services.dynamodb.table import Table
from localcloud.services.dynamodb.values import encode_item, parse_item
from localcloud.services.dynamodb.writes import Write, open_bindings, parse_write

__all__ = ["MAX_WRITES", "batch_get_item", "batch_write_item", "parse_writes"]

MAX_GETS: Final = 100  # API_BatchGetItem.html
MAX_WRITES: Final = 25  # API_BatchWriteItem.html
MAX_BATCH_BYTES: Final = 16 * 1024 * 1024  # both pages
_DUPLICATES: Final = "Provided list of item keys contains duplicates"


@dataclass(slots=True)
class _Gets:
    """The reads of one table; `raw` keeps each key as it came, for UnprocessedKeys."""

    table: Table
    keys: list[PrimaryKey]
    raw: list[Any]
    projection: tuple[Path, ...] | None
    is_consistent: bool
    options: Mapping[str, Any]


def batch_get_item(database: Database, request: Members) -> dict[str, Any]:
    """BatchGetItem: up to 100 items by key. Raises DynamoError."""
    request.only("RequestItems", "ReturnConsumedCapacity")
    mode = capacity_mode(request)
    asked = _tables(request)
    gets = [_parse_gets(database, name, Members(raw, f"requestItems.{name}.member")) for name, raw in asked.items()]
    if sum(len(part.keys) for part in gets) > MAX_GETS:
        raise validation("Too many items requested for the BatchGetItem call")
    responses: dict[str, list[Any]] = {}
    unprocessed: dict[str, Any] = {}
    usages: list[Usage] = []
    total = 0
    for part in gets:
        name = part.table.definition.name
        responses[name] = []
        for number, key in enumerate(part.keys):
            record = part.table.records.get(key)
            size = 0 if record is None else record.size_bytes
            if total + size > MAX_BATCH_BYTES:
                unprocessed[name] = {**part.options, "Keys": part.raw[number:]}
                break
            total += size
            usages.append(read_usage(part.table, read_units(size, consistent=part.is_consistent)))
            if record is not None:
                item = record.item if part.projection is None else project_item(record.item, part.projection)
                responses[name].append(encode_item(item))
    answer: dict[str, Any] = {"Responses": responses, "UnprocessedKeys": unprocessed}
    if mode != "NONE":
        answer["ConsumedCapacity"] = [describe_usage(usage, mode) for usage in merge_usage(usages)]
    return answer


def batch_write_item(database: Database, request: Members) -> dict[str, Any]:
    """BatchWriteItem: up to 25 puts and deletes, without conditions. Raises DynamoError before anything is written."""
    request.only("RequestItems", "ReturnConsumedCapacity", "ReturnItemCollectionMetrics")
    mode = capacity_mode(request)
    request.choice("ReturnItemCollectionMetrics", ("SIZE", "NONE"), "NONE")
    asked = _tables(request)
    if sum(len(Members(asked).elements(name)) for name in asked) > MAX_WRITES:
        raise validation("Too many items requested for the BatchWriteItem call")
    writes = [write for name in asked for write in parse_writes(database, name, Members(asked))]
    places = [(write.table.definition.name, write.key) for write in writes]
    if len(set(places)) != len(places):
        raise validation(_DUPLICATES)
    changes = [write.apply(write.image()) for write in writes]
    answer: dict[str, Any] = {"UnprocessedItems": {}}
    if mode != "NONE":
        merged = merge_usage(write_usage(change) for change in changes)
        answer["ConsumedCapacity"] = [describe_usage(usage, mode) for usage in merged]
    return answer


def _tables(request: Members) -> Mapping[str, Any]:
    request.required("RequestItems")
    asked = request.mapping("RequestItems") or {}
    if not asked:
        raise member_violation("{}", "requestItems", "Member must have length greater than or equal to 1")
    return asked


def _parse_gets(database: Database, name: str, request: Members) -> _Gets:
    request.only("Keys", "ConsistentRead", "ProjectionExpression", "ExpressionAttributeNames")
    raw = request.elements("Keys")
    if not raw:
        raise member_violation(
            "[]", f"requestItems.{name}.member.keys", "Member must have length greater than or equal to 1"
        )
    bindings = open_bindings(request, ("ProjectionExpression",))
    text = request.text("ProjectionExpression")
    projection = None if text is None else parse_projection(text, bindings)
    bindings.settle()
    items = [parse_item(key) for key in raw]
    table = database.table(check_table_name(name))
    keys = [primary_key(table.definition, item, exact=True) for item in items]
    if len(set(keys)) != len(keys):
        raise validation(_DUPLICATES)
    members = ("ConsistentRead", "ProjectionExpression", "ExpressionAttributeNames")
    options = {member: request.required(member) for member in members if member in request}
    return _Gets(table, keys, raw, projection, request.flag("ConsistentRead"), options)


def parse_writes(database: Database, name: str, asked: Members) -> list[Write]:
    """The checked writes of one table in RequestItems. Raises DynamoError in AWS's words; nothing is written."""
    writes: list[Write] = []
    for entry in asked.structures(name):
        entry.only("PutRequest", "DeleteRequest")
        if ("PutRequest" in entry) == ("DeleteRequest" in entry):
            raise validation(
                "Supplied AttributeValue has more than one datatypes set, "
                "must contain exactly one of the supported datatypes"
                if "PutRequest" in entry
                else "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
            )
        kind, member = ("Put", "Item") if "PutRequest" in entry else ("Delete", "Key")
        inner = entry.structure(f"{kind}Request") or Members({})
        inner.only(member)
        raw = {"TableName": name, member: inner.required(member)}
        writes.append(parse_write(database, kind, Members(raw)))
    if not writes:
        raise member_violation(
            "[]", f"requestItems.{name}.member", "Member must have length greater than or equal to 1"
        )
    return writes
