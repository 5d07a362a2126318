"""Every alarm of every Region: what is put, what state each is in, and what a change of state sets off.

Owns the rules of composite alarms and of their suppression. What is to be told others (actions, events) is left as
errands for the evaluator's task, in the order of what happened; nothing here waits.
Sources: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-combining.html
and Create_Composite_Alarm_Suppression.html there
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from localcloud.clock import Clock
from localcloud.services.cloudwatch.alarm import Alarm, AlarmState, Definition, Kind
from localcloud.services.cloudwatch.errors import CloudWatchError, not_served, validation
from localcloud.services.cloudwatch.notices import (
    Change,
    configuration_detail,
    describe_configuration,
    state_detail,
)
from localcloud.services.cloudwatch.past import Past, configuration_item, state_item
from localcloud.services.cloudwatch.reasons import write_date
from localcloud.services.cloudwatch.watch import State
from localcloud.services.contract import ACCOUNT_ID

__all__ = ["ActionErrand", "AlarmView", "Alarms", "EventErrand", "alarm_arn"]

MAX_ALARMS: Final = 5_000  # of a Region: cloudwatch_limits.html
MAX_PARENTS: Final = 150  # API_PutCompositeAlarm.html: composite alarms that name one alarm
STATE_CHANGE: Final = "CloudWatch Alarm State Change"
CONFIGURATION_CHANGE: Final = "CloudWatch Alarm Configuration Change"


@dataclass(frozen=True, slots=True)
class ActionErrand:
    """An action that a change sets off, by its ARN."""

    change: Change
    action: str


@dataclass(frozen=True, slots=True)
class EventErrand:
    """An event for the default bus of the alarm's Region."""

    arn: str
    detail_type: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AlarmView:
    """An alarm at a glance. `since_s`: since when it is in `state`, in epoch seconds. `is_gone`: it was deleted."""

    name: str
    arn: str
    kind: Kind
    state: State
    since_s: float
    reason: str
    is_gone: bool = False


