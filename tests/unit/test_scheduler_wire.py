"""The Scheduler's API: what it takes, what it refuses, what it shows; and its way to services with a role."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.front import Front
from localcloud.services.contract import WireRequest, WireResponse
from localcloud.services.events.model import Buses
from localcloud.services.events.wire import EventsService
from localcloud.services.iam.calls import Authoriser, CallRecord
from localcloud.services.iam.model import Iam
from localcloud.services.iam.policy import Document, parse_document
from localcloud.services.iam.sessions import RoleSessions
from localcloud.services.scheduler.calls import ServiceCaller
from localcloud.services.scheduler.delivery import Failed
from localcloud.services.sqs.model import Queues
from localcloud.services.sqs.wire import SqsService
from localcloud.services.states.task_resource import TaskResource

from .events_setup import Port as EventsPort
from .scheduler_setup import ACCOUNT, ARN, FUNCTION, QUEUE, REGION, ROLE, START_S, World, request, run, settings

GROUP_ARN = f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule-group/g"


def test_a_schedule_is_shown_as_it_was_made() -> None:
    """With AWS's defaults for what the request left out."""

    async def test(world: World) -> Any:
        made = await world.create("rate(1 day)", StartDate=START_S + 60, Description="d")
        assert made == {"ScheduleArn": ARN}
        return await world.do("GET", "/schedules/s")

    assert run(test) == {
        "ActionAfterCompletion": "NONE",
        "Arn": ARN,
        "CreationDate": START_S,
        "Description": "d",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "GroupName": "default",
        "LastModificationDate": START_S,
        "Name": "s",
        "ScheduleExpression": "rate(1 day)",
        "ScheduleExpressionTimezone": "UTC",
        "StartDate": START_S + 60,
        "State": "ENABLED",
        "Target": {
            "Arn": QUEUE,
            "Input": "hello",
            "RetryPolicy": {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185},
            "RoleArn": ROLE,
        },
    }


def test_schedules_are_listed_in_pages() -> None:
    """By group, state and beginning of the name, one page after the other."""

    async def test(world: World) -> tuple[list[str], list[str], list[str], list[str]]:
        await world.do("POST", "/schedule-groups/g", {})
        for name in ("a1", "a2", "b1"):
            await world.create("rate(1 day)", name=name, State="DISABLED" if name == "a2" else "ENABLED")
        await world.create("rate(1 day)", name="c1", GroupName="g")
        first = await world.do("GET", "/schedules", MaxResults=3)
        second = await world.do("GET", "/schedules", MaxResults=3, NextToken=first["NextToken"])
        asked = [{"ScheduleGroup": "g"}, {"State": "DISABLED"}, {"NamePrefix": "a"}]
        found = [await world.do("GET", "/schedules", **each) for each in asked]
        assert "NextToken" not in second
        assert first["Schedules"][0]["Target"] == {"Arn": QUEUE}
        names = [[each["Name"] for each in answer["Schedules"]] for answer in (first, second, *found)]
        return names[0] + names[1], names[2], names[3], names[4]

    assert run(test) == (["a1", "a2", "b1", "c1"], ["c1"], ["a2"], ["a1", "a2"])


def test_groups_have_tags_and_take_their_schedules_along() -> None:
    """A group that is deleted has no schedules any more; the default one stays."""

    async def test(world: World) -> tuple[Any, Any, tuple[int, str], tuple[int, str]]:
        tags = [{"Key": "a", "Value": "1"}]
        assert await world.do("POST", "/schedule-groups/g", {"Tags": tags}) == {"ScheduleGroupArn": GROUP_ARN}
        await world.do("POST", f"/tags/{GROUP_ARN}", {"Tags": [{"Key": "b", "Value": "2"}]})
        await world.do("DELETE", f"/tags/{GROUP_ARN}", TagKeys=["a"])
        shown = await world.do("GET", f"/tags/{GROUP_ARN}")
        listed = await world.do("GET", "/schedule-groups")
        await world.create("rate(1 day)", GroupName="g")
        await world.do("DELETE", "/schedule-groups/g")
        gone = await world.refused("GET", "/schedules/s", groupName="g")
        stays = await world.refused("DELETE", "/schedule-groups/default")
        return shown, [each["Name"] for each in listed["ScheduleGroups"]], gone, stays

    shown, listed, gone, stays = run(test)
    assert shown == {"Tags": [{"Key": "b", "Value": "2"}]}
    assert listed == ["default", "g"]
    assert gone == (404, "Schedule group g does not exist.")
    assert stays == (400, "The default schedule group cannot be deleted.")


