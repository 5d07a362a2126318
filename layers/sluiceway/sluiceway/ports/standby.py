"""What a Region lets rest while it is not home, and what is to be seen of a pair from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

__all__ = ["Surveyor", "Workload"]


class Workload(Protocol):
    """The part of a Region that a pilot light leaves out: event source mappings and schedules."""

    async def run(self, *, is_running: bool) -> int:
        """Start all of it, or let all of it rest; how many parts were not so yet.

        What is so already stays, so that it may be said again and again. Raises what its adapter raises, after every
        part was tried.
        """
        ...


class Surveyor(Protocol):
    """A look at what people would open a console for."""

    async def survey(self) -> Mapping[str, object]:
        """What is known, as JSON types: `alarms`, `checks`, `executions`. What cannot be asked says why there."""
        ...
