"""Capacity units: what a read or a write costs, and how the answer tells.

Owns the arithmetic; nothing is ever throttled.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from localcloud.services.dynamodb.members import Members
from localcloud.services.dynamodb.schema import Index, index_key
from localcloud.services.dynamodb.table import Change, Record, Table
from localcloud.services.dynamodb.values import item_size

__all__ = ["Usage", "capacity_mode", "describe_usage", "merge_usage", "read_units", "read_usage", "write_usage"]

READ_UNIT_BYTES: Final = 4096
WRITE_UNIT_BYTES: Final = 1024


@dataclass(slots=True)
class Usage:
    """Units that one request used on one table, and on its indexes by name."""

    table: Table
    units: float = 0.0
    by_index: dict[str, float] = field(default_factory=dict[str, float])
    is_write: bool = False


def capacity_mode(request: Members) -> str:
    """ReturnConsumedCapacity: INDEXES, TOTAL or NONE."""
    return request.choice("ReturnConsumedCapacity", ("INDEXES", "TOTAL", "NONE"), "NONE")


def read_units(size_bytes: int, *, consistent: bool, transactional: bool = False) -> float:
    """Units of a read of `size_bytes`: one for each 4 KB, half if eventually consistent, two in a transaction."""
    blocks = max(1, -(-size_bytes // READ_UNIT_BYTES))
    return blocks * (2.0 if transactional else 1.0 if consistent else 0.5)


def read_usage(table: Table, units: float, index: Index | None = None) -> Usage:
    """A read's usage, on the table or on one index."""
    return Usage(table, units) if index is None else Usage(table, 0.0, {index.name: units})


def write_usage(change: Change, *, transactional: bool = False) -> Usage:
    """A write's usage: one unit for each KB of the larger image, and for each index entry that changed."""
    factor = 2.0 if transactional else 1.0
    usage = Usage(change.table, factor * _write_units(_size(change.old), _size(change.new)), is_write=True)
    for index in change.table.definition.indexes.values():
        units = _index_units(change, index)
        if units:
            usage.by_index[index.name] = factor * units
    return usage


def merge_usage(parts: Iterable[Usage]) -> list[Usage]:
    """Usages summed by table, in the order in which the tables came."""
    merged: dict[str, Usage] = {}
    for part in parts:
        total = merged.setdefault(part.table.definition.name, Usage(part.table, is_write=part.is_write))
        total.units += part.units
        for name, units in part.by_index.items():
            total.by_index[name] = total.by_index.get(name, 0.0) + units
    return list(merged.values())


def describe_usage(usage: Usage, mode: str) -> dict[str, Any]:
    """ConsumedCapacity on the wire."""
    definition = usage.table.definition
    answer: dict[str, Any] = {
        "TableName": definition.name,
        "CapacityUnits": usage.units + sum(usage.by_index.values()),
    }
    if mode != "INDEXES":
        return answer
    answer["Table"] = {"CapacityUnits": usage.units}
    for name, units in usage.by_index.items():
        member = "GlobalSecondaryIndexes" if definition.indexes[name].is_global else "LocalSecondaryIndexes"
        answer.setdefault(member, {})[name] = {"CapacityUnits": units}
    return answer


def _size(record: Record | None) -> int:
    return 0 if record is None else record.size_bytes


def _write_units(*sizes: int) -> int:
    return max(1, -(-max(sizes) // WRITE_UNIT_BYTES))


def _index_units(change: Change, index: Index) -> int:
    keys = change.table.definition.keys
    images: list[tuple[Any, Any]] = []
    for record in (change.old, change.new):
        place = None if record is None else index_key(change.table.definition, index, record.item)
        images.append((place, None if record is None or place is None else index.project(record.item, keys)))
    (old_place, old), (new_place, new) = images
    if old == new:
        return 0
    if old_place == new_place:
        return _write_units(item_size(old), item_size(new))
    return sum(_write_units(item_size(image)) for image in (old, new) if image is not None)
