"""What a shard keeps, as the records of its producers: aggregates opened, what is done left out, the end cut off.

An aggregate that cannot be opened is one record with a fault, as in a batch. Must not know handlers or leases.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sluiceway.codec import kpl
from sluiceway.codec.kinesis import AGGREGATE
from sluiceway.codec.kpl import CorruptAggregate
from sluiceway.events.kinesis import KinesisRecord
from sluiceway.ports.consuming import Page, ShardRecord
from sluiceway.rules.consuming.spans import Checkpoint, Span, is_beyond

__all__ = ["Opened", "ShardOpening"]


class Opened(NamedTuple):
    """A record with how far the shard is done once it is. `record`: None for an aggregate with nothing (left) in it."""

    record: KinesisRecord | None
    checkpoint: Checkpoint


class ShardOpening:
    """One shard, done up to `done`; `is_over` once a record beyond the span was met."""

    def __init__(self, shard_id: str, stream_arn: str, *, span: Span, done: Checkpoint) -> None:
        self.is_over = False
        self._shard_id = shard_id
        self._arn = stream_arn
        self._span = span if span.is_bounded else None
        self._done = done

    def open(self, page: Page) -> Iterator[Opened]:
        """What is to be done of a page, in order."""
        for kept in page.records:
            if self._span is not None and is_beyond(
                self._span, self._shard_id, kept.sequence_number, arrived_ms=kept.arrived_ms
            ):
                self.is_over = True
                return
            if kept.data.startswith(AGGREGATE):
                yield from self._open_aggregate(kept)
            else:
                yield Opened(self._make(kept), Checkpoint(kept.sequence_number))

    def _open_aggregate(self, kept: ShardRecord) -> Iterator[Opened]:
        """All of an aggregate that is not done; the last one's checkpoint is that of the whole."""
        sequence_number, whole = kept.sequence_number, Checkpoint(kept.sequence_number)
        try:
            aggregate = kpl.open_aggregate(kept.data)
        except CorruptAggregate as fault:
            yield Opened(self._make(kept)._replace(fault=fault), whole)
            return
        if aggregate is None:
            yield Opened(self._make(kept), whole)
            return
        if not aggregate.records:
            yield Opened(None, whole)
        last = len(aggregate.records) - 1
        for one in aggregate.records:
            number = one.subsequence_number
            if self._done.covers(sequence_number, number):
                if number == last:
                    yield Opened(None, whole)
                continue
            record = KinesisRecord(
                sequence_number,
                one.partition_key,
                one.data,
                kept.arrived_ms,
                self._shard_id,
                self._arn,
                one.explicit_hash_key or "",
                number,
            )
            yield Opened(record, whole if number == last else Checkpoint(sequence_number, number))

    def _make(self, kept: ShardRecord) -> KinesisRecord:
        return KinesisRecord(
            kept.sequence_number, kept.partition_key, kept.data, kept.arrived_ms, self._shard_id, self._arn
        )
