"""A Kinesis stream or consumer as an event source mapping sees it, second by second."""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.compute.source_kinesis import KinesisSource
from localcloud.compute.stream_source import (
    Page,
    ReadThrottled,
    Shard,
    Start,
    StartKind,
    StreamGone,
    StreamSource,
)
from localcloud.services.kinesis.consumers import Consumer
from localcloud.services.kinesis.limits import MIB, Limits
from localcloud.services.kinesis.model import Streams
from localcloud.services.kinesis.shard import Content
from localcloud.services.kinesis.stream import Definition, Stream

ROLE = "arn:aws:iam::123456789012:role/lambda-role"
ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/s"
HORIZON, LATEST = Start(StartKind.TRIM_HORIZON), Start(StartKind.LATEST)
SHARD = "shardId-000000000000"


class World:
    """A stream of one shard, and its consumer."""

    def __init__(self, streams: Streams) -> None:
        self.streams = streams
        self.stream: Stream = streams.create("s", "eu-west-1", Definition())
        self.stream.hurry()
        self.consumer: Consumer = streams.register(self.stream, "c")
        self.consumer.activate()

    def source(self, **options: Any) -> KinesisSource:
        return KinesisSource(self.streams, ARN, role_arn=ROLE, **options)

    def pushing(self, **options: Any) -> KinesisSource:
        return KinesisSource(self.streams, self.consumer.arn, role_arn=ROLE, **options)

    def put(self, data: bytes, key: str = "k") -> str:
        content = Content(base64.b64encode(data).decode(), key, len(data) + len(key))
        return str(self.stream.put(content)[1].sequence)


def in_world(test: Callable[[World], Awaitable[None]], limits: Limits | None = None) -> None:
    async def main() -> None:
        streams = Streams(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(1), limits=limits)
        await test(World(streams))

    run_virtual(main)


def datas(page: Page) -> list[bytes]:
    return [base64.b64decode(event["kinesis"]["data"]) for record in page.records for event in record.events]


def now() -> float:
    return asyncio.get_running_loop().time()


def test_both_are_stream_sources() -> None:
    """Kind, ARN, and who pushes."""

    async def test(world: World) -> None:
        sources: list[StreamSource] = [world.source(), world.pushing()]
        assert [(source.kind, source.arn, source.pushes) for source in sources] == [
            ("kinesis", ARN, False),
            ("kinesis", world.consumer.arn, True),
        ]

    in_world(test)


def test_an_entry_is_as_lambda_delivers_it() -> None:
    """Every member, for a stream and for a consumer."""

    async def test(world: World) -> None:
        await asyncio.sleep(1.5)
        sequence = world.put(b"Hello, this is a test.", "1")
        for source in (world.source(), world.pushing()):
            page = await source.read(source.cursor(SHARD, HORIZON), 10)
            (record,) = page.records
            assert (record.sequence, record.order_key, record.arrived_s) == (sequence, "1", 1_800_000_001.5)
            assert record.events == (
                {
                    "kinesis": {
                        "kinesisSchemaVersion": "1.0",
                        "partitionKey": "1",
                        "sequenceNumber": sequence,
                        "data": "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",
                        "approximateArrivalTimestamp": 1_800_000_001.5,
                    },
                    "eventSource": "aws:kinesis",
                    "eventVersion": "1.0",
                    "eventID": f"{SHARD}:{sequence}",
                    "eventName": "aws:kinesis:record",
                    "invokeIdentityArn": ROLE,
                    "awsRegion": "eu-west-1",
                    "eventSourceARN": source.arn,
                },
            )

    in_world(test)


def test_shards_come_with_their_lineage() -> None:
    """Parents before children, until they expire; a closed and read one has no next page."""

    async def test(world: World) -> None:
        source = world.source()
        world.put(b"a")
        world.streams.scale(world.stream, 2)
        await world.stream.settle()
        assert source.shards() == [
            Shard(SHARD),
            Shard("shardId-000000000001", (SHARD,)),
            Shard("shardId-000000000002", (SHARD,)),
        ]
        page = await source.read(source.cursor(SHARD, HORIZON), 10)
        assert (datas(page), page.next) == ([b"a"], None)
        await asyncio.sleep(86_401)
        assert [shard.shard_id for shard in source.shards()] == ["shardId-000000000001", "shardId-000000000002"]
        assert await source.read(source.cursor(SHARD, HORIZON), 10) == Page((), None, more=False)

    in_world(test)


