"""What becomes of a shard's records: order by lane, failures, poison, stray cancellations, hand-over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from localcloud.clock import run_virtual
from sluiceway.errors import Misconfigured, Rejected, Retryable
from sluiceway.events.kinesis import KinesisRecord
from sluiceway.flows.consume.lanes import Lanes
from sluiceway.flows.consume.options import ConsumeOptions
from sluiceway.rules.consuming.progress import Progress
from sluiceway.rules.consuming.spans import NOTHING_DONE, Checkpoint
from tests.fakes import MemoryDeadLetters, Trouble
from tests.unit.consume_setup import Draws, make_desk, until

Handler = Callable[[KinesisRecord], Awaitable[None]]


def record(number: int, key: str = "k", data: bytes = b"{}") -> KinesisRecord:
    return KinesisRecord(str(number), key, data, 0, "shardId-000000000000", "arn:s")


class Bench:
    """Lanes with a handler; `letters` are the buried."""

    def __init__(self, handle: Handler, letters: MemoryDeadLetters | None = None, **options: object) -> None:
        self.letters = letters or MemoryDeadLetters()
        self.progress = Progress(NOTHING_DONE)
        self.may_begin = True
        self.lanes = Lanes(
            handle,
            self.progress,
            desk=make_desk(self.letters, Draws(0.0)),
            options=ConsumeOptions(**options),  # type: ignore[arg-type]
            may_begin=lambda: self.may_begin,
        )
        self.options = ConsumeOptions(**options)  # type: ignore[arg-type]

    def add(self, *records: KinesisRecord) -> None:
        for each in records:
            self.lanes.add(each, Checkpoint(each.sequence_number))

    @asynccontextmanager
    async def at_work(self) -> AsyncGenerator[None]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.lanes.work()) for _ in range(self.options.concurrency)]
            yield
            self.lanes.is_closed = True
            for task in tasks:
                task.cancel()

    async def work_off(self, *records: KinesisRecord) -> None:
        self.add(*records)
        async with self.at_work():
            await self.lanes.wait_below(1)


def now() -> float:
    return asyncio.get_running_loop().time()


def test_lanes_run_at_once_and_each_in_order() -> None:
    """Two keys with a slot each: four seconds of work take two; the slots bound how many run at once."""

    async def main() -> None:
        seen: list[str] = []

        async def handle(each: KinesisRecord) -> None:
            await asyncio.sleep(1)
            seen.append(each.sequence_number)

        bench = Bench(handle, concurrency=2)
        await bench.work_off(record(1, "a"), record(2, "a"), record(3, "b"), record(4, "b"))
        assert (sorted(seen[:2]), sorted(seen[2:]), now()) == (["1", "3"], ["2", "4"], 2)
        assert bench.progress.checkpoint == Checkpoint("4")
        await Bench(handle, concurrency=1).work_off(record(5, "a"), record(6, "b"))
        assert now() == 4

    run_virtual(main)


def test_a_failure_holds_up_its_own_lane_alone() -> None:
    """It is tried again after a back-off; what is behind it waits, other keys are done meanwhile."""

    async def main() -> None:
        seen: list[tuple[str, float]] = []

        async def handle(each: KinesisRecord) -> None:
            seen.append((each.sequence_number, now()))
            if each.sequence_number == "1" and now() < 5:
                raise Retryable("not yet")

        bench = Bench(handle, concurrency=1)
        await bench.work_off(record(1, "a"), record(2, "a"), record(3, "b"))
        assert seen == [("1", 0), ("3", 0), ("1", 1), ("1", 5), ("2", 5)]

    run_virtual(main)


def test_a_rejected_record_is_buried_at_once_with_its_reason() -> None:
    """And its lane goes on. The letter is the record as an event has it."""

    async def main() -> None:
        seen: list[str] = []

        async def handle(each: KinesisRecord) -> None:
            if each.sequence_number == "1":
                raise Rejected("no total", reason="no-total")
            seen.append(each.sequence_number)

        bench = Bench(handle)
        await bench.work_off(record(1), record(2))
        (letter,) = bench.letters.letters
        assert (letter.reason, letter.detail, letter.attributes["sequence_number"]) == ("no-total", "no total", "1")
        assert json.loads(letter.body)["kinesis"]["partitionKey"] == "k"
        assert seen == ["2"]

    run_virtual(main)


def test_what_nobody_understands_is_poison_after_some_tries() -> None:
    """`tries` of them; the letter names the kind of error, never its text."""

    async def main() -> None:
        tried: list[float] = []

        async def handle(_: KinesisRecord) -> None:
            tried.append(now())
            raise KeyError("SECRET")

        bench = Bench(handle, tries=3)
        await bench.work_off(record(1))
        (letter,) = bench.letters.letters
        assert (letter.reason, letter.detail) == ("tries-exhausted", "KeyError in each of 3 tries")
        assert tried == [0, 1, 5]

    run_virtual(main)


@pytest.mark.parametrize("error", [Retryable("busy"), Misconfigured("no table", what="TABLE")])
def test_an_outage_makes_no_dead_letters(error: Exception) -> None:
    """However long it lasts: what may succeed later is tried until it does."""

    async def main() -> None:
        tries = 0

        async def handle(_: KinesisRecord) -> None:
            nonlocal tries
            tries += 1
            if now() < 4_000:
                raise error

        bench = Bench(handle, tries=1)
        await bench.work_off(record(1))
        assert bench.letters.letters == []
        assert tries > 10

    run_virtual(main)


def test_advice_is_heeded_and_a_group_of_one_is_its_error() -> None:
    """`after_s` goes before a shorter back-off, inside a task group's wrapping too."""

    async def main() -> None:
        seen: list[float] = []

        async def handle(_: KinesisRecord) -> None:
            seen.append(now())
            if len(seen) < 2:
                raise ExceptionGroup("of a task group", [Retryable("busy", after_s=40.0)])

        await Bench(handle, tries=1).work_off(record(1))
        assert seen == [0, 40]

    run_virtual(main)


