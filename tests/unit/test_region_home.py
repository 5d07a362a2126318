"""The home Region's store under a guard: what is begun, refused, replayed, parked and fenced, and by whom."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sluiceway.errors import Misconfigured, NotHome, Rejected, Withheld
from sluiceway.idempotency import Fresh, InDoubt, LeftInDoubt, Parked, Replayed
from sluiceway.idempotency.outcomes import result_of
from sluiceway.region.doubts import settle
from sluiceway.region.handover import raise_epoch
from sluiceway.region.home import MANY_ATTEMPTS, HomeStore, RegionDesk
from sluiceway.region.tenure import HEARSAY_S, Tenure
from sluiceway.rules.idempotency import IdempotencyRecord, Owner
from sluiceway.rules.region_keys import item_key, mint_key
from sluiceway.rules.terms import Doubt
from tests.fakes import EPOCH_MS, unavailable
from tests.unit.idempotency_setup import Work
from tests.unit.region_setup import EAST, MARGIN_S, WEST, Regions, guard, remembered, virtual

EVENT = {"id": "o1"}
KEY = guard().key_of(EVENT)


async def fail_over(world: Regions, to: str = WEST) -> None:
    """Make `to` the home, and wait until it is."""
    await raise_epoch(world.terms, group="shop", to=to, approval="incident", clock=world.clock)
    await asyncio.sleep(MARGIN_S + 0.1)


async def leave_unended(world: Regions, region: str = EAST, event: dict[str, str] = EVENT, **choices: Any) -> None:
    """An environment of `region` that is killed at its work."""
    made = guard(**choices)
    record = IdempotencyRecord(
        made.key_of(event), Owner("killed"), expires_s=EPOCH_MS // 1000 + 3_600, lease_until_ms=world.clock.now_ms() + 9
    )
    assert await world.home(region).claim(record, now_ms=world.clock.now_ms(), rerun=False) is None


async def doubts_of(world: Regions, region: str = WEST) -> tuple[Doubt, ...]:
    return (await world.doubts.page(region)).doubts


def cut(world: Regions, region: str) -> None:
    world.links[region].refusal = unavailable("GetItem")


# ------------------------------------------------------------ who begins


@virtual
async def test_the_home_begins_and_every_region_replays() -> None:
    """Elsewhere a new key is refused with the home's name, and an end that has arrived is given."""
    world = Regions()
    work = Work()
    assert await guard().run(EVENT, work, store=world.home(EAST)) == Fresh({"run": 1})
    assert await guard().run(EVENT, work, store=world.home(EAST)) == Replayed({"run": 1})
    west = world.home(WEST)
    with pytest.raises(NotHome) as caught:
        await guard().run(EVENT, work, store=west)
    assert caught.value.home == EAST
    done = await world.tables[EAST].get(item_key(KEY, 1))
    assert done is not None
    await world.tables[WEST].store.claim(done, now_ms=0, rerun=False)  # replication
    assert await guard().run(EVENT, work, store=west) == Replayed({"run": 1})
    assert work.runs == 1


