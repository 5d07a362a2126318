"""What the load proof of the mesh has found, as tables and verdicts, and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from mesh_figures import Fate, Memory, Seen, Spread
from table import print_table

TOLD_MB = 0.05  # a minute
WARM_S = 285.0  # before that memory is told, and fails nothing


class Second(NamedTuple):
    """One sample. `put`, `sent` (came to destinations), `frames` and `shown` (records in them) count from the start.

    `filter_s` and `broadcast_s`: the age of the oldest record that was put and not seen. CPU in cores, memory in MB.
    """

    phase: str
    at_s: float
    rate: float
    put: int
    sent: int
    frames: int
    shown: int
    filter_s: float
    broadcast_s: float
    cloud_mb: float
    functions_mb: float
    environments: int
    descriptors: int
    cloud_cpu: float
    functions_cpu: float
    own_cpu: float
    state_mb: float
    by_function: dict[str, float]


class Arrival(NamedTuple):
    """One destination: what became of its records, how late they came, and how many showed what is hidden."""

    kind: str
    fate: Fate
    spread: Spread
    shown: int


@dataclass(frozen=True)
class Outcome:
    """All that was found. `held`: the highest rate of the ramp, 0 without one; `ages`: IteratorAge by minute.

    `growth`: MB a minute of each function.
    """

    held: float
    rate: float
    hold: Sequence[Second]
    put: int
    failed: int
    places: dict[str, Arrival]
    seen: Seen
    crowd: Spread
    sockets: int
    ages: dict[str, list[float]]
    letters: dict[str, int]
    cloud: Memory
    functions: Memory
    growth: dict[str, float]
    bound_s: float
    is_bounded: bool

    @property
    def is_whole(self) -> bool:
        """Nothing lost, nothing where it does not belong, nothing shown that is hidden, no dead letter."""
        whole = all(each.fate.is_whole and not each.shown for each in self.places.values())
        return whole and not (self.failed or self.seen.missing or self.seen.wrong or sum(self.letters.values()))

    @property
    def tells_of_memory(self) -> bool:
        """A process that is warming up grows, and does so for minutes."""
        return self.hold[-1].at_s - self.hold[0].at_s >= WARM_S

    @property
    def is_proof(self) -> bool:
        is_flat = self.cloud.is_flat and self.functions.is_flat
        return self.is_whole and self.is_bounded and (is_flat or not self.tells_of_memory)

    def per_s(self, name: str) -> float:
        """How fast a count of the samples grew while the rate was held."""
        first, last = self.hold[0], self.hold[-1]
        return (getattr(last, name) - getattr(first, name)) / ((last.at_s - first.at_s) or 1.0)

    def mean(self, name: str) -> float:
        return statistics.mean(getattr(each, name) for each in self.hold)

    def most(self, name: str) -> float:
        return max(getattr(each, name) for each in self.hold)


def print_outcome(outcome: Outcome) -> None:
    hold = outcome.hold
    found = f", of {outcome.held:.0f} that were held" if outcome.held else ""
    minutes = (hold[-1].at_s - hold[0].at_s) / 60
    print(f"{outcome.rate:.0f} records/s{found}, for {minutes:.1f} minutes; {outcome.sockets} sockets, 4 rules.")
    print_table(
        ["", "records/s", "p50 ms", "p99 ms", "max ms", "due", "lost", "repeats", "strangers"],
        [
            ["put", f"{outcome.per_s('put'):.0f}", "", "", "", str(outcome.put), str(outcome.failed), "", ""],
            *(_describe_place(each, minutes) for each in outcome.places.values()),
            _describe_crowd(outcome),
        ],
    )
    print(f"frames/s {outcome.per_s('frames'):.0f}; messages dropped, as gaps tell: {outcome.seen.dropped}")
    ages = {name: [*points, 0.0] for name, points in outcome.ages.items()}
    print_table(
        ["age of the oldest record, s", "median", "max", "IteratorAge max", "last minute"],
        [
            [name, f"{statistics.median(seen):.1f}", f"{max(seen):.1f}", f"{max(told):.1f}", f"{told[-2:][0]:.1f}"]
            for name, seen, told in (
                ("filter_records", [each.filter_s for each in hold], ages.get("FilterRecords", [0.0])),
                ("broadcast_records", [each.broadcast_s for each in hold], ages.get("BroadcastRecords", [0.0])),
            )
        ],
    )
    print_table(
        ["resident MB", "minute 1", "middle", "end", "MB/min", "calm MB/min", "CPU cores"],
        [
            ["cloud", *_describe_memory(outcome.cloud), f"{outcome.mean('cloud_cpu'):.2f}"],
            ["functions", *_describe_memory(outcome.functions), f"{outcome.mean('functions_cpu'):.2f}"],
            ["this program", "", "", "", "", "", f"{outcome.mean('own_cpu'):.2f}"],
        ],
    )
    print(
        f"descriptors of the cloud {hold[0].descriptors} to {hold[-1].descriptors}, at most "
        f"{outcome.most('descriptors'):.0f}; environments {hold[0].environments} to {hold[-1].environments}; "
        f"state folder {hold[0].state_mb:.1f} to {hold[-1].state_mb:.1f} MB"
    )
    growth = [f"{name} {mb:+.2f}" for name, mb in outcome.growth.items() if mb >= TOLD_MB]
    print(f"functions that grow, MB a minute: {', '.join(growth) or 'none'}")
    letters = ", ".join(f"{name} {number}" for name, number in outcome.letters.items())
    print(f"{'nothing lost' if outcome.is_whole else 'records LOST, shown or out of place'}; dead letters: {letters}")
    word = "bounded" if outcome.is_bounded else "NOT bounded"
    print(f"lag {word}: the oldest record waits for at most {outcome.bound_s:.0f} s at the end")
    print(f"memory of the cloud {outcome.cloud.verdict}")
    print(f"memory of the functions {outcome.functions.verdict}")
    if not outcome.tells_of_memory:
        print("memory fails nothing here: in less than five minutes everything is still warming up")


def _describe_place(place: Arrival, minutes: float) -> list[str]:
    fate = place.fate
    rate = f"{place.spread.count / (minutes * 60 or 1):.0f}"
    return [place.kind, rate, *_describe_spread(place.spread), *map(str, fate)]


def _describe_crowd(outcome: Outcome) -> list[str]:
    seen = outcome.seen
    counts = map(str, (seen.due, seen.missing, seen.repeats, seen.wrong))
    return ["sockets", f"{outcome.per_s('shown'):.0f}", *_describe_spread(outcome.crowd), *counts]


def _describe_spread(spread: Spread) -> list[str]:
    return [f"{spread.find(0.5):.0f}", f"{spread.find(0.99):.0f}", f"{spread.most:.0f}"]


def _describe_memory(memory: Memory) -> list[str]:
    return [
        f"{memory.first:.1f}",
        f"{memory.middle:.1f}",
        f"{memory.last:.1f}",
        f"{memory.slope:.2f}",
        f"{memory.calm_slope:.2f}",
    ]


def to_json(outcome: Outcome) -> dict[str, Any]:
    """The same, and a sample of each second."""

    def tell(spread: Spread) -> dict[str, float]:
        return {"p50": spread.find(0.5), "p99": spread.find(0.99), "max": spread.most}

    return {
        "rate": outcome.rate,
        "held": outcome.held,
        "put": outcome.put,
        "not_put": outcome.failed,
        "records_per_s": {name: outcome.per_s(name) for name in ("put", "sent", "frames", "shown")},
        "destinations": {
            name: {"kind": each.kind, **each.fate._asdict(), "hidden_shown": each.shown, "lag_ms": tell(each.spread)}
            for name, each in outcome.places.items()
        },
        "subscribers": {**outcome.seen._asdict(), "sockets": outcome.sockets, "lag_ms": tell(outcome.crowd)},
        "iterator_age_s": outcome.ages,
        "dead_letters": outcome.letters,
        "memory_mb": {"cloud": outcome.cloud._asdict(), "functions": outcome.functions._asdict()},
        "functions_mb_per_min": outcome.growth,
        "verdict": {
            "whole": outcome.is_whole,
            "lag_bounded": outcome.is_bounded,
            "cloud_flat": outcome.cloud.is_flat,
            "functions_flat": outcome.functions.is_flat,
        },
        "seconds": [each._asdict() for each in outcome.hold],
    }
