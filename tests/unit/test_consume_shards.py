"""Consumers over the local cloud's Kinesis: reading on whatever happens, checkpoints, hand-over, replays."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sluiceway.errors import Misconfigured, Rejected, Retryable
from sluiceway.events.kinesis import KinesisRecord
from sluiceway.flows.consume import ConsumeOptions, Consumer, MemoryLeaseStore
from sluiceway.flows.consume.reading import ShardReading
from sluiceway.rules.consuming.leases import Lease, take
from sluiceway.rules.consuming.spans import Checkpoint, Position, Span
from tests.fakes import LoopClockMs, MemoryDeadLetters, unavailable
from tests.unit.consume_setup import (
    BRISK,
    Draws,
    Events,
    KinesisCaller,
    aggregate,
    make_desk,
    make_reader,
    put_all,
    until,
)
from tests.unit.kinesis_history import merge, split
from tests.unit.kinesis_setup import Api, shard_id, with_api

FIRST = shard_id(0)
Refuse = Callable[[str], Awaitable[None]]


class Reading:
    """One worker of a namespace: what it has handled is in `datas`, in order."""

    def __init__(
        self,
        api: Api,
        store: MemoryLeaseStore,
        *,
        before: Refuse | None = None,
        span: Span | None = None,
        consumer_arn: str = "",
        gate: asyncio.Event | None = None,
        chance: Draws | None = None,
        **options: Any,
    ) -> None:
        self.datas: list[bytes] = []
        self.records: list[KinesisRecord] = []
        self.letters = MemoryDeadLetters()
        self.gate = gate
        self.caller = KinesisCaller(api, before)
        chosen = {"lease_s": 10.0, "round_s": 2.0, "manner": BRISK} | options
        self.consumer = Consumer(
            make_reader(api, self.caller, consumer_arn=consumer_arn),
            store,
            self.handle,
            desk=make_desk(self.letters, chance or Draws(0.1, 0.9, 0.4)),
            span=span or Span(),
            options=ConsumeOptions(**chosen),
        )

    async def handle(self, record: KinesisRecord) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if record.data == b"poison":
            raise Rejected("poison", reason="poison")
        self.datas.append(record.data)
        self.records.append(record)

    async def run_until(self, count: int, *, then_s: float = 0.0) -> None:
        """Run until so many records are handled, and be told to stop."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.consumer.run())
            await until(lambda: len(self.datas) >= count)
            await asyncio.sleep(then_s)
            self.consumer.stop()


def now() -> float:
    return asyncio.get_running_loop().time()


async def lease_of(store: MemoryLeaseStore, shard: int = 0) -> Lease:
    (found,) = [lease for lease in await store.list() if lease.shard_id == shard_id(shard)]
    return found


# ---------------------------------------------------------------------- starting and stopping


@pytest.mark.parametrize("pushed", [False, True])
def test_a_worker_that_comes_back_goes_on_after_what_was_done(pushed: bool) -> None:
    """Polled or pushed: its lease is let go with the checkpoint, and no record comes again."""

    async def body(api: Api) -> None:
        arn, store = await api.make(), MemoryLeaseStore()
        consumer_arn = await api.consumer(arn) if pushed else ""
        numbers = await put_all(api, *(("k", b"%d" % number) for number in range(5)))
        first = Reading(api, store, consumer_arn=consumer_arn)
        await first.run_until(5)
        lease = await lease_of(store)
        assert lease.owner == ""
        assert int(lease.checkpoint.sequence_number) >= int(numbers[-1])
        await put_all(api, ("k", b"5"))
        await asyncio.sleep(5)
        second = Reading(api, store, consumer_arn=consumer_arn)
        await second.run_until(1)
        assert first.datas + second.datas == [b"%d" % number for number in range(6)]

    with_api(body)


