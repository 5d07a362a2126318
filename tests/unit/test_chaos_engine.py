"""Faults in one cloud: calls of AWS as their callers see them, proxies put in and taken out, and the end of a plan."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from botocore.retries.standard import ThrottledRetryableChecker

from localcloud.chaos.engine import Busy, Chaos
from localcloud.chaos.plan import PlanError, read_plan
from localcloud.chaos.refusing import throttle_call
from localcloud.chaos.skew import ShiftedClock
from localcloud.clock import LoopClock, run_virtual
from localcloud.compute.cloud import Compute
from localcloud.compute.environment import Outcome, Request
from localcloud.compute.function import FunctionSpec
from localcloud.compute.functions import Functions
from localcloud.compute.reaper import Reaper
from localcloud.compute.runtimes import Runtimes
from localcloud.front import Front
from localcloud.services.contract import NoAnswer, Permission, WireRequest, WireResponse
from localcloud.services.iam.model import Principal
from localcloud.services.logs.model import Logs

READ_JOB, PLAIN = "app-ReadJob", "plain"


@dataclass
class Echo:
    """An API that counts what it carried out."""

    name: str = "sqs"
    served: list[str] = field(default_factory=list)
    body: bytes | AsyncIterator[bytes] = b"{}"

    async def handle(self, request: WireRequest) -> WireResponse:
        self.served.append(request.target)
        return WireResponse(200, self.body)

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        return ()


class Principals:
    """Keys are named for who has them."""

    def principal_of(self, access_key: str) -> Principal:
        if access_key == "person":
            return Principal("arn:aws:iam::123456789012:root", "123456789012")
        return Principal("arn", "123456789012", role_arn="arn:aws:iam::123456789012:role/r", session=access_key)


class Room:
    """An environment without a process."""

    def __init__(self, spec: FunctionSpec, made: list[str]) -> None:
        self.alive = True
        made.append(spec.name)

    async def initialise(self) -> bool:
        return False

    async def invoke(self, request: Request) -> Outcome:
        return Outcome(request.payload)

    async def stop(self) -> None:
        self.alive = False


@dataclass
class World:
    """A cloud of two functions and one API."""

    chaos: Chaos
    front: Front
    api: Echo
    functions: Functions
    group: asyncio.TaskGroup
    clock: ShiftedClock
    made: list[str]
    told: list[Mapping[str, Any]] = field(default_factory=list)

    async def tell(self, event: Mapping[str, Any]) -> None:
        self.told.append(event)

    def begin(self, *steps: dict[str, Any], **members: Any) -> asyncio.Task[dict[str, Any]]:
        plan = read_plan({"steps": [{"for_s": 10, **step} for step in steps], **members})
        return self.group.create_task(self.chaos.run(plan, self.tell))

    async def call(self, caller: str = READ_JOB, target: str = "AmazonSQS.SendMessage", service: str = "sqs") -> Any:
        headers = {"x-amz-target": target, "content-type": "application/x-amz-json-1.0"}
        request = WireRequest(service, "us-east-1", "POST", "/", "", headers, b"{}", caller, "r-1")
        return await self.front.dispatch(request)


def _spec(name: str, logical_id: str = "") -> FunctionSpec:
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:{name}"
    return FunctionSpec(name=name, arn=arn, handler="app.handler", code_dir=Path("/nowhere"), logical_id=logical_id)


@asynccontextmanager
async def open_world() -> AsyncGenerator[World]:
    clock = ShiftedClock(LoopClock(asyncio.get_running_loop()))
    rng, made, api = random.Random(1), list[str](), Echo()
    front = Front([api], authorise=lambda _key, _needs: None, rng=rng)
    chaos = Chaos(front, Principals(), region="us-east-1", clock=clock)
    async with asyncio.TaskGroup() as group:
        logs = Logs(clock=clock)
        functions = Functions(lambda spec: Room(spec, made), group=group, clock=clock, logs=logs, rng=rng)
        for spec in (_spec(READ_JOB, "ReadJob"), _spec(PLAIN)):
            functions.add(spec)
        chaos.join(Compute(functions, Runtimes(cache_dir=Path("/nowhere"), environ={}), group, Reaper()))
        yield World(chaos, front, api, functions, group, clock, made)
        await functions.close()


def drive(check: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(600), open_world() as world:
            await check(world)

    run_virtual(main)


# ---------------------------------------------------------------------- calls


@pytest.mark.parametrize(
    ("step", "status", "code"),
    [
        ({"fault": "call.throttle"}, 400, "RequestThrottled"),
        ({"fault": "call.error", "status": 500}, 500, "InternalFailure"),
        ({"fault": "call.error", "status": 503}, 503, "ServiceUnavailable"),
    ],
)
def test_a_call_is_answered_with_the_services_own_error(step: dict[str, Any], status: int, code: str) -> None:
    """In the service's own form, and nothing was carried out."""

    async def check(world: World) -> None:
        run = world.begin({**step, "service": "sqs"})
        await asyncio.sleep(1)
        answer = await world.call()
        assert (answer.status, json.loads(answer.body)["__type"]) == (status, code)
        assert world.api.served == []
        await world.chaos.stop()
        (step_told,) = (await run)["parts"][0]["steps"]
        assert (step_told["seen"], step_told["targets"]) == (1, {"ReadJob sqs:SendMessage": 1})

    drive(check)


