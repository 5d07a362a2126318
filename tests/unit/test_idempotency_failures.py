"""The failure modes that are known of Powertools 3.37, each as it must not be; two hosts have clocks of their own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sluiceway.errors import DeadlineExceeded
from sluiceway.idempotency import Fresh, InDoubt, InProgress, NotRecorded, Options, Replayed, idempotent
from sluiceway.idempotency.memory import MemoryIdempotencyStore
from sluiceway.idempotency.outcomes import result_of
from sluiceway.ports import IdempotencyStore
from sluiceway.rules.idempotency import IdempotencyRecord
from tests.fakes import KilledError, Life, unavailable
from tests.unit.idempotency_setup import NaiveStore, TroubledStore, Work, after, make_guard, options, together
from tests.unit.test_idempotency_guard import virtual

EVENT = {"id": "o1"}


@virtual
async def test_nested_functions_keep_their_own_records() -> None:
    """C: an inner guarded call on the same store leaves the outer's key and result alone."""
    store, outer, inner = MemoryIdempotencyStore(), make_guard("outer"), make_guard("inner")

    async def call_inner() -> dict[str, Any]:
        return {"outer": await inner.value(EVENT, Work(), store=store)}

    assert await outer.run(EVENT, call_inner, store=store) == Fresh({"outer": {"run": 1}})
    assert await outer.run(EVENT, call_inner, store=store) == Replayed({"outer": {"run": 1}})
    assert await inner.run(EVENT, Work(), store=store) == Replayed({"run": 1})


@virtual
async def test_functions_that_share_a_store_at_once_keep_their_own_results() -> None:
    """C2: two functions, one store, the same payload, at the same time."""
    store = MemoryIdempotencyStore()

    def make(name: str, takes_s: float) -> Any:
        @idempotent(key="id", store=store, name=name, options=options())
        async def function(_event: dict[str, str]) -> str:
            await asyncio.sleep(takes_s)
            return name

        return function

    functions = [make("f1", 2.0), make("f2", 1.0)]
    assert await together(*(each.outcome(EVENT) for each in functions)) == [Fresh("f1"), Fresh("f2")]
    assert await together(*(each.outcome(EVENT) for each in functions)) == [Replayed("f1"), Replayed("f2")]


@virtual
async def test_configurations_on_one_store_all_count() -> None:
    """D: the second function's own key and expiry are used, whoever used the store before."""
    store, first, second = MemoryIdempotencyStore(), Work(), Work()
    await make_guard("a", key="id").run(EVENT, first, store=store)
    other = make_guard("b", key="order", keep_s=10, skew_s=0)
    for _ in range(2):
        await other.run({"order": 1}, second, store=store)
    assert second.runs == 1
    await asyncio.sleep(12)
    await other.run({"order": 1}, second, store=store)
    assert second.runs == 2


async def late_failure(store: IdempotencyStore) -> Work:
    """A fails and its deletion is long under way; meanwhile B completes. Gives the work of a third call after both."""
    under_way: list[IdempotencyRecord] = []

    class Slow(TroubledStore):
        async def release(self, record: IdempotencyRecord) -> None:
            under_way.append(record)

    guard, third = make_guard(skew_s=1), Work()
    with pytest.raises(ValueError, match="late"):
        await guard.run(EVENT, Work(error=ValueError("late")), store=Slow(store), deadline=2.0)
    await asyncio.sleep(4)
    assert await guard.run(EVENT, Work(), store=store) == Fresh({"run": 1})
    await store.release(under_way[0])
    await guard.run(EVENT, third, store=store)
    return third


@virtual
async def test_a_late_failure_never_deletes_anothers_record() -> None:
    """E: the deletion is the owner's only, so B's result stands."""
    assert (await late_failure(MemoryIdempotencyStore())).runs == 0


@virtual
async def test_without_owners_a_late_failure_does() -> None:
    """The same on a store that writes as Powertools does: the third call works again."""
    assert (await late_failure(NaiveStore())).runs == 1


async def two_hosts(*, ahead_s: float, skew_s: float) -> Work:
    """A works for 29 of its 30 s; B, whose clock is ahead, comes after 1 s."""
    store, work = MemoryIdempotencyStore(), Work(takes_s=29)
    first, second = make_guard(skew_s=skew_s), make_guard(skew_s=skew_s, ahead_s=ahead_s)
    await together(
        after(0, lambda: first.run(EVENT, work, store=store, deadline=30.0)),
        after(1, lambda: second.run(EVENT, work, store=store, deadline=31.0)),
    )
    return work


@virtual
async def test_clocks_may_differ_by_the_margin() -> None:
    """F: a host 40 s ahead does not take a lease for lapsed where the margin is 40 s."""
    assert (await two_hosts(ahead_s=40, skew_s=40)).runs == 1


@virtual
async def test_clocks_beyond_the_margin_break_the_lease() -> None:
    """The bound is real: 40 s ahead against a margin of 5 s, and both work at once."""
    assert (await two_hosts(ahead_s=40, skew_s=5)).runs == 2


@virtual
async def test_beyond_the_margin_still_only_the_owner_completes() -> None:
    """What the lease cannot hold, the owner does: the first, late, is in doubt, and B's result is what is replayed."""
    store = MemoryIdempotencyStore()
    slow, ahead = make_guard(skew_s=5), make_guard(skew_s=5, ahead_s=40)
    first, second = await together(
        slow.run(EVENT, Work(takes_s=29), store=store, deadline=30.0),
        after(1, lambda: ahead.run(EVENT, Work(), store=store)),
    )
    assert first == InDoubt(slow.key_of(EVENT), "lease-lost")
    assert second == Fresh({"run": 1})
    with pytest.raises(NotRecorded):
        result_of(first, now_ms=0)


