"""The checkers: a task for each health check that looks at what it is about, over and over.

Owns when is looked; how is a port. Whatever waits, waits on the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

from localcloud.services.route53.alarm_data import AlarmReader, NoAlarm, UnfitAlarm, evaluate
from localcloud.services.route53.check_config import ALARM, CALCULATED, CheckConfig
from localcloud.services.route53.health import HealthCheck, HealthChecks, Outcome

__all__ = ["Checkers", "Probe"]

_LOG: Final = logging.getLogger(__name__)
LOOK_S: Final = 10.0  # how often metrics are read, and calculated checks reported; AWS does not say


class Probe(Protocol):
    """Asks an endpoint once."""

    async def ask(self, config: CheckConfig) -> Outcome:
        """What came of it; never raises."""
        ...


class Checkers:
    """Looks for every check of `checks` while `run` runs."""

    def __init__(self, checks: HealthChecks, probe: Probe, alarms: AlarmReader) -> None:
        self._checks = checks
        self._probe = probe
        self._alarms = alarms
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Look until cancelled: at the checks that are there, and at those that are made meanwhile."""
        async with asyncio.TaskGroup() as group:

            def watch(check_id: str) -> None:
                task = self._tasks.pop(check_id, None)
                if task is not None:
                    task.cancel()
                check = self._checks.find(check_id)
                if check is not None and not check.config.disabled:
                    self._tasks[check_id] = group.create_task(self._look(check))

            self._checks.watch = watch
            try:
                for check in self._checks.all():
                    watch(check.id)
                await asyncio.Event().wait()
            finally:
                self._checks.watch = _nobody
                self._tasks.clear()

    async def _look(self, check: HealthCheck) -> None:
        """Look at once, and then each time that the interval is over, however long a look takes."""
        loop = asyncio.get_running_loop()
        interval_s = float(check.config.interval_s) if check.config.is_endpoint else LOOK_S
        due = loop.time()
        while True:
            try:
                await self._look_once(check)
            except Exception:  # noqa: BLE001 - the outermost edge of a check: what nobody foresaw ends none of the others
                _LOG.exception("route53.look_failed check=%s", check.id)
            due = max(due + interval_s, loop.time())
            await asyncio.sleep(due - loop.time())

    async def _look_once(self, check: HealthCheck) -> None:
        if check.config.type == CALCULATED:
            self._checks.report(check)
        elif check.config.type == ALARM:
            self._checks.judge(check, await self._read(check))
        else:
            self._checks.see(check, await self._probe.ask(check.config))

    async def _read(self, check: HealthCheck) -> str:
        """What the metric says. The alarm's settings are those of when the check was made, as on AWS."""
        alarm = check.config.alarm
        if alarm is None:
            return "INSUFFICIENT_DATA"
        if check.definition is None:
            try:
                check.definition = await self._alarms.define(alarm)
            except (NoAlarm, UnfitAlarm):
                check.definition = None
        if check.definition is None:
            return "INSUFFICIENT_DATA"
        now_s = self._checks.clock.time()
        return evaluate(check.definition, await self._alarms.read(alarm.region, check.definition, now_s), now_s)


def _nobody(_check_id: str) -> None:
    """Nobody looks."""
