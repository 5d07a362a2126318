"""Destinations on AWS: requests as they go out, order by key, and failures one by one, on virtual time."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.clock import run_virtual
from sluiceway.aws.destinations import AwsDestinations
from sluiceway.aws.reply import Reply
from sluiceway.errors import (
    DeadlineExceeded,
    Rejected,
    Retryable,
    ServiceMisconfigured,
    ServiceRefused,
    ServiceUnavailable,
    SluicewayError,
)
from sluiceway.ports.filtering import Outgoing
from sluiceway.rules.filtering import Destination
from tests.fakes import EPOCH_MS, FixedChance, RecordingCaller, unavailable

STREAM = Destination("stream", "Filtered", ordered=True)
QUEUE = Destination("sqs", "https://sqs.eu-west-1.amazonaws.com/123456789012/large")
FIFO = Destination("sqs", QUEUE.target + ".fifo", ordered=True)
TOPIC = Destination("sns", "arn:aws:sns:eu-west-1:123456789012:large")
FIFO_TOPIC = Destination("sns", TOPIC.target + ".fifo", ordered=True)
BUS = Destination("events", "mesh", source="shop", detail_type="Order")
BUCKET = Destination("s3", "archive", prefix="orders/")


def message(number: int, key: str = "ann", body: str = "") -> Outgoing:
    attributes = {"message_id": f"s:{number}::r", "rule": "r", "shard": "s", "sequence_number": str(number)}
    return Outgoing(f"s:{number}::r", key, body or f'{{"n":{number},"é":"&<"}}', attributes, EPOCH_MS + 1)


def sent(
    caller: Any, destination: Destination, *messages: Outgoing, deadline_s: float = 60.0
) -> list[SluicewayError | None]:
    """What became of each."""

    async def run() -> list[SluicewayError | None]:
        deadline = asyncio.get_running_loop().time() + deadline_s
        return list(await AwsDestinations(caller, FixedChance()).send(destination, messages, deadline=deadline))

    return run_virtual(run)


def answer(members: Mapping[str, Any]) -> Reply:
    return Reply(200, {}, json.dumps(members).encode())


# ---------------------------------------------------------------- requests as they go out


def test_a_queue_gets_attributes_and_a_fifo_queue_its_group() -> None:
    """Ten at most in a request; a deduplication id is the message's own, and a long one its digest."""
    caller = RecordingCaller()
    assert sent(caller, QUEUE, *(message(number) for number in range(12))) == [None] * 12
    assert sorted(len(call.body["Entries"]) for call in caller.calls) == [2, 10]
    entry = caller.calls[0].body["Entries"][0]
    assert (caller.calls[0].operation, entry["Id"]) == ("SendMessageBatch", "0")
    assert entry["MessageBody"] == message(0).body
    assert entry["MessageAttributes"]["message_id"] == {"DataType": "String", "StringValue": "s:0::r"}
    assert "MessageGroupId" not in entry
    caller = RecordingCaller()
    sent(caller, FIFO, message(1), message(2, key="b")._replace(message_id="x" * 129), message(3, key="Ånn " * 50))
    entries = [entry for call in caller.calls for entry in call.body["Entries"]]
    assert (entries[0]["MessageGroupId"], entries[0]["MessageDeduplicationId"]) == ("ann", "s:1::r")
    assert len(entries[1]["MessageDeduplicationId"]) == 64
    assert len(entries[2]["MessageGroupId"]) == 64


