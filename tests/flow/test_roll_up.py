"""roll_up_records: each rule of docs/rollups.md once, on virtual time."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from localcloud.clock import run_virtual
from sluiceway.aws.dynamodb import Table
from sluiceway.aws.rollups import DynamoDbRollupStore
from sluiceway.codec import kinesis_window
from sluiceway.codec.raw_records import decode_lines
from sluiceway.errors import Misconfigured, Rejected, Retryable, ServiceUnavailable
from sluiceway.events.invocation import Invocation
from sluiceway.events.kinesis import KinesisRecord
from sluiceway.events.kinesis_window import KinesisWindow, WindowReply
from sluiceway.flows import batch_letters, roll_up
from sluiceway.flows.roll_up import RollUpDesk, roll_up_records
from sluiceway.flows.workers import do_each
from sluiceway.ports.rollups import Contribution, Ledger, Row, total_place
from sluiceway.rules.rollups import windows
from sluiceway.rules.rollups.cells import Cell, Measure, Place
from sluiceway.rules.rollups.definition import read_definition
from sluiceway.rules.rollups.records import Reading, RecordReader
from sluiceway.rules.rollups.windows import mark_of
from sluiceway.steps.metrics import _gathered
from tests.contract.answer_tables import Post, local_tables
from tests.contract.test_rollup_stores import DEFINITION as TABLE_OF_ROLLUPS
from tests.fakes import EPOCH_MS, LoopClockMs, Trouble
from tests.fakes_rollups import MemoryLetters, MemoryRawStore, MemoryRollupStore, define

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/Records"
SHARD = "shardId-000000000000"
MINUTE = 60_000
HOUR = 3_600_000
T0 = EPOCH_MS
ROOT = Path(__file__).parents[2]
EVENTS = ROOT / "events" / "roll_up_records"
PAGE = (ROOT / "docs" / "rollups.md").read_text(encoding="utf-8")
DOCUMENTED = read_definition(json.loads(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0]), "ROLLUP")


def record(
    number: int, *, device: str = "s1", at_ms: int = 0, arrived_ms: int | None = None, data: bytes | None = None
) -> KinesisRecord:
    """The record of that sequence number, of a sensor whose temperature it is; times count from T0."""
    body = {"timestamp": T0 + at_ms, "device_id": device, "temperature": number}
    arrived = T0 + (at_ms if arrived_ms is None else arrived_ms)
    return KinesisRecord(str(number), device, data or json.dumps(body).encode(), arrived, SHARD, STREAM)


class World:
    """A shard's invocations over ports in memory; the state travels as JSON, as it does in Lambda."""

    def __init__(self, **changes: Any) -> None:
        self.store = MemoryRollupStore()
        self.raw = MemoryRawStore()
        self.letters = MemoryLetters()
        self.definition = define(**changes)
        self.desk = RollUpDesk(self.definition, self.store, self.raw, self.letters)
        self.state: dict[str, Any] = {}
        self.counted: dict[str, float] = {}

    async def bring(
        self,
        *records: KinesisRecord,
        final: bool = False,
        cut: bool = False,
        start_ms: int = 0,
        timeout_s: float = 30.0,
    ) -> WindowReply:
        """One invocation in the window that starts at T0 + `start_ms`; its state is kept where it succeeds."""
        window = KinesisWindow(
            records, self.state, SHARD, STREAM, T0 + start_ms, T0 + start_ms + MINUTE, is_final=final, is_cut=cut
        )
        call = Invocation("r", "f", "arn", asyncio.get_running_loop().time() + timeout_s)
        gathered: list[tuple[str, float, str]] = []
        token = _gathered.set(gathered)
        try:
            reply = await roll_up_records(window, call, self.desk)
        finally:
            _gathered.reset(token)
            for name, value, _ in gathered:
                self.counted[name] = self.counted.get(name, 0) + value
        self.state = {} if final or cut else json.loads(json.dumps(kinesis_window.encode(reply)["state"]))
        return reply

    def temperatures(
        self, interval: Any = "minute", start_ms: int = 0, device: str = "s1"
    ) -> tuple[int, Decimal] | None:
        """Of a row: how many records, and the sum of their temperatures; None where there is no row."""
        row = self.store.table.get(Place(interval, T0 + start_ms, f'["{device}"]'))
        if row is None:
            return None
        measure = row.cell.measures[0]
        assert measure is not None
        return row.cell.records, measure.total

    @property
    def ledger(self) -> Ledger:
        return self.store.ledgers.get(SHARD, Ledger())


