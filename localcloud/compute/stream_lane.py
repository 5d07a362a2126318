"""One of the batches that a shard may have in the works at a time: it gathers records and delivers them in order.

A shard has as many lanes as its ParallelizationFactor; every key belongs to one lane, so its records stay in order,
and a lane that fails holds up no other. A batch goes when it is full, when its window has passed since the lane found
its first record, when nothing more can come, or when its tumbling window is over.
Source: https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html (batching, ParallelizationFactor)
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable

from localcloud.compute.event_source import MAX_EVENT_BYTES
from localcloud.compute.stream_batches import Item, take_batch
from localcloud.compute.stream_checkpoints import OpenWindow, ShardCheckpoint
from localcloud.compute.stream_config import StreamMappingConfig
from localcloud.compute.stream_delivery import Delivery
from localcloud.compute.stream_windows import Closing, open_window

__all__ = ["Lane"]


class Lane:
    """`run()` delivers what `offer` brings until `end` and all is done, or `halt`; `hunger` says that it wants more."""

    def __init__(
        self,
        config: StreamMappingConfig,
        delivery: Delivery,
        checkpoint: ShardCheckpoint,
        *,
        hunger: Callable[[], None],
    ) -> None:
        self._config = config
        self._delivery = delivery
        self._checkpoint = checkpoint
        self._hunger = hunger
        self._queue: deque[Item] = deque()
        self._bytes = 0
        self._changed = asyncio.Event()
        self._busy = False
        self._ended = False
        self._halted = False
        self._goes_at = math.inf
        self._read_up_to_s = -math.inf

    # ------------------------------------------------------------------ the reader's side

    @property
    def hungry(self) -> bool:
        """Whether more records would make, or fill, its next batch now."""
        if self._busy or self._ended:
            return False
        return not self._is_full() if self._config.window_s else not self._queue

    @property
    def window_end_s(self) -> float:
        """When its tumbling window ends (epoch seconds); infinite where none is open or its end is known already."""
        if not self._config.tumbling_window_s:
            return math.inf
        window = self._window_of(self._queue[-1]) if self._queue else self._checkpoint.window
        return window.end_s if window is not None and window.end_s > self._read_up_to_s else math.inf

    def offer(self, item: Item) -> None:
        """The next record of the lane's keys."""
        self._queue.append(item)
        self._bytes += item.size_bytes
        self._changed.set()

    def note_read_up_to(self, now_s: float) -> None:
        """Everything that arrived until now has been offered."""
        self._read_up_to_s = now_s
        if self._config.tumbling_window_s:
            self._changed.set()

    def halt(self) -> None:
        """Begin no further batch; the one in the works ends as the delivery says."""
        self._halted = True
        self._changed.set()

    def end(self) -> None:
        """Nothing more will come."""
        self._ended = True
        self._changed.set()

    # ------------------------------------------------------------------ its own side

    async def run(self) -> None:
        """Gather and deliver."""
        while not self._halted:
            closing = self._find_closing()
            if closing is not None:
                await self._work(self._delivery.close_window(closing))
            elif self._queue and self._is_due():
                await self._work(self._delivery.deliver(self._take()))
            elif self._queue:
                await self._wait(self._goes_at)
            elif self._ended:
                return
            else:
                await self._wait(math.inf)

    async def _work(self, delivery: Awaitable[None]) -> None:
        self._busy = True
        await delivery
        self._busy = False
        self._hunger()

    async def _wait(self, until: float) -> None:
        self._changed.clear()
        self._hunger()
        try:
            async with asyncio.timeout_at(None if math.isinf(until) else until):
                await self._changed.wait()
        except TimeoutError:
            pass

    def _is_due(self) -> bool:
        """Whether the batch at the queue's head goes now; its window begins when it is first asked."""
        now = asyncio.get_running_loop().time()
        if math.isinf(self._goes_at):
            self._goes_at = now + self._config.window_s
        if self._ended or now >= self._goes_at or self._is_full():
            return True
        return bool(self._config.tumbling_window_s) and self._read_up_to_s >= self._window_of(self._queue[0]).end_s

    def _is_full(self) -> bool:
        return len(self._queue) >= self._config.batch_size or self._bytes > MAX_EVENT_BYTES

    def _take(self) -> list[Item]:
        self._goes_at = math.inf
        most, until_s, budget = self._config.batch_size, None, MAX_EVENT_BYTES
        if self._config.tumbling_window_s:
            window = self._checkpoint.window = self._window_of(self._queue[0])
            until_s, budget = float(window.end_s), budget - len(window.state)
        batch = take_batch(self._queue, most=most, budget_bytes=budget, until_s=until_s)
        self._bytes -= sum(item.size_bytes for item in batch)
        return batch

    # ------------------------------------------------------------------ tumbling windows

    def _window_of(self, item: Item) -> OpenWindow:
        """The open window, also for a record that is late for it; else the window in which it arrived."""
        window = self._checkpoint.window
        if window is not None and item.arrived_s < window.end_s:
            return window
        return open_window(item.arrived_s, self._config.tumbling_window_s)

    def _find_closing(self) -> Closing | None:
        window = self._checkpoint.window
        if window is None:
            return None
        if window.overgrown:
            return Closing.EARLY
        if self._queue:
            return None if self._queue[0].arrived_s < window.end_s else Closing.FINAL
        return Closing.FINAL if self._ended or self._read_up_to_s >= window.end_s else None
