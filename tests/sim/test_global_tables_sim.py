"""Global tables in bad weather, on virtual time: lags, one-way and full partitions, heals; a seed decides everything.

Eventual tables: after heal and drain every replica is equal and holds each item's last write. Strong tables: every
key's history of conditional writes, deletes and strong reads is linearizable, by a checker of our own. The naive claim
of a key shows the difference, and that the weather bites.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from random import Random
from typing import Final

import pytest

from localcloud.clock import run_virtual
from localcloud.regions.links import Lag
from tests.unit.dynamodb_global_setup import A, B, C, Refused, Regions

REGIONS: Final = (A, B, C)
SEEDS: Final = 60
LAG: Final = Lag(0.3, spread=1.0)
HOP: Final = Lag(0.03, spread=0.6)


async def blow(world: Regions, rng: Random, *, rounds: int) -> None:
    """Cut, isolate, pause and heal, at random; at the end everything is healed."""
    for _ in range(rounds):
        await asyncio.sleep(rng.expovariate(2.0))
        kind, region = rng.random(), rng.choice(REGIONS)
        others = [other for other in REGIONS if other != region]
        if kind < 0.3:
            world.links.cut(region, rng.choice(others))
        elif kind < 0.5:
            world.links.isolate(region, others)
        elif kind < 0.6:
            world.links.pause("dynamodb/things", region)
        elif kind < 0.8:
            world.links.heal(region, rng.choice(others))
        else:
            world.links.heal_all()
    world.links.heal_all()


@pytest.mark.parametrize("count", [2, 3])
def test_eventual_replicas_converge_to_each_items_last_write(count: int) -> None:
    """Whatever was cut and overtaken, all replicas end equal, with the last write of each item; nothing comes back."""
    superseded = 0
    for seed in range(SEEDS):
        superseded += run_virtual(lambda seed=seed: live_eventually(seed, REGIONS[:count]))
    assert superseded > SEEDS  # the weather did make versions overtake one another


async def live_eventually(seed: int, regions: tuple[str, ...]) -> int:
    rng, world = Random(seed), Regions(seed, lag=LAG)
    await world.table(*regions[1:])
    last: dict[str, tuple[float, str | None]] = {}

    async def write(region: str, rng: Random) -> None:
        for number in range(25):
            await asyncio.sleep(rng.expovariate(4.0))
            key, value = f"k{rng.randrange(5)}", f"{region}/{number}"
            if rng.random() < 0.6:
                await world.put(region, key, value)
                last[key] = (world.clock.time(), value)
                continue
            old = await world.call(
                region, "DeleteItem", TableName="things", Key={"id": {"S": key}}, ReturnValues="ALL_OLD"
            )
            if "Attributes" in old:  # to delete what is not there is no write
                last[key] = (world.clock.time(), None)

    async with asyncio.TaskGroup() as group:
        group.create_task(blow(world, rng, rounds=20))
        for number, region in enumerate(regions):
            group.create_task(write(region, Random(seed * 10 + number)))
    await world.links.drained()
    expected = {key: value for key, (_, value) in last.items() if value is not None}
    for region in regions:
        assert (seed, region, await world.items(region)) == (seed, region, expected)
    tables = [world.service.database(region).table("things") for region in regions]
    for region in regions:
        check_stream(await world.changes(region), expected)
    return sum(table.replica.superseded for table in tables if table.replica is not None)


def check_stream(changes: list[tuple[str, str, str | None]], expected: dict[str, str]) -> None:
    """A replica's stream, replayed, is the replica: no record is missing, none is of a loser."""
    state: dict[str, str] = {}
    for event, key, value in changes:
        assert (event == "INSERT") == (key not in state)
        if value is None:
            del state[key]
        else:
            state[key] = value
    assert state == expected


@dataclass(frozen=True)
class Call:
    """One operation on a key. `kind`: claim, swap, delete or read. `end_s` is inf where the outcome is not known."""

    kind: str
    value: str | None
    expected: str | None
    result: str | bool | None
    begin_s: float
    end_s: float

    def apply(self, state: str | None) -> tuple[bool, str | None]:
        """(whether the result can be explained in `state`, the state after it)."""
        if self.kind == "read":
            return self.result == state, state
        holds = state == self.expected
        after = self.value if holds else state
        return (self.end_s == inf or holds == self.result), after


def is_linearizable(calls: list[Call]) -> bool:
    """Whether some order explains every result, an order that keeps what was over before what began later.

    A call whose outcome is unknown may have taken place at any time after its begin, or never.
    """
    seen: set[tuple[frozenset[int], str | None]] = set()
    todo: list[tuple[frozenset[int], str | None]] = [(frozenset(range(len(calls))), None)]
    while todo:
        left, state = todo.pop()
        if all(calls[number].end_s == inf for number in left):
            return True
        if (left, state) in seen:
            continue
        seen.add((left, state))
        soonest = min(calls[number].end_s for number in left)
        for number in left:
            if calls[number].begin_s > soonest:
                continue
            is_explained, after = calls[number].apply(state)
            if is_explained:
                todo.append((left - {number}, after))
    return False


def test_the_checker_tells_histories_apart() -> None:
    """A stale read, a lost write and two winners are no linearizable history; overlapping calls in any order are."""
    put = Call("claim", "1", None, result=True, begin_s=0, end_s=1)
    assert is_linearizable([put, Call("read", None, None, "1", 2, 3)])
    assert not is_linearizable([put, Call("read", None, None, None, 2, 3)])
    assert is_linearizable([put, Call("read", None, None, None, 0.5, 3)])
    assert not is_linearizable([put, Call("claim", "2", None, result=True, begin_s=2, end_s=3)])
    assert not is_linearizable([put, Call("claim", "2", None, result=False, begin_s=-2, end_s=-1)])
    maybe = Call("claim", "1", None, None, 0, inf)
    assert is_linearizable([maybe, Call("read", None, None, None, 1, 2), Call("read", None, None, "1", 3, 4)])
    assert not is_linearizable([maybe, Call("read", None, None, "1", 1, 2), Call("read", None, None, None, 3, 4)])