def play(scene: Callable[[World], Awaitable[None]], **changes: Any) -> World:
    """Run a scene on virtual time."""
    world = World(**changes)

    async def run() -> None:
        await scene(world)

    run_virtual(run)
    return world


# ---------------------------------------------------------------- the window


def test_a_window_is_gathered_and_put_into_the_table_at_its_end() -> None:
    """Until then nothing is in the table; then minutes, hours and the shard's total are, and the state is empty."""

    async def scene(world: World) -> None:
        assert (await world.bring(record(1), record(2, at_ms=5))).failed == ()
        await world.bring(record(3, at_ms=MINUTE), record(4, device="s2"))
        assert world.store.table == {}
        assert await world.bring(final=True) == WindowReply({})

    world = play(scene)
    assert world.temperatures() == (2, 3)
    assert world.temperatures(start_ms=MINUTE) == (1, 3)
    assert world.temperatures("hour") == (3, 6)
    assert world.temperatures(device="s2") == (1, 4)
    total = world.store.table[total_place("hour", T0, SHARD)].cell
    assert total == Cell(4, (Measure(4, Decimal(10), Decimal(1), Decimal(4)), None))
    assert (world.ledger.through, world.ledger.begun) == (mark_of("4"), ())
    assert world.counted == {"RecordsRolledUp": 4, "RowsMerged": 6}


def test_windows_of_one_minute_merge_in_its_row() -> None:
    """And those of other shards: marks are a shard's own."""

    async def scene(world: World) -> None:
        await world.bring(record(1))
        await world.bring(final=True)
        await world.bring(record(2))
        await world.bring(final=True)

    assert play(scene).temperatures() == (2, 3)


def test_a_window_that_is_cut_goes_on_with_a_fresh_state() -> None:
    """Lambda's own limit: what was gathered is put into the table."""

    async def scene(world: World) -> None:
        await world.bring(record(1))
        assert await world.bring(cut=True) == WindowReply({})
        assert world.temperatures() == (1, 1)
        await world.bring(record(2))
        await world.bring(final=True)

    assert play(scene).temperatures() == (2, 3)


def test_a_state_is_put_into_the_table_before_it_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """The window goes on; each record is in one contribution."""
    monkeypatch.setattr(windows, "MAX_CELLS", 2)

    async def scene(world: World) -> None:
        reply = await world.bring(*(record(number, device=f"s{number}") for number in (1, 2, 3)))
        assert reply == WindowReply({})
        assert world.temperatures(device="s3") == (1, 3)
        await world.bring(record(4, device="s3"))
        assert world.temperatures(device="s3") == (1, 3)
        await world.bring(final=True)

    assert play(scene).temperatures(device="s3") == (2, 7)


def test_the_end_of_a_window_of_poison_writes_nothing() -> None:
    """No row, and no ledger."""

    async def scene(world: World) -> None:
        await world.bring(record(1, data=b"?"))
        await world.bring(final=True)

    world = play(scene)
    assert (world.store.table, world.store.ledgers, world.raw.objects) == ({}, {}, {})


# ---------------------------------------------------------------- what comes again


def test_an_end_that_is_told_twice_adds_once() -> None:
    """The answer was lost after the table was written: the same state comes again."""

    async def scene(world: World) -> None:
        await world.bring(record(1))
        state = world.state
        await world.bring(final=True)
        world.state = state
        await world.bring(final=True)

    world = play(scene)
    assert world.temperatures() == (1, 1)
    assert world.ledger.version == 2


