"""What a warm invocation with two AWS calls costs, runtime client and all.

The same function as in cold_start.py on every side, one process each under the official runtime client, and once more
under the layer's own ("own client"), served one event after the other by a Runtime API in another process; AWS is a
stand-in in a third. CPU is the worker's own clock, all threads. Rounds are interleaved, equally long for every side, so
that each finds caches as cold, and ratios are the medians of each round's own, since machines change speed while they
are measured. "no work" is the official client alone: no handler can cost less under it. "ceiling" is what the Runtime
API can serve at most, to a client that does nothing with what it gets.
Run: python bench/invocation.py [--rounds N] [--round-s S] [--quick]
"""

from __future__ import annotations

import argparse
import socket
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Thread

from runtime_api import RuntimeApi
from sides import AIOBOTO3, AIOBOTO3_RUN, BOTO3, NOTHING, OWN_CLIENT, SLUICEWAY, Bench, Side, Worker
from stand_in import Server
from table import pair, print_table, print_verdict

SIDES = (OWN_CLIENT, SLUICEWAY, BOTO3, AIOBOTO3, AIOBOTO3_RUN, NOTHING)
WARM_S = 1.0
CEILING_EVENTS = 2000
BUDGET = 1 / 6  # of boto3's CPU, with TLS
NEXT = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
ANSWER = b"POST /2018-06-01/runtime/invocation/0/response HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 2\r\n\r\n{}"
Costs = Mapping[Side, list[tuple[float, float]]]


def measure_ceiling(runtime_api: RuntimeApi, *, events: int) -> float:
    """Invocations a second of a client that answers at once and reads nothing but where a reply ends."""
    port = runtime_api.open()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def answer_all() -> None:
            connection.sendall(NEXT)
            while connection.recv(65536):
                connection.sendall(ANSWER)
                if not connection.recv(65536):
                    return
                connection.sendall(NEXT)

        Thread(target=answer_all, daemon=True).start()
        ceiling = events / runtime_api.run(port, events)
        connection.shutdown(socket.SHUT_RDWR)
    return ceiling


def compare(bench: Bench, sides: Sequence[Side], *, rounds: int, round_s: float, tls: bool = False) -> Costs:
    """CPU and wall seconds of one invocation, for each side and round of about `round_s` seconds."""
    workers = {side: bench.start(side, tls=tls) for side in sides}
    try:
        shares = {side: warm_up(worker, round_s=round_s) for side, worker in workers.items()}
        costs: dict[Side, list[tuple[float, float]]] = {side: [] for side in sides}
        for _ in range(rounds):
            for side, worker in workers.items():
                begun = worker.cpu_s()
                spent_s = worker.run(shares[side])
                costs[side].append(((worker.cpu_s() - begun) / shares[side], spent_s / shares[side]))
    finally:
        for worker in workers.values():
            worker.end()
    return costs


def warm_up(worker: Worker, *, round_s: float) -> int:
    """Serve events for a while; how many fill a round."""
    events, spent_s = 5, worker.run(5)
    ends = time.monotonic() + min(WARM_S, 2 * round_s)
    while time.monotonic() < ends:
        spent_s = worker.run(events)
        if spent_s < round_s / 4:
            events *= 2
    return max(5, round(events / spent_s * round_s))


def describe(costs: Costs, *, tls: bool) -> list[list[str]]:
    cpu = {side: [cost[0] for cost in rows] for side, rows in costs.items()}
    wall = {side: [cost[1] for cost in rows] for side, rows in costs.items()}
    return [
        [
            "https" if tls else "http",
            side.label,
            f"{statistics.median(cpu[side]) * 1e3:.2f}",
            f"{pair(cpu[side], cpu[BOTO3]):.2f}",
            f"{1 / statistics.median(wall[side]):.0f}",
            f"{pair(wall[BOTO3], wall[side]):.2f}",
        ]
        for side in SIDES
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--round-s", type=float, default=0.4, help="seconds of one side in one round")
    parser.add_argument("--quick", action="store_true", help="two short rounds: to see that it runs")
    options = parser.parse_args()
    rounds, round_s = (2, 0.1) if options.quick else (options.rounds, options.round_s)
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder)) as server, RuntimeApi() as runtime_api:
        bench = Bench(Path(folder), server=server, runtime_api=runtime_api)
        rows = []
        for tls in (False, True):
            ceiling = measure_ceiling(runtime_api, events=CEILING_EVENTS)
            costs = compare(bench, SIDES, tls=tls, rounds=rounds, round_s=round_s)
            rows += [*describe(costs, tls=tls), ["https" if tls else "http", "ceiling", "", "", f"{ceiling:.0f}", ""]]
        print(f"A warm invocation, medians of {rounds} rounds of {round_s} s. {bench.describe()}")
        print_table(["", "", "CPU ms", "/ boto3", "invocations/s", "/ boto3"], rows)
    share = pair([cpu for cpu, _ in costs[OWN_CLIENT]], [cpu for cpu, _ in costs[BOTO3]])
    print_verdict("https, own client: CPU of boto3's under the official client", measured=share, budget=BUDGET)


if __name__ == "__main__":
    main()
