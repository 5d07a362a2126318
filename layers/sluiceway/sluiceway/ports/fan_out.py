"""What fanning out needs of the outside: subscribers in parts, workers that serve a part, and the orders that they get.

A part of a topic's subscribers is told by its number, from 0; which part a connection is of is the store's rule.
"""

from __future__ import annotations

from typing import Protocol

from sluiceway.errors import Retryable
from sluiceway.events.fan_out import PartOrder, PartReport
from sluiceway.ports import Subscription

__all__ = ["NotBegun", "PartWorkers", "PartedSubscriptions"]


class NotBegun(Retryable):
    """The worker has not begun, for certain: nobody was posted to, and the same order may be given again."""


class PartedSubscriptions(Protocol):
    """Who wants which records, by topic and part."""

    @property
    def parts(self) -> int:
        """How many parts a topic has."""
        ...

    async def of_part(self, topic: str, part: int) -> tuple[Subscription, ...]:
        """The subscriptions of one part, in the order of their connections; what was written a moment ago may lack."""
        ...

    async def drop(self, subscription: Subscription) -> None:
        """As `SubscriptionStore.drop`."""
        ...


class PartWorkers(Protocol):
    """Invocations that each serve a part."""

    async def serve(self, order: PartOrder, *, deadline: float) -> PartReport:
        """Let one worker serve the order; returns when it has. `deadline` is on the event loop's clock, in seconds.

        Raises `NotBegun` where it has not begun for certain, `Retryable` where nobody knows what it does until its
        order's own end, `Misconfigured` where this deployment may not ask.
        """
        ...
