"""The API of Step Functions: machines, executions, histories, pages, tags, definitions that are none, logs, events."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from localcloud.services.contract import WireRequest
from localcloud.services.states.execution import Execution
from localcloud.services.states.operations import OPERATIONS
from localcloud.services.states.requests import REQUESTS
from localcloud.services.states.status_events import status_detail
from tests.unit.states_setup import FUNCTION, INVOKE, REGION, ROLE, World, one, run_world

PASS = one({"Type": "Pass"})
WAIT = one({"Type": "Wait", "Seconds": 100})
LOG_GROUP = f"arn:aws:logs:{REGION}:123456789012:log-group:/machines:*"


async def refused(world: World, action: str, /, **values: Any) -> tuple[str, str]:
    """Code and message of a refusal."""
    status, told = await world.call(action, **values)
    assert status == 400, told
    return told["__type"], told["message"]


def test_a_machine_is_made_once_described_updated_and_deleted() -> None:
    """Creation is idempotent; an execution goes on with the revision that it began with."""

    async def story(world: World) -> None:
        text = json.dumps(WAIT)
        values = {"name": "m", "definition": text, "roleArn": ROLE}
        made = await world.ask("CreateStateMachine", **values, tags=[{"key": "a", "value": "b"}])
        arn = made["stateMachineArn"]
        assert await world.ask("CreateStateMachine", **values) == made
        code, _ = await refused(world, "CreateStateMachine", **{**values, "definition": json.dumps(PASS)})
        assert code == "StateMachineAlreadyExists"
        before = await world.ask("DescribeStateMachine", stateMachineArn=arn)
        assert (before["type"], before["status"], before["definition"]) == ("STANDARD", "ACTIVE", text)
        execution = await world.start(arn)
        await asyncio.sleep(1)
        updated = await world.ask("UpdateStateMachine", stateMachineArn=arn, definition=json.dumps(PASS))
        assert updated["revisionId"] != before["revisionId"]
        told = await world.ask("DescribeStateMachineForExecution", executionArn=execution.arn)
        assert (told["definition"], told["revisionId"]) == (text, before["revisionId"])
        assert (await refused(world, "UpdateStateMachine", stateMachineArn=arn))[0] == "MissingRequiredParameter"
        await world.ask("DeleteStateMachine", stateMachineArn=arn)
        await execution.ended.wait()
        assert execution.status == "ABORTED"
        assert (await refused(world, "DescribeStateMachine", stateMachineArn=arn))[0] == "StateMachineDoesNotExist"
        assert await world.ask("DeleteStateMachine", stateMachineArn=arn) == {}

    run_world(story)


def test_names_of_executions_are_taken_once() -> None:
    """The same name and input while it runs is the same execution; else ExecutionAlreadyExists."""

    async def story(world: World) -> None:
        arn = await world.create(WAIT)
        first = await world.ask("StartExecution", stateMachineArn=arn, name="n", input="{}")
        assert await world.ask("StartExecution", stateMachineArn=arn, name="n", input="{}") == first
        again = {"stateMachineArn": arn, "name": "n"}
        assert (await refused(world, "StartExecution", **again, input="[]"))[0] == "ExecutionAlreadyExists"
        await world.ask("StopExecution", executionArn=first["executionArn"])
        assert (await refused(world, "StartExecution", **again, input="{}"))[0] == "ExecutionAlreadyExists"
        assert (await refused(world, "StartExecution", stateMachineArn=arn, name="a b"))[0] == "InvalidName"
        assert (await refused(world, "StartExecution", stateMachineArn=arn, input="{"))[0] == "InvalidExecutionInput"
        large = json.dumps("x" * 262_144)
        assert (await refused(world, "StartExecution", stateMachineArn=arn, input=large))[0] == "InvalidExecutionInput"
        assert (await refused(world, "StartExecution", stateMachineArn="arn:x"))[0] == "InvalidArn"
        code, _ = await refused(world, "StartExecution", stateMachineArn=f"{arn}:PROD")
        assert code == "StateMachineDoesNotExist"

    run_world(story)


def test_an_execution_that_has_not_begun_can_be_stopped() -> None:
    """Its history says so."""

    async def story(world: World) -> None:
        execution = await world.start(await world.create(WAIT))
        told = await world.ask("StopExecution", executionArn=execution.arn, error="E", cause="c")
        assert told == {"stopDate": 1_800_000_000.0}
        assert [event.kind for event in execution.history.events] == ["ExecutionStarted", "ExecutionAborted"]
        described = await world.ask("DescribeExecution", executionArn=execution.arn)
        assert (described["status"], described["error"], described["cause"]) == ("ABORTED", "E", "c")

    run_world(story)


def test_a_history_comes_in_pages_both_ways_and_without_data() -> None:
    """Events are numbered from 1, each with the one that led to it."""

    async def story(world: World) -> None:
        execution = await world.run(one({"Type": "Pass", "Next": "T"}, T={"Type": "Succeed"}), {"a": 1})
        events: list[Any] = []
        token: dict[str, str] = {}
        while True:
            page = await world.ask("GetExecutionHistory", executionArn=execution.arn, maxResults=4, **token)
            events += page["events"]
            if "nextToken" not in page:
                break
            token = {"nextToken": page["nextToken"]}
        assert [(each["id"], each["previousEventId"], each["type"]) for each in events] == [
            (1, 0, "ExecutionStarted"),
            (2, 0, "PassStateEntered"),
            (3, 2, "PassStateExited"),
            (4, 3, "SucceedStateEntered"),
            (5, 4, "SucceedStateExited"),
            (6, 5, "ExecutionSucceeded"),
        ]
        assert events[1]["stateEnteredEventDetails"]["input"] == '{"a":1}'
        reverse = await world.ask("GetExecutionHistory", executionArn=execution.arn, reverseOrder=True)
        assert [each["id"] for each in reverse["events"]] == [6, 5, 4, 3, 2, 1]
        bare = await world.ask("GetExecutionHistory", executionArn=execution.arn, includeExecutionData=False)
        assert bare["events"][1]["stateEnteredEventDetails"] == {"name": "S"}
        code, _ = await refused(world, "GetExecutionHistory", executionArn=execution.arn, nextToken="x")
        assert code == "InvalidToken"

    run_world(story)


def test_executions_are_listed_the_latest_first() -> None:
    """By status, in pages."""

    async def story(world: World) -> None:
        arn = await world.create(PASS)
        for name in "abc":
            await (await world.start(arn, name=name)).ended.wait()
        page = await world.ask("ListExecutions", stateMachineArn=arn, maxResults=2)
        assert [each["name"] for each in page["executions"]] == ["c", "b"]
        page = await world.ask("ListExecutions", stateMachineArn=arn, maxResults=2, nextToken=page["nextToken"])
        assert ([each["name"] for each in page["executions"]], "nextToken" in page) == (["a"], False)
        assert (await world.ask("ListExecutions", stateMachineArn=arn, statusFilter="FAILED"))["executions"] == []
        assert (await refused(world, "ListExecutions"))[0] == "ValidationException"

    run_world(story)


def test_an_execution_is_kept_for_90_days() -> None:
    """Then its name is free again."""

    async def story(world: World) -> None:
        arn = await world.create(PASS)
        execution = await world.start(arn, name="n")
        await asyncio.sleep(90 * 86_400)
        assert (await world.ask("DescribeExecution", executionArn=execution.arn))["name"] == "n"
        await asyncio.sleep(1)
        assert (await refused(world, "DescribeExecution", executionArn=execution.arn))[0] == "ExecutionDoesNotExist"

    run_world(story)


def test_an_express_machine_answers_when_it_has_ended() -> None:
    """With its output or error; it has no history and is not listed."""

    async def story(world: World) -> None:
        arn = await world.create(one({"Type": "Wait", "Seconds": 2}), type="EXPRESS")
        told = await world.ask("StartSyncExecution", stateMachineArn=arn, input='{"a":1}')
        assert (told["status"], told["output"], told["stopDate"] - told["startDate"]) == ("SUCCEEDED", '{"a":1}', 2)
        assert told["billingDetails"] == {"billedMemoryUsedInMB": 64, "billedDurationInMilliseconds": 2000}
        assert told["executionArn"].split(":")[5:7] == ["express", "m0"]
        started = await world.ask("StartExecution", stateMachineArn=arn)
        assert (await refused(world, "DescribeExecution", executionArn=started["executionArn"]))[0] == "InvalidArn"
        assert (await refused(world, "ListExecutions", stateMachineArn=arn))[0] == "StateMachineTypeNotSupported"
        standard = await world.create(PASS)
        code, _ = await refused(world, "StartSyncExecution", stateMachineArn=standard)
        assert code == "StateMachineTypeNotSupported"

    run_world(story)


def test_tags_are_put_taken_and_bounded() -> None:
    """Fifty at most, none that begins with aws:."""

    async def story(world: World) -> None:
        arn = await world.create(PASS, tags=[{"key": "a", "value": "1"}])
        await world.ask("TagResource", resourceArn=arn, tags=[{"key": "b", "value": "2"}])
        await world.ask("UntagResource", resourceArn=arn, tagKeys=["a"])
        assert (await world.ask("ListTagsForResource", resourceArn=arn))["tags"] == [{"key": "b", "value": "2"}]
        many = [{"key": f"k{number}", "value": ""} for number in range(50)]
        assert (await refused(world, "TagResource", resourceArn=arn, tags=many))[0] == "TooManyTags"
        assert (await refused(world, "TagResource", resourceArn=f"{arn}x", tags=[]))[0] == "ResourceNotFound"

    run_world(story)


def task(**fields: Any) -> dict[str, Any]:
    """A machine of one Task."""
    return one({"Type": "Task", "Resource": f"{FUNCTION}f", **fields})


def mapped(**fields: Any) -> dict[str, Any]:
    """A machine of one Map."""
    processor = {"StartAt": "I", "States": {"I": {"Type": "Pass", "End": True}}}
    return one({"Type": "Map", "ItemProcessor": processor, **fields})


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ("{", "INVALID_JSON_DESCRIPTION: "),
        ("[]", "INVALID_JSON_DESCRIPTION: The definition is not a JSON object"),
        ({"StartAt": "A"}, "The field 'States' is required and holds at least one state at /States"),
        ({**PASS, "StartAt": "T"}, "MISSING_TRANSITION_TARGET: Missing 'Next' target: T at /StartAt"),
        ({**PASS, "Foo": 1}, "SCHEMA_VALIDATION_FAILED: Field is not supported at /Foo"),
        (
            {**PASS, "QueryLanguage": "jsonata"},
            "Value should be one of the following: [JSONPath, JSONata] at /QueryLang",
        ),
        ({**PASS, "QueryLanguage": 1}, "Expected value of type [STRING] at /QueryLanguage"),
        (one({"Type": "Pass", "Next": "X"}), "MISSING_TRANSITION_TARGET: Missing 'Next' target: X at /States/S/Next"),
        (one({"Type": "Pass"}, T={"Type": "Succeed"}), 'State "T" is not reachable. at /States/T'),
        (one({"Type": "Nap"}), "The field 'Type' should have one of these values"),
        (one({"Type": "Pass", "InputPath": "x"}), "Value is not a valid JSONPath at /States/S/InputPath"),
        (one({"Type": "Pass", "ResultPath": "$.a[*]"}), "Value is not a valid Reference Path at /States/S/ResultPath"),
        (
            one({"Type": "Pass", "Parameters": {"a.$": "x"}}),
            "The value for the field 'a.$' must be a valid JSONPath or",
        ),
        (one({"Type": "Pass", "Parameters": {"a.$": "States.Foo()"}}), "The value for the field 'a.$' must be a valid"),
        (one({"Type": "Wait"}), "Exactly one of 'Seconds', 'SecondsPath', 'Timestamp' or 'TimestampPath' is required"),
        (one({"Type": "Wait", "Timestamp": "x"}), "Value is not a valid timestamp at /States/S/Timestamp"),
        (one({"Type": "Choice", "Choices": []}), "Value is not a non-empty array at /States/S/Choices"),
        (
            one({"Type": "Choice", "Choices": [{"Variable": "$.a", "NumericEquals": "1", "Next": "S"}]}),
            "Value has the wrong type for this comparison at /States/S/Choices[0]/NumericEquals",
        ),
        (
            one({"Type": "Choice", "Choices": [{"Variable": "$.a", "Next": "S"}]}),
            "A choice rule must have exactly one comparison operator at /States/S/Choices[0]",
        ),
        (task(Resource="x"), "Value is not a valid resource ARN at /States/S/Resource"),
        (task(Resource="arn:aws:states:::http:invoke"), "NOT_SERVED: The integration http:invoke is not served"),
        (task(Resource="arn:aws:states:::bedrock:invokeModel"), "The integration bedrock:invokeModel is not served"),
        (task(Resource="arn:aws:states:::activity:a"), "is not recognized. The value is not a valid resource ARN"),
        (task(Resource="arn:aws:states:::sqs:sendMessage.sync"), "is not recognized"),
        (task(Resource="arn:aws:states:::aws-sdk:dynamodb:fooBar"), "is not recognized"),
        (task(Resource="arn:aws:states:::aws-sdk:nosuch:list"), "is not recognized"),
        (task(Credentials={}), "NOT_SERVED: Credentials of a Task are not served"),
        (task(TimeoutSeconds=5, HeartbeatSeconds=5), "HeartbeatSeconds must be smaller than TimeoutSeconds"),
        (task(TimeoutSeconds=5, TimeoutSecondsPath="$.t"), "'TimeoutSeconds' and 'TimeoutSecondsPath' cannot both be"),
        (task(Retry=[{"ErrorEquals": []}]), "The field 'ErrorEquals' is required and is a non-empty array of strings"),
        (task(Retry=[{"ErrorEquals": ["States.ALL", "E"]}]), "States.ALL must appear alone and at the end of the list"),
        (task(Retry=[{"ErrorEquals": ["E"], "BackoffRate": 0.5}]), "at /States/S/Retry[0]/BackoffRate"),
        (task(Retry=[{"ErrorEquals": ["E"], "MaxDelaySeconds": 1}]), "must be greater than IntervalSeconds"),
        (task(Catch=[{"ErrorEquals": ["E"], "Next": "X"}]), "Missing 'Next' target: X at /States/S/Catch[0]/Next"),
        (mapped(Iterator={}), "Exactly one of 'ItemProcessor' and 'Iterator' is required"),
        (mapped(ItemReader={}), "Field is only supported by a Map of DISTRIBUTED mode at /States/S/ItemReader"),
        (mapped(ItemProcessor={"StartAt": "S", "States": {"S": {"Type": "Succeed"}}}), "DUPLICATE_STATE_NAME"),
    ],
)
def test_what_is_no_definition_is_refused_by_place(definition: Any, expected: str) -> None:
    """InvalidDefinition names the state and the field; ValidateStateMachineDefinition tells the same."""

    async def story(world: World) -> None:
        text = definition if isinstance(definition, str) else json.dumps(definition)
        code, message = await refused(world, "CreateStateMachine", name="m", definition=text, roleArn=ROLE)
        assert code == "InvalidDefinition"
        assert message.startswith("Invalid State Machine Definition: '")
        assert expected in message
        told = await world.ask("ValidateStateMachineDefinition", definition=text)
        assert told["result"] == "FAIL"
        assert all(f"{each['code']}: {each['message']}" in message for each in told["diagnostics"])

    run_world(story)


def test_an_express_machine_has_no_tasks_that_wait() -> None:
    """Nor Maps of the distributed mode."""

    async def story(world: World) -> None:
        waiting = json.dumps(task(Resource=f"{INVOKE}.waitForTaskToken"))
        assert (await world.ask("ValidateStateMachineDefinition", definition=waiting))["result"] == "OK"
        told = await world.ask("ValidateStateMachineDefinition", definition=waiting, type="EXPRESS")
        assert "does not support '.waitForTaskToken'" in told["diagnostics"][0]["message"]

    run_world(story)


def test_every_operation_has_its_shape() -> None:
    """None of the API's is unknown."""

    async def story(world: World) -> None:
        assert sorted(REQUESTS) == sorted(OPERATIONS)
        assert (await refused(world, "Foo"))[0] == "UnknownOperationException"
        for action, shape in REQUESTS.items():
            if shape.required:
                assert (await refused(world, action))[0] == "ValidationException"

    run_world(story)


