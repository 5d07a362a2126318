"""What subscribers get, when it is tried again, and what becomes of what they do not take."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import random
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.services.sns import delivery
from localcloud.services.sns.delivery import retry_waits_s
from localcloud.services.sns.errors import Undeliverable
from localcloud.services.sns.message import Attribute, Publication
from localcloud.services.sns.model import Topics
from tests.unit.test_sns_model import (
    DEAD_LETTERS,
    FIFO_QUEUE,
    FUNCTION,
    QUEUE,
    World,
    play,
    retry,
)

REDRIVE = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": DEAD_LETTERS})}
FIFO_REDRIVE = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": f"{DEAD_LETTERS}.fifo"})}
RAW = {"RawMessageDelivery": "true"}
GONE = Undeliverable("QueueDoesNotExist", "The specified queue does not exist.", retry=False)
ATTRIBUTES = {"kind": Attribute("String", "order é"), "blob": Attribute("Binary", b"\x02\x03\x04")}


class Most(random.Random):
    """Draws what is just not drawn any more."""

    def random(self) -> float:
        return 1.0


def test_a_queue_gets_the_envelope() -> None:
    """Every member and its order and layout as SNS writes them; the queue's own attributes are none."""

    async def test(world: World) -> None:
        topic = world.topic(SignatureVersion="2")
        made = world.topics.subscribe(topic, "sqs", QUEUE, attributes={})
        publication = Publication('say "é"', subject="Hi", attributes=ATTRIBUTES, group_id="tenant")
        published = world.topics.publish(topic, publication, trace_header="Root=1-2-3")
        await world.settle()
        ((arn, message),) = world.endpoints.sent
        signature = json.loads(message.body)["Signature"]
        assert message.body == (
            "{\n"
            '  "Type" : "Notification",\n'
            f'  "MessageId" : "{published.message_id}",\n'
            f'  "TopicArn" : "{topic.arn}",\n'
            '  "Subject" : "Hi",\n'
            '  "Message" : "say \\"é\\"",\n'
            '  "Timestamp" : "2027-01-15T08:00:00.000Z",\n'
            '  "SignatureVersion" : "2",\n'
            f'  "Signature" : "{signature}",\n'
            '  "SigningCertURL" : "https://sns.eu-west-1.amazonaws.com/'
            'SimpleNotificationService-00000000000000000000000000000000.pem",\n'
            f'  "UnsubscribeURL" : "{Topics.endpoint}/?Action=Unsubscribe&SubscriptionArn={made.arn}",\n'
            '  "MessageAttributes" : {\n'
            '    "kind" : {"Type":"String","Value":"order é"},\n'
            '    "blob" : {"Type":"Binary","Value":"AgME"}\n'
            "  }\n"
            "}"
        )
        assert len(base64.b64decode(signature)) == 256
        assert (arn, dict(message.attributes)) == (QUEUE, {})
        assert (message.group_id, message.deduplication_id, message.trace_header) == ("tenant", "", "Root=1-2-3")
        assert world.endpoints.sources == {topic.arn}

    play(test)


def test_a_function_gets_the_event() -> None:
    """Subject is null where there is none, MessageAttributes empty; Lambda's names of the two addresses are its own."""

    async def test(world: World) -> None:
        topic = world.topic()
        made = world.topics.subscribe(topic, "lambda", FUNCTION, attributes={})
        first = world.topics.publish(topic, Publication("é"), trace_header="Root=1-2-3")
        world.topics.publish(topic, Publication("m", subject="Hi", attributes=ATTRIBUTES))
        await world.settle()
        (arn, payload, trace), (_, second, _) = world.endpoints.invoked
        (record,) = json.loads(payload)["Records"]
        signature = record["Sns"].pop("Signature")
        assert record == {
            "EventSource": "aws:sns",
            "EventVersion": "1.0",
            "EventSubscriptionArn": made.arn,
            "Sns": {
                "Type": "Notification",
                "MessageId": first.message_id,
                "TopicArn": topic.arn,
                "Subject": None,
                "Message": "é",
                "Timestamp": "2027-01-15T08:00:00.000Z",
                "SignatureVersion": "1",
                "SigningCertUrl": "https://sns.eu-west-1.amazonaws.com/"
                "SimpleNotificationService-00000000000000000000000000000000.pem",
                "UnsubscribeUrl": f"{Topics.endpoint}/?Action=Unsubscribe&SubscriptionArn={made.arn}",
                "MessageAttributes": {},
            },
        }
        assert (arn, trace, len(base64.b64decode(signature))) == (FUNCTION, "Root=1-2-3", 256)
        told = json.loads(second)["Records"][0]["Sns"]
        assert (told["Subject"], told["MessageAttributes"]) == (
            "Hi",
            {"kind": {"Type": "String", "Value": "order é"}, "blob": {"Type": "Binary", "Value": "AgME"}},
        )

    play(test)


