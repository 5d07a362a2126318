"""One shard: its records in order, where in it a reader may stand, and who waits for its next record. No protocol.

A position is a sequence number as an integer: reading gives the records from there on, so what was trimmed in between
is skipped by itself. Time comes with every call.
Source: https://docs.aws.amazon.com/streams/latest/dev/key-concepts.html
"""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from localcloud.services.kinesis.kept import Content, Kept, Record
from localcloud.services.kinesis.limits import MAX_ANSWER_BYTES, MAX_ANSWER_RECORDS, CallMeter, ReadMeter, WriteMeter
from localcloud.services.kinesis.sequence import (
    LAST_PLACE,
    first_prefix,
    first_sequence,
    last_place_before,
    make_sequence,
    parse_sequence,
)

__all__ = ["MAX_HASH", "Content", "Reading", "Record", "Shard", "shard_name"]

MAX_HASH: Final = (1 << 128) - 1
ITERATORS_S: Final = 5  # GetShardIterator: calls a second for each open shard


class Reading(NamedTuple):
    """`next` is the position to go on from, None at the end of a closed shard. `full`: cut at the most bytes.

    `more`: whether further records lie there already. `behind_ms` is how far the last record lies behind `now`, 0 where
    nothing comes after it.
    """

    records: tuple[Record, ...]
    next: int | None
    behind_ms: int
    size_bytes: int
    full: bool
    more: bool


class Shard:
    """A shard. `created_s` is the whole second that its numbers carry; `opened_s` and `closed_s` are when it was so."""

    def __init__(
        self, index: int, hashes: tuple[int, int], *, created_s: int, opened_s: float, parents: tuple[Shard, ...] = ()
    ) -> None:
        self.index = index
        self.shard_id = shard_name(index)
        self.first_hash, self.last_hash = hashes
        self.parent_ids = tuple(parent.shard_id for parent in parents)
        self.children: list[Shard] = []
        self.created_s = created_s
        self.opened_s = opened_s
        self.closed_s: float | None = None
        self.first_sequence = first_sequence(index, created_s)
        self.last_sequence: int | None = None
        self.reads = ReadMeter()
        self.writes = WriteMeter()
        self.iterators = CallMeter(ITERATORS_S)
        self._prefix = first_prefix(index, created_s)
        self._place = 0
        self._records = Kept()
        self._waiters: set[asyncio.Future[None]] = set()

    @property
    def held(self) -> int:
        """How many records it holds."""
        return len(self._records)

    # ------------------------------------------------------------------ writing

    def put(self, content: Content, now_s: float, *, encrypted: bool = False) -> Record:
        """Append a record that arrived at `now_s`."""
        self._place += 1
        last = self._records.last
        arrived_s = now_s if last is None else max(now_s, last.arrived_s)
        record = Record(make_sequence(self._prefix, self._place, int(now_s)), arrived_s, content, encrypted)
        self._records.append(record)
        if self._waiters:
            self.wake()
        return record

    def close(self, now_s: float, children: list[Shard]) -> None:
        """No more records come; `children` take over its hash keys."""
        self.closed_s = now_s
        self.last_sequence = make_sequence(self._prefix, LAST_PLACE, int(now_s))
        self.children = children
        self.wake()

    def trim(self, horizon_s: float) -> None:
        """Forget the records that arrived before `horizon_s`."""
        self._records.trim(horizon_s)

    # ------------------------------------------------------------------ reading

    def latest(self, now_s: float) -> int:
        """The position behind everything that is there now."""
        return make_sequence(self._prefix, self._place, int(now_s), after=True)

    def at_time(self, timestamp_s: float, now_s: float) -> int:
        """The position of the first record that arrived at `timestamp_s` or later; `latest` where there is none."""
        found = self._records.find_arrival(timestamp_s)
        return self.latest(now_s) if found is None else found.sequence

    def owns(self, sequence: str) -> bool:
        """Whether a sequence number is one of this shard's. Raises ValueError where it is none at all."""
        said = parse_sequence(sequence)
        return (said.shard, said.created_s) == (self.index, self.created_s)

    def checkpoint(self, position: int, now_s: float) -> int:
        """The number to go on from at `position`, later for a later `now_s`; AT and AFTER it are the same."""
        return make_sequence(self._prefix, last_place_before(position), int(now_s), after=True)

    def has_news(self, position: int) -> bool:
        """Whether reading at `position` would give something: a record, or the end."""
        return self.closed_s is not None or self.has_records(position)

    def has_records(self, position: int) -> bool:
        """Whether a record lies at `position` or after it."""
        last = self._records.last
        return last is not None and last.sequence >= position

    def read(
        self, position: int, now_s: float, *, most: int = MAX_ANSWER_RECORDS, max_bytes: int = MAX_ANSWER_BYTES
    ) -> Reading:
        """Up to `most` records and `max_bytes` bytes from `position` on; one record at least, where there is one."""
        taken, size, full = self._records.read(position, most=most, max_bytes=max_bytes)
        more = self.has_records(taken[-1].sequence + 1) if taken else False
        following: int | None = taken[-1].sequence + 1 if taken else position
        behind_ms = max(0, round((now_s - taken[-1].arrived_s) * 1000)) if taken and more else 0
        if not more and self.closed_s is not None:
            following = None
        return Reading(tuple(taken), following, behind_ms, size, full=full, more=more)

    # ------------------------------------------------------------------ waiting

    async def wait(self, deadline: float) -> None:
        """Until something changes here, or the loop's `deadline`. Safe to cancel."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            async with asyncio.timeout_at(deadline):
                await waiter
        except TimeoutError:
            return
        finally:
            self._waiters.discard(waiter)

    def wake(self) -> None:
        """Let everybody who waits look again."""
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


def shard_name(index: int) -> str:
    """The id of the shard with this number."""
    return f"shardId-{index:012d}"
