"""Schedule expressions: which there are, and when they are due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.services.events.schedules import BadSchedule, Cron, Rate, parse_schedule


def due(expression: str, after: str, count: int = 3) -> list[str]:
    """The first moments after a moment, in ISO 8601."""
    schedule = parse_schedule(expression)
    moment_s: float | None = datetime.fromisoformat(after).replace(tzinfo=UTC).timestamp()
    found: list[str] = []
    while len(found) < count and moment_s is not None:
        moment_s = schedule.next_after(moment_s, since_s=0)
        if moment_s is not None:
            found.append(datetime.fromtimestamp(moment_s, UTC).strftime("%Y-%m-%dT%H:%M"))
    return found


@pytest.mark.parametrize(
    "expression",
    [  # what AWS refuses
        "rate(10 seconds)",
        "rate(10 years)",
        "rate(1 minutes)",
        "rate(1 hours)",
        "rate(1 days)",
        "rate(10 minute)",
        "rate(10 hour)",
        "rate(10 day)",
        "rate()",
        "rate(10)",
        "rate(10 minutess)",
        "rate(foo minutes)",
        "rate(0 minutes)",
        "rate(-10 minutes)",
        "rate(10 MINUTES)",
        "rate( 10 minutes )",
        " rate(10 minutes)",
        "cron(0 1 * * * *)",
        "cron(7 20 * * NOT *)",
        "cron(INVALID)",
        "cron(0 dummy ? * MON-FRI *)",
        "cron(71 8 1 * ? *)",
        "cron(0 0 ? * ? *)",
        "cron(0 24 * * ? *)",
        "cron(0 0 0 * ? *)",
        "cron(0 0 32 * ? *)",
        "cron(0 0 * 13 ? *)",
        "cron(0 0 ? * 8 *)",
        "cron(0 0 ? * 3#6 *)",
        "cron(0 0 ? * 3#1,6#3 *)",
        "cron(0 0 3#1 * ? *)",
        "cron(0 0 * * ?)",
        "cron(0/0 0 * * ? *)",
        "cron(5-3 0 * * ? *)",
        "cron(, 0 * * ? *)",
        "cron(*-5 0 * * ? *)",
        "cron(0 0 W * ? *)",
        "",
        "at(2027-01-01T00:00:00)",
    ],
)
def test_what_is_no_schedule_is_refused(expression: str) -> None:
    """Singular with one, plural with more, lower case, no spaces; ranges of fields; one of the two days is `?`."""
    with pytest.raises(BadSchedule):
        parse_schedule(expression)


@pytest.mark.parametrize(
    ("expression", "interval_s"),
    [("rate(1 minute)", 60), ("rate(5 minutes)", 300), ("rate(1 hour)", 3600), ("rate(2 days)", 172_800)],
)
def test_rates(expression: str, interval_s: int) -> None:
    """The interval in seconds."""
    assert parse_schedule(expression) == Rate(interval_s)


@pytest.mark.parametrize(
    ("expression", "moments"),
    [
        ("cron(0 10 * * ? *)", ["2026-11-27T10:00", "2026-11-28T10:00", "2026-11-29T10:00"]),
        ("cron(5,35 14 * * ? *)", ["2026-11-27T14:05", "2026-11-27T14:35", "2026-11-28T14:05"]),
        ("cron(0/15 * * * ? *)", ["2026-11-27T09:15", "2026-11-27T09:30", "2026-11-27T09:45"]),
        ("cron(*/20 9 * * ? *)", ["2026-11-27T09:20", "2026-11-27T09:40", "2026-11-28T09:00"]),
        ("cron(10-14/2 9 * * ? *)", ["2026-11-27T09:10", "2026-11-27T09:12", "2026-11-27T09:14"]),
        ("cron(0 18 ? * MON-FRI *)", ["2026-11-27T18:00", "2026-11-30T18:00", "2026-12-01T18:00"]),
        ("cron(0 8 1 * ? *)", ["2026-12-01T08:00", "2027-01-01T08:00", "2027-02-01T08:00"]),
        ("cron(0 0 L * ? *)", ["2026-11-30T00:00", "2026-12-31T00:00", "2027-01-31T00:00"]),
        ("cron(0 0 L 2 ? *)", ["2027-02-28T00:00", "2028-02-29T00:00", "2029-02-28T00:00"]),
        ("cron(0 0 29 FEB ? *)", ["2028-02-29T00:00", "2032-02-29T00:00", "2036-02-29T00:00"]),
        ("cron(0 0 1W * ? *)", ["2026-12-01T00:00", "2027-01-01T00:00", "2027-02-01T00:00"]),
        ("cron(0 0 1W 8 ? *)", ["2027-08-02T00:00", "2028-08-01T00:00", "2029-08-01T00:00"]),  # 2027-08-01: Sunday
        ("cron(0 0 31W 10 ? *)", ["2027-10-29T00:00", "2028-10-31T00:00", "2029-10-31T00:00"]),  # 2027-10-31: Sunday
        ("cron(0 0 ? * 6L *)", ["2026-12-25T00:00", "2027-01-29T00:00", "2027-02-26T00:00"]),
        ("cron(0 0 ? 2 2L *)", ["2027-02-22T00:00", "2028-02-28T00:00", "2029-02-26T00:00"]),
        ("cron(0 0 ? * L *)", ["2026-11-28T00:00", "2026-12-05T00:00", "2026-12-12T00:00"]),
        ("cron(0 0 ? * SAT#3 *)", ["2026-12-19T00:00", "2027-01-16T00:00", "2027-02-20T00:00"]),
        ("cron(0 0 ? * 3#5 *)", ["2026-12-29T00:00", "2027-03-30T00:00", "2027-06-29T00:00"]),
        ("cron(0 0 ? JAN,jul 1 *)", ["2027-01-03T00:00", "2027-01-10T00:00", "2027-01-17T00:00"]),
        ("cron(0 0 1 1 ? 2028-2030)", ["2028-01-01T00:00", "2029-01-01T00:00", "2030-01-01T00:00"]),
        ("cron(0 0 1 1 ? 2500)", ["2500-01-01T00:00"]),
        ("cron(15 10 ? * 6L 2002-2005)", []),
        ("cron(0 0 31 2 ? *)", []),
        ("cron(0 9 27 11 ? 2026)", []),
    ],
)
def test_cron_expressions(expression: str, moments: list[str]) -> None:
    """The first three moments after nine o'clock on Friday, 27 November 2026, itself excluded."""
    assert due(expression, "2026-11-27T09:00") == moments


