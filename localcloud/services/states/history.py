"""The history of an execution: numbered events, each with the one that led to it, up to a limit. No I/O.

Source: https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from localcloud.clock import Clock

__all__ = ["MAX_EVENTS", "Event", "History", "HistoryFull", "details_member"]

MAX_EVENTS: Final = 25_000  # of a standard execution; step-functions/latest/dg/service-quotas.html
MAX_CHARS: Final = 256 * 1024 * 1024  # ours: of the inputs and outputs in them, which AWS keeps however many
_STATE_ENTERED: Final = "stateEnteredEventDetails"
_STATE_EXITED: Final = "stateExitedEventDetails"


class HistoryFull(Exception):
    """The execution has as many events as it may, or as much in them as is kept here; the message says which."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `details` has the members that its type has on the wire."""

    number: int
    previous: int
    kind: str
    time_s: float
    details: Mapping[str, Any]


def details_member(kind: str) -> str:
    """The name of the member that holds an event's details."""
    if kind.endswith("StateEntered"):
        return _STATE_ENTERED
    if kind.endswith("StateExited"):
        return _STATE_EXITED
    return f"{kind[:1].lower()}{kind[1:]}EventDetails"


class History:
    """Events in their order; `hear` is told each. `limit` None: as many as come (Express executions)."""

    def __init__(self, clock: Clock, *, limit: int | None, hear: Callable[[Event], None] | None = None) -> None:
        self.events: list[Event] = []
        self._clock = clock
        self._limit = limit
        self._hear = hear
        self._count = 0
        self._chars = 0

    @property
    def count(self) -> int:
        """How many events there were."""
        return self._count

    def now(self) -> float:
        """The date by the clock that events are told by, epoch seconds."""
        return self._clock.time()

    def add(self, kind: str, previous: int, /, **details: Any) -> int:
        """Add an event and give its number. Raises HistoryFull where only the last one has room, which ends it."""
        full = self._why_full() if self._limit is not None and not kind.startswith("Execution") else ""
        if full:
            if kind.endswith("Aborted"):
                return previous  # what ends because there is no room cannot be told for want of it
            raise HistoryFull(full)
        self._count += 1
        kept = {name: value for name, value in details.items() if value is not None}
        event = Event(self._count, previous, kind, self._clock.time(), kept)
        if self._limit is not None:
            self.events.append(event)
            self._chars += sum(len(each) for each in kept.values() if isinstance(each, str))
        if self._hear is not None:
            self._hear(event)
        return self._count

    def _why_full(self) -> str:
        if self._limit is not None and self._count >= self._limit - 1:
            return f"The execution reached the maximum number of history events ({self._limit})."
        if self._chars > MAX_CHARS:
            return f"The history holds more data than the local cloud keeps of an execution ({MAX_CHARS} characters)."
        return ""