def _logged(world: World, level: str, *, with_data: bool = True) -> dict[str, Any]:
    destinations = [{"cloudWatchLogsLogGroup": {"logGroupArn": LOG_GROUP}}]
    return {"level": level, "includeExecutionData": with_data, "destinations": destinations}


@pytest.mark.parametrize(
    ("level", "kinds"),
    [
        ("ALL", ["ExecutionStarted", "FailStateEntered", "ExecutionFailed"]),
        ("ERROR", ["FailStateEntered", "ExecutionFailed"]),
        ("FATAL", ["ExecutionFailed"]),
        ("OFF", []),
    ],
)
@pytest.mark.parametrize("kind", ["STANDARD", "EXPRESS"])
def test_events_are_logged_by_level(level: str, kinds: list[str], kind: str) -> None:
    """As JSON lines; data only where it is asked for."""

    async def story(world: World) -> None:
        definition = one({"Type": "Fail", "Error": "E"})
        arn = await world.create(definition, type=kind, loggingConfiguration=_logged(world, level, with_data=False))
        world.machines.start(world.machines.resolve(arn), {"input": '{"secret":1}'})
        await asyncio.sleep(1)
        lines = [json.loads(event.message) for event in world.logs.events("/machines")]
        assert [line["type"] for line in lines] == kinds
        assert "secret" not in json.dumps(lines)

    run_world(story)


