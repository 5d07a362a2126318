"""rules.rollups: what a job may be, which cell a record belongs to, and sums that merge in any order."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.errors import Misconfigured, Rejected
from sluiceway.rules.rollups import windows
from sluiceway.rules.rollups.cells import Cell, Measure, Place, coarsen, merge, merge_cells, read_number, summarise
from sluiceway.rules.rollups.definition import INTERVAL_MS, Dimension, read_definition
from sluiceway.rules.rollups.progress import RollupProgress, RollupStats, add_stats, fail, start, stop
from sluiceway.rules.rollups.records import Reading, RecordReader
from sluiceway.rules.rollups.windows import Gathered, mark_of
from tests.fakes_rollups import DAY_S, define

T0 = 1_800_000_000_000  # a whole minute and hour
SENSORS = define()

numbers = st.decimals(
    min_value=-(10**29), max_value=10**29, allow_nan=False, allow_infinity=False, places=8
) | st.integers(-1000, 1000).map(Decimal)  # fmt: skip


@st.composite
def measures(draw: st.DrawFn) -> Measure | None:
    values = draw(st.lists(numbers, max_size=4))
    return reduce(_join, [Measure(1, value, value, value) for value in values]) if values else None


def _join(one: Measure, other: Measure) -> Measure:
    joined = merge(Cell(1, (one,)), Cell(1, (other,))).measures[0]
    assert joined is not None
    return joined


cells = st.builds(Cell, st.integers(1, 9), st.tuples(measures(), measures()))


def record(**changes: Any) -> bytes:
    body = {"timestamp": T0 + 1, "device_id": "s1", "temperature": 20.5, "humidity": 40}
    return json.dumps({**body, **changes}).encode()


def read(data: bytes, *, arrived_ms: int = T0 + 500, **changes: Any) -> Reading:
    return RecordReader(define(**changes)).read(data, arrived_ms)


def why(data: bytes, *, arrived_ms: int = T0 + 500, **changes: Any) -> str:
    with pytest.raises(Rejected) as caught:
        read(data, arrived_ms=arrived_ms, **changes)
    return caught.value.reason


# ---------------------------------------------------------------- sums


@given(cells, cells, cells)
def test_merging_is_associative_and_commutative(one: Cell, two: Cell, three: Cell) -> None:
    """To the last digit, whatever comes first."""
    assert merge(one, two) == merge(two, one)
    assert merge(merge(one, two), three) == merge(one, merge(two, three))


@given(st.lists(numbers, min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_sums_are_exact_in_any_order(values: list[Decimal], rng: random.Random) -> None:
    """Split at random and merged at random: number, sum, least and largest are those of rational arithmetic."""
    parts = [Cell(1, (Measure(1, value, value, value),)) for value in values]
    while len(parts) > 1:
        at = rng.randrange(len(parts) - 1)
        rng.shuffle(parts)
        parts[at : at + 2] = [merge(parts[at], parts[at + 1])]
    measure = parts[0].measures[0]
    assert measure is not None
    assert (parts[0].records, measure.values) == (len(values), len(values))
    assert Fraction(measure.total) == sum(map(Fraction, values))
    assert (measure.low, measure.high) == (min(values), max(values))


def test_a_tenth_is_a_tenth() -> None:
    """Ten times 0.1 is 1, which no sum of binary fractions is; the largest value and the smallest are both kept."""
    parts = [Cell(1, (Measure(1, Decimal("0.1"), Decimal("0.1"), Decimal("0.1")),))] * 10
    total = reduce(merge, parts).measures[0]
    assert total is not None
    assert total.total == 1
    large, small = (Cell(1, (Measure(1, each, each, each),)) for each in (Decimal("1e29"), Decimal("1e-40")))
    both = merge(large, small).measures[0]
    assert both is not None
    assert Fraction(both.total) - 10**29 == Fraction(1, 10**40)


def test_an_average_is_derived_from_sum_and_number() -> None:
    """Of 1 record with 10 and 3 with 0 it is 2.5, not the mean of two means; only what is wanted is told."""
    one, other = Measure(1, *[Decimal(10)] * 3), Measure(3, *[Decimal(0)] * 3)
    both = merge(Cell(1, (one, None)), Cell(3, (other, other)))
    assert summarise(both, SENSORS) == {
        "temperature": {"avg": Decimal("2.5"), "min": 0, "max": 10},
        "humidity": {"avg": 0, "sum": 0, "value_count": 3},
    }
    assert summarise(Cell(1, (None, None)), SENSORS) == {}


@given(st.lists(st.tuples(st.integers(0, 3 * 86_400_000), st.sampled_from("ab"), cells), max_size=30))
def test_minutes_merge_into_hours_and_hours_into_days(seen: list[tuple[int, str, Cell]]) -> None:
    """Days made of hours are days made of minutes; each level has all the records."""
    minutes = merge_cells((Place("minute", at // 60_000 * 60_000, key), cell) for at, key, cell in seen)
    hours, days = coarsen(minutes, ("hour",)), coarsen(minutes, ("day",))
    assert coarsen(hours, ("day",)) == days
    assert coarsen(minutes, ("minute", "hour", "day")) == minutes | hours | days
    total = sum(cell.records for _, _, cell in seen)
    assert [sum(cell.records for cell in each.values()) for each in (minutes, hours, days)] == [total] * 3
    assert all(place.start_ms % INTERVAL_MS[place.interval] == 0 for place in hours | days)


@pytest.mark.parametrize("value", [Decimal("1e30"), Decimal("-1e30"), Decimal("1e-41"), Decimal("1" * 39), 10**30,
                                   True, "1", None, [1], Decimal("NaN"), Decimal("Infinity")])  # fmt: skip
def test_a_number_that_would_not_add_exactly_is_none(value: object) -> None:
    """Out of range, too long, no number."""
    with pytest.raises(Rejected) as caught:
        read_number(value, "t")
    assert (caught.value.reason, caught.value.field) == ("invalid-metric", "t")


@pytest.mark.parametrize(
    "value", [0, -5, Decimal("24.100000381469727"), Decimal("0E-50"), 10**30 - 1, Decimal("1e-40")]
)
def test_other_numbers_are_taken_as_they_are(value: int | Decimal) -> None:
    """The number of the text, exactly."""
    assert read_number(value, "t") == value


# ---------------------------------------------------------------- records


def test_a_record_is_read_into_its_cell() -> None:
    """Period, dimensions and metrics; an absent or null metric is none."""
    assert read(record()) == Reading(T0, '["s1"]', (Decimal("20.5"), Decimal(40)))
    assert read(record(humidity=None)).values == (Decimal("20.5"), None)
    assert read(b'{"timestamp":%d,"device_id":"s1"}' % T0).values == (None, None)
    assert read(record(device_id="\u00fc")).key == '["\\u00fc"]'


@pytest.mark.parametrize("time", ["2027-01-15T08:00:30Z", "2027-01-15T09:00:30.5+01:00", T0 + 30_000])
def test_times_are_iso_8601_or_epoch_milliseconds(time: object) -> None:
    """With an offset; the minute is that of UTC."""
    assert read(record(timestamp=time), arrived_ms=T0 + 60_000).start_ms == T0


@pytest.mark.parametrize("time", [None, "", "2027-01-15T08:00:30", "yesterday", -1, 1e12, True, 10**15, {}])
def test_other_times_are_none(time: object) -> None:
    """No offset, no time, out of range."""
    assert why(record(timestamp=time)) == "invalid-time"


@pytest.mark.parametrize("data", [b"", b"[1]", b"\xff", b'{"a":NaN}', b'{"a":Infinity}', b"7", b"[" * 100_000,
                                  b'{"a":' + b"9" * 5_000 + b"}", '{"a":1}'.encode("utf-16"),
                                  b'{"a":1e9999999999999999999}', b'{"a":0e-9999999999999999999}'])  # fmt: skip
def test_what_is_no_json_object_in_utf_8_is_poison(data: bytes) -> None:
    """Also what only Python takes for JSON, and what is too deep, too long or too large for it."""
    assert why(data) == "invalid-json"


def test_dimensions_are_terms_and_buckets() -> None:
    """Texts, whole numbers, true and false as they are; numbers at or above their bucket's multiple."""
    dimensions = [
        {"date_histogram": {"source_field": "timestamp", "fixed_intervals": ["1m"]}},
        {"terms": {"source_field": "place.room"}},
        {"histogram": {"source_field": "temperature", "interval": "0.5"}},
    ]
    changes: Any = {"dimensions": dimensions, "retention_s": {"minute": 30 * DAY_S}}
    keys = {
        (room, temperature): read(record(place={"room": room}, temperature=temperature), **changes).key
        for room, temperature in [("a", 20.7), (7, 20.5), (True, -0.1), ("a", -0.5), ("a", 0), ("a", 1200)]
    }
    assert list(keys.values()) == [
        '["a","20.5"]', '[7,"20.5"]', '[true,"-0.5"]', '["a","-0.5"]', '["a","0"]', '["a","1200"]',
    ]  # fmt: skip
    assert why(record(place={"room": 1.5}), **changes) == "invalid-dimension"
    assert why(record(place={"room": "a"}, temperature="hot"), **changes) == "invalid-dimension"
    assert why(record(place=["room"]), **changes) == "missing-dimension"


