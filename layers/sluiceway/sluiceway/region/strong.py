"""The strongly consistent tier: one conditional write decides for every Region, and the table has no expiry of its own.

Owns the Region in the owner, and the sweep in place of the time to live that such tables do not have. Expiry itself
needs no sweep: a claim compares it. Must not know terms: here no Region has more rights than another. Source:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/multi-region-strong-consistency-gt.html
"""

from __future__ import annotations

from sluiceway import log
from sluiceway.ports import IdempotencyStore
from sluiceway.ports.regions import RecordShelf
from sluiceway.rules.idempotency import IdempotencyRecord

__all__ = ["StrongStore", "sweep_expired"]


class StrongStore:
    """A store over the one of a strongly consistent table: who looks at a record sees where it was begun."""

    def __init__(self, store: IdempotencyStore, region: str) -> None:
        self._store = store
        self._region = region

    async def claim(
        self, record: IdempotencyRecord, *, now_ms: int, rerun: bool, deadline: float | None = None
    ) -> IdempotencyRecord | None:
        """As `IdempotencyStore.claim`."""
        stamped = record._replace(owner=record.owner._replace(region=self._region))
        return await self._store.claim(stamped, now_ms=now_ms, rerun=rerun, deadline=deadline)

    async def get(self, key: str, *, deadline: float | None = None) -> IdempotencyRecord | None:
        """As `IdempotencyStore.get`."""
        return await self._store.get(key, deadline=deadline)

    async def write(self, record: IdempotencyRecord, *, deadline: float | None = None) -> bool:
        """As `IdempotencyStore.write`."""
        return await self._store.write(record, deadline=deadline)

    async def release(self, record: IdempotencyRecord) -> None:
        """As `IdempotencyStore.release`."""
        await self._store.release(record)


async def sweep_expired(shelf: RecordShelf, *, now_ms: int, most: int = 10_000) -> int:
    """Delete records that count as gone at `now_ms`, at most `most` of them; gives how many.

    Take `now_ms` from a clock less the most by which two clocks differ. Each deletion holds only if the record is as it
    was seen, so a key that is claimed meanwhile is left alone. May run in several Regions at once, and be broken off.
    """
    count, after = 0, ""
    while count < most:
        page = await shelf.expired(now_ms, after=after)
        for record in page.records[: most - count]:
            count += await shelf.discard(record)
        after = page.after
        if not after:
            break
    log.info("idempotency.swept", discarded=count)
    return count