def test_a_worker_resumes_inside_an_aggregate() -> None:
    """Stopped after the second of four, another does the third and fourth, and not the first again."""

    async def body(api: Api) -> None:
        await api.make()
        store = MemoryLeaseStore()
        data = aggregate(*(("k", b"%d" % number) for number in range(4)))
        (number,) = await put_all(api, ("k", data))
        first = Reading(api, store, concurrency=1)
        handle = first.handle

        async def stop_at_second(record: KinesisRecord) -> None:
            await handle(record)
            if record.sub_sequence == 1:
                first.consumer.stop()
                await asyncio.sleep(0.5)

        first.consumer._handle = stop_at_second
        await first.consumer.run()
        assert first.datas == [b"0", b"1"]
        assert (await lease_of(store)).checkpoint == Checkpoint(number, 1)
        second = Reading(api, store)
        await second.run_until(2, then_s=5)
        assert second.datas == [b"2", b"3"]
        assert (await lease_of(store)).checkpoint == Checkpoint(number)

    with_api(body)


def test_another_worker_takes_a_released_shard_without_waiting_for_a_lease_to_lapse() -> None:
    """Within a round, where a lease lasts for minutes."""

    async def body(api: Api) -> None:
        await api.make()
        store = MemoryLeaseStore()
        one, other = (Reading(api, store, lease_s=600.0, chance=Draws(0.1, each)) for each in (0.2, 0.3))
        async with asyncio.TaskGroup() as group:
            group.create_task(one.consumer.run())
            await put_all(api, ("k", b"1"))
            await until(lambda: len(one.datas) == 1)
            group.create_task(other.consumer.run())
            await asyncio.sleep(10)
            one.consumer.stop()
            await put_all(api, ("k", b"2"))
            began = now()
            await until(lambda: len(other.datas) == 1)
            assert now() - began < 5
            other.consumer.stop()

    with_api(body)


def test_stopping_waits_for_what_is_in_hand_and_no_longer_than_it_may() -> None:
    """A record that takes a minute is cancelled after `stop_s`, and comes again elsewhere."""

    async def body(api: Api) -> None:
        await api.make()
        store, gate = MemoryLeaseStore(), asyncio.Event()
        await put_all(api, ("k", b"1"))
        reading = Reading(api, store, gate=gate, stop_s=7.0)
        async with asyncio.TaskGroup() as group:
            group.create_task(reading.consumer.run())
            await asyncio.sleep(5)
            reading.consumer.stop()
            began = now()
        assert now() - began == pytest.approx(7, abs=0.5)
        assert (await lease_of(store)).owner == ""
        again = Reading(api, store)
        await again.run_until(1)
        assert (reading.datas, again.datas) == ([], [b"1"])

    with_api(body)


def test_a_dead_workers_shard_is_taken_once_its_lease_has_lapsed() -> None:
    """Not before: it may only be slow."""

    async def body(api: Api) -> None:
        await api.make()
        store = MemoryLeaseStore()
        await put_all(api, ("k", b"1"))
        (lease,) = [Lease(FIRST)]
        await store.begin(Span())
        await store.create(lease)
        await store.write(take(lease, "dead"), seen=lease)
        reading = Reading(api, store)
        began = now()
        await reading.run_until(1)
        assert 10 < now() - began < 15

    with_api(body)


def test_two_workers_share_the_shards_without_a_record_done_twice() -> None:
    """The second asks, the first hands over: each has half, every record is handled once."""

    async def body(api: Api) -> None:
        await api.make(shards=4)
        store = MemoryLeaseStore()
        one, other = Reading(api, store, chance=Draws(0.1, 0.9)), Reading(api, store, chance=Draws(0.3, 0.7))
        async with asyncio.TaskGroup() as group:
            group.create_task(one.consumer.run())
            await asyncio.sleep(10)
            group.create_task(other.consumer.run())
            for number in range(60):
                await put_all(api, (f"key-{number}", b"%d" % number))
                await asyncio.sleep(0.5)
            assert [len(each.consumer.progress()) for each in (one, other)] == [2, 2]
            await until(lambda: len(one.datas) + len(other.datas) >= 60)
            one.consumer.stop()
            other.consumer.stop()
        assert sorted(map(int, one.datas + other.datas)) == list(range(60))
        assert other.datas

    with_api(body)


