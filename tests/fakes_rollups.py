"""The ports of rollups in memory, with troubles on demand: what `sluiceway.ports.rollups` says, to the letter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sluiceway.errors import Retryable
from sluiceway.ports.rollups import TOTAL, Contribution, Ledger, RawPage, Row, total_place
from sluiceway.rules.rollups.cells import Cell, Place, merge
from sluiceway.rules.rollups.definition import RollupDefinition, read_definition
from sluiceway.rules.rollups.progress import RollupProgress
from tests.fakes import Trouble

DAY_S = 86_400


def define(*, intervals: tuple[str, ...] = ("1m", "1h"), **changes: object) -> RollupDefinition:
    """The article's job: sensors by device, with the averages and bounds of two fields."""
    words = {"1m": "minute", "1h": "hour", "1d": "day"}
    declared: dict[str, object] = {
        "rollup_id": "sensors",
        "topic": "records",
        "dimensions": [
            {"date_histogram": {"source_field": "timestamp", "fixed_intervals": list(intervals)}},
            {"terms": {"source_field": "device_id"}},
        ],
        "metrics": [
            {"source_field": "temperature", "metrics": ["avg", "min", "max"]},
            {"source_field": "humidity", "metrics": ["avg", "sum", "value_count"]},
        ],
        "retention_s": {words[each]: 30 * DAY_S for each in intervals},
    }
    return read_definition({**declared, **changes}, "ROLLUP")


@dataclass
class MemoryRollupStore:
    """Rows and ledgers in dicts. `added` counts what each row took, by contribution."""

    trouble: Trouble = field(default_factory=Trouble)
    table: dict[Place, Row] = field(default_factory=dict[Place, Row])
    ledgers: dict[str, Ledger] = field(default_factory=dict[str, Ledger])
    added: list[tuple[Place, Contribution]] = field(default_factory=list[tuple[Place, Contribution]])

    async def add(self, place: Place, cell: Cell, contribution: Contribution) -> bool:
        await self.trouble.before("add")
        shard, mark = contribution
        seen = self.table.get(place)
        if seen is not None and seen.marks.get(shard, "") >= mark:
            return False
        if seen is None:
            self.table[place] = Row(cell, {shard: mark}, 1)
        else:
            self.table[place] = Row(merge(seen.cell, cell), {**seen.marks, shard: mark}, seen.version + 1)
        self.added.append((place, contribution))
        await self.trouble.after("add")
        return True

    async def rewrite(self, place: Place, cell: Cell, marks: Mapping[str, str], *, seen: Row | None) -> bool:
        await self.trouble.before("rewrite")
        written = Row(cell, marks, 1 if seen is None else seen.version + 1)
        if self.table.get(place) != seen:
            return self.table.get(place) == written
        self.table[place] = written
        await self.trouble.after("rewrite")
        return True

    async def rows(self, key: str, first: Place, last: Place) -> Mapping[Place, Row]:
        await self.trouble.before("rows")
        return {
            place: row
            for place, row in self.table.items()
            if place.key == key
            and place.interval == first.interval
            and first.start_ms <= place.start_ms <= last.start_ms
        }

    async def totals(self, place: Place) -> Mapping[str, Row]:
        await self.trouble.before("totals")
        shards = {each.key.removeprefix(TOTAL) for each in self.table if each.key.startswith(TOTAL)}
        places = {shard: total_place(place.interval, place.start_ms, shard) for shard in shards}
        return {shard: self.table[each] for shard, each in places.items() if each in self.table}

    async def read_ledger(self, shard: str) -> Ledger:
        await self.trouble.before("read_ledger")
        return self.ledgers.get(shard, Ledger())

    async def write_ledger(self, shard: str, ledger: Ledger, *, seen: Ledger) -> bool:
        await self.trouble.before("write_ledger")
        written = replace(ledger, version=seen.version + 1)
        if self.ledgers.get(shard, Ledger()) != seen:
            return self.ledgers.get(shard) == written
        self.ledgers[shard] = written
        await self.trouble.after("write_ledger")
        return True


@dataclass
class MemoryRawStore:
    """Objects in a dict; `page` names at a time."""

    trouble: Trouble = field(default_factory=Trouble)
    objects: dict[str, bytes] = field(default_factory=dict[str, bytes])
    page: int = 1000

    async def put(self, name: str, body: bytes) -> None:
        await self.trouble.before("put")
        self.objects[name] = body
        await self.trouble.after("put")

    async def get(self, name: str) -> bytes | None:
        await self.trouble.before("get")
        return self.objects.get(name)

    async def names(self, prefix: str, *, after: str = "") -> RawPage:
        await self.trouble.before("names")
        found = sorted(name for name in self.objects if name.startswith(prefix) and name > after)
        return RawPage(tuple(found[: self.page]), len(found) > self.page)

    async def delete(self, name: str) -> None:
        await self.trouble.before("delete")
        self.objects.pop(name, None)
        await self.trouble.after("delete")


@dataclass
class MemoryRollupJobStore:
    """Jobs' records in a dict; `states` is what each was written with."""

    trouble: Trouble = field(default_factory=Trouble)
    jobs: dict[str, RollupProgress] = field(default_factory=dict[str, RollupProgress])
    states: list[str] = field(default_factory=list[str])

    async def read(self, rollup_id: str) -> RollupProgress | None:
        await self.trouble.before("read")
        return self.jobs.get(rollup_id)

    async def write(self, progress: RollupProgress, *, seen: RollupProgress | None) -> bool:
        await self.trouble.before("write")
        written = replace(progress, version=1 if seen is None else seen.version + 1)
        stored = self.jobs.get(progress.rollup_id)
        if (0 if stored is None else stored.version) != (0 if seen is None else seen.version):
            return stored == written
        self.jobs[progress.rollup_id] = written
        self.states.append(written.state)
        await self.trouble.after("write")
        return True


@dataclass
class MemoryLetters:
    """Dead letters in a list, by reason."""

    trouble: Trouble = field(default_factory=Trouble)
    letters: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list[tuple[str, str, Mapping[str, str]]])
    is_away: bool = False

    async def send(self, body: str, *, reason: str, detail: str, attributes: Mapping[str, str]) -> None:
        del detail
        await self.trouble.before("send")
        if self.is_away:
            raise Retryable("away")
        self.letters.append((reason, body, attributes))
