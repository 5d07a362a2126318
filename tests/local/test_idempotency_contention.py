"""Tasks and processes race for one key on the local DynamoDB over HTTP: one winner each round, one result for all."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sluiceway.aws.idempotency import DynamoDbIdempotencyStore
from sluiceway.aws.wire import Wire
from sluiceway.idempotency import Fresh, Guard, InProgress, Options, Replayed
from tests.contract.idempotency_tables import TABLE, serve_local
from tests.unit.wire_server import environ

pytestmark = pytest.mark.local

ROUNDS = 20
TASKS = 64
PROCESSES = 8
RACER = """
import asyncio, json, os, sys
sys.path[:0] = json.loads(sys.argv[1])
from sluiceway.aws.idempotency import DynamoDbIdempotencyStore
from sluiceway.aws.wire import Wire
from sluiceway.idempotency import Guard, Options

async def main():
    guard = Guard("race", key="id", options=Options(wait_s=20))
    async with Wire.open(dict(os.environ)) as wire:
        store = DynamoDbIdempotencyStore(wire, "idempotency")
        await store.get("warm")
        print("ready", flush=True)
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            async def work():
                await asyncio.sleep(0.005)
                return os.getpid()
            outcome = await guard.run({"id": line.strip()}, work, store=store)
            print(json.dumps([type(outcome).__name__, outcome.value]), flush=True)

with asyncio.Runner() as runner:
    runner.run(main())
"""


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
    paths = json.dumps([str(Path(__file__).parents[2] / "layers" / "sluiceway")])
    variables = environ(AWS_ENDPOINT_URL=url)
    racers = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", RACER, paths, stdin=-1, stdout=-1, env=variables)
        for _ in range(PROCESSES)
    ]
    try:
        for racer in racers:
            assert await _read(racer) == "ready"
        for number in range(ROUNDS):
            for racer in racers:
                assert racer.stdin is not None
                racer.stdin.write(f"p{number}\n".encode())
            outcomes = [json.loads(await _read(racer)) for racer in racers]
            winners = [pid for kind, pid in outcomes if kind == "Fresh"]
            assert len(winners) == 1
            assert sorted(outcomes) == sorted([["Fresh", winners[0]], *[["Replayed", winners[0]]] * (PROCESSES - 1)])
    finally:
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.close()
            await racer.wait()


async def _read(racer: asyncio.subprocess.Process) -> str:
    assert racer.stdout is not None
    return (await asyncio.wait_for(racer.stdout.readline(), 60)).decode().strip()