def test_a_topic_is_published_to_by_form() -> None:
    """SNS speaks the query protocol alone; what is not ASCII, or has a meaning in a form, arrives as it was."""
    caller = RecordingCaller([Reply(200, {}, b"<PublishBatchResponse/>")])
    assert sent(caller, FIFO_TOPIC, message(1), message(2, key="bob")) == [None, None]
    form = {name: values[0] for name, values in parse_qs(caller.calls[0].body.decode()).items()}
    place = "PublishBatchRequestEntries.member.2"
    assert (form["Action"], form["Version"], form["TopicArn"]) == ("PublishBatch", "2010-03-31", FIFO_TOPIC.target)
    assert form[f"{place}.Message"] == message(2).body
    assert (form[f"{place}.MessageGroupId"], form[f"{place}.MessageDeduplicationId"]) == ("bob", "s:2::r")
    attributes = {
        form[f"{place}.MessageAttributes.entry.{number}.Name"]: form[
            f"{place}.MessageAttributes.entry.{number}.Value.StringValue"
        ]
        for number in range(1, 5)
    }
    assert attributes == message(2).attributes


def test_a_bus_gets_events_a_stream_records_and_a_bucket_an_object() -> None:
    """Each as its API has it; the object of the same messages has the same key whenever it is written."""
    caller = RecordingCaller([answer({"Entries": [{"EventId": "1"}]})])
    assert sent(caller, BUS, message(1)) == [None]
    assert caller.calls[0].body["Entries"] == [
        {
            "EventBusName": "mesh",
            "Source": "shop",
            "DetailType": "Order",
            "Detail": message(1).body,
            "Time": EPOCH_MS // 1000,
        }
    ]
    caller = RecordingCaller([answer({"Records": [{"ShardId": "s", "SequenceNumber": "1"}]})])
    assert sent(caller, STREAM, message(1)) == [None]
    assert caller.calls[0].body["StreamName"] == "Filtered"
    [put] = caller.calls[0].body["Records"]
    assert (put["PartitionKey"], base64.b64decode(put["Data"]).decode()) == ("ann", message(1).body)
    caller = RecordingCaller()
    for _ in range(2):
        assert sent(caller, BUCKET, message(7), message(8)) == [None, None]
    assert caller.calls[0].path == caller.calls[1].path
    assert caller.calls[0].path.startswith("/archive/orders/r/s/7-")
    assert caller.calls[0].body.decode() == f"{message(7).body}\n{message(8).body}\n"


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("destination", "reply"),
    [
        (
            QUEUE,
            answer({"Failed": [{"Id": "1", "Code": "InvalidMessageContents", "Message": "m", "SenderFault": True}]}),
        ),
        (
            TOPIC,
            Reply(
                200,
                {},
                b"<R><Successful><member><Id>0</Id></member></Successful><Failed><member><Id>1</Id>"
                b"<Code>InvalidParameter</Code><Message>a &lt;b&gt;</Message><SenderFault>true</SenderFault>"
                b"</member></Failed></R>",
            ),
        ),
        (BUS, answer({"Entries": [{}, {"ErrorCode": "MalformedDetail", "ErrorMessage": "m"}]})),
    ],
)
def test_an_entry_that_is_refused_for_good_is_not_tried_again(destination: Destination, reply: Reply) -> None:
    """It alone, with the service's code; the other is sent."""
    caller = RecordingCaller([reply])
    fine, refused = sent(caller, destination, message(1), message(2))
    assert fine is None
    assert isinstance(refused, ServiceRefused)
    assert refused.reason.startswith(f"{refused.service}-")
    assert len(caller.calls) == 1


