"""The memory of one environment: how much its processes have had, and their end when that is more than the function's.

A limit of address space (RLIMIT_AS) is none of memory, and control groups belong to root, so the local cloud looks: the
less memory is left, the sooner, from every 2 ms to every 200 ms while an invocation runs. The kernel keeps the peak of
the runtime's own process, so what grew and shrank between two looks is found at the end of its invocation. Where there
is no /proc nothing is measured and nothing ends. CPU is not limited.
Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from localcloud.compute.process_tree import descend, peak_kb, proportional_kb, resident_kb

__all__ = ["MemoryWatch"]

FILL_KB_PER_S: Final = 2_000_000  # how fast one process takes new pages on a laptop; a little more than was measured
SHORTEST_S: Final = 0.002
LONGEST_S: Final = 0.2


class MemoryWatch:
    """Watches the process `pid` and its children while `resume` was the last that was called, not `pause`.

    `on_exceeded` is called once, when they have more than `limit_mb`; None limits nothing. One event loop.
    """

    def __init__(self, pid: int, limit_mb: int | None, on_exceeded: Callable[[], None]) -> None:
        self._pid = pid
        self._limit_kb = None if limit_mb is None else limit_mb * 1024
        self._on_exceeded = on_exceeded
        self._timer: asyncio.TimerHandle | None = None
        self._seen_kb = 0
        self._over_before = False
        self.exceeded = False

    @property
    def peak_mb(self) -> int:
        """The most that they have had, rounded up; never more than the limit once that is why they ended."""
        if self.exceeded and self._limit_kb is not None:
            return self._limit_kb // 1024
        return -(-self._seen_kb // 1024)

    def resume(self) -> None:
        """An invocation begins."""
        if self._limit_kb is not None and self._timer is None and not self.exceeded:
            self._timer = asyncio.get_running_loop().call_later(self._until_next(self._seen_kb), self._look)

    def pause(self) -> None:
        """Nothing runs."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def settle(self) -> bool:
        """An invocation has ended: whether it had more than the limit at any time, or looks said so."""
        self.pause()
        peak = peak_kb(self._pid)
        self._seen_kb = max(self._seen_kb, peak)
        if self._limit_kb is not None and peak > self._limit_kb:
            self._exceed()
        return self.exceeded

    def _look(self) -> None:
        self._timer = None
        used = self._measure()
        self._seen_kb = max(self._seen_kb, used)
        if self._limit_kb is None or used <= self._limit_kb:
            self._over_before = False
            self.resume()
        elif self._over_before or resident_kb(self._pid) > self._limit_kb:
            self._exceed()
        else:  # a child between vfork and exec has its parent's memory: look again
            self._over_before = True
            self._timer = asyncio.get_running_loop().call_later(SHORTEST_S, self._look)

    def _measure(self) -> int:
        processes = descend(self._pid)
        if len(processes) == 1:
            return resident_kb(self._pid)
        return sum(map(proportional_kb, processes))

    def _until_next(self, used_kb: int) -> float:
        left_kb = (self._limit_kb or 0) - used_kb
        return min(max(left_kb / FILL_KB_PER_S, SHORTEST_S), LONGEST_S)

    def _exceed(self) -> None:
        if not self.exceeded:
            self.exceeded = True
            self._on_exceeded()
