"""A batch of records of one shard of a Kinesis stream, as an event source mapping delivers it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import NamedTuple

from sluiceway.errors import Rejected
from sluiceway.events.sqs import BatchReport

__all__ = ["KinesisBatch", "KinesisRecord"]


class KinesisRecord(NamedTuple):
    """One record. Records of one aggregate share its `sequence_number` and are told apart by `sub_sequence`.

    `sequence_number` is decimal digits, ascending in the shard. `arrived_ms`: ApproximateArrivalTimestamp in epoch
    milliseconds. `stream_arn`: of the stream, or of the consumer with enhanced fan-out. `explicit_hash_key`: "" where
    the producer gave none, or gave it for a record that is no part of an aggregate. `sub_sequence`: the place in the
    aggregate, from 0; None for a record that is none. `fault` says what is wrong with an aggregate that cannot be
    opened: `data` is all of it then, and a batch flow hands it to nobody.
    """

    sequence_number: str
    partition_key: str
    data: bytes
    arrived_ms: int
    shard_id: str
    stream_arn: str
    explicit_hash_key: str = ""
    sub_sequence: int | None = None
    fault: Rejected | None = None

    @property
    def stream_name(self) -> str:
        """The name in the ARN, "" where it has none."""
        return self.stream_arn.partition(":stream/")[2].partition("/")[0]

    @property
    def content(self) -> bytes:
        """What the producer wrote."""
        return self.data

    @property
    def log_fields(self) -> dict[str, str | int | None]:
        """What tells this record in a log line. No partition key: it may be somebody's name."""
        return {
            "sequence_number": self.sequence_number,
            "sub_sequence": self.sub_sequence,
            "shard_id": self.shard_id,
        }


class KinesisBatch(NamedTuple):
    """The records of one invocation, in the shard's order."""

    records: tuple[KinesisRecord, ...]

    @property
    def lane_of(self) -> Callable[[KinesisRecord], str]:
        """What keeps records in order among themselves: the partition key."""
        return attrgetter("partition_key")

    def report(self, unfinished: Sequence[KinesisRecord]) -> BatchReport:
        """The lowest sequence number that is unfinished: Lambda sends it and all after it again.

        Source: https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
        """
        lowest = min((record.sequence_number for record in unfinished), key=int, default=None)
        return BatchReport() if lowest is None else BatchReport((lowest,))
