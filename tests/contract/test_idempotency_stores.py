"""The contract of IdempotencyStore over memory, the local cloud's DynamoDB and moto's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from sluiceway.errors import Rejected, Retryable
from sluiceway.idempotency import Fresh, Replayed
from sluiceway.idempotency.layered import SpillingIdempotencyStore
from sluiceway.ports import IdempotencyStore
from sluiceway.rules.idempotency import IdempotencyRecord, Owner
from tests.contract.answer_tables import Post
from tests.contract.idempotency_tables import World, worlds
from tests.fakes import MemoryBlobStore
from tests.unit.idempotency_setup import Work, make_guard

NOW_MS = time.time_ns() // 1_000_000_000 * 1_000  # the tables have the machine's clock
NOW_S = NOW_MS // 1000
MINE = IdempotencyRecord(
    "orders#1", Owner("mine", "eu-west-1", 7), NOW_S + 60, lease_until_ms=NOW_MS + 5_000, payload_hash="p"
)
DONE = MINE._replace(is_complete=True, data='{"a":"€"}', expires_s=NOW_S + 90)
OTHER = MINE._replace(owner=Owner("other"))


@dataclass
class Table:
    """A store with limits and lost answers, and the post to it."""

    store: IdempotencyStore
    post: Post


@pytest.fixture(params=["memory", "local", "local, every call twice", "moto"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    yield from worlds(request.param)


@pytest.fixture(params=["local", "moto"])
def table(request: pytest.FixtureRequest) -> Iterator[Table]:
    for world in worlds(request.param):
        assert world.post is not None
        yield Table(world.store, world.post)


@pytest.fixture
def store(world: World) -> IdempotencyStore:
    return world.store


async def claim(store: IdempotencyStore, record: IdempotencyRecord, *, after_ms: int = 0, rerun: bool = True) -> object:
    return await store.claim(record, now_ms=NOW_MS + after_ms, rerun=rerun)


async def test_a_claim_is_read_back_whole(store: IdempotencyStore) -> None:
    """Every member survives, Region and epoch too."""
    assert await store.get("orders#1") is None
    assert await claim(store, MINE) is None
    assert await store.get("orders#1") == MINE


async def test_a_second_claim_is_shown_the_first(store: IdempotencyStore) -> None:
    """The record there is the answer; the same owner's claim is no second one (its first answer was lost)."""
    await claim(store, MINE)
    assert await claim(store, OTHER) == MINE
    assert await claim(store, MINE) is None
    assert await store.get("orders#1") == MINE


@pytest.mark.parametrize("rerun", [True, False])
async def test_a_lapsed_lease_is_free_only_to_be_run_again(store: IdempotencyStore, *, rerun: bool) -> None:
    """The millisecond that the lease names still counts; without `rerun` the key stays taken."""
    await claim(store, MINE)
    assert await claim(store, OTHER, after_ms=5_000, rerun=rerun) == MINE
    assert await claim(store, OTHER, after_ms=5_001, rerun=rerun) == (None if rerun else MINE)
    assert await store.get("orders#1") == (OTHER if rerun else MINE)


async def test_a_lease_that_nobody_named_holds_until_the_record_expires(store: IdempotencyStore) -> None:
    """As Powertools writes it without a context."""
    unnamed = MINE._replace(lease_until_ms=0)
    await claim(store, unnamed)
    assert await claim(store, OTHER, after_ms=60_999) == unnamed
    assert await claim(store, OTHER, after_ms=61_000) is None


@pytest.mark.parametrize("rerun", [True, False])
async def test_a_complete_record_holds_until_it_expires(store: IdempotencyStore, *, rerun: bool) -> None:
    """Its lease means nothing any more; the second that it expires in still counts."""
    await claim(store, MINE)
    assert await store.write(DONE)
    assert await claim(store, OTHER, after_ms=90_999, rerun=rerun) == DONE
    assert await claim(store, OTHER, after_ms=91_000, rerun=rerun) is None


async def test_a_renewal_moves_lease_and_expiry(store: IdempotencyStore) -> None:
    """Of the record in progress, by its owner."""
    later = MINE._replace(lease_until_ms=NOW_MS + 9_000, expires_s=NOW_S + 99)
    await claim(store, MINE)
    assert await store.write(later)
    assert await store.get("orders#1") == later


async def test_a_late_copy_of_a_renewal_shortens_nothing(store: IdempotencyStore) -> None:
    """The lease that the owner counts on stands; the owner still holds the key."""
    later = MINE._replace(lease_until_ms=NOW_MS + 9_000, expires_s=NOW_S + 99)
    await claim(store, MINE)
    await store.write(later)
    assert await store.write(MINE._replace(lease_until_ms=NOW_MS + 7_000))
    assert await store.get("orders#1") == later


async def test_an_end_is_written_by_the_owner_once(store: IdempotencyStore) -> None:
    """The same end again is stored already; another one comes too late, and so does a renewal."""
    await claim(store, MINE)
    assert await store.write(DONE)
    assert await store.write(DONE)
    assert not await store.write(DONE._replace(data='"else"'))
    await store.write(MINE)
    await store.release(MINE)
    assert await store.get("orders#1") == DONE


