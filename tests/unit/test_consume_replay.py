"""The plain iterator of a replay: order, ends, numbers, going on."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from sluiceway.errors import ServiceMisconfigured, ServiceUnavailable
from sluiceway.flows.consume import Manner, ReplayOptions, open_replay
from sluiceway.rules.consuming.spans import Checkpoint, Span
from tests.fakes import LoopClockMs, unavailable
from tests.unit.consume_setup import BRISK, KinesisCaller, aggregate, make_reader, put_all
from tests.unit.kinesis_history import History, merge, shards, split
from tests.unit.kinesis_setup import OPEN, Api, shard_id, with_api

FIRST = shard_id(0)


def options(**more: Any) -> ReplayOptions:
    return ReplayOptions(manner=BRISK, clock=LoopClockMs(), **more)


async def read(api: Api, span: Span | None = None, *, consumer_arn: str = "", **more: Any) -> list[bytes]:
    async with open_replay(make_reader(api, consumer_arn=consumer_arn), span, options=options(**more)) as replay:
        return [record.data async for record in replay]


@pytest.mark.parametrize("pushed", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_a_random_history_is_replayed_whole_and_in_order(seed: int, pushed: bool) -> None:
    """Splits, merges and scalings: every record once, each key's in the order of its puts."""

    async def body(api: Api) -> None:
        arn = await api.make(shards=2)
        consumer_arn = await api.consumer(arn) if pushed else ""
        history = History(api, seed)
        await history.live(25)
        await asyncio.sleep(2)
        async with open_replay(make_reader(api, consumer_arn=consumer_arn), options=options()) as replay:
            found = [record async for record in replay]
            progress = replay.progress
        history.check([(int(each.sequence_number), each.partition_key, each.data) for each in found])  # type: ignore[misc]
        assert (progress.records, progress.shards_done) == (len(history.put), progress.shards)
        assert progress.shards == len(await shards(api))

    with_api(body, limits=OPEN)


def test_it_ends_now_and_does_not_follow_the_stream() -> None:
    """What is put while it runs is not read, nor the children that are made."""

    async def body(api: Api) -> None:
        await api.make()
        await put_all(api, ("k", b"1"), ("k", b"2"))
        await asyncio.sleep(1)
        found: list[bytes] = []
        async with open_replay(make_reader(api), options=options()) as replay:
            async for record in replay:
                found.append(record.data)
                await asyncio.sleep(1)
                await put_all(api, ("k", b"later"))
                if len(found) == 1:
                    await split(api, 0, 1 << 127)
            assert [record async for record in replay] == []
            assert replay.progress.shards == 1
        assert found == [b"1", b"2"]

    with_api(body)


def test_a_span_chooses_what_is_read() -> None:
    """From a time to a time; after a record; up to a record."""

    async def body(api: Api) -> None:
        await api.make()
        times: list[int] = []
        numbers: list[str] = []
        for number in range(6):
            await asyncio.sleep(10)
            times.append(round(api.clock.time() * 1000))
            numbers += await put_all(api, ("k", b"%d" % number))
        await asyncio.sleep(1)
        assert await read(api) == [b"0", b"1", b"2", b"3", b"4", b"5"]
        assert await read(api, Span("AT_TIMESTAMP", at_ms=times[2], until_ms=times[4])) == [b"2", b"3", b"4"]
        after = Span("AFTER_SEQUENCE_NUMBER", after={FIRST: numbers[3]})
        assert await read(api, after) == [b"4", b"5"]
        assert await read(api, Span(until_ms=times[5], last={FIRST: numbers[1]})) == [b"0", b"1"]
        assert await read(api, Span("LATEST")) == []

    with_api(body)


def test_it_goes_on_where_it_was_left() -> None:
    """From the cursor of the progress, in the middle of an aggregate too; shards that were done are not read."""

    async def body(api: Api) -> None:
        await api.make()
        await put_all(api, ("k", b"0"))
        await split(api, 0, 1 << 127)
        await put_all(api, ("k", aggregate(("k", b"1"), ("k", b"2"), ("k", b"3"))), ("k", b"4"))
        await asyncio.sleep(1)
        found: list[bytes] = []
        async with open_replay(make_reader(api), options=options()) as replay:
            async for record in replay:
                found.append(record.data)
                if record.data == b"2":
                    break
            progress = replay.progress
        assert progress.cursor[FIRST].is_end
        assert progress.records == 3
        caller = KinesisCaller(api)
        async with open_replay(make_reader(api, caller), options=options(done=progress.cursor)) as replay:
            found += [record.data async for record in replay]
            assert replay.progress.shards_done == replay.progress.shards == 3
        assert found == [b"0", b"1", b"2", b"3", b"4"]
        assert FIRST not in {request.get("ShardId") for _, request in caller.asked}

    with_api(body)


