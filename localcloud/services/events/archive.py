"""One archive: the events that it keeps, by the minutes of their own times, until they are too old.

Events leave in the order in which they came, for an archive's retention counts from there; so what is kept is one run
of numbers. What is too old is gone for whoever looks: nothing waits for it. Knows no bus and no protocol.
Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-archive.html
"""

from __future__ import annotations

import bisect
import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from localcloud.services.events.envelope import Event

__all__ = ["DAY_S", "MINUTE_S", "OVERHEAD_BYTES", "Archive", "ArchiveSettings"]

MINUTE_S: Final = 60  # the interval by which events are replayed
DAY_S: Final = 86_400
OVERHEAD_BYTES: Final = 512  # ours: what an event costs in memory beside its text


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSettings:
    """What CreateArchive says. `pattern` "" for all events, `retention_days` 0 for ever."""

    name: str
    bus_arn: str
    description: str = ""
    pattern: str = ""
    retention_days: int = 0


@dataclass(frozen=True, slots=True)
class _Kept:
    event: Event
    kept_s: float
    size_bytes: int


class Archive:
    """An archive. Dates in epoch seconds; `dropped` events are those that found no more room in memory."""

    def __init__(self, settings: ArchiveSettings, arn: str, *, now_s: float) -> None:
        self.settings = settings
        self.arn = arn
        self.created_s = now_s
        self.dropped = 0
        self.deleted = False
        self._kept: dict[int, _Kept] = {}
        self._first = self._next = 0
        self._by_minute: dict[int, deque[int]] = {}
        self._minutes: list[int] = []
        self._size_bytes = 0

    @property
    def count(self) -> int:
        """How many events it keeps; `expire` first."""
        return len(self._kept)

    @property
    def size_bytes(self) -> int:
        """How long their JSON is together; `expire` first."""
        return self._size_bytes

    @property
    def held_bytes(self) -> int:
        """About what they take of the memory."""
        return self._size_bytes + OVERHEAD_BYTES * len(self._kept)

    @property
    def oldest_s(self) -> float:
        """When the oldest of them came, infinity where there is none."""
        return self._kept[self._first].kept_s if self._kept else math.inf

    @property
    def reason(self) -> str:
        """Why it is not all that came in: "" where it is."""
        if not self.dropped:
            return ""
        return f"The oldest events were dropped, {self.dropped} of them: the archives of this local cloud are full."

    def add(self, event: Event, *, now_s: float) -> None:
        """Keep an event."""
        size_bytes = len(event.text.encode(errors="surrogatepass"))
        self._kept[self._next] = _Kept(event, now_s, size_bytes)
        minute = event.time_s // MINUTE_S
        if minute not in self._by_minute:
            bisect.insort(self._minutes, minute)
            self._by_minute[minute] = deque()
        self._by_minute[minute].append(self._next)
        self._next += 1
        self._size_bytes += size_bytes

    def expire(self, now_s: float) -> None:
        """Forget what has been kept for as many days as it is to be."""
        if self.settings.retention_days:
            until_s = now_s - self.settings.retention_days * DAY_S
            while self.oldest_s <= until_s:
                self._pop()

    def drop_oldest(self) -> None:
        """Forget the oldest event, for want of room."""
        self._pop()
        self.dropped += 1

    def next_minute(self, low: int, high: int) -> int | None:
        """The first minute from `low` to `high`, both in minutes since 1970, in which events are."""
        at = bisect.bisect_left(self._minutes, low)
        return self._minutes[at] if at < len(self._minutes) and self._minutes[at] <= high else None

    def numbers_in(self, minute: int) -> list[int]:
        """The numbers of the events of a minute, in the order in which they came."""
        return list(self._by_minute.get(minute, ()))

    def find(self, number: int) -> Event | None:
        """The event of a number, None where it is gone."""
        kept = self._kept.get(number)
        return None if kept is None else kept.event

    def _pop(self) -> None:
        kept = self._kept.pop(self._first)
        self._first += 1
        self._size_bytes -= kept.size_bytes
        minute = kept.event.time_s // MINUTE_S
        numbers = self._by_minute[minute]
        numbers.popleft()
        if not numbers:
            del self._by_minute[minute]
            del self._minutes[bisect.bisect_left(self._minutes, minute)]
