"""Whether a metric alarm is in ALARM: the tables of the guide, its sentences, and a slow reading of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.services.cloudwatch.evaluation import evaluate, judge
from localcloud.services.cloudwatch.model import MetricId, Metrics, Stats
from localcloud.services.cloudwatch.reasons import explain, explain_data, write_number
from localcloud.services.cloudwatch.watch import Datapoint, State, Watch, read_datapoints, read_percent
from tests.unit.cloudwatch_setup import HandClock

NOW = 1_800_000_000 + 48
NEWEST = 1_800_000_000 - 60  # where the newest whole minute begins
TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")
KEPT: State = "INSUFFICIENT_DATA"  # what an alarm is in that keeps its state; no case below gives it by itself but one

ALL_BREACHING = [  # M = N = 3: alarms-and-missing-data, first table
    ("0 - X - X", "OK", "OK", "OK", "OK"),
    ("0 - - - -", "OK", "OK", "OK", "OK"),
    ("- - - - -", "INSUFFICIENT_DATA", "keep", "ALARM", "OK"),
    ("0 X X - X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("- - X - -", "ALARM", "keep", "ALARM", "OK"),
]
TWO_OF_THREE = [  # M = 2, N = 3: the second table
    ("0 - X - X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("0 0 X 0 X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("0 - X - -", "OK", "OK", "ALARM", "OK"),
    ("- - - - 0", "OK", "OK", "ALARM", "OK"),
    ("- - - X -", "ALARM", "keep", "ALARM", "OK"),
]


def watch(**changes: Any) -> Watch:
    given: dict[str, Any] = {
        "metric": MetricId("app", "m"),
        "statistic": "Average",
        "period_s": 60,
        "threshold": 10.0,
        "comparison": "GreaterThanThreshold",
        "evaluation_periods": 3,
    }
    return Watch(**{**given, **changes})


def points(pattern: str, *, period_s: int = 60, newest: int = NEWEST) -> list[Datapoint]:
    """`0 X -`, the newest last: within the threshold, breaching, missing."""
    values = {"0": 5.0, "X": 15.0}
    marks = pattern.split()
    return [
        Datapoint(newest - (len(marks) - 1 - place) * period_s, values[mark])
        for place, mark in enumerate(marks)
        if mark != "-"
    ]


def state_of(pattern: str, current: State = "OK", **changes: Any) -> State:
    return evaluate(watch(**changes), points(pattern), NOW, current=current)


@pytest.mark.parametrize("current", ["OK", "ALARM", "INSUFFICIENT_DATA"])
@pytest.mark.parametrize("column", range(4))
@pytest.mark.parametrize(
    ("needed", "row"),
    [
        *((None, row) for row in ALL_BREACHING),
        *((3, row) for row in ALL_BREACHING),
        *((2, row) for row in TWO_OF_THREE),
    ],
)
def test_the_tables_of_the_guide(needed: int | None, row: tuple[str, ...], column: int, current: State) -> None:
    """Each cell, from each state that an alarm may be in before."""
    expected = current if row[1 + column] == "keep" else row[1 + column]
    found = state_of(row[0], current, datapoints_to_alarm=needed, missing=TREATMENTS[column])
    assert expected == found


@pytest.mark.parametrize("pattern", ["- - - - X", "- - - X -"])
def test_a_lone_recent_breach_is_no_alarm_yet(pattern: str) -> None:
    """Avoiding premature transitions: with 3 of 3 it waits for what comes next, and keeps its state."""
    assert [state_of(pattern, current) for current in ("OK", "INSUFFICIENT_DATA")] == ["OK", "INSUFFICIENT_DATA"]
    assert [state_of(pattern, missing="breaching"), state_of(pattern, missing="notBreaching")] == ["ALARM", "OK"]


def test_older_points_stand_in_for_missing_ones() -> None:
    """The range is two periods longer than EvaluationPeriods; what is older still is not looked at."""
    assert state_of("X X - - X") == "ALARM"
    assert state_of("X X X - - -", "OK", missing="notBreaching") == "OK"  # one X is out of the range
    assert state_of("X X X - -", "OK", missing="notBreaching") == "ALARM"
    assert state_of("X X 0 0 0") == "OK"


@pytest.mark.parametrize(
    ("comparison", "states"),
    [
        ("GreaterThanThreshold", ("OK", "OK", "ALARM")),
        ("GreaterThanOrEqualToThreshold", ("OK", "ALARM", "ALARM")),
        ("LessThanThreshold", ("ALARM", "OK", "OK")),
        ("LessThanOrEqualToThreshold", ("ALARM", "ALARM", "OK")),
    ],
)
def test_every_comparison(comparison: str, states: tuple[State, ...]) -> None:
    """Below, at and above the threshold."""
    definition = watch(comparison=comparison, evaluation_periods=1)
    found = tuple(
        evaluate(definition, [Datapoint(NEWEST, value)], NOW, current="INSUFFICIENT_DATA")
        for value in (9.0, 10.0, 11.0)
    )
    assert states == found


def test_alarms_on_dynamodb_ignore_missing_data() -> None:
    """Whatever they ask for, their state stays."""
    definition = watch(metric=MetricId("AWS/DynamoDB", "m"), missing="breaching")
    assert evaluate(definition, [], NOW, current="OK") == "OK"


@pytest.mark.parametrize(
    ("period_s", "now_s", "starts"),
    [
        (60, 1_800_000_119.9, (1_800_000_000, 1_799_999_940, 1_799_999_880)),
        (300, 1_800_000_061.0, (1_799_999_760, 1_799_999_460, 1_799_999_160)),  # windows slide by the minute
        (10, 1_800_000_019.9, (1_800_000_000, 1_799_999_990, 1_799_999_980)),
        (30, 1_800_000_041.0, (1_800_000_010, 1_799_999_980, 1_799_999_950)),
    ],
)
def test_periods_that_are_over_are_looked_at(period_s: int, now_s: float, starts: tuple[int, ...]) -> None:
    """The newest ends with the last whole minute, or the last whole ten seconds of high resolution."""
    assert starts == tuple(watch(period_s=period_s, evaluation_periods=1).starts(now_s))


@pytest.mark.parametrize(
    ("statistic", "least"),
    [("p99", 1000.0), ("p50", 20.0), ("p25", 40.0), ("p100", 0.0), ("p0", 0.0), ("Average", 0.0)],
)
def test_a_percentile_of_few_samples_keeps_the_state_where_asked(statistic: str, least: float) -> None:
    """Fewer than 10/(1-percentile) of them, or 10/percentile below the median; without the word it is evaluated."""
    asked = watch(statistic=statistic, low_samples="ignore", evaluation_periods=1)
    assert asked.least_samples == pytest.approx(least)
    few = [Datapoint(NEWEST, 15.0, max(1.0, least - 1))]
    if least:
        assert evaluate(asked, few, NOW, current="OK") == "OK"
        assert evaluate(asked, [Datapoint(NEWEST, 15.0, least + 1)], NOW, current="OK") == "ALARM"
    assert evaluate(watch(statistic=statistic, evaluation_periods=1), few, NOW, current="OK") == "ALARM"


def test_only_percentiles_are_read_as_such() -> None:
    """From p0 to p100, with fractions."""
    assert [read_percent(text) for text in ("p0", "p99.9", "p100")] == [0.0, 99.9, 100.0]
    assert [read_percent(text) for text in ("p101", "tm90", "p", "P90", "p9 ", "Average")] == [None] * 6


# ---------------------------------------------------------------------- a slow reading of the guide


def slow(marks: list[str], needed: int, periods: int, missing: str, *, current: State) -> State:
    """The guide's three bullets and its rule of premature states, word by word; `marks` the newest last."""
    real = [mark for mark in marks if mark != "-"]
    if len(real) >= periods:  # "the most recent real data points"
        return "ALARM" if real[-periods:].count("X") >= needed else "OK"
    lacking = periods - len(real)  # "uses missing data points only as few times as possible"
    if missing == "breaching":
        return "ALARM" if (real + ["X"] * lacking).count("X") >= needed else "OK"
    if missing == "notBreaching":
        return "ALARM" if (real + ["0"] * lacking).count("X") >= needed else "OK"
    if real.count("X") >= needed:
        return "ALARM"
    if "0" in real:
        return "OK"
    if missing == "ignore":
        return current  # "the current alarm state is maintained"
    if not real:
        return "INSUFFICIENT_DATA"  # "if all data points in the alarm evaluation range are missing"
    oldest = len(marks) - marks.index("X")  # "at least as old as the value of Datapoints to Alarm"
    return "ALARM" if oldest >= needed else current


