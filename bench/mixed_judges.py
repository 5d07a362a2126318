"""What the mixed load makes of what it saw. Pure: no clock, no process, no socket."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from mesh_figures import sum_steady

WARM_UP = 1 / 2  # of the time, not judged: logs take that long to fill the 32 MiB that are kept of them
CLOUD_LIMIT = 1.0  # MB a minute
FUNCTIONS_LIMIT = 1.0
JUDGED_MINUTES = 12.0  # shorter runs show growth, and do not judge it
SPARE_ENVIRONMENTS = 2
SPARE_DESCRIPTORS = 20
SPARE_THREADS = 2
EVERY_S = 5  # of the samples, one a second


class Sample(NamedTuple):
    """One second."""

    minute: float
    cloud_mb: float
    functions_mb: float
    environments: int
    children: int
    descriptors: int
    threads: int
    cloud_cpu_s: float


class Verdicts:
    """What is held and what is not."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def say(self, holds: object, text: str) -> None:
        if not holds:
            self.failed.append(text)
        print(f"{'holds' if holds else 'FAILS'}  {text}", flush=True)


def find_slope(points: Sequence[tuple[float, float]]) -> float:
    """Theil and Sen's: the median of the slopes of all pairs, which no single leap moves; 0 without two points."""
    slopes = [(b - y) / (a - x) for at, (x, y) in enumerate(points) for a, b in points[at + 1 :] if a > x]
    return statistics.median(slopes) if slopes else 0.0


def find_judged(samples: Sequence[Sample]) -> list[Sample]:
    """What comes after the warm-up, one of five seconds; the last sample at least, where there is one."""
    return list(samples[int(len(samples) * WARM_UP) :: EVERY_S]) or list(samples[-1:])


def find_growth(samples: Sequence[Sample]) -> float:
    """MB a minute of the cloud itself after the warm-up."""
    return find_slope([(each.minute, each.cloud_mb) for each in find_judged(samples)])


def find_steady_growth(
    samples: Sequence[Sample], environments: Mapping[object, Sequence[tuple[float, float]]]
) -> tuple[int, float]:
    """How many environments were there at all moments that are judged, and the MB a minute of them together.

    Who came or went meanwhile, as load and reloads want it, tells of no growth; how many there are is judged apart.
    """
    minutes = {each.minute for each in find_judged(samples)}
    steady = sum(minutes <= {minute for minute, _ in points} for points in environments.values())
    return steady, find_slope(sorted(sum_steady(environments, sorted(minutes)).items()))


def find_peaks(samples: Sequence[Sample], name: str) -> tuple[int, int]:
    """The most of the first and of the second half of what is judged; the same one where that is a single sample."""
    values = [int(getattr(each, name)) for each in find_judged(samples)]
    half = len(values) // 2
    return max(values[:half] or values), max(values[half:])


def find_missing(
    acknowledged: Mapping[str, Iterable[int]], evidence: Mapping[str, Mapping[int, int]], dead: set[int]
) -> dict[str, int]:
    """How many acknowledged calls of each kind nobody has handled: neither a function, nor the dead letter queue."""
    missing: dict[str, int] = {}
    for name, numbers in acknowledged.items():
        handled = set(evidence.get(name, ()))
        if name == "queue":
            handled |= dead
        if name == "later":
            handled |= set(evidence.get("complained", ()))
        missing[name] = len(set(numbers) - handled)
    return missing


def find_repeats(handled: Mapping[str, Mapping[int, int]], name: str) -> int:
    """How many numbers of a kind were handled more than once."""
    return sum(times > 1 for times in handled.get(name, Counter[int]()).values())


def find_disorder(numbers: Sequence[int], groups: int) -> int:
    """How many of the numbers, in the order of receiving, came after a larger one of their group, or twice."""
    newest: dict[int, int] = {}
    wrong = 0
    for number in numbers:
        group = number % groups
        wrong += number <= newest.get(group, -1)
        newest[group] = max(number, newest.get(group, -1))
    return wrong


def judge_growth(
    samples: Sequence[Sample],
    environments: Mapping[object, Sequence[tuple[float, float]]],
    minutes: float,
    verdicts: Verdicts,
) -> None:
    """Memory, processes, descriptors and threads after the warm-up."""
    shown = samples[min(60, len(samples) - 1)], find_judged(samples)[0], samples[-1]
    print(f"\nresident MB{''.join(f' {each.minute:4.1f} min' for each in shown)}")
    for name in ("cloud", "functions"):
        figures = (f" {getattr(each, name + '_mb'):8.1f}" for each in shown)
        print(f"{name:11}{''.join(figures)}")
    cloud, (steady, functions) = find_growth(samples), find_steady_growth(samples, environments)
    print(f"MB a minute: cloud {cloud:+.2f}, {steady} environments that were there throughout {functions:+.2f}")
    spares = {
        "environments": SPARE_ENVIRONMENTS,
        "children": SPARE_ENVIRONMENTS,
        "descriptors": SPARE_DESCRIPTORS,
        "threads": SPARE_THREADS,
    }
    peaks = {name: find_peaks(samples, name) for name in spares}
    if minutes < JUDGED_MINUTES:
        print("at most", ", ".join(f"{before} then {after} {name}" for name, (before, after) in peaks.items()))
        return
    verdicts.say(cloud <= CLOUD_LIMIT, f"memory of the cloud {cloud:+.2f} MB a minute, at most {CLOUD_LIMIT:+.2f}")
    text = f"memory of {steady} environments {functions:+.2f} MB a minute, at most {FUNCTIONS_LIMIT:+.2f}"
    verdicts.say(steady and functions <= FUNCTIONS_LIMIT, text)
    for name, (before, after) in peaks.items():
        verdicts.say(after <= before + spares[name], f"{name}: at most {before}, then at most {after}")
