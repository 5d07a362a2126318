"""Query: one partition, a range of its sort keys, in either direction.

Owns the request's members, the check of its key conditions against the schema, and the range.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Query.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from localcloud.services.dynamodb.errors import invalid_parameter, validation
from localcloud.services.dynamodb.expressions import KeyCondition, parse_key_condition, walk_paths
from localcloud.services.dynamodb.members import Members
from localcloud.services.dynamodb.model import Database
from localcloud.services.dynamodb.ordered import Entry, SortedEntries
from localcloud.services.dynamodb.reading import Reading, View, find_index, parse_reading, read_page
from localcloud.services.dynamodb.schema import KeySchema, PrimaryKey, TableDefinition, check_key_value
from localcloud.services.dynamodb.start_keys import StartKey, parse_start_key
from localcloud.services.dynamodb.writes import open_bindings

__all__ = ["query"]

MAX_CONDITIONS: Final = 2  # API_Query.html: one of the partition key, one of the sort key
_MEMBERS: Final = (
    "TableName",
    "IndexName",
    "KeyConditionExpression",
    "FilterExpression",
    "ProjectionExpression",
    "ExpressionAttributeNames",
    "ExpressionAttributeValues",
    "ExclusiveStartKey",
    "ScanIndexForward",
    "Select",
    "Limit",
    "ConsistentRead",
    "ReturnConsumedCapacity",
)
_LAST_CODE_POINT: Final = 0x10FFFF
_BEFORE_SURROGATES: Final = 0xD7FF
_AFTER_SURROGATES: Final = 0xE000


@dataclass(frozen=True, slots=True)
class _Range:
    """Sort keys from `low` to `high` (data, None for no bound); an open end leaves the bound itself out."""

    low: Any = None
    high: Any = None
    low_open: bool = False
    high_open: bool = False

    def holds(self, data: Any) -> bool:
        """Whether a sort key lies in the range."""
        if self.low is not None and (data < self.low or (self.low_open and data == self.low)):
            return False
        return self.high is None or data < self.high or (not self.high_open and data == self.high)


def query(database: Database, request: Members) -> dict[str, Any]:
    """Query: the items of one partition, a page at a time. Raises DynamoError."""
    request.only(*_MEMBERS)
    name = request.table()
    bindings = open_bindings(request, ("FilterExpression", "ProjectionExpression", "KeyConditionExpression"))
    text = request.text("KeyConditionExpression")
    if text is None:
        raise validation(
            "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request."
        )
    reading = parse_reading(request, bindings)
    conditions = parse_key_condition(text, bindings)
    bindings.settle()
    table = database.table(name)
    index = find_index(table, request, reading, now=database.clock.time())
    start = parse_start_key(table, index, request, is_query=True)
    schema = table.key_schema(index)
    wanted, reach = _resolve(table.definition, schema, conditions)
    _check_filter(schema, reading)
    _check_start(start, wanted, reach)
    forward = "ScanIndexForward" not in request or request.flag("ScanIndexForward")
    partition = table.order(index).partition(wanted)
    walk = _ascend(partition, reach, start) if forward else _descend(partition, reach, start)
    return read_page(View(table, index, reading), walk)


def _resolve(
    definition: TableDefinition, schema: KeySchema, conditions: Mapping[str, KeyCondition]
) -> tuple[Any, _Range]:
    """The partition key's data and the range of sort keys. Raises DynamoError where the schema cannot answer."""
    if len(conditions) > MAX_CONDITIONS:
        raise validation(
            f"The number of query conditions ({len(conditions)}) exceeds the number of key attributes defined in the "
            f"schema ({len(schema.names)})"
        )
    first = conditions.get(schema.hash_name)
    if first is None:
        raise validation(f"Query condition missed key schema element: {schema.hash_name}")
    if len(conditions) > 1 and schema.range_name not in conditions:
        if schema.range_name is None:
            raise validation("Query key condition not supported")
        raise validation(f"Query condition missed key schema element: {schema.range_name}")
    if first.operator != "=":
        raise validation("Query key condition not supported")
    for condition in conditions.values():
        _check_values(definition, schema, condition)
    second = None if schema.range_name is None else conditions.get(schema.range_name)
    return first.values[0].data, _Range() if second is None else _RANGES[second.operator](
        *(value.data for value in second.values)
    )


def _check_values(definition: TableDefinition, schema: KeySchema, condition: KeyCondition) -> None:
    for value in condition.values:
        if value.type != definition.types[condition.name]:
            raise invalid_parameter("Condition parameter type does not match schema type")
        if condition.operator == "=":
            check_key_value(schema, condition.name, value)


def _check_filter(schema: KeySchema, reading: Reading) -> None:
    for path in () if reading.filter is None else walk_paths(reading.filter):
        if path.root in schema.names:
            raise validation(
                f"Filter Expression can only contain non-primary key attributes: Primary key attribute: {path.root}"
            )


def _check_start(start: StartKey | None, wanted: Any, reach: _Range) -> None:
    if start is None:
        return
    if start.hash_data != wanted:
        raise validation("The provided starting key is outside query boundaries based on provided conditions")
    if not reach.holds(start.entry[0]):
        raise validation("The provided starting key does not match the range key predicate")


def _ascend(partition: SortedEntries, reach: _Range, start: StartKey | None) -> Iterator[PrimaryKey]:
    after: Entry | None = None if start is None else start.entry
    for data, key in partition.ascending(after, low=reach.low, low_open=reach.low_open):
        if not reach.holds(data):
            return
        yield key


def _descend(partition: SortedEntries, reach: _Range, start: StartKey | None) -> Iterator[PrimaryKey]:
    before: Entry | None = None if start is None else start.entry
    for data, key in partition.descending(before, high=reach.high, high_open=reach.high_open):
        if not reach.holds(data):
            return
        yield key


def _only(data: Any) -> _Range:
    return _Range(data, data)


def _below(data: Any) -> _Range:
    return _Range(high=data, high_open=True)


def _up_to(data: Any) -> _Range:
    return _Range(high=data)


def _above(data: Any) -> _Range:
    return _Range(data, low_open=True)


def _from_prefix(prefix: Any) -> _Range:
    return _Range(prefix, _after_prefix(prefix), high_open=True)


def _after_prefix(prefix: Any) -> Any:
    """The least string or binary above everything that begins with `prefix`; None where there is none."""
    if isinstance(prefix, bytes):
        kept = prefix.rstrip(b"\xff")
        return kept[:-1] + bytes([kept[-1] + 1]) if kept else None
    kept_text = str(prefix).rstrip(chr(_LAST_CODE_POINT))
    if not kept_text:
        return None
    code = ord(kept_text[-1])
    return kept_text[:-1] + chr(_AFTER_SURROGATES if code == _BEFORE_SURROGATES else code + 1)


_RANGES: Final[Mapping[str, Callable[..., _Range]]] = {
    "=": _only,
    "<": _below,
    "<=": _up_to,
    ">": _above,
    ">=": _Range,
    "BETWEEN": _Range,
    "begins_with": _from_prefix,
}
