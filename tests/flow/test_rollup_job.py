"""The rollup job: periods verified, mended and deleted; started, stopped, resumed; on virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from localcloud.clock import run_virtual
from sluiceway.codec.raw_records import RawRecord, encode_lines, name_object, start_of
from sluiceway.errors import Misconfigured, Rejected, ServiceUnavailable
from sluiceway.flows import rollup_check
from sluiceway.flows.rollup_check import find_differences, list_names, mend, recount
from sluiceway.flows.rollup_job import (
    RollupJobDesk,
    explain_rollup_job,
    run_rollup_job,
    start_rollup_job,
    stop_rollup_job,
)
from sluiceway.ports.rollups import Contribution, Ledger, total_place
from sluiceway.rules.rollups.cells import Place
from sluiceway.rules.rollups.progress import RollupProgress
from sluiceway.rules.rollups.windows import mark_of
from tests.fakes import EPOCH_MS, LoopClockMs, Trouble, unavailable
from tests.fakes_rollups import DAY_S, MemoryRawStore, MemoryRollupJobStore, MemoryRollupStore, define

HOUR = 3_600_000
T0 = EPOCH_MS
SHARD = "shardId-000000000000"


class World:
    """A job over raw records and rows that were made of them, or not."""

    def __init__(self, **changes: Any) -> None:
        self.store = MemoryRollupStore()
        self.raw = MemoryRawStore(page=2)
        self.jobs = MemoryRollupJobStore()
        self.definition = define(**{"page_size": 2, **changes})
        self.desk = RollupJobDesk(self.definition, self.store, self.raw, self.jobs, LoopClockMs())
        self.numbers = 0

    async def keep(self, hour: int, *temperatures: int, shard: str = SHARD, rolled: bool = True) -> list[RawRecord]:
        """Raw records of an hour after T0 in one object, a minute between two of them; with their rows where rolled."""
        records = list[RawRecord]()
        for minute, temperature in enumerate(temperatures):
            self.numbers += 1
            time_ms = T0 + hour * HOUR + minute * 60_000
            data = json.dumps({"timestamp": time_ms, "device_id": f"s{minute % 2}", "temperature": temperature})
            records.append(RawRecord(shard, str(self.numbers), -1, time_ms, data.encode()))
        marks = [mark_of(each.sequence_number) for each in records]
        name = name_object("records", T0 + hour * HOUR, shard=shard, first=marks[0], last=marks[-1])
        await self.raw.put(name, encode_lines(records))
        if rolled:
            raw = MemoryRawStore(objects={name: self.raw.objects[name]})
            counted = await recount(raw, self.definition, T0 + hour * HOUR)
            cells = counted.cells(self.definition) | counted.totals(self.definition)
            for place, cell in cells.items():
                await self.store.add(place, cell, Contribution(shard, marks[-1]))
            self.store.ledgers[shard] = Ledger(marks[-1], (), 1)
        return records

    async def run(self, for_s: float = 900.0) -> RollupProgress:
        return await run_rollup_job(self.desk, deadline=asyncio.get_running_loop().time() + for_s)

    def hours(self) -> list[int]:
        return sorted({(start_of(name) - T0) // HOUR for name in self.raw.objects if name.startswith("raw/")})


def play(scene: Callable[[World], Awaitable[None]], **changes: Any) -> World:
    """Run a scene on virtual time."""
    world = World(**changes)

    async def run() -> None:
        await scene(world)

    run_virtual(run)
    return world


async def pass_hours(hours: float) -> None:
    await asyncio.sleep(hours * 3600)


# ---------------------------------------------------------------- its course


def test_a_period_is_verified_when_it_is_over_and_deleted_when_it_is_old() -> None:
    """Not before the hour, its lateness, a window and some slack; raw records go after their retention."""

    async def scene(world: World) -> None:
        await world.keep(0, 1, 2, 3)
        await world.keep(1, 4)
        await pass_hours(2 + 1199 / 3600)
        assert (await world.run()).next_ms == 0
        await pass_hours(2 / 3600)
        progress = await world.run()
        assert (progress.state, progress.next_ms) == ("started", T0 + HOUR)
        await pass_hours(46)
        assert (await world.run()).next_ms == T0 + 2 * HOUR
        assert world.hours() == [0, 1]
        await pass_hours(0.7)
        progress = await world.run()
        assert (world.hours(), progress.delete_from_ms, progress.deleting_ms) == ([1], T0 + HOUR, -1)
        await pass_hours(1)
        await world.run()
        assert world.raw.objects == {}

    world = play(scene)
    stats = world.jobs.jobs["sensors"].stats
    assert (stats.periods_verified, stats.documents_processed, stats.pages_processed) == (2, 8, 6)
    assert (stats.objects_deleted, stats.rollups_indexed, stats.failures) == (2, 0, 0)
    assert len(world.store.table) == (3 + 2 + 1) + (1 + 1 + 1)
    assert set(world.jobs.states) == {"started"}


def test_rows_that_lack_a_contribution_are_written_anew_from_raw_records() -> None:
    """The window's end was given up: part of it, or all, is not in the table, whose later rows are right."""

    async def scene(world: World) -> None:
        await world.keep(0, 1, 2)
        await world.keep(0, 3, 4, 5, rolled=False)
        await world.keep(1, 6)
        await pass_hours(4)
        progress = await world.run()
        assert progress.next_ms == T0 + 2 * HOUR
        assert (progress.stats.periods_repaired, progress.stats.rollups_indexed) == (1, 3 + 2 + 1)
        counted = await recount(world.raw, world.definition, T0)
        assert await find_differences(world.store, world.definition, counted) == []
        late = Contribution(SHARD, mark_of("5"))
        cell = counted.cells(world.definition)[Place("hour", T0, '["s0"]')]
        assert await world.store.add(Place("hour", T0, '["s0"]'), cell, late) is False

    world = play(scene)
    assert world.store.table[Place("hour", T0, '["s0"]')].cell.records == 3
    assert world.store.table[total_place("hour", T0, SHARD)].cell.records == 5


