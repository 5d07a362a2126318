"""Kinesis operations for readers: request shapes, and what becomes of the service's errors."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sluiceway.aws.event_stream import encode_message
from sluiceway.aws.reply import Reply
from sluiceway.aws.streams import KinesisReader
from sluiceway.errors import Misconfigured, Rejected, Retryable, ServiceRefused, ServiceUnavailable
from sluiceway.ports.consuming import IteratorExpired, Page, ShardGone, ShardRecord, SubscriptionTaken
from sluiceway.rules.consuming.shards import Shard
from sluiceway.rules.consuming.spans import Position, Span
from tests.unit.consume_setup import Events, KinesisCaller, make_reader, put_all
from tests.unit.kinesis_history import merge, split
from tests.unit.kinesis_setup import REGION, Api, shard_id, with_api

HORIZON = Position("TRIM_HORIZON")
FIRST = shard_id(0)


def test_shards_are_listed_page_by_page_with_all_their_parents() -> None:
    """A merge names two; a later page is asked for with its token alone."""

    async def body(api: Api) -> None:
        await api.make(shards=2)
        await merge(api, 1, 0)
        await split(api, 2, 1 << 100)
        caller = KinesisCaller(api)
        reader = make_reader(api, caller)
        listed = await reader.list_shards(Span())
        assert [(shard.shard_id, shard.parents, shard.is_open) for shard in listed] == [
            (shard_id(0), (), False),
            (shard_id(1), (), False),
            (shard_id(2), (shard_id(1), shard_id(0)), False),
            (shard_id(3), (shard_id(2),), True),
            (shard_id(4), (shard_id(2),), True),
        ]
        assert caller.asked[0][1]["ShardFilter"] == {"Type": "FROM_TRIM_HORIZON"}

    with_api(body)


def test_a_second_page_is_asked_for_by_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing else that names the stream: the API refuses both."""

    async def body(api: Api) -> None:
        await api.make(shards=5)
        monkeypatch.setattr("sluiceway.aws.streams.MAX_SHARDS", 2)
        caller = KinesisCaller(api)
        assert len(await make_reader(api, caller).list_shards(Span())) == 5
        assert [sorted(request) for _, request in caller.asked] == [
            ["MaxResults", "ShardFilter", "StreamARN"],
            ["MaxResults", "NextToken"],
            ["MaxResults", "NextToken"],
        ]

    with_api(body)


def test_shards_that_were_closed_before_the_span_are_not_listed() -> None:
    """FROM_TIMESTAMP, with milliseconds."""

    async def body(api: Api) -> None:
        await api.make(shards=1)
        await split(api, 0, 1 << 100)
        await asyncio.sleep(10)
        caller = KinesisCaller(api)
        at_ms = int(api.clock.time() * 1000) - 5_000
        listed = await make_reader(api, caller).list_shards(Span("AT_TIMESTAMP", at_ms=at_ms))
        assert [shard.shard_id for shard in listed] == [shard_id(1), shard_id(2)]
        assert caller.asked[0][1]["ShardFilter"] == {"Type": "FROM_TIMESTAMP", "Timestamp": at_ms / 1000}

    with_api(body)


def test_records_are_read_to_the_end_of_a_shard() -> None:
    """Bytes, keys and times; `going_on` is "" where NextShardIterator is absent, or null."""

    async def body(api: Api) -> None:
        await api.make(shards=1)
        numbers = await put_all(api, ("é", b"\x00\xff"), ("k", b""))
        reader = make_reader(api)
        page = await reader.get_records(await reader.find_iterator(FIRST, HORIZON), limit=10)
        arrived_ms = round(api.clock.time() * 1000)
        assert page.records == (
            ShardRecord(numbers[0], "é", b"\x00\xff", arrived_ms),
            ShardRecord(numbers[1], "k", b"", arrived_ms),
        )
        assert (page.is_last, page.behind_ms) == (False, 0)
        await split(api, 0, 1 << 100)
        assert (await reader.get_records(page.going_on, limit=10)).is_last

    with_api(body)


@pytest.mark.parametrize("told", [{}, {"NextShardIterator": None}])
def test_an_absent_iterator_and_a_null_one_are_the_end(told: dict[str, object]) -> None:
    """AWS is said to do both."""

    async def body(api: Api) -> None:
        class Told(KinesisCaller):
            async def call(self, *_given: Any, **_more: Any) -> Reply:
                return reply({"Records": [], "MillisBehindLatest": 7} | told)

        assert await make_reader(api, Told(api)).get_records("i", limit=1) == Page((), "", 7)

    with_api(body)


