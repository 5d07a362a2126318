"""Log groups, their streams and events, in memory and bounded; listeners hear each event as it is written.

Knows nothing of Lambda: a function's environment appends lines here, a reader (`sluiceway logs`, the console) asks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from localcloud.clock import Clock

__all__ = ["MAX_EVENTS", "MAX_KEPT_CHARS", "LogEvent", "LogGroup", "Logs"]

MAX_STREAMS: Final = 10_000  # remembered for each group; memory again
MAX_EVENTS: Final = 20_000  # kept for each group; older ones are dropped, the memory of a laptop is not CloudWatch
MAX_KEPT_CHARS: Final = 32 * 1024 * 1024  # of all groups together; the largest group loses its oldest events
_EVENT_CHARS: Final = 250  # what an event takes beside its message
_LOOK_EVERY: Final = 500  # events written between two looks at all of it

Listener = Callable[["LogEvent"], None]


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One line. `message` has no trailing newline, `timestamp_ms` counts from 1970; so does `ingested_ms`.

    `number` counts the events of the group, from 1.
    """

    group: str
    stream: str
    timestamp_ms: int
    message: str
    ingested_ms: int = 0
    number: int = 0


@dataclass(slots=True)
class LogGroup:
    """A named group. `retention_days` None keeps for ever, as CloudWatch does."""

    name: str
    retention_days: int | None = None
    declared: bool = True
    events: deque[LogEvent] = field(default_factory=lambda: deque[LogEvent](maxlen=MAX_EVENTS))
    created_ms: int = 0
    written: int = 0
    streams: dict[str, int] = field(default_factory=dict[str, int])
    """When each stream was created; the oldest are forgotten with their last events."""
    tags: dict[str, str] = field(default_factory=dict[str, str])


class Logs:
    """All log groups of one Region."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._groups: dict[str, LogGroup] = {}
        self._listeners: list[Listener] = []
        self._unlooked = 0

    def create_group(self, name: str, *, retention_days: int | None = None) -> LogGroup:
        """Declare a group, or change the retention of the one that is there."""
        group = self._groups.setdefault(name, LogGroup(name, created_ms=self._now_ms()))
        group.retention_days, group.declared = retention_days, True
        return group

    def delete_group(self, name: str) -> None:
        """Forget a group and its events; nothing where there is none."""
        self._groups.pop(name, None)

    def groups(self) -> tuple[LogGroup, ...]:
        """Every group, by name."""
        return tuple(self._groups[name] for name in sorted(self._groups))

    def append(self, group: str, stream: str, message: str, *, timestamp_ms: int | None = None) -> None:
        """Write one event, now unless `timestamp_ms` says when. Lambda makes a group that nobody declared: so here."""
        now_ms = self._now_ms()
        found = self._groups.get(group)
        if found is None:
            found = self._groups[group] = LogGroup(group, declared=False, created_ms=now_ms)
        if stream not in found.streams:
            self.create_stream(found, stream)
        found.written += 1
        stamp = now_ms if timestamp_ms is None else timestamp_ms
        event = LogEvent(group, stream, stamp, message, now_ms, found.written)
        found.events.append(event)
        self._unlooked += 1
        if self._unlooked == _LOOK_EVERY:
            self._unlooked = 0
            self._forget_oldest()
        for listener in tuple(self._listeners):
            listener(event)

    def _forget_oldest(self) -> None:
        """Hold what all groups keep to its bound, a tenth of the largest group at a time."""
        sizes = {name: _size(group.events) for name, group in self._groups.items()}
        while sum(sizes.values()) > MAX_KEPT_CHARS:
            name = max(sizes, key=sizes.__getitem__)
            events = self._groups[name].events
            for _ in range(len(events) // 10 + 1):
                events.popleft()
            sizes[name] = _size(events)

    def find(self, name: str) -> LogGroup | None:
        """The group of a name."""
        return self._groups.get(name)

    def create_stream(self, group: LogGroup, name: str) -> None:
        """A stream, before anything is written to it. Of too many, those without events are forgotten first."""
        group.streams[name] = self._now_ms()
        if len(group.streams) > MAX_STREAMS:
            used = {event.stream for event in group.events}
            empty = next((other for other in group.streams if other not in used), next(iter(group.streams)))
            del group.streams[empty]

    def delete_stream(self, group: LogGroup, name: str) -> None:
        """Forget a stream and its events."""
        group.streams.pop(name, None)
        group.events = deque((event for event in group.events if event.stream != name), maxlen=MAX_EVENTS)

    def events(self, group: str, *, stream: str = "", since_ms: int = 0) -> Iterator[LogEvent]:
        """The kept events of `group` in the order of writing; of one `stream` where named, from `since_ms` on."""
        found = self._groups.get(group)
        for event in tuple(found.events) if found else ():
            if event.timestamp_ms >= since_ms and stream in {"", event.stream}:
                yield event

    def latest(self, group: str, count: int) -> list[LogEvent]:
        """The last `count` events of `group` in the order of writing."""
        found = self._groups.get(group)
        return list(islice(reversed(found.events), count))[::-1] if found else []

    def _now_ms(self) -> int:
        return int(self._clock.time() * 1000)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Hear every event from now on, called in the event loop; the answer stops it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)


def _size(events: Iterable[LogEvent]) -> int:
    return sum(len(event.message) + _EVENT_CHARS for event in events)
