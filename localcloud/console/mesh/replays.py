"""Records of a stream sent to one of its readers once more: what is asked for, how far it is, how it ends.

The records are read at a share of the shards' limits and go to the function as its mapping would send them (batches,
filters, partial answers), up to the moment at which the replay was begun. The mapping itself is left alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from localcloud.clock import Clock
from localcloud.console.mesh.cloud import Cloud, Json
from localcloud.console.refusals import ApiError
from localcloud.replay.items import Item, Kind, item_of_kinesis
from localcloud.replay.mappings import Route
from localcloud.replay.targets.functions import FunctionTarget
from localcloud.replay.targets.invokers import ApiInvoker
from sluiceway.aws.streams import KinesisReader
from sluiceway.errors import SluicewayError
from sluiceway.flows.consume import Replay, open_replay
from sluiceway.ports import SystemChance
from sluiceway.rules.consuming.spans import Span
from sluiceway.rules.criteria import FilterCriteria
from sluiceway.rules.patterns import InvalidPattern

__all__ = ["Replays", "Wanted", "read_route", "read_wanted"]

MAX_RUNNING: Final = 4
MAX_KEPT: Final = 20  # that have ended
MAX_RATE: Final = 1_000  # records a second
MAX_FILTERS: Final = 10
MAX_BATCH: Final = 100
MAX_REASONS: Final = 10
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for: a mapping by its id, from where (0: all that the stream keeps), records a second."""

    mapping: str
    since_ms: int
    rate: int


def read_wanted(body: Json) -> Wanted:
    """`{"reader": UUID, "since_ms"?: n, "rate"?: n}`. Raises ApiError."""
    if body.keys() - {"reader", "since_ms", "rate"} or not isinstance(body.get("reader"), str):
        raise ApiError('The body is an object with "reader", and perhaps "since_ms" and "rate".')
    since_ms, rate = body.get("since_ms") or 0, body.get("rate", 100)
    if type(since_ms) is not int or not 0 <= since_ms < 1 << 53:
        raise ApiError("since_ms is a time in milliseconds since 1970, or 0.")
    if type(rate) is not int or not 1 <= rate <= MAX_RATE:
        raise ApiError(f"rate is a number of records a second from 1 to {MAX_RATE}.")
    return Wanted(body["reader"], since_ms, rate)


def read_route(mapping: Json) -> Route:
    """How the mapping invokes its function. Raises ApiError for one that counts in windows."""
    if mapping.get("TumblingWindowInSeconds"):
        raise ApiError("The function counts in windows, whose state a replay has not.", status=409)
    filters = cast("Json", mapping.get("FilterCriteria") or {}).get("Filters")
    try:
        criteria = FilterCriteria("kinesis", filters, max_filters=MAX_FILTERS) if filters else None
    except InvalidPattern as error:
        raise ApiError("The filters of the mapping cannot be read.", status=409) from error
    return Route(
        str(mapping["FunctionArn"]),
        str(mapping["EventSourceArn"]),
        batch=int(mapping.get("BatchSize") or MAX_BATCH),
        reports="ReportBatchItemFailures" in (mapping.get("FunctionResponseTypes") or ()),
        bisects=bool(mapping.get("BisectBatchOnFunctionError")),
        criteria=criteria,
    )


@dataclass(slots=True)
class _Progress:
    """One replay, as REPLAY of the API's docstring."""

    id: str
    stream: str
    reader: str
    function: str
    since_ms: int
    until_ms: int
    rate: int
    state: str = "running"
    done: int = 0
    refused: int = 0
    arrived_ms: int = 0
    first_ms: int = 0
    shards: int = 0
    shards_done: int = 0
    error: str | None = None
    reasons: Counter[str] = field(default_factory=Counter[str])

    def to_json(self) -> Json:
        found: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__ if name != "reasons"}
        del found["first_ms"]
        told = [{"reason": reason, "records": count} for reason, count in self.reasons.most_common(MAX_REASONS)]
        return {**found, "fraction": self._fraction(), "reasons": told}

    def _fraction(self) -> float:
        """How far it is, by the time at which records arrived: nobody knows how many there are."""
        if self.state == "done":
            return 1.0
        length_ms = self.until_ms - self.first_ms
        return min(1.0, max(0.0, (self.arrived_ms - self.first_ms) / length_ms)) if self.first_ms and length_ms else 0.0