def test_latest_is_the_moment_at_which_the_namespace_was_begun() -> None:
    """A worker that comes an hour later misses nothing that arrived since; what was there before is not read."""

    async def body(api: Api) -> None:
        await api.make()
        store = MemoryLeaseStore()
        await put_all(api, ("k", b"old"))
        await asyncio.sleep(5)
        await Reading(api, store, span=Span("LATEST")).run_until(0, then_s=5)
        await put_all(api, ("k", b"while nobody was there"))
        await asyncio.sleep(3_600)
        later = Reading(api, store, span=Span("LATEST"))
        await later.run_until(1)
        assert later.datas == [b"while nobody was there"]

    with_api(body)


def test_a_namespace_that_cannot_be_begun_is_said_at_once() -> None:
    """A missing table, say: the process ends with the error itself, not with a group of it. Outages are waited out."""

    async def body(api: Api) -> None:
        troubles: list[Exception] = [unavailable("PutItem"), Misconfigured("no table", what="TABLE")]

        class Store(MemoryLeaseStore):
            async def begin(self, span: Span) -> Span:
                raise troubles.pop(0)

        await api.make()
        with pytest.raises(Misconfigured):
            await Reading(api, Store()).consumer.run()

    with_api(body)


# ---------------------------------------------------------------------- reading on


def failing(operation: str, *errors: Exception | None) -> Refuse:
    """Fails the calls of an operation with these errors, one after the other; None lets one pass."""
    left = list(errors)

    async def before(called: str) -> None:
        if called == operation and left and (error := left.pop(0)) is not None:
            raise error

    return before


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        ("GetRecords", unavailable("GetRecords")),
        ("GetShardIterator", unavailable("GetShardIterator")),
        ("SubscribeToShard", unavailable("SubscribeToShard")),
        ("ListShards", unavailable("ListShards")),
        ("GetRecords", Misconfigured("not allowed", what="kinesis:GetRecords")),
        ("SubscribeToShard", Retryable("taken", after_s=5.0)),
    ],
)
def test_reading_goes_on_after_trouble(operation: str, error: Exception) -> None:
    """Nothing is lost and nothing comes twice."""

    async def body(api: Api) -> None:
        arn, store = await api.make(), MemoryLeaseStore()
        consumer_arn = await api.consumer(arn) if operation == "SubscribeToShard" else ""
        await put_all(api, *(("k", b"%d" % number) for number in range(20)))
        reading = Reading(
            api,
            store,
            before=failing(operation, None, error, error) if operation == "ListShards" else failing(operation, error),
            consumer_arn=consumer_arn,
        )
        await reading.run_until(20, then_s=3)
        assert reading.datas == [b"%d" % number for number in range(20)]
        assert reading.caller.calls[operation] > 0

    with_api(body)


def test_a_shard_whose_handlers_are_slow_outlives_its_iterator() -> None:
    """Ten minutes in one record: the iterator expires, another is asked for, the next record comes once."""

    async def body(api: Api) -> None:
        await api.make()
        store, gate = MemoryLeaseStore(), asyncio.Event()
        await put_all(api, ("k", b"1"))
        reading = Reading(api, store, gate=gate, window=1, manner=BRISK)
        async with asyncio.TaskGroup() as group:
            group.create_task(reading.consumer.run())
            await asyncio.sleep(600)
            assert reading.caller.calls["GetRecords"] == 1
            await put_all(api, ("k", b"2"))
            gate.set()
            await until(lambda: len(reading.datas) == 2)
            reading.consumer.stop()
        assert reading.datas == [b"1", b"2"]
        assert reading.caller.calls["GetShardIterator"] == 2

    with_api(body)


def test_a_subscription_is_renewed_every_five_minutes_where_it_left_off() -> None:
    """An hour of it: each record once, AFTER the ContinuationSequenceNumber."""

    async def body(api: Api) -> None:
        arn, store = await api.make(), MemoryLeaseStore()
        reading = Reading(api, store, consumer_arn=await api.consumer(arn))
        async with asyncio.TaskGroup() as group:
            group.create_task(reading.consumer.run())
            for number in range(60):
                await put_all(api, ("k", b"%d" % number))
                await asyncio.sleep(60)
            reading.consumer.stop()
        assert reading.datas == [b"%d" % number for number in range(60)]
        asked = [request for operation, request in reading.caller.asked if operation == "SubscribeToShard"]
        assert len(asked) == 12
        assert {request["StartingPosition"]["Type"] for request in asked[1:]} == {"AFTER_SEQUENCE_NUMBER"}

    with_api(body)


