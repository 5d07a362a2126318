"""Who hears what becomes of each message (the console's traces do). Knows neither queues nor what is made of it."""

from __future__ import annotations

from typing import Protocol

from localcloud.services.sqs.held import Held

__all__ = ["Unwatched", "Watch"]


class Watch(Protocol):
    """Told in the event loop, as it happens; must be quick and never raise. `arn`: the queue's."""

    def sent(self, arn: str, held: Held) -> None:
        """A message came: from a producer, or from the queue whose dead letter it is."""
        ...

    def received(self, arn: str, held: Held) -> None:
        """A receive takes it; the receive is counted, and `due` is still when it became visible (0: at once)."""
        ...

    def gone(self, held: Held) -> None:
        """The queue has it no longer."""
        ...


class Unwatched:
    """Nobody."""

    def sent(self, arn: str, held: Held) -> None:
        """Nothing."""

    def received(self, arn: str, held: Held) -> None:
        """Nothing."""

    def gone(self, held: Held) -> None:
        """Nothing."""
