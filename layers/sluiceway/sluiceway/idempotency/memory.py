"""A store in this process's memory: for tests, for a process that is alone, and as the model of what a store does.

Owns nothing but a dictionary: each operation is atomic since it never waits. Must not know clocks: the time is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sluiceway.errors import Retryable
from sluiceway.ports.regions import RecordPage
from sluiceway.rules.idempotency import IdempotencyRecord, is_free

__all__ = ["MemoryIdempotencyStore"]

MAX_RECORDS: Final = 100_000
PAGE: Final = 100


class MemoryIdempotencyStore:
    """At most `max_records` at a time: expired ones make room, and a claim beyond that is Retryable.

    It is a `RecordShelf` too, with `page_size` records looked at for a page.
    """

    def __init__(self, *, max_records: int = MAX_RECORDS, page_size: int = PAGE) -> None:
        self._records: dict[str, IdempotencyRecord] = {}
        self._max_records = max_records
        self._page_size = page_size

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
            self._records[record.key] = record._replace(owner=found.owner)
        return True

    async def release(self, record: IdempotencyRecord) -> None:
        """As `IdempotencyStore.release`."""
        found = self._records.get(record.key)
        if found is not None and found.owner.token == record.owner.token and not found.is_complete:
            del self._records[record.key]

    async def unfinished(self, *, after: str = "") -> RecordPage:
        """As `RecordShelf.unfinished`."""
        return self._page(after, lambda record: not record.is_complete)

    async def expired(self, now_ms: int, *, after: str = "") -> RecordPage:
        """As `RecordShelf.expired`."""
        return self._page(after, lambda record: is_free(record, now_ms, rerun=False))

    async def discard(self, record: IdempotencyRecord) -> bool:
        """As `RecordShelf.discard`."""
        found = self._records.get(record.key)
        if found is None or (found.owner.token, found.expires_s) != (record.owner.token, record.expires_s):
            return False
        del self._records[record.key]
        return True

    def _page(self, after: str, wanted: Callable[[IdempotencyRecord], bool]) -> RecordPage:
        """In the order of the keys, so that what is written meanwhile makes none come twice or not at all."""
        behind = sorted(key for key in self._records if key > after)
        keys = behind[: self._page_size]
        found = tuple(filter(wanted, map(self._records.__getitem__, keys)))
        return RecordPage(found, keys[-1] if len(behind) > len(keys) else "")

    def _sweep(self, now_ms: int) -> None:
        for key in [key for key, record in self._records.items() if is_free(record, now_ms, rerun=False)]:
            del self._records[key]
        if len(self._records) >= self._max_records:
            raise Retryable("the store is full")
