"""How doubts end: by asking again, by a person; and which unended records are noted without anybody asking."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sluiceway.errors import Rejected
from sluiceway.idempotency import Fresh, InDoubt, Replayed
from sluiceway.region.doubts import DrainReport, drain, list_doubts, list_unfinished, note_unfinished, settle
from sluiceway.region.handover import raise_epoch
from sluiceway.rules.idempotency import IdempotencyRecord, Owner
from sluiceway.rules.region_keys import item_key
from sluiceway.rules.terms import Doubt
from tests.fakes import EPOCH_MS, unavailable
from tests.unit.idempotency_setup import Work
from tests.unit.region_setup import EAST, MARGIN_S, WEST, Regions, guard, virtual

KEYS = {name: guard().key_of({"id": name}) for name in ("done", "free", "left")}


async def begin(world: Regions, name: str) -> IdempotencyRecord:
    """A claim in the east whose work nobody ends."""
    now_ms = world.clock.now_ms()
    record = IdempotencyRecord(KEYS[name], Owner(f"owner-{name}"), now_ms // 1000 + 3_600, now_ms + 15_000)
    assert await world.home(EAST).claim(record, now_ms=now_ms, rerun=False) is None
    return record


async def fail_over(world: Regions) -> None:
    await raise_epoch(world.terms, group="shop", to=WEST, approval="incident", clock=world.clock)
    await asyncio.sleep(MARGIN_S + 0.1)


async def ask_for_all(world: Regions) -> dict[str, object]:
    west = world.home(WEST)
    return {name: await guard().run({"id": name}, Work(), store=west) for name in KEYS}


async def parked_world() -> Regions:
    """Three keys that the west asked for while the east was away: done there, never begun, begun and left."""
    world = Regions()
    await guard().run({"id": "done"}, Work(), store=world.home(EAST))
    await begin(world, "left")
    await fail_over(world)
    world.links[EAST].refusal = unavailable("GetItem")
    assert await ask_for_all(world) == {name: InDoubt(key, "parked") for name, key in KEYS.items()}
    return world


def shelf_of(world: Regions, region: str) -> Any:
    """The Region's records, as a shelf."""
    return world.tables[region].store


async def drained(world: Regions) -> DrainReport:
    return await drain(world.doubts, region=WEST, home=world.home(WEST), clock=world.clock)


async def listed(world: Regions) -> list[tuple[str, str, str]]:
    return [(doubt.key, doubt.why, doubt.state) async for doubt in list_doubts(world.doubts, WEST)]


@virtual
async def test_a_drain_tells_what_was_done_what_is_free_and_what_stays() -> None:
    """While the east is away all stays parked; once it answers two doubts end, the third is a person's."""
    world = await parked_world()
    assert await drained(world) == DrainReport(parked=3)
    assert await listed(world) == [(key, "parked", "open") for key in sorted(KEYS.values())]
    world.links[EAST].refusal = None
    assert await drained(world) == DrainReport(done=1, freed=1, fenced=1)
    assert await listed(world) == [(KEYS["left"], "fenced", "open")]
    assert await drained(world) == DrainReport(fenced=1)
    assert await ask_for_all(world) == {
        "done": Replayed({"run": 1}),
        "free": Fresh({"run": 1}),
        "left": InDoubt(KEYS["left"], "fenced"),
    }


@virtual
async def test_a_drain_that_cannot_ask_again_takes_nothing_back() -> None:
    """What is known to be fenced is counted as parked while its Region is away, and stays noted as fenced."""
    world = await parked_world()
    world.links[EAST].refusal = None
    await drained(world)
    world.links[EAST].refusal = unavailable("GetItem")
    assert await drained(world) == DrainReport(parked=1)
    assert await listed(world) == [(KEYS["left"], "fenced", "open")]


@virtual
async def test_a_drain_asks_a_region_that_gives_no_answer_three_times() -> None:
    """Every further doubt stays parked without a question that nobody answers; the next drain asks again."""
    world = Regions()
    await fail_over(world)
    world.links[EAST].refusal = unavailable("GetItem")
    west = world.home(WEST)
    for number in range(40):
        assert isinstance(await guard().run({"id": number}, Work(), store=west), InDoubt)
    world.links[EAST].refusal, world.links[EAST].latency_s = None, 1e9
    begun = asyncio.get_running_loop().time()
    assert await drained(world) == DrainReport(parked=40)
    assert asyncio.get_running_loop().time() - begun == pytest.approx(6.0)
    world.links[EAST].latency_s = 0.0
    assert await drained(world) == DrainReport(freed=40)


@virtual
async def test_an_end_that_has_expired_is_no_end() -> None:
    """Its key is free, as it would be in one Region."""
    world = await parked_world()
    world.links[EAST].refusal = None
    await asyncio.sleep(3_700)
    assert await drained(world) == DrainReport(freed=2, fenced=1)


