"""Guarded work on virtual time: hosts whose clocks differ, kills, time limits, slow and lossy stores, late copies.

A seed decides everything; the guards and stores are the shipped ones. What must hold for every seed while clocks differ
by no more than the margin: no two attempts at a key work at the same time; one end at most is recorded; once it is,
nobody begins again and every answer is that end's; and when the weather is over, each key comes to an end. A store
without owners, and clocks beyond the margin, must be seen to break it: else the test would show nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from localcloud.clock import run_virtual
from sluiceway.errors import SluicewayError
from sluiceway.idempotency import Fresh, Guard, InDoubt, InProgress, Options, Replayed
from sluiceway.idempotency.memory import MemoryIdempotencyStore
from sluiceway.rules.idempotency import Owner
from tests.fakes import KilledError, Life, Trouble
from tests.unit.idempotency_setup import HostClock, NaiveStore, TroubledStore

KEYS = 20
HOSTS = 4
SKEW_S = 4.0
SEEDS = 250
TEETH_SEEDS = 60


@dataclass(frozen=True)
class Setting:
    """What a run is of. `off_s`: by how much two clocks differ at most. `slow_s`: the longest call of a store."""

    after_crash: str = "rerun"
    store: Callable[[], MemoryIdempotencyStore] = MemoryIdempotencyStore
    off_s: float = SKEW_S
    skew_s: float = SKEW_S
    slow_s: float = 0.4
    trouble: float = 0.08
    killed: float = 0.15
    late: float = 0.05


@dataclass
class Run:
    """One attempt's work: it ended with `value`, or was cut or failed (None)."""

    key: str
    begun: float
    ended: float = float("inf")
    value: str | None = None
    failed: bool = False


@dataclass
class World:
    """What happened. `answers` are (key, when, outcome)."""

    seed: int
    setting: Setting
    rng: random.Random
    runs: list[Run] = field(default_factory=list)
    answers: list[tuple[str, float, Any]] = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


class LateStore(TroubledStore):
    """Some calls are made a second time, long after, as copies that a network held back."""

    def __init__(self, store: MemoryIdempotencyStore, world: World, tasks: asyncio.TaskGroup) -> None:
        setting = world.setting
        super().__init__(store, Trouble(world.rng, rate=setting.trouble, latency_s=setting.slow_s / 2))
        self.rng, self.tasks, self.late = world.rng, tasks, setting.late

    async def _do(self, name: str, work: Callable[[], Awaitable[Any]], deadline: float | None) -> Any:
        if self.rng.random() < self.late:
            self.tasks.create_task(self._again(work), context=Context())
        return await super()._do(name, work, deadline)

    async def _again(self, work: Callable[[], Awaitable[Any]]) -> None:
        await asyncio.sleep(self.rng.uniform(1, 20))
        await work()


