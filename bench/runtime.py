"""What a runtime client costs: warm invocations of a function that does nothing, ours beside the official one.

One process a side, served one event after the other by a Runtime API in another process. The official client is in its
python3.13 mode. `Protocol` is our client with room for one invocation at a time, so on its asyncio transport: the
question whether the blocking socket is worth having. Rounds are interleaved and equally long for every side; ratios are
the medians of the rounds' own.
Run: python bench/runtime.py [--rounds N] [--round-s S] [--quick]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from invocation import CEILING_EVENTS, compare, measure_ceiling
from runtime_api import RuntimeApi
from sides import NOTHING, Bench, Side
from stand_in import Server
from table import pair, print_table, print_verdict

OURS = ("sluiceway",)
PLAIN = Side("ours, def", "nothing", OURS, client="sluiceway")
ASYNC = Side("ours, async def", "nothing_async", OURS, client="sluiceway")
APP = Side("ours, App", "nothing_app", OURS, client="sluiceway")
ONE = (("AWS_LAMBDA_MAX_CONCURRENCY", "1"),)
PROTOCOL = Side("ours, async def, Protocol", "nothing_async", OURS, client="sluiceway", variables=ONE)
OFFICIAL = NOTHING
OFFICIAL_RUN = Side("official, asyncio.run", "nothing_run")
SIDES = (PLAIN, ASYNC, APP, PROTOCOL, OFFICIAL, OFFICIAL_RUN)
BUDGET = 1 / 2  # of the official client's time for an invocation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--round-s", type=float, default=0.4, help="seconds of one side in one round")
    parser.add_argument("--quick", action="store_true", help="two short rounds: to see that it runs")
    options = parser.parse_args()
    rounds, round_s = (2, 0.1) if options.quick else (options.rounds, options.round_s)
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder)) as server, RuntimeApi() as runtime_api:
        bench = Bench(Path(folder), server=server, runtime_api=runtime_api)
        ceiling = measure_ceiling(runtime_api, events=CEILING_EVENTS)
        costs = compare(bench, SIDES, rounds=rounds, round_s=round_s)
        about = bench.describe()
    cpu = {side: [cost[0] for cost in costs[side]] for side in SIDES}
    wall = {side: [cost[1] for cost in costs[side]] for side in SIDES}
    rows = [
        [
            "official, def" if side is OFFICIAL else side.label,
            f"{statistics.median(cpu[side]) * 1e6:.0f}",
            f"{pair(cpu[side], cpu[OFFICIAL]):.2f}",
            f"{1 / statistics.median(wall[side]):.0f}",
            f"{pair(wall[OFFICIAL], wall[side]):.1f}",
        ]
        for side in SIDES
    ]
    print(f"A warm invocation without work, medians of {rounds} rounds of {round_s} s. {about}")
    print_table(
        ["", "CPU us", "/ official", "invocations/s", "/ official"], [*rows, ["ceiling", "", "", f"{ceiling:.0f}", ""]]
    )
    for side in (PLAIN, ASYNC):
        share = pair(wall[side], wall[OFFICIAL])
        print_verdict(f"{side.label}: time of the official client's", measured=share, budget=BUDGET)


if __name__ == "__main__":
    main()
