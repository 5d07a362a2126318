"""Strongly consistent replication: one journal of writes that two of three Regions must hold.

Owns the order of writes, who has been told of them, and the refusals of a Region that is cut off or too late. A write
travels to one other Region, is checked there against the latest version, stands in the journal, and travels back; the
third Region is told on its own. Every replica takes the journal in its order, so every stream is the same. A strong
read travels as far, to learn how long the journal is.

The latest state is kept in a database of its own, which no client sees: writes are performed there by the ordinary
operations, so that a condition is always held against the latest version.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

from localcloud.regions.links import Links, Route
from localcloud.services.dynamodb.errors import DynamoError
from localcloud.services.dynamodb.model import Database
from localcloud.services.dynamodb.replication import REPLICATED, Membership, channel_of
from localcloud.services.dynamodb.schema import PrimaryKey
from localcloud.services.dynamodb.table import Change, Record, Table

__all__ = ["Journal"]

T = TypeVar("T")
_LANE: Final = "journal"


class _Line(NamedTuple):
    """One write: the item's key, and what is there after it."""

    key: PrimaryKey
    record: Record | None


@dataclass(slots=True)
class _Hold:
    """An item that a Region is modifying, with `count` writes under way."""

    region: str
    count: int


class Journal:
    """The journal of one strongly consistent global table.

    `latest`: the hidden database, which holds the table alone. `replica` gives a Region's database and table, None
    where the Region holds no replica (a witness).
    """

    def __init__(
        self,
        name: str,
        membership: Membership,
        *,
        latest: Database,
        links: Links,
        replica: Callable[[str], tuple[Database, Table] | None],
    ) -> None:
        self.latest = latest
        self._name = name
        self._members = (*membership.regions, *((membership.witness,) if membership.witness else ()))
        self._links = links
        self._replica = replica
        self._lines: deque[_Line] = deque()
        self._first = 0  # the number of the first line that is kept
        self._told: dict[str, int] = dict.fromkeys(membership.regions, 0)
        self._holds: dict[PrimaryKey, _Hold] = {}
        latest.subscribe(self._note)

    @property
    def length(self) -> int:
        """How many writes there were."""
        return self._first + len(self._lines)

    def begin(self, length: int) -> None:
        """Go on from a kept journal of `length` writes, which every replica has."""
        self._lines.clear()
        self._first = length
        self._told = dict.fromkeys(self._told, length)

    def settle(self, region: str) -> None:
        """Let a replica take every write at once, as the last of the table's replicas."""
        self._tell(region, self.length)

    def end(self) -> None:
        """Tell nobody anything more: the global table is no more, though messages may be under way."""
        self._told.clear()
        self._lines.clear()

    def told(self, region: str) -> int:
        """How many writes a Region has taken."""
        return self._told[region]

    def is_busy_elsewhere(self, region: str, key: PrimaryKey) -> bool:
        """Whether another Region is modifying the item."""
        hold = self._holds.get(key)
        return hold is not None and hold.region != region

    async def write(self, region: str, keys: Sequence[PrimaryKey], perform: Callable[[Database], T]) -> T:
        """Perform a write of `keys` in `region`, and return when two Regions hold it.

        Raises DynamoError: what `perform` raises, ReplicatedWriteConflictException while another Region modifies one of
        the items, InternalServerError where the Region reaches no other one (the write may have taken place if the
        link broke meanwhile).
        """
        peer = self._reachable(region)
        if any(self.is_busy_elsewhere(region, key) for key in keys):
            await self._cross(region, peer)
            await self._cross(peer, region)
            raise _conflict()
        mine = dict.fromkeys(keys)
        for key in mine:
            self._holds.setdefault(key, _Hold(region, 0)).count += 1
        try:
            return await self._commit(region, peer, perform)
        finally:
            for key in mine:
                self._holds[key].count -= 1
                if not self._holds[key].count:
                    del self._holds[key]

    async def read(self, region: str) -> None:
        """Bring a Region's replica to the latest write. Raises DynamoError where it reaches no other Region."""
        peer = self._reachable(region)
        await self._cross(region, peer)
        length = self.length
        await self._cross(peer, region)
        self._tell(region, length)

    async def _commit(self, region: str, peer: str, perform: Callable[[Database], T]) -> T:
        await self._cross(region, peer)
        try:
            answer = perform(self.latest)
        except DynamoError:
            await self._cross(peer, region)
            raise
        length = self.length
        self._tell(peer, length)
        self._spread(peer, length)
        await self._cross(peer, region)
        self._tell(region, length)
        self._spread(region, length)
        return answer

    def _reachable(self, region: str) -> str:
        """A Region that hears this one and is heard. Raises DynamoError where there is none."""
        for other in self._members:
            there, back = self._route(region, other), self._route(other, region)
            if other != region and not self._links.is_blocked(there) and not self._links.is_blocked(back):
                return other
        raise _cut_off()

    async def _cross(self, source: str, target: str) -> None:
        if not await self._links.cross(self._route(source, target)):
            raise _cut_off()

    def _spread(self, source: str, length: int) -> None:
        for target in self._told:
            if target != source and self._told[target] < length:
                self._links.send(self._route(source, target), _LANE, self._teller(target, length))

    def _teller(self, target: str, length: int) -> Callable[[], None]:
        return lambda: self._tell(target, length)

    def _tell(self, region: str, length: int) -> None:
        """Let a replica take the journal up to `length` writes; a witness only holds it."""
        if region not in self._told:
            return
        found = self._replica(region)
        while found is not None and self._told[region] < length:
            database, table = found
            line = self._lines[self._told[region] - self._first]
            self._told[region] += 1
            with database.together():
                if line.record is not None:
                    table.put(line.record.item, cause=REPLICATED)
                else:
                    table.delete(line.key, cause=REPLICATED)
                table.journalled = self._told[region]
                database.keep(table)
        while self._lines and self._first < min(self._told.values(), default=0):
            self._lines.popleft()
            self._first += 1

    def _note(self, change: Change) -> None:
        self._lines.append(_Line(change.key, change.new))

    def _route(self, source: str, target: str) -> Route:
        return Route(source, target, channel_of(self._name))


def _conflict() -> DynamoError:
    return DynamoError(
        "ReplicatedWriteConflictException",
        "One or more items in this request are being modified by a request in another Region.",
    )


def _cut_off() -> DynamoError:
    return DynamoError("InternalServerError", "Internal server error", status=500)
