"""Functions on virtual time with environments in this process, and what they tell of events."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localcloud.clock import LoopClock
from localcloud.compute.environment import Outcome, Request
from localcloud.compute.function import FunctionSpec
from localcloud.compute.functions import Functions
from localcloud.compute.invocation_records import Given, Letter
from localcloud.services.logs.model import Logs

Handler = Callable[[FunctionSpec, Request], Awaitable[Outcome]]
ARN = "arn:aws:lambda:us-east-1:123456789012:function:f"
ROLE = "arn:aws:iam::123456789012:role/r"


class Room:
    """An execution environment that runs a coroutine function of the test."""

    def __init__(self, spec: FunctionSpec, handler: Handler, made: list[Room], init_s: float) -> None:
        self.spec = spec
        self._handler = handler
        self._init_s = init_s
        self.alive = True
        self.stopped = False
        self.served = 0
        made.append(self)

    async def initialise(self) -> bool:
        await asyncio.sleep(self._init_s)
        return False

    async def invoke(self, request: Request) -> Outcome:
        self.served += 1
        return await self._handler(self.spec, request)

    async def stop(self) -> None:
        self.alive, self.stopped = False, True


@dataclass
class Told:
    """Outlets that keep what they are told, and fail while `failure` is one."""

    records: list[tuple[str, bytes, FunctionSpec, Given]] = field(default_factory=list)
    letters: list[tuple[str, Letter, FunctionSpec]] = field(default_factory=list)
    failure: Exception | None = None

    async def send_record(self, arn: str, record: bytes, *, spec: FunctionSpec, given: Given) -> None:
        if self.failure is not None:
            raise self.failure
        self.records.append((arn, record, spec, given))

    async def send_letter(self, arn: str, letter: Letter, *, spec: FunctionSpec) -> None:
        if self.failure is not None:
            raise self.failure
        self.letters.append((arn, letter, spec))


@dataclass
class Measured:
    """A metric sink that keeps values by name."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def put(self, namespace: str, name: str, value: float, *, dimensions: Mapping[str, str], unit: str) -> None:
        assert (namespace, dict(dimensions)) == ("AWS/Lambda", {"FunctionName": "f"})
        self.values.setdefault(name, []).append(value)


@dataclass
class World:
    functions: Functions
    made: list[Room]
    logs: Logs
    clock: LoopClock
    told: Told
    measured: Measured

    @property
    def record(self) -> Any:
        return self.functions.records["f"]


def spec(**changes: Any) -> FunctionSpec:
    settings: dict[str, Any] = {"name": "f", "arn": ARN, "handler": "app.handler", "code_dir": Path("/nowhere")}
    return FunctionSpec(**(settings | {"role_arn": ROLE} | changes))


async def answer_version(asked: FunctionSpec, request: Request) -> Outcome:
    await asyncio.sleep(1)
    return Outcome(f'"{asked.version}"'.encode())


@asynccontextmanager
async def world(
    handler: Handler = answer_version, *specs: FunctionSpec, init_s: float = 0.1, seed: int = 7
) -> AsyncGenerator[World]:
    clock = LoopClock(asyncio.get_running_loop())
    logs, made = Logs(clock=clock), []
    told, measured = Told(), Measured()
    async with asyncio.TaskGroup() as group:
        functions = Functions(
            lambda asked: Room(asked, handler, made, init_s),
            group=group,
            clock=clock,
            logs=logs,
            rng=random.Random(seed),
            starts=100,
        )
        functions.connect(told, measured)
        for one in specs or (spec(),):
            functions.add(one)
        yield World(functions, made, logs, clock, told, measured)
        await functions.close()
