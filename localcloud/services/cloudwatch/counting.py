"""What services count for themselves: noted in passing, summed up and put into the metrics once a minute.

Hot code notes a value in a `Tally`, which costs an append; everything else (sums, spreads, dimensions) happens when the
minute is over, or when somebody is about to read metrics. Gauges are asked at the end of each minute. Owns when that is
and how a list of values becomes statistics; knows no namespace.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

from localcloud.clock import Clock
from localcloud.services.cloudwatch.model import MetricId, Metrics, Stats

__all__ = ["Counters", "Dimensions", "Tally", "summarize"]

Dimensions: TypeAlias = Mapping[str, str]

MINUTE_S: Final = 60
MAX_NOTED: Final = 1_000  # values that wait to be summed up; more are summed up at once


class Tally:
    """The values of one measure, which may be several metrics: one for each set of dimensions."""

    __slots__ = ("_noted", "_sums", "_waiting", "metric_ids", "store", "unit")

    def __init__(
        self, store: Metrics, metric_ids: tuple[MetricId, ...], *, unit: str, waiting: dict[Tally, None]
    ) -> None:
        self.store = store
        self.metric_ids = metric_ids
        self.unit = unit
        self._waiting = waiting
        self._noted: list[float] = []
        self._sums: Stats | None = None

    def note(self, value: float) -> None:
        """One value, measured now."""
        noted = self._noted
        if not noted:
            self._waiting[self] = None
        noted.append(value)
        if len(noted) >= MAX_NOTED:
            self._sum_up()

    def put(self, value: float, *, at_s: float) -> None:
        """One value, measured then."""
        for metric_id in self.metric_ids:
            self.store.add(metric_id, Stats(1.0, value, value, value), unit=self.unit, at_s=at_s)

    def hand_over(self, at_s: float) -> None:
        """Put what was noted into the metrics, as measured at `at_s`."""
        self._sum_up()
        sums, self._sums = self._sums, None
        if sums is not None:
            for metric_id in self.metric_ids:
                self.store.add(metric_id, sums, unit=self.unit, at_s=at_s)

    def _sum_up(self) -> None:
        noted, self._noted = self._noted, []
        if noted:
            sums = summarize(noted)
            if self._sums is None:
                self._sums = sums
            else:
                self._sums.add(sums)


class Counters:
    """Makes tallies. `run` hands over at the end of each minute of the clock. One event loop.

    `minute_s`: where the minute begins that is counted now, in epoch seconds.
    """

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._waiting: dict[Tally, None] = {}
        self._gauges: list[Callable[[], None]] = []
        self.minute_s = _minute(clock.time())
        metrics.before_reading(self.hand_over)

    def tally(
        self, namespace: str, name: str, sets: Iterable[Dimensions], *, region: str, unit: str = "Count"
    ) -> Tally:
        """A tally of a metric under each set of dimensions, for whoever asks to keep.

        `unit` is one of CloudWatch's.
        """
        ids = tuple(MetricId(namespace, name, tuple(sorted(each.items()))) for each in sets)
        return Tally(self._metrics.in_region(region), ids, unit=unit, waiting=self._waiting)

    def each_minute(self, sample: Callable[[], None]) -> None:
        """Call `sample` at the end of each minute: it notes what there is then."""
        self._gauges.append(sample)

    def hand_over(self) -> None:
        """Put all that was noted into the metrics; the gauges first where a minute has ended since the last time."""
        now_s = self._clock.time()
        minute_s = _minute(now_s)
        is_over = minute_s > self.minute_s
        self.minute_s = minute_s
        if is_over:
            for sample in self._gauges:
                sample()
        at_s = minute_s - MINUTE_S if is_over else now_s
        while self._waiting:
            self._waiting.popitem()[0].hand_over(at_s)

    async def run(self) -> None:
        """Hand over each minute, until cancelled."""
        while True:
            now_s = self._clock.time()
            await asyncio.sleep(_minute(now_s) + MINUTE_S - now_s)
            self.hand_over()


def summarize(values: list[float]) -> Stats:
    """The statistics of values, with how often each was there; at least one value."""
    least, most = min(values), max(values)
    spread = None if least == most else {float(value): float(count) for value, count in Counter(values).items()}
    return Stats(float(len(values)), float(sum(values)), float(least), float(most), spread)


def _minute(now_s: float) -> int:
    return int(now_s) // MINUTE_S * MINUTE_S
