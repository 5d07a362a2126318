"""All shards of a stream: which takes a hash key, and what becomes of them by splits, merges and scaling.

A reshard closes shards and opens their children in one step; children begin in a later second than their parents, so
that sequence numbers grow along every line of descent. A closed shard stays until its last record would have expired.
Source: https://docs.aws.amazon.com/streams/latest/dev/kinesis-using-sdk-java-resharding.html
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from localcloud.services.kinesis.shard import MAX_HASH, Shard

__all__ = ["Shards"]


class Shards:
    """The shards of one stream. `count` equal ones to begin with."""

    def __init__(self, count: int, now_s: float) -> None:
        self._all: dict[str, Shard] = {}
        self._next = 0
        self._open = [self._add(hashes, now_s) for hashes in _divide(count)]
        self._starts = [shard.first_hash for shard in self._open]

    def __iter__(self) -> Iterator[Shard]:
        """Every shard that has not expired, oldest first: parents come before children."""
        return iter(self._all.values())

    @property
    def open(self) -> list[Shard]:
        """The open shards, by hash key."""
        return self._open

    def find(self, shard_id: str) -> Shard | None:
        """The shard of an id; None where there is none, or where it has expired."""
        return self._all.get(shard_id)

    def route(self, hash_key: int) -> Shard:
        """The open shard that takes `hash_key` (0 to 2^128 - 1)."""
        return self._open[bisect_right(self._starts, hash_key) - 1]

    def split(self, shard: Shard, at: int, now_s: float) -> None:
        """Close an open shard; its children take the hash keys below `at`, and from `at` on."""
        lower = self._add((shard.first_hash, at - 1), now_s, parents=(shard,))
        upper = self._add((at, shard.last_hash), now_s, parents=(shard,))
        shard.close(now_s, [lower, upper])
        place = self._open.index(shard)
        self._open[place : place + 1] = [lower, upper]
        self._index()

    def merge(self, shard: Shard, adjacent: Shard, now_s: float) -> None:
        """Close two open shards whose hash keys meet; one child takes them all."""
        left, right = (shard, adjacent) if shard.first_hash < adjacent.first_hash else (adjacent, shard)
        child = self._add((left.first_hash, right.last_hash), now_s, parents=(shard, adjacent))
        for parent in (shard, adjacent):
            parent.close(now_s, [child])
        place = self._open.index(left)
        self._open[place : place + 2] = [child]
        self._index()

    def scale(self, count: int, now_s: float) -> None:
        """Split and merge until `count` equal shards are open; shards in between live for a moment only."""
        ranges = _divide(count)
        for first, _ in ranges:
            holder = self.route(first)
            if holder.first_hash != first:
                self.split(holder, first, now_s)
        for first, last in ranges:
            while (shard := self.route(first)).last_hash < last:
                self.merge(shard, self.route(shard.last_hash + 1), now_s)

    def expire(self, horizon_s: float) -> None:
        """Trim what arrived before `horizon_s`, and forget the shards that closed before it."""
        gone: list[str] = []
        for shard in self._all.values():
            shard.trim(horizon_s)
            if shard.closed_s is not None and shard.closed_s < horizon_s:
                gone.append(shard.shard_id)
        for shard_id in gone:
            del self._all[shard_id]

    def wake(self) -> None:
        """Wake whoever waits at any shard."""
        for shard in self._all.values():
            shard.wake()

    def _add(self, hashes: tuple[int, int], now_s: float, *, parents: tuple[Shard, ...] = ()) -> Shard:
        created_s = max(int(now_s), *(parent.created_s + 1 for parent in parents)) if parents else int(now_s)
        shard = Shard(self._next, hashes, created_s=created_s, opened_s=now_s, parents=parents)
        self._next += 1
        self._all[shard.shard_id] = shard
        return shard

    def _index(self) -> None:
        self._starts = [shard.first_hash for shard in self._open]


def _divide(count: int) -> list[tuple[int, int]]:
    """The hash keys of `count` equal shards."""
    size = (MAX_HASH + 1) // count
    starts = [number * size for number in range(count)]
    return list(zip(starts, [start - 1 for start in starts[1:]] + [MAX_HASH], strict=True))
