"""Metrics: what was measured, kept as sums over a minute (or a second), and the statistics of any period.

Owns the data points of each Region and their bounds; knows no request. AWS keeps one-minute points for 15 days and then
coarser ones for 15 months; here they are gone after 15 days. What is over the bounds of memory goes with the metric
that was written to longest ago.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Final, NamedTuple, TypeVar

from localcloud.clock import Clock

__all__ = ["MINUTE_RETENTION_S", "Metric", "MetricId", "Metrics", "Point", "Reading", "Stats"]

Key = TypeVar("Key")

MINUTE_S: Final = 60
MINUTE_RETENTION_S: Final = 15 * 86_400  # cloudwatch_concepts, "Metrics retention"
SECOND_RETENTION_S: Final = 3 * 3600  # the same, points of less than a minute
TRIM_SLACK_S: Final = 3600  # how much older than that points may be before they are looked for again
MAX_METRICS: Final = 10_000  # of one Region; AWS has no bound, memory has
MAX_BUCKETS: Final = 500_000  # of one Region, about 100 MB
MAX_SPREAD: Final = 1_000  # different values of one point; above it they are kept to two digits
HOME_REGION: Final = "us-east-1"
_FRESH_POINTS: Final = 2  # of a series, to be added to: this minute and the one that is handed over after it has ended


@dataclass(frozen=True, slots=True)
class MetricId:
    """A metric's identity: every combination of dimensions is a metric of its own. `dimensions` sorted by name."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Stats:
    """A statistic set. `count` is not 0.

    `spread`: how often each value was there, None where all are one value, or where a caller's statistic set hides it.
    """

    count: float
    total: float
    least: float
    most: float
    spread: dict[float, float] | None = None

    def add(self, other: Stats) -> None:
        """Take in the values of `other`."""
        spread = self._merge(other)
        self.count += other.count
        self.total += other.total
        self.least = min(self.least, other.least)
        self.most = max(self.most, other.most)
        self.spread = spread

    def copy(self) -> Stats:
        """The same, apart."""
        return replace(self, spread=None if self.spread is None else dict(self.spread))

    def statistic(self, name: str) -> float:
        """SampleCount, Sum, Average, Minimum or Maximum."""
        if name == "Average":
            return self.total / self.count
        return {"SampleCount": self.count, "Sum": self.total, "Minimum": self.least, "Maximum": self.most}[name]

    def percentile(self, percent: float) -> float | None:
        """The least value that so many percent (0 to 100) of the values reach at most; None where that is hidden.

        Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html
        """
        if self.least == self.most:
            return self.least
        if self.spread is None:
            return None
        reached = 0.0
        for value, count in sorted(self.spread.items()):
            reached += count
            if reached >= self.count * percent / 100:
                return value
        return self.most

    def _known(self) -> dict[float, float] | None:
        return {self.least: self.count} if self.least == self.most else self.spread

    def _merge(self, other: Stats) -> dict[float, float] | None:
        """The spread of both; the own one is given away."""
        mine, theirs = self._known(), other._known()
        if mine is None or theirs is None or (mine.keys() == theirs.keys() and len(mine) == 1):
            return None
        for value, count in theirs.items():
            mine[value] = mine.get(value, 0.0) + count
        if len(mine) <= MAX_SPREAD:
            return mine
        coarse: dict[float, float] = {}
        for value, count in mine.items():
            near = float(f"{value:.1e}")
            coarse[near] = coarse.get(near, 0.0) + count
        return coarse if len(coarse) <= MAX_SPREAD else None


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read of a metric: from `start_s` up to, not including, `end_s`, in periods of `period_s` from the start.

    All in whole epoch seconds. A period under a minute reads what was put with a resolution of a second. `unit` None
    reads every unit, each apart.
    """

    start_s: int
    end_s: int
    period_s: int
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """The statistics of one period and unit; `start_s` is where the period begins."""

    start_s: int
    unit: str
    stats: Stats


class _Packed(NamedTuple):
    """The statistics of a point that is past, in a tenth of the memory. `counts` None: each of the values once."""

    samples: float
    total: float
    least: float
    most: float
    values: array[float] | None
    counts: array[float] | None

    @classmethod
    def of(cls, stats: Stats) -> _Packed:
        values = counts = None
        if stats.spread is not None:
            values = array("d", stats.spread)
            is_plain = all(count == 1.0 for count in stats.spread.values())
            counts = None if is_plain else array("d", stats.spread.values())
        return cls(stats.count, stats.total, stats.least, stats.most, values, counts)

    def unpack(self) -> Stats:
        spread = None
        if self.values is not None:
            spread = dict(zip(self.values, repeat(1.0) if self.counts is None else self.counts, strict=False))
        return Stats(self.samples, self.total, self.least, self.most, spread)


class _Points:
    """Points of one length, by the second at which they begin; all but the newest are packed."""

    def __init__(self) -> None:
        self._fresh: dict[int, Stats] = {}
        self._packed: dict[int, _Packed] = {}

    def __len__(self) -> int:
        return len(self._fresh) + len(self._packed)

    def __iter__(self) -> Iterator[int]:
        yield from self._fresh
        yield from self._packed

    def find(self, at_s: int) -> Stats | None:
        """What begins then, not to be changed; None where nothing was put."""
        packed = self._packed.get(at_s)
        return self._fresh.get(at_s) if packed is None else packed.unpack()

    def add(self, at_s: int, stats: Stats) -> int:
        """Take `stats` in; by how many values the spread grew."""
        packed = self._packed.pop(at_s, None)
        if packed is not None:
            self._fresh[at_s] = packed.unpack()
        grown = _add(self._fresh, at_s, stats)
        if len(self._fresh) > _FRESH_POINTS:
            for old_s in sorted(self._fresh)[:-_FRESH_POINTS]:
                self._packed[old_s] = _Packed.of(self._fresh.pop(old_s))
        return grown

    def trim(self, oldest_s: float) -> int:
        """Forget what begins before then; how many values of spreads that were."""
        gone = [at_s for at_s in self if at_s < oldest_s]
        values = 0
        for at_s in gone:
            fresh, packed = self._fresh.pop(at_s, None), self._packed.pop(at_s, None)
            values += len((fresh.spread if fresh is not None else packed.values if packed is not None else None) or ())
        return values


class _Series:
    """The points of one metric in one unit."""

    def __init__(self) -> None:
        self._minutes = _Points()
        self._seconds = _Points()
        self._spread = 0  # how many values are kept beyond the points themselves

    def __len__(self) -> int:
        return len(self._minutes) + len(self._seconds) + self._spread

    def add(self, at_s: int, stats: Stats, *, is_fine: bool) -> None:
        self._spread += self._minutes.add(at_s - at_s % MINUTE_S, stats)
        if is_fine:
            self._spread += self._seconds.add(at_s, stats)

    def between(self, start_s: float, end_s: int, *, is_fine: bool) -> Iterator[tuple[int, Stats]]:
        """The points that begin from `start_s` up to `end_s`, in no order."""
        points, step_s = (self._seconds, 1) if is_fine else (self._minutes, MINUTE_S)
        first_s = -(-math.ceil(start_s) // step_s) * step_s
        is_short = (end_s - first_s) // step_s < len(points)
        for at_s in range(first_s, end_s, step_s) if is_short else points:
            if first_s <= at_s < end_s and (stats := points.find(at_s)) is not None:
                yield at_s, stats

    def trim(self, now_s: float) -> None:
        self._spread -= self._minutes.trim(now_s - MINUTE_RETENTION_S)
        self._spread -= self._seconds.trim(now_s - SECOND_RETENTION_S)


class Metric:
    """One metric. `last_s` is the date of its latest point."""

    def __init__(self, metric_id: MetricId, now_s: float) -> None:
        self.id = metric_id
        self.last_s = 0.0
        self._series: dict[str, _Series] = {}
        self._trimmed_s = now_s

    def __len__(self) -> int:
        return sum(map(len, self._series.values()))

    def add(self, at_s: float, stats: Stats, *, unit: str, is_fine: bool, now_s: float) -> None:
        """Take in values measured at `at_s`."""
        self.last_s = max(self.last_s, at_s)
        if now_s >= self._trimmed_s + TRIM_SLACK_S:
            self.trim(now_s)
        self._series.setdefault(unit, _Series()).add(int(at_s), stats, is_fine=is_fine)

    def trim(self, now_s: float) -> None:
        """Forget what is not kept any longer."""
        self._trimmed_s = now_s
        for unit, series in list(self._series.items()):
            series.trim(now_s)
            if not len(series):
                del self._series[unit]

    def read(self, reading: Reading, now_s: float) -> list[Point]:
        """The points of a reading, by date and unit; periods without a value have none."""
        is_fine = reading.period_s < MINUTE_S
        kept_s = SECOND_RETENTION_S if is_fine else MINUTE_RETENTION_S
        first_s = max(reading.start_s, now_s - kept_s)
        found: dict[tuple[int, str], Stats] = {}
        for unit, series in self._series.items():
            if reading.unit not in {None, unit}:
                continue
            for at_s, stats in series.between(first_s, reading.end_s, is_fine=is_fine):
                _add(found, (at_s - (at_s - reading.start_s) % reading.period_s, unit), stats)
        return [Point(start_s, unit, stats) for (start_s, unit), stats in sorted(found.items(), key=_place)]


class _Region:
    """The metrics of one Region, those written to longest ago first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._metrics: dict[MetricId, Metric] = {}
        self._buckets = 0

    def put(self, metric_id: MetricId, at_s: float, stats: Stats, *, unit: str, is_fine: bool) -> None:
        now_s = self._clock.time()
        metric = self._metrics.pop(metric_id, None) or Metric(metric_id, now_s)
        before = len(metric)
        metric.add(at_s, stats, unit=unit, is_fine=is_fine, now_s=now_s)
        self._buckets += len(metric) - before
        while self._metrics and (len(self._metrics) >= MAX_METRICS or self._buckets > MAX_BUCKETS):
            self._buckets -= len(self._metrics.pop(next(iter(self._metrics))))
        self._metrics[metric_id] = metric

    def find(self, metric_id: MetricId) -> Metric | None:
        return self._metrics.get(metric_id)

    def all(self) -> Iterator[Metric]:
        return iter(sorted(self._metrics.values(), key=_identity))


