"""Both sides of EventBridge's differential tests: the local cloud in this process, and moto, each behind boto3.

moto wants a library of JSON paths for every delivery, of which it asks for members of the event only: `MemberPath` is
that much of it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import boto3
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import mock_aws

from localcloud.clock import LoopClock, VirtualLoop
from localcloud.services.contract import WireRequest
from localcloud.services.events.delivery import DeadLetter, Parcel
from localcloud.services.events.model import Buses
from localcloud.services.events.wire import EventsService

REGION = "eu-west-1"
ACCOUNT = "123456789012"
_NAMES = itertools.count()
_TIME_TO_SETTLE_S = 0.3  # virtual: for deliveries, and for a replay from its start to its end
_UNLIKE = ("CreationTime", "EventId", "LastModifiedTime", "NextToken", "ResponseMetadata")


@dataclass
class Port:
    """Keeps what is delivered, by queue."""

    bodies: list[tuple[str, Any]] = field(default_factory=list)

    async def deliver(self, parcel: Parcel, body: str) -> None:
        self.bodies.append((parcel.target.arn, json.loads(body)))

    async def bury(self, letter: DeadLetter) -> None:
        raise AssertionError(letter)


@dataclass
class MemberPath:
    """`$.detail-type`, as moto asks for it."""

    name: str

    def find(self, event: dict[str, Any]) -> list[SimpleNamespace]:
        return [SimpleNamespace(value=event[self.name])] if self.name in event else []


class Raw:
    """The body of an answer, as botocore reads it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self._body


