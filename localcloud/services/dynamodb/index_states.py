"""Global indexes on their way: being made on a table that is there, or being deleted. Owns what is shown of it.

A new index is CREATING: the table is UPDATING while room is made, then ACTIVE while the index is Backfilling, then the
index is ACTIVE. An index that goes is DELETING, and its table UPDATING. AWS takes minutes; here a second each.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.OnlineOps.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from localcloud.services.dynamodb.errors import DynamoError, validation
from localcloud.services.dynamodb.schema import Index

__all__ = ["BACKFILL_S", "PHASE_S", "IndexStates"]

PHASE_S: Final = 1.0  # long enough to be seen by whoever waits for it, short enough to wait for
BACKFILL_S: Final = 1.0


@dataclass(slots=True)
class IndexStates:
    """What is under way on one table, by the time at which it began (epoch seconds)."""

    _made: dict[str, float] = field(default_factory=dict[str, float])
    _deleted: dict[str, tuple[Index, float]] = field(default_factory=dict[str, tuple[Index, float]])

    def make(self, index: Index, now: float) -> None:
        """`index` begins to be made."""
        self._made[index.name] = now

    def delete(self, index: Index, now: float) -> None:
        """`index` begins to be deleted; it is no part of the table's definition any more."""
        self._made.pop(index.name, None)
        self._deleted[index.name] = (index, now)

    def is_updating(self, now: float) -> bool:
        """Whether the table is UPDATING."""
        began = (*self._made.values(), *(date for _, date in self._deleted.values()))
        return any(now < date + PHASE_S for date in began)

    def is_backfilling(self, now: float) -> bool:
        """Whether an index is not made yet."""
        return any(now < date + PHASE_S + BACKFILL_S for date in self._made.values())

    def going(self, now: float) -> list[Index]:
        """The indexes that are DELETING."""
        return [index for index, date in self._deleted.values() if now < date + PHASE_S]

    def describe(self, name: str, now: float) -> dict[str, Any]:
        """IndexStatus, and Backfilling where it is not made yet, of an index that is in the definition."""
        began = self._made.get(name)
        if began is None or now >= began + PHASE_S + BACKFILL_S:
            return {"IndexStatus": "ACTIVE"}
        return {"IndexStatus": "CREATING", "Backfilling": now >= began + PHASE_S}

    def check_readable(self, name: str, now: float) -> None:
        """Raises DynamoError where the index is not made yet."""
        if self.describe(name, now)["IndexStatus"] != "ACTIVE":
            raise validation(f"Cannot read from backfilling global secondary index: {name}")

    def check_settled(self, table: str, now: float) -> None:
        """Raises DynamoError where the table is UPDATING, and may be neither changed nor deleted."""
        if self.is_updating(now):
            message = f"Attempt to change a resource which is still in use: Table is being updated: {table}"
            raise DynamoError("ResourceInUseException", message)
