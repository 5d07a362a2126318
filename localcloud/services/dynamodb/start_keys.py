"""ExclusiveStartKey: where the previous page of a Query or Scan ended.

Owns its checks, which AWS words differently for the two operations.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.Pagination.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from localcloud.services.dynamodb.errors import DynamoError, validation
from localcloud.services.dynamodb.members import Members
from localcloud.services.dynamodb.ordered import Entry
from localcloud.services.dynamodb.schema import Index
from localcloud.services.dynamodb.table import Table
from localcloud.services.dynamodb.values import Item, parse_item

__all__ = ["StartKey", "parse_start_key"]

_INVALID = "The provided starting key is invalid"
_MISMATCH = "The provided key element does not match the schema"


@dataclass(frozen=True, slots=True)
class StartKey:
    """The partition key's data and the entry (sort key data, primary key) that the previous page read last."""

    hash_data: Any
    entry: Entry


def parse_start_key(table: Table, index: Index | None, request: Members, *, is_query: bool) -> StartKey | None:
    """The request's ExclusiveStartKey, None where it has none. Raises DynamoError where the schema has no such key."""
    raw = request.mapping("ExclusiveStartKey")
    if raw is None:
        return None
    try:
        given = parse_item(raw)
    except DynamoError as error:
        if error.code != "ValidationException":
            raise
        raise validation(f"{_INVALID}: {error.message}") from error
    definition = table.definition
    own = definition.keys.names
    schema = table.key_schema(index)
    detailed = f"{_INVALID}: {_MISMATCH}"
    if set(given) != {*own, *schema.names}:
        raise validation(_INVALID if is_query or index is not None else detailed)
    if not _fits(table, given, schema.names):
        raise validation(_MISMATCH if is_query or index is not None else detailed)
    if not _fits(table, given, own):
        raise validation(_MISMATCH if is_query else detailed)
    key = (given[own[0]].data, given[own[1]].data if len(own) > 1 else 0)
    sort_data = 0 if schema.range_name is None else given[schema.range_name].data
    return StartKey(given[schema.hash_name].data, (sort_data, key))


def _fits(table: Table, given: Item, names: tuple[str, ...]) -> bool:
    return all(given[name].type == table.definition.types[name] for name in names)
