"""One execution, from its start to its end: its status, result and history.

Owns how a walk ends: with an output, a failure, a time-out, or because somebody stopped it.
Source: https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeExecution.html
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from localcloud.json_text import parse_json
from localcloud.services.states.data import write_json
from localcloud.services.states.failures import RUNTIME, TIMEOUT, StateFailure
from localcloud.services.states.flow import Lane, Mark, Revision, Run, World, show_time
from localcloud.services.states.history import MAX_EVENTS, Event, History, HistoryFull
from localcloud.services.states.run import walk

__all__ = ["EXPRESS", "EXPRESS_S", "STANDARD_S", "Execution", "Order", "make_history", "perform"]

EXPRESS: Final = "EXPRESS"
EXPRESS_S: Final = 300  # "the maximum duration of an Express workflow is five minutes"
STANDARD_S: Final = 31_536_000  # "Maximum execution time: 1 year"
_ABORTED_KIND: Final = "ExecutionAborted"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What StartExecution says; of a Map's child also the run's ARN, how many items it has, and its place."""

    arn: str
    name: str
    text: str
    trace_header: str = ""
    map_run_arn: str = ""
    item_count: int = 0
    place: int = 0
    version_arn: str = ""
    alias_arn: str = ""


@dataclass(slots=True, eq=False)
class Execution:
    """An execution. `status` as the API has it; `output` JSON, "" without."""

    revision: Revision
    order: Order
    start_s: float
    history: History
    status: str = "RUNNING"
    output: str = ""
    error: str | None = None
    cause: str | None = None
    stop_s: float | None = None
    task: asyncio.Task[None] | None = None
    begun: bool = False
    stopped: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    mark: Mark = field(default_factory=Mark)
    redrives: int = 0
    redriven_s: float | None = None
    redrive_token: str = ""

    @property
    def arn(self) -> str:
        """Its ARN."""
        return self.order.arn

    def begin_again(self, now_s: float, token: str) -> None:
        """A redrive: it runs again, from where its mark is."""
        self.redrives += 1
        self.redriven_s, self.redrive_token = now_s, token
        self.status, self.error, self.cause, self.stop_s = "RUNNING", None, None, None
        self.begun = self.stopped = False
        self.ended = asyncio.Event()

    def stop(self, error: str | None, cause: str | None) -> None:
        """Abort it, with what is told of it; nothing where it has ended."""
        if self.status != "RUNNING" or self.stopped:
            return
        self.stopped, self.error, self.cause = True, error, cause
        if self.task is not None and self.begun:  # one that has not begun sees that it is stopped when it does
            self.task.cancel()


def make_history(world: World, revision: Revision, hear: Callable[[Event], None] | None) -> History:
    """The history of an execution; Express ones keep none."""
    return History(world.clock, limit=None if revision.kind == EXPRESS else MAX_EVENTS, hear=hear)


async def perform(execution: Execution, world: World) -> None:
    """Run an execution to its end; every end but the local cloud's own is a status."""
    revision, order, history = execution.revision, execution.order, execution.history
    value = parse_json(order.text)
    facts = {
        "Execution": {
            "Id": order.arn,
            "Input": value,
            "Name": order.name,
            "RoleArn": revision.role_arn,
            "StartTime": show_time(execution.start_s),
            "RedriveCount": execution.redrives,
            **({} if execution.redriven_s is None else {"RedriveTime": show_time(execution.redriven_s)}),
        },
        "StateMachine": {"Id": revision.arn, "Name": revision.name},
    }
    run = Run(
        arn=order.arn,
        revision=revision,
        history=history,
        facts=facts,
        world=world,
    )
    lane = Lane(run, 0, mark=execution.mark)
    execution.begun = True
    _tell_begin(execution, lane)
    try:
        await _finish(execution, value, lane)
    except asyncio.CancelledError:
        if not execution.stopped and not order.map_run_arn:
            raise  # the local cloud ends
        _end(execution, lane, "ABORTED")
        if not execution.stopped:
            raise


def _tell_begin(execution: Execution, lane: Lane) -> None:
    order = execution.order
    if execution.redrives:
        lane.previous = execution.history.count
        lane.add("ExecutionRedriven", redriveCount=execution.redrives)
        return
    lane.add(
        "ExecutionStarted",
        input=order.text,
        inputDetails={"truncated": False},
        roleArn=execution.revision.role_arn,
        stateMachineAliasArn=order.alias_arn or None,
        stateMachineVersionArn=order.version_arn or None,
    )
    lane.previous = 0  # as AWS has it: the first state follows nothing


async def _finish(execution: Execution, value: Any, lane: Lane) -> None:
    machine = execution.revision.machine
    longest_s = EXPRESS_S if execution.revision.kind == EXPRESS else STANDARD_S
    limit_s = min(machine.timeout_s or longest_s, longest_s)
    if execution.stopped:  # before it began
        raise asyncio.CancelledError
    try:
        async with asyncio.timeout(limit_s):
            output = await walk(machine, value, lane)
    except StateFailure as failure:
        execution.error, execution.cause = failure.error, failure.cause
        _end(execution, lane, "FAILED")
    except TimeoutError:
        execution.error, execution.cause = TIMEOUT, None
        _end(execution, lane, "TIMED_OUT")
    except HistoryFull as full:
        execution.error, execution.cause = RUNTIME, str(full)
        _end(execution, lane, "FAILED")
    except Exception as error:  # the edge of an execution: what nobody foresaw is its failure, aloud
        log.exception("states.execution_failed", extra={"execution": execution.arn})
        execution.error, execution.cause = RUNTIME, f"The local cloud failed: {type(error).__name__}: {error}"
        _end(execution, lane, "FAILED")
    else:
        execution.output = write_json(output)
        _end(execution, lane, "SUCCEEDED")


def _end(execution: Execution, lane: Lane, status: str) -> None:
    execution.status = status
    execution.stop_s = lane.run.world.clock.time()
    if status == "SUCCEEDED" or execution.revision.kind == EXPRESS:
        execution.mark.finish(None)
    if status == "SUCCEEDED":
        lane.add("ExecutionSucceeded", output=execution.output, outputDetails={"truncated": False})
    else:
        kind = {"ABORTED": _ABORTED_KIND, "FAILED": "ExecutionFailed", "TIMED_OUT": "ExecutionTimedOut"}[status]
        lane.add(kind, error=execution.error or None, cause=execution.cause or None)