class Alarms:
    """The alarms of the account. State lives here and nowhere else; one event loop.

    `errands`: what the evaluator has still to do; `stirred` is set when there is something new for it.
    """

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._alarms: dict[str, Alarm] = {}  # by ARN
        self._composites: dict[str, Alarm] = {}  # those of them that follow others
        self._listeners: list[Callable[[AlarmView], None]] = []
        self.past = Past()
        self.errands: deque[ActionErrand | EventErrand] = deque()
        self.stirred = asyncio.Event()

    # ---------------------------------------------------------------------- asking

    def all(self, region: str | None = None) -> tuple[Alarm, ...]:
        """Those of a Region, or all, by name."""
        found = (alarm for alarm in self._alarms.values() if region in {None, alarm.definition.region})
        return tuple(sorted(found, key=_name))

    def find(self, name: str, region: str) -> Alarm | None:
        """The alarm of a name or an ARN, None where there is none."""
        return self._alarms.get(alarm_arn(name, region))

    def children(self, definition: Definition) -> tuple[str, ...]:
        """The ARNs that a composite alarm's rule names; none for a metric alarm."""
        rule = definition.rule
        return () if rule is None else tuple(alarm_arn(each, definition.region) for each in rule.children)

    def parents(self, arn: str) -> list[Alarm]:
        """The composite alarms whose rules name an alarm, by name."""
        found = (alarm for alarm in self._composites.values() if arn in self.children(alarm.definition))
        return sorted(found, key=_name)

    def snapshot(self) -> tuple[AlarmView, ...]:
        """Every alarm as it is now, by name."""
        return tuple(map(_view, self.all()))

    def listen(self, listener: Callable[[AlarmView], None]) -> Callable[[], None]:
        """Hear of each alarm that is put, deleted or changes its state, in the event loop; the answer stops it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    # ---------------------------------------------------------------------- definitions

    def put(self, definition: Definition) -> None:
        """Make an alarm, or give the one that has its name another definition; a known one keeps its state and tags.

        Raises CloudWatchError: LimitExceeded, ValidationError.
        """
        now_s, known = self._clock.time(), self._alarms.get(definition.arn)
        self._check(definition, known)
        before = None if known is None else known.definition
        alarm = known or Alarm(definition, now_s)
        alarm.definition, alarm.configured_s, alarm.looked_at = definition, now_s, -1
        self._alarms[definition.arn] = alarm
        if definition.rule is not None:
            self._composites[definition.arn] = alarm
        if before is not None and before.suppressor != definition.suppressor:
            self._release(alarm, now_s, acts=False)
        self._record(alarm, now_s, done="Create" if before is None else "Update", before=before)
        if definition.rule is not None:
            verb = "created" if before is None else "updated"
            value = self._evaluate(alarm)
            if value != alarm.state.value:
                reason = f"{alarm.arn} was {verb} and its alarm rule evaluates to {value}"
                self.change(alarm, value, reason=reason, data=self._triggering(self.children(definition)))

    def remove(self, arn: str) -> None:
        """Forget an alarm, whoever names it; nothing where it is not there."""
        alarm = self._alarms.pop(arn, None)
        self._composites.pop(arn, None)
        if alarm is not None:
            self._record(alarm, self._clock.time(), done="Delete", before=None)

    def delete(self, names: Collection[str], region: str) -> None:
        """Delete alarms; names that there are not are passed over. Raises CloudWatchError: ValidationError."""
        found = [alarm for name in dict.fromkeys(names) if (alarm := self.find(name, region)) is not None]
        if sum(alarm.definition.rule is not None for alarm in found) > 1:
            raise validation("You can delete only one composite alarm in each request.")
        gone = {alarm.arn for alarm in found}
        for alarm in found:
            if any(parent.arn not in gone for parent in self.parents(alarm.arn)):
                raise validation(f"Cannot delete {alarm.name} as there are composite alarm(s) depending on it.")
        for alarm in found:
            self.remove(alarm.arn)

    def enable(self, names: Collection[str], region: str, *, enabled: bool) -> None:
        """Switch the actions of alarms; names that there are not are passed over."""
        for name in dict.fromkeys(names):
            alarm = self.find(name, region)
            if alarm is not None and alarm.definition.actions_enabled is not enabled:
                before = alarm.definition
                alarm.definition = before.enabled(enabled=enabled)
                self._record(alarm, self._clock.time(), done="Update", before=before)

    def _check(self, definition: Definition, known: Alarm | None) -> None:
        if (
            known is None
            and sum(alarm.definition.region == definition.region for alarm in self._alarms.values()) >= MAX_ALARMS
        ):
            raise CloudWatchError("LimitExceeded", "You have reached the maximum number of alarms for this Region.")
        if known is not None and known.definition.kind != definition.kind:
            raise validation(f"An alarm of another type has the name {definition.name} already.")
        named = self.children(definition)
        absent = [arn for arn in named if arn not in self._alarms and arn != definition.arn]
        if absent:
            raise validation(
                f"Could not save the composite alarm as alarms [{', '.join(absent)}] in the alarm rule do not exist"
            )
        if self._reaches(named, definition.arn):
            raise not_served(f"a cycle of composite alarms; {definition.name} would depend on itself")
        others = (alarm for alarm in self._composites.values() if alarm.arn != definition.arn)
        parents = Counter(arn for alarm in others for arn in self.children(alarm.definition))
        for arn in named:
            if parents[arn] >= MAX_PARENTS:
                raise validation(f"The alarm {arn} is in the rules of {MAX_PARENTS} composite alarms already.")
        suppressor = definition.suppressor
        if suppressor is not None and self.find(suppressor.alarm, definition.region) is None:
            raise validation(f"Could not save the composite alarm as the suppressor {suppressor.alarm} does not exist")

    def _reaches(self, arns: Iterable[str], target: str) -> bool:
        left, seen = list(arns), set[str]()
        while left:
            arn = left.pop()
            if arn == target:
                return True
            if arn not in seen and arn in self._alarms:
                left += self.children(self._alarms[arn].definition)
            seen.add(arn)
        return False

    def _record(self, alarm: Alarm, now_s: float, *, done: str, before: Definition | None) -> None:
        told = describe_configuration(alarm.definition, now_s)
        kind = alarm.definition.kind
        self.past.add(configuration_item(kind, alarm.arn, now_s, done=done, definition=told))
        detail = configuration_detail(done.lower(), alarm.definition, alarm.state, at_s=now_s, before=before)
        self.errands.append(EventErrand(alarm.arn, CONFIGURATION_CHANGE, detail))
        self._tell(alarm, is_gone=done == "Delete")

    # ---------------------------------------------------------------------- states

    def change(self, alarm: Alarm, value: State, *, reason: str, data: str) -> None:
        """Bring an alarm into a state, and do what follows where it is another one. `data`: JSON, or ""."""
        if value == alarm.state.value:
            alarm.state = replace(alarm.state, reason=reason, reason_data=data, updated_s=self._clock.time())
            return
        self._enter(alarm, value, reason=reason, data=data)
        changed = deque([alarm])
        while changed:
            child = changed.popleft()
            changed += [parent for parent in self.parents(child.arn) if self._reconsider(parent, child)]
            for other in tuple(self._composites.values()):
                self._mind_suppressor(other, child)

    def _reconsider(self, parent: Alarm, child: Alarm) -> bool:
        """Whether a composite alarm comes into another state, now that a child has."""
        value = self._evaluate(parent)
        if value == parent.state.value:
            return False
        at = datetime.fromtimestamp(child.state.since_s, UTC)
        reason = f"{child.arn} transitioned to {child.state.value} at {at:%A %d %B, %Y %H:%M:%S} UTC"
        self._enter(parent, value, reason=reason, data=self._triggering((child.arn,)))
        return True

    def _evaluate(self, alarm: Alarm) -> State:
        rule, region = alarm.definition.rule, alarm.definition.region
        return "ALARM" if rule is not None and rule.holds(lambda name: self._state_of(name, region)) else "OK"

    def _state_of(self, name: str, region: str) -> State:
        alarm = self.find(name, region)
        return "INSUFFICIENT_DATA" if alarm is None else alarm.state.value

    def _triggering(self, arns: Iterable[str]) -> str:
        told = [
            {"arn": arn, "state": {"value": state.value, "timestamp": write_date(state.since_s)}}
            for arn in arns
            if arn in self._alarms
            for state in (self._alarms[arn].state,)
        ]
        return json.dumps({"triggeringAlarms": told}, separators=(",", ":"))

    def _enter(self, alarm: Alarm, value: State, *, reason: str, data: str) -> None:
        now_s, old = self._clock.time(), alarm.state
        alarm.until_s = None
        alarm.state = AlarmState(value=value, reason=reason, reason_data=data, since_s=now_s, updated_s=now_s)
        held = self._hold(alarm, now_s)
        change = Change(alarm.definition, old, alarm.state, alarm.configured_s)
        self.past.add(state_item(change))
        self.errands.append(EventErrand(alarm.arn, STATE_CHANGE, state_detail(change)))
        if not held:
            self._act(change)
        self._tell(alarm)

    def _act(self, change: Change) -> None:
        if change.definition.actions_enabled:
            for action in change.definition.actions.get(change.new.value, ()):
                self.errands.append(ActionErrand(change, action))

    def _tell(self, alarm: Alarm, *, is_gone: bool = False) -> None:
        self.stirred.set()
        view = replace(_view(alarm), is_gone=is_gone)
        for listener in tuple(self._listeners):
            listener(view)

    # ---------------------------------------------------------------------- suppression

    def due(self) -> float | None:
        """When the next waiting or extension period ends, in epoch seconds; None where none runs."""
        return min((alarm.until_s for alarm in self._composites.values() if alarm.until_s is not None), default=None)

    def end_periods(self, now_s: float) -> None:
        """Do the actions that the periods kept back which have ended."""
        for alarm in sorted(self._composites.values(), key=_name):
            if alarm.until_s is not None and alarm.until_s <= now_s:
                self._release(alarm, now_s, acts=True)

    def _hold(self, alarm: Alarm, now_s: float) -> bool:
        """Keep the actions of a new state back, where there is a suppressor to do or to wait for it."""
        suppressor = alarm.definition.suppressor
        if suppressor is None:
            return False
        is_suppressed = self._state_of(suppressor.alarm, alarm.definition.region) == "ALARM"
        if not is_suppressed and not suppressor.wait_s:
            return False
        alarm.until_s = None if is_suppressed else now_s + suppressor.wait_s
        alarm.state = replace(alarm.state, suppressed_by="Alarm" if is_suppressed else "WaitPeriod")
        return True

    def _mind_suppressor(self, alarm: Alarm, changed: Alarm) -> None:
        suppressor = alarm.definition.suppressor
        if suppressor is None or not alarm.state.suppressed_by:
            return
        if alarm_arn(suppressor.alarm, alarm.definition.region) != changed.arn:
            return
        now_s = self._clock.time()
        if changed.state.value == "ALARM":
            alarm.until_s = None
            alarm.state = replace(alarm.state, suppressed_by="Alarm", updated_s=now_s)
        elif alarm.state.suppressed_by == "Alarm":
            alarm.until_s = now_s + suppressor.extension_s
            alarm.state = replace(alarm.state, suppressed_by="ExtensionPeriod", updated_s=now_s)
            self.stirred.set()

    def _release(self, alarm: Alarm, now_s: float, *, acts: bool) -> None:
        alarm.until_s = None
        if not alarm.state.suppressed_by:
            return
        old = alarm.state
        alarm.state = replace(old, suppressed_by="", updated_s=now_s)
        if acts:
            self._act(Change(alarm.definition, old, alarm.state, alarm.configured_s))


def alarm_arn(name: str, region: str) -> str:
    """The ARN of an alarm of this name; an ARN stays what it is."""
    return name if name.startswith("arn:") else f"arn:aws:cloudwatch:{region}:{ACCOUNT_ID}:alarm:{name}"


def _view(alarm: Alarm) -> AlarmView:
    state = alarm.state
    return AlarmView(alarm.name, alarm.arn, alarm.definition.kind, state.value, state.since_s, state.reason)


def _name(alarm: Alarm) -> str:
    return alarm.name