@pytest.mark.parametrize(
    ("destination", "reply", "success"),
    [
        (
            QUEUE,
            answer({"Failed": [{"Id": "0", "Code": "InternalError", "Message": "m", "SenderFault": False}]}),
            answer({}),
        ),
        (
            TOPIC,
            Reply(
                200,
                {},
                b"<Failed><member><Id>0</Id><Code>Internal</Code><SenderFault>false</SenderFault></member></Failed>",
            ),
            Reply(200, {}, b""),
        ),
        (QUEUE, answer({"Failed": [{"Id": "0", "Code": "KmsThrottled", "SenderFault": True}]}), answer({})),
        (BUS, answer({"Entries": [{"ErrorCode": "ThrottlingException"}, {}]}), answer({"Entries": [{}]})),
        (
            STREAM,
            answer({"Records": [{"ErrorCode": "ProvisionedThroughputExceededException"}, {}]}),
            answer({"Records": [{}]}),
        ),
    ],
)
def test_an_entry_that_is_refused_for_now_is_tried_again_alone(
    destination: Destination, reply: Reply, success: Reply
) -> None:
    """After a pause, up to four times; then it is Retryable, as what was never sent is."""
    caller = RecordingCaller([reply, success])
    assert sent(caller, destination, message(1), message(2, key="bob")) == [None, None]
    assert len(caller.calls) == 2
    one = [answer({"Records": [{"ErrorCode": "InternalFailure"}]}) for _ in range(9)]
    caller = RecordingCaller(list(one))
    [fate] = sent(caller, STREAM, message(1))
    assert isinstance(fate, ServiceUnavailable)
    assert len(caller.calls) == 4


def test_a_request_that_is_refused_is_taken_apart() -> None:
    """One message that the service cannot have must not take nine others with it."""

    class Picky(RecordingCaller):
        async def call(self, service: Any, operation: str, body: Any = b"", **rest: Any) -> Reply:
            await super().call(service, operation, body, **rest)
            if any("bad" in entry["MessageBody"] for entry in body["Entries"]):
                raise ServiceRefused("no", service="sqs", operation=operation, code="InvalidMessageContents")
            return answer({})

    fates = sent(Picky(), QUEUE, message(1), message(2, body="bad"), message(3))
    assert [type(fate) for fate in fates] == [type(None), ServiceRefused, type(None)]


def test_a_message_too_large_for_its_destination_is_refused_here() -> None:
    """By the destination's own limit, and alone."""
    large = message(2, body="x" * (256 * 1024 + 1))
    caller = RecordingCaller()
    fates = sent(caller, TOPIC, message(1), large)
    assert fates[0] is None
    assert isinstance(fates[1], Rejected)
    assert fates[1].reason == "message-too-large"
    assert sent(RecordingCaller(), QUEUE, large) == [None]


def test_a_request_has_no_more_bytes_than_it_may() -> None:
    """Ten messages of 200 kB go to a queue in two requests, five in each."""
    caller = RecordingCaller()
    assert sent(caller, QUEUE, *(message(number, body="x" * 200_000) for number in range(10))) == [None] * 10
    assert sorted(len(call.body["Entries"]) for call in caller.calls) == [5, 5]


@pytest.mark.parametrize(
    "error",
    [
        unavailable("SendMessageBatch"),
        ServiceMisconfigured("no", service="sqs", operation="SendMessageBatch", code="QueueDoesNotExist"),
        DeadlineExceeded("late"),
    ],
)
def test_a_failed_request_is_the_fate_of_its_messages(error: SluicewayError) -> None:
    """The wire has tried it already."""
    assert sent(RecordingCaller([error]), QUEUE, message(1), message(2)) == [error, error]


def test_a_destination_set_up_wrongly_is_every_messages_fate() -> None:
    """Of one key too: were those behind the first Retryable, a shard would go on by one record at a time."""
    error = ServiceMisconfigured("no", service="kinesis", operation="PutRecords", code="ResourceNotFoundException")
    caller = RecordingCaller([error] * 9)
    assert sent(caller, STREAM, *(message(number) for number in range(5)), message(9, key="b")) == [error] * 6
    assert len(caller.calls) == 1


