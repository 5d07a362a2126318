"""Functions, their pools and asynchronous invocations, on virtual time with environments in this process."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.compute.environment import Outcome, Request
from localcloud.compute.function import FunctionSpec, Reference, parse_reference
from localcloud.compute.functions import DROPPED_STREAM, Functions
from localcloud.compute.pool import IDLE_S
from localcloud.services.lambda_.errors import LambdaError
from localcloud.services.logs.model import Logs

Handler = Callable[[Request], Awaitable[Outcome]]


class Room:
    """An execution environment that runs a coroutine function of the test."""

    def __init__(self, handler: Handler, made: list[Room], init_s: float) -> None:
        self._handler = handler
        self._init_s = init_s
        self.number = len(made)
        self.alive = True
        self.stopped = False
        self.busy = False
        self.served = 0
        made.append(self)

    async def initialise(self) -> None:
        await asyncio.sleep(self._init_s)

    async def invoke(self, request: Request) -> Outcome:
        assert not self.busy, "two invocations in one environment"
        self.busy = True
        self.served += 1
        try:
            return await self._handler(request)
        finally:
            self.busy = False

    async def stop(self) -> None:
        self.alive, self.stopped = False, True


class World:
    def __init__(self, functions: Functions, made: list[Room], logs: Logs) -> None:
        self.functions = functions
        self.made = made
        self.logs = logs


def spec(name: str = "f", **changes: Any) -> FunctionSpec:
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:{name}"
    return FunctionSpec(name=name, arn=arn, handler="app.handler", code_dir=Path("/nowhere"), **changes)


@asynccontextmanager
async def world(handler: Handler, *specs: FunctionSpec, init_s: float = 0.1, starts: int = 100):
    clock = LoopClock(asyncio.get_running_loop())
    logs, made = Logs(clock=clock), []
    async with asyncio.TaskGroup() as group:
        functions = Functions(
            lambda _spec: Room(handler, made, init_s),
            group=group,
            clock=clock,
            logs=logs,
            rng=random.Random(7),
            starts=starts,
        )
        for one in specs or (spec(),):
            functions.add(one)
        yield World(functions, made, logs)
        await functions.close()


async def echo(request: Request) -> Outcome:
    await asyncio.sleep(1)
    return Outcome(request.payload, log_tail=b"tail")


def test_a_warm_environment_is_used_again() -> None:
    """One after the other needs one environment; it is initialised once."""

    async def main() -> None:
        async with world(echo) as there:
            for _ in range(3):
                result = await there.functions.invoke("f", b'{"n":1}')
                assert (result.status, result.payload, result.function_error) == (200, b'{"n":1}', "")
            assert [room.served for room in there.made] == [3]

    run_virtual(main)


def test_environments_grow_with_concurrency_and_each_runs_one_at_a_time() -> None:
    """Five at once need five environments; later ones use the most recently used first."""

    async def main() -> None:
        async with world(echo) as there:
            async with asyncio.TaskGroup() as group:
                for _ in range(5):
                    group.create_task(there.functions.invoke("f", b"{}"))
            assert len(there.made) == 5
            for _ in range(4):
                await there.functions.invoke("f", b"{}")
            assert sorted(room.served for room in there.made) == [1, 1, 1, 1, 5]

    run_virtual(main)


def test_idle_environments_are_given_up() -> None:
    """After the idle time an environment is stopped, and a later invocation starts another."""

    async def main() -> None:
        async with world(echo) as there:
            await there.functions.invoke("f", b"{}")
            await asyncio.sleep(IDLE_S + 1)
            assert (there.functions.environments("f"), there.made[0].stopped) == (0, True)
            await there.functions.invoke("f", b"{}")
            assert len(there.made) == 2

    run_virtual(main)


def test_a_dead_environment_is_replaced() -> None:
    """An environment that says it is not alive after an invocation serves no other."""

    async def dies(request: Request) -> Outcome:
        rooms[-1].alive = False
        return Outcome(b"{}", "Runtime.ExitError")

    rooms: list[Room] = []

    async def main() -> None:
        async with world(dies) as there:
            rooms_made = there.made
            for count in (1, 2):
                rooms[:] = rooms_made
                await start(there, rooms, rooms_made)
                assert len(there.made) == count

    async def start(there: World, current: list[Room], made: list[Room]) -> None:
        task = asyncio.ensure_future(there.functions.invoke("f", b"{}"))
        await asyncio.sleep(0.05)
        current[:] = made
        assert (await task).function_error == "Unhandled"

    run_virtual(main)


def test_starts_are_bounded_and_a_returning_environment_serves_who_waits() -> None:
    """With one start at a time of ten seconds, ten short invocations are served by few environments."""

    async def main() -> None:
        async with world(echo, init_s=10, starts=1) as there:
            loop = asyncio.get_running_loop()
            began = loop.time()
            async with asyncio.TaskGroup() as group:
                for _ in range(10):
                    group.create_task(there.functions.invoke("f", b"{}"))
            assert loop.time() - began < 21
            assert len(there.made) <= 2

    run_virtual(main)


def test_reserved_concurrency_throttles_with_its_reason() -> None:
    """Over the reserve: 429 TooManyRequestsException, and the reserve is free again afterwards."""

    async def main() -> None:
        async with world(echo, spec(reserved_concurrency=2)) as there:
            async with asyncio.TaskGroup() as group:
                for _ in range(2):
                    group.create_task(there.functions.invoke("f", b"{}"))
                await asyncio.sleep(0.5)
                with pytest.raises(LambdaError) as refused:
                    await there.functions.invoke("f", b"{}")
            error = refused.value
            assert (error.status, error.code) == (429, "TooManyRequestsException")
            assert error.extra == {"Reason": "ReservedFunctionConcurrentInvocationLimitExceeded"}
            assert (await there.functions.invoke("f", b"{}")).status == 200

    run_virtual(main)


def test_a_reserve_of_zero_stops_a_function() -> None:
    """Zero throttles every invocation."""

    async def main() -> None:
        async with world(echo, spec(reserved_concurrency=0)) as there:
            with pytest.raises(LambdaError, match="TooManyRequestsException"):
                await there.functions.invoke("f", b"{}")

    run_virtual(main)


def test_the_account_has_a_thousand_less_what_is_reserved() -> None:
    """Functions without a reserve share what is left, whatever function asks."""

    async def main() -> None:
        some = (spec("a"), spec("b"), spec("c", reserved_concurrency=997))
        async with world(echo, *some) as there, asyncio.TaskGroup() as group:
            for name in ("a", "a", "b"):
                group.create_task(there.functions.invoke(name, b"{}"))
            await asyncio.sleep(0.5)
            with pytest.raises(LambdaError) as refused:
                await there.functions.invoke("b", b"{}")
            assert refused.value.extra == {"Reason": "ConcurrentInvocationLimitExceeded"}
            assert (await there.functions.invoke("c", b"{}")).status == 200

    run_virtual(main)


def test_an_invocation_outlives_the_caller() -> None:
    """A cancelled caller leaves the invocation running to its end."""
    finished: list[str] = []

    async def slow(request: Request) -> Outcome:
        await asyncio.sleep(5)
        finished.append(request.request_id)
        return Outcome(b"{}")

    async def main() -> None:
        async with world(slow) as there:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(there.functions.invoke("f", b"{}"), 1)
            assert finished == []
            await asyncio.sleep(10)
            assert len(finished) == 1

    run_virtual(main)


def test_an_event_is_tried_three_times_and_then_dropped_aloud() -> None:
    """Function errors: again after one minute, again after two, the same request id; then a line in the log."""
    tries: list[tuple[float, str]] = []

    async def fails(request: Request) -> Outcome:
        tries.append((asyncio.get_running_loop().time(), request.request_id))
        return Outcome(b"{}", "ValueError")

    async def main() -> None:
        async with world(fails) as there:
            assert (await there.functions.invoke("f", b"{}", invocation_type="Event")).status == 202
            await asyncio.sleep(1000)
            dropped = [event for event in there.logs.events("/aws/lambda/f") if event.stream == DROPPED_STREAM]
            record = json.loads(dropped[0].message)
            assert (len(dropped), record["condition"]) == (1, "RetriesExhausted")

    run_virtual(main)
    times = [round(moment) for moment, _ in tries]
    assert [later - earlier for earlier, later in itertools.pairwise(times)] == [60, 120]
    assert len({request_id for _, request_id in tries}) == 1


def test_a_throttled_event_waits_and_backs_off() -> None:
    """Throttles are no failures: the event is tried again from one second on, until the function may run."""
    ran: list[float] = []

    async def once(request: Request) -> Outcome:
        ran.append(asyncio.get_running_loop().time())
        await asyncio.sleep(20)
        return Outcome(b"{}")

    async def main() -> None:
        async with world(once, spec(reserved_concurrency=1)) as there:
            for _ in range(2):
                await there.functions.invoke("f", b"{}", invocation_type="Event")
            await asyncio.sleep(200)

    run_virtual(main)
    assert len(ran) == 2
    assert 20 <= ran[1] - ran[0] <= 40


def test_an_event_that_no_concurrency_ever_takes_is_dropped_after_six_hours() -> None:
    """The event's age is the end of throttling."""

    async def never(request: Request) -> Outcome:
        await asyncio.sleep(7 * 3600)
        return Outcome(b"{}")

    async def main() -> None:
        async with world(never, spec(reserved_concurrency=1)) as there:
            running = asyncio.ensure_future(there.functions.invoke("f", b"{}"))
            await asyncio.sleep(1)
            await there.functions.invoke("f", b"{}", invocation_type="Event")
            await asyncio.sleep(6 * 3600 + 1)
            dropped = [json.loads(event.message) for event in there.logs.events("/aws/lambda/f")]
            assert [record["condition"] for record in dropped] == ["EventAgeExceeded"]
            await running

    run_virtual(main)


