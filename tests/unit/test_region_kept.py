"""What earlier terms still say of a key, as long as ends are kept: whose word counts, and how far back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sluiceway.errors import Misconfigured
from sluiceway.idempotency import Fresh, InDoubt, Replayed
from sluiceway.region.doubts import drain, list_doubts, note_unfinished
from sluiceway.region.handover import raise_epoch
from sluiceway.rules.idempotency import IdempotencyRecord, Owner
from sluiceway.rules.region_keys import item_key
from sluiceway.rules.terms import MAX_PAST, Term, close_term, first_term, open_term
from tests.fakes import EPOCH_MS, unavailable
from tests.unit.idempotency_setup import Work
from tests.unit.region_setup import EAST, MARGIN_S, WEST, Regions, guard, virtual

EVENT = {"id": "o1"}
KEY = guard().key_of(EVENT)
DAY_S = 86_400.0


async def hand_over(world: Regions, to: str) -> None:
    await raise_epoch(world.terms, group="shop", to=to, approval="incident", clock=world.clock)
    await asyncio.sleep(MARGIN_S + 0.1)


async def replicate(world: Regions, item: str, source: str) -> None:
    """The item as it is now in `source`, in the other Region."""
    found = await world.tables[source].store.get(item)
    assert found is not None
    store: Any = world.tables[WEST if source == EAST else EAST].store
    store._records[item] = found


@pytest.mark.parametrize("is_away", [False, True])
@virtual
async def test_a_copy_of_an_end_that_has_expired_says_nothing_of_what_was_begun_since(is_away: bool) -> None:
    """Its key was begun anew at the earlier home and not ended: fenced, and parked while that Region is away."""
    world, work, orders = Regions(), Work(), guard(keep_s=60.0)
    await orders.run(EVENT, work, store=world.home(EAST))
    await replicate(world, item_key(KEY, 1), EAST)
    await asyncio.sleep(70)
    now_ms = world.clock.now_ms()
    again = IdempotencyRecord(KEY, Owner("killed"), now_ms // 1000 + 65, now_ms + 9_000)
    assert await world.home(EAST).claim(again, now_ms=now_ms, rerun=False) is None
    await hand_over(world, WEST)
    world.links[EAST].refusal = unavailable("GetItem") if is_away else None
    outcome = await orders.run(EVENT, work, store=world.home(WEST))
    assert (outcome, work.runs) == (InDoubt(KEY, "parked" if is_away else "fenced"), 1)


@virtual
async def test_an_end_of_an_earlier_term_is_told_elsewhere_as_long_as_it_is_kept() -> None:
    """Hours after the hand-over the Region that did the work still tells its result, and then sends to the home."""
    world, work, orders = Regions(), Work(), guard(keep_s=DAY_S)
    await orders.run(EVENT, work, store=world.home(EAST))
    await hand_over(world, WEST)
    await asyncio.sleep(DAY_S - 300)
    assert await orders.run(EVENT, work, store=world.home(EAST)) == Replayed({"run": 1})


@virtual
async def test_a_drain_sees_an_end_however_long_ago_its_term_was_over() -> None:
    """A late copy of a claim stands in the first term, the second did the work, and the drain comes hours later."""
    world, work, orders = Regions(), Work(), guard(keep_s=DAY_S)
    await hand_over(world, WEST)
    await orders.run(EVENT, work, store=world.home(WEST))
    await replicate(world, item_key(KEY, 2), WEST)
    late = IdempotencyRecord(item_key(KEY, 1), Owner("late", EAST, 1), EPOCH_MS // 1000 + round(DAY_S), EPOCH_MS)
    store: Any = world.tables[EAST].store
    await store.claim(late, now_ms=EPOCH_MS, rerun=False)
    await hand_over(world, EAST)
    await asyncio.sleep(3 * 3_600)
    east, term = world.home(EAST), await world.tenure(EAST).read()
    assert await note_unfinished(store, world.doubts, term=term, region=EAST, clock=world.clock) == 1
    report = await drain(world.doubts, region=EAST, home=east, clock=world.clock)
    assert (report.done, report.fenced) == (1, 0)
    assert [doubt async for doubt in list_doubts(world.doubts, EAST)] == []


# ------------------------------------------------------------ terms


def after_hand_overs(count: int, *, every_ms: int = 60_000) -> Term:
    term = first_term("shop", EAST, now_ms=EPOCH_MS, lease_ms=30_000, skew_ms=5_000)
    for number in range(1, count + 1):
        now_ms = EPOCH_MS + number * every_ms
        to = EAST if term.region == WEST else WEST
        term = open_term(close_term(term, to, now_ms=now_ms, approval="drill"), now_ms=now_ms)
    return term


@virtual
async def test_nothing_is_begun_that_a_forgotten_term_may_have_begun() -> None:
    """With more hand-overs behind it than a term remembers: refused for as long as the oldest of them counts."""
    world = Regions()
    count = MAX_PAST + 2
    now = await world.terms.get("shop")
    assert await world.terms.replace(after_hand_overs(count), seen=now)
    await asyncio.sleep(count * 60 + MARGIN_S + 0.1)
    east = world.home(EAST)
    with pytest.raises(Misconfigured) as caught:
        await guard(keep_s=DAY_S).run(EVENT, Work(), store=east)
    assert caught.value.what == "keep_s"
    minted = {"id": await world.tenure(EAST).mint()}
    assert await guard(keep_s=DAY_S, digest="minted").run(minted, Work(), store=east) == Fresh({"run": 1})
    assert await guard(keep_s=60.0).run(EVENT, Work(), store=east) == Fresh({"run": 1})


def test_a_term_that_is_never_opened_moves_the_end_of_the_one_before_it() -> None:
    """The first write took two hours, and another person gave the home back instead of opening the term."""
    first = first_term("shop", EAST, now_ms=EPOCH_MS, lease_ms=30_000, skew_ms=5_000)
    closed = close_term(first, WEST, now_ms=EPOCH_MS, approval="one")
    now_ms = EPOCH_MS + 7_200_000
    term = open_term(close_term(closed, EAST, now_ms=now_ms, approval="other"), now_ms=now_ms)
    assert [(past.epoch, past.ended_ms) for past in term.past] == [(1, now_ms + 35_001), (2, now_ms + 35_001)]
