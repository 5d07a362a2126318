"""What does the guard cost a job: its key's claim and end, beside the record's two writes and all else that a job is?

The flow is the function's (`run_job`) with a model that answers at once: a new job each call, of 200 bytes. "Bare" runs
the same work with nothing round it, which is what a job was before it had a key; "guarded" is what ships; "one record"
is guarded, without the record that says `running`, and was weighed (docs/adr/0010). "Memory" has stores that are
dictionaries: what the code itself costs. Each side runs in a process of its own against the same stand-in server in
another; rounds are interleaved; medians, with the range of them.
Run: python bench/jobs.py [--rounds N] [--round-s S] [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

from clients import Call, Cost, Worker, compare, obey
from stand_in import Server
from table import pair, print_table

ROOT = Path(__file__).parents[1]
SIDES = ("memory, bare", "memory, guarded", "bare", "guarded", "one record")
CONCURRENCY = (1, 10)  # one job, and a batch of the template's size
WARM_S = 1.0
BODY = json.dumps({"prompt": "Name three rivers of Europe and say why they matter. " * 3, "max_tokens": 200})


class Bare:
    """A guard that guards nothing."""

    async def run(self, _event: object, work: Callable[[], Awaitable[Any]], **_rest: object) -> Any:
        from sluiceway.idempotency import Fresh  # noqa: PLC0415 - only the process that measures it may load it

        return Fresh(await work())


class Dictionary:
    """Job records in a dictionary that forgets them once they have ended."""

    def __init__(self) -> None:
        self.records: dict[str, Any] = {}

    async def create(self, record: Any) -> None:
        self.records[record.job_id] = record

    async def replace(self, record: Any, *, seen: Any) -> bool:
        return self.records.pop(record.job_id, None) == seen


class OneRecord:
    """A store of jobs that leaves out the record that says `running`."""

    def __init__(self, store: Any) -> None:
        self._store = store

    async def create(self, _record: Any) -> None:
        return

    async def replace(self, record: Any, *, seen: Any) -> bool:
        return await self._store.replace(record, seen=seen)


class AtOnce:
    """A model."""

    async def converse(self, request: object, context: object) -> Any:
        del request, context
        from sluiceway.genai.provider import Answer, Usage  # noqa: PLC0415 - only where it is measured

        return Answer("The Danube, the Rhine and the Elbe.", "end_turn", Usage(40, 12))


def make_call(side: str, wire: Any) -> Call:
    """A job from its message to its end."""
    from sluiceway.aws.dynamodb import Table  # noqa: PLC0415 - only where it is measured, as all of these
    from sluiceway.aws.idempotency import DynamoDbIdempotencyStore  # noqa: PLC0415
    from sluiceway.aws.jobs import DynamoDbJobStore  # noqa: PLC0415
    from sluiceway.events.invocation import Invocation  # noqa: PLC0415
    from sluiceway.events.sqs import SqsMessage  # noqa: PLC0415
    from sluiceway.flows.job import JobWorker, run_job  # noqa: PLC0415
    from sluiceway.flows.job_end import make_job_guard  # noqa: PLC0415
    from sluiceway.idempotency.memory import MemoryIdempotencyStore  # noqa: PLC0415
    from sluiceway.ports import SystemClock  # noqa: PLC0415

    in_memory = side.startswith("memory")
    clock = SystemClock()
    store: Any = Dictionary() if in_memory else DynamoDbJobStore(Table(wire, "jobs"))
    store = OneRecord(store) if side == "one record" else store
    guard: Any = Bare() if side.endswith("bare") else make_job_guard(clock=clock, after_crash="rerun")
    keys: Any = MemoryIdempotencyStore(max_records=10**7) if in_memory else DynamoDbIdempotencyStore(wire, "keys")
    none: Any = None
    worker = JobWorker(
        store=store,
        blobs=none,
        provider=AtOnce(),
        clock=clock,
        max_output_tokens=512,
        max_receives=6,
        keys=keys,
        guard=guard,
    )
    loop = asyncio.get_running_loop()
    numbers = count()  # over all rounds: a job that has been would be replayed

    async def call(_number: int) -> None:
        number = next(numbers)
        attributes = {"job_id": f"k.ann.{os.getpid()}-{number}", "caller": "ann", "correlation_id": "c"}
        message = SqsMessage(f"m{number}", "handle", BODY, attributes, 1, 0, "arn:aws:sqs:eu-central-1:1:jobs")
        invocation = Invocation("req-1", "generate_answer", "arn", deadline=loop.time() + 60)
        await run_job(message, call=invocation, worker=worker)

    return call


async def run_side(side: str) -> None:
    """Obey, as one side."""
    sys.path.insert(0, str(ROOT / "layers" / "sluiceway"))
    os.environ["POWERTOOLS_LOG_LEVEL"] = "ERROR"
    from sluiceway.aws.wire import Wire  # noqa: PLC0415 - only where it is measured

    async with Wire.open(dict(os.environ)) as wire:
        await obey(make_call(side, wire))


def describe(costs: dict[str, list[Cost]], concurrency: int) -> list[list[str]]:
    """A row for each side: CPU with its range, wall, and both beside the same work with nothing round it."""
    rows: list[list[str]] = []
    for side, each in costs.items():
        peer = costs["memory, bare" if side.startswith("memory") else "bare"]
        cpu, wall = ([1e6 * cost[at] for cost in each] for at in (0, 1))
        ratio = [pair([cost[at] for cost in each], [cost[at] for cost in peer]) for at in (0, 1)]
        spread = f"{min(cpu):.0f}-{max(cpu):.0f}"
        shown = (f"{statistics.median(cpu):.0f}", spread, f"{statistics.median(wall):.0f}")
        rows.append([str(concurrency), side, *shown, f"{ratio[0]:.2f}", f"{ratio[1]:.2f}"])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--round-s", type=float, default=0.5, help="seconds of one side in one round")
    parser.add_argument("--quick", action="store_true", help="two short rounds: to see that it runs")
    parser.add_argument("--client", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        with asyncio.Runner() as runner:
            runner.run(run_side(options.client))
        return
    rounds, round_s = (2, 0.1) if options.quick else (options.rounds, options.round_s)
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder)) as server:
        workers = {side: Worker(__file__, side, url=server.url, ca=server.ca) for side in SIDES}
        try:
            for worker in workers.values():
                worker.measure(WARM_S, max(CONCURRENCY))  # warm
            for concurrency in CONCURRENCY:
                rows += describe(compare(workers, rounds=rounds, round_s=round_s, concurrency=concurrency), concurrency)
        finally:
            for worker in workers.values():
                worker.close()
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"{rounds} rounds of {round_s} s a side, interleaved. Python {version} on {os.cpu_count()} cores.")
    print_table(["at once", "side", "CPU us", "range", "wall us", "CPU / bare", "wall / bare"], rows)


if __name__ == "__main__":
    main()
