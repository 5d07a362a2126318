"""Orders to serve a part of a topic's subscribers, and what became of them."""

from __future__ import annotations

from typing import NamedTuple

from sluiceway.events.kinesis import KinesisRecord

__all__ = ["PartOrder", "PartReport"]


class PartOrder(NamedTuple):
    """Post these records of one shard, in order, to the subscribers of part `part` of `topic`.

    Nothing may be posted after `until_ms` (epoch milliseconds): by then the shard's next records may be on their way.
    `lost`: the last sequence numbers of batches of the shard that the part may have missed, in the shard's order, which
    its subscribers are to be told.
    """

    topic: str
    part: int
    until_ms: int
    records: tuple[KinesisRecord, ...]
    lost: tuple[str, ...] = ()


class PartReport(NamedTuple):
    """What a worker did. `is_begun`: False where it could not tell who has subscribed, and has posted nothing.

    `subscribers` counts the connections of the part; messages were `posted`, or `dropped`; `skipped` counts records.
    """

    is_begun: bool = True
    subscribers: int = 0
    posted: int = 0
    dropped: int = 0
    skipped: int = 0
