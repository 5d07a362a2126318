"""A job's key and its record: every point at which a worker can die between them, and what other Regions leave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from localcloud.clock import run_virtual
from sluiceway.errors import (
    LeftInDoubt,
    NotHome,
    Parked,
    Rejected,
    Retryable,
    SluicewayError,
    StillInProgress,
    Withheld,
)
from sluiceway.flows.job_end import KEEP_S, AfterCrash
from sluiceway.genai.faults import ContentFiltered, Throttled
from sluiceway.genai.scripted import Script
from sluiceway.idempotency.memory import MemoryIdempotencyStore
from sluiceway.ports import JobRecord
from sluiceway.region.home import HomeStore, RegionDesk
from sluiceway.region.memory import MemoryDoubtStore, MemoryTermStore
from sluiceway.region.tenure import Tenure
from sluiceway.rules.idempotency import IdempotencyRecord
from sluiceway.rules.terms import Term, first_term
from tests.fakes import EPOCH_MS, KilledError, Life, LoopClockMs, unavailable
from tests.flow.test_run_job import JOB, Bench, run
from tests.unit.idempotency_setup import HostClock, TroubledStore
from tests.unit.region_setup import next_term

LEASE_OVER_S = 26.0
IN_DOUBT_REASON = "idempotency-in-doubt"
IN_DOUBT = f"/problems/{IN_DOUBT_REASON}"


def hang(target: Any, name: str, *, after: bool, when: Callable[[Any], bool] = lambda _record: True) -> None:
    """From the first such call on nothing comes back, be it done (`after`) or not: until the worker is killed."""
    original = getattr(target, name)

    async def hanging(record: Any, *more: Any, **rest: Any) -> Any:
        if not when(record):
            return await original(record, *more, **rest)
        setattr(target, name, original)
        if after:
            await original(record, *more, **rest)
        await asyncio.sleep(1_000_000)
        raise AssertionError

    setattr(target, name, hanging)


def is_state(state: str) -> Callable[[Any], bool]:
    return lambda record: record.state == state


def is_end(record: IdempotencyRecord) -> bool:
    return record.is_complete


POINTS: dict[str, Callable[[Bench], None]] = {
    "before the key": lambda bench: hang(bench.keys, "claim", after=False),
    "with the key, before the record": lambda bench: hang(bench.store, "create", after=False),
    "with a running record": lambda bench: hang(bench.store, "create", after=True),
    "with an answer": lambda bench: hang(bench.store, "replace", after=False, when=is_state("succeeded")),
    "with an ended record": lambda bench: hang(bench.store, "replace", after=True, when=is_state("succeeded")),
    "before the key's end": lambda bench: hang(bench.keys, "write", after=False, when=is_end),
    "with the key's end": lambda bench: hang(bench.keys, "write", after=True, when=is_end),
}
# What the message comes to when it comes back, by `JOB_AFTER_CRASH`: the record's states, the model's calls, the error.
DONE = ["running", "succeeded"]
AGAIN = ["running", *DONE]
CRASHES: list[tuple[str, AfterCrash, list[str], int, type[Exception] | None]] = [
    ("before the key", "rerun", DONE, 1, None),
    ("before the key", "doubt", DONE, 1, None),
    ("with the key, before the record", "rerun", DONE, 1, None),
    ("with the key, before the record", "doubt", ["failed"], 0, LeftInDoubt),
    ("with a running record", "rerun", AGAIN, 1, None),
    ("with a running record", "doubt", ["running", "failed"], 0, LeftInDoubt),
    ("with an answer", "rerun", AGAIN, 2, None),
    ("with an answer", "doubt", ["running", "failed"], 1, LeftInDoubt),
    ("with an ended record", "rerun", DONE, 1, None),
    ("with an ended record", "doubt", DONE, 1, None),
    ("before the key's end", "rerun", DONE, 1, None),
    ("before the key's end", "doubt", DONE, 1, None),
    ("with the key's end", "rerun", DONE, 1, None),
    ("with the key's end", "doubt", DONE, 1, None),
]


async def kill(bench: Bench, **delivery: Any) -> None:
    with pytest.raises(KilledError):
        await Life(50).spend(bench.deliver(**delivery))


async def outlast_the_lease() -> None:
    await asyncio.sleep(LEASE_OVER_S)


@pytest.mark.parametrize(("point", "after_crash", "states", "calls", "error"), CRASHES)
def test_wherever_a_worker_dies_the_message_that_comes_back_ends_the_job(
    point: str, after_crash: AfterCrash, states: list[str], calls: int, error: type[Exception] | None
) -> None:
    """The table of docs/jobs.md: what each point leaves, with `rerun` and with `doubt`."""
    bench = Bench(after_crash=after_crash)
    POINTS[point](bench)
    _, _, outcome = run(bench, lambda: kill(bench), outlast_the_lease, lambda: bench.deliver(receive=2))
    assert (bench.store.history[JOB], bench.provider.calls) == (states, calls)
    assert error is (None if outcome is None else type(outcome))
    assert (bench.record.state == "failed") == (error is not None)
    if error is not None:
        assert (bench.problem, getattr(outcome, "reason", "")) == (IN_DOUBT, IN_DOUBT_REASON)


@pytest.mark.parametrize(("point", "after_crash", "states", "calls", "error"), CRASHES)
def test_further_deliveries_add_nothing(
    point: str, after_crash: AfterCrash, states: list[str], calls: int, error: type[Exception] | None
) -> None:
    """Neither the same message, whose letter is sent again where there was one, nor a repeated POST."""
    bench = Bench(after_crash=after_crash)
    POINTS[point](bench)
    *_, again, other = run(
        bench,
        lambda: kill(bench),
        outlast_the_lease,
        lambda: bench.deliver(receive=2),
        lambda: bench.deliver(receive=3),
        lambda: bench.deliver(message_id="m2"),
    )
    assert (bench.store.history[JOB], bench.provider.calls) == (states, calls)
    assert (isinstance(again, Rejected), other) == (error is not None, None)


def test_the_message_that_found_the_doubt_is_the_one_that_is_buried_again() -> None:
    """A repeated POST finds it first: its letter is sent again, and the dead worker's own message is done."""
    bench = Bench(after_crash="doubt")
    POINTS["with a running record"](bench)
    *_, found, again, own = run(
        bench,
        lambda: kill(bench),
        outlast_the_lease,
        lambda: bench.deliver(message_id="m2"),
        lambda: bench.deliver(message_id="m2", receive=2),
        lambda: bench.deliver(receive=2),
    )
    assert [getattr(each, "reason", None) for each in (found, again, own)] == [IN_DOUBT_REASON, IN_DOUBT_REASON, None]


