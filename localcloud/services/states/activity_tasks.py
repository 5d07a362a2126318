"""A Task of an activity: it waits for a worker, and its times count from when one has it.

Source: https://docs.aws.amazon.com/step-functions/latest/dg/state-task.html
"""

from __future__ import annotations

import asyncio
from typing import Any

from localcloud.services.states.activities import Activity
from localcloud.services.states.data import check_size
from localcloud.services.states.failures import HEARTBEAT_TIMEOUT, RUNTIME, TIMEOUT, StateFailure
from localcloud.services.states.flow import Lane, PendingTask
from localcloud.services.states.task_limits import Limits

__all__ = ["run_activity"]


async def run_activity(arn: str, arguments: Any, limits: Limits, *, pending: PendingTask, lane: Lane) -> Any:
    """What a worker gives back. Raises StateFailure."""
    text = check_size(arguments, f"The state/task '{arn}' received an input")
    lane.add(
        "ActivityScheduled",
        resource=arn,
        input=text,
        inputDetails={"truncated": False},
        timeoutInSeconds=limits.timeout_s,
        heartbeatInSeconds=limits.heartbeat_s,
    )
    activity = lane.run.world.activities.get(arn)
    if activity is None:
        failure = StateFailure(RUNTIME, f"The activity '{arn}' does not exist.", located=False)
        lane.add("ActivityScheduleFailed", error=failure.error, cause=failure.cause)
        raise failure
    try:
        result = await _wait(activity, text, limits, pending=pending, lane=lane)
        shown = check_size(result, f"The state/task '{arn}' returned a result")
    except StateFailure as failure:
        ending = "TimedOut" if failure.error in {HEARTBEAT_TIMEOUT, TIMEOUT} else "Failed"
        lane.add(f"Activity{ending}", error=failure.error or None, cause=failure.cause or None)
        raise
    lane.add("ActivitySucceeded", output=shown, outputDetails={"truncated": False})
    return result


async def _wait(activity: Activity, text: str, limits: Limits, *, pending: PendingTask, lane: Lane) -> Any:
    task = activity.schedule(pending.token, text)
    try:
        worker = await task.picked
    finally:
        activity.withdraw(task)
    lane.add("ActivityStarted", workerName=worker or None)
    timer = asyncio.timeout(limits.timeout_s)
    try:
        async with timer:
            return await pending.answered(heartbeat_s=limits.heartbeat_s)
    except TimeoutError:
        if not timer.expired():
            raise
        raise StateFailure(TIMEOUT) from None
