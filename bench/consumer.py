"""What does a record cost a long-running consumer, beside a bare aiobotocore loop?

The bare loop asks for a page and awaits the handler for each record: no leases, no checkpoints, no lanes, no retries,
no aggregates, and it loses what it was doing when it ends. "sluiceway" is a `Consumer` with all of that and leases in
memory; "replay" is the plain iterator; "reader" is the loop over `KinesisReader`. Each side runs in a process of its
own against a server in another that answers every GetRecords with the same page, from five times a second on: the CPU
is counted, not the waiting. Handlers do nothing. From the first record of one page to the first of a later one; rounds
are interleaved; medians, with the range of them.
Run: python bench/consumer.py [--rounds N] [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from table import pair, print_table, print_verdict

ROOT = Path(__file__).parents[1]
SIDES = ("sluiceway", "replay", "reader", "aiobotocore")
PAGE = 2_000  # records
WARM = 3  # pages
BUDGET = 1.0  # of the CPU of the bare loop
SHARD = "shardId-000000000000"


class Meter:
    """The handler: counts records, and CPU between two of them."""

    def __init__(self, pages: int) -> None:
        self.seen = 0
        self.done = asyncio.Event()
        self._first, self._last = WARM * PAGE, (WARM + pages) * PAGE
        self._began = 0.0
        self.cost = 0.0

    async def handle(self, _record: object) -> None:
        if self.seen == self._first:
            self._began = time.process_time()
        elif self.seen == self._last:
            self.cost = (time.process_time() - self._began) / (self._last - self._first)
            self.done.set()
        self.seen += 1


def make_page(size: int) -> bytes:
    """A page of GetRecords; its records have `size` bytes and 500 keys."""
    draw = random.Random(1)
    first = 49_682_118_769_426_125_413_943_333_555_063_375_736_686_560_644_649_975_810
    records = [
        {
            "SequenceNumber": str(first + number * 1_000),
            "ApproximateArrivalTimestamp": 1_700_000_000.123,
            "Data": base64.b64encode(draw.randbytes(size)).decode(),
            "PartitionKey": f"device-{draw.randrange(500):06d}",
        }
        for number in range(PAGE)
    ]
    told = {"Records": records, "NextShardIterator": "i" * 200, "MillisBehindLatest": 60_000}
    return json.dumps(told).encode()


async def serve(size: int) -> None:
    """Answer for ever; the port is the first line of stdout."""
    numbers = {"StartingSequenceNumber": "1"}
    shard = {"ShardId": SHARD, "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "1"}}
    answers = {
        "GetRecords": make_page(size),
        "GetShardIterator": json.dumps({"ShardIterator": "i" * 200}).encode(),
        "ListShards": json.dumps({"Shards": [{**shard, "SequenceNumberRange": numbers}]}).encode(),
    }

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            fields = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:] if ": " in line)
            await reader.readexactly(int(fields.get("content-length", 0)))
            operation = next(name for name in answers if fields["x-amz-target"].endswith(name.lower()))
            body = answers[operation]
            kind = "application/x-amz-json-1.1"
            writer.write(
                f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
            )
            await writer.drain()

    async def answer_quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer_quietly, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


class Nowhere:
    """Dead letters that nobody sends."""

    async def send(self, body: str, *, reason: str, detail: str, attributes: object) -> None:
        raise AssertionError(body, reason, detail, attributes)


async def run_sluiceway(side: str, meter: Meter) -> None:
    sys.path.insert(0, str(ROOT / "layers" / "sluiceway"))
    from sluiceway.aws.streams import KinesisReader  # noqa: PLC0415 - only the process that measures it may load it
    from sluiceway.aws.wire import Wire  # noqa: PLC0415 - the same

    async with Wire.open(dict(os.environ)) as wire:
        reader = KinesisReader(wire, "s")
        if side == "sluiceway":
            await consume(reader, meter)
        elif side == "replay":
            await replay(reader, meter)
        else:
            await loop_reader(reader, meter)


async def consume(reader: Any, meter: Meter) -> None:
    from sluiceway.flows.consume import (  # noqa: PLC0415 - only where it is measured
        ConsumeDesk,
        ConsumeOptions,
        Consumer,
        Manner,
        MemoryLeaseStore,
    )
    from sluiceway.rules.consuming.spans import Span  # noqa: PLC0415 - the same

    options = ConsumeOptions(manner=Manner(share=1.0, page=PAGE))
    consumer = Consumer(
        reader, MemoryLeaseStore(), meter.handle, desk=ConsumeDesk(Nowhere()), span=Span(), options=options
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(consumer.run())
        await meter.done.wait()
        consumer.stop()


async def replay(reader: Any, meter: Meter) -> None:
    from sluiceway.flows.consume import Manner, ReplayOptions, open_replay  # noqa: PLC0415 - only where it is measured

    async with open_replay(reader, options=ReplayOptions(manner=Manner(share=1.0, page=PAGE))) as records:
        async for record in records:
            await meter.handle(record)
            if meter.done.is_set():
                return


async def loop_reader(reader: Any, meter: Meter) -> None:
    from sluiceway.rules.consuming.spans import Position  # noqa: PLC0415 - only where it is measured

    iterator = await reader.find_iterator(SHARD, Position("TRIM_HORIZON"))
    while not meter.done.is_set():
        page = await reader.get_records(iterator, limit=PAGE)
        iterator = page.going_on
        for record in page.records:
            await meter.handle(record)


async def run_aiobotocore(meter: Meter) -> None:
    from aiobotocore.session import get_session  # noqa: PLC0415 - only the process that measures it may load it

    async with get_session().create_client("kinesis") as client:
        told = await client.get_shard_iterator(StreamName="s", ShardId=SHARD, ShardIteratorType="TRIM_HORIZON")
        iterator = told["ShardIterator"]
        while not meter.done.is_set():
            page = await client.get_records(ShardIterator=iterator, Limit=PAGE)
            iterator = page["NextShardIterator"]
            for record in page["Records"]:
                await meter.handle(record)


async def run_side(side: str, pages: int) -> None:
    meter = Meter(pages)
    await (run_aiobotocore(meter) if side == "aiobotocore" else run_sluiceway(side, meter))
    print(meter.cost)


def measure(side: str, pages: int, port: str) -> float:
    """CPU seconds a record."""
    environ = {
        **os.environ,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "POWERTOOLS_LOG_LEVEL": "CRITICAL",
    }
    command = [sys.executable, __file__, "--side", side, "--pages", str(pages)]
    return float(subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout)


def compare(rounds: int, pages: int) -> None:
    rows: list[list[str]] = []
    ratios: dict[int, float] = {}
    for size in (100, 1_000):
        server = subprocess.Popen([sys.executable, __file__, "--serve", str(size)], stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            port = server.stdout.readline().strip()
            costs: dict[str, list[float]] = {side: [] for side in SIDES}
            for _ in range(rounds):
                for side in SIDES:
                    costs[side].append(measure(side, pages, port))
        finally:
            server.kill()
            server.wait()
        for side in SIDES:
            mine = [cost * 1e6 for cost in costs[side]]
            ratio = pair(costs[side], costs["aiobotocore"])
            rows.append(
                [
                    f"{size} B",
                    side,
                    f"{statistics.median(mine):.1f}",
                    f"{min(mine):.1f}-{max(mine):.1f}",
                    f"{ratio:.2f}",
                ]
            )
        ratios[size] = pair(costs["sluiceway"], costs["aiobotocore"])
    print_table(["record", "side", "us CPU a record", "range", "of aiobotocore"], rows)
    for size, ratio in ratios.items():
        print_verdict(f"CPU a record of {size} B, of a bare aiobotocore loop's", measured=ratio, budget=BUDGET)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--pages", type=int, default=20, help=argparse.SUPPRESS)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    with asyncio.Runner() as runner:
        if given.serve:
            runner.run(serve(given.serve))
        elif given.side:
            runner.run(run_side(given.side, given.pages))
    if not given.serve and not given.side:
        compare(1 if given.quick else given.rounds, 5 if given.quick else given.pages)


if __name__ == "__main__":
    main()
