"""How fast the local cloud is, beside MiniStack and moto's server: ready, invocations, requests, messages, items.

Each side runs in processes of its own with the same function, and is asked by one client that sends bytes which are
made already. Sides take turns in every round; figures are medians of the rounds. Ready time of this local cloud is
with its whole stack, that of the others is empty. A peer that is not there is left out, aloud.
Run: MINISTACK_PYTHON=... MOTO_PYTHON=... python bench/local_cloud.py [--rounds N] [--round-s S] [--quick]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from http_calls import Failed
from local_measures import (
    cpu_s,
    invoke_of,
    measure_queue,
    measure_table,
    rate,
    resident_mib,
    time_calls,
    time_first,
    time_mapped,
    time_reload,
)
from local_sides import MINISTACK, MOTO, MiniStack, Moto, Ours, Place, Side
from table import print_table, print_verdict

CLIENTS = (1, 16, 64)
SIZES = (1, 1_000, 100_000)
BUDGET_READY_S = 1.0
BUDGET_TRANSLATED_S = 2.5  # the translation is made, not taken from the cache
BUDGET_WARM_MS = 5.0
BUDGET_REQUESTS = 500  # a second, at 16 clients
BUDGET_MAPPED_MS = 10.0
BUDGET_RELOAD_MS = 100.0
Figures = dict[tuple[str, str], list[float]]
"""What was measured, by what it is and the side's name."""


class Board:
    """Every figure, and which of them are better when they are more."""

    def __init__(self) -> None:
        self.figures: Figures = {}
        self.rising: set[str] = set()

    def add(self, what: str, side: str, value: float, *, rising: bool = False) -> None:
        self.figures.setdefault((what, side), []).append(value)
        if rising:
            self.rising.add(what)

    def median(self, what: str, side: str) -> float | None:
        """None where it was not measured."""
        found = self.figures.get((what, side))
        return statistics.median(found) if found else None

    def rows(self, sides: list[str]) -> list[list[str]]:
        """A row for each figure: every side's median, and how many times better this local cloud's is."""
        rows = []
        for what in dict.fromkeys(each for each, _ in self.figures):
            medians = [self.median(what, side) for side in sides]
            mine = medians[0]
            better = [
                "" if mine is None or other is None else _ratio(mine, other, rising=what in self.rising)
                for other in medians[1:]
            ]
            rows.append([what, *("" if each is None else _written(each) for each in medians), *better])
        return rows