def test_a_fifo_topic_signs_nothing_and_numbers_everything() -> None:
    """SequenceNumber stands after MessageId; a FIFO queue gets both ids, a standard one neither."""

    async def test(world: World) -> None:
        topic = world.fifo(ContentBasedDeduplication="true")
        for queue in (FIFO_QUEUE, QUEUE):
            world.topics.subscribe(topic, "sqs", queue, attributes={})
        published = world.topics.publish(topic, Publication("Test", group_id="g"))
        await world.settle()
        (_, fifo), (_, standard) = world.endpoints.sent
        assert list(json.loads(fifo.body)) == [
            "Type",
            "MessageId",
            "SequenceNumber",
            "TopicArn",
            "Message",
            "Timestamp",
            "UnsubscribeURL",
        ]
        assert json.loads(fifo.body)["SequenceNumber"] == published.sequence_number
        assert (fifo.group_id, fifo.deduplication_id[:8]) == ("g", "532eaabd")
        assert (standard.group_id, standard.deduplication_id) == ("", "")

    play(test)


def test_a_raw_message_is_the_message() -> None:
    """With its attributes as the queue's; of eleven attributes it is no message for a queue any more."""

    async def test(world: World) -> None:
        topic = world.topic()
        world.topics.subscribe(topic, "sqs", QUEUE, attributes=RAW | REDRIVE)
        world.topics.publish(topic, Publication("text", subject="Hi", attributes=ATTRIBUTES))
        many = {f"a{n}": Attribute("String", "x") for n in range(11)}
        world.topics.publish(topic, Publication("too many", attributes=many))
        world.topics.publish(topic, Publication("ten", attributes=dict(list(many.items())[:10])))
        await world.settle()
        sent = [(arn, message.body, len(message.attributes)) for arn, message in world.endpoints.sent]
        assert [each for each in sent if each[0] == QUEUE] == [(QUEUE, "text", 2), (QUEUE, "ten", 10)]
        (dead,) = [each for each in sent if each[0] == DEAD_LETTERS]
        told = json.loads(dead[1])
        assert (told["Message"], len(told["MessageAttributes"]), dead[2]) == ("too many", 11, 0)
        assert [arn for _, arn in world.endpoints.tried].count(QUEUE) == 2
        assert {at for at, _ in world.endpoints.tried} == {0}

    play(test)


def test_each_protocol_gets_its_own_text() -> None:
    """Of MessageStructure json; where a protocol has none, the default."""

    async def test(world: World) -> None:
        topic = world.topic()
        world.topics.subscribe(topic, "sqs", QUEUE, attributes=RAW)
        world.topics.subscribe(topic, "lambda", FUNCTION, attributes={})
        texts = {"default": "for all", "sqs": "for queues", "email": "for people"}
        world.topics.publish(topic, Publication(json.dumps(texts), texts=texts))
        await world.settle()
        assert world.bodies() == ["for queues"]
        assert json.loads(world.endpoints.invoked[0][1])["Records"][0]["Sns"]["Message"] == "for all"

    play(test)


# ---------------------------------------------------------------------- retries


def test_the_waits_between_tries_are_awss() -> None:
    """Three at once, two of a second, ten that grow from 1 to 20 with a share of chance, 100,000 of 20: 23 days."""
    waits = list(retry_waits_s(random.Random(7)))
    assert len(waits) == 100_015
    assert waits[:5] == [0, 0, 0, 1, 1]
    assert set(waits[15:]) == {20.0}
    growing = waits[5:15]
    assert growing != list(retry_waits_s(random.Random(8)))[5:15]
    assert all(1 <= wait <= 20 ** (step / 9) + 1e-9 for step, wait in enumerate(growing))
    assert list(retry_waits_s(Most()))[5:15] == pytest.approx([20 ** (step / 9) for step in range(10)])
    most = [max(list(retry_waits_s(random.Random(seed)))[5:15][step] for seed in range(12)) for step in (0, 4, 9)]
    assert most[0] == 1 < most[1] < most[2]
    assert 23 * 86_400 < sum(waits) < 24 * 86_400


def test_a_server_error_is_tried_again_until_it_passes() -> None:
    """Four tries in the moment of the publication, the fifth a second later; then it is delivered, once."""

    async def test(world: World) -> None:
        topic = world.topic()
        world.topics.subscribe(topic, "lambda", FUNCTION, attributes=REDRIVE)
        world.endpoints.failures[FUNCTION] = deque([retry(), retry(), retry(), retry(), retry()])
        world.topics.publish(topic, Publication("m"))
        await world.settle()
        assert [round(at, 3) for at, _ in world.endpoints.tried] == [0, 0, 0, 0, 1, 2]
        assert len(world.endpoints.invoked) == 1
        assert world.endpoints.sent == []

    play(test)


