"""When a Region may begin work: readings, their end on two clocks, and what cannot be read."""

from __future__ import annotations

import asyncio

import pytest

from sluiceway.errors import Misconfigured, NotHome, Withheld
from sluiceway.region.tenure import Tenure
from sluiceway.rules.region_keys import parse_region_key
from tests.fakes import EPOCH_MS
from tests.unit.region_setup import EAST, LEASE_S, WEST, Regions, next_term, virtual


@virtual
async def test_a_reading_holds_for_a_lease_from_before_it_was_asked_for() -> None:
    """One reading serves all that ask meanwhile; one that took a while holds so much shorter."""
    world = Regions()
    world.terms.read_s = 2.0
    tenure = world.tenure(EAST)
    for _ in range(3):
        await tenure.hold(10.0)
    assert world.terms.reads == 1
    world.terms.is_away = True
    await asyncio.sleep(LEASE_S - 2.0 - 10.0)
    await tenure.hold(10.0)
    assert tenure.is_held()
    with pytest.raises(Withheld):
        await tenure.hold(10.1)
    await asyncio.sleep(10.1)
    assert not tenure.is_held()
    with pytest.raises(NotHome):
        tenure.check()


@pytest.mark.parametrize("decides", ["loop", "wall"])
@virtual
async def test_each_clock_counts_from_before_the_question(decides: str) -> None:
    """An answer that took two seconds holds two seconds less on the loop's clock, and on the wall clock as well."""
    world = Regions()
    world.terms.read_s = 2.0
    await asyncio.sleep(7_200)  # the term began long before the date that the wall clock is put back to
    tenure = world.tenure(EAST)
    await tenure.hold(1.0)
    if decides == "loop":
        world.clock.ahead_ms -= 3_600_000
        await asyncio.sleep(LEASE_S - 2.0)
    else:
        world.clock.ahead_ms += round((LEASE_S - 2.0) * 1000)
    assert tenure.is_held()
    await asyncio.sleep(0.01)
    assert not tenure.is_held()


@virtual
async def test_many_that_ask_at_once_make_one_reading() -> None:
    """The others wait for it."""
    world = Regions()
    world.terms.read_s = 1.0
    tenure = world.tenure(EAST)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(50):
            tasks.create_task(tenure.hold(5.0))
    assert world.terms.reads == 1


@pytest.mark.parametrize("stands", ["loop", "wall"])
@virtual
async def test_a_frozen_environment_holds_nothing_when_it_wakes(stands: str) -> None:
    """The loop's clock stood while the date went on, or the other way round: the reading has run out."""
    world = Regions()
    tenure = world.tenure(EAST)
    await tenure.hold(10.0)
    tenure.check()
    if stands == "loop":
        world.clock.ahead_ms += round(LEASE_S * 1000) + 1
    else:
        await asyncio.sleep(LEASE_S + 0.01)
        world.clock.ahead_ms -= round(LEASE_S * 1000) + 10
    assert not tenure.is_held()
    with pytest.raises(NotHome):
        tenure.check()
    world.terms.is_away = True
    with pytest.raises(Withheld):
        await tenure.hold(1.0)
    world.terms.is_away = False
    await tenure.hold(1.0)
    assert (tenure.is_held(), world.terms.reads) == (True, 3)


@virtual
async def test_another_home_is_believed_for_five_seconds() -> None:
    """A hand-over is seen soon; to begin work the term is read at once."""
    world = Regions()
    tenure = world.tenure(WEST)
    for _ in range(2):
        assert (await tenure.read()).region == EAST
    assert world.terms.reads == 1
    with pytest.raises(NotHome) as caught:
        await tenure.hold(10.0)
    assert (caught.value.home, world.terms.reads) == (EAST, 2)
    await asyncio.sleep(5.1)
    await tenure.read()
    assert world.terms.reads == 3


@virtual
async def test_the_next_home_is_told_when_its_term_begins() -> None:
    """`after_s` is the rest; from then on it holds."""
    world = Regions()
    first = await world.terms.get("shop")
    assert first is not None
    await world.terms.replace(next_term(first, WEST, now_ms=EPOCH_MS, approval="x"), seen=first)
    tenure = world.tenure(WEST)
    await asyncio.sleep(5)
    with pytest.raises(NotHome) as caught:
        await tenure.hold(1.0)
    assert (caught.value.home, caught.value.after_s) == (WEST, 30.001)
    assert not tenure.is_held()
    await asyncio.sleep(30.001)
    await tenure.hold(1.0)
    assert tenure.is_held()


@virtual
async def test_a_term_that_cannot_be_read_lets_nobody_begin() -> None:
    """Away, silent for 3 s, or past the deadline: Withheld, which is not run unprotected."""
    world = Regions()
    tenure = world.tenure(EAST)
    world.terms.is_away = True
    with pytest.raises(Withheld):
        await tenure.read()
    world.terms.is_away, world.terms.read_s = False, 60.0
    for deadline, at in ((float("inf"), 3.0), (4.0, 4.0)):
        with pytest.raises(Withheld):
            await tenure.hold(1.0, deadline=deadline)
        assert asyncio.get_running_loop().time() == at
    assert not tenure.is_held()


@virtual
async def test_what_is_set_wrongly_is_named() -> None:
    """A group without a term; work that may take longer than a lease."""
    world = Regions()
    with pytest.raises(Misconfigured) as caught:
        await Tenure(world.terms, group="none", region=EAST, clock=world.clock).read()
    assert caught.value.what == "REGION_GROUP"
    with pytest.raises(Misconfigured) as caught:
        await world.tenure(EAST).hold(LEASE_S + 0.1)
    assert caught.value.what == "lease_s"


@virtual
async def test_keys_are_made_for_the_home_wherever_that_is_asked() -> None:
    """They name its Region and epoch, and the time."""
    world = Regions()
    await asyncio.sleep(1.5)
    made = parse_region_key(await world.tenure(WEST).mint())
    assert made is not None
    assert (made.region, made.epoch, made.minted_ms) == (EAST, 1, EPOCH_MS + 1_500)


@virtual
async def test_who_heard_of_a_later_term_reads_again() -> None:
    """Only if its own reading is older."""
    world = Regions()
    tenure = world.tenure(EAST)
    first = await tenure.read()
    await world.terms.replace(next_term(first, WEST, now_ms=EPOCH_MS, approval="x"), seen=first)
    assert (await tenure.read()).epoch == 1
    assert (await tenure.read_newer(1)).epoch == 1
    assert (await tenure.read_newer(2)).epoch == 2
    assert not tenure.is_held()
