"""Tasks: tokens, integrations, SDK calls and nested executions, with services that answer as a test says."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from localcloud.services.contract import WireRequest, WireResponse
from tests.unit.states_setup import FUNCTION, INVOKE, ROLE, World, error_of, one, result_of, run_world

SQS = "arn:aws:states:::sqs:sendMessage"
URL = "http://localhost/123456789012/q"


def answers(body: Any, status: int = 200, **headers: str) -> Any:
    """A service that always answers so."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda _request: WireResponse(status, text, {name.replace("_", "-"): each for name, each in headers.items()})


def asking(**fields: Any) -> dict[str, Any]:
    """A machine that sends its token to a function and waits."""
    task = {"Type": "Task", "Resource": f"{INVOKE}.waitForTaskToken", **fields}
    return one({**task, "Parameters": {"FunctionName": "f", "Payload": {"token.$": "$$.Task.Token"}}})


async def token_of(world: World) -> str:
    """The token that the function was sent."""
    await asyncio.sleep(1)
    return json.loads(world.requests[-1].body)["token"]


async def _asked(world: World, **fields: Any) -> tuple[Any, str]:
    world.functions["f"] = lambda _: None
    execution = await world.start(await world.create(asking(**fields)))
    return execution, await token_of(world)


def test_a_token_brings_the_result_once() -> None:
    """SendTaskSuccess's output is the task's; the token is then timed out."""

    async def story(world: World) -> None:
        execution, token = await _asked(world)
        assert execution.status == "RUNNING"
        assert await world.ask("SendTaskSuccess", taskToken=token, output='{"good": [1]}') == {}
        await execution.ended.wait()
        assert json.loads(execution.output) == {"good": [1]}
        kinds = [event.kind for event in execution.history.events[2:-2]]
        assert kinds == ["TaskScheduled", "TaskStarted", "TaskSubmitted", "TaskSucceeded"]
        status, told = await world.call("SendTaskSuccess", taskToken=token, output="{}")
        assert (status, told["__type"]) == (400, "TaskTimedOut")
        status, told = await world.call("SendTaskHeartbeat", taskToken="x")
        assert (status, told["__type"]) == (400, "InvalidToken")

    run_world(story)


def test_a_token_brings_a_failure() -> None:
    """With the error and cause of SendTaskFailure."""

    async def story(world: World) -> None:
        execution, token = await _asked(world)
        status, told = await world.call("SendTaskSuccess", taskToken=token, output="{")
        assert (status, told["__type"]) == (400, "InvalidOutput")
        await world.ask("SendTaskFailure", taskToken=token, error="Refused", cause="too dear")
        await execution.ended.wait()
        assert (execution.status, execution.error, execution.cause) == ("FAILED", "Refused", "too dear")

    run_world(story)


def test_heartbeats_keep_a_task_alive() -> None:
    """For HeartbeatSeconds from each, but not beyond TimeoutSeconds."""

    async def story(world: World) -> None:
        execution, token = await _asked(world, HeartbeatSeconds=10, TimeoutSeconds=100)
        for _ in range(3):
            await asyncio.sleep(8)
            await world.ask("SendTaskHeartbeat", taskToken=token)
        began = world.loop.time()
        await execution.ended.wait()
        assert (execution.error, world.loop.time()) == ("States.HeartbeatTimeout", began + 10)
        assert execution.history.events[-2].kind == "TaskTimedOut"
        began = world.loop.time()
        execution, token = await _asked(world, HeartbeatSeconds=10, TimeoutSeconds=30)
        while execution.status == "RUNNING":
            await asyncio.sleep(8)
            await world.call("SendTaskHeartbeat", taskToken=token)
        assert execution.error == "States.Timeout"
        assert execution.stop_s - execution.start_s == 30

    run_world(story)


def test_an_answer_may_come_before_the_call_has_ended() -> None:
    """A function that gives its own token back is not lost."""

    async def story(world: World) -> None:
        async def quick(event: Any) -> None:
            await world.ask("SendTaskSuccess", taskToken=event["token"], output="1")
            await asyncio.sleep(5)

        world.functions["f"] = quick
        execution = await world.run(asking())
        assert (execution.output, world.loop.time()) == ("1", 5)

    run_world(story)


