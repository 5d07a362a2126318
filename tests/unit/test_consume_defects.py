"""Defects of async-kinesis 3.0.1, one test each: what a consumer here must never do.

Each was seen in that package; docs/consuming.md names them.
"""

from __future__ import annotations

import asyncio

from sluiceway.aws.streams import KinesisReader
from sluiceway.codec import kpl
from sluiceway.flows.consume import MemoryLeaseStore
from sluiceway.rules.consuming.leases import Lease, finish
from sluiceway.rules.consuming.shards import Shard, find_ready, plan_leases
from sluiceway.rules.consuming.spans import Span
from tests.unit.consume_setup import KinesisCaller, aggregate, put_all, until
from tests.unit.kinesis_history import merge, split
from tests.unit.kinesis_setup import Api, shard_id, with_api
from tests.unit.test_consume_shards import Reading


def test_a_merged_shard_waits_for_the_adjacent_parent_too() -> None:
    """There AdjacentParentShardId is ignored: the child is read while the second parent is not done."""

    async def body(api: Api) -> None:
        await api.make(shards=2)
        await put_all(api, *((f"key-{number}", b"parent") for number in range(40)))
        await merge(api, 0, 1)
        await put_all(api, *((f"key-{number}", b"child") for number in range(10)))
        gate = asyncio.Event()
        reading = Reading(api, MemoryLeaseStore())
        handle = reading.handle

        async def hold_second_parent(record: object) -> None:
            if getattr(record, "shard_id", "") == shard_id(1):
                await gate.wait()
            await handle(record)  # type: ignore[arg-type]

        reading.consumer._handle = hold_second_parent
        async with asyncio.TaskGroup() as group:
            group.create_task(reading.consumer.run())
            await asyncio.sleep(60)
            assert {record.shard_id for record in reading.records} == {shard_id(0)}
            gate.set()
            await until(lambda: len(reading.datas) == 50)
            reading.consumer.stop()
        assert reading.datas == [b"parent"] * 40 + [b"child"] * 10

    with_api(body)


def test_a_shard_that_is_a_parent_waits_for_its_own_parent() -> None:
    """There a shard that is itself a parent is always allowed: the middle one of three generations starts at once."""

    async def body(api: Api) -> None:
        await api.make()
        await put_all(api, ("k", b"first"))
        await split(api, 0, 1 << 127)
        await put_all(api, ("k", b"middle"))
        middle = api.streams.get("s", "eu-west-1").route("k", None)
        await split(api, middle.index, (middle.first_hash + middle.last_hash) // 2)
        await put_all(api, ("k", b"last"))
        gate = asyncio.Event()
        reading = Reading(api, MemoryLeaseStore(), gate=gate)
        async with asyncio.TaskGroup() as group:
            group.create_task(reading.consumer.run())
            await asyncio.sleep(60)
            assert reading.caller.calls["GetShardIterator"] == 1
            gate.set()
            await until(lambda: len(reading.datas) == 3)
            reading.consumer.stop()
        assert reading.datas == [b"first", b"middle", b"last"]

    with_api(body)


def test_three_generations_in_the_rules() -> None:
    """The same without a stream: one generation after the other, whatever has been written already."""
    shards = [Shard("a"), Shard("b", ("a",)), Shard("c", ("b",))]
    leases = list(plan_leases(shards, (), Span()))
    for at, name in enumerate("abc"):
        assert [lease.shard_id for lease in find_ready(shards, leases, Span())] == [name]
        leases[at] = finish(leases[at])
    assert find_ready(shards, [Lease("c", ("b",)), Lease("b", ("a",)), Lease("a")], Span()) == (Lease("a"),)


def test_an_absent_iterator_is_the_end_of_the_shard() -> None:
    """There the missing member is a KeyError (async-kinesis#97): the shard is never done, its children never read."""

    async def body(api: Api) -> None:
        await api.make()
        await put_all(api, ("k", b"1"))
        await split(api, 0, 1 << 127)
        await put_all(api, ("k", b"2"))
        caller = KinesisCaller(api)
        reader = KinesisReader(caller, "s")  # type: ignore[arg-type]
        told = await api.call("GetRecords", ShardIterator=await api.iterator())
        assert "NextShardIterator" not in told
        assert (await reader.get_records(await api.iterator(), limit=10)).is_last
        store = MemoryLeaseStore()
        reading = Reading(api, store)
        await reading.run_until(2)
        assert reading.datas == [b"1", b"2"]
        assert [lease.is_done for lease in await store.list()] == [True, False, False]

    with_api(body)


def test_what_only_looks_like_an_aggregate_is_a_record() -> None:
    """There neither magic nor digest is looked at: what parses is taken apart, torn data is believed."""

    async def body(api: Api) -> None:
        await api.make()
        real = aggregate(("k", b"x"), ("k", b"y"))
        message = real[len(b"\xf3\x89\x9a\xc2") : -16]
        no_magic, torn = b"\x0a\x01k\x1a\x05" + message, real[:-1] + bytes([real[-1] ^ 1])
        await put_all(api, ("k", no_magic), ("k", torn), ("k", real))
        reading = Reading(api, MemoryLeaseStore())
        await reading.run_until(3)
        assert reading.datas == [no_magic, b"x", b"y"]
        assert [letter.reason for letter in reading.letters.letters] == ["aggregate-digest"]
        opened = kpl.open_aggregate(real)
        assert opened is not None

    with_api(body)


def test_the_last_batch_of_a_shard_does_not_come_again() -> None:
    """There the terminal batch comes at every restart. Here a shard that is done is never asked again."""

    async def body(api: Api) -> None:
        await api.make()
        store = MemoryLeaseStore()
        await put_all(api, *(("k", b"%d" % number) for number in range(3)))
        await split(api, 0, 1 << 127)
        await Reading(api, store).run_until(3, then_s=5)
        for _ in range(3):
            again = Reading(api, store)
            await again.run_until(0, then_s=30)
            assert again.datas == []
            assert FIRST_SHARD not in {request.get("ShardId") for _, request in again.caller.asked}

    with_api(body)


FIRST_SHARD = shard_id(0)
