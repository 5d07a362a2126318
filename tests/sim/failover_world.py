"""A pair of Regions on virtual time, with the shipped flows in it, and an alarm and DNS that follow what they put.

What is modelled: the term's table (in a third place as well, slow, with answers lost), replication, CloudWatch (a
period of 60 s, its maximum, missing data ignored, the evaluation some seconds late), the health check that keeps its
last known state, answers with a TTL, and clients that hold them. What runs as it ships: `check_health`,
`probe_region`, `switch_region` with its codec, the tenure of who serves. A Region that is lost stands still: what runs
in it goes on where it was once it is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, NamedTuple

from sluiceway.codec import switch
from sluiceway.errors import Rejected, Retryable
from sluiceway.events.eventbridge import EventBridgeEvent
from sluiceway.events.http import HttpRequest
from sluiceway.events.invocation import Invocation
from sluiceway.flows.health import HealthDesk, HealthWatch, check_health
from sluiceway.flows.probe import ProbeDesk, is_well, probe_region
from sluiceway.flows.switch import SwitchDesk, switch_region
from sluiceway.idempotency.memory import MemoryIdempotencyStore
from sluiceway.ports import IdempotencyStore
from sluiceway.region.home import HomeStore, RegionDesk
from sluiceway.region.memory import MemoryDoubtStore, MemoryTermStore
from sluiceway.region.tenure import Tenure
from sluiceway.rules.idempotency import IdempotencyRecord
from sluiceway.rules.terms import NOT_YET_MS, Doubt, Term, first_term
from tests.fakes import EPOCH_MS, LoopClockMs, unavailable
from tests.fakes_failover import FakeDependency, MemoryDrillStore, MemoryMarkStore, Replicas

EAST, WEST = "us-east-1", "us-west-2"  # the primary, and the secondary whose alarm traffic follows
OTHER: Final = {EAST: WEST, WEST: EAST}
GROUP: Final = "shop"
PERIOD_S: Final = 60
LATE_S: Final = 5  # of the evaluation of a period
TTL_S: Final = 60
PROBE_S: Final = 20.0
FAST: Final = HttpRequest("GET", "/health", {}, {}, {}, b"", "", "r")
TICK: Final = EventBridgeEvent("e", "aws.events", "Scheduled Event", "", EAST, "123456789012")


class Point(NamedTuple):
    """One value of a metric: the date that it has, and when it came, both in seconds of the loop."""

    at_s: float
    came_s: float
    values: Mapping[str, float]


class Move(NamedTuple):
    """DNS answers with another Region from `at_s` on."""

    at_s: float
    to: str


class Written(NamedTuple):
    """A term as it was stored, and when."""

    at_s: float
    term: Term


class CloudWatch:
    """One Region's metrics; a `Gauge` of each function in it."""

    def __init__(self) -> None:
        self.points: list[Point] = []

    def put(self, values: Mapping[str, float], *, at_ms: int | None = None, **_dimensions: str) -> None:
        now = asyncio.get_running_loop().time()
        self.points.append(Point(now if at_ms is None else (at_ms - EPOCH_MS) / 1000, now, values))

    def within(self, name: str, begins_s: float, ends_s: float) -> list[float]:
        recent = reversed(self.points)
        return [
            each.values[name]
            for each in _until(recent, begins_s - 600)
            if name in each.values and begins_s <= each.at_s < ends_s
        ]


def _until(points: Any, came_s: float) -> Any:
    for point in points:
        if point.came_s < came_s:
            return
        yield point


class Kept(MemoryTermStore):
    """The term, with everything that was ever stored."""

    def __init__(self, first: Term) -> None:
        super().__init__()
        self._terms[GROUP] = first
        self.written = [Written(0.0, first)]

    async def replace(self, term: Term, *, seen: Term | None) -> bool:
        before = self._terms.get(GROUP)
        done = await super().replace(term, seen=seen)
        if done and self._terms[GROUP] != before:
            self.written.append(Written(asyncio.get_running_loop().time(), term))
        return done

    @property
    def now(self) -> Term:
        return self._terms[GROUP]


