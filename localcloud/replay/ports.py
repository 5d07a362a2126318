"""What a replay needs of where it reads and where it sends. Sources and targets stand in folders of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from localcloud.replay.items import Item, Outcome

__all__ = ["Outlook", "Source", "Target"]


class Outlook(NamedTuple):
    """What is known of how far it goes. `end_ms`: records end at this date (epoch), 0 where nobody knows.

    `total`: how many there are about, 0 where nobody knows.
    """

    end_ms: int = 0
    total: int = 0


class Source(Protocol):
    """Items, one after the other, and what becomes of them where they lie."""

    @property
    def outlook(self) -> Outlook:
        """How far it goes, as far as is known now."""
        ...

    async def next(self) -> Item | None:
        """The next item, None once there is none. Cancelling it ends the source. Raises SluicewayError."""
        ...

    def cursor(self) -> Mapping[str, Any]:
        """Where another run goes on behind the items given out so far, as JSON. Empty: the source keeps that itself."""
        ...

    async def settle(self, outcomes: Sequence[Outcome]) -> None:
        """These were taken or refused; called once for each item that was given out, unless the run breaks off."""
        ...


class Target(Protocol):
    """Takes items or refuses them."""

    async def send(self, items: Sequence[Item]) -> list[str]:
        """Why each was refused, "" where it was taken; in their order.

        Raises SluicewayError where it cannot be told of all of them: then the run ends, and begins again before them.
        """
        ...

    def mark(self) -> Mapping[str, Any]:
        """What another run needs to go on behind what was taken so far, as JSON. Empty for most."""
        ...
