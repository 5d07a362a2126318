"""The tables of one Region: made, found, changed, dropped, expired, and watched.

Owns which tables there are, the listeners that hear of every write, and time to live. Knows nothing of the wire.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Final, Protocol

from localcloud.clock import Clock
from localcloud.services.dynamodb.errors import DynamoError, table_missing, validation
from localcloud.services.dynamodb.schema import PrimaryKey, TableDefinition
from localcloud.services.dynamodb.streams import StreamLimits, Streams
from localcloud.services.dynamodb.table import Change, Table
from localcloud.services.dynamodb.values import Value

if TYPE_CHECKING:
    from localcloud.services.dynamodb.global_tables import GlobalTables
from localcloud.uuids import new_uuid

__all__ = ["Database", "Keeper"]

TTL_HORIZON_S: Final = 5 * 365 * 86_400  # ttl-how-it-works.html: an older date is taken for a mistake and left alone


class Keeper(Protocol):
    """Where tables are kept between runs; called in the same step as the change it keeps."""

    def keep_table(self, table: Table) -> None:
        """Remember the table's definition and settings."""
        ...

    def keep_change(self, change: Change) -> None:
        """Remember one write."""
        ...

    def drop_table(self, name: str) -> None:
        """Forget a table and its items."""
        ...

    def together(self) -> AbstractContextManager[None]:
        """Keep the changes made inside all or not at all."""
        ...


