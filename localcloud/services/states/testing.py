"""TestState: one state, tried once, without a machine, and what each step of its data gave.

Source: https://docs.aws.amazon.com/step-functions/latest/dg/test-state-isolation.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, cast

from localcloud.json_text import MalformedJson, parse_json
from localcloud.services.states.call import Call, Result
from localcloud.services.states.data import write_json
from localcloud.services.states.definition import State, read_definition
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
_STEPS: Final = frozenset({"afterArguments", "afterParameters", "afterResultPath", "afterResultSelector", "result"})
_OF_TASKS: Final = frozenset({"afterArguments", "afterResultSelector"})
_OUT: Final = frozenset({"Map", "Parallel"})


async def test_state(call: Call) -> Result:
    """What a state gives to an input, in one try. Raises StatesError."""
    values = call.values
    _refuse(values)
    fields = _state_of(_read(values["definition"], "InvalidDefinition"), values.get("stateName"))
    given = _read(values.get("input", "{}"), "InvalidExecutionInput")
    variables = _read(values.get("variables", "{}"), "ValidationException")
    if fields.get("Type") in _OUT or _waits(str(fields.get("Resource", ""))):
        raise not_served("Without a mock, Map, Parallel and tasks that wait cannot be tested, and mocks are")
    if fields.get("Type") == "Task" and "roleArn" not in values:
        raise validation("A role ARN must be provided to test a Task state")
    if not isinstance(variables, dict):
        raise validation("variables is not a JSON object")
    lane = _open(call, fields)
    lane.own.update(cast("dict[str, Any]", variables))
    notes = lane.run.notes = None if values.get("inspectionLevel", "INFO") == "INFO" else {"input": given}
    try:
        async with asyncio.timeout(LIMIT_S):
            tried = await try_once(lane.run.revision.machine.states[_NAME], given, lane)
    except TimeoutError:
        tried = Tried("FAILED", "", None, StateFailure(TIMEOUT))
    inspected = (
        {} if notes is None else {"inspectionData": _inspect(lane.run.revision.machine.states[_NAME], notes, lane.own)}
    )
    return _show(tried) | inspected


def _refuse(values: Mapping[str, Any]) -> None:
    for name in ("context", "mock", "stateConfiguration"):
        if name in values:
            raise not_served(f"{name} of TestState is")
    if values.get("revealSecrets"):
        raise not_served("revealSecrets is for HTTP tasks, which are")


def _state_of(definition: object, name: str | None) -> dict[str, Any]:
    """The state that is tested: the definition itself, or the one of this name in a whole machine."""
    if not isinstance(definition, dict):
        raise invalid_definition("INVALID_JSON_DESCRIPTION: The definition is not a JSON object")
    fields = cast("dict[str, Any]", definition)
    if name is None:
        return fields
    found = _find_state(fields, name)
    if found is None:
        raise validation(f"The definition has no state of the name {name}")
    return {"QueryLanguage": fields["QueryLanguage"], **found} if "QueryLanguage" in fields else found


def _find_state(machine: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    pending: list[Any] = [machine]
    while pending:
        each = pending.pop()
        if isinstance(each, list):
            pending.extend(cast("list[Any]", each))
        elif isinstance(each, dict):
            fields = cast("dict[str, Any]", each)
            states = fields.get("States")
            if isinstance(states, dict) and isinstance(cast("dict[str, Any]", states).get(name), dict):
                return cast("dict[str, dict[str, Any]]", states)[name]
            pending.extend(fields.values())
    return None


def _waits(resource: str) -> bool:
    return ":activity:" in resource or "." in resource.rpartition(":")[2]


def _inspect(state: State, notes: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, str]:
    """What each step gave that the state's type has; the variables as they are afterwards."""
    absent = frozenset[str]() if state.kind == "Task" else _OF_TASKS
    if state.kind != "Task" and (state.kind != "Pass" or state.jsonata):
        absent = _STEPS
    shown = {name: write_json(value) for name, value in notes.items() if name not in absent}
    return shown | ({"variables": write_json(variables)} if variables else {})


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