@given(data=st.data(), periods=st.integers(1, 6), missing=st.sampled_from(TREATMENTS))
def test_it_decides_as_a_slow_reading_of_the_guide_does(data: st.DataObject, periods: int, missing: str) -> None:
    """For every pattern, M of N, treatment, period and state before."""
    marks = data.draw(st.lists(st.sampled_from("0X-"), min_size=periods + 2, max_size=periods + 2))
    needed = data.draw(st.integers(1, periods))
    current: State = data.draw(st.sampled_from(("OK", "ALARM", "INSUFFICIENT_DATA")))
    period_s = data.draw(st.sampled_from((10, 20, 30, 60, 120, 300)))
    definition = watch(period_s=period_s, evaluation_periods=periods, datapoints_to_alarm=needed, missing=missing)
    newest = definition.starts(NOW)[0]
    given_points = points(" ".join(marks), period_s=period_s, newest=newest)
    older = Datapoint(newest - (periods + 2) * period_s, 15.0)
    shuffled = data.draw(st.permutations([*given_points, older, Datapoint(newest + period_s, 15.0)]))
    expected = slow(marks, needed, periods, missing, current=current)
    assert expected == evaluate(definition, shuffled, NOW, current=current)


# ---------------------------------------------------------------------- from metrics


def test_datapoints_are_read_by_statistic_period_and_unit() -> None:
    """Minutes add up to periods that slide, units count together unless one is asked for; percentiles too."""
    metrics, clock = Metrics(HandClock()), HandClock()
    for at_s, value, unit in ((-241, 99.0, "None"), (-179, 1.0, "None"), (-100, 3.0, "Count"), (-61, 8.0, "None")):
        metrics.add(MetricId("app", "m"), Stats(1.0, value, value, value), unit=unit, at_s=clock.now + at_s)
    definition = watch(statistic="Sum", period_s=120, evaluation_periods=1)
    found = {point.start_s - int(clock.now): point.value for point in read_datapoints(metrics, definition, clock.now)}
    assert found == {-360: 99.0, -240: 1.0, -120: 11.0}
    alone = read_datapoints(metrics, watch(statistic="Sum", period_s=120, unit="Count"), clock.now)
    assert [point.value for point in alone] == [3.0]
    median = read_datapoints(metrics, watch(statistic="p50", period_s=120), clock.now)
    assert [point.value for point in median] == [99.0, 1.0, 3.0]