@dataclass
class World:
    """Everything of one seed. `moves_by_itself`: health checks move traffic, as the usual sample has it."""

    rng: Random
    moves_by_itself: bool = False
    dark: set[str] = field(default_factory=set[str])
    cut: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    moves: list[Move] = field(default_factory=list[Move])
    approved: dict[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])
    served: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    lost: float = 0.0  # share of the answers of the term's table that do not come

    def __post_init__(self) -> None:
        self.clock = LoopClockMs()
        self.terms = Kept(first_term(GROUP, EAST, now_ms=EPOCH_MS, lease_ms=20_000, skew_ms=2_000))
        self.doubts = MemoryDoubtStore()
        self.tables = {EAST: MemoryIdempotencyStore(), WEST: MemoryIdempotencyStore()}
        self.replicas = Replicas(lag_s=0.5)
        self.lit = {EAST: asyncio.Event(), WEST: asyncio.Event()}
        self.regions = {each: Region(self, each) for each in (EAST, WEST)}
        self.answer = EAST
        for each in self.lit.values():
            each.set()

    @property
    def is_opened(self) -> bool:
        """Whether the hand-over that made the term was not broken off."""
        return self.terms.now.begins_ms != NOT_YET_MS

    def reaches(self, source: str, target: str) -> bool:
        return not {source, target} & self.dark and (source, target) not in self.cut

    def darken(self, region: str) -> None:
        self.dark.add(region)
        self.lit[region].clear()
        self._tell_replicas()

    def light(self, region: str) -> None:
        self.dark.discard(region)
        self.lit[region].set()
        self._tell_replicas()

    def part(self, *ways: tuple[str, str]) -> None:
        self.cut |= set(ways)
        self._tell_replicas()

    def heal(self) -> None:
        self.cut.clear()
        self._tell_replicas()

    def _tell_replicas(self) -> None:
        self.replicas.cut = set(self.cut)
        self.replicas.away = set(self.dark)

    async def follow(self) -> None:
        """The alarm in the west, the health check that watches it, and what Route 53 answers."""
        loop = asyncio.get_running_loop()
        failed = 0
        while True:
            ends_s = (loop.time() // PERIOD_S + 1) * PERIOD_S
            await asyncio.sleep(ends_s + LATE_S - loop.time())
            if self.moves_by_itself:
                failed = 0 if EAST not in self.dark and await self.regions[EAST].is_healthy() else failed + 1
                self._answer(WEST if failed else EAST)
                continue
            values = self.regions[WEST].metrics.within("IsHome", ends_s - PERIOD_S, ends_s)
            if WEST not in self.dark and values:
                self._answer(WEST if max(values) >= 1 else EAST)

    def _answer(self, region: str) -> None:
        if region != self.answer:
            self.answer = region
            self.moves.append(Move(asyncio.get_running_loop().time(), region))

    async def ask(self) -> None:
        """A client that holds an answer for its TTL, some for longer, and asks for work all the time."""
        loop = asyncio.get_running_loop()
        while True:
            held, until = self.answer, loop.time() + TTL_S * self.rng.choice((1, 1, 1, 3))
            while loop.time() < until:
                await asyncio.sleep(15)
                if held not in self.dark and await self.regions[held].serves():
                    self.served.append((loop.time(), held))


class Region:
    """One Region's functions, as its schedules and callers run them."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name, self.other = world, name, OTHER[name]
        self.metrics = CloudWatch()
        self.drills = MemoryDrillStore()
        self.terms = _Terms(world, name)
        self.tenure = Tenure(self.terms, group=GROUP, region=name, clock=world.clock)
        stores = {self.other: _Distant(world, name, self.other)}
        desk = RegionDesk(self.tenure, world.tables[name], stores, world.doubts, world.clock)
        self.home = HomeStore(desk)
        self.health = HealthDesk(HealthWatch([FakeDependency("keys")], self.drills, world.clock), name)

    def desk(self) -> SwitchDesk:
        world = self.world
        marks = MemoryMarkStore(world.replicas, self.name)
        return SwitchDesk(
            self.terms, self.home, world.doubts, marks, self, self.drills, self.metrics, world.clock,
            GROUP, self.name, self.other,
        )  # fmt: skip

    async def is_healthy(self) -> bool:
        return is_well((await check_health(FAST, self._call(4), self.health)).status)

    async def status(self, *, within_s: float) -> int:
        """As `Prober.status`: a look at the other Region from this one."""
        if not self.world.reaches(self.name, self.other):
            await asyncio.sleep(within_s)
            return 0
        return (await check_health(FAST, self._call(4), self.world.regions[self.other].health)).status

    async def switch(self, event: object) -> Mapping[str, object]:
        """An invocation of `switch_region`; what is refused is told, as the App tells it."""
        await self.world.lit[self.name].wait()
        try:
            return await switch_region(switch.decode(event), self._call(59.5), self.desk())
        except Rejected as error:
            return switch.refuse(error) or {}

    async def tick(self) -> None:
        """Both schedules, once a minute."""
        await asyncio.sleep(self.world.rng.uniform(0, 60))
        while True:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._publish())
                group.create_task(self._probe())
                group.create_task(asyncio.sleep(60))

    async def serves(self) -> bool:
        """Whether work may begin here now."""
        try:
            await self.tenure.hold(5.0)
        except (Retryable, Rejected):
            return False
        return True

    async def _publish(self) -> None:
        try:
            await self.switch({"detail-type": "Scheduled Event", "id": "e"})
        except Retryable:
            return

    async def _probe(self) -> None:
        if self.name in self.world.dark:
            return
        await probe_region(TICK, self._call(69.5), ProbeDesk(self, self.metrics, self.other, PROBE_S))

    def _call(self, has_s: float) -> Invocation:
        return Invocation("r", "f", "arn", deadline=asyncio.get_running_loop().time() + has_s)


class _Terms:
    """The term's table as one Region reaches it; it stands still with the Region, between any two of its steps."""

    def __init__(self, world: World, region: str) -> None:
        self._world, self._region = world, region

    async def get(self, group: str, *, deadline: float | None = None) -> Term | None:
        del deadline
        await self._pass()
        found = await self._world.terms.get(group)
        await self._pass()
        self._lose("GetItem")
        return found

    async def replace(self, term: Term, *, seen: Term | None) -> bool:
        await self._pass()
        self._lose("PutItem")
        done = await self._world.terms.replace(term, seen=seen)
        await self._pass()
        self._lose("PutItem")
        return done

    async def _pass(self) -> None:
        await asyncio.sleep(self._world.rng.choice((0.02, 0.02, 3.0)) * self._world.rng.random())
        await self._world.lit[self._region].wait()

    def _lose(self, operation: str) -> None:
        if self._world.rng.random() < self._world.lost:
            raise unavailable(operation)


class _Distant:
    """The other Region's records, as a drain asks for them."""

    def __init__(self, world: World, source: str, target: str) -> None:
        self._world, self._source, self._target = world, source, target

    @property
    def _store(self) -> IdempotencyStore:
        if not self._world.reaches(self._source, self._target):
            raise unavailable("GetItem")
        return self._world.tables[self._target]

    async def get(self, key: str, *, deadline: float | None = None) -> IdempotencyRecord | None:
        return await self._store.get(key, deadline=deadline)

    async def claim(
        self, record: IdempotencyRecord, *, now_ms: int, rerun: bool, deadline: float | None = None
    ) -> IdempotencyRecord | None:
        return await self._store.claim(record, now_ms=now_ms, rerun=rerun, deadline=deadline)

    async def write(self, record: IdempotencyRecord, *, deadline: float | None = None) -> bool:
        return await self._store.write(record, deadline=deadline)

    async def release(self, record: IdempotencyRecord) -> None:
        await self._store.release(record)


def park(world: World, region: str, number: int) -> Doubt:
    """A key that the other Region may have begun under the earlier term, and that `region` could not ask about."""
    term = world.terms.now
    past = term.past[-1]
    return Doubt(f"orders#{number}", "parked", past.epoch, past.region, region, EPOCH_MS, EPOCH_MS // 1000 + 900_000)
