"""How much of a shard and of the account may be used: AWS's quotas, and the meters that hold callers to them. Pure.

Every meter is told the time, so it runs on any clock.
Source: https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

__all__ = [
    "CALLS",
    "KIB",
    "MAX_ANSWER_BYTES",
    "MAX_ANSWER_RECORDS",
    "MIB",
    "PUSH_BYTES_S",
    "CallMeter",
    "Limits",
    "ReadMeter",
    "WriteMeter",
    "shard_quota",
]

KIB: Final = 1024
MIB: Final = 1024 * KIB
MAX_ANSWER_BYTES: Final = 10 * MIB  # GetRecords
MAX_ANSWER_RECORDS: Final = 10_000  # GetRecords
READ_CALLS_S: Final = 5
READ_BYTES_S: Final = 2 * MIB
FULL_ANSWER_PAUSE_S: Final = 5.0  # GetRecords: after 10 MiB, the next five seconds throw
PUSH_BYTES_S: Final = 2 * MIB  # SubscribeToShard: for each consumer and shard
WRITE_RECORDS_S: Final = 1_000
WRITE_BYTES_S: Final = 1 * MIB
_TICK_S: Final = 1e-6  # what waits until a moment may wake a rounding error before it
_LARGE_REGIONS: Final = ("us-east-1", "us-west-2", "eu-west-1")

# Calls a second, and whether for each stream (True) or for the whole account in a Region (False).
CALLS: Final[dict[str, tuple[int, bool]]] = {
    "AddTagsToStream": (5, False),
    "CreateStream": (5, False),
    "DecreaseStreamRetentionPeriod": (5, True),
    "DeleteStream": (5, False),
    "DeregisterStreamConsumer": (5, True),
    "DescribeAccountSettings": (5, False),
    "DescribeLimits": (1, False),
    "DescribeStream": (10, False),
    "DescribeStreamConsumer": (20, True),
    "DescribeStreamSummary": (20, False),
    "DisableEnhancedMonitoring": (5, True),
    "EnableEnhancedMonitoring": (5, True),
    "IncreaseStreamRetentionPeriod": (5, True),
    "ListShards": (1_000, True),
    "ListStreamConsumers": (5, True),
    "ListStreams": (5, False),
    "ListTagsForStream": (5, False),
    "MergeShards": (5, False),
    "RegisterStreamConsumer": (5, True),
    "RemoveTagsFromStream": (5, False),
    "SplitShard": (5, False),
    "UpdateAccountSettings": (5, False),
    "UpdateShardCount": (10, False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Which of AWS's limits hold. All of them do, unless somebody says otherwise.

    `reads`: of GetRecords and GetShardIterator, and the pace of SubscribeToShard. `writes`: of the records and bytes
    that a shard takes. `calls`: how often control operations may be called. `quotas`: how many shards, streams being
    created, consumers, changes of mode and scalings there may be. Sizes of requests and records always hold.
    """

    reads: bool = True
    writes: bool = True
    calls: bool = True
    quotas: bool = True


def shard_quota(region: str) -> int:
    """How many open shards of provisioned streams an account may have in a Region."""
    return 20_000 if region in _LARGE_REGIONS else 1_000  # some Regions have 6,000; AWS does not say which


class CallMeter:
    """At most `most` calls in any second."""

    __slots__ = ("_most", "_times")

    def __init__(self, most: int) -> None:
        self._most = most
        self._times: deque[float] = deque()

    def wait_s(self, now: float) -> float:
        """Seconds until a call is allowed; 0 where it is."""
        while self._times and self._times[0] + 1.0 - now < _TICK_S:
            self._times.popleft()
        return self._times[0] + 1.0 - now if len(self._times) >= self._most else 0.0

    def take(self, now: float) -> float:
        """Count a call, where it is allowed. Gives `wait_s`."""
        wait_s = self.wait_s(now)
        if not wait_s:
            self._times.append(now)
        return wait_s


class ReadMeter:
    """GetRecords of one shard: five calls and 2 MiB a second, shared by all who read it.

    A call is allowed while less than 2 MiB went out in the last second; its answer may be larger, and then what it took
    too much of is waited for. A full answer of 10 MiB closes the shard for five seconds.
    """

    __slots__ = ("_answers", "_calls", "_closed_until")

    def __init__(self) -> None:
        self._calls = CallMeter(READ_CALLS_S)
        self._answers: deque[tuple[float, int]] = deque()
        self._closed_until = 0.0

    def take(self, now: float) -> float:
        """Count a call, where it is allowed; else give the seconds until it will be."""
        if now + _TICK_S < self._closed_until:
            return self._closed_until - now
        while self._answers and self._answers[0][0] + 1.0 - now < _TICK_S:
            self._answers.popleft()
        if sum(size for _, size in self._answers) >= READ_BYTES_S:
            return self._answers[0][0] + 1.0 - now
        return self._calls.take(now)

    def note(self, now: float, size_bytes: int, *, full: bool) -> None:
        """An answer of `size_bytes` went out; `full`: it was cut at 10 MiB."""
        if full or size_bytes > READ_BYTES_S:
            self._closed_until = now + (FULL_ANSWER_PAUSE_S if full else size_bytes / READ_BYTES_S)
        elif size_bytes:
            self._answers.append((now, size_bytes))


class WriteMeter:
    """Records of one shard: 1,000 and 1 MiB a second, with what was left over of the last second.

    A record larger than that goes in when the whole second's share is there, and is paid off by those after it.
    Source: https://docs.aws.amazon.com/streams/latest/dev/large-records.html
    """

    __slots__ = ("_at", "_bytes", "_records")

    def __init__(self) -> None:
        self._at = 0.0
        self._records = float(WRITE_RECORDS_S)
        self._bytes = float(WRITE_BYTES_S)

    def take(self, now: float, size_bytes: int) -> float:
        """Count a record, where it is allowed; else give the seconds until it will be."""
        if now > self._at:
            passed = now - self._at
            self._records = min(WRITE_RECORDS_S, self._records + passed * WRITE_RECORDS_S)
            self._bytes = min(WRITE_BYTES_S, self._bytes + passed * WRITE_BYTES_S)
            self._at = now
        short_bytes = min(size_bytes, WRITE_BYTES_S) - self._bytes
        if short_bytes > _TICK_S or self._records < 1 - _TICK_S:
            return max(short_bytes / WRITE_BYTES_S, (1 - self._records) / WRITE_RECORDS_S)
        self._records -= 1
        self._bytes -= size_bytes
        return 0.0
