"""The outcomes of a guarded call, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

from localcloud.clock import run_virtual
from sluiceway.errors import DeadlineExceeded, Misconfigured, Rejected, Retryable
from sluiceway.idempotency import (
    Conflict,
    Fresh,
    InDoubt,
    InProgress,
    LeftInDoubt,
    NotRecorded,
    PayloadConflict,
    Replayed,
    StillInProgress,
)
from sluiceway.idempotency.memory import MemoryIdempotencyStore
from sluiceway.idempotency.outcomes import result_of
from sluiceway.rules.idempotency import IdempotencyRecord
from tests.fakes import EPOCH_MS, KilledError, Life, Trouble, unavailable
from tests.unit.idempotency_setup import TroubledStore, Work, after, make_guard, together

T = TypeVar("T")
EVENT = {"id": "o1", "total": 5}


def virtual(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """The test on virtual time."""

    def run() -> None:
        run_virtual(test)

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@virtual
async def test_work_is_done_once_and_its_result_given_again() -> None:
    """The first call is fresh, a repeat gets the stored result, another key is other work."""
    store, work, guard = MemoryIdempotencyStore(), Work(), make_guard()
    assert await guard.run(EVENT, work, store=store) == Fresh({"run": 1}, recorded=True)
    found = await guard.run(EVENT, work, store=store)
    assert isinstance(found, Replayed)
    assert found.value == {"run": 1}
    assert (await guard.run({"id": "o2"}, work, store=store)).value == {"run": 2}  # type: ignore[union-attr]


@virtual
async def test_a_duplicate_in_flight_is_told_until_when() -> None:
    """It is told at once; the lease is the rest of the first call's time plus the clock margin."""
    store, work, guard = MemoryIdempotencyStore(), Work(takes_s=3), make_guard(skew_s=5)
    first, second = await together(
        guard.run(EVENT, work, store=store, deadline=10.0),
        after(1, lambda: guard.run(EVENT, work, store=store, deadline=11.0)),
    )
    assert first == Fresh({"run": 1})
    assert isinstance(second, InProgress)
    assert second == InProgress(EPOCH_MS + 15_000)


@virtual
async def test_who_waits_gets_the_result_of_the_other() -> None:
    """Within its time the waiting call is given the other's result, and does no work."""
    store, work, guard = MemoryIdempotencyStore(), Work(takes_s=3), make_guard(wait_s=5)
    first, second = await together(
        guard.run(EVENT, work, store=store), after(1, lambda: guard.run(EVENT, work, store=store))
    )
    assert (first, work.runs) == (Fresh({"run": 1}), 1)
    assert isinstance(second, Replayed)


@virtual
async def test_waiting_is_bounded_by_its_time_and_by_the_deadline() -> None:
    """It ends after wait_s, or at the call's deadline where that comes first, with the other still in progress."""
    store, work, loop = MemoryIdempotencyStore(), Work(takes_s=50), asyncio.get_running_loop()
    ends: list[float] = []

    async def wait(wait_s: float, deadline: float | None) -> object:
        outcome = await make_guard(wait_s=wait_s).run(EVENT, work, store=store, deadline=deadline)
        ends.append(loop.time())
        return outcome

    _, *others = await together(
        make_guard().run(EVENT, work, store=store),
        after(1, lambda: wait(4, None)),  # type: ignore[arg-type,return-value]
        after(1, lambda: wait(10, 3.0)),  # type: ignore[arg-type,return-value]
    )
    assert [type(each) for each in others] == [InProgress, InProgress]
    assert sorted(ends) == pytest.approx([3.0, 5.0])


@virtual
async def test_who_waits_takes_over_from_one_that_fails() -> None:
    """A waiting call claims the key as soon as it sees that the other let it go."""
    store, guard = MemoryIdempotencyStore(), make_guard(wait_s=10)
    failing, work = Work(takes_s=2, error=ValueError("bug")), Work()
    first, second = await together(
        after(0, lambda: guard.run(EVENT, failing, store=store)),
        after(1, lambda: guard.run(EVENT, work, store=store)),
    )
    assert isinstance(first, ValueError)
    assert second == Fresh({"run": 1})