class Database:
    """The DynamoDB of one Region. One event loop uses it, so every call is one indivisible step."""

    def __init__(
        self,
        region: str,
        clock: Clock,
        *,
        account_id: str,
        randomness: Random,
        stream_limits: StreamLimits | None = None,
    ) -> None:
        self.region = region
        self.account_id = account_id
        self.clock = clock
        self.holds_policies = True  # False: nobody goes by resource policies, so none are taken
        self.tokens: dict[str, tuple[float, str]] = {}
        self.global_tables: GlobalTables | None = None  # None where it stands alone
        self.streams = Streams(
            f"arn:aws:dynamodb:{region}:{account_id}:",
            clock,
            randomness=randomness,
            limits=stream_limits or StreamLimits(),
        )
        self._randomness = randomness
        self._tables: dict[str, Table] = {}
        self._listeners: list[Callable[[Change], None]] = []
        self._expiries: dict[str, list[tuple[Decimal, int, PrimaryKey]]] = {}
        self._pushes = 0
        self._keeper: Keeper | None = None

    def subscribe(self, listener: Callable[[Change], None]) -> None:
        """Call `listener` after every write to any table, in the order of the writes, before the caller hears of it."""
        self._listeners.append(listener)

    def attach(self, keeper: Keeper) -> None:
        """Keep every later change with `keeper`."""
        self._keeper = keeper

    def together(self) -> AbstractContextManager[None]:
        """Whatever is written inside is kept all or not at all, should the process be killed."""
        return nullcontext() if self._keeper is None else self._keeper.together()

    def names(self) -> list[str]:
        """The tables' names, sorted."""
        return sorted(self._tables)

    def table(self, name: str, *, named: bool = False) -> Table:
        """The table called `name`; `named` puts the name into the error. Raises DynamoError where there is none."""
        found = self._tables.get(name)
        if found is None:
            raise table_missing(name if named else None)
        return found

    def create(self, definition: TableDefinition) -> Table:
        """A new empty table. Raises DynamoError where the name is taken."""
        if definition.name in self._tables:
            raise DynamoError("ResourceInUseException", f"Table already exists: {definition.name}")
        table = Table(definition, created_s=self.clock.time(), table_id=new_uuid(self._randomness))
        if definition.billing_mode == "PAY_PER_REQUEST":
            table.on_demand_s = table.created_s
        self._take_in(table)
        if definition.stream_view is not None:
            self.streams.enable(table)
        self.keep(table)
        return table

    def adopt(self, table: Table) -> None:
        """Take in a table that was kept."""
        self._take_in(table)
        if table.definition.stream_view is not None:
            self.streams.resume(table)

    def redefine(self, table: Table, definition: TableDefinition, *, old: TableDefinition | None = None) -> None:
        """Give `table` a definition with the same keys and indexes, and a new stream where that changes.

        `old`: the definition before, where the table has the new one already.
        """
        old, table.definition = old or table.definition, definition
        if table.throttle is not None:
            table.throttle.settle(definition)
        if definition.billing_mode == "PAY_PER_REQUEST" != old.billing_mode:
            table.on_demand_s = self.clock.time()
        if definition.stream_view != old.stream_view:
            self.streams.disable(definition.name)
            if definition.stream_view is not None:
                self.streams.enable(table)
        self.keep(table)

    def reindex(self, table: Table, definition: TableDefinition) -> None:
        """Give `table` a definition with other global indexes, capacity and types; the rest is the same."""
        old = table.definition
        table.reindex(definition)
        self.redefine(table, definition, old=old)

    def drop(self, name: str) -> Table:
        """Remove a table with its items. Raises DynamoError where there is none or it is protected."""
        table = self.check_drop(name)
        del self._tables[name]
        self._expiries.pop(name, None)
        self.streams.disable(name)
        if self._keeper is not None:
            self._keeper.drop_table(name)
        if self.global_tables is not None:
            self.global_tables.left(self, table)
        return table

    def check_drop(self, name: str) -> Table:
        """The table called `name`, which may be dropped. Raises DynamoError where there is none or it is protected."""
        table = self.table(name, named=True)
        if table.definition.is_protected:
            raise validation(
                "Resource cannot be deleted as it is currently protected against deletion. "
                "Disable deletion protection first."
            )
        return table

    def set_ttl(self, table: Table, attribute: str | None) -> None:
        """Let items expire by the epoch seconds in `attribute`; None: no longer."""
        table.ttl_attribute = attribute
        self._expiries.pop(table.definition.name, None)
        if attribute is not None:
            self._index_expiries(table)
        self.keep(table)

    def sweep(self) -> int:
        """Delete what has expired; returns how many items that were.

        Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/howitworks-ttl.html
        """
        now = Decimal(int(self.clock.time()))
        count = 0
        for name, heap in self._expiries.items():
            table = self._tables[name]
            elsewhere: list[tuple[Decimal, int, PrimaryKey]] = []
            while heap and heap[0][0] < now:
                expires, push, key = heapq.heappop(heap)
                record = table.records.get(key)
                if record is None or _expiry(record.item, table.ttl_attribute) != expires:
                    continue
                if table.replica is not None and not table.replica.expires(key):
                    elsewhere.append((expires, push, key))
                    continue
                count += 1
                table.delete(key, cause="ttl")
            for entry in elsewhere:
                heapq.heappush(heap, entry)
        return count

    def _hear(self, change: Change) -> None:
        if self._keeper is not None:
            self._keeper.keep_change(change)
        if change.new is not None and change.table.ttl_attribute is not None:
            self._push_expiry(change.table, change.key, change.new.item)
        self.streams.hear(change)
        for listener in self._listeners:
            listener(change)

    def keep(self, table: Table) -> None:
        """Keep the table's definition and settings, where tables are kept."""
        if self._keeper is not None:
            self._keeper.keep_table(table)

    def _take_in(self, table: Table) -> None:
        table.listeners.append(self._hear)
        self._tables[table.definition.name] = table
        if table.ttl_attribute is not None:
            self._index_expiries(table)

    def _index_expiries(self, table: Table) -> None:
        self._expiries[table.definition.name] = []
        for key, record in table.records.items():
            self._push_expiry(table, key, record.item)

    def _push_expiry(self, table: Table, key: PrimaryKey, item: dict[str, Value]) -> None:
        expires = _expiry(item, table.ttl_attribute)
        if expires is None or expires < Decimal(int(self.clock.time())) - TTL_HORIZON_S:
            return
        self._pushes += 1  # keys of different types cannot be compared: the count breaks ties
        heapq.heappush(self._expiries[table.definition.name], (expires, self._pushes, key))


def _expiry(item: dict[str, Value], attribute: str | None) -> Decimal | None:
    value = None if attribute is None else item.get(attribute)
    return value.data if value is not None and value.type == "N" else None
