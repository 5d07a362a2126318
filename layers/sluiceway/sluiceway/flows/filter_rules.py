"""The rules of a topic as a running function knows them: read again while it runs, so that none waits for a deployment.

Owns how old they may be. Every five seconds the table is asked what has changed, and only that is taken over. While the
table is away, rules serve on for half a minute; then batches fail and come again, since a rule may have been narrowed
that nobody here knows of. Must not know what becomes of records.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from sluiceway import log
from sluiceway.errors import Retryable
from sluiceway.ports import Clock
from sluiceway.ports.filtering import FilterRuleStore, RuleChanges
from sluiceway.rules.masking import MaskKey
from sluiceway.rules.rule_set import RuleSet
from sluiceway.steps.metrics import count

__all__ = ["FRESH_MS", "STALE_MS", "RuleWatch"]

FRESH_MS: Final = 5_000  # rules are not asked for again
STALE_MS: Final = 30_000  # rules serve while the table is away
WHOLE_MS: Final = 3_600_000  # after so long the changes since may be forgotten by the table: everything is read
MAX_TOLD: Final = 20  # rules that are named in the log at once


@dataclass(slots=True)
class _Known:
    """What is known of one topic. `at_ms`: when the table last answered, None before it ever has."""

    rules: RuleSet
    version: int = 0
    at_ms: int | None = None


class RuleWatch:
    """The rules of the topics; lives as long as the execution environment."""

    def __init__(self, store: FilterRuleStore, clock: Clock, *, key: MaskKey | None = None) -> None:
        self._store = store
        self._clock = clock
        self._key = key
        self._known: dict[str, _Known] = {}
        self._reading = asyncio.Lock()

    async def read(self, topic: str, stream: str) -> RuleSet:
        """The rules of a topic, which `stream` carries. Raises what the store raises."""
        async with self._reading:
            known = self._known.setdefault(topic, _Known(RuleSet(own_stream=stream, key=self._key)))
            now_ms = self._clock.now_ms()
            if known.at_ms is None or not 0 <= now_ms - known.at_ms < FRESH_MS:
                await self._refresh(topic, known, now_ms)
            return known.rules

    async def _refresh(self, topic: str, known: _Known, now_ms: int) -> None:
        is_forgotten = known.at_ms is None or not 0 <= now_ms - known.at_ms < WHOLE_MS
        try:
            changes = await self._store.changes(topic, 0 if is_forgotten else known.version)
        except Retryable as error:
            if known.at_ms is None or not 0 <= now_ms - known.at_ms < STALE_MS:
                raise
            log.failure("filter.rules_stale", error)
            count("RulesStale")
            return
        _take_over(changes, known.rules)
        known.version, known.at_ms = changes.version, now_ms
        if known.rules.unusable:
            count("RulesUnusable", len(known.rules.unusable))
        if changes.rules or changes.removed or changes.wrong:
            _tell(changes, known.rules)


def _take_over(changes: RuleChanges, rules: RuleSet) -> None:
    kept = {rule.rule_id for rule in changes.rules} | changes.wrong.keys()
    for rule_id in rules.ids - kept if changes.is_whole else changes.removed:
        rules.remove(rule_id)
    for rule_id, reason in changes.wrong.items():
        rules.pass_over(rule_id, reason)
    for rule in changes.rules:
        if rules.get(rule.rule_id) != rule:
            rules.put(rule)


def _tell(changes: RuleChanges, rules: RuleSet) -> None:
    log.info("filter.rules_changed", version=changes.version, rules=len(rules), unusable=len(rules.unusable))
    changed = {rule.rule_id for rule in changes.rules} | changes.wrong.keys()
    for rule_id in sorted(changed & rules.unusable.keys())[:MAX_TOLD]:
        log.warning("filter.rule_unusable", rule=rule_id, reason=rules.unusable[rule_id])