def test_a_call_is_delayed_and_then_carried_out() -> None:
    """The answer is the service's."""

    async def check(world: World) -> None:
        world.begin({"fault": "call.latency", "service": "sqs", "delay": {"fixed_s": 2}})
        await asyncio.sleep(1)
        began = world.clock.time()
        assert (await world.call()).status == 200
        assert world.clock.time() - began == pytest.approx(2.0)
        assert len(world.api.served) == 1
        await world.chaos.stop()

    drive(check)


@pytest.mark.parametrize(("when", "served"), [("before", 0), ("after", 1)])
def test_a_dropped_connection_hides_whether_the_call_was_carried_out(when: str, served: int) -> None:
    """The caller gets no answer either way."""

    async def check(world: World) -> None:
        world.begin({"fault": "call.drop", "service": "sqs", "when": when})
        await asyncio.sleep(1)
        with pytest.raises(NoAnswer):
            await world.call()
        assert len(world.api.served) == served
        await world.chaos.stop()

    drive(check)


def test_an_answer_that_streams_is_carried_out_to_its_end_before_it_is_dropped() -> None:
    """A model that was asked has answered, and nobody heard it."""
    ended = list[int]()

    async def chunks() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"
        ended.append(1)

    async def check(world: World) -> None:
        world.api.body = chunks()
        world.begin({"fault": "call.drop", "service": "sqs", "when": "after"})
        await asyncio.sleep(1)
        with pytest.raises(NoAnswer):
            await world.call()
        assert ended == [1]
        await world.chaos.stop()

    drive(check)


@pytest.mark.parametrize("is_stopped", [False, True])
def test_a_call_hangs_until_its_step_ends_or_the_plan_is_stopped(is_stopped: bool) -> None:
    """Then there is no answer; nothing was carried out."""

    async def check(world: World) -> None:
        world.begin({"fault": "call.hang", "service": "sqs", "for_s": 30})
        await asyncio.sleep(1)
        began, calling = world.clock.time(), world.group.create_task(_ask(world))
        await asyncio.sleep(5)
        if is_stopped:
            await world.chaos.stop()
        assert await calling == "no answer"
        assert world.clock.time() - began == pytest.approx(5 if is_stopped else 29, abs=0.1)
        assert world.api.served == []

    drive(check)


async def _ask(world: World) -> str:
    try:
        await world.call()
    except NoAnswer:
        return "no answer"
    return "answer"


def test_people_and_services_are_left_alone_unless_they_are_named() -> None:
    """A developer who looks at a table meets no fault that was meant for functions."""

    async def check(world: World) -> None:
        run = world.begin({"fault": "call.throttle", "service": "sqs"})
        await asyncio.sleep(1)
        assert [(await world.call(who)).status for who in ("person", "apigateway", PLAIN)] == [200, 200, 400]
        await world.chaos.stop()
        await run
        world.begin({"fault": "call.throttle", "service": "sqs", "callers": ["people", "services"]})
        await asyncio.sleep(1)
        assert [(await world.call(who)).status for who in ("person", "apigateway", PLAIN)] == [400, 400, 200]
        await world.chaos.stop()

    drive(check)


