"""Guarded flows, steps and batches under an App, on the loop that the App holds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from localcloud.clock import VirtualLoop, run_virtual
from sluiceway.app import App
from sluiceway.errors import DeadlineExceeded
from sluiceway.events.invocation import Invocation
from sluiceway.events.sqs import SqsBatch, SqsMessage
from sluiceway.flows.batch import BatchDesk, process_batch
from sluiceway.idempotency import Fresh, Guard, InProgress, Replayed, StillInProgress, idempotent, idempotent_flow
from sluiceway.idempotency.memory import MemoryIdempotencyStore
from sluiceway.ports import IdempotencyStore
from tests.fakes import MemoryDeadLetters
from tests.unit.idempotency_setup import TroubledStore, make_guard, options
from tests.unit.test_app_connections import CONTEXT


@dataclass
class Services:
    """What a lifespan yields here."""

    store: TroubledStore
    runs: list[Any] = field(default_factory=list)


class Plain:
    """A source whose events and replies are JSON as they come."""

    def decode(self, raw: object, /) -> Any:
        return raw

    def encode(self, reply: object, /) -> object:
        return reply

    def correlation_id(self, event: object, /) -> str:
        return ""


def store_of(services: Services) -> IdempotencyStore:
    return services.store


@idempotent_flow(key="order_id", store=store_of, name="take-order", options=options())
async def take_order(event: dict[str, Any], call: Invocation, services: Services) -> dict[str, Any]:
    """Takes an order; some take long."""
    services.runs.append(event["order_id"])
    await asyncio.sleep(event.get("takes_s", 0))
    if "error" in event:
        raise ValueError(event["error"])
    return {"taken": event["order_id"], "run": len(services.runs)}


def describe(deadline: float) -> Invocation:
    return Invocation("r", "shop", "arn:aws:lambda:eu-west-1:123456789012:function:shop", deadline, grace_s=0.25)


def test_a_flow_is_guarded_under_its_app() -> None:
    """The store comes from the services and the handler is a plain Lambda handler: one run for two invocations."""
    opened: list[Services] = []

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[Services]:
        opened.append(Services(TroubledStore(MemoryIdempotencyStore())))
        yield opened[0]

    app: Any = App(take_order, source=Plain(), lifespan=lifespan)
    try:
        assert [app({"order_id": "o1", "other": at}, CONTEXT) for at in range(2)] == [{"taken": "o1", "run": 1}] * 2
    finally:
        app.close()
    assert opened[0].runs == ["o1"]
    assert opened[0].store.calls == ["claim", "write", "claim"]


def test_a_flow_sees_outcomes() -> None:
    """`outcome` gives what `await flow(...)` turns into a result or an error."""

    async def main() -> None:
        services, call = Services(TroubledStore(MemoryIdempotencyStore())), describe(20.0)
        event = {"order_id": "o1", "takes_s": 2}
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(take_order.outcome(event, call, services))
            await asyncio.sleep(1)
            assert isinstance(await take_order.outcome(event, call, services), InProgress)
            with pytest.raises(StillInProgress) as caught:
                await take_order(event, call, services)
            assert caught.value.after_s == pytest.approx(19.25 + 5, abs=0.01)
        assert first.result() == Fresh({"taken": "o1", "run": 1})
        assert await take_order.outcome(event, call, services) == Replayed({"taken": "o1", "run": 1})

    run_virtual(main)


def test_a_flow_is_stopped_with_its_grace_and_may_run_again() -> None:
    """The lease is to the end of the invocation's grace, and what was stopped is free for the retry."""

    async def main() -> None:
        services = Services(TroubledStore(MemoryIdempotencyStore()))
        with pytest.raises(DeadlineExceeded):
            await take_order({"order_id": "o1", "takes_s": 50}, describe(4.0), services)
        assert asyncio.get_running_loop().time() == 4.25
        assert await take_order({"order_id": "o1"}, describe(9.0), services) == {"taken": "o1", "run": 2}

    run_virtual(main)


def test_the_decorator_is_a_step_where_the_store_is_at_hand() -> None:
    """A step is a function of the event and the call: the same decorator wraps what follows."""
    store, runs = MemoryIdempotencyStore(), list[Any]()
    step = idempotent(
        key="id",
        store=store,
        name="step",
        deadline=lambda _event, call: call.deadline + call.grace_s,
        options=options(),
    )

    async def flow(event: Any, call: Invocation, services: None) -> dict[str, int]:
        del call, services
        runs.append(event)
        return {"run": len(runs)}

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[None]:
        yield None

    app: Any = App(flow, source=Plain(), steps=[cast("Any", step)], lifespan=lifespan)
    try:
        assert [app({"id": 1}, CONTEXT), app({"id": 1}, CONTEXT)] == [{"run": 1}] * 2
    finally:
        app.close()


