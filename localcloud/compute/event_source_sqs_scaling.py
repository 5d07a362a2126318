"""How many invocations an SQS mapping may have at a time, and in provisioned mode how fast it may take messages.

Owns the numbers and how they change; knows no queue, message or function. Time is the loop's.
Source: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

__all__ = ["ProvisionedScaling", "Scaling", "StandardScaling"]

FIRST_CONCURRENCY: Final = 5  # five batches at a time to begin with
GROWTH: Final = 5  # up to 300 more a minute
MAX_CONCURRENCY: Final = 1_250  # of a mapping without a maximum of its own
INVOKES_PER_POLLER: Final = 10  # provisioned mode: each poller's share of everything
POLLS_PER_POLLER: Final = 10  # a second
BYTES_PER_POLLER: Final = 1024 * 1024  # 1 MB a second
_TICK_S: Final = 1e-6  # a wait that rounds to nothing would not end
PROVISIONED_GROWTH_S: Final = 0.6  # 1,000 more invocations a minute: a poller each 0.6 s


class Scaling(Protocol):
    """What a mapping may do now. It says what happened, and asks before it takes or invokes."""

    every_s: float
    """How long all must be busy for one step of growth."""

    @property
    def allowed(self) -> int:
        """How many invocations may run at a time."""
        ...

    @property
    def can_grow(self) -> bool:
        """Whether `grow` would change anything."""
        ...

    def grow(self) -> None:
        """All that was allowed was busy for `every_s`."""
        ...

    def lower(self, in_flight: int) -> None:
        """The function failed or was throttled, with so many invocations running."""
        ...

    def succeed(self) -> None:
        """An invocation succeeded."""
        ...

    def rest(self) -> None:
        """A long poll found nothing."""
        ...

    async def admit_poll(self) -> None:
        """Wait until the queue may be asked once more."""
        ...

    def spend(self, size_bytes: int) -> None:
        """A batch of so many bytes goes to the function."""
        ...


class StandardScaling:
    """Five invocations at first, and back to five when the queue is empty; five more a second while all are busy.

    `ordered`: a FIFO queue is limited by its message groups instead, and by `most`.
    """

    every_s: float = 1.0

    def __init__(self, most: int, *, ordered: bool) -> None:
        self._most = most
        self._first = most if ordered else min(FIRST_CONCURRENCY, most)
        self._allowed = self._first

    @property
    def allowed(self) -> int:
        """How many invocations may run at a time."""
        return self._allowed

    @property
    def can_grow(self) -> bool:
        """Whether the most is not reached."""
        return self._allowed < self._most

    def grow(self) -> None:
        """Five more."""
        self._allowed = min(self._allowed + GROWTH, self._most)

    def lower(self, in_flight: int) -> None:
        """Half of those that run, one at least."""
        self._allowed = max(1, min(self._allowed, in_flight) // 2)

    def succeed(self) -> None:
        """One more, up to as many as at first."""
        if self._allowed < self._first:
            self._allowed += 1

    def rest(self) -> None:
        """As many as at first, no more."""
        self._allowed = min(self._allowed, self._first)

    async def admit_poll(self) -> None:
        """At once."""

    def spend(self, size_bytes: int) -> None:
        """Without a limit."""


class ProvisionedScaling:
    """Pollers between a fewest and a most, each with ten invocations, ten polls a second and 1 MB a second.

    They share what they have: in one process it makes no difference which of them does what. A poller more for each
    0.6 s that they are not enough, and back to the fewest when the queue is empty.
    """

    every_s: float = PROVISIONED_GROWTH_S

    def __init__(self, fewest: int, most: int) -> None:
        self._fewest = fewest
        self._most = most
        self._pollers = fewest
        self._ceiling = 0  # of the invocations after failures, 0 for none
        self._polls = _Bucket(POLLS_PER_POLLER)
        self._bytes = _Bucket(BYTES_PER_POLLER)
        self._grown_at = -PROVISIONED_GROWTH_S

    @property
    def pollers(self) -> int:
        """How many there are now."""
        return self._pollers

    @property
    def allowed(self) -> int:
        """Ten to each poller, fewer after failures."""
        full = self._pollers * INVOKES_PER_POLLER
        return min(full, self._ceiling) if self._ceiling else full

    @property
    def can_grow(self) -> bool:
        """Whether there may be more pollers."""
        return self._pollers < self._most and not self._ceiling

    def grow(self) -> None:
        """One poller more."""
        if self.can_grow:
            self._pollers += 1
            self._grown_at = asyncio.get_running_loop().time()

    def lower(self, in_flight: int) -> None:
        """Half of those that run, one at least."""
        self._ceiling = max(1, min(self.allowed, in_flight) // 2)

    def succeed(self) -> None:
        """One more, until all may run again."""
        if self._ceiling:
            self._ceiling += 1
            if self._ceiling >= self._pollers * INVOKES_PER_POLLER:
                self._ceiling = 0

    def rest(self) -> None:
        """The fewest."""
        self._pollers = self._fewest

    async def admit_poll(self) -> None:
        """Wait for a poll's turn and for the bytes of the batches before; more pollers come of the waiting."""
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            wait_s = max(bucket.wait_s(now, self._pollers) for bucket in (self._polls, self._bytes))
            if wait_s <= 0:
                break
            if now >= self._grown_at + self.every_s:
                self.grow()
            await asyncio.sleep(min(wait_s, self.every_s))
        self._polls.spend(1, loop.time(), self._pollers)

    def spend(self, size_bytes: int) -> None:
        """What is spent beyond the limit is waited for before the next poll."""
        self._bytes.spend(size_bytes, asyncio.get_running_loop().time(), self._pollers)


class _Bucket:
    """What may be spent at `rate` a second by each poller, a second's worth at once. It may be overdrawn once."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._spent = 0.0
        self._at = 0.0

    def wait_s(self, now: float, pollers: int) -> float:
        """How long until less than a second's worth is spent."""
        self._refill(now, pollers)
        over = self._spent - self._rate * pollers
        return over / (self._rate * pollers) + _TICK_S if over >= 0 else 0.0

    def spend(self, amount: float, now: float, pollers: int) -> None:
        """Spend."""
        self._refill(now, pollers)
        self._spent += amount

    def _refill(self, now: float, pollers: int) -> None:
        self._spent = max(0.0, self._spent - (now - self._at) * self._rate * pollers)
        self._at = now