class Break(Trouble):
    """The write of that number fails, before it was done or after it; reading does not count."""

    def __init__(self, number: int, *, done: bool) -> None:
        super().__init__()
        self.left = number
        self.done = done

    async def before(self, operation: str) -> None:
        if operation.startswith("read"):
            return
        self.left -= 1
        if self.left == 0 and not self.done:
            raise Retryable("before it was done")

    async def after(self, operation: str) -> None:
        if self.left == 0 and self.done:
            raise Retryable("after it was done")


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("number", range(1, 8))
def test_a_crash_at_any_write_is_made_good(number: int, done: bool) -> None:
    """The ledger, five rows, the ledger: whichever was the last, after the retry each row has all, once."""

    async def scene(world: World) -> None:
        await world.bring(record(1), record(2, device="s2"))
        world.store.trouble = Break(number, done=done)
        with pytest.raises(Retryable):
            await world.bring(final=True)
        await world.bring(final=True)

    world = play(scene)
    assert (world.temperatures(), world.temperatures("hour")) == ((1, 1), (1, 1))
    assert (world.temperatures(device="s2"), world.temperatures("hour", device="s2")) == ((1, 2), (1, 2))
    assert world.store.table[total_place("hour", T0, SHARD)].cell.records == 2
    assert (world.ledger.through, world.ledger.begun) == (mark_of("2"), ())


def test_records_that_come_again_are_passed_over() -> None:
    """Those in the table, and those in the state: whether from a retry or from a mapping made anew."""

    async def scene(world: World) -> None:
        await world.bring(record(1), record(2))
        await world.bring(record(2), record(3))
        await world.bring(final=True)
        await world.bring(record(1), record(3), record(4))
        await world.bring(final=True)

    assert play(scene).temperatures() == (4, 10)


def test_a_contribution_that_was_begun_is_ended_at_its_mark() -> None:
    """It broke off with one row written. Delivered again in larger batches, it is cut there, and adds nothing twice."""

    async def scene(world: World) -> None:
        await world.bring(record(1), record(2, device="s2"), record(3))
        world.store.trouble = Break(3, done=False)
        with pytest.raises(Retryable):
            await world.bring(final=True)
        assert (world.ledger.through, world.ledger.begun) == ("", (mark_of("3"),))
        assert len(world.store.table) == 1
        world.state = {}  # a mapping made anew, with longer windows
        await world.bring(record(1), record(2, device="s2"), record(3), record(4), record(5, device="s2"))
        assert world.ledger.through == mark_of("3")
        await world.bring(final=True)

    world = play(scene)
    assert (world.temperatures(), world.temperatures(device="s2")) == ((3, 8), (2, 7))
    assert (world.temperatures("hour"), world.temperatures("hour", device="s2")) == ((3, 8), (2, 7))
    assert (world.ledger.through, world.ledger.begun) == (mark_of("5"), ())


def test_a_contribution_that_was_begun_may_end_in_parts() -> None:
    """A shorter window ends before its mark: rows that have it take nothing, the others what comes."""

    async def scene(world: World) -> None:
        world.store.ledgers[SHARD] = Ledger("", (mark_of("3"),), 1)
        whole = Cell(2, (Measure(2, Decimal(4), Decimal(1), Decimal(3)), None))
        world.store.table[Place("minute", T0, '["s1"]')] = Row(whole, {SHARD: mark_of("3")}, 1)
        await world.bring(record(1), record(2, device="s2"))
        await world.bring(final=True)
        assert world.ledger.begun == (mark_of("3"),)
        await world.bring(record(3), record(4))
        await world.bring(final=True)

    world = play(scene)
    assert (world.temperatures(), world.temperatures(device="s2")) == ((3, 8), (1, 2))
    assert world.temperatures("hour") == (3, 8)


def test_a_shard_that_two_mappings_roll_up_is_told_of() -> None:
    """The table has half of what is in the state: neither can be added any more."""

    async def scene(world: World) -> None:
        await world.bring(record(1), record(2))
        world.store.ledgers[SHARD] = Ledger(mark_of("1"), (), 1)
        with pytest.raises(Misconfigured) as caught:
            await world.bring(final=True)
        assert caught.value.what == "EventSourceMapping"
        world.store.ledgers[SHARD] = Ledger("", (mark_of("1"),), 1)
        with pytest.raises(Misconfigured):
            await world.bring(final=True)

    play(scene)


def test_two_invocations_on_a_shard_do_not_both_write() -> None:
    """The ledger is written on the condition that it is as it was read."""

    async def scene(world: World) -> None:
        await world.bring(record(1))
        read = world.store.read_ledger

        async def forestalled(shard: str) -> Ledger:
            found = await read(shard)
            world.store.ledgers[shard] = replace(found, version=found.version + 7)
            return found

        world.store.read_ledger = forestalled  # type: ignore[method-assign]
        with pytest.raises(Retryable):
            await world.bring(final=True)
        assert world.store.table == {}

    play(scene)


