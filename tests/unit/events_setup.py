"""A world for EventBridge's tests: buses on a virtual loop, a client of their API, a port that remembers."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.contract import WireRequest
from localcloud.services.events.delivery import DeadLetter, Parcel, Undeliverable
from localcloud.services.events.limits import Limits
from localcloud.services.events.model import Buses
from localcloud.services.events.wire import EventsService

ACCOUNT = "123456789012"
REGION = "eu-west-1"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"
START = "2027-01-15T08:00:00Z"  # where virtual clocks begin


@dataclass
class Port:
    """What was delivered, `(target id, body, seconds since the start)`, and buried. `failures` come first."""

    delivered: list[tuple[str, str, float]] = field(default_factory=list)
    parcels: list[Parcel] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    attempts: list[float] = field(default_factory=list)
    lost: bool = False

    async def deliver(self, parcel: Parcel, body: str) -> None:
        now = asyncio.get_running_loop().time()
        self.attempts.append(now)
        if self.failures:
            raise self.failures.pop(0)
        self.parcels.append(parcel)
        self.delivered.append((parcel.target.target_id, body, now))

    async def bury(self, letter: DeadLetter) -> None:
        if self.lost:
            raise Undeliverable("no such queue", code="NO_RESOURCE", retry=False)
        self.letters.append(letter)

    def bodies(self) -> list[Any]:
        """Every delivered body, decoded."""
        return [json.loads(body) for _, body, _ in self.delivered]


@dataclass
class World:
    """Buses, running, with their API."""

    buses: Buses
    port: Port
    service: EventsService

    async def ask(self, action: str, body: Any = None, *, region: str = REGION, **headers: str) -> tuple[int, Any]:
        """Status and body of the answer."""
        raw = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        answer = await self.service.handle(request(action, raw, region=region, **headers))
        assert isinstance(answer.body, bytes)
        return answer.status, json.loads(answer.body)

    async def do(self, action: str, body: Any = None, *, region: str = REGION, **headers: str) -> Any:
        """The body of an answer that is no error."""
        status, told = await self.ask(action, body, region=region, **headers)
        assert status == 200, told
        return told

    async def refused(self, action: str, body: Any = None, *, region: str = REGION) -> tuple[str, str]:
        """Code and message of an answer that is an error."""
        status, told = await self.ask(action, body, region=region)
        assert status == 400, told
        return told["__type"], told["message"]

    async def add_rule(self, pattern: Any, *targets: dict[str, Any], name: str = "r", bus: str = "default") -> str:
        """A rule with targets (a queue, where none is named); its ARN."""
        rule = {"Name": name, "EventBusName": bus, "EventPattern": json.dumps(pattern)}
        arn = (await self.do("PutRule", rule))["RuleArn"]
        put = {"Rule": name, "EventBusName": bus, "Targets": list(targets or ({"Id": "t", "Arn": QUEUE},))}
        await self.do("PutTargets", put)
        return arn

    async def put(self, detail: Any = None, **members: Any) -> dict[str, Any]:
        """Put one event from `shop`; the entry of the answer."""
        entry = {"Source": "shop", "DetailType": "order", "Detail": json.dumps(detail or {}), **members}
        return (await self.do("PutEvents", {"Entries": [entry]}))["Entries"][0]

    async def settle(self, seconds: float = 0.5) -> None:
        """Let what is due happen."""
        await asyncio.sleep(seconds)


def request(action: str, body: bytes, *, region: str = REGION, **headers: str) -> WireRequest:
    """A request of EventBridge's."""
    return WireRequest(
        service="events",
        region=region,
        method="POST",
        path="/",
        query="",
        headers={
            "x-amz-target": f"AWSEvents.{action}",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
        body=body,
        access_key="AK",
        request_id="r",
    )


def with_world(
    test: Callable[[World], Awaitable[None]],
    *,
    limits: Limits | None = None,
    seed: int = 1,
    port: Port | None = None,
) -> None:
    """Run `test` in a new world on a virtual loop, with a port that remembers or another one."""
    port = port or Port()

    async def main() -> None:
        clock = LoopClock(asyncio.get_running_loop())
        buses = Buses(clock=clock, rng=random.Random(seed), port=port, limits=limits)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(buses.run())
            await test(World(buses, port, EventsService(buses)))
            running.cancel()

    run_virtual(main)
