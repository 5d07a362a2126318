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

    def repeated(self, arn: str) -> None:
        """A message was sent again that was there already: nothing was put."""
        ...

    def took(self, arn: str, count: int) -> None:
        """A receive ended with so many messages."""
        ...

    def deleted(self, arn: str) -> None:
        """A deletion with a valid handle, whether there was anything left to delete or not."""
        ...

    def touched(self, arn: str) -> None:
        """Somebody named the queue in a request, or it was made."""
        ...


class Unwatched:
    """Nobody."""

    def sent(self, arn: str, held: Held) -> None:
        """Nothing."""

    def received(self, arn: str, held: Held) -> None:
        """Nothing."""

    def gone(self, held: Held) -> None:
        """Nothing."""

    def repeated(self, arn: str) -> None:
        """Nothing."""

    def took(self, arn: str, count: int) -> None:
        """Nothing."""

    def deleted(self, arn: str) -> None:
        """Nothing."""

    def touched(self, arn: str) -> None:
        """Nothing."""
