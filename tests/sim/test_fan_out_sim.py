"""Fifty thousand clients, and hostile weather for a few hundred: order, no more than once, and gaps that are seen."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import pytest

from localcloud.clock import run_virtual
from sluiceway.errors import Retryable
from sluiceway.flows.broadcast import BroadcastDesk
from sluiceway.rules.topics import part_of
from tests.fan_out_world import Client, FanOutWorld, Gap, make_record

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


class Brought(NamedTuple):
    """One batch: records of a shard, the environment that it was given to, and when that had ended with it."""

    shard: str
    numbers: tuple[int, ...]
    giver: int
    ended: float


@dataclass
class Weather:
    """What happens to the batches of a run, and how many environments take turns in giving orders."""

    workers: bool = True
    givers: int = 1
    killed: float = 0.0
    mends: bool = True


class Mesh:
    """A topic of two shards, 80 clients in four parts, half of which want even records alone, and a checker of its
    own: it knows what was brought, who served it and what each client got, and nothing of how that is told."""

    def __init__(self, seed: int, weather: Weather) -> None:
        self.world = FanOutWorld(seed, parts=4, most=20, rate=400.0)
        self.weather = weather
        self.brought: list[Brought] = []
        self._next = 0

    async def bring(self, givers: list[BroadcastDesk]) -> None:
        rng = self.world.rng
        shard, giver = rng.choice(["shardId-0", "shardId-1"]), rng.randrange(len(givers))
        numbers = tuple(range(self._next, self._next + rng.randrange(1, 4)))
        self._next += 3
        with contextlib.suppress(Retryable):  # the mapping would bring it again; here it is given up
            records = [make_record(number, shard) for number in numbers]
            await self.world.bring(givers[giver], *records, timeout_s=12.0)
        self.brought.append(Brought(shard, numbers, giver, asyncio.get_running_loop().time()))

    async def play(self) -> None:
        world, rng, weather = self.world, self.world.rng, self.weather
        for number in range(80):
            world.subscribe(number, EVEN if number % 2 else "")
        names = sorted(world.gateway.open)
        givers = [world.make_desk(world.workers) for _ in range(weather.givers)]
        world.workers.killed = weather.killed
        for _ in range(25):
            if weather.workers:
                world.workers.refused, world.workers.lost = rng.choice([0, 0, 0.5, 1.0]), rng.choice([0, 0, 0.1])
            world.gateway.lost = rng.choice([0, 0.05])
            world.gateway.full = set(rng.sample(names, rng.choice([0, 3, 16])))
            world.gateway.silent = set(rng.sample(names, rng.choice([0, 2])))
            await self.bring(givers)
        world.workers.refused = world.workers.lost = world.workers.killed = world.gateway.lost = 0
        world.gateway.full, world.gateway.silent = set(), set()
        if weather.mends:
            await asyncio.sleep(60)
            for _ in range((8 if weather.givers == 1 else 12) * world.workers.made):
                await self.bring(givers)

    # ---------------------------------------------------------------- the checker

    def check(self) -> Counter[str]:
        """What was missed, by whether its client knows: at the `next` frame that it got, `later`, or not at all
        (`residue`), which only those may of whom nobody that knew has served their part again. Also `alarms`: gaps in
        which nothing is missing."""
        told: Counter[str] = Counter()
        for name, client in self.world.clients().items():
            came = self.world.gateway.arrived[name]
            assert client.out_of_order == 0
            missing = self._missing(name, client)
            for at, number in missing:
                told[self._judge(name, client, came, at=at, number=number)] += 1
            told["alarms"] += sum(not self._covers_any(gap, client, came, missing) for gap in client.gaps)
            told["marks"] += sum(is_mark for _, is_mark in client.frames)
        return told

    def _missing(self, name: str, client: Client) -> list[tuple[int, int]]:
        """Place of the batch and number of each record that the client should have had and has not."""
        step = 2 if int(name[1:]) % 2 else 1
        had = {shard: set(numbers) for shard, numbers in client.seqs.items()}
        assert all(len(had[shard]) == len(numbers) for shard, numbers in client.seqs.items())
        return [
            (at, number)
            for at, batch in enumerate(self.brought)
            for number in batch.numbers
            if number % step == 0 and number not in had.get(batch.shard, set())
        ]

    def _covers(self, gap: Gap, came: list[float], at: int, number: int) -> bool:
        batch = self.brought[at]
        is_before = came[gap.at] > batch.ended if gap.before is None else number < gap.before
        return gap.shard == batch.shard and gap.after < number and is_before

    def _covers_any(self, gap: Gap, client: Client, came: list[float], missing: list[tuple[int, int]]) -> bool:
        return any(self._covers(gap, came, at, number) for at, number in missing)

    def _judge(self, name: str, client: Client, came: list[float], *, at: int, number: int) -> str:
        batch, part = self.brought[at], part_of(name, 4)
        seen = min((gap.at for gap in client.gaps if self._covers(gap, came, at, number)), default=None)
        later = [place for place, time in enumerate(came) if time > batch.ended]
        by = self._served_by(batch, part)
        knowing = [
            place
            for place in later
            if (of := self._batch_at(came[place])) is not None
            and (
                (by is not None and self._served_by(of, part) == by)
                or (by is None and of.giver == batch.giver and of.shard == batch.shard)
            )
        ]
        if knowing:
            assert seen is not None
            assert seen <= self._end_of_marks(client, came, knowing[0]), (name, batch, by, client.gaps, knowing[0])
        if seen is None:
            return "residue"
        return "next" if seen <= self._end_of_marks(client, came, later[0]) else "later"

    def _end_of_marks(self, client: Client, came: list[float], place: int) -> int:
        """The first frame of records from `place` on, or the last mark, of those that came with one batch: marks of
        other shards and epochs may come before the one that tells."""
        batch = self._batch_at(came[place])
        while client.frames[place][1] and place + 1 < len(came) and self._batch_at(came[place + 1]) == batch:
            place += 1
        return place

    def _served_by(self, batch: Brought, part: int) -> int | None:
        found = [
            each.by
            for each in self.world.workers.served
            if (each.shard, each.numbers, each.part) == (batch.shard, batch.numbers, part)
        ]
        assert len(found) <= 1
        return found[0] if found else None

    def _batch_at(self, time: float) -> Brought | None:
        return next((batch for batch in self.brought if time <= batch.ended), None)


def run(seed: int, weather: Weather) -> Counter[str]:
    mesh = Mesh(seed, weather)
    run_virtual(mesh.play)
    assert mesh.world.gateway.overlaps == 0
    told = mesh.check()
    told["posts"] = mesh.world.gateway.posts
    return told


@pytest.mark.parametrize("seed", range(4))
def test_slow_clients_know_what_they_have_missed_and_nobody_else_thinks_so(seed: int) -> None:
    """Posts lost, clients full, silent by turns; then fair weather until every environment has served every part
    again: whoever misses a record knows, and there is no gap in which nothing is missing."""
    told = run(seed, Weather(workers=False))
    assert told["next"] > 0
    assert (told["residue"], told["alarms"]) == (0, 0)


@pytest.mark.parametrize("seed", range(2))
def test_lost_parts_and_batches_are_seen_too(seed: int) -> None:
    """Workers throttled and lost, batches given up: by the next frame of the shard where one environment gives the
    orders, and with three in the end as well."""
    assert run(seed, Weather())["residue"] == 0
    assert run(seed, Weather(givers=3))["residue"] == 0


@pytest.mark.parametrize("seed", range(4))
def test_what_stays_unseen_is_what_its_environment_could_not_tell(seed: int) -> None:
    """Environments that are gone after a tenth of their orders, and no fair weather: the checker allows what nobody who
    knew of it came back for, and nothing else."""
    told = run(seed, Weather(givers=3, killed=0.1, mends=False))
    assert told["residue"] < told["next"] + told["later"]


if __name__ == "__main__":
    for about in (Weather(workers=False), Weather(), Weather(givers=3), Weather(givers=3, killed=0.1, mends=False)):
        print(about, dict(sum((run(seed, about) for seed in range(6)), Counter())))
