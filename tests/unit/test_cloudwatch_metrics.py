"""Metrics: what is kept, how periods are cut, what is forgotten and within which bounds."""

from __future__ import annotations

import math
import tracemalloc
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.clock import VIRTUAL_EPOCH_S
from localcloud.services.cloudwatch import model as module
from localcloud.services.cloudwatch.model import MINUTE_RETENTION_S, MetricId, Metrics, Reading, Stats

NOW = int(VIRTUAL_EPOCH_S)
DAY_S = 86_400
AGE = MetricId("AWS/Lambda", "IteratorAge", (("FunctionName", "f"),))


class HandClock:
    def __init__(self) -> None:
        self.now = VIRTUAL_EPOCH_S

    def time(self) -> float:
        return self.now


def one(value: float) -> Stats:
    return Stats(1.0, value, value, value)


def around(period_s: int = 60, unit: str | None = None, *, back_s: int = 3600) -> Reading:
    return Reading(NOW - back_s, NOW + 3600, period_s, unit)


def test_values_of_a_minute_are_one_point() -> None:
    """Five statistics of what was put in the same minute; the next minute is another point, an empty one is none."""
    clock = HandClock()
    metrics = Metrics(clock)
    for value in (4.0, 1.0, 7.0):
        metrics.put("AWS/Lambda", "IteratorAge", value, dimensions={"FunctionName": "f"}, unit="Milliseconds")
        clock.now += 10
    clock.now += 120
    metrics.put("AWS/Lambda", "IteratorAge", 5.0, dimensions={"FunctionName": "f"}, unit="Milliseconds")
    first, second = metrics.read(AGE, around())
    names = ("SampleCount", "Sum", "Average", "Minimum", "Maximum")
    assert [first.stats.statistic(name) for name in names] == [3.0, 12.0, 4.0, 1.0, 7.0]
    assert (first.start_s, first.unit) == (NOW, "Milliseconds")
    assert (second.start_s, second.stats.statistic("Sum")) == (NOW + 120, 5.0)


def test_dimensions_make_metrics_of_their_own() -> None:
    """Their order does not count; each combination, and none, is a metric for itself."""
    metrics = Metrics(HandClock())
    metrics.put("n", "m", 1.0, dimensions={"a": "1", "b": "2"})
    metrics.put("n", "m", 2.0, dimensions={"b": "2", "a": "1"})
    metrics.put("n", "m", 4.0, dimensions={"a": "1"})
    metrics.put("n", "m", 8.0, dimensions={})
    sums = {metric.id.dimensions: metrics.read(metric.id, around())[0].stats.total for metric in metrics.all()}
    assert sums == {(("a", "1"), ("b", "2")): 3.0, (("a", "1"),): 4.0, (): 8.0}
    assert metrics.read(MetricId("n", "other"), around()) == []


def test_periods_begin_at_the_readings_start() -> None:
    """Minutes fall into the period that contains them, counted from the start; the end is not in it."""
    metrics = Metrics(HandClock())
    for minute in range(12):
        metrics.add(AGE, one(1.0), at_s=NOW + minute * 60 + 59)
    points = metrics.read(AGE, Reading(NOW + 60, NOW + 660, 240))
    assert [(point.start_s - NOW, point.stats.count) for point in points] == [(60, 4), (300, 4), (540, 2)]


def test_units_are_kept_apart() -> None:
    """Each unit has points of its own; a reading of one unit has those alone."""
    metrics = Metrics(HandClock())
    metrics.add(AGE, one(1.0), unit="Seconds")
    metrics.add(AGE, one(2.0), unit="Count")
    assert [(point.unit, point.stats.total) for point in metrics.read(AGE, around())] == [
        ("Count", 2.0),
        ("Seconds", 1.0),
    ]
    assert [point.stats.total for point in metrics.read(AGE, around(unit="Seconds"))] == [1.0]
    assert metrics.read(AGE, around(unit="Bytes")) == []


def test_fine_points_are_kept_three_hours() -> None:
    """A resolution of a second is read with periods under a minute, for three hours; minutes stay."""
    clock = HandClock()
    metrics = Metrics(clock)
    for second in range(10):
        metrics.add(AGE, one(1.0), at_s=NOW + second + 0.5, is_fine=True)
    metrics.add(AGE, one(1.0), at_s=NOW + 20)
    reading = Reading(NOW, NOW + 60, 5)
    assert [(p.start_s - NOW, p.stats.count) for p in metrics.read(AGE, reading)] == [(0, 5), (5, 5)]
    assert metrics.read(AGE, around())[0].stats.count == 11
    clock.now += 3 * 3600 + 4
    assert [(p.start_s - NOW, p.stats.count) for p in metrics.read(AGE, reading)] == [(0, 1), (5, 5)]
    clock.now += 60
    assert metrics.read(AGE, reading) == []
    assert metrics.read(AGE, around())[0].stats.count == 11


def test_points_are_gone_after_fifteen_days() -> None:
    """Nobody reads a point that is 15 days old, and memory forgets it with a later write."""
    clock = HandClock()
    metrics = Metrics(clock)
    metrics.add(AGE, one(1.0))
    clock.now += MINUTE_RETENTION_S
    assert len(metrics.read(AGE, around())) == 1
    clock.now += 1
    assert metrics.read(AGE, around()) == []
    clock.now += 3600
    metrics.add(AGE, one(1.0))
    (metric,) = metrics.all()
    assert len(metric) == 1


