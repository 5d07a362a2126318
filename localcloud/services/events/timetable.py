"""The timers of scheduled rules: one for each, on the event loop, at the dates of the clock.

Knows no rule: what is due is told to whoever asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from localcloud.clock import Clock
from localcloud.services.events.schedules import Schedule

__all__ = ["Timetable"]

_TICK_S: Final = 1e-3  # timers fire up to the loop's resolution early; what is due within it is due


@dataclass(slots=True)
class _Alarm:
    schedule: Schedule
    since_s: float
    ring: Callable[[float], None]
    timer: asyncio.TimerHandle | None = None


class Timetable:
    """Alarms by key. To be used from a running event loop only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._alarms: dict[str, _Alarm] = {}

    def start(self, key: str, schedule: Schedule, ring: Callable[[float], None]) -> None:
        """Call `ring` with its date (epoch seconds) whenever `schedule` is due, from now on."""
        self.stop(key)
        now_s = self._clock.time()
        self._alarms[key] = alarm = _Alarm(schedule, now_s, ring)
        self._arm(alarm, now_s)

    def stop(self, key: str) -> None:
        """No more of it; nothing where there is none."""
        alarm = self._alarms.pop(key, None)
        if alarm is not None and alarm.timer is not None:
            alarm.timer.cancel()

    def close(self) -> None:
        """Stop them all."""
        for key in list(self._alarms):
            self.stop(key)

    def _arm(self, alarm: _Alarm, after_s: float) -> None:
        due_s = alarm.schedule.next_after(after_s, since_s=alarm.since_s)
        if due_s is not None:
            self._wait(alarm, due_s)

    def _wait(self, alarm: _Alarm, due_s: float) -> None:
        delay_s = max(0.0, due_s - self._clock.time())
        alarm.timer = asyncio.get_running_loop().call_later(delay_s, self._on_time, alarm, due_s)

    def _on_time(self, alarm: _Alarm, due_s: float) -> None:
        now_s = self._clock.time()
        if now_s < due_s - _TICK_S:  # the date moves more slowly than the loop's time
            self._wait(alarm, due_s)
            return
        self._arm(alarm, max(due_s, now_s - _TICK_S))
        alarm.ring(due_s)
