"""What the load proof of the mesh concludes: slopes, spreads, ages, what was lost, and whether memory is flat."""

from __future__ import annotations

import random
from typing import Any

import pytest

from bench.mesh_figures import (
    Backlog,
    Fate,
    Ledger,
    Seen,
    Spread,
    Subscriber,
    find_calm,
    fit_slope,
    judge_crowd,
    judge_memory,
    second_half,
    sum_steady,
)


def test_a_slope_is_by_least_squares() -> None:
    """Of a line its own, of noise on it nearly so, of one moment or nothing none."""
    draw = random.Random(1)
    assert fit_slope([(x, 3 * x + 7) for x in range(10)]) == pytest.approx(3)
    assert fit_slope([(x, 0.5 * x + draw.gauss(0, 1)) for x in range(1_000)]) == pytest.approx(0.5, abs=0.001)
    assert fit_slope([(1, 0), (2, 4), (3, 2)]) == pytest.approx(1)
    assert [fit_slope(points) for points in ([], [(1, 2)], [(1, 2), (1, 5)])] == [0, 0, 0]


def test_the_second_half_is_by_time() -> None:
    """Not by the number of samples."""
    assert second_half([(0, 1), (1, 2), (2, 3), (9, 4), (10, 5)]) == [(9, 4), (10, 5)]
    assert second_half([]) == []


ALWAYS = (0.0, 900.0)


def test_memory_is_judged_by_its_second_half() -> None:
    """What warming up takes is no growth; what goes on growing is, and the verdict says so with its limit."""
    warm = [(float(s), 100.0 + min(s, 300)) for s in range(901)]
    grown = [(float(s), 100.0 + s / 60 * 1.5) for s in range(901)]
    flat, steep = judge_memory(warm, 1.0, calm=(450.0, 900.0)), judge_memory(grown, 1.0, calm=(450.0, 900.0))
    assert (flat.first, flat.middle, flat.last, flat.is_flat) == (160.0, 400.0, 400.0, True)
    assert (steep.slope, steep.calm_slope, steep.is_flat) == (pytest.approx(1.5), pytest.approx(1.5), False)
    assert flat.verdict.startswith("flat: +0.00 MB a minute in the longest 7.5 minutes")
    assert steep.verdict.startswith("NOT flat: +1.50 MB a minute")
    assert steep.verdict.endswith("(+1.50 in all of it), at most +1.00")
    assert judge_memory(grown, 1.5001, calm=ALWAYS).is_flat
    assert judge_memory([(s, 500 - mb) for s, mb in grown], 1.0, calm=ALWAYS).is_flat


def test_what_a_backlog_took_is_no_growth() -> None:
    """Memory that steps up while records wait is judged by the calm after it; a leak is one in the calm as well."""
    ages = [(float(s), 20.0 if 600 <= s < 660 else 1.0) for s in range(450, 901)]
    calm = find_calm(ages, 5.0)
    assert calm == (660.0, 900.0)
    stepped = [(float(s), 150.0 if s < 640 else 170.0) for s in range(901)]
    leaking = [(s, mb + s / 60 * 2) for s, mb in stepped]
    assert (judge_memory(stepped, 1.0, calm=calm).slope > 1, judge_memory(stepped, 1.0, calm=calm).is_flat) == (
        True,
        True,
    )
    assert not judge_memory(leaking, 1.0, calm=calm).is_flat
    assert not judge_memory(stepped, 1.0, calm=(700.0, 730.0)).is_flat


def test_the_longest_calm_is_found() -> None:
    """At the beginning, at the end, or nowhere."""
    assert find_calm([(1.0, 0.0), (2.0, 1.0), (3.0, 9.0), (4.0, 0.0)], 5.0) == (1.0, 2.0)
    assert find_calm([(1.0, 9.0), (2.0, 5.0), (3.0, 0.0), (4.0, 5.1)], 5.0) == (2.0, 3.0)
    assert find_calm([(1.0, 9.0)], 5.0) == find_calm([], 5.0) == (0.0, 0.0)


def test_only_processes_that_stay_tell_of_growth() -> None:
    """One that comes in between would look like growth, one that goes like its contrary."""
    times = [0.0, 1.0, 2.0]
    stays = [(at, 10 + at) for at in (-1.0, *times, 3.0)]
    assert sum_steady({1: stays, 2: stays, 3: [(2.0, 50)], 4: [(0.0, 50)]}, times) == {0.0: 20, 1.0: 22, 2.0: 24}
    points = [(float(s), 50.0) for s in range(10)]
    half = [(0.0, 0.0), (60.0, 0.0), (120.0, 3.0)]
    assert judge_memory(points, 1.0, calm=ALWAYS, steady=half).slope == pytest.approx(1.5)