@pytest.mark.parametrize(
    "told", [{}, {"Records": [{}]}, {"Records": 5}, {"Records": [{"SequenceNumber": "1", "Data": "%"}]}]
)
def test_an_answer_that_is_none_is_refused(told: dict[str, object]) -> None:
    """By name, not with a KeyError."""

    async def body(api: Api) -> None:
        class Told(KinesisCaller):
            async def call(self, *_given: Any, **_more: Any) -> Reply:
                return reply(told)

        with pytest.raises(Rejected) as caught:
            await make_reader(api, Told(api)).get_records("i", limit=1)
        assert caught.value.reason == "unreadable-answer"

    with_api(body)


def test_positions_are_written_as_the_api_has_them() -> None:
    """After a number, at a number, at a time; in an iterator and in a subscription."""

    async def body(api: Api) -> None:
        arn = await api.make(shards=1)
        first, second = await put_all(api, ("k", b"1"), ("k", b"2"))
        consumer = await api.consumer(arn)
        reader = make_reader(api, consumer_arn=consumer)
        now_ms = round(api.clock.time() * 1000)
        for position, expected in (
            (HORIZON, [first, second]),
            (Position("AFTER_SEQUENCE_NUMBER", first), [second]),
            (Position("AT_SEQUENCE_NUMBER", first), [first, second]),
            (Position("AT_TIMESTAMP", at_ms=now_ms - 60_000), [first, second]),
        ):
            page = await reader.get_records(await reader.find_iterator(FIRST, position), limit=10)
            assert [record.sequence_number for record in page.records] == expected
            await asyncio.sleep(5)
            async with reader.subscribe(FIRST, position) as pages:
                page = await anext(pages)
            assert [record.sequence_number for record in page.records] == expected
            assert int(page.going_on) >= int(second)

    with_api(body)


def test_a_shard_that_is_not_there_is_told_from_a_stream_that_is_not() -> None:
    """One code of the API, two meanings: the list of shards tells them apart."""

    async def body(api: Api) -> None:
        await api.make(shards=1)
        with pytest.raises(ShardGone):
            await make_reader(api).find_iterator(shard_id(7), HORIZON)
        with pytest.raises(Misconfigured):
            await KinesisReader(KinesisCaller(api), "none").find_iterator(FIRST, HORIZON)  # type: ignore[arg-type]
        gone = f"{api.streams.arn_of('s', REGION)}/consumer/c:1"
        with pytest.raises(Misconfigured):
            async with make_reader(api, consumer_arn=gone).subscribe(FIRST, HORIZON):
                pass

    with_api(body)


def test_an_iterator_lives_for_five_minutes() -> None:
    """Then there is another to be had."""

    async def body(api: Api) -> None:
        await api.make(shards=1)
        reader = make_reader(api)
        iterator = await reader.find_iterator(FIRST, HORIZON)
        await asyncio.sleep(301)
        with pytest.raises(IteratorExpired):
            await reader.get_records(iterator, limit=1)

    with_api(body)


def test_a_clock_that_is_ahead_is_waited_for() -> None:
    """AT_TIMESTAMP of a moment that the service has not reached is refused, and may be asked for again."""

    async def body(api: Api) -> None:
        await api.make(shards=1)
        ahead = Position("AT_TIMESTAMP", at_ms=round(api.clock.time() * 1000) + 2_000)
        with pytest.raises(Retryable):
            await make_reader(api).find_iterator(FIRST, ahead)

    with_api(body)


def test_the_sixth_call_in_a_second_is_retryable() -> None:
    """GetRecords is tried once: whoever paces reading decides."""

    async def body(api: Api) -> None:
        await api.make(shards=1)
        caller = KinesisCaller(api)
        reader = make_reader(api, caller)
        iterator = await reader.find_iterator(FIRST, HORIZON)
        for _ in range(5):
            await reader.get_records(iterator, limit=1)
        with pytest.raises(ServiceUnavailable) as caught:
            await reader.get_records(iterator, limit=1)
        assert caught.value.code == "ProvisionedThroughputExceededException"
        assert caller.calls["GetRecords"] == 6

    with_api(body)


def test_a_subscription_that_is_taken_says_when_to_come_back() -> None:
    """Within five seconds of the last; and one that is taken over ends with the same error."""

    async def body(api: Api) -> None:
        consumer = await api.consumer(await api.make(shards=1))
        reader = make_reader(api, consumer_arn=consumer)
        async with reader.subscribe(FIRST, HORIZON) as pages:
            with pytest.raises(SubscriptionTaken) as caught:
                async with reader.subscribe(FIRST, HORIZON):
                    pass
            assert caught.value.after_s == 5.0
            await asyncio.sleep(5)
            async with reader.subscribe(FIRST, HORIZON):
                with pytest.raises(SubscriptionTaken):
                    await anext(pages)

    with_api(body)