def message(at: int, body: dict[str, Any], attempt: int = 1) -> SqsMessage:
    arn = "arn:aws:sqs:eu-west-1:123456789012:orders"
    return SqsMessage(f"m{at}-{attempt}", f"r{at}", json.dumps(body), {}, attempt, 0, arn)


def body_id(record: SqsMessage) -> object:
    return json.loads(record.body).get("id")


def test_a_batch_is_guarded_record_by_record() -> None:
    """Each record has its own claim, all at once: a duplicate in the batch goes back, and is replayed when it comes."""

    async def main() -> None:
        store, letters, runs = TroubledStore(MemoryIdempotencyStore()), MemoryDeadLetters(), list[str]()
        guard: Guard[None] = make_guard(key=body_id)

        async def handle(record: SqsMessage) -> None:
            runs.append(record.body)
            await asyncio.sleep(1)

        one = guard.each(handle, store=store, deadline=30.0)
        batch = SqsBatch((*(message(at, {"id": at}) for at in range(20)), message(20, {"id": 3}), message(21, {})))
        report = await process_batch(batch, one, desk=BatchDesk(letters), deadline=30.0, concurrency=25)
        assert report.failed == ("m20-1",)
        assert asyncio.get_running_loop().time() == 1.0
        assert (len(runs), [letter.reason for letter in letters.letters]) == (20, ["no-idempotency-key"])
        again = SqsBatch((message(20, {"id": 3}, 2),))
        assert (await process_batch(again, one, desk=BatchDesk(letters), deadline=30.0)).failed == ()
        assert (len(runs), store.calls.count("claim"), store.calls.count("write")) == (20, 22, 20)

    run_virtual(main)


def test_a_batch_that_its_deadline_stops_comes_again() -> None:
    """What was stopped half-way is free at once, and what was done is not done again."""

    async def main() -> None:
        store, ended = MemoryIdempotencyStore(), list[object]()
        guard: Guard[None] = make_guard(key=body_id)

        async def handle(record: SqsMessage) -> None:
            await asyncio.sleep(1 if body_id(record) == 1 or asyncio.get_running_loop().time() > 5 else 50)
            ended.append(body_id(record))

        batch = SqsBatch((message(1, {"id": 1}), message(2, {"id": 2})))
        desk, loop = BatchDesk(MemoryDeadLetters()), asyncio.get_running_loop()
        for expected in (("m2-1",), ()):
            deadline = loop.time() + 6
            one = guard.each(handle, store=store, deadline=deadline)
            assert (await process_batch(batch, one, desk=desk, deadline=deadline)).failed == expected
        assert ended == [1, 2]

    run_virtual(main)


def test_many_calls_at_once_do_the_work_once() -> None:
    """A hundred callers that wait: one run, a hundred equal results."""

    async def main() -> None:
        services = Services(TroubledStore(MemoryIdempotencyStore()))

        @idempotent_flow(key="order_id", store=store_of, name="wait", options=options(wait_s=10))
        async def flow(event: Any, call: Invocation, services: Services) -> int:
            del event, call
            services.runs.append(1)
            await asyncio.sleep(2)
            return len(services.runs)

        async with asyncio.TaskGroup() as tasks:
            calls = [tasks.create_task(flow({"order_id": 1}, describe(20.0), services)) for _ in range(100)]
        assert {call.result() for call in calls} == {1}

    run_virtual(main)


def test_a_function_keeps_its_name_and_refuses_to_have_none() -> None:
    """Keys begin with what Powertools would give, or with the name; what has neither is refused at import."""
    assert take_order.guard.key_of({"order_id": 1}).startswith("take-order#")

    async def named(_event: dict[str, Any]) -> None: ...

    store = MemoryIdempotencyStore()
    key = idempotent(key="id", store=store)(named).guard.key_of({"id": 1})
    assert key.startswith(f"test-func.{__name__}.{named.__qualname__}#")
    with pytest.raises(ValueError, match="name"):
        idempotent(key="id", store=store)(cast("Callable[..., Any]", take_order))


def test_one_loop_serves_all_of_it() -> None:
    """No module of it keeps anything of a loop: the same function on two loops, one after the other."""
    store = MemoryIdempotencyStore()

    @idempotent(key="id", store=store, name="loops", options=options())
    async def function(event: dict[str, int]) -> int:
        return event["id"]

    for number in (1, 2):
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            assert runner.run(function.outcome({"id": number})) == Fresh(number)
