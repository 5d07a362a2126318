"""The SQS mapping on virtual time, over the local cloud's own queues."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.clock import LoopClock, run_virtual
from localcloud.compute.event_source_sqs import SqsMapping, SqsMappingConfig
from localcloud.compute.functions import InvokeResult
from localcloud.compute.sqs_event import read_failures
from localcloud.services.lambda_.errors import LambdaError, throttled
from localcloud.services.sqs.message import AttributeValue, Content
from localcloud.services.sqs.model import Queue, Queues

Handler = Callable[[list[dict[str, Any]]], Awaitable[InvokeResult]]
OK = InvokeResult(200, b"null")
FAILED = InvokeResult(200, b"{}", "Unhandled")


class World:
    def __init__(self, queue: Queue, mapping: SqsMapping) -> None:
        self.queue = queue
        self.mapping = mapping

    async def send(self, *bodies: str) -> None:
        for body in bodies:
            await self.queue.send(Content(body))


@asynccontextmanager
async def world(handler: Handler, *, queue: dict[str, str] | None = None, **config: Any):
    loop = asyncio.get_running_loop()
    queues = Queues(clock=LoopClock(loop), rng=random.Random(3))
    made = queues.create("jobs", "us-east-1", attributes=queue or {}, tags={})

    async def invoke(payload: bytes, _batch: object) -> InvokeResult:
        return await handler(json.loads(payload)["Records"])

    mapping = SqsMapping(made, invoke, SqsMappingConfig(**config), rng=random.Random(5))
    task = asyncio.ensure_future(mapping.run())
    try:
        yield World(made, mapping)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_the_record_is_lambdas_to_the_letter() -> None:
    """Every field of a record, attributes and their checksum included."""
    seen: list[dict[str, Any]] = []

    async def keep(records: list[dict[str, Any]]) -> InvokeResult:
        seen.extend(records)
        return OK

    async def main() -> None:
        async with world(keep) as there:
            content = Content(
                "héllo",
                {"n": AttributeValue("Number", "1"), "b": AttributeValue("Binary", b"\x00\xff")},
                {"AWSTraceHeader": AttributeValue("String", "Root=1-a-b")},
            )
            await there.queue.send(content)
            await asyncio.sleep(1)

    run_virtual(main)
    record = seen[0]
    assert list(record) == [
        "messageId", "receiptHandle", "body", "attributes", "messageAttributes", "md5OfBody", "eventSource",
        "eventSourceARN", "awsRegion", "md5OfMessageAttributes",
    ]  # fmt: skip
    assert record["body"] == "héllo"
    assert record["md5OfBody"] == "be50e8478cf24ff3595bc7307fb91b50"
    assert set(record["attributes"]) == {
        "SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp", "AWSTraceHeader",
    }  # fmt: skip
    assert record["messageAttributes"] == {
        "n": {"stringValue": "1", "stringListValues": [], "binaryListValues": [], "dataType": "Number"},
        "b": {"binaryValue": "AP8=", "stringListValues": [], "binaryListValues": [], "dataType": "Binary"},
    }
    assert (record["eventSource"], record["eventSourceARN"], record["awsRegion"]) == (
        "aws:sqs",
        "arn:aws:sqs:us-east-1:123456789012:jobs",
        "us-east-1",
    )


def test_a_message_is_delivered_the_moment_it_is_sent() -> None:
    """No polling: on virtual time the delay from send to handler is nothing."""
    delays: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def note(records: list[dict[str, Any]]) -> InvokeResult:
            delays.append(loop.time() - float(records[0]["body"]))
            return OK

        async with world(note) as there:
            for wait_s in (0.0, 3.0, 45.0):
                await asyncio.sleep(wait_s)
                await there.send(str(loop.time()))
            await asyncio.sleep(0.001)

    run_virtual(main)
    assert [round(delay, 6) for delay in delays] == [0, 0, 0]


def test_what_succeeded_is_deleted() -> None:
    """After success nothing is in the queue, visible or in flight."""

    async def succeed(records: list[dict[str, Any]]) -> InvokeResult:
        return OK

    async def main() -> None:
        async with world(succeed) as there:
            await there.send(*map(str, range(25)))
            await asyncio.sleep(1)
            assert (there.queue.depth.visible, there.queue.depth.in_flight) == (0, 0)

    run_virtual(main)


def test_what_failed_comes_back_after_the_visibility_timeout_and_goes_to_the_dead_letters() -> None:
    """A function error leaves the batch hidden; the receive count leads to the dead-letter queue."""
    counts: list[str] = []
    times: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def fail(records: list[dict[str, Any]]) -> InvokeResult:
            counts.append(records[0]["attributes"]["ApproximateReceiveCount"])
            times.append(loop.time())
            return FAILED

        clock = LoopClock(loop)
        queues = Queues(clock=clock, rng=random.Random(3))
        dead = queues.create("dead", "us-east-1", attributes={}, tags={})
        policy = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 3})
        attributes = {"RedrivePolicy": policy, "VisibilityTimeout": "30"}
        queue = queues.create("jobs", "us-east-1", attributes=attributes, tags={})

        async def invoke(payload: bytes, _batch: object) -> InvokeResult:
            return await fail(json.loads(payload)["Records"])

        task = asyncio.ensure_future(SqsMapping(queue, invoke, SqsMappingConfig(), rng=random.Random(1)).run())
        await queue.send(Content("poison"))
        await asyncio.sleep(200)
        assert (dead.depth.visible, queue.depth.visible, queue.depth.in_flight) == (1, 0, 0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run_virtual(main)
    assert counts == ["1", "2", "3"]
    assert [round(moment) for moment in times] == [0, 30, 60]


def test_a_partial_report_deletes_the_rest() -> None:
    """Only what the function names stays."""
    rounds: list[list[str]] = []

    async def partly(records: list[dict[str, Any]]) -> InvokeResult:
        rounds.append(sorted(record["body"] for record in records))
        bad = [{"itemIdentifier": record["messageId"]} for record in records if record["body"] == "bad"]
        return InvokeResult(200, json.dumps({"batchItemFailures": bad}).encode())

    async def main() -> None:
        async with world(partly, report_failures=True, batch_size=10, window_s=1) as there:
            await there.send("a", "bad", "b")
            await asyncio.sleep(40)

    run_virtual(main)
    assert rounds == [["a", "b", "bad"], ["bad"]]


def test_a_report_counts_only_where_the_mapping_asks_for_it() -> None:
    """Without ReportBatchItemFailures the answer means nothing: the batch succeeded."""

    async def claims(records: list[dict[str, Any]]) -> InvokeResult:
        named = [{"itemIdentifier": record["messageId"]} for record in records]
        return InvokeResult(200, json.dumps({"batchItemFailures": named}).encode())

    async def main() -> None:
        async with world(claims) as there:
            await there.send("a")
            await asyncio.sleep(1)
            assert there.queue.depth.in_flight == 0

    run_virtual(main)


@pytest.mark.parametrize(
    ("answer", "failed"),
    [
        (b"", ""),
        (b"null", ""),
        (b"{}", ""),
        (b'{"batchItemFailures":null}', ""),
        (b'{"batchItemFailures":[]}', ""),
        (b'{"other":1}', ""),
        (b'{"batchItemFailures":[{"itemIdentifier":"a"}]}', "a"),
        (b'{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":"a"}]}', "a"),
        (b"{", "ab"),
        (b'"text"', "ab"),
        (b"[]", "ab"),
        (b'{"batchItemFailures":{}}', "ab"),
        (b'{"batchItemFailures":[{"itemIdentifier":""}]}', "ab"),
        (b'{"batchItemFailures":[{"itemIdentifier":null}]}', "ab"),
        (b'{"batchItemFailures":[{"wrong":"a"}]}', "ab"),
        (b'{"batchItemFailures":["a"]}', "ab"),
        (b'{"batchItemFailures":[{"itemIdentifier":"z"}]}', "ab"),
        (b'{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":"z"}]}', "ab"),
    ],
)
def test_how_an_answer_is_read(answer: bytes, failed: str) -> None:
    """Success, partial failure and complete failure as the documentation lists them."""
    assert read_failures(answer, ["a", "b"]) == frozenset(failed)


@given(st.binary(max_size=40), st.sets(st.text(min_size=1, max_size=3), max_size=3))
def test_no_answer_breaks_the_reader(answer: bytes, ids: set[str]) -> None:
    """Whatever bytes come, the failed ones are among the batch's own."""
    assert read_failures(answer, ids) <= ids


