"""One bus: its rules, and which of them an event triggers, by one index of their patterns.

The index holds the patterns of the rules that are enabled and no others. Knows no protocol and no delivery.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from localcloud.services.events.bus_policy import BusPolicy
from localcloud.services.events.envelope import Event
from localcloud.services.events.errors import EventsError, limit_exceeded, missing_rule, validation
from localcloud.services.events.event_patterns import PATTERN_LIMITS, compile_pattern, has_wildcards
from localcloud.services.events.limits import Limits
from localcloud.services.events.schedules import BadSchedule, Schedule, parse_schedule
from localcloud.services.events.target import Target
from localcloud.services.events.transform import RuleName
from sluiceway.errors import Rejected
from sluiceway.rules.index import PatternIndex
from sluiceway.rules.patterns import Pattern

__all__ = ["DEFAULT", "Bus", "Managed", "Rule", "RuleSettings"]

log = logging.getLogger(__name__)

DEFAULT: Final = "default"  # the bus that every Region has


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSettings:
    """What PutRule says of a rule; "" for what it leaves out. `tags` count for a new rule only."""

    name: str
    pattern: str = ""
    schedule: str = ""
    enabled: bool = True
    description: str = ""
    role_arn: str = ""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Managed:
    """What a rule is that a service has made: whose it is, the target that it shows, and what takes its events."""

    by: str
    target: Target
    take: Callable[[Event], None]


@dataclass(slots=True)
class Rule:
    """A rule as it is now; only its bus changes it."""

    settings: RuleSettings
    arn: str
    bus: str
    bus_arn: str
    pattern: Pattern | None
    schedule: Schedule | None
    enabled: bool
    tags: dict[str, str] = field(default_factory=dict[str, str])
    targets: dict[str, Target] = field(default_factory=dict[str, Target])
    managed: Managed | None = None

    @property
    def named(self) -> RuleName:
        """Its names."""
        return RuleName(self.arn, self.settings.name, self.bus_arn)


class Bus:
    """A bus. `description` and `dead_letter_arn` "" for none; dates in epoch seconds."""

    def __init__(self, arn: str, limits: Limits, *, now_s: float) -> None:
        self.arn = arn
        self.name = arn.partition(":event-bus/")[2]
        self.region = arn.split(":")[3]
        self.description = ""
        self.dead_letter_arn = ""
        self.tags: dict[str, str] = {}
        self.created_s = self.modified_s = now_s
        self.policy = BusPolicy(arn)
        self._limits = limits
        self._rules: dict[str, Rule] = {}
        self._index = PatternIndex[str](limits=PATTERN_LIMITS)

    @property
    def rules(self) -> list[Rule]:
        """Its rules, by name."""
        return [self._rules[name] for name in sorted(self._rules)]

    def find(self, name: str) -> Rule | None:
        """The rule of a name, None where there is none."""
        return self._rules.get(name)

    def get(self, name: str) -> Rule:
        """The rule of a name. Raises EventsError: ResourceNotFoundException."""
        rule = self._rules.get(name)
        if rule is None:
            raise missing_rule(name, self.name)
        return rule

    def put(self, settings: RuleSettings, *, managed: Managed | None = None) -> Rule:
        """Make a rule, or replace the settings of the one of this name; its targets and tags stay.

        `managed`: for a service, which has seen to the length of the pattern.

        Raises EventsError: ValidationException, InvalidEventPatternException, LimitExceededException.
        """
        if managed is None:
            self._check_length(settings)
        pattern, schedule = self._read(settings)
        before = self._rules.get(settings.name)
        self._check_quotas(settings.name, pattern, is_new=before is None)
        rule = Rule(
            settings=settings,
            arn=self._arn_of(settings.name),
            bus=self.name,
            bus_arn=self.arn,
            pattern=pattern,
            schedule=schedule,
            enabled=settings.enabled,
            managed=managed,
        )
        if before is None:
            rule.tags.update(settings.tags)
        else:
            rule.targets, rule.tags = before.targets, before.tags
        if managed is not None:
            rule.targets = {managed.target.target_id: managed.target}
        self._rules[settings.name] = rule
        self._note(rule)
        return rule

    def enable(self, name: str, *, enabled: bool) -> Rule:
        """Let a rule match, or not. Raises EventsError: ResourceNotFoundException."""
        rule = self.get(name)
        rule.enabled = enabled
        self._note(rule)
        return rule

    def delete(self, name: str) -> Rule | None:
        """Forget a rule; None where there is none. Raises EventsError where it has targets."""
        rule = self._rules.get(name)
        if rule is None:
            return None
        if rule.targets:
            raise validation("Rule can't be deleted since it has targets.")
        del self._rules[name]
        if name in self._index:
            self._index.remove(name)
        return rule

    def put_targets(self, rule: Rule, targets: Sequence[Target]) -> None:
        """Add targets, or replace those of the same ids. Raises EventsError: LimitExceededException."""
        merged = rule.targets | {target.target_id: target for target in targets}
        if len(merged) > self._limits.targets:
            raise limit_exceeded()
        rule.targets = merged

    def match(self, event: Event) -> list[Rule]:
        """The rules that an event triggers, by name."""
        try:
            names = self._index.match(event.read_for_patterns())
        except Rejected as error:  # it says paths of patterns in so many ways that nobody can decide
            log.warning("events.undecidable", extra={"bus": self.arn, "event": event.event_id, "reason": error.reason})
            return []
        return [self._rules[name] for name in sorted(names)]

    def _read(self, settings: RuleSettings) -> tuple[Pattern | None, Schedule | None]:
        if settings.pattern in {"", "{}"} and not settings.schedule:
            raise validation("Parameter(s) EventPattern or ScheduleExpression must be specified.")
        schedule = None
        if settings.schedule:
            if self.name != DEFAULT:
                raise validation("ScheduleExpression is supported only on the default event bus.")
            try:
                schedule = parse_schedule(settings.schedule)
            except BadSchedule as error:
                raise validation("Parameter ScheduleExpression is not valid.") from error
        if not settings.pattern:
            return None, schedule
        return compile_pattern(settings.pattern), schedule

    def _check_length(self, settings: RuleSettings) -> None:
        limit = self._limits.pattern_chars
        if len(settings.pattern) > limit:
            raise validation(f"Parameter EventPattern for rule {settings.name} exceeds limit of {limit}.")

    def _check_quotas(self, name: str, pattern: Pattern | None, *, is_new: bool) -> None:
        if is_new and len(self._rules) >= self._limits.rules:
            raise limit_exceeded()
        if pattern is None or not has_wildcards(pattern):
            return
        others = (rule.pattern for rule in self._rules.values() if rule.settings.name != name)
        if sum(other is not None and has_wildcards(other) for other in others) >= self._limits.wildcard_rules:
            raise EventsError(
                "LimitExceededException",
                f"An event bus takes {self._limits.wildcard_rules} rules with wildcards in their patterns.",
            )

    def _note(self, rule: Rule) -> None:
        name = rule.settings.name
        if rule.enabled and rule.pattern is not None:
            self._index.add(name, rule.pattern)
        elif name in self._index:
            self._index.remove(name)

    def _arn_of(self, name: str) -> str:
        prefix = self.arn.partition(":event-bus/")[0]
        return f"{prefix}:rule/{name}" if self.name == DEFAULT else f"{prefix}:rule/{self.name}/{name}"
