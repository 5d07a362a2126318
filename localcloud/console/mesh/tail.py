"""The newest records of a stream, as they arrive, to whoever looks.

A stream is read while somebody looks at it, and some seconds longer, by a registered consumer of the console's own:
what is pushed to a consumer takes nothing of a shard's five calls and two megabytes a second, which all other readers
share. It begins half a minute back, so that what was just published is there. The newest records are kept; a slow page
misses some and is told so, as with all of the console's events.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final

from localcloud.clock import Clock
from localcloud.console.events import Reader, encode_event
from localcloud.console.mesh.cloud import Cloud, Json
from localcloud.console.mesh.rates import Rate, Rates
from localcloud.console.mesh.records import describe_record, is_wanted
from localcloud.console.mesh.streams import CONSUMER
from sluiceway.aws.kinesis import KINESIS
from sluiceway.aws.streams import KinesisReader, StreamConsumer
from sluiceway.errors import Retryable, ServiceError, SluicewayError
from sluiceway.events.kinesis import KinesisRecord
from sluiceway.flows.consume.opening import Opened, ShardOpening
from sluiceway.flows.consume.options import Manner
from sluiceway.flows.consume.reading import ShardReading
from sluiceway.ports import SystemChance, SystemClock
from sluiceway.ports.consuming import ShardGone
from sluiceway.rules.consuming.spans import NOTHING_DONE, Position, Span
from sluiceway.rules.patterns import Pattern

__all__ = ["KEPT", "LOOK_BACK_MS", "Tail", "Tails"]

KEPT: Final = 200  # records
MAX_TAILS: Final = 8  # streams that are read at a time
LOOK_BACK_MS: Final = 30_000
AGAIN_S: Final = 3.0  # after trouble
LINGER_S: Final = 5.0  # a page that is loaded anew finds its tail again
SHARDS_S: Final = 2.0  # how often new shards are looked for
WAIT_S: Final = 0.2
MAX_WAITS: Final = 150  # until a consumer is active
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Kept:
    record: KinesisRecord
    shown: Json


class Tail:
    """One stream. Told of its records by whoever reads it; knows no AWS."""

    def __init__(self, clock: Clock) -> None:
        self.state: Json = {"state": "starting", "error": None}
        self.readers: dict[Reader, Pattern | None] = {}
        self.looked = asyncio.Event()  # a reader came or went
        self._clock = clock
        self._kept: deque[_Kept] = deque(maxlen=KEPT)
        self._rates = Rates()
        self._last: dict[str, tuple[int, int]] = {}

    def take(self, record: KinesisRecord) -> None:
        """One more record; one that was taken before, where a shard is read again, is left out."""
        place = (int(record.sequence_number), -1 if record.sub_sequence is None else record.sub_sequence)
        if place <= self._last.get(record.shard_id, (-1, -1)):
            return
        self._last[record.shard_id] = place
        self._rates.note(record.shard_id, len(record.data) + len(record.partition_key), record.arrived_ms)
        kept = _Kept(record, describe_record(record))
        self._kept.append(kept)
        event = b""
        for reader, pattern in self.readers.items():
            if is_wanted(pattern, record):
                event = event or encode_event("record", kept.shown)
                reader.put(event)

    def say(self, state: str, error: str | None = None) -> None:
        """How the reading goes: starting, live or failed."""
        self.state = {"state": state, "error": error}
        for reader in self.readers:
            reader.put(encode_event("state", self.state))

    def newest(self, pattern: Pattern | None) -> list[Json]:
        """The records that are kept, the oldest first."""
        return [kept.shown for kept in self._kept if is_wanted(pattern, kept.record)]

    def rates(self) -> dict[str, Rate] | None:
        """By shard; None while nothing is read."""
        return self._rates.read(round(self._clock.time() * 1000)) if self.state["state"] == "live" else None

    @contextmanager
    def read(self, pattern: Pattern | None) -> Generator[Reader]:
        """What is kept, and what comes, for the length of the block."""
        reader = Reader()
        reader.put(encode_event("state", self.state))
        for shown in self.newest(pattern):
            reader.put(encode_event("record", shown))
        self.readers[reader] = pattern
        self.looked.set()
        try:
            yield reader
        finally:
            del self.readers[reader]
            self.looked.set()


class Tails:
    """The tails of all streams that somebody looks at."""

    def __init__(self, cloud: Cloud, group: asyncio.TaskGroup, clock: Clock) -> None:
        self._cloud = cloud
        self._group = group
        self._clock = clock
        self._tails: dict[str, Tail] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def find(self, stream: str) -> Tail | None:
        """The tail of a stream's name, where it is read now."""
        return self._tails.get(stream)

    def open(self, stream: str, arn: str) -> Tail | None:
        """The tail, read from now on as long as it has readers; None where too many streams are read already."""
        found = self._tails.get(stream)
        if found is not None:
            return found
        if len(self._tails) >= MAX_TAILS:
            return None
        tail = self._tails[stream] = Tail(self._clock)
        task = self._group.create_task(self._run(stream, arn, tail))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return tail

    def close(self) -> None:
        """End the reading, and let every reader go."""
        for tail in self._tails.values():
            for reader in tail.readers:
                reader.end()
        for task in self._tasks:
            task.cancel()

    async def _run(self, stream: str, arn: str, tail: Tail) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(self._read(arn, tail))
                await _until_nobody_looks(tail)
                reading.cancel()
        finally:
            del self._tails[stream]

    async def _read(self, arn: str, tail: Tail) -> None:
        while True:
            await self._read_once(arn, tail)
            await asyncio.sleep(AGAIN_S)

    async def _read_once(self, arn: str, tail: Tail) -> None:
        try:
            async with _consuming(self._cloud, arn) as reader:
                tail.say("live")
                await _read_shards(reader, tail, round(self._clock.time() * 1000) - LOOK_BACK_MS)
        except SluicewayError as error:
            tail.say("failed", str(error))
        except ExceptionGroup as errors:
            first = errors.exceptions[0]
            if not isinstance(first, SluicewayError):
                _LOG.exception("console.tail_failed")
            tail.say("failed", str(first) if isinstance(first, SluicewayError) else "The local cloud's log says why.")