class Metrics:
    """The metrics of every Region; `put` and the rest act on `region`, `in_region` gives the same for another.

    Not for use by several threads.
    """

    def __init__(self, clock: Clock, *, region: str = HOME_REGION) -> None:
        self.clock = clock
        self._regions: dict[str, _Region] = {}
        self._sources: list[Callable[[], None]] = []
        self._region = region

    def in_region(self, region: str) -> Metrics:
        """These metrics, seen from `region`."""
        other = Metrics(self.clock, region=region)
        other._regions = self._regions
        other._sources = self._sources
        return other

    def before_reading(self, hand_over: Callable[[], None]) -> None:
        """Call `hand_over` each time before anything is read, of whatever Region: it puts what it has counted."""
        self._sources.append(hand_over)

    def put(
        self, namespace: str, name: str, value: float, *, dimensions: Mapping[str, str], unit: str = "None"
    ) -> None:
        """One value, measured now, with a resolution of a minute. `unit` is one of CloudWatch's, as "Count"."""
        metric_id = MetricId(namespace, name, tuple(sorted(dimensions.items())))
        self.add(metric_id, Stats(1.0, value, value, value), unit=unit)

    def add(
        self, metric_id: MetricId, stats: Stats, *, unit: str = "None", at_s: float | None = None, is_fine: bool = False
    ) -> None:
        """Values measured at `at_s` (epoch seconds; None is now); `is_fine` keeps them by the second as well."""
        at_s = self.clock.time() if at_s is None else at_s
        self._store().put(metric_id, at_s, stats, unit=unit, is_fine=is_fine)

    def all(self) -> Iterable[Metric]:
        """Every metric, by namespace, name and dimensions."""
        self._collect()
        return self._store().all()

    def read(self, metric_id: MetricId, reading: Reading) -> list[Point]:
        """The points of one metric, by date and unit; empty where there is no such metric."""
        self._collect()
        metric = self._store().find(metric_id)
        return [] if metric is None else metric.read(reading, self.clock.time())

    def size(self, metric_id: MetricId) -> int:
        """How many points are kept of one metric, 0 where there is no such metric."""
        self._collect()
        metric = self._store().find(metric_id)
        return 0 if metric is None else len(metric)

    def _collect(self) -> None:
        for hand_over in self._sources:
            hand_over()

    def _store(self) -> _Region:
        return self._regions.setdefault(self._region, _Region(self.clock))


def _add(points: dict[Key, Stats], key: Key, stats: Stats) -> int:
    """Take `stats` in; by how many values the spread grew."""
    found = points.get(key)
    if found is None:
        points[key] = stats.copy()
        return len(stats.spread or ())
    before = len(found.spread or ())
    found.add(stats)
    return len(found.spread or ()) - before


def _place(entry: tuple[tuple[int, str], Stats]) -> tuple[int, str]:
    return entry[0]


def _identity(metric: Metric) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    return metric.id.namespace, metric.id.name, metric.id.dimensions