def test_a_state_of_another_definition_is_dropped_and_told_of() -> None:
    """Its records are in the raw store, from which the job mends the rows."""

    async def scene(world: World) -> None:
        await world.bring(record(1))
        world.state["of"] = "another"
        await world.bring(record(2))
        await world.bring(final=True)
        assert world.temperatures() == (1, 2)
        assert world.counted["StateDropped"] == 1

    play(scene)


# ---------------------------------------------------------------- late, too late, poison


def test_a_late_record_is_added_to_its_own_minute_and_counted() -> None:
    """Its window is another than its minute's, which is in the table already."""

    async def scene(world: World) -> None:
        await world.bring(record(1))
        await world.bring(final=True)
        await world.bring(record(2, arrived_ms=10 * MINUTE), record(3, at_ms=10 * MINUTE), start_ms=10 * MINUTE)
        await world.bring(final=True, start_ms=10 * MINUTE)

    world = play(scene)
    assert (world.temperatures(), world.temperatures(start_ms=10 * MINUTE)) == ((2, 3), (1, 3))
    assert world.temperatures("hour") == (3, 6)
    assert (world.counted["RecordsLate"], world.counted["RecordsRolledUp"]) == (1, 3)
    assert "RecordsTooLate" not in world.counted


def test_poison_is_a_dead_letter_with_its_reason_and_its_record() -> None:
    """Also what is too late; the others are rolled up, and poison is in no raw object."""
    late = record(2, arrived_ms=HOUR + MINUTE)
    broken = record(3, data=b"?")._replace(fault=Rejected("no aggregate", reason="malformed-aggregate"))

    async def scene(world: World) -> None:
        reply = await world.bring(record(1, data=b"[1]"), late, broken, record(4))
        assert reply.failed == ()
        await world.bring(final=True)

    world = play(scene)
    assert [reason for reason, _, _ in world.letters.letters] == ["invalid-json", "too-late", "malformed-aggregate"]
    _, body, attributes = world.letters.letters[1]
    assert (attributes["sequence_number"], attributes["shard_id"]) == ("2", SHARD)
    assert json.loads(body)["kinesis"]["sequenceNumber"] == "2"
    assert world.temperatures() == (1, 4)
    assert (world.counted["RecordsRejected"], world.counted["RecordsTooLate"]) == (3, 1)
    assert [each.sequence_number for body in world.raw.objects.values() for each in decode_lines(body)] == ["4"]


def test_where_dead_letters_are_away_the_shard_is_read_again_from_there() -> None:
    """The state is that of the records before; the ones after come again."""

    async def scene(world: World) -> None:
        world.letters.is_away = True
        reply = await world.bring(record(1), record(2, data=b"?"), record(3))
        assert reply.failed == ("2",)
        assert reply.state["last"] == mark_of("1")
        world.letters.is_away = False
        assert (await world.bring(record(2, data=b"?"), record(3))).failed == ()
        await world.bring(final=True)

    world = play(scene)
    assert world.temperatures() == (2, 4)
    assert len(world.letters.letters) == 1


class SlowLetters(MemoryLetters):
    """Each letter takes 10 ms."""

    async def send(self, body: str, *, reason: str, detail: str, attributes: Mapping[str, str]) -> None:
        await asyncio.sleep(0.01)
        await super().send(body, reason=reason, detail=detail, attributes=attributes)


def bury(world: World) -> None:
    world.letters = SlowLetters()
    world.desk = replace(world.desk, dead_letters=world.letters)


def test_many_letters_are_sent_at_once() -> None:
    """Two thousand would take twenty seconds one after the other."""

    async def scene(world: World) -> None:
        bury(world)
        assert (await world.bring(*(record(number, data=b"?") for number in range(1, 2_001)))).failed == ()
        assert asyncio.get_running_loop().time() < 1

    world = play(scene)
    assert len(world.letters.letters) == 2_000
    assert world.counted == {"RecordsRejected": 2_000}


