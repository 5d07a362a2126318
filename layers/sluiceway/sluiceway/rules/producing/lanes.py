"""What waits to be put, by key, in order: at most one call at a time has anything of a key.

PutRecords does not put the entries of a call in order, nor are two calls ordered: so whatever has one key goes together
as one entry, or one after the other. What comes back stands before all that came later. Must not know what an item is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from typing import Generic, TypeVar

__all__ = ["Lanes"]

T = TypeVar("T")


class Lanes(Generic[T]):
    """Items by key. A key is ready, resting (until a time of the caller's clock), or busy: some of it was taken."""

    __slots__ = ("_busy", "_ready", "_rested", "_resting", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[str, list[T]] = {}
        self._ready: dict[str, None] = {}
        self._busy: set[str] = set()
        self._resting: list[tuple[float, int, str]] = []
        self._rested = 0

    def add(self, key: str, item: T) -> None:
        """Puts an item at the end of its key's lane."""
        items = self._waiting.get(key)
        if items is not None:
            items.append(item)
            return
        self._waiting[key] = [item]
        if key not in self._busy:
            self._ready[key] = None

    @property
    def has_ready(self) -> bool:
        """Whether anything could be taken now."""
        return bool(self._ready)

    def ready(self) -> Iterator[tuple[str, Sequence[T]]]:
        """Keys that are ready, the one that has been so for longest first, each with its items in order.

        What is yielded may be taken while this goes on.
        """
        for key in [*self._ready]:
            yield key, self._waiting[key]

    def take(self, key: str, number: int) -> list[T]:
        """Takes the first `number` items (1 or more) of a key that is ready. It is busy until it is settled."""
        items = self._waiting[key]
        del self._ready[key]
        self._busy.add(key)
        if number >= len(items):
            del self._waiting[key]
            return items
        taken = items[:number]
        del items[:number]
        return taken

    def settle(self, key: str, returned: Sequence[T] = (), *, rest_until: float | None = None) -> None:
        """Ends what `take` began. What is `returned` goes before all that waits; nothing of the key goes before
        `rest_until`.
        """
        self._busy.remove(key)
        if returned:
            self._waiting[key] = [*returned, *self._waiting.get(key, ())]
        if key not in self._waiting:
            return
        if rest_until is None:
            self._ready[key] = None
            return
        self._rested += 1
        heappush(self._resting, (rest_until, self._rested, key))

    def wake(self, now: float) -> bool:
        """Makes ready what has rested until `now`; whether there was any."""
        woken = False
        while self._resting and self._resting[0][0] <= now:
            self._ready[heappop(self._resting)[2]] = None
            woken = True
        return woken

    @property
    def wakes_at(self) -> float | None:
        """When the next key has rested; None where none rests."""
        return self._resting[0][0] if self._resting else None