def test_a_role_that_may_not_log_is_refused() -> None:
    """AccessDeniedException at creation; a level without a group too."""

    async def story(world: World) -> None:
        values = {"name": "m", "definition": json.dumps(PASS), "roleArn": ROLE}
        logs = _logged(world, "ALL")
        code, _ = await refused(world, "CreateStateMachine", **values, loggingConfiguration=logs)
        assert code == "AccessDeniedException"
        code, _ = await refused(world, "CreateStateMachine", **values, loggingConfiguration={"level": "ALL"})
        assert code == "InvalidLoggingConfiguration"

    run_world(story, may_log=False)


def test_a_change_of_status_is_told_to_the_bus() -> None:
    """When an execution begins and when it ends; its detail has dates in milliseconds."""

    async def story(world: World) -> Execution:
        execution = await world.run(one({"Type": "Pass", "Result": {"r": 1}}), {"a": 1})
        assert world.changes == [(execution.order.name, "RUNNING"), (execution.order.name, "SUCCEEDED")]
        return execution

    detail = json.loads(status_detail(run_world(story)))
    assert (detail["status"], detail["input"], detail["output"]) == ("SUCCEEDED", '{"a": 1}', '{"r":1}')
    assert (detail["startDate"], detail["stopDate"]) == (1_800_000_000_000, 1_800_000_000_000)
    assert (detail["inputDetails"], detail["outputDetails"]) == ({"included": True}, {"included": True})