def test_its_progress_is_of_what_was_given_out() -> None:
    """Records, bytes, the last arrival, how far behind the tip."""

    async def body(api: Api) -> None:
        await api.make()
        (first, _) = await put_all(api, ("k", b"four"), ("k", b"123456"))
        arrived_ms = round(api.clock.time() * 1000)
        await asyncio.sleep(1)
        async with open_replay(make_reader(api), options=options()) as replay:
            told = replay.progress
            assert (told.records, told.size_bytes, told.arrived_ms, told.behind_ms) == (0, 0, 0, None)
            await anext(replay)
            told = replay.progress
        assert (told.records, told.size_bytes, told.arrived_ms, told.behind_ms) == (1, 4, arrived_ms, 0)
        assert (told.shards, told.shards_done, told.cursor) == (1, 0, {FIRST: Checkpoint(first)})

    with_api(body)


def test_it_keeps_to_its_share_of_the_calls() -> None:
    """By default a fifth: one call a second, so that live readers have the rest."""

    async def body(api: Api) -> None:
        await api.make()
        await put_all(api, *(("k", b"%d" % number) for number in range(50)))
        await asyncio.sleep(1)
        caller = KinesisCaller(api)
        chosen = replace(ReplayOptions(clock=LoopClockMs()), manner=Manner(share=0.2, page=5))
        began = asyncio.get_running_loop().time()
        async with open_replay(make_reader(api, caller), options=chosen) as replay:
            assert len([record async for record in replay]) == 50
        assert caller.calls["GetRecords"] == 10
        assert asyncio.get_running_loop().time() - began == pytest.approx(9.0)
        assert ReplayOptions().manner.share == 0.2

    with_api(body)


def test_what_is_not_taken_is_not_read() -> None:
    """A consumer that stands still stops the reading after a few pages."""

    async def body(api: Api) -> None:
        await api.make()
        await put_all(api, *(("k", b"%d" % number) for number in range(50)))
        await asyncio.sleep(1)
        caller = KinesisCaller(api)
        chosen = replace(options(), manner=Manner(share=1.0, page=1))
        async with open_replay(make_reader(api, caller), options=chosen) as replay:
            await anext(replay)
            await asyncio.sleep(600)
            assert caller.calls["GetRecords"] < 6

    with_api(body)


def test_errors_are_the_callers_own() -> None:
    """What the block raises comes out as it is; so does a stream that is not there. No task is left."""

    async def body(api: Api) -> None:
        with pytest.raises(ServiceMisconfigured):
            await read(api)
        await api.make(shards=3)
        before = asyncio.all_tasks()
        with pytest.raises(KeyError):
            async with open_replay(make_reader(api), options=options()):
                raise KeyError
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before

    with_api(body)


def test_a_bug_in_reading_is_raised_where_records_are_taken() -> None:
    """Not as a cancellation, and not as a group."""

    async def body(api: Api) -> None:
        await api.make()

        async def before(operation: str) -> None:
            if operation == "GetRecords":
                raise ZeroDivisionError

        async with open_replay(make_reader(api, KinesisCaller(api, before)), options=options()) as replay:
            for _ in range(2):
                with pytest.raises(ZeroDivisionError):
                    await anext(replay)

    with_api(body)


def test_trouble_is_waited_out() -> None:
    """Throttles and outages while it reads; at its beginning they are raised."""

    async def body(api: Api) -> None:
        await api.make(shards=2)
        await merge(api, 0, 1)
        await put_all(api, ("k", b"1"))
        await asyncio.sleep(1)
        left = 4

        async def before(operation: str) -> None:
            nonlocal left
            if operation != "ListShards" and left:
                left -= 1
                raise unavailable(operation)

        async with open_replay(make_reader(api, KinesisCaller(api, before)), options=options()) as replay:
            assert [record.data async for record in replay] == [b"1"]

        async def away(operation: str) -> None:
            raise unavailable(operation)

        with pytest.raises(ServiceUnavailable):
            async with open_replay(make_reader(api, KinesisCaller(api, away)), options=options()):
                pass

    with_api(body)
