"""Many event patterns at once: which of them an event matches, without trying each.

    index = PatternIndex()
    index.add("large orders", '{"source": ["shop"], "detail": {"total": [{"numeric": [">", 100]}]}}')
    index.match({"source": "shop", "detail": {"total": 120}})  # {"large orders"}

The index only chooses which patterns are tried (`nodes`); the patterns themselves decide. So it answers exactly what
its patterns answer one by one, whatever was added and removed before. Not for several threads at once.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Final, Generic, TypeVar, cast

from sluiceway.rules.index.nodes import Condition, Entry, Node
from sluiceway.rules.patterns import Limits, Pattern
from sluiceway.rules.patterns.decoding import read_event
from sluiceway.rules.patterns.fields import Field
from sluiceway.rules.patterns.paths import MAX_WORK, Paths
from sluiceway.rules.patterns.syntax import read_ways
from sluiceway.rules.patterns.ways import Way

__all__ = ["PatternIndex"]

RuleId = TypeVar("RuleId", bound=Hashable)
_DEFAULT: Final = Limits()


class PatternIndex(Generic[RuleId]):
    """Patterns by the id of their rule, any hashable. `len()` counts rules."""

    __slots__ = ("_conditions", "_entries", "_limits", "_paths", "_root", "_rules")

    def __init__(self, *, limits: Limits = _DEFAULT) -> None:
        self._limits = limits
        self._rules: dict[RuleId, tuple[Entry, ...]] = {}
        self._entries: dict[tuple[Field, ...], Entry] = {}
        self._conditions: dict[Field, Condition] = {}
        self._paths = Paths()
        self._root = Node()

    def __len__(self) -> int:
        return len(self._rules)

    def __contains__(self, rule_id: object) -> bool:
        return rule_id in self._rules

    def add(self, rule_id: RuleId, pattern: str | bytes | Mapping[str, object] | Pattern) -> None:
        """Add a rule; one that has this id already is replaced. Raises: InvalidPattern, and then nothing is changed."""
        ways = pattern.ways if isinstance(pattern, Pattern) else read_ways(pattern, self._limits)
        if rule_id in self._rules:
            self.remove(rule_id)
        self._rules[rule_id] = entries = tuple(map(self._enter, ways))
        for entry in entries:
            entry.rules.add(rule_id)

    def remove(self, rule_id: RuleId) -> None:
        """Remove a rule. Raises: KeyError for an id that is not here."""
        for entry in set(self._rules.pop(rule_id)):
            entry.rules.discard(rule_id)
            if not entry.rules:
                self._forget(entry)

    def _enter(self, way: Way) -> Entry:
        entry = self._entries.get(way.fields)
        if entry is None:
            conditions = tuple(map(self._share, way.fields))
            entry = self._entries[conditions] = Entry(conditions)
            self._root.add(entry)
        return entry

    def _share(self, field: Field) -> Condition:
        condition = self._conditions.get(field)
        if condition is None:
            condition = Condition(field)
            self._conditions[condition] = condition
            self._paths.add(field.path)
        condition.uses += 1
        return condition

    def _forget(self, entry: Entry) -> None:
        del self._entries[entry.conditions]
        for node in entry.places:
            node.remove(entry)
        for condition in entry.conditions:
            condition.uses -= 1
            if not condition.uses:
                del self._conditions[condition]
                self._paths.remove(condition.path)

    def match(self, event: str | bytes | Mapping[str, object], *, work: int = MAX_WORK) -> set[RuleId]:
        """The ids of the rules that `event`, JSON text or decoded JSON, matches. Raises: as Pattern.matches.

        `work`: how many values may be tried, and looked at, where there is no time for MAX_WORK of them.
        """
        decoded = read_event(event)
        found = self._paths.find(decoded, work=work)
        matched = set[Hashable]()
        for entry in self._root.find(found):
            if entry.holds(found, decoded):
                matched |= entry.rules
        return cast("set[RuleId]", matched)
