"""The records of one shard at work: in order by lane, a few at a time, each until it is done or buried.

A record is done when its handler returns, or when it was poison and the dead letters took it with its reason. One that
fails waits, and its lane with it, while the other lanes go on: unlike a batch, nothing has to come again for that. One
worker a slot, not one task a record. Must not know where records come from, nor leases.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

from sluiceway import log
from sluiceway.errors import Misconfigured, Rejected, Retryable, find_cause
from sluiceway.events.kinesis import KinesisRecord
from sluiceway.flows.batch_letters import write_letter
from sluiceway.flows.consume.options import ConsumeDesk, ConsumeOptions, Handler
from sluiceway.rules.backoff import FIRST_S, MENDING_FIRST_S, choose_return_s
from sluiceway.rules.consuming.progress import Entry, Progress
from sluiceway.rules.consuming.spans import Checkpoint
from sluiceway.steps.metrics import count

__all__ = ["Lanes"]

LONGEST_S: Final = 300.0
TURNS: Final = 64  # records in a row of handlers that never wait, before timers get their turn
NOTHING: Final = -1


class _Item(Entry):
    __slots__ = ("attempts", "failures", "following", "lane", "record")

    def __init__(self, record: KinesisRecord, checkpoint: Checkpoint, lane: object) -> None:
        super().__init__(checkpoint)
        self.record = record
        self.lane = lane
        self.following: _Item | None = None  # the next in its lane
        self.attempts = 0
        self.failures = 0


class Lanes:
    """The records of one shard that are read and not done. Lives as long as the shard is held."""

    def __init__(
        self,
        handle: Handler,
        progress: Progress,
        *,
        desk: ConsumeDesk,
        options: ConsumeOptions,
        may_begin: Callable[[], bool],
    ) -> None:
        """`may_begin` is asked before each record; where it says no, the workers end."""
        self.progress = progress
        self.is_closed = False
        self._handle = handle
        self._desk = desk
        self._options = options
        self._may_begin = may_begin
        self._loop = asyncio.get_running_loop()
        self._owner = cast("asyncio.Task[Any]", asyncio.current_task())
        self._earlier = self._owner.cancelling()
        self._ready: deque[_Item] = deque()
        self._busy: dict[object, _Item] = {}  # of a lane with something in it, what was added last
        self._idle: deque[asyncio.Future[None]] = deque()
        self._begun = NOTHING
        self._limit: int | None = None
        self._settled = asyncio.Event()

    # ------------------------------------------------------------------ what the shard does

    def add(self, record: KinesisRecord, checkpoint: Checkpoint) -> None:
        """One more record; `checkpoint` is how far the shard is done with it."""
        lane = self._options.lane_of(record)
        item = _Item(record, checkpoint, lane)
        self.progress.add(item)
        before = self._busy.get(lane)
        self._busy[lane] = item
        if before is None:
            self._make_ready(item)
        else:
            before.following = item

    def restrict(self) -> None:
        """Begin nothing but what lies before a record that has begun: so no record is done beyond one that is not."""
        self._limit = self._begun + 1
        self._settled.set()

    async def wait_below(self, most: int) -> None:
        """Until less than `most` records are in hand."""
        while len(self.progress) >= most:
            self._settled.clear()
            await self._settled.wait()

    async def wait_restricted(self) -> None:
        """Until all is done that may still begin. For after `restrict`."""
        while self._limit is None or self.progress.first < self._limit:
            self._settled.clear()
            await self._settled.wait()

    async def work(self) -> None:
        """Work off records, until it is cancelled or may not begin any more."""
        worker = cast("asyncio.Task[Any]", asyncio.current_task())
        in_a_row = 0
        while self._may_begin():
            if not self._ready:
                await self._wait_for_work()
                continue
            item = self._ready.popleft()
            if self._limit is not None and item.number >= self._limit:
                continue
            self._begun = max(self._begun, item.number)
            await self._settle(item, worker)
            in_a_row += 1
            if in_a_row % TURNS == 0:
                await asyncio.sleep(0)

    # ------------------------------------------------------------------ inside

    def _make_ready(self, item: _Item) -> None:
        self._ready.append(item)
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def _wait_for_work(self) -> None:
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._idle.append(waiter)
        await waiter

    async def _settle(self, item: _Item, worker: asyncio.Task[Any]) -> None:
        with log.about(item.record):
            if item.record.fault is not None:  # its codec could not open it: no handler sees it
                await self._settle_failure(item, item.record.fault)
                return
            try:
                await self._handle(item.record)
            except asyncio.CancelledError as error:
                if self._is_ours():
                    raise
                log.failure("record.failed", error)  # somebody's stray cancellation: one record's trouble
                self._wait_for_next_try(item)
            except Exception as error:  # noqa: BLE001 - once a record: it must not take the shard with it
                await self._settle_failure(item, find_cause(error))
            else:
                self._end(item)
            while worker.cancelling() and not self._is_ours():
                worker.uncancel()

    def _is_ours(self) -> bool:
        return self.is_closed or self._owner.cancelling() > self._earlier

    def _end(self, item: _Item) -> None:
        following = item.following
        if following is None:
            del self._busy[item.lane]
        else:
            self._make_ready(following)
        self.progress.settle(item)
        self._settled.set()

    async def _settle_failure(self, item: _Item, error: Exception) -> None:
        if isinstance(error, Rejected):
            log.failure("record.rejected", error)
            await self._bury(item, reason=error.reason, detail=str(error))
        elif isinstance(error, Misconfigured):
            count("Misconfigured")
            log.failure("record.misconfigured", error)  # every record fails so until somebody mends the deployment
            self._wait_for_next_try(item, first_s=MENDING_FIRST_S)
        elif isinstance(error, Retryable):
            log.warning("record.delayed", error_type=type(error).__name__, after_s=error.after_s)
            self._wait_for_next_try(item, after_s=error.after_s)
        else:
            log.failure("record.failed", error, attempt=item.failures + 1)
            item.failures += 1
            if item.failures < self._options.tries:
                self._wait_for_next_try(item)
            else:
                detail = f"{type(error).__name__} in each of {item.failures} tries"
                await self._bury(item, reason="tries-exhausted", detail=detail)

    async def _bury(self, item: _Item, *, reason: str, detail: str) -> None:
        try:
            body, attributes = write_letter(item.record)
            await self._desk.dead_letters.send(body, reason=reason, detail=detail, attributes=attributes)
        except Exception as failure:  # noqa: BLE001 - whatever it is, the record is not lost: it is tried again
            log.failure("record.unburied", failure)
            self._wait_for_next_try(item)
        else:
            self._end(item)

    def _wait_for_next_try(self, item: _Item, *, after_s: float | None = None, first_s: float = FIRST_S) -> None:
        item.attempts += 1
        wait_s = choose_return_s(
            receive_count=item.attempts,
            chance=self._desk.chance.draw(),
            longest_s=LONGEST_S,
            after_s=after_s,
            first_s=first_s,
        )
        self._loop.call_later(wait_s, self._make_ready, item)
