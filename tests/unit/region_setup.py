"""Two Regions over stores in memory, each with a clock of its own, and stores that can be away or slow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec

from localcloud.clock import run_virtual
from sluiceway.idempotency import Guard
from sluiceway.idempotency.memory import MemoryIdempotencyStore
from sluiceway.region.home import HomeStore, RegionDesk
from sluiceway.region.memory import MemoryDoubtStore, MemoryTermStore
from sluiceway.region.tenure import Tenure
from sluiceway.rules.terms import Doubt, Term, close_term, first_term, open_term
from tests.fakes import EPOCH_MS, Trouble, unavailable
from tests.unit.idempotency_setup import HostClock, TroubledStore, make_guard

P = ParamSpec("P")

EAST, WEST = "us-east-1", "us-west-2"
LEASE_S, SKEW_S = 30.0, 5.0  # as a group is founded
MARGIN_S = LEASE_S + SKEW_S


def next_term(term: Term, region: str, *, now_ms: int, approval: str) -> Term:
    """The term after `term`, as one who writes both halves of a hand-over in no time makes it."""
    return open_term(close_term(term, region, now_ms=now_ms, approval=approval), now_ms=now_ms)


def virtual(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test on a loop whose time is virtual; it may have parameters."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        run_virtual(lambda: test(*args, **kwargs))

    return run


class Terms(MemoryTermStore):
    """Terms with trouble: away for whoever asks, or slow to write and to read. `reads` counts."""

    def __init__(self, first: Term) -> None:
        super().__init__()
        self._terms[first.group] = first
        self.is_away = False
        self.write_s = 0.0
        self.read_s = 0.0
        self.reads = 0

    async def get(self, group: str, *, deadline: float | None = None) -> Term | None:
        self.reads += 1
        if self.is_away:
            raise unavailable("GetItem")
        found = await super().get(group, deadline=deadline)
        await asyncio.sleep(self.read_s)
        return found

    async def replace(self, term: Term, *, seen: Term | None) -> bool:
        await asyncio.sleep(self.write_s)
        return await super().replace(term, seen=seen)


class Doubts(MemoryDoubtStore):
    """Doubts that can be away, or slow to note."""

    is_away = False
    takes_s = 0.0

    async def note(self, doubt: Doubt) -> Doubt:
        await asyncio.sleep(self.takes_s)
        if self.is_away:
            raise unavailable("PutItem")
        return await super().note(doubt)


class Regions:
    """The group `shop`, founded in the east when the running loop's time was 0, and a home store for each Region."""

    def __init__(self) -> None:
        self.terms = Terms(first_term("shop", EAST, now_ms=EPOCH_MS))
        self.doubts = Doubts()
        self.clock = HostClock()
        self.tables = {EAST: TroubledStore(MemoryIdempotencyStore()), WEST: TroubledStore(MemoryIdempotencyStore())}
        self.links = {EAST: Trouble(), WEST: Trouble()}  # of the way from the other Region to this one's table

    def tenure(self, region: str) -> Tenure:
        """Of one environment more in the Region."""
        return Tenure(self.terms, group="shop", region=region, clock=self.clock)

    def home(self, region: str, tenure: Tenure | None = None) -> HomeStore:
        """The store of one environment more in the Region."""
        other = WEST if region == EAST else EAST
        others = {other: TroubledStore(self.tables[other].store, self.links[other])}
        desk = RegionDesk(tenure or self.tenure(region), self.tables[region], others, self.doubts, self.clock)
        return HomeStore(desk)


def remembered(home: Any) -> int:
    """How many attempts the store has in mind."""
    return len(home._attempts)


def guard(**choices: Any) -> Guard[Any]:
    """A guard whose lease and margin fit the group's."""
    fitting: dict[str, Any] = {"lease_s": 10.0, "skew_s": 5.0, "after_crash": "doubt"}
    return make_guard("orders", **(fitting | choices))
