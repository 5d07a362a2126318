"""One table: its items and its indexes, kept sorted, changed by one write at a time.

Owns storage and order; knows no request and no expression. A partition is a sorted collection of its sort keys, so
a point operation is a dictionary look-up and a query starts where it must. Partitions stand in the order of a hash of
their key, as on AWS, which is what a scan and its segments follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from localcloud.services.dynamodb.numbers import format_number
from localcloud.services.dynamodb.ordered import Entry, SortedEntries
from localcloud.services.dynamodb.schema import Index, KeySchema, PrimaryKey, TableDefinition, index_place, primary_key
from localcloud.services.dynamodb.values import Item, item_size

if TYPE_CHECKING:
    from localcloud.services.dynamodb.index_lag import IndexLag
    from localcloud.services.dynamodb.index_states import IndexStates
    from localcloud.services.dynamodb.replication import Membership, Replica
    from localcloud.services.dynamodb.throttling import Throttle

__all__ = ["Change", "Partitions", "Record", "Table", "partition_digest"]

DIGEST_BITS: Final = 64


class Record(NamedTuple):
    """A stored item and its size by AWS's count."""

    item: Item
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Change:
    """One write that took place. `old` is None where there was no item, `new` where there is none now.

    `cause` is `user`, `ttl` where the time to live deleted it, or `replication` where another Region wrote it.
    """

    table: Table
    key: PrimaryKey
    old: Record | None
    new: Record | None
    cause: str = "user"


