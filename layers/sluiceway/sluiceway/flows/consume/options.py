"""What can be chosen of a consumer, and what it works with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from sluiceway.events.kinesis import KinesisRecord
from sluiceway.ports import Chance, Clock, DeadLetters, SystemChance, SystemClock

__all__ = ["ConsumeDesk", "ConsumeOptions", "Handler", "Manner"]

Handler: TypeAlias = Callable[[KinesisRecord], Awaitable[None]]

MAX_PAGE: Final = 10_000  # records
# https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html


@dataclass(frozen=True, slots=True)
class ConsumeDesk:
    """What a consumer works with, beside its stream and its leases."""

    dead_letters: DeadLetters
    clock: Clock = field(default_factory=SystemClock)
    chance: Chance = field(default_factory=SystemChance)


@dataclass(frozen=True, slots=True)
class Manner:
    """How a shard is read where it is polled.

    `share`: the part of the shard's five calls and 2 MiB a second that this reader uses at most, more than 0 up to 1.
    `idle_s`: the pause after an answer that reached the tip of the shard. `page`: records of one answer, 1 to 10,000.
    Raises ValueError.
    """

    share: float = 0.4
    idle_s: float = 1.0
    page: int = 1_000

    def __post_init__(self) -> None:
        if not (0 < self.share <= 1 and self.idle_s >= 0 and 1 <= self.page <= MAX_PAGE):
            raise ValueError("share is more than 0 up to 1, idle_s 0 or more, page 1 to 10,000")


def _lane_by_key(record: KinesisRecord) -> str:
    """The partition key; of a stream that spreads its records by itself, and so has no order, each for itself."""
    return record.partition_key or record.sequence_number


@dataclass(frozen=True, slots=True)
class ConsumeOptions:
    """What can be chosen of a consumer. Times are seconds.

    `worker` names it in leases and logs; a token is added, so that no two runs have one name. `concurrency`: records of
    one shard that are handled at a time. `window`: how many records of a shard may be read and not done before reading
    waits; the page that was read last comes on top. `tries`: after how many failures of unknown cause a record is
    poison. `lane_of`: what keeps records in order among themselves. `lease_s`: a worker that was not heard of for so
    long has lost its shards; it renews four times in that time. `round_s`: how often it looks for shards to read.
    `stop_s`: how long what is in hand may take once a shard is handed over, then it is cancelled and comes again
    elsewhere. `most_leases`: shards that it reads at most. Raises ValueError.
    """

    worker: str = "worker"
    concurrency: int = 10
    window: int = 1_000
    tries: int = 5
    lane_of: Callable[[KinesisRecord], object] = _lane_by_key
    lease_s: float = 20.0
    round_s: float = 5.0
    stop_s: float = 20.0
    most_leases: int = 10_000
    manner: Manner = field(default_factory=Manner)

    def __post_init__(self) -> None:
        if min(self.concurrency, self.window, self.tries, self.most_leases) < 1:
            raise ValueError("concurrency, window, tries and most_leases are 1 or more")
        if min(self.lease_s, self.round_s) <= 0 or self.stop_s < 0:
            raise ValueError("lease_s and round_s are more than 0, stop_s 0 or more")