@dataclass(frozen=True, slots=True)
class _Route:
    """The one function that everything goes to."""

    route: Route

    async def find(self, kind: Kind, origin: str) -> Sequence[Route]:  # noqa: ARG002 - the target's port
        """That one."""
        return (self.route,)


class Replays:
    """Those that run, and the last that have ended. `tell` hears of each step."""

    def __init__(self, cloud: Cloud, group: asyncio.TaskGroup, clock: Clock, *, tell: Callable[[Json], None]) -> None:
        self._cloud = cloud
        self._group = group
        self._clock = clock
        self._tell = tell
        self._count = 0
        self._kept: dict[str, _Progress] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def list(self) -> list[Json]:
        """The newest first."""
        return [each.to_json() for each in reversed(self._kept.values())]

    def begin(self, wanted: Wanted, mapping: Json, *, stream: str, function: str) -> Json:
        """Begin one; how far it is. Raises ApiError."""
        route = read_route(mapping)
        if len(self._tasks) >= MAX_RUNNING:
            raise ApiError(f"{MAX_RUNNING} replays run already; cancel one.", status=429)
        now_ms = round(self._clock.time() * 1000)
        if wanted.since_ms > now_ms:
            raise ApiError("since_ms has not come yet.")
        self._count += 1
        progress = _Progress(f"r{self._count}", stream, wanted.mapping, function, wanted.since_ms, now_ms, wanted.rate)
        self._kept[progress.id] = progress
        for old in [each for each in self._kept if each not in self._tasks and each != progress.id][:-MAX_KEPT]:
            del self._kept[old]
        self._tasks[progress.id] = self._group.create_task(self._run(progress, route))
        return progress.to_json()

    def cancel(self, replay_id: str) -> None:
        """End one before its end. Raises ApiError where there is none, or it has ended."""
        task = self._tasks.get(replay_id)
        if task is None:
            raise ApiError(f"No replay {replay_id} runs.", status=404)
        task.cancel()

    def close(self) -> None:
        """End all."""
        for task in self._tasks.values():
            task.cancel()

    async def _run(self, progress: _Progress, route: Route) -> None:
        try:
            await self._send_all(progress, route)
            progress.state = "done"
        except asyncio.CancelledError:
            progress.state = "cancelled"
            raise
        except SluicewayError as error:
            progress.state, progress.error = "failed", str(error)
        except Exception:  # noqa: BLE001 - the outermost edge of a task: a defect is a failed replay
            _LOG.exception("console.replay_failed")
            progress.state, progress.error = "failed", "The local cloud's log says why."
        finally:
            del self._tasks[progress.id]
            self._tell(progress.to_json())

    async def _send_all(self, progress: _Progress, route: Route) -> None:
        chance = SystemChance()
        target = FunctionTarget(ApiInvoker(self._cloud.wire, chance=chance), _Route(route), chance=chance)
        begin = {"kind": "AT_TIMESTAMP", "at_ms": progress.since_ms} if progress.since_ms else {"kind": "TRIM_HORIZON"}
        span = Span(**cast("Any", begin), until_ms=progress.until_ms)
        source_arn = route.source_arn.partition("/consumer/")[0]
        loop = asyncio.get_running_loop()
        next_at = loop.time()
        async with open_replay(KinesisReader(self._cloud.wire, source_arn), span) as replay:
            progress.shards = replay.progress.shards
            while batch := await _gather(replay, min(MAX_BATCH, progress.rate)):
                await asyncio.sleep(max(0.0, next_at - loop.time()))
                next_at = max(next_at, loop.time()) + len(batch) / progress.rate
                self._note(progress, batch, await target.send(batch))
                progress.shards_done = replay.progress.shards_done
                self._tell(progress.to_json())
            progress.shards_done = replay.progress.shards_done

    def _note(self, progress: _Progress, batch: Sequence[Item], reasons: Sequence[str]) -> None:
        progress.first_ms = progress.first_ms or batch[0].arrived_ms
        progress.arrived_ms = max(progress.arrived_ms, *(item.arrived_ms for item in batch), 0)
        for reason in reasons:
            progress.done += not reason
            progress.refused += bool(reason)
            if reason:
                progress.reasons[reason] += 1


async def _gather(replay: Replay, most: int) -> list[Item]:
    """The next records, none at the end."""
    batch: list[Item] = []
    async for record in replay:
        batch.append(item_of_kinesis(record))
        if len(batch) >= most:
            break
    return batch