def test_every_crash_point_is_in_the_docs() -> None:
    """docs/jobs.md has a row for each."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "jobs.md").read_text(encoding="utf-8")
    assert [point for point in POINTS if f"| {point} |" not in text] == []


def test_a_failed_end_stands_under_the_key_too() -> None:
    """A crash between the failed record and its key's end: the message is buried with the same reason, unasked."""
    for after_crash in ("rerun", "doubt"):
        bench = Bench(Script(faults={0: ContentFiltered("withheld")}), after_crash=after_crash)  # type: ignore[arg-type]
        hang(bench.keys, "write", after=False, when=is_end)
        _, _, outcome = run(
            bench, lambda bench=bench: kill(bench), outlast_the_lease, lambda bench=bench: bench.deliver(receive=2)
        )
        assert isinstance(outcome, Rejected)
        assert (outcome.reason, bench.provider.calls) == ("content-filtered", 1)


def test_with_doubt_an_error_of_its_own_is_tried_again() -> None:
    """A throttled model was asked and said no: nothing is in doubt."""
    bench = Bench(Script(faults={0: Throttled("slow down")}), after_crash="doubt")
    first, second = run(bench, bench.deliver, lambda: bench.deliver(receive=2))
    assert (type(first), second, bench.record.state) == (Throttled, None, "succeeded")


def test_with_doubt_a_cancelled_attempt_is_in_doubt() -> None:
    """Nobody knows how far it came; until its lease is over the message waits."""
    bench = Bench(Script(token_s=1.0), after_crash="doubt")

    async def cancelled() -> None:
        async with asyncio.timeout(3):
            await bench.deliver()

    outcomes = run(
        bench, cancelled, lambda: bench.deliver(receive=2), outlast_the_lease, lambda: bench.deliver(receive=3)
    )
    assert [type(outcome) for outcome in outcomes] == [TimeoutError, StillInProgress, type(None), LeftInDoubt]
    assert bench.provider.calls == 1


