"""What CloudWatch is told of a queue: the rows of AWS's table of SQS metrics, one by one."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

from localcloud.clock import run_virtual
from localcloud.services.sqs.message import Content
from localcloud.services.sqs.metering import QueueMeters
from localcloud.services.sqs.model import Queues
from localcloud.services.sqs.queue import Queue
from localcloud.services.sqs.watching import Unwatched
from tests.unit.counting_setup import REGION, Told

Q = {"QueueName": "q"}
F = {"QueueName": "q.fifo"}


class World(Told):
    """Queues whose metrics are kept."""

    def __init__(self) -> None:
        super().__init__("AWS/SQS")
        meters = QueueMeters(self.counters, self.clock, before=Unwatched())
        self.queues = Queues(clock=self.clock, rng=random.Random(1), watch=meters)
        meters.queues = self.queues.all

    def make(self, name: str = "q", **attributes: Any) -> Queue:
        given = {key: str(value) for key, value in attributes.items()}
        if name.endswith(".fifo"):
            given["FifoQueue"] = "true"
        return self.queues.create(name, REGION, attributes=given, tags={})

    async def pass_minute(self) -> None:
        """To the end of the minute, and what is told then."""
        now_s = self.clock.time()
        await asyncio.sleep(60 - now_s % 60)
        self.counters.hand_over()


def with_queues(test: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        await test(World())

    run_virtual(main)


def test_messages_are_counted_as_they_are_sent_received_and_deleted() -> None:
    """One sample for each message sent, each receive and each deletion; sizes in bytes with attributes in them."""

    async def test(world: World) -> None:
        queue = world.make()
        await queue.send(Content("four"))
        await queue.send(Content("é"))
        taken = await queue.receive(10)
        for message in taken:
            await queue.delete(message.receipt_handle)
        await queue.delete(taken[0].receipt_handle)
        await queue.receive(10)
        assert world.stats("NumberOfMessagesSent", **Q) == (2, 2, 1, 1)
        assert world.stats("SentMessageSize", **Q) == (2, 6, 2, 4)
        assert world.stats("NumberOfMessagesReceived", **Q) == (2, 2, 0, 2)
        assert world.stats("NumberOfEmptyReceives", **Q) == (2, 1, 0, 1)
        assert world.stats("NumberOfMessagesDeleted", **Q) == (3, 3, 1, 1)
        assert world.unit("SentMessageSize", **Q) == "Bytes"
        assert world.unit("NumberOfMessagesSent", **Q) == "Count"

    with_queues(test)


def test_depths_are_told_each_minute() -> None:
    """Visible ones always; those in flight and delayed only where there are any."""

    async def test(world: World) -> None:
        queue = world.make(VisibilityTimeout=600)
        await queue.send(Content("a"))
        await queue.send(Content("b"))
        await queue.send(Content("c"), delay_s=900)
        await queue.receive(1)
        await world.pass_minute()
        assert world.stats("ApproximateNumberOfMessagesVisible", 0, **Q) == (1, 1, 1, 1)
        assert world.stats("ApproximateNumberOfMessagesNotVisible", 0, **Q) == (1, 1, 1, 1)
        assert world.stats("ApproximateNumberOfMessagesDelayed", 0, **Q) == (1, 1, 1, 1)
        queue.clear()
        await world.pass_minute()
        assert world.stats("ApproximateNumberOfMessagesVisible", 1, **Q) == (1, 0, 0, 0)
        assert world.stats("ApproximateNumberOfMessagesNotVisible", 1, **Q) is None
        assert world.stats("ApproximateNumberOfMessagesDelayed", 1, **Q) is None
        assert world.stats("ApproximateAgeOfOldestMessage", 1, **Q) is None

    with_queues(test)


def test_the_oldest_age_passes_over_messages_that_were_received_three_times() -> None:
    """In a standard queue; a FIFO queue keeps its order, and its first message counts however often it failed."""

    async def test(world: World) -> None:
        queue, fifo = world.make(VisibilityTimeout=0), world.make("q.fifo", VisibilityTimeout=0)
        await queue.send(Content("old"))
        await fifo.send(Content("old", group_id="g", deduplication_id="1"))
        for _ in range(3):
            await queue.receive(1)
            await fifo.receive(1)
        await asyncio.sleep(20)
        await queue.send(Content("young"))
        await fifo.send(Content("young", group_id="g", deduplication_id="2"))
        await world.pass_minute()
        assert world.stats("ApproximateAgeOfOldestMessage", **Q) == (1, 40, 40, 40)
        assert world.stats("ApproximateAgeOfOldestMessage", **F) == (1, 60, 60, 60)
        assert world.unit("ApproximateAgeOfOldestMessage", **Q) == "Seconds"

    with_queues(test)


def test_a_dead_letter_is_not_sent_and_its_age_begins_when_it_is_moved() -> None:
    """The dead-letter queue's NumberOfMessagesSent stays without a value; its visible count is the one to watch."""

    async def test(world: World) -> None:
        dead = world.make("dead")
        policy = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 1})
        queue = world.make(VisibilityTimeout=0, RedrivePolicy=policy)
        await queue.send(Content("poison"))
        await asyncio.sleep(45)
        await queue.receive(1)
        await queue.receive(1)
        await world.pass_minute()
        assert world.stats("NumberOfMessagesSent", QueueName="dead") is None
        assert world.stats("ApproximateNumberOfMessagesVisible", QueueName="dead") == (1, 1, 1, 1)
        assert world.stats("ApproximateAgeOfOldestMessage", QueueName="dead") == (1, 15, 15, 15)

    with_queues(test)


