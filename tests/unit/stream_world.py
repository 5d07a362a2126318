"""A stream in memory, and a mapping over it on virtual time: what tests of stream mappings share.

The stream has shards with their lineage, records in order, splits and merges, trimming and deletion; read by polling or
pushed. It answers as a Kinesis stream does, in the words of `StreamSource`, and counts how it is read.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, cast

from localcloud.clock import LoopClock
from localcloud.compute.event_source_stream import Checkpoints, MappingFacts, StreamMapping
from localcloud.compute.functions import InvokeResult
from localcloud.compute.stream_config import StreamMappingConfig
from localcloud.compute.stream_source import (
    Page,
    ReadThrottled,
    Shard,
    Start,
    StartKind,
    StreamGone,
    StreamRecord,
)

__all__ = [
    "FACTS",
    "FAILED",
    "HORIZON",
    "OK",
    "MemoryDestination",
    "MemoryMetrics",
    "MemoryStream",
    "World",
    "named",
    "world",
]

OK = InvokeResult(200, b"null", request_id="req-ok")
FAILED = InvokeResult(200, b"{}", "Unhandled", request_id="req-failed")
FACTS = MappingFacts(
    mapping_id="9d1d2b7e-0000-4000-a000-000000000001",
    function_arn="arn:aws:lambda:eu-west-1:123456789012:function:handle",
    function_name="handle",
)
HORIZON = Start(StartKind.TRIM_HORIZON)
Event = dict[str, Any]
Handler = Callable[[Event], Awaitable[InvokeResult]]


@dataclass
class Part:
    """One shard: `records` that were not trimmed, and how many were."""

    shard: Shard
    records: list[StreamRecord] = field(default_factory=list)
    trimmed: int = 0
    closed: bool = False
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def end(self) -> int:
        return self.trimmed + len(self.records)


class MemoryStream:
    """A StreamSource. Cursors are (shard id, how many records lie before)."""

    def __init__(self, clock: LoopClock, *, shards: int = 1, pushes: bool = False, kind: str = "kinesis") -> None:
        self.arn = f"arn:aws:{kind}:eu-west-1:123456789012:stream/s"
        self.kind = kind
        self.pushes = pushes
        self.poll_s = 0.25 if kind == "dynamodb" else 1.0
        self.retention_s = math.inf
        self.reads: list[tuple[float, str, int]] = []
        self.page_limit = 10_000
        self.throttles: list[float] = []
        self.says_more = False
        self.breaks: dict[str, int] = {}
        self.clock = clock
        self._parts: dict[str, Part] = {}
        self._gone = False
        self._count = 0
        self._sequence = 1000
        for _ in range(shards):
            self.add_shard()

    # ------------------------------------------------------------------ what producers and operators do

    def add_shard(self, *parents: str) -> str:
        shard_id = f"shardId-{self._count:012d}"
        self._count += 1
        self._parts[shard_id] = Part(Shard(shard_id, parents))
        return shard_id

    def put(
        self,
        data: object,
        *,
        key: str = "k",
        shard: str = "shardId-000000000000",
        copies: int = 1,
        arrived_s: float | None = None,
    ) -> str:
        """One record, which becomes `copies` entries of `Records` (an aggregate)."""
        self._sequence += 1
        sequence = str(self._sequence)
        part = self._parts[shard]
        assert not part.closed, "a closed shard takes no records"
        at = self.clock.time() if arrived_s is None else arrived_s
        kinesis = {"sequenceNumber": sequence, "partitionKey": key, "data": data}
        event = {"eventID": f"{shard}:{sequence}", "eventSource": "aws:kinesis", "kinesis": kinesis}
        part.records.append(StreamRecord(sequence, key, at, (event,) * copies))
        part.arrived.set()
        return sequence

    def close(self, shard: str) -> None:
        self._parts[shard].closed = True
        self._parts[shard].arrived.set()

    def split(self, shard: str) -> tuple[str, str]:
        children = self.add_shard(shard), self.add_shard(shard)
        self.close(shard)
        return children

    def merge(self, one: str, other: str) -> str:
        child = self.add_shard(one, other)
        self.close(one)
        self.close(other)
        return child

    def trim(self, shard: str, count: int) -> None:
        part = self._parts[shard]
        del part.records[:count]
        part.trimmed += count

    def drop_shard(self, shard: str) -> None:
        """A closed shard whose records are all trimmed is gone."""
        del self._parts[shard]

    def delete(self) -> None:
        self._gone = True
        for part in self._parts.values():
            part.arrived.set()

    def recreate(self) -> None:
        """Another stream of the same name: its shards have the same ids, its records other numbers."""
        self._gone = False
        self._parts.clear()
        self._count = 0
        self.add_shard()

    def open_shards(self) -> list[str]:
        return [shard_id for shard_id, part in self._parts.items() if not part.closed]

    # ------------------------------------------------------------------ StreamSource

    def shards(self) -> Sequence[Shard]:
        if self._gone:
            raise StreamGone
        return [part.shard for part in self._parts.values()]

    def cursor(self, shard_id: str, start: Start) -> object:
        if self._gone:
            raise StreamGone
        part = self._parts[shard_id]
        kind = start.kind
        if kind is StartKind.TRIM_HORIZON:
            return shard_id, part.trimmed
        if kind is StartKind.LATEST:
            return shard_id, part.end
        if kind is StartKind.AT_TIMESTAMP:
            before = sum(record.arrived_s < start.timestamp_s for record in part.records)
        elif kind is StartKind.AT_SEQUENCE_NUMBER:
            before = sum(int(record.sequence) < int(start.sequence) for record in part.records)
        else:
            before = sum(int(record.sequence) <= int(start.sequence) for record in part.records)
        return shard_id, part.trimmed + before

    async def read(self, cursor: object, limit: int, *, wait_s: float = 0.0) -> Page:
        shard_id, place = cast("tuple[str, int]", cursor)
        loop = asyncio.get_running_loop()
        self.reads.append((round(loop.time(), 3), shard_id, place))
        if self.throttles:
            raise ReadThrottled(self.throttles.pop(0))
        if self.breaks.get(shard_id, 0):
            self.breaks[shard_id] -= 1
            raise RuntimeError("the source has a bug")
        part = self._parts.get(shard_id)
        until = loop.time() + wait_s
        while part is not None and not self._gone and place >= part.end and not part.closed and loop.time() < until:
            part.arrived.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await part.arrived.wait()
        if self._gone or part is None:
            raise StreamGone
        begin = max(place, part.trimmed)
        found = tuple(part.records[begin - part.trimmed :][: min(limit, self.page_limit)])
        end = begin + len(found)
        more = end < part.end if self.says_more else None
        return Page(found, None if part.closed and end >= part.end else (shard_id, end), more)


class MemoryDestination:
    """A FailureDestination; refuses as many documents as `refusals` says."""

    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = []
        self.payloads: list[dict[str, Any]] = []
        self.refusals = 0
        self.calls = 0

    async def send(self, document: Mapping[str, Any], payload: bytes) -> None:
        self.calls += 1
        await asyncio.sleep(0)
        if self.refusals:
            self.refusals -= 1
            raise ConnectionError("no such queue")
        self.documents.append(dict(document))
        self.payloads.append(json.loads(payload))

    def conditions(self) -> list[str]:
        return [document["requestContext"]["condition"] for document in self.documents]

    def ranges(self) -> list[tuple[str, str]]:
        infos = [each.get("KinesisBatchInfo") or each["DDBStreamBatchInfo"] for each in self.documents]
        return [(info["startSequenceNumber"], info["endSequenceNumber"]) for info in infos]


class MemoryMetrics:
    """A MetricSink."""

    def __init__(self) -> None:
        self.points: list[tuple[str, str, float, dict[str, str], str]] = []

    def put(self, namespace: str, name: str, value: float, *, dimensions: Mapping[str, str], unit: str) -> None:
        self.points.append((namespace, name, value, dict(dimensions), unit))


@dataclass
class World:
    """A stream, its mapping, and what the function saw: (loop time, event) for each invocation."""

    stream: MemoryStream
    mapping: StreamMapping
    checkpoints: Checkpoints
    destination: MemoryDestination
    metrics: MemoryMetrics
    seen: list[tuple[float, Event]]
    _make: Callable[..., StreamMapping]
    _task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self.mapping.run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def change(self, **settings: Any) -> None:
        """Another mapping with these settings, over the same checkpoints."""
        await self.stop()
        self.mapping = self._make(**settings)
        self.start()

    @property
    def ended(self) -> bool:
        return self._task is not None and self._task.done()

    @property
    def batches(self) -> list[list[Any]]:
        """What each invocation had, as the records' data."""
        return [named(event) for _, event in self.seen]

    @property
    def times(self) -> list[float]:
        return [round(at, 3) for at, _ in self.seen]


