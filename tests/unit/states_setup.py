"""State machines on the virtual clock, with functions that are plain Python and services that answer as a test says."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.contract import WireRequest, WireResponse
from localcloud.services.logs.model import Logs
from localcloud.services.states.event_logs import EventLogs
from localcloud.services.states.execution import Execution
from localcloud.services.states.model import Ports, StateMachines
from localcloud.services.states.wire import StatesService

REGION = "eu-west-1"
ROLE = "arn:aws:iam::123456789012:role/machine"
FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:"
INVOKE = "arn:aws:states:::lambda:invoke"


class FunctionFailed(Exception):
    """A function that raises an error of this type."""

    def __init__(self, kind: str, message: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


Function = Callable[[Any], Any | Awaitable[Any]]
Answer = Callable[[WireRequest], WireResponse]


@dataclass
class World:
    """A local cloud of state machines only."""

    machines: StateMachines
    api: StatesService
    logs: Logs
    loop: asyncio.AbstractEventLoop
    functions: dict[str, Function] = field(default_factory=dict)
    services: dict[str, Answer] = field(default_factory=dict)
    requests: list[WireRequest] = field(default_factory=list)
    changes: list[tuple[str, str]] = field(default_factory=list)

    async def dispatch(self, request: WireRequest) -> WireResponse:
        self.requests.append(request)
        if request.service == "lambda":
            return await self._invoke(request)
        if request.service == "states":
            return await self.api.handle(request)
        return self.services[request.service](request)

    async def _invoke(self, request: WireRequest) -> WireResponse:
        name = unquote(request.path).split("/")[3].rpartition(":")[2]
        if name not in self.functions:
            body = json.dumps({"Type": "User", "Message": f"Function not found: {name}"}).encode()
            return WireResponse(404, body, {"x-amzn-errortype": "ResourceNotFoundException"})
        try:
            result = self.functions[name](json.loads(request.body))
            if isinstance(result, Awaitable):
                result = await result
        except FunctionFailed as error:
            body = json.dumps({"errorMessage": error.message, "errorType": error.kind}).encode()
            return WireResponse(200, body, {"x-amz-function-error": "Unhandled"})
        return WireResponse(200, json.dumps(result).encode(), {"x-amz-executed-version": "$LATEST"})

    async def call(self, action: str, /, **values: Any) -> tuple[int, Any]:
        """Status and answer of an operation."""
        request = WireRequest(
            service="states",
            region=REGION,
            method="POST",
            path="/",
            query="",
            headers={"x-amz-target": f"AWSStepFunctions.{action}"},
            body=json.dumps(values).encode(),
            access_key="AKIATEST",
            request_id="r",
        )
        response = await self.api.handle(request)
        return response.status, json.loads(response.body)

    async def ask(self, action: str, /, **values: Any) -> Any:
        """The answer of an operation that must succeed."""
        status, answer = await self.call(action, **values)
        assert (status, answer) == (200, answer), answer
        return answer

    async def create(self, definition: Any, **values: Any) -> str:
        """The ARN of a new machine."""
        text = definition if isinstance(definition, str) else json.dumps(definition)
        given = {"name": f"m{len(self.machines.list(REGION))}", "definition": text, "roleArn": ROLE, **values}
        return (await self.ask("CreateStateMachine", **given))["stateMachineArn"]

    async def start(self, arn: str, value: Any = None, **more: Any) -> Execution:
        """A new execution."""
        text = json.dumps({} if value is None else value)
        answer = await self.ask("StartExecution", stateMachineArn=arn, input=text, **more)
        return self.machines.find_execution(answer["executionArn"])

    async def run(self, definition: Any, value: Any = None, **values: Any) -> Execution:
        """An execution of a new machine, ended."""
        execution = await self.start(await self.create(definition, **values), value)
        await execution.ended.wait()
        return execution


def run_world(story: Callable[[World], Awaitable[Any]], *, seed: int = 1, may_log: bool = True) -> Any:
    """What a story gives, on the virtual clock."""

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        clock = LoopClock(loop)
        logs = Logs(clock=clock)
        async with asyncio.TaskGroup() as group:
            made: list[World] = []
            machines = StateMachines(
                Ports(
                    dispatch=lambda request: made[0].dispatch(request),  # noqa: PLW0108 - made below
                    assume=lambda role: f"key of {role}",
                    changed=lambda each: made[0].changes.append((each.order.name, each.status)),
                    logger=EventLogs(logs).open,
                    clock=clock,
                    rng=random.Random(seed),
                ),
                group=group,
            )
            api = StatesService(machines, may_log=lambda _role: may_log)
            made.append(World(machines, api, logs, loop))
            try:
                return await story(made[0])
            finally:
                await machines.close()

    return run_virtual(main)


def result_of(
    definition: Any, value: Any = None, *, functions: dict[str, Function] | None = None, seed: int = 1
) -> Any:
    """The output of an execution, or its error and cause."""

    async def story(world: World) -> Any:
        world.functions.update(functions or {})
        execution = await world.run(definition, value)
        if execution.status == "SUCCEEDED":
            return json.loads(execution.output)
        return execution.status, execution.error, execution.cause

    return run_world(story, seed=seed)


def error_of(definition: Any, value: Any = None, *, functions: dict[str, Function] | None = None) -> Any:
    """The error of an execution that fails."""
    return result_of(definition, value, functions=functions)[1]


def one(state: dict[str, Any], **others: Any) -> dict[str, Any]:
    """A machine that begins with the state `S`, which ends it unless it says otherwise."""
    ends = state["Type"] in {"Choice", "Fail", "Succeed"} or "Next" in state
    return {"StartAt": "S", "States": {"S": state if ends else {**state, "End": True}, **others}}
