"""Tasks and processes race for one key on the local DynamoDB over HTTP: one winner each round, one result for all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from sluiceway.aws.idempotency import DynamoDbIdempotencyStore
from sluiceway.aws.wire import Wire
from sluiceway.idempotency import Fresh, Guard, InProgress, Options, Replayed
from tests.contract.idempotency_tables import TABLE, serve_local
from tests.local.racing import race_processes
from tests.unit.wire_server import environ

pytestmark = pytest.mark.local

ROUNDS = 20
TASKS = 64
PROCESSES = 8


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The local cloud's DynamoDB on a real socket."""
    with serve_local() as address:
        yield address


async def race(store: DynamoDbIdempotencyStore, key: str) -> list[Any]:
    """What the tasks of one process come to when all want one key at once."""
    guard: Guard[int] = Guard("tasks", key="id", options=Options())
    runs: list[int] = []

    async def work() -> int:
        runs.append(len(runs) + 1)
        await asyncio.sleep(0.001)
        return runs[-1]

    async with asyncio.TaskGroup() as tasks:
        racing = [tasks.create_task(guard.run({"id": key}, work, store=store)) for _ in range(TASKS)]
    assert runs == [1]
    return [task.result() for task in racing]


async def test_of_many_tasks_one_works(url: str) -> None:
    """64 tasks over as many connections as they need: one is fresh, all others are in progress or replayed."""
    async with Wire.open(environ(AWS_ENDPOINT_URL=url)) as wire:
        store = DynamoDbIdempotencyStore(wire, TABLE)
        for number in range(ROUNDS):
            outcomes = await race(store, f"t{number}")
            assert [each for each in outcomes if isinstance(each, Fresh)] == [Fresh(1)]
            others = [each for each in outcomes if not isinstance(each, Fresh)]
            assert all(isinstance(each, InProgress) or each == Replayed(1) for each in others)


async def test_of_many_processes_one_works_and_all_get_its_result(url: str) -> None:
    """Eight processes wait for one another: one is fresh, seven replay what it gave."""
    await race_processes([environ(AWS_ENDPOINT_URL=url, IDEMPOTENCY_TABLE=TABLE)] * PROCESSES, rounds=ROUNDS)
