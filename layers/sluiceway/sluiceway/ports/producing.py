"""The port of producers: one stream that records are put into, and its open shards.

Must not know how records are batched, retried or packed: `sluiceway.flows.publish` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeAlias

__all__ = ["Declined", "Entry", "OpenShard", "Placed", "PutAnswer", "RecordStream"]


class Entry(NamedTuple):
    """One Kinesis record to put. `explicit_hash_key`: decimal, None where the partition key's hash counts."""

    partition_key: str
    data: bytes
    explicit_hash_key: str | None = None


class Placed(NamedTuple):
    """Where an entry was put. `sequence_number` is decimal digits, ascending in the shard."""

    shard_id: str
    sequence_number: str


class Declined(NamedTuple):
    """An entry that was not put: `ProvisionedThroughputExceededException` or `InternalFailure`."""

    code: str

    @property
    def is_throttled(self) -> bool:
        """Whether the shard had more than it takes."""
        return self.code == "ProvisionedThroughputExceededException"


PutAnswer: TypeAlias = Placed | Declined


class OpenShard(NamedTuple):
    """A shard that takes records, and the hash keys that it takes: 0 to 2**128-1, both ends included."""

    shard_id: str
    first: int
    last: int


class RecordStream(Protocol):
    """One stream, for producers."""

    async def put(self, entries: Sequence[Entry], *, deadline: float | None = None) -> Sequence[PutAnswer]:
        """Put 1 to 500 entries of 10 MiB together, and say for each what became of it, in their order.

        Entries of one call are neither put together nor in order: some may be declined while later ones are placed.
        `deadline` is on the event loop's clock. What raises leaves it open whether entries were put, unless it is
        `Rejected` or `Misconfigured`: then none was. Raises `Retryable` (throttled as a whole, away, or out of time).
        """
        ...

    async def open_shards(self, *, deadline: float | None = None) -> Sequence[OpenShard]:
        """The shards that are open now. Raises as `put`."""
        ...