def test_a_shard_that_is_behind_is_waited_for() -> None:
    """Raw records that no ledger has passed may be on their way, until the stream cannot have them any more."""

    async def scene(world: World) -> None:
        await world.keep(0, 1, 2, rolled=False)
        await pass_hours(4)
        assert (await world.run()).next_ms == 0
        assert world.store.table == {}
        await pass_hours(24)
        assert (await world.run()).next_ms == T0 + HOUR
        assert world.store.table[Place("hour", T0, '["s0"]')].cell.records == 1

    play(scene)


def test_rows_with_more_than_their_raw_records_are_never_touched() -> None:
    """Raw records are missing: the job fails with its reason, and nothing is written or deleted."""

    async def scene(world: World) -> None:
        await world.keep(0, 1, 2)
        await world.keep(0, 3, 4)
        gone = min(world.raw.objects)
        del world.raw.objects[gone]
        table = dict(world.store.table)
        await pass_hours(60)
        progress = await world.run()
        assert (progress.state, world.store.table, world.hours()) == ("failed", table, [0])
        assert progress.last_failure.startswith("raw-incomplete: ")
        assert (await world.run()).state == "failed"
        assert (await explain_rollup_job(world.desk))["failure_reason"] == progress.last_failure

    play(scene)


def test_a_row_that_no_raw_record_speaks_of_is_seen() -> None:
    """By the shard's total, since nobody asks for dimensions that are nowhere; by its minute where they are."""

    async def scene(world: World) -> None:
        await world.keep(0, 1)
        counted = await recount(world.raw, world.definition, T0)
        cell = counted.totals(world.definition)[total_place("hour", T0, SHARD)]
        other = Contribution("shardId-000000000001", mark_of("1"))
        await world.store.add(total_place("hour", T0, other.shard), cell, other)
        await world.store.add(Place("minute", T0 + 120_000, '["s0"]'), cell, other)
        differences = await find_differences(world.store, world.definition, counted)
        assert {(each.place.key, each.place.interval, each.expected) for each in differences} == {
            (f"total:{other.shard}", "hour", None),
            ('["s0"]', "minute", None),
        }
        with pytest.raises(Rejected) as caught:
            await mend(world.store, differences, counted)
        assert caught.value.reason == "raw-incomplete"

    play(scene)