def test_a_subscription_that_another_takes_over_is_won_back_after_five_seconds() -> None:
    """The error says when; records come once."""

    async def body(api: Api) -> None:
        arn, store = await api.make(), MemoryLeaseStore()
        consumer_arn = await api.consumer(arn)
        reading = Reading(api, store, consumer_arn=consumer_arn)
        async with asyncio.TaskGroup() as group:
            group.create_task(reading.consumer.run())
            await asyncio.sleep(10)
            other = await api.subscribe(consumer_arn)
            await put_all(api, ("k", b"1"))
            began = now()
            await until(lambda: len(reading.datas) == 1)
            assert 5 <= now() - began < 8
            reading.consumer.stop()
            await other.close()

    with_api(body)


def test_an_idle_pushed_shard_moves_its_checkpoint() -> None:
    """ContinuationSequenceNumber advances with no records, and is kept."""

    async def body(api: Api) -> None:
        arn, store = await api.make(), MemoryLeaseStore()
        (number,) = await put_all(api, ("k", b"1"))
        reading = Reading(api, store, consumer_arn=await api.consumer(arn))
        await reading.run_until(1, then_s=60)
        assert int((await lease_of(store)).checkpoint.sequence_number) > int(number)

    with_api(body)


def test_the_pace_is_kept_among_several_readers() -> None:
    """Two at two calls a second and a fifth: a shard allows five, and nobody is refused."""

    async def body(api: Api) -> None:
        await api.make()
        stores = [MemoryLeaseStore() for _ in range(2)]
        readings = [Reading(api, store, manner=BRISK.__class__(share=0.4, idle_s=0.1)) for store in stores]
        async with asyncio.TaskGroup() as group:
            for reading in readings:
                group.create_task(reading.consumer.run())
            for number in range(30):
                await put_all(api, ("k", b"%d" % number))
                await asyncio.sleep(1)
            for reading in readings:
                reading.consumer.stop()
        for reading in readings:
            assert len(reading.datas) == 30
            assert reading.caller.calls["GetRecords"] <= 2 * 32
        assert sum(request[0] == "GetShardIterator" for reading in readings for request in reading.caller.asked) == 2

    with_api(body)


def test_what_is_read_and_not_done_is_bounded() -> None:
    """`window`, and the page that came last."""

    async def body(api: Api) -> None:
        await api.make()
        store, gate = MemoryLeaseStore(), asyncio.Event()
        await put_all(api, *(("k", b"%d" % number) for number in range(100)))
        manner = BRISK.__class__(share=1.0, idle_s=0.1, page=10)
        reading = Reading(api, store, gate=gate, window=25, manner=manner)
        async with asyncio.TaskGroup() as group:
            group.create_task(reading.consumer.run())
            await asyncio.sleep(60)
            (progress,) = reading.consumer.progress()
            assert (progress.in_hand, progress.settled) == (30, 0)
            assert progress.behind_ms is not None
            assert progress.behind_ms > 0
            gate.set()
            await until(lambda: len(reading.datas) == 100)
            reading.consumer.stop()

    with_api(body)


def test_an_expired_shard_ends_and_its_children_are_read() -> None:
    """Nobody reads for a day: what the first shard had is gone, and that holds nothing up."""

    async def body(api: Api) -> None:
        await api.make()
        store = MemoryLeaseStore()
        await put_all(api, ("k", b"1"))
        await Reading(api, store).run_until(1)
        await split(api, 0, 1 << 127)
        await asyncio.sleep(24 * 3_600 + 60)
        await put_all(api, ("k", b"2"))
        later = Reading(api, store)
        await later.run_until(1, then_s=10)
        assert later.datas == [b"2"]
        assert FIRST not in {lease.shard_id for lease in await store.list()}

    with_api(body)


# ---------------------------------------------------------------------- replays