def test_a_subscription_ends_at_the_end_of_the_shard_and_after_five_minutes() -> None:
    """The last page of a shard has nothing to go on with; the end of time is no page."""

    async def body(api: Api) -> None:
        consumer = await api.consumer(await api.make(shards=1))
        reader = make_reader(api, consumer_arn=consumer)
        began = asyncio.get_running_loop().time()
        async with reader.subscribe(FIRST, HORIZON) as pages:
            going_on = [page.going_on async for page in pages]
        assert (asyncio.get_running_loop().time() - began, "" in going_on) == (300, False)
        assert [int(number) for number in going_on] == sorted({int(number) for number in going_on})
        await split(api, 0, 1 << 100)
        async with reader.subscribe(FIRST, HORIZON) as pages:
            assert [page.is_last async for page in pages] == [True]

    with_api(body)


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({":exception-type": "KMSThrottlingException", ":message-type": "exception"}, ServiceUnavailable),
        ({":exception-type": "InternalFailureException", ":message-type": "exception"}, ServiceUnavailable),
        ({":exception-type": "KMSDisabledException", ":message-type": "exception"}, Misconfigured),
        ({":exception-type": "SomethingElse", ":message-type": "exception"}, ServiceRefused),
        ({":error-code": "InternalError", ":message-type": "error"}, ServiceUnavailable),
    ],
)
def test_errors_inside_a_stream_say_what_to_do(headers: Mapping[str, str], error: type[Exception]) -> None:
    """Modelled ones and others."""
    pushed(encode_message(headers, b'{"message":"why"}'), error, "why")


@pytest.mark.parametrize(
    ("sent", "error", "words"),
    [
        (b"\x00" * 40, ServiceUnavailable, "damaged"),
        (encode_message({":message-type": "event", ":event-type": "x"}, b"")[:-1], ServiceUnavailable, "inside"),
        (
            encode_message({":message-type": "event", ":event-type": "SubscribeToShardEvent"}, b"[]"),
            Rejected,
            "no answer",
        ),
    ],
)
def test_a_stream_that_is_damaged_is_refused(sent: bytes, error: type[Exception], words: str) -> None:
    """Bytes that are no message, one that breaks off, an event that is none."""
    pushed(sent, error, words)


def pushed(sent: bytes, error: type[Exception], words: str) -> None:
    """Reading a subscription of these bytes raises `error` with these words."""

    async def body(api: Api) -> None:
        async def pieces() -> Any:
            yield sent

        class Told(KinesisCaller):
            @asynccontextmanager
            async def stream(self, *_given: Any, **_more: Any) -> Any:
                yield Events(pieces())

        async with make_reader(api, Told(api), consumer_arn="c").subscribe(FIRST, HORIZON) as pages:
            with pytest.raises(error, match=words):
                [page async for page in pages]

    with_api(body)


def test_streams_and_consumers_are_described() -> None:
    """What a tool has to know before it reads."""

    async def body(api: Api) -> None:
        arn = await api.make(shards=3)
        reader = make_reader(api)
        made = await reader.register_consumer("c")
        assert (made.name, made.status) == ("c", "CREATING")
        await asyncio.sleep(1)
        found = await reader.describe_consumer("c")
        assert found == made._replace(status="ACTIVE")
        summary = await reader.describe()
        assert (summary.arn, summary.status, summary.mode) == (arn, "ACTIVE", "PROVISIONED")
        assert (summary.open_shards, summary.retention_h, summary.consumers) == (3, 24, 1)
        assert reader.with_consumer(found.arn).can_push
        assert not reader.can_push
        with pytest.raises(Misconfigured):
            await KinesisReader(KinesisCaller(api), "s").register_consumer("d")  # type: ignore[arg-type]

    with_api(body)


def test_a_stream_is_read_by_its_name_as_well() -> None:
    """Then no request names an ARN."""

    async def body(api: Api) -> None:
        await api.make(shards=1)
        await put_all(api, ("k", b"1"))
        caller = KinesisCaller(api)
        reader = KinesisReader(caller, "s")  # type: ignore[arg-type]
        listed = await reader.list_shards(Span())
        assert listed == (Shard(FIRST, (), listed[0].first_sequence),)
        page = await reader.get_records(await reader.find_iterator(FIRST, HORIZON), limit=1)
        assert [record.data for record in page.records] == [b"1"]
        assert not any("StreamARN" in request for _, request in caller.asked)

    with_api(body)


def reply(told: Mapping[str, object]) -> Reply:
    import json

    return Reply(200, {}, json.dumps(told).encode())
