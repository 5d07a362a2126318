"""Functions as a target: records in events, as their event source has them, and what the answers say of them.

1. One event holds records of one shard or queue, in order: as many as the mapping takes, within 6 MB.
2. A function that reports batch item failures is heeded: of a stream, what lies before the lowest that failed is taken,
   the rest comes again; of a queue, those that it names.
3. A batch that fails is split in halves where that is allowed, until it is one record. What cannot be split comes again
   after a wait, `tries` times; then it is refused, or, of a stream that reports, the record that it stands at.
4. What the mapping filters out is taken: the function would not have had it.

Sources: https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html,
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

from localcloud.caller import Invoked
from localcloud.compute.event_source import MAX_EVENT_BYTES, is_kept
from localcloud.compute.sqs_event import read_failures
from localcloud.replay.items import Item, Kind, group_lanes
from localcloud.replay.mappings import Route
from localcloud.replay.patience import backoff_s
from sluiceway.errors import ServiceRefused
from sluiceway.ports import Chance

__all__ = ["FunctionTarget", "Invoker", "Routes"]

AT_ONCE: Final = 8  # lanes: shards and queues


class Invoker(Protocol):
    """Invokes a function and waits for its answer."""

    async def invoke(self, function: str, payload: bytes) -> Invoked:
        """Raises ServiceRefused for an event that is not taken, SluicewayError where the function cannot be reached."""
        ...


class Routes(Protocol):
    """Which functions are to have what."""

    async def find(self, kind: Kind, origin: str) -> Sequence[Route]:
        """Raises SluicewayError where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class _Entry:
    """A record in an event: its place in the batch, what a partial answer names it by, its JSON."""

    at: int
    mark: str
    text: bytes


class FunctionTarget:
    """Invokes with RequestResponse. `tries`: invocations with one batch that all fail."""

    def __init__(self, invoker: Invoker, routes: Routes, *, chance: Chance, tries: int = 3) -> None:
        self._invoker = invoker
        self._routes = routes
        self._chance = chance
        self._tries = tries

    def mark(self) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    async def send(self, items: Sequence[Item]) -> list[str]:
        """As the port says: an item is taken once every function that is to have it has."""
        reasons = [""] * len(items)
        gate = asyncio.Semaphore(AT_ONCE)
        lanes = [
            _Lane(self, route, [(at, items[at]) for at in places], reasons=reasons)
            for (kind, origin, _), places in group_lanes(items).items()
            for route in await self._routes.find(kind, origin)
        ]
        try:
            async with asyncio.TaskGroup() as group:
                for lane in lanes:
                    group.create_task(lane.work_off(gate))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        return reasons

    async def invoke(self, route: Route, payload: bytes) -> Invoked:
        """One invocation; what Lambda does not take is an error of the function's, by its code."""
        try:
            return await self._invoker.invoke(route.function, payload)
        except ServiceRefused as error:
            return Invoked(json.dumps({"errorType": error.code}).encode(), error.code, "")

    async def wait(self, failures: int) -> bool:
        """Wait before the next attempt; False where there is to be none."""
        if failures >= self._tries:
            return False
        await asyncio.sleep(backoff_s(failures, self._chance.draw()))
        return True


class _Lane:
    """What one function has of one shard or queue. Fills in the `reasons` of those that it refuses."""

    def __init__(
        self, target: FunctionTarget, route: Route, items: Sequence[tuple[int, Item]], *, reasons: list[str]
    ) -> None:
        self._target = target
        self._kind: Kind = items[0][1].kind
        self._route = route
        self._items = items
        self._reasons = reasons

    async def work_off(self, gate: asyncio.Semaphore) -> None:
        """All of it, one event after the other."""
        async with gate:
            if self._kind == "event":
                for at, item in self._items:
                    await self._deliver([_Entry(at, item.mark, item.content)])
                return
            batch: list[_Entry] = []
            size = 0
            for entry in self._write():
                if batch and (len(batch) >= self._route.batch or size + len(entry.text) + 1 > MAX_EVENT_BYTES):
                    await self._deliver(batch)
                    batch, size = [], 0
                batch.append(entry)
                size += len(entry.text) + 1
            await self._deliver(batch)

    def _write(self) -> list[_Entry]:
        entries: list[_Entry] = []
        for at, item in self._items:
            try:
                record = item.as_record(self._route.source_arn)
            except ValueError as error:
                self._reasons[at] = f"malformed: {error}"
                continue
            if is_kept(self._route.criteria, record, record_id=item.key):
                text = json.dumps(record, separators=(",", ":")).encode()
                entries.append(_Entry(at, item.mark, text))
        return entries

    async def _deliver(self, batch: Sequence[_Entry]) -> None:
        """One batch, to the end of each of its records."""
        left = [(batch, 0)] if batch else []
        while left:
            current, failures = left.pop()
            invoked = await self._target.invoke(self._route, self._event(current))
            done, rest = self._split(current, invoked)
            if not rest:
                continue
            if done:
                left.append((rest, 0))
            elif self._route.bisects and len(rest) > 1:
                half = len(rest) // 2
                left += [(rest[half:], 0), (rest[:half], 0)]
            elif await self._target.wait(failures + 1):
                left.append((rest, failures + 1))
            else:
                left += self._refuse(rest, invoked)

    def _event(self, batch: Sequence[_Entry]) -> bytes:
        texts = b",".join(entry.text for entry in batch)
        return texts if self._kind == "event" else b'{"Records":[' + texts + b"]}"

    def _split(self, batch: Sequence[_Entry], invoked: Invoked) -> tuple[Sequence[_Entry], Sequence[_Entry]]:
        """What was done, and what is to come again."""
        if invoked.function_error:
            return [], batch
        if not self._route.reports or self._kind == "event":
            return batch, []
        failed = read_failures(invoked.payload, {entry.mark for entry in batch})
        if self._kind == "sqs":
            done = [entry for entry in batch if entry.mark not in failed]
            return done, [entry for entry in batch if entry.mark in failed]
        first = next((place for place, entry in enumerate(batch) if entry.mark in failed), len(batch))
        return batch[:first], batch[first:]

    def _refuse(self, batch: Sequence[_Entry], invoked: Invoked) -> list[tuple[Sequence[_Entry], int]]:
        """Give up; what is behind the record that a stream stands at goes on."""
        count = len(batch)
        if not invoked.function_error and self._kind != "sqs":
            count = next((place for place, entry in enumerate(batch) if entry.mark != batch[0].mark), count)
        for entry in batch[:count]:
            self._reasons[entry.at] = _explain(invoked)
        return [(batch[count:], 0)] if batch[count:] else []


def _explain(invoked: Invoked) -> str:
    if not invoked.function_error:
        return "reported: the function names it as failed"
    try:
        told: object = json.loads(invoked.payload)
    except ValueError:
        told = None
    kind = cast("Mapping[str, object]", told).get("errorType") if isinstance(told, dict) else None
    return f"function-error: {kind or invoked.function_error}"