def test_a_rate_keeps_its_beat() -> None:
    """Whatever passed meanwhile: the moments are whole intervals after the rule was enabled."""
    rate = Rate(60)
    assert rate.next_after(1000.0, since_s=1000.0) == 1060.0
    assert rate.next_after(1060.0, since_s=1000.0) == 1120.0
    assert rate.next_after(1059.9, since_s=1000.0) == 1060.0
    assert rate.next_after(5000.0, since_s=1000.0) == 5020.0


@given(
    st.integers(0, 59), st.integers(0, 23), st.sampled_from(["*", "1", "15", "L", "5-9"]),
    st.integers(0, 2**31),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_the_next_moment_is_the_first_that_fits(minute: int, hour: int, day: str, after_s: int) -> None:
    """Held against a walk over every minute of the days up to it."""
    schedule = parse_schedule(f"cron({minute} {hour} {day} * ? *)")
    assert isinstance(schedule, Cron)
    found_s = schedule.next_after(after_s, since_s=0)
    moment = datetime.fromtimestamp(after_s, UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    while not _fits(moment, minute, hour, day):
        moment += timedelta(minutes=1) if moment.hour == hour or moment.minute != minute else timedelta(hours=1)
    assert found_s == moment.timestamp()


def _fits(moment: datetime, minute: int, hour: int, day: str) -> bool:
    last = (moment.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
    fits = {"*": True, "1": moment.day == 1, "15": moment.day == 15, "L": moment.day == last.day}
    return (moment.minute, moment.hour) == (minute, hour) and fits.get(day, 5 <= moment.day <= 9)
