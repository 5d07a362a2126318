"""BatchGetItem and BatchWriteItem: many independent reads or writes in one request.

Nothing is atomic over a batch. What exceeds 16 MB is left unprocessed, and what a table that throttles has no capacity
for.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from localcloud.services.dynamodb.capacity import (
    Usage,
    capacity_mode,
    describe_usage,
    merge_usage,
    read_units,
    read_usage,
    wants_metrics,
    write_usage,
)
from localcloud.services.dynamodb.errors import DynamoError, member_violation, validation
from localcloud.services.dynamodb.expressions import Path, parse_projection, project_item
from localcloud.services.dynamodb.members import Members, check_table_name
from localcloud.services.dynamodb.model import Database
from localcloud.services.dynamodb.schema import PrimaryKey, primary_key, schema_mismatch
from localcloud.services.dynamodb.table import Change, Table
from localcloud.services.dynamodb.throttling import charge_read, check_read
from localcloud.services.dynamodb.values import encode_item, parse_item
from localcloud.services.dynamodb.writes import Write, measure_collections, open_bindings, parse_write

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


@dataclass(slots=True)
class _Found:
    """What a batch has read so far. `throttled`: why a table gave no more, None where none did."""

    size_bytes: int = 0
    usages: list[Usage] = field(default_factory=list[Usage])
    throttled: DynamoError | None = None


def batch_get_item(database: Database, request: Members) -> dict[str, Any]:
    """BatchGetItem: up to 100 items by key. Raises DynamoError."""
    request.only("RequestItems", "ReturnConsumedCapacity")
    mode = capacity_mode(request)
    asked = _tables(request)
    gets = [_parse_gets(database, name, Members(raw, f"requestItems.{name}.member")) for name, raw in asked.items()]
    if sum(len(part.keys) for part in gets) > MAX_GETS:
        raise validation("Too many items requested for the BatchGetItem call")
    found = _Found()
    responses: dict[str, list[Any]] = {}
    unprocessed: dict[str, Any] = {}
    for part in gets:
        name = part.table.definition.name
        responses[name], left = _read(part, found)
        if left:
            unprocessed[name] = {**part.options, "Keys": left}
    if found.throttled is not None and not found.usages:
        raise found.throttled
    answer: dict[str, Any] = {"Responses": responses, "UnprocessedKeys": unprocessed}
    if mode != "NONE":
        answer["ConsumedCapacity"] = [describe_usage(usage, mode) for usage in merge_usage(found.usages)]
    return answer


def _read(part: _Gets, found: _Found) -> tuple[list[Any], list[Any]]:
    """The items of one table on the wire, and the keys that are left unprocessed."""
    items: list[Any] = []
    for number, key in enumerate(part.keys):
        record = part.table.records.get(key)
        size = 0 if record is None else record.size_bytes
        try:
            check_read(part.table)
        except DynamoError as error:
            found.throttled = error
            return items, part.raw[number:]
        if found.size_bytes + size > MAX_BATCH_BYTES:
            return items, part.raw[number:]
        found.size_bytes += size
        found.usages.append(read_usage(part.table, read_units(size, consistent=part.is_consistent)))
        charge_read(found.usages[-1])
        if record is not None:
            item = record.item if part.projection is None else project_item(record.item, part.projection)
            items.append(encode_item(item))
    return items, []


def batch_write_item(database: Database, request: Members) -> dict[str, Any]:
    """BatchWriteItem: up to 25 puts and deletes, without conditions. Raises DynamoError before anything is written."""
    request.only("RequestItems", "ReturnConsumedCapacity", "ReturnItemCollectionMetrics")
    mode = capacity_mode(request)
    is_measured = wants_metrics(request)
    asked = _tables(request)
    if sum(len(Members(asked).elements(name)) for name in asked) > MAX_WRITES:
        raise validation("Too many items requested for the BatchWriteItem call")
    parsed = [
        (name, raw, write)
        for name in asked
        for raw, write in zip(asked[name], parse_writes(database, name, Members(asked)), strict=True)
    ]
    writes = [write for _, _, write in parsed]
    places = [(write.table.definition.name, write.key) for write in writes]
    if len(set(places)) != len(places):
        raise validation(_DUPLICATES)
    changes, done = _write(parsed, unprocessed := dict[str, list[Any]]())
    answer: dict[str, Any] = {"UnprocessedItems": unprocessed}
    metrics = measure_collections(done) if is_measured else {}
    if metrics:
        answer["ItemCollectionMetrics"] = metrics
    if mode != "NONE":
        merged = merge_usage(write_usage(change) for change in changes)
        answer["ConsumedCapacity"] = [describe_usage(usage, mode) for usage in merged]
    return answer


def _write(
    parsed: Sequence[tuple[str, Any, Write]], unprocessed: dict[str, list[Any]]
) -> tuple[list[Change], list[Write]]:
    """Write what is not throttled; the rest goes to `unprocessed`. Raises DynamoError where everything is throttled."""
    changes: list[Change] = []
    done: list[Write] = []
    throttled: DynamoError | None = None
    for name, raw, write in parsed:
        image = write.image()
        try:
            write.spend(image)
        except DynamoError as error:
            throttled = error
            unprocessed.setdefault(name, []).append(raw)
            continue
        changes.append(write.apply(image))
        done.append(write)
    if throttled is not None and not done:
        raise throttled
    return changes, done


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


def _parse_write(database: Database, kind: str, request: Members) -> Write:
    """One write, as `parse_write` reads it. Raises DynamoError that does not say what is wrong with a table's key."""
    try:
        return parse_write(database, kind, request)
    except DynamoError as error:
        if error.schema != "table":
            raise
        raise schema_mismatch() from error


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
        writes.append(_parse_write(database, kind, Members(raw)))
    if not writes:
        raise member_violation(
            "[]", f"requestItems.{name}.member", "Member must have length greater than or equal to 1"
        )
    return writes
