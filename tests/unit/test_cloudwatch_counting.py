"""What services count for themselves: when it is put into the metrics, and as which statistics."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from localcloud.clock import run_virtual
from localcloud.services.cloudwatch.counting import MAX_NOTED, summarize
from localcloud.services.cloudwatch.model import Stats
from tests.unit.counting_setup import REGION, Told


def test_what_was_noted_in_a_minute_is_put_when_it_is_over() -> None:
    """With the date of that minute, under each set of dimensions; an idle minute puts nothing."""

    async def main() -> None:
        told = Told("N")
        tally = told.counters.tally("N", "M", [{}, {"A": "1"}], region=REGION, unit="Bytes")
        async with asyncio.TaskGroup() as group:
            task = group.create_task(told.counters.run())
            for value in (3.0, 1.0, 2.0):
                tally.note(value)
            await asyncio.sleep(61)
            assert told.stats("M", 0) == (3, 6, 1, 3)
            assert told.stats("M", 0, A="1") == (3, 6, 1, 3)
            tally.note(5.0)
            await asyncio.sleep(180)
            task.cancel()
        assert [told.stats("M", minute) for minute in range(4)] == [(3, 6, 1, 3), (1, 5, 5, 5), None, None]
        assert told.unit("M") == "Bytes"

    run_virtual(main)


def test_who_reads_sees_what_was_noted_until_then() -> None:
    """Reading hands over first, and what comes later in the minute is added to it."""

    async def main() -> None:
        told = Told("N")
        tally = told.counters.tally("N", "M", [{}], region=REGION)
        tally.note(1.0)
        assert told.stats("M", 0) == (1, 1, 1, 1)
        tally.note(4.0)
        assert told.stats("M", 0) == (2, 5, 1, 4)

    run_virtual(main)


def test_gauges_are_asked_once_a_minute_at_its_end() -> None:
    """Whoever reads in between does not make another sample."""

    async def main() -> None:
        told = Told("N")
        tally = told.counters.tally("N", "G", [{}], region=REGION)
        told.counters.each_minute(lambda: tally.note(7.0))
        assert told.stats("G") is None
        async with asyncio.TaskGroup() as group:
            task = group.create_task(told.counters.run())
            await asyncio.sleep(60.5)
            assert told.stats("G", 0) == (1, 7, 7, 7)
            assert told.stats("G", 1) is None
            await asyncio.sleep(60)
            task.cancel()
        assert told.stats("G") == (2, 14, 7, 7)

    run_virtual(main)


def test_a_tally_holds_no_more_than_a_thousand_values() -> None:
    """More are summed up on the way; nothing is lost of them, percentiles neither."""

    async def main() -> None:
        told = Told("N")
        tally = told.counters.tally("N", "M", [{}], region=REGION)
        for value in range(2 * MAX_NOTED + 1):
            tally.note(float(value % 10))
        assert told.stats("M", 0) == (2001, 9000, 0, 9)

    run_virtual(main)


def test_a_value_may_be_put_for_an_earlier_minute() -> None:
    """As an error that bears the date at which its invocation began."""

    async def main() -> None:
        told = Told("N")
        tally = told.counters.tally("N", "M", [{}], region=REGION)
        began_s = told.counters.minute_s
        await asyncio.sleep(130)
        tally.put(1.0, at_s=began_s)
        assert [told.stats("M", minute) for minute in range(3)] == [(1, 1, 1, 1), None, None]

    run_virtual(main)


@given(st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=50))
def test_statistics_are_those_of_the_values_one_by_one(values: list[float]) -> None:
    """Percentiles too: the spread says how often each value was there."""
    one_by_one = Stats(1.0, values[0], values[0], values[0])
    for value in values[1:]:
        one_by_one.add(Stats(1.0, value, value, value))
    found = summarize(values)
    for percent in (0.0, 50.0, 99.0, 100.0):
        assert found.percentile(percent) == one_by_one.percentile(percent)
    assert (found.count, found.total, found.least, found.most) == (
        one_by_one.count, one_by_one.total, one_by_one.least, one_by_one.most,
    )  # fmt: skip
