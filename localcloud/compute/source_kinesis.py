"""A Kinesis stream, or an enhanced fan-out consumer of one, as the source of an event source mapping.

A stream is polled and shares the read limits of its shards with everybody; a consumer's shards are held through
subscriptions, as SubscribeToShard does, so that another caller's subscription takes over, and this one takes back.
Owns how a record looks in Lambda's event. Knows no batching.
Source: https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from localcloud.compute.stream_source import POLL_S, Page, ReadThrottled, Start, StartKind, StreamGone, StreamRecord
from localcloud.compute.stream_source import Shard as SourceShard
from localcloud.services.kinesis.consumers import Consumer, Subscription
from localcloud.services.kinesis.errors import KinesisError, Throttled
from localcloud.services.kinesis.model import Streams
from localcloud.services.kinesis.shard import Reading, Record, Shard
from localcloud.services.kinesis.stream import HOUR_S, MIN_RETENTION_H, Stream

__all__ = ["KinesisSource", "OpenAggregate"]

OpenAggregate: TypeAlias = Callable[[bytes], Sequence[tuple[str, bytes]] | None]
"""The user records (partition key, data) of an aggregate; None where the bytes are no aggregate."""

TURN_RECORDS: Final = 25  # of an answer, before other tasks have their turn
SCHEMA_VERSION: Final = "1.0"
EVENT_VERSION: Final = "1.0"


@dataclass(frozen=True, slots=True)
class _Place:
    """A cursor: where in which shard. `position` None: the shard is gone, and so are its records."""

    shard_id: str
    position: int | None


class KinesisSource:
    """`arn` is a stream's or a consumer's; `role_arn` the one that the mapping's function reads with.

    `opens_aggregates`: an aggregate of the producer library becomes one entry each user record, by `open_aggregate`.
    """

    kind: str = "kinesis"
    poll_s: float = POLL_S

    def __init__(
        self,
        streams: Streams,
        arn: str,
        *,
        role_arn: str,
        opens_aggregates: bool = False,
        open_aggregate: OpenAggregate | None = None,
    ) -> None:
        if opens_aggregates and open_aggregate is None:
            raise ValueError("opens_aggregates needs open_aggregate")
        self.arn = arn
        self.pushes = "/consumer/" in arn
        self._streams = streams
        self._open = open_aggregate if opens_aggregates else None
        self._held: dict[str, Subscription] = {}
        self._retention_s = MIN_RETENTION_H * HOUR_S
        self._fixed = {
            "eventSource": "aws:kinesis",
            "eventVersion": EVENT_VERSION,
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": role_arn,
            "awsRegion": arn.split(":")[3],
            "eventSourceARN": arn,
        }

    @property
    def retention_s(self) -> float:
        """Seconds that the stream keeps a record, as last known."""
        stream = self._streams.find(self.arn.partition("/consumer/")[0])
        if stream is not None:
            self._retention_s = stream.definition.retention_h * HOUR_S
        return self._retention_s

    def shards(self) -> Sequence[SourceShard]:
        """Every shard that has not expired, parents before children. Raises StreamGone."""
        stream, _ = self._find()
        stream.trim()
        return [SourceShard(shard.shard_id, shard.parent_ids) for shard in stream.shards]

    def cursor(self, shard_id: str, start: Start) -> object:
        """A place in a shard. A number that is no longer there, or not the shard's, gives the oldest record.

        Raises StreamGone.
        """
        stream, _ = self._find()
        shard = stream.find_shard(shard_id)
        return _Place(shard_id, None if shard is None else _find_position(shard, start, stream.now()))

    async def read(self, cursor: object, limit: int, *, wait_s: float = 0.0) -> Page:
        """Up to `limit` records (1 to 10,000) and 10 MiB, in order. Where there is none, wait up to `wait_s` for one.

        Safe to cancel. Raises ReadThrottled, StreamGone.
        """
        if not isinstance(cursor, _Place):
            raise TypeError(cursor)
        stream, consumer = self._find()
        shard = stream.find_shard(cursor.shard_id)
        if shard is None or cursor.position is None:
            self._held.pop(cursor.shard_id, None)
            return Page((), None, more=False)
        try:
            if consumer is None:
                reading = await self._poll(stream, shard, cursor.position, limit=limit, wait_s=wait_s)
            else:
                subscription = self._hold(stream, consumer, shard, position=cursor.position)
                reading = await self._next(subscription, consumer, limit=limit, wait_s=wait_s)
        except Throttled as error:
            raise ReadThrottled(error.after_s) from error
        if reading.next is None:
            self._held.pop(cursor.shard_id, None)
        records = await self._convert_all(shard, reading.records)
        return Page(records, None if reading.next is None else _Place(shard.shard_id, reading.next), reading.more)

    # ------------------------------------------------------------------ reading

    def _find(self) -> tuple[Stream, Consumer | None]:
        if self.pushes:
            found = self._streams.find_consumer(self.arn)
            if found is not None and found[1].status != "DELETING":
                return found
        else:
            stream = self._streams.find(self.arn)
            if stream is not None:
                return stream, None
        raise StreamGone(self.arn)

    async def _poll(self, stream: Stream, shard: Shard, position: int, *, limit: int, wait_s: float) -> Reading:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        while not shard.has_news(position) and loop.time() < deadline:
            await shard.wait(deadline)
            if self._streams.find(self.arn) is not stream:
                raise StreamGone(self.arn)
        return stream.read(shard, position, most=limit)

    def _hold(self, stream: Stream, consumer: Consumer, shard: Shard, *, position: int) -> Subscription:
        """The subscription to a shard: the one that is held, or a new one. Raises ReadThrottled, StreamGone."""
        held = self._held.get(shard.shard_id)
        if held is None or held.over or held.shard is not shard:
            if consumer.status == "CREATING":
                raise ReadThrottled(1.0)
            after_s = consumer.wait_s(shard.shard_id)
            if after_s:
                raise ReadThrottled(after_s)
            held = consumer.subscribe(shard, position, stream.now, paced=self._streams.limits.reads)
            self._held[shard.shard_id] = held
        held.position = position
        return held

    async def _next(self, held: Subscription, consumer: Consumer, *, limit: int, wait_s: float) -> Reading:
        position = held.position
        try:
            reading = await held.next(wait_s, most=limit)
        except KinesisError as error:
            if error.code == "ResourceNotFoundException":
                raise StreamGone(self.arn) from error
            raise ReadThrottled(consumer.wait_s(held.shard.shard_id)) from error
        # its five minutes may end while it waits: the next read subscribes again
        if reading is None:
            return Reading((), position, 0, 0, full=False, more=held.shard.has_records(position))
        return reading

    # ------------------------------------------------------------------ Lambda's event

    async def _convert_all(self, shard: Shard, records: Sequence[Record]) -> tuple[StreamRecord, ...]:
        converted: list[StreamRecord] = []
        for place in range(0, len(records), TURN_RECORDS):
            converted += [self._convert(shard, record) for record in records[place : place + TURN_RECORDS]]
            await asyncio.sleep(0)
        return tuple(converted)

    def _convert(self, shard: Shard, record: Record) -> StreamRecord:
        sequence, content = str(record.sequence), record.content
        parts: Sequence[tuple[str | None, str]] = [(content.key, content.data)]
        if self._open is not None:
            opened = self._open(base64.b64decode(content.data))
            if opened is not None:
                parts = [(key, base64.b64encode(data).decode()) for key, data in opened]
        events = tuple(self._event(shard.shard_id, record, key=key, data=data) for key, data in parts)
        return StreamRecord(sequence, content.key or "", record.arrived_s, events)

    def _event(self, shard_id: str, record: Record, *, key: str | None, data: str) -> dict[str, Any]:
        sequence = str(record.sequence)
        keyed = {} if key is None else {"partitionKey": key}
        inner = {
            "kinesisSchemaVersion": SCHEMA_VERSION,
            **keyed,
            "sequenceNumber": sequence,
            "data": data,
            "approximateArrivalTimestamp": record.arrived_s,
        }
        return {"kinesis": inner, "eventID": f"{shard_id}:{sequence}", **self._fixed}


def _find_position(shard: Shard, start: Start, now_s: float) -> int:
    if start.kind is StartKind.TRIM_HORIZON:
        return shard.first_sequence
    if start.kind is StartKind.LATEST:
        return shard.latest(now_s)
    if start.kind is StartKind.AT_TIMESTAMP:
        return shard.at_time(start.timestamp_s, now_s)
    try:
        if not shard.owns(start.sequence):
            return shard.first_sequence
    except ValueError:
        return shard.first_sequence
    return int(start.sequence) + (start.kind is StartKind.AFTER_SEQUENCE_NUMBER)
