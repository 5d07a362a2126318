"""In-memory ports of a failover: drills, marks that travel, probes, gauges, dependencies, with troubles on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sluiceway.ports.failover import Drill
from tests.fakes import unavailable


class FakeDependency:
    """Answers after `takes_s`; raises `error` then, if it is set. `asked` counts, `at` is when."""

    def __init__(self, name: str, *, takes_s: float = 0.0, error: Exception | None = None) -> None:
        self.name = name
        self.takes_s = takes_s
        self.error = error
        self.at: list[float] = []

    async def ask(self) -> None:
        self.at.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.takes_s)
        if self.error is not None:
            raise self.error


class MemoryDrillStore:
    """One Region's drill."""

    def __init__(self, drill: Drill | None = None) -> None:
        self.drill = drill
        self.is_away = False
        self.takes_s = 0.0

    async def get(self) -> Drill | None:
        await asyncio.sleep(self.takes_s)
        if self.is_away:
            raise unavailable("GetItem")
        return self.drill

    async def put(self, drill: Drill) -> None:
        await asyncio.sleep(self.takes_s)
        if self.is_away:
            raise unavailable("PutItem")
        self.drill = drill


@dataclass
class Replicas:
    """A table in two Regions. What is written in one is in the other `lag_s` later, unless the way is in `cut`."""

    lag_s: float = 1.0
    slow: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])  # ways with another lag
    cut: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    away: set[str] = field(default_factory=set[str])
    items: dict[tuple[str, str], tuple[float, int]] = field(default_factory=dict[tuple[str, str], tuple[float, int]])


class MemoryMarkStore:
    """The marks of `region`, among `replicas` that both Regions' stores share."""

    def __init__(self, replicas: Replicas, region: str) -> None:
        self.replicas = replicas
        self.region = region

    async def write(self, mark: int, *, at: str) -> None:
        if at in self.replicas.away:
            raise unavailable("PutItem")
        self.replicas.items[self.region, at] = asyncio.get_running_loop().time(), mark

    async def read(self, *, of: str, at: str) -> int:
        if at in self.replicas.away:
            raise unavailable("GetItem")
        written_s, mark = self.replicas.items.get((self.region, of), (0.0, 0))
        lag_s = self.replicas.slow.get((of, at), self.replicas.lag_s)
        has_come = asyncio.get_running_loop().time() >= written_s + lag_s
        return mark if of == at or (has_come and (of, at) not in self.replicas.cut) else 0


class FakeProber:
    """A look whose status is asked of `status_of` once it took `takes_s`; 0 where that is too long."""

    def __init__(self, status_of: Callable[[], int] = lambda: 200, *, takes_s: float = 0.0) -> None:
        self.status_of = status_of
        self.takes_s = takes_s
        self.asked: list[tuple[float, float]] = []

    async def status(self, *, within_s: float) -> int:
        self.asked.append((asyncio.get_running_loop().time(), within_s))
        await asyncio.sleep(min(self.takes_s, within_s))
        return self.status_of() if self.takes_s <= within_s else 0


@dataclass
class RecordingGauge:
    """What was put, and the dates that were given."""

    dates: list[int | None] = field(default_factory=list[int | None])
    told: list[tuple[Mapping[str, float], Mapping[str, str]]] = field(
        default_factory=list[tuple[Mapping[str, float], Mapping[str, str]]]
    )

    def put(self, values: Mapping[str, float], *, at_ms: int | None = None, **dimensions: str) -> None:
        self.dates.append(at_ms)
        self.told.append((dict(values), dimensions))
