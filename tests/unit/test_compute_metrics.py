"""What CloudWatch is told of functions: names, dimensions and dates of AWS/Lambda."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from localcloud.clock import run_virtual
from localcloud.compute.environment import Outcome, Request
from localcloud.compute.function import FunctionSpec
from localcloud.compute.functions import Functions
from localcloud.compute.metering import FunctionMeters
from localcloud.compute.versions import Alias
from localcloud.services.lambda_.errors import LambdaError, service_failed
from localcloud.services.logs.model import Logs
from tests.unit.counting_setup import REGION, Told

F = {"FunctionName": "f"}
OWN = {"FunctionName": "f", "Resource": "f"}


class Room:
    """An environment that takes as many seconds as the payload says; "fail" fails, "break" never runs."""

    alive = True

    async def initialise(self) -> bool:
        return False

    async def invoke(self, request: Request) -> Outcome:
        word = request.payload.decode().strip('"')
        if word == "break":
            raise service_failed("no process")
        if word == "fail":
            return Outcome(b"{}", "Boom", duration_ms=5.0)
        await asyncio.sleep(float(word))
        return Outcome(b"{}", duration_ms=float(word) * 1000)

    async def stop(self) -> None: ...


class World(Told):
    functions: Functions

    async def invoke(self, word: str, **more: Any) -> None:
        await self.functions.invoke("f", f'"{word}"'.encode(), **more)


def spec(name: str = "f", **changes: Any) -> FunctionSpec:
    arn = f"arn:aws:lambda:{REGION}:123456789012:function:{name}"
    return FunctionSpec(name=name, arn=arn, handler="app.handler", code_dir=Path("/nowhere"), **changes)


@asynccontextmanager
async def world(*specs: FunctionSpec) -> AsyncGenerator[World]:
    told = World("AWS/Lambda")
    async with asyncio.TaskGroup() as group:
        functions = told.functions = Functions(
            lambda _: Room(), group=group, clock=told.clock, logs=Logs(clock=told.clock), rng=random.Random(7)
        )
        meters = functions.meters = FunctionMeters(told.counters, functions.records, region=REGION)
        functions.connect(Nowhere(), meters)
        ticking = group.create_task(told.counters.run())
        for one in specs or (spec(),):
            functions.add(one)
        yield told
        ticking.cancel()
        await functions.close()


class Nowhere:
    """Destinations that nothing reaches."""

    async def send_record(self, arn: str, record: bytes, **_: Any) -> None:
        raise LookupError(arn)

    async def send_letter(self, arn: str, letter: Any, **_: Any) -> None:
        raise LookupError(arn)


def with_functions(test: Callable[[World], Awaitable[None]], *specs: FunctionSpec) -> None:
    async def main() -> None:
        async with world(*specs) as there:
            await test(there)

    run_virtual(main)


def test_an_invocation_counts_with_an_error_of_none_or_one() -> None:
    """Errors has a value for every invocation, so that its average is the rate of errors; durations in milliseconds."""

    async def test(there: World) -> None:
        await there.invoke("2")
        await there.invoke("fail")
        assert there.stats("Invocations", **F) == (2, 2, 1, 1)
        assert there.stats("Errors", **F) == (2, 1, 0, 1)
        assert there.stats("Throttles", **F) == (2, 0, 0, 0)
        assert there.stats("Duration", **F) == (2, 2005, 5, 2000)
        assert there.unit("Duration", **F) == "Milliseconds"
        assert there.unit("Errors", **F) == "Count"

    with_functions(test)


def test_an_invocation_counts_under_each_set_of_dimensions() -> None:
    """Over all functions, under the function, and under the resource that was named; the version with an alias only."""

    async def test(there: World) -> None:
        record = there.functions.records["f"]
        record.publish(record.spec)
        record.aliases["live"] = Alias(name="live", version="1")
        await there.invoke("1")
        await there.invoke("1", qualifier="1")
        await there.invoke("1", qualifier="live")
        by_alias = {"FunctionName": "f", "Resource": "f:live"}
        expected = [
            {},
            F,
            OWN,
            {"FunctionName": "f", "Resource": "f:1"},
            by_alias,
            by_alias | {"ExecutedVersion": "1"},
        ]
        for name in ("Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions"):
            assert sorted(map(str, there.sets(name))) == sorted(map(str, map(_sorted, expected))), name
        assert there.stats("Invocations") == (3, 3, 1, 1)
        assert there.stats("Invocations", **by_alias) == (1, 1, 1, 1)

    with_functions(test)


def _sorted(dimensions: dict[str, str]) -> dict[str, str]:
    return dict(sorted(dimensions.items()))


def test_a_throttled_invocation_is_no_invocation_and_no_error() -> None:
    """It counts as Throttles alone."""

    async def test(there: World) -> None:
        with pytest.raises(LambdaError):
            await there.invoke("1")
        assert there.stats("Throttles", **F) == (1, 1, 1, 1)
        assert there.stats("Invocations", **F) is None
        assert there.stats("Errors", **F) is None

    with_functions(test, spec(reserved_concurrency=0))


def test_what_never_came_to_the_code_counts_nowhere() -> None:
    """A failure of the service is no function error; concurrency is given back."""

    async def test(there: World) -> None:
        with pytest.raises(LambdaError):
            await there.invoke("break")
        await there.invoke("1")
        assert there.stats("Invocations", **F) == (1, 1, 1, 1)
        assert there.stats("Errors", **F) == (1, 0, 0, 0)
        assert there.stats("ConcurrentExecutions", **F) == (2, 2, 1, 1)

    with_functions(test)


def test_an_error_bears_the_date_of_its_invocation() -> None:
    """The minute in which it began, whenever it ended; so do the invocations that it is divided by."""

    async def test(there: World) -> None:
        await asyncio.sleep(50)
        await there.invoke("100")
        assert [there.stats("Invocations", minute, **F) for minute in range(3)] == [(1, 1, 1, 1), None, None]
        assert [there.stats("Errors", minute, **F) for minute in range(3)] == [(1, 0, 0, 0), None, None]
        assert [there.stats("Duration", minute, **F) for minute in range(3)] == [None, None, (1, 1e5, 1e5, 1e5)]

    with_functions(test)


def test_concurrency_is_how_many_run_at_a_time() -> None:
    """Its maximum is the one to look at; unreserved is what functions without a reserve use; long runs are told on."""

    async def test(there: World) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(there.invoke("100"))
            group.create_task(there.functions.invoke("kept", b'"1"'))
        assert there.stats("ConcurrentExecutions", 0, **F) == (4, 9, 1, 3)
        assert there.stats("ConcurrentExecutions", 0) == (5, 13, 1, 4)
        assert there.stats("UnreservedConcurrentExecutions", 0) == (4, 9, 1, 3)
        assert there.stats("ClaimedAccountConcurrency", 0) == (1, 13, 13, 13)
        await asyncio.sleep(120)
        assert there.stats("ConcurrentExecutions", 2, **F) is None

    with_functions(test, spec(), spec("kept", reserved_concurrency=10))


def test_provisioned_concurrency_tells_what_it_serves_and_what_spills_over() -> None:
    """Utilization is the share of what is provisioned; an invocation beyond it is a spillover, served on demand."""

    async def test(there: World) -> None:
        record = there.functions.records["f"]
        record.publish(record.spec)
        await record.provision("1", 2, now_s=0.0)
        await asyncio.sleep(1)
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(there.invoke("1", qualifier="1"))
        resource = {"FunctionName": "f", "Resource": "f:1"}
        assert there.stats("ProvisionedConcurrencyInvocations", **resource) == (2, 2, 1, 1)
        assert there.stats("ProvisionedConcurrencySpilloverInvocations", **resource) == (1, 1, 1, 1)
        assert there.stats("ProvisionedConcurrentExecutions", **resource) == (2, 3, 1, 2)
        assert there.stats("ProvisionedConcurrencyUtilization", **resource) == (2, 1.5, 0.5, 1.0)

    with_functions(test)


def test_events_are_counted_as_they_are_received_and_given_up() -> None:
    """AsyncEventsReceived once, AsyncEventAge with each attempt, AsyncEventsDropped at the end, and a letter's fate."""

    async def test(there: World) -> None:
        await there.invoke("fail", invocation_type="Event")
        await asyncio.sleep(600)
        assert there.stats("AsyncEventsReceived", **F) == (1, 1, 1, 1)
        assert there.stats("AsyncEventAge", **F) == (3, 240_000, 0, 180_000)
        assert there.stats("AsyncEventsDropped", **F) == (1, 1, 1, 1)
        assert there.stats("DeadLetterErrors", **F) == (1, 1, 1, 1)
        assert there.stats("Errors", **F) == (3, 3, 1, 1)

    with_functions(test, spec(dead_letter_arn="arn:aws:sqs:us-east-1:123456789012:gone"))


def test_a_function_that_is_gone_takes_no_memory() -> None:
    """Its meters go with it at the end of the minute; its metrics stay."""

    async def test(there: World) -> None:
        await there.invoke("1")
        await there.functions.remove("f")
        await asyncio.sleep(60)
        assert there.stats("Invocations", **F) == (1, 1, 1, 1)
        there.functions.add(spec())
        await there.invoke("1")
        assert there.stats("ConcurrentExecutions", **F) == (2, 2, 1, 1)

    with_functions(test)
