"""Eventually consistent replication: one replica's versions, what it sends and what it takes.

Owns the internal timestamps and the rule of the last writer; knows tables and links, no request. A write is done in its
Region first; the item's new version then goes to every other Region on its own. A version that arrives and is not
newer than what is there is dropped without a word, which also makes several versions of an item that overtake one
another, or wait for a link together, one change with one stream record.

Timestamps are (date, tick, Region): the tick grows where the date did not, so a write always beats what its Region
had seen; of equal dates and ticks the Region later in the alphabet wins. A deleted item leaves its version behind (a
tombstone) until nothing of the table is under way any more, since only then no older version can arrive.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from localcloud.clock import Clock
from localcloud.regions.links import Lag, Links, Route
from localcloud.services.dynamodb.schema import PrimaryKey
from localcloud.services.dynamodb.table import Change, Record, Table

__all__ = ["REPLICATED", "Membership", "Replica", "Version", "channel_of", "describe_membership"]

REPLICATED: Final = "replication"
"""The cause of a change that another Region made."""
_AT_ONCE: Final = Lag(0.0)


class Version(NamedTuple):
    """When and where an item was last written; the greater one wins."""

    date_s: float
    tick: int
    region: str


@dataclass(frozen=True, slots=True)
class Membership:
    """The global table that a table is a replica of.

    `consistency`: EVENTUAL or STRONG. `regions`: of every replica, sorted, the table's own included. `witness`: its
    Region, None where there is none. `sourced_s`: when the table was last the source of a new replica.
    """

    consistency: str
    regions: tuple[str, ...]
    witness: str | None = None
    sourced_s: float | None = None

    @property
    def is_strong(self) -> bool:
        """Whether every Region reads the latest write."""
        return self.consistency == "STRONG"

    def others(self, region: str) -> tuple[str, ...]:
        """The replicas' Regions but `region`."""
        return tuple(other for other in self.regions if other != region)


_NEVER: Final = Version(0.0, 0, "")


def channel_of(table_name: str) -> str:
    """The links' channel that carries a global table."""
    return f"dynamodb/{table_name}"


class Replica:
    """One replica of an eventually consistent global table; it listens to its table.

    `peer` gives another Region's replica, None where it is gone.
    """

    def __init__(
        self, region: str, table: Table, *, links: Links, clock: Clock, peer: Callable[[str], Replica | None]
    ) -> None:
        self.region = region
        self.table = table
        self.superseded = 0  # arrived and lost against a newer version, or a newer one had overtaken them
        self._links = links
        self._clock = clock
        self._peer = peer
        self._versions: dict[PrimaryKey, Version] = {}
        self._tombstones: set[PrimaryKey] = set()
        self._floor = _NEVER  # every later version is above those that were forgotten
        table.listeners.append(self._hear)

    def leave(self) -> None:
        """Listen no longer."""
        self.table.listeners.remove(self._hear)

    def version(self, key: PrimaryKey) -> Version:
        """The version of an item, or of its deletion; date 0 where nothing is known."""
        return self._versions.get(key, _NEVER)

    def tombstones(self) -> int:
        """How many deletions are remembered."""
        return len(self._tombstones)

    def date(self) -> None:
        """Give every item a version; what was never replicated was written now."""
        for key in self.table.records:
            if key not in self._versions:
                self._remember(key, self._next(key), is_deleted=False)

    def fill(self, target: str) -> None:
        """Send every version to a new replica, deletions included: others may have what this one has not heard of."""
        for key in tuple(self._versions):
            self._send(target, key, self.table.records.get(key), lag=_AT_ONCE)

    def expires(self, key: PrimaryKey) -> bool:
        """Whether the time to live of this item is for this Region to enforce; the others hear of it.

        It is the Region that wrote the item last, or the first of the alphabet where that one is no replica any more.
        """
        membership = self.table.membership
        if membership is None:
            return True
        writer = self.version(key).region
        return self.region == (writer if writer in membership.regions else min(membership.regions))

    def receive(self, key: PrimaryKey, record: Record | None, version: Version) -> None:
        """Take another Region's write of an item, unless this one's is newer."""
        if version <= self.version(key):
            self.superseded += 1
        else:
            self._remember(key, version, is_deleted=record is None)
            if record is not None:
                self.table.put(record.item, cause=REPLICATED)
            else:
                self.table.delete(key, cause=REPLICATED)
        self._forget_tombstones()

    def _hear(self, change: Change) -> None:
        if change.cause == REPLICATED or self.table.membership is None:
            return
        self._forget_tombstones()
        self._remember(change.key, self._next(change.key), is_deleted=change.new is None)
        for region in self.table.membership.others(self.region):
            self._send(region, change.key, change.new)

    def _send(self, target: str, key: PrimaryKey, record: Record | None, *, lag: Lag | None = None) -> None:
        version, peer = self.version(key), self._peer(target)

        def deliver() -> None:
            if peer is not None and peer is self._peer(target):  # not deleted, nor made anew, meanwhile
                peer.receive(key, record, version)

        route = Route(self.region, target, channel_of(self.table.definition.name))
        self._links.send(route, key, deliver, lag=lag)

    def _next(self, key: PrimaryKey) -> Version:
        now = self._clock.time()
        seen = max(self._floor, self.version(key))
        if now > seen.date_s:
            return Version(now, 0, self.region)
        return Version(seen.date_s, seen.tick + 1, self.region)

    def _remember(self, key: PrimaryKey, version: Version, *, is_deleted: bool) -> None:
        self._versions[key] = version
        if is_deleted:
            self._tombstones.add(key)
        else:
            self._tombstones.discard(key)

    def _forget_tombstones(self) -> None:
        if not self._tombstones or not self._links.is_quiet(channel_of(self.table.definition.name)):
            return
        for key in self._tombstones:
            self._floor = max(self._floor, self._versions.pop(key))
        self._tombstones.clear()


def describe_membership(region: str, table: Table) -> dict[str, Any]:
    """A replica's members of DescribeTable; of the replicas the other ones, as AWS lists them."""
    membership = table.membership
    if membership is None:
        return {}
    answer: dict[str, Any] = {
        "GlobalTableVersion": "2019.11.21",
        "MultiRegionConsistency": membership.consistency,
        "Replicas": [{"RegionName": other, "ReplicaStatus": "ACTIVE"} for other in membership.others(region)],
    }
    if membership.witness is not None:
        answer["GlobalTableWitnesses"] = [{"RegionName": membership.witness, "WitnessStatus": "ACTIVE"}]
    return answer
