"""What can be laid over a store: a cache of results in this environment, and a place for results too large for an item.

Both are stores over stores. Cached go complete records only, which never change until they expire; what is in progress
is another environment's to change, and a result that is not in its place may still come there. Must not know AWS.
"""

from __future__ import annotations

from typing import Final

from sluiceway.errors import Retryable, Withheld
from sluiceway.ports import BlobStore, IdempotencyStore
from sluiceway.rules.idempotency import IdempotencyRecord, is_free

__all__ = ["CachedIdempotencyStore", "SpillingIdempotencyStore"]

MAX_ITEMS: Final = 256
MAX_INLINE_BYTES: Final = 340_000  # the item stays below 350 KB, DynamoDB's limit is 400 KB


class CachedIdempotencyStore:
    """The last `max_items` complete records seen, the least recently used leave first. Lives as long as its owner."""

    def __init__(self, store: IdempotencyStore, *, max_items: int = MAX_ITEMS) -> None:
        if max_items < 1:
            raise ValueError("max_items is 1 or more")
        self._store = store
        self._max_items = max_items
        self._records: dict[str, IdempotencyRecord] = {}

    async def claim(
        self, record: IdempotencyRecord, *, now_ms: int, rerun: bool, deadline: float | None = None
    ) -> IdempotencyRecord | None:
        """As `IdempotencyStore.claim`, without a call where the result is at hand and has not expired."""
        cached = self._records.pop(record.key, None)
        if cached is not None and not is_free(cached, now_ms, rerun=False):
            self._records[record.key] = cached
            return cached
        return self._keep(await self._store.claim(record, now_ms=now_ms, rerun=rerun, deadline=deadline))

    async def get(self, key: str, *, deadline: float | None = None) -> IdempotencyRecord | None:
        """As `IdempotencyStore.get`, always from the store."""
        return self._keep(await self._store.get(key, deadline=deadline))

    async def write(self, record: IdempotencyRecord, *, deadline: float | None = None) -> bool:
        """As `IdempotencyStore.write`."""
        stored = await self._store.write(record, deadline=deadline)
        if stored:
            self._keep(record)
        return stored

    async def release(self, record: IdempotencyRecord) -> None:
        """As `IdempotencyStore.release`."""
        await self._store.release(record)

    def _keep(self, record: IdempotencyRecord | None) -> IdempotencyRecord | None:
        is_whole = record is not None and record.is_complete and (record.data is not None or not record.data_key)
        if record is not None and is_whole:
            self._records.pop(record.key, None)
            self._records[record.key] = record
            if len(self._records) > self._max_items:
                del self._records[next(iter(self._records))]
        return record


class SpillingIdempotencyStore:
    """Results of more than `max_inline_bytes` go to `blobs`, under their key and owner; records name the place.

    A blob is written before its record and by nobody else, so a record never points at another attempt's result. Let
    the bucket's lifecycle rule keep blobs longer than `keep_s`: one that is gone is a result that was not kept. While
    the blobs cannot be reached, a claim and a look at such a record raise Withheld.
    """

    def __init__(self, store: IdempotencyStore, blobs: BlobStore, *, max_inline_bytes: int = MAX_INLINE_BYTES) -> None:
        self._store = store
        self._blobs = blobs
        self._max_inline_bytes = max_inline_bytes

    async def claim(
        self, record: IdempotencyRecord, *, now_ms: int, rerun: bool, deadline: float | None = None
    ) -> IdempotencyRecord | None:
        """As `IdempotencyStore.claim`."""
        return await self._fetch(await self._store.claim(record, now_ms=now_ms, rerun=rerun, deadline=deadline))

    async def get(self, key: str, *, deadline: float | None = None) -> IdempotencyRecord | None:
        """As `IdempotencyStore.get`."""
        return await self._fetch(await self._store.get(key, deadline=deadline))

    async def write(self, record: IdempotencyRecord, *, deadline: float | None = None) -> bool:
        """As `IdempotencyStore.write`."""
        if record.data is None or len(record.data) <= self._max_inline_bytes:  # written in ASCII: characters are bytes
            return await self._store.write(record, deadline=deadline)
        key = f"idempotency/{record.key}/{record.owner.token}"
        await self._blobs.put(key, record.data.encode(), content_type="application/json")
        return await self._store.write(record._replace(data=None, data_key=key), deadline=deadline)

    async def release(self, record: IdempotencyRecord) -> None:
        """As `IdempotencyStore.release`."""
        await self._store.release(record)

    async def _fetch(self, record: IdempotencyRecord | None) -> IdempotencyRecord | None:
        if record is None or not record.data_key:
            return record
        try:
            body = await self._blobs.get(record.data_key)
        except Retryable as error:  # the work is done, so nobody may run it unprotected
            raise Withheld("the work is done, and its result cannot be read now", after_s=error.after_s) from error
        return record._replace(data=None if body is None else body.decode())
