"""Fifty thousand clients, and hostile weather for a few hundred: order, no more than once, and gaps that are seen."""

from __future__ import annotations

import asyncio

import pytest

from localcloud.clock import run_virtual
from sluiceway.errors import Retryable
from tests.fan_out_world import FanOutWorld, make_record

EVEN = '{"even":[true]}'
CROWD = 50_000


def test_fifty_thousand_clients_have_their_records_in_order_at_the_gateways_own_pace() -> None:
    """16 parts, two shards side by side, 10,000 posts a second for the account, 1 % of the clients do not read and 1 %
    are gone: nobody else misses anything, and the whole takes little longer than the quota says."""
    world = FanOutWorld(1, parts=16, most=2_500)
    took: list[float] = []

    async def play() -> None:
        loop = asyncio.get_running_loop()
        for number in range(CROWD):
            world.subscribe(number, EVEN if number % 2 else "")
        names = sorted(world.gateway.open)
        world.gateway.full = set(names[50::100])
        world.gateway.open -= set(names[::100])

        async def shard(name: str) -> None:
            desk = world.make_desk(world.workers)
            for batch in range(2):
                began = loop.time()
                await world.bring(desk, *(make_record(10 * batch + number, name) for number in range(10)))
                took.append(loop.time() - began)

        async with asyncio.TaskGroup() as group:
            for name in ("shardId-0", "shardId-1"):
                group.create_task(shard(name))

    run_virtual(play)
    clients = world.clients()
    assert len(clients) == CROWD * 98 // 100
    for connection_id, client in clients.items():
        wanted = list(range(0, 20, 2)) if int(connection_id[1:]) % 2 else list(range(20))
        assert client.seqs == {"shardId-0": wanted, "shardId-1": wanted}
        assert not client.sees_gap
        assert (client.twice, client.out_of_order) == (0, 0)
    assert len(world.store.kept) == CROWD * 99 // 100
    assert world.workers.begun == 16 * 4
    quota_s = 2 * CROWD / 10_000
    print(
        f"batches took {[round(each, 1) for each in took]} s, quota alone {quota_s} s; {world.gateway.throttled} 429s"
    )
    assert max(took) < 1.6 * quota_s


@pytest.mark.parametrize("seed", range(6))
def test_what_is_missed_is_seen_and_nothing_overtakes(seed: int) -> None:
    """Workers throttled and lost, posts lost, clients full, silent and gone by turns; then fair weather until every
    environment has served every part again: whoever misses a record knows, and nobody else thinks so."""
    world = FanOutWorld(seed, parts=4, most=20, rate=400.0)
    rng = world.rng
    left_out: set[int] = set()
    brought: list[int] = []

    async def play() -> None:
        for number in range(200):
            world.subscribe(number)
        names = sorted(world.gateway.open)
        desk = world.make_desk(world.workers)

        async def bring(*numbers: int) -> None:
            try:
                await world.bring(desk, *map(make_record, numbers), timeout_s=12.0)
            except Retryable:
                left_out.update(numbers)  # the mapping would bring it again; here it is given up
            brought.extend(numbers)

        for batch in range(25):
            world.workers.refused, world.workers.lost = rng.choice([0, 0, 0.5]), rng.choice([0, 0, 0.1])
            world.gateway.lost = rng.choice([0, 0.05])
            world.gateway.full = set(rng.sample(names, rng.choice([0, 5, 40])))
            world.gateway.silent = set(rng.sample(names, rng.choice([0, 2])))
            await bring(*range(3 * batch, 3 * batch + 3))
        world.workers.refused = world.workers.lost = world.gateway.lost = 0
        world.gateway.full, world.gateway.silent = set(), set()
        await asyncio.sleep(60)
        for number in range(1000, 1000 + 12 * world.workers.made):
            await bring(number)

    run_virtual(play)
    assert world.gateway.overlaps == 0
    missing = 0
    for client in world.clients().values():
        had = client.seqs["shardId-0"]
        missed = set(brought) - left_out - set(had)
        missing += bool(missed)
        assert client.out_of_order == 0
        assert len(had) == len(set(had))
        assert client.sees_gap or not missed
        assert not client.sees_gap or missed
    assert missing > 0
