"""A sorted collection of entries, cut into short runs so that a write costs O(log n) and never moves a long list.

Owns order alone: entries are tuples `(sort value, key)`, searched by their sort value. Knows nothing of items.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from operator import itemgetter
from typing import Any, Final

__all__ = ["Entry", "SortedEntries"]

Entry = tuple[Any, Any]
"""(sort value, key): both comparable within one collection."""

_RUN: Final = 512  # entries in a run before it is split; longer runs move more memory, shorter ones make more runs
_sort_value = itemgetter(0)


class SortedEntries:
    """Entries in ascending order, without duplicates."""

    def __init__(self) -> None:
        self._runs: list[list[Entry]] = []
        self._highest: list[Entry] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, entry: Entry) -> None:
        """Put `entry` in its place; it must not be there yet."""
        self._count += 1
        if not self._runs:
            self._runs.append([entry])
            self._highest.append(entry)
            return
        at = min(bisect_left(self._highest, entry), len(self._runs) - 1)
        run = self._runs[at]
        insort(run, entry)
        if len(run) > 2 * _RUN:
            self._runs[at : at + 1] = [run[:_RUN], run[_RUN:]]
            self._highest[at : at + 1] = [run[_RUN - 1], run[-1]]
        else:
            self._highest[at] = run[-1]

    def remove(self, entry: Entry) -> None:
        """Take `entry` out. Raises KeyError where it is not in."""
        at = bisect_left(self._highest, entry)
        run = self._runs[at] if at < len(self._runs) else []
        position = bisect_left(run, entry)
        if position == len(run) or run[position] != entry:
            raise KeyError(entry)
        del run[position]
        self._count -= 1
        if run:
            self._highest[at] = run[-1]
        else:
            del self._runs[at], self._highest[at]

    def ascending(self, after: Entry | None = None, *, low: Any = None, low_open: bool = False) -> Iterator[Entry]:
        """Entries from the lower bound up: those after the entry `after`, else those from sort value `low` on.

        `low_open` leaves the entries at `low` out. None means no bound. The collection must not change meanwhile.
        """
        if after is not None:
            at = bisect_right(self._highest, after)
            position = bisect_right(self._runs[at], after) if at < len(self._runs) else 0
        elif low is not None:
            search = bisect_right if low_open else bisect_left
            at = search(self._highest, low, key=_sort_value)
            position = search(self._runs[at], low, key=_sort_value) if at < len(self._runs) else 0
        else:
            at = position = 0
        for number in range(at, len(self._runs)):
            run = self._runs[number]
            yield from run[position:] if position else run
            position = 0

    def descending(self, before: Entry | None = None, *, high: Any = None, high_open: bool = False) -> Iterator[Entry]:
        """Entries from the upper bound down: those before the entry `before`, else those from sort value `high` on."""
        if before is not None:
            at = min(bisect_left(self._highest, before), len(self._runs) - 1)
            end = bisect_left(self._runs[at], before) if self._runs else 0
        elif high is not None:
            search = bisect_left if high_open else bisect_right
            at = min(search(self._highest, high, key=_sort_value), len(self._runs) - 1)
            end = search(self._runs[at], high, key=_sort_value) if self._runs else 0
        else:
            at = len(self._runs) - 1
            end = len(self._runs[at]) if self._runs else 0
        for number in range(at, -1, -1):
            run = self._runs[number]
            yield from reversed(run[:end] if number == at else run)
