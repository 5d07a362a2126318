"""The one task that evaluates every alarm on time and carries out what follows.

High-resolution alarms are looked at every ten seconds, the others every minute, a moment after the period has ended so
that what was measured at its end has come; a new or changed alarm at once. Between that it sleeps: an alarm that is
put, a state that is set and a period of suppression that ends wake it.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

from localcloud.clock import Clock
from localcloud.services.cloudwatch.alarm import Alarm
from localcloud.services.cloudwatch.alarms import ActionErrand, Alarms
from localcloud.services.cloudwatch.evaluation import judge
from localcloud.services.cloudwatch.model import Metrics
from localcloud.services.cloudwatch.notices import lambda_payload, sns_notice
from localcloud.services.cloudwatch.outlet import Outlet, Refused
from localcloud.services.cloudwatch.past import action_item
from localcloud.services.cloudwatch.reasons import explain, explain_data
from localcloud.services.cloudwatch.sought import read_watched
from localcloud.services.cloudwatch.watch import Watch

__all__ = ["Evaluator"]

LAG_S: Final = 1.0  # after a period's end; AWS takes some seconds, and does not say how many
LEAST_SLEEP_S: Final = 0.001
FIRST_RETRY_S: Final = 1.0  # alarms-and-actions-Lambda.html says that it tries again, not when
LAST_RETRY_S: Final = 60.0
MAX_WAITING: Final = 1_000  # invocations that wait for a busy Lambda; memory has a bound


class Evaluator:
    """Evaluates `alarms` over `metrics` while `run()` runs."""

    def __init__(self, alarms: Alarms, metrics: Metrics, *, clock: Clock, outlet: Outlet) -> None:
        self._alarms = alarms
        self._metrics = metrics
        self._clock = clock
        self._outlet = outlet
        self._waiting = 0

    async def run(self) -> None:
        """Evaluate on time and do what alarms set off, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._alarms.stirred.clear()
                now_s = self._clock.time()
                self._alarms.end_periods(now_s)
                self.look(now_s)
                self._do_errands(group)
                await self._sleep()

    def look(self, now_s: float) -> None:
        """Evaluate every metric alarm whose time has come."""
        for alarm, watch in self._watched():
            step = int(now_s - LAG_S) // watch.step_s
            if alarm.looked_at != step:
                alarm.looked_at = step
                self._evaluate(alarm, watch, now_s)

    def _evaluate(self, alarm: Alarm, watch: Watch, now_s: float) -> None:
        datapoints = read_watched(self._metrics.in_region(alarm.definition.region), watch, now_s)
        verdict = judge(watch, datapoints, now_s, current=alarm.state.value)
        if verdict.state != alarm.state.value:
            reason, data = explain(watch, verdict), explain_data(watch, verdict, now_s)
            self._alarms.change(alarm, verdict.state, reason=reason, data=data)

    def _watched(self) -> Iterator[tuple[Alarm, Watch]]:
        for alarm in self._alarms.all():
            if alarm.definition.watch is not None:
                yield alarm, alarm.definition.watch

    async def _sleep(self) -> None:
        """Until something is due, or new."""
        now_s = self._clock.time()
        steps = {watch.step_s for _, watch in self._watched()}
        due = [(int(now_s - LAG_S) // step + 1) * step + LAG_S for step in steps]
        ends_s = self._alarms.due()
        if ends_s is not None:
            due.append(ends_s)
        delay_s = max(LEAST_SLEEP_S, min(due) - now_s) if due else None
        try:
            async with asyncio.timeout(delay_s):
                await self._alarms.stirred.wait()
        except TimeoutError:
            return

    def _do_errands(self, group: asyncio.TaskGroup) -> None:
        while self._alarms.errands:
            errand = self._alarms.errands.popleft()
            if not isinstance(errand, ActionErrand):
                self._outlet.emit(errand.arn, errand.detail_type, errand.detail)
            elif errand.action.split(":")[2:3] == ["lambda"]:
                group.create_task(self._invoke(errand))
            else:
                self._publish(errand)

    def _publish(self, errand: ActionErrand) -> None:
        error = "" if errand.action.split(":")[2:3] == ["sns"] else "The local cloud does not serve this action"
        if not error:
            try:
                self._outlet.publish(errand.action, sns_notice(errand.change), alarm_arn=errand.change.definition.arn)
            except Refused as refused:
                error = str(refused)
        self._note(errand, error)

    async def _invoke(self, errand: ActionErrand) -> None:
        """Again and again where Lambda is busy or broken; not where it refuses."""
        error, delay_s = "", FIRST_RETRY_S
        while True:
            try:
                payload = lambda_payload(errand.change)
                await self._outlet.invoke(errand.action, payload, alarm_arn=errand.change.definition.arn)
            except Refused as refused:
                if refused.retry and self._waiting < MAX_WAITING:
                    self._waiting += 1
                    await asyncio.sleep(delay_s)
                    self._waiting -= 1
                    delay_s = min(LAST_RETRY_S, 2 * delay_s)
                    continue
                error = str(refused)
            self._note(errand, error)
            return

    def _note(self, errand: ActionErrand, error: str) -> None:
        self._alarms.past.add(action_item(errand.change, errand.action, self._clock.time(), error=error))
