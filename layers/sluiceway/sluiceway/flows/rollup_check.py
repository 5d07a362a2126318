"""Rows against raw records: a period is counted again from the raw store, compared with the table, and mended.

Owns what it means that a period is verified: each row of it says what its raw records say, to the last digit, and no
row says anything else (the shards' totals tell of rows that nobody asks for). A period is looked at once nothing of it
is under way any more: every shard's ledger is past the last raw record that came from it. Rows with fewer records than
the raw store lack a contribution that Lambda gave up: they are written anew. Rows with more mean that raw records are
missing, and nothing is changed. Must not know AWS, nor when a period's turn is.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Final, NamedTuple

from sluiceway import log
from sluiceway.codec.raw_records import RawRecord, decode_lines, prefix_of
from sluiceway.errors import Rejected, Retryable
from sluiceway.flows.roll_up import find_totals
from sluiceway.flows.workers import do_each
from sluiceway.ports.rollups import RawStore, RollupStore, Row, total_place
from sluiceway.rules.rollups.cells import Cell, Place, coarsen, merge_cells
from sluiceway.rules.rollups.definition import INTERVAL_MS, RollupDefinition
from sluiceway.rules.rollups.records import RecordReader
from sluiceway.rules.rollups.windows import Gathered, mark_of

__all__ = ["Difference", "Recount", "find_differences", "find_unsettled", "has_grown", "list_names", "mend", "recount"]

MAX_CELLS: Final = 1_000_000  # of one period in memory, of all shards; some 2.5 kB each with four metrics
READS_AT_ONCE: Final = 16


@dataclass(slots=True)
class Recount:
    """What the raw records of one period say. `marks`: of the last one from each shard; `names`: the objects read.

    `held`: the cells of all shards, which are in memory at once.
    """

    start_ms: int
    shards: dict[str, Gathered] = field(default_factory=dict[str, Gathered])
    marks: dict[str, str] = field(default_factory=dict[str, str])
    names: list[str] = field(default_factory=list[str])
    documents: int = 0
    pages: int = 0
    held: int = 0

    def cells(self, definition: RollupDefinition) -> dict[Place, Cell]:
        """The rows that there should be, of each interval and without totals."""
        each = merge_cells(chain.from_iterable(gathered.cells().items() for gathered in self.shards.values()))
        return coarsen(each, tuple(definition.retention_s))

    def totals(self, definition: RollupDefinition) -> dict[Place, Cell]:
        """The totals that there should be."""
        found: dict[Place, Cell] = {}
        for shard, gathered in self.shards.items():
            found |= find_totals(gathered.cells().items(), definition, shard)
        return found


class Difference(NamedTuple):
    """A row that says something else than the raw records. `expected` None: they say nothing of it."""

    place: Place
    expected: Cell | None
    found: Row | None

    @property
    def mendable(self) -> bool:
        """Whether the raw records know at least as much as the row."""
        stored = 0 if self.found is None else self.found.cell.records
        return self.expected is not None and self.expected.records >= stored


async def recount(raw: RawStore, definition: RollupDefinition, start_ms: int) -> Recount:
    """Count the raw records of the period that begins at `start_ms`, each once, `page_size` of them at a time.

    An object has all records of a shard and an hour between its first and its last mark; so those of overlapping
    objects are told apart by how far the ones before went. Raises Rejected (`too-many-cells`, `malformed-raw-records`,
    or what a record is rejected for), and what the store raises.
    """
    found = Recount(start_ms)
    reader = RecordReader(definition)
    reached: dict[tuple[str, str], tuple[str, int]] = {}
    async for name in list_names(raw, _prefix(definition, start_ms)):
        body = await raw.get(name)
        if body is None:
            raise Retryable("a raw object went away while its period was counted")
        found.names.append(name)
        hour = name.rpartition("/")[0]
        for page in _pages(decode_lines(body), definition.page_size):
            found.pages += 1
            for record in page:
                place = mark_of(record.sequence_number), record.sub
                if place > reached.get((hour, record.shard), ("", -1)):
                    reached[hour, record.shard] = place
                    _count(found, record, reader=reader, definition=definition)
            await asyncio.sleep(0)  # counting is work without a wait: a cancellation must get through
    return found


def _count(found: Recount, record: RawRecord, *, reader: RecordReader, definition: RollupDefinition) -> None:
    gathered = found.shards.get(record.shard)
    if gathered is None:
        gathered = found.shards[record.shard] = Gathered(definition)
    before = len(gathered)
    gathered.add(reader.read(record.data, record.arrived_ms))
    found.held += len(gathered) - before
    mark = mark_of(record.sequence_number)
    found.marks[record.shard] = max(found.marks.get(record.shard, ""), mark)
    found.documents += 1
    if found.held > MAX_CELLS:
        raise Rejected(f"a period has more than {MAX_CELLS} cells", reason="too-many-cells")


async def find_unsettled(store: RollupStore, counted: Recount) -> list[str]:
    """Shards of which raw records are stored that are perhaps still on their way into the table."""
    return [shard for shard, mark in counted.marks.items() if (await store.read_ledger(shard)).through < mark]


async def has_grown(raw: RawStore, definition: RollupDefinition, counted: Recount) -> bool:
    """Whether raw records of the period were stored since it was counted.

    They are stored before they get into rows: rows that were read before this was asked, and it is false, have no
    record that was not counted.
    """
    names = [name async for name in list_names(raw, _prefix(definition, counted.start_ms))]
    return names != counted.names


async def find_differences(store: RollupStore, definition: RollupDefinition, counted: Recount) -> list[Difference]:
    """The rows and totals of the period that say something else than `counted`, and those that lack."""
    expected = counted.cells(definition)
    keys: dict[str, dict[Place, Cell]] = defaultdict(dict)
    for place, cell in expected.items():
        keys[place.key][place] = cell
    found = list[Difference]()

    async def compare(entry: tuple[str, dict[Place, Cell]]) -> None:
        key, cells = entry
        rows: dict[Place, Row] = {}
        for first, last in _spans(definition, counted.start_ms):
            rows |= await store.rows(key, first, last)
        found.extend(_differ(cells, rows))

    await do_each(keys.items(), compare, at_once=READS_AT_ONCE)
    coarsest = Place(definition.coarsest, counted.start_ms, "")
    stored = await store.totals(coarsest)
    found.extend(_differ(counted.totals(definition), {_total(coarsest, shard): row for shard, row in stored.items()}))
    return sorted(found, key=lambda each: each.place)


async def mend(store: RollupStore, differences: list[Difference], counted: Recount) -> int:
    """Write the rows anew that lack records; how many. Only where nothing is unsettled and nothing has grown.

    Raises Rejected (`raw-incomplete`), with nothing changed, where a row has more than its raw records; Retryable where
    somebody wrote a row meanwhile.
    """
    if not all(each.mendable for each in differences):
        raise Rejected("rows have more records than the raw store", reason="raw-incomplete")
    reached = dict(counted.marks)
    for shard, mark in counted.marks.items():
        reached[shard] = max(mark, (await store.read_ledger(shard)).through)

    async def rewrite(each: Difference) -> None:
        marks = {} if each.found is None else dict(each.found.marks)
        marks |= {shard: max(mark, marks.get(shard, "")) for shard, mark in reached.items()}
        if each.expected is None or not await store.rewrite(each.place, each.expected, marks, seen=each.found):
            raise Retryable("a row was written while it was mended")
        log.warning("rollup.row_mended", interval=each.place.interval, start_ms=each.place.start_ms)

    await do_each(differences, rewrite)
    return len(differences)


async def list_names(raw: RawStore, prefix: str) -> AsyncGenerator[str]:
    """All names with a prefix, in ascending order."""
    page = await raw.names(prefix)
    while True:
        for name in page.names:
            yield name
        if not page.more or not page.names:
            return
        page = await raw.names(prefix, after=page.names[-1])


def _prefix(definition: RollupDefinition, start_ms: int) -> str:
    return prefix_of(definition.topic, start_ms, day=definition.coarsest == "day")


def _total(coarsest: Place, shard: str) -> Place:
    return total_place(coarsest.interval, coarsest.start_ms, shard)


def _differ(expected: Mapping[Place, Cell], rows: Mapping[Place, Row]) -> Iterator[Difference]:
    for place in expected.keys() | rows.keys():
        cell, row = expected.get(place), rows.get(place)
        if row is None or row.cell != cell:
            yield Difference(place, cell, row)


def _spans(definition: RollupDefinition, start_ms: int) -> Iterator[tuple[Place, Place]]:
    """First and last place of each interval within the period."""
    end_ms = start_ms + INTERVAL_MS[definition.coarsest]
    for interval in definition.retention_s:
        yield Place(interval, start_ms, ""), Place(interval, end_ms - INTERVAL_MS[interval], "")


def _pages(records: Iterator[RawRecord], size: int) -> Iterator[list[RawRecord]]:
    page = list(islice(records, size))
    while page:
        yield page
        page = list(islice(records, size))