def test_a_worker_that_outlives_its_doubt_ends_the_job_as_the_record_says() -> None:
    """A clock an hour ahead judges a living worker dead: the job has failed, and the answer undoes it no more.

    Nor is the model asked again, by this message or another.
    """
    bench = Bench(Script(first_s=10.0), after_crash="doubt")
    hurried = replace(bench, after_crash="doubt")
    hurried.provider = bench.provider
    outcomes: list[Any] = []

    async def early() -> None:
        await asyncio.sleep(2)
        try:
            await hurried.deliver(receive=2)
        except SluicewayError as error:
            outcomes.append(error)

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(early())
            try:
                await bench.deliver()
            except SluicewayError as error:
                outcomes.append(error)

    hurried.clock = HostClock(3600)
    run(bench, both, outlast_the_lease, lambda: bench.deliver(receive=3), lambda: bench.deliver(message_id="m2"))
    assert [type(outcome) for outcome in outcomes] == [LeftInDoubt, Rejected]
    assert (bench.store.history[JOB], bench.provider.calls) == (["running", "failed"], 1)


def test_once_a_person_has_freed_it_a_job_in_doubt_is_run() -> None:
    """Who has seen that nothing came of it deletes the key's item and the record, and sends the dead letter back."""
    bench = Bench(after_crash="doubt")
    POINTS["with a running record"](bench)

    async def free() -> None:
        bench.keys = TroubledStore(MemoryIdempotencyStore())
        del bench.store.records[JOB]

    run(bench, lambda: kill(bench), outlast_the_lease, lambda: bench.deliver(receive=2), free, bench.deliver)
    assert (bench.record.state, bench.record.attempt, bench.provider.calls) == ("succeeded", 1, 1)


def test_a_worker_that_is_slow_to_write_its_record_finds_the_doubt_and_stops() -> None:
    """It holds the key and has not asked the model: a clock an hour ahead has ended the job in doubt."""
    bench = Bench(after_crash="doubt")
    create = bench.store.create

    async def slowly(record: JobRecord) -> JobRecord | None:
        await asyncio.sleep(10)
        return await create(record)

    async def hurried() -> None:
        await asyncio.sleep(2)
        bench.store.create = create  # type: ignore[method-assign]
        await replace(bench, clock=HostClock(3600)).deliver(message_id="m2")

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            found = group.create_task(caught(hurried()))
            bench.store.create = slowly  # type: ignore[method-assign]
            await bench.deliver()
        assert isinstance(found.result(), LeftInDoubt)

    assert run(bench, both, lambda: bench.deliver(receive=2)) == [None, None]
    assert (bench.store.history[JOB], bench.provider.calls) == (["failed"], 0)


@pytest.mark.parametrize("after_crash", ["rerun", "doubt"])
def test_an_end_that_cannot_be_written_under_the_key_costs_no_second_answer(after_crash: AfterCrash) -> None:
    """The record is enough, for this message and for a repeated POST after the key's lease."""

    class Endless(MemoryIdempotencyStore):
        async def write(self, record: IdempotencyRecord, *, deadline: float | None = None) -> bool:
            if record.is_complete:
                raise unavailable("write")
            return await super().write(record, deadline=deadline)

    bench = Bench(keys=Endless(), after_crash=after_crash)
    first, _, second = run(bench, bench.deliver, outlast_the_lease, lambda: bench.deliver(message_id="m2"))
    assert (first, second) == (None, None)
    assert (bench.store.history[JOB], bench.provider.calls) == (DONE, 1)


def test_a_key_that_outlives_its_record_lets_the_message_wait() -> None:
    """Between the two expiries, some seconds, a new job under an old id goes back instead of being taken for done."""
    bench = Bench()

    async def until_the_record_expires() -> None:
        await asyncio.sleep(KEEP_S)

    async def until_the_key_expires() -> None:
        await asyncio.sleep(8)

    other = json.dumps({"prompt": "another"})
    outcomes = run(
        bench,
        bench.deliver,
        until_the_record_expires,
        lambda: bench.deliver(message_id="m2"),
        lambda: bench.deliver(other, message_id="m3"),
        until_the_key_expires,
        lambda: bench.deliver(other, message_id="m3", receive=2),
    )
    assert [isinstance(outcome, Retryable) for outcome in outcomes] == [False, False, True, True, False, False]
    assert (bench.record.attempt, bench.record.conflicts, bench.provider.calls) == (1, 0, 2)


