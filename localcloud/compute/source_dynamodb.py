"""A DynamoDB stream as the source of an event source mapping.

Turns the service's shards and records into the words of `stream_source`. Knows the streams' model, not their API: no
iterator expires here, as none does for Lambda.
Source: https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from localcloud.compute.stream_source import Page, Shard, Start, StartKind, StreamGone, StreamRecord
from localcloud.services.dynamodb.stream_records import StreamEntry, encode_event, item_key
from localcloud.services.dynamodb.streams import PAGE_RECORDS, RETENTION_S, Stream
from localcloud.services.dynamodb.streams import Shard as StreamShard
from localcloud.services.dynamodb.wire import DynamoService

__all__ = ["DynamoSource"]

POLL_S: Final = 0.25  # with-ddb: Lambda polls each shard at a base rate of four times a second


@dataclass(frozen=True, slots=True)
class _Cursor:
    """A place in a shard: the sequence number to read from."""

    shard_id: str
    at: int


class DynamoSource:
    """The stream with `arn`, in the Region that the ARN names; a `StreamSource`.

    A page is one GetRecords call: 1,000 records and 1 MB at most, whatever was asked for.
    """

    kind: str = "dynamodb"
    pushes: bool = False
    poll_s: float = POLL_S
    retention_s: float = RETENTION_S

    def __init__(self, service: DynamoService, arn: str) -> None:
        self.arn = arn
        self._streams = service.database(arn.split(":")[3]).streams

    def shards(self) -> Sequence[Shard]:
        """Every shard that is not trimmed, parents before children. Raises StreamGone."""
        return [
            Shard(shard.shard_id, () if shard.parent_id is None else (shard.parent_id,))
            for shard in self._stream().shards
        ]

    def cursor(self, shard_id: str, start: Start) -> object:
        """A place in a shard; that of a trimmed shard reads as its end. Raises StreamGone.

        ValueError for AT_TIMESTAMP, which DynamoDB Streams do not have, and for a sequence number that is none.
        """
        shard = self._stream().shard(shard_id)
        return _Cursor(shard_id, 0 if shard is None else _place(shard, start))

    async def read(self, cursor: object, limit: int, *, wait_s: float = 0.0) -> Page:
        """Up to `limit` records, waiting up to `wait_s` for the first. Safe to cancel. Raises StreamGone.

        TypeError for a cursor that `cursor` and `read` did not give.
        """
        if not isinstance(cursor, _Cursor):
            raise TypeError("not a cursor of a DynamoDB stream")
        page = self._read(cursor, limit)
        if page.records or page.next is None or wait_s <= 0:
            return page
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._stream().written()
        return self._read(cursor, limit)

    def _stream(self) -> Stream:
        stream = self._streams.find(self.arn)
        if stream is None:
            raise StreamGone
        return stream

    def _read(self, cursor: _Cursor, limit: int) -> Page:
        stream = self._stream()
        shard = stream.shard(cursor.shard_id)
        if shard is None:
            return Page((), None)
        page = shard.read(max(cursor.at, shard.trimmed + 1), min(limit, PAGE_RECORDS))
        records = tuple(_record(entry, stream) for entry in page.entries)
        return Page(records, None if page.next_at is None else _Cursor(cursor.shard_id, page.next_at))


def _record(entry: StreamEntry, stream: Stream) -> StreamRecord:
    return StreamRecord(
        sequence=str(entry.sequence),
        order_key=item_key(entry),
        arrived_s=entry.arrived_s,
        events=(encode_event(entry, stream.view_type, stream.arn),),
    )


def _place(shard: StreamShard, start: Start) -> int:
    if start.kind is StartKind.TRIM_HORIZON:
        return shard.trimmed + 1
    if start.kind is StartKind.LATEST:
        return shard.last + 1
    if start.kind is StartKind.AT_TIMESTAMP:
        raise ValueError("a DynamoDB stream has no AT_TIMESTAMP")
    return int(start.sequence) + (start.kind is StartKind.AFTER_SEQUENCE_NUMBER)
