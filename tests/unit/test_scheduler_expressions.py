"""When schedules are due: rates, cron expressions on a zone's walls, and single dates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.services.events.schedules import parse_schedule
from localcloud.services.scheduler.errors import SchedulerError
from localcloud.services.scheduler.expression import Plan, parse_expression

from .scheduler_setup import epoch


def due(expression: str, after: str, *, zone: str = "UTC", count: int = 3, end: str = "", begin: str = "") -> list[str]:
    """The first moments after a moment, in UTC."""
    plan = Plan(
        parse_expression(expression, zone), epoch(begin) if begin else epoch(after), epoch(end) if end else None
    )
    moment_s: float | None = epoch(after)
    found: list[str] = []
    while len(found) < count and moment_s is not None:
        moment_s = plan.next_after(moment_s, since_s=0)
        if moment_s is not None:
            found.append(datetime.fromtimestamp(moment_s, UTC).strftime("%Y-%m-%dT%H:%M"))
    return found


def test_cron_is_on_the_walls_of_its_zone() -> None:
    """Nine o'clock in New York is 14:00 UTC in winter and 13:00 in summer."""
    expected = ["2027-03-13T14:00", "2027-03-14T13:00", "2027-03-15T13:00"]
    assert due("cron(0 9 * * ? *)", "2027-03-13T00:00", zone="America/New_York") == expected


def test_a_wall_time_that_summer_time_leaves_out_is_skipped() -> None:
    """On the day when clocks jump from 02:00 to 03:00, half past two does not come."""
    expected = ["2027-03-13T07:30", "2027-03-15T06:30"]
    assert due("cron(30 2 * * ? *)", "2027-03-13T00:00", zone="America/New_York", count=2) == expected


def test_a_wall_time_that_comes_twice_is_due_once() -> None:
    """On the day when clocks go back from 02:00 to 01:00, half past one is due the first time only."""
    expected = ["2027-11-07T05:30", "2027-11-08T06:30"]
    assert due("cron(30 1 * * ? *)", "2027-11-07T00:00", zone="America/New_York", count=2) == expected
    assert due("cron(30 1 * * ? *)", "2027-11-07T05:40", zone="America/New_York", count=1) == ["2027-11-08T06:30"]


def test_a_rate_begins_with_the_start_and_counts_hours_not_days() -> None:
    """A day is 24 hours, whatever clocks show; the first date is the start itself."""
    found = due("rate(1 day)", "2027-03-13T00:00", begin="2027-03-13T14:00", zone="America/New_York")
    assert found == ["2027-03-13T14:00", "2027-03-14T14:00", "2027-03-15T14:00"]


def test_an_end_ends_recurring_schedules_only() -> None:
    """The last date may be the end itself; a single date knows no end."""
    assert due("rate(1 hour)", "2027-01-01T00:00", end="2027-01-01T02:00") == ["2027-01-01T01:00", "2027-01-01T02:00"]
    assert due("cron(0 * * * ? *)", "2027-01-01T00:00", end="2027-01-01T01:59") == ["2027-01-01T01:00"]
    assert due("at(2027-01-01T05:00:00)", "2027-01-01T00:00", end="2027-01-01T02:00") == ["2027-01-01T05:00"]


def test_a_single_date_is_in_its_zone() -> None:
    """09:00 in Tokyo is midnight UTC, once."""
    assert due("at(2027-01-02T09:00:00)", "2027-01-01T00:00", zone="Asia/Tokyo") == ["2027-01-02T00:00"]


def test_a_start_holds_cron_back() -> None:
    """Nothing is due before the start."""
    expected = ["2027-01-03T08:00"]
    assert due("cron(0 8 * * ? *)", "2027-01-01T00:00", begin="2027-01-03T08:00", count=1) == expected


@pytest.mark.parametrize("expression", ["rate(1 minute)", "rate(1 minutes)", "rate(5 minute)", "rate(5 minutes)"])
def test_units_of_a_rate_may_be_singular_or_plural(expression: str) -> None:
    """Unlike the rates of rules."""
    assert len(due(expression, "2027-01-01T00:00")) == 3


@pytest.mark.parametrize(
    "expression",
    [
        "rate(0 minutes)", "rate(5 seconds)", "rate(5minutes)", "cron(0 1 * * * *)", "cron(0 0 ? * ?)",
        "at(2027-01-01)",
        "at(2027-02-30T00:00:00)", "at(2027-01-01 00:00:00)", "at(0001-01-01T00:00:00)Z", "tomorrow", "rate(٣ minutes)",
    ],
)  # fmt: skip
def test_what_is_no_expression_is_refused(expression: str) -> None:
    """With AWS's own sentence."""
    with pytest.raises(SchedulerError) as refused:
        parse_expression(expression)
    assert refused.value.message == f"Invalid Schedule Expression {expression}."


@pytest.mark.parametrize("zone", ["Mars/Base", "../etc/passwd", "America", "", "/UTC", "America/New_York\n"])
def test_what_is_no_zone_is_refused(zone: str) -> None:
    """A name that leads out of the zones, or to a folder of them, is none."""
    with pytest.raises(SchedulerError) as refused:
        parse_expression("rate(1 minute)", zone)
    assert refused.value.code == "ValidationException"


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York", "UTC"])
def test_the_last_years_are_no_error(zone: str) -> None:
    """A start at the end of all dates leaves nothing due."""
    assert due("cron(0 * * * ? *)", "2027-01-01T00:00", begin="9999-12-31T23:59", zone=zone) == []


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["cron(0/15 * * * ? *)", "cron(30 2 ? * SUN *)", "cron(0 0 L * ? *)", "cron(59 23 * 3,11 ? *)"]),
    st.integers(0, 10**9),
)
def test_in_utc_it_is_the_cron_of_rules(expression: str, offset_s: int) -> None:
    """The same expression is due at the same moments as for a rule of EventBridge."""
    after_s = 1_700_000_000.0 + offset_s
    rule = parse_schedule(expression).next_after(after_s, since_s=0)
    assert Plan(parse_expression(expression), 0.0).next_after(after_s, since_s=0) == rule


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"]), st.integers(0, 365 * 96))
def test_dates_only_move_on(zone: str, quarter: int) -> None:
    """Whatever clocks do, the next date comes after the last one, within the longest gap of a zone."""
    after = datetime(2027, 1, 1, tzinfo=UTC) + timedelta(minutes=15 * quarter)
    found = Plan(parse_expression("cron(0/15 * * * ? *)", zone), 0.0).next_after(after.timestamp(), since_s=0)
    assert found is not None
    assert 0 < found - after.timestamp() <= 75 * 60
