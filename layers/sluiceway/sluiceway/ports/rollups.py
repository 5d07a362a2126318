"""The ports of rollups: the table of rows, the raw records they are made of, and the job that compares the two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from sluiceway.rules.rollups.cells import Cell, Place
from sluiceway.rules.rollups.definition import Interval
from sluiceway.rules.rollups.progress import RollupProgress

__all__ = [
    "TOTAL",
    "Contribution",
    "Ledger",
    "RawPage",
    "RawStore",
    "RollupJobStore",
    "RollupStore",
    "Row",
    "total_place",
]


class Contribution(NamedTuple):
    """What is added at once: all records of `shard` after an earlier contribution's `mark` and up to this one's.

    A shard's contributions are added one after the other, their marks ascending (`rules.rollups.windows`).
    """

    shard: str
    mark: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """How far a shard is in the table.

    All records up to the mark `through` are in it ("" for none). `begun` are the marks above it, ascending, of
    contributions that were perhaps added in part: none may be passed over. `version` counts writes; 0 is never written.
    """

    through: str = ""
    begun: tuple[str, ...] = ()
    version: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """A cell as it is stored. `marks` by shard: of the last contribution that is in it. `version` counts writes."""

    cell: Cell
    marks: Mapping[str, str] = field(default_factory=dict[str, str])
    version: int = 0


TOTAL: Final = "total:"  # no dimensions' JSON begins like that


def total_place(interval: Interval, start_ms: int, shard: str) -> Place:
    """Where all that a shard brought of a period is counted, whatever its dimensions."""
    return Place(interval, start_ms, f"{TOTAL}{shard}")


class RollupStore(Protocol):
    """The rows of one rollup, and the ledgers of its shards. Everything is read strongly consistent.

    A row is of a period and its dimensions, or the total of a period and a shard (`total_place`).
    """

    async def add(self, place: Place, cell: Cell, contribution: Contribution) -> bool:
        """Merge a cell into the row at `place`; False where the row has this contribution, or a later one, already.

        False as well where its own write was lost to sight and is found. Raises Retryable where others write the same
        row all the time.
        """
        ...

    async def rewrite(self, place: Place, cell: Cell, marks: Mapping[str, str], *, seen: Row | None) -> bool:
        """Put a cell in place of what was `seen` (None: nothing); False where something else is stored."""
        ...

    async def rows(self, key: str, first: Place, last: Place) -> Mapping[Place, Row]:
        """The rows with these dimensions from `first` to `last`, both of one interval and included."""
        ...

    async def totals(self, place: Place) -> Mapping[str, Row]:
        """The totals of the period of `place`, by shard; its key does not matter."""
        ...

    async def read_ledger(self, shard: str) -> Ledger:
        """The shard's ledger, an empty one where there is none."""
        ...

    async def write_ledger(self, shard: str, ledger: Ledger, *, seen: Ledger) -> bool:
        """Write `ledger` (its version is `seen`'s and one) if `seen` is what is stored; False where it is not."""
        ...


class RawPage(NamedTuple):
    """Names of raw objects in ascending order; `more` where there are others behind the last."""

    names: tuple[str, ...]
    more: bool


class RawStore(Protocol):
    """Raw records, several in an object, named so that objects of one period have one prefix and sort by time."""

    async def put(self, name: str, body: bytes) -> None:
        """Keep an object, in place of one of that name."""
        ...

    async def get(self, name: str) -> bytes | None:
        """An object, None where there is none."""
        ...

    async def names(self, prefix: str, *, after: str = "") -> RawPage:
        """Names with this prefix that come after `after`, up to 1,000."""
        ...

    async def delete(self, name: str) -> None:
        """Delete an object; nothing where there is none."""
        ...


class RollupJobStore(Protocol):
    """The record of a job."""

    async def read(self, rollup_id: str) -> RollupProgress | None:
        """The job as last written (strongly consistent); None where there is none."""
        ...

    async def write(self, progress: RollupProgress, *, seen: RollupProgress | None) -> bool:
        """Write `progress` (its version is `seen`'s and one, or 1) if `seen` is what is stored; False if not.

        True as well where exactly this write is stored already.
        """
        ...
