"""What CloudWatch is told of standard executions: names, units and the dimension of AWS/States."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from localcloud.services.states.metering import ExecutionMeters
from tests.unit.counting_setup import Told
from tests.unit.states_setup import REGION, World, run_world

WAIT = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 3, "End": True}}}
FAIL = {"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "Mine"}}}
SLOW = WAIT | {"TimeoutSeconds": 2}


@pytest.mark.parametrize(
    ("definition", "ended", "took_ms"),
    [
        (WAIT, "ExecutionsSucceeded", 3000),
        (FAIL, "ExecutionsFailed", 0),
        (SLOW, "ExecutionsTimedOut", 2000),
        (None, "ExecutionsAborted", 1000),
    ],
    ids=["succeeded", "failed", "timed-out", "aborted"],
)
def test_an_execution_counts_when_it_begins_and_as_it_ends(definition: Any, ended: str, took_ms: int) -> None:
    """Each end has a metric of its own; the time is from the start to the end, in milliseconds."""

    async def story(world: World) -> None:
        told = Told("AWS/States", REGION)
        meters = ExecutionMeters(told.counters)
        arn = await world.create(definition or WAIT)
        execution = await world.start(arn)
        meters.note(execution)
        if definition is None:
            await asyncio.sleep(1)
            execution.stop(None, None)
        await execution.ended.wait()
        meters.note(execution)
        where = {"StateMachineArn": arn}
        assert told.stats("ExecutionsStarted", **where) == (1, 1, 1, 1)
        assert told.stats(ended, **where) == (1, 1, 1, 1)
        assert told.stats("ExecutionTime", **where) == (1, took_ms, took_ms, took_ms)
        assert told.unit("ExecutionTime", **where) == "Milliseconds"
        assert told.names() == {"ExecutionsStarted", ended, "ExecutionTime"}

    run_world(story)


def test_a_redrive_is_no_new_execution() -> None:
    """It ends once more, though."""

    async def story(world: World) -> None:
        told = Told("AWS/States", REGION)
        meters = ExecutionMeters(told.counters)
        arn = await world.create(FAIL)
        execution = await world.start(arn)
        meters.note(execution)
        await execution.ended.wait()
        meters.note(execution)
        await world.ask("RedriveExecution", executionArn=execution.arn)
        meters.note(execution)
        await execution.ended.wait()
        meters.note(execution)
        where = {"StateMachineArn": arn}
        assert told.stats("ExecutionsStarted", **where) == (1, 1, 1, 1)
        assert told.stats("ExecutionsFailed", **where) == (2, 2, 1, 1)

    run_world(story)
