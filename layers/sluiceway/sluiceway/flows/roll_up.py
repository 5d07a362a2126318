"""Records of a stream to rows of sums: gathered in a tumbling window, put into the table once, raw ones kept.

Owns the order of what is done, on which every count hangs:

1. Poison goes to the dead letters with its reason, many letters at once. Where they do not take it, or not in time, the
   batch ends before it.
2. Raw records are stored before anything of them is answered for: what is in a row is in the raw store.
3. Sums travel in the window's state. They are put into the table when the window ends, when the state comes near what
   Lambda allows, and at a mark where an earlier attempt began to put them: as contributions (`rules.rollups.windows`)
   that each row takes once, however often they come.
4. The shard's ledger says which marks are in the table, and which were begun. It is read first, so that records that
   are delivered again are passed over; it is written before the first row of a contribution and after the last.

A late record is one whose period was over when its window began: it is added to the right row like any other, and
counted. Must not know AWS.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from sluiceway import log
from sluiceway.codec.raw_records import HOUR_MS, RawRecord, encode_lines, name_object
from sluiceway.errors import Misconfigured, Rejected, Retryable, SluicewayError
from sluiceway.events.invocation import Invocation
from sluiceway.events.kinesis import KinesisRecord
from sluiceway.events.kinesis_window import KinesisWindow, WindowReply
from sluiceway.flows.batch_letters import choose_letters, write_letter
from sluiceway.flows.workers import do_each
from sluiceway.ports import DeadLetters
from sluiceway.ports.rollups import Contribution, Ledger, RawStore, RollupStore, total_place
from sluiceway.rules.rollups.cells import Cell, Place, coarsen, merge
from sluiceway.rules.rollups.definition import INTERVAL_MS, RollupDefinition
from sluiceway.rules.rollups.records import Reading, RecordReader
from sluiceway.rules.rollups.windows import Gathered, mark_of
from sluiceway.steps.metrics import count

__all__ = ["RollUpDesk", "find_totals", "roll_up_records"]

LOOK_EVERY: Final = 200  # records between two looks at the clock
RESERVE_S: Final = 1.0  # of the invocation, for storing what was read
RESERVE_SHARE: Final = 0.2  # never more than this share of a short one


@dataclass(frozen=True, slots=True)
class RollUpDesk:
    """What rolling up needs; `store` is of the rollup of `definition`."""

    definition: RollupDefinition
    store: RollupStore
    raw: RawStore
    dead_letters: DeadLetters


class _Read(NamedTuple):
    """A record of the batch and what it adds; None for poison, which is done with."""

    record: KinesisRecord
    mark: str
    reading: Reading | None


class _Poison(NamedTuple):
    """A record of the batch that cannot be added, and why."""

    record: KinesisRecord
    mark: str
    fault: Rejected


async def roll_up_records(window: KinesisWindow, call: Invocation, desk: RollUpDesk) -> WindowReply:
    """Add the records to the window's sums; put them into the table where it is time to.

    Raises what the ports raise, and Retryable where another invocation works on the same shard: the batch comes again
    with the state it had. Raises Misconfigured where the shard was rolled up past the middle of this state, which two
    mappings on one stream do.
    """
    run = _Run(window, desk)
    await run.open()
    stop_at = call.deadline - call.keep_s(RESERVE_S, RESERVE_SHARE)
    failed = await run.take(stop_at)
    is_over = (window.is_final or window.is_cut) and not failed
    if is_over or run.gathered.is_full():
        await run.put_into_table()
    run.tell()
    return WindowReply(run.gathered.write(), failed)


class _Run:
    """One invocation."""

    def __init__(self, window: KinesisWindow, desk: RollUpDesk) -> None:
        self._window = window
        self._desk = desk
        self._reader = RecordReader(desk.definition)
        self._ledger = Ledger()
        self._late = 0
        self._rolled = 0
        self._rejected = 0
        self.gathered = Gathered(desk.definition)

    async def open(self) -> None:
        """Find out where the shard is: in the table, and in the state."""
        self._ledger = ledger = await self._desk.store.read_ledger(self._window.shard_id)
        gathered = Gathered.read(self._window.state, self._desk.definition)
        if gathered is None:
            log.error("roll_up.state_dropped", shard_id=self._window.shard_id)
            count("StateDropped")
        if gathered is None or gathered.last <= ledger.through:  # nothing, or all of it, is in the table already
            gathered = Gathered(self._desk.definition, ledger.through)
        elif gathered.after < ledger.through or any(gathered.after < mark < gathered.last for mark in ledger.begun):
            raise Misconfigured("the shard is rolled up by another mapping as well", what="EventSourceMapping")
        self.gathered = gathered

    async def take(self, stop_at: float) -> tuple[str, ...]:
        """Add what can be added; the sequence number from which on the shard is to be read again, or nothing."""
        done, poison, failed = self._read_records(stop_at)
        stuck = await self._bury(poison, stop_at)
        if stuck is not None:
            done, failed = _before(done, stuck.mark), (stuck.record.sequence_number,)
        await self._store_raw(done)
        cuts = [mark for mark in self._ledger.begun if mark > self.gathered.after]
        for each in done:
            at = bisect_right(cuts, each.mark)
            passed = [cut for cut in cuts[:at] if cut < each.mark]
            for cut in passed:
                self.gathered.pass_over(cut)
                await self.put_into_table()
            del cuts[: len(passed)]
            self.gathered.pass_over(each.mark)
            if each.reading is not None:
                self._add(each.reading)
        return failed

    async def put_into_table(self) -> None:
        """Put all that is gathered into the table, as one contribution."""
        gathered, ledger = self.gathered, self._ledger
        mark = gathered.last
        self.gathered = Gathered(self._desk.definition, mark or gathered.after)
        if not len(gathered):
            return
        contribution = Contribution(self._window.shard_id, mark)
        if mark not in ledger.begun:
            await self._write_ledger(Ledger(ledger.through, tuple(sorted((*ledger.begun, mark)))))
        rows = list(_find_rows(gathered.cells(), self._desk.definition, self._window.shard_id))

        async def add(row: tuple[Place, Cell]) -> None:
            if not await self._desk.store.add(*row, contribution):
                count("RowsMetAgain")

        await do_each(rows, add)
        await self._write_ledger(Ledger(mark, tuple(each for each in self._ledger.begun if each > mark)))
        count("RowsMerged", len(rows))

    def tell(self) -> None:
        """What became of the records, in metrics and one line."""
        for name, value in (
            ("RecordsRolledUp", self._rolled),
            ("RecordsLate", self._late),
            ("RecordsRejected", self._rejected),
        ):
            if value:
                count(name, value)
        log.debug("roll_up.gathered", records=self._rolled, cells=len(self.gathered), late=self._late)

    # ------------------------------------------------------------ parts

    def _add(self, reading: Reading) -> None:
        self._rolled += 1
        if reading.start_ms + INTERVAL_MS[self._desk.definition.finest] <= self._window.start_ms:
            self._late += 1
        self.gathered.add(reading)

    def _read_records(self, stop_at: float) -> tuple[list[_Read], list[_Poison], tuple[str, ...]]:
        """The records that are new, read up to where the time gives out, and those of them that are poison.

        Half of the time is left for letters where there are any. Records of one aggregate share a sequence number and
        go back together.
        """
        known = max(self._ledger.through, self.gathered.last)
        now = asyncio.get_running_loop().time
        half = (now() + stop_at) / 2
        done: list[_Read] = []
        poison: list[_Poison] = []
        for at, record in enumerate(self._window.records):
            mark = mark_of(record.sequence_number)
            if mark <= known:
                continue
            if at % LOOK_EVERY == 0 and at and now() >= (half if poison else stop_at):
                log.warning("roll_up.deadline", unfinished=len(self._window.records) - at)
                return _before(done, mark), [each for each in poison if each.mark < mark], (record.sequence_number,)
            reading = None
            try:
                reading = self._read(record)
            except Rejected as fault:
                poison.append(_Poison(record, mark, fault))
            done.append(_Read(record, mark, reading))
        return done, poison, ()

    def _read(self, record: KinesisRecord) -> Reading:
        if record.fault is not None:
            raise record.fault
        return self._reader.read(record.data, record.arrived_ms)

    async def _bury(self, poison: Sequence[_Poison], stop_at: float) -> _Poison | None:
        """The first that the dead letters did not take, or not until `stop_at`; None where they took all."""
        if not poison:
            return None
        told = choose_letters([(each.record, each.fault) for each in poison])
        is_buried = [fault is None for fault in told]

        async def send(at: int) -> None:
            fault = told[at]
            if fault is not None:
                await self._send_letter(poison[at].record, fault)
                is_buried[at] = True

        try:
            async with asyncio.timeout_at(stop_at):
                await do_each(range(len(poison)), send)
        except (SluicewayError, TimeoutError) as error:
            log.failure("roll_up.dead_letter_failed", error)
        stuck = next((each for each, is_done in zip(poison, is_buried, strict=True) if not is_done), None)
        gone = [each for each in poison if stuck is None or each.mark < stuck.mark]
        self._rejected = len(gone)
        too_late = sum(each.fault.reason == "too-late" for each in gone)
        if too_late:
            count("RecordsTooLate", too_late)
        return stuck

    async def _send_letter(self, record: KinesisRecord, fault: Rejected) -> None:
        body, attributes = write_letter(record)
        with log.about(record):
            log.warning("roll_up.rejected", reason=fault.reason)
        await self._desk.dead_letters.send(body, reason=fault.reason, detail=str(fault), attributes=attributes)

    async def _store_raw(self, done: Sequence[_Read]) -> None:
        """An object for each hour of the records' own time."""
        hours: dict[int, list[_Read]] = {}
        for each in done:
            if each.reading is not None:
                hours.setdefault(each.reading.start_ms // HOUR_MS * HOUR_MS, []).append(each)

        async def store(hour: tuple[int, list[_Read]]) -> None:
            hour_ms, reads = hour
            name = name_object(
                self._desk.definition.topic,
                hour_ms,
                shard=self._window.shard_id,
                first=reads[0].mark,
                last=reads[-1].mark,
            )
            await self._desk.raw.put(name, encode_lines(_write_raw(each.record) for each in reads))

        await do_each(hours.items(), store)

    async def _write_ledger(self, ledger: Ledger) -> None:
        shard, seen = self._window.shard_id, self._ledger
        if not await self._desk.store.write_ledger(shard, ledger, seen=seen):
            raise Retryable("another invocation rolls the same shard up")
        self._ledger = Ledger(ledger.through, ledger.begun, seen.version + 1)


def find_totals(cells: Iterable[tuple[Place, Cell]], definition: RollupDefinition, shard: str) -> dict[Place, Cell]:
    """What a shard brought of each of the coarsest periods, whatever its dimensions."""
    interval = definition.coarsest
    length_ms = INTERVAL_MS[interval]
    totals: dict[Place, Cell] = {}
    for place, cell in cells:
        total = total_place(interval, place.start_ms // length_ms * length_ms, shard)
        totals[total] = merge(totals[total], cell) if total in totals else cell
    return totals


def _find_rows(
    cells: dict[Place, Cell], definition: RollupDefinition, shard: str
) -> Iterator[tuple[Place, Cell]]:  # fmt: skip
    yield from coarsen(cells, tuple(definition.retention_s)).items()
    yield from find_totals(cells.items(), definition, shard).items()


def _before(done: list[_Read], mark: str) -> list[_Read]:
    return [each for each in done if each.mark < mark]


def _write_raw(record: KinesisRecord) -> RawRecord:
    sub = -1 if record.sub_sequence is None else record.sub_sequence
    return RawRecord(record.shard_id, record.sequence_number, sub, record.arrived_ms, record.data)
