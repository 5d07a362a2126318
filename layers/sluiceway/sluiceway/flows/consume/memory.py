"""Leases in this process's memory: for tests, for a process that is alone, and as the model of what a store does.

Each operation is atomic since it never waits.
"""

from __future__ import annotations

from sluiceway.rules.consuming.leases import Lease
from sluiceway.rules.consuming.spans import Span

__all__ = ["MemoryLeaseStore"]


class MemoryLeaseStore:
    """One namespace."""

    def __init__(self) -> None:
        self._leases: dict[str, Lease] = {}
        self._span: Span | None = None

    async def begin(self, span: Span) -> Span:
        """As `LeaseStore.begin`."""
        self._span = self._span or span
        return self._span

    async def list(self) -> tuple[Lease, ...]:
        """As `LeaseStore.list`."""
        return tuple(self._leases[shard_id] for shard_id in sorted(self._leases))

    async def create(self, lease: Lease) -> bool:
        """As `LeaseStore.create`."""
        return self._leases.setdefault(lease.shard_id, lease) is lease

    async def write(self, lease: Lease, *, seen: Lease) -> Lease | None:
        """As `LeaseStore.write`."""
        stored = self._leases.get(lease.shard_id)
        if stored is None or (stored.owner, stored.counter) != (seen.owner, seen.counter):
            return stored
        self._leases[lease.shard_id] = lease
        return lease

    async def delete(self, lease: Lease) -> None:
        """As `LeaseStore.delete`."""
        stored = self._leases.get(lease.shard_id)
        if stored is not None and (stored.owner, stored.counter) == (lease.owner, lease.counter):
            del self._leases[lease.shard_id]