def test_a_queue_that_nobody_names_is_silent_after_six_hours() -> None:
    """Any request that names it makes it active again; one with messages is active as long as it has them."""

    async def test(world: World) -> None:
        world.make()
        await world.make("full").send(Content("x"))
        last: dict[str, int] = {}
        for minute in range(7 * 60):
            await world.pass_minute()
            for name in ("q", "full"):
                if world.stats("ApproximateNumberOfMessagesVisible", minute, QueueName=name) is not None:
                    last[name] = minute
        assert last == {"q": 6 * 60 - 1, "full": 7 * 60 - 1}
        world.queues.get("q", REGION)
        await world.pass_minute()
        assert world.stats("ApproximateNumberOfMessagesVisible", 7 * 60, **Q) == (1, 0, 0, 0)

    with_queues(test)


def test_a_duplicate_is_counted_as_that_and_not_as_sent() -> None:
    """NumberOfDeduplicatedSentMessages is for FIFO queues; so are groups with messages in flight."""

    async def test(world: World) -> None:
        queue = world.make("q.fifo", VisibilityTimeout=600)
        for group, number in (("a", "1"), ("a", "1"), ("b", "2"), ("b", "3")):
            await queue.send(Content("x", group_id=group, deduplication_id=number))
        await queue.receive(10)
        await world.pass_minute()
        assert world.stats("NumberOfDeduplicatedSentMessages", **F) == (1, 1, 1, 1)
        assert world.stats("NumberOfMessagesSent", **F) == (3, 3, 1, 1)
        assert world.stats("ApproximateNumberOfGroupsWithInflightMessages", **F) == (1, 2, 2, 2)
        assert world.stats("ApproximateNumberOfNoisyGroups", **F) is None

    with_queues(test)


def test_quiet_groups_are_told_apart_from_a_noisy_one() -> None:
    """Only queues whose messages have groups tell of them; without a noisy group both numbers are the same."""

    async def test(world: World) -> None:
        queue, plain = world.make(VisibilityTimeout=600), world.make("plain")
        await plain.send(Content("x"))
        for _ in range(40):
            await queue.send(Content("x", group_id="loud"))
        for _ in range(4):
            await queue.receive(10)
        await asyncio.sleep(10)
        await queue.send(Content("x", group_id="calm"))
        await queue.send(Content("x", group_id="loud"))
        await world.pass_minute()
        assert world.stats("ApproximateNumberOfNoisyGroups", **Q) == (1, 1, 1, 1)
        assert world.stats("ApproximateNumberOfMessagesVisibleInQuietGroups", **Q) == (1, 1, 1, 1)
        assert world.stats("ApproximateNumberOfMessagesVisible", **Q) == (1, 2, 2, 2)
        assert world.stats("ApproximateNumberOfMessagesNotVisibleInQuietGroups", **Q) == (1, 0, 0, 0)
        assert world.stats("ApproximateNumberOfMessagesDelayedInQuietGroups", **Q) == (1, 0, 0, 0)
        assert world.stats("ApproximateAgeOfOldestMessageInQuietGroups", **Q) == (1, 50, 50, 50)
        assert world.stats("ApproximateNumberOfNoisyGroups", QueueName="plain") is None

    with_queues(test)


def test_a_queue_that_is_gone_tells_nothing() -> None:
    """And takes no memory: its meter goes with it."""

    async def test(world: World) -> None:
        queue = world.make()
        await queue.send(Content("x"))
        world.queues.delete(queue)
        await world.pass_minute()
        assert world.stats("ApproximateNumberOfMessagesVisible", **Q) is None
        assert world.stats("NumberOfMessagesSent", **Q) == (1, 1, 1, 1)

    with_queues(test)
