"""How the home moves: when nobody begins, from when on the next one does, and what keeps the home where it is."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from sluiceway.errors import Misconfigured, NotHome, Rejected, Retryable
from sluiceway.region.handover import found_group, raise_epoch
from sluiceway.region.tenure import Tenure
from sluiceway.rules.terms import MAX_PAST, NOT_YET_MS, Term, close_term, first_term, open_term, started_under
from tests.fakes import EPOCH_MS
from tests.unit.region_setup import EAST, LEASE_S, MARGIN_S, SKEW_S, WEST, Regions, next_term, virtual

FIRST = first_term("shop", EAST, now_ms=EPOCH_MS)


async def hand_over(world: Regions, to: str = WEST, approval: str = "incident 1") -> Term:
    return await raise_epoch(world.terms, group="shop", to=to, approval=approval, clock=world.clock)


async def may_begin(tenure: Tenure) -> bool:
    try:
        await tenure.hold(1.0)
    except NotHome:
        return False
    return True


@virtual
async def test_a_group_is_founded_once() -> None:
    """The term that is there stays, and is given."""
    world = Regions()
    assert await found_group(world.terms, FIRST._replace(region=WEST)) == FIRST
    assert await found_group(world.terms, FIRST._replace(group="other")) == FIRST._replace(group="other")


@virtual
async def test_the_next_home_begins_when_the_last_reading_has_run_out() -> None:
    """The old home begins work until its reading runs out, the new one a margin later; in between nobody does."""
    world = Regions()
    east, west = world.tenure(EAST), world.tenure(WEST)
    assert await may_begin(east)
    raised = await hand_over(world)
    assert (raised.epoch, raised.region, raised.begins_ms) == (2, WEST, EPOCH_MS + round(MARGIN_S * 1000) + 1)
    begins: dict[str, list[bool]] = {EAST: [], WEST: []}
    for _ in range(40):
        begins[EAST].append(await may_begin(east))
        begins[WEST].append(await may_begin(west))
        await asyncio.sleep(1)
    assert begins[EAST].index(False) == LEASE_S  # with a second of work it is one less than the lease
    assert not any(begins[EAST][int(LEASE_S) :])
    assert begins[WEST].index(True) == MARGIN_S + 1
    assert all(begins[WEST][int(MARGIN_S) + 1 :])


@virtual
async def test_a_hand_over_whose_writing_takes_long_begins_later() -> None:
    """A reading made right before the change arrived holds for a lease from there: the new home waits for that one."""
    world = Regions()
    world.terms.write_s = 60.0
    east, west = world.tenure(EAST), world.tenure(WEST)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(hand_over(world))
        await asyncio.sleep(59.9)
        assert await may_begin(east)
        both: list[float] = []
        while asyncio.get_running_loop().time() < 200:
            if east.is_held() and await may_begin(west):
                both.append(asyncio.get_running_loop().time())
            await asyncio.sleep(0.5)
    assert both == []
    assert await may_begin(west)


@virtual
async def test_between_the_two_writes_nobody_begins() -> None:
    """The new home knows no date yet, and the old one gets no reading."""
    world = Regions()
    await world.terms.replace(close_term(FIRST, WEST, now_ms=EPOCH_MS, approval="x"), seen=FIRST)
    for region in (EAST, WEST):
        with pytest.raises(NotHome) as caught:
            await world.tenure(region).hold(1.0)
        assert (caught.value.home, caught.value.after_s) == (WEST, None)


@virtual
async def test_a_hand_over_that_was_broken_off_is_gone_on_with() -> None:
    """To the same Region, from the time of the new asking; to another it is a hand-over of its own."""
    world = Regions()
    await world.terms.replace(close_term(FIRST, WEST, now_ms=EPOCH_MS, approval="first"), seen=FIRST)
    await asyncio.sleep(100)
    with pytest.raises(Rejected, match="approval"):
        await hand_over(world, approval=" ")
    raised = await hand_over(world, approval="second")
    assert (raised.epoch, raised.approval, raised.begins_ms) == (2, "second", EPOCH_MS + 135_001)
    assert raised.past[-1].ended_ms == raised.begins_ms
    await world.terms.replace(close_term(raised, EAST, now_ms=EPOCH_MS, approval="third"), seen=raised)
    back = await hand_over(world, to=WEST)
    assert (back.epoch, back.region) == (4, WEST)
    assert back.begins_ms < NOT_YET_MS


@virtual
async def test_what_keeps_a_hand_over_from_being_made() -> None:
    """No approval, the same home, no group, another one that was faster."""
    world = Regions()
    for to, approval, reason in ((WEST, " ", "no-approval"), (EAST, "x", "already-home")):
        with pytest.raises(Rejected) as caught:
            await hand_over(world, to, approval)
        assert caught.value.reason == reason
    with pytest.raises(Misconfigured) as missing:
        await raise_epoch(world.terms, group="none", to=WEST, approval="x", clock=world.clock)
    assert missing.value.what == "REGION_GROUP"
    world.terms.write_s = 1.0
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(hand_over(world))
        await asyncio.sleep(0.5)
        with pytest.raises(Retryable, match="faster"):
            await hand_over(world, "eu-west-1")
    found = await world.terms.get("shop")
    assert found is not None
    assert (found.epoch, found.region) == (2, WEST)


@virtual
async def test_an_approval_is_good_for_one_epoch() -> None:
    """Asked again it gives its own term, broken off or not; delivered again after a failback it moves nothing."""
    world = Regions()
    command = {"group": "shop", "to": WEST, "approval": "first", "clock": world.clock, "ends": 1}
    await world.terms.replace(close_term(FIRST, WEST, now_ms=EPOCH_MS, approval="first"), seen=FIRST)
    made = await raise_epoch(world.terms, **command)
    assert (made.epoch, made.region, made.begins_ms < NOT_YET_MS) == (2, WEST, True)
    assert await raise_epoch(world.terms, **command) == made
    for changed in ({"to": EAST}, {"approval": "another"}):
        with pytest.raises(Rejected) as caught:
            await raise_epoch(world.terms, **(command | changed))
        assert caught.value.reason == "stale-approval"
    back = await raise_epoch(world.terms, group="shop", to=EAST, approval="second", clock=world.clock, ends=2)
    with pytest.raises(Rejected) as late:
        await raise_epoch(world.terms, **command)
    assert (late.value.reason, await world.terms.get("shop")) == ("stale-approval", back)


@virtual
async def test_a_hand_over_that_another_one_overtakes_says_so() -> None:
    """Between its two writes the home was moved on: its date is not written over the later term."""
    world = Regions()
    world.terms.write_s = 1.0
    async with asyncio.TaskGroup() as tasks:
        late = tasks.create_task(_catch(hand_over(world)))
        await asyncio.sleep(1.1)
        world.terms.write_s = 0.1
        faster = await hand_over(world, "eu-west-1")
    assert isinstance(late.result(), Retryable)
    assert await world.terms.get("shop") == faster
    assert (faster.epoch, [past.region for past in faster.past]) == (3, [EAST, WEST])


async def _catch(work: Coroutine[Any, Any, Term]) -> Term | Retryable:
    try:
        return await work
    except Retryable as error:
        return error


def test_a_term_keeps_the_latest_ones_before_it() -> None:
    """64 of them, the latest last; each ended when the next began."""
    term = FIRST
    for number in range(MAX_PAST + 6):
        term = next_term(term, WEST if number % 2 == 0 else EAST, now_ms=EPOCH_MS, approval="x")
    assert [past.epoch for past in term.past] == list(range(7, MAX_PAST + 7))
    assert term.past[-1].ended_ms == term.begins_ms
    assert term.begins_ms == EPOCH_MS + (MAX_PAST + 6) * (round(MARGIN_S * 1000) + 1)


def test_an_opened_term_begins_no_earlier_than_its_closing_said() -> None:
    """Whoever opens it may have a clock that is behind."""
    closed = close_term(FIRST, WEST, now_ms=EPOCH_MS + 60_000, approval="x")
    assert open_term(closed, now_ms=EPOCH_MS).begins_ms == EPOCH_MS + 60_000 + 35_001
    assert open_term(closed, now_ms=EPOCH_MS + 90_000).begins_ms == EPOCH_MS + 90_000 + 35_001


def test_a_key_may_have_been_begun_under_terms_since_it_was_made() -> None:
    """The latest first; those whose ends are not kept any more are over."""
    term = next_term(next_term(FIRST, WEST, now_ms=EPOCH_MS, approval="x"), EAST, now_ms=EPOCH_MS, approval="x")
    ended_ms = term.past[0].ended_ms
    kept_ms = 3_600_000 + 900_000 + round(SKEW_S * 1000)
    for epoch, now_ms, epochs in (
        (0, ended_ms, [2, 1]),
        (1, ended_ms + kept_ms, [2, 1]),
        (1, ended_ms + kept_ms + 1, [2]),
        (2, ended_ms, [2]),
        (3, ended_ms, []),
    ):
        assert [past.epoch for past in started_under(term, epoch, now_ms=now_ms, keep_ms=3_600_000)] == epochs


@pytest.mark.parametrize(("lease_ms", "skew_ms"), [(999, 0), (900_001, 0), (1_000, -1), (1_000, 900_001)])
def test_a_founding_term_has_bounds(lease_ms: int, skew_ms: int) -> None:
    """A lease of a second to fifteen minutes, a skew up to that."""
    with pytest.raises(ValueError, match="a lease is 1 to 900 s"):
        first_term("shop", EAST, now_ms=0, lease_ms=lease_ms, skew_ms=skew_ms)
    assert first_term("shop", EAST, now_ms=0, lease_ms=1_000, skew_ms=900_000).epoch == 1
