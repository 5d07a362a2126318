"""How fast executions begin and go on: AWS's token buckets, and turns that leave the event loop to others between.

A bucket is an account's in one Region. A turn is ours: of all lines of states of all executions only a few go on before
whoever else waits on the event loop is let in, and after a round of turns there is a rest; so the other ports answer
while a machine runs wild. What a state costs is counted, not measured: a virtual clock gives the same run every time.
Source: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html#service-limits-api-state-throttling
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

from localcloud.services.states.errors import StatesError

__all__ = ["Admission", "Pacer"]

MAX_OPEN: Final = 1_000_000  # "Maximum open executions per account"; Express ones do not count
_LARGE: Final = frozenset({"us-east-1", "us-west-2", "eu-west-1"})
_EXPRESS: Final = "EXPRESS"

VISITS_A_TURN: Final = 4  # ours: some 0.5 ms of work
UNITS: Final = 16  # ours: states that may follow each other without a rest, some 3 ms of work
UNITS_A_SECOND: Final = 3200  # ours: so half of the time is left to others
UNITS_A_CALL: Final = 4  # ours: a call of a service costs as much as so many states
CHARS_A_UNIT: Final = 4096  # ours: that much of a state's data costs to write what a small state costs


@dataclass(slots=True)
class _Bucket:
    """Starts full; `rate` a second, `most` at once."""

    rate: float
    most: float
    tokens: float
    at_s: float = 0.0

    def owe(self, now_s: float, *, tokens: float = 1) -> float:
        """Take tokens, there or not; in how many seconds they are there, 0.0 where they were."""
        self._fill(now_s)
        self.tokens -= tokens
        return max(0.0, -self.tokens / self.rate)

    def take(self, now_s: float) -> bool:
        """Take a token where there is one."""
        self._fill(now_s)
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def _fill(self, now_s: float) -> None:
        self.tokens = min(self.most, self.tokens + max(0.0, now_s - self.at_s) * self.rate)
        self.at_s = now_s


def _bucket(most: float, rate: float) -> _Bucket:
    return _Bucket(rate, most, most)


class Admission:
    """Who may begin: StartExecution's buckets of each Region and type, and how many are open."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, str], _Bucket] = {}

    def admit(self, region: str, kind: str, *, running: int, now_s: float) -> None:
        """One more execution. Raises StatesError ThrottlingException, ExecutionLimitExceeded."""
        bucket = self._buckets.get((region, kind))
        if bucket is None:
            bucket = self._buckets[region, kind] = _start_bucket(region, kind)
        if not bucket.take(now_s):
            raise StatesError("ThrottlingException", "Rate exceeded")
        if kind != _EXPRESS and running >= MAX_OPEN:
            message = f"Execution Limit Exceeded: 'The maximum number of running executions is {MAX_OPEN}'"
            raise StatesError("ExecutionLimitExceeded", message)


def _start_bucket(region: str, kind: str) -> _Bucket:
    if kind == _EXPRESS:
        return _bucket(6000, 6000)
    return _bucket(1300, 300) if region in _LARGE else _bucket(800, 150)


class Pacer:
    """Gives turns to lines of states, in the order in which they ask. One event loop."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._work = _bucket(UNITS, UNITS_A_SECOND)
        self._transitions: dict[str, _Bucket] = {}
        self._is_due = False
        self._most = VISITS_A_TURN

    async def take_turn(self, region: str, kind: str) -> None:
        """Come back when it is the caller's turn to enter a state. A Standard execution's costs a StateTransition."""
        loop = asyncio.get_running_loop()
        if kind != _EXPRESS:
            bucket = self._transitions.get(region)
            if bucket is None:
                most = 5000 if region in _LARGE else 800
                bucket = self._transitions[region] = _bucket(most, most)
            owed_s = bucket.owe(loop.time())
            if owed_s:
                await asyncio.sleep(owed_s)
        await self.pause()

    async def pause(self) -> None:
        """Come back when it is the caller's turn to do some work."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        self._schedule(loop)
        await turn

    def spend(self, chars: int, *, calls: int = 0) -> None:
        """Tell how much was written of a state's data, and how often a service was called."""
        units = chars // CHARS_A_UNIT
        self._most = 1 if units >= VISITS_A_TURN else VISITS_A_TURN  # the next is likely to be as large
        self._work.tokens -= units + calls * UNITS_A_CALL

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._is_due:
            return
        self._is_due = True
        owed_s = self._work.owe(loop.time(), tokens=0)
        if owed_s:
            loop.call_later(owed_s, self._give, loop)
        else:
            loop.call_soon(self._give, loop)

    def _give(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_due = False
        given = 0
        while self._waiting and given < self._most:
            turn = self._waiting.popleft()
            if not turn.done():  # nobody waits for it any more
                turn.set_result(None)
                given += 1
        self._work.tokens -= given
        if self._waiting:
            self._schedule(loop)