@given(st.decimals(-1000, 1000, places=6), st.integers(1, 10**8))
def test_a_bucket_holds_its_value(value: Decimal, width_millionths: int) -> None:
    """It begins at a multiple of the width, at or below the value, less than a width away."""
    width = Decimal(width_millionths).scaleb(-6)
    definition = replace(SENSORS, dimensions=(Dimension("v", width),))
    data = b'{"timestamp":%d,"v":%s}' % (T0, str(value).encode())
    (bucket,) = json.loads(RecordReader(definition).read(data, T0).key)
    assert Fraction(bucket) % Fraction(width) == 0
    assert 0 <= Fraction(value) - Fraction(bucket) < Fraction(width)


def test_dimensions_that_lack_or_are_too_long_are_poison() -> None:
    """There is no row for them."""
    assert why(b'{"timestamp":%d}' % T0) == "missing-dimension"
    assert why(record(device_id=None)) == "missing-dimension"
    assert why(record(device_id=["s1"])) == "invalid-dimension"
    assert why(record(device_id="x" * 1021)) == "key-too-long"
    assert len(read(record(device_id="x" * 1020)).key) == 1024
    assert why(record(temperature="20")) == "invalid-metric"


def test_lateness_is_judged_by_the_arrival() -> None:
    """A record counts until the lateness is over, to the millisecond; one from far ahead does not count."""
    end_ms = T0 + 60_000
    assert read(record(), arrived_ms=end_ms + 599_999, lateness_s=600).start_ms == T0
    assert why(record(), arrived_ms=end_ms + 600_000, lateness_s=600) == "too-late"
    assert read(record(), arrived_ms=T0 - 300_000).start_ms == T0
    assert why(record(), arrived_ms=T0 - 300_001) == "too-early"


