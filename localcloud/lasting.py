"""A local cloud that can be reset: closed, and opened anew around what is kept, so that it is as after its start.

Nothing is emptied by hand: the stack is unmade, every service's state is dropped, every environment ends, and the
template is deployed again. What a call made is gone and what it deleted is back, also in a service added later.
Owns the order of closing and opening, and who waits for it. Knows no service.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import cast

from localcloud.clock import Clock
from localcloud.cloud import RunningCloud, open_cloud
from localcloud.drawing import ScopedRandom, draw_by
from localcloud.kept import Kept, open_kept
from localcloud.options import CloudOptions
from localcloud.resetting import RESET_PATH, SHARED, ResetControl, refuse_reset

__all__ = ["LastingCloud", "Unresettable", "open_lasting_cloud"]


class Unresettable(Exception):
    """This cloud is not reset, or it has ended over that; the message says why."""


class LastingCloud:
    """From `open_lasting_cloud`. `cloud` is what runs: another after each `reset`, one that has ended after `end`."""

    def __init__(self, kept: Kept, *, clock: Clock, rng: random.Random, opened: Callable[[RunningCloud], None]) -> None:
        self.cloud: RunningCloud
        self._kept = kept
        self._clock = clock
        self._seed = rng.getrandbits(64)
        self._rng = ScopedRandom()
        self._rng.setstate(rng.getstate())
        self._start = self._rng.getstate()
        self._opened = opened
        self._begins: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()
        self._ends: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()
        self._turn = asyncio.Lock()
        self._is_open = False
        self._asked = self._answered = 0
        self._orders: set[asyncio.Future[None]] = set()
        self._failure = ""

    async def reset(self) -> RunningCloud:
        """The cloud as it was right after its start, at the same addresses. Who asks while it is reset waits for that.

        Requests, connections, invocations and everything that waits are ended first, without their grace. The
        template's resources have the ids that they had; what is made after it has ids that never were.
        Raises Unresettable; where the template could not be made again the cloud has ended, and so will its context.
        """
        if self._kept.options.joins:
            raise Unresettable(SHARED)
        self._asked += 1
        number = self._asked
        async with self._turn:
            if self._answered < number:  # else one that began after this was asked has done it
                self._answered = self._asked
                await self._end()
                drawn = self._rng.getstate()
                await self._begin()
                self._rng.setstate(drawn)
            return self.cloud

    async def end(self) -> None:
        """Close the cloud and forget what it left; `begin` opens the next. Nothing where none is open."""
        async with self._turn:
            if self._is_open:
                await self._end()

    async def begin(self) -> RunningCloud:
        """Open a cloud after `end`, with the ids that the first one drew; whoever called meanwhile is not answered.

        Raises Unresettable as `reset` does.
        """
        async with self._turn:
            self._kept.sockets.drop_waiting()
            await self._begin()
            return self.cloud

    # ------------------------------------------------------------------ the task that owns each cloud

    async def serve(self) -> None:
        """Open and close clouds, until cancelled: each is closed by the task that has opened it."""
        draw_by(self._seed)
        try:
            while True:
                await self._serve_one(await self._begins.get())
        except Exception as error:
            self._failure = _describe(error)
            raise
        finally:
            for order in self._orders:
                if not order.done():
                    order.set_exception(Unresettable(self.why_ended()))

    def why_ended(self) -> str:
        """What to tell those who wait for a cloud that does not come."""
        return f"the local cloud has ended: {self._failure}" if self._failure else "the local cloud has ended"

    async def _serve_one(self, began: asyncio.Future[None]) -> None:
        opening = open_cloud(self._kept.options, clock=self._clock, rng=self._rng, kept=self._kept)
        async with opening as self.cloud:
            self._opened(self.cloud)
            began.set_result(None)
            ended = await self._ends.get()
        ended.set_result(None)

    async def start(self) -> None:
        """Open the first, in the group of `serve`, which cancels this where that fails."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._begins.put_nowait(done)
        await done
        self._is_open = True

    async def stop(self) -> None:
        """Close what is open, requests under way with their grace; in the same group."""
        if self._is_open:
            self._is_open = False
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._ends.put_nowait(done)
            await done

    # ------------------------------------------------------------------ inside

    async def _begin(self) -> None:
        self._rng.setstate(self._start)
        await self._order_to(self._begins)
        self._kept.gate.open()
        self._is_open = True

    async def _end(self) -> None:
        self._is_open = False
        self._kept.gate.shut()
        await self._kept.servers.cut()
        await self._order_to(self._ends)
        self._kept.empty()

    async def _order_to(self, orders: asyncio.Queue[asyncio.Future[None]]) -> None:
        """Have something done by the task that owns the clouds, and wait for it. Raises Unresettable."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._orders.add(done)
        orders.put_nowait(done)
        try:
            await done
        finally:
            self._orders.discard(done)


def _describe(error: BaseException) -> str:
    """The first error of a group in its own words."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return str(error) or type(error).__name__


@asynccontextmanager
async def open_lasting_cloud(
    options: CloudOptions, *, clock: Clock, rng: random.Random, opened: Callable[[RunningCloud], None]
) -> AsyncGenerator[LastingCloud]:
    """A cloud that can be reset, for the length of the block; nothing is left after it.

    `opened` is told each cloud before anybody else learns that it answers.
    Raises what `open_cloud` raises, in a group as any task group.
    """
    async with open_kept(options) as kept, asyncio.TaskGroup() as group:
        lasting = LastingCloud(kept, clock=clock, rng=rng, opened=opened)
        control = ResetControl(lasting.reset, group, why_ended=lasting.why_ended)
        kept.own[RESET_PATH] = refuse_reset(SHARED) if options.joins else control.answer
        serving = group.create_task(lasting.serve())
        try:
            await lasting.start()
            control.is_ready = True
            yield lasting
            await lasting.stop()
        finally:
            serving.cancel()
