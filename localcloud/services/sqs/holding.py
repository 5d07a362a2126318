"""The messages of one queue by state, and the moments at which they become visible or too old.

Owns the counts and the two heaps, and tells the line of every change. Knows no producer, no consumer and no keeper.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from typing import Final

from localcloud.clock import Clock
from localcloud.services.sqs.deadlines import Deadlines
from localcloud.services.sqs.held import TIMED, Depth, Held, State
from localcloud.services.sqs.line import Line

__all__ = ["MAX_IN_FLIGHT", "TICK_S", "Holding"]

MAX_IN_FLIGHT: Final = 120_000  # quotas-queues and quotas-fifo pages of the SQS developer guide
TICK_S: Final = 1e-6  # timers fire up to the loop's resolution early; what is due within it is due


class Holding:
    """`retention_s` is the queue's present retention, `on_gone` hears of every message that leaves."""

    def __init__(
        self, line: Line, *, clock: Clock, retention_s: Callable[[], int], on_gone: Callable[[Held], None]
    ) -> None:
        self.line = line
        self.messages: dict[str, Held] = {}
        self.count = dict.fromkeys(State, 0)
        self._clock = clock
        self._retention_s = retention_s
        self._on_gone = on_gone
        self._waiting = Deadlines[Held](lambda held, turn: held.turn == turn and held.state in TIMED)
        self._expiring = Deadlines[Held](lambda held, _: held.state is not State.GONE)

    @property
    def depth(self) -> Depth:
        """How many messages there are, by what was last known of each."""
        return Depth(self.count[State.VISIBLE], self.count[State.IN_FLIGHT], self.count[State.DELAYED])

    def add(self, held: Held) -> None:
        """A message comes in; `move` or `hide` says next where it is in its life."""
        self.messages[held.message_id] = held
        self.count[held.state] += 1
        self._expiring.add(held.kept_since_s, held)
        self.line.add(held)

    def move(self, held: Held, state: State) -> None:
        """It is visible, or gone, from now on."""
        before, held.state = held.state, state
        self.count[before] -= 1
        self.count[state] += 1
        self.line.moved(held, before)

    def hide(self, held: Held, due: float, state: State) -> None:
        """It is delayed or in flight until `due`, in the loop's time."""
        held.due, held.turn = due, self._waiting.add(due, held)
        self.move(held, state)
        self._waiting.compact(self._timed())

    def drop(self, held: Held) -> None:
        """It leaves the queue."""
        self.move(held, State.GONE)
        del self.messages[held.message_id]
        self._on_gone(held)
        self._expiring.compact(len(self.messages))
        self._waiting.compact(self._timed())

    def advance(self) -> None:
        """Show what is due, forget what is too old."""
        for held in self._waiting.due(asyncio.get_running_loop().time() + TICK_S):
            self.move(held, State.VISIBLE)
        for held in self._expiring.due(self._clock.time() - self._retention_s()):
            self.drop(held)

    def take_out(self, may_go: Callable[[Held], bool]) -> Held | None:
        """Drop the message that would be received next, if it may go; None where it stays, or none is visible."""
        self.advance()
        with closing(self.line.take()) as due:
            held = next(due, None)
            if held is None:
                return None
            if may_go(held):
                self.drop(held)
                return held
            self.move(held, State.VISIBLE)  # a line that has given a message has to hear what became of it
        return None

    @property
    def is_ready(self) -> bool:
        """Whether a receive would find something."""
        return self.room > 0 and self.line.is_ready

    @property
    def room(self) -> int:
        """How many more may be in flight."""
        return MAX_IN_FLIGHT - self.count[State.IN_FLIGHT]

    def next_due(self) -> float | None:
        """When that may change next by itself: a message becomes visible, or one that others wait for is too old."""
        due = self._waiting.next_due()
        oldest_s = self._expiring.next_due() if self.line.has_blocked else None
        if oldest_s is None:
            return due
        gone_at = asyncio.get_running_loop().time() + (oldest_s + self._retention_s() - self._clock.time())
        return gone_at if due is None else min(due, gone_at)

    def _timed(self) -> int:
        return self.count[State.DELAYED] + self.count[State.IN_FLIGHT]