@pytest.mark.parametrize("pushes", [False, True])
def test_where_reading_may_start(pushes: bool) -> None:
    """The five kinds; a number that is trimmed, or another shard's, gives the oldest record."""

    async def test(world: World) -> None:
        sequences = []
        for number in range(4):
            sequences.append(world.put(str(number).encode()))
            await asyncio.sleep(10)
        source = world.pushing() if pushes else world.source()

        async def read(kind: StartKind, sequence: str = "", timestamp_s: float = 0.0) -> int:
            await asyncio.sleep(1)
            cursor = source.cursor(SHARD, Start(kind, sequence, timestamp_s))
            return len((await source.read(cursor, 10)).records)

        assert await read(StartKind.TRIM_HORIZON) == 4
        assert await read(StartKind.AT_SEQUENCE_NUMBER, sequences[1]) == 3
        assert await read(StartKind.AFTER_SEQUENCE_NUMBER, sequences[1]) == 2
        assert await read(StartKind.AT_TIMESTAMP, timestamp_s=1_800_000_020) == 2
        assert await read(StartKind.LATEST) == 0
        for foreign in ("0", "nonsense", str(int(sequences[0]) + (1 << 4) + (1 << 144))):
            assert await read(StartKind.AFTER_SEQUENCE_NUMBER, foreign) == 4
        await asyncio.sleep(86_400 - now() + 15)
        assert await read(StartKind.AFTER_SEQUENCE_NUMBER, sequences[0]) == 2

    in_world(test)


def test_polling_shares_the_shards_read_limits() -> None:
    """Five reads a second, by whoever reads; the error says when to come again, and then it works."""

    async def test(world: World) -> None:
        source = world.source()
        cursor = source.cursor(SHARD, HORIZON)
        shard = world.stream.shard(SHARD)
        for _ in range(3):
            world.stream.read(shard, 0)
        for _ in range(2):
            await source.read(cursor, 10)
        with pytest.raises(ReadThrottled) as caught:
            await source.read(cursor, 10)
        assert caught.value.after_s == 1.0
        pushing = world.pushing()
        await pushing.read(pushing.cursor(SHARD, HORIZON), 10)
        await asyncio.sleep(caught.value.after_s)
        await source.read(cursor, 10)

    in_world(test)


def test_a_poll_may_wait_for_a_record() -> None:
    """Up to its time, without a call counted meanwhile; the record ends the wait at once."""

    async def test(world: World) -> None:
        source = world.source()
        cursor = source.cursor(SHARD, LATEST)
        page = await source.read(cursor, 10, wait_s=3.0)
        assert (page.records, now()) == ((), 3.0)
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(source.read(cursor, 10, wait_s=60.0))
            await asyncio.sleep(7)
            world.put(b"x")
            assert (datas(await reading), now()) == ([b"x"], 10.0)

    in_world(test)


def test_a_consumer_waits_for_its_records() -> None:
    """Pushed the moment it is put, page after page, without limits shared with others."""

    async def test(world: World) -> None:
        source = world.pushing()
        cursor = source.cursor(SHARD, LATEST)
        for number in range(20):
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(source.read(cursor, 10, wait_s=60.0))
                await asyncio.sleep(0.01)
                world.put(str(number).encode())
                put_at = now()
                page = await reading
                assert (datas(page), now()) == ([str(number).encode()], put_at)
            cursor = page.next
        assert (await source.read(cursor, 10, wait_s=2.0)).records == ()

    in_world(test)


def test_a_limit_leaves_the_rest_for_the_next_read() -> None:
    """And an older cursor can be read again, through the same subscription."""

    async def test(world: World) -> None:
        for number in range(5):
            world.put(str(number).encode())
        for source in (world.pushing(), world.source()):
            start = source.cursor(SHARD, HORIZON)
            first = await source.read(start, 2)
            await asyncio.sleep(0.1)
            rest = await source.read(first.next, 10)
            await asyncio.sleep(0.1)
            again = await source.read(start, 1)
            assert (datas(first), datas(rest), datas(again)) == ([b"0", b"1"], [b"2", b"3", b"4"], [b"0"])

    in_world(test)


