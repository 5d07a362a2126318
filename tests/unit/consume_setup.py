"""Consumers on a virtual clock: the local cloud's Kinesis behind a Caller, and what goes wrong on the way to it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from localcloud.services.contract import WireResponse
from sluiceway.aws.endpoints import ServiceSpec
from sluiceway.aws.reply import Reply, read_fault
from sluiceway.aws.retry import classify
from sluiceway.aws.streams import KinesisReader
from sluiceway.codec import kpl
from sluiceway.flows.consume import ConsumeDesk, Manner
from sluiceway.ports.consuming import LeaseStore
from sluiceway.rules.consuming.leases import Lease
from sluiceway.rules.consuming.spans import Span
from tests.fakes import LoopClockMs, MemoryDeadLetters
from tests.unit.kinesis_setup import REGION, Api, b64

EVERYWHERE = {"shardId-000000000000": kpl.HashRange(0, 2**128 - 1)}
BRISK = Manner(share=1.0, idle_s=0.3)


class Draws:
    """Chance that a test has chosen: the given numbers again and again."""

    def __init__(self, *numbers: float) -> None:
        self._numbers = numbers or (0.5,)
        self._at = -1

    def draw(self) -> float:
        self._at += 1
        return self._numbers[self._at % len(self._numbers)]


class Events:
    """The body of a pushed answer, as `sluiceway.aws.stream.Stream` is one."""

    def __init__(self, body: Any) -> None:
        self._body = body
        self.headers: Mapping[str, str] = {}

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._body


class KinesisCaller:
    """A StreamingCaller of an `Api`. `before` is awaited before every call: it may wait, or raise."""

    def __init__(self, api: Api, before: Callable[[str], Awaitable[None]] | None = None) -> None:
        self.api = api
        self.calls: Counter[str] = Counter()
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._before = before

    async def call(
        self,
        service: ServiceSpec,
        operation: str,
        body: Mapping[str, object] | bytes = b"",
        **_more: object,
    ) -> Reply:
        answer = await self._send(operation, body)
        assert isinstance(answer.body, bytes)
        return Reply(answer.status, answer.headers, answer.body)

    @asynccontextmanager
    async def stream(
        self, service: ServiceSpec, operation: str, body: Mapping[str, object], **_more: object
    ) -> AsyncGenerator[Any]:
        answer = await self._send(operation, body)
        try:
            yield Events(answer.body)
        finally:
            await answer.body.aclose()

    async def _send(self, operation: str, body: Any) -> WireResponse:
        if self._before is not None:
            await self._before(operation)
        self.calls[operation] += 1
        self.asked.append((operation, dict(body)))
        answer = await self.api.service.handle(self.api.request(operation, json.dumps(body).encode()))
        if answer.status >= 300:
            assert isinstance(answer.body, bytes)
            fault = read_fault(Reply(answer.status, answer.headers, answer.body))
            if classify(fault.status, fault.code) is not None:
                raise fault.outage("kinesis", operation, after_s=None)
            raise fault.refusal("kinesis", operation)
        return answer


class FencedStore:
    """A LeaseStore that sees every write that is done, and notes those that no fence may let through."""

    def __init__(self, inner: LeaseStore, broken: list[str]) -> None:
        self.inner = inner
        self.broken = broken

    async def begin(self, span: Span) -> Span:
        return await self.inner.begin(span)

    async def list(self) -> tuple[Lease, ...]:
        return await self.inner.list()

    async def create(self, lease: Lease) -> bool:
        return await self.inner.create(lease)

    async def write(self, lease: Lease, *, seen: Lease) -> Lease | None:
        (before,) = [each for each in await self.inner.list() if each.shard_id == lease.shard_id]
        stored = await self.inner.write(lease, seen=seen)
        if stored is lease and before is not lease:  # a second copy of a write is none
            if lease.counter != before.counter + 1:
                self.broken.append(f"a write over a state that was not seen: {before} -> {lease}")
            if _order(lease) < _order(before):
                self.broken.append(f"a checkpoint went back: {before} -> {lease}")
        return stored

    async def delete(self, lease: Lease) -> None:
        await self.inner.delete(lease)


def _order(lease: Lease) -> tuple[int, float]:
    if lease.is_done:
        return 1 << 300, 0
    number, sub = lease.checkpoint
    return int(number or 0), float("inf") if sub is None else sub


def make_reader(api: Api, caller: KinesisCaller | None = None, *, consumer_arn: str = "") -> KinesisReader:
    return KinesisReader(caller or KinesisCaller(api), api.streams.arn_of("s", REGION), consumer_arn=consumer_arn)  # type: ignore[arg-type]


def make_desk(letters: MemoryDeadLetters | None = None, chance: Any = None) -> ConsumeDesk:
    return ConsumeDesk(letters or MemoryDeadLetters(), LoopClockMs(), chance or Draws())


def aggregate(*records: tuple[str, bytes]) -> bytes:
    """What the Kinesis Producer Library would put for these (key, data)."""
    aggregator = kpl.Aggregator(EVERYWHERE)
    for key, data in records:
        assert aggregator.add(key, data) is None
    return aggregator.flush()[0].data


async def put_all(api: Api, *records: tuple[str, bytes]) -> list[str]:
    """Records of (key, data), one after the other; their sequence numbers."""
    told = await api.call(
        "PutRecords", StreamName="s", Records=[{"Data": b64(data), "PartitionKey": key} for key, data in records]
    )
    assert told["FailedRecordCount"] == 0
    return [each["SequenceNumber"] for each in told["Records"]]


async def until(true: Callable[[], bool], within_s: float = 600.0) -> None:
    """Until this is so; looked at every 50 ms of virtual time."""
    async with asyncio.timeout(within_s):
        while not true():  # noqa: ASYNC110 - on a virtual clock
            await asyncio.sleep(0.05)
