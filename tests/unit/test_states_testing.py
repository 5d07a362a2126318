"""TestState: one state, tried once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.states_setup import FUNCTION, ROLE, FunctionFailed, World, run_world

TASK: dict[str, Any] = {"Type": "Task", "Resource": f"{FUNCTION}f", "Next": "After"}


def _fail(_event: Any) -> None:
    raise FunctionFailed("E", "no")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"Type": "Pass", "Parameters": {"v.$": "$v", "a.$": "$.a"}, "Next": "B"},
         {"status": "SUCCEEDED", "output": '{"v":2,"a":1}', "nextState": "B"}),
        ({"Type": "Choice", "Choices": [{"Variable": "$.a", "NumericEquals": 1, "Next": "X"}], "Default": "Y"},
         {"status": "SUCCEEDED", "output": '{"a":1}', "nextState": "X"}),
        ({"Type": "Fail", "Error": "E", "Cause": "c"}, {"status": "FAILED", "error": "E", "cause": "c"}),
        ({**TASK, "Retry": [{"ErrorEquals": ["E"]}]}, {"status": "RETRIABLE", "error": "E"}),
        ({**TASK, "Catch": [{"ErrorEquals": ["E"], "Next": "C"}]},
         {"status": "CAUGHT_ERROR", "error": "E", "nextState": "C"}),
    ],
)  # fmt: skip
def test_a_state_is_tried_once(state: dict[str, Any], expected: dict[str, Any]) -> None:
    """With the input and variables that are given; what a machine would do next is told."""

    async def story(world: World) -> None:
        world.functions["f"] = _fail
        given = {"definition": json.dumps(state), "roleArn": ROLE, "input": '{"a": 1}', "variables": '{"v": 2}'}
        told = await world.ask("TestState", **given)
        assert {name: told.get(name) for name in expected} == expected
        assert world.loop.time() == 0

    run_world(story)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"definition": json.dumps(TASK)}, "ValidationException"),
        ({"definition": "{"}, "InvalidDefinition"),
        ({"definition": '{"Type": "Nap"}'}, "InvalidDefinition"),
        ({"definition": '{"Type": "Succeed"}', "input": "{"}, "InvalidExecutionInput"),
        ({"definition": '{"Type": "Succeed"}', "inspectionLevel": "TRACE"}, "ValidationException"),
        ({"definition": json.dumps({**TASK, "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken"}),
          "roleArn": ROLE}, "ValidationException"),
        ({"definition": '{"Type": "Parallel"}'}, "ValidationException"),
    ],
)  # fmt: skip
def test_what_cannot_be_tried_is_refused(values: dict[str, str], code: str) -> None:
    """A task without a role, what is no state, what waits."""

    async def story(world: World) -> None:
        status, told = await world.call("TestState", **values)
        assert (status, told["__type"]) == (400, code)

    run_world(story)
