"""The mapping from a FIFO queue, on virtual time over the local cloud's own queues."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.compute.event_source_sqs import SqsMapping, SqsMappingConfig
from localcloud.compute.functions import InvokeResult
from localcloud.services.lambda_.errors import throttled
from localcloud.services.sqs.message import Content
from localcloud.services.sqs.model import Queue, Queues
from sluiceway.errors import Misconfigured

Handler = Callable[[list[dict[str, Any]]], Awaitable[InvokeResult]]
OK = InvokeResult(200, b"null")
FAILED = InvokeResult(200, b"{}", "Unhandled")


async def send(queue: Queue, *bodies: str) -> None:
    """Send messages such as "a1": the letter is the group."""
    for body in bodies:
        await queue.send(Content(body, group_id=body[0]))


def bodies(records: list[dict[str, Any]]) -> list[str]:
    return [record["body"] for record in records]


def failing(records: list[dict[str, Any]], *names: str) -> InvokeResult:
    """The report that these failed."""
    named = [{"itemIdentifier": record["messageId"]} for record in records if record["body"] in names]
    return InvokeResult(200, json.dumps({"batchItemFailures": named}).encode())


@asynccontextmanager
async def world(handler: Handler, *, queue: dict[str, str] | None = None, **config: Any):
    queues = Queues(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(3))
    attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true", **(queue or {})}
    made = queues.create("jobs.fifo", "us-east-1", attributes=attributes, tags={})

    async def invoke(payload: bytes, _batch: object) -> InvokeResult:
        return await handler(json.loads(payload)["Records"])

    mapping = SqsMapping(made, invoke, SqsMappingConfig(**config), rng=random.Random(5))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(mapping.run())
        yield made, mapping
        task.cancel()


def test_the_record_tells_group_number_and_deduplication_id() -> None:
    """The attributes of Lambda's example of a FIFO event."""
    seen: list[dict[str, Any]] = []

    async def keep(records: list[dict[str, Any]]) -> InvokeResult:
        seen.extend(records)
        return OK

    async def main() -> None:
        async with world(keep) as (queue, _):
            await send(queue, "a1")
            await asyncio.sleep(1)

    run_virtual(main)
    assert set(seen[0]["attributes"]) == {
        "ApproximateReceiveCount", "SentTimestamp", "SequenceNumber", "MessageGroupId", "SenderId",
        "MessageDeduplicationId", "ApproximateFirstReceiveTimestamp",
    }  # fmt: skip
    assert len(seen[0]["attributes"]["SequenceNumber"]) == 20


def test_a_message_is_handled_the_moment_it_may_be() -> None:
    """When it is sent, or when the one before it in its group is done: nothing polls."""
    seen: list[tuple[float, str]] = []

    async def main() -> None:
        async def slow(records: list[dict[str, Any]]) -> InvokeResult:
            seen.extend((asyncio.get_running_loop().time(), body) for body in bodies(records))
            await asyncio.sleep(3)
            return OK

        async with world(slow) as (queue, _):
            for wait_s, body in ((33.5, "a1"), (1, "a2"), (0.25, "b1")):
                await asyncio.sleep(wait_s)
                await send(queue, body)
            await asyncio.sleep(10)

    run_virtual(main)
    assert seen == [(33.5, "a1"), (34.75, "b1"), (36.5, "a2")]


def test_as_many_invocations_run_as_groups_have_messages() -> None:
    """Eight groups with a backlog each: eight at a time from the start, one a group, each group in its order."""
    seen: dict[str, list[str]] = {}
    running: list[str] = []
    peak = 0

    async def slow(records: list[dict[str, Any]]) -> InvokeResult:
        nonlocal peak
        groups = {body[0] for body in bodies(records)}
        assert not groups & set(running)
        running.extend(groups)
        peak = max(peak, len(running))
        await asyncio.sleep(3)
        for body in bodies(records):
            seen.setdefault(body[0], []).append(body)
        for group in groups:
            running.remove(group)
        return OK

    async def main() -> None:
        async with world(slow, batch_size=2) as (queue, mapping):
            for number in range(1, 7):
                await send(queue, *(f"{group}{number}" for group in "abcdefgh"))
            await asyncio.sleep(1)
            assert mapping.in_flight == 8
            await asyncio.sleep(8)

    run_virtual(main)
    assert peak == 8
    assert seen == {group: [f"{group}{number}" for number in range(1, 7)] for group in "abcdefgh"}


