"""Channels that clients listen to: the port of functions that publish events to them.

Knows what a publication came to; not who carries it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from sluiceway.errors import SluicewayError

__all__ = ["MAX_EVENT_BYTES", "Channels", "FailedEvent", "Publication"]

MAX_EVENT_BYTES: Final = 245_760  # 240 KB, https://docs.aws.amazon.com/appsync/latest/eventapi/event-api-concepts.html


@dataclass(frozen=True, slots=True)
class FailedEvent:
    """An event that was refused, alone among those sent with it: its place among the given ones, and the reason."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Publication:
    """What a publication came to. `failed`: events that a handler refused, in order.

    `unsent` events, the last ones given, were not taken because of `error`; 0 and None where all were.
    """

    failed: tuple[FailedEvent, ...] = ()
    unsent: int = 0
    error: SluicewayError | None = None


class Channels(Protocol):
    """Publishes events to channels."""

    async def publish(self, channel: str, events: Sequence[str], *, deadline: float | None = None) -> Publication:
        """Publish `events`, each a JSON text of at most 240 KB, in their order to one channel (`/namespace/room/7`).

        `deadline` is on the event loop's clock, in seconds. Raises `Rejected` (`event-too-large`, `invalid-channel`, or
        what the service says), `Retryable` and `Misconfigured`: then nothing was published, unless an answer was lost
        on its way, which is `Retryable`.
        """
        ...