def test_a_spread_knows_its_shares() -> None:
    """To 2 %, and the largest exactly; a clock that goes back a little makes no trouble."""
    spread = Spread()
    for ms in range(1, 10_001):
        spread.add(float(ms))
    assert (spread.count, spread.most) == (10_000, 10_000)
    assert spread.find(0.5) == pytest.approx(5_000, rel=0.02)
    assert spread.find(0.99) == pytest.approx(9_900, rel=0.02)
    assert spread.find(1.0) == pytest.approx(10_000, rel=0.02)
    assert spread.find(1.0) <= 10_000
    spread.clear()
    assert (spread.count, spread.most, spread.find(0.5)) == (0, 0, 0)
    spread.add(-0.2)
    assert spread.find(0.5) == 0


def test_the_age_is_that_of_the_oldest_that_nobody_saw() -> None:
    """Zero once all are seen, and it grows while nothing comes."""
    backlog = Backlog()
    for second in range(5):
        backlog.note(float(second), 100 * second)
    assert backlog.age_s(4.0, 100) == 2.0
    assert backlog.age_s(4.0, 250) == 1.0
    assert backlog.age_s(9.0, 250) == 6.0
    assert backlog.age_s(9.0, 400) == 0.0


def test_what_became_of_records_is_told_one_by_one() -> None:
    """Lost, come twice, come where they were not wanted, or never put at all."""
    ledger = Ledger()
    for number in (0, 2, 2, 4, 5, 11):
        ledger.note(number)
    fate = ledger.judge(lambda number: number % 2 == 0, 10)
    assert fate == Fate(due=5, lost=2, repeats=1, strangers=2)
    assert (ledger.came, ledger.distinct) == (6, 5)
    assert [Fate(5, 0, 3, 0).is_whole, fate.is_whole, Fate(5, 0, 0, 1).is_whole] == [True, False, False]


def test_a_record_that_comes_very_often_is_still_counted() -> None:
    """Its byte is full at 255; the number of repeats is not kept in it."""
    ledger = Ledger()
    for _ in range(300):
        ledger.note(0)
    assert ledger.judge(lambda _: True, 1) == Fate(due=1, lost=0, repeats=299, strangers=0)


def frame(n: int, *numbers: int, epoch: str = "e", after: int = 0) -> dict[str, Any]:
    """A frame of records whose sequence numbers are their numbers, `after` and 1."""
    records = [{"seq": str(number + after + 1), "d": {"number": number}} for number in numbers]
    return {"shard": "s", "epoch": epoch, "n": n, "d": records}


def hear(*frames: dict[str, Any], region: int | None = None) -> Subscriber:
    subscriber = Subscriber(region)
    for each in frames:
        subscriber.take(each)
    return subscriber


def test_who_has_all_that_is_due_misses_nothing() -> None:
    """Of all records and of one region's; a frame that comes twice, and a batch in another epoch, are repeats."""
    everything = hear(frame(1, 0, 1), frame(1, 0, 1), frame(1, 0, 1, epoch="f"), frame(2, 2, 3, 4, epoch="f"))
    odd = hear(frame(1, 1, 3), region=1)
    assert judge_crowd([everything, odd], 5, 2) == Seen(due=7, came=7, dropped=0, repeats=4, missing=0, wrong=0)


def test_what_is_missing_without_a_gap_is_lost() -> None:
    """And with one it is dropped, as the protocol may."""
    silent, told = hear(frame(1, 0, 1), frame(2, 3)), hear(frame(1, 0, 1), frame(3, 3))
    assert judge_crowd([silent], 4, 2) == Seen(due=4, came=3, dropped=0, repeats=0, missing=1, wrong=0)
    assert judge_crowd([told], 4, 2) == Seen(due=4, came=3, dropped=1, repeats=0, missing=0, wrong=0)


def test_another_regions_record_in_place_of_its_own_is_wrong() -> None:
    """The number of records alone would not tell."""
    assert judge_crowd([hear(frame(1, 0, 3), region=0)], 4, 2).wrong == 1
    assert judge_crowd([hear(frame(1, 0, 2, 3), region=0)], 4, 2).wrong == 1
