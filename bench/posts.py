"""What one post to a WebSocket connection costs: the layer's way to clients beside aiobotocore (in aioboto3).

PostToConnection of a delta frame, as a worker of a streamed answer sends it. Each client runs in a process of its own
against the same stand-in server in another process. Rounds are interleaved and ratios are the medians of the rounds'
own, since machines change speed while they are measured.
Run: python bench/posts.py [--rounds N] [--round-s S] [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

from clients import Worker, compare, describe, obey
from stand_in import Server
from table import pair, print_table, print_verdict

CLIENTS = ("sluiceway", "aiobotocore")
CONCURRENCY = (1, 8, 64)
WARM_S = 0.5
BUDGET_SHARE = 1 / 10  # of aiobotocore's CPU, with TLS
URL = "https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com/live"
CONNECTIONS = [f"L0SM9cOFvHcCI{number:02d}=" for number in range(64)]
FRAME = b'{"v":1,"req":"r-5f0c7a7e","seq":12,"off":345,"try":1,"t":"delta","d":" and the Elbe, which rises in"}'


async def run_sluiceway() -> None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "layers" / "sluiceway"))
    from sluiceway.aws.connections import ApiConnections  # noqa: PLC0415 - only the process that measures it may load it
    from sluiceway.aws.wire import Wire  # noqa: PLC0415 - the same

    async with Wire.open(dict(os.environ)) as wire:
        connections = ApiConnections(wire, URL)

        async def call(number: int) -> None:
            await connections.post(CONNECTIONS[number % len(CONNECTIONS)], FRAME)

        await obey(call)


async def run_aiobotocore() -> None:
    import aioboto3  # noqa: PLC0415 - only the process that measures it may load it
    from aiobotocore.config import AioConfig  # noqa: PLC0415 - the same

    config = AioConfig(max_pool_connections=64, retries={"mode": "standard", "total_max_attempts": 1})
    url = f"{os.environ['AWS_ENDPOINT_URL']}/live"
    async with aioboto3.Session().client("apigatewaymanagementapi", config=config, endpoint_url=url) as client:

        async def call(number: int) -> None:
            await client.post_to_connection(ConnectionId=CONNECTIONS[number % len(CONNECTIONS)], Data=FRAME)

        await obey(call)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--round-s", type=float, default=0.25, help="seconds of one client in one round")
    parser.add_argument("--quick", action="store_true", help="two short rounds: to see that it runs")
    parser.add_argument("--client", choices=CLIENTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        with asyncio.Runner() as runner:
            runner.run(run_sluiceway() if options.client == "sluiceway" else run_aiobotocore())
        return
    rounds, round_s = (2, 0.1) if options.quick else (options.rounds, options.round_s)
    rows, shares = [], {}
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder)) as server:
        for scheme, url in (("http", server.url), ("https", server.tls_url)):
            workers = {client: Worker(__file__, client, url=url, ca=server.ca) for client in CLIENTS}
            for worker in workers.values():
                worker.measure(WARM_S, max(CONCURRENCY))  # warm
            for concurrency in CONCURRENCY:
                costs = compare(workers, rounds=rounds, round_s=round_s, concurrency=concurrency)
                rows += [[scheme, str(concurrency), *row] for row in describe(costs, ours="sluiceway")]
                ours, theirs = ([cost[0] for cost in costs[client]] for client in CLIENTS)
                shares[scheme, concurrency] = pair(ours, theirs)
            for worker in workers.values():
                worker.close()
    about = f"Python {'.'.join(map(str, sys.version_info[:3]))} on {os.cpu_count()} cores."
    print(f"A post to a connection, medians of {rounds} rounds of {round_s} s. {about}")
    print_table(["", "concurrency", "client", "CPU ms", "/ sluiceway", "wall ms", "/ sluiceway"], rows)
    for concurrency in CONCURRENCY:
        what = f"https, {concurrency} at a time: CPU of aiobotocore's"
        print_verdict(what, measured=shares["https", concurrency], budget=BUDGET_SHARE)


if __name__ == "__main__":
    main()
