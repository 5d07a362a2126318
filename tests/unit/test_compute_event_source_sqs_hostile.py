"""The SQS mapping in bad company: long queues, handles that expire at once, throttling without end, on virtual time."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.compute.event_source_sqs import SqsMapping, SqsMappingConfig
from localcloud.compute.functions import InvokeResult
from localcloud.services.lambda_.errors import throttled
from localcloud.services.sqs import holding
from localcloud.services.sqs.errors import SqsError
from localcloud.services.sqs.message import Content, Message
from localcloud.services.sqs.model import Queue, Queues
from localcloud.services.sqs.waiters import Waiters
from sluiceway.rules.criteria import FilterCriteria

Handler = Callable[[list[dict[str, Any]]], Awaitable[InvokeResult]]
OK = InvokeResult(200, b"null")
NONE = FilterCriteria("sqs", [{"Pattern": '{"body": {"kind": ["none"]}}'}])
MAX_RECEIVES = 100  # of a queue that is asked far more often than it should be


class Watched:
    """A queue that ends a mapping which asks too often, and may break or refuse deletes."""

    def __init__(self, queue: Queue, *, breaks: int = 0) -> None:
        self.arn = queue.arn
        self.queue = queue
        self.receives = 0
        self.breaks = breaks

    @property
    def attributes(self) -> Mapping[str, str]:
        return self.queue.attributes

    async def receive(
        self, max_messages: int = 1, *, wait_s: float | None = None, visibility_s: int | None = None
    ) -> list[Message]:
        self.receives += 1
        if self.receives <= self.breaks:
            raise OSError("no space left")
        if self.receives > MAX_RECEIVES:
            raise SqsError("QueueDoesNotExist", "enough")
        return await self.queue.receive(max_messages, wait_s=wait_s, visibility_s=visibility_s)

    async def delete(self, receipt_handle: str) -> None:
        await self.queue.delete(receipt_handle)


def make_queue(name: str = "jobs", **attributes: str) -> Queue:
    queues = Queues(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(3))
    fifo = {"FifoQueue": "true", "ContentBasedDeduplication": "true"} if name.endswith(".fifo") else {}
    return queues.create(name, "us-east-1", attributes={**fifo, **attributes}, tags={})


@asynccontextmanager
async def mapped(queue: Any, handler: Handler, *, criteria: Any = None, **config: Any) -> AsyncGenerator[SqsMapping]:
    async def invoke(payload: bytes, batch: Sequence[Message]) -> InvokeResult:
        assert batch
        return await handler(json.loads(payload)["Records"])

    mapping = SqsMapping(queue, invoke, SqsMappingConfig(**config), rng=random.Random(5), criteria=criteria)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(mapping.run())
        yield mapping
        task.cancel()


async def succeed(_records: list[dict[str, Any]]) -> InvokeResult:
    return OK


async def count_turns(until: Callable[[], bool]) -> int:
    """How often another task had its turn before `until`."""
    turns = 0
    while not until():
        turns += 1
        assert turns < 10_000
        await asyncio.sleep(0)
    return turns


def test_others_have_their_turn_while_a_long_queue_is_dropped() -> None:
    """A filter that wants nothing of a thousand messages stops the loop for ten of them at most."""

    async def main() -> None:
        queue = make_queue()
        async with mapped(queue, succeed, criteria=NONE):
            for _ in range(1000):
                await queue.send(Content('{"kind": "other"}'))
            assert await count_turns(lambda: queue.depth.visible + queue.depth.in_flight == 0) >= 100

    run_virtual(main)


def test_others_have_their_turn_while_a_large_batch_is_gathered_and_deleted() -> None:
    """A batch of a thousand takes a hundred receives and a hundred batches of deletes, with a pause between each."""

    async def main() -> None:
        queue = make_queue()
        async with mapped(queue, succeed, batch_size=1000, window_s=5):
            for _ in range(1000):
                await queue.send(Content("x"))
            assert await count_turns(lambda: queue.depth.visible == 0) >= 99
            assert await count_turns(lambda: queue.depth.in_flight == 0) >= 99

    run_virtual(main)


def test_a_dropped_message_that_cannot_be_deleted_is_not_asked_for_without_end() -> None:
    """A FIFO queue without a visibility timeout refuses the delete and gives the message again: once a second."""

    async def main() -> None:
        queue = Watched(make_queue("jobs.fifo", VisibilityTimeout="0"))
        async with mapped(queue, succeed, criteria=NONE) as mapping:
            await queue.queue.send(Content("x", group_id="g"))
            await asyncio.sleep(10.5)
            assert 10 <= queue.receives <= 12
            assert mapping.last_result == "No records processed"

    run_virtual(main)


def test_a_queue_that_breaks_is_asked_again() -> None:
    """Whatever the receive raised, the mapping tells it and goes on a second later."""

    async def main() -> None:
        queue = Watched(make_queue(), breaks=3)
        async with mapped(queue, succeed) as mapping:
            await queue.queue.send(Content("x"))
            await asyncio.sleep(1.5)
            assert mapping.last_result == "PROBLEM: Lambda internal error"
            await asyncio.sleep(2)
            assert (mapping.last_result, queue.queue.depth.in_flight) == ("OK", 0)

    run_virtual(main)


def test_a_throttled_batch_is_let_go_when_the_mapping_stops() -> None:
    """Nothing of it has reached the function: a stop waits for no second try, however long its messages are hidden."""

    async def main() -> None:
        async def refuse(_records: list[dict[str, Any]]) -> InvokeResult:
            raise throttled("ReservedFunctionConcurrentInvocationLimitExceeded")

        queue = make_queue(VisibilityTimeout="43200")
        async with mapped(queue, refuse) as mapping:
            await queue.send(Content("x"))
            await asyncio.sleep(100)
            await mapping.stop()
            assert (asyncio.get_running_loop().time(), queue.depth.in_flight) == (100, 1)

    run_virtual(main)


def test_the_parts_of_a_large_batch_that_were_not_handed_over_are_left_when_the_mapping_stops() -> None:
    """Ten FIFO messages of one MiB are two events: the one that runs ends, the other one does not begin."""
    seen: list[int] = []

    async def main() -> None:
        async def slow(records: list[dict[str, Any]]) -> InvokeResult:
            seen.append(len(records))
            await asyncio.sleep(5)
            return OK

        queue = make_queue("jobs.fifo")
        async with mapped(queue, slow) as mapping:
            for number in range(10):
                await queue.send(Content(str(number) + "x" * 1_000_000, group_id="g"))
            await asyncio.sleep(1)
            await mapping.stop()
            assert (asyncio.get_running_loop().time(), queue.depth.in_flight) == (5, 10 - seen[0])

    run_virtual(main)
    assert len(seen) == 1


def test_receives_that_wait_at_the_most_in_flight_wake_each_other_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two long polls of a queue that may give no more wait for a delete, though a message is visible."""
    monkeypatch.setattr(holding, "MAX_IN_FLIGHT", 1)
    waits = 0
    wait = Waiters.wait

    async def counted(self: Waiters, deadline: float) -> None:
        nonlocal waits
        waits += 1
        assert waits < MAX_RECEIVES
        await wait(self, deadline)

    monkeypatch.setattr(Waiters, "wait", counted)

    async def main() -> None:
        queue = make_queue()
        await queue.send(Content("first"))
        (first,) = await queue.receive()
        async with asyncio.TaskGroup() as group:
            polls = [group.create_task(queue.receive(wait_s=20)) for _ in range(2)]
            await asyncio.sleep(1)
            await queue.send(Content("second"))
            await asyncio.sleep(1)
            assert [poll.done() for poll in polls] == [False, False]
            await queue.delete(first.receipt_handle)
        assert sorted(message.body for poll in polls for message in poll.result()) == ["second"]

    run_virtual(main)
