"""Writes that a strongly consistent table refuses since another Region writes the same item: tried, not run past."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from sluiceway.aws.idempotency import CONFLICT, DynamoDbIdempotencyStore
from sluiceway.aws.reply import Reply
from sluiceway.errors import ConditionFailed, DeadlineExceeded, ServiceUnavailable, Withheld
from sluiceway.idempotency import Fresh
from sluiceway.rules.idempotency import IdempotencyRecord, Owner
from tests.fakes import FixedChance, unavailable
from tests.unit.idempotency_setup import Work, make_guard
from tests.unit.region_setup import virtual

RECORD = IdempotencyRecord("orders#1", Owner("mine"), expires_s=2_000_000_000, lease_until_ms=1_900_000_000_000)


def conflict() -> ServiceUnavailable:
    return ServiceUnavailable("busy", service="dynamodb", operation="PutItem", code=CONFLICT, status=400)


def refusal(**item: dict[str, str]) -> ConditionFailed:
    error = ConditionFailed("x", service="dynamodb", operation="PutItem", code="ConditionalCheckFailedException")
    error.item = dict(item)
    return error


class Answers:
    """A Caller that answers with these errors in turn, and then with success; `at` are the times of the calls."""

    def __init__(self, *errors: Exception, for_ever: bool = False) -> None:
        self.errors = list(errors)
        self.for_ever = for_ever
        self.at: list[float] = []

    async def call(self, service: Any, operation: str, body: Mapping[str, object] | bytes = b"", **how: Any) -> Reply:
        del service, operation, body, how
        self.at.append(asyncio.get_running_loop().time())
        if self.errors:
            raise self.errors[0] if self.for_ever else self.errors.pop(0)
        return Reply(200, {}, b"{}")


def make_store(caller: Answers) -> DynamoDbIdempotencyStore:
    return DynamoDbIdempotencyStore(caller, "idempotency", chance=FixedChance())


async def claim(store: DynamoDbIdempotencyStore, deadline: float | None = None) -> IdempotencyRecord | None:
    return await store.claim(RECORD, now_ms=0, rerun=True, deadline=deadline)


@virtual
async def test_a_call_without_a_conflict_is_one_request() -> None:
    """Of each kind."""
    for operation in ("claim", "renew", "end", "release"):
        caller = Answers()
        store = make_store(caller)
        if operation == "claim":
            assert await claim(store) is None
        elif operation == "release":
            await store.release(RECORD)
        else:
            done = RECORD._replace(is_complete=True, data="1")
            assert await store.write(done if operation == "end" else RECORD)
        assert caller.at == [0.0]


@virtual
async def test_a_conflict_is_tried_again_after_doubling_pauses_of_a_second_at_most() -> None:
    """Until it is over: then the claim is made."""
    caller = Answers(*(conflict() for _ in range(8)))
    assert await claim(make_store(caller), deadline=60.0) is None
    pauses = [round(after - before, 6) for before, after in zip(caller.at, caller.at[1:], strict=False)]
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]


@virtual
async def test_chance_shortens_a_pause_by_half_at_most() -> None:
    """So that racers do not meet again and again."""
    caller = Answers(conflict())
    await DynamoDbIdempotencyStore(caller, "idempotency", chance=FixedChance(0.0)).claim(RECORD, now_ms=0, rerun=True)
    assert caller.at == [0.0, 0.025]
    caller = Answers(*(conflict() for _ in range(3)))
    begun = asyncio.get_running_loop().time()
    await DynamoDbIdempotencyStore(caller, "idempotency").claim(RECORD, now_ms=0, rerun=True)
    assert 0.175 <= caller.at[-1] - begun <= 0.35


@virtual
async def test_a_conflict_that_never_ends_is_withheld_at_the_deadline() -> None:
    """Of a claim, a renewal, an end and a release; without a deadline after five seconds."""
    store, loop = make_store(Answers(conflict(), for_ever=True)), asyncio.get_running_loop()
    done = RECORD._replace(is_complete=True, data="1")
    for operation, within_s, act in (
        ("PutItem", 2.0, lambda until: claim(store, until)),
        ("UpdateItem", 2.0, lambda until: store.write(RECORD, deadline=until)),
        ("UpdateItem", 2.0, lambda until: store.write(done, deadline=until)),
        ("PutItem", 5.0, lambda _: claim(store)),
        ("DeleteItem", 5.0, lambda _: store.release(RECORD)),
    ):
        begun = loop.time()
        with pytest.raises(Withheld, match=operation):
            await act(begun + within_s)
        assert within_s - 1.0 <= loop.time() - begun < within_s


@virtual
async def test_contention_runs_nothing_unprotected() -> None:
    """`when_away="run"` is for a store that is away, not for another Region at the same key."""
    work, guard = Work(), make_guard(when_away="run")
    with pytest.raises(Withheld):
        await guard.run({"id": "1"}, work, store=make_store(Answers(conflict(), for_ever=True)))
    assert work.runs == 0
    away = await guard.run({"id": "1"}, work, store=make_store(Answers(unavailable("PutItem"), for_ever=True)))
    assert away == Fresh({"run": 1}, recorded=False)


@pytest.mark.parametrize("then", ["outage", "deadline"])
@virtual
async def test_trouble_after_a_conflict_is_withheld_too(then: str) -> None:
    """Another Region was at the record a moment ago: that the store is away now does not mean that nobody works."""
    trouble = unavailable("PutItem") if then == "outage" else DeadlineExceeded("late")
    with pytest.raises(Withheld):
        await claim(make_store(Answers(conflict(), trouble)))
    with pytest.raises(type(trouble)):
        await claim(make_store(Answers(trouble)))


@virtual
async def test_a_failed_condition_after_a_conflict_is_what_it_always_is() -> None:
    """Another's record is shown, one's own is a claim; an end that is not ours is not stored."""
    theirs = {"id": {"S": "orders#1"}, "status": {"S": "INPROGRESS"}, "owner": {"S": "theirs"}}
    found = await claim(make_store(Answers(conflict(), refusal(**theirs))))
    assert found is not None
    assert found.owner.token == "theirs"
    ours = theirs | {"owner": {"S": "mine"}}
    assert await claim(make_store(Answers(conflict(), refusal(**ours)))) is None
    done = RECORD._replace(is_complete=True, data="1")
    assert not await make_store(Answers(conflict(), refusal(**theirs))).write(done)
    await make_store(Answers(conflict(), refusal(**theirs))).release(RECORD)


@virtual
async def test_an_end_is_written_through_contention() -> None:
    """The work is done: its end waits for the other Region, and is recorded."""
    caller = Answers()
    store, work, guard = make_store(caller), Work(), make_guard()

    async def work_and_meet() -> Any:
        caller.errors = [conflict() for _ in range(5)]
        return await work()

    assert await guard.run({"id": "1"}, work_and_meet, store=store) == Fresh({"run": 1})
    assert len(caller.at) == 7
