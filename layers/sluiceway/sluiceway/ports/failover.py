"""What moving traffic between Regions needs of the outside world: what it depends on, drills, probes and marks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

__all__ = ["Dependency", "Drill", "DrillStore", "Gauge", "MarkStore", "Prober"]


class Dependency(Protocol):
    """Something that a Region cannot serve without."""

    @property
    def name(self) -> str:
        """What it is called in answers and logs: a few letters, no name of a resource."""
        ...

    async def ask(self) -> None:
        """Returns where it answers as it should. Raises what its adapter raises."""
        ...


class Drill(NamedTuple):
    """A Region that says it is unwell until `until_ms` (epoch milliseconds), on somebody's word."""

    until_ms: int
    approval: str


class DrillStore(Protocol):
    """Drills, by Region; each Region's are kept in the Region."""

    async def get(self) -> Drill | None:
        """The drill of this Region, over or not; None where there was none."""
        ...

    async def put(self, drill: Drill) -> None:
        """Begin, change or end (`until_ms` in the past) this Region's drill."""
        ...


class Prober(Protocol):
    """A look at another Region's health, from outside, as a client of it would."""

    async def status(self, *, within_s: float) -> int:
        """The HTTP status of its health check; 0 where none came within `within_s` seconds."""
        ...


class MarkStore(Protocol):
    """Marks in a table that is replicated: whether what is written in one Region arrives in the other.

    A mark is a number that grows (epoch milliseconds); a later one takes the place of the one before it.
    """

    async def write(self, mark: int, *, at: str) -> None:
        """Write a mark in the replica of the Region `at`."""
        ...

    async def read(self, *, of: str, at: str) -> int:
        """The last mark that was written in `of`, as `at` has it; 0 where none has arrived. Raises for no answer."""
        ...


class Gauge(Protocol):
    """Metrics that count at once, not at an invocation's end."""

    def put(self, values: Mapping[str, float], *, at_ms: int | None = None, **dimensions: str) -> None:
        """Values under these dimensions, as they were at `at_ms` (epoch milliseconds), None for now."""
        ...