def test_the_subscription_is_renewed_after_five_minutes() -> None:
    """Nothing is lost or repeated over the change."""

    async def test(world: World) -> None:
        source, found = world.pushing(), []
        cursor: object = source.cursor(SHARD, HORIZON)
        number = 0
        while now() < 1_000:
            world.put(str(number).encode())
            number += 1
            page = await source.read(cursor, 10, wait_s=30.0)
            found += datas(page)
            cursor = page.next
            await asyncio.sleep(7)
        assert found == [str(each).encode() for each in range(number)]

    in_world(test)


def test_another_subscription_takes_over_and_is_taken_back_from() -> None:
    """As on AWS: the mapping's read ends, it is told to come again after the five seconds, and then the other ends."""

    async def test(world: World) -> None:
        source = world.pushing()
        cursor = source.cursor(SHARD, LATEST)
        await source.read(cursor, 10)
        await asyncio.sleep(5)
        shard = world.stream.shard(SHARD)
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(_throttled(source, cursor))
            await asyncio.sleep(1)
            other = world.consumer.subscribe(shard, shard.first_sequence, world.stream.now, paced=True)
            assert await reading == 5.0
        await asyncio.sleep(2)
        assert await _throttled(source, cursor) == 3.0
        world.put(b"x")
        await asyncio.sleep(3)
        assert datas(await source.read(cursor, 10)) == [b"x"]
        assert other.over

    in_world(test)


async def _throttled(source: KinesisSource, cursor: object) -> float:
    with pytest.raises(ReadThrottled) as caught:
        await source.read(cursor, 10, wait_s=60.0)
    return caught.value.after_s


@pytest.mark.parametrize("pushes", [False, True])
def test_a_deleted_stream_is_gone(pushes: bool) -> None:
    """For shards, cursors and reads, also for a read that waits."""

    async def test(world: World) -> None:
        source = world.pushing() if pushes else world.source()
        cursor = source.cursor(SHARD, LATEST)

        async def wait() -> str:
            with pytest.raises(StreamGone):
                await source.read(cursor, 10, wait_s=60.0)
            return "gone"

        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(wait())
            await asyncio.sleep(1)
            world.streams.delete(world.stream, with_consumers=True)
            assert (await waiting, now()) == ("gone", 1.3)
        with pytest.raises(StreamGone):
            source.shards()
        with pytest.raises(StreamGone):
            source.cursor(SHARD, LATEST)
        assert await wait() == "gone"

    in_world(test)


def test_a_deregistered_consumer_is_gone() -> None:
    """Its stream is still there for a mapping of the stream."""

    async def test(world: World) -> None:
        source = world.pushing()
        cursor = source.cursor(SHARD, LATEST)
        await source.read(cursor, 10)
        world.stream.deregister(world.consumer)
        with pytest.raises(StreamGone):
            await source.read(cursor, 10)
        assert world.source().shards() == [Shard(SHARD)]

    in_world(test)


def test_a_consumer_that_is_being_created_is_waited_for() -> None:
    """ReadThrottled for a second, then it reads."""

    async def test(world: World) -> None:
        world.consumer = world.streams.register(world.stream, "new")
        source = world.pushing()
        assert await _throttled(source, source.cursor(SHARD, HORIZON)) == 1.0
        world.put(b"x")
        await asyncio.sleep(1)
        assert datas(await source.read(source.cursor(SHARD, HORIZON), 10)) == [b"x"]

    in_world(test)


@pytest.mark.parametrize("pushes", [False, True])
def test_a_cancelled_read_loses_nothing(pushes: bool) -> None:
    """The record that comes next is still there for the same cursor."""

    async def test(world: World) -> None:
        source = world.pushing() if pushes else world.source()
        cursor = source.cursor(SHARD, LATEST)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await source.read(cursor, 10, wait_s=60.0)
        world.put(b"x")
        assert datas(await source.read(cursor, 10)) == [b"x"]

    in_world(test)


def test_a_page_has_at_most_ten_mebibytes() -> None:
    """Polled: what GetRecords would give; the rest throws for five seconds."""

    async def test(world: World) -> None:
        source = world.source()
        cursor = source.cursor(SHARD, HORIZON)
        for _ in range(12):
            world.put(bytes(MIB - 1))
            await asyncio.sleep(1)
        page = await source.read(cursor, 10_000)
        assert len(page.records) == 10
        with pytest.raises(ReadThrottled) as caught:
            await source.read(page.next, 10_000)
        assert caught.value.after_s == 5.0

    in_world(test)