def partition_digest(hash_data: Any) -> int:
    """Where a partition stands in the order of a scan, from 0 to 2**64."""
    if isinstance(hash_data, bytes):
        text = hash_data
    else:
        text = (hash_data if isinstance(hash_data, str) else format_number(hash_data)).encode()
    return int.from_bytes(blake2b(text, digest_size=DIGEST_BITS // 8).digest(), "big")


class Partitions:
    """The keys of a table or an index: partitions by partition key, each in the order of its sort key."""

    def __init__(self) -> None:
        self._partitions: dict[Any, SortedEntries] = {}
        self._order = SortedEntries()

    def add(self, hash_data: Any, entry: Entry) -> None:
        """Put (sort key data, primary key) into a partition."""
        partition = self._partitions.get(hash_data)
        if partition is None:
            partition = self._partitions[hash_data] = SortedEntries()
            self._order.add((partition_digest(hash_data), hash_data))
        partition.add(entry)

    def remove(self, hash_data: Any, entry: Entry) -> None:
        """Take (sort key data, primary key) out of a partition."""
        partition = self._partitions[hash_data]
        partition.remove(entry)
        if not len(partition):
            del self._partitions[hash_data]
            self._order.remove((partition_digest(hash_data), hash_data))

    def partition(self, hash_data: Any) -> SortedEntries:
        """The entries of one partition, empty where there is none."""
        return self._partitions.get(hash_data) or SortedEntries()

    def scan(self, *, first: int, last: int, after: tuple[Any, Entry] | None = None) -> Iterator[tuple[Any, Entry]]:
        """(partition key data, entry) of every partition whose digest is from `first` up to, not including, `last`.

        `after` is the place where the previous page ended; it need not be there any more.
        """
        start = None if after is None else (partition_digest(after[0]), after[0])
        if after is not None and start is not None and start[0] < last:
            for entry in self.partition(after[0]).ascending(after[1]):
                yield after[0], entry
        for digest, hash_data in self._order.ascending(start, low=first):
            if digest >= last:
                return
            for entry in self._partitions[hash_data].ascending():
                yield hash_data, entry


class Table:
    """Items by primary key, with the order of the table and of each index. Not for use by several threads."""

    def __init__(self, definition: TableDefinition, *, created_s: float, table_id: str) -> None:
        self.definition = definition
        self.created_s = created_s
        self.table_id = table_id
        self.ttl_attribute: str | None = None
        self.stream_label: str | None = None  # of the latest stream, which may be disabled by now
        self.on_demand_s: float | None = None  # when it last became PAY_PER_REQUEST
        self.protection_changed_s: float | None = None
        self.membership: Membership | None = None  # of a global table
        self.replica: Replica | None = None  # what replicates it, where that is eventual
        self.journalled = 0  # how many writes of a strongly consistent table's journal it has taken
        self.throttle: Throttle | None = None  # None: nothing is throttled
        self.states: IndexStates | None = None  # of global indexes that are being made or deleted
        self.policy: tuple[str, str] | None = None  # the resource policy's text and revision id
        self.records: dict[PrimaryKey, Record] = {}
        self.size_bytes = 0
        self._orders: dict[str | None, Partitions] = {name: Partitions() for name in (None, *definition.indexes)}
        self.listeners: list[Callable[[Change], None]] = []
        self._lag: IndexLag | None = None

    def order(self, index: Index | None) -> Partitions:
        """The sorted keys of the table (None) or of an index, brought to now."""
        if self._lag is not None and index is not None and index.is_global:
            self._lag.settle(self._move_global)
        return self._orders[None if index is None else index.name]

    def seen(self, index: Index | None) -> Mapping[PrimaryKey, Record]:
        """The items as the table (None) or an index has them, whose `order` was taken just before."""
        return self.records if self._lag is None or index is None or not index.is_global else self._lag.records

    def delay_indexes(self, lag: IndexLag | None) -> None:
        """Let the global indexes see writes later; None: at once, as they are otherwise."""
        self._lag = lag
        self._fill([index for index in self.definition.indexes.values() if index.is_global])

    def reindex(self, definition: TableDefinition) -> None:
        """Take a definition with other global indexes: new ones are filled, those that are gone are forgotten."""
        old, self.definition = self.definition.indexes, definition
        self._orders = {name: order for name, order in self._orders.items() if name in {None, *definition.indexes}}
        self._fill([index for name, index in definition.indexes.items() if old.get(name) != index])

    def _fill(self, indexes: Sequence[Index]) -> None:
        for index in indexes:
            order = self._orders[index.name] = Partitions()
            for key, record in self.seen(index).items():
                place = self._place(index, key, record)
                if place is not None:
                    order.add(place[0], (place[1], key))

    def key_schema(self, index: Index | None) -> KeySchema:
        """The key attributes of the table (None) or of an index."""
        return self.definition.keys if index is None else index.keys

    def put(self, item: Item, *, cause: str = "user") -> Change:
        """Store `item` in place of what has its key. Raises DynamoError where a key is not as the schema wants it."""
        key = primary_key(self.definition, item)
        return self._write(key, Record(item, item_size(item)), cause)

    def delete(self, key: PrimaryKey, *, cause: str = "user") -> Change:
        """Remove the item at `key`, if there is one."""
        return self._write(key, None, cause)

    def _write(self, key: PrimaryKey, new: Record | None, cause: str = "user") -> Change:
        old = self.records.get(key)
        change = Change(self, key, old, new, cause)
        for index in (None, *self.definition.indexes.values()):
            if self._lag is None or index is None or not index.is_global:
                self._move(index, key, old=old, new=new)
        if self._lag is not None:
            self._lag.settle(self._move_global)
            self._lag.add(key, new)
        if new is None:
            self.records.pop(key, None)
        else:
            self.records[key] = new
        self.size_bytes += (new.size_bytes if new else 0) - (old.size_bytes if old else 0)
        if old is not None or new is not None:
            for listener in tuple(self.listeners):
                listener(change)
        return change

    def _move_global(self, key: PrimaryKey, old: Record | None, new: Record | None) -> None:
        for index in self.definition.indexes.values():
            if index.is_global:
                self._move(index, key, old=old, new=new)

    def _move(self, index: Index | None, key: PrimaryKey, *, old: Record | None, new: Record | None) -> None:
        before, after = self._place(index, key, old), self._place(index, key, new)
        if before == after:
            return
        order = self._orders[None if index is None else index.name]
        if before is not None:
            order.remove(before[0], (before[1], key))
        if after is not None:
            order.add(after[0], (after[1], key))

    def _place(self, index: Index | None, key: PrimaryKey, record: Record | None) -> PrimaryKey | None:
        if record is None:
            return None
        return key if index is None else index_place(self.definition, index, record.item)
