"""How an attempt keeps its key through long work: renewals, their failure, and what stops the work."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sluiceway.errors import DeadlineExceeded
from sluiceway.idempotency import Fresh, Guard, InDoubt, InProgress
from sluiceway.idempotency.memory import MemoryIdempotencyStore
from sluiceway.rules.idempotency import IdempotencyRecord, Owner, is_free, is_lapsed
from tests.fakes import EPOCH_MS, Trouble, unavailable
from tests.unit.idempotency_setup import TroubledStore, Work, after, make_guard, options, together
from tests.unit.test_idempotency_guard import virtual

EVENT = {"id": "o1"}


@virtual
async def test_long_work_renews_its_lease() -> None:
    """Work of 100 s under leases of 6 s is never taken over, and one renewal is made for every two seconds."""
    store, work, guard = TroubledStore(MemoryIdempotencyStore()), Work(takes_s=100), make_guard(lease_s=6, skew_s=1)
    first, *others = await together(
        guard.run(EVENT, work, store=store),
        *(after(at, lambda: guard.run(EVENT, work, store=store)) for at in range(5, 100, 5)),
    )
    assert (first, work.runs) == (Fresh({"run": 1}), 1)
    assert {type(each) for each in others} == {InProgress}
    assert store.calls.count("write") == 50  # 49 renewals, at 2, 4, ... 98 s, and the end


@virtual
async def test_short_work_under_a_lease_of_its_whole_time_writes_twice() -> None:
    """A claim and an end are all that a call costs, with a deadline or without."""
    for deadline in (30.0, None):
        store = TroubledStore(MemoryIdempotencyStore())
        await make_guard().run(EVENT, Work(takes_s=1), store=store, deadline=deadline)
        assert store.calls == ["claim", "write"]


@virtual
async def test_a_lease_that_cannot_be_renewed_stops_the_work() -> None:
    """The store is away: the work ends with its lease, before anybody else may begin."""
    inner = MemoryIdempotencyStore()
    store, work, other = TroubledStore(inner), Work(takes_s=100), Work()
    guard = make_guard(lease_s=6, skew_s=1)

    def go_away() -> None:
        store.trouble.refusal = unavailable("anything")

    asyncio.get_running_loop().call_later(1, go_away)
    first, second = await together(
        guard.run(EVENT, work, store=store),
        after(7.1, lambda: guard.run(EVENT, other, store=inner)),
    )
    assert first == InDoubt(guard.key_of(EVENT), "lease-lost")
    assert (work.spans, work.ends) == ([(0.0, 6.0)], 0)
    assert second == Fresh({"run": 1})


@virtual
async def test_a_renewal_that_fails_is_tried_again_in_time() -> None:
    """Three failures in a row cost nothing but the tries."""
    store, work = TroubledStore(MemoryIdempotencyStore(), Trouble()), Work(takes_s=20)
    asyncio.get_running_loop().call_later(1, lambda: setattr(store.trouble, "next_before", 3))
    assert await make_guard(lease_s=6).run(EVENT, work, store=store) == Fresh({"run": 1})


@virtual
async def test_a_lease_taken_by_another_stops_the_work_at_the_next_renewal() -> None:
    """A clock beyond the margin took the key: the work ends as soon as that is known."""
    store, work = MemoryIdempotencyStore(), Work(takes_s=100)
    guard, ahead = make_guard(lease_s=6), make_guard(lease_s=6, ahead_s=1_000)
    first, second = await together(
        guard.run(EVENT, work, store=store),
        after(3, lambda: ahead.run(EVENT, Work(takes_s=30), store=store)),
    )
    assert (first, second) == (InDoubt(guard.key_of(EVENT), "lease-lost"), Fresh({"run": 1}))
    assert work.spans == [(0.0, pytest.approx(4.0))]


@virtual
async def test_renewals_end_at_the_deadline() -> None:
    """A lease is never longer than the call, and the work is stopped at its end."""
    store, work, guard = TroubledStore(MemoryIdempotencyStore()), Work(takes_s=100), make_guard(lease_s=6)
    with pytest.raises(DeadlineExceeded):
        await guard.run(EVENT, work, store=store, deadline=14.5)
    assert work.spans == [(0.0, 14.5)]
    assert await guard.run(EVENT, Work(), store=store) == Fresh({"run": 1})


@virtual
async def test_no_renewal_outlives_the_work() -> None:
    """A renewal under way when the work ends is dropped; no task is left."""

    class Slow(Trouble):
        async def before(self, operation: str) -> None:
            await asyncio.sleep(1.5 if operation == "write" else 0)

    store = TroubledStore(MemoryIdempotencyStore(), Slow())
    assert await make_guard(lease_s=6).run(EVENT, Work(takes_s=3), store=store) == Fresh({"run": 1})
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert store.calls == ["claim", "write"]


@virtual
async def test_cancelled_long_work_frees_its_key() -> None:
    """The cancellation goes through the renewals, and is raised on."""
    store, guard = MemoryIdempotencyStore(), make_guard(lease_s=6)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(9):
            await guard.run(EVENT, Work(takes_s=100), store=store)
    assert await guard.run(EVENT, Work(), store=store) == Fresh({"run": 1})


@virtual
async def test_a_stopped_attempt_does_not_wait_long_for_a_store_that_hangs() -> None:
    """Letting go takes a quarter of a second at most; then the lease runs out by itself."""

    class Hung(Trouble):
        async def before(self, operation: str) -> None:
            await asyncio.sleep(1_000 if operation == "release" else 0)

    with pytest.raises(ValueError, match="bug"):
        await make_guard().run(
            EVENT, Work(error=ValueError("bug")), store=TroubledStore(MemoryIdempotencyStore(), Hung())
        )
    assert asyncio.get_running_loop().time() == pytest.approx(0.25)


@virtual
async def test_an_end_that_hangs_is_unknown_at_the_deadline() -> None:
    """The store never answers: the call ends with its deadline, in doubt."""

    class Hung(Trouble):
        async def before(self, operation: str) -> None:
            await asyncio.sleep(1_000 if operation == "write" else 0)

    guard = make_guard()
    found = await guard.run(EVENT, Work(), store=TroubledStore(MemoryIdempotencyStore(), Hung()), deadline=3.0)
    assert (type(found), asyncio.get_running_loop().time()) == (InDoubt, 3.0)


def record(**members: Any) -> IdempotencyRecord:
    return IdempotencyRecord("k", Owner("o"), **{"expires_s": EPOCH_MS // 1000 + 10, **members})


def test_a_key_is_free_when_powertools_says_so() -> None:
    """Expired from the second after `expiration` on; lapsed from the millisecond after the lease; else held."""
    assert not is_free(record(), EPOCH_MS + 10_999, rerun=True)
    assert is_free(record(), EPOCH_MS + 11_000, rerun=True)
    leased = record(lease_until_ms=EPOCH_MS + 5)
    assert not is_free(leased, EPOCH_MS + 5, rerun=True)
    assert is_free(leased, EPOCH_MS + 6, rerun=True)
    assert not is_free(leased, EPOCH_MS + 6, rerun=False)
    assert is_lapsed(leased, EPOCH_MS + 6)
    assert not is_lapsed(record(lease_until_ms=EPOCH_MS, is_complete=True), EPOCH_MS + 6)


@virtual
async def test_a_claim_whose_answer_came_after_the_lease_by_either_clock_begins_nothing() -> None:
    """The environment was frozen meanwhile, and the loop's clock with it: the wall clock says that others may begin."""
    made, work = options(lease_s=6, skew_s=1), Work()
    guard: Guard[Any] = Guard("orders", key="id", options=made)
    clock: Any = made.clock

    class Frozen(MemoryIdempotencyStore):
        async def claim(self, record: IdempotencyRecord, **more: Any) -> IdempotencyRecord | None:
            found = await super().claim(record, **more)
            clock.ahead_ms += 7_000
            return found

    store = Frozen()
    with pytest.raises(DeadlineExceeded):
        await guard.run(EVENT, work, store=store)
    assert (work.runs, await store.get(guard.key_of(EVENT))) == (0, None)
