"""The metrics of EventCount: what a mapping from a queue polled, filtered, handed over, failed with and deleted."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.compute.event_source_sqs import SqsMapping, SqsMappingConfig
from localcloud.compute.functions import InvokeResult
from localcloud.compute.mappings.event_counts import CountedInvoke, CountedQueue, EventCounts, asks_for_counts
from localcloud.services.lambda_.errors import throttled
from localcloud.services.sqs.message import Content, Message
from localcloud.services.sqs.model import Queues


class Sums:
    """A sink that adds up."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}

    def put(self, namespace: str, name: str, value: float, *, dimensions: Mapping[str, str], unit: str) -> None:
        assert (namespace, dict(dimensions), unit) == ("AWS/Lambda", {"EventSourceMappingUUID": "id"}, "Count")
        self.sums[name] = self.sums.get(name, 0.0) + value


class WithKey:
    """A filter that wants messages with a `k`."""

    def keep(self, record: Mapping[str, object]) -> bool:
        return '"k"' in str(record["body"])


async def answer(payload: bytes, batch: Sequence[Message]) -> InvokeResult:
    """Messages that say "bad" fail; one that says "busy" is throttled the first time."""
    if any(message.body == '{"k":"busy"}' for message in batch) and not BUSY:
        BUSY.append(True)
        raise throttled("ConcurrentInvocationLimitExceeded")
    bad = [message.message_id for message in batch if message.body == '{"k":"bad"}']
    return InvokeResult(200, json.dumps({"batchItemFailures": [{"itemIdentifier": each} for each in bad]}).encode())


BUSY: list[bool] = []


def sums_of(*bodies: str) -> dict[str, float]:
    """What was counted of messages, each taken by a mapping that wants those with a `k`."""
    BUSY.clear()
    sums = Sums()

    async def main() -> None:
        queues = Queues(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(1))
        queue = queues.create("q", "us-east-1", attributes={"VisibilityTimeout": "3600"}, tags={})
        for body in bodies:
            await queue.send(Content(body))
        counts = EventCounts(sums, "id")
        mapping = SqsMapping(
            CountedQueue(queue, counts),
            CountedInvoke(answer, counts, reports=True),
            SqsMappingConfig(report_failures=True),
            criteria=WithKey(),
            rng=random.Random(2),
        )
        async with asyncio.TaskGroup() as group:
            task = group.create_task(mapping.run())
            await asyncio.sleep(30)
            task.cancel()

    run_virtual(main)
    return sums.sums


def test_each_event_is_counted_where_it_went() -> None:
    """What no filter wants is filtered out and not deleted; what failed is not deleted either."""
    assert sums_of('{"k":"a"}', '{"k":"bad"}', '{"other":1}', '{"k":"b"}') == {
        "PolledEventCount": 4.0,
        "FilteredOutEventCount": 1.0,
        "InvokedEventCount": 3.0,
        "FailedInvokeEventCount": 1.0,
        "DeletedEventCount": 2.0,
    }


def test_a_throttled_attempt_failed_and_the_next_is_another() -> None:
    """Events are counted as often as the function was to see them."""
    assert sums_of('{"k":"busy"}') == {
        "PolledEventCount": 1.0,
        "InvokedEventCount": 2.0,
        "FailedInvokeEventCount": 1.0,
        "DeletedEventCount": 1.0,
    }


@pytest.mark.parametrize(
    ("members", "asks"),
    [({}, False), ({"MetricsConfig": {}}, False), ({"MetricsConfig": {"Metrics": ["EventCount"]}}, True)],
    ids=["none", "empty", "asked"],
)
def test_only_who_asks_is_counted(members: dict[str, Any], asks: bool) -> None:
    """By MetricsConfig."""
    assert asks_for_counts(members) is asks
