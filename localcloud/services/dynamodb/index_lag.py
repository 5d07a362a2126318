"""Global indexes that see writes some time later, for a table that asks for it: eventual consistency to be seen.

Owns what has been written and has not reached the indexes yet. Nothing runs by itself: whoever reads or writes brings
the indexes to now first, so it is the same on every clock.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html, "Data synchronization"
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from localcloud.clock import Clock

if TYPE_CHECKING:
    from localcloud.services.dynamodb.schema import PrimaryKey
    from localcloud.services.dynamodb.table import Record

__all__ = ["IndexLag"]

Move = Callable[["PrimaryKey", "Record | None", "Record | None"], None]
"""Takes a key, the item as the indexes had it, and as they have it now."""


class IndexLag:
    """`delay_s`: from a write to its appearance in every global index. `records`: the items as the indexes see them."""

    def __init__(self, delay_s: float, clock: Clock, records: dict[PrimaryKey, Record]) -> None:
        self.delay_s = delay_s
        self.records = dict(records)
        self._clock = clock
        self._under_way: deque[tuple[float, PrimaryKey, Record | None]] = deque()

    def add(self, key: PrimaryKey, new: Record | None) -> None:
        """A write that the indexes are to see when its time has come."""
        self._under_way.append((self._clock.time() + self.delay_s, key, new))

    def settle(self, move: Move) -> None:
        """Let the indexes see what is due, in the order of the writes."""
        now = self._clock.time()
        while self._under_way and self._under_way[0][0] <= now:
            _, key, new = self._under_way.popleft()
            old = self.records.get(key)
            move(key, old, new)
            if new is None:
                self.records.pop(key, None)
            else:
                self.records[key] = new
