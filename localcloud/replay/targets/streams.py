"""A Kinesis stream as a target: each item's content is a record again, with its partition key.

Records that a call declines are put again after a wait; they then stand behind their successors, as with any producer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from localcloud.replay.items import Item
from localcloud.replay.patience import TRIES, backoff_s, keep_trying
from sluiceway.errors import Retryable, ServiceRefused
from sluiceway.ports import Chance
from sluiceway.ports.producing import Declined, Entry, RecordStream

__all__ = ["StreamTarget"]

# PutRecords: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
MAX_ENTRIES: Final = 500
MAX_BYTES: Final = 10 * 1024 * 1024  # of one record as of all of them
MAX_KEY: Final = 256  # characters


class StreamTarget:
    """One stream."""

    def __init__(self, stream: RecordStream, *, chance: Chance) -> None:
        self._stream = stream
        self._chance = chance

    def mark(self) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    async def send(self, items: Sequence[Item]) -> list[str]:
        """As the port says. Raises Retryable where records are declined for good, and what the stream raises."""
        reasons = [""] * len(items)
        entries = [Entry((item.partition_key or item.key)[-MAX_KEY:], item.content) for item in items]
        for at, entry in enumerate(entries):
            if _size(entry) > MAX_BYTES:
                reasons[at] = f"too-large: {_size(entry)} bytes"
        for places in _cut(entries, [at for at, reason in enumerate(reasons) if not reason]):
            refusal = await self._put([entries[at] for at in places])
            for at in places:
                reasons[at] = refusal
        return reasons

    async def _put(self, entries: Sequence[Entry]) -> str:
        left = list(entries)
        for failures in range(1, TRIES + 1):
            now = left
            try:
                answers = await keep_trying(lambda: self._stream.put(now), chance=self._chance)  # noqa: B023 - awaited here
            except ServiceRefused as error:
                return f"{error.reason}: {error}"
            pairs = zip(left, answers, strict=True)
            left = [entry for entry, answer in pairs if isinstance(answer, Declined)]
            if not left:
                return ""
            await asyncio.sleep(backoff_s(failures, self._chance.draw()))
        raise Retryable(f"the stream declines {len(left)} records, again and again")


def _size(entry: Entry) -> int:
    return len(entry.data) + len(entry.partition_key.encode())


def _cut(entries: Sequence[Entry], places: Sequence[int]) -> Iterator[list[int]]:
    """The places in parts that one call takes, in order."""
    part: list[int] = []
    size = 0
    for at in places:
        more = _size(entries[at])
        if part and (len(part) >= MAX_ENTRIES or size + more > MAX_BYTES):
            yield part
            part, size = [], 0
        part.append(at)
        size += more
    if part:
        yield part
