"""All buses of all Regions, and the way of an event: put on a bus, matched, handed to the targets of what it triggers.

Services of the local cloud use `emit` for their own events; the wire uses the rest. Knows no protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from localcloud.clock import Clock
from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.events.archives import Archives
from localcloud.services.events.bus import DEFAULT, Bus, Rule, RuleSettings
from localcloud.services.events.delivery import Courier, Parcel, TargetPort
from localcloud.services.events.envelope import Entry, Event, RefusedEntry, entry_bytes, make_event
from localcloud.services.events.errors import EventsError, limit_exceeded, managed_rule, missing_bus, validation
from localcloud.services.events.limits import MAX_BATCH_BYTES, MAX_TAGS, Limits
from localcloud.services.events.replays import Outlet, Replays
from localcloud.services.events.target import Target, check_dead_letters, read_target
from localcloud.services.events.timetable import Timetable
from localcloud.services.iam.policy import Document
from localcloud.uuids import new_uuid

__all__ = ["DEFAULT", "Buses", "PutEntry"]

_BUS_MARK: Final = ":event-bus/"
_SCHEDULED: Final = "Scheduled Event"


@dataclass(frozen=True, slots=True)
class PutEntry:
    """An entry of PutEvents: for the bus of a name or an ARN."""

    entry: Entry
    bus: str = DEFAULT


class Buses:
    """The buses of the account. State lives here and nowhere else; one event loop.

    `run()` must be running for anything to reach a target. `port` is the way to targets (`targets.Targets`).
    """

    def __init__(
        self,
        *,
        clock: Clock,
        rng: Random,
        port: TargetPort,
        limits: Limits | None = None,
        partition: str = "aws",
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._limits = limits or Limits()
        self._partition = partition
        self._courier = Courier(port, clock=clock, rng=rng)
        self._timetable = Timetable(clock)
        self._buses: dict[str, Bus] = {}  # by ARN
        self.archives = Archives(self, clock=clock, rng=rng, limits=self._limits)
        outlet = Outlet(self._courier, self.get, self._resend)
        self.replays = Replays(self.archives, outlet, clock=clock, rng=rng, limits=self._limits)

    async def run(self) -> None:
        """Deliver events, keep schedules and play replays, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.replays.run())
                await self._courier.run()
        finally:
            self._timetable.close()

    @property
    def under_way(self) -> int:
        """How many deliveries are not done yet."""
        return self._courier.under_way

    # ------------------------------------------------------------------ buses

    def arn_of(self, name: str, region: str) -> str:
        """The ARN of a bus of this name; an ARN stays what it is."""
        if name.startswith("arn:"):
            return name
        return f"arn:{self._partition}:events:{region}:{ACCOUNT_ID}{_BUS_MARK}{name}"

    def find(self, arn: str) -> Bus | None:
        """The bus of an ARN, None where there is none. The default bus of a Region is always there."""
        bus = self._buses.get(arn)
        if bus is None and arn.endswith(f"{_BUS_MARK}{DEFAULT}"):
            region = arn.split(":")[3]
            if arn == self.arn_of(DEFAULT, region):
                bus = self._buses[arn] = Bus(arn, self._limits, now_s=self._clock.time())
        return bus

    def get(self, name: str, region: str) -> Bus:
        """The bus of a name or an ARN. Raises EventsError: ResourceNotFoundException."""
        arn = self.arn_of(name, region)
        bus = self.find(arn) if arn.split(":")[3] == region else None
        if bus is None:
            raise missing_bus(name.rpartition(_BUS_MARK)[2])
        return bus

    def list(self, region: str, *, prefix: str = "") -> list[Bus]:
        """The Region's buses whose names start with `prefix`, by name."""
        self.get(DEFAULT, region)
        found = [bus for bus in self._buses.values() if bus.region == region and bus.name.startswith(prefix)]
        return sorted(found, key=lambda bus: bus.name)

    def create(
        self,
        name: str,
        region: str,
        *,
        description: str = "",
        dead_letter_arn: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> Bus:
        """Make a bus. Raises EventsError: ValidationException, ResourceAlreadyExistsException, LimitExceeded."""
        if "/" in name:
            raise validation("Event bus name must not contain '/'.")
        arn = self.arn_of(name, region)
        if self.find(arn) is not None:
            raise EventsError("ResourceAlreadyExistsException", f"Event bus {name} already exists.")
        if len(self.list(region)) >= self._limits.buses:
            raise limit_exceeded()
        check_dead_letters(dead_letter_arn, region)
        bus = Bus(arn, self._limits, now_s=self._clock.time())
        bus.description, bus.dead_letter_arn = description, dead_letter_arn
        bus.tags = merge_tags({}, tags or {})
        self._buses[arn] = bus
        return bus

    def update(self, bus: Bus, *, description: str | None, dead_letter_arn: str | None) -> None:
        """Change what is not None. Raises EventsError: ValidationException."""
        if dead_letter_arn is not None:
            check_dead_letters(dead_letter_arn, bus.region)
            bus.dead_letter_arn = dead_letter_arn
        if description is not None:
            bus.description = description
        bus.modified_s = self._clock.time()

    def delete(self, name: str, region: str) -> None:
        """Forget a bus; nothing where there is none. Raises EventsError for the default one, and for one with rules."""
        if name == DEFAULT:
            raise validation(f"Cannot delete event bus {DEFAULT}.")
        bus = self._buses.get(self.arn_of(name, region))
        if bus is None:
            return
        if bus.rules:
            raise validation("Event bus can't be deleted since it has rules.")
        del self._buses[bus.arn]

    def policy_of(self, arn: str) -> Document | None:
        """The resource policy of a bus, None where it has none."""
        bus = self._buses.get(arn)
        return None if bus is None else bus.policy.document

    # ------------------------------------------------------------------ rules

    def put_rule(self, bus: Bus, settings: RuleSettings) -> Rule:
        """Make or replace a rule. Raises EventsError: ManagedRuleException, and see `Bus.put`."""
        _check_free(bus.find(settings.name))
        rule = bus.put(settings)
        self._schedule(rule, bus)
        return rule

    def enable_rule(self, bus: Bus, name: str, *, enabled: bool) -> None:
        """Let a rule match and be due, or not. Raises EventsError: ResourceNotFound- or ManagedRuleException."""
        rule = bus.get(name)
        _check_free(rule)
        if rule.enabled is not enabled:
            self._schedule(bus.enable(name, enabled=enabled), bus)

    def delete_rule(self, bus: Bus, name: str) -> None:
        """Forget a rule; nothing where there is none. Raises EventsError where it is managed or has targets."""
        _check_free(bus.find(name))
        rule = bus.delete(name)
        if rule is not None:
            self._timetable.stop(rule.arn)

    def put_targets(self, bus: Bus, rule: str, targets: Sequence[Mapping[str, object]]) -> None:
        """Add or replace targets, given as PutTargets has them: all or none. Raises EventsError."""
        found = bus.get(rule)
        _check_free(found)
        read: dict[str, Target] = {}
        for given in targets:
            target = read_target(given, bus.region)
            if target.target_id in read:
                reason = f"More than one target with Id '{target.target_id}' is provided."
                raise validation(f"Parameter targets is not valid. Reason: {reason}")
            read[target.target_id] = target
        bus.put_targets(found, tuple(read.values()))

    def remove_targets(self, bus: Bus, rule: str, ids: Sequence[str]) -> None:
        """Take targets away; an id that is not there is no error. Raises EventsError as `put_targets`."""
        found = bus.get(rule)
        _check_free(found)
        found.targets = {target_id: target for target_id, target in found.targets.items() if target_id not in ids}

    def _schedule(self, rule: Rule, bus: Bus) -> None:
        if rule.schedule is not None and rule.enabled:
            self._timetable.start(rule.arn, rule.schedule, lambda due_s: self._ring(bus, rule.settings.name, due_s))
        else:
            self._timetable.stop(rule.arn)

    def _ring(self, bus: Bus, name: str, due_s: float) -> None:
        rule = bus.find(name)
        if rule is None:
            return
        entry = Entry(source="aws.events", detail_type=_SCHEDULED, detail="{}", resources=(rule.arn,), time_s=due_s)
        event_id = new_uuid(self._rng)
        event = make_event(entry, bus.region, event_id=event_id, now_s=self._clock.time(), reserved=True)
        self._trigger(rule, event)

    # ------------------------------------------------------------------ events

    def put_events(self, region: str, entries: Sequence[PutEntry]) -> list[str | RefusedEntry]:
        """Put events on their buses: an event id for each entry, or why it was refused. A bus that is not there is none
        of these reasons: its events are taken and dropped.

        Raises EventsError where the entries are too large together.
        """
        if sum(entry_bytes(put.entry) for put in entries) > MAX_BATCH_BYTES:
            raise validation("Total size of the entries in the request is over the limit.")
        return [self._put(region, put) for put in entries]

    def emit(self, region: str, entry: Entry) -> str:
        """Put an event of an AWS service (`aws.s3`) on the default bus; its id. Raises RefusedEntry."""
        event_id = new_uuid(self._rng)
        event = make_event(entry, region, event_id=event_id, now_s=self._clock.time(), reserved=True)
        self._dispatch(self.get(DEFAULT, region), event)
        return event_id

    def forward(self, bus_arn: str, event: Event) -> bool:
        """Put an event that comes from another bus on the bus of an ARN; whether there is one."""
        bus = self.find(bus_arn)
        if bus is not None:
            self._dispatch(bus, event)
        return bus is not None

    def _put(self, region: str, put: PutEntry) -> str | RefusedEntry:
        courier, limits = self._courier, self._limits
        if courier.under_way >= limits.backlog or courier.held_chars >= limits.backlog_chars:
            return RefusedEntry("ThrottlingException", "Rate exceeded")
        event_id = new_uuid(self._rng)
        try:
            event = make_event(put.entry, region, event_id=event_id, now_s=self._clock.time())
        except RefusedEntry as error:
            return error
        arn = self.arn_of(put.bus, region)
        bus = self.find(arn) if arn.split(":")[3] == region else None
        if bus is not None:
            self._dispatch(bus, event)
        return event_id

    def _dispatch(self, bus: Bus, event: Event) -> None:
        for rule in bus.match(event):
            self._trigger(rule, event)

    def _resend(self, bus: Bus, event: Event, rule_arns: frozenset[str]) -> None:
        for rule in bus.match(event):
            if not rule_arns or rule.arn in rule_arns:
                self._trigger(rule, event)

    def _trigger(self, rule: Rule, event: Event) -> None:
        if rule.managed is not None:
            rule.managed.take(event)
            return
        for target in rule.targets.values():
            self._courier.send(Parcel(target, rule.named, event))

    # ------------------------------------------------------------------ tags

    def tagged(self, arn: str) -> Bus | Rule:
        """The bus or the rule of an ARN. Raises EventsError: ResourceNotFoundException."""
        prefix, mark, path = arn.partition(":rule/")
        if not mark:
            bus = self.find(arn)
            if bus is None:
                raise missing_bus(arn.rpartition(_BUS_MARK)[2])
            return bus
        bus_name, _, name = path.rpartition("/")
        bus = self.find(f"{prefix}{_BUS_MARK}{bus_name or DEFAULT}")
        if bus is None:
            raise missing_bus(bus_name or DEFAULT)
        return bus.get(name)

    def _taggable(self, arn: str) -> Bus | Rule:
        found = self.tagged(arn)
        if isinstance(found, Rule):
            _check_free(found)
        return found

    def tag(self, arn: str, tags: Mapping[str, str]) -> None:
        """Add or replace tags of a bus or rule. Raises EventsError."""
        found = self._taggable(arn)
        found.tags = merge_tags(found.tags, tags)

    def untag(self, arn: str, keys: Sequence[str]) -> None:
        """Take tags away; a key that is not there is no error. Raises EventsError: ResourceNotFoundException."""
        found = self._taggable(arn)
        found.tags = {key: value for key, value in found.tags.items() if key not in keys}


def _check_free(rule: Rule | None) -> None:
    """A managed rule is not changed by hand. Raises EventsError: ManagedRuleException."""
    if rule is not None and rule.managed is not None:
        raise managed_rule(rule.settings.name)


def merge_tags(tags: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """Tags with more of them. Raises EventsError: LimitExceededException over fifty."""
    merged = {**tags, **more}
    if len(merged) > MAX_TAGS:
        raise limit_exceeded()
    return merged
