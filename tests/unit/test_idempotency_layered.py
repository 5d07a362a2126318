"""The cache, the spill and the memory store."""

from __future__ import annotations

import asyncio
import json

import pytest

from sluiceway.errors import Rejected, Retryable, Withheld
from sluiceway.idempotency import Fresh, InDoubt, InProgress, Replayed
from sluiceway.idempotency.layered import CachedIdempotencyStore, SpillingIdempotencyStore
from sluiceway.idempotency.memory import MemoryIdempotencyStore
from sluiceway.rules.idempotency import IdempotencyRecord, Owner
from tests.fakes import EPOCH_MS, MemoryBlobStore, unavailable
from tests.unit.idempotency_setup import TroubledStore, Work, after, make_guard, together
from tests.unit.test_idempotency_guard import virtual

EVENT = {"id": "o1"}
NOW_S = EPOCH_MS // 1000


def claim_of(key: str, token: str = "t", *, expires_s: int = NOW_S + 60) -> IdempotencyRecord:
    return IdempotencyRecord(key, Owner(token), expires_s, lease_until_ms=EPOCH_MS + 5_000)


async def text_of(size: int) -> str:
    return "€" * size


@virtual
async def test_a_cached_result_costs_no_call_until_it_expires() -> None:
    """Its own results and those it found; after the expiry the store is asked again, and its answer counts."""
    inner = TroubledStore(MemoryIdempotencyStore())
    cached, guard, work = CachedIdempotencyStore(inner), make_guard(keep_s=60, skew_s=0), Work()
    await guard.run(EVENT, work, store=cached)
    assert await guard.run(EVENT, work, store=cached) == Replayed({"run": 1})
    assert inner.calls == ["claim", "write"]
    other = CachedIdempotencyStore(inner)
    for _ in range(2):
        await guard.run(EVENT, work, store=other)
    assert inner.calls == ["claim", "write", "claim"]
    await asyncio.sleep(62)
    assert await guard.run(EVENT, work, store=cached) == Fresh({"run": 2})


@virtual
async def test_what_is_in_progress_is_never_cached() -> None:
    """Another environment may end it at any time."""
    inner = MemoryIdempotencyStore()
    cached, guard, work = CachedIdempotencyStore(inner), make_guard(), Work(takes_s=2)
    _, during = await together(
        guard.run(EVENT, work, store=inner), after(1, lambda: guard.run(EVENT, work, store=cached))
    )
    assert isinstance(during, InProgress)
    assert isinstance(await guard.run(EVENT, work, store=cached), Replayed)


@virtual
async def test_a_cache_holds_so_many_and_the_least_used_leave() -> None:
    """The one that was used last stays."""
    inner, guard = TroubledStore(MemoryIdempotencyStore()), make_guard()
    cached = CachedIdempotencyStore(inner, max_items=2)
    for each in ("a", "b", "a", "c"):
        await guard.run({"id": each}, Work(), store=cached)
    inner.calls.clear()
    await guard.run({"id": "a"}, Work(), store=cached)
    assert inner.calls == []
    await guard.run({"id": "b"}, Work(), store=cached)
    assert inner.calls == ["claim"]


@virtual
async def test_a_cached_result_is_held_against_the_payload() -> None:
    """A cache does not hide a conflict."""
    cached, guard = CachedIdempotencyStore(MemoryIdempotencyStore()), make_guard(validate="total")
    await guard.run({**EVENT, "total": 1}, Work(), store=cached)
    assert type(await guard.run({**EVENT, "total": 2}, Work(), store=cached)).__name__ == "Conflict"


@virtual
async def test_a_large_result_goes_to_the_blobs_and_comes_back() -> None:
    """Beyond the item's room the record names the place, under the key and the owner; within it nothing is written."""
    inner, blobs, guard = MemoryIdempotencyStore(), MemoryBlobStore(), make_guard()
    store = SpillingIdempotencyStore(inner, blobs)
    assert await guard.run(EVENT, lambda: text_of(60_000), store=store) == Fresh("€" * 60_000)
    found = await inner.get(guard.key_of(EVENT))
    assert found is not None
    assert (found.data, list(blobs.blobs)) == (None, [found.data_key])
    assert found.data_key.endswith(found.owner.token)
    assert await guard.run(EVENT, Work(), store=store) == Replayed("€" * 60_000)  # type: ignore[arg-type]
    await guard.run({"id": "o2"}, lambda: text_of(50_000), store=store)
    assert len(blobs.blobs) == 1


