"""Whether anything is under way in a cloud, and time that moves on only when nothing is.

Functions are processes that live in real time. So before time is moved, and at each timer on the way, everything runs
that can run without time: callbacks, calls in threads, requests, and invocations, which are waited for in real time,
with their own deadlines. Used in the cloud's thread alone.
"""

from __future__ import annotations

import asyncio
from typing import Final

from localcloud.testing.loop import AheadClock, AheadLoop
from localcloud.traces.recorder import Recorder, Span

__all__ = ["Activity"]

QUIET_TURNS: Final = 3  # of the loop, in which sockets were asked and nothing was ready
_WAITED_FOR: Final = frozenset(("function", "init", "gateway", "model"))  # a call may be a long poll


class Activity:
    """What runs in one cloud, from its start on."""

    def __init__(self, recorder: Recorder, loop: AheadLoop, clock: AheadClock) -> None:
        self._loop = loop
        self._clock = clock
        self._open: dict[str, Span] = {}
        self._changed = asyncio.Event()
        recorder.listen(self._hear)
        loop.on_work_done = self._changed.set

    def under_way(self) -> list[str]:
        """What runs now, in words."""
        spans = [f"{span.kind} {span.name}" for span in self._open.values()]
        return [*spans, *(["a call in a thread"] if self._loop.at_work else [])]

    async def settle(self) -> None:
        """Come back when nothing happens any more unless time passes."""
        quiet = 0
        while quiet < QUIET_TURNS:
            if self._open or self._loop.at_work:
                self._changed.clear()
                await self._changed.wait()
                quiet = 0
                continue
            await asyncio.sleep(0)
            quiet = 0 if self._loop.is_ready else quiet + 1

    async def advance(self, seconds: float) -> None:
        """Let `seconds` (0 or more) pass once nothing runs, from timer to timer."""
        await self.settle()
        end = self._loop.time() + seconds
        while (due := self._loop.next_due()) is not None and due <= end:
            self._move_to(due)
            await self.settle()
        self._move_to(end)
        await self.settle()

    def _move_to(self, when: float) -> None:
        self._clock.by_s += self._loop.move_to(when)

    def _hear(self, span: Span) -> None:
        if span.kind not in _WAITED_FOR:
            return
        if span.end_ms is None:
            self._open[span.id] = span
        else:
            self._open.pop(span.id, None)
            self._changed.set()
