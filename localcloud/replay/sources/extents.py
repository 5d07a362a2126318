"""The records of a stream that a letter points at: read once more from where they lie, while the stream keeps them.

A table's stream is read over its own API, whose records are what Lambda's event has, but for the stream's ARN.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Operations_Amazon_DynamoDB_Streams.html
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from typing import Any, Final, cast

from localcloud.replay.items import Item, item_of_kinesis, item_of_record
from localcloud.replay.letters import Extent
from localcloud.replay.patience import keep_trying
from sluiceway.aws.endpoints import ServiceSpec
from sluiceway.aws.streams import KinesisReader
from sluiceway.aws.wire import StreamingCaller
from sluiceway.codec import kpl
from sluiceway.errors import ServiceMisconfigured, ServiceRefused
from sluiceway.events.kinesis import KinesisRecord
from sluiceway.ports import Chance
from sluiceway.ports.consuming import ShardGone, ShardRecord
from sluiceway.rules.consuming.spans import Position

__all__ = ["GONE", "follow"]

TABLE_STREAMS: Final = ServiceSpec(
    "streams.dynamodb", "dynamodb", "json-1.0", "DYNAMODB_STREAMS", target_prefix="DynamoDBStreams_20120810"
)
PAGE: Final = 500
PAUSE_S: Final = 0.5  # of a shard's five reads a second, two
MAX_EMPTY: Final = 100  # answers without a record before it is given up: the shard has gaps, not deserts
# A stream that was deleted, a number that is none of the shard's, a table's record that has expired
_NOT_THERE: Final = frozenset(
    {"InvalidArgumentException", "ResourceNotFoundException", "TrimmedDataAccessException", "ValidationException"}
)
GONE: Final = "gone: the stream no longer keeps it"


async def follow(caller: StreamingCaller, extent: Extent, letter: str, *, chance: Chance) -> AsyncGenerator[Item]:
    """The records of `extent`, or one item with a fault where they are not all there. Raises SluicewayError."""
    read = _read_table if extent.is_table else _read_stream
    first = True
    try:
        async for item in read(caller, extent, chance):
            if first and item.mark != extent.first:
                break  # AT_SEQUENCE_NUMBER of what has expired would be refused, or give what came later
            first = False
            yield replace(item, letter=letter)
            if item.mark == extent.last:
                return
    except (ServiceMisconfigured, ServiceRefused) as error:
        if error.code not in _NOT_THERE:
            raise
    key = f"{extent.shard_id}/{extent.first}-{extent.last}"
    yield Item(kind="event", key=key, content=b"", origin=extent.stream_arn, letter=letter, fault=GONE)


async def _read_stream(caller: StreamingCaller, extent: Extent, chance: Chance) -> AsyncGenerator[Item]:
    reader = KinesisReader(caller, extent.stream_arn)
    position = Position("AT_SEQUENCE_NUMBER", extent.first)
    try:
        iterator = await keep_trying(lambda: reader.find_iterator(extent.shard_id, position), chance=chance)
    except ShardGone:
        return
    for _ in range(MAX_EMPTY):
        at = iterator
        page = await keep_trying(lambda: reader.get_records(at, limit=PAGE), chance=chance)  # noqa: B023 - awaited here
        for kept in page.records:
            if int(kept.sequence_number) > int(extent.last):
                return
            yield _make(kept, extent)
        if page.is_last or (not page.records and page.behind_ms == 0):
            return
        iterator = page.going_on
        await asyncio.sleep(PAUSE_S)


def _make(kept: ShardRecord, extent: Extent) -> Item:
    """A record as the stream has it, aggregates whole, as the function had them; or the one that was left out."""
    data, key = kept.data, kept.partition_key
    if extent.sub is not None:
        opened = _open(kept.data)
        if opened is not None and extent.sub < len(opened.records):
            data, key = opened.records[extent.sub].data, opened.records[extent.sub].partition_key
    record = KinesisRecord(kept.sequence_number, key, data, kept.arrived_ms, extent.shard_id, extent.stream_arn)
    return item_of_kinesis(record)


def _open(data: bytes) -> kpl.Aggregate | None:
    try:
        return kpl.open_aggregate(data)
    except kpl.CorruptAggregate:  # then the letter's record was all of it
        return None


async def _read_table(caller: StreamingCaller, extent: Extent, chance: Chance) -> AsyncGenerator[Item]:
    async def ask(operation: str, request: Mapping[str, object]) -> Mapping[str, Any]:
        return (await caller.call(TABLE_STREAMS, operation, request)).json()

    place = {
        "StreamArn": extent.stream_arn,
        "ShardId": extent.shard_id,
        "ShardIteratorType": "AT_SEQUENCE_NUMBER",
        "SequenceNumber": extent.first,
    }
    told = await keep_trying(lambda: ask("GetShardIterator", place), chance=chance)
    iterator = told.get("ShardIterator")
    for _ in range(MAX_EMPTY):
        request = {"ShardIterator": iterator, "Limit": PAGE}
        told = await keep_trying(lambda: ask("GetRecords", request), chance=chance)  # noqa: B023 - awaited here
        for record in cast("list[Mapping[str, Any]]", told.get("Records") or []):
            item = item_of_record(record, key=str(record.get("eventID")), origin=extent.stream_arn)
            if item is not None:
                whole = {**cast("dict[str, Any]", json.loads(item.content)), "eventSourceARN": extent.stream_arn}
                yield replace(item, content=json.dumps(whole, separators=(",", ":")).encode())
        iterator = told.get("NextShardIterator")
        if not iterator or not told.get("Records"):
            return
        await asyncio.sleep(PAUSE_S)