def test_raw_records_that_come_while_a_period_is_compared_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that have them already are no reason to fail."""

    async def scene(world: World) -> None:
        await world.keep(0, 1, 2)
        compare = rollup_check.find_differences

        async def meanwhile(*args: Any) -> Any:
            if world.numbers < 4:
                await world.keep(0, 3, 4)
            return await compare(*args)

        monkeypatch.setattr("sluiceway.flows.rollup_job.find_differences", meanwhile)
        await pass_hours(4)
        progress = await world.run()
        assert (progress.state, progress.next_ms) == ("started", 0)
        assert (await world.run()).next_ms == T0 + HOUR

    play(scene)


def test_mending_that_does_not_help_fails_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not tried for ever, and raw records stay."""

    async def scene(world: World) -> None:
        await world.keep(0, 1, 2, rolled=False)

        async def nothing(*_: Any) -> int:
            return 1

        monkeypatch.setattr("sluiceway.flows.rollup_job.mend", nothing)
        await pass_hours(60)
        progress = await world.run()
        assert (progress.state, world.hours()) == ("failed", [0])
        assert progress.last_failure.startswith("rolled-and-raw-differ: ")

    play(scene)


# ---------------------------------------------------------------- deletion


@pytest.mark.parametrize("number", range(9))
def test_a_deletion_that_breaks_off_anywhere_goes_on_with_what_was_compared(number: int) -> None:
    """Whichever write fails: in the end everything compared is gone, and the rows are as they were."""

    class Break(Trouble):
        left = number

        async def before(self, operation: str) -> None:
            self.left -= operation in {"put", "delete", "write"}
            if self.left == -1:
                self.left = -2
                raise unavailable(operation)

    async def scene(world: World) -> None:
        await world.keep(0, 1, 2)
        await world.keep(0, 3)
        await world.keep(0, 4)
        table = dict(world.store.table)
        await pass_hours(60)
        world.raw.trouble = world.jobs.trouble = Break()
        for _ in range(2):
            with suppress(ServiceUnavailable):
                await world.run()
            assert world.store.table == table
        progress = await world.run()
        assert (progress.state, world.raw.objects, world.store.table) == ("started", {}, table)
        assert progress.delete_from_ms == T0 + HOUR

    play(scene)


def test_raw_records_that_come_after_the_deletion_began_are_kept() -> None:
    """They were not compared: the job fails, and they stay."""

    async def scene(world: World) -> None:
        await world.keep(0, 1, 2)
        delete = world.raw.delete

        async def meanwhile(name: str) -> None:
            if world.numbers == 2:
                await world.keep(0, 3, rolled=False)
            await delete(name)

        world.raw.delete = meanwhile  # type: ignore[method-assign]
        await pass_hours(60)
        progress = await world.run()
        assert progress.state == "failed"
        assert progress.last_failure.startswith("raw-came-late: ")
        assert len([name for name in world.raw.objects if name.startswith("raw/")]) == 1

    play(scene)


