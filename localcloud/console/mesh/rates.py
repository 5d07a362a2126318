"""How many records and bytes a second arrive in each shard, over the last ten whole seconds of their arrival. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple, cast

__all__ = ["MAX_BYTES_S", "MAX_RECORDS_S", "SECONDS", "Rate", "Rates"]

SECONDS: Final = 10
# Source: https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html
MAX_RECORDS_S: Final = 1_000
MAX_BYTES_S: Final = 1_048_576


class Rate(NamedTuple):
    """Of one shard, or of several together."""

    records_s: float = 0.0
    bytes_s: float = 0.0

    @property
    def load(self) -> float:
        """The part of a shard's limits that it is, of records or of bytes, whichever is more; 1 is all."""
        return max(self.records_s / MAX_RECORDS_S, self.bytes_s / MAX_BYTES_S)

    def __add__(self, other: object) -> Rate:  # pyright: ignore[reportIncompatibleMethodOverride] - no tuple's sum
        more = cast("Rate", other)
        return Rate(self.records_s + more.records_s, self.bytes_s + more.bytes_s)


class Rates:
    """What arrived lately, by shard and second."""

    def __init__(self) -> None:
        self._seconds: dict[str, deque[list[int]]] = {}

    def note(self, shard_id: str, size_bytes: int, arrived_ms: int) -> None:
        """One record, in the order of the shard."""
        second = arrived_ms // 1000
        kept = self._seconds.setdefault(shard_id, deque(maxlen=SECONDS + 2))
        if not kept or kept[-1][0] < second:
            kept.append([second, 0, 0])
        kept[-1][1] += 1
        kept[-1][2] += size_bytes

    def read(self, now_ms: int) -> dict[str, Rate]:
        """By shard; the second that is not over yet does not count."""
        now = now_ms // 1000
        found: dict[str, Rate] = {}
        for shard_id, kept in self._seconds.items():
            counted = [entry for entry in kept if now - SECONDS <= entry[0] < now]
            records, size_bytes = (sum(each[part] for each in counted) for part in (1, 2))
            found[shard_id] = Rate(records / SECONDS, size_bytes / SECONDS)
        return found