def test_maximum_concurrency_holds_below_the_number_of_groups() -> None:
    """Four groups and a maximum of two: two at a time; the others' messages are not received."""
    counts: list[int] = []

    async def main() -> None:
        async def slow(records: list[dict[str, Any]]) -> InvokeResult:
            await asyncio.sleep(5)
            return OK

        async with world(slow, batch_size=1, max_concurrency=2) as (queue, mapping):
            await send(queue, "a1", "b1", "c1", "d1")
            for _ in range(3):
                await asyncio.sleep(2)
                counts.append(mapping.in_flight)
                assert queue.depth.in_flight == mapping.in_flight
            await asyncio.sleep(20)

    run_virtual(main)
    assert counts == [2, 2, 2]


def test_a_failed_batch_comes_again_before_anything_else_of_its_groups() -> None:
    """After a function error the whole batch, in order, at the visibility timeout; other groups go on meanwhile."""
    seen: list[tuple[float, list[str]]] = []

    async def main() -> None:
        async def handler(records: list[dict[str, Any]]) -> InvokeResult:
            seen.append((asyncio.get_running_loop().time(), bodies(records)))
            return FAILED if len(seen) == 1 else OK

        async with world(handler, queue={"VisibilityTimeout": "30"}) as (queue, _):
            await send(queue, "a1", "a2")
            await asyncio.sleep(1)
            await send(queue, "a3", "b1")
            await asyncio.sleep(60)
            assert queue.depth.visible + queue.depth.in_flight == 0

    run_virtual(main)
    (first, again) = [entry for entry in seen if "a1" in entry[1]]
    assert (first[1], again) == (["a1", "a2"], (30.0, ["a1", "a2", "a3"]))
    assert (1.0, ["b1"]) in seen


def test_a_report_deletes_what_it_does_not_name() -> None:
    """Lambda does not mend a function that goes on after a failure: a2 is deleted, a1 comes again after it."""
    seen: list[list[str]] = []

    async def main() -> None:
        async def careless(records: list[dict[str, Any]]) -> InvokeResult:
            seen.append(bodies(records))
            return failing(records, "a1") if len(seen) == 1 else OK

        queues = Queues(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(3))
        attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
        queue = queues.create("jobs.fifo", "us-east-1", attributes=attributes, tags={})
        await send(queue, "a1", "a2", "a3")

        async def invoke(payload: bytes, _batch: object) -> InvokeResult:
            return await careless(json.loads(payload)["Records"])

        mapping = SqsMapping(queue, invoke, SqsMappingConfig(report_failures=True), rng=random.Random(5))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(mapping.run())
            await asyncio.sleep(40)
            task.cancel()

    run_virtual(main)
    assert seen == [["a1", "a2", "a3"], ["a1"]]


def test_a_function_that_stops_at_the_first_failure_keeps_the_order() -> None:
    """It reports the failed message and those after it: they come again together, in order."""
    handled: list[str] = []
    tries = 0

    async def main() -> None:
        async def careful(records: list[dict[str, Any]]) -> InvokeResult:
            nonlocal tries
            tries += 1
            names = bodies(records)
            broken = names.index("a2") if tries == 1 else len(names)
            handled.extend(names[:broken])
            return failing(records, *names[broken:])

        queues = Queues(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(3))
        attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
        queue = queues.create("jobs.fifo", "us-east-1", attributes=attributes, tags={})
        await send(queue, "a1", "a2", "a3")

        async def invoke(payload: bytes, _batch: object) -> InvokeResult:
            return await careful(json.loads(payload)["Records"])

        mapping = SqsMapping(queue, invoke, SqsMappingConfig(report_failures=True), rng=random.Random(5))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(mapping.run())
            await asyncio.sleep(1)
            await send(queue, "a4")
            await asyncio.sleep(40)
            task.cancel()

    run_virtual(main)
    assert handled == ["a1", "a2", "a3", "a4"]


