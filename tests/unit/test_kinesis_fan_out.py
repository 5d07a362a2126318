"""Enhanced fan-out: registering consumers, and what is pushed to them, second by second."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from localcloud.services.kinesis.limits import MIB, Limits
from localcloud.services.kinesis.sequence import parse_sequence
from tests.unit.kinesis_setup import LAST_HASH, OPEN, REGION, Api, Pushed, b64, datas, now, shard_id, with_api

ON_DEMAND = {"StreamMode": "ON_DEMAND"}
LATEST = {"Type": "LATEST"}


async def listed(api: Api, arn: str, **more: Any) -> list[str]:
    return [
        each["ConsumerName"] for each in (await api.call("ListStreamConsumers", StreamARN=arn, **more))["Consumers"]
    ]


def test_a_consumer_is_created_and_then_active() -> None:
    """CREATING for a moment, then ACTIVE; named by its ARN, or by the stream's and its name."""

    async def test(api: Api) -> None:
        arn = await api.make()
        told = (await api.call("RegisterStreamConsumer", StreamARN=arn, ConsumerName="c", Tags={"a": "b"}))["Consumer"]
        assert told == {
            "ConsumerName": "c",
            "ConsumerARN": f"{arn}/consumer/c:1800000000",
            "ConsumerStatus": "CREATING",
            "ConsumerCreationTimestamp": 1_800_000_000.3,
        }
        start = {"Type": "LATEST"}
        subscribe = {"ConsumerARN": told["ConsumerARN"], "ShardId": shard_id(0), "StartingPosition": start}
        assert await api.code("SubscribeToShard", **subscribe) == "ResourceInUseException"
        await asyncio.sleep(1)
        by_name = await api.call("DescribeStreamConsumer", StreamARN=arn, ConsumerName="c")
        by_arn = await api.call("DescribeStreamConsumer", ConsumerARN=told["ConsumerARN"])
        assert by_name == by_arn
        assert by_arn["ConsumerDescription"] == {**told, "ConsumerStatus": "ACTIVE", "StreamARN": arn}
        assert (await api.call("ListTagsForResource", ResourceARN=told["ConsumerARN"]))["Tags"] == [
            {"Key": "a", "Value": "b"}
        ]
        summary = (await api.call("DescribeStreamSummary", StreamARN=arn))["StreamDescriptionSummary"]
        assert summary["ConsumerCount"] == 1
        assert await api.code("RegisterStreamConsumer", StreamARN=arn, ConsumerName="c") == "ResourceInUseException"

    with_api(test)


def test_a_deregistered_consumer_goes() -> None:
    """DELETING, then gone; its subscriptions end at once, and its name is free again."""

    async def test(api: Api) -> None:
        arn = await api.make()
        consumer = await api.consumer(arn)
        pushed = await api.subscribe(consumer)
        await pushed.next()
        await api.call("DeregisterStreamConsumer", ConsumerARN=consumer)
        assert (await pushed.next())[0] == "ResourceNotFoundException"
        told = await api.call("DescribeStreamConsumer", ConsumerARN=consumer)
        assert told["ConsumerDescription"]["ConsumerStatus"] == "DELETING"
        assert await api.code("DeregisterStreamConsumer", ConsumerARN=consumer) == "ResourceInUseException"
        assert await api.code("SubscribeToShard", **subscription(consumer)) == "ResourceInUseException"
        await asyncio.sleep(1)
        assert await api.code("DescribeStreamConsumer", ConsumerARN=consumer) == "ResourceNotFoundException"
        assert await api.code("SubscribeToShard", **subscription(consumer)) == "ResourceNotFoundException"
        assert await api.consumer(arn) != consumer

    with_api(test)


def subscription(consumer: str, shard: int = 0, **position: Any) -> dict[str, Any]:
    start = position or LATEST
    return {"ConsumerARN": consumer, "ShardId": shard_id(shard), "StartingPosition": start}


