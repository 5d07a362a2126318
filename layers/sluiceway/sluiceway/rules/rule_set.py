"""The rules of one topic as they stand: indexed, changed one at a time, and asked of each record.

A record is looked up once in an index of all patterns, and shown once for each distinct list of columns and masks,
however many rules share it; where there are more than MAX_SHOWN of these, some are shown again rather than all held. A
rule that cannot be used is kept apart with its reason, and matches nothing: not even as it was before, since a rule
that was narrowed by mistake must not go on as wide as it was. Must not know stores, streams or destinations. Not for
several threads at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from sluiceway.errors import Misconfigured, Rejected
from sluiceway.rules.filtering import FilterRule, needs_key
from sluiceway.rules.index import PatternIndex
from sluiceway.rules.masking import Cell, MaskKey, Plan, Spec, combine
from sluiceway.rules.selecting import LIMITS

__all__ = ["Match", "RuleSet"]

SPARE_PLANS: Final = 100
MAX_SHOWN: Final = 64  # ways in which a record is held as rules show it


class Match(NamedTuple):
    """A rule that a record matches, what it sends of it, and the plan that says so."""

    rule: FilterRule
    shown: Mapping[str, object]
    plan: Plan


_Part = tuple[tuple[str, ...], tuple[tuple[str, Cell], ...]]


class RuleSet:
    """The rules of one topic, by id. `own_stream`: the stream that they are fed from, which none may write to."""

    def __init__(self, *, own_stream: str = "", key: MaskKey | None = None) -> None:
        self.unusable: dict[str, str] = {}
        """Rules that are passed over, and the reason's code."""
        self._own_stream = own_stream
        self._key = key
        self._rules: dict[str, FilterRule] = {}
        self._every: set[str] = set()
        self._index = PatternIndex[str](limits=LIMITS)
        self._plans: dict[_Part, Plan] = {}

    def __len__(self) -> int:
        """How many rules are in use."""
        return len(self._rules)

    def __contains__(self, rule_id: object) -> bool:
        return rule_id in self._rules

    @property
    def ids(self) -> set[str]:
        """The rules that are known, unusable ones too."""
        return {*self._rules, *self.unusable}

    def get(self, rule_id: str) -> FilterRule | None:
        """A rule that is in use."""
        return self._rules.get(rule_id)

    def put(self, rule: FilterRule) -> None:
        """Use a rule in place of an earlier one of its id; one that is not enabled takes the earlier one's place."""
        self.remove(rule.rule_id)
        if not rule.enabled:
            return
        if rule.destination.kind == "stream" and rule.destination.target == self._own_stream:
            self.pass_over(rule.rule_id, "feeds-itself")
            return
        if needs_key(rule) and self._key is None:
            self.pass_over(rule.rule_id, "no-mask-key")
            return
        try:
            if rule.pattern:
                self._index.add(rule.rule_id, rule.pattern)
            else:
                self._every.add(rule.rule_id)
            self._plan(rule)
        except (Rejected, Misconfigured):
            self.pass_over(rule.rule_id, "invalid-pattern")
            return
        self._rules[rule.rule_id] = rule

    def pass_over(self, rule_id: str, reason: str) -> None:
        """Use a rule no more, since it is wrong."""
        self.remove(rule_id)
        self.unusable[rule_id] = reason

    def remove(self, rule_id: str) -> None:
        """Use a rule no more; nothing where it is not in use."""
        self.unusable.pop(rule_id, None)
        self._every.discard(rule_id)
        if rule_id in self._index:
            self._index.remove(rule_id)
        self._rules.pop(rule_id, None)

    def match(self, record: Mapping[str, object]) -> Iterator[Match]:
        """The rules that a decoded record matches, by id, and what each sends: made one after the other, as asked for.

        Of the rules as they are now, whatever is changed meanwhile. Raises: Rejected (`ambiguous-event`), before the
        first.
        """
        matched = self._every | self._index.match(record) if len(self._index) else self._every
        return self._show(record, [self._rules[rule_id] for rule_id in sorted(matched)])

    def _show(self, record: Mapping[str, object], rules: Sequence[FilterRule]) -> Iterator[Match]:
        shown: dict[Plan, Mapping[str, object]] = {}
        for rule in rules:
            plan = self._plan(rule)
            if plan not in shown:
                if len(shown) >= MAX_SHOWN:
                    shown.clear()
                shown[plan] = plan.show(record)
            yield Match(rule, shown[plan], plan)

    def _plan(self, rule: FilterRule) -> Plan:
        part = (rule.columns, rule.masks)
        plan = self._plans.get(part)
        if plan is None:
            if len(self._plans) > SPARE_PLANS + len(self._rules):
                self._plans.clear()  # most of them were of rules that are gone
            plan = self._plans[part] = combine([Spec(*part)], [], self._key)
        return plan
