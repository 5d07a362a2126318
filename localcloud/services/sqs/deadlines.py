"""A heap of moments at which something is due, where what became untrue is skipped instead of searched for."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

__all__ = ["Deadlines"]

T = TypeVar("T")

_SLACK: Final = 64  # untrue entries that are never worth a rebuild


class Deadlines(Generic[T]):
    """Items by the moment they are due. `holds(item, number)` says whether the entry of that number is still true.

    add: O(log n). due and next_due: O(log n) for each entry that surfaces. compact: amortised O(1).
    """

    def __init__(self, holds: Callable[[T, int], bool]) -> None:
        self._holds = holds
        self._heap: list[tuple[float, int, T]] = []
        self._added = 0  # ties come out in the order they were put in

    def add(self, due: float, item: T) -> int:
        """Put `item`, due at `due`; the entry's number."""
        self._added += 1
        heapq.heappush(self._heap, (due, self._added, item))
        return self._added

    def due(self, now: float) -> Iterator[T]:
        """Take out, in order, what is due at `now` and still true."""
        while self._heap and self._heap[0][0] <= now:
            _, number, item = heapq.heappop(self._heap)
            if self._holds(item, number):
                yield item

    def next_due(self) -> float | None:
        """The earliest moment that is still true."""
        while self._heap and not self._holds(self._heap[0][2], self._heap[0][1]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def compact(self, true_count: int) -> None:
        """Rebuild without the untrue entries where they outnumber the `true_count` true ones."""
        if len(self._heap) > 2 * true_count + _SLACK:
            self._heap = [entry for entry in self._heap if self._holds(entry[2], entry[1])]
            heapq.heapify(self._heap)