async def test_where_a_key_was_claimed_stays_in_its_record(store: IdempotencyStore) -> None:
    """Who renews or ends it has the token alone: Region and epoch are those of the claim."""
    await claim(store, MINE)
    token = Owner(MINE.owner.token)
    later = MINE._replace(lease_until_ms=NOW_MS + 9_000)
    assert await store.write(later._replace(owner=token))
    assert await store.get("orders#1") == later
    assert await store.write(DONE._replace(owner=token, lease_until_ms=NOW_MS + 9_000))
    assert await store.get("orders#1") == DONE._replace(lease_until_ms=NOW_MS + 9_000)


async def test_nobody_writes_over_anothers_record(store: IdempotencyStore) -> None:
    """Neither a renewal, nor an end, nor a deletion, whether it is in progress or complete."""
    for state in (MINE, DONE):
        await claim(store, MINE)
        if state.is_complete:
            await store.write(state)
        assert not await store.write(OTHER)
        assert not await store.write(OTHER._replace(is_complete=True, data="1"))
        await store.release(OTHER)
        assert await store.get("orders#1") == state


async def test_nothing_is_written_where_nothing_is(store: IdempotencyStore) -> None:
    """An end or a renewal whose record is gone makes no new one."""
    assert not await store.write(MINE)
    assert not await store.write(DONE)
    await store.release(MINE)
    assert await store.get("orders#1") is None


async def test_a_released_key_is_free(store: IdempotencyStore) -> None:
    """At once."""
    await claim(store, MINE)
    await store.release(MINE)
    assert await store.get("orders#1") is None
    assert await claim(store, OTHER) is None


async def test_results_that_are_elsewhere_or_nowhere_are_read_as_such(store: IdempotencyStore) -> None:
    """A spilled result has its place and no data, one that was not kept has neither."""
    for key, place in (("a", "idempotency/a/mine"), ("b", "")):
        record = MINE._replace(key=key)
        done = record._replace(is_complete=True, data_key=place)
        await claim(store, record)
        assert await store.write(done)
        assert await store.write(done)
        assert await store.get(key) == done


async def test_a_guard_does_its_work_once(store: IdempotencyStore) -> None:
    """End to end over every store, with a spill."""
    work, guard = Work(), make_guard()
    spilling = SpillingIdempotencyStore(store, MemoryBlobStore(), max_inline_bytes=5)
    assert await guard.run({"id": "o1"}, work, store=spilling) == Fresh({"run": 1})
    assert await guard.run({"id": "o1"}, work, store=spilling) == Replayed({"run": 1})


async def test_a_result_over_the_item_limit_is_done_and_not_kept(table: Table) -> None:
    """J: without a place for it the caller gets it once; the key is done, not stuck, and the work is not repeated."""
    guard, runs = make_guard(), list[int]()

    async def work() -> str:
        runs.append(1)
        return "x" * 410_000

    assert await guard.run({"id": "o1"}, work, store=table.store) == Fresh("x" * 410_000, recorded=False)
    with pytest.raises(Rejected) as caught:
        await guard.run({"id": "o1"}, work, store=table.store)
    assert (caught.value.reason, len(runs)) == ("result-gone", 1)


@pytest.mark.parametrize("size", [349_990, 350_010])
async def test_the_largest_result_fits_an_item(table: Table, size: int) -> None:
    """What the store says fits, DynamoDB takes; what it says is too large is not sent."""
    record = MINE._replace(key="k" * 2_000)
    await claim(table.store, record)
    done = record._replace(is_complete=True, data='"' + "x" * (size - 2) + '"')
    if size < 350_000:
        assert await table.store.write(done)
        assert await table.store.get(record.key) == done._replace(expires_s=done.expires_s)
    else:
        with pytest.raises(Rejected) as caught:
            await table.store.write(done)
        assert caught.value.reason == "result-too-large"


async def test_lost_answers_are_told_from_refusals(table: Table) -> None:
    """Claim and end are stored and their answers lost: asked again they are found to be ours."""
    table.post.lose_after = 1
    with pytest.raises(Retryable):
        await claim(table.store, MINE)
    assert await claim(table.store, MINE) is None
    table.post.lose_after = 1
    with pytest.raises(Retryable):
        await table.store.write(DONE)
    assert await table.store.write(DONE)


async def test_what_arrives_long_after_changes_nothing(table: Table) -> None:
    """Every write of the first owner, delivered once more when the key is the second's and complete."""
    await claim(table.store, MINE)
    await table.store.write(MINE._replace(lease_until_ms=NOW_MS + 6_000))
    await table.store.release(MINE)
    late = list(table.post.calls)
    await claim(table.store, OTHER)
    done = OTHER._replace(is_complete=True, data="2")
    await table.store.write(done)
    for operation, request in late:
        await table.post.deliver_again(operation, request)
    assert await table.store.get("orders#1") == done
