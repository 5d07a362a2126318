"""The ways from an environment to what it uses, with what can become of a request on them.

A request fails before it is done, or after (the answer is lost), is done late, or twice, or takes so long that its
caller gave up; or a link is cut on the way there or back. The environment may be killed before a request is sent and
after it was done: at every point at which the shipped code hands over control to something outside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from math import inf
from random import Random
from typing import Any, Final, Protocol, TypeVar

from localcloud.regions.links import Links, Route
from localcloud.simulation.setting import WITNESS, Setting
from localcloud.simulation.tables import Shelf, Table, finish, unavailable
from sluiceway.errors import DeadlineExceeded, Retryable
from sluiceway.ports.regions import DoubtPage, DoubtStore, TermStore
from sluiceway.rules.idempotency import IdempotencyRecord
from sluiceway.rules.terms import Doubt, Term

__all__ = ["DoubtPort", "Network", "Process", "StorePort", "TermPort"]

T = TypeVar("T")

NEAR_S: Final = 0.02
FAR_S: Final = 0.15
GIVE_UP_S: Final = 3.0  # without a deadline
PATIENCE_S: Final = 20.0  # of a command that a person waits for
WAN: Final = "requests"


class Process(Protocol):
    """Whoever asks: where it runs, and the points at which it may end."""

    region: str
    slowness: float  # how many times as often its requests take seconds

    def pass_point(self) -> None:
        """Raises CancelledError from the moment on at which the process is killed."""
        ...


class Network:
    """Every request of a run goes through here. `is_calm`: nothing fails, and nothing takes time."""

    def __init__(self, links: Links, rng: Random, setting: Setting) -> None:
        self.links = links
        self.is_calm = False
        self.slow_until: dict[str, float] = {}
        self._rng = rng
        self._setting = setting

    def is_cut(self, source: str, target: str) -> bool:
        """Whether no request gets from one Region to the other."""
        return source != target and self.links.is_blocked(Route(source, target, WAN))

    async def request(
        self, process: Process, target: str, work: Callable[[], T], *, deadline: float | None = None
    ) -> T:
        """What `work` gives, done in `target`. Raises what it raises, and Retryable for what happened on the way."""
        process.pass_point()
        if self.is_calm:
            return work()
        loop, rng, setting = asyncio.get_running_loop(), self._rng, self._setting
        now = loop.time()
        limit = now + GIVE_UP_S if deadline is None else deadline
        fate = rng.random()
        if fate < setting.late:
            loop.call_later(rng.uniform(0.5, setting.late_s), self._do_again, process.region, target, work)
        delay_s = self._draw_delay_s(process, target, now)
        if self.is_cut(process.region, target) or fate > 1 - setting.trouble / 2:
            await self._wait(process, min(limit, now + (delay_s if rng.random() < 0.5 else inf)) - now)
            raise unavailable("ConnectFailed")
        if now + delay_s > limit:
            await self._overtake(process, work, wait_s=limit - now, delay_s=delay_s)
        if rng.random() < 0.5:
            answer = work()
            await self._wait(process, delay_s)
        else:
            await self._wait(process, delay_s)
            answer = work()
            process.pass_point()
        if self.is_cut(target, process.region) or fate > 1 - setting.trouble:
            raise unavailable("ConnectionClosed")
        return answer

    async def _overtake(self, process: Process, work: Callable[[], object], *, wait_s: float, delay_s: float) -> None:
        """The caller gives up before the answer is there; the request may be done at once, later or never."""
        turn = self._rng.randrange(3)
        if turn < 2:
            asyncio.get_running_loop().call_later(delay_s * turn, self._do_again, process.region, process.region, work)
        await self._wait(process, wait_s)
        raise DeadlineExceeded("no answer in time")

    async def _wait(self, process: Process, wait_s: float) -> None:
        await asyncio.sleep(max(0.0, wait_s))
        process.pass_point()

    def _draw_delay_s(self, process: Process, target: str, now: float) -> float:
        rng, slow = self._rng, self._setting.slow * process.slowness
        delay_s = rng.random() * (NEAR_S if process.region == target else FAR_S)
        if now < self.slow_until.get(target, 0.0) or rng.random() < slow:
            delay_s += rng.random() ** 2 * self._setting.slow_most_s
        return delay_s

    def _do_again(self, source: str, target: str, work: Callable[[], object]) -> None:
        """A copy that the network held back."""
        if not self.is_cut(source, target):
            with suppress(Retryable):
                work()


class StorePort:
    """One Region's table as `process` reaches it."""

    def __init__(self, network: Network, process: Process, *, target: str, table: Table) -> None:
        self._network, self._process, self._target, self._table = network, process, target, table

    async def _do(self, key: str, work: Callable[[Shelf], Coroutine[Any, Any, T]], deadline: float | None) -> T:
        table, target = self._table, self._target
        return await self._network.request(
            self._process, target, lambda: table.do(target, key, work), deadline=deadline
        )

    async def claim(
        self, record: IdempotencyRecord, *, now_ms: int, rerun: bool, deadline: float | None = None
    ) -> IdempotencyRecord | None:
        """As `IdempotencyStore.claim`."""
        return await self._do(record.key, lambda shelf: shelf.claim(record, now_ms=now_ms, rerun=rerun), deadline)

    async def get(self, key: str, *, deadline: float | None = None) -> IdempotencyRecord | None:
        """As `IdempotencyStore.get`."""
        return await self._do(key, lambda shelf: shelf.get(key), deadline)

    async def write(self, record: IdempotencyRecord, *, deadline: float | None = None) -> bool:
        """As `IdempotencyStore.write`."""
        return await self._do(record.key, lambda shelf: shelf.write(record), deadline)

    async def release(self, record: IdempotencyRecord) -> None:
        """As `IdempotencyStore.release`."""
        await self._do(record.key, lambda shelf: shelf.release(record), None)


