"""One shard of a stream while a mapping reads it: from its checkpoint to its end.

Reads only while a lane wants records: a polled source at its base rate while the shard is caught up with, and again at
once while it is not; a source that pushes is waited for. Reads ahead of a lane that is stuck, so that the others go on,
up to a bound; beyond it the shard waits for the stuck lane, as its checkpoint does.
Source: https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html (polling)
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Final
from zlib import crc32

from localcloud.compute.stream_batches import Item, read_items
from localcloud.compute.stream_checkpoints import Progress, ShardCheckpoint
from localcloud.compute.stream_delivery import Delivery
from localcloud.compute.stream_lane import Lane
from localcloud.compute.stream_mandate import Mandate
from localcloud.compute.stream_source import Page, ReadThrottled, Start, StartKind, StreamGone

__all__ = ["ShardRun"]

MAX_READ: Final = 10_000  # GetRecords and SubscribeToShard give no more in one answer
READ_AHEAD_RECORDS: Final = 50_000  # how far a shard is read beyond a record that is not settled
READ_AHEAD_BYTES: Final = 64 * 1024 * 1024
TURN_RECORDS: Final = 25  # of a page, before other tasks have their turn
PUSH_WAIT_S: Final = 300.0  # SubscribeToShard: a subscription lasts for five minutes
_BLINK_S: Final = 0.001  # past a window's end, whatever rounding makes of it


class ShardRun:
    """Reads a shard and hands its records to the lanes. One use: `run()` once."""

    def __init__(self, mandate: Mandate, shard_id: str, checkpoint: ShardCheckpoint) -> None:
        config = mandate.config
        if not config.tumbling_window_s:
            checkpoint.window = None
        self._mandate = mandate
        self._source = mandate.source
        self._shard_id = shard_id
        self._checkpoint = checkpoint
        self._progress = Progress(checkpoint)
        self._wanted = asyncio.Event()
        self._next_poll = -math.inf
        self._reading: asyncio.Task[bool] | None = None
        self._stopped = False
        self._lanes = [
            Lane(
                config,
                Delivery(mandate, shard_id, self._progress),
                checkpoint,
                hunger=self._wanted.set,
            )
            for _ in range(config.parallelization)
        ]

    async def run(self) -> bool:
        """True once the shard is closed and every record is done, or it was stopped; False where the stream is gone."""
        async with asyncio.TaskGroup() as group:
            working = [group.create_task(lane.run()) for lane in self._lanes]
            self._reading = group.create_task(self._read_to_end())
            await asyncio.wait([self._reading])
            there = self._reading.cancelled() or self._reading.result()
            for lane in self._lanes:
                lane.end()
            if not there:
                for task in working:
                    task.cancel()
        self._checkpoint.finished = there and not self._stopped
        return there

    def stop(self) -> None:
        """Read no further, and begin no further batch."""
        self._stopped = True
        if self._reading is not None:
            self._reading.cancel()
        for lane in self._lanes:
            lane.halt()

    async def _read_to_end(self) -> bool:
        try:
            cursor: object | None = self._find_place()
            while cursor is not None:
                await self._wait_until_wanted()
                page = await self._read(cursor)
                self._hand_out(page, await self._read_items(page))
                cursor = page.next
        except StreamGone:
            return False
        return True

    def _find_place(self) -> object:
        checkpoint = self._checkpoint
        if checkpoint.after:
            start = Start(StartKind.AFTER_SEQUENCE_NUMBER, sequence=checkpoint.after)
            return self._source.cursor(self._shard_id, start)
        if checkpoint.cursor is not None:
            return checkpoint.cursor
        return self._source.cursor(self._shard_id, checkpoint.start)

    # ------------------------------------------------------------------ reading

    async def _wait_until_wanted(self) -> None:
        while not self._wants_more():
            self._wanted.clear()
            await self._wanted.wait()
        await asyncio.sleep(max(0.0, self._next_poll - asyncio.get_running_loop().time()))

    def _wants_more(self) -> bool:
        if self._progress.ahead >= READ_AHEAD_RECORDS or self._progress.ahead_bytes >= READ_AHEAD_BYTES:
            return False
        return any(lane.hungry for lane in self._lanes)

    async def _read(self, cursor: object) -> Page:
        while True:
            try:
                return await self._source.read(cursor, MAX_READ, wait_s=self._patience_s())
            except ReadThrottled as throttled:
                await asyncio.sleep(max(_BLINK_S, throttled.after_s))

    def _patience_s(self) -> float:
        """How long a read may wait for a record: not beyond a tumbling window's end, which it is to find."""
        if not self._source.pushes:
            return 0.0
        left_s = min(lane.window_end_s for lane in self._lanes) - self._mandate.clock.time()
        return min(PUSH_WAIT_S, max(0.0, left_s + _BLINK_S))

    async def _read_items(self, page: Page) -> list[Item]:
        """The page's records as events, with turns for others: filters and JSON take time."""
        items: list[Item] = []
        for place in range(0, len(page.records), TURN_RECORDS):
            items += read_items(page.records[place : place + TURN_RECORDS], self._mandate.criteria)
            await asyncio.sleep(0)
        return items

    def _hand_out(self, page: Page, items: Sequence[Item]) -> None:
        now = asyncio.get_running_loop().time()
        for item in items:
            self._progress.begin(item)
            if item.events:
                self._lanes[crc32(item.order_key.encode()) % len(self._lanes)].offer(item)
            else:
                self._progress.settle([item])
        now_s = self._mandate.clock.time()
        if not page.records or page.more is False:
            for lane in self._lanes:
                lane.note_read_up_to(now_s)
        caught_up = not self._source.pushes and not self._is_behind(page, now_s)
        self._next_poll = now + self._source.poll_s if caught_up else -math.inf

    def _is_behind(self, page: Page, now_s: float) -> bool:
        """Whether there is more to read now. A source that does not say is behind while its records are older than a
        poll, or come as many as there may be.
        """
        if page.more is not None or not page.records:
            return bool(page.more)
        return len(page.records) >= MAX_READ or page.records[-1].arrived_s <= now_s - self._source.poll_s
