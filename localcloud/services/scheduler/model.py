"""Every schedule and group of schedules: made, changed, deleted, and invoked when they are due.

A schedule that is deleted or disabled invokes nothing any more, but for what is on its way already. Knows no wire, no
service and no template.
Source: https://docs.aws.amazon.com/scheduler/latest/UserGuide/what-is-scheduler.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from localcloud.clock import Clock
from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.events.timetable import Timetable
from localcloud.services.scheduler.delivery import Courier, Invocation
from localcloud.services.scheduler.errors import conflict, no_group, no_schedule, over_quota, validation
from localcloud.services.scheduler.expression import UTC_NAME, Once, Plan, parse_expression
from localcloud.services.scheduler.target import Target, read_target

__all__ = ["DEFAULT_GROUP", "Group", "Schedule", "Schedules"]

DEFAULT_GROUP: Final = "default"
MAX_SCHEDULES: Final = 100_000  # of a Region; ours, for a laptop's memory: the quota of AWS is a million
MAX_GROUPS: Final = 500  # scheduler quotas: schedule groups of a Region
MAX_TAGS: Final = 50
LATE_START_S: Final = 300  # in AWS's own words: "The StartDate you specify cannot be earlier than 5 minutes ago."
_TICK_S: Final = 1e-3
_NO_ROLE: Final = "The execution role you provide must allow AWS EventBridge Scheduler to assume the role."


@dataclass(slots=True, kw_only=True)
class Schedule:
    """One schedule. `values`: as the last request had them. `anchor_s`: since when its expression counts."""

    arn: str
    group: Group
    values: Mapping[str, Any]
    plan: Plan
    target: Target
    created_s: float
    modified_s: float
    anchor_s: float
    waiting: set[asyncio.TimerHandle] = field(default_factory=set[asyncio.TimerHandle])
    under_way: int = 0

    @property
    def name(self) -> str:
        """Its name, once in a group."""
        return self.values["Name"]

    @property
    def state(self) -> str:
        """ENABLED or DISABLED."""
        return self.values.get("State", "ENABLED")


@dataclass(slots=True, kw_only=True)
class Group:
    """A group with its schedules by name."""

    name: str
    arn: str
    created_s: float
    tags: dict[str, str] = field(default_factory=dict[str, str])
    schedules: dict[str, Schedule] = field(default_factory=dict[str, Schedule])


class Schedules:
    """The schedules of every Region. One event loop; `close()` before `group` ends.

    `may_assume`: whether the Scheduler may assume a role, by its ARN.
    """

    def __init__(
        self,
        courier: Courier,
        *,
        may_assume: Callable[[str], bool],
        group: asyncio.TaskGroup,
        clock: Clock,
        rng: Random,
    ) -> None:
        self._courier = courier
        self._may_assume = may_assume
        self._tasks = group
        self._clock = clock
        self._rng = rng
        self._timetable = Timetable(clock)
        self._regions: dict[str, dict[str, Group]] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------------ groups

    def groups(self, region: str) -> dict[str, Group]:
        """The groups of a Region by name; the default one is always there."""
        if region not in self._regions:
            self._regions[region] = {DEFAULT_GROUP: self._new_group(DEFAULT_GROUP, region)}
        return self._regions[region]

    def group(self, name: str, region: str) -> Group:
        """The group of a name. Raises SchedulerError: ResourceNotFoundException."""
        found = self.groups(region).get(name)
        if found is None:
            raise no_group(name)
        return found

    def tagged(self, arn: str) -> Group:
        """The group of an ARN. Raises SchedulerError: ResourceNotFoundException."""
        group = self.group(arn.rpartition("/")[2], arn.split(":")[3])
        if group.arn != arn:
            raise no_group(arn)
        return group

    def create_group(self, name: str, region: str, tags: Mapping[str, str]) -> Group:
        """Make a group. Raises SchedulerError."""
        groups = self.groups(region)
        if name in groups:
            raise conflict(f"Schedule group {name} already exists.")
        if len(groups) >= MAX_GROUPS:
            raise over_quota("The maximum number of schedule groups for this account and Region is reached.")
        groups[name] = group = self._new_group(name, region)
        self.tag(group, tags)
        return group

    def delete_group(self, name: str, region: str) -> None:
        """Delete a group with its schedules. Raises SchedulerError."""
        group = self.group(name, region)
        if name == DEFAULT_GROUP:
            raise validation("The default schedule group cannot be deleted.")
        for schedule in list(group.schedules.values()):
            self._forget(schedule)
        del self.groups(region)[name]

    def tag(self, group: Group, tags: Mapping[str, str]) -> None:
        """Give a group tags. Raises SchedulerError."""
        if len({*group.tags, *tags}) > MAX_TAGS:
            raise validation(f"A resource can have at most {MAX_TAGS} tags.")
        group.tags.update(tags)

    def _new_group(self, name: str, region: str) -> Group:
        arn = f"arn:aws:scheduler:{region}:{ACCOUNT_ID}:schedule-group/{name}"
        return Group(name=name, arn=arn, created_s=self._clock.time())

    # ------------------------------------------------------------------ schedules

    def get(self, name: str, region: str, group: str = DEFAULT_GROUP) -> Schedule:
        """The schedule of a name in a group. Raises SchedulerError: ResourceNotFoundException."""
        found = self.group(group, region).schedules.get(name)
        if found is None:
            raise no_schedule(name)
        return found

    def list(self, region: str) -> list[Schedule]:
        """The schedules of a Region, by group and name."""
        found = [each for group in self.groups(region).values() for each in group.schedules.values()]
        return sorted(found, key=lambda schedule: schedule.arn)

    def create(self, values: Mapping[str, Any], region: str) -> Schedule:
        """Make the schedule of a CreateSchedule request. Raises SchedulerError.

        A request that was made before, with the same ClientToken, makes nothing.
        """
        group, name = self.group(values.get("GroupName", DEFAULT_GROUP), region), values["Name"]
        known = group.schedules.get(name)
        if known is not None:
            if "ClientToken" in values and known.values == values:
                return known
            raise conflict(f"Schedule {name} already exists.")
        if sum(len(each.schedules) for each in self.groups(region).values()) >= MAX_SCHEDULES:
            raise over_quota("The maximum number of schedules for this account and Region is reached.")
        now_s = self._clock.time()
        target, plan = self._read(values, now_s)
        schedule = Schedule(
            arn=f"arn:aws:scheduler:{region}:{ACCOUNT_ID}:schedule/{group.name}/{name}",
            group=group,
            values=values,
            plan=plan,
            target=target,
            created_s=now_s,
            modified_s=now_s,
            anchor_s=now_s,
        )
        group.schedules[name] = schedule
        self._start(schedule, from_s=now_s - _TICK_S)
        return schedule

    def update(self, values: Mapping[str, Any], region: str) -> Schedule:
        """Put a request in the place of the schedule's last one. Raises SchedulerError."""
        schedule = self.get(values["Name"], region, values.get("GroupName", DEFAULT_GROUP))
        now_s = self._clock.time()
        is_other = values["ScheduleExpression"] != schedule.values["ScheduleExpression"]
        target, plan = self._read(values, now_s if is_other else schedule.anchor_s)
        self._stop(schedule)
        schedule.values, schedule.target, schedule.plan, schedule.modified_s = values, target, plan, now_s
        schedule.anchor_s = now_s if is_other else schedule.anchor_s
        self._start(schedule, from_s=now_s - _TICK_S if is_other else now_s)
        return schedule

    def delete(self, schedule: Schedule) -> None:
        """Delete a schedule; what it has begun to invoke goes on."""
        self._forget(schedule)

    def close(self) -> None:
        """Invoke nothing any more; what is tried again is given up."""
        for task in self._under_way:
            task.cancel()
        for region in self._regions.values():
            for group in region.values():
                for schedule in group.schedules.values():
                    self._stop(schedule)
        self._timetable.close()

    def _read(self, values: Mapping[str, Any], anchor_s: float) -> tuple[Target, Plan]:
        expression = parse_expression(values["ScheduleExpression"], values.get("ScheduleExpressionTimezone", UTC_NAME))
        begins_s, ends_s = values.get("StartDate"), values.get("EndDate")
        if not isinstance(expression, Once):
            _check_dates(begins_s, ends_s, now_s=self._clock.time())
        window = values["FlexibleTimeWindow"]
        if (window["Mode"] == "FLEXIBLE") is not ("MaximumWindowInMinutes" in window):
            raise validation("MaximumWindowInMinutes must be specified for the mode FLEXIBLE, and for no other.")
        target = read_target(values["Target"])
        if not self._may_assume(target.role_arn):
            raise validation(_NO_ROLE)
        return target, Plan(expression, anchor_s if begins_s is None else begins_s, ends_s)

    # ------------------------------------------------------------------ time

    def _start(self, schedule: Schedule, *, from_s: float) -> None:
        if schedule.state != "ENABLED":
            return
        first_s = schedule.plan.next_after(from_s, since_s=from_s)
        self._timetable.start(schedule.arn, schedule.plan, lambda due_s: self._on_due(schedule, due_s))
        if first_s is not None and first_s <= self._clock.time():
            self._on_due(schedule, first_s)

    def _stop(self, schedule: Schedule) -> None:
        self._timetable.stop(schedule.arn)
        for handle in schedule.waiting:
            handle.cancel()
        schedule.waiting.clear()

    def _forget(self, schedule: Schedule) -> None:
        self._stop(schedule)
        if schedule.group.schedules.get(schedule.name) is schedule:
            del schedule.group.schedules[schedule.name]

    def _on_due(self, schedule: Schedule, due_s: float) -> None:
        """Invoke now, or at a moment of the window that chance chooses."""
        window_s = 60 * schedule.values["FlexibleTimeWindow"].get("MaximumWindowInMinutes", 0)
        invocation = Invocation(schedule.arn, schedule.target, due_s)
        loop = asyncio.get_running_loop()
        delay_s = self._rng.random() * window_s if window_s else 0.0

        def begin() -> None:
            schedule.waiting.discard(handle)
            schedule.under_way += 1
            task = self._tasks.create_task(self._invoke(schedule, invocation))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

        handle = loop.call_later(delay_s, begin)
        schedule.waiting.add(handle)

    async def _invoke(self, schedule: Schedule, invocation: Invocation) -> None:
        try:
            await self._courier.carry(invocation)
        finally:
            schedule.under_way -= 1
        now_s = self._clock.time()
        is_last = schedule.plan.next_after(now_s, since_s=now_s) is None
        rests = not schedule.waiting and not schedule.under_way
        if is_last and rests and schedule.values.get("ActionAfterCompletion") == "DELETE":
            self._forget(schedule)


def _check_dates(begins_s: float | None, ends_s: float | None, *, now_s: float) -> None:
    if begins_s is not None and begins_s < now_s - LATE_START_S:
        raise validation("The StartDate you specify cannot be earlier than 5 minutes ago.")
    if ends_s is not None and ends_s < now_s:
        raise validation("The EndDate you specify cannot be in the past.")
    if begins_s is not None and ends_s is not None and ends_s <= begins_s:
        raise validation("The EndDate you specify must come after the StartDate.")
