"""The tiers without a home: what a strongly consistent table and a sink add to a store."""

from __future__ import annotations

import pytest

from sluiceway.errors import Misconfigured
from sluiceway.idempotency import Fresh, InDoubt, Replayed
from sluiceway.idempotency.memory import MemoryIdempotencyStore
from sluiceway.ports.regions import RecordPage
from sluiceway.region.sink import SinkStore
from sluiceway.region.strong import StrongStore, sweep_expired
from sluiceway.rules.idempotency import IdempotencyRecord, Owner
from tests.fakes import EPOCH_MS
from tests.unit.idempotency_setup import Work, make_guard
from tests.unit.region_setup import EAST, WEST, virtual

NOW_S = EPOCH_MS // 1000
EVENT = {"id": "o1"}


def record(key: str, **members: object) -> IdempotencyRecord:
    return IdempotencyRecord(key, Owner(f"o-{key}"), NOW_S - 1, EPOCH_MS - 1)._replace(**members)


@virtual
async def test_a_record_says_where_it_was_begun() -> None:
    """Its Region, through its end; whoever replays it elsewhere sees the same."""
    table = MemoryIdempotencyStore()
    guard, work = make_guard(), Work()
    assert await guard.run(EVENT, work, store=StrongStore(table, EAST)) == Fresh({"run": 1})
    assert await guard.run(EVENT, work, store=StrongStore(table, WEST)) == Replayed({"run": 1})
    found = await table.get(guard.key_of(EVENT))
    assert found is not None
    assert (found.owner.region, found.is_complete) == (EAST, True)


@virtual
async def test_the_strong_tier_frees_a_key_whose_work_failed() -> None:
    """And renews, ends and looks as the store below does."""
    store, guard = StrongStore(MemoryIdempotencyStore(), EAST), make_guard(lease_s=6)
    with pytest.raises(ValueError, match="no"):
        await guard.run(EVENT, Work(error=ValueError("no")), store=store)
    assert await store.get(guard.key_of(EVENT)) is None
    assert await guard.run(EVENT, Work(takes_s=60), store=store) == Fresh({"run": 1})


class Interrupted(MemoryIdempotencyStore):
    """A shelf on which a record is claimed again after a page was read, before what is on it is discarded."""

    async def expired(self, now_ms: int, *, after: str = "") -> RecordPage:
        page = await super().expired(now_ms, after=after)
        for each in page.records[:1]:
            again = each._replace(owner=Owner("again"), expires_s=NOW_S + 60)
            assert await self.claim(again, now_ms=now_ms, rerun=False) is None
        return page


@virtual
async def test_a_sweep_leaves_a_key_that_was_claimed_meanwhile() -> None:
    """It deletes what it saw, or nothing; the count is of what is gone."""
    shelf = Interrupted()
    for key in ("a", "b", "c"):
        await shelf.claim(record(key), now_ms=0, rerun=False)
    assert await sweep_expired(shelf, now_ms=EPOCH_MS) == 2
    found = await shelf.get("a")
    assert found is not None
    assert found.owner.token == "again"
    assert [await shelf.get(key) for key in ("b", "c")] == [None, None]


@virtual
async def test_a_sweep_goes_through_all_pages_up_to_its_bound() -> None:
    """The second that a record expires in still counts."""
    shelf = MemoryIdempotencyStore()
    for number in range(250):
        await shelf.claim(record(f"k{number:03d}", expires_s=NOW_S - number % 2), now_ms=0, rerun=False)
    assert await sweep_expired(shelf, now_ms=EPOCH_MS + 999, most=60) == 60
    assert await sweep_expired(shelf, now_ms=EPOCH_MS + 999) == 65
    assert await sweep_expired(shelf, now_ms=EPOCH_MS + 999) == 0
    assert await sweep_expired(shelf, now_ms=EPOCH_MS + 1_000) == 125


@virtual
async def test_a_sink_is_asked_again_after_a_crash() -> None:
    """What never ended is run again; a guard that would leave it in doubt is set wrongly."""
    table, guard = MemoryIdempotencyStore(), make_guard(lease_s=6, skew_s=0)
    left = record(guard.key_of(EVENT), expires_s=NOW_S + 60)
    await table.claim(left, now_ms=0, rerun=False)
    with pytest.raises(Misconfigured) as caught:
        await make_guard(after_crash="doubt").run(EVENT, Work(), store=SinkStore(table))
    assert caught.value.what == "after_crash"
    assert await make_guard(after_crash="doubt").run(EVENT, Work(), store=table) == InDoubt(left.key, "lapsed")
    assert await guard.run(EVENT, Work(takes_s=20), store=SinkStore(table)) == Fresh({"run": 1})
    assert await guard.run(EVENT, Work(), store=SinkStore(table)) == Replayed({"run": 1})


@virtual
async def test_a_sinks_key_is_freed_by_an_error() -> None:
    """Release and look go to the store below."""
    store, guard = SinkStore(MemoryIdempotencyStore()), make_guard()
    with pytest.raises(ValueError, match="no"):
        await guard.run(EVENT, Work(error=ValueError("no")), store=store)
    assert await store.get(guard.key_of(EVENT)) is None
