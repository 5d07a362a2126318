"""When a schedule is due: `at(...)`, `rate(...)` and `cron(...)` in a time zone, between two dates. Pure.

A wall time that daylight saving leaves out is skipped, one that it repeats is due once, the first time.
Source: https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

from __future__ import annotations

import re
import zoneinfo
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from localcloud.services.events.schedules import BadSchedule, Cron, parse_schedule
from localcloud.services.scheduler.errors import validation

__all__ = ["Expression", "Once", "Plan", "parse_expression"]

UTC_NAME: Final = "UTC"
_TICK_S: Final = 1e-3  # what comes less than this after a date is that date: timers have this resolution
_LAST_S: Final = 253_000_000_000.0  # in the year 9987: no zone's wall shows a year of five digits yet
_AT: Final = re.compile(r"at\((\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})\)", re.ASCII)
_RATE: Final = re.compile(r"rate\(([1-9]\d{0,8}) (minute|hour|day)s?\)", re.ASCII)  # CreateSchedule: both numbers of it
_ZONE: Final = re.compile(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*", re.ASCII)
_UNITS_S: Final = {"minute": 60, "hour": 3600, "day": 86_400}


class Expression(Protocol):
    """Dates in epoch seconds."""

    def next_after(self, after_s: float, begins_s: float) -> float | None:
        """The first date after `after_s` and at or after `begins_s`, None where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Once:
    """One date; when a schedule begins does not matter."""

    at_s: float

    def next_after(self, after_s: float, begins_s: float) -> float | None:  # noqa: ARG002 - as CreateSchedule says
        """That date, where it is still to come."""
        return self.at_s if self.at_s > after_s else None


@dataclass(frozen=True, slots=True)
class Every:
    """Every `interval_s` seconds, the first time at the beginning. A day has 24 hours whatever clocks show."""

    interval_s: int

    def next_after(self, after_s: float, begins_s: float) -> float | None:
        """The next date."""
        if after_s < begins_s:
            return begins_s
        return begins_s + (int((after_s - begins_s) // self.interval_s) + 1) * self.interval_s


@dataclass(frozen=True, slots=True)
class ZonedCron:
    """A cron expression on the walls of a time zone."""

    cron: Cron
    zone: zoneinfo.ZoneInfo

    def next_after(self, after_s: float, begins_s: float) -> float | None:
        """The next date that the zone's walls show."""
        floor_s = max(after_s, begins_s - _TICK_S)
        if floor_s >= _LAST_S:
            return None
        start = datetime.fromtimestamp(floor_s, self.zone).replace(tzinfo=None, second=0, microsecond=0)
        for moment in self.cron.wall_times(start):
            due_s = moment.replace(tzinfo=self.zone).timestamp()
            shown = datetime.fromtimestamp(due_s, self.zone).replace(tzinfo=None)
            if due_s > floor_s and shown == moment:
                return due_s
        return None


@dataclass(frozen=True, slots=True)
class Plan:
    """An expression between two dates: `localcloud.services.events.schedules.Schedule` for a timetable.

    `ends_s` None: it never ends. One date alone has neither beginning nor end.
    """

    expression: Expression
    begins_s: float
    ends_s: float | None = None

    def next_after(self, after_s: float, *, since_s: float) -> float | None:  # noqa: ARG002 - the dates stand fast
        """The first date after `after_s`, None where there is none."""
        due_s = self.expression.next_after(after_s, self.begins_s)
        is_over = self.ends_s is not None and due_s is not None and due_s > self.ends_s
        return None if is_over and not isinstance(self.expression, Once) else due_s


def parse_expression(text: str, zone_name: str = UTC_NAME) -> Expression:
    """The expression in `text`. Raises SchedulerError: ValidationException."""
    zone = _read_zone(zone_name)
    if found := _AT.fullmatch(text):
        try:
            return Once(datetime.fromisoformat(found[1]).replace(tzinfo=zone).timestamp())
        except (ValueError, OverflowError) as error:
            raise _invalid(text) from error
    if found := _RATE.fullmatch(text):
        return Every(int(found[1]) * _UNITS_S[found[2]])
    try:
        schedule = parse_schedule(text)
    except BadSchedule as error:
        raise _invalid(text) from error
    if not isinstance(schedule, Cron):
        raise _invalid(text)
    return ZonedCron(schedule, zone)


def _invalid(text: str) -> Exception:
    return validation(f"Invalid Schedule Expression {text}.")


def _read_zone(name: str) -> zoneinfo.ZoneInfo:
    try:
        if _ZONE.fullmatch(name):
            return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, OSError, ValueError):  # a folder of zones, a file that is none
        pass
    raise validation(f"Invalid ScheduleExpressionTimezone {name}.")