@virtual
async def test_a_key_with_another_payload_is_a_conflict() -> None:
    """While the first is at work and after it; the same payload is replayed."""
    store, work, guard = MemoryIdempotencyStore(), Work(takes_s=2), make_guard(validate="total")
    other = {**EVENT, "total": 6}
    first, during = await together(
        guard.run(EVENT, work, store=store), after(1, lambda: guard.run(other, work, store=store))
    )
    assert first == Fresh({"run": 1})
    assert isinstance(during, Conflict)
    assert isinstance(await guard.run(other, work, store=store), Conflict)
    assert isinstance(await guard.run({**EVENT, "more": 1}, work, store=store), Replayed)


@virtual
async def test_a_failure_frees_the_key_and_is_raised_as_it_is() -> None:
    """The work's own error comes through, and the next call works at once."""
    store, guard = MemoryIdempotencyStore(), make_guard()
    with pytest.raises(ValueError, match="bug"):
        await guard.run(EVENT, Work(error=ValueError("bug")), store=store, deadline=5.0)
    with pytest.raises(ValueError, match="bug"):  # the path with renewals
        await guard.run(EVENT, Work(error=ValueError("bug")), store=store)
    assert await guard.run(EVENT, Work(), store=store) == Fresh({"run": 1})


@virtual
async def test_a_time_limit_of_the_work_is_its_own_failure() -> None:
    """A TimeoutError that the work raises is not taken for the lease's end."""
    store, guard = MemoryIdempotencyStore(), make_guard()
    with pytest.raises(TimeoutError):
        await guard.run(EVENT, Work(error=TimeoutError()), store=store, deadline=5.0)
    assert await guard.run(EVENT, Work(), store=store) == Fresh({"run": 1})


@virtual
async def test_a_result_expires() -> None:
    """It is replayed for keep_s and the clock margin, and then the work is done anew."""
    store, work, guard = MemoryIdempotencyStore(), Work(), make_guard(keep_s=60, skew_s=5)
    await guard.run(EVENT, work, store=store)
    await asyncio.sleep(65)
    assert isinstance(await guard.run(EVENT, work, store=store), Replayed)
    await asyncio.sleep(2)
    assert await guard.run(EVENT, work, store=store) == Fresh({"run": 2})


@virtual
async def test_a_store_that_is_away_fails_the_call() -> None:
    """By default nothing runs without protection: the call is Retryable."""
    store, work = TroubledStore(MemoryIdempotencyStore()), Work()
    store.trouble.refusal = unavailable("claim")
    with pytest.raises(Retryable):
        await make_guard().run(EVENT, work, store=store)
    assert work.runs == 0


@virtual
async def test_a_store_that_is_away_may_be_done_without() -> None:
    """With when_away="run" the work is done, and the outcome says that nothing was recorded."""
    store, work = TroubledStore(MemoryIdempotencyStore()), Work()
    store.trouble.refusal = unavailable("claim")
    assert await make_guard(when_away="run").run(EVENT, work, store=store) == Fresh({"run": 1}, recorded=False)


@virtual
async def test_a_claim_whose_answer_was_lost_is_completed_all_the_same() -> None:
    """Running without protection, the end finds its own claim in the store: a repeat gets the result."""
    store, work, guard = TroubledStore(MemoryIdempotencyStore()), Work(), make_guard(when_away="run")
    store.trouble.next_after = 1
    assert await guard.run(EVENT, work, store=store) == Fresh({"run": 1}, recorded=True)
    assert isinstance(await guard.run(EVENT, work, store=store), Replayed)


