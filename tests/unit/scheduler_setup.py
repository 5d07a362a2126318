"""A world for the Scheduler's tests: its API on a virtual loop, and a port that remembers what was called."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlencode

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.contract import WireRequest
from localcloud.services.scheduler.delivery import Courier, Failed
from localcloud.services.scheduler.model import Schedules
from localcloud.services.scheduler.wire import SchedulerService
from localcloud.services.states.task_resource import TaskResource

T = TypeVar("T")
ACCOUNT = "123456789012"
REGION = "eu-west-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/scheduler"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"
DEAD = f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
ARN = f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/default/s"
START_S = 1_800_000_000.0  # 2027-01-15T08:00:00Z: where virtual clocks begin


@dataclass
class Port:
    """What was called: `(service and action, arguments, seconds since the start)`. `failures` come first.

    `closed`: the failure of every call that is no dead letter.
    """

    calls: list[tuple[str, Any, float]] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    closed: Exception | None = None

    async def call(self, call: TaskResource, arguments: Any, *, role_arn: str, region: str) -> None:
        assert (role_arn, region) == (ROLE, REGION)
        if self.failures:
            raise self.failures.pop(0)
        if self.closed is not None and "MessageAttributes" not in arguments:
            raise self.closed
        now_s = asyncio.get_running_loop().time()
        self.calls.append((f"{call.service}:{call.action}", arguments, round(now_s, 3)))

    def times(self) -> list[float]:
        """When calls were made."""
        return [time_s for _, _, time_s in self.calls]

    def refuse(self, times: int, *, retry: bool = True, code: str = "ThrottlingException") -> None:
        """Let the next calls fail."""
        self.failures += [Failed(code, "no", retry=retry) for _ in range(times)]


@dataclass
class World:
    """Schedules, with their API."""

    schedules: Schedules
    port: Port
    service: SchedulerService

    async def ask(self, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, Any]:
        """Status and body of an answer."""
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        answer = await self.service.handle(request(method, path, raw, urlencode(query, doseq=True)))
        assert isinstance(answer.body, bytes)
        return answer.status, json.loads(answer.body)

    async def do(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """The body of an answer that is no error."""
        status, answer = await self.ask(method, path, body, **query)
        assert status == 200, answer
        return answer

    async def refused(self, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, str]:
        """Status and message of an error."""
        status, answer = await self.ask(method, path, body, **query)
        return status, answer["Message"]

    async def create(self, expression: str, *, name: str = "s", **more: Any) -> Any:
        """CreateSchedule for the queue."""
        return await self.do("POST", f"/schedules/{name}", settings(expression, **more))


def settings(expression: str, *, target: Any = None, **more: Any) -> dict[str, Any]:
    """The body of CreateSchedule; `target` is added to a queue's."""
    aim: dict[str, Any] = {"Arn": QUEUE, "RoleArn": ROLE, "Input": "hello", **(target or {})}
    aim = {name: value for name, value in aim.items() if value is not None}
    return {"ScheduleExpression": expression, "FlexibleTimeWindow": {"Mode": "OFF"}, "Target": aim, **more}


def request(method: str, path: str, body: bytes = b"", query: str = "") -> WireRequest:
    """A request to the Scheduler."""
    return WireRequest(
        service="scheduler",
        region=REGION,
        method=method,
        path=path,
        query=query,
        headers={},
        body=body,
        access_key="AK",
        request_id="r",
    )


def run(test: Callable[[World], Awaitable[T]], *, seed: int = 1) -> T:
    """Run a test in a world of its own; what still waits at its end is let go."""

    async def main() -> T:
        clock = LoopClock(asyncio.get_running_loop())
        rng = random.Random(seed)
        port = Port()
        async with asyncio.TaskGroup() as group:
            schedules = Schedules(
                Courier(port, clock=clock, rng=rng),
                may_assume=lambda role: role == ROLE,
                group=group,
                clock=clock,
                rng=rng,
            )
            try:
                return await test(World(schedules, port, SchedulerService(schedules)))
            finally:
                schedules.close()

    return run_virtual(main)


def epoch(text: str) -> float:
    """Epoch seconds of a date in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
