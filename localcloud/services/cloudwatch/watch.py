"""What a metric alarm watches: one statistic of one metric, held against a threshold. Pure; knows no request.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from localcloud.services.cloudwatch.model import MetricId, Metrics, Reading, Stats

if TYPE_CHECKING:
    from localcloud.services.cloudwatch.sought import Sought

__all__ = ["COMPARISONS", "STATES", "TREATMENTS", "Datapoint", "State", "Watch", "read_datapoints", "read_percent"]

State = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]
STATES: Final[tuple[State, ...]] = ("OK", "ALARM", "INSUFFICIENT_DATA")
TREATMENTS: Final = ("breaching", "notBreaching", "ignore", "missing")
FINE_STEP_S: Final = 10  # high-resolution alarms are looked at so often, the others each minute
STEP_S: Final = 60
SPARE_PERIODS: Final = 2  # alarms-and-missing-data: with 3 evaluation periods, 5 are fetched
COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
_PERCENTILE: Final = re.compile(r"p([0-9]{1,2}(\.[0-9]{1,10})?|100(\.0{1,10})?)\Z", re.ASCII)
_ALWAYS_IGNORES: Final = "AWS/DynamoDB"  # API_PutMetricAlarm.html, TreatMissingData


@dataclass(frozen=True, slots=True)
class Datapoint:
    """The statistic of one period that begins at `start_s`, and of how many samples it is."""

    start_s: int
    value: float
    samples: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """A metric alarm's condition.

    `statistic`: SampleCount, Average, Sum, Minimum, Maximum, or a percentile such as p99. `datapoints_to_alarm` is None
    where the alarm does not say. `low_samples`: "evaluate" or "ignore", "" for statistics that are no percentiles.
    `queries`: those of an alarm on metric math, of which one is shown; `metric` and `statistic` are empty then.
    """

    metric: MetricId
    statistic: str
    period_s: int
    threshold: float
    comparison: str
    evaluation_periods: int
    datapoints_to_alarm: int | None = None
    missing: str = "missing"
    low_samples: str = ""
    unit: str | None = None
    queries: tuple[Sought, ...] = ()

    @property
    def needed(self) -> int:
        """How many data points must breach: M of N."""
        return self.evaluation_periods if self.datapoints_to_alarm is None else self.datapoints_to_alarm

    @property
    def step_s(self) -> int:
        """How often it is looked at."""
        return FINE_STEP_S if self.period_s < STEP_S else STEP_S

    @property
    def treatment(self) -> str:
        """What missing data count as; alarms on DynamoDB's metrics always ignore them."""
        return "ignore" if self.metric.namespace == _ALWAYS_IGNORES else self.missing

    @property
    def least_samples(self) -> float:
        """Fewer samples than this are too few for the percentile; 0 where that does not matter.

        Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/percentiles-with-low-samples.html
        """
        percent = read_percent(self.statistic)
        if self.low_samples != "ignore" or percent is None or percent in {0.0, 100.0}:
            return 0.0
        share = percent / 100
        return 10 / (1 - share) if share >= 0.5 else 10 / share

    def breaches(self, value: float) -> bool:
        """Whether a value is on the wrong side of the threshold."""
        return COMPARISONS[self.comparison](value, self.threshold)

    def starts(self, now_s: float) -> range:
        """Where the periods of the evaluation range begin, the newest first: it has ended, on a whole step."""
        newest_s = int(now_s) // self.step_s * self.step_s - self.period_s
        return range(newest_s, newest_s - (self.evaluation_periods + SPARE_PERIODS) * self.period_s, -self.period_s)


def read_percent(statistic: str) -> float | None:
    """The percent of a percentile (`p99.9`), None where the statistic is none."""
    found = _PERCENTILE.match(statistic)
    return None if found is None else float(found[1])


def read_datapoints(metrics: Metrics, watch: Watch, now_s: float) -> list[Datapoint]:
    """What there is in the evaluation range at `now_s`, by date; every unit together where none is asked for."""
    starts = watch.starts(now_s)
    reading = Reading(starts[-1], starts[0] + watch.period_s, watch.period_s, watch.unit)
    merged: dict[int, Stats] = {}
    for point in metrics.read(watch.metric, reading):
        if point.start_s in merged:
            merged[point.start_s].add(point.stats)
        else:
            merged[point.start_s] = point.stats
    return list(_values(watch, merged))


def _values(watch: Watch, merged: Mapping[int, Stats]) -> Iterable[Datapoint]:
    percent = read_percent(watch.statistic)
    for start_s in sorted(merged):
        stats = merged[start_s]
        value = stats.statistic(watch.statistic) if percent is None else stats.percentile(percent)
        if value is not None:
            yield Datapoint(start_s, value, stats.count)