def test_an_event_for_a_reserve_of_zero_is_dropped_at_once() -> None:
    """No attempt is made, and none is waited for."""

    async def main() -> None:
        async with world(echo, spec(reserved_concurrency=0)) as there:
            await there.functions.invoke("f", b"{}", invocation_type="Event")
            await asyncio.sleep(0.1)
            dropped = [json.loads(event.message) for event in there.logs.events("/aws/lambda/f")]
            assert [record["condition"] for record in dropped] == ["ZeroReservedConcurrency"]

    run_virtual(main)


def test_a_dry_run_runs_nothing() -> None:
    """204, no environment."""

    async def main() -> None:
        async with world(echo) as there:
            assert (await there.functions.invoke("f", b"{}", invocation_type="DryRun")).status == 204
            assert there.made == []

    run_virtual(main)


@pytest.mark.parametrize(
    ("payload", "kind", "code"),
    [
        (b"{", "RequestResponse", "InvalidRequestContentException"),
        (b"NaN", "RequestResponse", "InvalidRequestContentException"),
        (b"[" * 100_000, "Event", "InvalidRequestContentException"),
        (b'"' + b"x" * (6 * 1024 * 1024) + b'"', "RequestResponse", "RequestTooLargeException"),
        (b'"' + b"x" * (1024 * 1024) + b'"', "Event", "RequestTooLargeException"),
    ],
)
def test_payloads_that_lambda_refuses(payload: bytes, kind: str, code: str) -> None:
    """No JSON, over 6 MB, over 1 MB where it is asynchronous."""

    async def main() -> None:
        async with world(echo) as there:
            with pytest.raises(LambdaError, match=code):
                await there.functions.invoke("f", payload, invocation_type=kind)

    run_virtual(main)


