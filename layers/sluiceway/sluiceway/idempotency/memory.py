"""A store in this process's memory: for tests, for a process that is alone, and as the model of what a store does.

Owns nothing but a dictionary: each operation is atomic since it never waits. Must not know clocks: the time is told.
"""

from __future__ import annotations

from typing import Final

from sluiceway.errors import Retryable
from sluiceway.rules.idempotency import IdempotencyRecord, is_free

__all__ = ["MemoryIdempotencyStore"]

MAX_RECORDS: Final = 100_000


class MemoryIdempotencyStore:
    """At most `max_records` at a time: expired ones make room, and a claim beyond that is Retryable."""

    def __init__(self, *, max_records: int = MAX_RECORDS) -> None:
        self._records: dict[str, IdempotencyRecord] = {}
        self._max_records = max_records

    async def claim(
        self, record: IdempotencyRecord, *, now_ms: int, rerun: bool, deadline: float | None = None
    ) -> IdempotencyRecord | None:
        """As `IdempotencyStore.claim`."""
        del deadline
        found = self._records.get(record.key)
        if found is not None and not is_free(found, now_ms, rerun=rerun):
            return None if found.owner.token == record.owner.token else found
        if found is None and len(self._records) >= self._max_records:
            self._sweep(now_ms)
        self._records[record.key] = record
        return None

    async def get(self, key: str, *, deadline: float | None = None) -> IdempotencyRecord | None:
        """As `IdempotencyStore.get`."""
        del deadline
        return self._records.get(key)

    async def write(self, record: IdempotencyRecord, *, deadline: float | None = None) -> bool:
        """As `IdempotencyStore.write`."""
        del deadline
        found = self._records.get(record.key)
        if found is None or found.owner.token != record.owner.token:
            return False
        if found.is_complete:
            return record.is_complete and found.data == record.data
        if record.is_complete or record.lease_until_ms >= found.lease_until_ms:
            self._records[record.key] = record
        return True

    async def release(self, record: IdempotencyRecord) -> None:
        """As `IdempotencyStore.release`."""
        found = self._records.get(record.key)
        if found is not None and found.owner.token == record.owner.token and not found.is_complete:
            del self._records[record.key]

    def _sweep(self, now_ms: int) -> None:
        for key in [key for key, record in self._records.items() if is_free(record, now_ms, rerun=False)]:
            del self._records[key]
        if len(self._records) >= self._max_records:
            raise Retryable("the store is full")