def test_after_the_last_try_it_is_a_dead_letter(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dead letter of a function's subscription is the envelope, not the event; the log has its reason."""
    monkeypatch.setattr(delivery, "POST_BACKOFF", 50)

    async def test(world: World) -> None:
        topic = world.topic()
        world.topics.subscribe(topic, "lambda", FUNCTION, attributes=REDRIVE)
        world.endpoints.broken[FUNCTION] = retry("TooManyRequestsException")
        world.topics.publish(topic, Publication("m", attributes=ATTRIBUTES))
        await world.settle()
        assert [arn for _, arn in world.endpoints.tried] == [FUNCTION] * (1 + 15 + 50) + [DEAD_LETTERS]
        ((arn, message),) = world.endpoints.sent
        assert arn == DEAD_LETTERS
        assert json.loads(message.body)["Message"] == "m"
        assert dict(message.attributes) == {}

    with caplog.at_level(logging.INFO, logger=delivery.__name__):
        play(test)
    (record,) = [record for record in caplog.records if record.message == "sns.dead_letter"]
    assert (record.__dict__["code"], record.__dict__["reason"]) == ("TooManyRequestsException", "not now")


def test_a_client_error_is_not_tried_again() -> None:
    """The dead letter is what the queue would have got: raw with its attributes, or the envelope."""

    async def test(world: World) -> None:
        topic = world.topic()
        other = QUEUE.replace("jobs", "other")
        world.topics.subscribe(topic, "sqs", QUEUE, attributes=RAW | REDRIVE)
        world.topics.subscribe(topic, "sqs", other, attributes=REDRIVE)
        world.endpoints.broken = {QUEUE: GONE, other: GONE}
        world.topics.publish(topic, Publication("m", attributes=ATTRIBUTES))
        await world.settle()
        assert sorted(arn for _, arn in world.endpoints.tried) == sorted([QUEUE, other, DEAD_LETTERS, DEAD_LETTERS])
        raw, enveloped = (message for _, message in world.endpoints.sent)
        assert (raw.body, dict(raw.attributes)) == ("m", ATTRIBUTES)
        assert (json.loads(enveloped.body)["Message"], dict(enveloped.attributes)) == ("m", {})

    play(test)


def test_without_a_dead_letter_queue_it_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    """The log says which, to whom and why; nothing of the message itself."""

    async def test(world: World) -> None:
        topic = world.topic()
        world.topics.subscribe(topic, "sqs", QUEUE, attributes={})
        world.endpoints.broken[QUEUE] = GONE
        world.topics.publish(topic, Publication("secret"))
        await world.settle()
        assert world.endpoints.sent == []

    play(test)
    (record,) = [record for record in caplog.records if record.message == "sns.dropped"]
    assert record.__dict__["code"] == "QueueDoesNotExist"
    assert "secret" not in str(record.__dict__)


def test_a_dead_letter_queue_is_tried_again_too_and_may_be_gone_as_well(caplog: pytest.LogCaptureFixture) -> None:
    """What it does not take for good is lost, aloud."""

    async def test(world: World) -> None:
        topic = world.topic()
        world.topics.subscribe(topic, "sqs", QUEUE, attributes=REDRIVE)
        world.endpoints.broken[QUEUE] = GONE
        world.endpoints.failures[DEAD_LETTERS] = deque([retry(), retry(), GONE])
        world.topics.publish(topic, Publication("m"))
        await world.settle()
        assert [arn for _, arn in world.endpoints.tried] == [QUEUE] + [DEAD_LETTERS] * 3
        assert world.endpoints.sent == []

    play(test)
    assert [record.message for record in caplog.records] == ["sns.dead_letter_lost"]


def test_what_nobody_foresaw_ends_one_delivery_alone(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged with its trace; the next message is delivered."""

    async def test(world: World) -> None:
        topic = world.topic()
        world.topics.subscribe(topic, "sqs", QUEUE, attributes={})
        world.endpoints.failures[QUEUE] = deque([RuntimeError("a mistake")])
        for text in ("one", "two"):
            world.topics.publish(topic, Publication(text))
        await world.settle()
        assert world.bodies() == ["two"]

    play(test)
    assert [record.message for record in caplog.records] == ["sns.delivery_broken"]


def test_a_subscription_that_ends_gets_nothing_more() -> None:
    """Neither what is being tried nor a dead letter of it."""

    async def test(world: World) -> None:
        topic = world.topic()
        made = world.topics.subscribe(topic, "lambda", FUNCTION, attributes=REDRIVE)
        world.endpoints.broken[FUNCTION] = retry()
        world.topics.publish(topic, Publication("m"))
        await asyncio.sleep(1.5)
        tried = len(world.endpoints.tried)
        world.topics.unsubscribe(made.arn)
        await world.settle()
        assert len(world.endpoints.tried) == tried == 5
        assert world.endpoints.sent == []

    play(test)


def test_closing_gives_up_what_waits() -> None:
    """The task group can end though 23 days of tries are left."""

    async def test(world: World) -> None:
        topic = world.fifo(ContentBasedDeduplication="true")
        world.topics.subscribe(topic, "sqs", FIFO_QUEUE, attributes={})
        world.endpoints.broken[FIFO_QUEUE] = retry()
        for text in ("one", "two", "three"):
            world.topics.publish(topic, Publication(text, group_id="g"))
        await asyncio.sleep(100)
        assert world.topics.pending == 3
        world.topics.close()
        await asyncio.sleep(100)
        assert world.topics.pending == 0

    play(test)


# ---------------------------------------------------------------------- order


def test_a_standard_topic_waits_for_nothing() -> None:
    """While one message is being tried, even of the same group, the next is delivered."""

    async def test(world: World) -> None:
        topic = world.topic()
        world.topics.subscribe(topic, "sqs", QUEUE, attributes=RAW)
        world.endpoints.failures[QUEUE] = deque(retry() for _ in range(4))
        world.topics.publish(topic, Publication("late", group_id="g"))
        await asyncio.sleep(0.5)
        world.topics.publish(topic, Publication("early", group_id="g"))
        await world.settle()
        assert world.bodies() == ["early", "late"]

    play(test)


def test_a_group_waits_for_what_is_being_tried() -> None:
    """Messages of a group come in order, of another group meanwhile; a dead letter lets the group go on."""

    async def test(world: World) -> None:
        topic = world.fifo(ContentBasedDeduplication="true")
        world.topics.subscribe(topic, "sqs", FIFO_QUEUE, attributes=RAW | FIFO_REDRIVE)
        world.endpoints.failures[FIFO_QUEUE] = deque([*(retry() for _ in range(6)), GONE])
        for text, group in (("a1", "a"), ("a2", "a"), ("a3", "a")):
            world.topics.publish(topic, Publication(text, group_id=group))
        await asyncio.sleep(0.5)
        assert world.bodies(FIFO_QUEUE) == []
        world.topics.publish(topic, Publication("b1", group_id="b"))
        await world.settle()
        sent = [(message.body, arn.rpartition(":")[2]) for arn, message in world.endpoints.sent]
        assert [body for body, _ in sent if body.startswith("a")] == ["a1", "a2", "a3"]
        assert {arn for body, arn in sent if body == "b1"} <= {"jobs.fifo", "dead.fifo"}
        dead = [message for arn, message in world.endpoints.sent if arn.endswith("dead.fifo")]
        assert [bool(message.group_id and message.deduplication_id) for message in dead] == [True]

    play(test)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=15),
    st.lists(st.sampled_from([None, None, "later", "never"]), max_size=25),
)
def test_order_holds_in_every_group_whatever_fails(groups: list[str], fates: list[str | None]) -> None:
    """Delivered or dead, each message of a group ends before the next is tried, and none is lost or doubled."""

    async def test(world: World) -> None:
        topic = world.fifo()
        world.topics.subscribe(topic, "sqs", FIFO_QUEUE, attributes=RAW | FIFO_REDRIVE)
        outcomes: deque[Exception | None] = deque(
            None if fate is None else Undeliverable(fate, fate, retry=fate == "later") for fate in fates
        )
        whole_send = world.endpoints.send_to_queue

        async def send(queue_arn: str, message: object, *, topic_arn: str) -> None:
            outcome = outcomes.popleft() if outcomes and queue_arn == FIFO_QUEUE else None
            await asyncio.sleep(0.01)
            if outcome is not None:
                raise outcome
            await whole_send(queue_arn, message, topic_arn=topic_arn)  # type: ignore[arg-type]

        world.endpoints.send_to_queue = send  # type: ignore[method-assign]
        for number, group in enumerate(groups):
            world.topics.publish(topic, Publication(f"{group}{number}", group_id=group, deduplication_id=str(number)))
        await world.settle()
        ended = [message.body for _, message in world.endpoints.sent]
        for group in "abc":
            expected = [f"{group}{number}" for number, each in enumerate(groups) if each == group]
            assert [body for body in ended if body.startswith(group)] == expected

    play(test)