@pytest.mark.parametrize("name", ["g", "f:1", "f:live", "arn:aws:lambda:eu-west-1:123456789012:function:f", "", "a b"])
def test_what_names_no_function_is_not_found(name: str) -> None:
    """Unknown names, versions, aliases, other Regions and nonsense: ResourceNotFoundException."""

    async def main() -> None:
        async with world(echo) as there:
            with pytest.raises(LambdaError) as refused:
                await there.functions.invoke(name, b"{}")
            assert (refused.value.code, refused.value.status) == ("ResourceNotFoundException", 404)

    run_virtual(main)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("f", Reference("f")),
        ("f:$LATEST", Reference("f", "$LATEST")),
        ("f:live", Reference("f", "live")),
        ("123456789012:function:f", Reference("f", "", "", "123456789012")),
        ("function:f", Reference("f")),
        (
            "arn:aws:lambda:us-east-1:123456789012:function:f:1",
            Reference("f", "1", "us-east-1", "123456789012"),
        ),
        (
            "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:f",
            Reference("f", "", "us-gov-west-1", "123456789012"),
        ),
        ("f/../g", None),
        ("x" * 65, None),
    ],
)
def test_the_ways_to_name_a_function(text: str, expected: Reference | None) -> None:
    """Name, partial ARN, ARN, each with a qualifier."""
    assert parse_reference(text) == expected


