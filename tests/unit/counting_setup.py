"""What was counted, as tests ask for it: metrics of one Region, on the clock of the running loop."""

from __future__ import annotations

import asyncio
from typing import Final

from localcloud.clock import VIRTUAL_EPOCH_S, LoopClock
from localcloud.services.cloudwatch.counting import Counters
from localcloud.services.cloudwatch.model import MetricId, Metrics, Reading, Stats

REGION: Final = "us-east-1"
START_S: Final = int(VIRTUAL_EPOCH_S)  # a whole minute


class Told:
    """Metrics with counters on them; the clock is the loop's."""

    def __init__(self, namespace: str, region: str = REGION) -> None:
        self.clock = LoopClock(asyncio.get_running_loop())
        self.metrics = Metrics(self.clock, region=region)
        self.counters = Counters(self.metrics, self.clock)
        self.namespace = namespace

    def stats(
        self, name: str, minute: int | None = None, /, **dimensions: str
    ) -> tuple[float, float, float, float] | None:
        """(samples, sum, minimum, maximum) of a minute counted from the start, None: of all; None without any."""
        first_s = START_S if minute is None else START_S + 60 * minute
        length_s = 86_400 if minute is None else 60
        metric_id = MetricId(self.namespace, name, tuple(sorted(dimensions.items())))
        points = self.metrics.read(metric_id, Reading(first_s, first_s + length_s, length_s))
        assert len(points) <= 1, points
        return _plain(points[0].stats) if points else None

    def unit(self, name: str, /, **dimensions: str) -> str:
        metric_id = MetricId(self.namespace, name, tuple(sorted(dimensions.items())))
        return self.metrics.read(metric_id, Reading(START_S, START_S + 86_400, 86_400))[0].unit

    def names(self) -> set[str]:
        return {metric.id.name for metric in self.metrics.all() if metric.id.namespace == self.namespace}

    def sets(self, name: str) -> list[dict[str, str]]:
        """The dimensions under which a metric is kept."""
        found = [metric.id for metric in self.metrics.all() if metric.id.namespace == self.namespace]
        return [dict(each.dimensions) for each in found if each.name == name]


def _plain(stats: Stats) -> tuple[float, float, float, float]:
    return stats.count, stats.total, stats.least, stats.most
