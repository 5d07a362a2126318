"""Invocations on their way through a proxy: what was decided for each, and what is still owed to the runtime.

Knows no socket.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import h11

from localcloud.chaos.drawing import Verdict
from localcloud.clock import Clock

__all__ = ["Deliveries", "Delivery", "Effects"]

Judge: TypeAlias = Callable[[], Verdict]


@dataclass(frozen=True, slots=True)
class Effects:
    """What a proxy does not decide. `judge` gives the verdict on the next invocation, `done` is told of each fault that
    was carried out, by its step; `kill` ends the runtime process as a crash does.
    """

    judge: Judge
    done: Callable[[int], None]
    kill: Callable[[], None]


@dataclass(slots=True)
class Delivery:
    """One event. `deadline_s` is epoch seconds, 0.0 where the head names none."""

    request_id: str
    head: h11.Response
    event: bytes
    verdict: Verdict
    deadline_s: float = 0.0
    timer: asyncio.TimerHandle | None = None


class Deliveries:
    """What is under way at one proxy."""

    def __init__(self, effects: Effects, clock: Clock) -> None:
        self.effects = effects
        self.clock = clock
        self._open: dict[str, Delivery] = {}
        self._again: deque[Delivery] = deque()
        self._lost_until_s = 0.0

    def take_in(self, head: h11.Response, event: bytes) -> Delivery:
        """An event came from Lambda: what becomes of it."""
        found = {name.lower(): value.decode("latin-1") for name, value in head.headers.raw_items()}
        request_id = found.get(b"lambda-runtime-aws-request-id", "")
        deadline = found.get(b"lambda-runtime-deadline-ms", "")
        until_s = int(deadline) / 1000 if deadline.isascii() and deadline.isdecimal() and len(deadline) < 16 else 0.0
        return Delivery(request_id, head, event, self.effects.judge(), until_s)

    def hand_over(self, delivery: Delivery) -> None:
        """The runtime gets it now; its answer is to come."""
        self._open[delivery.request_id] = delivery

    def settle(self, request_id: str) -> Delivery | None:
        """The runtime answers; None for an id that is not open."""
        delivery = self._open.pop(request_id, None)
        if delivery is not None and delivery.timer is not None:
            delivery.timer.cancel()
        return delivery

    def kill_after(self, delivery: Delivery, after_s: float) -> None:
        """Kill the runtime in the middle of this one, if it has not answered by then."""
        delivery.timer = asyncio.get_running_loop().call_later(after_s, self._kill, delivery)

    def hand_over_again(self, delivery: Delivery) -> None:
        """The next that asks gets this one a second time, as it was."""
        self._again.append(Delivery(delivery.request_id, delivery.head, delivery.event, Verdict(), delivery.deadline_s))

    def repeated(self) -> Delivery | None:
        """One that is to be handed over a second time, if there is one."""
        return self._again.popleft() if self._again else None

    def lose(self, delivery: Delivery) -> None:
        """Its answer is dropped: for Lambda it is under way until its deadline."""
        self._lost_until_s = max(self._lost_until_s, delivery.deadline_s)

    async def wait_for_lost(self) -> None:
        """Wait until the deadline of every lost one is past: until then Lambda has no other event."""
        while (left_s := self._lost_until_s - self.clock.time()) > 0:  # noqa: ASYNC110 - a date, no event
            await asyncio.sleep(left_s)

    def close(self) -> None:
        """Nothing more is to happen."""
        for delivery in self._open.values():
            if delivery.timer is not None:
                delivery.timer.cancel()

    def _kill(self, delivery: Delivery) -> None:
        self.effects.done(delivery.verdict.step)
        self.effects.kill()