def test_a_message_is_sent_with_the_machines_role() -> None:
    """Objects become JSON text; the answer has the SDK's metadata."""

    async def story(world: World) -> None:
        world.services["sqs"] = answers({"MessageId": "m", "MD5OfMessageBody": "0"}, x_amzn_requestid="r1")
        task = {"Type": "Task", "Resource": SQS, "Parameters": {"QueueUrl": URL, "MessageBody": {"a.$": "$.x"}}}
        execution = await world.run(one(task), {"x": [1]})
        output = json.loads(execution.output)
        assert (output["MessageId"], output["SdkResponseMetadata"]) == ("m", {"RequestId": "r1"})
        assert output["SdkHttpMetadata"]["HttpStatusCode"] == 200
        request = world.requests[-1]
        assert json.loads(request.body) == {"QueueUrl": URL, "MessageBody": '{"a":[1]}'}
        assert (request.access_key, request.target) == (f"key of {ROLE}", "AmazonSQS.SendMessage")

    run_world(story)


@pytest.mark.parametrize(
    ("resource", "parameters", "service", "answer", "error"),
    [
        (
            "arn:aws:states:::dynamodb:putItem",
            {"TableName": "t", "Item": {}},
            "dynamodb",
            answers(
                {"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "message": "x"}, 400
            ),
            "DynamoDB.ConditionalCheckFailedException",
        ),
        (
            "arn:aws:states:::aws-sdk:dynamodb:putItem",
            {"TableName": "t", "Item": {}},
            "dynamodb",
            answers(
                {"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "message": "x"}, 400
            ),
            "DynamoDb.ConditionalCheckFailedException",
        ),
        (
            "arn:aws:states:::dynamodb:putItem",
            {"TableName": "t", "Item": {}},
            "dynamodb",
            answers({"__type": "AccessDeniedException", "message": "no"}, 400),
            "DynamoDB.AmazonDynamoDBException",
        ),
        (
            "arn:aws:states:::sns:publish",
            {"TopicArn": "arn:aws:sns:eu-west-1:123456789012:t", "Message": "m"},
            "sns",
            answers(b"<ErrorResponse><Error><Code>NotFound</Code><Message>no</Message></Error></ErrorResponse>", 404),
            "SNS.NotFoundException",
        ),
        (
            "arn:aws:states:::aws-sdk:s3:getObject",
            {"Bucket": "b", "Key": "k"},
            "s3",
            answers(b"<Error><Code>NoSuchKey</Code><Message>no</Message></Error>", 404),
            "S3.NoSuchKeyException",
        ),
        (
            "arn:aws:states:::aws-sdk:s3:getObject",
            {"Bucket": "b", "Key": "k"},
            "s3",
            answers(b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>", 403),
            "S3.S3Exception",
        ),
        (
            "arn:aws:states:::events:putEvents",
            {"Entries": [{"Source": "s", "DetailType": "d", "Detail": {}}]},
            "events",
            answers({"FailedEntryCount": 1, "Entries": [{"ErrorCode": "X"}]}),
            "EventBridge.FailedEntry",
        ),
        (SQS, {"QueueUrl": URL}, "sqs", answers({}), "States.Runtime"),
    ],
)
def test_an_error_of_a_service_has_its_name(
    resource: str, parameters: Any, service: str, answer: Any, error: str
) -> None:
    """As AWS's SDK for Java spells it; what has no name of its own is the service's exception."""

    async def story(world: World) -> None:
        world.services[service] = answer
        execution = await world.run(one({"Type": "Task", "Resource": resource, "Parameters": parameters}))
        assert (execution.status, execution.error) == ("FAILED", error)

    run_world(story)


def test_names_of_the_sdk_are_in_pascal_case() -> None:
    """In what is given and in what comes back; the action keeps its own."""

    async def story(world: World) -> None:
        def logs(request: WireRequest) -> WireResponse:
            assert json.loads(request.body) == {"logGroupNamePrefix": "/a", "limit": 2}
            return WireResponse(200, json.dumps({"logGroups": [{"logGroupName": "/a/b"}]}).encode())

        world.services["logs"] = logs
        task = {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:cloudwatchlogs:describeLogGroups",
            "Parameters": {"LogGroupNamePrefix": "/a", "Limit": 2},
        }
        execution = await world.run(one(task))
        assert json.loads(execution.output) == {"LogGroups": [{"LogGroupName": "/a/b"}]}

    run_world(story)


def test_an_object_is_put_with_its_bucket_in_the_path() -> None:
    """The REST protocol: path, headers and a body that is JSON where an object was given."""

    async def story(world: World) -> None:
        world.services["s3"] = answers(b"", etag='"e"')
        task = {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:s3:putObject",
            "Parameters": {"Bucket": "b", "Key": "a b/c", "Body": {"x": 1}},
        }
        execution = await world.run(one(task))
        assert json.loads(execution.output) == {"ETag": '"e"'}
        request = world.requests[-1]
        assert (request.method, request.path, request.body) == ("PUT", "/b/a%20b/c", b'{"x":1}')
        assert request.headers["host"] == "s3.eu-west-1.amazonaws.com"
        assert request.headers["authorization"].startswith(f"AWS4-HMAC-SHA256 Credential=key of {ROLE}/")

    run_world(story)


def test_events_carry_the_executions_arns() -> None:
    """Of the execution and of its machine, behind the entry's own resources."""

    async def story(world: World) -> None:
        world.services["events"] = answers({"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]})
        entry = {"Source": "s", "DetailType": "d", "Detail": {"x": 1}, "Resources": ["r"]}
        task = {"Type": "Task", "Resource": "arn:aws:states:::events:putEvents", "Parameters": {"Entries": [entry]}}
        execution = await world.run(one(task))
        (sent,) = json.loads(world.requests[-1].body)["Entries"]
        assert sent["Resources"] == ["r", execution.arn, execution.revision.arn]
        assert sent["Detail"] == '{"x":1}'

    run_world(story)


CHILD = one({"Type": "Wait", "Seconds": 20, "Next": "P"}, P={"Type": "Pass", "Result": {"r": 1}, "End": True})


def parent(pattern: str, arn: str) -> dict[str, Any]:
    """A machine that starts another."""
    start = {"StateMachineArn": arn, "Input": {"i": 1}}
    return one({"Type": "Task", "Resource": f"arn:aws:states:::states:startExecution{pattern}", "Parameters": start})


def test_an_execution_starts_another_and_waits_as_its_pattern_says() -> None:
    """Not at all, for text, or for JSON."""

    async def story(world: World) -> None:
        arn = await world.create(CHILD, name="child")
        started = json.loads((await world.run(parent("", arn))).output)
        assert (started["ExecutionArn"].split(":")[6], world.loop.time()) == ("child", 0)
        assert started["StartDate"] == 1_800_000_000_000
        text = json.loads((await world.run(parent(".sync", arn))).output)
        assert (text["Output"], text["Input"], text["Status"]) == ('{"r":1}', '{"i":1}', "SUCCEEDED")
        value = json.loads((await world.run(parent(".sync:2", arn))).output)
        assert (value["Output"], value["Input"], world.loop.time()) == ({"r": 1}, {"i": 1}, 40)

    run_world(story)


def test_a_child_that_fails_fails_its_parent_and_one_that_nobody_waits_for_is_stopped() -> None:
    """States.TaskFailed with the description as its cause; a parent that is stopped stops its child."""

    async def story(world: World) -> None:
        arn = await world.create(one({"Type": "Fail", "Error": "E", "Cause": "c"}), name="bad")
        execution = await world.run(parent(".sync:2", arn))
        assert (execution.error, json.loads(str(execution.cause))["Error"]) == ("States.TaskFailed", "E")
        arn = await world.create(CHILD, name="child")
        execution = await world.start(await world.create(parent(".sync", arn)))
        await asyncio.sleep(1)
        await world.ask("StopExecution", executionArn=execution.arn, error="Enough", cause="why")
        await asyncio.sleep(1)
        (child,) = (await world.ask("ListExecutions", stateMachineArn=arn))["executions"]
        assert (execution.status, execution.error, child["status"]) == ("ABORTED", "Enough", "ABORTED")

    run_world(story)


def test_a_role_that_cannot_be_assumed_is_an_error_of_permissions() -> None:
    """States.Permissions, before anything is called."""

    async def story(world: World) -> None:
        def assume(role: str) -> str:
            raise LookupError(role)

        object.__setattr__(world.machines.world.caller, "assume", assume)
        execution = await world.run(one({"Type": "Task", "Resource": f"{FUNCTION}f"}))
        assert (execution.error, world.requests) == ("States.Permissions", [])

    run_world(story)


def test_a_functions_answer_is_given_with_the_services_own() -> None:
    """By its ARN the payload alone; by lambda:invoke all of Lambda's answer."""
    functions = {"f": lambda event: {"got": event}}
    assert result_of(one({"Type": "Task", "Resource": f"{FUNCTION}f"}), 3, functions=functions) == {"got": 3}
    task = {"Type": "Task", "Resource": INVOKE, "Parameters": {"FunctionName": "f", "Payload.$": "$"}}
    found = result_of(one(task), 3, functions=functions)
    assert (found["Payload"], found["StatusCode"], found["ExecutedVersion"]) == ({"got": 3}, 200, "$LATEST")
    assert error_of(one({**task, "Parameters": {"Payload": {}}}), functions=functions) == "States.Runtime"
