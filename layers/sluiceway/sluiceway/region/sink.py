"""The tier for effects that honour a key themselves: work may be begun anywhere, and the sink does it once.

Owns one rule: what never ended is run again, since the sink knows whether it was done. Must not know the sink.
"""

from __future__ import annotations

from sluiceway.errors import Misconfigured
from sluiceway.ports import IdempotencyStore
from sluiceway.rules.idempotency import IdempotencyRecord

__all__ = ["SinkStore"]


class SinkStore:
    """A store over any other: it spares the sink most repeats, and keeps results for them."""

    def __init__(self, store: IdempotencyStore) -> None:
        self._store = store

    async def claim(
        self, record: IdempotencyRecord, *, now_ms: int, rerun: bool, deadline: float | None = None
    ) -> IdempotencyRecord | None:
        """As `IdempotencyStore.claim`. Raises Misconfigured for a guard that leaves keys in doubt."""
        if not rerun:
            raise Misconfigured('where the sink honours the key, after_crash is "rerun"', what="after_crash")
        return await self._store.claim(record, now_ms=now_ms, rerun=True, deadline=deadline)

    async def get(self, key: str, *, deadline: float | None = None) -> IdempotencyRecord | None:
        """As `IdempotencyStore.get`."""
        return await self._store.get(key, deadline=deadline)

    async def write(self, record: IdempotencyRecord, *, deadline: float | None = None) -> bool:
        """As `IdempotencyStore.write`."""
        return await self._store.write(record, deadline=deadline)

    async def release(self, record: IdempotencyRecord) -> None:
        """As `IdempotencyStore.release`."""
        await self._store.release(record)