def test_without_a_plan_nothing_stands_before_a_service() -> None:
    """Before a plan, and after it; a plan without faults of calls puts nothing there either."""

    async def check(world: World) -> None:
        assert world.front.between is None
        run = world.begin({"fault": "call.throttle", "service": "sqs", "for_s": 2})
        await asyncio.sleep(1)
        assert world.front.between is not None
        await run
        assert world.front.between is None
        assert (await world.call()).status == 200
        run = world.begin({"fault": "function.error", "for_s": 2})
        await asyncio.sleep(1)
        assert world.front.between is None
        await run

    drive(check)


@pytest.mark.parametrize(
    "service",
    [
        "appsync",
        "bedrock",
        "dynamodb",
        "events",
        "execute-api",
        "glue",
        "kinesis",
        "lambda",
        "logs",
        "monitoring",
        "pipes",
        "s3",
        "scheduler",
        "sns",
        "sqs",
    ],
)
def test_sdks_know_each_throttle_as_a_throttle(service: str) -> None:
    """The standard retry mode counts its code among those that are tried again with the longer wait."""
    known = ThrottledRetryableChecker._THROTTLED_ERROR_CODES  # pyright: ignore[reportPrivateUsage]
    for operation in ("PutItem", "PutRecord", "DescribeTable"):
        request = WireRequest(service, "us-east-1", "POST", "/", "", {"x-amz-target": ""}, b"", "k", "r")
        answer = throttle_call(request, operation)
        assert _code_of(answer) in known
        assert answer.status in {400, 429, 503}


def _code_of(answer: WireResponse) -> str:
    named = dict(answer.headers).get("x-amzn-errortype", "")
    if named or not isinstance(answer.body, bytes):
        return named
    text = answer.body.decode()
    return text.partition("<Code>")[2].partition("</Code>")[0] or json.loads(text)["__type"]


# ---------------------------------------------------------------------- functions


def test_environments_are_renewed_when_a_plan_begins_and_when_it_ends() -> None:
    """Those of the functions that it is about, and no others: what ran before has no proxy, what runs after either."""

    async def check(world: World) -> None:
        for name in (READ_JOB, PLAIN):
            await world.functions.invoke(name, b"{}")
        run = world.begin({"fault": "function.error", "functions": ["ReadJob"], "for_s": 5})
        await asyncio.sleep(1)
        for name in (READ_JOB, READ_JOB, PLAIN):
            await world.functions.invoke(name, b"{}")
        await run
        await world.functions.invoke(READ_JOB, b"{}")
        assert world.made == [READ_JOB, PLAIN, READ_JOB, READ_JOB]

    drive(check)


def test_a_proxy_is_put_before_environments_of_the_functions_in_question_only() -> None:
    """None without a plan, none for other functions, and none after the end."""

    async def check(world: World) -> None:
        async def is_proxied(name: str) -> bool:
            proxy = await world.chaos.interpose(name, "127.0.0.1:9", lambda: None)
            if proxy is None:
                return False
            proxy.close()
            await proxy.wait_closed()
            return True

        assert not await is_proxied(READ_JOB)
        run = world.begin({"fault": "function.error", "functions": ["ReadJob"], "at_s": 3, "for_s": 1})
        await asyncio.sleep(1)
        assert [await is_proxied(name) for name in (READ_JOB, PLAIN)] == [True, False]
        await run
        assert not await is_proxied(READ_JOB)

    drive(check)


# ---------------------------------------------------------------------- runs


def test_a_run_tells_what_begins_and_ends_and_what_was_done() -> None:
    """In order; the counts while they change."""

    async def check(world: World) -> None:
        run = world.begin(
            {"fault": "call.throttle", "service": "sqs", "at_s": 1, "for_s": 2},
            {"fault": "region.skew", "by_s": 60, "at_s": 2, "for_s": 2},
        )
        await asyncio.sleep(1.5)
        await world.call()
        report = await run
        told = [(each["type"], each.get("step"), each.get("on"), each.get("total")) for each in world.told]
        assert told == [
            ("begun", None, None, None),
            ("step", 0, True, None),
            ("step", 1, True, None),
            ("counts", None, None, 2),
            ("step", 0, False, None),
            ("step", 1, False, None),
        ]
        assert [(step["fault"], step["injected"]) for step in report["parts"][0]["steps"]] == [
            ("call.throttle", 1),
            ("region.skew", 1),
        ]
        assert (report["stopped"], report["parts"][0]["ran_s"]) == (False, 4.0)

    drive(check)


