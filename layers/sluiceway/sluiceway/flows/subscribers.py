"""Who has subscribed: read from the store now and then, and indexed by what is wanted.

Owns how long subscriptions are believed, and whose are over. Must not know how anything is posted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

from sluiceway import log
from sluiceway.errors import Misconfigured, Rejected, Retryable
from sluiceway.ports import Clock, Subscription
from sluiceway.ports.fan_out import PartedSubscriptions
from sluiceway.rules.access import DENY_ALL, AccessRules, read_viewer
from sluiceway.rules.subscriptions import Filter, Lens, SubscriptionSet
from sluiceway.rules.topics import part_of

__all__ = ["SubscriberCache", "Subscribers"]

CACHE_MS: Final = 2_000  # that subscriptions are believed: a new one begins, and an ended one ends, this late at most


class Subscribers(NamedTuple):
    """Those of some parts of a topic, `number` of them: `held` by what they want, and those whose time is `over`."""

    held: SubscriptionSet[Subscription]
    over: tuple[Subscription, ...]
    number: int


class _Known(NamedTuple):
    """What was read at `at_ms`."""

    at_ms: int
    found: tuple[Subscription, ...]
    subscribers: Subscribers


class SubscriberCache:
    """Who has subscribed, read again after CACHE_MS; lives as long as the execution environment.

    The index of their filters is made anew only when they have changed.
    """

    def __init__(self, store: PartedSubscriptions, clock: Clock, access: AccessRules = DENY_ALL) -> None:
        self._store = store
        self._clock = clock
        self._access = access
        self._known: dict[tuple[str, tuple[int, ...]], _Known] = {}
        self._struck: set[Subscription] = set()
        self.parts = tuple(range(store.parts))

    async def read(self, topic: str, parts: tuple[int, ...]) -> Subscribers:
        """The subscribers of these parts of a topic. Raises what the store raises."""
        now_ms = self._clock.now_ms()
        known = self._known.get((topic, parts))
        if known is not None and 0 <= now_ms - known.at_ms < CACHE_MS:
            return known.subscribers
        stored = await self._read_parts(topic, parts)
        found = tuple(each for each in stored if not self.is_over(each))
        over = tuple(each for each in stored if self.is_over(each))
        self._struck = {each for each in self._struck if not self._is_of(each, topic, parts)}
        if known is None or found != known.found:
            known = _Known(now_ms, found, Subscribers(_hold(found, self._access), over, len(found)))
        known = known._replace(at_ms=now_ms, subscribers=known.subscribers._replace(over=over))
        self._known[topic, parts] = known
        return known.subscribers

    def is_over(self, subscription: Subscription) -> bool:
        """Whether the time of its connection, or of its token, has passed."""
        return subscription.expires_s * 1000 <= self._clock.now_ms()

    def to_loop_time(self, epoch_ms: int) -> float:
        """That date on the event loop's clock."""
        return asyncio.get_running_loop().time() + (epoch_ms - self._clock.now_ms()) / 1000

    async def strike(self, subscription: Subscription) -> None:
        """Forget one whose connection is over. Where the store does not, a post after the next read finds out again."""
        self._struck.add(subscription)
        try:
            await self._store.drop(subscription)
        except (Retryable, Misconfigured, Rejected) as error:
            log.failure("broadcast.not_dropped", error)

    def pass_over(self, subscription: Subscription) -> None:
        """Post nothing more to it until the subscribers are read again."""
        self._struck.add(subscription)

    def is_struck(self, subscription: Subscription) -> bool:
        """Whether it was struck, or passed over, since the subscribers were read."""
        return subscription in self._struck

    def _is_of(self, subscription: Subscription, topic: str, parts: tuple[int, ...]) -> bool:
        return subscription.topic == topic and part_of(subscription.connection_id, len(self.parts)) in parts

    async def _read_parts(self, topic: str, parts: tuple[int, ...]) -> Sequence[Subscription]:
        if len(parts) == 1:
            return await self._store.of_part(topic, parts[0])
        try:
            async with asyncio.TaskGroup() as group:
                reads = [group.create_task(self._store.of_part(topic, part)) for part in parts]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        return [each for read in reads for each in read.result()]


def _hold(found: Sequence[Subscription], access: AccessRules) -> SubscriptionSet[Subscription]:
    """The subscriptions of those who may still read the topic, each through what it may see."""
    lenses: dict[str, Lens] = {}
    seeing: list[tuple[Filter, Subscription]] = []
    for each in found:
        try:
            view = access.view(each.topic, read_viewer(each.viewer))
        except Rejected:
            view = None  # nobody knows who looks
        if view is not None:
            lenses[view.name] = view
            seeing.append((Filter(each.pattern, each.columns, view.name), each))
    if len(seeing) < len(found):
        log.warning("broadcast.forbidden", subscriptions=len(found) - len(seeing))
    held = SubscriptionSet(seeing, lenses)
    if held.unusable:
        log.warning("broadcast.unusable_filters", filters=len(held.unusable))
    return held