def test_letters_that_there_is_no_time_for_come_again() -> None:
    """The shard is read again from the first of them; the state is that of the records before it."""

    async def scene(world: World) -> None:
        bury(world)
        records = [record(number, data=b"?" if number > 1 else None) for number in range(1, 1001)]
        reply = await world.bring(*records, timeout_s=0.2)
        (first,) = reply.failed
        assert 320 < int(first) < 640
        assert reply.state["last"] == mark_of(str(int(first) - 1))
        assert world.counted["RecordsRejected"] == int(first) - 2
        assert (await world.bring(*records[int(first) - 1 :])).failed == ()
        await world.bring(final=True)

    world = play(scene)
    assert world.counted["RecordsRejected"] == 999
    assert world.temperatures() == (1, 1)


def read_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each record takes a second to read, and each time the clock is looked at."""
    loop, late, read = asyncio.get_running_loop(), [0.0], RecordReader.read
    time = loop.time

    def take_long(reader: RecordReader, data: bytes, arrived_ms: int) -> Reading:
        late[0] += 1.0
        return read(reader, data, arrived_ms)

    monkeypatch.setattr(roll_up, "LOOK_EVERY", 1)
    monkeypatch.setattr(RecordReader, "read", take_long)
    monkeypatch.setattr(loop, "time", lambda: time() + late[0])


def test_half_of_the_time_is_left_for_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the same poison would come again for ever, and nothing behind it be read."""

    async def scene(world: World) -> None:
        read_slowly(monkeypatch)
        reply = await world.bring(record(1, data=b"?"), *map(record, range(2, 20)), timeout_s=9.0)
        assert (reply.failed, reply.state["last"]) == (("5",), mark_of("4"))
        assert len(world.letters.letters) == 1

    play(scene)


def test_an_aggregate_that_the_deadline_cuts_has_no_letters_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes again whole, and would have them twice."""
    parts = [record(2, data=b"?")._replace(sub_sequence=at) for at in range(19)]

    async def scene(world: World) -> None:
        read_slowly(monkeypatch)
        assert (await world.bring(record(1), *parts, timeout_s=9.0)).failed == ("2",)
        assert world.letters.letters == []

    play(scene)


def test_an_aggregate_of_poison_has_a_thousand_letters_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes again whole, so its letters must fit into an invocation: the last of them speaks for the rest."""
    monkeypatch.setattr(batch_letters, "MAX_LETTERS", 3)
    poison = [record(1, data=b"?")._replace(sub_sequence=at) for at in range(5)]

    async def scene(world: World) -> None:
        assert (await world.bring(*poison, record(2, data=b"?"), record(3))).failed == ()
        await world.bring(final=True)

    world = play(scene)
    assert [said.get("sub_sequence") for _, _, said in world.letters.letters] == ["0", "1", "2", None]
    assert world.counted["RecordsRejected"] == 6
    assert world.temperatures() == (1, 3)


def test_an_aggregate_goes_back_whole() -> None:
    """Its records share a sequence number: none of them is in the state when one failed."""
    parts = [record(5)._replace(sub_sequence=at) for at in range(3)]
    parts[2] = parts[2]._replace(data=b"?")

    async def scene(world: World) -> None:
        world.letters.is_away = True
        reply = await world.bring(record(4), *parts)
        assert (reply.failed, reply.state["last"]) == (("5",), mark_of("4"))
        world.letters.is_away = False
        await world.bring(*parts)
        await world.bring(final=True)

    world = play(scene)
    assert world.temperatures() == (3, 14)
    assert [reason for reason, _, _ in world.letters.letters] == ["invalid-json"]
    raw = [(each.sequence_number, each.sub) for body in world.raw.objects.values() for each in decode_lines(body)]
    assert sorted(raw) == [("4", -1), ("5", 0), ("5", 1)]


