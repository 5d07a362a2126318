"""What Query and Scan have in common: index, filter, projection, page, answer.

Owns the request's read options and the walk over entries up to Limit or 1 MB; where a walk starts and ends is the
caller's.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.Pagination.html
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from localcloud.services.dynamodb.capacity import capacity_mode, describe_usage, read_units, read_usage
from localcloud.services.dynamodb.errors import invalid_parameter, validation
from localcloud.services.dynamodb.expressions import (
    Bindings,
    Condition,
    Path,
    holds,
    parse_condition,
    parse_projection,
    project_item,
    walk_paths,
)
from localcloud.services.dynamodb.members import Members
from localcloud.services.dynamodb.schema import Index, PrimaryKey
from localcloud.services.dynamodb.table import Record, Table
from localcloud.services.dynamodb.throttling import charge_read, check_read
from localcloud.services.dynamodb.values import Item, encode_item, encode_value, item_size
from localcloud.services.dynamodb.writes import check_scalar_keys

__all__ = ["Reading", "View", "find_index", "parse_reading", "read_page"]

MAX_PAGE_BYTES: Final = 1024 * 1024  # Query.Pagination.html
_SELECTS: Final = ("SPECIFIC_ATTRIBUTES", "COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES")
_CONFLICTS: Final = {
    "ALL_ATTRIBUTES": "ALL_ATTRIBUTES",
    "COUNT": "only the Count",
    "ALL_PROJECTED_ATTRIBUTES": "ALL_PROJECTED_ATTRIBUTES",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """The read options of a request, before the table is known."""

    limit: int | None
    select: str
    filter: Condition | None
    projection: tuple[Path, ...] | None
    is_consistent: bool
    capacity: str


@dataclass(frozen=True, slots=True)
class View:
    """What a request reads: a table, or one of its indexes, with its options."""

    table: Table
    index: Index | None
    reading: Reading

    def show(self, record: Record) -> tuple[Item, int]:
        """What is seen of an item, and its size. A local index fetches from the table what it lacks."""
        index, reading = self.index, self.reading
        if index is None or index.projection == "ALL":
            return record.item, record.size_bytes
        if not index.is_global and (reading.select == "ALL_ATTRIBUTES" or reading.projection is not None):
            return record.item, record.size_bytes
        item = index.project(record.item, self.table.definition.keys)
        return item, item_size(item)


def parse_reading(request: Members, bindings: Bindings) -> Reading:
    """The read options. Raises DynamoError in AWS's words."""
    limit = request.count("Limit", low=1)
    select = request.choice("Select", _SELECTS, "")
    filter_text, projection_text = request.text("FilterExpression"), request.text("ProjectionExpression")
    condition = None if filter_text is None else parse_condition(filter_text, bindings, parameter="FilterExpression")
    projection = None if projection_text is None else parse_projection(projection_text, bindings)
    if projection is not None and select in _CONFLICTS:
        raise validation(f"Cannot specify the ProjectionExpression when choosing to get {_CONFLICTS[select]}")
    if projection is None and select == "SPECIFIC_ATTRIBUTES":
        raise validation(
            "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES"
        )
    if select == "ALL_PROJECTED_ATTRIBUTES" and "IndexName" not in request:
        raise invalid_parameter("ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName")
    return Reading(limit, select, condition, projection, request.flag("ConsistentRead"), capacity_mode(request))


def find_index(table: Table, request: Members, reading: Reading, *, now: float) -> Index | None:
    """The index that the request names, None for the table. Raises DynamoError where it cannot serve it at `now`."""
    definition = table.definition
    if reading.filter is not None:
        check_scalar_keys(definition, walk_paths(reading.filter))
    name = request.text("IndexName")
    if name is None:
        return None
    index = definition.indexes.get(name)
    if index is None:
        raise validation(f"The table does not have the specified index: {name}")
    if not index.is_global:
        return index
    if table.states is not None:
        table.states.check_readable(name, now)
    if reading.is_consistent:
        raise validation("Consistent reads are not supported on global secondary indexes")
    if reading.select == "ALL_ATTRIBUTES" and index.projection != "ALL":
        raise invalid_parameter(
            f"Select type ALL_ATTRIBUTES is not supported for global secondary index {name} "
            "because its projection type is not ALL"
        )
    _check_projected(table, index, reading)
    return index


def read_page(view: View, keys: Iterable[PrimaryKey]) -> dict[str, Any]:
    """The answer to a Query or Scan that walks `keys`, up to its limit or 1 MB of items before the filter."""
    reading = view.reading
    check_read(view.table, view.index)
    page = _Page()
    records = view.table.seen(view.index)
    for key in keys:
        record = records[key]
        item, item_bytes = view.show(record)
        if page.size_bytes + item_bytes > MAX_PAGE_BYTES:
            page.is_cut = True
            break
        page.size_bytes += item_bytes
        page.scanned += 1
        page.last = record
        if reading.filter is None or holds(reading.filter, item):
            page.found.append(item if reading.projection is None else project_item(item, reading.projection))
        if page.scanned == reading.limit:
            page.is_cut = True
            break
    return _answer(view, page)


@dataclass(slots=True)
class _Page:
    found: list[Item] = field(default_factory=list[Item])
    scanned: int = 0
    size_bytes: int = 0
    last: Record | None = None
    is_cut: bool = False


def _answer(view: View, page: _Page) -> dict[str, Any]:
    reading = view.reading
    answer: dict[str, Any] = {"Count": len(page.found), "ScannedCount": page.scanned}
    if reading.select != "COUNT":
        answer["Items"] = [encode_item(item) for item in page.found]
    if page.is_cut and page.last is not None:
        names = dict.fromkeys((*view.table.definition.keys.names, *view.table.key_schema(view.index).names))
        answer["LastEvaluatedKey"] = {name: encode_value(page.last.item[name]) for name in names}
    usage = read_usage(view.table, read_units(page.size_bytes, consistent=reading.is_consistent), view.index)
    charge_read(usage)
    if reading.capacity != "NONE":
        answer["ConsumedCapacity"] = describe_usage(usage, reading.capacity)
    return answer


def _check_projected(table: Table, index: Index, reading: Reading) -> None:
    if index.projection == "ALL" or reading.projection is None:
        return
    kept = {*index.keys.names, *table.definition.keys.names, *index.included}
    missing = [path.root for path in reading.projection if path.root not in kept]
    if missing:
        names = ", ".join(dict.fromkeys(missing))
        raise invalid_parameter(f"Global secondary index {index.name} does not project [{names}]")