# ---------------------------------------------------------------- windows


@given(st.lists(st.integers(0, 10**129 - 1), min_size=2, max_size=20))
def test_marks_sort_like_their_numbers(sequence_numbers: list[int]) -> None:
    """Whatever their length; and every mark comes after none."""
    marks = [mark_of(str(each)) for each in sorted(sequence_numbers)]
    assert marks == sorted(marks)
    assert all((one == other) == (first == second) for (one, other), (first, second) in
               zip(pairwise(marks), pairwise(sorted(sequence_numbers)), strict=True))  # fmt: skip
    assert min(marks) > ""
    assert mark_of("007") == mark_of("7")


readings = st.builds(
    Reading, st.integers(0, 5).map(lambda minute: T0 + minute * 60_000), st.sampled_from(['["a"]', '["b\\""]']),
    st.tuples(st.none() | numbers, st.none() | numbers),
)  # fmt: skip


@given(st.lists(readings, max_size=40), st.integers(0, 40))
def test_a_state_goes_on_where_it_was_written(seen: list[Reading], at: int) -> None:
    """Written as JSON in the middle and read again, the sums are those of all records."""
    whole, part = Gathered(SENSORS), Gathered(SENSORS, mark_of("5"))
    for each in seen:
        whole.add(each)
    for each in seen[:at]:
        part.add(each)
    part.pass_over(mark_of("9"))
    again = Gathered.read(json.loads(json.dumps(part.write())), SENSORS)
    assert again is not None
    assert (again.after, again.last) == (mark_of("5"), mark_of("9"))
    for each in seen[at:]:
        again.add(each)
    assert again.cells() == whole.cells()


@given(st.lists(numbers | st.sampled_from([Decimal("1e-40"), Decimal("9e29")]), min_size=1, max_size=30))
def test_what_is_gathered_is_exact(values: list[Decimal]) -> None:
    """The sum of the records is that of rational arithmetic, through a state as well."""
    gathered = Gathered(SENSORS)
    for value in [*values, Decimal("1e-40"), Decimal("9e29")]:
        gathered.add(Reading(T0, "k", (value, None)))
    gathered.pass_over(mark_of("1"))
    again = Gathered.read(json.loads(json.dumps(gathered.write())), SENSORS)
    assert again is not None
    (cell,) = again.cells().values()
    assert cell.measures[0] is not None
    assert Fraction(cell.measures[0].total) == sum(map(Fraction, values)) + Fraction(1, 10**40) + 9 * 10**29