@pytest.mark.parametrize("pushed", [False, True])
def test_a_span_with_an_end_is_a_replay(pushed: bool) -> None:
    """Its own namespace: `run` returns once all is done up to the end; later records are not read."""

    async def body(api: Api) -> None:
        arn = await api.make()
        consumer_arn = await api.consumer(arn) if pushed else ""
        await put_all(api, ("k", b"1"))
        await split(api, 0, 1 << 127)
        await put_all(api, ("a", b"2"), ("k", b"3"))
        until_ms = round(api.clock.time() * 1000)
        await asyncio.sleep(5)
        await put_all(api, ("k", b"later"), ("a", b"later"))
        store = MemoryLeaseStore()
        replay = Reading(api, store, span=Span(until_ms=until_ms), consumer_arn=consumer_arn)
        async with asyncio.timeout(60):
            await replay.consumer.run()
        assert replay.datas[0] == b"1"
        assert sorted(replay.datas) == [b"1", b"2", b"3"]
        assert {lease.is_done for lease in await store.list()} == {True}
        other = Reading(api, store, span=Span(until_ms=until_ms + 1_000_000))
        await other.consumer.run()
        assert other.datas == []

    with_api(body)


def test_poison_is_buried_and_the_shard_goes_on() -> None:
    """The letter names the stream and the record."""

    async def body(api: Api) -> None:
        arn, store = await api.make(), MemoryLeaseStore()
        torn = aggregate(("k", b"x"), ("k", b"y"))[:-1] + b"?"
        numbers = await put_all(api, ("k", b"poison"), ("k", torn), ("k", b"1"))
        reading = Reading(api, store)
        await reading.run_until(1)
        assert [letter.reason for letter in reading.letters.letters] == ["poison", "aggregate-digest"]
        assert reading.letters.letters[0].attributes["source_arn"] == arn
        assert [letter.attributes["sequence_number"] for letter in reading.letters.letters] == numbers[:2]
        assert json.loads(reading.letters.letters[0].body)["eventSourceARN"] == arn

    with_api(body)


def test_a_worker_reads_as_many_shards_as_it_may() -> None:
    """The others are left to the others."""

    async def body(api: Api) -> None:
        await api.make(shards=5)
        store = MemoryLeaseStore()
        reading = Reading(api, store, most_leases=2)
        async with asyncio.TaskGroup() as group:
            group.create_task(reading.consumer.run())
            await asyncio.sleep(30)
            assert len(reading.consumer.progress()) == 2
            reading.consumer.stop()

    with_api(body)


def test_children_are_read_at_once_when_their_parents_are_done() -> None:
    """No round has to come by: a reader far behind goes through generations quickly."""

    async def body(api: Api) -> None:
        await api.make(shards=2)
        await put_all(api, ("a", b"0"))
        await merge(api, 0, 1)
        await put_all(api, ("a", b"1"))
        await split(api, 2, 1 << 127)
        await put_all(api, ("a", b"2"))
        await merge(api, 3, 4)
        await put_all(api, ("a", b"3"))
        reading = Reading(api, MemoryLeaseStore(), round_s=600.0, lease_s=3_000.0)
        began = now()
        await reading.run_until(4)
        assert reading.datas == [b"0", b"1", b"2", b"3"]
        assert now() - began < 5

    with_api(body)


@pytest.mark.parametrize(
    "options", [{"concurrency": 0}, {"window": 0}, {"tries": 0}, {"most_leases": 0}, {"lease_s": 0}, {"stop_s": -1}]
)
def test_options_are_checked(options: dict[str, Any]) -> None:
    """Where they are made."""
    with pytest.raises(ValueError, match="more"):
        ConsumeOptions(**options)


@pytest.mark.parametrize("manner", [{"share": 0}, {"share": 1.5}, {"idle_s": -1}, {"page": 0}, {"page": 10_001}])
def test_manners_are_checked(manner: dict[str, Any]) -> None:
    """The same."""
    with pytest.raises(ValueError, match="share"):
        BRISK.__class__(**manner)


