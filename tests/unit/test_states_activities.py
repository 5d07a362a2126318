"""Activities: tasks that workers ask for."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from localcloud.services.contract import WireRequest
from localcloud.services.states.activities import MAX_WORKERS
from localcloud.services.states.activity_resources import ActivityHandler
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Resource, StackContext
from tests.unit.states_setup import REGION, ROLE, World, one, run_world

ARN = f"arn:aws:states:{REGION}:123456789012:activity:press"
TASK: dict[str, Any] = {"Type": "Task", "Resource": ARN}


async def refused(world: World, action: str, /, **values: Any) -> str:
    """The code of a refusal."""
    status, told = await world.call(action, **values)
    assert status == 400, told
    return told["__type"]


async def pressed(world: World, state: dict[str, Any] = TASK, value: Any = None) -> Any:
    """An execution that waits for a worker of the activity `press`."""
    await world.ask("CreateActivity", name="press")
    return await world.start(await world.create(one(state)), {"v": 1} if value is None else value)


async def kinds(world: World, execution: Any) -> list[str]:
    """The types of the events of an execution."""
    events = await world.ask("GetExecutionHistory", executionArn=execution.arn)
    return [each["type"] for each in events["events"]]


def test_an_activity_is_made_once_listed_and_forgotten() -> None:
    """By its name; a second creation gives the first; deleting what is not there is no error."""

    async def story(world: World) -> None:
        made = await world.ask("CreateActivity", name="press", tags=[{"key": "a", "value": "b"}])
        await asyncio.sleep(1)
        assert await world.ask("CreateActivity", name="press") == made
        assert made["activityArn"] == ARN
        await world.ask("CreateActivity", name="iron")
        page = await world.ask("ListActivities", maxResults=1)
        more = await world.ask("ListActivities", nextToken=page["nextToken"])
        assert [each["name"] for each in page["activities"] + more["activities"]] == ["iron", "press"]
        found = await world.ask("DescribeActivity", activityArn=ARN)
        assert found == {**made, "name": "press", "encryptionConfiguration": {"type": "AWS_OWNED_KEY"}}
        assert await world.ask("ListTagsForResource", resourceArn=ARN) == {"tags": [{"key": "a", "value": "b"}]}
        await world.ask("TagResource", resourceArn=ARN, tags=[{"key": "c", "value": "d"}])
        await world.ask("UntagResource", resourceArn=ARN, tagKeys=["a"])
        assert await world.ask("ListTagsForResource", resourceArn=ARN) == {"tags": [{"key": "c", "value": "d"}]}
        await world.ask("DeleteActivity", activityArn=ARN)
        await world.ask("DeleteActivity", activityArn=ARN)
        assert await refused(world, "DescribeActivity", activityArn=ARN) == "ActivityDoesNotExist"
        assert await refused(world, "GetActivityTask", activityArn=ARN) == "ActivityDoesNotExist"
        assert await refused(world, "DescribeActivity", activityArn="x") == "InvalidArn"
        assert await refused(world, "ListTagsForResource", resourceArn=ARN) == "ResourceNotFound"
        assert await refused(world, "CreateActivity", name="a b") == "InvalidName"
        key = {"type": "CUSTOMER_MANAGED_KMS_KEY", "kmsKeyId": "k"}
        assert await refused(world, "CreateActivity", name="k", encryptionConfiguration=key) == "ValidationException"

    run_world(story)


def test_a_worker_gets_the_task_and_gives_it_back() -> None:
    """With the input of the state; the history tells who did it."""

    async def story(world: World) -> None:
        execution = await pressed(world)
        task = await world.ask("GetActivityTask", activityArn=ARN, workerName="ann")
        assert json.loads(task["input"]) == {"v": 1}
        await world.ask("SendTaskSuccess", taskToken=task["taskToken"], output='{"done": true}')
        await execution.ended.wait()
        assert (execution.status, execution.output) == ("SUCCEEDED", '{"done":true}')
        assert (await kinds(world, execution))[2:5] == ["ActivityScheduled", "ActivityStarted", "ActivitySucceeded"]
        events = (await world.ask("GetExecutionHistory", executionArn=execution.arn))["events"]
        assert events[2]["activityScheduledEventDetails"]["resource"] == ARN
        assert events[3]["activityStartedEventDetails"] == {"workerName": "ann"}
        assert await refused(world, "SendTaskSuccess", taskToken=task["taskToken"], output="{}") == "TaskTimedOut"

    run_world(story)


def test_a_worker_waits_for_a_task() -> None:
    """A minute at most, then the answer is empty; tasks and workers are served in their order."""

    async def story(world: World) -> None:
        await world.ask("CreateActivity", name="press")
        assert await world.ask("GetActivityTask", activityArn=ARN) == {}
        assert world.loop.time() == 60
        assert len(world.machines.activities.find(ARN).workers) == 0
        async with asyncio.TaskGroup() as group:
            first = group.create_task(world.ask("GetActivityTask", activityArn=ARN))
            await asyncio.sleep(1)
            second = group.create_task(world.ask("GetActivityTask", activityArn=ARN))
            await asyncio.sleep(1)
            await pressed(world, value=1)
            await asyncio.sleep(1)
            await pressed(world, value=2)
        assert (first.result()["input"], second.result()["input"]) == ("1", "2")
        assert world.loop.time() < 70
        for value in (3, 4):
            await pressed(world, value=value)
            await asyncio.sleep(1)
        assert [(await world.ask("GetActivityTask", activityArn=ARN))["input"] for _ in range(2)] == ["3", "4"]

    run_world(story)


def test_a_worker_that_has_gone_is_given_nothing() -> None:
    """The task is the next one's."""

    async def story(world: World) -> None:
        await world.ask("CreateActivity", name="press")
        async with asyncio.TaskGroup() as group:
            gone = group.create_task(world.ask("GetActivityTask", activityArn=ARN))
            await asyncio.sleep(1)
            gone.cancel()
        await pressed(world, value=7)
        assert (await world.ask("GetActivityTask", activityArn=ARN))["input"] == "7"

    run_world(story)