def test_a_skewed_clock_is_right_again_at_the_end() -> None:
    """At the step's end, and where the plan is stopped in the middle."""

    async def check(world: World) -> None:
        true = world.clock.true
        for stops in (False, True):
            run = world.begin({"fault": "region.skew", "by_s": -90, "at_s": 1, "for_s": 2}, {"fault": "function.error"})
            await asyncio.sleep(2)
            assert world.clock.time() - true.time() == -90
            if stops:
                await world.chaos.stop()
            else:
                await asyncio.sleep(2)
            assert world.clock.time() == true.time()
            await world.chaos.stop()
            assert (await run)["stopped"]

    drive(check)


def test_a_run_that_is_cut_off_is_undone() -> None:
    """Whoever asked for it has gone: its task is cancelled, and everything is as before."""

    async def check(world: World) -> None:
        run = world.begin({"fault": "call.throttle", "service": "sqs"}, {"fault": "region.skew", "by_s": 5})
        await asyncio.sleep(1)
        assert (await world.call()).status == 400
        run.cancel()
        await asyncio.wait([run])
        assert (await world.call()).status == 200
        assert world.clock.by_s == 0.0
        assert world.chaos.tell() == {"on": False, "parts": []}
        assert (await _runs(world)) is True

    drive(check)


async def _runs(world: World) -> bool:
    run = world.begin({"fault": "function.error", "for_s": 0.1})
    return not (await run)["stopped"]


def test_two_plans_are_not_on_at_once() -> None:
    """The second is refused, and the first goes on."""

    async def check(world: World) -> None:
        run = world.begin({"fault": "function.error"})
        await asyncio.sleep(1)
        with pytest.raises(Busy, match="a plan is on"):
            await world.chaos.run(read_plan({"steps": [{"fault": "function.error", "for_s": 1}]}), world.tell)
        assert world.chaos.tell()["on"]
        await world.chaos.stop()
        assert (await run)["stopped"]

    drive(check)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (
            {"fault": "function.error", "functions": ["Nobody"]},
            "steps[0].functions: there is no 'Nobody'; there are *, ",
        ),
        (
            {"fault": "call.throttle", "service": "sqs", "callers": ["*"]},
            "steps[0].callers: there is no '*'; there are",
        ),
        ({"fault": "region.kill", "region": "us-east-1"}, "steps[0].fault: region.kill needs several Regions"),
        ({"fault": "function.error", "regions": ["us-west-2"]}, "steps[0].regions: this is the cloud of us-east-1"),
        ({"fault": "region.skew", "region": "us-west-2", "by_s": 1}, "steps[0].region: this is the cloud of us-east-1"),
    ],
)
def test_a_plan_for_what_is_not_here_is_refused(step: dict[str, Any], said: str) -> None:
    """With the names of what is; nothing has begun."""

    async def check(world: World) -> None:
        with pytest.raises(PlanError) as refused:
            await world.chaos.run(read_plan({"steps": [{"for_s": 1, **step}]}), world.tell)
        assert str(refused.value).startswith(said)
        assert (world.chaos.tell()["on"], world.told) == (False, [])

    drive(check)


def test_a_part_leaves_the_steps_of_others_alone() -> None:
    """The host gave the whole plan: what is between Regions, and for another Region, is not this one's."""

    async def check(world: World) -> None:
        steps = [
            {"fault": "region.kill", "region": "us-west-2"},
            {"fault": "function.error", "functions": ["OnlyThere"], "regions": ["us-west-2"]},
            {"fault": "region.skew", "region": "us-west-2", "by_s": 9},
            {"fault": "call.throttle", "service": "sqs", "regions": ["us-east-1"]},
        ]
        plan = read_plan({"steps": [{"for_s": 3, **step} for step in steps]})
        run = world.group.create_task(world.chaos.run(plan, world.tell, is_part=True))
        await asyncio.sleep(1)
        assert world.clock.by_s == 0.0
        assert (await world.call()).status == 400
        report = (await run)["parts"][0]
        assert [(step["step"], step["injected"]) for step in report["steps"]] == [(3, 1)]

    drive(check)