def test_a_state_of_nothing_is_empty() -> None:
    """Until a record was passed over; then it says how far, with no cell."""
    gathered = Gathered(SENSORS, mark_of("5"))
    assert gathered.write() == {}
    gathered.pass_over(mark_of("6"))
    assert (gathered.write()["last"], gathered.write()["cells"]) == (mark_of("6"), [])
    fresh = Gathered.read({}, SENSORS)
    assert fresh is not None
    assert (fresh.after, fresh.last, len(fresh)) == ("", "", 0)


def test_a_state_of_another_definition_is_not_gone_on_with() -> None:
    """Its sums are of other fields."""
    gathered = Gathered(SENSORS)
    gathered.add(Reading(T0, '["a"]', (Decimal(1), None)))
    gathered.pass_over(mark_of("6"))
    state = gathered.write()
    assert Gathered.read(state, SENSORS) is not None
    assert Gathered.read(state, replace(SENSORS, metrics=SENSORS.metrics[::-1])) is None
    assert Gathered.read({**state, "v": 0}, SENSORS) is None


@pytest.mark.parametrize("change", [{"after": 5}, {"last": "x"}, {"cells": None}, {"cells": [[1]]},
                                    {"cells": [[T0, "k", 1, ["a"], None]]}, {"cells": [[T0, "k", "x", None, None]]},
                                    {"cells": [[T0, "k", 1, [1, "x", "1", "1"], None]]}])  # fmt: skip
def test_a_state_that_was_never_written_is_refused(change: dict[str, Any]) -> None:
    """It is somebody else's, or broken."""
    gathered = Gathered(SENSORS)
    gathered.pass_over(mark_of("6"))
    with pytest.raises(Rejected) as caught:
        Gathered.read({**gathered.write(), **change}, SENSORS)
    assert caught.value.reason == "malformed-event"


def test_a_state_is_full_before_lambda_says_so() -> None:
    """With many cells, or with few long ones: always below 1 MB, also with what a batch of 100 may still add."""
    gathered = Gathered(SENSORS)
    number = 0
    while not gathered.is_full():
        for _ in range(100):
            value = Decimal("1234567890123456789.0123456789") + number
            gathered.add(Reading(T0, json.dumps(["\\" * 400, number]), (value, value)))
            number += 1
        gathered.pass_over(mark_of(str(number)))
        assert len(json.dumps(gathered.write())) < 1024 * 1024
    assert len(json.dumps(gathered.write())) > 600_000
    many = Gathered(SENSORS)
    for number in range(windows.MAX_CELLS + 1):
        assert not many.is_full()
        many.add(Reading(T0, str(number), (None, None)))
    assert many.is_full()


# ---------------------------------------------------------------- definitions


def test_a_definition_is_read_whole() -> None:
    """The finest interval first, whatever the order."""
    found = define(intervals=("1h", "1m"))
    assert tuple(found.retention_s) == ("minute", "hour")
    assert (found.finest, found.coarsest, found.time_field) == ("minute", "hour", "timestamp")
    assert found.dimensions == (Dimension("device_id"),)
    assert [(each.field, each.wanted) for each in found.metrics] == [
        ("temperature", ("avg", "min", "max")),
        ("humidity", ("avg", "sum", "value_count")),
    ]
    assert define(intervals=("1m", "1d")).coarsest == "day"
    assert define(intervals=("1m",)).coarsest == "hour"
    assert (found.page_size, found.lateness_s, found.continuous) == (1000, 3600, True)


DATE = {"date_histogram": {"source_field": "t", "fixed_intervals": ["1m", "1h"]}}


