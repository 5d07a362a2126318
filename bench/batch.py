"""What does a batch cost a record, in CPU and in memory, and how much work does a failure repeat?

Sluiceway's runner beside hand-written bounded loops and Powertools for AWS Lambda (sync, async, FIFO), in this process,
rounds interleaved, medians of the rounds' own ratios and differences. The handler parses the message's JSON; with I/O
it also waits 10 ms. "By hand" is the least that is bounded: ten workers over one iterator, an `except` around the
handler. On decoded messages it has the same parsing as Sluiceway; on raw records it has none but the handler's own.
Powertools runs as inside Lambda, on a loop that is kept. Log lines are written, to /dev/null.
Run: python bench/batch.py [--rounds N] [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import random
import statistics
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from table import pair, print_table, print_verdict

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "layers" / "sluiceway"))
os.environ["LAMBDA_TASK_ROOT"] = "/var/task"  # Powertools keeps its event loop there
os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "bench")

from aws_lambda_powertools import __version__ as powertools_version  # noqa: E402
from aws_lambda_powertools.utilities.batch import (  # noqa: E402
    AsyncBatchProcessor,
    BatchProcessor,
    EventType,
    SqsFifoPartialProcessor,
    async_process_partial_response,
    process_partial_response,
)

from sluiceway.codec import kinesis, sqs  # noqa: E402
from sluiceway.errors import Retryable  # noqa: E402
from sluiceway.flows.batch import BatchDesk, process_batch  # noqa: E402

SIZES = (10, 100, 10_000)
MEMORY_SIZES = (100, 1_000, 10_000)
AT_ONCE = 10
AT_ONCE_IO = 50  # or 10,000 records of 10 ms would take 10 s a side and round
IO_S = 0.010
BUDGET_US = 5.0  # of CPU a record
GROWTH_BYTES = 16.0  # flat: marks of a few bytes a record, where a message has some hundred
LEAST_RECORDS = 2_000  # of a round: small batches are processed several times
SERIAL_LIMIT = 200  # the same for a serial side with I/O, which takes 10 ms for each
ARN = "arn:aws:sqs:eu-central-1:123456789012:orders"
LINES = [{"sku": f"sku-{at}", "count": at, "price": "9.99"} for at in range(4)]

Side = Callable[[dict[str, Any]], object]


def make_event(size: int, *, groups: int = 0) -> dict[str, Any]:
    """An SQS event of bodies of about 200 bytes; of a FIFO queue where there are groups."""
    records = []
    for at in range(size):
        attributes = {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": "1545082649183",
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": "1545082649185",
        }
        if groups:
            attributes |= {"MessageGroupId": f"g{at % groups}", "SequenceNumber": f"{18849496460467696128 + at}"}
        records.append(
            {
                "messageId": f"059f36b4-87a3-44ab-83d2-{at:012d}",
                "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a" * 4,
                "body": json.dumps({"id": f"order-{at}", "lines": LINES}),
                "attributes": attributes,
                "messageAttributes": {},
                "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
                "eventSource": "aws:sqs",
                "eventSourceARN": ARN + (".fifo" if groups else ""),
                "awsRegion": "eu-central-1",
            }
        )
    return {"Records": records}


class Kept:
    """Dead letters that nobody sends."""

    async def send(self, body: str, *, reason: str, detail: str, attributes: Any) -> None:
        del body, reason, detail, attributes


DESK = BatchDesk(Kept())


async def by_hand(
    records: Sequence[Any], one: Callable[[Any], Awaitable[None]], id_of: Callable[[Any], str], *, at_once: int
) -> dict[str, Any]:
    """The least: bounded, with partial failures, and nothing else."""
    waiting, failed = iter(records), []

    async def work() -> None:
        for record in waiting:
            try:
                await one(record)
            except Exception:  # noqa: BLE001 - what a handler raises
                failed.append(id_of(record))

    async with asyncio.TaskGroup() as workers:
        for _ in range(min(at_once, len(records))):
            workers.create_task(work())
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


class Sides:
    """Each side takes an event and answers it."""

    def __init__(self, *, io: bool) -> None:
        self._runner = asyncio.Runner()
        self._loop = self._runner.get_loop()
        self._at_once = AT_ONCE_IO if io else AT_ONCE
        self._io = io
        self._sync = BatchProcessor(event_type=EventType.SQS)
        self._async = AsyncBatchProcessor(event_type=EventType.SQS)

    def _run(self, work: Coroutine[Any, Any, Any]) -> object:
        return self._loop.run_until_complete(work)

    async def _one(self, record: Any) -> None:
        json.loads(record.body)
        if self._io:
            await asyncio.sleep(IO_S)

    async def _one_raw(self, record: Any) -> None:
        json.loads(record["body"])
        if self._io:
            await asyncio.sleep(IO_S)

    def _one_sync(self, record: Any) -> None:
        json.loads(record.body)
        if self._io:
            time.sleep(IO_S)

    def sluiceway(self, event: dict[str, Any]) -> object:
        async def run() -> object:
            deadline = self._loop.time() + 600
            batch = sqs.decode(event)
            return sqs.encode(
                await process_batch(batch, self._one, desk=DESK, deadline=deadline, concurrency=self._at_once)
            )

        return self._run(run())

    def hand_decoded(self, event: dict[str, Any]) -> object:
        async def run() -> object:
            messages = sqs.decode(event).messages
            return await by_hand(messages, self._one, lambda message: message.message_id, at_once=self._at_once)

        return self._run(run())

    def hand_raw(self, event: dict[str, Any]) -> object:
        work = by_hand(event["Records"], self._one_raw, lambda record: record["messageId"], at_once=self._at_once)
        return self._run(work)

    def powertools(self, event: dict[str, Any]) -> object:
        return process_partial_response(event, self._one_sync, self._sync)

    def powertools_fifo(self, event: dict[str, Any]) -> object:
        return process_partial_response(event, self._one_sync, SqsFifoPartialProcessor())

    def powertools_async(self, event: dict[str, Any]) -> object:
        asyncio.set_event_loop(self._loop)
        return async_process_partial_response(event, self._one, self._async)

    def close(self) -> None:
        self._runner.close()


def measure(side: Side, event: dict[str, Any], *, least: int) -> tuple[float, float]:
    """CPU and wall microseconds of a record, over `least` records or more."""
    size = len(event["Records"])
    times = max(1, least // size)
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(times):
        side(event)
    count = size * times
    return (time.process_time() - cpu) / count * 1e6, (time.perf_counter() - wall) / count * 1e6


Costs = dict[str, list[tuple[float, float]]]


def compare(sides: dict[str, Side], event: dict[str, Any], *, rounds: int, serial: str = "") -> Costs:
    """What a record costs each side in each of the interleaved rounds."""
    costs: Costs = {name: [] for name in sides}
    for name, side in sides.items():
        if side(event) != {"batchItemFailures": []}:
            raise AssertionError(f"{name} did not do the work")
    for _ in range(rounds):
        for name, side in sides.items():
            costs[name].append(measure(side, event, least=SERIAL_LIMIT if name == serial else LEAST_RECORDS))
    return costs


HAND = "by hand, decoded"
SYNC = "Powertools, sync"


def over(costs: Costs, side: str, peer: str) -> float:
    """The median of what a record costs a side more than the peer in the same round, in microseconds of CPU."""
    return statistics.median(mine[0] - theirs[0] for mine, theirs in zip(costs[side], costs[peer], strict=True))


def describe(label: str, costs: Costs) -> list[list[str]]:
    cpu = {name: [cost[0] for cost in each] for name, each in costs.items()}
    return [
        [
            label,
            name,
            f"{statistics.median(cpu[name]):.1f}",
            f"{over(costs, name, HAND):+.1f}",
            f"{pair(cpu[name], cpu['sluiceway']):.2f}",
            f"{statistics.median(cost[1] for cost in each):.0f}",
        ]
        for name, each in costs.items()
    ]


def compare_cost(rounds: int) -> tuple[list[list[str]], list[tuple[str, float, float]]]:
    """The rows, and what is judged: label, measured, budget."""
    rows: list[list[str]] = []
    verdicts: list[tuple[str, float, float]] = []
    for io in (False, True):
        sides = Sides(io=io)
        for size in SIZES:
            label = f"{size} records{', 10 ms each' if io else ''}"
            taking: dict[str, Side] = {
                "sluiceway": sides.sluiceway,
                HAND: sides.hand_decoded,
                "by hand, raw": sides.hand_raw,
                "Powertools, async": sides.powertools_async,
                SYNC: sides.powertools,
            }
            if io and size > SERIAL_LIMIT:
                del taking[SYNC]
            costs = compare(taking, make_event(size), rounds=rounds, serial=SYNC if io else "")
            rows += describe(label, costs)
            verdicts.append((f"{label}: us of CPU over {HAND}", over(costs, "sluiceway", HAND), BUDGET_US))
        sides.close()
    sides = Sides(io=False)
    for groups in (1, 100, 10_000):
        label = f"10000 FIFO, {groups} group{'s' if groups > 1 else ''}"
        taking = {
            "sluiceway": sides.sluiceway,
            HAND: sides.hand_decoded,
            "Powertools, FIFO": sides.powertools_fifo,
        }
        costs = compare(taking, make_event(10_000, groups=groups), rounds=rounds)
        rows += describe(label, costs)
        measured = over(costs, "sluiceway", HAND)
        verdicts.append((f"{label}: us of CPU over {HAND}, which keeps no order", measured, BUDGET_US))
    sides.close()
    return rows, verdicts


def peak_of(work: Callable[[], object]) -> float:
    """KiB beyond what stood before."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return (peak - before) / 1024