def test_a_store_that_hangs_keeps_nobody_from_stopping() -> None:
    """The round that is under way is given up; without a stop it is given up as well, and said."""

    async def body(api: Api) -> None:
        class Store(MemoryLeaseStore):
            lists = 0

            async def list(self) -> tuple[Lease, ...]:
                self.lists += 1
                await asyncio.Event().wait()
                raise AssertionError

        await api.make()
        store = Store()
        reading = Reading(api, store)
        async with asyncio.TaskGroup() as group:
            group.create_task(reading.consumer.run())
            await asyncio.sleep(35)
            assert store.lists == 3
            reading.consumer.stop()
            began = now()
        assert now() - began <= 2

    with_api(body)


def test_a_worker_that_stood_still_begins_no_record_of_a_lease_that_may_be_anothers() -> None:
    """The process stops for longer than its lease, in a record; another takes the shard; nothing more is begun."""

    async def body(api: Api) -> None:
        await api.make()
        store = MemoryLeaseStore()
        await put_all(api, ("k", b"1"), ("k", b"2"))
        reading = Reading(api, store)
        handle = reading.handle

        async def stand_still(record: KinesisRecord) -> None:
            await handle(record)
            (lease,) = await store.list()
            taken = take(lease, "another")
            assert await store.write(taken, seen=lease) == taken
            loop: Any = asyncio.get_running_loop()
            loop._jumping.jumped_s += 30.0  # nothing of this process runs for so long

        reading.consumer._handle = stand_still
        async with asyncio.TaskGroup() as group:
            group.create_task(reading.consumer.run())
            await asyncio.sleep(35)
            assert reading.datas == [b"1"]
            reading.consumer.stop()

    with_api(body)


def test_a_wish_is_seen_with_the_next_round_and_not_with_the_next_renewal() -> None:
    """Leases of ten minutes change hands within seconds."""

    async def body(api: Api) -> None:
        await api.make(shards=4)
        store = MemoryLeaseStore()
        one, other = (Reading(api, store, lease_s=600.0, chance=Draws(0.1, each)) for each in (0.2, 0.3))
        async with asyncio.TaskGroup() as group:
            group.create_task(one.consumer.run())
            await asyncio.sleep(10)
            group.create_task(other.consumer.run())
            await asyncio.sleep(20)
            assert [len(each.consumer.progress()) for each in (one, other)] == [2, 2]
            one.consumer.stop()
            other.consumer.stop()

    with_api(body)


def make_reading(api: Api, caller: KinesisCaller, consumer_arn: str) -> ShardReading:
    reader = make_reader(api, caller, consumer_arn=consumer_arn)
    return ShardReading(reader, FIRST, Position("TRIM_HORIZON"), manner=BRISK, clock=LoopClockMs(), chance=Draws())


def test_a_pushed_page_counts_from_the_beginning_of_its_subscription() -> None:
    """It may have lain in a buffer for long: only what was sent after a time tells anything about that time."""

    async def body(api: Api) -> None:
        consumer_arn = await api.consumer(await api.make())
        turns = make_reading(api, KinesisCaller(api), consumer_arn).turns()
        began_ms = LoopClockMs().now_ms()
        first = await anext(turns)
        await asyncio.sleep(50)
        second = await anext(turns)
        assert [first.asked_ms, second.asked_ms] == [began_ms, began_ms]
        while (turn := await anext(turns)).asked_ms == began_ms:
            pass
        assert turn.asked_ms >= began_ms + 300_000
        await turns.aclose()

    with_api(body)


def test_subscriptions_that_end_at_once_are_not_asked_for_at_once() -> None:
    """A service that closes them without a word is asked every five seconds."""

    async def body(api: Api) -> None:
        await api.make()

        async def nothing() -> AsyncGenerator[bytes]:
            return
            yield b""

        class Closing(KinesisCaller):
            @asynccontextmanager
            async def stream(self, *_given: Any, **_more: Any) -> AsyncGenerator[Any]:
                self.calls["SubscribeToShard"] += 1
                yield Events(nothing())

        caller = Closing(api)
        turns = make_reading(api, caller, "c").turns()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(58):
                await anext(turns)
        assert caller.calls["SubscribeToShard"] == 12

    with_api(body)