def test_strong_histories_are_linearizable_key_by_key() -> None:
    """Conditional writes and strong reads of three Regions, with and without a witness, in every weather."""
    outcomes: dict[str, int] = {}
    for seed in range(SEEDS):
        found = run_virtual(lambda seed=seed: live_strongly(seed, has_witness=seed % 3 == 0))
        for name, count in found.items():
            outcomes[name] = outcomes.get(name, 0) + count
    missing = {"done", "failed", "conflict", "unknown"} - {name for name, count in outcomes.items() if count >= SEEDS}
    assert missing == set()  # each outcome was seen often enough to mean something


async def live_strongly(seed: int, *, has_witness: bool) -> dict[str, int]:
    rng, world = Random(seed), Regions(seed, hop=HOP)
    await world.strong(has_witness=has_witness)
    regions = REGIONS[:2] if has_witness else REGIONS
    histories: dict[str, list[Call]] = {f"k{number}": [] for number in range(4)}
    outcomes = {"done": 0, "failed": 0, "conflict": 0, "unknown": 0}

    async def act(region: str, rng: Random) -> None:
        for number in range(14):
            await asyncio.sleep(rng.expovariate(8.0))
            key = rng.choice(sorted(histories))
            outcome = await act_once(world, region, histories[key], key=key, value=f"{region}/{number}", rng=rng)
            outcomes[outcome] += 1

    async with asyncio.TaskGroup() as group:
        group.create_task(blow(world, rng, rounds=8))
        for number, region in enumerate((*regions, *regions)):
            group.create_task(act(region, Random(seed * 10 + number)))
    await world.links.drained()
    for key, calls in histories.items():
        now = asyncio.get_running_loop().time()
        for region in regions:
            calls.append(Call("read", None, None, await world.get(region, key, strong=True), now, now + 1))
            now += 2
        assert (seed, key, is_linearizable(calls)) == (seed, key, True)
    await world.links.drained()
    streams = [await world.changes(region) for region in regions]
    assert all(one == other for one, other in pairwise(streams))
    assert [await world.items(region) for region in regions] == [await world.items(A)] * len(regions)
    return outcomes


async def act_once(world: Regions, region: str, calls: list[Call], *, key: str, value: str, rng: Random) -> str:
    """One random operation on `key`, added to its history; gives how it ended."""
    kind = rng.choice(("claim", "swap", "delete", "read"))
    expected = None if kind in {"claim", "read"} else await world.get(region, key)  # as stale as it may be
    if kind != "read" and expected is None:
        kind = "claim"
    after = value if kind in {"claim", "swap"} else None
    loop = asyncio.get_running_loop()
    begin_s = loop.time()
    try:
        result = await perform(world, region, key, kind=kind, value=value, expected=expected)
    except Refused as error:
        if error.code == "ReplicatedWriteConflictException":
            return "conflict"  # which says that nothing was written
        if error.code != "InternalServerError":
            raise
        if kind != "read":
            calls.append(Call(kind, after, expected, None, begin_s, inf))
        return "unknown"
    calls.append(Call(kind, after, expected, result, begin_s, loop.time()))
    return "failed" if result is False else "done"


async def perform(
    world: Regions, region: str, key: str, *, kind: str, value: str, expected: str | None
) -> str | bool | None:
    """The value read, or whether the condition held. Raises Refused."""
    if kind == "read":
        return await world.get(region, key, strong=True)
    if kind == "claim":
        return await world.claim(region, key, value)
    condition = {"ConditionExpression": "v = :e", "ExpressionAttributeValues": {":e": {"S": expected}}}
    try:
        if kind == "swap":
            await world.put(region, key, value, **condition)
        else:
            await world.call(region, "DeleteItem", TableName="things", Key={"id": {"S": key}}, **condition)
    except Refused as error:
        if error.code != "ConditionalCheckFailedException":
            raise
        return False
    return True


async def claim_all(seed: int, *, is_strong: bool) -> int:
    """Every Region claims every key while the links are cut; how many keys two Regions hold."""
    rng, world = Random(seed), Regions(seed, lag=LAG, hop=HOP)
    if is_strong:
        await world.strong()
    else:
        await world.table(B, C)
    winners: dict[str, int] = {}

    async def claim(region: str, rng: Random) -> None:
        for number in range(20):
            await asyncio.sleep(rng.expovariate(4.0))
            try:
                won = await world.claim(region, f"k{number}", region)
            except Refused:
                continue
            winners[f"k{number}"] = winners.get(f"k{number}", 0) + won

    async with asyncio.TaskGroup() as group:
        group.create_task(blow(world, rng, rounds=10))
        for number, region in enumerate(REGIONS):
            group.create_task(claim(region, Random(seed * 10 + number)))
    await world.links.drained()
    assert sum(winners.values()) > 0
    return sum(count > 1 for count in winners.values())


def test_naive_claims_let_two_regions_win_where_consistency_is_eventual() -> None:
    """`attribute_not_exists` in a partition: keys are held twice with eventual consistency, never with strong."""
    eventual, strong = (
        [run_virtual(lambda seed=seed: claim_all(seed, is_strong=is_strong)) for seed in range(20)]  # noqa: B023 - run here
        for is_strong in (False, True)
    )
    assert min(eventual) > 0
    assert strong == [0] * 20
