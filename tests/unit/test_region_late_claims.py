"""A copy of a claim that the network held back, stored long after its attempt was over: it hides no end."""

from __future__ import annotations

import asyncio

from localcloud.simulation.tables import Shelf
from sluiceway.idempotency import Fresh, Replayed
from sluiceway.region.doubts import drain, list_doubts, note_unfinished
from sluiceway.region.handover import raise_epoch
from sluiceway.rules.idempotency import IdempotencyRecord, Owner
from tests.fakes import EPOCH_MS
from tests.unit.idempotency_setup import Work
from tests.unit.region_setup import EAST, MARGIN_S, WEST, Regions, guard, virtual


@virtual
async def test_a_key_with_an_end_is_in_doubt_no_longer_whatever_an_earlier_term_holds() -> None:
    """The copy is noted as a doubt, the drain sees that a later term ended the work, and repeats get that end."""
    world = Regions()
    await raise_epoch(world.terms, group="shop", to=WEST, approval="first", clock=world.clock)
    await asyncio.sleep(MARGIN_S + 1)
    west, orders, work = world.home(WEST), guard(), Work()
    assert await orders.run({"id": 7}, work, store=west) == Fresh({"run": 1})
    late = IdempotencyRecord(
        f"{orders.key_of({'id': 7})}@1", Owner("late", EAST, 1), EPOCH_MS // 1000 + 3_600, EPOCH_MS
    )
    assert await world.tables[EAST].store.claim(late, now_ms=EPOCH_MS, rerun=False) is None
    term = await world.tenure(WEST).read()
    shelf = Shelf()
    shelf.copy(late.key, late)
    assert await note_unfinished(shelf, world.doubts, term=term, region=WEST, clock=world.clock) == 1
    report = await drain(world.doubts, region=WEST, home=west, clock=world.clock)
    assert (report.done, report.fenced) == (1, 0)
    assert [doubt async for doubt in list_doubts(world.doubts, WEST)] == []
    assert await orders.run({"id": 7}, work, store=west) == Replayed({"run": 1})