@pytest.mark.parametrize("fails", [False, True])
def test_a_batch_too_large_for_one_event_is_invoked_in_order_and_not_beyond_a_failure(fails: bool) -> None:
    """Ten messages of 1 MB: six megabytes first, the rest when that is done; of a group that failed, nothing."""
    seen: list[list[str]] = []

    async def main() -> None:
        async def handler(records: list[dict[str, Any]]) -> InvokeResult:
            seen.append([body[:2] for body in bodies(records)])
            await asyncio.sleep(2)
            return FAILED if fails and len(seen) == 1 else OK

        queues = Queues(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(3))
        attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true", "VisibilityTimeout": "60"}
        queue = queues.create("jobs.fifo", "us-east-1", attributes=attributes, tags={})
        large = "x" * 1_000_000
        await send(queue, *(f"a{number}{large}" for number in range(8)), f"b0{large}", f"b1{large}")

        async def invoke(payload: bytes, _batch: object) -> InvokeResult:
            assert len(payload) <= 6 * 1024 * 1024
            return await handler(json.loads(payload)["Records"])

        mapping = SqsMapping(queue, invoke, SqsMappingConfig(), rng=random.Random(5))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(mapping.run())
            await asyncio.sleep(30)
            assert mapping.in_flight == 0
            task.cancel()

    run_virtual(main)
    whole = [["a0", "a1", "a2", "a3", "a4", "a5"], ["a6", "a7", "b0", "b1"]]
    assert seen == ([whole[0], ["b0", "b1"]] if fails else whole)


def test_what_is_left_of_a_large_batch_is_not_invoked_once_it_is_visible_again() -> None:
    """The first part outlives the visibility timeout: all comes again as a new batch, and the old rest is let be."""
    seen: list[tuple[float, int]] = []

    async def main() -> None:
        async def handler(records: list[dict[str, Any]]) -> InvokeResult:
            seen.append((asyncio.get_running_loop().time(), len(records)))
            await asyncio.sleep(15 if len(seen) == 1 else 1)
            return OK

        queues = Queues(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(3))
        attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true", "VisibilityTimeout": "10"}
        queue = queues.create("jobs.fifo", "us-east-1", attributes=attributes, tags={})
        await send(queue, *(f"a{number}{'x' * 1_000_000}" for number in range(8)))

        async def invoke(payload: bytes, _batch: object) -> InvokeResult:
            return await handler(json.loads(payload)["Records"])

        mapping = SqsMapping(queue, invoke, SqsMappingConfig(), rng=random.Random(5))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(mapping.run())
            await asyncio.sleep(40)
            task.cancel()

    run_virtual(main)
    assert seen == [(0, 6), (10, 6), (11, 2)]


def test_a_throttled_batch_holds_only_its_own_groups_up() -> None:
    """While group a is tried again, group b is handled; a's order stays."""
    seen: list[list[str]] = []

    async def main() -> None:
        async def handler(records: list[dict[str, Any]]) -> InvokeResult:
            if "a1" in bodies(records) and asyncio.get_running_loop().time() < 5:
                raise throttled("ReservedFunctionConcurrentInvocationLimitExceeded")
            seen.append(bodies(records))
            return OK

        async with world(handler, max_concurrency=10) as (queue, _):
            await send(queue, "a1")
            await asyncio.sleep(0.1)
            await send(queue, "a2")
            await asyncio.sleep(12)
            await send(queue, "b1")
            await asyncio.sleep(15)

    run_virtual(main)
    assert seen == [["a1"], ["a2"], ["b1"]]


def test_a_handle_that_has_expired_costs_that_delete_only() -> None:
    """A function slower than the visibility timeout: its delete is refused, the batch is handled again, all is well."""
    seen: list[list[str]] = []
    told: list[str] = []

    async def main() -> None:
        async def slow(records: list[dict[str, Any]]) -> InvokeResult:
            seen.append(bodies(records))
            await asyncio.sleep(15 if len(seen) == 1 else 8)
            return OK

        async with world(slow, queue={"VisibilityTimeout": "10"}) as (queue, mapping):
            await send(queue, "a1")
            await asyncio.sleep(16)
            told.append(mapping.last_result)
            assert queue.depth.in_flight == 1
            await asyncio.sleep(20)
            assert (queue.depth.visible, queue.depth.in_flight) == (0, 0)

    run_virtual(main)
    assert (seen, told) == ([["a1"], ["a1"]], ["OK"])


@pytest.mark.parametrize(
    "config",
    [
        {"window_s": 1},
        {"batch_size": 11},
        {"max_concurrency": 2, "minimum_pollers": 2},
        {"max_concurrency": 2, "maximum_pollers": 2},
    ],
)
def test_what_lambda_takes_from_nobody_is_refused(config: dict[str, Any]) -> None:
    """A FIFO queue has no batching window and no batch over ten; provisioned mode has no maximum concurrency."""

    async def main() -> None:
        with pytest.raises(Misconfigured):
            async with world(lambda _: asyncio.sleep(0, OK), **config):
                pass

    run_virtual(main)
