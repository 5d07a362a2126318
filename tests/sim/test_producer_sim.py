"""The producer against the local cloud's Kinesis, with the limits of its shards, a bad network, and reshards."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.kinesis.limits import Limits
from localcloud.services.kinesis.model import Streams
from localcloud.services.kinesis.wire import KinesisService
from sluiceway.errors import ServiceUnavailable
from sluiceway.ports.producing import Declined, Entry, OpenShard, PutAnswer
from tests.producing_cloud import Served
from tests.producing_world import has_strangers, make_producer, open_entry

RECORDS, KEYS = 5_000, 600
LIMITS = Limits(reads=False, calls=False, quotas=False)


@dataclass
class Network:
    """Every call takes up to 0.1 s; of 20 one is lost on the way, and of 20 one answer."""

    served: Served
    rng: random.Random
    declined: int = 0
    lost: int = 0

    async def put(self, entries: Sequence[Entry], *, deadline: float | None = None) -> Sequence[PutAnswer]:
        await self._pass()
        answers = await self.served.stream.put(entries, deadline=deadline)
        self.declined += sum(isinstance(answer, Declined) for answer in answers)
        await self._pass()
        return answers

    async def open_shards(self, *, deadline: float | None = None) -> Sequence[OpenShard]:
        await self._pass()
        return await self.served.stream.open_shards(deadline=deadline)

    async def _pass(self) -> None:
        await asyncio.sleep(self.rng.random() * 0.05)
        if self.rng.random() < 0.05:
            self.lost += 1
            raise ServiceUnavailable("lost", service="kinesis", operation="?", code="ConnectionClosed")


async def reshard(served: Served, rng: random.Random) -> None:
    """Splits and merges, one after the other, each as long as the stream takes for it."""
    while True:
        await asyncio.sleep(rng.random())
        found = sorted(await served.stream.open_shards(), key=lambda each: each.first)
        at = rng.randrange(len(found))
        if len(found) == 1 or (rng.random() < 0.5 and len(found) < 4):
            await served.split(found[at].shard_id)
        else:
            at = min(at, len(found) - 2)
            await served.merge(found[at].shard_id, found[at + 1].shard_id)


async def play(seed: int, *, aggregate: bool) -> Network:
    """Puts them all; checks what a reader on KCL gets."""
    rng = random.Random(seed)
    loop = asyncio.get_running_loop()
    streams = Streams(clock=LoopClock(loop), rng=random.Random(seed), limits=LIMITS, delay_s=0.5)
    served = Served(KinesisService(streams), "orders", look_s=0.1)
    await served.ask("CreateStream", StreamName="orders", ShardCount=1)
    await served.settle()
    network = Network(served, rng)
    async with asyncio.TaskGroup() as tasks:
        resharding = tasks.create_task(reshard(served, rng))
        async with make_producer(network, aggregate=aggregate, give_up_s=600) as producer:
            futures = []
            for number in range(RECORDS):
                futures.append(await producer.submit(f"k{rng.randrange(KEYS)}", b"%d" % number + b" " * 500))
                if rng.random() < 0.004:
                    await asyncio.sleep(rng.random() * 0.1)
        resharding.cancel()
    await asyncio.sleep(1)
    read = await served.read()
    kept = [each for _, kept, entry in read if not has_strangers(entry, kept) for each in open_entry(entry)]
    assert {int(each.data) for each in kept} == set(range(RECORDS))
    assert all(future.exception() is None for future in futures)
    numbers: dict[str, list[int]] = {}
    for each in kept:
        numbers.setdefault(each.key, []).append(int(each.data))
    for key, found in numbers.items():
        assert list(dict.fromkeys(found)) == sorted(set(found)), key
    assert len(kept) - RECORDS <= (RECORDS if network.lost else 0)
    return network


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("aggregate", [False, True])
def test_everything_arrives_in_order_by_key(seed: int, aggregate: bool) -> None:
    """Shards decline what is too much, answers are lost, shards split and merge: nothing is lost, and of each key the
    records are there in order, the first time that they are.
    """

    async def scene() -> Network:
        return await play(seed, aggregate=aggregate)

    network = run_virtual(scene)
    assert network.lost + network.declined > 0
    assert aggregate or network.declined > 0