async def _until_nobody_looks(tail: Tail) -> None:
    while True:
        tail.looked.clear()
        try:
            async with asyncio.timeout(None if tail.readers else LINGER_S):
                await tail.looked.wait()
        except TimeoutError:
            return


@asynccontextmanager
async def _consuming(cloud: Cloud, arn: str) -> AsyncGenerator[KinesisReader]:
    """The stream, pushed to the console's consumer. One that an earlier console has left is taken over."""
    reader = KinesisReader(cloud.wire, arn)
    consumer = await _register(reader)
    try:
        for _ in range(MAX_WAITS):
            if consumer.status == "ACTIVE":
                break
            await asyncio.sleep(WAIT_S)
            consumer = await reader.describe_consumer(CONSUMER)
        yield reader.with_consumer(consumer.arn)
    finally:
        try:
            await cloud.ask(KINESIS, "DeregisterStreamConsumer", {"ConsumerARN": consumer.arn})
        except SluicewayError:
            _LOG.debug("console.consumer_left")


async def _register(reader: KinesisReader) -> StreamConsumer:
    """The consumer, once an earlier one that is on its way out has gone. Raises SluicewayError."""
    for _ in range(MAX_WAITS):
        try:
            return await reader.register_consumer(CONSUMER)
        except ServiceError as error:
            if error.code != "ResourceInUseException":
                raise
        try:
            consumer = await reader.describe_consumer(CONSUMER)
        except ServiceError as error:
            if error.code != "ResourceNotFoundException":
                raise
            continue
        if consumer.status != "DELETING":
            return consumer
        await asyncio.sleep(WAIT_S)
    raise Retryable(f"the consumer {CONSUMER} does not go away")


async def _read_shards(reader: KinesisReader, tail: Tail, since_ms: int) -> None:
    """Every shard that is there, and those that come: a child is read from its beginning."""
    begun: set[str] = set()
    span = Span("AT_TIMESTAMP", at_ms=since_ms)
    async with asyncio.TaskGroup() as group:
        while True:
            for shard_id in await _list_shards(reader, span):
                if shard_id not in begun:
                    begun.add(shard_id)
                    group.create_task(_read_shard(reader, shard_id, span=span, tail=tail))
            await asyncio.sleep(SHARDS_S)


async def _list_shards(reader: KinesisReader, span: Span) -> list[str]:
    """Those that are to be read; none for the moment where the service is busy."""
    try:
        return [shard.shard_id for shard in await reader.list_shards(span)]
    except Retryable:
        return []


async def _read_shard(reader: KinesisReader, shard_id: str, *, span: Span, tail: Tail) -> None:
    reading = ShardReading(
        reader,
        shard_id,
        Position("AT_TIMESTAMP", at_ms=span.at_ms),
        manner=Manner(),
        clock=SystemClock(),
        chance=SystemChance(),
    )
    opening = ShardOpening(shard_id, reader.arn, span=span, done=NOTHING_DONE)
    try:
        async with aclosing(reading.turns()) as turns:
            async for turn in turns:
                for record in _records_of(opening.open(turn.page)):
                    tail.take(record)
    except ShardGone:
        return


def _records_of(opened: Iterable[Opened]) -> Iterable[KinesisRecord]:
    return (each.record for each in opened if each.record is not None)
