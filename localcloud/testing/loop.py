"""An event loop and a date that can be moved ahead together.

Everything that waits in the local cloud waits on the loop, and everything that needs a date asks the clock. Both are
moved by the same step. A loop's time never goes back; the date is this machine's again when `by_s` is 0.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, cast

__all__ = ["AheadClock", "AheadLoop"]


class AheadClock:
    """The machine's date, `by_s` seconds ahead."""

    def __init__(self) -> None:
        self.by_s = 0.0

    def time(self) -> float:
        """Epoch seconds."""
        return time.time() + self.by_s  # noqa: TID251 - this is the Clock port


class AheadLoop(asyncio.SelectorEventLoop):
    """A loop whose time can be moved ahead; it tells what is ready, due, and at work in threads of its executors."""

    def __init__(self) -> None:
        self._ahead_s = 0.0
        self._at_work = 0
        self.on_work_done: Callable[[], None] = lambda: None
        super().__init__()

    def time(self) -> float:
        """Monotonic seconds, with what it was moved by."""
        return time.monotonic() + self._ahead_s

    def move_to(self, when: float) -> float:
        """Let it be `when`, where that is still to come; by how many seconds time was moved."""
        by_s = max(0.0, when - self.time())
        self._ahead_s += by_s
        return by_s

    @property
    def is_ready(self) -> bool:
        """Whether a callback waits for its turn, beside the one that asks."""
        return bool(vars(self)["_ready"])

    @property
    def at_work(self) -> int:
        """How many calls run in threads."""
        return self._at_work

    def next_due(self) -> float | None:
        """When the next timer is due, None where there is none."""
        timers = cast("list[asyncio.TimerHandle]", vars(self)["_scheduled"])
        if timers and not timers[0].cancelled():
            return timers[0].when()  # the loop keeps a heap
        return min((timer.when() for timer in timers if not timer.cancelled()), default=None)

    def run_in_executor(self, executor: Executor | None, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """As any loop; counted until it is done."""
        future = super().run_in_executor(executor, func, *args)
        self._at_work += 1
        future.add_done_callback(self._count_done)
        return future

    def _count_done(self, _future: asyncio.Future[Any]) -> None:
        self._at_work -= 1
        self.on_work_done()
