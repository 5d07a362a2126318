"""Schedule expressions, `rate(5 minutes)` and `cron(0 12 * * ? *)`, and when they are due. Pure; UTC, to the minute.

Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple, Protocol

__all__ = ["BadSchedule", "Cron", "Rate", "Schedule", "parse_schedule"]

LAST_YEAR: Final = 2199  # eb-scheduled-rule-pattern: of a cron expression that does not name its years
_UNITS_S: Final = {"minute": 60, "hour": 3600, "day": 86_400}
_RATE: Final = re.compile(r"rate\((\d{1,9}) (minute|hour|day)(s?)\)")
_CRON: Final = re.compile(r"cron\(([^()]*)\)")
_PART: Final = re.compile(r"(?P<low>\*|\w+)(?:-(?P<high>\w+))?(?:/(?P<step>\d{1,4}))?")


class _Field(NamedTuple):
    """What the numbers of a field of a cron expression may be."""

    low: int
    high: int
    names: Mapping[str, int] = {}


_MONTH_NAMES: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAY_NAMES: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MINUTES: Final = _Field(0, 59)
_HOURS: Final = _Field(0, 23)
_MONTH_DAYS: Final = _Field(1, 31)
_MONTHS: Final = _Field(1, 12, {name: number for number, name in enumerate(_MONTH_NAMES, 1)})
_WEEKDAYS: Final = _Field(1, 7, {name: number for number, name in enumerate(_DAY_NAMES, 1)})
_WEEKS: Final = _Field(1, 5)
_YEARS: Final = _Field(1970, 9999)


class BadSchedule(Exception):
    """The text is no schedule expression. AWS does not say why."""


class Schedule(Protocol):
    """When a rule is due."""

    def next_after(self, after_s: float, *, since_s: float) -> float | None:
        """The first moment after `after_s` for a rule that is enabled since `since_s`, None where there is none.

        All in epoch seconds.
        """
        ...


@dataclass(frozen=True, slots=True)
class Rate:
    """Every `interval_s` seconds, beginning one interval after the rule is enabled."""

    interval_s: int

    def next_after(self, after_s: float, *, since_s: float) -> float | None:
        """The first moment after `after_s`."""
        passed = int((after_s - since_s) // self.interval_s)
        return since_s + (max(passed, 0) + 1) * self.interval_s


@dataclass(frozen=True, slots=True)
class _Days:
    """The days of a month or of a week that fit. `last` the last of the month, `nearest` working days near these.

    `last_weekdays`, `nth_weekdays`: Sunday is 1; the last one, or that with its number in the month.
    """

    numbers: frozenset[int] = frozenset()
    last: bool = False
    nearest: frozenset[int] = frozenset()
    last_weekdays: frozenset[int] = frozenset()
    nth_weekdays: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression. Of `of_month` and `of_week` one is None: that day does not matter. `years` None: every one."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    of_month: _Days | None
    months: frozenset[int]
    of_week: _Days | None
    years: frozenset[int] | None

    def next_after(self, after_s: float, *, since_s: float) -> float | None:  # noqa: ARG002 - the dates stand fast
        """The first moment after `after_s`."""
        start = datetime.fromtimestamp(after_s, UTC).replace(tzinfo=None, second=0, microsecond=0)
        moment = next(self.wall_times(start + timedelta(minutes=1)), None)
        return None if moment is None else moment.replace(tzinfo=UTC).timestamp()

    def wall_times(self, start: datetime) -> Iterator[datetime]:
        """What a clock on a wall shows when it is due, from `start` on, in order; `start` has no time zone either."""
        for day in self._days_from(start.date()):
            for hour in self.hours:
                for minute in self.minutes:
                    moment = datetime(day.year, day.month, day.day, hour, minute)  # noqa: DTZ001 - a wall has no zone
                    if moment >= start:
                        yield moment

    def _days_from(self, first: date) -> Iterator[date]:
        last_year = LAST_YEAR if self.years is None else max(self.years)
        for year in range(first.year, last_year + 1):
            if self.years is not None and year not in self.years:
                continue
            for month in sorted(self.months):
                if (year, month) < (first.year, first.month):
                    continue
                for number in range(1, calendar.monthrange(year, month)[1] + 1):
                    day = date(year, month, number)
                    if day >= first and self._fits(day):
                        yield day

    def _fits(self, day: date) -> bool:
        if self.of_month is not None:
            return _fits_month(self.of_month, day)
        return self.of_week is not None and _fits_week(self.of_week, day)


def parse_schedule(text: str) -> Schedule:
    """The schedule in `text`. Raises BadSchedule."""
    rate = _RATE.fullmatch(text)
    if rate is not None:
        count, unit, plural = int(rate[1]), rate[2], rate[3]
        if count < 1 or (count == 1) is bool(plural):
            raise BadSchedule
        return Rate(count * _UNITS_S[unit])
    cron = _CRON.fullmatch(text)
    fields = cron[1].split() if cron is not None else []
    if len(fields) != 6:
        raise BadSchedule
    minutes, hours, of_month, months, of_week, years = fields
    if (of_month == "?") is (of_week == "?"):
        raise BadSchedule
    return Cron(
        minutes=tuple(sorted(_read_numbers(minutes, _MINUTES))),
        hours=tuple(sorted(_read_numbers(hours, _HOURS))),
        of_month=None if of_month == "?" else _read_days_of_month(of_month),
        months=_read_numbers(months, _MONTHS),
        of_week=None if of_week == "?" else _read_days_of_week(of_week),
        years=None if years == "*" else _read_numbers(years, _YEARS),
    )


def _read_numbers(text: str, field: _Field) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        found.update(_read_part(part, field))
    return frozenset(found)


def _read_part(part: str, field: _Field) -> range:
    """`*`, `5`, `5-7`, `5/10`, `5-30/10`, `*/10`."""
    found = _PART.fullmatch(part)
    if found is None or (found["low"] == "*" and found["high"]):
        raise BadSchedule
    first = field.low if found["low"] == "*" else _read_number(found["low"], field)
    step = int(found["step"] or 1)
    if found["high"]:
        last = _read_number(found["high"], field)
    else:
        last = field.high if found["low"] == "*" or found["step"] else first
    if step < 1 or last < first:
        raise BadSchedule
    return range(first, last + 1, step)


def _read_number(text: str, field: _Field) -> int:
    number = field.names.get(text.upper())
    if number is None:
        if not (text.isascii() and text.isdigit() and len(text) <= 4):
            raise BadSchedule
        number = int(text)
    if not field.low <= number <= field.high:
        raise BadSchedule
    return number


def _read_days_of_month(text: str) -> _Days:
    parts = text.split(",")
    nearest = [part[:-1] for part in parts if part.endswith("W")]
    plain = [part for part in parts if part != "L" and not part.endswith("W")]
    return _Days(
        numbers=_read_numbers(",".join(plain), _MONTH_DAYS) if plain else frozenset(),
        last="L" in parts,
        nearest=frozenset(_read_number(part, _MONTH_DAYS) for part in nearest),
    )


def _read_days_of_week(text: str) -> _Days:
    if "#" in text:  # only alone: "3#1,6#3" are two expressions
        day, _, number = text.partition("#")
        return _Days(nth_weekdays=frozenset({(_weekday(day), _read_number(number, _WEEKS))}))
    parts = ["7" if part == "L" else part for part in text.split(",")]  # the last day of a week is its Saturday
    lasts = [part[:-1] for part in parts if part.endswith("L")]
    plain = [part for part in parts if not part.endswith("L")]
    return _Days(
        numbers=_read_numbers(",".join(plain), _WEEKDAYS) if plain else frozenset(),
        last_weekdays=frozenset(map(_weekday, lasts)),
    )


def _weekday(text: str) -> int:
    return _read_number(text, _WEEKDAYS)


def _fits_month(days: _Days, day: date) -> bool:
    length = calendar.monthrange(day.year, day.month)[1]
    if day.day in days.numbers or (days.last and day.day == length):
        return True
    return any(_nearest_working_day(day.replace(day=min(number, length))) == day for number in days.nearest)


def _nearest_working_day(day: date) -> date:
    """The working day nearest to `day` within its month."""
    length = calendar.monthrange(day.year, day.month)[1]
    if day.weekday() == calendar.SATURDAY:
        return day - timedelta(days=1) if day.day > 1 else day + timedelta(days=2)
    if day.weekday() == calendar.SUNDAY:
        return day + timedelta(days=1) if day.day < length else day - timedelta(days=2)
    return day


def _fits_week(days: _Days, day: date) -> bool:
    weekday = day.isoweekday() % 7 + 1
    length = calendar.monthrange(day.year, day.month)[1]
    ends: Collection[bool] = (
        weekday in days.numbers,
        weekday in days.last_weekdays and day.day + 7 > length,
        (weekday, (day.day - 1) // 7 + 1) in days.nth_weekdays,
    )
    return any(ends)