def test_data_that_is_too_large_is_left_out_of_the_event() -> None:
    """Counted as it is escaped in it."""

    async def story(world: World) -> list[Execution]:
        return [await world.run(one({"Type": "Pass", "Result": 1}), '"' * count) for count in (60_000, 64_000)]

    fits, not_here = (json.loads(status_detail(each)) for each in run_world(story))
    assert (fits["inputDetails"], fits["output"]) == ({"included": True}, "1")
    assert (not_here["inputDetails"], not_here["input"], not_here["output"]) == ({"included": False}, None, None)


def test_what_iam_is_asked() -> None:
    """The action, on the machine or the execution; a role is passed; a token counts as its machine."""

    async def story(world: World) -> None:
        given = {"FunctionName": "f", "Payload": {"t.$": "$$.Task.Token"}}
        waiting = task(Resource=f"{INVOKE}.waitForTaskToken", Parameters=given)
        arn = await world.create(waiting, tags=[{"key": "k", "value": "v"}])
        world.functions["f"] = lambda _: None
        await world.start(arn)
        await asyncio.sleep(1)
        token = json.loads(world.requests[-1].body)["t"]

        def needs(action: str, **values: Any) -> list[tuple[str, str]]:
            headers = {"x-amz-target": f"AWSStepFunctions.{action}"}
            request = WireRequest("states", REGION, "POST", "/", "", headers, json.dumps(values).encode(), "k", "r")
            return [(each.action, each.resource) for each in world.api.permissions(request)]

        assert needs("StartExecution", stateMachineArn=arn) == [("states:StartExecution", arn)]
        assert needs("SendTaskSuccess", taskToken=token) == [("states:SendTaskSuccess", arn)]
        assert needs("SendTaskSuccess", taskToken="x") == [("states:SendTaskSuccess", "*")]
        assert needs("UpdateStateMachine", stateMachineArn=arn, roleArn=ROLE)[1] == ("iam:PassRole", ROLE)
        assert needs("ListStateMachines") == [("states:ListStateMachines", "*")]
        headers = {"x-amz-target": "AWSStepFunctions.DescribeStateMachine"}
        body = json.dumps({"stateMachineArn": arn}).encode()
        (need,) = world.api.permissions(WireRequest("states", REGION, "POST", "/", "", headers, body, "k", "r"))
        assert need.context == (("aws:ResourceTag/k", "v"),)

    run_world(story)
