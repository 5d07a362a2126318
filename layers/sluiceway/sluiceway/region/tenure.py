"""How a Region knows that it may begin work: a reading of the term, which holds for a while and is then made again.

Owns the readings of one execution environment. A reading counts from before it was asked for, and it has run out as
soon as one of two clocks says so: the event loop's, and the wall clock, since either can stand still while an
environment is frozen. Nothing is renewed in the store: who cannot read the term cannot begin work. Must not know keys.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable
from typing import Final, NamedTuple

from sluiceway.errors import Misconfigured, NotHome, Retryable, Withheld
from sluiceway.ports import Clock
from sluiceway.ports.regions import TermStore
from sluiceway.rules.region_keys import RANDOM_BYTES, mint_key
from sluiceway.rules.terms import NOT_YET_MS, Term

__all__ = ["Tenure"]

READ_S: Final = 3.0  # for one reading of the term, perhaps in another Region
HEARSAY_S: Final = 1.0  # between readings for keys of epochs that nobody knows: anybody can write such a key
ELSEWHERE_S: Final = 5.0  # how long "another Region is home" is believed: a hand-over should be seen soon


class _Reading(NamedTuple):
    """The term, with the ends of what it allows: `until` on the loop's clock, `until_ms` on the wall clock."""

    term: Term
    until: float
    until_ms: int


class Tenure:
    """One environment's readings of its group's term. Made where the loop runs; `region` is this Region."""

    def __init__(
        self,
        terms: TermStore,
        *,
        group: str,
        region: str,
        clock: Clock,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.group = group
        self.region = region
        self._terms = terms
        self._clock = clock
        self._random = random
        self._reading: _Reading | None = None
        self._asking = asyncio.Lock()
        self._newer_at = -math.inf

    async def read(self, *, deadline: float | None = None) -> Term:
        """The term, as it was read at most a lease ago.

        Raises Withheld while it cannot be read, Misconfigured where the group has none.
        """
        reading = self._reading
        if reading is None or not self._lasts(reading, 0.0):
            reading = await self._read_again(0.0, deadline)
        return reading.term

    async def hold(self, for_s: float, *, deadline: float | None = None) -> Term:
        """The term, where this Region may begin work now and for `for_s` seconds more.

        Raises NotHome where another Region is home, or this one is not yet; Withheld while the term cannot be read;
        Misconfigured where a lease is not as long as that, or the group has no term.
        """
        reading = self._reading
        if reading is None or reading.term.region != self.region or not self._lasts(reading, for_s):
            reading = await self._read_again(for_s, deadline)
        term = reading.term
        if term.region != self.region:
            raise NotHome(f"{term.region} is the home Region", home=term.region)
        wait_ms = term.begins_ms - self._clock.now_ms()
        if wait_ms > 0:
            after_s = None if term.begins_ms == NOT_YET_MS else wait_ms / 1000
            raise NotHome("the term of this Region has not begun", home=self.region, after_s=after_s)
        if not self._lasts(reading, for_s):
            raise self._too_short(term, for_s)
        return term

    def is_held(self) -> bool:
        """Whether this Region may begin an effect at this moment, by the last reading."""
        reading = self._reading
        if reading is None or reading.term.region != self.region or not self._lasts(reading, 0.0):
            return False
        return reading.term.begins_ms <= self._clock.now_ms()

    def check(self) -> None:
        """For right before an effect. Raises NotHome where this Region may not begin it."""
        if not self.is_held():
            raise NotHome("this Region's reading of the term has run out")

    async def mint(self, *, deadline: float | None = None) -> str:
        """A new key of the home Region, wherever this is. Raises as `read`."""
        term = await self.read(deadline=deadline)
        return mint_key(term.region, term.epoch, now_ms=self._clock.now_ms(), random=self._random(RANDOM_BYTES))

    async def read_newer(self, epoch: int, *, deadline: float | None = None) -> Term:
        """The term, read again for who has heard of a later `epoch`; what was read before holds as long as ever.

        Raises as `read`, and Withheld where it was read again for such a one within the last second.
        """
        reading, now = self._reading, asyncio.get_running_loop().time()
        if reading is None or reading.term.epoch >= epoch:
            return await self.read(deadline=deadline)
        if now < self._newer_at:
            raise Withheld("the term that is spoken of is not known yet", after_s=self._newer_at - now)
        self._newer_at = now + HEARSAY_S
        return (await self._read_again(math.inf, deadline)).term

    def _lasts(self, reading: _Reading, for_s: float) -> bool:
        return (
            asyncio.get_running_loop().time() + for_s <= reading.until
            and self._clock.now_ms() + for_s * 1000 <= reading.until_ms
        )

    async def _read_again(self, for_s: float, deadline: float | None) -> _Reading:
        """One reading for all who wait for one."""
        loop = asyncio.get_running_loop()
        end = math.inf if deadline is None else deadline
        try:
            async with asyncio.timeout_at(min(end, loop.time() + READ_S)):
                async with self._asking:
                    reading = self._reading
                    if reading is not None and self._lasts(reading, for_s):
                        return reading
                    begun, begun_ms = loop.time(), self._clock.now_ms()
                    term = await self._terms.get(self.group, deadline=min(end, begun + READ_S))
        except TimeoutError as error:
            raise Withheld("the term could not be read in time") from error
        except Retryable as error:
            raise Withheld("the term cannot be read") from error
        if term is None:
            raise Misconfigured(f"the group {self.group!r} has no term", what="REGION_GROUP")
        lease_s = term.lease_ms / 1000
        if term.region != self.region:
            lease_s = min(lease_s, ELSEWHERE_S)
        reading = _Reading(term, begun + lease_s, begun_ms + math.floor(lease_s * 1000))
        if self._reading is None or self._reading.term.epoch <= term.epoch:
            self._reading = reading
        return reading

    def _too_short(self, term: Term, for_s: float) -> Misconfigured | Withheld:
        if for_s * 1000 >= term.lease_ms:
            return Misconfigured(
                f"work may take {for_s:g} s between two looks, and a Region's lease is {term.lease_ms / 1000:g} s",
                what="lease_s",
            )
        return Withheld("the reading of the term took too long")