def test_high_resolution_reads_what_was_put_with_it_alone() -> None:
    """A period of ten seconds has no points of a metric of standard resolution."""
    metrics, now = Metrics(HandClock()), HandClock().now
    for is_fine in (True, False):
        metrics.add(MetricId("app", "m"), Stats(1.0, 7.0, 7.0, 7.0), at_s=now - 5, is_fine=is_fine)
    found = read_datapoints(metrics, watch(period_s=10), now)
    assert [(point.start_s - now, point.value, point.samples) for point in found] == [(-10, 7.0, 1.0)]


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=60), st.floats(0, 100), st.integers(1, 5))
def test_percentiles_are_those_of_the_sorted_values(values: list[int], percent: float, parts: int) -> None:
    """However the values came together: the least value that so many percent reach at most."""
    whole: Stats | None = None
    for start in range(0, len(values), parts):
        part: Stats | None = None
        for value in values[start : start + parts]:
            one = Stats(1.0, value, value, value)
            part = one if part is None else (part.add(one), part)[1]
        assert part is not None
        whole = part if whole is None else (whole.add(part), whole)[1]
    assert whole is not None
    ranked = sorted(values)
    expected = next(value for rank, value in enumerate(ranked, 1) if rank >= len(values) * percent / 100)
    assert expected == whole.percentile(percent)


def test_a_statistic_set_hides_its_percentiles() -> None:
    """Unless all its values are one; and with it whatever it is added to."""
    hidden = Stats(3.0, 6.0, 1.0, 3.0)
    known = Stats(1.0, 2.0, 2.0, 2.0)
    known.add(hidden)
    assert [hidden.percentile(50), known.percentile(50), Stats(3.0, 6.0, 2.0, 2.0).percentile(50)] == [None, None, 2.0]


def test_many_different_values_are_kept_to_two_digits() -> None:
    """So one point has a bound in memory."""
    stats = Stats(1.0, 0.0, 0.0, 0.0)
    for value in range(1, 5001):
        stats.add(Stats(1.0, value, value, value))
    assert stats.spread is not None
    assert len(stats.spread) <= 1000
    assert stats.percentile(50) == pytest.approx(2500, rel=0.05)


def test_different_values_count_against_the_bound_of_memory() -> None:
    """Each beyond the point itself, and they are given back with it."""
    clock = HandClock()
    metrics = Metrics(clock)
    for value in range(10):
        metrics.add(MetricId("app", "m"), Stats(1.0, value, value, value))
    assert metrics.size(MetricId("app", "m")) == 11
    clock.now += 16 * 86_400
    metrics.add(MetricId("app", "m"), Stats(1.0, 1.0, 1.0, 1.0))
    assert metrics.size(MetricId("app", "m")) == 1


# ---------------------------------------------------------------------- the words


def words(pattern: str, **changes: Any) -> str:
    definition = watch(**changes)
    return explain(definition, judge(definition, points(pattern), NOW, current="OK"))


