"""Which partition keys are hot: the most frequent ones of a stream of keys, in bounded memory.

Space-Saving (Metwally, Agrawal, El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data Streams",
ICDT 2005): `capacity` counters; a key that has none takes over the smallest, and its count as its error. Every key with
more than 1/capacity of all is among them. Constant time for each key.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["DEFAULT_CAPACITY", "HotKey", "HotKeys"]

DEFAULT_CAPACITY: Final = 64


class HotKey(NamedTuple):
    """A key and how often it came: `times` at most, `times - error` at least."""

    key: str
    times: int
    error: int


class HotKeys:
    """The counters. `total` is how many keys were counted."""

    __slots__ = ("_buckets", "_capacity", "_counts", "_least", "total")

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        if capacity < 1:
            raise ValueError("capacity is 1 or more")
        self._capacity = capacity
        self._counts: dict[str, tuple[int, int]] = {}  # count and error
        self._buckets: dict[int, dict[str, None]] = {}  # keys by count, the one that has had it for longest first
        self._least = 0
        self.total = 0

    def add(self, key: str) -> None:
        """Counts one."""
        self.total += 1
        known = self._counts.get(key)
        if known is not None:
            self._move(key, *known)
        elif len(self._counts) < self._capacity:
            self._place(key, 1, 0)
            self._least = 1
        else:
            least = self._least
            evicted = next(iter(self._buckets[least]))
            del self._counts[evicted]
            self._place(key, least + 1, least)
            self._leave(evicted, least)

    def hottest(self, share: float) -> tuple[HotKey, ...]:
        """Keys that surely have `share` (0 to 1) of all at least, the hottest first."""
        wanted = max(1.0, share * self.total)
        found = [HotKey(key, count, error) for key, (count, error) in self._counts.items() if count - error >= wanted]
        return tuple(sorted(found, key=lambda each: (each.error - each.times, each.key)))

    def counted(self) -> tuple[HotKey, ...]:
        """Every counter."""
        return tuple(HotKey(key, *each) for key, each in self._counts.items())

    def _place(self, key: str, count: int, error: int) -> None:
        self._counts[key] = count, error
        self._buckets.setdefault(count, {})[key] = None

    def _move(self, key: str, count: int, error: int) -> None:
        self._place(key, count + 1, error)
        self._leave(key, count)

    def _leave(self, key: str, count: int) -> None:
        """Takes a key out of its old bucket; the least count grows by one where it was the last there."""
        bucket = self._buckets[count]
        del bucket[key]
        if not bucket:
            del self._buckets[count]
            if self._least == count:
                self._least = count + 1
