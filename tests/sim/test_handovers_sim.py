"""Several people hand over among three Regions at once, by slow, lost and repeated writes: one works at a time."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from random import Random
from typing import Final, NamedTuple

import pytest

from localcloud.clock import run_virtual
from sluiceway.errors import Rejected, Retryable
from sluiceway.region.handover import raise_epoch
from sluiceway.region.memory import MemoryTermStore
from sluiceway.region.tenure import Tenure
from sluiceway.rules.terms import NOT_YET_MS, Term, first_term
from tests.fakes import EPOCH_MS, unavailable
from tests.unit.idempotency_setup import HostClock

REGIONS: Final = ("us-east-1", "us-west-2", "eu-west-1")
LEASE_S, SKEW_S, WORK_S = 12.0, 2.0, 4.0
ENDS_S: Final = 400.0


class Span(NamedTuple):
    """Work that may be done under one hold of a term."""

    begun_s: float
    over_s: float
    region: str
    epoch: int


class Weather:
    """The term's store as one caller reaches it: late, with answers lost, and with copies of writes made long after."""

    def __init__(self, terms: MemoryTermStore, rng: Random, tasks: asyncio.TaskGroup) -> None:
        self._terms, self._rng, self._tasks = terms, rng, tasks

    async def get(self, group: str, *, deadline: float | None = None) -> Term | None:
        del deadline
        await self._wait(4.0)
        found = await self._terms.get(group)
        await self._wait(4.0)
        self._lose(0.05)
        return found

    async def replace(self, term: Term, *, seen: Term | None) -> bool:
        await self._wait(40.0)
        if self._rng.random() < 0.3:
            self._tasks.create_task(self._again(term, seen))
        self._lose(0.1)
        done = await self._terms.replace(term, seen=seen)
        self._lose(0.2)
        await self._wait(40.0)
        return done

    async def _again(self, term: Term, seen: Term | None) -> None:
        await asyncio.sleep(60 * self._rng.random())
        await self._terms.replace(term, seen=seen)

    async def _wait(self, most_s: float) -> None:
        await asyncio.sleep(self._rng.choice((0.01, most_s / 10, most_s)) * self._rng.random())

    def _lose(self, share: float) -> None:
        if self._rng.random() < share:
            raise unavailable("Term")


async def work(region: str, terms: Weather, rng: Random, spans: list[Span]) -> None:
    """An environment that begins work whenever it may."""
    loop = asyncio.get_running_loop()
    tenure = Tenure(terms, group="g", region=region, clock=HostClock(rng.uniform(-SKEW_S / 2, SKEW_S / 2)))
    while loop.time() < ENDS_S:
        await asyncio.sleep(1.5 * rng.random())
        try:
            term = await tenure.hold(WORK_S + SKEW_S)
        except Retryable:
            continue
        spans.append(Span(loop.time(), loop.time() + WORK_S, region, term.epoch))


async def hand_over(terms: Weather, rng: Random) -> None:
    """A person who knows nothing of the others."""
    clock = HostClock(rng.uniform(-SKEW_S / 2, SKEW_S / 2))
    while asyncio.get_running_loop().time() < ENDS_S - 100:
        await asyncio.sleep(60 * rng.random())
        try:
            await raise_epoch(terms, group="g", to=rng.choice(REGIONS), approval=f"{rng.random()}", clock=clock)
        except (Retryable, Rejected):
            continue


async def live(seed: int) -> tuple[list[Span], Term]:
    """What was begun, in order, and the last term."""
    rng, terms, spans = Random(seed), MemoryTermStore(), list[Span]()
    first = first_term(
        "g", REGIONS[0], now_ms=EPOCH_MS - 9_999, lease_ms=round(LEASE_S * 1000), skew_ms=round(SKEW_S * 1000)
    )
    assert await terms.replace(first, seen=None)
    async with asyncio.TaskGroup() as tasks:
        for region in REGIONS * 2:
            tasks.create_task(work(region, Weather(terms, rng, tasks), rng, spans))
        for _ in range(3):
            tasks.create_task(hand_over(Weather(terms, rng, tasks), rng))
    last = await terms.get("g")
    assert last is not None
    return sorted(spans), last


@pytest.mark.parametrize("part", range(4))
def test_however_hand_overs_cross_one_region_works_at_a_time(part: int) -> None:
    """No work overlaps with another term's, epochs never go back, and none goes on after the end that its term has."""
    epochs = 0
    for seed in range(part * 30, part * 30 + 30):
        spans, last = run_virtual(lambda seed=seed: live(seed))
        for one, next_one in pairwise(spans):
            assert (seed, one.epoch) <= (seed, next_one.epoch)
            assert one.epoch == next_one.epoch or one.over_s < next_one.begun_s, (seed, one, next_one)
        opened = last.past if last.begins_ms != NOT_YET_MS else last.past[:-1]  # what was never opened is still to say
        ended_s = {past.epoch: (past.ended_ms - EPOCH_MS) / 1000 + SKEW_S for past in opened}
        assert [span for span in spans if span.over_s > ended_s.get(span.epoch, ENDS_S * 2)] == [], seed
        epochs += len({span.epoch for span in spans})
    assert epochs > 100
