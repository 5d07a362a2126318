"""What the load proof of the mesh makes of what it saw. Pure: no clock, no process, no socket."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

STEPS = 50  # of a spread, for each factor of e: two figures that differ by less than 2 % are one
CALM_S = 45.0  # that a stretch without a backlog must have to be judged by


def fit_slope(points: Sequence[tuple[float, float]]) -> float:
    """How much y grows by x, by least squares; 0 where fewer than two x differ."""
    if not points:
        return 0.0
    middle_x = sum(x for x, _ in points) / len(points)
    middle_y = sum(y for _, y in points) / len(points)
    width = sum((x - middle_x) ** 2 for x, _ in points)
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / width if width else 0.0


def second_half(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points whose x lies in the second half of the time."""
    if not points:
        return []
    middle = (points[0][0] + points[-1][0]) / 2
    return [point for point in points if point[0] >= middle]


class Spread:
    """Milliseconds, as many as there may be, in bounded memory: the largest is exact, the rest to 2 %."""

    def __init__(self) -> None:
        self.count = 0
        self.most = 0.0
        self._steps: dict[int, int] = {}

    def clear(self) -> None:
        self.count, self.most = 0, 0.0
        self._steps.clear()

    def add(self, ms: float) -> None:
        self.count += 1
        self.most = max(self.most, ms)
        step = round(math.log(max(ms, 0.0) + 1) * STEPS)
        self._steps[step] = self._steps.get(step, 0) + 1

    def find(self, share: float) -> float:
        """What `share` of them (0 to 1) do not exceed; 0 where there are none."""
        left = math.ceil(share * self.count)
        for step in sorted(self._steps):
            left -= self._steps[step]
            if left <= 0:
                return min(self.most, math.exp(step / STEPS) - 1)
        return self.most


class Backlog:
    """How old the oldest record is that was put and not seen yet, where they are seen about in order."""

    def __init__(self) -> None:
        self._put: deque[tuple[float, int]] = deque()

    def note(self, now: float, put: int) -> None:
        """So many were put until now."""
        self._put.append((now, put))

    def age_s(self, now: float, seen: int) -> float:
        """0 where all that was noted has been seen."""
        while self._put and self._put[0][1] <= seen:
            self._put.popleft()
        return max(0.0, now - self._put[0][0]) if self._put else 0.0


class Fate(NamedTuple):
    """What became of the records that were to come to one place."""

    due: int
    lost: int
    repeats: int
    strangers: int

    @property
    def is_whole(self) -> bool:
        return not (self.lost or self.strangers)


class Ledger:
    """How often each record, by its number from 0, came to one place. A byte a record."""

    def __init__(self) -> None:
        self._times = bytearray()
        self.came = 0
        self.distinct = 0

    def note(self, number: int) -> None:
        if number >= len(self._times):
            self._times.extend(bytes(number + 1 - len(self._times)))
        self.came += 1
        self.distinct += not self._times[number]
        self._times[number] = min(255, self._times[number] + 1)

    def judge(self, wanted: Callable[[int], bool], put: int) -> Fate:
        """Against the records below `put` that are wanted here."""
        due = lost = strangers = 0
        for number in range(max(put, len(self._times))):
            times = self._times[number] if number < len(self._times) else 0
            if number < put and wanted(number):
                due += 1
                lost += not times
            else:
                strangers += bool(times)
        return Fate(due, lost, self.came - self.distinct, strangers)


class Subscriber:
    """One connection; `region` None for all records.

    What it must have is known from the records' numbers, so a count and a sum tell whether it has it: nothing is kept
    of a record. A gap in `n` is a message that the protocol says was dropped; what is missing without one is lost.
    """

    def __init__(self, region: int | None) -> None:
        self.region = region
        self.frames = 0
        self.records = 0
        self.sum = 0
        self.dropped = 0  # messages that a gap in `n` speaks of
        self.repeats = 0
        self._last_n: dict[tuple[str, str], int] = {}
        self._last_seq: dict[str, int] = {}

    def take(self, frame: dict[str, Any]) -> list[dict[str, Any]]:
        """The records of one frame that are new."""
        self.frames += 1
        shard, series = frame["shard"], (frame["shard"], frame["epoch"])
        last = self._last_n.get(series, 0)
        if frame["n"] <= last:
            self.repeats += len(frame["d"])
            return []
        self.dropped += frame["n"] - last - 1
        self._last_n[series] = frame["n"]
        fresh: list[dict[str, Any]] = []
        newest = self._last_seq.get(shard, 0)
        for record in frame["d"]:
            number = int(record["seq"])
            if number <= newest:
                self.repeats += 1
                continue
            newest = number
            fresh.append(record["d"])
            self.records += 1
            self.sum += record["d"]["number"]
        self._last_seq[shard] = newest
        return fresh


