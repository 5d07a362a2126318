"""Subscription filters: what is sent of a log group, to whom, when, and who may."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.logs.filter_resources import filter_handlers
from localcloud.services.logs.model import Logs
from localcloud.services.logs.subscriptions import BATCH_S, MAX_BATCH_CHARS, Subscriptions
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Physical, Resource, ResourceHandler, StackContext

FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:f"
STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/s"
ROLE = "arn:aws:iam::123456789012:role/r"
FILTER = "AWS::Logs::SubscriptionFilter"


class World:
    """A log group `g`, filters, and what they sent."""

    def __init__(self, group: asyncio.TaskGroup, *, may: bool = True) -> None:
        self.clock = LoopClock(asyncio.get_running_loop())
        self.logs = Logs(clock=self.clock)
        self.logs.create_group("g")
        self.may, self.fails = may, False
        self.invoked: list[tuple[float, str, Any]] = []
        self.records: list[tuple[str, Any, str]] = []

        def start(sending: Awaitable[None]) -> None:
            async def run() -> None:
                await sending

            group.create_task(run())

        subscriptions = Subscriptions(self.logs, start=start)
        made: list[ResourceHandler] = filter_handlers(self.logs, subscriptions, self)
        self.handlers = {handler.type: handler for handler in made}

    async def invoke_event(self, arn: str, payload: bytes) -> None:
        if self.fails:
            raise LookupError(arn)
        packed = base64.b64decode(json.loads(payload)["awslogs"]["data"])
        self.invoked.append((asyncio.get_running_loop().time(), arn, json.loads(gzip.decompress(packed))))

    async def put_record(self, arn: str, data: bytes, key: str) -> None:
        self.records.append((arn, json.loads(gzip.decompress(data)), key))

    def may_invoke(self, arn: str, group_arn: str) -> bool:
        assert (arn, group_arn) == (FUNCTION, "arn:aws:logs:eu-west-1:123456789012:log-group:g:*")
        return self.may

    def may_put(self, role_arn: str, stream_arn: str) -> bool:
        assert (role_arn, stream_arn) == (ROLE, STREAM)
        return self.may

    def random_key(self) -> str:
        return "random"

    def resource(self, kind: str, **properties: Any) -> Resource:
        context = StackContext("app", "eu-west-1", "123456789012", "aws", Path())
        return Resource("Made", kind, {"LogGroupName": "g", **properties}, context)

    async def make(self, kind: str, **properties: Any) -> Physical:
        return await self.handlers[kind].create(self.resource(kind, **properties))


def test_a_function_gets_what_matches_as_aws_sends_it() -> None:
    """One batch of a log stream, a second after its first event: gzipped JSON in base64."""

    async def main() -> World:
        async with asyncio.TaskGroup() as group:
            world = World(group)
            made = await world.make(FILTER, FilterName="errors", FilterPattern="ERROR", DestinationArn=FUNCTION)
            assert made.ref == "errors"
            for message in ("ERROR one", "fine", "ERROR two"):
                world.logs.append("g", "a", message, timestamp_ms=5)
                await asyncio.sleep(0.25)
            world.logs.append("g", "b", "ERROR three", timestamp_ms=6)
            world.logs.append("other", "a", "ERROR", timestamp_ms=7)
            await asyncio.sleep(3)
            await world.handlers[FILTER].delete(world.resource(FILTER), made)
            world.logs.append("g", "a", "ERROR late")
            await asyncio.sleep(3)
        return world

    world = run_virtual(main)
    first, second = world.invoked
    assert first[:2] == (BATCH_S, FUNCTION)
    assert first[2] == {
        "messageType": "DATA_MESSAGE",
        "owner": "123456789012",
        "logGroup": "g",
        "logStream": "a",
        "subscriptionFilters": ["errors"],
        "logEvents": [
            {"id": f"{5:020d}{1:036d}", "timestamp": 5, "message": "ERROR one"},
            {"id": f"{5:020d}{3:036d}", "timestamp": 5, "message": "ERROR two"},
        ],
    }
    assert (second[0], second[2]["logStream"]) == (0.75 + BATCH_S, "b")


def test_a_stream_gets_records_by_log_stream_or_spread() -> None:
    """The log stream is the partition key, unless the distribution is Random."""

    async def main() -> list[str]:
        async with asyncio.TaskGroup() as group:
            world = World(group)
            target = {"FilterPattern": "", "DestinationArn": STREAM, "RoleArn": ROLE}
            await world.make(FILTER, FilterName="one", **target)
            await world.make(FILTER, FilterName="two", Distribution="Random", **target)
            world.logs.append("g", "a", "x")
            await asyncio.sleep(2)
        return [key for _, _, key in world.records]

    assert run_virtual(main) == ["a", "random"]


def test_a_full_batch_goes_at_once_and_a_failure_ends_nothing() -> None:
    """512 KiB do not wait for their second; what failed is not sent again, and the next batch goes."""

    async def main() -> list[tuple[float, int]]:
        async with asyncio.TaskGroup() as group:
            world = World(group)
            await world.make(FILTER, FilterPattern="", DestinationArn=FUNCTION)
            world.fails = True
            world.logs.append("g", "a", "lost")
            await asyncio.sleep(2)
            world.fails = False
            for _ in range(3):
                world.logs.append("g", "a", "x" * (MAX_BATCH_CHARS // 2))
            await asyncio.sleep(2)
        return [(time, len(told["logEvents"])) for time, _, told in world.invoked]

    assert run_virtual(main) == [(2.0, 2), (2.0 + BATCH_S, 1)]


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({"LogGroupName": "none"}, "The specified log group does not exist."),
        ({"FilterPattern": "{ $.a"}, "Properties.FilterPattern: Invalid filter pattern"),
        ({"DestinationArn": "arn:aws:sqs:eu-west-1:123456789012:q"}, "must be a function or a Kinesis stream"),
        ({"DestinationArn": STREAM, "RoleArn": ROLE}, "Properties.RoleArn: Could not deliver test message"),
        ({}, "Properties.DestinationArn: Could not execute the lambda function."),
    ],
)
def test_what_logs_refuses_ends_the_start(properties: dict[str, Any], said: str) -> None:
    """A group, pattern or target that is not there, and a target that lets nobody in."""

    async def main() -> str:
        async with asyncio.TaskGroup() as group:
            world = World(group, may=False)
            with pytest.raises(TemplateError) as caught:
                await world.make(FILTER, **{"FilterPattern": "", "DestinationArn": FUNCTION, **properties})
            return str(caught.value)

    assert said in run_virtual(main)


def test_a_group_has_two_filters_and_no_function_hears_itself() -> None:
    """A third filter is refused, and a filter of a function's own log group."""

    async def main() -> list[str]:
        refused: list[str] = []
        async with asyncio.TaskGroup() as group:
            world = World(group)
            world.logs.create_group("/aws/lambda/f")
            for number, name in enumerate(("g", "g", "g", "/aws/lambda/f")):
                target = {"FilterName": str(number), "FilterPattern": "", "DestinationArn": FUNCTION}
                try:
                    await world.make(FILTER, LogGroupName=name, **target)
                except TemplateError as error:
                    refused.append(error.detail)
        return refused

    assert run_virtual(main) == [
        "a log group has at most 2 subscription filters",
        "is the function's own: each of its lines would invoke it again",
    ]


def test_a_log_stream_is_there_before_anything_is_written() -> None:
    """And not twice, and not without its group."""

    async def main() -> tuple[str, list[str], list[str]]:
        kind = "AWS::Logs::LogStream"
        async with asyncio.TaskGroup() as group:
            world = World(group)
            made = await world.make(kind, LogStreamName="first")
            found = world.logs.find("g")
            assert found is not None
            there = list(found.streams)
            said: list[str] = []
            for properties in ({"LogStreamName": "first"}, {"LogGroupName": "none"}):
                try:
                    await world.make(kind, **properties)
                except TemplateError as error:
                    said.append(error.detail)
            await world.handlers[kind].delete(world.resource(kind), made)
            assert list(found.streams) == []
        return made.ref, there, said

    assert run_virtual(main) == (
        "first", ["first"], ["The specified log stream already exists", "The specified log group does not exist."]
    )  # fmt: skip
