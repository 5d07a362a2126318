"""One shard while this worker holds it: read, worked off, kept; and let go with nothing half done.

Handed over, it finishes what lies before the last record that it has begun, so that the next holder meets none of them
again; what does not end by `stop_s` is cancelled and comes again there. A shard whose lease is lost is left at once:
what it was doing may be done twice, and nothing of it is written down.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Literal

from sluiceway import log
from sluiceway.flows.consume.keeping import LeaseKeeper, LeaseLost
from sluiceway.flows.consume.lanes import Lanes
from sluiceway.flows.consume.opening import ShardOpening
from sluiceway.flows.consume.options import ConsumeDesk, ConsumeOptions, Handler
from sluiceway.flows.consume.reading import ShardReading
from sluiceway.ports.consuming import ShardGone, ShardReader
from sluiceway.rules.consuming.progress import Progress
from sluiceway.rules.consuming.spans import Checkpoint, Span, choose_position, is_past

__all__ = ["ShardProgress", "ShardRun", "Work"]

REPORT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Work:
    """What every shard of a consumer is read with."""

    reader: ShardReader
    handle: Handler
    desk: ConsumeDesk
    options: ConsumeOptions
    span: Span


@dataclass(frozen=True, slots=True)
class ShardProgress:
    """How far a shard is. `behind_ms`: how far behind its tip it was last read, None before it was.

    `in_hand`: records that were read and are not done. `settled`: those that were done here.
    """

    shard_id: str
    behind_ms: int | None
    in_hand: int
    settled: int
    checkpoint: Checkpoint


class ShardRun:
    """One shard, held by `keeper`."""

    def __init__(self, work: Work, keeper: LeaseKeeper) -> None:
        self.keeper = keeper
        self._work = work
        self._progress = Progress(keeper.lease.checkpoint)
        self._behind_ms: int | None = None
        self._read = 0
        self._ended = False
        self._stopping = False
        self._news = asyncio.Event()

    @property
    def shard_id(self) -> str:
        """Which shard it is."""
        return self.keeper.lease.shard_id

    def stop(self) -> None:
        """Hand the shard over as soon as what has begun is done."""
        self._stopping = True
        self._news.set()

    def report(self) -> ShardProgress:
        """How far it is."""
        in_hand = len(self._progress)
        return ShardProgress(self.shard_id, self._behind_ms, in_hand, self._read - in_hand, self._progress.checkpoint)

    async def run(self) -> Literal["done", "handed over", "lost"]:
        """Until the shard is done, handed over or lost."""
        with log.bound(shard_id=self.shard_id):
            try:
                await self._hold()
                if self._ended and not self._progress:
                    await self.keeper.finish()
                    log.info("consume.shard_done")
                    return "done"
                await self.keeper.hand_over(self._progress.checkpoint)
            except LeaseLost:
                log.warning("consume.lease_lost", in_hand=len(self._progress))
                return "lost"
            log.info("consume.handed_over", in_hand=len(self._progress))
            return "handed over"

    async def _hold(self) -> None:
        """Read and work until there is nothing more to do here. Raises LeaseLost."""
        work = self._work
        lanes = Lanes(
            work.handle,
            self._progress,
            desk=work.desk,
            options=work.options,
            may_begin=lambda: self.keeper.is_held,
        )
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(lanes.work()) for _ in range(work.options.concurrency)]
                tasks.append(group.create_task(self.keeper.run(lambda: self._progress.checkpoint, self.stop)))
                tasks.append(group.create_task(self._report_at_times()))
                reading = group.create_task(self._feed(lanes))
                try:
                    await self._wait(lanes, reading)
                finally:
                    lanes.is_closed = True
                    for task in (reading, *tasks):
                        task.cancel()
        except* LeaseLost:
            lost = True
        else:
            lost = False
        if lost:
            raise LeaseLost(self.shard_id)

    async def _wait(self, lanes: Lanes, reading: asyncio.Task[None]) -> None:
        while not self._stopping:
            if self._ended:
                await self._wait_for_end(lanes)
                if not self._progress:
                    return
            else:
                await self._news.wait()
            self._news.clear()
        reading.cancel()
        lanes.restrict()
        try:
            async with asyncio.timeout(self._work.options.stop_s):
                await lanes.wait_restricted()
        except TimeoutError:
            log.warning("consume.cut_off", in_hand=len(self._progress))

    async def _wait_for_end(self, lanes: Lanes) -> None:
        """Until all is done, or the shard is to be handed over first."""
        async with asyncio.TaskGroup() as group:
            ending = group.create_task(lanes.wait_below(1))
            ending.add_done_callback(lambda _: self._news.set())
            while self._progress and not self._stopping:
                await self._news.wait()
                self._news.clear()
            ending.cancel()

    async def _feed(self, lanes: Lanes) -> None:
        """Read what there is into the lanes, no more than they have room for."""
        work, lease = self._work, self.keeper.lease
        reading = ShardReading(
            work.reader,
            self.shard_id,
            choose_position(work.span, self.shard_id, lease.checkpoint),
            manner=work.options.manner,
            clock=work.desk.clock,
            chance=work.desk.chance,
        )
        opening = ShardOpening(self.shard_id, work.reader.arn, span=work.span, done=lease.checkpoint)
        try:
            async with aclosing(reading.turns()) as turns:
                async for turn in turns:
                    for record, checkpoint in opening.open(turn.page):
                        if record is None:
                            self._progress.mark(checkpoint)
                        else:
                            lanes.add(record, checkpoint)
                            self._read += 1
                    behind_ms = self._behind_ms = turn.page.behind_ms
                    if opening.is_over or is_past(work.span, asked_ms=turn.asked_ms, behind_ms=behind_ms):
                        break
                    if work.reader.can_push and turn.page.going_on:
                        self._progress.mark(Checkpoint(turn.page.going_on))
                    await lanes.wait_below(work.options.window)
        except ShardGone:
            log.warning("consume.shard_gone")  # with whatever was still to be read of it
        self._ended = True
        self._news.set()

    async def _report_at_times(self) -> None:
        while True:
            await asyncio.sleep(REPORT_S)
            told = self.report()
            log.info("consume.progress", behind_ms=told.behind_ms, in_hand=told.in_hand, settled=told.settled)