def test_a_batch_without_window_is_one_receive() -> None:
    """At most ten, and whatever is there at once."""
    sizes: list[int] = []

    async def note(records: list[dict[str, Any]]) -> InvokeResult:
        sizes.append(len(records))
        return OK

    async def main() -> None:
        async with world(note, batch_size=4) as there:
            await there.send(*"abcdefghij")
            await asyncio.sleep(1)

    run_virtual(main)
    assert sum(sizes) == 10
    assert max(sizes) == 4


def test_the_window_is_exact() -> None:
    """A batch goes when the window has passed since its first message, to the millisecond; or when it is full."""
    batches: list[tuple[float, int]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def note(records: list[dict[str, Any]]) -> InvokeResult:
            batches.append((round(loop.time(), 3), len(records)))
            return OK

        async with world(note, batch_size=100, window_s=5) as there:
            await asyncio.sleep(2)
            await there.send("first")
            await asyncio.sleep(4.9)
            await there.send("second")
            await asyncio.sleep(10)
            await there.send(*map(str, range(100)))
            await asyncio.sleep(0.001)

    run_virtual(main)
    assert batches == [(7.0, 2), (16.9, 100)]


def test_a_large_batch_gathers_over_several_receives() -> None:
    """Batch size 10,000 with a window takes thousands at once."""
    sizes: list[int] = []

    async def note(records: list[dict[str, Any]]) -> InvokeResult:
        sizes.append(len(records))
        return OK

    async def main() -> None:
        async with world(note, batch_size=10_000, window_s=10) as there:
            await there.send(*["x"] * 3000)
            await asyncio.sleep(60)

    run_virtual(main)
    assert sizes[0] >= 2990
    assert sum(sizes) == 3000


def test_a_batch_never_outgrows_six_megabytes() -> None:
    """Messages of 1 MB: five or so a batch, none lost."""
    sizes: list[int] = []

    async def note(records: list[dict[str, Any]]) -> InvokeResult:
        sizes.append(len(json.dumps(records)))
        return InvokeResult(200, b"null", "", b"", str(len(records)))

    async def main() -> None:
        async with world(note, batch_size=10, window_s=1) as there:
            await there.send(*["x" * 1_000_000] * 12)
            await asyncio.sleep(20)
            assert (there.queue.depth.visible, there.queue.depth.in_flight) == (0, 0)

    run_virtual(main)
    assert max(sizes) <= 6 * 1024 * 1024


def test_maximum_concurrency_is_held_and_messages_wait_in_the_queue() -> None:
    """Two at a time; what cannot run is not received, so nothing is throttled or counted."""
    peak = [0, 0]

    async def main() -> None:
        async def slow(records: list[dict[str, Any]]) -> InvokeResult:
            peak[0] += 1
            peak[1] = max(peak)
            await asyncio.sleep(10)
            peak[0] -= 1
            assert records[0]["attributes"]["ApproximateReceiveCount"] == "1"
            return OK

        async with world(slow, batch_size=1, max_concurrency=2) as there:
            await there.send(*"abcdefgh")
            await asyncio.sleep(5)
            assert (there.queue.depth.visible, there.queue.depth.in_flight) == (6, 2)
            await asyncio.sleep(60)
            assert there.queue.depth.visible == 0

    run_virtual(main)
    assert peak[1] == 2


def test_concurrency_begins_with_five_and_grows_while_all_are_busy() -> None:
    """Five at first, five more a second, up to the mapping's maximum."""

    async def slow(records: list[dict[str, Any]]) -> InvokeResult:
        await asyncio.sleep(25)
        return OK

    async def main() -> None:
        async with world(slow, batch_size=1, max_concurrency=12) as there:
            await there.send(*["x"] * 40)
            counts: list[int] = []
            for _ in range(4):
                await asyncio.sleep(0.9)
                counts.append(there.mapping.in_flight)
            assert counts == [5, 10, 12, 12]

    run_virtual(main)


def test_a_throttled_batch_is_tried_again_with_backoff() -> None:
    """429 is no failure of the message: the same batch runs once the function may."""
    tries: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def busy(records: list[dict[str, Any]]) -> InvokeResult:
            tries.append(loop.time())
            assert records[0]["attributes"]["ApproximateReceiveCount"] == "1"
            if len(tries) < 4:
                raise throttled("ReservedFunctionConcurrentInvocationLimitExceeded")
            return OK

        async with world(busy) as there:
            await there.send("a")
            await asyncio.sleep(29)
            assert there.queue.depth.in_flight == 0

    run_virtual(main)
    gaps = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert len(tries) == 4
    assert gaps == sorted(gaps)


def test_throttling_ends_with_the_visibility_timeout() -> None:
    """After it the message is the queue's again, received once more."""
    receives: list[str] = []

    async def never(records: list[dict[str, Any]]) -> InvokeResult:
        receives.append(records[0]["attributes"]["ApproximateReceiveCount"])
        raise throttled("ConcurrentInvocationLimitExceeded")

    async def main() -> None:
        async with world(never) as there:
            await there.send("a")
            await asyncio.sleep(100)

    run_virtual(main)
    assert set(receives) >= {"1", "2", "3"}


def test_an_invocation_that_breaks_leaves_the_mapping_alive() -> None:
    """An error of the local cloud itself costs that delivery only."""
    calls = [0]

    async def breaks(records: list[dict[str, Any]]) -> InvokeResult:
        calls[0] += 1
        if calls[0] == 1:
            raise RuntimeError("lost")
        if calls[0] == 2:
            raise LambdaError("ServiceException", "x", 500)
        return OK

    async def main() -> None:
        async with world(breaks) as there:
            await there.send("a")
            await asyncio.sleep(61)
            assert there.queue.depth.in_flight == 0

    run_virtual(main)
    assert calls == [3]


def test_errors_lower_the_concurrency_and_successes_raise_it() -> None:
    """Without item failures reported, failing batches are run fewer at a time."""
    busy = [0, 0]
    failing = [True]

    async def main() -> None:
        async def handler(records: list[dict[str, Any]]) -> InvokeResult:
            busy[0] += 1
            busy[1] = max(busy)
            await asyncio.sleep(0.5)
            busy[0] -= 1
            return FAILED if failing[0] else OK

        async with world(handler, batch_size=1) as there:
            await there.send(*["x"] * 20)
            await asyncio.sleep(10)
            busy[1] = 0
            await there.send(*["x"] * 4)
            await asyncio.sleep(0.9)
            assert busy[1] < 5
            failing[0] = False
            await asyncio.sleep(200)
            assert there.queue.depth.visible == 0

    run_virtual(main)


def test_the_mapping_ends_with_its_queue() -> None:
    """A deleted queue ends `run`, without an error."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        queues = Queues(clock=LoopClock(loop), rng=random.Random(3))
        queue = queues.create("jobs", "us-east-1", attributes={}, tags={})

        async def invoke(payload: bytes, _batch: object) -> InvokeResult:
            return OK

        mapping = SqsMapping(queue, invoke, SqsMappingConfig(), rng=random.Random(1))
        task = asyncio.ensure_future(mapping.run())
        await asyncio.sleep(1)
        queues.delete(queue)
        await asyncio.wait_for(task, 30)

    run_virtual(main)