@virtual
async def test_a_blob_that_is_gone_is_a_result_that_was_not_kept() -> None:
    """The work is not done again, and nobody gets a result that is not there."""
    store, blobs, work = MemoryIdempotencyStore(), MemoryBlobStore(), Work()
    guard, spilling = make_guard(), SpillingIdempotencyStore(store, blobs, max_inline_bytes=1)
    await guard.run(EVENT, work, store=spilling)
    blobs.blobs.clear()
    with pytest.raises(Rejected) as caught:
        await guard.run(EVENT, work, store=spilling)
    assert (caught.value.reason, work.runs) == ("result-gone", 1)


@virtual
async def test_blobs_that_are_away_leave_the_end_in_doubt() -> None:
    """A record never points at a blob that was not written."""
    store, blobs = MemoryIdempotencyStore(), MemoryBlobStore()
    spilling = SpillingIdempotencyStore(store, blobs, max_inline_bytes=1)
    blobs.trouble.refusal = Retryable("away")
    guard = make_guard()
    assert isinstance(await guard.run(EVENT, Work(), store=spilling, deadline=10.0), InDoubt)
    found = await store.get(guard.key_of(EVENT))
    assert found is not None
    assert not found.is_complete


@virtual
async def test_the_memory_store_is_bounded() -> None:
    """Expired records make room; a claim that finds none is Retryable, and those that are there stay."""
    store = MemoryIdempotencyStore(max_records=2)
    await store.claim(claim_of("a"), now_ms=EPOCH_MS, rerun=True)
    await store.claim(claim_of("b", expires_s=NOW_S + 1), now_ms=EPOCH_MS, rerun=True)
    with pytest.raises(Retryable):
        await store.claim(claim_of("c"), now_ms=EPOCH_MS, rerun=True)
    assert await store.claim(claim_of("c"), now_ms=EPOCH_MS + 2_000, rerun=True) is None
    assert await store.get("a") == claim_of("a")


def test_a_cache_holds_one_at_least() -> None:
    """Nothing is no cache."""
    with pytest.raises(ValueError, match="max_items"):
        CachedIdempotencyStore(MemoryIdempotencyStore(), max_items=0)


def test_results_are_written_in_ascii() -> None:
    """So that characters are bytes where room is measured."""
    assert json.JSONEncoder(separators=(",", ":")).encode("€") == '"\\u20ac"'


@virtual
async def test_a_result_that_is_not_in_its_place_yet_is_not_cached_as_gone() -> None:
    """Another Region's bucket may have it later than the record: then it is replayed."""
    inner, blobs = MemoryIdempotencyStore(), MemoryBlobStore()
    guard, store = make_guard(), SpillingIdempotencyStore(inner, blobs, max_inline_bytes=5)
    await guard.run(EVENT, lambda: text_of(9), store=store)
    cached, kept = CachedIdempotencyStore(store), dict(blobs.blobs)
    blobs.blobs.clear()
    with pytest.raises(Rejected):
        await guard.run(EVENT, lambda: text_of(9), store=cached)
    blobs.blobs.update(kept)
    assert await guard.run(EVENT, lambda: text_of(9), store=cached) == Replayed("€" * 9)


@virtual
async def test_work_that_is_done_is_not_run_unprotected_while_its_result_cannot_be_read() -> None:
    """The record says that it is done; only the blobs are away."""
    blobs, work = MemoryBlobStore(), Work()
    guard, store = (
        make_guard(when_away="run"),
        SpillingIdempotencyStore(MemoryIdempotencyStore(), blobs, max_inline_bytes=5),
    )
    await guard.run(EVENT, work, store=store)
    blobs.trouble.refusal = unavailable("GetObject")
    with pytest.raises(Withheld):
        await guard.run(EVENT, work, store=store)
    blobs.trouble.refusal = None
    assert await guard.run(EVENT, work, store=store) == Replayed({"run": 1})
    assert work.runs == 1
