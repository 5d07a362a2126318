"""TestState: one state, tried once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.states_setup import FUNCTION, REGION, ROLE, FunctionFailed, World, one, run_world

INNER = {"StartAt": "I", "States": {"I": {"Type": "Pass", "End": True}}}
LOOK: dict[str, Any] = {"Type": "Task", "Resource": "arn:aws:states:::dynamodb:getItem", "End": True}
GRANT = "arn:aws:states:::aws-sdk:sfn:startExecution"
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
        ({"definition": '{"Type": "Succeed"}', "inspectionLevel": "TRACE", "revealSecrets": True},
         "ValidationException"),
        ({"definition": '{"Type": "Succeed"}', "mock": {"result": "{}"}}, "ValidationException"),
        ({"definition": '{"Type": "Succeed"}', "context": "{}"}, "ValidationException"),
        ({"definition": '{"Type": "Succeed"}', "stateConfiguration": {}}, "ValidationException"),
        ({"definition": json.dumps(TASK), "mock": {}}, "ValidationException"),
        ({"definition": json.dumps(TASK), "mock": {"result": "{"}}, "ValidationException"),
        ({"definition": json.dumps(TASK), "mock": {"result": "1", "errorOutput": {"error": "E"}}},
         "ValidationException"),
        ({"definition": json.dumps(TASK), "mock": {"errorOutput": {"cause": "c"}}}, "ValidationException"),
        ({"definition": json.dumps(TASK), "mock": {"result": "1"},
          "stateConfiguration": {"mapIterationFailureCount": 1}}, "ValidationException"),
        ({"definition": json.dumps({"Type": "Parallel", "Branches": [INNER], "End": True}), "mock": {"result": "1"}},
         "ValidationException"),
        ({"definition": json.dumps(LOOK), "mock": {"result": '{"Items": []}'}}, "ValidationException"),
        ({"definition": json.dumps(LOOK), "mock": {"result": '{"Item": {"a": {"X": "1"}}}'}}, "ValidationException"),
        ({"definition": json.dumps({**LOOK, "Resource": GRANT}), "mock": {"result": "{}"}}, "ValidationException"),
        ({"definition": '{"Type": "Succeed"}', "stateName": "S"}, "ValidationException"),
        ({"definition": json.dumps({**TASK, "Resource": f"arn:aws:states:{REGION}:123456789012:activity:a"}),
          "roleArn": ROLE}, "ValidationException"),
        ({"definition": json.dumps({**TASK, "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken"}),
          "roleArn": ROLE}, "ValidationException"),
        ({"definition": '{"Type": "Choice", "Choices": 1.5, "Default": {}}'}, "InvalidDefinition"),
        ({"definition": '{"Type": "Parallel"}'}, "ValidationException"),
    ],
)  # fmt: skip
def test_what_cannot_be_tried_is_refused(values: dict[str, str], code: str) -> None:
    """A task without a role, what is no state, what waits."""

    async def story(world: World) -> None:
        status, told = await world.call("TestState", **values)
        assert (status, told["__type"]) == (400, code)

    run_world(story)


STEPS: dict[str, Any] = {
    "Type": "Task",
    "Resource": f"{FUNCTION}f",
    "InputPath": "$.a",
    "Parameters": {"p.$": "$.b"},
    "ResultSelector": {"r.$": "$.v"},
    "ResultPath": "$.put",
    "OutputPath": "$.put.r",
    "Assign": {"kept.$": "$.r"},
    "End": True,
}


@pytest.mark.parametrize("level", ["DEBUG", "TRACE"])
def test_each_step_of_a_states_data_is_shown(level: str) -> None:
    """From its input to its output, and the variables that it leaves."""

    async def story(world: World) -> None:
        world.functions["f"] = lambda event: {"v": event["p"] + 1}
        given = {"definition": json.dumps(STEPS), "roleArn": ROLE, "input": '{"a": {"b": 1}}', "inspectionLevel": level}
        assert await world.ask("TestState", **given) == {
            "status": "SUCCEEDED",
            "output": "2",
            "inspectionData": {
                "input": '{"a":{"b":1}}',
                "afterInputPath": '{"b":1}',
                "afterParameters": '{"p":1}',
                "result": '{"v":2}',
                "afterResultSelector": '{"r":2}',
                "afterResultPath": '{"a":{"b":1},"put":{"r":2}}',
                "variables": '{"kept":2}',
            },
        }

    run_world(story)


def test_each_step_of_a_state_in_jsonata_is_shown() -> None:
    """Its arguments and its result; a state in the middle of a machine is found by its name."""

    async def story(world: World) -> None:
        world.functions["f"] = lambda event: {"v": event["p"] + 1}
        state = {
            "Type": "Task",
            "Resource": f"{FUNCTION}f",
            "Arguments": {"p": "{% $states.input.a + $v %}"},
            "Assign": {"v": "{% $states.result.v %}"},
            "Output": "{% $states.result.v * 2 %}",
            "End": True,
        }
        inner = {"StartAt": "Deep", "States": {"Deep": state}}
        machine = {"QueryLanguage": "JSONata", **one({"Type": "Map", "ItemProcessor": inner})}
        given = {"definition": json.dumps(machine), "stateName": "Deep", "roleArn": ROLE}
        more = {"input": '{"a": 1}', "variables": '{"v": 5}', "inspectionLevel": "DEBUG"}
        assert await world.ask("TestState", **given, **more) == {
            "status": "SUCCEEDED",
            "output": "14",
            "inspectionData": {
                "input": '{"a":1}',
                "afterArguments": '{"p":6}',
                "result": '{"v":7}',
                "variables": '{"v":7}',
            },
        }
        told = await world.ask("TestState", **given, input="{}", inspectionLevel="DEBUG")
        assert (told["status"], told["error"], told["inspectionData"]) == (
            "FAILED", "States.QueryEvaluationError", {"input": "{}"},
        )  # fmt: skip

    run_world(story)


def test_a_pass_and_a_choice_have_fewer_steps() -> None:
    """Only those that their type has."""

    async def story(world: World) -> None:
        state = {"Type": "Pass", "Parameters": {"a": 1}, "ResultPath": "$.p", "End": True}
        told = await world.ask("TestState", definition=json.dumps(state), inspectionLevel="DEBUG")
        assert set(told["inspectionData"]) == {
            "input",
            "afterInputPath",
            "afterParameters",
            "result",
            "afterResultPath",
        }
        choice = {"Type": "Choice", "Choices": [{"Variable": "$.a", "IsPresent": True, "Next": "T"}], "Default": "U"}
        told = await world.ask("TestState", definition=json.dumps(choice), inspectionLevel="DEBUG")
        assert (told["nextState"], told["inspectionData"]) == ("U", {"input": "{}", "afterInputPath": "{}"})

    run_world(story)


@pytest.mark.parametrize(
    ("state", "mock", "expected"),
    [
        ({**TASK, "ResultPath": "$.r"}, {"result": '{"v": 1}'},
         {"status": "SUCCEEDED", "output": '{"a":1,"r":{"v":1}}', "nextState": "After"}),
        (LOOK, {"result": '{"Item": {"a": {"S": "x"}}, "SdkHttpMetadata": {}}'}, {"status": "SUCCEEDED"}),
        ({**LOOK, "Resource": GRANT}, {"result": "{}", "fieldValidationMode": "PRESENT"}, {"status": "SUCCEEDED"}),
        (LOOK, {"result": '{"Items": []}', "fieldValidationMode": "NONE"}, {"output": '{"Items":[]}'}),
        ({"Type": "Parallel", "Branches": [INNER], "End": True}, {"result": "[1]"}, {"output": "[1]"}),
        ({"Type": "Map", "ItemsPath": "$.l", "ItemProcessor": INNER, "End": True}, {"result": "[2]"},
         {"output": "[2]"}),
        ({"Type": "Task", "Resource": f"arn:aws:states:{REGION}:123456789012:activity:a", "End": True},
         {"result": "3"}, {"output": "3"}),
        ({**TASK, "Retry": [{"ErrorEquals": ["E"]}]}, {"errorOutput": {"error": "E", "cause": "c"}},
         {"status": "RETRIABLE", "error": "E", "cause": "c"}),
        ({**TASK, "Catch": [{"ErrorEquals": ["E"], "Next": "C"}]}, {"errorOutput": {"error": "E"}},
         {"status": "CAUGHT_ERROR", "nextState": "C", "output": '{"Error":"E","Cause":""}'}),
    ],
)  # fmt: skip
def test_a_mock_stands_in_for_what_a_state_calls(
    state: dict[str, Any], mock: dict[str, Any], expected: dict[str, Any]
) -> None:
    """A result or an error; nothing is called, and no role is needed."""

    async def story(world: World) -> None:
        given = {
            "definition": json.dumps(state),
            "input": '{"a": 1, "l": []}' if state["Type"] == "Map" else '{"a": 1}',
        }
        told = await world.ask("TestState", **given, mock=mock)
        assert {name: told.get(name) for name in expected} == expected
        assert world.requests == []

    run_world(story)


def test_retries_and_the_context_of_a_mock() -> None:
    """After so many retries the error is caught; what would take it is shown; a token comes from the context."""

    async def story(world: World) -> None:
        wait = {"ErrorEquals": ["E"], "IntervalSeconds": 3, "MaxAttempts": 2, "BackoffRate": 2}
        catch = {"ErrorEquals": ["E"], "Next": "C"}
        state = {**TASK, "Retry": [{"ErrorEquals": ["F"]}, wait], "Catch": [{"ErrorEquals": ["F"], "Next": "D"}, catch]}
        given = {"definition": json.dumps(state), "mock": {"errorOutput": {"error": "E"}}, "inspectionLevel": "DEBUG"}
        told = await world.ask("TestState", **given, stateConfiguration={"retrierRetryCount": 1})
        assert told["status"] == "RETRIABLE"
        assert told["inspectionData"]["errorDetails"] == {"retryIndex": 1, "retryBackoffIntervalSeconds": 6}
        told = await world.ask("TestState", **given, stateConfiguration={"retrierRetryCount": 2})
        assert (told["status"], told["nextState"]) == ("CAUGHT_ERROR", "C")
        assert told["inspectionData"]["errorDetails"] == {"catchIndex": 1}
        asks = {
            "Type": "Task",
            "QueryLanguage": "JSONata",
            "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
            "Arguments": {"QueueUrl": "q", "MessageBody": "{% $states.context.Task.Token %}"},
            "End": True,
        }
        told = await world.ask(
            "TestState",
            definition=json.dumps(asks),
            mock={"result": '{"yes": true}'},
            context='{"Task": {"Token": "t-1"}}',
            inspectionLevel="DEBUG",
        )
        assert told["output"] == '{"yes":true}'
        assert json.loads(told["inspectionData"]["afterArguments"])["MessageBody"] == "t-1"

    run_world(story)