def test_every_form_of_the_name_reaches_the_function() -> None:
    """Name, partial ARN, ARN, with $LATEST."""

    async def main() -> None:
        async with world(echo) as there:
            for name in ("f", "f:$LATEST", "123456789012:function:f", spec().arn, f"{spec().arn}:$LATEST"):
                assert (await there.functions.invoke(name, b"{}")).payload == b"{}"

    run_virtual(main)


def test_an_empty_payload_is_an_empty_object() -> None:
    """Invoke without a payload gives the function {}."""

    async def main() -> None:
        async with world(echo) as there:
            assert (await there.functions.invoke("f", b"")).payload == b"{}"

    run_virtual(main)


def test_the_log_tail_comes_where_it_is_asked_for() -> None:
    """LogType Tail."""

    async def main() -> None:
        async with world(echo) as there:
            assert (await there.functions.invoke("f", b"{}", log_tail=True)).log_tail == b"tail"
            assert (await there.functions.invoke("f", b"{}")).log_tail == b""

    run_virtual(main)


def test_the_trace_header_is_completed() -> None:
    """A caller's Root stays; what is missing is made, sampled as the function's tracing says."""
    seen: list[str] = []

    async def keep(request: Request) -> Outcome:
        seen.append(request.trace_header)
        return Outcome(b"{}")

    async def main() -> None:
        async with world(keep, spec(tracing=True)) as there:
            await there.functions.invoke("f", b"{}")
            await there.functions.invoke("f", b"{}", trace_header="Root=1-abc-def;Sampled=0;Self=x;Lineage=1")

    run_virtual(main)
    made = dict(part.split("=") for part in seen[0].split(";"))
    assert (made["Root"][:2], len(made["Root"]), len(made["Parent"]), made["Sampled"]) == ("1-", 35, 16, "1")
    given = dict(part.split("=") for part in seen[1].split(";"))
    assert (given["Root"], given["Sampled"], given["Lineage"][8:]) == ("1-abc-def", "0", ":1")
    assert "Self" not in given


def test_an_environment_that_cannot_be_made_is_the_callers_error_alone() -> None:
    """What fails while starting reaches the invocation that needed it; others go on."""
    fail = [True]

    class Broken(Room):
        async def initialise(self) -> None:
            if fail.pop():
                raise OSError("no more processes")

    async def main() -> None:
        clock = LoopClock(asyncio.get_running_loop())
        made: list[Room] = []
        async with asyncio.TaskGroup() as group:
            functions = Functions(
                lambda _spec: Broken(echo, made, 0) if fail else Room(echo, made, 0),
                group=group,
                clock=clock,
                logs=Logs(clock=clock),
                rng=random.Random(1),
            )
            functions.add(spec())
            with pytest.raises(OSError, match="no more processes"):
                await functions.invoke("f", b"{}")
            assert (await functions.invoke("f", b"{}")).status == 200
            await functions.close()

    run_virtual(main)


def test_closing_fails_who_still_waits() -> None:
    """An invocation that waits for an environment when its function goes ends with an error, and queued ones end."""

    async def main() -> None:
        async with world(echo, init_s=5) as there:
            waiting = asyncio.ensure_future(there.functions.invoke("f", b"{}"))
            await there.functions.invoke("f", b"{}", invocation_type="Event")
            await asyncio.sleep(1)
            await there.functions.remove("f")
            with pytest.raises(LambdaError, match="ServiceException"):
                await waiting

    run_virtual(main)


def test_an_invocation_that_runs_survives_a_change_of_its_function() -> None:
    """The old environment ends its work, and only then itself."""

    async def main() -> None:
        async with world(echo) as there:
            running = asyncio.ensure_future(there.functions.invoke("f", b"1"))
            await asyncio.sleep(0.5)
            there.functions.add(spec(timeout_s=9))
            assert (await running).payload == b"1"
            await asyncio.sleep(0.01)
            assert [room.stopped for room in there.made] == [True]

    run_virtual(main)


def test_a_changed_function_gets_new_environments() -> None:
    """Adding a function again stops the old environments."""

    async def main() -> None:
        async with world(echo) as there:
            await there.functions.invoke("f", b"{}")
            there.functions.add(spec(timeout_s=9))
            await there.functions.invoke("f", b"{}")
            assert [room.stopped for room in there.made] == [True, False]
            assert there.functions.get("f").timeout_s == 9

    run_virtual(main)
