"""The ports of rollups on AWS: rows, ledgers and the job's record in one DynamoDB table, raw records in S3.

The table's key is `rollup` and `period`, both text; its TTL attribute is `expires_s`.

| | `rollup` | `period` |
|---|---|---|
| row | `<id>#<dimensions as JSON>` | `<interval>#<start, ISO 8601>` |
| a shard's total of a period | `<id>#total` | `<interval>#<start>#<shard>` |
| ledger | `<id>#ledger` | shard |
| job | `<id>#job` | `progress` |

DynamoDB has no update that keeps the smaller value, so a row is written whole, on the condition that nobody wrote
since: one write for a row that is new, which most are, and two where the first finds what is there. Must not know
definitions beyond the names of metrics.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, cast

from sluiceway.aws.attributes import MAX_DIGITS, Value, read_integer, read_mapping, read_text
from sluiceway.aws.dynamodb import Expression, QueryRequest, Table, found_item
from sluiceway.errors import ConditionFailed, Retryable
from sluiceway.ports import Clock
from sluiceway.ports.rollups import TOTAL, Contribution, Ledger, Row
from sluiceway.rules.rollups.cells import Cell, Measure, Place, merge
from sluiceway.rules.rollups.definition import INTERVAL_MS, RollupDefinition
from sluiceway.rules.rollups.progress import RollupProgress, RollupStats

__all__ = ["DynamoDbRollupJobStore", "DynamoDbRollupStore"]

TRIES: Final = 12  # writes of one row, each of which somebody else forestalled
LEDGER_KEPT_S: Final = 400 * 86_400  # longer than a stream keeps a record
_NEW: Final = Expression("attribute_not_exists(#rollup)", names={"#rollup": "rollup"})
_SHARD: Final = "shardId-"


class DynamoDbRollupStore:
    """One rollup's rows in one table. Raises what `Table` raises."""

    def __init__(self, table: Table, definition: RollupDefinition, clock: Clock) -> None:
        self._table = table
        self._clock = clock
        self._definition = definition
        self._id = definition.rollup_id

    async def add(self, place: Place, cell: Cell, contribution: Contribution) -> bool:
        """As the port says."""
        shard, mark = contribution
        seen: Row | None = None
        for _ in range(TRIES):
            if seen is not None and seen.marks.get(shard, "") >= mark:
                return False
            row = Row(cell, {shard: mark}, 1) if seen is None else _grow(seen, cell, contribution)
            try:
                await self._put(place, row, seen)
            except ConditionFailed as error:
                seen = self._read_found(error)
                continue
            return True
        raise Retryable("others write the same row of the rollup all the time")

    async def rewrite(self, place: Place, cell: Cell, marks: Mapping[str, str], *, seen: Row | None) -> bool:
        """As the port says."""
        version = 1 if seen is None else seen.version + 1
        try:
            await self._put(place, Row(cell, marks, version), seen)
        except ConditionFailed as error:
            found = self._read_found(error)
            return found is not None and found == Row(cell, marks, version)
        return True

    async def rows(self, key: str, first: Place, last: Place) -> Mapping[Place, Row]:
        """As the port says."""
        rollup, low = self._key(first._replace(key=key))
        _, high = self._key(last._replace(key=key))
        within = Expression(
            "#rollup = :rollup AND #period BETWEEN :low AND :high",
            names={"#rollup": "rollup", "#period": "period"},
            values={":rollup": rollup, ":low": low, ":high": high},
        )
        found: dict[Place, Row] = {}
        for item in await self._table.query_all(QueryRequest(within, consistent=True)):
            start = datetime.fromisoformat(read_text(item, "period").split("#")[1])
            found[Place(first.interval, int(start.timestamp()) * 1000, key)] = self._read(item)
        return found

    async def totals(self, place: Place) -> Mapping[str, Row]:
        """As the port says."""
        rollup, begin = self._key(place._replace(key=TOTAL))
        within = Expression(
            "#rollup = :rollup AND begins_with(#period, :begin)",
            names={"#rollup": "rollup", "#period": "period"},
            values={":rollup": rollup, ":begin": begin},
        )
        found = await self._table.query_all(QueryRequest(within, consistent=True))
        return {read_text(item, "period").removeprefix(begin): self._read(item) for item in found}

    async def read_ledger(self, shard: str) -> Ledger:
        """As the port says."""
        item = await self._table.get_item(self._ledger_key(shard))
        return Ledger() if item is None else _read_ledger(item)

    async def write_ledger(self, shard: str, ledger: Ledger, *, seen: Ledger) -> bool:
        """As the port says."""
        item: dict[str, Value] = {
            **self._ledger_key(shard),
            "through": ledger.through,
            "begun": list(ledger.begun),
            "version": seen.version + 1,
            "expires_s": self._clock.now_ms() // 1000 + LEDGER_KEPT_S,
        }
        try:
            await self._table.put_item(item, condition=_still(seen.version))
        except ConditionFailed as error:
            found = found_item(error)
            return found is not None and _read_ledger(found) == Ledger(ledger.through, ledger.begun, seen.version + 1)
        return True

    # ------------------------------------------------------------ items

    async def _put(self, place: Place, row: Row, seen: Row | None) -> None:
        rollup, period = self._key(place)
        kept_s = self._definition.retention_s
        kept_ms = INTERVAL_MS[place.interval] + kept_s.get(place.interval, max(kept_s.values())) * 1000
        metrics = {
            metric.field: {
                "values": measure.values,
                "sum": _write_sum(measure.total),
                "min": measure.low,
                "max": measure.high,
            }
            for metric, measure in zip(self._definition.metrics, row.cell.measures, strict=True)
            if measure is not None
        }
        item: dict[str, Value] = {
            "rollup": rollup,
            "period": period,
            "records": row.cell.records,
            "metrics": metrics,
            "marks": {_shorten(shard): mark for shard, mark in row.marks.items()},
            "version": row.version,
            "expires_s": (place.start_ms + kept_ms) // 1000,
        }
        await self._table.put_item(item, condition=_still(0 if seen is None else seen.version))

    def _read_found(self, error: ConditionFailed) -> Row | None:
        item = found_item(error)
        return None if item is None else self._read(item)

    def _read(self, item: Mapping[str, Value]) -> Row:
        metrics = read_mapping(item, "metrics") or {}
        measures = tuple(_read_measure(read_mapping(metrics, each.field)) for each in self._definition.metrics)
        marks = {_lengthen(shard): str(mark) for shard, mark in (read_mapping(item, "marks") or {}).items()}
        return Row(Cell(read_integer(item, "records"), measures), marks, read_integer(item, "version"))

    def _key(self, place: Place) -> tuple[str, str]:
        start = datetime.fromtimestamp(place.start_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%MZ")
        if place.key.startswith(TOTAL):
            return f"{self._id}#total", f"{place.interval}#{start}#{place.key.removeprefix(TOTAL)}"
        return f"{self._id}#{place.key}", f"{place.interval}#{start}"

    def _ledger_key(self, shard: str) -> dict[str, Value]:
        return {"rollup": f"{self._id}#ledger", "period": shard}


class DynamoDbRollupJobStore:
    """Records of jobs in the same table. Raises what `Table` raises."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def read(self, rollup_id: str) -> RollupProgress | None:
        """As the port says."""
        item = await self._table.get_item(_job_key(rollup_id))
        return None if item is None else _read_progress(rollup_id, item)

    async def write(self, progress: RollupProgress, *, seen: RollupProgress | None) -> bool:
        """As the port says."""
        earlier = 0 if seen is None else seen.version
        item: dict[str, Value] = {**_job_key(progress.rollup_id), "version": earlier + 1}
        for name in _PROGRESS:
            item[name] = getattr(progress, name)
        item["stats"] = {name: getattr(progress.stats, name) for name in RollupStats.__slots__}
        try:
            await self._table.put_item(item, condition=_still(earlier))
        except ConditionFailed as error:
            found = found_item(error)
            return found == item
        return True


_PROGRESS: Final = (
    "state",
    "updated_ms",
    "next_ms",
    "delete_from_ms",
    "deleting_ms",
    "last_failure",
    "last_failure_ms",
)


def _job_key(rollup_id: str) -> dict[str, Value]:
    return {"rollup": f"{rollup_id}#job", "period": "progress"}


def _read_progress(rollup_id: str, item: Mapping[str, Value]) -> RollupProgress:
    members: dict[str, Any] = {name: item[name] for name in _PROGRESS}
    stats = read_mapping(item, "stats") or {}
    return RollupProgress(
        rollup_id=rollup_id,
        version=read_integer(item, "version"),
        stats=RollupStats(**{name: read_integer(stats, name) for name in RollupStats.__slots__}),
        **members,
    )


def _still(version: int) -> Expression:
    """Nothing is stored (0), or what was read."""
    if not version:
        return _NEW
    return Expression("#version = :version", names={"#version": "version"}, values={":version": version})


def _grow(seen: Row, cell: Cell, contribution: Contribution) -> Row:
    marks = {**seen.marks, contribution.shard: contribution.mark}
    return Row(merge(seen.cell, cell), marks, seen.version + 1)


def _read_ledger(item: Mapping[str, Value]) -> Ledger:
    begun = cast("list[str]", item.get("begun") or [])
    return Ledger(read_text(item, "through"), tuple(begun), read_integer(item, "version"))


def _read_measure(stored: Mapping[str, Value] | None) -> Measure | None:
    if stored is None:
        return None
    total, low, high = (Decimal(cast("Decimal", stored[name])) for name in ("sum", "min", "max"))
    return Measure(read_integer(stored, "values"), total, low, high)


def _write_sum(total: Decimal) -> Decimal | str:
    """A number where DynamoDB has it, else its text: a sum has more digits than the values."""
    digits = "".join(map(str, total.as_tuple().digits)).strip("0")
    return total if len(digits) <= MAX_DIGITS else str(total)


def _shorten(shard: str) -> str:
    """`shardId-000000000012` as `12`: a row of a minute is small, and marks are most of it."""
    number = shard.removeprefix(_SHARD)
    return str(int(number)) if shard == f"{_SHARD}{number}" and len(number) == 12 and number.isdecimal() else shard


def _lengthen(short: str) -> str:
    return f"{_SHARD}{int(short):012d}" if short.isdecimal() else short
