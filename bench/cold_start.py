"""What a cold start costs: from process start to an answered invocation with two AWS calls in it.

The same function on Sluiceway, aioboto3 (one held loop) and boto3, under the official runtime client, and on Sluiceway
under the layer's own ("own client"), as the template's functions run: parse an SQS message, GetItem, SendMessage, one
log line by Powertools Logger, answer. CPU is the whole process's, user and system, read when it waits for its next
event. Rounds are interleaved, and ratios are the medians of each round's own, since machines change speed while they
are measured. "no work" is the interpreter and the official client alone.
Run: python bench/cold_start.py [--rounds N] [--quick]
"""

from __future__ import annotations

import argparse
import re
import statistics
import tempfile
from pathlib import Path

from runtime_api import RuntimeApi
from sides import AIOBOTO3, BOTO3, NOTHING, OWN_CLIENT, SLUICEWAY, Bench, Side, Usage
from stand_in import Server
from table import pair, print_table, print_verdict

SIDES = (OWN_CLIENT, SLUICEWAY, AIOBOTO3, BOTO3, NOTHING)
BUDGET = 1 / 4  # of aioboto3's CPU


def start_once(bench: Bench, side: Side, *, tls: bool) -> Usage:
    worker = bench.start(side, tls=tls)
    try:
        worker.run(1)
    finally:
        usage = worker.end()
    return usage


def count_modules(bench: Bench, side: Side) -> int:
    """Modules imported on the way, in a run of its own: telling them costs time."""
    worker = bench.start(side, options=("-X", "importtime"))
    try:
        worker.run(1)
    finally:
        worker.end()
    return len(re.findall(r"^import time: +\d+ \|", worker.said(), flags=re.MULTILINE))


def compare(bench: Bench, *, tls: bool, rounds: int, modules: dict[Side, int]) -> tuple[list[list[str]], float]:
    """The rows, and the share of aioboto3's CPU that Sluiceway takes under its own client."""
    used: dict[Side, list[Usage]] = {side: [] for side in SIDES}
    for _ in range(rounds):
        for side in SIDES:
            used[side].append(start_once(bench, side, tls=tls))
    cpu = {side: [usage.cpu_s for usage in usages] for side, usages in used.items()}
    rows = [
        [
            "https" if tls else "http",
            side.label,
            f"{statistics.median(cpu[side]) * 1e3:.0f}",
            f"{min(cpu[side]) * 1e3:.0f}",
            f"{pair(cpu[side], cpu[AIOBOTO3]):.2f}",
            f"{statistics.median(usage.rss_kib for usage in usages) / 1024:.1f}",
            str(modules[side]),
        ]
        for side, usages in used.items()
    ]
    return rows, pair(cpu[OWN_CLIENT], cpu[AIOBOTO3])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--quick", action="store_true", help="three rounds: to see that it runs")
    options = parser.parse_args()
    rounds = 3 if options.quick else options.rounds
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder)) as server, RuntimeApi() as runtime_api:
        bench = Bench(Path(folder), server=server, runtime_api=runtime_api)
        modules = {side: count_modules(bench, side) for side in SIDES}
        rows, shares = [], {}
        for tls in (False, True):
            more, shares["https" if tls else "http"] = compare(bench, tls=tls, rounds=rounds, modules=modules)
            rows += more
        print(f"Cold start, medians of {rounds} rounds. {bench.describe()}")
        print_table(["", "", "CPU ms", "least", "/ aioboto3", "RSS MiB", "modules"], rows)
    for scheme, share in shares.items():
        print_verdict(f"{scheme}, own client: CPU of aioboto3's", measured=share, budget=BUDGET)


if __name__ == "__main__":
    main()