def test_raw_records_that_come_before_a_deletion_goes_on_are_kept() -> None:
    """The run broke off with the manifest written: what is not in it was not compared."""

    async def scene(world: World) -> None:
        await world.keep(0, 1, 2)
        await pass_hours(60)
        delete = world.raw.delete

        async def away(name: str) -> None:
            raise unavailable(name)

        world.raw.delete = away  # type: ignore[method-assign]
        assert (await world.run()).deleting_ms == T0
        world.raw.delete = delete  # type: ignore[method-assign]
        await world.keep(0, 3, rolled=False)
        late = max(world.raw.objects)
        progress = await world.run()
        assert progress.last_failure.startswith("raw-came-late: ")
        assert [name for name in world.raw.objects if name.startswith("raw/")] == [late]

    play(scene)


# ---------------------------------------------------------------- start, stop, retry


def test_a_job_that_is_stopped_stops_and_goes_on_where_it_was() -> None:
    """Also while a run is at it: the run sees it before its next period."""

    async def scene(world: World) -> None:
        for hour in range(4):
            await world.keep(hour, 1)
        await pass_hours(8)
        write = world.jobs.write

        async def stop_after_two(progress: RollupProgress, *, seen: RollupProgress | None) -> bool:
            if progress.next_ms == T0 + 2 * HOUR and progress.state == "started":
                world.jobs.write = write  # type: ignore[method-assign]
                await stop_rollup_job(world.desk)
            return await write(progress, seen=seen)

        world.jobs.write = stop_after_two  # type: ignore[method-assign]
        progress = await world.run()
        assert (progress.state, progress.next_ms) == ("stopped", T0 + HOUR)
        assert (await world.run()).next_ms == T0 + HOUR
        await start_rollup_job(world.desk)
        assert (await world.run()).next_ms == T0 + 4 * HOUR

    play(scene)


def test_a_trouble_that_may_pass_is_retried_by_the_next_run() -> None:
    """The state says so, with the reason; the next run goes on."""

    async def scene(world: World) -> None:
        await world.keep(0, 1)
        await pass_hours(4)
        world.raw.trouble.next_before = 1
        progress = await world.run()
        assert (progress.state, progress.stats.failures) == ("retry", 1)
        assert progress.last_failure == "ServiceUnavailable: throttled"
        progress = await world.run()
        assert (progress.state, progress.next_ms) == ("started", T0 + HOUR)

    play(scene)


def test_a_deployment_that_is_wrong_fails_the_job() -> None:
    """Until it is started again."""

    async def scene(world: World) -> None:
        await world.keep(0, 1)
        await pass_hours(4)
        world.raw.trouble.refusal = Misconfigured("no such bucket", what="s3:ListBucket")
        assert (await world.run()).state == "failed"
        world.raw.trouble.refusal = None
        assert (await world.run()).state == "failed"
        with pytest.raises(Rejected):
            await stop_rollup_job(world.desk)
        await start_rollup_job(world.desk)
        assert (await world.run()).next_ms == T0 + HOUR

    play(scene)


def test_a_run_ends_at_its_deadline_with_whole_periods() -> None:
    """What was not done whole is done by the next run."""

    async def scene(world: World) -> None:
        for hour in range(3):
            await world.keep(hour, 1)
        await pass_hours(8)
        get = world.raw.get

        async def slow(name: str) -> bytes | None:
            await asyncio.sleep(10)
            return await get(name)

        world.raw.get = slow  # type: ignore[method-assign]
        progress = await world.run(for_s=25)
        assert (progress.state, progress.next_ms) == ("started", T0 + 2 * HOUR)
        assert progress.stats.search_time_ms == 20_000
        assert (await world.run(for_s=25)).next_ms == T0 + 3 * HOUR

    play(scene)


def test_a_job_that_is_not_continuous_finishes() -> None:
    """Once no raw record is left; a continuous one goes on."""

    async def scene(world: World) -> None:
        await world.keep(0, 1)
        await pass_hours(4)
        assert (await world.run()).state == "started"
        await pass_hours(60)
        assert (await world.run()).state == "finished"
        assert (await world.run()).state == "finished"

    play(scene, continuous=False)


