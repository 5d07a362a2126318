"""A stream in memory for producers: shards that split and merge, declines and lost answers on demand, by a seed.

It keeps the contract of `RecordStream` to the letter, and is as bad as PutRecords may be: entries of one call are put
in any order, and some are declined while later ones are put.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from sluiceway.codec.kpl import HashRange, hash_key, open_aggregate
from sluiceway.errors import DeadlineExceeded, ServiceUnavailable
from sluiceway.flows.publish.options import ProducerOptions
from sluiceway.flows.publish.producer import Producer
from sluiceway.flows.publish.shards import Outlet
from sluiceway.ports.producing import Declined, Entry, OpenShard, Placed, PutAnswer, RecordStream
from tests.fakes import FixedChance, unavailable

THROTTLED = "ProvisionedThroughputExceededException"
LAST = (1 << 128) - 1


@dataclass(frozen=True)
class Stored:
    """A user record as a reader finds it. `sub` is None outside of aggregates."""

    key: str
    data: bytes
    explicit_hash_key: str | None
    sub: int | None


@dataclass
class MemoryShard:
    """A shard: its range, and its Kinesis records in order, by sequence number."""

    hash_range: HashRange
    is_open: bool = True
    records: dict[int, Entry] = field(default_factory=dict[int, Entry])


class MemoryStream:
    """`decline`: the rate of entries that are declined; `lose`: of calls whose answer is lost after the work was done;
    `break_off`: of calls that fail before it. Each call takes up to `latency_s`. `refuse` raises for an entry.
    """

    def __init__(self, rng: random.Random | None = None, *, shards: int = 1) -> None:
        self.rng = rng or random.Random(0)
        size = (LAST + 1) // shards
        self.shards = {
            f"shardId-{at:012d}": MemoryShard(HashRange(at * size, LAST if at == shards - 1 else (at + 1) * size - 1))
            for at in range(shards)
        }
        self.decline = self.lose = self.break_off = self.latency_s = 0.0
        self.declined_keys: set[str] = set()
        self.refusal: Exception | None = None
        self.refused_keys: dict[str, Exception] = {}
        self.listing: Exception | None = None
        self.stale: list[OpenShard] | None = None  # what is listed instead of the truth
        self.calls: list[list[Entry]] = []
        self.under_way = 0
        self.most_under_way = 0
        self.listings = 0
        self._sequence = 100

    async def put(self, entries: Sequence[Entry], *, deadline: float | None = None) -> Sequence[PutAnswer]:
        """As the port says."""
        assert 1 <= len(entries) <= 500
        assert sum(len(each.data) + len(each.partition_key.encode()) for each in entries) <= 10 * 1024 * 1024
        self.calls.append(list(entries))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return await self._put(entries, deadline)
        finally:
            self.under_way -= 1

    async def open_shards(self, *, deadline: float | None = None) -> list[OpenShard]:
        """As the port says."""
        self.listings += 1
        await self._pass_time(deadline)
        if self.listing is not None:
            raise self.listing
        if self.stale is not None:
            return self.stale
        return self.truth()

    def truth(self) -> list[OpenShard]:
        """The open shards."""
        return [OpenShard(name, *shard.hash_range) for name, shard in self.shards.items() if shard.is_open]

    def split(self, shard_id: str) -> tuple[str, str]:
        """In the middle; gives the children."""
        first, last = self._close(shard_id)
        middle = (first + last) // 2
        return self._add(HashRange(first, middle)), self._add(HashRange(middle + 1, last))

    def merge(self, one: str, other: str) -> str:
        """Two neighbours, in the order of their ranges."""
        return self._add(HashRange(self._close(one).first, self._close(other).last))

    def stored(self) -> list[tuple[str, int, Stored]]:
        """Every user record with shard and sequence number, as readers that open aggregates find them."""
        return [
            (shard_id, sequence, each)
            for shard_id, shard in self.shards.items()
            for sequence, entry in shard.records.items()
            for each in open_entry(entry)
        ]

    def read_as_kcl(self) -> list[Stored]:
        """User records as the Kinesis Client Library hands them on: an aggregate with a stranger is dropped whole."""
        return [
            each
            for shard in self.shards.values()
            for entry in shard.records.values()
            if not has_strangers(entry, shard.hash_range)
            for each in open_entry(entry)
        ]

    async def _put(self, entries: Sequence[Entry], deadline: float | None) -> list[PutAnswer]:
        if self.refusal is not None:
            raise self.refusal
        for entry in entries:
            if entry.partition_key in self.refused_keys:
                raise self.refused_keys[entry.partition_key]
        await self._pass_time(deadline)
        if self.rng.random() < self.break_off:
            raise unavailable("PutRecords")
        answers: dict[int, PutAnswer] = {}
        for at in self.rng.sample(range(len(entries)), len(entries)):
            answers[at] = self._place(entries[at])
        if self.rng.random() < self.lose:
            raise ServiceUnavailable("lost", service="kinesis", operation="PutRecords", code="ConnectionClosed")
        await self._pass_time(deadline)
        return [answers[at] for at in range(len(entries))]

    def _place(self, entry: Entry) -> PutAnswer:
        if entry.partition_key in self.declined_keys:
            return Declined(THROTTLED)
        if self.rng.random() < self.decline:
            return Declined(THROTTLED if self.rng.random() < 0.8 else "InternalFailure")
        place = hash_key(entry.partition_key, entry.explicit_hash_key)
        shard_id = next(
            name
            for name, shard in self.shards.items()
            if shard.is_open and shard.hash_range.first <= place <= shard.hash_range.last
        )
        self._sequence += 1
        self.shards[shard_id].records[self._sequence] = entry
        return Placed(shard_id, str(self._sequence))

    async def _pass_time(self, deadline: float | None) -> None:
        wait_s = self.rng.random() * self.latency_s
        now = asyncio.get_running_loop().time()
        if deadline is not None and now + wait_s > deadline:
            await asyncio.sleep(max(0.0, deadline - now))
            raise DeadlineExceeded("no answer in time")
        await asyncio.sleep(wait_s)

    def _close(self, shard_id: str) -> HashRange:
        self.shards[shard_id].is_open = False
        return self.shards[shard_id].hash_range

    def _add(self, hash_range: HashRange) -> str:
        name = f"shardId-{len(self.shards):012d}"
        self.shards[name] = MemoryShard(hash_range)
        return name


def open_entry(entry: Entry) -> list[Stored]:
    """The user records of a Kinesis record."""
    aggregate = open_aggregate(entry.data)
    if aggregate is None:
        return [Stored(entry.partition_key, entry.data, entry.explicit_hash_key, None)]
    return [
        Stored(each.partition_key, each.data, each.explicit_hash_key, each.subsequence_number)
        for each in aggregate.records
    ]


def has_strangers(entry: Entry, hash_range: HashRange) -> bool:
    """Whether it is an aggregate with a record of another shard."""
    aggregate = open_aggregate(entry.data)
    return aggregate is not None and bool(aggregate.outside(hash_range))


def make_producer(
    stream: RecordStream, *, deadline: float | None = None, outlet: Outlet | None = None, **options: float | bool
) -> Producer:
    """A producer with these options."""
    return Producer(
        outlet or Outlet(stream),
        options=ProducerOptions(**options),  # pyright: ignore[reportArgumentType] - of their names
        deadline=deadline,
        chance=FixedChance(),
    )
