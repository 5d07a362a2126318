"""A worker that reads a stream together with others: which shards it holds, from its start to its end.

Every few seconds it reads the leases, lists the shards, writes leases for new ones, and takes or asks for its share of
those that may be read. There is no leader: each worker does the same, and conditional writes decide. docs/consuming.md
has the guarantees. Must not know records.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from sluiceway import log
from sluiceway.errors import Retryable, SluicewayError
from sluiceway.flows.consume.keeping import LeaseKeeper
from sluiceway.flows.consume.options import ConsumeDesk, ConsumeOptions, Handler
from sluiceway.flows.consume.shard import ShardProgress, ShardRun, Work
from sluiceway.ports.consuming import LeaseStore, ShardReader
from sluiceway.rules.consuming.balance import choose_moves
from sluiceway.rules.consuming.leases import Lease, Sightings, ask, take
from sluiceway.rules.consuming.shards import Shard, find_ready, find_stale, plan_leases
from sluiceway.rules.consuming.spans import Span

__all__ = ["Consumer"]

SOON_S: Final = 1.0  # the next round, where something is under way
ROUND_ENDS_S: Final = 2.0  # what a round may still take once the worker is to stop
TOKEN: Final = 1 << 52  # chance has so many values


class Consumer:
    """One worker of a namespace. `run` it once; `stop` it from a signal handler or another task.

    Every record of the stream within `span` is handed to `handle` at least once, in order by `options.lane_of` within a
    shard and from parents to children. The span that the namespace was begun with holds, whatever is said later. A
    span with an end is a replay: `run` returns once all of it is done, by all workers of the namespace.
    """

    def __init__(  # noqa: PLR0913 - a stream, its leases and what is done with it
        self,
        reader: ShardReader,
        leases: LeaseStore,
        handle: Handler,
        *,
        desk: ConsumeDesk,
        span: Span | None = None,
        options: ConsumeOptions | None = None,
    ) -> None:
        self._options = options or ConsumeOptions()
        self._span = span or Span("LATEST")
        self._reader, self._store, self._handle, self._desk = reader, leases, handle, desk
        draw = desk.chance.draw
        self.name = f"{self._options.worker}:{int(draw() * TOKEN):013x}{int(draw() * TOKEN):013x}"
        self._runs: dict[str, ShardRun] = {}
        self._sightings = Sightings(self._options.lease_s)
        self._wake = asyncio.Event()
        self._stopping = False
        self._limit: asyncio.Timeout | None = None  # of the round that is under way

    def stop(self) -> None:
        """Begin nothing more, hand every shard over, and let `run` return.

        After `stop_s` at the latest, and what the last writes take: `lease_s` at most.
        """
        self._stopping = True
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time() + ROUND_ENDS_S)
        for run in self._runs.values():
            run.stop()
        self._wake.set()

    def progress(self) -> tuple[ShardProgress, ...]:
        """How far each shard is that this worker holds now."""
        return tuple(run.report() for _, run in sorted(self._runs.items()))

    async def run(self) -> None:
        """Read until `stop`, or until all of a span with an end is done. No task outlives the call.

        Cancelled, it leaves its leases to lapse. Raises Misconfigured and Rejected where the namespace cannot be begun;
        later troubles of the stream and the leases are said in the log, and waited out.
        """
        work = await self._begin()
        async with asyncio.TaskGroup() as group:
            while work is not None and not self._stopping:
                self._wake.clear()
                try:
                    async with asyncio.timeout(self._options.lease_s) as self._limit:
                        wait_s = await self._look_round(group, work)
                except (SluicewayError, TimeoutError) as error:
                    log.failure("consume.round_failed", error)
                    wait_s = self._options.round_s
                self._limit = None
                if wait_s is None:
                    return
                await self._rest(wait_s)

    async def _begin(self) -> Work | None:
        """What is read, once the namespace says from where to where; None where it is stopped before that."""
        asked = self._span.freeze(self._desk.clock.now_ms())
        while not self._stopping:
            try:
                span = await self._store.begin(asked)
            except Retryable as error:
                log.failure("consume.round_failed", error)
                await self._rest(self._options.round_s)
            else:
                log.info("consume.begun", worker=self.name, start=span.kind, at_ms=span.at_ms, until_ms=span.until_ms)
                return Work(self._reader, self._handle, self._desk, self._options, span)
        return None

    async def _rest(self, for_s: float) -> None:
        """About so long, or until something is to be done at once."""
        try:
            async with asyncio.timeout(for_s * (0.75 + self._desk.chance.draw() / 2)):
                await self._wake.wait()
        except TimeoutError:
            return

    # ------------------------------------------------------------------ a round

    async def _look_round(self, group: asyncio.TaskGroup, work: Work) -> float | None:
        """One round; seconds to the next, None where there is nothing more to do ever."""
        leases = await self._store.list()
        now = asyncio.get_running_loop().time()
        shards = await self._reader.list_shards(work.span)  # after the leases: see rules.consuming.shards
        self._sightings.note(leases, now)
        leases = await self._add_leases(shards, leases, work.span)
        self._compare(leases)
        for lease in find_stale(shards, leases):
            await self._store.delete(lease)
        if work.span.is_bounded and leases and all(lease.is_done for lease in leases):
            return None
        soon = await self._move(group, work, find_ready(shards, leases, work.span))
        return min(SOON_S, self._options.round_s) if soon else self._options.round_s

    async def _add_leases(self, shards: Sequence[Shard], leases: tuple[Lease, ...], span: Span) -> tuple[Lease, ...]:
        """The leases with those that were missing and are ours to write; others' come with the next round."""
        added = [lease for lease in plan_leases(shards, leases, span) if await self._store.create(lease)]
        return (*leases, *added)

    def _compare(self, leases: Sequence[Lease]) -> None:
        """Let the keepers look at leases that somebody else has changed."""
        for lease in leases:
            run = self._runs.get(lease.shard_id)
            if run is not None and lease.counter > run.keeper.lease.counter:
                run.keeper.hurry()

    async def _move(self, group: asyncio.TaskGroup, work: Work, ready: Sequence[Lease]) -> bool:
        """Take and ask for what is ours to; whether more is to be done soon."""
        now = asyncio.get_running_loop().time()
        for lease in ready:  # handed to us
            if lease.owner == self.name and lease.shard_id not in self._runs:
                await self._take(group, work, lease)
        free = {
            lease.shard_id
            for lease in ready
            if lease.shard_id not in self._runs and self._sightings.is_free(lease, now)
        }
        moves = choose_moves(ready, self.name, free=free, most=self._options.most_leases, draw=self._desk.chance.draw)
        for lease in moves.take:
            await self._take(group, work, lease)
        if moves.ask_for is not None and not self._stopping:
            await self._store.write(ask(moves.ask_for, self.name), seen=moves.ask_for)
        return moves.more or moves.ask_for is not None or any(lease.wanted_by == self.name for lease in ready)

    async def _take(self, group: asyncio.TaskGroup, work: Work, lease: Lease) -> None:
        if self._stopping:
            return
        mine, sent_at = take(lease, self.name), asyncio.get_running_loop().time()
        if await self._store.write(mine, seen=lease) != mine:
            return
        keeper = LeaseKeeper(self._store, mine, lease_s=self._options.lease_s, sent_at=sent_at)
        run = self._runs[mine.shard_id] = ShardRun(work, keeper)
        log.info("consume.taken", shard_id=mine.shard_id, switches=mine.switches)
        if self._stopping:
            run.stop()
        group.create_task(self._run_shard(run))

    async def _run_shard(self, run: ShardRun) -> None:
        try:
            outcome = await run.run()
        finally:
            del self._runs[run.shard_id]
        if outcome == "done":
            self._wake.set()  # its children may be read now