def test_days_are_compared_as_days() -> None:
    """With days among the intervals a period is a day, of all its hours' raw records."""

    async def scene(world: World) -> None:
        await world.keep(1, 1, 2)
        await world.keep(20, 3)
        day = T0 // (24 * HOUR) * 24 * HOUR
        world.store.table.clear()
        world.store.ledgers[SHARD] = Ledger(mark_of("9"), (), 1)
        await pass_hours(60)
        progress = await world.run()
        assert progress.next_ms == day + 2 * 24 * HOUR
        assert (progress.stats.periods_verified, progress.stats.rollups_indexed) == (2, 7 + 4)

    play(scene, intervals=("1m", "1h", "1d"), raw_retention_s=3 * DAY_S)


def test_a_job_is_explained_in_the_articles_words() -> None:
    """Status, counts, the next window, the last failure."""

    async def scene(world: World) -> None:
        assert (await explain_rollup_job(world.desk))["status"] == "init"
        await world.keep(0, 1, 2, 3)
        await pass_hours(4)
        await world.run()
        assert await explain_rollup_job(world.desk) == {
            "rollup_id": "sensors",
            "last_updated_time": T0 + 4 * HOUR,
            "continuous": {"next_window_start_time": T0 + HOUR, "next_window_end_time": T0 + 2 * HOUR},
            "status": "started",
            "failure_reason": None,
            "stats": {
                "pages_processed": 2,
                "documents_processed": 3,
                "rollups_indexed": 0,
                "periods_verified": 1,
                "periods_repaired": 0,
                "objects_deleted": 0,
                "search_time_ms": 0,
                "index_time_ms": 0,
                "failures": 0,
            },
        }

    play(scene)


# ---------------------------------------------------------------- counting


def test_objects_that_overlap_are_counted_once() -> None:
    """A batch that was cut in another way leaves objects with some of the same records."""

    async def scene(world: World) -> None:
        records = await world.keep(0, 1, 2, 3, 4, 5, rolled=False)
        for low, high in ((0, 2), (1, 4), (2, 5), (4, 5)):
            part = records[low:high]
            first, last = mark_of(part[0].sequence_number), mark_of(part[-1].sequence_number)
            await world.raw.put(name_object("records", T0, shard=SHARD, first=first, last=last), encode_lines(part))
        parts = [record._replace(sequence_number="77", sub=sub) for sub, record in enumerate(records[:3])]
        name = name_object("records", T0, shard="shardId-000000000001", first="x", last="y")
        await world.raw.put(name, encode_lines([parts[0]._replace(shard="b"), *parts]))
        counted = await recount(world.raw, world.definition, T0)
        assert counted.documents == 5 + 1 + 3
        assert counted.names == sorted(world.raw.objects)
        assert counted.marks == {SHARD: mark_of("77"), "b": mark_of("77")}

    play(scene)


async def test_all_names_are_listed_page_by_page() -> None:
    """In order, also where a page is full."""
    raw = MemoryRawStore(objects={f"raw/a/{number}": b"" for number in range(6)}, page=2)
    assert [name async for name in list_names(raw, "raw/a/")] == [f"raw/a/{number}" for number in range(6)]
    assert [name async for name in list_names(raw, "raw/b/")] == []


def test_a_period_with_too_many_cells_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded, and the job says why it does not go on."""
    monkeypatch.setattr(rollup_check, "MAX_CELLS", 2)

    async def scene(world: World) -> None:
        await world.keep(0, *range(5), rolled=False)
        await pass_hours(4)
        assert (await world.run()).last_failure.startswith("too-many-cells: ")

    play(scene)


def test_the_cells_of_all_shards_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in memory together: a bound for each would be none."""
    monkeypatch.setattr(rollup_check, "MAX_CELLS", 3)

    async def scene(world: World) -> None:
        for shard in ("a", "b", "c"):
            await world.keep(0, 1, 2, rolled=False, shard=shard)
        await pass_hours(4)
        assert (await world.run()).last_failure.startswith("too-many-cells: ")

    play(scene)
