"""Global tables of one local cloud: which replicas belong together, and how they come, go and are taken up again.

Owns memberships and what replicates for them; the requests and their words are in `replica_updates`.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random
from typing import Final

from localcloud.clock import Clock
from localcloud.regions.links import Links
from localcloud.services.dynamodb.errors import DynamoError, invalid_parameter, validation
from localcloud.services.dynamodb.journal import Journal
from localcloud.services.dynamodb.model import Database
from localcloud.services.dynamodb.replication import REPLICATED, Membership, Replica
from localcloud.services.dynamodb.table import Table

__all__ = ["SOURCE_PAUSE_S", "GlobalTables"]

SOURCE_PAUSE_S: Final = 86_400.0  # API_DeleteTable: a replica's source may not go for 24 hours


class GlobalTables:
    """Every global table. `databases` gives a Region's database, loaded at first use."""

    def __init__(self, databases: Callable[[str], Database], *, links: Links, clock: Clock) -> None:
        self.links = links
        self._databases = databases
        self._clock = clock
        self._journals: dict[str, Journal] = {}
        self._strong: dict[str, set[str]] = {}

    def adopt(self, database: Database) -> None:
        """Take up the replicas among a Region's kept tables."""
        for name in database.names():
            table = database.table(name)
            if table.membership is not None:
                self._join(database, table, table.membership)

    def has_strong(self, region: str) -> bool:
        """Whether a Region has a strongly consistent table."""
        return bool(self._strong.get(region))

    def journal(self, region: str, name: str) -> Journal | None:
        """The journal of a strongly consistent table, None where the Region has no such table of that name."""
        if name not in self._strong.get(region, ()):
            return None
        found = self._journals.get(name)
        if found is None:
            found = self._journals[name] = self._take_up(region, name)
        return found

    def members(self, database: Database, table: Table) -> list[tuple[Database, Table]]:
        """Every replica of the table's global table, itself first; itself alone where it belongs to none."""
        others = () if table.membership is None else table.membership.others(database.region)
        found = [self._find(region, table.definition.name) for region in others]
        return [(database, table), *(member for member in found if member is not None)]

    def check_add(self, table: Table, regions: Iterable[str]) -> None:
        """Whether replicas of `table` may be made in `regions`. Raises DynamoError in AWS's words."""
        name = table.definition.name
        if any(name in self._databases(region).names() for region in regions):
            raise validation(
                f"Failed to create a the new replica of table with name: '{name}' because one or more replicas "
                "already existed as tables."
            )

    def add(
        self,
        database: Database,
        table: Table,
        regions: Iterable[str],
        *,
        consistency: str = "EVENTUAL",
        witness: str | None = None,
    ) -> None:
        """Make replicas of `table` in `regions`, with its items. Raises DynamoError where a table is in the way."""
        wanted = tuple(regions)
        self.check_add(table, wanted)
        old = table.membership or Membership(consistency, (database.region,), witness)
        grown = tuple(sorted({*old.regions, *wanted}))
        for member, replica in self.members(database, table):
            sourced_s = self._clock.time() if replica is table else _sourced(replica)
            self._join(member, replica, replace(old, regions=grown, sourced_s=sourced_s))
        for region in wanted:
            other = self._databases(region)
            view = None if old.is_strong else table.definition.stream_view  # the streams of strong replicas are own
            made = other.create(replace(table.definition, is_protected=False, tags=(), stream_view=view))
            if table.ttl_attribute is not None:
                other.set_ttl(made, table.ttl_attribute)
            self._join(other, made, replace(old, regions=grown, sourced_s=None))
        if table.replica is not None:
            table.replica.date()
        for _, member in self.members(database, table):
            for region in wanted:
                if member.replica is not None:
                    member.replica.fill(region)

    def check_delete(self, database: Database, name: str) -> None:
        """Whether a table may be deleted as a replica. Raises DynamoError in AWS's words."""
        table = database.table(name, named=True)
        if table.membership is None:
            return
        if table.membership.is_strong:
            raise invalid_parameter(
                "A single replica of a global table with multi-Region strong consistency cannot be deleted; remove "
                "its other replicas and its witness through UpdateTable first"
            )
        sourced_s = table.membership.sourced_s
        if sourced_s is not None and self._clock.time() < sourced_s + SOURCE_PAUSE_S:
            raise validation(
                "Replica cannot be deleted because it has acted as a source region for new replica(s) being added to "
                "the table in the last 24 hours."
            )

    def remove(self, database: Database, table: Table, regions: Iterable[str]) -> None:
        """Delete the replicas in `regions`; a strongly consistent table becomes an ordinary one. Raises DynamoError."""
        name, gone = table.definition.name, tuple(regions)
        for region in gone:
            other = self._databases(region)
            if not (table.membership and table.membership.is_strong):
                self.check_delete(other, name)
            other.check_drop(name)
        journal = self.journal(database.region, name)
        if journal is not None:
            journal.settle(database.region)
        for region in gone:
            self._databases(region).drop(name)
        if journal is not None:
            self.left(database, table)

    def left(self, database: Database, table: Table) -> None:
        """A replica is gone, or is an ordinary table again: tell the others."""
        name, membership = table.definition.name, table.membership
        if membership is None:
            return
        others = [self._find(region, name) for region in membership.others(database.region)]
        self._part(database, table)
        rest = membership.others(database.region)
        for found in others:
            if found is None or found[1].membership is None:
                continue
            if len(rest) > 1 or membership.is_strong:
                found[1].membership = replace(found[1].membership, regions=rest)
            else:
                self._part(*found)
            found[0].keep(found[1])
        journal = self._journals.get(name)
        if journal is not None and not any(name in names for names in self._strong.values()):
            journal.end()
            del self._journals[name]

    def _join(self, database: Database, table: Table, membership: Membership) -> None:
        table.membership = membership
        if membership.is_strong:
            self._strong.setdefault(database.region, set()).add(table.definition.name)
        elif table.replica is None:
            table.replica = Replica(
                database.region, table, links=self.links, clock=self._clock, peer=self._peers(table.definition.name)
            )
        database.keep(table)

    def _part(self, database: Database, table: Table) -> None:
        table.membership, table.journalled = None, 0
        self._strong.get(database.region, set()).discard(table.definition.name)
        if table.replica is not None:
            table.replica.leave()
            table.replica = None
        if table.definition.name in database.names():
            database.keep(table)

    def _peers(self, name: str) -> Callable[[str], Replica | None]:
        def peer(region: str) -> Replica | None:
            found = self._find(region, name)
            return None if found is None else found[1].replica

        return peer

    def _find(self, region: str, name: str) -> tuple[Database, Table] | None:
        database = self._databases(region)
        try:
            return database, database.table(name)
        except DynamoError:
            return None

    def _take_up(self, region: str, name: str) -> Journal:
        """The journal, with the state of the replica that was told most; the others are brought to it."""
        membership = self._databases(region).table(name).membership or Membership("STRONG", (region,))
        found = [member for place in membership.regions if (member := self._find(place, name)) is not None]
        source = max((table for _, table in found), key=lambda table: table.journalled)
        latest = Database("", self._clock, account_id=found[0][0].account_id, randomness=Random(0))  # noqa: S311
        state = latest.create(replace(source.definition, stream_view=None, is_protected=False))
        journal = Journal(
            name, membership, latest=latest, links=self.links, replica=lambda place: self._find(place, name)
        )
        for record in source.records.values():
            state.put(record.item)
        journal.begin(source.journalled)
        for database, table in found:
            _bring_to(table, source)
            table.journalled = source.journalled
            database.keep(table)
        return journal


def _sourced(table: Table) -> float | None:
    return None if table.membership is None else table.membership.sourced_s


def _bring_to(table: Table, source: Table) -> None:
    for key in [key for key in table.records if key not in source.records]:
        table.delete(key, cause=REPLICATED)
    for key, record in source.records.items():
        if table.records.get(key) != record:
            table.put(record.item, cause=REPLICATED)