class Seen(NamedTuple):
    """What became of what was due to the crowd. `missing`: of subscribers who were told of no gap."""

    due: int
    came: int
    dropped: int
    repeats: int
    missing: int
    wrong: int


def judge_crowd(subscribers: Sequence[Subscriber], put: int, regions: int) -> Seen:
    """Of the records below `put`, each of the region of its number, all of which came after everyone had subscribed."""
    counts, sums = [0] * regions, [0] * regions
    for number in range(put):
        counts[number % regions] += 1
        sums[number % regions] += number
    due = missing = wrong = 0
    for each in subscribers:
        wanted, total = (sum(counts), sum(sums)) if each.region is None else (counts[each.region], sums[each.region])
        due += wanted
        if not each.dropped:
            missing += max(0, wanted - each.records)
            wrong += each.records >= wanted and (each.records, each.sum) != (wanted, total)
    return Seen(
        due=due,
        came=sum(each.records for each in subscribers),
        dropped=sum(each.dropped for each in subscribers),
        repeats=sum(each.repeats for each in subscribers),
        missing=missing,
        wrong=wrong,
    )


class Memory(NamedTuple):
    """Resident MB at the first minute, in the middle and at the end, and by how many MB a minute it grows.

    `slope`: over the second half. A backlog takes memory that a process keeps for the next one: so `calm_slope` is of
    the longest stretch of that half without one, of `calm_s` seconds, and it is what is judged.
    """

    first: float
    middle: float
    last: float
    slope: float
    calm_slope: float
    calm_s: float
    limit: float

    @property
    def is_flat(self) -> bool:
        return (self.calm_slope if self.calm_s >= CALM_S else self.slope) <= self.limit

    @property
    def verdict(self) -> str:
        word = "flat" if self.is_flat else "NOT flat"
        return (
            f"{word}: {self.calm_slope:+.2f} MB a minute in the longest {self.calm_s / 60:.1f} minutes of the second "
            f"half without a backlog ({self.slope:+.2f} in all of it), at most {self.limit:+.2f}"
        )


def find_calm(ages: Sequence[tuple[float, float]], bound: float) -> tuple[float, float]:
    """The first and the last moment of the longest stretch in which no age is above `bound`; twice 0 without any."""
    best = (0.0, 0.0)
    begin: float | None = None
    for at, age in ages:
        begin = None if age > bound else at if begin is None else begin
        if begin is not None and (at - begin > best[1] - best[0] or best == (0.0, 0.0)):
            best = begin, at
    return best


def judge_memory(
    points: Sequence[tuple[float, float]],
    limit: float,
    *,
    calm: tuple[float, float],
    steady: Sequence[tuple[float, float]] | None = None,
) -> Memory:
    """Of (seconds, MB) as they were sampled. `steady`: the second half, where slopes are those of a part."""
    if not points:
        return Memory(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, limit)
    begin_s, end_s = points[0][0], points[-1][0]
    middle_s = (begin_s + end_s) / 2

    def at(wanted_s: float) -> float:
        return min(points, key=lambda point: abs(point[0] - wanted_s))[1]

    half = [(seconds / 60, mb) for seconds, mb in (second_half(points) if steady is None else steady)]
    quiet = [point for point in half if calm[0] <= point[0] * 60 <= calm[1]]
    return Memory(
        first=at(min(begin_s + 60, middle_s)),
        middle=at(middle_s),
        last=points[-1][1],
        slope=fit_slope(half),
        calm_slope=fit_slope(quiet),
        calm_s=calm[1] - calm[0],
        limit=limit,
    )


def sum_steady(processes: Mapping[object, Sequence[tuple[float, float]]], times: Sequence[float]) -> dict[float, float]:
    """The sum at each time of the processes that were there at all of them: who came or went tells of no growth."""
    total = dict.fromkeys(times, 0.0)
    for points in processes.values():
        kept = [(at, mb) for at, mb in points if at in total]
        if len(kept) == len(total):
            for at, mb in kept:
                total[at] += mb
    return total