def test_the_deadline_ends_a_batch_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read is answered for; the rest comes again."""
    monkeypatch.setattr(roll_up, "LOOK_EVERY", 2)

    async def scene(world: World) -> None:
        reply = await world.bring(*map(record, range(1, 6)), timeout_s=0.0)
        assert reply.failed == ("3",)
        await world.bring(*map(record, range(3, 6)))
        await world.bring(final=True)

    assert play(scene).temperatures() == (5, 15)


# ---------------------------------------------------------------- raw records


def test_raw_records_are_stored_by_their_hour_before_they_are_answered_for() -> None:
    """A record as it was in the stream; where they cannot be stored, the batch fails."""
    text = b'{"timestamp": %d, "device_id": "s1", "temperature": 1.10,\n "note": "\xe2\x80\xa8 \\" \\n"}' % T0

    async def scene(world: World) -> None:
        world.raw.trouble.next_before = 1
        with pytest.raises(ServiceUnavailable):
            await world.bring(record(1, data=text))
        assert (world.state, world.store.table) == ({}, {})
        await world.bring(record(1, data=text), record(2, arrived_ms=5, at_ms=-MINUTE), record(3))

    world = play(scene)
    names = sorted(world.raw.objects)
    assert names == [
        f"raw/records/2027/01/15/07/{SHARD}-{mark_of('2')}-{mark_of('2')}.jsonl",
        f"raw/records/2027/01/15/08/{SHARD}-{mark_of('1')}-{mark_of('3')}.jsonl",
    ]
    first, _ = decode_lines(world.raw.objects[names[1]])
    assert first == (SHARD, "1", -1, T0, text)


# ---------------------------------------------------------------- the page


def test_the_pages_definition_is_read_and_its_examples_are_python() -> None:
    """The setting as it stands there; each block compiles, and its imports are there."""
    assert tuple(DOCUMENTED.retention_s) == ("minute", "hour")
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for at, block in enumerate(blocks):
        exec(compile(block, f"docs/rollups.md, block {at}", "exec", dont_inherit=True), {"__name__": "example"})


async def test_the_pages_hour_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the local cloud's DynamoDB: an hour of a sensor in the definition's words."""
    monkeypatch.setenv("ROLLUPS_TABLE", "rollups")
    monkeypatch.setenv("ROLLUP", re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0])
    example: dict[str, Any] = {}
    block = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0]
    exec(compile(block, "docs/rollups.md", "exec", dont_inherit=True), example)
    post = Post(local_tables([TABLE_OF_ROLLUPS]))
    store = DynamoDbRollupStore(Table(post, "rollups"), DOCUMENTED, LoopClockMs())
    measure = Measure(2, Decimal(3), Decimal(1), Decimal(2))
    cell = Cell(2, (measure, None, None, None))
    await store.add(Place("hour", T0, '["sensor_001"]'), cell, Contribution(SHARD, mark_of("1")))
    assert await example["read_hour"](post, "sensor_001", T0) == {
        "temperature": {"avg": Decimal("1.5"), "min": 1, "max": 2}
    }
    assert await example["read_hour"](post, "sensor_002", T0) == {}


# ---------------------------------------------------------------- do_each


def test_the_first_failure_ends_the_others_and_is_raised_as_itself() -> None:
    """No group of errors, and no work after it."""
    seen: list[int] = []

    async def work(number: int) -> None:
        await asyncio.sleep(number)
        seen.append(number)
        if number == 2:
            raise Retryable("two")

    async def main() -> None:
        with pytest.raises(Retryable):
            await do_each(range(1, 9), work, at_once=3)

    run_virtual(main)
    assert seen == [1, 2, 3, 4]


def test_a_part_that_somebody_cancelled_is_no_part_that_is_done() -> None:
    """A task group passes over a cancellation that nobody asked for; a row would lack."""

    async def work(number: int) -> None:
        if number == 2:
            raise asyncio.CancelledError

    async def main() -> None:
        with pytest.raises(Retryable):
            await do_each(range(5), work, at_once=2)

    run_virtual(main)


# ---------------------------------------------------------------- recorded events


@pytest.mark.parametrize("case", sorted(path.stem for path in EVENTS.glob("*.json") if ".reply" not in path.name))
def test_the_recorded_events_are_answered_as_recorded(case: str) -> None:
    """Over empty ports, by the codec and the flow of the function."""
    event = json.loads((EVENTS / f"{case}.json").read_text(encoding="utf-8"))
    expected = json.loads((EVENTS / f"{case}.reply.json").read_text(encoding="utf-8"))

    async def main() -> object:
        world = World()
        desk = replace(world.desk, definition=DOCUMENTED)
        call = Invocation("r", "f", "arn", asyncio.get_running_loop().time() + 30)
        return kinesis_window.encode(await roll_up_records(kinesis_window.decode(event), call, desk))

    assert run_virtual(main) == expected