@virtual
async def test_a_person_cannot_settle_what_was_never_asked() -> None:
    """A parked key may be done; once it is known to be fenced it can be let go, opened again, and let go."""
    world = await parked_world()
    (parked, *_) = [doubt async for doubt in list_doubts(world.doubts, WEST) if doubt.key == KEYS["left"]]
    with pytest.raises(Rejected) as caught:
        await settle(world.doubts, parked, verdict="not-done")
    assert caught.value.reason == "parked"
    world.links[EAST].refusal = None
    await drained(world)
    (fenced,) = [doubt async for doubt in list_doubts(world.doubts, WEST)]
    released = await settle(world.doubts, fenced, verdict="not-done")
    assert (released.state, await listed(world)) == ("released", [(KEYS["left"], "fenced", "released")])
    assert await drained(world) == DrainReport()
    assert await settle(world.doubts, released, verdict="open") == fenced
    assert (await ask_for_all(world))["left"] == InDoubt(KEYS["left"], "fenced")
    await settle(world.doubts, fenced, verdict="not-done")
    assert (await ask_for_all(world))["left"] == Fresh({"run": 1})


@virtual
async def test_what_nobody_asks_for_is_noted_too() -> None:
    """Every record that an earlier term left unended: under its own key, once, and kept as long as its end may come."""
    world = Regions()
    await guard().run({"id": "done"}, Work(), store=world.home(EAST))
    left = await begin(world, "left")
    await fail_over(world)
    term = await world.terms.get("shop")
    assert term is not None
    mine = IdempotencyRecord(
        KEYS["free"], Owner("now"), left.expires_s, world.clock.now_ms() + 1
    )  # of this term, and lapsed below
    assert await world.home(WEST).claim(mine, now_ms=world.clock.now_ms(), rerun=False) is None
    await asyncio.sleep(1)
    for region in (EAST, WEST):
        shelf = shelf_of(world, region)
        for _ in range(2):
            found = await note_unfinished(
                shelf,
                world.doubts,
                term=term,
                region=WEST,
                clock=world.clock,
            )
            assert found == (1 if region == EAST else 0)
    noted = [doubt async for doubt in list_doubts(world.doubts, WEST)]
    now_ms = noted[0].noted_ms
    assert noted == [Doubt(KEYS["left"], "fenced", 1, EAST, WEST, now_ms, left.expires_s + 900)]


@virtual
async def test_work_that_is_still_going_on_is_not_noted() -> None:
    """Only what had to stop: right after the hand-over the old home may be at work for a while."""
    world = Regions()
    await begin(world, "left")
    term = await raise_epoch(world.terms, group="shop", to=WEST, approval="x", clock=world.clock)
    shelf = shelf_of(world, EAST)
    counts: list[int] = []
    for _ in range(2):
        counts.append(
            await note_unfinished(
                shelf,
                world.doubts,
                term=term,
                region=WEST,
                clock=world.clock,
            )
        )
        await asyncio.sleep(15.1)
    assert counts == [0, 1]


@virtual
async def test_minted_keys_are_noted_as_they_are() -> None:
    """The item of the term that made the key has no epoch behind it."""
    world = Regions()
    made = guard(digest="minted")
    key = made.key_of({"id": await world.tenure(EAST).mint()})
    now_ms = world.clock.now_ms()
    record = IdempotencyRecord(key, Owner("o"), now_ms // 1000 + 3_600, now_ms + 1_000)
    await world.home(EAST).claim(record, now_ms=now_ms, rerun=False)
    assert await world.tables[EAST].get(item_key(key, 1)) is not None
    await fail_over(world)
    term = await world.terms.get("shop")
    assert term is not None
    await note_unfinished(
        shelf_of(world, EAST),
        world.doubts,
        term=term,
        region=WEST,
        clock=world.clock,
    )
    assert [doubt.key async for doubt in list_doubts(world.doubts, WEST)] == [key]


@virtual
async def test_unended_records_come_from_every_page() -> None:
    """More than a page of them, with ended ones between."""
    world = Regions()
    store = shelf_of(world, EAST)
    for number in range(350):
        record = IdempotencyRecord(f"k{number:03d}", Owner("o"), EPOCH_MS // 1000 + 9_000, EPOCH_MS + number % 2)
        await store.claim(record, now_ms=EPOCH_MS, rerun=False)
        if number % 5 == 0:
            await store.write(record._replace(is_complete=True, data="1"))
    found = [record.key async for record in list_unfinished(store, EPOCH_MS + 1)]
    assert found == [f"k{number:03d}" for number in range(350) if number % 2 == 0 and number % 5]