def test_dead_letters_that_are_away_lose_nothing() -> None:
    """The record is tried again until they take it."""

    async def main() -> None:
        letters = MemoryDeadLetters(Trouble())
        letters.trouble.next_before = 2

        async def handle(_: KinesisRecord) -> None:
            raise Rejected("poison", reason="poison")

        bench = Bench(handle, letters)
        await bench.work_off(record(1))
        assert [letter.reason for letter in letters.letters] == ["poison"]
        assert bench.progress.checkpoint == Checkpoint("1")

    run_virtual(main)


def test_no_handler_sees_an_aggregate_that_cannot_be_opened() -> None:
    """It is poison, with the codec's reason."""

    async def main() -> None:
        async def handle(_: KinesisRecord) -> None:
            raise AssertionError

        bench = Bench(handle)
        await bench.work_off(record(1)._replace(fault=Rejected("torn", reason="aggregate-digest")))
        assert [letter.reason for letter in bench.letters.letters] == ["aggregate-digest"]

    run_virtual(main)


@pytest.mark.parametrize("how", ["stray", "own task"])
def test_a_cancellation_that_nobody_asked_for_is_one_records_trouble(how: str) -> None:
    """Raised by what it awaits, or of its own task: the slot lives on and the record is tried again."""

    async def main() -> None:
        tries = 0

        async def handle(_: KinesisRecord) -> None:
            nonlocal tries
            tries += 1
            if tries > 2:
                return
            if how == "stray":
                raise asyncio.CancelledError
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(1)

        async with asyncio.timeout(100):
            await Bench(handle, concurrency=1).work_off(record(1), record(2))
        assert tries == 4

    run_virtual(main)


def test_timers_get_their_turn_among_handlers_that_never_wait() -> None:
    """A thousand of them in a row do not keep the lease from being renewed."""

    async def main() -> None:
        turns: list[int] = []
        seen: list[str] = []

        async def look() -> None:
            while len(seen) < 1_000:
                turns.append(len(seen))
                await asyncio.sleep(0)

        async def handle(each: KinesisRecord) -> None:
            seen.append(each.sequence_number)

        bench = Bench(handle, concurrency=1)
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(look())
            await bench.work_off(*(record(number) for number in range(1_000)))
            await looking
        assert len(turns) > 10

    run_virtual(main)


def test_what_begins_stops_where_the_lease_ends() -> None:
    """Nothing begins once the lease may be another's, though there is work."""

    async def main() -> None:
        seen: list[str] = []

        async def handle(each: KinesisRecord) -> None:
            seen.append(each.sequence_number)
            bench.may_begin = False

        bench = Bench(handle, concurrency=1)
        bench.add(record(1, "a"), record(2, "b"))
        await bench.lanes.work()
        assert seen == ["1"]

    run_virtual(main)


def test_a_hand_over_finishes_what_lies_before_what_has_begun() -> None:
    """Record 4 has begun, so 2 and 3 are done as well; 5 is not begun, though its lane is free: nothing comes twice."""

    async def main() -> None:
        seen: list[str] = []
        gates = {number: asyncio.Event() for number in "14"}

        async def handle(each: KinesisRecord) -> None:
            if each.sequence_number in gates:
                await gates[each.sequence_number].wait()
            seen.append(each.sequence_number)

        bench = Bench(handle, concurrency=2)
        bench.add(record(1, "a"), record(2, "a"), record(3, "a"), record(4, "b"), record(5, "c"), record(6, "a"))
        async with bench.at_work():
            await asyncio.sleep(1)
            bench.lanes.restrict()
            gates["4"].set()
            await asyncio.sleep(1)
            assert seen == ["4"]
            assert bench.progress.checkpoint == NOTHING_DONE
            gates["1"].set()
            await bench.lanes.wait_restricted()
            assert seen == ["4", "1", "2", "3"]
            assert bench.progress.checkpoint == Checkpoint("4")
            await asyncio.sleep(100)
        assert len(seen) == 4

    run_virtual(main)


def test_reading_waits_while_there_is_enough_in_hand() -> None:
    """`wait_below` is what bounds memory."""

    async def main() -> None:
        async def handle(_: KinesisRecord) -> None:
            await asyncio.sleep(1)

        bench = Bench(handle, concurrency=1)
        bench.add(*(record(number) for number in range(1, 6)))
        async with bench.at_work():
            await bench.lanes.wait_below(3)
            assert (now(), len(bench.progress)) == (3, 2)
            await until(lambda: not bench.progress)

    run_virtual(main)


def test_a_hand_over_counts_what_began_before_a_later_try() -> None:
    """Record 3 is done, 2 waits for its next try, 1 is in its own: 2 is waited for, or 3 would come twice."""

    async def main() -> None:
        gate = asyncio.Event()
        tries: list[str] = []

        async def handle(each: KinesisRecord) -> None:
            tries.append(each.sequence_number)
            if each.sequence_number != "3" and tries.count(each.sequence_number) == 1:
                raise Retryable("not yet", after_s=1.0 if each.sequence_number == "1" else 5.0)
            if each.sequence_number == "1":
                await gate.wait()

        bench = Bench(handle, concurrency=1)
        bench.add(record(1, "a"), record(2, "b"), record(3, "c"))
        async with bench.at_work():
            await asyncio.sleep(2)
            assert tries == ["1", "2", "3", "1"]
            bench.lanes.restrict()
            gate.set()
            await bench.lanes.wait_restricted()
        assert bench.progress.checkpoint == Checkpoint("3")

    run_virtual(main)
