"""The operations on runs of Maps. Source: https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from localcloud.services.states.call import Call, Result, cut
from localcloud.services.states.distributed import MapRun
from localcloud.services.states.errors import no_resource, validation

__all__ = ["MAP_OPERATIONS"]


async def _describe(call: Call) -> Result:
    run = _find(call)
    found: dict[str, Any] = {
        "mapRunArn": run.arn,
        "executionArn": run.execution_arn,
        "status": run.status,
        "startDate": run.start_s,
        "stopDate": run.stop_s,
        "maxConcurrency": run.most,
        "toleratedFailurePercentage": float(run.tolerated_percentage or 0),
        "toleratedFailureCount": run.tolerated_count or 0,
        "itemCounts": run.counts(of_items=True),
        "executionCounts": run.counts(of_items=False),
        "redriveCount": run.redrives,
        "redriveDate": run.redriven_s,
    }
    return {name: value for name, value in found.items() if value is not None}


async def _list(call: Call) -> Result:
    execution = call.machines.find_execution(call.values["executionArn"])
    page, more = cut(call.machines.map_runs.of_execution(execution.arn), call.values)
    listed = [
        {
            "executionArn": run.execution_arn,
            "mapRunArn": run.arn,
            "stateMachineArn": run.machine_arn,
            "startDate": run.start_s,
            **({} if run.stop_s is None else {"stopDate": run.stop_s}),
        }
        for run in page
    ]
    return {"mapRuns": listed, **more}


async def _update(call: Call) -> Result:
    run, values = _find(call), call.values
    percentage = values.get("toleratedFailurePercentage")
    if percentage is not None and not (isinstance(percentage, int | float) and 0 <= percentage <= 100):
        raise validation("toleratedFailurePercentage must be from 0 to 100")
    if run.status != "RUNNING":
        raise validation("The Map Run has ended and cannot be updated")
    run.most = values.get("maxConcurrency", run.most)
    run.tolerated_count = values.get("toleratedFailureCount", run.tolerated_count)
    run.tolerated_percentage = run.tolerated_percentage if percentage is None else percentage
    run.changed.set()
    return {}


def _find(call: Call) -> MapRun:
    run = call.machines.map_runs.find(call.values["mapRunArn"])
    if run is None:
        raise no_resource(call.values["mapRunArn"])
    return run


MAP_OPERATIONS: Final[Mapping[str, Callable[[Call], Awaitable[Result]]]] = {
    "DescribeMapRun": _describe,
    "ListMapRuns": _list,
    "UpdateMapRun": _update,
}
