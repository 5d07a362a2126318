"""SNS in front of the local cloud's own queues and functions: who lets it, what arrives, what is worth another try."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.lambda_.errors import LambdaError, no_such_function, service_failed, throttled
from localcloud.services.sns.endpoints import LocalEndpoints, queue_allows
from localcloud.services.sns.errors import Undeliverable
from localcloud.services.sns.message import Attribute, Publication
from localcloud.services.sns.model import Topics
from localcloud.services.sns.ports import QueueMessage
from localcloud.services.sqs.errors import SqsError
from localcloud.services.sqs.model import Message, Queue, Queues
from tests.unit.test_sns_model import FUNCTION, REGION

TOPIC = f"arn:aws:sns:{REGION}:123456789012:news"


def policy(queue_arn: str, **changes: Any) -> str:
    """The policy that AWS's pages have for a queue that subscribes to a topic."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": TOPIC}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement | changes]})


@dataclass
class World:
    """Queues, a function that records, and topics over both."""

    queues: Queues
    endpoints: LocalEndpoints
    topics: Topics
    events: list[tuple[str, bytes, str]] = field(default_factory=list)
    failures: list[LambdaError] = field(default_factory=list)
    invokers: set[str] = field(default_factory=lambda: {TOPIC})

    def queue(self, name: str, *, text: str | None = None, **attributes: str) -> Queue:
        """A queue that lets the topic send, or has the policy `text` ("" for none)."""
        made = self.queues.create(name, REGION, attributes=attributes, tags={})
        allowed = policy(made.arn) if text is None else text
        if allowed:
            self.queues.configure(made, {"Policy": allowed})
        return made

    async def send(self, queue: Queue, message: QueueMessage | None = None) -> Undeliverable | None:
        try:
            await self.endpoints.send_to_queue(queue.arn, message or QueueMessage("m"), topic_arn=TOPIC)
        except Undeliverable as failure:
            return failure
        return None

    async def invoke(self) -> Undeliverable | None:
        try:
            await self.endpoints.invoke_function(FUNCTION, b"{}", topic_arn=TOPIC, trace_header="Root=1-2-3")
        except Undeliverable as failure:
            return failure
        return None