def named(event: Event) -> list[Any]:
    """The data of an event's records."""
    return [record["kinesis"]["data"] for record in event["Records"]]


@asynccontextmanager
async def world(
    handler: Handler,
    *,
    stream: MemoryStream | None = None,
    criteria: Any = None,
    has_destination: bool = True,
    start: Start = HORIZON,
    **config: Any,
) -> AsyncGenerator[World]:
    """A running mapping; it is stopped at the end, and must leave no task behind."""
    loop = asyncio.get_running_loop()
    source = stream or MemoryStream(LoopClock(loop))
    seen: list[tuple[float, Event]] = []
    destination, metrics, checkpoints = MemoryDestination(), MemoryMetrics(), Checkpoints()

    async def invoke(payload: bytes) -> InvokeResult:
        event = json.loads(payload)
        seen.append((loop.time(), event))
        return await handler(event)

    def make(**settings: Any) -> StreamMapping:
        return StreamMapping(
            source,
            invoke,
            StreamMappingConfig(start=start, **settings),
            facts=FACTS,
            criteria=criteria,
            destination=destination if has_destination else None,
            metrics=metrics,
            checkpoints=checkpoints,
            clock=source.clock,
            rng=random.Random(7),
        )

    there = World(source, make(**config), checkpoints, destination, metrics, seen, make)
    before = asyncio.all_tasks()
    there.start()
    try:
        yield there
    finally:
        await there.stop()
        assert asyncio.all_tasks() == before