def test_memory_is_bounded_by_metrics_and_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over either bound the metrics that were written to longest ago go, and what was written last stays."""
    monkeypatch.setattr(module, "MAX_METRICS", 3)
    metrics = Metrics(HandClock())
    for name in ("a", "b", "c", "a", "d"):
        metrics.put("n", name, 1.0, dimensions={})
    assert [metric.id.name for metric in metrics.all()] == ["a", "c", "d"]
    monkeypatch.setattr(module, "MAX_BUCKETS", 10)
    for minute in range(20):
        metrics.add(MetricId("n", "e"), one(1.0), at_s=NOW - minute * 60)
    assert [metric.id.name for metric in metrics.all()] == ["e"]
    metrics.put("n", "f", 1.0, dimensions={})
    metrics.put("n", "g", 1.0, dimensions={})
    assert [metric.id.name for metric in metrics.all()] == ["f", "g"]


def test_a_minute_that_is_over_is_kept_whole_in_little_memory() -> None:
    """A day's minutes of 300 different values: ten bytes a value, and each statistic is what it was."""
    draw, metrics = Random(4), Metrics(HandClock())
    kept = 300
    values = [round(draw.uniform(1, 100), 2) for _ in range(kept)]
    tracemalloc.start()
    try:
        for minute in range(kept):
            spread = {value + minute: 1.0 for value in values}
            put = Stats(float(len(spread)), math.fsum(spread), min(spread), max(spread), spread)
            metrics.add(AGE, put, at_s=NOW + 60 * minute)
            del spread, put
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < kept * kept * 10
    read = metrics.read(AGE, Reading(NOW, NOW + 60 * kept, 60))
    ordered = sorted(set(values))
    assert [len(point.stats.spread or ()) for point in read] == [len(ordered)] * kept
    high = ordered[math.ceil(len(ordered) * 0.9) - 1]
    assert [point.stats.percentile(90) for point in read] == [high + minute for minute in range(kept)]


@given(st.lists(st.tuples(st.integers(0, 6), st.sampled_from([1.0, 2.0, 2.5, 7.0]), st.sampled_from([1.0, 0.5, 3.0]))))
def test_values_may_come_late_and_in_any_order(found: list[tuple[int, float, float]]) -> None:
    """A point that is over takes in what is measured for it later, with how often each value was there."""
    metrics, wanted = Metrics(HandClock()), dict[int, dict[float, float]]()
    for minute, value, count in found:
        metrics.add(AGE, Stats(count, value * count, value, value), at_s=NOW + 60 * minute)
        spread = wanted.setdefault(minute, {})
        spread[value] = spread.get(value, 0.0) + count
    read = metrics.read(AGE, Reading(NOW, NOW + 3600, 60))
    assert [(point.start_s - NOW) // 60 for point in read] == sorted(wanted)
    for point in read:
        spread = wanted[(point.start_s - NOW) // 60]
        assert (point.stats.spread or {point.stats.least: point.stats.count}) == spread
        assert (point.stats.count, point.stats.least, point.stats.most) == (
            sum(spread.values()),
            min(spread),
            max(spread),
        )
    spreads = sum(len(spread) for spread in wanted.values() if len(spread) > 1)
    assert metrics.size(AGE) == len(wanted) + spreads


def test_regions_are_apart() -> None:
    """A metric of one Region is not in another; all views of a Region share it."""
    metrics = Metrics(HandClock(), region="eu-west-1")
    metrics.put("n", "m", 1.0, dimensions={})
    metrics.in_region("us-east-1").put("n", "m", 2.0, dimensions={})
    seen = metrics.in_region("us-east-1").in_region("eu-west-1")
    assert [point.stats.total for point in seen.read(MetricId("n", "m"), around())] == [1.0]


@given(
    st.lists(st.tuples(st.integers(-7000, 7000), st.floats(-1e9, 1e9)), max_size=40),
    st.sampled_from([60, 120, 300, 3600]),
    st.integers(-120, 0),
)
def test_statistics_are_those_of_the_values(found: list[tuple[int, float]], period_s: int, begin: int) -> None:
    """For any values, dates and periods, each point's statistics are those of the values in its period."""
    start_s, end_s = NOW // 60 * 60 + begin * 60, NOW // 60 * 60 + 6000
    metrics = Metrics(HandClock())
    for offset, value in found:
        metrics.add(AGE, one(value), at_s=NOW + offset)
    expected: dict[int, list[float]] = {}
    for offset, value in found:
        minute = (NOW + offset) // 60 * 60
        if start_s <= minute < end_s:
            expected.setdefault(start_s + (minute - start_s) // period_s * period_s, []).append(value)
    points = metrics.read(AGE, Reading(start_s, end_s, period_s))
    assert [point.start_s for point in points] == sorted(expected)
    for point in points:
        values = expected[point.start_s]
        assert point.stats.count == len(values)
        assert math.isclose(point.stats.total, math.fsum(values), rel_tol=1e-9, abs_tol=1e-6)
        assert (point.stats.least, point.stats.most) == (min(values), max(values))


def test_a_metric_of_fifteen_days_is_read_fast_enough() -> None:
    """Every minute of 15 days is kept and read: 21,600 points at most, however many values came."""
    clock, rng = HandClock(), Random(1)
    metrics = Metrics(clock)
    for _ in range(16 * 1440):
        metrics.add(AGE, one(rng.random()))
        clock.now += 60
    (metric,) = metrics.all()
    assert len(metric) <= 15 * 1440 + 61
    reading = Reading(int(clock.now) - 20 * DAY_S, int(clock.now), DAY_S)
    assert sum(point.stats.count for point in metrics.read(AGE, reading)) == 15 * 1440
