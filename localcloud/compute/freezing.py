"""The freeze of an environment between invocations, and what was still at work when it came.

Lambda freezes an environment once its runtime has asked for the next event: what runs on stands still, and goes on in
the next invocation. Here its process group is stopped (SIGSTOP) 10 ms after the runtime has asked, and continued
(SIGCONT) before it is given an event; a runtime that is given one sooner pays for two timers only.

A runtime that waits uses no CPU, so what was at work is found without false alarms: CPU used in the last 8 of those
10 ms, and threads or processes that came since the last freeze and sleep. Pools and clients wait in locks, queues and
sockets: they are never taken for work, and so is nothing else that waits there.
Source: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html (shutdown and freeze of background
processes)
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from localcloud.compute.process_tree import Thread, list_threads

__all__ = ["Freezer", "Unfinished"]

SETTLE_S: Final = 0.002  # a runtime has sent its request and has not begun to wait
WINDOW_S: Final = 0.008
LEAST_CPU_NS: Final = 1_000_000  # in the window; who waits uses none


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What was at work: CPU time in the window, threads of the runtime that slept, names of other processes."""

    cpu_ms: int = 0
    sleeping: int = 0
    processes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.cpu_ms or self.sleeping or self.processes)

    def __str__(self) -> str:
        parts: list[str] = []
        if self.cpu_ms:
            parts.append("work on the CPU")
        if self.sleeping:
            parts.append(f"{self.sleeping} thread{'s' if self.sleeping > 1 else ''} asleep")
        if self.processes:
            parts.append(f"process{'es' if len(self.processes) > 1 else ''} {', '.join(self.processes)}")
        return "; ".join(parts)


class Freezer:
    """Freezes the process group `pid`. `on_unfinished` is told what was at work, if anything was. One event loop."""

    def __init__(self, pid: int, on_unfinished: Callable[[Unfinished], None]) -> None:
        self._pid = pid
        self._on_unfinished = on_unfinished
        self._timer: asyncio.TimerHandle | None = None
        self._known: set[int] | None = None
        self.frozen = False

    def rest(self) -> None:
        """The runtime has asked for an event and there is none."""
        if self._known is None:  # it has been initialised
            self._known = {thread.id for thread in list_threads(self._pid)}
        self._cancel()
        if not self.frozen:
            self._timer = asyncio.get_running_loop().call_later(SETTLE_S, self._look)

    def thaw(self) -> None:
        """There is an event: go on."""
        self._cancel()
        if self.frozen:
            self.frozen = False
            self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Nothing is frozen from now on; a frozen group stays so until it is killed."""
        self._cancel()

    def _look(self) -> None:
        before = list_threads(self._pid)
        self._timer = asyncio.get_running_loop().call_later(WINDOW_S, self._freeze, before)

    def _freeze(self, before: list[Thread]) -> None:
        self._timer = None
        threads = list_threads(self._pid)
        unfinished = _compare(self._pid, before, threads, known=self._known or set())
        self._signal(signal.SIGSTOP)
        self.frozen = True
        self._known = {thread.id for thread in threads}
        if unfinished:
            self._on_unfinished(unfinished)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, number)


def _compare(pid: int, before: list[Thread], now: list[Thread], *, known: set[int]) -> Unfinished:
    used_before = {thread.id: thread.cpu_ns for thread in before}
    cpu_ns = 0
    sleeping = 0
    processes: dict[str, None] = {}
    for thread in now:
        used_ns = thread.cpu_ns - used_before.get(thread.id, 0)
        works = used_ns >= LEAST_CPU_NS
        cpu_ns += used_ns if works else 0
        is_new_sleeper = thread.id not in known and thread.sleeps
        if thread.process != pid and (works or is_new_sleeper):
            processes[thread.name] = None
        elif is_new_sleeper:
            sleeping += 1
    return Unfinished(-(-cpu_ns // 1_000_000), sleeping, tuple(processes))