def test_twenty_consumers_a_stream() -> None:
    """Fifty on an on-demand stream of an account with On-demand Advantage; five CREATING at a time."""

    async def test(api: Api) -> None:
        arn = await api.make()
        await api.call("CreateStream", StreamName="d", StreamModeDetails=ON_DEMAND)
        await api.settle("d")
        on_demand = api.streams.arn_of("d", REGION)

        async def fill(stream: str, count: int) -> str:
            for number in range(count):
                await api.call("RegisterStreamConsumer", StreamARN=stream, ConsumerName=f"c{number}")
                if number % 5 == 4:
                    await asyncio.sleep(1)
            return (await api.refusal("RegisterStreamConsumer", StreamARN=stream, ConsumerName="more")).message

        assert "already has 20 consumers" in await fill(arn, 20)
        for number in range(5):
            await api.call("RegisterStreamConsumer", StreamARN=on_demand, ConsumerName=f"x{number}")
        told = await api.refusal("RegisterStreamConsumer", StreamARN=on_demand, ConsumerName="x5")
        assert (told.code, "CREATING" in told.message) == ("LimitExceededException", True)
        await asyncio.sleep(1)
        commitment = {"Status": "ENABLED"}
        await api.call("UpdateAccountSettings", MinimumThroughputBillingCommitment=commitment)
        assert "already has 50 consumers" in await fill(on_demand, 45)
        assert await api.code("RegisterStreamConsumer", StreamARN=arn, ConsumerName="more") == "LimitExceededException"

    with_api(test, limits=Limits(calls=False))


def test_consumers_are_listed_page_by_page() -> None:
    """By name, with a token that lasts 300 seconds and is the stream's own."""

    async def test(api: Api) -> None:
        arn, other = await api.make(), await api.make("other")
        for name in ("b", "c", "a"):
            await api.consumer(arn, name)
        told = await api.call("ListStreamConsumers", StreamARN=arn, MaxResults=2)
        assert [each["ConsumerName"] for each in told["Consumers"]] == ["a", "b"]
        token = told["NextToken"]
        assert await listed(api, arn, NextToken=token) == ["c"]
        assert await api.code("ListStreamConsumers", StreamARN=other, NextToken=token) == "InvalidArgumentException"
        assert await api.code("ListStreamConsumers", StreamARN=arn, NextToken="x") == "InvalidArgumentException"
        assert await api.code("ListStreamConsumers") == "ValidationException"
        created_s = 1_800_000_000
        assert await listed(api, arn, StreamCreationTimestamp=created_s) == ["a", "b", "c"]
        told = await api.refusal("ListStreamConsumers", StreamARN=arn, StreamCreationTimestamp=5)
        assert told.code == "ResourceNotFoundException"
        await asyncio.sleep(301)
        assert await api.code("ListStreamConsumers", StreamARN=arn, NextToken=token) == "ExpiredNextTokenException"

    with_api(test, limits=OPEN)


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({}, "InvalidArgumentException"),
        ({"ConsumerName": "c"}, "InvalidArgumentException"),
        ({"StreamARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/s"}, "InvalidArgumentException"),
        ({"ConsumerARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/s"}, "InvalidArgumentException"),
        (
            {"ConsumerARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/s/consumer/c:5"},
            "ResourceNotFoundException",
        ),
        (
            {"StreamARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/s", "ConsumerName": "x"},
            "ResourceNotFoundException",
        ),
        (
            {
                "ConsumerARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/s/consumer/c:1800000000",
                "ConsumerName": "d",
            },
            "InvalidArgumentException",
        ),
    ],
)
def test_how_a_consumer_is_not_named(members: dict[str, Any], code: str) -> None:
    """Its ARN, or the stream's ARN and its name; what is given must agree."""

    async def test(api: Api) -> None:
        await api.consumer(await api.make())
        assert await api.code("DescribeStreamConsumer", **members) == code
        assert await api.code("DeregisterStreamConsumer", **members) == code

    with_api(test)


# ---------------------------------------------------------------------- SubscribeToShard


async def begin(api: Api, *, shards: int = 1, **position: Any) -> tuple[str, Pushed]:
    consumer = await api.consumer(await api.make(shards=shards))
    return consumer, await api.subscribe(consumer, **position)


def test_the_first_event_is_the_initial_response() -> None:
    """Then the records that are there, then each as it comes: without any delay."""

    async def test(api: Api) -> None:
        consumer = await api.consumer(await api.make())
        put = [await api.put(b"a"), await api.put(b"b")]
        pushed = await api.subscribe(consumer)
        assert await pushed.next() == ("initial-response", {})
        event = await pushed.event()
        assert datas(event) == [b"a", b"b"]
        assert event["Records"][0]["SequenceNumber"] == put[0]["SequenceNumber"]
        assert event["MillisBehindLatest"] == 0
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(pushed.event())
            await asyncio.sleep(1.25)
            await api.put(b"c")
            put_at = now()
            assert (datas(await waiting), now() - put_at) == ([b"c"], 0.0)

    with_api(test)