@pytest.mark.parametrize("pushes", [False, True])
def test_a_page_says_whether_more_lies_there(pushes: bool) -> None:
    """Until the last record is read."""

    async def test(world: World) -> None:
        source = world.pushing() if pushes else world.source()
        for number in range(3):
            world.put(str(number).encode())
        first = await source.read(source.cursor(SHARD, HORIZON), 2)
        rest = await source.read(first.next, 2)
        none = await source.read(rest.next, 2)
        assert [(len(page.records), page.more) for page in (first, rest, none)] == [(2, True), (1, False), (0, False)]

    in_world(test)


def test_a_paced_consumer_is_told_that_more_lies_there() -> None:
    """An empty page between two pushes of a shard that is read at its full rate is not the end of what there is."""

    async def test(world: World) -> None:
        source = world.pushing()
        for _ in range(3):
            world.put(bytes(MIB - 1))
            await asyncio.sleep(1)
        first = await source.read(source.cursor(SHARD, HORIZON), 10)
        paused = await source.read(first.next, 10)
        assert [(len(page.records), page.more) for page in (first, paused)] == [(1, True), (0, True)]
        assert len((await source.read(paused.next, 10, wait_s=60.0)).records) == 1

    in_world(test)


@pytest.mark.parametrize("pushes", [False, True])
def test_the_source_tells_how_long_records_are_kept(pushes: bool) -> None:
    """As the stream has it now, and when it is gone as it last had it."""

    async def test(world: World) -> None:
        source = world.pushing() if pushes else world.source()
        assert source.retention_s == 86_400
        world.stream.set_retention(48)
        assert source.retention_s == 172_800
        world.streams.delete(world.stream, with_consumers=True)
        await asyncio.sleep(1)
        assert source.retention_s == 172_800

    in_world(test)


def split_lines(data: bytes) -> Sequence[tuple[str, bytes]] | None:
    """Aggregates of the tests: lines after an exclamation mark."""
    if not data.startswith(b"!"):
        return None
    return [(f"key-{line.decode()}", line) for line in data[1:].split()]


@pytest.mark.parametrize("pushes", [False, True])
def test_an_aggregate_is_opened_where_it_is_asked_for(pushes: bool) -> None:
    """One entry each user record, with its key and data and the aggregate's number; others stay as they are."""

    async def test(world: World) -> None:
        make = world.pushing if pushes else world.source
        sequences = [world.put(b"plain", "p"), world.put(b"!a b c", "agg")]
        source = make(opens_aggregates=True, open_aggregate=split_lines)
        plain, opened = (await source.read(source.cursor(SHARD, HORIZON), 10)).records
        assert ([event["kinesis"]["partitionKey"] for event in plain.events], plain.order_key) == (["p"], "p")
        assert [
            (event["kinesis"]["partitionKey"], base64.b64decode(event["kinesis"]["data"])) for event in opened.events
        ] == [("key-a", b"a"), ("key-b", b"b"), ("key-c", b"c")]
        assert {event["kinesis"]["sequenceNumber"] for event in opened.events} == {sequences[1]}
        assert {event["eventID"] for event in opened.events} == {f"{SHARD}:{sequences[1]}"}
        assert (opened.sequence, opened.order_key) == (sequences[1], "agg")
        await asyncio.sleep(5)
        closed = make(open_aggregate=split_lines)
        _, whole = (await closed.read(closed.cursor(SHARD, HORIZON), 10)).records
        assert [base64.b64decode(event["kinesis"]["data"]) for event in whole.events] == [b"!a b c"]
        with pytest.raises(ValueError, match="open_aggregate"):
            make(opens_aggregates=True)

    in_world(test)


def test_others_have_their_turn_while_a_large_answer_is_read() -> None:
    """A thousand records are turned into events a few at a time."""

    async def test(world: World) -> None:
        for number in range(1000):
            world.put(b"%d" % number)
        source = world.source()
        reading = asyncio.ensure_future(source.read(source.cursor(SHARD, HORIZON), 1000))
        turns = 0
        while not reading.done():
            turns += 1
            await asyncio.sleep(0)
        assert (turns >= 10, len(reading.result().records)) == (True, 1000)

    in_world(test)
