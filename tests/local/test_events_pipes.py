"""Pipes over a real socket: boto3 makes a pipe from queue to queue, and messages go through it."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.config import Config

from localcloud.clock import SystemClock
from localcloud.compute.functions import InvokeResult
from localcloud.compute.stream_source import StreamGone, StreamSource
from localcloud.front import Front
from localcloud.listening import open_listener
from localcloud.services.pipes.model import Pipes
from localcloud.services.pipes.services import PipeServices, ServicePort
from localcloud.services.pipes.sources import Sources
from localcloud.services.pipes.wire import PipesService
from localcloud.services.sqs.model import Queues
from localcloud.services.sqs.wire import SqsService

pytestmark = pytest.mark.local
REGION = "eu-west-1"
ROLE = "arn:aws:iam::123456789012:role/pipe"
PREFIX = f"arn:aws:sqs:{REGION}:123456789012:"


@dataclass
class Cloud:
    """A front with SQS and Pipes."""

    queues: Queues
    pipes: Pipes
    url: str = ""

    def client(self, name: str) -> Any:
        return boto3.client(
            name,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="AK",
            aws_secret_access_key="secret",
            config=Config(retries={"total_max_attempts": 1}),
        )

    async def settled(self) -> None:
        """The pipe `p` is in a state that stays."""
        await self.pipes.get("p", REGION).settled.wait()


async def nothing(*_: object) -> InvokeResult:
    return InvokeResult(200)


def no_stream(arn: str, _role: str) -> StreamSource:
    raise StreamGone(arn)


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    queues = Queues(clock=SystemClock(), rng=random.Random(1))
    for name in ("q", "out"):
        queues.create(name, REGION, attributes={}, tags={})
    services = PipeServices(
        find_queue=queues.find,
        invoke=nothing,
        publish=nothing,
        put_record=nothing,
        put_event=nothing,
        run_machine=nothing,
        may_do=lambda *_: True,
    )
    sources = Sources(
        find_queue=queues.find,
        open_stream=no_stream,
        may_do=lambda *_: True,
        may_assume=lambda *_: True,
        port=ServicePort(services),
        clock=SystemClock(),
        rng=random.Random(2),
    )
    async with asyncio.TaskGroup() as group:
        pipes = Pipes(sources, group=group, clock=SystemClock())
        cloud = Cloud(queues, pipes)
        front = Front([SqsService(queues), PipesService(pipes)], authorise=lambda *_: None, rng=random.Random(3))
        async with front.serve(open_listener()) as cloud.url:
            queues.endpoint = cloud.url
            yield cloud
        await pipes.close()


async def test_a_pipe_made_with_boto3_carries_messages(cloud: Cloud) -> None:
    """Filtered and transformed; it is listed, tagged and deleted; dates are dates."""

    sqs, pipes = cloud.client("sqs"), cloud.client("pipes")

    def make() -> None:
        made = pipes.create_pipe(
            Name="p",
            Source=PREFIX + "q",
            SourceParameters={"FilterCriteria": {"Filters": [{"Pattern": '{"body":{"n":[{"numeric":[">",1]}]}}'}]}},
            Target=PREFIX + "out",
            TargetParameters={"InputTemplate": '{"number": <$.body.n>}'},
            RoleArn=ROLE,
            Tags={"a": "b"},
        )
        assert (made["CurrentState"], made["CreationTime"].tzinfo is not None) == ("CREATING", True)

    def use() -> None:
        described = pipes.describe_pipe(Name="p")
        assert (described["CurrentState"], described["TargetParameters"]) == (
            "RUNNING",
            {"InputTemplate": '{"number": <$.body.n>}'},
        )
        arn = described["Arn"]
        assert [entry["Arn"] for entry in pipes.list_pipes(NamePrefix="p", Limit=1)["Pipes"]] == [arn]
        pipes.tag_resource(resourceArn=arn, tags={"c": "d"})
        pipes.untag_resource(resourceArn=arn, tagKeys=["a"])
        assert pipes.list_tags_for_resource(resourceArn=arn)["tags"] == {"c": "d"}
        source, out = (sqs.get_queue_url(QueueName=name)["QueueUrl"] for name in ("q", "out"))
        for number in (1, 2):
            sqs.send_message(QueueUrl=source, MessageBody=json.dumps({"n": number}))
        (message,) = sqs.receive_message(QueueUrl=out, WaitTimeSeconds=10)["Messages"]
        assert message["Body"] == '{"number":2}'
        assert pipes.stop_pipe(Name="p")["CurrentState"] == "STOPPING"

    def change() -> None:
        assert pipes.describe_pipe(Name="p")["CurrentState"] == "STOPPED"
        changed = pipes.update_pipe(Name="p", RoleArn=ROLE, Description="new", DesiredState="RUNNING")
        assert changed["CurrentState"] == "UPDATING"

    def delete() -> None:
        described = pipes.describe_pipe(Name="p")
        assert (described["CurrentState"], described["Description"]) == ("RUNNING", "new")
        assert pipes.delete_pipe(Name="p")["CurrentState"] == "DELETING"

    for step in (make, use, change):
        await asyncio.to_thread(step)
        await cloud.settled()
    await asyncio.to_thread(delete)


async def test_the_errors_are_boto3s_own(cloud: Cloud) -> None:
    """It knows them by their names, with the messages."""

    def work() -> None:
        pipes = cloud.client("pipes")
        with pytest.raises(pipes.exceptions.NotFoundException, match="Pipe none does not exist"):
            pipes.describe_pipe(Name="none")
        with pytest.raises(pipes.exceptions.ValidationException, match="cross-region"):
            pipes.create_pipe(
                Name="p", Source="arn:aws:sqs:us-east-1:123456789012:q", Target=PREFIX + "out", RoleArn=ROLE
            )
        pipes.create_pipe(Name="p", Source=PREFIX + "q", Target=PREFIX + "out", RoleArn=ROLE)
        with pytest.raises(pipes.exceptions.ConflictException, match="already exists"):
            pipes.create_pipe(Name="p", Source=PREFIX + "q", Target=PREFIX + "out", RoleArn=ROLE)

    await asyncio.to_thread(work)
