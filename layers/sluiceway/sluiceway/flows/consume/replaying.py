"""A part of a stream once more: a plain iterator of its records, from a position to an end, with numbers on the way.

No leases and no other workers: for a tool, a test, a one-off job. Shards are read several at a time, each parent before
its children; the records of a shard come in order, those of different shards as they are read. What is read does not
grow: the shards are those that are there when it is opened. Where it leaves off, `progress.cursor` says how to go on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from sluiceway.events.kinesis import KinesisRecord
from sluiceway.flows.consume.opening import Opened, ShardOpening
from sluiceway.flows.consume.options import Manner
from sluiceway.flows.consume.reading import ShardReading
from sluiceway.ports import Chance, Clock, SystemChance, SystemClock
from sluiceway.ports.consuming import ShardGone, ShardReader
from sluiceway.rules.consuming.leases import Lease
from sluiceway.rules.consuming.shards import Shard, find_ready, plan_leases
from sluiceway.rules.consuming.spans import SHARD_END, Checkpoint, Span, choose_position, is_past

__all__ = ["Replay", "ReplayOptions", "ReplayProgress", "open_replay"]

AHEAD: Final = 2  # pages that are read and not taken, of all shards


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """How a replay reads. `at_once`: shards at a time. `done`: how far shards are done already, an earlier `cursor`.

    A reader that can push has a consumer of its own, and takes nothing from the shards' limits.
    """

    manner: Manner = field(default_factory=lambda: Manner(share=0.2))
    at_once: int = 8
    done: Mapping[str, Checkpoint] = field(default_factory=dict[str, Checkpoint])
    clock: Clock = field(default_factory=SystemClock)
    chance: Chance = field(default_factory=SystemChance)


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """How far a replay is: what its iterator has given out.

    `shards` are read in all, `shards_done` of them to their end. `arrived_ms`: of the last record, 0 before it.
    `behind_ms`: of the shard that was read last, None before one was. `cursor`: how far each shard is, with the last
    record that was given out; go on from there with `ReplayOptions.done`, and that record is not given out again.
    """

    shards: int
    shards_done: int
    records: int
    size_bytes: int
    arrived_ms: int
    behind_ms: int | None
    cursor: Mapping[str, Checkpoint]


class Replay:
    """The records, in an `async for`; `progress` at any time. Made by `open_replay`, and lives as long as its block."""

    def __init__(self, reader: ShardReader, span: Span, shards: tuple[Shard, ...], *, options: ReplayOptions) -> None:
        self.span = span
        self._reader = reader
        self._options = options
        leases = plan_leases(shards, (), span)
        self._leases = {
            lease.shard_id: replace(lease, checkpoint=options.done.get(lease.shard_id, lease.checkpoint))
            for lease in leases
        }
        self._shards = shards
        self._cursor = {shard_id: lease.checkpoint for shard_id, lease in self._leases.items()}
        self._taken: deque[tuple[str, Opened]] = deque()
        self._pages: asyncio.Queue[tuple[str, list[Opened]] | Exception | None] = asyncio.Queue(AHEAD)
        self._news = asyncio.Event()
        self._records = self._size_bytes = self._arrived_ms = 0
        self._behind_ms: int | None = None

    @property
    def progress(self) -> ReplayProgress:
        """How far it is."""
        done = sum(checkpoint.is_end for checkpoint in self._cursor.values())
        return ReplayProgress(
            shards=len(self._leases),
            shards_done=done,
            records=self._records,
            size_bytes=self._size_bytes,
            arrived_ms=self._arrived_ms,
            behind_ms=self._behind_ms,
            cursor=dict(self._cursor),
        )

    def __aiter__(self) -> Replay:
        return self

    async def __anext__(self) -> KinesisRecord:
        """The next record. One whose aggregate cannot be opened has a `fault`."""
        while True:
            while self._taken:
                shard_id, (record, checkpoint) = self._taken.popleft()
                self._cursor[shard_id] = checkpoint
                if record is not None:
                    self._records += 1
                    self._size_bytes += len(record.data)
                    self._arrived_ms = record.arrived_ms
                    return record
            page = await self._pages.get()
            if page is None or isinstance(page, Exception):
                self._pages.put_nowait(page)  # it stays at its end
                raise page or StopAsyncIteration
            shard_id, opened = page
            self._taken.extend((shard_id, each) for each in opened)

    async def read_all(self) -> None:
        """Read the shards, parents first, while somebody takes their records. What fails, the iterator raises."""
        end: Exception | None = None
        try:
            async with asyncio.TaskGroup() as group:
                await self._begin_shards(group)
        except ExceptionGroup as errors:
            end = errors.exceptions[0]
        await self._pages.put(end)

    async def _begin_shards(self, group: asyncio.TaskGroup) -> None:
        running: dict[str, asyncio.Task[None]] = {}
        while any(not lease.is_done for lease in self._leases.values()):
            ready = find_ready(self._shards, tuple(self._leases.values()), self.span)
            waiting = [lease for lease in ready if lease.shard_id not in running]
            room = self._options.at_once - sum(not task.done() for task in running.values())
            for lease in waiting[: max(0, room)]:
                running[lease.shard_id] = group.create_task(self._read(lease))
            await self._news.wait()
            self._news.clear()

    async def _read(self, lease: Lease) -> None:
        options, shard_id = self._options, lease.shard_id
        reading = ShardReading(
            self._reader,
            shard_id,
            choose_position(self.span, shard_id, lease.checkpoint),
            manner=options.manner,
            clock=options.clock,
            chance=options.chance,
        )
        opening = ShardOpening(shard_id, self._reader.arn, span=self.span, done=lease.checkpoint)
        try:
            async with aclosing(reading.turns()) as turns:
                async for turn in turns:
                    await self._pages.put((shard_id, list(opening.open(turn.page))))
                    self._behind_ms = turn.page.behind_ms
                    if opening.is_over or is_past(self.span, asked_ms=turn.asked_ms, behind_ms=self._behind_ms):
                        break
        except ShardGone:
            pass  # it has expired with what was still to be read of it
        await self._pages.put((shard_id, [Opened(None, SHARD_END)]))
        self._leases[shard_id] = replace(lease, checkpoint=SHARD_END)
        self._news.set()


@asynccontextmanager
async def open_replay(
    reader: ShardReader, span: Span | None = None, *, options: ReplayOptions | None = None
) -> AsyncGenerator[Replay]:
    """The records of a stream within `span`, all that it keeps by default. An end that is not given is now.

    Raises what listing the shards raises; trouble with reading them is waited out, and said in the log. Leaving the
    block ends the reading.
    """
    chosen = options or ReplayOptions()
    now_ms = chosen.clock.now_ms()
    asked = (span or Span()).freeze(now_ms)
    bounded = asked if asked.is_bounded else replace(asked, until_ms=now_ms)
    replay = Replay(reader, bounded, await reader.list_shards(bounded), options=chosen)
    raised: Exception | None = None
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(replay.read_all())
        try:
            yield replay
        except Exception as error:  # noqa: BLE001 - not for the group to wrap
            raised = error
        finally:
            reading.cancel()
    if raised is not None:
        raise raised
