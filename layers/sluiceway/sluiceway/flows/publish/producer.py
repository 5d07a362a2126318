"""A producer: records in, receipts out.

Owns when a call goes, what becomes of its answer, and what is held back. In order by key: whatever of a key was
declined, or is not known to be stored, goes before everything of the key that came later. At least once: a record of
which nobody knows whether it is stored is put again. Must not know AWS, nor what a record means.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

from sluiceway.codec.kpl import hash_key
from sluiceway.errors import Misconfigured, Rejected
from sluiceway.flows.publish.admission import Admission
from sluiceway.flows.publish.options import ProducerOptions
from sluiceway.flows.publish.packing import Packer, Part
from sluiceway.flows.publish.records import NotPut, Pending, Receipt
from sluiceway.flows.publish.sending import learn_shard, relist_shards, send
from sluiceway.flows.publish.shards import Outlet
from sluiceway.ports import Chance, SystemChance
from sluiceway.ports.producing import Declined, Placed
from sluiceway.rules.producing.lanes import Lanes
from sluiceway.rules.producing.pace import Window, choose_pause_s
from sluiceway.rules.producing.records import MAX_CALL_BYTES, MAX_CALL_ENTRIES, Room, measure_record
from sluiceway.steps.metrics import count

__all__ = ["Producer"]

OVERHEAD_BYTES: Final = 400  # of memory for a record beside its data: its future, its place
FOREVER: Final = float("inf")
_DEFAULTS: Final = ProducerOptions()


class _Flush:
    """Somebody who waits for the end of these records."""

    __slots__ = ("_left", "done")

    def __init__(self, left: set[Pending], done: asyncio.Future[None]) -> None:
        self._left = left
        self.done = done

    def note_end(self, record: Pending) -> None:
        """Of one record, its own or not."""
        self._left.discard(record)
        if not self._left and not self.done.done():
            self.done.set_result(None)


class Producer:
    """Puts records into one stream; an async context manager, of one event loop and one use.

    Leaving it flushes; leaving it with an error, or cancelled, gives up what waits. `outlet` is shared by the producers
    of a stream. `deadline`: the loop's time at which everything is given up.
    """

    def __init__(
        self,
        outlet: Outlet,
        *,
        options: ProducerOptions = _DEFAULTS,
        deadline: float | None = None,
        chance: Chance | None = None,
    ) -> None:
        self._outlet = outlet
        self._options = options
        self._deadline = FOREVER if deadline is None else deadline
        self._chance = chance or SystemChance()
        self._lanes: Lanes[Pending] = Lanes()
        self._packer = Packer(max_record_bytes=options.max_record_bytes)
        self._version = 0
        self._window = Window()
        self._full_bytes = self._full_records = 0.0
        self._set_full()
        self._admission = Admission(options.max_bytes_held)
        self._open: set[Pending] = set()
        self._fresh_bytes = 0  # that came since the last call was made
        self._fresh_records = 0
        self._calls = 0
        self._due_at = FOREVER
        self._flushes: list[_Flush] = []
        self._timer: asyncio.TimerHandle | None = None
        self._tasks = asyncio.TaskGroup()
        self._under_way: set[asyncio.Task[None]] = set()
        self._is_running = self._is_failed = False

    async def __aenter__(self) -> Self:
        """Lists the stream's shards where records are to be packed, unless the outlet knows them.

        Raises Misconfigured and Rejected where the stream, or the right to list its shards, is missing.
        """
        self._loop = asyncio.get_running_loop()
        if self._options.aggregate:
            await self._outlet.roll.prepare(deadline=None if self._deadline == FOREVER else self._deadline)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._tasks)
            stack.push_async_callback(self._close)
            self._stack = stack.pop_all()
        self._is_running = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del kind, trace
        self._is_failed = error is not None  # told to nobody below: a task group would wrap it
        await self._stack.aclose()

    async def put(self, key: str, data: bytes, explicit_hash_key: str | None = None) -> Receipt:
        """Puts one record and waits until it is stored. What it raises is what the record came to:

        `Rejected` that names the field (`key`, `data`, `explicit_hash_key`) and its limit, or with what the stream
        refused; `NotPut` once the time is over; `Misconfigured` where the stream or the right to it is missing.
        Cancelled before it is under way, the record is not put.
        """
        return await (await self.submit(key, data, explicit_hash_key))

    async def submit(self, key: str, data: bytes, explicit_hash_key: str | None = None) -> asyncio.Future[Receipt]:
        """Puts one record; returns as soon as there is room for it, with the future of its receipt, as `put` says.

        Records of one key are put in the order of these calls. Raises `Rejected` at once, `NotPut` where no room came.
        """
        size = measure_record(key, data, max_bytes=self._options.max_record_bytes)
        if explicit_hash_key is not None:
            hash_key(key, explicit_hash_key)
        if not self._is_running:
            raise RuntimeError("the producer is not open")
        now = self._loop.time()
        give_up_at = min(now + self._options.give_up_s, self._deadline)
        if not self._admission.enter_now(size + OVERHEAD_BYTES):
            await self._wait_for_room(size + OVERHEAD_BYTES, give_up_at)
            now = self._loop.time()
        record = Pending(
            key, data, explicit_hash_key, size_bytes=size, give_up_at=give_up_at, future=self._loop.create_future()
        )
        self._open.add(record)
        self._outlet.hot_keys.add(key)
        self._lanes.add(key, record)
        self._fresh_bytes += size
        self._fresh_records += 1
        if self._due_at == FOREVER:
            self._due_at = now + self._options.linger_s
            self._arm()
        if self._fresh_bytes >= self._full_bytes or self._fresh_records >= self._full_records:
            self._pump()
        return record.future

    async def flush(self) -> None:
        """Waits until everything that was put before is stored or given up; nothing lingers meanwhile."""
        if not self._open:
            return
        flush = _Flush(set(self._open), self._loop.create_future())
        self._flushes.append(flush)
        try:
            self._pump()
            await flush.done
        finally:
            self._flushes.remove(flush)

    # ------------------------------------------------------------ in and out

    async def _wait_for_room(self, size: int, give_up_at: float) -> None:
        limit = asyncio.timeout_at(give_up_at)
        try:
            async with limit:
                await self._admission.enter(size)
        except TimeoutError as error:
            raise NotPut("there was no room in time", perhaps_put=False, throttled=False) from error
        if not self._is_running:
            self._admission.release(size)
            raise NotPut("the producer was closed", perhaps_put=False, throttled=False)

    async def _close(self) -> None:
        try:
            if not self._is_failed:
                await self.flush()
        finally:
            self._is_running = False
            if self._timer is not None:
                self._timer.cancel()
            for record in [*self._open]:
                record.give_up("the producer was closed")
                if not record.future.cancelled():
                    record.future.exception()  # whoever does not wait for it any more is not told by the loop either
                self._end(record)
            if self._is_failed:
                for task in self._under_way:
                    task.cancel()

    def _end(self, record: Pending) -> None:
        """Nothing more becomes of a record: its room is another's."""
        if record in self._open:
            self._open.remove(record)
            for flush in self._flushes:
                flush.note_end(record)
            self._admission.release(record.size_bytes + OVERHEAD_BYTES)

    # ------------------------------------------------------------ when a call goes

    def _is_full(self) -> bool:
        """What has come fills a call; packed records are counted by their bytes alone."""
        return self._fresh_bytes >= self._full_bytes or self._fresh_records >= self._full_records

    def _set_full(self) -> None:
        self._full_bytes = MAX_CALL_BYTES * self._window.share
        self._full_records = FOREVER if self._options.aggregate else MAX_CALL_ENTRIES * self._window.share

    def _on_timer(self) -> None:
        self._timer = None
        self._pump()

    def _arm(self) -> None:
        """The timer is for what is due or rested next; while all calls are under way the next answer does it."""
        at = self._lanes.wakes_at
        if self._lanes.has_ready and (at is None or self._due_at < at):
            at = self._due_at
        if at is None or at == FOREVER or self._calls >= self._options.calls_at_once:
            return
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._on_timer)

    def _pump(self) -> None:
        """Makes every call that is due and may be made now."""
        if not self._is_running:
            return
        now = self._loop.time()
        if self._lanes.wake(now):
            self._due_at = now
        while self._lanes.has_ready and self._calls < self._options.calls_at_once:
            if self._due_at > now and not self._flushes and not self._is_full():
                break
            self._make_call(now)
        self._arm()

    def _make_call(self, now: float) -> None:
        roll = self._outlet.roll
        if self._options.aggregate and self._version != roll.version:
            self._version = roll.version
            self._packer.replace_shards(roll.ranges)

        def is_wanted(record: Pending) -> bool:
            if not record.future.done() and record.give_up_at <= now:
                record.give_up("the time is over", after_s=choose_pause_s(attempts=max(1, record.attempts), chance=1))
            if record.future.done():
                self._end(record)
                return False
            return True

        parts = self._packer.pack(self._lanes, Room(self._window.share), is_wanted=is_wanted)
        self._outlet.tell_heat()
        self._fresh_bytes = self._fresh_records = 0
        self._due_at = now if self._lanes.has_ready else FOREVER
        if parts:
            self._calls += 1
            task = self._tasks.create_task(self._call(parts))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    # ------------------------------------------------------------ what becomes of it

    async def _call(self, parts: list[Part]) -> None:
        answers = await send(self._outlet.stream, parts)
        self._calls -= 1
        failed = sum(not isinstance(answer, Placed) for answer in answers)
        self._window.note(entries=len(parts), declined=failed)
        self._set_full()
        strays: list[tuple[Part, Placed]] = []
        for part, answer in zip(parts, answers, strict=True):
            if not isinstance(answer, Placed):
                self._decline(part, answer)
            elif part.shard_id in {"", answer.shard_id}:
                self._tell(part, answer)
            else:
                strays.append((part, answer))
        self._go_on()
        for part, answer in strays:
            await self._settle_stray(part, answer)
        if self._options.aggregate and not self._outlet.roll.ranges:
            await relist_shards(self._outlet.roll)
        self._go_on()

    def _go_on(self) -> None:
        if self._lanes.has_ready:
            self._due_at = self._loop.time()
        self._pump()

    def _tell(self, part: Part, placed: Placed) -> None:
        shard_id, sequence_number = placed
        if len(part.records) == 1:
            (record,) = part.records
            record.tell(Receipt(shard_id, sequence_number))
            self._end(record)
            self._lanes.settle(record.key)
            return
        for number, record in enumerate(part.records):
            record.tell(Receipt(shard_id, sequence_number, number))
            self._end(record)
        for key in dict.fromkeys(record.key for record in part.records):
            self._lanes.settle(key)

    def _decline(self, part: Part, answer: Declined | NotPut | Rejected | Misconfigured) -> None:
        """What was not put, or is not known to be, comes back; what never will be is told."""
        if isinstance(answer, Declined):
            count("RecordsDeclined", len(part.records))
            self._return(part, trouble=answer.code, throttled=answer.is_throttled)
        elif isinstance(answer, NotPut):
            self._return(
                part,
                trouble=str(answer),
                perhaps_put=answer.perhaps_put,
                throttled=answer.throttled,
                after_s=answer.after_s,
            )
        else:
            for record in part.records:
                record.fail(answer)
                self._end(record)
            for key in dict.fromkeys(record.key for record in part.records):
                self._lanes.settle(key)

    async def _settle_stray(self, part: Part, placed: Placed) -> None:
        """The entry went to another shard than was predicted: the stream was split or merged.

        A record on its own is where it belongs by definition. An aggregate with a record outside of the shard is
        dropped whole by consumers on the Kinesis Client Library: its records are put again.
        """
        if len(part.records) == 1:
            self._tell(part, placed)
            await learn_shard(self._outlet.roll, placed.shard_id)
            return
        hash_range = await learn_shard(self._outlet.roll, placed.shard_id)
        if hash_range is not None and not part.is_outside(hash_range):
            self._tell(part, placed)
            return
        count("RecordsPutAgain", len(part.records))
        self._return(part, perhaps_put=True)

    def _return(
        self,
        part: Part,
        *,
        trouble: str = "",
        perhaps_put: bool = False,
        throttled: bool = False,
        after_s: float | None = None,
    ) -> None:
        """Back to the front of their lanes, in order, after a pause that does not outlast the first of them."""
        by_key: dict[str, list[Pending]] = {}
        for record in part.records:
            record.attempts += 1
            record.is_under_way = False
            record.perhaps_put = record.perhaps_put or perhaps_put
            record.throttled = throttled
            record.trouble = trouble
            by_key.setdefault(record.key, []).append(record)
        attempts = max(record.attempts for record in part.records)
        pause_s = choose_pause_s(attempts=attempts, chance=self._chance.draw(), advice_s=after_s)
        rest_until = self._loop.time() + pause_s
        for key, records in by_key.items():
            self._lanes.settle(key, records, rest_until=min(rest_until, *(each.give_up_at for each in records)))