def compare_memory() -> tuple[list[list[str]], float]:
    """Peaks of the runners alone, the event being there and decoded, while handlers wait for a turn of the loop.

    And by how many bytes a record ours grows at most, whatever the lanes.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    async def one(record: Any) -> None:
        del record
        await asyncio.sleep(0)

    def nothing(record: Any) -> None:
        del record

    def ours(batch: Any) -> object:
        async def run() -> object:
            deadline = loop.time() + 600
            return await process_batch(batch, one, desk=DESK, deadline=deadline, concurrency=AT_ONCE)

        return loop.run_until_complete(run())

    peaks: dict[str, list[float]] = {}
    for size in MEMORY_SIZES:
        event = make_event(size)
        plain, one_lane, lanes = (
            sqs.decode(event),
            sqs.decode(make_event(size, groups=1)),
            sqs.decode(make_event(size, groups=size)),
        )
        works: dict[str, Callable[[], object]] = {
            "sluiceway, standard": lambda plain=plain: ours(plain),
            "sluiceway, one lane": lambda one_lane=one_lane: ours(one_lane),
            "sluiceway, a lane each": lambda lanes=lanes: ours(lanes),
            "by hand": lambda plain=plain: loop.run_until_complete(
                by_hand(plain.messages, one, lambda message: message.message_id, at_once=AT_ONCE)
            ),
            "Powertools, async": lambda event=event: async_process_partial_response(
                event, one, AsyncBatchProcessor(event_type=EventType.SQS)
            ),
            "Powertools, sync": lambda event=event: process_partial_response(
                event, nothing, BatchProcessor(event_type=EventType.SQS)
            ),
        }
        for name, work in works.items():
            work()
            peaks.setdefault(name, []).append(peak_of(work))
    loop.close()
    rows = [[name, *(f"{peak:.0f}" for peak in each)] for name, each in peaks.items()]
    growth = [(peaks[name][-1] - peaks[name][0]) * 1024 for name in peaks if name.startswith("sluiceway")]
    return rows, max(growth) / (MEMORY_SIZES[-1] - MEMORY_SIZES[0])


def work_off(process: Callable[[list[int]], tuple[int, int | None]], *, size: int = 2_000) -> float:
    """Handler calls a record until a shard is done, in batches of 100."""
    at = calls = 0
    while at < size:
        numbers = list(range(at, min(at + 100, size)))
        called, lowest = process(numbers)
        calls += called
        at = numbers[-1] + 1 if lowest is None else lowest
    return calls / size


def compare_repeats() -> list[list[str]]:
    """Handler calls a record, for a shard of 100 keys and records that fail once, at three rates."""
    loop = asyncio.new_event_loop()
    rows = []
    for rate in (0.001, 0.01, 0.05):
        results = []
        for beyond in (False, True, None):
            draw = random.Random(7)
            failing = {number for number in range(2_000) if draw.random() < rate}
            results.append(work_off(repeat_side(loop, failing, beyond=beyond)))
        rows.append([f"{rate:.1%}", *(f"{calls:.2f}" for calls in results)])
    loop.close()
    return rows


def kinesis_event(numbers: Sequence[int]) -> dict[str, Any]:
    return {
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": f"k{number % 100}",
                    "sequenceNumber": str(number),
                    "data": "e30=",
                    "approximateArrivalTimestamp": 1545084650.987,
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": f"shardId-000000000000:{number}",
                "eventName": "aws:kinesis:record",
                "awsRegion": "eu-central-1",
                "eventSourceARN": "arn:aws:kinesis:eu-central-1:123456789012:stream/orders",
            }
            for number in numbers
        ]
    }


def repeat_side(
    loop: asyncio.AbstractEventLoop, failing: set[int], *, beyond: bool | None
) -> Callable[[list[int]], tuple[int, int | None]]:
    """Ours, or Powertools where `beyond` is None. `failing` loses what has failed."""

    def touch(number: int) -> None:
        if number in failing:
            failing.discard(number)
            raise Retryable("once")

    def process(numbers: list[int]) -> tuple[int, int | None]:
        called: list[int] = []

        async def one(record: Any) -> None:
            called.append(0)
            await asyncio.sleep(0)
            touch(int(record.sequence_number))

        def one_sync(record: Any) -> None:
            called.append(0)
            touch(int(record.kinesis.sequence_number))

        event = kinesis_event(numbers)
        if beyond is None:
            processor = BatchProcessor(EventType.KinesisDataStreams, raise_on_entire_batch_failure=False)
            answer: Any = process_partial_response(event, one_sync, processor)
        else:
            work = process_batch(
                kinesis.decode(event),
                one,
                desk=BatchDesk(Kept(), beyond_failure=beyond),
                deadline=loop.time() + 600,
                concurrency=AT_ONCE,
            )
            answer = kinesis.encode(loop.run_until_complete(work))
        failed = [int(item["itemIdentifier"]) for item in answer["batchItemFailures"]]
        return len(called), min(failed, default=None)

    return process


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="one round: to see that it runs")
    options = parser.parse_args()
    rounds = 1 if options.quick else options.rounds
    version = ".".join(map(str, sys.version_info[:3]))
    print(
        f"Batches, medians of {rounds} rounds. Python {version} on {os.cpu_count()} cores; "
        f"Powertools {powertools_version}. {AT_ONCE} records at once, {AT_ONCE_IO} with I/O; "
        "Powertools' async processor takes all at once.",
        flush=True,
    )
    with Path(os.devnull).open("w") as silence, contextlib.redirect_stdout(silence):  # the runner's log lines
        cost_rows, verdicts = compare_cost(rounds)
        memory_rows, growth = compare_memory()
        repeat_rows = compare_repeats()
    print_table(["batch", "side", "CPU us", "over by hand", "/ sluiceway", "wall us"], cost_rows)
    print()
    print_table(["peak KiB of the runner", *(f"{size}" for size in MEMORY_SIZES)], memory_rows)
    print("\nHandler calls a record until a shard is done, in batches of 100:")
    print_table(["fail once", "sluiceway", "sluiceway, beyond_failure", "Powertools, sync Kinesis"], repeat_rows)
    print()
    verdicts.append(("bytes a record by which the runner's peak grows", growth, GROWTH_BYTES))
    for what, measured, budget in verdicts:
        print_verdict(what, measured=measured, budget=budget)


if __name__ == "__main__":
    main()
