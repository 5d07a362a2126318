"""A Map of DISTRIBUTED mode: items read, batched, run in executions of their own, results gathered or written.

Owns the run of a Map (`MapRun`) and when it has failed; items come from `items`, results go through `results`.
Source: https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from localcloud.json_text import parse_json
from localcloud.services.states.data import write_json
from localcloud.services.states.definition import State
from localcloud.services.states.execution import EXPRESS, Execution, Order
from localcloud.services.states.failures import THRESHOLD, StateFailure
from localcloud.services.states.flow import Lane, Revision
from localcloud.services.states.items import Batch, make_batches, read_all
from localcloud.services.states.names import execution_arn, map_run_arn
from localcloud.services.states.paths import Scope
from localcloud.services.states.query_data import evaluate_bounded
from localcloud.services.states.redriving import MAX_EVENTS
from localcloud.services.states.results import write_results
from localcloud.services.states.steps import read_number, read_value
from localcloud.uuids import new_uuid

__all__ = ["MapRun", "MapRuns"]

MAX_RUNS: Final = 1_000  # that have ended and are kept with their children, ours
MAX_CONCURRENCY: Final = 1_000  # at a time here; AWS has 10,000
_PENDING: Final = "PENDING_REDRIVE"
_BAD: Final = frozenset({"ABORTED", "FAILED", "TIMED_OUT"})
_OUTCOMES: Final[Mapping[str, str]] = {
    "ABORTED": "aborted",
    "FAILED": "failed",
    "PENDING_REDRIVE": "pendingRedrive",
    "RUNNING": "running",
    "SUCCEEDED": "succeeded",
    "TIMED_OUT": "timedOut",
}


class RunChild(Protocol):
    """Runs a child execution to its end."""

    async def __call__(self, revision: Revision, order: Order, run: MapRun) -> Execution:
        """The execution, ended."""
        ...


@dataclass(slots=True, eq=False)
class MapRun:
    """One run of a Map. Limits as UpdateMapRun may change them; `most` 0 for no limit. `changed` wakes who waits.

    `waiting`: all batches, by their place, until it has succeeded: a redrive runs those that did not.
    """

    arn: str
    execution_arn: str
    machine_arn: str
    start_s: float
    most: int
    tolerated_count: int | None
    tolerated_percentage: float | None
    status: str = "RUNNING"
    stop_s: float | None = None
    items: int = 0
    batches: int = 0
    bad_items: int = 0
    written: bool = False
    executions: list[Execution] = field(default_factory=list[Execution])
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: list[Batch] = field(default_factory=list[Batch])
    redrives: int = 0
    redriven_s: float | None = None

    @property
    def limit(self) -> int:
        """How many children may run at a time."""
        return min(self.most or MAX_CONCURRENCY, MAX_CONCURRENCY)

    def counts(self, *, of_items: bool) -> dict[str, int]:
        """itemCounts or executionCounts of DescribeMapRun."""
        found = dict.fromkeys(_OUTCOMES.values(), 0)
        for each in self.executions:
            found[_OUTCOMES[each.status]] += each.order.item_count if of_items else 1
        total = self.items if of_items else self.batches
        pending = total - sum(found.values())
        bad = [each for each in self.executions if each.status in _BAD and each.history.count >= MAX_EVENTS]
        lost = sum(each.order.item_count if of_items else 1 for each in bad)
        return {
            **found,
            "pending": pending,
            "total": total,
            "resultsWritten": total - pending if self.written else 0,
            "failuresNotRedrivable": lost,
        }

    def has_failed(self) -> bool:
        """Whether more items failed than are tolerated."""
        bad = self.bad_items
        if self.tolerated_count is None and self.tolerated_percentage is None:
            return bad > 0
        share = 100 * bad / self.items if self.items else 0.0
        over_count = self.tolerated_count is not None and bad > self.tolerated_count
        return over_count or (self.tolerated_percentage is not None and share > self.tolerated_percentage)


class RerunChild(Protocol):
    """Runs a child execution again, from where it ended."""

    async def __call__(self, execution: Execution) -> None:
        """To its end."""
        ...


class _TooManyFailed(Exception):
    """More than are tolerated."""


class MapRuns:
    """Runs Maps, and knows every run. A `MapStarter`."""

    def __init__(self, run_child: RunChild, rerun_child: RerunChild) -> None:
        self._run_child = run_child
        self._rerun_child = rerun_child
        self._runs: dict[str, MapRun] = {}
        self._children: dict[str, Execution] = {}

    def find(self, arn: str) -> MapRun | None:
        """The run of an ARN."""
        return self._runs.get(arn)

    def find_child(self, arn: str) -> Execution | None:
        """The execution of an ARN, where a Map began it."""
        return self._children.get(arn)

    def add_child(self, execution: Execution, run: MapRun) -> None:
        """Keep an execution with its run."""
        run.executions.append(execution)
        self._children[execution.arn] = execution

    def of_execution(self, arn: str) -> list[MapRun]:
        """The runs that an execution began, the latest first."""
        return [run for run in reversed(self._runs.values()) if run.execution_arn == arn]

    async def run_map(self, state: State, scope: Scope, *, lane: Lane) -> Any:
        """What the children give: their outputs, or where they were written. Raises StateFailure."""
        run = self._runs.get(lane.mark.map_run)
        if run is None:
            lane.add("MapStateStarted", length=0)
            run = await self._open(state, scope, lane)
            lane.add("MapRunStarted", mapRunArn=run.arn)
        else:
            self._reopen(run, lane)
            lane.add("MapRunRedriven", mapRunArn=run.arn, redriveCount=run.redrives)
        try:
            result = await self._fill(run, state, scope, lane=lane)
        except StateFailure as failure:
            self._close(run, "FAILED", lane)
            lane.add("MapRunFailed", error=failure.error, cause=failure.cause or None)
            lane.add("MapStateFailed")
            raise
        except asyncio.CancelledError:
            self._close(run, "ABORTED", lane)
            lane.add("MapRunAborted")
            raise
        self._close(run, "SUCCEEDED", lane)
        run.waiting = []
        lane.add("MapRunSucceeded")
        lane.add("MapStateSucceeded")
        return result

    async def _open(self, state: State, scope: Scope, lane: Lane) -> MapRun:
        revision, world = lane.run.revision, lane.run.world
        run = MapRun(
            arn=map_run_arn(revision, _label(state), world.rng),
            execution_arn=lane.run.arn,
            machine_arn=revision.arn,
            start_s=world.clock.time(),
            most=await read_number(state, "MaxConcurrency", scope, lane=lane) or 0,
            tolerated_count=await read_number(state, "ToleratedFailureCount", scope, lane=lane),
            tolerated_percentage=await _read_percentage(state, scope, lane),
        )
        self._forget()
        self._runs[run.arn] = run
        return run

    @staticmethod
    def _close(run: MapRun, status: str, lane: Lane) -> None:
        run.status, run.stop_s = status, lane.run.world.clock.time()
        for each in run.executions:
            if each.status == _PENDING:  # nobody came to redrive it
                each.status = "ABORTED"

    def _reopen(self, run: MapRun, lane: Lane) -> None:
        """A redrive: Standard children that have not succeeded go on, Express ones are begun anew."""
        run.redrives += 1
        run.redriven_s = lane.run.world.clock.time()
        run.status, run.stop_s, run.bad_items, run.written = "RUNNING", None, 0, False
        for each in tuple(run.executions):
            if each.status == "SUCCEEDED":
                continue
            if each.revision.kind == EXPRESS:
                run.executions.remove(each)
                del self._children[each.arn]
            else:
                each.status = _PENDING

    def _forget(self) -> None:
        """Drop the oldest runs that have ended, where there are too many."""
        ended = [run for run in self._runs.values() if run.status != "RUNNING"]
        for run in ended[: max(len(ended) - MAX_RUNS, 0)]:
            del self._runs[run.arn]
            for execution in run.executions:
                del self._children[execution.arn]

    async def _fill(self, run: MapRun, state: State, scope: Scope, *, lane: Lane) -> Any:
        if not run.waiting:
            items = await read_all(state, scope, lane=lane)
            run.waiting = await make_batches(state, items, scope, lane=lane)
            run.items, run.batches = sum(each.count for each in run.waiting), len(run.waiting)
            lane.mark.map_run = run.arn
        try:
            await self._run_all(run, state, lane=lane)
        except* _TooManyFailed:
            await self._write(run, state, scope, lane=lane)
            raise StateFailure(THRESHOLD, "The specified tolerated failure threshold was exceeded") from None
        written = await self._write(run, state, scope, lane=lane)
        if written is not None:
            return written
        by_place = sorted(run.executions, key=lambda each: each.order.place)
        return [parse_json(each.output) for each in by_place if each.status == "SUCCEEDED"]

    async def _write(self, run: MapRun, state: State, scope: Scope, *, lane: Lane) -> Any:
        if "ResultWriter" not in state.fields:
            return None
        written = await write_results(run.arn, run.executions, state, scope=scope, lane=lane)
        run.written = True
        return written

    async def _run_all(self, run: MapRun, state: State, *, lane: Lane) -> None:
        revision = _child_revision(lane.run.revision, state)
        begun = {each.order.place: each for each in run.executions}
        active = 0

        async def one(place: int, batch: Batch) -> None:
            nonlocal active
            try:
                child = begun.get(place)
                if child is None:
                    child = await self._run_child(revision, _order(revision, run, batch, place=place, lane=lane), run)
                else:
                    await self._rerun_child(child)
                run.bad_items += 0 if child.status == "SUCCEEDED" else batch.count
            finally:
                active -= 1
                run.changed.set()
            if run.has_failed():
                raise _TooManyFailed

        async with asyncio.TaskGroup() as group:
            for place, batch in enumerate(run.waiting):
                if place in begun and begun[place].status == "SUCCEEDED":
                    continue
                while active >= run.limit:
                    run.changed.clear()
                    await run.changed.wait()
                active += 1
                group.create_task(one(place, batch))


async def _read_percentage(state: State, scope: Scope, lane: Lane) -> float | None:
    name = "ToleratedFailurePercentage"
    if f"{name}Path" in state.fields:
        return read_value(state.fields[f"{name}Path"], scope, lane)
    if state.jsonata and name in state.fields:
        return await evaluate_bounded(state.fields[name], name, scope, lane=lane, bounds=(0, 100))
    return state.fields.get(name)


def _order(revision: Revision, run: MapRun, batch: Batch, *, place: int, lane: Lane) -> Order:
    rng = lane.run.world.rng
    name = new_uuid(rng)
    return Order(
        arn=execution_arn(revision, name, rng),
        name=name,
        text=write_json(batch.value),
        map_run_arn=run.arn,
        item_count=batch.count,
        place=place,
    )


def _child_revision(parent: Revision, state: State) -> Revision:
    config = state.fields["ItemProcessor"]["ProcessorConfig"]
    machine = state.inner[0]
    return replace(
        parent,
        kind=config["ExecutionType"],
        text=write_json(machine.source),
        machine=machine,
        label=_label(state),
    )


def _label(state: State) -> str:
    return state.fields.get("Label") or state.name