@virtual
async def test_a_store_that_does_not_answer_is_away() -> None:
    """After store_timeout_s, or at the call's deadline where that comes first."""

    class Silent(Trouble):
        async def before(self, operation: str) -> None:
            await asyncio.sleep(1_000)

    loop = asyncio.get_running_loop()
    for deadline, expected in ((None, 2.0), (3.5, 3.5)):
        with pytest.raises(Retryable, match="no answer"):
            await make_guard(store_timeout_s=2).run(
                EVENT, Work(), store=TroubledStore(MemoryIdempotencyStore(), Silent()), deadline=deadline
            )
        assert loop.time() == pytest.approx(expected)


@virtual
async def test_no_time_left_is_no_claim() -> None:
    """A remaining time of nothing claims nothing: the key is not locked for it."""
    store, work = TroubledStore(MemoryIdempotencyStore()), Work()
    with pytest.raises(DeadlineExceeded):
        await make_guard().run(EVENT, work, store=store, deadline=asyncio.get_running_loop().time())
    assert (store.calls, work.runs) == ([], 0)


@virtual
async def test_results_are_turned_into_json_and_back() -> None:
    """`dump` and `load` carry a result of any type."""
    store, guard = MemoryIdempotencyStore(), make_guard(dump=sorted, load=frozenset)

    async def work() -> frozenset[int]:
        return frozenset({2, 1})

    for expected in (Fresh(frozenset({1, 2})), Replayed(frozenset({1, 2}))):
        assert await guard.run(EVENT, work, store=store) == expected


@virtual
async def test_a_result_that_is_not_json_is_a_fault_of_the_code_and_never_doubles_the_work() -> None:
    """The work was done: the key stays done, a repeat is told that the result was not kept."""
    store, guard, runs = MemoryIdempotencyStore(), make_guard(), list[int]()

    async def work() -> object:
        runs.append(1)
        return object()

    with pytest.raises(Misconfigured):
        await guard.run(EVENT, work, store=store)
    with pytest.raises(Rejected) as caught:
        await guard.run(EVENT, work, store=store)
    assert (caught.value.reason, len(runs)) == ("result-gone", 1)


@virtual
async def test_after_a_crash_work_is_run_again_or_left_in_doubt() -> None:
    """`rerun` works again once the lease and the margin are over; `doubt` never does, and says so."""
    for choice, expected in (("rerun", Fresh), ("doubt", InDoubt)):
        store, loop = MemoryIdempotencyStore(), asyncio.get_running_loop()
        guard = make_guard(after_crash=choice, skew_s=5)
        broken = TroubledStore(store)

        async def crash(broken: TroubledStore = broken) -> None:
            broken.trouble.refusal = unavailable("anything")
            raise ValueError("gone")

        with pytest.raises(ValueError, match="gone"):
            await guard.run(EVENT, crash, store=broken, deadline=loop.time() + 10)
        assert isinstance(await guard.run(EVENT, Work(), store=store), InProgress)
        await asyncio.sleep(15)
        assert isinstance(await guard.run(EVENT, Work(), store=store), InProgress)
        await asyncio.sleep(0.001)
        assert type(await guard.run(EVENT, Work(), store=store)) is expected


