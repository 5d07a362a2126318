"""Tasks and processes of two Regions race for one key of a strongly consistent table over HTTP, with links cut."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any, NamedTuple

import pytest

from localcloud.clock import SystemClock
from localcloud.front import Front
from localcloud.listening import open_listener
from localcloud.regions.links import Lag, Links
from localcloud.services.dynamodb.wire import DynamoService
from sluiceway.aws.dynamodb import DYNAMODB
from sluiceway.aws.idempotency import DynamoDbIdempotencyStore
from sluiceway.aws.idempotency_shelf import DynamoDbRecordShelf
from sluiceway.aws.wire import Wire
from sluiceway.errors import Retryable, SluicewayError
from sluiceway.idempotency import Fresh, Guard, Options, Replayed
from sluiceway.region.strong import StrongStore, sweep_expired
from tests.contract.idempotency_tables import DEFINITION, TABLE
from tests.local.racing import race_processes
from tests.unit.wire_server import environ

pytestmark = pytest.mark.local

A, B, C = "us-east-1", "us-east-2", "us-west-2"
ROUNDS = 8
TASKS = 64
PROCESSES = 8


class World(NamedTuple):
    """A strongly consistent table in three Regions; `wires` are of the first two."""

    links: Links
    url: str
    wires: dict[str, Wire]

    def store(self, region: str) -> StrongStore:
        return StrongStore(DynamoDbIdempotencyStore(self.wires[region], TABLE), region)


@asynccontextmanager
async def strong_table() -> AsyncGenerator[World]:
    links = Links(rng=Random(1), hop=Lag(0.01), lag=Lag(0.05))
    front = Front([DynamoService(SystemClock(), links=links)], authorise=lambda *_: None, rng=Random(1))
    async with front.serve(open_listener("127.0.0.1", 0)) as url, AsyncExitStack() as stack:
        wires = {
            region: await stack.enter_async_context(Wire.open(environ(AWS_ENDPOINT_URL=url, AWS_REGION=region)))
            for region in (A, B)
        }
        await wires[A].call(DYNAMODB, "CreateTable", DEFINITION)
        replicas = [{"Create": {"RegionName": region}} for region in (B, C)]
        change = {"TableName": TABLE, "ReplicaUpdates": replicas, "MultiRegionConsistency": "STRONG"}
        await wires[A].call(DYNAMODB, "UpdateTable", change)
        yield World(links, url, wires)


async def race(world: World, key: str, options: Options) -> tuple[list[Any], int]:
    """What all come to, half of them in each Region, and how often the work was begun."""
    guard: Guard[int] = Guard("tasks", key="id", options=options)
    runs: list[int] = []

    async def work() -> int:
        runs.append(len(runs) + 1)
        await asyncio.sleep(0.02)
        return runs[-1]

    async def one(region: str) -> Any:
        try:
            return await guard.run({"id": key}, work, store=world.store(region))
        except SluicewayError as error:
            return error

    async with asyncio.TaskGroup() as tasks:
        racing = [tasks.create_task(one((A, B)[number % 2])) for number in range(TASKS)]
    return [task.result() for task in racing], len(runs)


async def test_of_many_tasks_in_two_regions_one_works_and_all_get_its_result() -> None:
    """64 tasks, both Regions at once: one is fresh, all others replay it, nobody is told that the store is away."""
    async with strong_table() as world:
        for number in range(ROUNDS):
            outcomes, runs = await race(world, f"t{number}", Options(wait_s=20, store_timeout_s=20))
            assert (runs, outcomes.count(Fresh(1)), outcomes.count(Replayed(1))) == (1, 1, TASKS - 1)
        assert {wire._quota.tokens for wire in world.wires.values()} == {500}


async def test_what_is_cut_off_begins_nothing() -> None:
    """Regions that are cut from each other still reach the third; one that reaches none fails, and works later."""
    async with strong_table() as world:
        options = Options(wait_s=20, store_timeout_s=2)
        world.links.cut(A, B)
        world.links.cut(B, A)
        outcomes, runs = await race(world, "cut", options)
        assert (runs, outcomes.count(Fresh(1)), outcomes.count(Replayed(1))) == (1, 1, TASKS - 1)
        world.links.isolate(B, [A, C])
        outcomes, runs = await race(world, "isolated", options)
        assert runs == 1
        assert Counter(map(type, outcomes)) == {Fresh: 1, Replayed: TASKS // 2 - 1, **_failed(outcomes)}
        assert sum(isinstance(each, Retryable) for each in outcomes) == TASKS // 2
        world.links.heal_all()
        outcomes, runs = await race(world, "isolated", options)
        assert (runs, set(map(type, outcomes))) == (0, {Replayed})


def _failed(outcomes: list[Any]) -> Counter[type]:
    return Counter(type(each) for each in outcomes if isinstance(each, Retryable))


async def test_of_many_processes_in_two_regions_one_works() -> None:
    """Eight processes that open their tier by settings, four a Region: one is fresh, seven replay what it gave."""
    async with strong_table() as world:
        settings = environ(AWS_ENDPOINT_URL=world.url, IDEMPOTENCY_TABLE=TABLE, IDEMPOTENCY_TIER="strong")
        racers = [settings | {"AWS_REGION": (A, B)[number % 2]} for number in range(PROCESSES)]
        await race_processes(racers, rounds=ROUNDS)


async def test_a_sweep_meets_claims_of_another_region() -> None:
    """Expired records are claimed in one Region while the other sweeps: no claim is lost, the rest is gone."""
    async with strong_table() as world:
        here, there = world.store(A), world.store(B)
        guard: Guard[int] = Guard("sweep", key="id", options=Options(lease_s=1, skew_s=0, keep_s=1))
        keys = [str(number) for number in range(20)]

        async def work() -> int:
            return 1

        for key in keys:
            assert await guard.run({"id": key}, work, store=here) == Fresh(1)
        later = Guard[int]("sweep", key="id", options=Options(keep_s=600, clock=_Ahead(60)))
        shelf = DynamoDbRecordShelf(world.wires[A], TABLE)
        async with asyncio.TaskGroup() as tasks:
            sweeping = tasks.create_task(sweep_expired(shelf, now_ms=_Ahead(60).now_ms()))
            claims = [tasks.create_task(later.run({"id": key}, work, store=there)) for key in keys[::2]]
        assert {claim.result() for claim in claims} == {Fresh(1)}
        assert sweeping.result() >= len(keys) // 2
        left = [key for key in keys if await here.get(guard.key_of({"id": key})) is not None]
        assert left == keys[::2]


class _Ahead:
    """The machine's clock, ahead by some seconds."""

    def __init__(self, ahead_s: int) -> None:
        self._ahead_s = ahead_s

    def now_ms(self) -> int:
        return round((SystemClock().time() + self._ahead_s) * 1000)
