"""Streams: the log of a table's changes, in shards that roll over and are trimmed.

Owns the streams of one Region, their shards with lineage, the order of records and how long they are kept. Knows no
request. Nothing runs in the background: every access first brings a stream to the clock's date, so a shard is closed
and its child opened at the date at which that fell due, however much later somebody looks.
Sources: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html and
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DeleteTable.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil, inf, nextafter
from random import Random
from typing import Final

from localcloud.clock import Clock
from localcloud.services.dynamodb.schema import KeySchema
from localcloud.services.dynamodb.stream_records import KeptEntries, StreamEntry, make_entry
from localcloud.services.dynamodb.table import Change, Table

__all__ = ["RETENTION_S", "SHARD_LIFE_S", "Shard", "Stream", "StreamLimits", "StreamPage", "Streams", "Trimmed"]

RETENTION_S: Final = 86_400.0  # Streams.html: records are kept for 24 hours
SHARD_LIFE_S: Final = 4 * 3600.0  # Streams.html, "Processing": a shard is closed after about four hours
MIN_SHARD_LIFE_S: Final = 1.0  # shard ids tell milliseconds
PAGE_RECORDS: Final = 1000  # API_streams_GetRecords.html
PAGE_BYTES: Final = 1024 * 1024  # API_streams_GetRecords.html
_SEQUENCES_PER_MS: Final = 10**9  # numbers grow with the date, so they also grow over a restart; 22 digits


class Trimmed(Exception):
    """A record that should be read is not kept any more."""


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """`shard_life_s` (1 or more): how long a shard is open."""

    shard_life_s: float = SHARD_LIFE_S

    def __post_init__(self) -> None:
        if self.shard_life_s < MIN_SHARD_LIFE_S:
            raise ValueError(f"a shard lives {MIN_SHARD_LIFE_S} s at least")


@dataclass(frozen=True, slots=True)
class StreamPage:
    """Records in order; `next_at` is the sequence number to read on from, None after the last of a closed shard."""

    entries: Sequence[StreamEntry]
    next_at: int | None


class Shard:
    """A part of a stream. `first` and `last` bound its sequence numbers; `closed_s` is None while it is open."""

    def __init__(self, shard_id: str, parent_id: str | None, *, first: int, opened_s: float) -> None:
        self.shard_id = shard_id
        self.parent_id = parent_id
        self.first = first
        self.last = first
        self.opened_s = opened_s
        self.closed_s: float | None = None
        self._entries = KeptEntries()

    @property
    def trimmed(self) -> int:
        """The sequence number of the newest record that is not kept any more, one below `first` before any."""
        forgotten = self._entries.forgotten
        return self.first - 1 if forgotten is None else forgotten

    def __len__(self) -> int:
        """How many records are kept."""
        return len(self._entries)

    def add(self, entry: StreamEntry) -> None:
        """Append a record."""
        self._entries.append(entry)
        self.last = entry.sequence

    def trim(self, horizon_s: float) -> None:
        """Forget the records that are as old as `horizon_s`, or older."""
        self._entries.trim(nextafter(horizon_s, inf))

    def read(self, at: int, limit: int) -> StreamPage:
        """Up to `limit` records and 1 MB from sequence number `at` on, one at least. Raises Trimmed."""
        if at <= self.trimmed:
            raise Trimmed
        entries, _, _ = self._entries.read(at, most=limit, max_bytes=PAGE_BYTES)
        is_over = self.closed_s is not None and (not entries or entries[-1].sequence == self.last)
        return StreamPage(entries, None if is_over else entries[-1].sequence + 1 if entries else at)


class Stream:
    """One stream of a table. `disabled_s` is when it was disabled, None while it is enabled."""

    def __init__(self, arn: str, keys: KeySchema, view_type: str, *, limits: StreamLimits, randomness: Random) -> None:
        self.arn = arn
        self.keys = keys
        self.view_type = view_type
        self.disabled_s: float | None = None
        self.shards: list[Shard] = []
        self._limits = limits
        self._randomness = randomness
        self._last = 0
        self._readers: set[asyncio.Future[None]] = set()

    @property
    def label(self) -> str:
        """The ISO date that tells it from the table's other streams."""
        return self.arn.rpartition("/")[2]

    @property
    def table_name(self) -> str:
        """The table's name."""
        return self.arn.split("/")[1]

    @property
    def created_s(self) -> float:
        """When it was enabled, in epoch seconds."""
        return datetime.fromisoformat(self.label).replace(tzinfo=UTC).timestamp()

    def shard(self, shard_id: str) -> Shard | None:
        """The shard of that id, None where there is none (any more)."""
        return next((shard for shard in self.shards if shard.shard_id == shard_id), None)

    def add(self, change: Change, now: float) -> None:
        """Record `change`, unless it left the item as it was."""
        if change.old is not None and change.new is not None and change.old.item == change.new.item:
            return
        self.settle(now)
        event_id = f"{self._randomness.getrandbits(128):032x}"
        entry = make_entry(change, self.view_type, sequence=self._number(now), event_id=event_id, arrived_s=now)
        self.shards[-1].add(entry)
        self._wake()

    async def written(self) -> None:
        """Wait for the next record."""
        reader = asyncio.get_running_loop().create_future()
        self._readers.add(reader)
        try:
            await reader
        finally:
            self._readers.discard(reader)

    def open(self, now: float) -> None:
        """Open the first shard."""
        self._open(now, None)

    def disable(self, now: float) -> None:
        """Close the open shard; what it holds stays readable."""
        self.settle(now)
        self.shards[-1].closed_s = self.disabled_s = now
        self._wake()

    def settle(self, now: float) -> None:
        """Roll over what is due and trim what is too old."""
        if self.disabled_s is None:
            self._roll(now)
        for shard in self.shards:
            shard.trim(now - RETENTION_S)
            if len(shard):
                break
        kept = [shard for shard in self.shards if shard.closed_s is None or shard.closed_s > now - RETENTION_S]
        if len(kept) != len(self.shards):
            self.shards = kept

    def _roll(self, now: float) -> None:
        life = self._limits.shard_life_s
        while now - (current := self.shards[-1]).opened_s >= life:
            current.closed_s = current.opened_s + life
            missed = int((now - current.closed_s) // life)
            passed = max(0, missed - ceil(RETENTION_S / life))  # shards that were empty and are trimmed by now
            self._open(current.closed_s + passed * life, current)

    def _open(self, opened_s: float, parent: Shard | None) -> None:
        shard_id = f"shardId-{int(opened_s * 1000):020d}-{self._randomness.getrandbits(32):08x}"
        parent_id = None if parent is None else parent.shard_id
        self.shards.append(Shard(shard_id, parent_id, first=self._number(opened_s), opened_s=opened_s))

    def _number(self, now: float) -> int:
        self._last = max(self._last + 1, int(now * 1000) * _SEQUENCES_PER_MS)
        return self._last

    def _wake(self) -> None:
        for reader in self._readers:
            if not reader.done():
                reader.set_result(None)


class Streams:
    """Every stream of one Region, those of deleted tables included, until they are 24 hours disabled."""

    def __init__(self, prefix: str, clock: Clock, *, randomness: Random, limits: StreamLimits) -> None:
        self._prefix = prefix
        self._clock = clock
        self._randomness = randomness
        self._limits = limits
        self._streams: dict[str, Stream] = {}
        self._enabled: dict[str, Stream] = {}

    def arn(self, table: Table) -> str:
        """The ARN of a table's latest stream; the table has had one."""
        return f"{self._prefix}table/{table.definition.name}/stream/{table.stream_label}"

    def all(self) -> list[Stream]:
        """Every stream, sorted by ARN."""
        return [stream for _, stream in sorted(self._streams.items()) if self._settle(stream)]

    def find(self, arn: str) -> Stream | None:
        """The stream, brought to now; None where there is none (any more)."""
        stream = self._streams.get(arn)
        return stream if stream is not None and self._settle(stream) else None

    def enable(self, table: Table) -> None:
        """Begin a new stream of `table`, with a label of its own; the definition names its view type."""
        date = self._clock.time()
        while True:
            table.stream_label = datetime.fromtimestamp(date, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
            if self.arn(table) not in self._streams:
                break
            date += 0.001
        self.resume(table)

    def resume(self, table: Table) -> None:
        """Go on with the stream that `table` was kept with: same ARN, a new shard, none of the old records."""
        stream = Stream(
            self.arn(table),
            table.definition.keys,
            table.definition.stream_view or "",
            limits=self._limits,
            randomness=self._randomness,
        )
        stream.open(self._clock.time())
        self._streams[stream.arn] = self._enabled[table.definition.name] = stream

    def disable(self, name: str) -> None:
        """End the stream of the table called `name`, where it has one."""
        stream = self._enabled.pop(name, None)
        if stream is not None:
            stream.disable(self._clock.time())

    def hear(self, change: Change) -> None:
        """Record a write that took place."""
        stream = self._enabled.get(change.table.definition.name)
        if stream is not None:
            stream.add(change, self._clock.time())

    def _settle(self, stream: Stream) -> bool:
        """Bring a stream to now, and tell whether it is still there."""
        now = self._clock.time()
        if stream.disabled_s is not None and stream.disabled_s <= now - RETENTION_S:
            del self._streams[stream.arn]
            return False
        stream.settle(now)
        return True
