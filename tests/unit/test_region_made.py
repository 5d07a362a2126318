"""Keys that say when they were made, behind their hash: which earlier terms are asked about them, and which are not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.idempotency import Fresh, InDoubt, Replayed
from sluiceway.rules.jobs import parse_job_id
from sluiceway.rules.region_keys import mint_key
from sluiceway.rules.terms import PastTerm, Term, started_under
from tests.unit.idempotency_setup import Work
from tests.unit.region_setup import EAST, SKEW_S, WEST, Regions, guard, virtual
from tests.unit.test_region_home import cut, fail_over

MADE = "made"


def event_made(made: object) -> dict[str, Any]:
    return {"id": "o1", MADE: made}


@virtual
async def test_a_key_made_after_the_hand_over_goes_on_while_the_old_home_is_dark() -> None:
    """By its term, and by its time; one that says nothing is parked, and so is one of the term before."""
    world = Regions()
    now_ms = world.clock.now_ms()
    old = mint_key(EAST, 1, now_ms=now_ms, random=b"0" * 10)
    await fail_over(world)
    await asyncio.sleep(SKEW_S + 0.1)
    cut(world, EAST)
    new = mint_key(WEST, 2, now_ms=world.clock.now_ms(), random=b"1" * 10)
    for made, is_begun in ((new, True), (world.clock.now_ms(), True), (old, False), (now_ms, False), ("k", False)):
        outcome = await guard(made=MADE).run(event_made(made), Work(), store=world.home(WEST))
        assert isinstance(outcome, Fresh) is is_begun, made
        assert is_begun or (isinstance(outcome, InDoubt) and outcome.why == "parked")


@virtual
async def test_what_the_old_home_began_is_replayed_and_never_begun_again() -> None:
    """Whatever its key says of when it was made, as long as that is true."""
    world = Regions()
    now_ms = world.clock.now_ms()
    events = [event_made(made) for made in (mint_key(EAST, 1, now_ms=now_ms, random=b"0" * 10), now_ms, "k")]
    events = [{**event, "id": f"o{at}"} for at, event in enumerate(events)]
    for event in events:
        assert isinstance(await guard(made=MADE).run(event, Work(), store=world.home(EAST)), Fresh)
    await fail_over(world)
    for event in events:
        work = Work()
        assert isinstance(await guard(made=MADE).run(event, work, store=world.home(WEST)), Replayed)
        assert work.runs == 0


@given(
    st.lists(st.integers(1, 10_000), min_size=1, max_size=6),
    st.integers(0, 70_000),
    st.integers(0, 5_000),
)
def test_no_term_that_may_have_begun_a_key_is_left_out(lengths: list[int], made_ms: int, skew_ms: int) -> None:
    """A term that went on at or after the time, on any clock within the margin, is asked; the others are not."""
    ends = [sum(lengths[: at + 1]) for at in range(len(lengths))]
    past = tuple(PastTerm(at + 1, EAST if at % 2 else WEST, ended_ms) for at, ended_ms in enumerate(ends))
    term = Term("shop", len(past) + 1, EAST, ends[-1], 1_000, skew_ms, "x", past)
    asked = started_under(term, 0, now_ms=ends[-1], keep_ms=10**9, made_ms=made_ms)
    assert asked == tuple(each for each in reversed(past) if made_ms - skew_ms <= each.ended_ms)


@pytest.mark.parametrize(
    ("job_id", "client_key", "requested_ms"),
    [
        ("k.caller.dXMtZWFzdC0xLjEueA", "us-east-1.1.x", None),
        ("k.caller.w_8", "", None),
        ("r.caller.1700000000000.11111111-2222-3333-4444-555555555555", "", 1_700_000_000_000),
    ],
)
def test_a_jobs_id_gives_the_clients_key_or_its_time(job_id: str, client_key: str, requested_ms: int | None) -> None:
    """Bytes that are no text are no key of this form."""
    parsed = parse_job_id(job_id)
    assert parsed is not None
    assert (parsed.client_key, parsed.requested_ms) == (client_key, requested_ms)