@pytest.mark.parametrize(
    ("change", "member"),
    [
        ({"rollup_id": "a#b"}, "rollup_id"),
        ({"topic": ""}, "topic"),
        ({"surprise": 1}, "surprise"),
        ({"dimensions": []}, "dimensions"),
        ({"dimensions": [{"terms": {"source_field": "a"}}]}, "dimensions"),
        ({"dimensions": [DATE, DATE]}, "dimensions"),
        ({"dimensions": [{"date_histogram": {"source_field": "t", "fixed_intervals": ["5m"]}}]}, "fixed_intervals"),
        ({"dimensions": [{"date_histogram": {"source_field": "t", "fixed_intervals": ["1m", "1m"]}}]}, "fixed_inter"),
        ({"dimensions": [{"date_histogram": {**DATE["date_histogram"], "timezone": "CET"}}]}, "timezone"),
        ({"dimensions": [DATE, {"terms": {"source_field": "a..b"}}]}, "source_field"),
        ({"dimensions": [DATE, {"terms": {"source_field": "a", "target_field": "b"}}]}, "target_field"),
        ({"dimensions": [DATE, {"histogram": {"source_field": "a", "interval": 0}}]}, "interval"),
        ({"dimensions": [DATE, {"histogram": {"source_field": "a", "interval": "NaN"}}]}, "interval"),
        ({"dimensions": [DATE, {"histogram": {"source_field": "a", "interval": 0.5}}]}, "interval"),
        ({"metrics": [{"source_field": "a", "metrics": ["median"]}]}, "metrics"),
        ({"metrics": [{"source_field": "a", "metrics": ["avg"]}] * 2}, "metrics"),
        ({"metrics": "a"}, "metrics"),
        ({"page_size": 0}, "page_size"),
        ({"page_size": True}, "page_size"),
        ({"continuous": 1}, "continuous"),
        ({"retention_s": {"minute": 30 * DAY_S}}, "hour"),
        ({"retention_s": {"minute": 30 * DAY_S, "hour": 30 * DAY_S, "day": 1}}, "day"),
        ({"raw_retention_s": DAY_S + 3599}, "raw_retention_s"),
        ({"raw_retention_s": 31 * DAY_S}, "retention_s"),
        ({"stream_retention_s": DAY_S - 1}, "stream_retention_s"),
    ],
)
def test_a_definition_that_cannot_be_is_refused_by_name(change: dict[str, Any], member: str) -> None:
    """The setting and the member; nothing unknown is passed over."""
    with pytest.raises(Misconfigured) as caught:
        define(**change)
    assert caught.value.what == "ROLLUP"
    assert member in str(caught.value)


def test_the_articles_job_is_read() -> None:
    """The job of OpenSearch's article, but for its schedule: minutes of sensors, averages and bounds."""
    metrics = [
        {"source_field": field, "metrics": ["avg", "min", "max"]}
        for field in ("temperature", "humidity", "pressure", "battery")
    ]
    found = read_definition(
        {
            "rollup_id": "sensor_1_hour_rollup",
            "topic": "sensors",
            "page_size": 1000,
            "continuous": True,
            "dimensions": [
                {"date_histogram": {"fixed_intervals": ["1h"], "source_field": "timestamp", "timezone": "UTC"}},
                {"terms": {"source_field": "device_id"}},
            ],
            "metrics": metrics,
            "retention_s": {"hour": 365 * DAY_S},
        },
        "ROLLUP",
    )
    assert len(found.metrics) == 4


# ---------------------------------------------------------------- progress


def test_a_job_is_started_stopped_and_started_again() -> None:
    """It keeps its place; what is over is not stopped."""
    job = RollupProgress("r", next_ms=7)
    assert (job.state, job.runs) == ("init", True)
    job = start(job)
    assert (job.state, start(job)) == ("started", job)
    job = stop(job)
    assert (job.state, job.runs, start(job).next_ms) == ("stopped", False, 7)
    for state in ("finished", "failed"):
        with pytest.raises(Rejected):
            stop(replace(job, state=state))


def test_a_failure_that_may_pass_is_retried() -> None:
    """Another waits for somebody; a job that was stopped stays so; each is counted and told."""
    job = start(RollupProgress("r"))
    passing, lasting = (fail(job, "x" * 2000, now_ms=5, may_pass=each) for each in (True, False))
    assert (passing.state, passing.runs, lasting.state, lasting.runs) == ("retry", True, "failed", False)
    assert (len(passing.last_failure), passing.last_failure_ms, passing.stats.failures) == (1000, 5, 1)
    assert fail(stop(job), "x", now_ms=5, may_pass=True).state == "stopped"
    assert start(lasting).last_failure == ""


def test_stats_add_up() -> None:
    """Member by member."""
    one = RollupStats(*range(9))
    assert add_stats(one, one) == RollupStats(*(2 * each for each in range(9)))
