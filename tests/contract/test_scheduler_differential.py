"""The Scheduler beside moto: the same calls of boto3 have the same answers, but for what moto leaves out."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from typing import Any, cast
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from moto import mock_aws

from localcloud.clock import SystemClock
from localcloud.services.contract import WireRequest
from localcloud.services.scheduler.delivery import Courier
from localcloud.services.scheduler.model import Schedules
from localcloud.services.scheduler.wire import SchedulerService
from tests.unit.scheduler_setup import QUEUE, REGION, ROLE, Port

KEYS = {"aws_access_key_id": "AK", "aws_secret_access_key": "secret", "region_name": REGION}
SETTINGS: dict[str, Any] = {
    "ScheduleExpression": "cron(0 3 * * ? *)",
    "FlexibleTimeWindow": {"Mode": "OFF"},
    "State": "DISABLED",
    "ActionAfterCompletion": "NONE",
    "Target": {"Arn": QUEUE, "RoleArn": ROLE, "Input": "x"},
}
GROUP_ARN = f"arn:aws:scheduler:{REGION}:123456789012:schedule-group/g"
Call = tuple[str, dict[str, Any]]
CALLS: list[Call] = [
    ("get_schedule", {"Name": "s"}),
    ("create_schedule_group", {"Name": "g", "Tags": [{"Key": "a", "Value": "1"}]}),
    ("get_schedule_group", {"Name": "g"}),
    ("get_schedule_group", {"Name": "none"}),
    ("list_schedule_groups", {}),
    ("create_schedule", {"Name": "s", **SETTINGS}),
    ("create_schedule", {"Name": "s", **SETTINGS}),
    ("create_schedule", {"Name": "t", "GroupName": "g", **SETTINGS}),
    ("get_schedule", {"Name": "t", "GroupName": "g"}),
    ("list_schedules", {}),
    ("list_schedules", {"GroupName": "g"}),
    ("update_schedule", {"Name": "s", **SETTINGS, "ScheduleExpressionTimezone": "Europe/Berlin"}),
    ("get_schedule", {"Name": "s"}),
    ("list_tags_for_resource", {"ResourceArn": GROUP_ARN}),
    ("tag_resource", {"ResourceArn": GROUP_ARN, "Tags": [{"Key": "b", "Value": "2"}]}),
    ("untag_resource", {"ResourceArn": GROUP_ARN, "TagKeys": ["a"]}),
    ("list_tags_for_resource", {"ResourceArn": GROUP_ARN}),
    ("delete_schedule", {"Name": "s"}),
    ("delete_schedule", {"Name": "s"}),
    ("delete_schedule_group", {"Name": "g"}),
    ("list_schedules", {}),
]
_DATES = frozenset({"CreationDate", "LastModificationDate"})


class _Body:
    """What botocore reads an answer from."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> Iterator[bytes]:
        yield self._body


def ask(client: Any, call: Call) -> Any:
    """An answer without its dates, or an error's code."""
    name, members = call
    try:
        answer = getattr(client, name)(**members)
    except ClientError as error:
        found: Any = error.response
        return found["Error"]["Code"]
    return plain({name: value for name, value in answer.items() if name != "ResponseMetadata"})


def plain(value: Any) -> Any:
    """Without dates, and lists in an order of their own: moto's is by chance."""
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return {name: plain(each) for name, each in members.items() if name not in _DATES}
    return sorted(map(plain, cast("list[Any]", value)), key=str) if isinstance(value, list) else value


def answer_with(service: SchedulerService) -> Callable[..., AWSResponse]:
    """A handler of botocore's that asks the service, whose disabled schedules wait for nothing."""

    def handle(request: Any, **_: object) -> AWSResponse:
        parts = urlsplit(str(request.url))
        body = request.body or b""
        asked = WireRequest("scheduler", REGION, request.method, parts.path, parts.query, {}, body, "AK", "r")
        work = service.handle(asked)
        try:
            work.send(None)
        except StopIteration as ended:
            answer: Any = ended.value
            return AWSResponse(request.url, answer.status, dict(answer.headers), _Body(answer.body))
        raise AssertionError("it waits")

    return handle


@pytest.fixture
def ours() -> Any:
    """boto3 over our service."""
    clock, rng = SystemClock(), random.Random(1)
    courier = Courier(Port(), clock=clock, rng=rng)
    group = asyncio.TaskGroup()
    schedules = Schedules(courier, may_assume=lambda _role: True, group=group, clock=clock, rng=rng)
    sdk: Any = boto3
    client = sdk.client("scheduler", **KEYS)
    client.meta.events.register("before-send.scheduler.*", answer_with(SchedulerService(schedules)))
    return client


def test_the_same_calls_have_the_same_answers(ours: Any) -> None:
    """Answers and error codes, in one run of calls. moto has other status codes, and lets a group be made twice."""
    with mock_aws():
        sdk: Any = boto3
        theirs = sdk.client("scheduler", **KEYS)
        expected = [(call[0], ask(theirs, call)) for call in CALLS]
    assert [(call[0], ask(ours, call)) for call in CALLS] == expected
