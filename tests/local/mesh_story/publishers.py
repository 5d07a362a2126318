"""Both ways into the stream of the mesh's story, each with what goes wrong on it: lost answers, repeated requests."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from sluiceway.aws.kinesis import KinesisStream
from sluiceway.errors import ServiceUnavailable
from sluiceway.flows.publish.options import ProducerOptions
from sluiceway.flows.publish.producer import Producer
from sluiceway.flows.publish.shards import Outlet
from sluiceway.ports.producing import Entry, OpenShard, Placed, PutAnswer
from tests.local.conftest import call_api
from tests.local.mesh_story import orders as shop
from tests.local.mesh_story.world import PATIENCE_S, World

LOST: Final = 0.1  # of the producer's calls have their answer lost
IN_REQUEST: Final = 50  # records over HTTP


class ForgetfulStream:
    """The stream over a wire that loses some answers after the records were taken."""

    def __init__(self, stream: KinesisStream, draw: random.Random) -> None:
        self._stream = stream
        self._draw = draw
        self.untold: Counter[int] = Counter()  # orders that stand there once more, of which nobody was told

    async def put(self, entries: Sequence[Entry], *, deadline: float | None = None) -> list[PutAnswer]:
        answers = await self._stream.put(entries, deadline=deadline)
        if self._draw.random() >= LOST:
            return answers
        for entry, answer in zip(entries, answers, strict=True):
            self.untold[shop.read_order(entry.data)["order"]] += isinstance(answer, Placed)
        raise ServiceUnavailable("lost", service="kinesis", operation="PutRecords", code="ConnectionLost")

    async def open_shards(self, *, deadline: float | None = None) -> list[OpenShard]:
        return await self._stream.open_shards(deadline=deadline)


class Publishers:
    """Both ways into the stream."""

    def __init__(self, world: World, stream: ForgetfulStream) -> None:
        self._world = world
        self._outlet = Outlet(stream, name="orders")
        self._token = world.cloud.token()
        self.told: set[tuple[str, int]] = set()
        self.requests = 0

    async def put(self, orders: Sequence[dict[str, Any]]) -> None:
        """Put all of them, in their order for each customer."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._produce([order for order in orders if not shop.is_over_http(order)]))
            group.create_task(self._post([order for order in orders if shop.is_over_http(order)]))

    async def _produce(self, orders: Sequence[dict[str, Any]]) -> None:
        async with Producer(self._outlet, options=ProducerOptions(linger_s=0.02, give_up_s=PATIENCE_S)) as producer:
            receipts = [await producer.submit(shop.key_of(order), json.dumps(order).encode()) for order in orders]
            await producer.flush()
        self.told |= {(one.result().shard_id, int(one.result().sequence_number)) for one in receipts}

    async def _post(self, orders: Sequence[dict[str, Any]]) -> None:
        for start in range(0, len(orders), IN_REQUEST):
            self.requests += 1
            body = {"records": [{"key": shop.key_of(one), "data": one} for one in orders[start : start + IN_REQUEST]]}
            await self._repeat(body, f"orders-{self.requests}")

    async def _repeat(self, body: dict[str, Any], key: str) -> None:
        """Send a request until each record has its receipt, and once more: that puts nothing, and says the same."""
        before = b""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                reply = await asyncio.to_thread(
                    call_api,
                    self._world.cloud.api,
                    "POST",
                    "topics/records/records",
                    token=self._token,
                    body=body,
                    idempotency_key=key,
                )
                entries = reply.json().get("records", [])
                if reply.status != 200 or not all("seq" in entry for entry in entries):
                    assert reply.status in (200, 429, 503), reply
                    await asyncio.sleep(1)
                elif reply.body == before:
                    assert reply.headers["idempotent-replayed"] == "true"
                    self.told |= {(entry["shard"], int(entry["seq"])) for entry in entries}
                    return
                else:
                    assert not before, (reply, before)
                    before = reply.body