def test_another_body_never_keeps_the_first_from_its_answer() -> None:
    """While a failed first attempt waits, the other body finds the key free: it is a conflict, and frees the key."""
    bench = Bench(Script(faults={0: Throttled("slow down")}))
    other = json.dumps({"prompt": "another"})
    first, second, third = run(
        bench, bench.deliver, lambda: bench.deliver(other, message_id="m2"), lambda: bench.deliver(receive=2)
    )
    assert (type(first), second, third) == (Throttled, None, None)
    assert (bench.record.state, bench.record.conflicts, bench.provider.calls) == ("succeeded", 1, 2)


# ---------------------------------------------------------------- several Regions


class Withholding(MemoryIdempotencyStore):
    """A store that does not let this Region begin."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def claim(
        self, record: IdempotencyRecord, *, now_ms: int, rerun: bool, deadline: float | None = None
    ) -> IdempotencyRecord | None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "reason"), [(NotHome("elsewhere", home="eu-west-1"), "not-home"), (Withheld("who knows"), "withheld")]
)
def test_a_region_that_may_not_begin_gives_the_message_back(error: Exception, reason: str) -> None:
    """No attempt is counted and no record written; on its last delivery the message is buried with that reason."""
    bench = Bench(keys=Withholding(error))
    first, last = run(bench, bench.deliver, lambda: bench.deliver(receive=4))
    assert first is error
    assert isinstance(last, Rejected)
    assert (last.reason, bench.store.records, bench.provider.calls) == (reason, {}, 0)


class Regions:
    """Two Regions under one term, with a bench of jobs each; between them nothing is replicated."""

    def __init__(self) -> None:
        self.terms = MemoryTermStore()
        self.doubts = MemoryDoubtStore()
        self.keys = {region: TroubledStore(MemoryIdempotencyStore()) for region in ("eu-west-1", "eu-central-1")}
        self.benches = {region: Bench(after_crash="rerun") for region in self.keys}
        self.stores: dict[str, HomeStore] = {}

    async def open(self) -> None:
        term = first_term("jobs", "eu-west-1", now_ms=EPOCH_MS)
        await self.terms.replace(term, seen=None)
        for region, bench in self.benches.items():
            others = {other: store for other, store in self.keys.items() if other != region}
            tenure = Tenure(self.terms, group="jobs", region=region, clock=LoopClockMs())
            desk = RegionDesk(tenure, self.keys[region], others, self.doubts, LoopClockMs())
            bench.keys = HomeStore(desk)

    async def move(self) -> Term:
        seen = await self.terms.get("jobs")
        assert seen is not None
        term = next_term(seen, "eu-central-1", now_ms=LoopClockMs().now_ms(), approval="a person")
        await self.terms.replace(term, seen=seen)
        await asyncio.sleep(36)
        return term


async def caught(work: Awaitable[None]) -> Exception | None:
    try:
        await work
    except SluicewayError as error:
        return error
    return None


def test_two_regions_run_a_job_once_and_never_what_the_other_may_have_begun() -> None:
    """The home alone begins; after a hand-over a cut job is in doubt, and one whose Region is away is parked."""

    async def go() -> list[Any]:
        regions = Regions()
        await regions.open()
        home, other = regions.benches["eu-west-1"], regions.benches["eu-central-1"]
        seen: list[Any] = [await caught(other.deliver(job_id="k.ann.done"))]
        seen.append(await caught(home.deliver(job_id="k.ann.done")))
        POINTS["with a running record"](home)
        await kill(home, job_id="k.ann.cut")
        await regions.move()
        seen.append(await caught(home.deliver(job_id="k.ann.new")))
        seen.append(await caught(other.deliver(job_id="k.ann.done")))
        seen.append(await caught(other.deliver(job_id="k.ann.cut")))
        regions.keys["eu-west-1"].trouble.rate = 2.0
        seen.append(await caught(other.deliver(job_id="k.ann.parked")))
        seen.append(await caught(other.deliver(job_id="k.ann.parked", receive=4)))
        assert getattr(seen[-1], "reason", "") == "parked"
        regions.keys["eu-west-1"].trouble.rate = 0.0
        seen.append(await caught(other.deliver(job_id="k.ann.parked", receive=2)))
        assert other.store.records["k.ann.cut"].state == "failed"
        assert (home.provider.calls, other.provider.calls) == (1, 1)
        return seen

    nothing = type(None)
    assert [type(outcome) for outcome in run_virtual(go)] == [
        NotHome,
        nothing,
        NotHome,
        nothing,
        LeftInDoubt,
        Parked,
        Rejected,
        nothing,
    ]
