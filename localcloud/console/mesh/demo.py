"""Orders and sensor readings for a stream that has none: drawn from a seed, at a rate, for a while.

The readings have what the template's rollup sums up, the orders what docs/filtering.md filters by.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple, cast

from localcloud.clock import Clock
from localcloud.console.mesh.cloud import Cloud, Json
from localcloud.console.refusals import ApiError
from sluiceway.aws.kinesis import KINESIS
from sluiceway.errors import SluicewayError

__all__ = ["Demo", "DemoOrder", "draw_records", "read_demo"]

MAX_RATE: Final = 100  # records a second
MAX_SECONDS: Final = 60
TICK_S: Final = 0.25
_REGIONS: Final = ("north", "south", "harbour")
_STATUSES: Final = ("new", "new", "paid", "sent", "returned")


@dataclass(frozen=True, slots=True)
class DemoOrder:
    """What is asked for: a topic, records a second, seconds, a seed."""

    topic: str
    rate: int = 5
    seconds: int = 60
    seed: int = 1


class Drawn(NamedTuple):
    """One record: its key, its data."""

    key: str
    data: Json


def read_demo(body: Json) -> DemoOrder:
    """`{"topic", "rate"?, "seconds"?, "seed"?}`. Raises ApiError."""
    if body.keys() - {"topic", "rate", "seconds", "seed"} or not isinstance(body.get("topic"), str):
        raise ApiError('The body is an object with "topic", and perhaps "rate", "seconds" and "seed".')
    order = DemoOrder(**body)
    for name, value, most in (("rate", order.rate, MAX_RATE), ("seconds", order.seconds, MAX_SECONDS)):
        if type(value) is not int or not 1 <= value <= most:
            raise ApiError(f"{name} is a number from 1 to {most}.")
    if type(order.seed) is not int or not 0 <= order.seed < 1 << 32:
        raise ApiError("seed is a number from 0 to 4294967295.")
    return order


def draw_records(seed: int, clock: Clock) -> Iterator[Drawn]:
    """Orders and readings in turn, the same ones for the same seed; readings have the time at which they are drawn."""
    rng = random.Random(seed)  # noqa: S311 - demo data
    number = 0
    while True:
        number += 1
        customer = f"customer-{rng.randint(1, 12):02}"
        yield Drawn(
            customer,
            {
                "order": number,
                "customer": {"name": customer, "email": f"{customer}@example.com"},
                "region": rng.choice(_REGIONS),
                "total": round(rng.lognormvariate(4, 0.8), 2),
                "status": rng.choice(_STATUSES),
            },
        )
        device = f"sensor_{rng.randint(1, 4):03}"
        now = datetime.fromtimestamp(clock.time(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        yield Drawn(
            device,
            {
                "device_id": device,
                "timestamp": now,
                "temperature": round(rng.gauss(18, 3), 1),
                "humidity": round(rng.uniform(35, 75), 1),
                "pressure": round(rng.gauss(1013, 6), 1),
                "battery": rng.randint(20, 100),
            },
        )


class Demo:
    """At most one at a time."""

    def __init__(self, cloud: Cloud, group: asyncio.TaskGroup, clock: Clock) -> None:
        self._cloud = cloud
        self._group = group
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self.state: Json | None = None

    def begin(self, order: DemoOrder, stream: str) -> Json:
        """Begin to publish into `stream`. Raises ApiError where that is under way."""
        if self._task is not None:
            raise ApiError("Demo records are being sent already.", status=409)
        self.state = {"topic": order.topic, "stream": stream, "sent": 0, "total": order.rate * order.seconds}
        self.state |= {"running": True, "error": None}
        self._task = self._group.create_task(self._run(order, stream, self.state))
        return self.state

    def stop(self) -> None:
        """End it, where it runs."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self, order: DemoOrder, stream: str, state: Json) -> None:
        try:
            await self._send(order, stream, state)
        except SluicewayError as error:
            state["error"] = str(error)
        finally:
            state["running"] = False
            self._task = None

    async def _send(self, order: DemoOrder, stream: str, state: Json) -> None:
        drawn = draw_records(order.seed, self._clock)
        loop = asyncio.get_running_loop()
        began = loop.time()
        begun = 0
        while begun < state["total"]:
            due = min(state["total"], int((loop.time() - began) * order.rate) + 1)
            if due > begun:
                state["sent"] += await self._put(stream, [next(drawn) for _ in range(due - begun)])
                begun = due
            await asyncio.sleep(max(TICK_S, began + begun / order.rate - loop.time()))

    async def _put(self, stream: str, records: list[Drawn]) -> int:
        """How many were taken: what a shard declines is not sent again, as it is only a demo."""
        entries = [{"PartitionKey": each.key, "Data": _encode(each.data)} for each in records]
        told = await self._cloud.ask(KINESIS, "PutRecords", {"StreamName": stream, "Records": entries})
        return len(entries) - cast("int", told.get("FailedRecordCount") or 0)


def _encode(data: Json) -> str:
    return base64.b64encode(json.dumps(data, separators=(",", ":")).encode()).decode()
