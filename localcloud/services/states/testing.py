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
from localcloud.services.states.mocks import MOCKED, read_mock
from localcloud.services.states.names import execution_arn, machine_arn
from localcloud.services.states.rules import items_of
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
    if "mock" not in values:
        _check_without_mock(fields, values)
    lane = _open(call, fields)
    lane.own.update(_read_object(values, "variables"))
    lane.run.told_context = _read_object(values, "context")
    lane.run.mock = read_mock(values.get("mock"), fields)
    notes = lane.run.notes = None if values.get("inspectionLevel", "INFO") == "INFO" else {"input": given}
    state = lane.run.revision.machine.states[_NAME]
    try:
        async with asyncio.timeout(LIMIT_S):
            retries = values.get("stateConfiguration", {}).get("retrierRetryCount", 0)
            tried = await try_once(state, given, lane, retries=retries)
    except TimeoutError:
        tried = Tried("FAILED", "", None, StateFailure(TIMEOUT))
    if notes is None:
        return _show(tried)
    return _show(tried) | {"inspectionData": _inspect(state, notes, lane.own) | _details(tried)}


def _check_without_mock(fields: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    kind, resource = str(fields.get("Type")), str(fields.get("Resource", ""))
    if kind in _OUT or ":activity:" in resource or "." in resource.rpartition(":")[2]:
        raise validation("Map, Parallel, activities and tasks that wait can only be tested when a mock is specified")
    if kind == "Task" and "roleArn" not in values:
        raise validation("A role ARN must be provided to test a Task state")
    for name in ("context", "stateConfiguration"):
        if name in values:
            raise validation(f"{name} can only be specified when a mock is specified")


def _details(tried: Tried) -> dict[str, Any]:
    return {"errorDetails": dict(tried.handler)} if tried.handler else {}


def _read_object(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = _read(values.get(name, "{}"), "ValidationException")
    if not isinstance(found, dict):
        raise validation(f"{name} is not a JSON object")
    return cast("dict[str, Any]", found)


def _refuse(values: Mapping[str, Any]) -> None:
    for name in values.get("stateConfiguration", {}):
        if name in {"errorCausedByState", "mapItemReaderData", "mapIterationFailureCount"}:
            raise not_served(f"stateConfiguration.{name} of TestState is")
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


def _inspect(state: State, notes: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
    """What each step gave that the state's type has; the variables as they are afterwards."""
    absent = frozenset[str]() if state.kind in MOCKED else _OF_TASKS
    if state.kind not in MOCKED and (state.kind != "Pass" or state.jsonata):
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
    leads = [fields, {"Next": fields.get("Default")}, *items_of(fields, "Choices"), *items_of(fields, "Catch")]
    names = [each.get("Next") for each in leads]
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
