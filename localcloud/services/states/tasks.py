"""A Task: what is called with what, how long it may take, and what is told of it.

Knows services by the `TaskCaller` only.
Source: https://docs.aws.amazon.com/step-functions/latest/dg/state-task.html
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from localcloud.services.states.activity_tasks import run_activity
from localcloud.services.states.data import check_size, write_json
from localcloud.services.states.definition import State
from localcloud.services.states.failures import DATA_LIMIT, HEARTBEAT_TIMEOUT, RUNTIME, TIMEOUT, StateFailure
from localcloud.services.states.flow import Lane, PendingTask
from localcloud.services.states.paths import Scope
from localcloud.services.states.reading import read_arguments
from localcloud.services.states.task_limits import Limits, read_limits
from localcloud.services.states.task_resource import ACTIVITY, TaskResource, parse_resource

__all__ = ["run_task"]

_TIMEOUTS: Final = frozenset({TIMEOUT, HEARTBEAT_TIMEOUT})


async def run_task(state: State, scope: Scope, lane: Lane) -> Any:
    """The task's result. Raises StateFailure."""
    resource = parse_resource(state.fields["Resource"])
    limits = await read_limits(state, scope, lane)
    pending = lane.run.world.tokens.open(lane.run) if resource.waits or resource.kind == ACTIVITY else None
    try:
        context = {**scope.context, "Task": {"Token": pending.token}} if pending is not None else scope.context
        arguments = await read_arguments(state, Scope(scope.value, context, scope.variables), lane)
        if pending is not None and resource.kind == ACTIVITY:
            return await run_activity(resource.arn, arguments, limits, pending=pending, lane=lane)
        events = _Events(resource, lane)
        events.scheduled(arguments, limits)
        return await _watch(resource, arguments, limits, events=events, pending=pending)
    finally:
        if pending is not None:
            pending.close()


async def _watch(
    resource: TaskResource, arguments: Any, limits: Limits, *, events: _Events, pending: PendingTask | None
) -> Any:
    try:
        result = await _limit(resource, arguments, limits, events=events, pending=pending)
        shown = check_size(result, f"The state/task '{resource.arn}' returned a result")
    except StateFailure as failure:
        if failure.error != RUNTIME:
            events.failed(failure)
        raise
    events.succeeded(shown)
    return result


async def _limit(
    resource: TaskResource, arguments: Any, limits: Limits, *, events: _Events, pending: PendingTask | None
) -> Any:
    """The call within its time. A task that gives no heartbeat must end within the time for one."""
    bounds = [each for each in (limits.timeout_s, None if pending else limits.heartbeat_s) if each is not None]
    shortest = min(bounds, default=None)
    timer = asyncio.timeout(shortest)
    try:
        async with timer:
            return await _call(resource, arguments, limits, events=events, pending=pending)
    except TimeoutError:
        if not timer.expired():
            raise
        error = HEARTBEAT_TIMEOUT if shortest != limits.timeout_s else TIMEOUT
        raise StateFailure(error) from None


async def _call(
    resource: TaskResource, arguments: Any, limits: Limits, *, events: _Events, pending: PendingTask | None
) -> Any:
    run = events.lane.run
    caller = run.world.caller
    events.started()
    answer = await caller.call(resource, arguments, run)
    if not resource.pattern:
        return answer
    events.submitted(answer)
    if pending is not None:
        return await pending.answered(heartbeat_s=limits.heartbeat_s)
    return await caller.follow(resource, answer)


class _Events:
    """What the history is told of a task: functions by their ARN have events of their own."""

    def __init__(self, resource: TaskResource, lane: Lane) -> None:
        self._resource = resource
        self.lane = lane
        self._is_function = resource.kind == "function"
        self._told = {"resourceType": resource.shown_type, "resource": resource.shown_name}

    def scheduled(self, arguments: Any, limits: Limits) -> None:
        """Before anything is called."""
        text = check_size(arguments, f"The state/task '{self._resource.arn}' received an input")
        if self._is_function:
            self.lane.add(
                "LambdaFunctionScheduled",
                resource=self._resource.arn,
                input=text,
                inputDetails={"truncated": False},
                timeoutInSeconds=limits.timeout_s,
            )
            return
        self.lane.add(
            "TaskScheduled",
            **self._told,
            region=self.lane.run.region,
            parameters=text,
            timeoutInSeconds=limits.timeout_s,
            heartbeatInSeconds=limits.heartbeat_s,
        )

    def started(self) -> None:
        """The call begins."""
        if self._is_function:
            self.lane.add("LambdaFunctionStarted")
        else:
            self.lane.add("TaskStarted", **self._told)

    def submitted(self, answer: Any) -> None:
        """The service has taken what it is to do."""
        self.lane.add("TaskSubmitted", **self._told, output=_shown(answer), outputDetails={"truncated": False})

    def succeeded(self, text: str) -> None:
        """The result is there."""
        told = {"output": text, "outputDetails": {"truncated": False}}
        if self._is_function:
            self.lane.add("LambdaFunctionSucceeded", **told)
        else:
            self.lane.add("TaskSucceeded", **self._told, **told)

    def failed(self, failure: StateFailure) -> None:
        """It failed, or took too long."""
        ending = "TimedOut" if failure.error in _TIMEOUTS else "Failed"
        told = {"error": failure.error, "cause": failure.cause or None}
        if self._is_function:
            self.lane.add(f"LambdaFunction{ending}", **told)
        else:
            self.lane.add(f"Task{ending}", **self._told, **told)


def _shown(answer: Any) -> str:
    try:
        return check_size(answer, "The service's answer")
    except StateFailure as failure:
        if failure.error == DATA_LIMIT:
            return write_json({"truncated": True})
        raise
