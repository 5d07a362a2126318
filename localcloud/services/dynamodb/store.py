"""DynamoDB's durable store: SQLite beside the memory, written in the same step as the change.

Owns the file and its two tables; the memory stays the truth while the process runs. Every change is one SQLite
transaction, so a killed process loses nothing that was answered (see `localcloud.persistence`).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from localcloud.persistence import open_database, transaction
from localcloud.services.dynamodb.model import Database
from localcloud.services.dynamodb.replication import Membership
from localcloud.services.dynamodb.schema import Index, KeySchema, TableDefinition
from localcloud.services.dynamodb.table import Change, Table
from localcloud.services.dynamodb.values import encode_item, encode_value, parse_item

__all__ = ["Store"]

_FILE: Final = "dynamodb.sqlite3"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS tables (region TEXT, name TEXT, definition TEXT NOT NULL, PRIMARY KEY (region, name));
CREATE TABLE IF NOT EXISTS items (region TEXT, name TEXT, item_key TEXT, item TEXT NOT NULL,
  PRIMARY KEY (region, name, item_key)) WITHOUT ROWID;
"""


class Store:
    """The kept tables of every Region, in `folder`. Close it when the service ends.

    Raises KeptStateUnusable.
    """

    def __init__(self, folder: Path) -> None:
        self._connection = open_database(folder / _FILE, _SCHEMA)

    def load(self, database: Database) -> None:
        """Give `database` its Region's kept tables, and keep what changes from now on."""
        rows = self._connection.execute("SELECT name, definition FROM tables WHERE region = ?", (database.region,))
        for name, text in rows.fetchall():
            table = _decode_table(json.loads(text))
            query = "SELECT item FROM items WHERE region = ? AND name = ?"
            for (item,) in self._connection.execute(query, (database.region, name)):
                table.put(parse_item(json.loads(item)))
            database.adopt(table)
        database.attach(_RegionKeeper(self._connection, database.region))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


class _RegionKeeper:
    """A `Keeper` for one Region."""

    def __init__(self, connection: sqlite3.Connection, region: str) -> None:
        self._connection = connection
        self._region = region

    def keep_table(self, table: Table) -> None:
        """Write the definition."""
        self._connection.execute(
            "INSERT OR REPLACE INTO tables VALUES (?, ?, ?)",
            (self._region, table.definition.name, json.dumps(_encode_table(table))),
        )

    def keep_change(self, change: Change) -> None:
        """Write the new image, or delete the row."""
        record = change.new or change.old
        if record is None:
            return
        definition = change.table.definition
        key = json.dumps([encode_value(record.item[name]) for name in definition.keys.names])
        place = (self._region, definition.name, key)
        if change.new is None:
            self._connection.execute("DELETE FROM items WHERE region = ? AND name = ? AND item_key = ?", place)
        else:
            text = json.dumps(encode_item(change.new.item))
            self._connection.execute("INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?)", (*place, text))

    def drop_table(self, name: str) -> None:
        """Delete the table with its items."""
        with self.together():
            self._connection.execute("DELETE FROM items WHERE region = ? AND name = ?", (self._region, name))
            self._connection.execute("DELETE FROM tables WHERE region = ? AND name = ?", (self._region, name))

    def together(self) -> AbstractContextManager[None]:
        """One SQLite transaction."""
        return transaction(self._connection)


def _encode_table(table: Table) -> dict[str, Any]:
    definition = table.definition
    return {
        "name": definition.name,
        "keys": definition.keys.names,
        "types": dict(definition.types),
        "indexes": [
            [index.name, index.keys.names, index.projection, index.included, index.is_global, index.throughput]
            for index in definition.indexes.values()
        ],
        "billing_mode": definition.billing_mode,
        "throughput": definition.throughput,
        "is_protected": definition.is_protected,
        "tags": definition.tags,
        "created_s": table.created_s,
        "table_id": table.table_id,
        "ttl_attribute": table.ttl_attribute,
        "policy": table.policy,
        "stream_view": definition.stream_view,
        "stream_label": table.stream_label,
        "on_demand_s": table.on_demand_s,
        "membership": None if table.membership is None else asdict(table.membership),
        "journalled": table.journalled,
    }


def _decode_table(raw: Mapping[str, Any]) -> Table:
    indexes = [
        Index(name, KeySchema(*keys), projection, tuple(included), is_global, _units(rest, raw))
        for name, keys, projection, included, is_global, *rest in raw["indexes"]
    ]
    definition = TableDefinition(
        name=raw["name"],
        keys=KeySchema(*raw["keys"]),
        types=raw["types"],
        indexes={index.name: index for index in indexes},
        billing_mode=raw["billing_mode"],
        throughput=(raw["throughput"][0], raw["throughput"][1]),
        is_protected=raw["is_protected"],
        tags=tuple((key, value) for key, value in raw["tags"]),
        stream_view=raw.get("stream_view"),  # a file of an earlier version has none
    )
    table = Table(definition, created_s=raw["created_s"], table_id=raw["table_id"])
    table.ttl_attribute = raw["ttl_attribute"]
    table.policy = tuple(raw["policy"]) if raw.get("policy") else None
    table.membership = _decode_membership(raw.get("membership"))
    table.journalled = raw.get("journalled", 0)
    table.stream_label = raw.get("stream_label")
    table.on_demand_s = raw.get("on_demand_s", table.created_s if definition.billing_mode != "PROVISIONED" else None)
    return table


def _units(rest: list[list[int]], raw: Mapping[str, Any]) -> tuple[int, int]:
    """An index's own units; a file of an earlier version has the table's alone."""
    reads, writes = rest[0] if rest else raw["throughput"]
    return reads, writes


def _decode_membership(raw: Mapping[str, Any] | None) -> Membership | None:
    if raw is None:
        return None
    return Membership(raw["consistency"], tuple(raw["regions"]), raw["witness"], raw["sourced_s"])
