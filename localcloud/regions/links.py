"""The links between Regions: how long messages take, which ones are cut, and what is still under way.

Owns lag, partition and pause; knows nothing of what the messages say. Everything waits on the event loop and every lag
is drawn from the given randomness, so a seed gives the same run again.

A direction (source, target) is blocked while it is cut, while a Region at one of its ends is dark, or while a channel
is paused there. A message that arrives at a blocked direction is held. A lane holds the latest message alone: what a
later message of the lane replaces is never delivered, so that what is held is bounded by the number of lanes, however
long a partition lasts.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Final

__all__ = ["HOP", "REPLICATION", "Lag", "Links", "Route"]


@dataclass(frozen=True, slots=True)
class Lag:
    """How long messages take: log-normal about `median_s`, never more than `most_s`; `spread` 0 is a constant."""

    median_s: float
    spread: float = 0.0
    most_s: float = 60.0

    def draw(self, rng: Random) -> float:
        """Seconds for one message."""
        if not self.spread:
            return min(self.median_s, self.most_s)
        return min(self.most_s, self.median_s * math.exp(rng.gauss(0.0, self.spread)))


# V2globaltables_HowItWorks.html: changes arrive "typically within a second or less"
REPLICATION: Final = Lag(median_s=0.3, spread=0.5, most_s=5.0)
HOP: Final = Lag(median_s=0.02, spread=0.3, most_s=0.5)  # one way between near Regions, for what is waited for


@dataclass(frozen=True, slots=True)
class Route:
    """Where a message goes, and the channel (what is replicated, such as a table) that it belongs to."""

    source: str
    target: str
    channel: str


@dataclass(slots=True)
class _Message:
    """One message; `since_s` is when the oldest change it stands for was sent, in the loop's time."""

    number: int
    route: Route
    lane: Hashable
    deliver: Callable[[], None]
    lag: Lag
    since_s: float
    timer: asyncio.TimerHandle | None = field(default=None)


