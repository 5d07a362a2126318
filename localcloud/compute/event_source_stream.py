"""The event source mapping from a stream to a function: a Kinesis stream, a consumer of one, or a DynamoDB stream.

The rules, as Lambda has them:
1. Every shard is read on its own, in order, from where the mapping starts; a shard that comes later starts at its
   oldest record, once all its parents are done. A parent that is gone holds up nobody.
2. A batch is tried until it succeeds, or until its retries or its age are used up (`stream_delivery`).
3. What is done is remembered in the checkpoints, which outlive a run: a mapping that is switched off and on goes on.
4. Trouble in one shard stays there: a shard that breaks is begun again from its checkpoint.

Reading is `stream_shards`, batching `stream_lane`, retrying `stream_delivery`, windows `stream_windows`. Knows a stream
by `StreamSource` and a function by `Invoke`.
Source: https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html, with-ddb.html
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from typing import Final

from localcloud.clock import Clock
from localcloud.compute.destinations import FailureDestination
from localcloud.compute.event_source import INTERNAL_ERROR, Criteria
from localcloud.compute.stream_checkpoints import Checkpoints
from localcloud.compute.stream_config import StreamMappingConfig, find_conflict
from localcloud.compute.stream_mandate import Invoke, Mandate, MappingFacts, MetricSink
from localcloud.compute.stream_shards import ShardRun
from localcloud.compute.stream_source import Shard, StreamGone, StreamSource
from sluiceway.errors import Misconfigured

__all__ = ["Checkpoints", "Invoke", "MappingFacts", "MetricSink", "StreamMapping"]

log = logging.getLogger(__name__)

LIST_S: Final = 10.0  # shards are looked for when one ends, and this often: a stream tells nobody of a new one
MEND_S: Final = 1.0


class StreamMapping:
    """One mapping; `run()` until stopped or cancelled, or until its stream is gone. May be run again after that."""

    def __init__(  # noqa: PLR0913 - the parts of a mapping, all keyword-only but three
        self,
        source: StreamSource,
        invoke: Invoke,
        config: StreamMappingConfig,
        *,
        facts: MappingFacts,
        criteria: Criteria | None = None,
        destination: FailureDestination | None = None,
        metrics: MetricSink | None = None,
        checkpoints: Checkpoints,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        """`checkpoints` belong to this mapping alone and outlive it. Raises Misconfigured: see `find_conflict`."""
        conflict = find_conflict(config)
        if conflict:
            raise Misconfigured(conflict, what="TumblingWindowInSeconds")
        self._mandate = Mandate(
            source=source,
            invoke=invoke,
            config=config,
            facts=facts,
            criteria=criteria,
            destination=destination,
            metrics=metrics,
            clock=clock,
            rng=rng,
        )
        self._checkpoints = checkpoints
        self._running: dict[str, asyncio.Task[None]] = {}
        self._runs: dict[str, ShardRun] = {}
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()
        self._gone = False

    @property
    def last_result(self) -> str:
        """The API's LastProcessingResult: "No records processed", "OK" or "PROBLEM: ..."."""
        return self._mandate.last_result

    async def run(self) -> None:
        """Read every shard and deliver its records. Cancelling is safe: what was in flight is delivered again."""
        self._gone = False
        self._mandate.stopping.clear()
        self._ended.clear()
        try:
            await self._read_shards()
        finally:
            self._ended.set()
        if self._gone:
            self._checkpoints.forget()
            arn = self._mandate.source.arn
            self._mandate.last_result = f"PROBLEM: Stream not found: {arn}"
            log.info("mapping.stream_gone", extra={"stream": arn})

    async def stop(self) -> None:
        """Begin no further invocation, and come back when the running ones have ended; what they did is remembered."""
        self._mandate.stopping.set()
        self._changed.set()
        for run in self._runs.values():
            run.stop()
        await self._ended.wait()

    async def _read_shards(self) -> None:
        stopping = self._mandate.stopping
        async with asyncio.TaskGroup() as group:
            while not self._gone and not stopping.is_set():
                self._changed.clear()
                self._begin_shards(group)
                await self._wait_for_change()
            if self._gone:
                for task in self._running.values():
                    task.cancel()

    def _begin_shards(self, group: asyncio.TaskGroup) -> None:
        try:
            shards = self._look()
        except StreamGone:
            self._gone = True
            self._changed.set()
            return
        except Exception:
            log.exception("mapping.shards_unknown", extra={"stream": self._mandate.source.arn})
            self._mandate.last_result = INTERNAL_ERROR
            return
        for shard_id in self._checkpoints.ready(shards, self._running):
            self._running[shard_id] = group.create_task(self._keep_shard(shard_id))

    def _look(self) -> Sequence[Shard]:
        source = self._mandate.source
        shards = source.shards()
        self._checkpoints.note(shards, self._mandate.config.start, place=source.cursor, running=self._running)
        return shards

    async def _wait_for_change(self) -> None:
        try:
            async with asyncio.timeout(LIST_S):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def _keep_shard(self, shard_id: str) -> None:
        """Read a shard to its end, whatever breaks on the way."""
        try:
            there: bool | None = None
            while there is None and not self._mandate.stopping.is_set():
                there = await self._run_shard(shard_id)
            self._gone |= there is False
        finally:
            del self._running[shard_id]
            self._runs.pop(shard_id, None)
            self._changed.set()

    async def _run_shard(self, shard_id: str) -> bool | None:
        """What `ShardRun.run` says; None, after a rest, where it broke."""
        run = self._runs[shard_id] = ShardRun(self._mandate, shard_id, self._checkpoints[shard_id])
        try:
            return await run.run()
        except Exception:
            log.exception("mapping.shard_broke", extra={"shard": shard_id})
            self._mandate.last_result = INTERNAL_ERROR
            await asyncio.sleep(MEND_S)
            return None
