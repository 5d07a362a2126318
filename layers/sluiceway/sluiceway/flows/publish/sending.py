"""One PutRecords call of some parts, and what came of each; one that is refused for a part of it is tried in halves.

Owns what an error of the whole call means for its parts. Must not know lanes or receipts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, TypeAlias

from sluiceway import log
from sluiceway.codec.kpl import HashRange
from sluiceway.errors import Misconfigured, Rejected, Retryable, ServiceError
from sluiceway.flows.publish.packing import Part
from sluiceway.flows.publish.records import NotPut
from sluiceway.flows.publish.shards import ShardRoll
from sluiceway.ports.producing import PutAnswer, RecordStream
from sluiceway.steps.metrics import count

__all__ = ["Answer", "learn_shard", "relist_shards", "send"]

Answer: TypeAlias = PutAnswer | NotPut | Rejected | Misconfigured
CALL_S: Final = 10.0  # for a call with the wire client's own retries: nobody waits for an answer that does not come
MAX_REFUSALS: Final = 32  # of one call and its halves: three bad entries among 500 are found, and no call costs 1,000
THROTTLED_CODES: Final = frozenset(
    {
        "KMSThrottlingException",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
    }
)


async def send(stream: RecordStream, parts: Sequence[Part]) -> list[Answer]:
    """What the stream says to each part, in order. Never raises what the port does."""
    for part in parts:
        for record in part.records:
            record.is_under_way = True
    answers: list[Answer] = []
    todo, refusals = [(0, len(parts))], 0
    while todo:
        low, high = todo.pop()
        told = await _put(stream, parts[low:high])
        if isinstance(told, Rejected) and high - low > 1 and refusals < MAX_REFUSALS:
            refusals += 1
            middle = (low + high) // 2
            todo += [(middle, high), (low, middle)]
        else:
            if isinstance(told, (Rejected, Misconfigured)):
                log.failure("publish.call_refused", told)
            if isinstance(told, Misconfigured):
                count("Misconfigured")
            answers += [told] * (high - low) if isinstance(told, Exception) else told
    return answers


async def _put(stream: RecordStream, parts: Sequence[Part]) -> Sequence[PutAnswer] | NotPut | Rejected | Misconfigured:
    now = asyncio.get_running_loop().time()
    last = max(record.give_up_at for part in parts for record in part.records)
    try:
        return await stream.put([part.entry for part in parts], deadline=min(last, now + CALL_S))
    except (Rejected, Misconfigured) as error:
        return error
    except Retryable as error:
        throttled = isinstance(error, ServiceError) and error.code in THROTTLED_CODES
        log.failure("publish.call_failed", error)
        return NotPut(str(error), perhaps_put=True, throttled=throttled, after_s=error.after_s)


async def learn_shard(roll: ShardRoll, shard_id: str) -> HashRange | None:
    """As `ShardRoll.learn_of`; a listing that is refused is logged, and nothing is known."""
    try:
        return await roll.learn_of(shard_id)
    except (Rejected, Misconfigured) as error:
        log.failure("publish.shards_not_listed", error)
        return None


async def relist_shards(roll: ShardRoll) -> None:
    """As `ShardRoll.prepare`; a listing that is refused is logged."""
    try:
        await roll.prepare()
    except (Rejected, Misconfigured) as error:
        log.failure("publish.shards_not_listed", error)