def test_the_one_bad_record_of_a_large_request_is_found_by_halves() -> None:
    """Eighteen requests at most for one of two hundred and fifty-six, and all others are sent once."""
    taken: list[int] = []

    class Picky(RecordingCaller):
        async def call(self, service: Any, operation: str, body: Any = b"", **rest: Any) -> Reply:
            await super().call(service, operation, body, **rest)
            numbers = [json.loads(base64.b64decode(each["Data"]))["n"] for each in body["Records"]]
            if 77 in numbers:
                raise ServiceRefused("no", service="kinesis", operation=operation, code="ValidationException")
            taken.extend(numbers)
            return answer({"Records": [{}] * len(numbers)})

    caller = Picky()
    fates = sent(caller, STREAM, *(message(number, key=str(number)) for number in range(256)))
    assert [at for at, fate in enumerate(fates) if fate is not None] == [77]
    assert sorted(taken) == [number for number in range(256) if number != 77]
    assert len(caller.calls) <= 18


def test_nothing_is_sent_after_the_deadline() -> None:
    """What was not sent by then is Retryable; a pause that would end after it is not begun."""
    caller = RecordingCaller()
    assert [type(fate) for fate in sent(caller, QUEUE, message(1), deadline_s=0.0)] == [DeadlineExceeded]
    assert caller.calls == []
    caller = RecordingCaller([answer({"Records": [{"ErrorCode": "InternalFailure"}]})])
    assert [isinstance(fate, Retryable) for fate in sent(caller, STREAM, message(1), deadline_s=0.05)] == [True]
    assert len(caller.calls) == 1


# ---------------------------------------------------------------- order


@dataclass
class Stream:
    """A stream that refuses some of what it is given, in requests whose records it takes in any order."""

    rng: random.Random
    taken: list[tuple[str, int]] = field(default_factory=list)
    most: int = 0
    under_way: int = 0

    async def call(self, service: Any, operation: str, body: Any = b"", **_rest: Any) -> Reply:
        del service
        self.under_way += 1
        await asyncio.sleep(self.rng.random())
        self.under_way -= 1
        if self.rng.random() < 0.1:
            raise unavailable(operation)
        records = body["Records"]
        answers: list[dict[str, Any]] = [{} for _ in records]
        for at in self.rng.sample(range(len(records)), len(records)):
            if self.rng.random() < 0.3:
                answers[at] = {
                    "ErrorCode": self.rng.choice(["InternalFailure", "ProvisionedThroughputExceededException"])
                }
            else:
                number = json.loads(base64.b64decode(records[at]["Data"]))["n"]
                self.taken.append((records[at]["PartitionKey"], number))
        return answer({"Records": answers})


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.sampled_from("abc"), min_size=1, max_size=20))
def test_a_keys_messages_arrive_in_order_and_none_after_one_that_failed(seed: int, keys: list[str]) -> None:
    """Whatever is refused, and in whatever order a request's records are taken: of each key a beginning has arrived."""
    stream = Stream(random.Random(seed))
    fates = sent(stream, STREAM, *(message(at, key=key) for at, key in enumerate(keys)))
    for key in set(keys):
        wanted = [at for at, each in enumerate(keys) if each == key]
        arrived = [number for each, number in stream.taken if each == key]
        assert arrived == wanted[: len(arrived)]
        assert [fates[at] is None for at in wanted] == [at in arrived for at in wanted]


def test_what_has_no_order_goes_side_by_side() -> None:
    """Forty messages of one key to a queue are four requests at once; to a stream without an order one request."""

    def count(destination: Destination) -> Callable[[], int]:
        class Slow(RecordingCaller):
            under_way = most = 0

            async def call(self, service: Any, operation: str, body: Any = b"", **rest: Any) -> Reply:
                self.under_way += 1
                self.most = max(self.most, self.under_way)
                await asyncio.sleep(1)
                self.under_way -= 1
                await super().call(service, operation, body, **rest)
                return answer({"Records": [{}] * len(body.get("Records", ()))})

        caller = Slow()
        assert sent(caller, destination, *(message(number) for number in range(40))) == [None] * 40
        return lambda: caller.most * 100 + len(caller.calls)

    assert count(QUEUE)() == 404
    assert count(STREAM._replace(ordered=False))() == 101
    assert count(STREAM)() == 140
