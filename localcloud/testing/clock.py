"""The application's clock, as a test sees it: when it is there, and how time is made to pass.

Time jumps in the cloud: visibility timeouts, delays, retention, schedules, retries, batching windows, TTL, tokens,
alarms. It does not jump in functions, which are processes that read this machine's clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from localcloud.testing.activity import Activity
from localcloud.testing.hosting import HostedCloud

__all__ = ["MAX_ADVANCE_S", "TestClock", "Unsettled"]

MAX_ADVANCE_S: Final = 366 * 86_400.0  # of one step; the longest retention of anything that waits here is shorter
SETTLE_S: Final = 10.0
ADVANCE_S: Final = 60.0


class Unsettled(AssertionError):
    """Something was still under way after the time given; the message says what."""


class TestClock:
    """Time in the cloud of one test."""

    __test__ = False  # no class of tests, whatever its name

    def __init__(self, host: HostedCloud, activity: Activity) -> None:
        self._host = host
        self._activity = activity

    def now(self) -> datetime:
        """The date in the cloud (UTC)."""
        return datetime.fromtimestamp(self._host.clock.time(), UTC)

    def advance(self, seconds: float | timedelta, *, timeout_s: float = ADVANCE_S) -> None:
        """Let time pass in the cloud: 0 to 366 days, in seconds or as a timedelta.

        Waits for the invocations that run, then goes from timer to timer in order and waits, at each, until what it has
        set off is done, invocations too; so it returns when everything that became due has happened. `timeout_s` is
        real time. Raises Unsettled where it was not enough, ValueError for other times.
        """
        self._wait(self._advance(seconds), timeout_s)

    async def advance_async(self, seconds: float | timedelta, *, timeout_s: float = ADVANCE_S) -> None:
        """The same; the test's own loop goes on."""
        await self._wait_async(self._advance(seconds), timeout_s)

    def settle(self, timeout_s: float = SETTLE_S) -> None:
        """Wait until nothing happens any more unless time passes: no request, no invocation, no message on its way.

        What waits for time (a delay, a window, a retry's pause) is not waited for. Raises Unsettled.
        """
        self._wait(self._activity.settle(), timeout_s)

    async def settle_async(self, timeout_s: float = SETTLE_S) -> None:
        """The same; the test's own loop goes on."""
        await self._wait_async(self._activity.settle(), timeout_s)

    # ------------------------------------------------------------------ inside

    def _advance(self, seconds: float | timedelta) -> Coroutine[Any, Any, None]:
        by_s = seconds.total_seconds() if isinstance(seconds, timedelta) else float(seconds)
        if not 0 <= by_s <= MAX_ADVANCE_S:  # NaN is in no range
            message = f"time is advanced by 0 to {MAX_ADVANCE_S:.0f} seconds, not by {seconds!r}"
            raise ValueError(message)
        return self._activity.advance(by_s)

    def _wait(self, moving: Coroutine[Any, Any, None], timeout_s: float) -> None:
        waiting = self._host.submit(lambda: moving)
        try:
            return waiting.result(timeout_s)
        except TimeoutError:
            waiting.cancel()
        raise self._miss(timeout_s)

    async def _wait_async(self, moving: Coroutine[Any, Any, None], timeout_s: float) -> None:
        waiting = asyncio.wrap_future(self._host.submit(lambda: moving))
        try:
            async with asyncio.timeout(timeout_s):
                return await waiting
        except TimeoutError:
            pass
        raise self._miss(timeout_s)

    def _miss(self, timeout_s: float) -> Unsettled:
        async def read() -> list[str]:
            return self._activity.under_way()

        under_way = ", ".join(self._host.run(read)) or "timers that set off more, without end"
        return Unsettled(f"the application was not at rest within {timeout_s:g} s: {under_way}")
