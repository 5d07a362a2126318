"""What TestState is told that a task, a Map or a Parallel gives, in place of doing it.

Source: https://docs.aws.amazon.com/step-functions/latest/apireference/API_MockInput.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from localcloud.json_text import MalformedJson, parse_json
from localcloud.services.states.definition import State
from localcloud.services.states.errors import validation
from localcloud.services.states.failures import StateFailure
from localcloud.services.states.flow import Lane
from localcloud.services.states.paths import Scope
from localcloud.services.states.reading import read_arguments, read_items
from localcloud.services.states.task_limits import read_limits
from localcloud.services.states.task_resource import ACTIVITY, parse_resource

__all__ = ["MOCKED", "Mock", "read_mock"]

MOCKED: Final = frozenset({"Map", "Parallel", "Task"})
_UNCHECKED: Final = frozenset({ACTIVITY, "function"})  # nothing says what these give


@dataclass(frozen=True, slots=True)
class Mock:
    """What a state gives: a result, or a failure where there is one."""

    result: Any
    failure: StateFailure | None

    async def give(self, state: State, scope: Scope, lane: Lane) -> Any:
        """The result, after what the state hands on has been read. Raises StateFailure."""
        if state.kind == "Task":
            await read_limits(state, scope, lane)
        if state.kind != "Map":
            await read_arguments(state, scope, lane)
        elif "ItemReader" not in state.fields:
            await read_items(state, scope, lane)
        if self.failure is not None:
            raise self.failure
        return self.result


def read_mock(given: Mapping[str, Any] | None, fields: Mapping[str, Any]) -> Mock | None:
    """The mock of a request for a state, None without one. Raises StatesError ValidationException."""
    if given is None:
        return None
    if fields.get("Type") not in MOCKED:
        raise validation("A mock can only be specified for Task, Map, or Parallel states")
    if ("result" in given) is ("errorOutput" in given):
        raise validation("Exactly one of mock.result and mock.errorOutput must be specified")
    if "errorOutput" in given:
        told: Mapping[str, str] = given["errorOutput"]
        if "error" not in told:
            raise validation("mock.errorOutput.error must be specified")
        return Mock(None, StateFailure(told["error"], told.get("cause", "")))
    try:
        result = parse_json(given["result"])
    except MalformedJson as error:
        raise validation(f"mock.result is no JSON: {error}") from error
    _check(fields, result, given.get("fieldValidationMode", "STRICT"))
    return Mock(result, None)


def _check(fields: Mapping[str, Any], result: object, mode: str) -> None:
    """Hold a result against the model of the API that it is said to come from."""
    if fields["Type"] != "Task":
        if not isinstance(result, list) and "ResultWriter" not in fields:
            raise validation("mock.result of a Map or Parallel must be an array")
        return
    resource = parse_resource(str(fields.get("Resource")))
    if mode == "NONE" or resource.kind in _UNCHECKED or resource.pattern:
        return
    from localcloud.services.states.sdk import answer_problems  # noqa: PLC0415 - loads botocore

    problems = answer_problems(resource, result, strict=mode == "STRICT")
    if problems:
        raise validation(
            f"mock.result does not conform to the model of {resource.service}:{resource.action}: {problems}"
        )