class Links:
    """Every link between the Regions of one local cloud. Not for use by several threads.

    `lag`: of replication; `hop`: one way, of what a caller waits for.
    """

    def __init__(self, *, rng: Random, lag: Lag = REPLICATION, hop: Lag = HOP) -> None:
        self.lag = lag
        self.hop = hop
        self._rng = rng
        self._cuts: set[tuple[str, str]] = set()
        self._pauses: set[tuple[str, str]] = set()
        self._dark: set[str] = set()
        self._flying: dict[int, _Message] = {}
        self._held: dict[tuple[Route, Hashable], _Message] = {}
        self._count = 0
        self._channels: Counter[str] = Counter()
        self._idle: set[asyncio.Future[None]] = set()

    def cut(self, source: str, target: str) -> None:
        """Let nothing through from `source` to `target`; the other direction is as it was."""
        self._cuts.add((source, target))

    def heal(self, source: str, target: str) -> None:
        """Let messages through again; what was held sets out now."""
        self._cuts.discard((source, target))
        self._release()

    def isolate(self, region: str, others: Iterable[str]) -> None:
        """Cut `region` off from `others`, both ways."""
        for other in others:
            self.cut(region, other)
            self.cut(other, region)

    def darken(self, region: str) -> None:
        """Let nothing in or out of `region`, whatever is cut beside."""
        self._dark.add(region)

    def light(self, region: str) -> None:
        """Undo `darken`; what was held sets out now."""
        self._dark.discard(region)
        self._release()

    @property
    def dark(self) -> frozenset[str]:
        """The Regions that nothing reaches."""
        return frozenset(self._dark)

    @property
    def cuts(self) -> frozenset[tuple[str, str]]:
        """The directions that are cut."""
        return frozenset(self._cuts)

    @property
    def pauses(self) -> frozenset[tuple[str, str]]:
        """The channels that are paused, with the Region of each."""
        return frozenset(self._pauses)

    def heal_all(self) -> None:
        """Undo every cut, pause and darkness."""
        self._cuts.clear()
        self._pauses.clear()
        self._dark.clear()
        self._release()

    def pause(self, channel: str, region: str) -> None:
        """Stop a channel's messages from and to `region`, as AWS FIS pauses a global table's replication."""
        self._pauses.add((channel, region))

    def resume(self, channel: str, region: str) -> None:
        """End a pause; what was held sets out now."""
        self._pauses.discard((channel, region))
        self._release()

    def is_blocked(self, route: Route) -> bool:
        """Whether nothing passes now."""
        is_cut = (route.source, route.target) in self._cuts or not self._dark.isdisjoint((route.source, route.target))
        return is_cut or any((route.channel, end) in self._pauses for end in (route.source, route.target))

    def send(self, route: Route, lane: Hashable, deliver: Callable[[], None], *, lag: Lag | None = None) -> None:
        """Call `deliver` at the other end when the message arrives. `lag` None is the links' own; of 0 s, at once."""
        self._count += 1
        now = asyncio.get_running_loop().time()
        self._channels[route.channel] += 1
        self._set_out(_Message(self._count, route, lane, deliver, lag or self.lag, now))

    async def cross(self, route: Route) -> bool:
        """Wait while one message crosses; False where the direction was blocked when it arrived."""
        await asyncio.sleep(self.hop.draw(self._rng))
        return not self.is_blocked(route)

    def pending(self, source: str, target: str) -> int:
        """How many messages of a direction have not arrived, those that are held included."""
        return len(self._pending(source, target))

    def oldest_lag_s(self, source: str, target: str) -> float:
        """For how long the oldest change of a direction has been under way, in seconds; 0 where there is none."""
        oldest = min((message.since_s for message in self._pending(source, target)), default=None)
        return 0.0 if oldest is None else asyncio.get_running_loop().time() - oldest

    def directions(self) -> list[tuple[str, str]]:
        """The directions that are cut or have something under way, sorted: what a console shows."""
        busy = {(message.route.source, message.route.target) for message in self._messages()}
        return sorted(busy | self._cuts)

    def is_quiet(self, channel: str) -> bool:
        """Whether no message of `channel` is under way."""
        return not self._channels[channel]

    async def drained(self) -> None:
        """Wait until no message is under way. Without end while something is held."""
        while self._flying or self._held:
            waiting = asyncio.get_running_loop().create_future()
            self._idle.add(waiting)
            try:
                await waiting
            finally:
                self._idle.discard(waiting)

    def flush(self) -> None:
        """Deliver at once whatever is not blocked: for the end of the process."""
        for message in sorted(self._flying.values(), key=lambda message: message.number):
            if message.timer is not None:
                message.timer.cancel()
            self._arrive(message)

    def _messages(self) -> list[_Message]:
        return [*self._flying.values(), *self._held.values()]

    def _pending(self, source: str, target: str) -> list[_Message]:
        return [item for item in self._messages() if (item.route.source, item.route.target) == (source, target)]

    def _set_out(self, message: _Message) -> None:
        if self.is_blocked(message.route):
            self._hold(message)
            return
        self._flying[message.number] = message
        delay_s = message.lag.draw(self._rng)
        if delay_s <= 0:
            self._arrive(message)
            return
        message.timer = asyncio.get_running_loop().call_later(delay_s, self._arrive, message)

    def _arrive(self, message: _Message) -> None:
        del self._flying[message.number]
        if self.is_blocked(message.route):
            self._hold(message)
            return
        self._channels[message.route.channel] -= 1
        try:
            message.deliver()
        finally:
            self._wake()

    def _hold(self, message: _Message) -> None:
        place = (message.route, message.lane)
        other = self._held.get(place)
        if other is not None:
            self._channels[message.route.channel] -= 1
            since_s = min(other.since_s, message.since_s)
            message = max(other, message, key=lambda item: item.number)
            message.since_s = since_s
        self._held[place] = message

    def _release(self) -> None:
        free = [place for place, message in self._held.items() if not self.is_blocked(message.route)]
        for place in free:
            self._set_out(self._held.pop(place))

    def _wake(self) -> None:
        if self._flying or self._held:
            return
        for waiting in self._idle:
            if not waiting.done():
                waiting.set_result(None)