def test_idle_events_move_the_checkpoint_on() -> None:
    """Every five seconds without a record, with a larger number; going on from any repeats and loses nothing."""

    async def test(api: Api) -> None:
        consumer, pushed = await begin(api)
        numbers, began = [], now()
        for _ in range(3):
            event = await pushed.event()
            assert event["Records"] == []
            numbers.append(int(event["ContinuationSequenceNumber"]))
        assert (now() - began, numbers) == (15.0, sorted(set(numbers)))
        put = await api.put(b"a")
        event = await pushed.event()
        numbers.append(int(event["ContinuationSequenceNumber"]))
        assert numbers[2] < int(put["SequenceNumber"]) < numbers[3]
        await asyncio.sleep(20)
        await api.put(b"b")
        await pushed.close()
        for kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
            for number, expected in ((numbers[0], [b"a", b"b"]), (numbers[3], [b"b"])):
                again = await api.subscribe(consumer, Type=kind, SequenceNumber=str(number))
                assert datas(await again.event()) == expected
                await again.close()
                await asyncio.sleep(5)
        assert parse_sequence(str(numbers[3])).shard == 0

    with_api(test)


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        ({"Type": "TRIM_HORIZON"}, [b"0", b"1", b"2", b"later"]),
        ({"Type": "LATEST"}, [b"later"]),
        ({"Type": "AT_TIMESTAMP", "Timestamp": 1_800_000_011}, [b"1", b"2", b"later"]),
        ({"Type": "AT_SEQUENCE_NUMBER"}, [b"1", b"2", b"later"]),
        ({"Type": "AFTER_SEQUENCE_NUMBER"}, [b"2", b"later"]),
    ],
)
def test_where_a_subscription_starts(position: dict[str, Any], expected: list[bytes]) -> None:
    """The five positions, as for iterators."""

    async def test(api: Api) -> None:
        consumer = await api.consumer(await api.make())
        puts = []
        for number in range(3):
            puts.append(await api.put(str(number).encode()))
            await asyncio.sleep(10)
        start = dict(position)
        if "SEQUENCE" in start["Type"]:
            start["SequenceNumber"] = puts[1]["SequenceNumber"]
        pushed = await api.subscribe(consumer, **start)
        await pushed.next()
        found: list[bytes] = []
        if len(expected) > 1:
            found += datas(await pushed.event())
        await api.put(b"later")
        while len(found) < len(expected):
            found += datas(await pushed.event())
        assert found == expected

    with_api(test)


def test_a_subscription_ends_after_five_minutes() -> None:
    """Without an error; the next one goes on where it was."""

    async def test(api: Api) -> None:
        consumer, pushed = await begin(api)
        began, last = now(), ""
        await pushed.next()
        while now() < began + 295:
            last = (await pushed.event())["ContinuationSequenceNumber"]
        with pytest.raises(StopAsyncIteration):
            await pushed.event()
        assert now() - began == 300.0
        await api.put(b"x")
        again = await api.subscribe(consumer, Type="AFTER_SEQUENCE_NUMBER", SequenceNumber=last)
        assert datas(await again.event()) == [b"x"]

    with_api(test)


def test_another_call_is_refused_for_five_seconds_and_then_takes_over() -> None:
    """ResourceInUseException within five seconds, whatever became of the first; later the older stream ends with it."""

    async def test(api: Api) -> None:
        consumer, first = await begin(api)
        await first.next()
        await asyncio.sleep(4.9)
        assert await api.code("SubscribeToShard", **subscription(consumer)) == "ResourceInUseException"
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(first.next())
            await asyncio.sleep(0.05)
            other = await api.consumer(api.streams.arn_of("s", REGION), "other")
            second = await api.subscribe(consumer, **LATEST)
            taken_at = now()
            name, payload = await waiting
            assert (name, "taken over" in payload["message"], now()) == ("ResourceInUseException", True, taken_at)
        with pytest.raises(StopAsyncIteration):
            await first.next()
        third = await api.subscribe(other, **LATEST)
        await api.put(b"x")
        assert (datas(await second.event()), datas(await third.event())) == ([b"x"], [b"x"])

    with_api(test)


def test_shards_are_held_one_by_one() -> None:
    """The same consumer may hold every shard at once, and gets each shard's records there alone."""

    async def test(api: Api) -> None:
        consumer, first = await begin(api, shards=2)
        second = await api.subscribe(consumer, shard=1)
        await api.put(b"low", ExplicitHashKey="0")
        await api.put(b"high", ExplicitHashKey=str(LAST_HASH))
        assert (datas(await first.event()), datas(await second.event())) == ([b"low"], [b"high"])

    with_api(test)


