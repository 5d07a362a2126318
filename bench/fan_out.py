"""What it costs to bring a record to many clients: posts over TLS, records to real sockets, and what a batch costs.

Three questions. Posts a second of one process over TLS: the layer's way beside aiobotocore and boto3's threads, 64 at a
time, to a stand-in on loopback. Milliseconds from PutRecord to the client, over the local cloud: its stream, its event
source mapping, function processes and sockets; a record at a time, the next when everyone has the last. CPU of one
invocation for a batch of 100 records of 1 kB, as connections and distinct filters grow; posts cost nothing there.
Run: python bench/fan_out.py [--sockets 100 1000 5000] [--records N] [--rounds N] [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import concurrent.futures
import contextlib
import io
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clients import Worker, compare, describe, obey
from cloud import ROOT, Cloud
from posts import CONNECTIONS, FRAME, run_aiobotocore, run_sluiceway
from stand_in import Server
from table import print_table

CLIENTS = ("sluiceway", "aiobotocore", "boto3")
AT_ONCE = 64
WARM_S = 0.5
SOCKETS = (100, 1_000)  # 5,000 take minutes to connect on two cores
HANDSHAKES = 8  # at once
ROLL_S = 2.5  # until a subscription counts, and a little
BATCH = 100
COSTS = ((100, 10), (1_000, 10), (10_000, 10), (1_000, 1), (1_000, 100), (1_000, 1_000))  # connections, filters
SETTLE_S = 60.0


# ---------------------------------------------------------------- posts


async def run_boto3() -> None:
    """Threads, which share one client, as its documentation allows."""
    import boto3  # noqa: PLC0415 - only the process that measures it may load it
    from botocore.config import Config  # noqa: PLC0415 - the same

    config = Config(max_pool_connections=AT_ONCE, retries={"mode": "standard", "total_max_attempts": 1})
    url = f"{os.environ['AWS_ENDPOINT_URL']}/live"
    client: Any = boto3.client("apigatewaymanagementapi", config=config, endpoint_url=url)
    loop = asyncio.get_running_loop()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as threads:

        def post(number: int) -> None:
            client.post_to_connection(ConnectionId=CONNECTIONS[number % len(CONNECTIONS)], Data=FRAME)

        async def call(number: int) -> None:
            await loop.run_in_executor(threads, post, number)

        await obey(call)


def compare_posts(rounds: int, round_s: float) -> None:
    """A table of the three clients."""
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder)) as server:
        workers = {client: Worker(__file__, client, url=server.tls_url, ca=server.ca) for client in CLIENTS}
        for worker in workers.values():
            worker.measure(WARM_S, AT_ONCE)
        costs = compare(workers, rounds=rounds, round_s=round_s, concurrency=AT_ONCE)
        for worker in workers.values():
            worker.close()
    rows = [
        [*row, f"{1 / statistics.median(wall for _, wall in costs[row[0]]):.0f}"]
        for row in describe(costs, ours="sluiceway")
    ]
    print(f"Posts over TLS, {AT_ONCE} at a time, medians of {rounds} rounds of {round_s} s.")
    print_table(["client", "CPU ms", "/ sluiceway", "wall ms", "/ sluiceway", "posts/s"], rows)


# ---------------------------------------------------------------- from PutRecord to the client


class Crowd:
    """Clients that have subscribed, each with a task that notes when a record came."""

    def __init__(self) -> None:
        self.arrived: dict[int, list[float]] = {}
        self.wanted = 0
        self.done = asyncio.Event()

    def note(self, frame: dict[str, Any]) -> None:
        now = time.perf_counter()
        for each in frame["d"]:
            came = self.arrived.setdefault(each["d"]["number"], [])
            came.append(now)
            if len(came) == self.wanted:
                self.done.set()

    async def read(self, socket: Any) -> None:
        async for message in socket:
            self.note(json.loads(message.data))


async def bring_records(cloud: Cloud, sockets: int, records: int) -> list[float]:
    """Milliseconds of each client and record."""
    import aiohttp  # noqa: PLC0415 - not for the processes that measure posts
    import boto3  # noqa: PLC0415 - the same

    kinesis: Any = boto3.client(
        "kinesis",
        endpoint_url=cloud.status["endpoints"]["aws"],
        region_name="us-east-1",
        aws_access_key_id="root",
        aws_secret_access_key="root",
    )
    outputs = cloud.status["outputs"]
    headers = {"Authorization": f"Bearer {cloud.sluiceway('token')}"}
    crowd, limit = Crowd(), asyncio.Semaphore(HANDSHAKES)
    crowd.wanted = sockets
    sent: dict[int, float] = {}

    async def put(number: int) -> None:
        crowd.done.clear()
        data = json.dumps({"number": number, "text": "x" * 200})
        sent[number] = time.perf_counter()
        await asyncio.to_thread(
            kinesis.put_record, StreamName=outputs["RecordsStreamName"], Data=data, PartitionKey="one"
        )
        async with asyncio.timeout(SETTLE_S + sockets / 20):
            await crowd.done.wait()

    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers)
        )
        group = await stack.enter_async_context(asyncio.TaskGroup())

        async def enter() -> Any:
            async with limit:
                socket = await session.ws_connect(outputs["SocketUrl"])
                await socket.send_json({"action": "subscribe", "req": "s", "topic": "records"})
                await socket.receive_json(timeout=SETTLE_S)
                return socket

        async with asyncio.TaskGroup() as entering:
            opened = [entering.create_task(enter()) for _ in range(sockets)]
        reading = [group.create_task(crowd.read(each.result())) for each in opened]
        await asyncio.sleep(ROLL_S)
        for number in range(records + 1):
            await put(number)
        for task in reading:
            task.cancel()
    return [(at - sent[number]) * 1e3 for number in range(1, records + 1) for at in crowd.arrived[number]]


def measure_sockets(sizes: Sequence[int], records: int, template: Path, what: str) -> None:
    """A table of how long a record takes to the first, the median, the 99th of a hundred and the last client."""
    rows: list[list[str]] = []
    for sockets in sizes:
        with tempfile.TemporaryDirectory() as folder, Cloud(Path(folder), template=template) as cloud:
            took = sorted(asyncio.run(bring_records(cloud, sockets, records)))
        p50, p99 = took[len(took) // 2], took[math.ceil(len(took) * 0.99) - 1]
        rows.append([str(sockets), *(f"{each:.0f}" for each in (took[0], p50, p99, took[-1])), f"{p99 / sockets:.2f}"])
    print(f"From PutRecord to the client over the local cloud, {what}: {records} records, one at a time; ms.")
    print_table(["sockets", "first", "p50", "p99", "last", "p99 a socket"], rows)


def write_parted(folder: Path) -> Path:
    """The template with four parts for any crowd of 500."""
    text = (ROOT / "template.yaml").read_text(encoding="utf-8")
    table = "          SUBSCRIPTIONS_TABLE: !Ref SubscriptionsTable\n"
    own = "          MASK_KEY: !Ref MaskKey\n          CONNECTIONS_URL: *connections_url\n"
    text = text.replace(table, f'{table}          SUBSCRIBER_PARTS: "4"\n')
    text = text.replace(own, f'{own}          FAN_OUT_FROM: "500"\n')
    for name in ("functions", "layers"):
        (folder / name).symlink_to(ROOT / name)
    path = folder / "template.yaml"
    path.write_text(text)
    return path


# ---------------------------------------------------------------- what a batch costs


def measure_costs(rounds: int) -> None:
    """A table of the CPU of one invocation, posts aside."""
    sys.path[:0] = [str(ROOT), str(ROOT / "layers" / "sluiceway")]
    rows: list[list[str]] = []
    for connections, filters in COSTS:
        with contextlib.redirect_stdout(io.StringIO()):
            cpu_s, posts = asyncio.run(serve_batches(connections, filters, rounds))
        rows.append(
            [str(connections), str(filters), f"{cpu_s * 1e3:.1f}", f"{cpu_s / connections * 1e6:.1f}", str(posts)]
        )
    print(f"CPU of an invocation for {BATCH} records of 1 kB, posts that cost nothing, medians of {rounds}.")
    print_table(["connections", "filters", "CPU ms", "us a connection", "posts"], rows)


async def serve_batches(connections: int, filters: int, rounds: int) -> tuple[float, int]:
    """The median of the CPU seconds, and how many posts one batch is."""
    from sluiceway.events.invocation import Invocation  # noqa: PLC0415 - see measure_costs
    from sluiceway.events.kinesis import KinesisBatch, KinesisRecord  # noqa: PLC0415 - the same
    from sluiceway.flows.broadcast import BroadcastDesk, broadcast_records  # noqa: PLC0415 - the same
    from sluiceway.flows.posting import PostingDesk  # noqa: PLC0415 - the same
    from sluiceway.flows.subscribers import SubscriberCache  # noqa: PLC0415 - the same
    from sluiceway.ports import Subscription, SystemChance, SystemClock  # noqa: PLC0415 - the same
    from sluiceway.rules.access import AccessRules  # noqa: PLC0415 - the same
    from sluiceway.rules.numbering import Numbering  # noqa: PLC0415 - the same

    found = tuple(
        Subscription(
            f"c{number:06}",
            "orders",
            1,
            f'{{"total":[{{"numeric":[">=",{100 * (number % filters)}]}}]}}' if filters > 1 else "",
            expires_s=1 << 40,
        )
        for number in range(connections)
    )
    posts = 0

    class Here:
        parts = 1

        async def of_part(self, topic: str, part: int) -> tuple[Subscription, ...]:
            del topic, part
            return found

        async def drop(self, subscription: Subscription) -> None:
            del subscription

        async def post(self, connection_id: str, data: bytes) -> None:
            nonlocal posts
            del connection_id, data
            posts += 1

        async def disconnect(self, connection_id: str) -> None:
            del connection_id

    here = Here()
    subscribers = SubscriberCache(here, SystemClock(), AccessRules({"orders": "public"}, "ACCESS"))
    chance = SystemChance()
    desk = BroadcastDesk(
        subscribers, PostingDesk(here, subscribers, chance), {"Orders": "orders"}, Numbering(chance.draw)
    )
    arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/Orders"
    records = tuple(
        KinesisRecord(
            str(number), "k", json.dumps({"total": 1000 * number, "text": "x" * 950}).encode(), 0, "shardId-0", arn
        )
        for number in range(BATCH)
    )
    costs: list[float] = []
    for _ in range(rounds + 1):
        posts, began = 0, time.process_time()
        call = Invocation("r", "f", "arn", asyncio.get_running_loop().time() + 60)
        await broadcast_records(KinesisBatch(records), call, desk)
        costs.append(time.process_time() - began)
    return statistics.median(costs[1:]), posts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sockets", type=int, nargs="*", default=SOCKETS)
    parser.add_argument("--records", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--round-s", type=float, default=0.5, help="seconds of one client in one round")
    parser.add_argument("--quick", action="store_true", help="few and short: to see that it runs")
    parser.add_argument("--client", choices=CLIENTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        run = {"sluiceway": run_sluiceway, "aiobotocore": run_aiobotocore, "boto3": run_boto3}[options.client]
        with asyncio.Runner() as runner:
            runner.run(run())
        return
    rounds, round_s = (2, 0.1) if options.quick else (options.rounds, options.round_s)
    records = 2 if options.quick else options.records
    print(f"Python {'.'.join(map(str, sys.version_info[:3]))} on {os.cpu_count()} cores.")
    compare_posts(rounds, round_s)
    measure_costs(rounds)
    sizes = [20] if options.quick else options.sockets
    measure_sockets(sizes, records, ROOT / "template.yaml", "one invocation")
    with tempfile.TemporaryDirectory() as folder:
        measure_sockets(sizes[-1:], records, write_parted(Path(folder)), "four parts above 500")


if __name__ == "__main__":
    main()
