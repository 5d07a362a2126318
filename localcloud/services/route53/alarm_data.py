"""The alarm that a health check goes by: its settings, and what its metric says. Pure, but for the port.

Route 53 reads the metric itself, not the alarm's state: SetAlarmState moves nothing, nor does TreatMissingData. It
takes metrics of standard resolution and the five plain statistics.
Source: https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from localcloud.services.route53.check_config import AlarmName

__all__ = ["AlarmDefinition", "AlarmReader", "NoAlarm", "UnfitAlarm", "evaluate"]

_COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
_STATISTICS: Final = ("Average", "Sum", "SampleCount", "Maximum", "Minimum")
_STANDARD_PERIOD_S: Final = 60


class NoAlarm(Exception):
    """There is no alarm of the name in the Region."""


class UnfitAlarm(Exception):
    """An alarm that no health check can go by; the message says why."""


@dataclass(frozen=True, slots=True)
class AlarmDefinition:
    """What Route 53 keeps of an alarm. `dimensions` in the alarm's order."""

    namespace: str
    metric: str
    statistic: str
    dimensions: tuple[tuple[str, str], ...]
    period_s: int
    periods: int
    threshold: float
    comparison: str

    def judge(self) -> None:
        """Raises UnfitAlarm."""
        if not self.metric:
            raise UnfitAlarm("metric math is not supported")
        if self.statistic not in _STATISTICS:
            raise UnfitAlarm("extended statistics are not supported")
        if self.period_s < _STANDARD_PERIOD_S:
            raise UnfitAlarm("metrics of high resolution are not supported")
        if self.comparison not in _COMPARISONS:
            raise UnfitAlarm(f"the comparison {self.comparison} is not supported")


class AlarmReader(Protocol):
    """CloudWatch of every Region, for health checks."""

    async def define(self, alarm: AlarmName) -> AlarmDefinition | None:
        """The alarm as it is now, None where the Region gives no answer. Raises NoAlarm, UnfitAlarm."""
        ...

    async def read(self, region: str, definition: AlarmDefinition, now_s: float) -> Mapping[int, float]:
        """The statistic of each whole period that counts, by its start; {} where the Region gives no answer."""
        ...


def evaluate(definition: AlarmDefinition, values: Mapping[int, float], now_s: float) -> str:
    """`OK`, `ALARM`, or `INSUFFICIENT_DATA` where too few of the last whole periods have a value to tell.

    One value that is not over the threshold is enough for OK; every period has to have one for ALARM.
    """
    end_s = int(now_s) - int(now_s) % definition.period_s
    starts = [end_s - number * definition.period_s for number in range(1, definition.periods + 1)]
    found = [values[start] for start in starts if start in values]
    breaches = [_COMPARISONS[definition.comparison](value, definition.threshold) for value in found]
    if not all(breaches):
        return "OK"
    return "ALARM" if len(found) == len(starts) else "INSUFFICIENT_DATA"