def test_the_last_event_tells_the_children() -> None:
    """At the end of a closed shard: ChildShards and no ContinuationSequenceNumber, then the end of the stream."""

    async def test(api: Api) -> None:
        consumer, pushed = await begin(api)
        await pushed.next()
        await api.put(b"x")
        await api.call("SplitShard", StreamName="s", ShardToSplit=shard_id(0), NewStartingHashKey=str(1 << 127))
        assert datas(await pushed.event()) == [b"x"]
        split_at = now()
        event = await pushed.event()
        assert (event["Records"], "ContinuationSequenceNumber" in event) == ([], False)
        assert round(now() - split_at, 6) == 0.3
        assert [child["ShardId"] for child in event["ChildShards"]] == [shard_id(1), shard_id(2)]
        with pytest.raises(StopAsyncIteration):
            await pushed.next()
        child = await api.subscribe(consumer, shard=1)
        await child.close()

    with_api(test)


def test_a_deleted_stream_ends_its_subscriptions() -> None:
    """With ResourceNotFoundException, when it is gone."""

    async def test(api: Api) -> None:
        _, pushed = await begin(api)
        await pushed.next()
        await api.call("DeleteStream", StreamName="s", EnforceConsumerDeletion=True)
        name, _ = await pushed.next()
        assert name == "ResourceNotFoundException"

    with_api(test)


def test_two_mebibytes_a_second_are_pushed_to_each_consumer() -> None:
    """8 MiB take about four seconds, for two consumers at once as for one, while polling is not slowed."""

    async def test(api: Api) -> None:
        arn = await api.make()
        consumers = [await api.consumer(arn, name) for name in ("a", "b")]
        for number in range(8):
            await api.put(bytes([number]) * (MIB - 1))
            await asyncio.sleep(1)
        began = now()

        async def take(consumer: str) -> float:
            pushed, count = await api.subscribe(consumer), 0
            while count < 8:
                count += len((await pushed.event())["Records"])
            await pushed.close()
            return now() - began

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(take(consumer)) for consumer in consumers]
            assert len(await api.read()) == 8
        assert [round(task.result(), 1) for task in tasks] == [3.5, 3.5]

    with_api(test)


def test_an_event_has_at_most_a_mebibyte_unless_a_record_is_larger() -> None:
    """Many small records come in several events, one of 10 MiB in one."""

    async def test(api: Api) -> None:
        arn = await api.make()
        consumer = await api.consumer(arn)
        await api.call("UpdateMaxRecordSize", StreamARN=arn, MaxRecordSizeInKiB=10_240)
        await api.settle()
        entry = {"Data": b64(bytes(100_000)), "PartitionKey": "k"}
        await api.call("PutRecords", StreamName="s", Records=[entry] * 25)
        await api.put(bytes(10 * MIB - 1))
        pushed = await api.subscribe(consumer)
        sizes = []
        while sum(sizes) < 26:
            event = await pushed.event()
            sizes.append(len(event["Records"]))
            assert event["MillisBehindLatest"] == 0
        assert sizes == [10, 10, 5, 1]

    with_api(test, limits=OPEN)


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"ShardId": shard_id(0), "StartingPosition": LATEST}, "ValidationException"),
        ({"ConsumerARN": "C", "StartingPosition": LATEST}, "ValidationException"),
        ({"ConsumerARN": "C", "ShardId": shard_id(0)}, "ValidationException"),
        ({"ConsumerARN": "C", "ShardId": shard_id(0), "StartingPosition": {}}, "ValidationException"),
        ({"ConsumerARN": "C", "ShardId": shard_id(9), "StartingPosition": LATEST}, "ResourceNotFoundException"),
        (
            {"ConsumerARN": "C", "ShardId": shard_id(0), "StartingPosition": {"Type": "AT_SEQUENCE_NUMBER"}},
            "InvalidArgumentException",
        ),
        (
            {"ConsumerARN": "C", "ShardId": shard_id(0), "StartingPosition": {**LATEST, "SequenceNumber": "5"}},
            "InvalidArgumentException",
        ),
        ({"ConsumerARN": "x", "ShardId": shard_id(0), "StartingPosition": LATEST}, "InvalidArgumentException"),
    ],
)
def test_what_cannot_be_subscribed_to(members: dict[str, Any], code: str) -> None:
    """An answer of its own, no event stream; and it does not count as a call."""

    async def test(api: Api) -> None:
        consumer = await api.consumer(await api.make())
        named = {**members, "ConsumerARN": consumer} if members.get("ConsumerARN") == "C" else members
        assert await api.code("SubscribeToShard", **named) == code
        await (await api.subscribe(consumer)).close()

    with_api(test)