class Draws:
    """Chance of a seed."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def draw(self) -> float:
        return self._rng.random()


def simulate(seed: int, setting: Setting) -> World:
    """Everything that a seed decides, to its end."""
    world = World(seed, setting, random.Random(seed))
    run_virtual(lambda: _live(world))
    _judge(world)
    return world


async def _live(world: World) -> None:
    rng, setting = world.rng, world.setting
    store = setting.store()
    guards = [_make_guard(world, rng.uniform(-setting.off_s / 2, setting.off_s / 2)) for _ in range(HOSTS)]
    async with asyncio.TaskGroup() as tasks:
        lossy = LateStore(store, world, tasks)
        for number in range(KEYS):
            for _ in range(rng.randrange(2, 6)):
                tasks.create_task(_deliver(world, f"k{number}", lossy, rng.choice(guards)))
    await asyncio.sleep(100)
    for number in range(KEYS):
        key = f"k{number}"
        world.last[key] = await guards[0].run({"id": key}, lambda key=key: _work(world, key, calm=True), store=store)


def _make_guard(world: World, ahead_s: float) -> Guard[str]:
    owners = iter(range(1_000_000))
    host = world.rng.randrange(1 << 30)
    return Guard(
        "sim",
        key="id",
        options=Options(
            skew_s=world.setting.skew_s,
            lease_s=6.0,
            wait_s=world.rng.choice([0.0, 3.0]),
            after_crash=world.setting.after_crash,  # type: ignore[arg-type]
            clock=HostClock(ahead_s),
            chance=Draws(world.rng),
            new_owner=lambda: Owner(f"{host}-{next(owners)}"),
        ),
    )


async def _deliver(world: World, key: str, store: TroubledStore, guard: Guard[str]) -> None:
    """One delivery: it comes some time, may be killed, and has its own deadline (or none)."""
    rng, loop = world.rng, asyncio.get_running_loop()
    await asyncio.sleep(rng.uniform(0, 40))
    deadline = rng.choice([None, loop.time() + rng.uniform(1, 12)])
    limit_s = rng.uniform(0, 8) if rng.random() < world.setting.killed else 1_000.0
    try:
        outcome = await Life(limit_s).spend(
            guard.run({"id": key}, lambda: _work(world, key), store=store, deadline=deadline)
        )
    except (KilledError, SluicewayError, ValueError):
        return
    world.answers.append((key, loop.time(), outcome))


async def _work(world: World, key: str, *, calm: bool = False) -> str:
    rng, loop = world.rng, asyncio.get_running_loop()
    run = Run(key, loop.time())
    world.runs.append(run)
    try:
        await asyncio.sleep(0 if calm else rng.choice([0.1, 1.0, 5.0, 15.0]) * rng.random())
        if not calm and rng.random() < 0.15:
            run.failed = True
            raise ValueError("a bug")
        run.value = f"{key}-{len(world.runs)}-{rng.random()}"
        return run.value
    finally:
        run.ended = loop.time()


def _judge(world: World) -> None:
    for number in range(KEYS):
        _judge_key(world, f"k{number}")


def _judge_key(world: World, key: str) -> None:
    runs = sorted((run for run in world.runs if run.key == key), key=lambda run: run.begun)
    given = [(when, outcome) for name, when, outcome in world.answers if name == key]
    given.append((float("inf"), world.last[key]))
    for one, following in pairwise(runs):
        if following.begun < one.ended:
            world.faults.append(f"{key}: two work at once")
    recorded = [outcome.value for _, outcome in given if isinstance(outcome, Fresh) and outcome.recorded]
    replayed = {outcome.value for _, outcome in given if isinstance(outcome, Replayed)}
    if len(recorded) > 1:
        world.faults.append(f"{key}: {len(recorded)} ends are recorded")
    if len({*recorded, *replayed}) > 1:
        world.faults.append(f"{key}: {len({*recorded, *replayed})} results were given")
    if not replayed <= {run.value for run in runs}:
        world.faults.append(f"{key}: another key's result")
    certain = [when for when, outcome in given if isinstance(outcome, Fresh | Replayed)]
    if any(run.begun > min(certain) for run in runs if certain):
        world.faults.append(f"{key}: work began after its result was given")
    doubt_may_last = world.setting.after_crash == "doubt" and isinstance(world.last[key], InDoubt)
    if not isinstance(world.last[key], Fresh | Replayed) and not doubt_may_last:
        world.faults.append(f"{key}: no end, but {world.last[key]}")
    _judge_doubt(world, key, runs)


def _judge_doubt(world: World, key: str, runs: list[Run]) -> None:
    """With `doubt`, work that came to its end is never begun again, recorded or not; nor is work that was cut."""
    if world.setting.after_crash == "doubt" and not all(run.failed for run in runs[:-1]):
        world.faults.append(f"{key}: done or cut, and begun again")


@pytest.mark.parametrize("after_crash", ["rerun", "doubt"])
def test_nothing_that_must_hold_is_broken(after_crash: str) -> None:
    """Every seed; a seed that fails is named, and gives the same run again."""
    worlds = [simulate(seed, Setting(after_crash)) for seed in range(SEEDS)]
    assert [(world.seed, world.faults) for world in worlds if world.faults] == []
    outcomes = {type(outcome) for world in worlds for _, _, outcome in world.answers}
    assert outcomes == {Fresh, Replayed, InProgress, InDoubt}
    assert any(run.value is None for world in worlds for run in world.runs)


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        (Setting(store=NaiveStore, off_s=12.0, skew_s=0.0, slow_s=1.0), "2 results were given"),
        (Setting(store=NaiveStore, off_s=12.0, skew_s=0.0, slow_s=1.0), "work began after its result was given"),
        (Setting(off_s=12.0, skew_s=0.0), "two work at once"),
    ],
    ids=["no owners: two results", "no owners: done again", "clocks beyond the margin"],
)
def test_what_must_break_it_does(setting: Setting, fault: str) -> None:
    """Writes without owners, and clocks beyond the margin, fail the same properties."""
    worlds = [simulate(seed, setting) for seed in range(TEETH_SEEDS)]
    assert [each for world in worlds for each in world.faults if fault in each] != []


def test_owners_hold_where_the_lease_does_not() -> None:
    """In the weather in which a store without owners gives two results, two may work at once, and that is all."""
    worlds = [simulate(seed, Setting(off_s=12.0, skew_s=0.0, slow_s=1.0)) for seed in range(2 * TEETH_SEEDS)]
    assert {each.split(": ")[1] for world in worlds for each in world.faults} == {"two work at once"}


def test_a_seed_gives_the_same_run() -> None:
    """To the last outcome."""
    first, second = (simulate(7, Setting()) for _ in range(2))
    assert (first.answers, first.runs) == (second.answers, second.runs)