def _written(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ") if value >= 100 else f"{value:.3g}"


def _ratio(mine: float, other: float, *, rising: bool) -> str:
    return f"{(mine / other if rising else other / mine):.2g}" if mine and other else ""


def open_sides(folder: Path) -> dict[str, Side]:
    times = {name: folder / f"{name}.times" for name in ("ours", "ministack")}
    for name in ("ours", "ministack", "moto"):
        (folder / name).mkdir()
    sides: list[Side] = [Ours(folder / "ours", times["ours"])]
    if python := os.environ.get(MINISTACK):
        sides.append(MiniStack(folder / "ministack", python=python, times=times["ministack"]))
    else:
        print(f"left out: MiniStack; {MINISTACK} names no interpreter that has it")
    if python := os.environ.get(MOTO):
        sides.append(Moto(folder / "moto", python=python))
        print("left out: moto's functions, which need Docker")
    else:
        print(f"left out: moto; {MOTO} names no interpreter that has moto[server]")
    return {side.label: side for side in sides}


def measure_ready(board: Board, sides: Mapping[str, Side], *, rounds: int) -> None:
    for _ in range(rounds):
        for name, side in sides.items():
            if isinstance(side, Ours):
                side.renew()
                place = side.start()
                board.add("ready, translated anew, s", name, place.ready_s)
                side.stop()
            place = side.start()
            board.add("ready, s", name, place.ready_s)
            board.add("CPU until then, s", name, cpu_s(place.pid))
            board.add("memory when ready, MiB", name, resident_mib(place.pid))
            if place.http:
                board.add("first invocation, ms", name, time_first(place) * 1e3)
            side.stop()


def measure_functions(
    board: Board, places: Mapping[str, Place], sides: Mapping[str, Side], *, folder: Path, calls: int, round_s: float
) -> None:
    for name, place in places.items():
        if not place.http:
            continue
        median_s, worst_s, spent_s = time_calls(place.aws, invoke_of(place), calls=calls, pid=place.pid)
        board.add("warm Invoke, p50 ms", name, median_s * 1e3)
        board.add("warm Invoke, p99 ms", name, worst_s * 1e3)
        board.add("warm Invoke, server's CPU ms", name, spent_s * 1e3)
        median_s, worst_s, spent_s = time_calls(place.http, place.get_hello, calls=calls, pid=place.pid)
        board.add("HTTP API to function, p50 ms", name, median_s * 1e3)
        board.add("HTTP API to function, p99 ms", name, worst_s * 1e3)
        board.add("HTTP API to function, server's CPU ms", name, spent_s * 1e3)
        for clients in CLIENTS:
            what = f"HTTP API to function, requests/s of {clients}"
            board.add(what, name, rate(place, clients=clients, round_s=round_s), rising=True)
        times = folder / ("ours.times" if isinstance(sides[name], Ours) else "ministack.times")
        took = time_mapped(place, times, messages=max(3, calls // 10))
        board.add("SQS to handler, p50 ms", name, statistics.median(took) * 1e3)
        board.add("SQS to handler, worst ms", name, took[-1] * 1e3)
        board.add("reload, ms", name, time_reload(sides[name], place) * 1e3)


def measure_state(board: Board, places: Mapping[str, Place], *, sizes: tuple[int, ...], round_s: float) -> None:
    kinds: list[tuple[str, Callable[[Place, int], dict[str, float]]]] = [
        ("SQS {} at {} messages, calls/s", lambda place, size: measure_queue(place, length=size, round_s=round_s)),
        ("DynamoDB {} at {} items, calls/s", lambda place, size: measure_table(place, size=size, round_s=round_s)),
    ]
    for title, measure in kinds:
        for size in sizes:
            for name, place in places.items():
                try:
                    measured = measure(place, size)
                except Failed as failed:
                    print(f"left out: {title.split()[0]} of {name} at {size}: {failed}")
                    continue
                for call, calls_a_second in measured.items():
                    written = title.format(call, f"{size:,}".replace(",", " "))
                    board.add(written, name, calls_a_second, rising=True)


def tell_budgets(board: Board, name: str) -> None:
    def of(what: str) -> float:
        return board.median(what, name) or 0.0

    print_verdict("ready with a cached translation, s", measured=of("ready, s"), budget=BUDGET_READY_S)
    print_verdict("ready, translated anew, s", measured=of("ready, translated anew, s"), budget=BUDGET_TRANSLATED_S)
    print_verdict("warm Invoke, p50 ms", measured=of("warm Invoke, p50 ms"), budget=BUDGET_WARM_MS)
    seconds = BUDGET_REQUESTS / max(1e-9, of("HTTP API to function, requests/s of 16"))
    print_verdict(f"{BUDGET_REQUESTS} requests of 16 clients, s", measured=seconds, budget=1.0)
    print_verdict("SQS to handler, worst ms", measured=of("SQS to handler, worst ms"), budget=BUDGET_MAPPED_MS)
    print_verdict("reload, ms", measured=of("reload, ms"), budget=BUDGET_RELOAD_MS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--round-s", type=float, default=1.0, help="seconds of one measure of one side in one round")
    parser.add_argument("--quick", action="store_true", help="one short round: to see that it runs")
    options = parser.parse_args()
    rounds, round_s, calls, sizes = (
        (1, 0.2, 20, SIZES[:2]) if options.quick else (options.rounds, options.round_s, 100, SIZES)
    )
    board = Board()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sides = open_sides(folder)
        measure_ready(board, sides, rounds=rounds)
        places: dict[str, Place] = {}
        try:
            for name, side in sides.items():
                places[name] = side.start()
                if places[name].http:
                    time_first(places[name])
                    rate(places[name], clients=max(CLIENTS), round_s=round_s)  # its environments start now
            for _ in range(rounds):
                measure_functions(board, places, sides, folder=folder, calls=calls, round_s=round_s)
            measure_state(board, places, sizes=sizes, round_s=round_s)
        finally:
            for name in places:
                sides[name].stop()
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"A local cloud, medians of {rounds} rounds of {round_s} s. Python {version} on {os.cpu_count()} cores.")
    names = list(sides)
    print_table(["", *names, *(f"better than {name}" for name in names[1:])], board.rows(names))
    tell_budgets(board, names[0])


if __name__ == "__main__":
    main()