@pytest.mark.parametrize(
    ("pattern", "changes", "text"),
    [
        (
            "X",
            {"evaluation_periods": 1},
            "Threshold Crossed: 1 datapoint [15.0 (15/01/27 07:59:00)] was greater than the threshold (10.0).",
        ),
        (
            "0",
            {"evaluation_periods": 1, "datapoints_to_alarm": 1},
            (
                "Threshold Crossed: 1 out of the last 1 datapoints [5.0 (15/01/27 07:59:00)] was not greater than "
                "the threshold (10.0) (minimum 1 datapoint for ALARM -> OK transition)."
            ),
        ),
        (
            "X 0 X",
            {"datapoints_to_alarm": 2},
            (
                "Threshold Crossed: 2 out of the last 3 datapoints [15.0 (15/01/27 07:59:00), 15.0 (15/01/27 07:57:00)]"
                " were greater than the threshold (10.0) (minimum 2 datapoints for OK -> ALARM transition)."
            ),
        ),
        (
            "0 0",
            {"evaluation_periods": 2},
            (
                "Threshold Crossed: 2 datapoints [5.0 (15/01/27 07:59:00), 5.0 (15/01/27 07:58:00)] were not greater "
                "than the threshold (10.0)."
            ),
        ),
        (
            "0",
            {"evaluation_periods": 2, "missing": "breaching"},
            (
                "Threshold Crossed: 1 datapoint [5.0 (15/01/27 07:59:00)] was not greater than the threshold (10.0) "
                "and 1 missing datapoint was treated as [Breaching]."
            ),
        ),
        (
            "-",
            {"missing": "notBreaching"},
            (
                "Threshold Crossed: no datapoints were received for 3 periods and 3 missing datapoints were treated "
                "as [NonBreaching]."
            ),
        ),
        (
            "-",
            {"evaluation_periods": 1, "missing": "breaching"},
            (
                "Threshold Crossed: no datapoints were received for 1 period and 1 missing datapoint was treated as "
                "[Breaching]."
            ),
        ),
        (
            "0 0 0",
            {"datapoints_to_alarm": 1},
            (
                "Threshold Crossed: 3 out of the last 3 datapoints [5.0 (15/01/27 07:59:00), 5.0 (15/01/27 07:58:00), "
                "5.0 (15/01/27 07:57:00)] were not greater than the threshold (10.0) (minimum 3 datapoints for "
                "ALARM -> OK transition)."
            ),
        ),
        ("-", {"evaluation_periods": 5}, "Insufficient Data: 5 datapoints were unknown."),
        ("-", {"evaluation_periods": 1}, "Insufficient Data: 1 datapoint was unknown."),
    ],
)
def test_reasons_are_in_cloudwatchs_words(pattern: str, changes: dict[str, Any], text: str) -> None:
    """As its guide, and alarms that people show, have them."""
    assert text == words(pattern, **changes)


def test_reason_data_tells_what_was_looked_at() -> None:
    """The oldest first in recentDatapoints, the newest first in evaluatedDatapoints; periods alone without data."""
    definition = watch(evaluation_periods=2, unit="Count")
    told = json.loads(explain_data(definition, judge(definition, points("X X"), NOW, current="OK"), NOW + 0.5))
    assert told == {
        "version": "1.0",
        "queryDate": "2027-01-15T08:00:48.500+0000",
        "startDate": "2027-01-15T07:58:00.000+0000",
        "unit": "Count",
        "statistic": "Average",
        "period": 60,
        "recentDatapoints": [15.0, 15.0],
        "threshold": 10.0,
        "evaluatedDatapoints": [
            {"timestamp": "2027-01-15T07:59:00.000+0000", "sampleCount": 1.0, "value": 15.0},
            {"timestamp": "2027-01-15T07:58:00.000+0000", "sampleCount": 1.0, "value": 15.0},
        ],
    }
    nothing = json.loads(explain_data(definition, judge(definition, [], NOW, current="OK"), NOW))
    assert ("startDate" in nothing, nothing["evaluatedDatapoints"][0]) == (
        False,
        {"timestamp": "2027-01-15T07:59:00.000+0000"},
    )


def test_reasons_keep_to_their_lengths() -> None:
    """With 1,440 data points the text has at most 1,023 characters, and the data 4,000 and are JSON still."""
    definition = watch(evaluation_periods=1440)
    verdict = judge(definition, points("X " * 1440), NOW, current="OK")
    assert (verdict.state, len(explain(definition, verdict)) <= 1023) == ("ALARM", True)
    data = explain_data(definition, verdict, NOW)
    assert (len(data) <= 4000, json.loads(data)["evaluatedDatapoints"][0]["value"]) == (True, 15.0)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (50, "50.0"),
        (134217728.0, "1.34217728E8"),
        (0.005, "0.005"),
        (0.00012, "1.2E-4"),
        (-1.5e9, "-1.5E9"),
        (0, "0.0"),
    ],
)
def test_numbers_are_written_as_java_writes_them(value: float, text: str) -> None:
    """Which is what the texts of alarms have."""
    assert text == write_number(value)
