"""What consuming a stream needs of the outside world: the shards of a stream, and the leases of a namespace.

Two implementations each: `sluiceway.aws.streams` and `sluiceway.aws.leases`, and `flows.consume.memory` for leases. The
errors are those that a reader has an answer to; what else can go wrong is raised as `sluiceway.errors` has it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from sluiceway.errors import Rejected, Retryable
from sluiceway.rules.consuming.leases import Lease
from sluiceway.rules.consuming.shards import Shard
from sluiceway.rules.consuming.spans import Position, Span

__all__ = ["IteratorExpired", "LeaseStore", "Page", "ShardGone", "ShardReader", "ShardRecord", "SubscriptionTaken"]


class IteratorExpired(Retryable):
    """The iterator is older than five minutes: ask for another one."""


class SubscriptionTaken(Retryable):
    """Another call holds the subscription, or has taken it over, or the consumer is not ready yet."""


class ShardGone(Rejected):
    """The shard has expired with all its records, or was never there."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="shard-gone")


class ShardRecord(NamedTuple):
    """A record as a shard keeps it. `sequence_number`: decimal digits; `arrived_ms`: epoch milliseconds, approximate.

    `partition_key` is "" where the stream spreads its records by itself.
    """

    sequence_number: str
    partition_key: str
    data: bytes
    arrived_ms: int


class Page(NamedTuple):
    """What one read of a shard gave. `behind_ms`: how far behind the tip of the shard it lies.

    `going_on`: the iterator to read on with, or, of a pushed page, the sequence number to go on after; "" at the end of
    the shard.
    """

    records: tuple[ShardRecord, ...]
    going_on: str
    behind_ms: int

    @property
    def is_last(self) -> bool:
        """Whether the shard ends here."""
        return not self.going_on


class ShardReader(Protocol):
    """The shards of one stream, and what is in them."""

    @property
    def arn(self) -> str:
        """The stream's ARN, or its name where that is all that is known: what a dead letter tells."""
        ...

    @property
    def can_push(self) -> bool:
        """Whether `subscribe` may be called: a consumer is registered for this reader."""
        ...

    async def list_shards(self, span: Span) -> tuple[Shard, ...]:
        """All shards with records that the span may read, parents before children. `span` is frozen."""
        ...

    async def find_iterator(self, shard_id: str, position: Position) -> str:
        """An iterator, good for five minutes. Raises ShardGone, Retryable."""
        ...

    async def get_records(self, iterator: str, *, limit: int) -> Page:
        """Up to `limit` (1 to 10,000) records. One attempt. Raises IteratorExpired, ShardGone, Retryable."""
        ...

    def subscribe(self, shard_id: str, position: Position) -> AbstractAsyncContextManager[AsyncIterator[Page]]:
        """Pages of a shard as they are pushed, for five minutes at most. One attempt.

        Entering and reading raise ShardGone, SubscriptionTaken, Retryable.
        """
        ...


class LeaseStore(Protocol):
    """The leases of one namespace: one reading of a stream, by however many workers."""

    async def begin(self, span: Span) -> Span:
        """Keep the span that the namespace reads, if it has none yet. Gives the one that is kept. `span` is frozen."""
        ...

    async def list(self) -> tuple[Lease, ...]:
        """All leases as last written (strongly consistent), by shard id."""
        ...

    async def create(self, lease: Lease) -> bool:
        """Write a lease where the shard has none. Whether it had none."""
        ...

    async def write(self, lease: Lease, *, seen: Lease) -> Lease | None:
        """Write `lease` if owner and counter are still those of `seen`. Gives what is stored then, None where nothing.

        That is `lease` itself where it was written, now or by an earlier try of the same call.
        """
        ...

    async def delete(self, lease: Lease) -> None:
        """Forget a lease, if owner and counter are still its own."""
        ...