@pytest.mark.parametrize(
    ("fields", "error", "ends_s"),
    [
        ({"TimeoutSeconds": 30}, "States.Timeout", 100 + 30),
        ({"TimeoutSeconds": 300, "HeartbeatSeconds": 20}, "States.HeartbeatTimeout", 100 + 15 + 20),
    ],
)
def test_times_count_from_when_a_worker_has_the_task(fields: dict[str, Any], error: str, ends_s: float) -> None:
    """A task may wait for a worker as long as it likes; heartbeats put off the end."""

    async def story(world: World) -> None:
        execution = await pressed(world, {**TASK, **fields})
        await asyncio.sleep(100)
        assert execution.status == "RUNNING"
        task = await world.ask("GetActivityTask", activityArn=ARN)
        await asyncio.sleep(15)
        await world.ask("SendTaskHeartbeat", taskToken=task["taskToken"])
        await execution.ended.wait()
        assert (execution.error, round(world.loop.time())) == (error, ends_s)
        assert "ActivityTimedOut" in await kinds(world, execution)

    run_world(story)


def test_failures_and_ends() -> None:
    """A worker's failure is the state's; a stopped execution has no task; an activity that is gone fails."""

    async def story(world: World) -> None:
        execution = await pressed(world)
        task = await world.ask("GetActivityTask", activityArn=ARN)
        await world.ask("SendTaskFailure", taskToken=task["taskToken"], error="Jam", cause="paper")
        await execution.ended.wait()
        assert (execution.status, execution.error, execution.cause) == ("FAILED", "Jam", "paper")
        assert "ActivityFailed" in await kinds(world, execution)
        stopped = await pressed(world, value=1)
        await asyncio.sleep(1)
        await world.ask("StopExecution", executionArn=stopped.arn)
        assert await world.ask("GetActivityTask", activityArn=ARN) == {}
        arn = await world.create(one(TASK))
        await world.ask("DeleteActivity", activityArn=ARN)
        execution = await world.start(arn)
        await execution.ended.wait()
        where = "An error occurred while executing the state 'S' (entered at the event id #2). "
        assert execution.error == "States.Runtime"
        assert execution.cause == f"{where}The activity '{ARN}' does not exist."
        assert "ActivityScheduleFailed" in await kinds(world, execution)

    run_world(story)


def test_express_machines_have_no_activities() -> None:
    """Said when they are made."""

    async def story(world: World) -> None:
        text = json.dumps(one(TASK))
        status, told = await world.call("CreateStateMachine", name="m", type="EXPRESS", definition=text, roleArn=ROLE)
        assert status == 400
        assert "Express state machine does not support 'activity' service integration" in told["message"]

    run_world(story)


def test_so_many_workers_may_wait() -> None:
    """A thousand for one activity."""

    async def story(world: World) -> None:
        await world.ask("CreateActivity", name="press")
        activity = world.machines.activities.find(ARN)
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(activity.ask("")) for _ in range(MAX_WORKERS)]
            await asyncio.sleep(1)
            assert await refused(world, "GetActivityTask", activityArn=ARN) == "ActivityWorkerLimitExceeded"
            for each in waiting:
                each.cancel()

    run_world(story)


def test_cloudformation_makes_one() -> None:
    """Ref is the ARN; a name is taken once."""

    async def story(world: World) -> None:
        handler = ActivityHandler(world.machines)
        context = StackContext("shop", REGION, "123456789012", "aws", Path())
        properties = {"Name": "press", "Tags": [{"Key": "a", "Value": "b"}]}
        resource = Resource("Press", ActivityHandler.type, properties, context)
        physical = await handler.create(resource)
        assert (physical.ref, physical.attributes) == (ARN, {"Arn": ARN, "Name": "press"})
        assert world.machines.activities.find(ARN).tags == {"a": "b"}
        with pytest.raises(TemplateError, match="Already Exists"):
            await handler.create(resource)
        await handler.delete(resource, physical)
        assert world.machines.activities.list(REGION) == []

    run_world(story)


def test_what_iam_is_asked() -> None:
    """The action by the activity's ARN; tags are asked for on their own."""

    async def story(world: World) -> None:
        def needs(action: str, **values: Any) -> list[tuple[str, str]]:
            headers = {"x-amz-target": f"AWSStepFunctions.{action}"}
            body = json.dumps(values).encode()
            request = WireRequest("states", REGION, "POST", "/", "", headers, body, "k", "r")
            return [(each.action, each.resource) for each in world.api.permissions(request)]

        tags = [{"key": "k", "value": "v"}]
        assert needs("CreateActivity", name="press") == [("states:CreateActivity", ARN)]
        assert needs("CreateActivity", name="press", tags=tags)[1] == ("states:TagResource", ARN)
        for action in ("DeleteActivity", "DescribeActivity", "GetActivityTask"):
            assert needs(action, activityArn=ARN) == [(f"states:{action}", ARN)]
        assert needs("ListActivities") == [("states:ListActivities", "*")]
        assert needs("RedriveExecution", executionArn="x") == [("states:RedriveExecution", "x")]

    run_world(story)
