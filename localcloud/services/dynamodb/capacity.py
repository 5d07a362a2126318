"""Capacity units: what a read or a write costs, and how the answer tells.

Owns the arithmetic, and the metrics of item collections; what is throttled is in `throttling`.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from localcloud.services.dynamodb.members import Members
from localcloud.services.dynamodb.schema import Index, PrimaryKey, index_place
from localcloud.services.dynamodb.table import Change, Record, Table
from localcloud.services.dynamodb.values import Value, encode_value, item_size

__all__ = [
    "Usage",
    "capacity_mode",
    "check_usage",
    "collection_metrics",
    "describe_usage",
    "merge_usage",
    "read_units",
    "read_usage",
    "wants_metrics",
    "write_usage",
]

READ_UNIT_BYTES: Final = 4096
WRITE_UNIT_BYTES: Final = 1024
_GIGABYTE: Final = 1024**3


@dataclass(slots=True)
class Usage:
    """Units that one request used on one table, and on its indexes by name.

    `is_transactional`: the answer tells reads and writes apart.
    """

    table: Table
    units: float = 0.0
    by_index: dict[str, float] = field(default_factory=dict[str, float])
    is_write: bool = False
    is_transactional: bool = False


def capacity_mode(request: Members) -> str:
    """ReturnConsumedCapacity: INDEXES, TOTAL or NONE."""
    return request.choice("ReturnConsumedCapacity", ("INDEXES", "TOTAL", "NONE"), "NONE")


def wants_metrics(request: Members) -> bool:
    """Whether ReturnItemCollectionMetrics is SIZE."""
    return request.choice("ReturnItemCollectionMetrics", ("SIZE", "NONE"), "NONE") == "SIZE"


def read_units(size_bytes: int, *, consistent: bool, transactional: bool = False) -> float:
    """Units of a read of `size_bytes`: one for each 4 KB, half if eventually consistent, two in a transaction."""
    blocks = max(1, -(-size_bytes // READ_UNIT_BYTES))
    return blocks * (2.0 if transactional else 1.0 if consistent else 0.5)


def read_usage(table: Table, units: float, index: Index | None = None, *, transactional: bool = False) -> Usage:
    """A read's usage, on the table or on one index."""
    if index is None:
        return Usage(table, units, is_transactional=transactional)
    return Usage(table, 0.0, {index.name: units})


def check_usage(table: Table, record: Record | None, *, transactional: bool = False) -> Usage:
    """The usage of a write that did not take place, because its condition did not hold, or that checked one alone."""
    units = (2.0 if transactional else 1.0) * _write_units(_size(record))
    return Usage(table, units, is_write=True, is_transactional=transactional)


def write_usage(change: Change, *, transactional: bool = False) -> Usage:
    """A write's usage: one unit for each KB of the larger image, and for each index entry that changed."""
    factor = 2.0 if transactional else 1.0
    usage = Usage(change.table, factor * _write_units(_size(change.old), _size(change.new)), is_write=True)
    usage.is_transactional = transactional
    for index in change.table.definition.indexes.values():
        units = _index_units(change, index)
        if units:
            usage.by_index[index.name] = factor * units
    return usage


def merge_usage(parts: Iterable[Usage]) -> list[Usage]:
    """Usages summed by table, in the order in which the tables came."""
    merged: dict[str, Usage] = {}
    for part in parts:
        total = merged.setdefault(part.table.definition.name, replace(part, units=0.0, by_index={}))
        total.units += part.units
        for name, units in part.by_index.items():
            total.by_index[name] = total.by_index.get(name, 0.0) + units
    return list(merged.values())


def describe_usage(usage: Usage, mode: str) -> dict[str, Any]:
    """ConsumedCapacity on the wire."""
    definition = usage.table.definition
    answer: dict[str, Any] = {
        "TableName": definition.name,
        **_describe_units(usage, usage.units + sum(usage.by_index.values())),
    }
    if mode != "INDEXES":
        return answer
    answer["Table"] = _describe_units(usage, usage.units)
    for name, units in usage.by_index.items():
        member = "GlobalSecondaryIndexes" if definition.indexes[name].is_global else "LocalSecondaryIndexes"
        answer.setdefault(member, {})[name] = _describe_units(usage, units)
    return answer


def collection_metrics(table: Table, key: PrimaryKey) -> dict[str, Any] | None:
    """ItemCollectionMetrics of the collection at a primary key; None where the table has no local index.

    The estimate is a gigabyte wide. Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/LSI.html
    """
    definition = table.definition
    local = [index for index in definition.indexes.values() if not index.is_global]
    if not local:
        return None
    low = 0.0
    if table.size_bytes * (1 + len(local)) >= _GIGABYTE:  # otherwise no collection can be as large
        low = float(sum(_held(table, entry[1], local) for entry in table.order(None).partition(key[0]).ascending()))
        low //= _GIGABYTE
    name = definition.keys.hash_name
    shown = encode_value(Value(definition.types[name], key[0]))
    return {"ItemCollectionKey": {name: shown}, "SizeEstimateRangeGB": [low, low + 1.0]}


def _held(table: Table, key: PrimaryKey, local: Sequence[Index]) -> int:
    record, definition = table.records[key], table.definition
    held = [index for index in local if index_place(definition, index, record.item) is not None]
    return record.size_bytes + sum(item_size(index.project(record.item, definition.keys)) for index in held)


def _describe_units(usage: Usage, units: float) -> dict[str, float]:
    if not usage.is_transactional:
        return {"CapacityUnits": units}
    return {"CapacityUnits": units, "WriteCapacityUnits" if usage.is_write else "ReadCapacityUnits": units}


def _size(record: Record | None) -> int:
    return 0 if record is None else record.size_bytes


def _write_units(*sizes: int) -> int:
    return max(1, -(-max(sizes) // WRITE_UNIT_BYTES))


def _index_units(change: Change, index: Index) -> int:
    keys = change.table.definition.keys
    images: list[tuple[Any, Any]] = []
    for record in (change.old, change.new):
        place = None if record is None else index_place(change.table.definition, index, record.item)
        images.append((place, None if record is None or place is None else index.project(record.item, keys)))
    (old_place, old), (new_place, new) = images
    if old == new:
        return 0
    if old_place == new_place:
        return _write_units(item_size(old), item_size(new))
    return sum(_write_units(item_size(image)) for image in (old, new) if image is not None)