@virtual
async def test_cut_work_frees_its_key_or_stays_in_doubt() -> None:
    """Cancelled at any point: with `rerun` the next call works at once, with `doubt` nobody works again."""
    for choice, expected in (("rerun", Fresh), ("doubt", InDoubt)):
        store, guard = MemoryIdempotencyStore(), make_guard(after_crash=choice, skew_s=1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await guard.run(EVENT, Work(takes_s=9), store=store, deadline=asyncio.get_running_loop().time() + 2)
        if choice == "doubt":
            await asyncio.sleep(5)
        assert type(await guard.run(EVENT, Work(), store=store)) is expected


@virtual
async def test_work_stopped_at_its_deadline_stays_in_doubt_where_that_was_chosen() -> None:
    """Nobody knows how far it came: its key is not freed."""
    store, guard = MemoryIdempotencyStore(), make_guard(after_crash="doubt", skew_s=1)
    with pytest.raises(DeadlineExceeded):
        await guard.run(EVENT, Work(takes_s=9), store=store, deadline=2.0)
    await asyncio.sleep(2)
    assert await guard.run(EVENT, Work(), store=store) == InDoubt(guard.key_of(EVENT), "lapsed")


@virtual
async def test_a_lease_that_lapses_while_the_store_answers_is_no_doubt_where_it_may_be_run_again() -> None:
    """The claim was refused while the lease held; when that is known it has lapsed: a repeat may come at once."""

    class Late(MemoryIdempotencyStore):
        async def claim(self, record: IdempotencyRecord, **rest: Any) -> IdempotencyRecord | None:
            found = await super().claim(record, **rest)
            await asyncio.sleep(2)
            return found

    for choice, expected in (("rerun", InProgress), ("doubt", InDoubt)):
        store, guard = Late(), make_guard(after_crash=choice, lease_s=3, skew_s=0)
        begun = asyncio.get_running_loop().time()
        cut = guard.run(EVENT, Work(takes_s=9), store=TroubledStore(store), deadline=begun + 3)
        with pytest.raises(KilledError):
            await Life(2.5).spend(cut)
        outcome = await guard.run(EVENT, Work(), store=store)
        assert type(outcome) is expected
        assert type(await guard.run(EVENT, Work(), store=store)) is (Fresh if choice == "rerun" else InDoubt)


@virtual
async def test_work_is_stopped_at_the_deadline() -> None:
    """It does not go on when others may begin; its key is freed."""
    store, work, guard = MemoryIdempotencyStore(), Work(takes_s=9), make_guard()
    with pytest.raises(DeadlineExceeded):
        await guard.run(EVENT, work, store=store, deadline=2.0)
    assert (work.spans, work.ends) == ([(0.0, 2.0)], 0)
    assert await guard.run(EVENT, Work(), store=store) == Fresh({"run": 1})


def test_errors_say_what_to_do_next() -> None:
    """Each outcome without a value is Retryable, with the time to wait, or Rejected with its reason."""
    assert result_of(Fresh(1), now_ms=0) == result_of(Replayed(1), now_ms=0) == 1
    with pytest.raises(StillInProgress) as busy:
        result_of(InProgress(3_000), now_ms=1_000)
    assert busy.value.after_s == 2.001
    with pytest.raises(NotRecorded) as unrecorded:
        result_of(InDoubt("k", "unrecorded", 3_000), now_ms=5_000)
    assert unrecorded.value.after_s == 0.0
    with pytest.raises(NotRecorded):
        result_of(InDoubt("k", "lease-lost"), now_ms=0)
    with pytest.raises(PayloadConflict) as conflict:
        result_of(Conflict("k"), now_ms=0)
    assert conflict.value.reason == "idempotency-key-reused"
    with pytest.raises(LeftInDoubt) as doubt:
        result_of(InDoubt("k", "lapsed"), now_ms=0)
    assert doubt.value.reason == "idempotency-in-doubt"


@virtual
async def test_trouble_while_waiting_is_waited_out() -> None:
    """A look that the store does not answer never starts the work: the other is in progress as far as anybody knows."""
    store, work = TroubledStore(MemoryIdempotencyStore(), Trouble()), Work(takes_s=3)

    async def wait() -> Any:
        store.trouble.next_before = 0
        guard = make_guard(wait_s=6, when_away="run")
        task = asyncio.get_running_loop().call_later(0.5, lambda: setattr(store.trouble, "next_before", 2))
        try:
            return await guard.run(EVENT, work, store=store)
        finally:
            task.cancel()

    first, second = await together(make_guard().run(EVENT, work, store=store), after(1, wait))
    assert (first, type(second), work.runs) == (Fresh({"run": 1}), Replayed, 1)