@virtual
async def test_a_killed_call_without_a_deadline_locks_its_key_for_a_lease_only() -> None:
    """G: no deadline is known and the sandbox is killed: free after lease_s and skew_s, not after keep_s."""
    store, guard = MemoryIdempotencyStore(), make_guard(lease_s=60, skew_s=5, keep_s=3_600)
    with pytest.raises(KilledError):
        await Life(10).spend(guard.run(EVENT, Work(takes_s=100), store=TroubledStore(store)))
    await asyncio.sleep(54)
    assert isinstance(await guard.run(EVENT, Work(), store=store), InProgress)
    await asyncio.sleep(2)
    assert await guard.run(EVENT, Work(), store=store) == Fresh({"run": 1})


@virtual
async def test_a_warm_function_takes_each_calls_own_deadline() -> None:
    """K: the lease is made of the deadline that came with the call; the one of an earlier invocation means nothing."""
    store, work = MemoryIdempotencyStore(), Work(takes_s=3)

    @idempotent(
        key="id", store=store, name="warm", deadline=lambda _event, deadline: deadline, options=options(skew_s=0)
    )
    async def function(_event: dict[str, str], deadline: float) -> dict[str, int]:
        del deadline
        return await work()

    await function({"id": "before"}, 5.0)
    await asyncio.sleep(100)
    await together(
        after(0, lambda: function.outcome(EVENT, 113.0)),
        after(2, lambda: function.outcome(EVENT, 113.0)),
    )
    assert work.runs == 2


@virtual
async def test_a_short_expiry_does_not_free_what_is_in_progress() -> None:
    """H: results are kept for 1 s, the work takes 20: a duplicate meanwhile is in progress."""
    store, work, guard = MemoryIdempotencyStore(), Work(takes_s=20), make_guard(keep_s=1, skew_s=0)
    _, second = await together(
        guard.run(EVENT, work, store=store, deadline=30.0),
        after(10, lambda: guard.run(EVENT, work, store=store, deadline=40.0)),
    )
    assert (type(second), work.runs) == (InProgress, 1)


@virtual
async def test_an_end_that_is_not_taken_is_written_again() -> None:
    """I: the store fails as the result is written: it is tried again, and a repeat gets the result."""
    store, guard = TroubledStore(MemoryIdempotencyStore()), make_guard()

    async def work() -> int:
        store.trouble.next_before = 3
        return 7

    assert await guard.run(EVENT, work, store=store, deadline=30.0) == Fresh(7)
    assert await guard.run(EVENT, work, store=store) == Replayed(7)


@virtual
async def test_an_end_whose_answer_was_lost_is_read_back() -> None:
    """I: the result was stored and nobody said so: reading back finds it, and the outcome is certain."""
    store, guard = TroubledStore(MemoryIdempotencyStore()), make_guard()

    async def work() -> int:
        store.trouble.next_after = 1
        return 7

    assert await guard.run(EVENT, work, store=store, deadline=30.0) == Fresh(7)
    assert store.calls == ["claim", "write", "get"]


@virtual
async def test_an_end_that_cannot_be_known_is_in_doubt() -> None:
    """I: the store is away to the end: nobody is told that the work is done, nor that it is not."""
    for choice, expected in (("rerun", Fresh), ("doubt", InDoubt)):
        inner, loop = MemoryIdempotencyStore(), asyncio.get_running_loop()
        store, guard = TroubledStore(inner), make_guard(after_crash=choice)

        async def work(store: TroubledStore = store) -> int:
            store.trouble.refusal = unavailable("anything")
            return 7

        found = await guard.run(EVENT, work, store=store, deadline=loop.time() + 30)
        assert isinstance(found, InDoubt)
        assert found.why == "unrecorded"
        await asyncio.sleep(60)
        assert type(await guard.run(EVENT, Work(), store=inner)) is expected


@virtual
async def test_without_protection_an_end_that_cannot_be_known_is_a_result() -> None:
    """With when_away="run" the caller gets the result, marked as not recorded."""
    store, guard = TroubledStore(MemoryIdempotencyStore()), make_guard(when_away="run")

    async def work() -> int:
        store.trouble.refusal = unavailable("anything")
        return 7

    assert await guard.run(EVENT, work, store=store, deadline=30.0) == Fresh(7, recorded=False)


@virtual
async def test_a_killed_invocation_is_retried_after_its_lease() -> None:
    """A Lambda timeout: in progress until the lease is over, free from then on."""
    store, guard = MemoryIdempotencyStore(), make_guard(skew_s=2)
    with pytest.raises(KilledError):
        await Life(5).spend(guard.run(EVENT, Work(takes_s=100), store=TroubledStore(store), deadline=5.5))
    assert isinstance(await guard.run(EVENT, Work(), store=store), InProgress)
    await asyncio.sleep(3)
    assert await guard.run(EVENT, Work(), store=store) == Fresh({"run": 1})


@virtual
async def test_a_remaining_time_of_nothing_locks_nothing() -> None:
    """Powertools #4759: no time left reads as no lease there, and the key was locked for good."""
    store, guard = MemoryIdempotencyStore(), make_guard()
    with pytest.raises(DeadlineExceeded):
        await guard.run(EVENT, Work(), store=store, deadline=0.0)
    assert await guard.run(EVENT, Work(), store=store) == Fresh({"run": 1})


def test_the_default_margin_is_said() -> None:
    """The defaults that the page names."""
    default = Options()
    assert (default.keep_s, default.lease_s, default.skew_s, default.wait_s) == (3_600, 60, 5, 0)
    assert (default.when_away, default.after_crash, default.digest) == ("fail", "rerun", "sha256")
