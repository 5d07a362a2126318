"""A DynamoDB stream as an event source mapping reads it: Lambda's entries, order, lineage and the ends of things."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.compute.source_dynamodb import DynamoSource
from localcloud.compute.stream_source import Page, Shard, Start, StartKind, StreamGone, StreamSource
from localcloud.services.dynamodb.streams import RETENTION_S, SHARD_LIFE_S, StreamLimits
from tests.unit.dynamodb_streams_setup import World

HORIZON, LATEST = Start(StartKind.TRIM_HORIZON), Start(StartKind.LATEST)


async def open_source(world: World, view_type: str = "NEW_AND_OLD_IMAGES") -> StreamSource:
    """The source of the latest stream of a new table `things`."""
    return DynamoSource(world.service, (await world.create(view_type))["LatestStreamArn"])


async def read_all(source: StreamSource, limit: int = 1000) -> list[str]:
    """The keys in every shard from its horizon on, in the order of the shards."""
    found: list[str] = []
    for shard in source.shards():
        cursor: object | None = source.cursor(shard.shard_id, HORIZON)
        while cursor is not None:
            page = await source.read(cursor, limit)
            found += [record.events[0]["dynamodb"]["Keys"]["id"]["S"] for record in page.records]
            cursor = page.next if page.records else None
    return found


async def test_it_is_polled_four_times_a_second() -> None:
    """It names itself as filter criteria do, pushes nothing, is polled every quarter of a second, and keeps a day."""
    source = await open_source(World())
    assert (source.kind, source.pushes, source.poll_s, source.retention_s) == ("dynamodb", False, 0.25, 86_400.0)
    assert source.arn.startswith("arn:aws:dynamodb:eu-west-1:123456789012:table/things/stream/")


async def test_entries_are_those_that_lambda_delivers() -> None:
    """An entry has Lambda's members and no others, binary as base64, and the date as a number."""
    world = World()
    source = await open_source(world)
    world.clock.now += 0.5
    await world.put("a", data={"B": "eA=="})
    page = await source.read(source.cursor(source.shards()[0].shard_id, HORIZON), 10)
    (record,) = page.records
    (event,) = record.events
    assert event == {
        "eventID": event["eventID"],
        "eventName": "INSERT",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-west-1",
        "dynamodb": {
            "ApproximateCreationDateTime": int(world.clock.now),
            "Keys": {"id": {"S": "a"}},
            "NewImage": {"id": {"S": "a"}, "data": {"B": "eA=="}},
            "SequenceNumber": record.sequence,
            "SizeBytes": 3 + 3 + 5,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
        "eventSourceARN": source.arn,
    }
    assert record.arrived_s == world.clock.now
    assert json.loads(json.dumps(event)) == event


async def test_what_expired_names_the_service_in_lambdas_spelling() -> None:
    """userIdentity of a deletion by the time to live is in lower camel case in an event."""
    world = World()
    source = await open_source(world)
    spec = {"AttributeName": "until", "Enabled": True}
    await world.ok("UpdateTimeToLive", TableName="things", TimeToLiveSpecification=spec)
    await world.put("a", until={"N": "1"})
    await world.put("a", until={"N": str(int(world.clock.now))})
    world.clock.now += 60
    world.service.database("eu-west-1").sweep()
    page = await source.read(source.cursor(source.shards()[0].shard_id, HORIZON), 10)
    assert [record.events[0].get("userIdentity") for record in page.records] == [
        None,
        None,
        {"type": "Service", "principalId": "dynamodb.amazonaws.com"},
    ]


async def test_order_is_kept_by_the_items_key() -> None:
    """Records of one item share their order key, however its number was written; other items have others."""
    world = World()
    table = {
        "TableName": "things",
        "KeySchema": [{"AttributeName": "p", "KeyType": "HASH"}, {"AttributeName": "s", "KeyType": "RANGE"}],
        "AttributeDefinitions": [
            {"AttributeName": "p", "AttributeType": "S"},
            {"AttributeName": "s", "AttributeType": "N"},
        ],
        "BillingMode": "PAY_PER_REQUEST",
        "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
    }
    arn = (await world.ok("CreateTable", **table))["TableDescription"]["LatestStreamArn"]
    for number, (p, s) in enumerate([("a", "1"), ("a", "1.0"), ("a", "2"), ("b", "1")]):
        await world.ok("PutItem", TableName="things", Item={"p": {"S": p}, "s": {"N": s}, "n": {"N": str(number)}})
    source = DynamoSource(world.service, arn)
    page = await source.read(source.cursor(source.shards()[0].shard_id, HORIZON), 10)
    order = [record.order_key for record in page.records]
    assert order == ['{"p":{"S":"a"},"s":{"N":"1"}}'] * 2 + [
        '{"p":{"S":"a"},"s":{"N":"2"}}',
        '{"p":{"S":"b"},"s":{"N":"1"}}',
    ]


async def test_cursors_start_where_a_mapping_says() -> None:
    """Horizon, latest, at and after a number; DynamoDB streams have no date to start at."""
    world = World()
    source = await open_source(world)
    for key in "abc":
        await world.put(key)
    shard = source.shards()[0].shard_id
    numbers = [record.sequence for record in (await source.read(source.cursor(shard, HORIZON), 10)).records]
    latest = source.cursor(shard, LATEST)
    await world.put("d")
    starts = [
        (source.cursor(shard, HORIZON), "abcd"),
        (latest, "d"),
        (source.cursor(shard, Start(StartKind.AT_SEQUENCE_NUMBER, numbers[1])), "bcd"),
        (source.cursor(shard, Start(StartKind.AFTER_SEQUENCE_NUMBER, numbers[1])), "cd"),
    ]
    for cursor, expected in starts:
        page = await source.read(cursor, 10)
        assert "".join(record.events[0]["dynamodb"]["Keys"]["id"]["S"] for record in page.records) == expected
    with pytest.raises(ValueError, match="AT_TIMESTAMP"):
        source.cursor(shard, Start(StartKind.AT_TIMESTAMP, timestamp_s=1.0))
    with pytest.raises(TypeError):
        await source.read("a cursor of another source", 10)


async def test_shards_come_parents_first_and_end() -> None:
    """A child names its parent; a closed shard ends with None, an open one goes on; all records come in order."""
    world = World(limits=StreamLimits(shard_life_s=60))
    source = await open_source(world)
    for key in "abc":
        await world.put(key)
        world.clock.now += 60
    shards = source.shards()
    assert shards == [
        Shard(shard.shard_id, (shards[number - 1].shard_id,) if number else ()) for number, shard in enumerate(shards)
    ]
    assert len(shards) == 4
    pages = [await source.read(source.cursor(shard.shard_id, HORIZON), 1) for shard in shards]
    assert [page.next is None for page in pages] == [True, True, True, False]
    assert await read_all(source, limit=2) == ["a", "b", "c"]


async def test_a_page_is_one_get_records_call() -> None:
    """A page has 1,000 records at most, also where a mapping asks for its batch of 10,000."""
    world = World()
    source = await open_source(world, "KEYS_ONLY")
    for number in range(1001):
        await world.put(str(number))
    page = await source.read(source.cursor(source.shards()[0].shard_id, HORIZON), 10_000)
    assert len(page.records) == 1000
    assert len((await source.read(page.next, 10_000)).records) == 1


async def test_what_is_trimmed_reads_as_what_is_left() -> None:
    """A cursor before the horizon gives the oldest record; that of a shard that is gone gives its end."""
    world = World()
    source = await open_source(world)
    await world.put("a")
    world.clock.now += 600
    await world.put("b")
    shard = source.shards()[0].shard_id
    cursor = source.cursor(shard, HORIZON)
    sequence = (await source.read(cursor, 1)).records[0].sequence
    world.clock.now += RETENTION_S - 600
    for place in (cursor, source.cursor(shard, Start(StartKind.AFTER_SEQUENCE_NUMBER, sequence))):
        page = await source.read(place, 10)
        assert [record.events[0]["dynamodb"]["Keys"]["id"]["S"] for record in page.records] == ["b"]
    world.clock.now += SHARD_LIFE_S
    assert await source.read(cursor, 10) == Page((), None)
    assert await source.read(source.cursor(shard, HORIZON), 10) == Page((), None)


async def test_a_stream_that_is_gone_says_so() -> None:
    """A disabled stream is read to its end for 24 hours; after that, and for an unknown ARN, it is StreamGone."""
    world = World()
    source = await open_source(world)
    await world.put("a")
    cursor = source.cursor(source.shards()[0].shard_id, HORIZON)
    await world.ok("DeleteTable", TableName="things")
    page = await source.read(cursor, 10)
    assert (len(page.records), page.next) == (1, None)
    world.clock.now += RETENTION_S
    for ask in (source.shards, lambda: source.cursor("x", HORIZON)):
        with pytest.raises(StreamGone):
            ask()
    with pytest.raises(StreamGone):
        await source.read(cursor, 10)
    with pytest.raises(StreamGone):
        DynamoSource(world.service, source.arn + "9").shards()


def test_a_read_waits_for_a_record_no_longer_than_asked() -> None:
    """A read with `wait_s` ends with the record that is written meanwhile, or empty at its time; cancelling is safe."""

    async def scenario() -> tuple[Any, ...]:
        loop = asyncio.get_running_loop()
        world = World(LoopClock(loop))
        source = await open_source(world)
        cursor = source.cursor(source.shards()[0].shard_id, LATEST)
        began = loop.time()
        empty = await source.read(cursor, 10, wait_s=2.0)
        waited = loop.time() - began
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(source.read(cursor, 10, wait_s=60.0))
            cancelled = group.create_task(source.read(cursor, 10, wait_s=60.0))
            await asyncio.sleep(1.5)
            cancelled.cancel()
            await world.put("a")
            page = await reading
        return len(empty.records), empty.next == cursor, waited, len(page.records), loop.time() - began

    empty, is_same, waited, found, ended = run_virtual(scenario)
    assert (empty, is_same, found) == (0, True, 1)
    assert (waited, ended) == (pytest.approx(2.0), pytest.approx(3.5))
