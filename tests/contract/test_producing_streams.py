"""The contract of RecordStream, and the producer on it: over memory, the local cloud's Kinesis and moto's."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol

import pytest

from localcloud.clock import SystemClock
from localcloud.delegate import Delegate, DelegatedService
from localcloud.services.contract import Service
from localcloud.services.kinesis.limits import Limits
from localcloud.services.kinesis.model import Streams
from localcloud.services.kinesis.wire import KinesisService
from sluiceway.codec.kpl import HashRange, hash_key
from sluiceway.flows.publish.shards import Outlet
from sluiceway.ports.producing import Entry, OpenShard, Placed, RecordStream
from tests.producing_cloud import Served
from tests.producing_world import LAST, MemoryStream, Stored, has_strangers, make_producer, open_entry

OPEN = Limits(reads=False, writes=False, calls=False, quotas=False)
HALF = 1 << 127


class Streamed(Protocol):
    """One stream of two shards, however it is served. moto goes on writing to a shard that was split."""

    is_moto: bool

    @property
    def stream(self) -> RecordStream: ...
    async def split(self, shard_id: str) -> None: ...
    async def merge(self, one: str, other: str) -> None: ...
    async def read(self) -> list[tuple[str, HashRange, Entry]]: ...


class InMemory:
    """As the tests of the flow have it."""

    def __init__(self) -> None:
        self.stream = MemoryStream(shards=2)
        self.is_moto = False

    async def split(self, shard_id: str) -> None:
        self.stream.split(shard_id)

    async def merge(self, one: str, other: str) -> None:
        self.stream.merge(one, other)

    async def read(self) -> list[tuple[str, HashRange, Entry]]:
        return [
            (name, shard.hash_range, entry)
            for name, shard in self.stream.shards.items()
            for entry in shard.records.values()
        ]


@pytest.fixture(scope="module")
def delegate() -> Iterator[Delegate]:
    """moto, as the long tail has it."""
    made = Delegate()
    yield made
    made.close()


@pytest.fixture(params=["memory", "local", "local, by its ARN", "moto", "moto, by its ARN"])
def play(request: pytest.FixtureRequest, delegate: Delegate) -> Callable[[Callable[[Streamed], Awaitable[None]]], None]:
    """Runs a scene with a fresh stream of two shards."""
    kind, _, by_arn = request.param.partition(", ")

    async def run(scene: Callable[[Streamed], Awaitable[None]]) -> None:
        if kind == "memory":
            await scene(InMemory())
            return
        streams = Streams(clock=SystemClock(), rng=random.Random(1), limits=OPEN, delay_s=0.0)
        service: Service = KinesisService(streams)
        if kind == "moto":
            service = DelegatedService("kinesis", delegate, needs=lambda _: ())
        served = Served(service, "orders")
        await served.ask("CreateStream", StreamName="orders", ShardCount=2)
        await served.settle()
        if by_arn:
            summary = (await served.ask("DescribeStreamSummary", StreamName="orders"))["StreamDescriptionSummary"]
            served = Served(service, summary["StreamARN"])
        try:
            await scene(served)
        finally:
            await served.ask("DeleteStream", StreamName="orders")

    def in_a_loop(scene: Callable[[Streamed], Awaitable[None]]) -> None:
        with asyncio.Runner() as runner:
            runner.run(run(scene))

    return in_a_loop


Play = Callable[[Callable[[Streamed], Awaitable[None]]], None]


def test_entries_are_put_where_their_hash_says(play: Play) -> None:
    """By key and by explicit hash key; each answer is in its place; data comes back as it was."""

    async def scene(served: Streamed) -> None:
        shards = await served.stream.open_shards()
        assert [(each.first, each.last) for each in shards] == [(0, HALF - 1), (HALF, LAST)]
        entries = [Entry(f"k{at}", bytes([at, 255])) for at in range(20)] + [
            Entry("é", b"", "0"),
            Entry("é", b"", str(HALF)),
        ]
        answers = await served.stream.put(entries)
        for entry, answer in zip(entries, answers, strict=True):
            assert isinstance(answer, Placed)
            expected = shards[hash_key(entry.partition_key, entry.explicit_hash_key) >= HALF].shard_id
            assert answer.shard_id == expected
            assert answer.sequence_number.isdecimal()
        read = [(shard_id, each.partition_key, each.data) for shard_id, _, each in await served.read()]
        assert sorted(read) == sorted(
            (answer.shard_id, entry.partition_key, entry.data)
            for entry, answer in zip(entries, answers, strict=True)
            if isinstance(answer, Placed)
        )

    play(scene)


def test_open_shards_make_up_the_hash_space_after_a_split_and_a_merge(play: Play) -> None:
    """Closed parents are left out."""

    async def scene(served: Streamed) -> None:
        first, second = await served.stream.open_shards()
        await served.split(first.shard_id)
        low, high, kept = sorted(await served.stream.open_shards(), key=lambda each: each.first)
        assert kept == second
        assert (low.first, low.last + 1, high.last) == (0, high.first, HALF - 1)
        await served.merge(high.shard_id, kept.shard_id)
        after = sorted(await served.stream.open_shards(), key=lambda each: each.first)
        assert after == [low, OpenShard(after[1].shard_id, high.first, LAST)]

    play(scene)


@pytest.mark.parametrize("aggregate", [False, True])
def test_a_kcl_reader_gets_everything_across_reshards(play: Play, aggregate: bool) -> None:
    """A split and a merge behind the producer's back: whatever KCL drops came again, apart, in order by key."""

    async def scene(served: Streamed) -> None:
        sent = 0

        async def put(producer: Any, number: int) -> None:
            nonlocal sent
            for _ in range(number):
                await producer.submit(f"k{sent % 13}", b"%d" % sent)
                sent += 1
            await producer.flush()

        async with make_producer(
            served.stream, aggregate=aggregate, linger_s=0, outlet=Outlet(served.stream)
        ) as producer:
            await put(producer, 100)
            first, _ = sorted(await served.stream.open_shards(), key=lambda each: each.first)
            await served.split(first.shard_id)
            await put(producer, 100)
            low, high, _ = sorted(await served.stream.open_shards(), key=lambda each: each.first)
            await served.merge(low.shard_id, high.shard_id)
            await put(producer, 100)
        read = await served.read()
        dropped = [entry for _, hash_range, entry in read if has_strangers(entry, hash_range)]
        kept = [each for _, hash_range, entry in read if entry not in dropped for each in open_entry(entry)]
        assert len(dropped) == int(aggregate and not served.is_moto)
        assert {int(each.data) for each in kept} == set(range(sent))
        assert len(kept) == sent
        assert in_order(kept)
        assert any(each.sub is not None for each in kept) is aggregate

    play(scene)


def in_order(kept: list[Stored]) -> bool:
    """Of each key, in the order in which the shards are listed, which is that of their making."""
    numbers: dict[str, list[int]] = {}
    for each in kept:
        numbers.setdefault(each.key, []).append(int(each.data))
    return all(each == sorted(each) for each in numbers.values())
