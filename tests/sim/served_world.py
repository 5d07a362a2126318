"""The simulation's world on the local cloud's own DynamoDB: global tables in both modes, and the shipped store.

Requests go to the service in process, as `sluiceway.aws.idempotency` makes them and through the links that the weather
cuts; conditions, conflicts, replication and the last writer are the service's. Errors are read by the wire client's own
functions. What the tables hold is read from them once everything is quiet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextvars import Context
from random import Random
from typing import Any

from localcloud.clock import LoopClock
from localcloud.services.dynamodb.wire import DynamoService
from localcloud.simulation.network import Network, Process
from localcloud.simulation.setting import EAST, REGIONS, WEST, WITNESS, Setting
from localcloud.simulation.tables import Shelf, unavailable
from localcloud.simulation.world import World
from sluiceway.aws.endpoints import ServiceSpec
from sluiceway.aws.idempotency import DynamoDbIdempotencyStore
from sluiceway.aws.reply import Reply, read_fault
from sluiceway.aws.retry import classify
from sluiceway.errors import DeadlineExceeded, SluicewayError
from sluiceway.ports import IdempotencyStore
from tests.unit.dynamodb_streams_setup import create_request, wire_request

TABLE = "things"
STREAM = {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}}


class ServedWorld(World):
    """A run on a global table of the local cloud."""

    def __init__(self, seed: int, setting: Setting) -> None:
        super().__init__(seed, setting)
        self.codes: set[str] = set()
        clock = LoopClock(asyncio.get_running_loop())
        self.service = DynamoService(clock, randomness=Random(seed), links=self.links)
        self.shelves = {region: Shelf() for region in REGIONS}

    async def prepare(self, copies: asyncio.TaskGroup) -> None:
        self.copies = copies
        is_strong = self.setting.mode == "strong"
        others = [WEST, WITNESS] if is_strong else [WEST]
        await self.administer("CreateTable", **create_request(TABLE), **STREAM)
        updates = [{"Create": {"RegionName": region}} for region in others]
        more = {"MultiRegionConsistency": "STRONG"} if is_strong else {}
        await self.administer("UpdateTable", TableName=TABLE, ReplicaUpdates=updates, **more)

    async def administer(self, operation: str, *, region: str = EAST, **request: Any) -> Reply:
        reply = await self.send(region, operation, request)
        assert reply.status == 200, reply.body
        return reply

    async def send(self, region: str, operation: str, request: Mapping[str, Any]) -> Reply:
        answer = await self.service.handle(wire_request(operation, dict(request), region))
        assert isinstance(answer.body, bytes)
        return Reply(answer.status, answer.headers, answer.body)

    def open_store(self, process: Process, region: str) -> IdempotencyStore:
        return DynamoDbIdempotencyStore(ServedCaller(self, process, region), TABLE)

    def shelf(self, region: str) -> Shelf:
        return self.shelves[region]

    async def look(self) -> None:
        """The tables as they are, on the shelves and, of one Region, in the history."""
        for region in REGIONS:
            store = DynamoDbIdempotencyStore(ServedCaller(self, _Calm(region), region), TABLE)
            for item in (await self.administer("Scan", region=region, TableName=TABLE)).json()["Items"]:
                record = await store.get(item["id"]["S"])
                assert record is not None
                self.shelves[region].copy(record.key, record)
                kind = "end" if record.is_complete else "claim"
                key, value = self.names[record.key.partition("@")[0]], str(record.data).strip('"')
                self.note(kind, record.owner.region or region, key, value=value, epoch=record.owner.epoch)


class _Calm:
    slowness = 0.0

    def __init__(self, region: str) -> None:
        self.region = region

    def pass_point(self) -> None:
        pass


class ServedCaller:
    """A `Caller` whose requests meet the run's network, and then the service."""

    def __init__(self, world: ServedWorld, process: Process, target: str) -> None:
        self.world, self.process, self.target = world, process, target

    async def call(
        self,
        service: ServiceSpec,
        operation: str,
        body: Mapping[str, object] | bytes = b"",
        *,
        deadline: float | None = None,
        **_: object,
    ) -> Reply:
        assert isinstance(body, Mapping)
        network: Network = self.world.network
        try:
            async with asyncio.timeout_at(deadline):
                # What becomes of the request on its way; it is sent below, since the service may wait on its own links.
                is_sent, is_answered = [False], True
                try:
                    await network.request(self.process, self.target, lambda: self._note_sent(is_sent, operation, body))
                except SluicewayError:
                    is_answered = False
                reply = await self.world.send(self.target, operation, body) if is_sent[0] else None
        except TimeoutError as error:
            raise DeadlineExceeded("no answer in time") from error
        self.process.pass_point()
        if reply is None or not is_answered:
            raise unavailable("ConnectionClosed")
        if reply.status == 200:
            return reply
        fault = read_fault(reply)
        self.world.codes.add(fault.code)
        if classify(fault.status, fault.code) is None:
            raise fault.refusal(service.endpoint_prefix, operation)
        raise fault.outage(service.endpoint_prefix, operation, after_s=None)

    def _note_sent(self, is_sent: list[bool], operation: str, body: Mapping[str, object]) -> None:
        """Called once where the request gets through; once more, long after, for a late copy."""
        if not is_sent[0]:
            is_sent[0] = True
            return
        self.world.copies.create_task(self._send_again(operation, body), context=Context())

    async def _send_again(self, operation: str, body: Mapping[str, object]) -> None:
        await self.world.send(self.target, operation, body)
