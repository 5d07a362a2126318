"""The SQS mapping under seeded faults, on virtual time: nothing is lost, and a group's order is kept.

A run has a producer, a mapping and a function. By the seed the function fails, fails in part, is throttled, is killed
in the middle of a batch, or the mapping itself is killed and begun again. The function is one that keeps order: it
handles its batch one by one and, of each group, stops at the first failure and reports the rest of the group.
"""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.compute.event_source_sqs import SqsMapping, SqsMappingConfig
from localcloud.compute.functions import InvokeResult
from localcloud.services.lambda_.errors import LambdaError, throttled
from localcloud.services.sqs.message import Content
from localcloud.services.sqs.model import Queue, Queues
from sluiceway.rules.criteria import FilterCriteria

MESSAGES = 120
GROUPS = "abcdef"
MAX_RECEIVES = 12
VISIBILITY_S = 30


@dataclass
class Run:
    """One seed's run: who failed how, and what was handled when."""

    rng: random.Random
    fifo: bool
    reports: bool
    handled: list[str] = field(default_factory=list[str])
    running: int = 0
    peak: int = 0
    faults: int = 0

    async def invoke(self, payload: bytes, _batch: object) -> InvokeResult:
        """The function's environment: throttled, killed, or at work."""
        self._maybe_refuse()
        self.running += 1
        self.peak = max(self.peak, self.running)
        try:
            return await self._work(json.loads(payload)["Records"])
        finally:
            self.running -= 1

    def _maybe_refuse(self) -> None:
        chance = self.rng.random()
        if chance < 0.1:
            self.faults += 1
            raise throttled("ConcurrentInvocationLimitExceeded")
        if chance < 0.15:
            self.faults += 1
            raise LambdaError("ServiceException", "the environment was killed", 500)

    async def _work(self, records: list[dict[str, Any]]) -> InvokeResult:
        failed: list[str] = []
        broken: set[str] = set()
        for record in records:
            await asyncio.sleep(self.rng.random() * 0.5)
            if self.rng.random() < 0.03:
                self.faults += 1
                return InvokeResult(200, b"{}", "Unhandled")  # killed here: the batch fails whole
            group = record["attributes"].get("MessageGroupId", record["messageId"])
            if group in broken or self.rng.random() < 0.12:
                self.faults += 1
                if not self.reports:
                    return InvokeResult(200, b"{}", "Unhandled")
                broken.add(group)
                failed.append(record["messageId"])
                continue
            self.handled.append(record["body"])
        report = {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
        return InvokeResult(200, json.dumps(report).encode())


async def produce(queue: Queue, rng: random.Random) -> list[str]:
    """Send messages in bursts; each is `{"group":..,"number":..}`, and every tenth is unwanted by the filters."""
    sent: list[str] = []
    for number in range(MESSAGES):
        group = rng.choice(GROUPS)
        wanted = number % 10 != 9
        body = json.dumps({"group": group, "number": number, "wanted": wanted})
        await queue.send(Content(body, group_id=group if queue.is_fifo or rng.random() < 0.5 else ""))
        if wanted:
            sent.append(body)
        if rng.random() < 0.2:
            await asyncio.sleep(rng.random() * 10)
    return sent


def make_queues(rng: random.Random, *, fifo: bool) -> tuple[Queue, Queue]:
    suffix, common = ("", {}) if not fifo else (".fifo", {"FifoQueue": "true", "ContentBasedDeduplication": "true"})
    queues = Queues(clock=LoopClock(asyncio.get_running_loop()), rng=rng)
    dead = queues.create(f"dead{suffix}", "us-east-1", attributes=common, tags={})
    policy = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": MAX_RECEIVES})
    attributes = {**common, "RedrivePolicy": policy, "VisibilityTimeout": str(VISIBILITY_S)}
    return queues.create(f"jobs{suffix}", "us-east-1", attributes=attributes, tags={}), dead


def config_of(rng: random.Random, *, fifo: bool, reports: bool) -> SqsMappingConfig:
    scaling: dict[str, int] = rng.choice([{}, {"max_concurrency": 3}, {"minimum_pollers": 2, "maximum_pollers": 3}])
    batch: dict[str, Any] = {"batch_size": rng.choice([1, 3, 10])}
    if not fifo and rng.random() < 0.5:
        batch = {"batch_size": rng.choice([5, 25]), "window_s": rng.choice([0.5, 3.0])}
    return SqsMappingConfig(report_failures=reports, **scaling, **batch)


async def keep_alive(mapping: SqsMapping, rng: random.Random, lives: int) -> None:
    """Run the mapping; kill it `lives` times in the middle of whatever it does, once stop it in order, and go on."""
    for life in range(lives):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(mapping.run())
            await asyncio.sleep(5 + rng.random() * 20)
            if life:
                task.cancel()
            else:
                await mapping.stop()
    await mapping.run()


async def drain(dead: Queue) -> list[str]:
    found: list[str] = []
    while messages := await dead.receive(10):
        for message in messages:
            found.append(message.body)
            await dead.delete(message.receipt_handle)
    return found


@pytest.mark.parametrize("reports", [True, False])
@pytest.mark.parametrize("fifo", [True, False])
@pytest.mark.parametrize("seed", range(12))
def test_every_message_is_handled_or_dead_and_groups_stay_in_order(seed: int, fifo: bool, reports: bool) -> None:
    """All that was wanted is handled at least once or is a dead letter; nothing else is ever seen.

    From a FIFO queue the first handling of each message comes after that of those before it in its group, dead ones
    apart.
    """
    rng = random.Random(f"{seed}-{fifo}-{reports}")
    run = Run(random.Random(rng.random()), fifo, reports)
    outcome: dict[str, list[str]] = {}

    async def main() -> None:
        queue, dead = make_queues(rng, fifo=fifo)
        criteria = FilterCriteria("sqs", [{"Pattern": '{"body": {"wanted": [true]}}'}])
        config = config_of(rng, fifo=fifo, reports=reports)
        mapping = SqsMapping(queue, run.invoke, config, rng=rng, criteria=criteria)
        async with asyncio.TaskGroup() as group:
            alive = group.create_task(keep_alive(mapping, rng, rng.randint(0, 3)))
            outcome["sent"] = await produce(queue, rng)
            await asyncio.sleep(VISIBILITY_S * MAX_RECEIVES * MESSAGES / 4)
            depth = queue.depth
            assert (depth.visible, depth.in_flight, depth.delayed) == (0, 0, 0)
            alive.cancel()
        outcome["dead"] = await drain(dead)

    run_virtual(main)
    sent, dead = outcome["sent"], set(outcome["dead"])
    first = list(dict.fromkeys(run.handled))
    assert set(first) | dead == set(sent)
    assert run.faults > 3
    if fifo:
        for group in GROUPS:
            of_group = [body for body in sent if json.loads(body)["group"] == group]
            assert [body for body in first if body in of_group and body not in dead] == [
                body for body in of_group if body not in dead
            ]
