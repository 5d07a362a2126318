"""What an event source mapping needs of a stream: its shards with their lineage, and their records in order.

Two adapters make it real (`source_kinesis`, `source_dynamodb`); tests have a third. Owns the words that a stream and
its mapping share. Knows no service, no function and no rule of batching.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Protocol

__all__ = [
    "POLL_S",
    "Page",
    "ReadThrottled",
    "Shard",
    "Start",
    "StartKind",
    "StreamGone",
    "StreamRecord",
    "StreamSource",
]

POLL_S: Final = 1.0  # with-kinesis: Lambda polls each shard at a base rate of once a second


class StartKind(Enum):
    """Where reading of a shard may begin. Values are the API's words."""

    TRIM_HORIZON = "TRIM_HORIZON"
    LATEST = "LATEST"
    AT_TIMESTAMP = "AT_TIMESTAMP"
    AT_SEQUENCE_NUMBER = "AT_SEQUENCE_NUMBER"
    AFTER_SEQUENCE_NUMBER = "AFTER_SEQUENCE_NUMBER"


@dataclass(frozen=True, slots=True)
class Start:
    """`sequence` belongs to the two kinds that name one, `timestamp_s` (epoch seconds) to AT_TIMESTAMP."""

    kind: StartKind
    sequence: str = ""
    timestamp_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Shard:
    """`parent_ids`: what it was split from (one) or merged of (two), whether they are still there or trimmed."""

    shard_id: str
    parent_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """A record of a shard. `events` are the entries of `Records` that it becomes, as Lambda delivers them.

    One entry, but for an aggregate that a filter must look into: then one each user record, all with its sequence
    number. `order_key` is what order is kept by (partition key; the item's key). `arrived_s` is in epoch seconds.
    """

    sequence: str
    order_key: str
    arrived_s: float
    events: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Page:
    """`next` is the cursor to go on with, None where the shard is closed and read to its end.

    `more`: whether further records lie there already; None where the source does not say, then the age of the records
    tells whether the shard is caught up with.
    """

    records: tuple[StreamRecord, ...]
    next: object | None
    more: bool | None = None


class ReadThrottled(Exception):
    """The stream's read limits are used up, by this reader or by others; try again after `after_s` seconds."""

    def __init__(self, after_s: float) -> None:
        super().__init__(f"read again after {after_s} s")
        self.after_s = after_s


class StreamGone(Exception):
    """The stream, or the consumer of it, was deleted."""


class StreamSource(Protocol):
    """A Kinesis stream, an enhanced fan-out consumer of one, or a DynamoDB stream."""

    arn: str
    """The event source's ARN, as a mapping names it."""
    kind: str
    """What FilterCriteria calls it: "kinesis" or "dynamodb"."""
    pushes: bool
    """True: `read` waits for records (enhanced fan-out). False: the mapping polls every `poll_s`."""
    poll_s: float
    """Seconds between two polls of a shard: POLL_S for Kinesis, 0.25 for a DynamoDB stream."""

    @property
    def retention_s(self) -> float:
        """Seconds for which a record is kept: what is older is not tried again. It may change for a Kinesis stream."""
        ...

    def shards(self) -> Sequence[Shard]:
        """Every shard that is open or still holds records, parents before children. Raises StreamGone."""
        ...

    def cursor(self, shard_id: str, start: Start) -> object:
        """A place in a shard. A sequence number that is trimmed by now gives the oldest record. Raises StreamGone."""
        ...

    async def read(self, cursor: object, limit: int, *, wait_s: float = 0.0) -> Page:
        """Up to `limit` records (1 to 10,000) and 10 MiB, in order. Where there is none, wait up to `wait_s` for one.

        Safe to cancel. Raises ReadThrottled, StreamGone.
        """
        ...