def play(test: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        clock, rng = LoopClock(asyncio.get_running_loop()), random.Random(1)
        queues = Queues(clock=clock, rng=rng)
        worlds: list[World] = []

        async def invoke_event(function_arn: str, payload: bytes, trace_header: str) -> None:
            if worlds[0].failures:
                raise worlds[0].failures.pop(0)
            worlds[0].events.append((function_arn, payload, trace_header))

        endpoints = LocalEndpoints(
            queues,
            invoke_event=invoke_event,
            may_invoke=lambda function, topic: function == FUNCTION and topic in worlds[0].invokers,
        )
        async with asyncio.TaskGroup() as group:
            topics = Topics(clock=clock, rng=rng, group=group, endpoints=endpoints)
            worlds.append(World(queues, endpoints, topics))
            try:
                await test(worlds[0])
            finally:
                topics.close()

    run_virtual(main)


def test_a_queue_gets_message_attributes_and_trace() -> None:
    """SNS is the sender; attributes come with their types, the trace as AWSTraceHeader."""

    async def test(world: World) -> None:
        queue = world.queue("jobs")
        attributes = {"s": Attribute("String.x", "é"), "b": Attribute("Binary", b"\x00")}
        sent = QueueMessage("text", attributes, group_id="tenant", trace_header="Root=1-5f-8;Sampled=1")
        assert await world.send(queue, sent) is None
        (message,) = await queue.receive(wait_s=0)
        assert message.body == "text"
        assert {name: (each.data_type, each.value) for name, each in message.message_attributes.items()} == {
            "s": ("String.x", "é"),
            "b": ("Binary", b"\x00"),
        }
        assert message.system["AWSTraceHeader"] == "Root=1-5f-8;Sampled=1"
        assert message.system["MessageGroupId"] == "tenant"
        assert message.system["SenderId"] == "AIDAIT2UOQQY3AUEKVGXU"

    play(test)


def test_a_fifo_queue_gets_both_ids() -> None:
    """And drops what it had in the last five minutes, as every sender's."""

    async def test(world: World) -> None:
        queue = world.queue("jobs.fifo", FifoQueue="true")
        for _ in range(2):
            assert await world.send(queue, QueueMessage("m", group_id="g", deduplication_id="d")) is None
        (message,) = await queue.receive(10, wait_s=0)
        assert (message.system["MessageGroupId"], message.system["MessageDeduplicationId"]) == ("g", "d")

    play(test)


@pytest.mark.parametrize(
    ("changes", "allowed"),
    [
        ({}, True),
        ({"Condition": {"ArnLike": {"AWS:SourceArn": f"arn:aws:sns:{REGION}:*:*"}}}, True),
        ({"Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}}}, True),
        ({"Condition": {"Bool": {"aws:SecureTransport": "true"}}}, True),
        ({"Principal": "*"}, True),
        ({"Action": "sqs:*"}, True),
        ({"Condition": {"ArnEquals": {"aws:SourceArn": f"{TOPIC}s"}}}, False),
        ({"Principal": {"Service": "events.amazonaws.com"}}, False),
        ({"Principal": {"AWS": "123456789012"}}, False),
        ({"Action": "sqs:ReceiveMessage"}, False),
        ({"Resource": "arn:aws:sqs:eu-west-1:123456789012:other"}, False),
        ({"Effect": "Deny"}, False),
        ({"Effect": "Maybe"}, False),
    ],
)
def test_a_queue_must_let_the_topic_send(changes: dict[str, Any], allowed: bool) -> None:
    """By its own policy: service, action, source. One that cannot be read lets nobody."""

    async def test(world: World) -> None:
        queue = world.queue("jobs", text="")
        queue.configure({"Policy": policy(queue.arn, **changes)})  # as kept: one of these could not be set any more
        assert queue_allows(queue, TOPIC) is allowed
        failure = await world.send(queue)
        if allowed:
            assert failure is None
        else:
            assert failure is not None
            assert (failure.code, failure.retry) == ("AccessDenied", False)

    play(test)


def test_what_a_queue_will_never_take_is_not_worth_another_try() -> None:
    """No queue, no policy, a message over its size, a character that it does not hold."""

    async def test(world: World) -> None:
        queue = world.queue("jobs", MaximumMessageSize="1024")
        failures = [
            await world.send(world.queue("closed", text="")),
            await world.send(queue, QueueMessage("m" * 1025)),
            await world.send(queue, QueueMessage("\x00")),
        ]
        world.queues.delete(queue)
        failures.append(await world.send(queue))
        assert [(each.code, each.retry) for each in failures if each] == [
            ("AccessDenied", False),
            ("InvalidParameterValueException", False),
            ("InvalidMessageContents", False),
            ("QueueDoesNotExist", False),
        ]

    play(test)


def test_a_throttled_queue_is_worth_another_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """A FIFO queue takes so many a second, and says so."""

    async def refuse(_queue: Queue, _content: object, **_: object) -> Message:
        raise SqsError("ThrottlingException", "Rate exceeded")

    async def test(world: World) -> None:
        queue = world.queue("jobs")
        monkeypatch.setattr(Queue, "send", refuse)
        failure = await world.send(queue)
        assert failure is not None
        assert (failure.code, failure.retry) == ("ThrottlingException", True)

    play(test)


def test_a_function_is_invoked_for_the_topic() -> None:
    """Where its policy allows; throttled or broken it is worth another try, gone it is not."""

    async def test(world: World) -> None:
        assert await world.invoke() is None
        assert world.events == [(FUNCTION, b"{}", "Root=1-2-3")]
        world.failures = [
            throttled("ConcurrentInvocationLimitExceeded"),
            service_failed("x"),
            no_such_function(FUNCTION),
        ]
        failures = [await world.invoke() for _ in range(3)]
        assert [(each.code, each.retry) for each in failures if each] == [
            ("TooManyRequestsException", True),
            ("ServiceException", True),
            ("ResourceNotFoundException", False),
        ]
        world.invokers.clear()
        denied = await world.invoke()
        assert denied is not None
        assert (denied.code, denied.retry) == ("AccessDenied", False)

    play(test)


def test_a_topic_reaches_its_queues_and_their_dead_letters() -> None:
    """A queue that does not allow the topic is passed over for the dead-letter queue, which does; FIFO keeps order."""

    async def test(world: World) -> None:
        topic = world.topics.create("news", REGION, attributes={}, tags={})
        assert topic.arn == TOPIC
        open_queue, closed = world.queue("open"), world.queue("closed", text="")
        dead = world.queue("dead")
        world.topics.subscribe(topic, "sqs", open_queue.arn, attributes={"RawMessageDelivery": "true"})
        redrive = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": dead.arn})}
        world.topics.subscribe(topic, "sqs", closed.arn, attributes=redrive)
        world.topics.publish(topic, Publication("hello"))
        (got,) = await open_queue.receive(wait_s=20)
        (lost,) = await dead.receive(wait_s=20)
        assert (got.body, json.loads(lost.body)["Message"]) == ("hello", "hello")
        assert closed.depth.visible == 0

    play(test)


def test_a_fifo_topic_keeps_the_order_of_its_queue() -> None:
    """Of one group, published in one go."""

    async def test(world: World) -> None:
        topic = world.topics.create(
            "news.fifo", REGION, attributes={"FifoTopic": "true", "ContentBasedDeduplication": "true"}, tags={}
        )
        queue = world.queue("jobs.fifo", text="", FifoQueue="true")
        allowed = policy(queue.arn, Condition={"ArnEquals": {"aws:SourceArn": topic.arn}})
        world.queues.configure(queue, {"Policy": allowed})
        world.topics.subscribe(topic, "sqs", queue.arn, attributes={"RawMessageDelivery": "true"})
        for number in range(8):
            world.topics.publish(topic, Publication(str(number), group_id="g"))
        got: list[Message] = []
        while len(got) < 8:
            got += await queue.receive(10, wait_s=20)
        assert [message.body for message in got] == [str(number) for number in range(8)]

    play(test)