class Ours:
    """A boto3 client whose requests are answered by the service in this process, on a loop of its own."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner(loop_factory=VirtualLoop)
        self.port = Port()
        self.service, self.buses, self.running = self.runner.run(self._open())
        self.client = make_client("events", endpoint_url="http://ours.invalid")
        self.client.meta.events.register("before-send.events", self._send, unique_id="ours")

    async def _open(self) -> tuple[EventsService, Buses, asyncio.Task[None]]:
        clock = LoopClock(asyncio.get_running_loop())
        buses = Buses(clock=clock, rng=random.Random(1), port=self.port)
        running = asyncio.get_running_loop().create_task(buses.run())
        return EventsService(buses), buses, running

    def _send(self, request: AWSRequest, **_: Any) -> AWSResponse:
        return self.runner.run(self._answer(request))

    async def _answer(self, request: AWSRequest) -> AWSResponse:
        headers = {
            name.lower(): value.decode() if isinstance(value, bytes) else str(value)
            for name, value in request.headers.items()
        }
        body = request.body if isinstance(request.body, bytes) else (request.body or "").encode()
        path = urlsplit(request.url).path
        wire = WireRequest("events", REGION, "POST", path, "", headers, body, "AK", "r")
        answer = await self.service.handle(wire)
        await asyncio.sleep(_TIME_TO_SETTLE_S)
        assert isinstance(answer.body, bytes)
        return AWSResponse(request.url, answer.status, dict(answer.headers), Raw(answer.body))

    async def _close(self) -> None:
        self.running.cancel()
        await asyncio.wait([self.running])

    def close(self) -> None:
        self.client.meta.events.unregister("before-send.events", unique_id="ours")
        self.runner.run(self._close())
        self.runner.close()


@cache
def make_client(service: str, **more: Any) -> Any:
    """A client that sends what it is given, right or wrong, once; one for all examples, for it is slow to make."""
    return boto3.client(
        service,
        region_name=REGION,
        aws_access_key_id="AK",
        aws_secret_access_key="secret",
        config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
        **more,
    )


def normal(value: Any) -> Any:
    """Without ids and dates; policies as what their text says."""
    if isinstance(value, dict):
        kept = {name: item for name, item in value.items() if name not in _UNLIKE}
        return {name: _policy(item) if name == "Policy" else normal(item) for name, item in kept.items()}
    return [normal(item) for item in value] if isinstance(value, list) else value


def _policy(text: str) -> dict[str, Any]:
    """What a policy says; the order of its statements says nothing."""
    policy = json.loads(text)
    return {**policy, "Statement": sorted(policy["Statement"], key=lambda statement: statement["Sid"])}


def ask(client: Any, action: str, **parameters: Any) -> tuple[str, Any]:
    """ "" and the answer, or the code and the message of an error."""
    try:
        return "", normal(getattr(client, action)(**parameters))
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["Error"]["Message"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:  # moto's own
        return "moto crashes", str(error)


class Pair:
    """Both sides, fed the same. `explained`: (action, our code, moto's code) of answers that may differ, and why."""

    read: Callable[[tuple[str, Any]], tuple[str, Any]]

    def __init__(self, ours: Ours, theirs: Any, queues: Any, explained: Mapping[tuple[str, str, str], str]) -> None:
        self.explained = explained
        self.read = lambda answer: answer
        self.ours = ours
        self.theirs = theirs
        self.queues = queues
        self.url = queues.create_queue(QueueName=f"q{next(_NAMES)}")["QueueUrl"]
        self.queue = queues.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        self.seen: dict[tuple[str, str, str], int] = {}

    def both(self, action: str, **parameters: Any) -> tuple[str, Any]:
        """Ask both, and hold the answers, as `read` reads them, against each other."""
        ours = self.read(ask(self.ours.client, action, **parameters))
        theirs = self.read(ask(self.theirs, action, **parameters))
        if ours != theirs:
            if (action, ours[0], theirs[0]) not in self.explained:
                raise AssertionError(f"{action} {parameters}: {ours} here, {theirs} by moto")
            key = (action, ours[0], theirs[0])
            self.seen[key] = self.seen.get(key, 0) + 1
            if bool(ours[0]) != bool(theirs[0]):
                self._reset()
        return ours

    def _reset(self) -> None:
        """Both as they were at first: one of them has gone its own way."""
        for client in (self.ours.client, self.theirs):
            for archive in client.list_archives()["Archives"]:
                client.delete_archive(ArchiveName=archive["ArchiveName"])
            for bus in client.list_event_buses()["EventBuses"]:
                for rule in client.list_rules(EventBusName=bus["Name"])["Rules"]:
                    named = {"Rule": rule["Name"], "EventBusName": bus["Name"]}
                    ids = [target["Id"] for target in client.list_targets_by_rule(**named)["Targets"]]
                    if ids:
                        client.remove_targets(**named, Ids=ids)
                    client.delete_rule(Name=rule["Name"], EventBusName=bus["Name"])
                if bus["Name"] != "default":
                    client.delete_event_bus(Name=bus["Name"])

    def deliveries(self) -> tuple[list[Any], list[Any]]:
        """What both have delivered since, sorted."""
        ours, self.ours.port.bodies = self.ours.port.bodies, []
        theirs: list[Any] = []
        while messages := self.queues.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                theirs.append(json.loads(message["Body"]))
                self.queues.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return _sorted([body for _, body in ours]), _sorted(theirs)


def _sorted(bodies: list[Any]) -> list[Any]:
    left_out = {"account", "id", "ingestion-time", "time"}  # the third: moto's, in events that are replayed
    plain = [{name: value for name, value in body.items() if name not in left_out} for body in bodies]
    return sorted(plain, key=json.dumps)


@contextmanager
def open_pair(explained: Mapping[tuple[str, str, str], str]) -> Iterator[Pair]:
    """A new pair."""
    ours = Ours()
    paths = ModuleType("jsonpath_ng.ext")
    paths.__dict__["parse"] = lambda text: MemberPath(text.removeprefix("$."))
    try:
        with mock_aws(), patch.dict(sys.modules, {"jsonpath_ng": ModuleType("jsonpath_ng"), "jsonpath_ng.ext": paths}):
            yield Pair(ours, make_client("events"), make_client("sqs"), explained)
    finally:
        ours.close()