def test_a_request_with_its_token_makes_one_schedule() -> None:
    """Made again it gives the same ARN; another request for the name is a conflict."""

    async def test(world: World) -> list[tuple[int, Any]]:
        body = settings("rate(1 day)", ClientToken="t")
        await world.do("POST", "/schedules/s", body)
        same = await world.ask("POST", "/schedules/s", body)
        other = await world.ask("POST", "/schedules/s", settings("rate(2 days)", ClientToken="t"))
        await asyncio.sleep(1)
        assert len(world.port.calls) == 1
        return [same, other]

    assert run(test) == [(200, {"ScheduleArn": ARN}), (409, {"Message": "Schedule s already exists."})]


def universal(name: str) -> dict[str, Any]:
    """A universal target."""
    return {"Arn": f"arn:aws:scheduler:::aws-sdk:{name}", "Input": "{}"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (settings("rate(1 minutess)"), "Invalid Schedule Expression rate(1 minutess)."),
        (settings("rate(1 day)", ScheduleExpressionTimezone="Mars"), "Invalid ScheduleExpressionTimezone Mars."),
        (
            settings("rate(1 day)", StartDate=START_S - 301),
            "The StartDate you specify cannot be earlier than 5 minutes ago.",
        ),
        (settings("rate(1 day)", EndDate=START_S - 1), "The EndDate you specify cannot be in the past."),
        (
            settings("rate(1 day)", StartDate=START_S + 9, EndDate=START_S + 9),
            "The EndDate you specify must come after the StartDate.",
        ),
        (
            settings("rate(1 day)", target={"RoleArn": f"{ROLE}2"}),
            "The execution role you provide must allow AWS EventBridge Scheduler to assume the role.",
        ),
        (
            settings("rate(1 day)", FlexibleTimeWindow={"Mode": "FLEXIBLE"}),
            "MaximumWindowInMinutes must be specified for the mode FLEXIBLE, and for no other.",
        ),
        (settings("rate(1 day)", target={"Arn": FUNCTION}), "Input must be a well-formed JSON."),
        (settings("rate(1 day)", target={"Arn": "x"}), "Provided Arn is not in correct format."),
        (
            settings("rate(1 day)", target={"Arn": f"{QUEUE}.fifo"}),
            "SqsParameters with a MessageGroupId must be specified for a FIFO queue.",
        ),
        (
            settings("rate(1 day)", target={"Arn": f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/s"}),
            "KinesisParameters must be specified for this target.",
        ),
        (
            settings("rate(1 day)", target={"KinesisParameters": {"PartitionKey": "k"}}),
            "KinesisParameters is not supported for this target.",
        ),
        (
            settings("rate(1 day)", target={"Arn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/c", "EcsParameters": {}}),
            "Targets of ecs are not served by this local cloud.",
        ),
        (
            settings("rate(1 day)", target=universal("sqs:getQueueUrl")),
            "The action getQueueUrl of sqs is read-only, and not supported as a target.",
        ),
        (settings("rate(1 day)", target=universal("sqs:sendMessages")), "sendMessages is no action of sqs."),
        (
            settings("rate(1 day)", target=universal("ec2:stopInstances")),
            "Targets of ec2 are not served by this local cloud.",
        ),
        (
            settings("rate(1 day)", target={**universal("sqs:sendMessage"), "Input": "[]"}),
            "Input of a universal target must be a JSON object.",
        ),
        (settings("rate(1 day)", target={"Input": "x" * 262_145}), "Input must be at most 262144 bytes long."),
        (
            settings("rate(1 day)", KmsKeyArn=f"arn:aws:kms:{REGION}:{ACCOUNT}:key/k"),
            "Customer managed keys of schedules are not served by this local cloud.",
        ),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(body: Any, message: str) -> None:
    """With a ValidationException, and nothing is made."""

    async def test(world: World) -> tuple[tuple[int, str], Any]:
        return await world.refused("POST", "/schedules/s", body), (await world.do("GET", "/schedules"))["Schedules"]

    assert run(test) == ((400, message), [])


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/schedules/s", b"{", 400),
        ("POST", "/schedules/s", b"[]", 400),
        ("POST", "/schedules/s", {}, 400),
        ("POST", "/schedules/a%20b", settings("rate(1 day)"), 400),
        ("POST", "/schedules/s", settings("rate(1 day)", GroupName="none"), 404),
        ("PUT", "/schedules/s", settings("rate(1 day)"), 404),
        ("DELETE", "/schedules/s", None, 404),
        ("GET", "/schedules?", None, 404),
        ("PATCH", "/schedules/s", None, 404),
        ("GET", f"/tags/{GROUP_ARN}", None, 404),
        ("GET", f"/tags/{ARN}", None, 400),
        ("POST", "/schedule-groups/default", {}, 409),
        ("POST", "/schedules/s", settings("rate(1 day)", target={"DeadLetterConfig": {"Arn": f"{QUEUE}.fifo"}}), 400),
        ("POST", "/schedules/s", settings("rate(1 day)", target={"RetryPolicy": {"MaximumRetryAttempts": 186}}), 400),
    ],
)
def test_errors_have_aws_status(method: str, path: str, body: Any, status: int) -> None:
    """Never a 5xx."""

    async def test(world: World) -> int:
        return (await world.ask(method, path, body))[0]

    assert run(test) == status


@pytest.mark.parametrize("query", [{"MaxResults": "x"}, {"MaxResults": "0"}, {"NextToken": "?"}, {"State": "ON"}])
def test_a_list_that_makes_no_sense_is_refused(query: dict[str, str]) -> None:
    """400 as well."""

    async def test(world: World) -> int:
        return (await world.ask("GET", "/schedules", **query))[0]

    assert run(test) == 400


def test_iam_is_asked_for_the_action_and_the_role() -> None:
    """On the schedule's ARN in its group, and for passing the role on."""

    async def test(world: World) -> list[tuple[str, str]]:
        await world.do("POST", "/schedule-groups/g", {"Tags": [{"Key": "a", "Value": "1"}]})
        body = json.dumps(settings("rate(1 day)", GroupName="g")).encode()
        asked = [
            request("POST", "/schedules/s", body),
            request("DELETE", "/schedules/s", query="groupName=g"),
            request("GET", "/schedules"),
            request("POST", "/schedule-groups/h", b'{"Tags":[{"Key":"k","Value":"v"}]}'),
            request("GET", f"/tags/{GROUP_ARN}"),
            request("GET", "/nothing"),
        ]
        needed = [each for one in asked for each in world.service.permissions(one)]
        assert needed[-1].context == (("aws:ResourceTag/a", "1"),)
        return [(each.action.removeprefix("scheduler:"), each.resource) for each in needed]

    in_group = ARN.replace("default", "g")
    assert run(test) == [
        ("CreateSchedule", in_group),
        ("iam:PassRole", ROLE),
        ("DeleteSchedule", in_group),
        ("ListSchedules", "*"),
        ("CreateScheduleGroup", GROUP_ARN[:-1] + "h"),
        ("TagResource", GROUP_ARN[:-1] + "h"),
        ("ListTagsForResource", GROUP_ARN),
    ]


# ---------------------------------------------------------------- with a role, to services

SEND = TaskResource("", "sdk", "sqs", "sendMessage")
TO_QUEUE = {"QueueUrl": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/q", "MessageBody": "x"}
PUT = TaskResource("", "sdk", "events", "putEvents")


class Rest:
    """A service that answers what a test says."""

    name = "kinesis"

    def __init__(self, answer: WireResponse) -> None:
        self._answer = answer

    async def handle(self, request: WireRequest) -> WireResponse:
        del request
        return self._answer

    def permissions(self, request: WireRequest) -> tuple[()]:
        del request
        return ()


def _document(statements: list[dict[str, Any]], *, resource_policy: bool = False) -> Document:
    made = {"Version": "2012-10-17", "Statement": statements}
    return parse_document(made, name="p", resource_policy=resource_policy)


def call(tmp_path: Any, resource: TaskResource, arguments: Any, *, trusted: bool = True, answer: Any = None) -> str:
    """What became of a call with a role that may send to `q` and put events: "done", or code, retry and message."""

    async def main() -> str:
        clock, rng = LoopClock(asyncio.get_running_loop()), random.Random(1)
        iam, queues = Iam(rng), Queues(clock=clock, rng=rng)
        service = "scheduler.amazonaws.com" if trusted else "lambda.amazonaws.com"
        trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        role = iam.create_role("scheduler", _document([trust], resource_policy=True))
        allowed = [{"Effect": "Allow", "Action": ["sqs:SendMessage", "events:PutEvents", "kinesis:*"], "Resource": "*"}]
        iam.put_inline("scheduler", _document(allowed))
        buses = Buses(clock=clock, rng=rng, port=EventsPort())
        apis = [SqsService(queues), EventsService(buses), Rest(answer or WireResponse(200))]
        front = Front(apis, authorise=Authoriser(iam, CallRecord(tmp_path / "calls")), rng=rng)
        sessions = RoleSessions(iam, service="scheduler.amazonaws.com", session="s")
        caller = ServiceCaller(dispatch=front.dispatch, assume=sessions.assume, rng=rng)
        queues.create("q", REGION, attributes={}, tags={})
        try:
            await caller.call(resource, arguments, role_arn=role.arn, region=REGION)
        except Failed as failed:
            return f"{failed.code} {failed.retry} {failed.message}"
        return "done"

    return run_virtual(main)


def test_a_call_is_the_services_own(tmp_path: Any) -> None:
    """Through the front, authorised as the role."""
    assert call(tmp_path, SEND, TO_QUEUE) == "done"


def test_what_the_role_may_not_is_a_failure_for_good(tmp_path: Any) -> None:
    """In the words of IAM."""
    got = call(tmp_path, TaskResource("", "sdk", "sqs", "purgeQueue"), {"QueueUrl": TO_QUEUE["QueueUrl"]})
    assert got.startswith("AccessDeniedException False User: arn:aws:sts::123456789012:assumed-role/scheduler/s is not")


def test_a_role_that_trusts_it_no_longer_is_a_failure(tmp_path: Any) -> None:
    """The trust may have changed since the schedule was made."""
    got = call(tmp_path, SEND, TO_QUEUE, trusted=False)
    assert got.startswith(
        "AccessDeniedException False scheduler.amazonaws.com is not authorized to perform: sts:Assume"
    )


def test_a_queue_that_is_not_there_has_its_own_code(tmp_path: Any) -> None:
    """The one that dead letters of the Scheduler have on AWS."""
    got = call(tmp_path, SEND, {**TO_QUEUE, "QueueUrl": TO_QUEUE["QueueUrl"] + "2"})
    assert got.split()[:2] == ["AWS.SimpleQueueService.NonExistentQueue", "False"]


def test_arguments_of_another_shape_are_a_failure_for_good(tmp_path: Any) -> None:
    """They come from an Input that nobody could judge before."""
    assert call(tmp_path, SEND, {"Queue": "q"}).split()[:2] == ["ValidationException", "False"]


def test_an_entry_that_a_bus_refuses_is_a_failure(tmp_path: Any) -> None:
    """PutEvents answers 200 then."""
    entry = {"Source": "s", "DetailType": "d", "Detail": "no json"}
    assert call(tmp_path, PUT, {"Entries": [entry]}).split()[:2] == ["MalformedDetail", "False"]
    assert call(tmp_path, PUT, {"Entries": [{**entry, "Detail": "{}"}]}) == "done"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (WireResponse(500, b"oops"), "HTTP 500 True "),
        (WireResponse(501, b'{"message":"m"}', {"X-Amzn-ErrorType": "NotImplemented"}), "NotImplemented False m"),
        (WireResponse(400, b'{"__type":"a#LimitExceeded.Throttling"}'), "LimitExceeded.Throttling True "),
        (WireResponse(400, b"<Error><Code>SlowDown</Code><Message>m</Message></Error>"), "SlowDown True m"),
        (WireResponse(400, b'{"__type":"X","Message":"m"}'), "X False m"),
    ],
)  # fmt: skip
def test_an_error_passes_or_does_not(tmp_path: Any, answer: WireResponse, expected: str) -> None:
    """Throttling and what is the service's own fault may pass; whatever protocol tells it."""
    put = TaskResource("", "sdk", "kinesis", "putRecord")
    given = {"StreamName": "s", "Data": "x", "PartitionKey": "k"}
    assert call(tmp_path, put, given, answer=answer) == expected
