"""Table definitions: key schemas, secondary indexes and the keys of items.

Owns what CreateTable accepts and how a key is read from an item; knows nothing of stored items.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from localcloud.services.dynamodb.errors import DynamoError, invalid_parameter, schema_violation, validation
from localcloud.services.dynamodb.values import Item, Value, value_size

__all__ = [
    "Index",
    "KeySchema",
    "PrimaryKey",
    "TableDefinition",
    "check_index_values",
    "check_key_value",
    "index_place",
    "primary_key",
    "schema_mismatch",
]

MAX_HASH_BYTES: Final = 2048  # Constraints.html, "Partition key length"
MAX_RANGE_BYTES: Final = 1024  # Constraints.html, "Sort key length"
_INVALID: Final = "One or more parameter values were invalid:"

PrimaryKey = tuple[Any, Any]
"""(partition key data, sort key data); the sort key is 0 where the schema has none."""


@dataclass(frozen=True, slots=True)
class KeySchema:
    """Names of the key attributes; `range_name` is None where there is no sort key."""

    hash_name: str
    range_name: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The key attributes, partition key first."""
        return (self.hash_name,) if self.range_name is None else (self.hash_name, self.range_name)

    def describe(self) -> list[dict[str, str]]:
        """The wire form."""
        return [
            {"AttributeName": name, "KeyType": kind} for name, kind in zip(self.names, ("HASH", "RANGE"), strict=False)
        ]


@dataclass(frozen=True, slots=True)
class Index:
    """A secondary index. `projection`: ALL, KEYS_ONLY or INCLUDE (then with `included` attributes).

    `throughput`: read and write units of a provisioned table's global index, which are its own; zeros otherwise.
    """

    name: str
    keys: KeySchema
    projection: str
    included: tuple[str, ...]
    is_global: bool
    throughput: tuple[int, int] = (0, 0)

    def project(self, item: Item, table_keys: KeySchema) -> Item:
        """What the index holds of `item`."""
        if self.projection == "ALL":
            return item
        kept = {*self.keys.names, *table_keys.names, *self.included}
        return {name: value for name, value in item.items() if name in kept}


@dataclass(frozen=True, slots=True)
class TableDefinition:
    """What CreateTable settled and UpdateTable changed. `stream_view`: of the stream, None where it is disabled."""

    name: str
    keys: KeySchema
    types: Mapping[str, str]
    indexes: Mapping[str, Index]
    billing_mode: str = "PROVISIONED"
    throughput: tuple[int, int] = (0, 0)
    is_protected: bool = False
    tags: tuple[tuple[str, str], ...] = ()
    stream_view: str | None = None


def primary_key(definition: TableDefinition, item: Mapping[str, Value], *, exact: bool = False) -> PrimaryKey:
    """The primary key in `item`; `exact` where `item` must be the key and nothing else.

    Raises DynamoError where a key attribute is missing, of another type, empty or too long.
    """
    if exact and len(item) != len(definition.keys.names):
        raise schema_mismatch()
    found: list[Any] = []
    for name in definition.keys.names:
        value = item.get(name)
        expected = definition.types[name]
        if value is None or value.type != expected:
            raise _wrong_key(name, expected, value, exact=exact)
        check_key_value(definition.keys, name, value)
        found.append(value.data)
    return found[0], (found[1] if len(found) > 1 else 0)


def index_place(definition: TableDefinition, index: Index, item: Mapping[str, Value]) -> PrimaryKey | None:
    """The key of `item` in `index`; None where it is not in the index.

    It is not in where a key attribute is missing, or violates the index: that is so of items that were there before it.
    Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.OnlineOps.ViolationDetection.html
    """
    found: list[Any] = []
    for name in index.keys.names:
        value = item.get(name)
        if value is None or value.type != definition.types[name] or not _may_be_key(index.keys, name, value):
            return None
        found.append(value.data)
    return found[0], (found[1] if len(found) > 1 else 0)


def _may_be_key(keys: KeySchema, name: str, value: Value) -> bool:
    if value.type == "N":
        return True
    return bool(value.data) and value_size(value) <= (MAX_HASH_BYTES if name == keys.hash_name else MAX_RANGE_BYTES)


def check_key_value(keys: KeySchema, name: str, value: Value) -> None:
    """Check that a key's value is neither empty nor too long. Raises DynamoError."""
    if value.type == "N":
        return
    if not value.data:
        kind = "string" if value.type == "S" else "binary"
        raise validation(
            "One or more parameter values are not valid. "
            f"The AttributeValue for a key attribute cannot contain an empty {kind} value. Key: {name}"
        )
    _check_key_size(keys, name, value)


def _check_key_size(keys: KeySchema, name: str, value: Value) -> None:
    size = value_size(value)
    if name == keys.hash_name and size > MAX_HASH_BYTES:
        raise invalid_parameter(f"Size of hashkey has exceeded the maximum size limit of{MAX_HASH_BYTES} bytes")
    if name != keys.hash_name and size > MAX_RANGE_BYTES:
        raise invalid_parameter(
            f"Aggregated size of all range keys has exceeded the size limit of {MAX_RANGE_BYTES} bytes"
        )


def check_index_values(definition: TableDefinition, item: Mapping[str, Value]) -> None:
    """Check that `item` may stand in every index: key types, no empty key, none too long. Raises DynamoError."""
    for index in definition.indexes.values():
        for name in index.keys.names:
            value = item.get(name)
            if value is None or name in definition.keys.names:
                continue
            expected = definition.types[name]
            if value.type != expected:
                raise schema_violation(
                    f"{_INVALID} Type mismatch for Index Key {name} Expected: {expected} Actual: {value.type} "
                    f"IndexName: {index.name}",
                    of="index",
                )
            if value.type != "N" and not value.data:
                kind = "string" if value.type == "S" else "binary"
                raise validation(
                    "One or more parameter values are not valid. A value specified for a secondary index key is not "
                    f"supported. The AttributeValue for a key attribute cannot contain an empty {kind} value. "
                    f"IndexName: {index.name}, IndexKey: {name}"
                )
            if value.type != "N":
                _check_key_size(index.keys, name, value)


def schema_mismatch() -> DynamoError:
    """A key is not what the table's schema says, in the words that do not say which."""
    return schema_violation("The provided key element does not match the schema")


def _wrong_key(name: str, expected: str, value: Value | None, *, exact: bool) -> DynamoError:
    if exact:
        return schema_mismatch()
    if value is None:
        return schema_violation(f"{_INVALID} Missing the key {name} in the item")
    return schema_violation(f"{_INVALID} Type mismatch for key {name} expected: {expected} actual: {value.type}")