class TermPort:
    """The group's term as `process` reaches it; `overrun_ms`: for how long it is believed beyond its lease."""

    def __init__(self, network: Network, process: Process, terms: TermStore, *, overrun_ms: int = 0) -> None:
        self._network, self._process, self._terms, self._overrun_ms = network, process, terms, overrun_ms

    async def get(self, group: str, *, deadline: float | None = None) -> Term | None:
        """As `TermStore.get`."""
        terms = self._terms
        found = await self._network.request(self._process, WITNESS, lambda: finish(terms.get(group)), deadline=deadline)
        if found is None or not self._overrun_ms:
            return found
        return found._replace(lease_ms=found.lease_ms + self._overrun_ms)

    async def replace(self, term: Term, *, seen: Term | None) -> bool:
        """As `TermStore.replace`."""
        terms, limit = self._terms, asyncio.get_running_loop().time() + PATIENCE_S
        return await self._network.request(
            self._process, WITNESS, lambda: finish(terms.replace(term, seen=seen)), deadline=limit
        )


class DoubtPort:
    """The doubts of a Region as one of its processes reaches them."""

    def __init__(self, network: Network, process: Process, doubts: DoubtStore) -> None:
        self._network, self._process, self._doubts = network, process, doubts

    async def note(self, doubt: Doubt) -> Doubt:
        """As `DoubtStore.note`."""
        return await self._do(lambda doubts: doubts.note(doubt))

    async def put(self, doubt: Doubt) -> None:
        """As `DoubtStore.put`."""
        await self._do(lambda doubts: doubts.put(doubt))

    async def remove(self, doubt: Doubt) -> None:
        """As `DoubtStore.remove`."""
        await self._do(lambda doubts: doubts.remove(doubt))

    async def page(self, region: str, *, after: str = "") -> DoubtPage:
        """As `DoubtStore.page`."""
        return await self._do(lambda doubts: doubts.page(region, after=after))

    async def _do(self, work: Callable[[DoubtStore], Coroutine[Any, Any, T]]) -> T:
        doubts = self._doubts
        return await self._network.request(self._process, self._process.region, lambda: finish(work(doubts)))
