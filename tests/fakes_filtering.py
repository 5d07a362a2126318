"""In-memory ports of filtering: rules and destinations, with troubles on demand, as those of `tests.fakes`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from sluiceway.errors import Misconfigured, Rejected, SluicewayError
from sluiceway.ports.filtering import Outgoing, RuleChanges
from sluiceway.rules.filtering import Destination, FilterRule, parse_rule, write_rule
from tests.fakes import Trouble, unavailable


class MemoryFilterRuleStore:
    """Rules in a dict. `reads` counts the questions for changes, `wrong` has ids of rules that cannot be read."""

    def __init__(self, trouble: Trouble | None = None) -> None:
        self.rules: dict[tuple[str, str], tuple[FilterRule, int]] = {}
        self.gone: dict[tuple[str, str], int] = {}
        self.wrong: dict[tuple[str, str], int] = {}
        self.versions: dict[str, int] = {}
        self.reads = 0
        self.trouble = trouble or Trouble()

    def _next(self, topic: str) -> int:
        self.versions[topic] = self.versions.get(topic, 0) + 1
        return self.versions[topic]

    async def put(self, rule: FilterRule) -> FilterRule:
        await self.trouble.before("put")
        kept = self.rules.get((rule.topic, rule.rule_id))
        found = 0 if kept is None else kept[0].version
        if found != rule.version:
            why = f"version {found} of the rule is kept, and {rule.version} was to be replaced"
            raise Rejected(why if found else "no such rule is kept", reason="conflict", field="version")
        written = parse_rule({**write_rule(rule), "version": rule.version + 1})
        self.rules[rule.topic, rule.rule_id] = (written, self._next(rule.topic))
        self.gone.pop((rule.topic, rule.rule_id), None)
        await self.trouble.after("put")
        return written

    async def remove(self, topic: str, rule_id: str) -> None:
        await self.trouble.before("remove")
        if self.rules.pop((topic, rule_id), None) is not None:
            self.gone[topic, rule_id] = self._next(topic)
        await self.trouble.after("remove")

    async def get(self, topic: str, rule_id: str) -> FilterRule | None:
        await self.trouble.before("get")
        kept = self.rules.get((topic, rule_id))
        return None if kept is None else kept[0]

    def spoil(self, topic: str, rule_id: str) -> None:
        """Somebody writes nonsense in place of a rule, around the port."""
        self.rules.pop((topic, rule_id), None)
        self.wrong[topic, rule_id] = self._next(topic)

    async def changes(self, topic: str, since: int) -> RuleChanges:
        await self.trouble.before("changes")
        self.reads += 1
        version = self.versions.get(topic, 0)
        is_whole = not 0 < since <= version
        floor = 0 if is_whole else since
        return RuleChanges(
            version,
            tuple(rule for (of, _), (rule, at) in sorted(self.rules.items()) if of == topic and at > floor),
            tuple(rule_id for (of, rule_id), at in sorted(self.gone.items()) if of == topic and at > floor),
            {rule_id: "invalid-rule x" for (of, rule_id), at in self.wrong.items() if of == topic and at > floor},
            is_whole,
        )


@dataclass
class MemoryDestinations:
    """What arrived, by destination, in its order.

    `refusals`: a message id (or a rule's, its last part) and the errors that it meets first, one a sending; `trouble`
    fails whole sendings. As AWS's, an ordered destination sends nothing of a key behind what was not sent.
    """

    arrived: dict[Destination, list[Outgoing]] = field(default_factory=dict)
    refusals: dict[str, list[SluicewayError]] = field(default_factory=dict)
    sendings: list[tuple[Destination, int]] = field(default_factory=list)
    slow_s: float = 0.0
    broken: Exception | None = None
    trouble: Trouble = field(default_factory=Trouble)

    async def send(
        self, destination: Destination, messages: Sequence[Outgoing], *, deadline: float
    ) -> Sequence[SluicewayError | None]:
        self.sendings.append((destination, len(messages)))
        if self.broken is not None:
            raise self.broken
        await asyncio.sleep(self.slow_s)
        fates: list[SluicewayError | None] = []
        held: set[str] = set()
        for message in messages:
            fate = self._fate(message, deadline)
            if fate is None and message.key in held:
                fate = unavailable("send")
            if fate is None:
                self.arrived.setdefault(destination, []).append(message)
            elif destination.ordered and not isinstance(fate, Rejected | Misconfigured):
                held.add(message.key)
            fates.append(fate)
        return fates

    def _fate(self, message: Outgoing, deadline: float) -> SluicewayError | None:
        if asyncio.get_running_loop().time() >= deadline:
            return unavailable("send")
        for name in (message.message_id, message.attributes["rule"]):
            if self.refusals.get(name):
                return self.refusals[name].pop(0)
        return None
