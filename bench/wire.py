"""What one DynamoDB call costs: the wire client, aiobotocore (in aioboto3) and boto3, side by side.

Each client runs in a process of its own against the same stand-in server in another process; half of the calls are
GetItem, half PutItem. Rounds are interleaved and medians shown, since machines change speed while they are measured.
Run: python bench/wire.py [--rounds N] [--round-s S] [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

from clients import Worker, compare, describe, obey
from stand_in import Server
from table import pair, print_table, print_verdict

CLIENTS = ("wire", "aiobotocore", "boto3")
CONCURRENCY = (1, 8, 64)
WARM_S = 0.5
BUDGET_MS = 0.25  # CPU of one call
BUDGET_SHARE = 1 / 5  # of aiobotocore's CPU
KEY = {"job_id": {"S": "b0e2a1d8-8a51-4c8e-9d2e-0f6d5a7f6f11"}}
GET = {"TableName": "jobs", "Key": KEY, "ConsistentRead": True}
PUT = {
    "TableName": "jobs",
    "Item": {**KEY, "state": {"S": "running"}, "attempt": {"N": "2"}, "text": {"S": "Name three rivers. " * 12}},
    "ConditionExpression": "attribute_not_exists(#k)",
    "ExpressionAttributeNames": {"#k": "job_id"},
}


async def run_wire() -> None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "layers" / "sluiceway"))
    from sluiceway.aws.wire import ServiceSpec, Wire  # noqa: PLC0415 - only the process that measures it may load it

    dynamodb = ServiceSpec("dynamodb", "dynamodb", "json-1.0", "DYNAMODB", "DynamoDB_20120810", max_attempts=4)
    async with Wire.open(dict(os.environ)) as wire:

        async def call(number: int) -> None:
            deadline = asyncio.get_running_loop().time() + 30
            if number % 2:
                reply = await wire.call(dynamodb, "PutItem", PUT, deadline=deadline)
            else:
                reply = await wire.call(dynamodb, "GetItem", GET, deadline=deadline)
            reply.json()

        await obey(call)


async def run_aiobotocore() -> None:
    import aioboto3  # noqa: PLC0415 - only the process that measures it may load it
    from aiobotocore.config import AioConfig  # noqa: PLC0415 - only the process that measures it may load it

    config = AioConfig(max_pool_connections=64, retries={"mode": "standard"})
    async with aioboto3.Session().client("dynamodb", config=config) as client:

        async def call(number: int) -> None:
            if number % 2:
                await client.put_item(**PUT)
            else:
                await client.get_item(**GET)

        await obey(call)


def run_boto3() -> None:
    import boto3  # noqa: PLC0415 - only the process that measures it may load it
    from botocore.config import Config  # noqa: PLC0415 - only the process that measures it may load it

    client = boto3.client("dynamodb", config=Config(max_pool_connections=64, retries={"mode": "standard"}))

    def call(number: int) -> None:
        if number % 2:
            client.put_item(**PUT)
        else:
            client.get_item(**GET)

    for line in sys.stdin:
        round_s, concurrency = json.loads(line)
        with ThreadPoolExecutor(concurrency) as threads:
            cpu, wall = time.process_time(), time.perf_counter()
            numbers, ends = count(), wall + round_s

            def work(_thread: int) -> None:
                while time.perf_counter() < ends:  # noqa: B023 - it ends with this round
                    call(next(numbers))  # noqa: B023 - the same

            list(threads.map(work, range(concurrency)))
            calls = next(numbers)
            cost = (time.process_time() - cpu) / calls, (time.perf_counter() - wall) / calls
        print(json.dumps(cost), flush=True)


def compare_all(
    server: Server, *, tls: bool, rounds: int, round_s: float
) -> tuple[list[list[str]], dict[str, list[float]]]:
    """The rows, and the CPU seconds of one call, one at a time, for each client and round."""
    url = server.tls_url if tls else server.url
    workers = {client: Worker(__file__, client, url=url, ca=server.ca) for client in CLIENTS}
    rows, alone = [], {}
    try:
        for worker in workers.values():
            worker.measure(WARM_S, max(CONCURRENCY))  # warm
        for concurrency in CONCURRENCY:
            costs = compare(workers, rounds=rounds, round_s=round_s, concurrency=concurrency)
            alone = alone or {client: [cost[0] for cost in each] for client, each in costs.items()}
            rows += [["https" if tls else "http", str(concurrency), *row] for row in describe(costs, ours="wire")]
    finally:
        for worker in workers.values():
            worker.close()
    return rows, alone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--round-s", type=float, default=0.25, help="seconds of one client in one round")
    parser.add_argument("--quick", action="store_true", help="two short rounds: to see that it runs")
    parser.add_argument("--client", choices=CLIENTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client == "boto3":
        run_boto3()
        return
    if options.client:
        with asyncio.Runner() as runner:
            runner.run(run_wire() if options.client == "wire" else run_aiobotocore())
        return
    rounds, round_s = (2, 0.1) if options.quick else (options.rounds, options.round_s)
    rows, alone = [], {}
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder)) as server:
        for scheme in ("http", "https"):
            more, alone[scheme] = compare_all(server, tls=scheme == "https", rounds=rounds, round_s=round_s)
            rows += more
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"A DynamoDB call, medians of {rounds} rounds of {round_s} s. Python {version} on {os.cpu_count()} cores.")
    print_table(["", "concurrency", "client", "CPU ms", "/ wire", "wall ms", "/ wire"], rows)
    for scheme, cpu in alone.items():
        spent_ms = statistics.median(cpu["wire"]) * 1e3
        print_verdict(f"{scheme}, one at a time: CPU ms a call", measured=spent_ms, budget=BUDGET_MS)
        share = pair(cpu["wire"], cpu["aiobotocore"])
        print_verdict(f"{scheme}, one at a time: CPU of aiobotocore's", measured=share, budget=BUDGET_SHARE)


if __name__ == "__main__":
    main()
