"""What does a guarded call cost over its two DynamoDB calls, and beside Powertools and idemkit?

Each side runs in a process of its own against the same stand-in server in another: every key is new, so a call is a
claim and an end around a handler that does nothing. "By hand" is the same two requests through the wire client, written
out, and nothing else: no hash, no owner to make, no lease; "table" is the same through `Table`. Powertools runs in the
calling thread, and in as many threads as there are records at once; idemkit on aioboto3. Rounds are interleaved;
medians, with the range of them.
Run: python bench/idempotency.py [--rounds N] [--round-s S] [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from clients import Cost, Worker, compare, obey
from stand_in import Server
from table import pair, print_table, print_verdict

ROOT = Path(__file__).parents[1]
CLIENTS = ("by hand", "table", "sluiceway", "powertools", "idemkit")
CONCURRENCY = (1, 100)
WARM_S = 1.0
BUDGET = 1.10  # of the CPU of the two calls by hand
TABLE = "idempotency"
IDEMKIT = "idemkit[dynamodb]==1.0.2"
PEER = "SLUICEWAY_BENCH_IDEMKIT"
LINES = [{"sku": f"sku-{at}", "count": at, "price": "9.99"} for at in range(4)]
CONTEXT = SimpleNamespace(get_remaining_time_in_millis=lambda: 30_000)


def make_event(number: int) -> dict[str, Any]:
    """An event of about 250 bytes with a key of its own."""
    return {"id": f"order-{os.getpid()}-{number}", "lines": LINES}


async def run_by_hand() -> None:
    sys.path.insert(0, str(ROOT / "layers" / "sluiceway"))
    from sluiceway.aws.dynamodb import DYNAMODB  # noqa: PLC0415 - only the process that measures it may load it
    from sluiceway.aws.wire import Wire  # noqa: PLC0415 - the same

    owner, loop = "0123456789abcdef" * 2, asyncio.get_running_loop()
    async with Wire.open(dict(os.environ)) as wire:

        async def call(number: int) -> None:
            event = make_event(number)
            key = {"id": {"S": f"orders#{event['id']:0>64}"}}
            now_ms = time.time_ns() // 1_000_000
            claim = {
                "TableName": TABLE,
                "Item": {
                    **key,
                    "status": {"S": "INPROGRESS"},
                    "expiration": {"N": str(now_ms // 1000 + 3600)},
                    "owner": {"S": owner},
                    "in_progress_expiration": {"N": str(now_ms + 30_000)},
                },
                "ConditionExpression": "attribute_not_exists(#id) OR #expiration < :now_s OR "
                "(#status = :in_progress AND #lease < :now_ms)",
                "ExpressionAttributeNames": {
                    "#id": "id",
                    "#expiration": "expiration",
                    "#status": "status",
                    "#lease": "in_progress_expiration",
                },
                "ExpressionAttributeValues": {
                    ":now_s": {"N": str(now_ms // 1000)},
                    ":in_progress": {"S": "INPROGRESS"},
                    ":now_ms": {"N": str(now_ms)},
                },
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
            deadline = loop.time() + 30
            await wire.call(DYNAMODB, "PutItem", claim, deadline=deadline)
            end = {
                "TableName": TABLE,
                "Key": key,
                "UpdateExpression": "SET #status = :status, #data = :data, #expiration = :expiration",
                "ConditionExpression": "#owner = :owner AND #status = :in_progress",
                "ExpressionAttributeNames": {
                    "#owner": "owner",
                    "#status": "status",
                    "#data": "data",
                    "#expiration": "expiration",
                },
                "ExpressionAttributeValues": {
                    ":status": {"S": "COMPLETED"},
                    ":data": {"S": json.dumps({"ok": number})},
                    ":expiration": {"N": str(now_ms // 1000 + 3600)},
                    ":owner": {"S": owner},
                    ":in_progress": {"S": "INPROGRESS"},
                },
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
            await wire.call(DYNAMODB, "UpdateItem", end, deadline=deadline)

        await obey(call)


async def run_table() -> None:
    sys.path.insert(0, str(ROOT / "layers" / "sluiceway"))
    from sluiceway.aws.dynamodb import Expression, Table, set_all  # noqa: PLC0415 - only where it is measured
    from sluiceway.aws.wire import Wire  # noqa: PLC0415 - the same

    owner, loop = "0123456789abcdef" * 2, asyncio.get_running_loop()
    ours = Expression(
        "#owner = :owner AND #status = :in_progress",
        names={"#owner": "owner", "#status": "status"},
        values={":owner": owner, ":in_progress": "INPROGRESS"},
    )
    async with Wire.open(dict(os.environ)) as wire:
        table = Table(wire, TABLE)

        async def call(number: int) -> None:
            event = make_event(number)
            key, now_ms, deadline = f"orders#{event['id']:0>64}", time.time_ns() // 1_000_000, loop.time() + 30
            free = Expression(
                "attribute_not_exists(#id) OR #expiration < :now_s OR (#status = :in_progress AND #lease < :now_ms)",
                names={
                    "#id": "id",
                    "#expiration": "expiration",
                    "#status": "status",
                    "#lease": "in_progress_expiration",
                },
                values={":now_s": now_ms // 1000, ":in_progress": "INPROGRESS", ":now_ms": now_ms},
            )
            claim = {
                "id": key,
                "status": "INPROGRESS",
                "expiration": now_ms // 1000 + 3600,
                "owner": owner,
                "in_progress_expiration": now_ms + 30_000,
            }
            await table.put_item(claim, condition=free, deadline=deadline)
            end = {"status": "COMPLETED", "data": json.dumps({"ok": number}), "expiration": now_ms // 1000 + 3600}
            await table.update_item({"id": key}, set_all(end), condition=ours, deadline=deadline)

        await obey(call)


async def run_sluiceway() -> None:
    sys.path.insert(0, str(ROOT / "layers" / "sluiceway"))
    from sluiceway.aws.idempotency import DynamoDbIdempotencyStore  # noqa: PLC0415 - only where it is measured
    from sluiceway.aws.wire import Wire  # noqa: PLC0415 - the same
    from sluiceway.idempotency import idempotent  # noqa: PLC0415 - the same

    loop = asyncio.get_running_loop()
    async with Wire.open(dict(os.environ)) as wire:
        store = DynamoDbIdempotencyStore(wire, TABLE)

        @idempotent(key="id", store=store, name="orders", deadline=lambda *_: loop.time() + 30)
        async def handle(event: dict[str, Any], number: int) -> dict[str, int]:
            del event
            return {"ok": number}

        async def call(number: int) -> None:
            await handle(make_event(number), number)

        await obey(call)


async def run_idemkit() -> None:
    sys.path.insert(0, os.environ[PEER])
    from idemkit import DynamoBackend, MethodConfig, idempotent  # noqa: PLC0415 - only where it is measured

    region, url = os.environ["AWS_REGION"], os.environ["AWS_ENDPOINT_URL"]
    backend = DynamoBackend(table=TABLE, region_name=region, endpoint_url=url, create_table=False)

    @idempotent(
        backend=backend, config=MethodConfig(key_fields=["key"], scope=lambda *_: "bench", lease_ttl_seconds=30.0)
    )
    async def handle(key: str, event: dict[str, Any], number: int) -> dict[str, int]:
        del key, event
        return {"ok": number}

    async def call(number: int) -> None:
        event = make_event(number)
        await handle(key=event["id"], event=event, number=number)

    try:
        await obey(call)
    finally:
        await backend.aclose()


def run_powertools() -> None:
    import boto3  # noqa: PLC0415 - only the process that measures it may load it
    from aws_lambda_powertools.utilities.idempotency import (  # noqa: PLC0415 - the same
        DynamoDBPersistenceLayer,
        IdempotencyConfig,
        idempotent_function,
    )
    from botocore.config import Config  # noqa: PLC0415 - the same

    client = boto3.client("dynamodb", config=Config(max_pool_connections=128, retries={"mode": "standard"}))
    layer = DynamoDBPersistenceLayer(table_name=TABLE, boto3_client=client)
    config = IdempotencyConfig(event_key_jmespath="id", lambda_context=CONTEXT)

    @idempotent_function(data_keyword_argument="event", persistence_store=layer, config=config)
    def handle(event: dict[str, Any], number: int) -> dict[str, int]:
        del event
        return {"ok": number}

    for line in sys.stdin:
        round_s, concurrency = json.loads(line)
        print(json.dumps(_measure_threads(handle, round_s, concurrency)), flush=True)


def _measure_threads(handle: Any, round_s: float, concurrency: int) -> Cost:
    """One at a time runs in this thread, more in as many threads."""
    cpu, wall = time.process_time(), time.perf_counter()
    numbers, ends = count(), wall + round_s

    def work(_thread: int) -> None:
        while True:  # one at least: so many threads take a while to start
            number = next(numbers)
            handle(event=make_event(number), number=number)
            if time.perf_counter() >= ends:
                return

    if concurrency == 1:
        work(0)
    else:
        with ThreadPoolExecutor(concurrency) as threads:
            list(threads.map(work, range(concurrency)))
    calls = next(numbers)
    return (time.process_time() - cpu) / calls, (time.perf_counter() - wall) / calls


def install_idemkit() -> bool:
    """Make the peer's environment once; False where it cannot be made, which is said."""
    version = ".".join(map(str, sys.version_info[:2]))
    folder = Path(tempfile.gettempdir()) / f"sluiceway-bench-idemkit-1.0.2-python{version}"
    if not (folder / "ready").exists():
        print(f"Installing {IDEMKIT} into {folder} (once)...", flush=True)
        steps = [[sys.executable, "-m", "venv", "--clear", str(folder)]]
        steps += [
            [str(folder / "bin" / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check", IDEMKIT]
        ]
        for step in steps:
            done = subprocess.run(step, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"skipped: idemkit cannot be installed: {done.stderr.strip().splitlines()[-1:]}")
                return False
        (folder / "ready").touch()
    os.environ[PEER] = str(folder / "lib" / f"python{version}" / "site-packages")
    return True


def describe(costs: dict[str, list[Cost]], concurrency: int) -> list[list[str]]:
    """A row for each side: CPU with its range, wall, and both beside the calls by hand."""
    rows = []
    hand = costs["by hand"]
    for client, each in costs.items():
        cpu, wall = ([1e6 * cost[at] for cost in each] for at in (0, 1))
        ratio = [pair([cost[at] for cost in each], [cost[at] for cost in hand]) for at in (0, 1)]
        spread = f"{min(cpu):.0f}-{max(cpu):.0f}"
        rows.append(
            [
                str(concurrency),
                "powertools, threads" if client == "powertools" and concurrency > 1 else client,
                f"{statistics.median(cpu):.0f}",
                spread,
                f"{statistics.median(wall):.0f}",
                f"{ratio[0]:.2f}",
                f"{ratio[1]:.2f}",
            ]
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--round-s", type=float, default=0.5, help="seconds of one side in one round")
    parser.add_argument("--quick", action="store_true", help="two short rounds: to see that it runs")
    parser.add_argument("--client", choices=CLIENTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client == "powertools":
        run_powertools()
        return
    if options.client:
        sides = {"by hand": run_by_hand, "table": run_table, "sluiceway": run_sluiceway, "idemkit": run_idemkit}
        with asyncio.Runner() as runner:
            runner.run(sides[options.client]())
        return
    rounds, round_s = (2, 0.1) if options.quick else (options.rounds, options.round_s)
    clients = [client for client in CLIENTS if client != "idemkit" or install_idemkit()]
    rows, verdicts = [], []
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder)) as server:
        for scheme, url in (("http", server.url), ("https", server.tls_url)):
            workers = {client: Worker(__file__, client, url=url, ca=server.ca) for client in clients}
            try:
                for worker in workers.values():
                    worker.measure(WARM_S, max(CONCURRENCY))  # warm
                for concurrency in CONCURRENCY:
                    costs = compare(workers, rounds=rounds, round_s=round_s, concurrency=concurrency)
                    rows += [[scheme, *row] for row in describe(costs, concurrency)]
                    cpu = {client: [cost[0] for cost in each] for client, each in costs.items()}
                    verdicts.append((f"{scheme}, {concurrency} at once", pair(cpu["sluiceway"], cpu["by hand"])))
            finally:
                for worker in workers.values():
                    worker.close()
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"{rounds} rounds of {round_s} s a side, interleaved. Python {version} on {os.cpu_count()} cores.")
    print_table(["", "at once", "side", "CPU us", "range", "wall us", "CPU / by hand", "wall / by hand"], rows)
    for what, ratio in verdicts:
        print_verdict(f"{what}: CPU of a call, of the two by hand", measured=ratio, budget=BUDGET)


if __name__ == "__main__":
    main()
