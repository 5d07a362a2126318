"""TestState: one state, tried once, without a machine. Inspection of the steps of its data is not served.

Source: https://docs.aws.amazon.com/step-functions/latest/dg/test-state-isolation.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, cast

from localcloud.json_text import MalformedJson, parse_json
from localcloud.services.states.call import Call, Result
from localcloud.services.states.data import write_json
from localcloud.services.states.definition import read_definition
from localcloud.services.states.errors import StatesError, invalid_definition, not_served, validation
from localcloud.services.states.failures import TIMEOUT, StateFailure
from localcloud.services.states.flow import Lane, Revision, Run, show_time
from localcloud.services.states.history import History
from localcloud.services.states.names import execution_arn, machine_arn
from localcloud.services.states.run import Tried, try_once
from localcloud.uuids import new_uuid

__all__ = ["test_state"]

LIMIT_S: Final = 300  # "TestState ... can run for up to five minutes"
_NAME: Final = "StateToTest"
_OUT: Final = frozenset({"Map", "Parallel"})


async def test_state(call: Call) -> Result:
    """What a state gives to an input, in one try. Raises StatesError."""
    values = call.values
    if values.get("inspectionLevel", "INFO") != "INFO" or values.get("revealSecrets"):
        raise not_served("Inspection levels other than INFO are")
    state = _read(values["definition"], "InvalidDefinition")
    given = _read(values.get("input", "{}"), "InvalidExecutionInput")
    variables = _read(values.get("variables", "{}"), "ValidationException")
    if not isinstance(state, dict):
        raise invalid_definition("INVALID_JSON_DESCRIPTION: The definition is not a JSON object")
    fields = cast("dict[str, Any]", state)
    if fields.get("Type") in _OUT or "." in str(fields.get("Resource", "")).rpartition(":")[2]:
        raise not_served("Tests of Map, Parallel and of tasks that wait are")
    if fields.get("Type") == "Task" and "roleArn" not in values:
        raise validation("A role ARN must be provided to test a Task state")
    if not isinstance(variables, dict):
        raise validation("variables is not a JSON object")
    lane = _open(call, fields)
    lane.own.update(cast("dict[str, Any]", variables))
    try:
        async with asyncio.timeout(LIMIT_S):
            tried = await try_once(lane.run.revision.machine.states[_NAME], given, lane)
    except TimeoutError:
        tried = Tried("FAILED", "", None, StateFailure(TIMEOUT))
    return _show(tried)


def _open(call: Call, fields: Mapping[str, Any]) -> Lane:
    world = call.machines.world
    text = _wrap(fields)
    revision = Revision(
        arn=machine_arn(_NAME, call.region),
        name=_NAME,
        kind="STANDARD",
        text=text,
        machine=read_definition(text, "STANDARD"),
        role_arn=call.values.get("roleArn", ""),
        region=call.region,
        revision_id="",
        logs={},
        traced=False,
        updated_s=world.clock.time(),
    )
    name = new_uuid(world.rng)
    arn = execution_arn(revision, name, world.rng)
    facts = {
        "Execution": {
            "Id": arn,
            "Name": name,
            "RoleArn": revision.role_arn,
            "StartTime": show_time(world.clock.time()),
        },
        "StateMachine": {"Id": revision.arn, "Name": _NAME},
    }
    run = Run(arn=arn, revision=revision, history=History(world.clock, limit=None), facts=facts, world=world)
    return Lane(run, 0)


def _wrap(fields: Mapping[str, Any]) -> str:
    """A machine around the state, with an end for each name that it leads to."""
    leads = [fields, {"Next": fields.get("Default")}]
    for name in ("Choices", "Catch"):
        listed = fields.get(name)
        leads += [cast("dict[str, Any]", each) for each in cast("list[Any]", listed or []) if isinstance(each, dict)]
    names = {each.get("Next") for each in leads}
    ends = {name: {"Type": "Succeed"} for name in names if isinstance(name, str) and name != _NAME}
    return write_json({"StartAt": _NAME, "States": {_NAME: dict(fields), **ends}})


def _show(tried: Tried) -> Result:
    found: Result = {"status": tried.status}
    if tried.failure is not None:
        found |= {"error": tried.failure.error, "cause": tried.failure.cause}
    if tried.status in {"CAUGHT_ERROR", "SUCCEEDED"}:
        found["output"] = write_json(tried.output)
    return found | ({"nextState": tried.next} if tried.next else {})


def _read(text: str, code: str) -> object:
    try:
        return parse_json(text)
    except MalformedJson as error:
        raise StatesError(code, f"The text is not JSON: {error}") from error