@virtual
async def test_only_an_end_that_still_counts_is_told_elsewhere() -> None:
    """A copy of work in progress, or of an end that has expired, sends the caller to the home."""
    world = Regions()
    await guard().run(EVENT, Work(), store=world.home(EAST))
    done = await world.tables[EAST].get(item_key(KEY, 1))
    assert done is not None
    for copy in (done._replace(is_complete=False, data=None), done._replace(expires_s=EPOCH_MS // 1000 - 1)):
        await world.tables[WEST].store.claim(copy, now_ms=EPOCH_MS, rerun=False)
        with pytest.raises(NotHome):
            await guard().run(EVENT, Work(), store=world.home(WEST))
        await world.tables[WEST].store.release(copy)


@virtual
async def test_what_is_stored_names_region_and_epoch_and_the_item_is_the_terms_own() -> None:
    """A minted key's item is the key itself under its own term, and has the epoch behind it under another."""
    world = Regions()
    minted = {"id": await world.tenure(EAST).mint()}
    made = guard(digest="minted")
    await made.run(minted, Work(), store=world.home(EAST))
    await guard().run(EVENT, Work(), store=world.home(EAST))
    for key in (f"orders#{minted['id']}", f"{KEY}@1"):
        found = await world.tables[EAST].get(key)
        assert found is not None
        assert (found.is_complete, found.owner.region, found.owner.epoch) == (True, EAST, 1)
    await fail_over(world)
    await made.run({"id": mint_key(EAST, 1, now_ms=EPOCH_MS, random=bytes(10))}, Work(), store=world.home(WEST))
    assert [key.rpartition("@")[2] for key in _keys(world, WEST)] == ["2"]


def _keys(world: Regions, region: str) -> list[str]:
    store: Any = world.tables[region].store
    return list(store._records)


@virtual
async def test_what_is_found_has_the_key_that_was_asked_for() -> None:
    """Not its item's: by a claim, by a look, and of an earlier term."""
    world = Regions()
    await guard().run(EVENT, Work(), store=world.home(EAST))
    now_ms = world.clock.now_ms()
    other = IdempotencyRecord(KEY, Owner("other"), now_ms // 1000 + 60, now_ms + 5_000)
    east = world.home(EAST)
    found = [await east.claim(other, now_ms=now_ms, rerun=False), await east.get(KEY)]
    await fail_over(world)
    now_ms = world.clock.now_ms()
    late = other._replace(expires_s=now_ms // 1000 + 60, lease_until_ms=now_ms + 5_000)
    found += [await world.home(WEST).claim(late, now_ms=now_ms, rerun=False), await world.home(EAST).get(KEY)]
    assert [each and (each.key, each.data) for each in found] == [(KEY, '{"run":1}')] * 4


@virtual
async def test_a_key_of_no_term_is_refused() -> None:
    """Of an epoch still to come, or of another Region than the epoch's; a term that is not seen yet is read."""
    world = Regions()
    home, made = world.home(EAST), guard(digest="minted")
    for region, epoch in ((WEST, 1), (EAST, 2)):
        key = {"id": mint_key(region, epoch, now_ms=EPOCH_MS, random=bytes(10))}
        with pytest.raises(Rejected) as caught:
            await made.run(key, Work(), store=home)
        assert caught.value.reason == "invalid-idempotency-key"
    await raise_epoch(world.terms, group="shop", to=WEST, approval="x", clock=world.clock)
    await asyncio.sleep(HEARSAY_S)
    with pytest.raises(NotHome):
        await made.run({"id": mint_key(WEST, 2, now_ms=EPOCH_MS, random=bytes(10))}, Work(), store=home)


@virtual
async def test_made_up_epochs_cost_a_reading_a_second_and_end_no_other() -> None:
    """Fifty of them: one is refused by what was read for it, the others are told to come again within that second."""
    world = Regions()
    tenure, made = world.tenure(EAST), guard(digest="minted")
    home = world.home(EAST, tenure)
    told: list[type[Exception]] = []
    await tenure.hold(1.0)
    for number in range(50):
        key = mint_key(EAST, 10**9 - number, now_ms=EPOCH_MS, random=bytes(10))
        with pytest.raises((Rejected, Withheld)) as caught:
            await made.run({"id": key}, Work(), store=home)
        told.append(type(caught.value))
    assert (told, world.terms.reads) == ([Rejected] + [Withheld] * 49, 2)
    world.terms.is_away = True
    await asyncio.sleep(HEARSAY_S)
    with pytest.raises(Withheld):
        await made.run({"id": mint_key(EAST, 2, now_ms=EPOCH_MS, random=bytes(10))}, Work(), store=home)
    tenure.check()
    assert await guard().run(EVENT, Work(), store=home) == Fresh({"run": 1})


@virtual
async def test_a_claim_without_an_answer_is_not_kept_in_mind() -> None:
    """No guard writes anything for it any more, however many there are."""
    world = Regions()
    home = world.home(EAST)
    world.tables[EAST].trouble.refusal = unavailable("PutItem")
    for number in range(3):
        with pytest.raises(Withheld):
            await guard().run({"id": number}, Work(), store=home)
    assert remembered(home) == 0


@virtual
async def test_a_lease_longer_than_the_terms_is_refused() -> None:
    """Work must not outlast a reading."""
    with pytest.raises(Misconfigured) as caught:
        await guard(lease_s=26, skew_s=5).run(EVENT, Work(), store=Regions().home(EAST))
    assert caught.value.what == "lease_s"


# ------------------------------------------------------------ nothing runs unprotected


@pytest.mark.parametrize("what", ["terms", "table", "silent table", "doubts", "not home"])
@virtual
async def test_nothing_is_run_unprotected(what: str) -> None:
    """Whatever is away, `when_away="run"` runs no work over a home store, in time for the guard's own limit."""
    world = Regions()
    region = WEST if what in {"doubts", "not home"} else EAST
    if what == "doubts":
        await leave_unended(world)
        await fail_over(world)
        world.doubts.is_away = True
    home, work = world.home(region), Work()
    world.terms.is_away = what == "terms"
    world.tables[region].trouble.refusal = unavailable("PutItem") if what in {"table", "not home"} else None
    world.tables[region].trouble.latency_s = 3_600.0 if what == "silent table" else 0.0
    begun = asyncio.get_running_loop().time()
    with pytest.raises(Withheld):
        await guard(when_away="run").run(EVENT, work, store=home)
    assert work.runs == 0
    assert asyncio.get_running_loop().time() - begun <= 5.0


@virtual
async def test_doubts_that_do_not_answer_hold_nobody_up() -> None:
    """A note that hangs ends with the claim's own time."""
    world = Regions()
    await leave_unended(world)
    await fail_over(world)
    home = world.home(WEST)

    world.doubts.takes_s = 3_600.0
    begun = asyncio.get_running_loop().time()
    with pytest.raises(Withheld):
        await guard().run(EVENT, Work(), store=home)
    assert asyncio.get_running_loop().time() - begun == 5.0


# ------------------------------------------------------------ after a hand-over


@virtual
async def test_a_key_that_cannot_be_asked_about_is_parked_and_noted() -> None:
    """Its caller is told to come again; once the earlier home answers, what was never begun is begun."""
    world = Regions()
    await fail_over(world)
    cut(world, EAST)
    home, work = world.home(WEST), Work()
    outcome = await guard().run(EVENT, work, store=home)
    assert outcome == InDoubt(KEY, "parked")
    with pytest.raises(Parked):
        result_of(outcome, now_ms=world.clock.now_ms())
    (doubt,) = await doubts_of(world)
    assert (doubt.key, doubt.why, doubt.epoch, doubt.home, doubt.region) == (KEY, "parked", 1, EAST, WEST)
    assert doubt.expires_s == (doubt.noted_ms + 3_600_000 + 5_000) // 1000 + 1 + 900
    world.links[EAST].refusal = None
    assert await guard().run(EVENT, work, store=home) == Fresh({"run": 1})


@virtual
async def test_an_earlier_home_that_is_no_longer_named_cannot_be_asked() -> None:
    """A Region that was taken out of the group after it was home: its keys are parked, not taken for free."""
    world = Regions()
    await fail_over(world)
    desk = RegionDesk(world.tenure(WEST), world.tables[WEST], {}, world.doubts, world.clock)
    assert await guard().run(EVENT, Work(), store=HomeStore(desk)) == InDoubt(KEY, "parked")


@virtual
async def test_a_key_that_the_new_term_made_is_begun_without_asking() -> None:
    """New work goes on while the earlier home is away."""
    world = Regions()
    await fail_over(world)
    cut(world, EAST)
    key = {"id": await world.tenure(WEST).mint()}
    assert await guard(digest="minted").run(key, Work(), store=world.home(WEST)) == Fresh({"run": 1})


@virtual
async def test_an_end_of_an_earlier_term_is_replayed() -> None:
    """As its Region tells it, or from the copy that has arrived, which never changes."""
    world = Regions()
    await guard().run(EVENT, Work(), store=world.home(EAST))
    await fail_over(world)
    home, work = world.home(WEST), Work()
    assert await guard().run(EVENT, work, store=home) == Replayed({"run": 1})
    cut(world, EAST)
    assert await guard().run(EVENT, work, store=home) == InDoubt(KEY, "parked")
    done = await world.tables[EAST].get(item_key(KEY, 1))
    assert done is not None
    await world.tables[WEST].store.claim(done, now_ms=0, rerun=False)
    assert await guard().run(EVENT, work, store=home) == Replayed({"run": 1})
    assert work.runs == 0


@virtual
async def test_what_this_term_has_begun_asks_nobody() -> None:
    """Its own record is the answer, though the earlier home is away by now; one that has expired is none."""
    world = Regions()
    await fail_over(world)
    home, work = world.home(WEST), Work()
    await guard().run(EVENT, work, store=home)
    cut(world, EAST)
    assert await guard().run(EVENT, work, store=home) == Replayed({"run": 1})
    await asyncio.sleep(3_700)
    assert await guard().run(EVENT, work, store=home) == InDoubt(KEY, "parked")


@virtual
async def test_a_claim_that_was_replicated_is_no_word_of_its_region() -> None:
    """A copy in progress may be old: with its Region away the key is parked, not fenced."""
    world = Regions()
    await leave_unended(world)
    claimed = await world.tables[EAST].get(item_key(KEY, 1))
    assert claimed is not None
    await world.tables[WEST].store.claim(claimed, now_ms=0, rerun=False)
    await fail_over(world)
    cut(world, EAST)
    assert await guard().run(EVENT, Work(), store=world.home(WEST)) == InDoubt(KEY, "parked")


@pytest.mark.parametrize("after_crash", ["doubt", "rerun"])
@virtual
async def test_a_key_that_was_begun_and_never_ended_is_fenced(after_crash: str) -> None:
    """It is never run again by itself, whatever the guard does with crashes in one Region; its end may still arrive."""
    world = Regions()
    await leave_unended(world)
    await fail_over(world)
    home, work = world.home(WEST), Work()
    outcome = await guard(after_crash=after_crash).run(EVENT, work, store=home)
    assert (outcome, work.runs) == (InDoubt(KEY, "fenced"), 0)
    with pytest.raises(LeftInDoubt):
        result_of(outcome, now_ms=0)
    end = (await world.tables[EAST].get(item_key(KEY, 1))) or pytest.fail("no record")
    await world.tables[EAST].store.write(end._replace(is_complete=True, data="7"))
    assert await guard(after_crash=after_crash).run(EVENT, work, store=home) == Replayed(7)


@virtual
async def test_a_person_lets_a_fenced_key_begin() -> None:
    """Once, under the term that the doubt is noted in; its repeats get the new end."""
    world = Regions()
    await leave_unended(world)
    await fail_over(world)
    home, work = world.home(WEST), Work()
    await guard().run(EVENT, work, store=home)
    (doubt,) = await doubts_of(world)
    await settle(world.doubts, doubt, verdict="not-done")
    assert await guard().run(EVENT, work, store=home) == Fresh({"run": 1})
    assert await guard().run(EVENT, work, store=home) == Replayed({"run": 1})


@virtual
async def test_the_latest_of_two_earlier_terms_speaks_first() -> None:
    """Back in the east, the west's end counts, not the east's own unended attempt before it."""
    world = Regions()
    await leave_unended(world)
    await fail_over(world)
    west, work = world.home(WEST), Work()
    await guard().run(EVENT, work, store=west)
    (doubt,) = await doubts_of(world)
    await settle(world.doubts, doubt, verdict="not-done")
    await guard().run(EVENT, work, store=west)
    await fail_over(world, EAST)
    assert await guard().run(EVENT, work, store=world.home(EAST)) == Replayed({"run": 1})


@virtual
async def test_the_homes_own_earlier_attempt_is_known_without_asking() -> None:
    """Of a term before the last: nothing is asked of the other Region about it."""
    world = Regions()
    await leave_unended(world)
    await fail_over(world)
    await fail_over(world, EAST)
    assert await guard().run(EVENT, Work(), store=world.home(EAST)) == InDoubt(KEY, "fenced")
    (doubt,) = await doubts_of(world, EAST)
    assert (doubt.epoch, doubt.home) == (1, EAST)


@virtual
async def test_what_has_expired_is_over() -> None:
    """An unended record of an earlier term keeps nobody from beginning once its time is over."""
    world = Regions()
    await leave_unended(world)
    await fail_over(world)
    home, work = world.home(WEST), Work()
    await asyncio.sleep(3_600)
    assert await guard().run(EVENT, work, store=home) == Fresh({"run": 1})


@virtual
async def test_work_that_failed_under_an_earlier_term_is_free() -> None:
    """It was released there."""
    world = Regions()
    with pytest.raises(ValueError, match="no"):
        await guard().run(EVENT, Work(error=ValueError("no")), store=world.home(EAST))
    await fail_over(world)
    assert await guard().run(EVENT, Work(), store=world.home(WEST)) == Fresh({"run": 1})


# ------------------------------------------------------------ an attempt while its term ends


@virtual
async def test_work_in_progress_is_stopped_when_its_term_is_lost_and_is_fenced() -> None:
    """A renewal after the hand-over gives False: the work ends before the new home begins anything."""
    world = Regions()
    east, work = world.home(EAST), Work(takes_s=1_000)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(guard().run(EVENT, work, store=east))
        await asyncio.sleep(7)
        await fail_over(world)
        assert running.done()
        assert await guard().run(EVENT, work, store=world.home(WEST)) == InDoubt(KEY, "fenced")
    assert running.result() == InDoubt(KEY, "lease-lost")
    assert work.spans[0][1] <= 7 + 30.0


@virtual
async def test_an_end_may_be_written_after_the_term() -> None:
    """Work that was done before its lease ended says so whenever it can: it is an end, not a beginning."""
    world = Regions()
    east = world.home(EAST)
    record = IdempotencyRecord(
        KEY, Owner("t"), expires_s=EPOCH_MS // 1000 + 3_600, lease_until_ms=world.clock.now_ms() + 15_000
    )
    assert await east.claim(record, now_ms=world.clock.now_ms(), rerun=False) is None
    await fail_over(world)
    later = record._replace(lease_until_ms=world.clock.now_ms() + 15_000)
    assert not await east.write(later)
    assert await east.write(record._replace(is_complete=True, data="7"))
    assert not await east.write(record._replace(is_complete=True, data="8"))
    assert await guard().run(EVENT, Work(), store=world.home(WEST)) == Replayed(7)


@virtual
async def test_a_renewal_in_a_later_term_of_the_same_region_is_none() -> None:
    """The east is home again, under another epoch: what it began before is not renewed."""
    world = Regions()
    east = world.home(EAST)
    record = IdempotencyRecord(
        KEY, Owner("t"), expires_s=EPOCH_MS // 1000 + 9_000, lease_until_ms=world.clock.now_ms() + 15_000
    )
    await east.claim(record, now_ms=world.clock.now_ms(), rerun=False)
    assert await east.write(record._replace(lease_until_ms=record.lease_until_ms + 1))
    await fail_over(world)
    await fail_over(world, EAST)
    assert not await east.write(record._replace(lease_until_ms=world.clock.now_ms() + 15_000))


@virtual
async def test_more_attempts_than_are_remembered_forget_those_that_nobody_ended() -> None:
    """Beyond 1,000: what is at work is kept and ends, what was left long ago is forgotten."""
    world = Regions()
    home = world.home(EAST)

    async def claim(number: int) -> IdempotencyRecord:
        now_ms = world.clock.now_ms()
        record = IdempotencyRecord(f"k#{number}", Owner(f"t{number}"), now_ms // 1000 + 9_000, now_ms + 15_000)
        assert await home.claim(record, now_ms=now_ms, rerun=False) is None
        return record

    left = [await claim(number) for number in range(MANY_ATTEMPTS // 2)]
    await asyncio.sleep(15 + 900 + 1)
    fresh = [await claim(number) for number in range(MANY_ATTEMPTS // 2, MANY_ATTEMPTS + 1)]
    assert remembered(home) == len(fresh)
    for record in fresh:
        assert await home.write(record._replace(is_complete=True, data="1"))
    assert not await home.write(left[0]._replace(is_complete=True, data="1"))
    assert remembered(home) == 0


@virtual
async def test_a_claim_that_meets_another_is_not_remembered() -> None:
    """Refused and replayed calls leave nothing behind."""
    world = Regions()
    tenure = world.tenure(EAST)
    home = world.home(EAST, tenure)
    assert isinstance(tenure, Tenure)
    await guard().run(EVENT, Work(), store=home)
    for _ in range(10):
        await guard().run(EVENT, Work(), store=home)
    assert isinstance(home, HomeStore)
    assert remembered(home) == 0
