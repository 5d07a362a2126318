"""Clients side by side: each in a process of its own, told over stdin how long to call, and what its calls cost.

A benchmark that compares clients is its own worker: started with `--client NAME` it obeys, else it compares. Rounds are
interleaved and equally long for every client, so that each finds caches as cold.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count
from pathlib import Path

from table import pair

Call = Callable[[int], Awaitable[None]]
Cost = tuple[float, float]
"""CPU and wall seconds of one call."""

TIME_LIMIT_S = 10


async def measure(call: Call, *, round_s: float, concurrency: int) -> Cost:
    """What one call costs, over as many as fill `round_s` seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    numbers, ends = count(), wall + round_s

    async def work() -> None:
        while time.perf_counter() < ends:
            await call(next(numbers))

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(work())
    calls = next(numbers)
    return (time.process_time() - cpu) / calls, (time.perf_counter() - wall) / calls


async def obey(call: Call) -> None:
    """Measure as stdin says, a line at a time."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        round_s, concurrency = json.loads(line)
        print(json.dumps(await measure(call, round_s=round_s, concurrency=concurrency)), flush=True)


class Worker:
    """One client in its process: `script --client client`, with AWS at `url`."""

    def __init__(self, script: str, client: str, *, url: str, ca: Path) -> None:
        environ = {
            **os.environ,
            "AWS_ENDPOINT_URL": url,
            "AWS_CA_BUNDLE": str(ca),
            "AWS_REGION": "eu-central-1",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            "AWS_SESSION_TOKEN": "IQoJb3JpZ2luX2VjE" * 40,
        }
        command = [sys.executable, script, "--client", client]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, text=True)

    def measure(self, round_s: float, concurrency: int) -> Cost:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps([round_s, concurrency])}\n")
        self._process.stdin.flush()
        cpu, wall = json.loads(self._process.stdout.readline())
        return cpu, wall

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(TIME_LIMIT_S)


def compare(workers: Mapping[str, Worker], *, rounds: int, round_s: float, concurrency: int) -> dict[str, list[Cost]]:
    """What a call of each client costs in each of the interleaved rounds."""
    costs: dict[str, list[Cost]] = {client: [] for client in workers}
    for _ in range(rounds):
        for client, worker in workers.items():
            costs[client].append(worker.measure(round_s, concurrency))
    return costs


def describe(costs: Mapping[str, Sequence[Cost]], *, ours: str) -> list[list[str]]:
    """A row for each client: CPU and wall milliseconds of a call, each with its ratio to ours."""
    cpu = {client: [cost[0] for cost in each] for client, each in costs.items()}
    wall = {client: [cost[1] for cost in each] for client, each in costs.items()}
    return [
        [
            client,
            f"{statistics.median(cpu[client]) * 1e3:.3f}",
            f"{pair(cpu[client], cpu[ours]):.1f}",
            f"{statistics.median(wall[client]) * 1e3:.3f}",
            f"{pair(wall[client], wall[ours]):.1f}",
        ]
        for client in costs
    ]
