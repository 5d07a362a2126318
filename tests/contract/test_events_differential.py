"""EventBridge against moto: the same generated calls of boto3 to both, the same answers, errors and messages.

Where the two differ on purpose, `EXPLAINED` says how and why; everything else must be equal. moto wants a library of
JSON paths for every delivery, of which it asks for members of the event only: `MemberPath` is that much of it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from localcloud.clock import SystemClock
from localcloud.services.contract import WireRequest
from localcloud.services.events.delivery import DeadLetter, Parcel
from localcloud.services.events.model import Buses
from localcloud.services.events.wire import EventsService

REGION = "eu-west-1"
ACCOUNT = "123456789012"
_NAMES = itertools.count()
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
        self.runner = asyncio.Runner()
        self.port = Port()
        self.service, self.buses, self.running = self.runner.run(self._open())
        self.client = make_client("events", endpoint_url="http://ours.invalid")
        self.client.meta.events.register("before-send.events", self._send, unique_id="ours")

    async def _open(self) -> tuple[EventsService, Buses, asyncio.Task[None]]:
        buses = Buses(clock=SystemClock(), rng=random.Random(1), port=self.port)
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
        while self.buses.under_way:  # noqa: ASYNC110 - a few turns of the loop
            await asyncio.sleep(0)
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


# Answers that differ on purpose: (action, our code, moto's code) -> why ("" for an answer that is no error).
_SHAPE = "moto does not hold the request against its shape, or does so last"
_BUS = "AWS wants the bus to be there"
_WORDS = "AWS names the bus in the message"
EXPLAINED = {
    ("create_event_bus", "ValidationException", ""): _SHAPE,
    ("delete_event_bus", "ValidationException", ""): "a bus with rules is not deleted",
    ("delete_rule", "ResourceNotFoundException", ""): _BUS,
    ("delete_rule", "ValidationException", ""): _SHAPE,
    ("describe_rule", "ResourceNotFoundException", "ResourceNotFoundException"): _WORDS,
    ("describe_rule", "ValidationException", "ResourceNotFoundException"): _SHAPE,
    ("disable_rule", "ResourceNotFoundException", "ResourceNotFoundException"): _WORDS,
    ("disable_rule", "ValidationException", "ResourceNotFoundException"): _SHAPE,
    ("enable_rule", "ResourceNotFoundException", "ResourceNotFoundException"): _WORDS,
    ("enable_rule", "ValidationException", "ResourceNotFoundException"): _SHAPE,
    ("list_targets_by_rule", "ResourceNotFoundException", "ResourceNotFoundException"): _WORDS,
    ("put_events", "", ""): "moto knows neither reserved sources nor entries without a detail type",
    ("put_events", "", "ResourceNotFoundException"): "AWS takes and drops events for a bus that is not there",
    ("put_events", "ValidationException", "ValidationException"): "AWS shows the entries in the message",
    ("put_rule", "InvalidEventPatternException", ""): "moto takes patterns that are none",
    ("put_rule", "InvalidEventPatternException", "InvalidEventPatternException"): "other words",
    ("put_rule", "ResourceNotFoundException", "InvalidEventPatternException"): "the bus is looked for first",
    ("put_rule", "ResourceNotFoundException", "ValidationException"): "the bus is looked for first",
    ("put_rule", "ValidationException", ""): "{} is no pattern; " + _SHAPE,
    ("put_rule", "ValidationException", "InvalidEventPatternException"): _SHAPE,
    ("put_rule", "ValidationException", "ValidationException"): _SHAPE,
    ("put_rule", "ValidationException", "ResourceNotFoundException"): _SHAPE,
    ("put_targets", "LimitExceededException", ""): "moto has no quotas",
    ("put_targets", "ValidationException", ""): _SHAPE,
    ("put_targets", "ValidationException", "ResourceNotFoundException"): _SHAPE,
    ("remove_permission", "ResourceNotFoundException", "ResourceNotFoundException"): "AWS says the same either way",
    ("remove_targets", "ValidationException", ""): _SHAPE,
    ("remove_targets", "ValidationException", "ResourceNotFoundException"): _SHAPE,
}


def _explained(action: str, ours: tuple[str, Any], theirs: tuple[str, Any]) -> bool:
    return (action, ours[0], theirs[0]) in EXPLAINED


class Pair:
    """Both sides, fed the same."""

    def __init__(self, ours: Ours, theirs: Any, queues: Any) -> None:
        self.ours = ours
        self.theirs = theirs
        self.queues = queues
        self.url = queues.create_queue(QueueName=f"q{next(_NAMES)}")["QueueUrl"]
        self.queue = queues.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        self.seen: dict[tuple[str, str, str], int] = {}

    def both(self, action: str, **parameters: Any) -> tuple[str, Any]:
        """Ask both, and hold the answers against each other."""
        ours = self._ask(self.ours.client, action, parameters)
        theirs = self._ask(self.theirs, action, parameters)
        if ours != theirs:
            if not _explained(action, ours, theirs):
                raise AssertionError(f"{action} {parameters}: {ours} here, {theirs} by moto")
            key = (action, ours[0], theirs[0])
            self.seen[key] = self.seen.get(key, 0) + 1
            if bool(ours[0]) != bool(theirs[0]):
                self._reset()
        return ours

    def _ask(self, client: Any, action: str, parameters: dict[str, Any]) -> tuple[str, Any]:
        try:
            return "", normal(getattr(client, action)(**parameters))
        except ClientError as error:
            return error.response["Error"]["Code"], error.response["Error"]["Message"]
        except (KeyError, TypeError, ValueError, AttributeError) as error:  # moto's own
            return "moto crashes", str(error)

    def _reset(self) -> None:
        """Both as they were at first: one of them has gone its own way."""
        for client in (self.ours.client, self.theirs):
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
    plain = [{name: value for name, value in body.items() if name not in {"account", "id", "time"}} for body in bodies]
    return sorted(plain, key=json.dumps)


BUSES = st.sampled_from(["default", "default", "one", "two"])
RULES = st.sampled_from(["r1", "r2", "r3", "x y"])
PATTERNS = st.sampled_from(
    [
        '{"source":["shop"]}',
        '{"source":["bank","shop"],"detail":{"n":[1,2]}}',
        '{"detail":{"n":[{"numeric":[">",1]}]}}',
        '{"detail":{"text":[{"prefix":"a"}]}}',
        '{"detail":{"text":[{"exists":false}]},"detail-type":["order"]}',
        '{"detail":{"text":[{"anything-but":["b"]}]}}',
        "{}",
        '{"source":"shop"}',
        '{"source":[]}',
        "no JSON",
    ]
)
SCHEDULES = st.sampled_from(["rate(5 minutes)", "rate(1 minutes)", "cron(0 12 * * ? *)", "cron(0 12 * * *)", "soon"])
TARGET_IDS = st.sampled_from(["t1", "t2", "t3", "t4", "t5", "t6", "t 7"])
DETAILS = st.sampled_from(['{"n":1}', '{"n":2,"text":"ab"}', '{"n":3,"text":"b"}', '{"text":"abc"}', "{}", "[]", "no"])
ENTRIES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "Source": st.sampled_from(["shop", "shop", "bank", "aws.s3"]),
            "DetailType": st.sampled_from(["order", "payment"]),
            "Detail": DETAILS,
            "EventBusName": BUSES,
            "Resources": st.just(["arn:a"]),
        },
    ),
    min_size=1,
    max_size=11,
)
GOOD_ENTRIES = st.lists(
    st.fixed_dictionaries(
        {
            "Source": st.sampled_from(["shop", "bank"]),
            "DetailType": st.sampled_from(["order", "payment"]),
            "Detail": DETAILS.filter(lambda text: text.startswith("{")),
            "EventBusName": BUSES,
        }
    ),
    min_size=1,
    max_size=5,
)
OPERATION = st.one_of(
    st.tuples(st.just("create_bus"), st.sampled_from(["one", "two", "default", "a/b"])),
    st.tuples(st.just("delete_bus"), st.sampled_from(["one", "two", "default", "none"])),
    st.tuples(st.just("put_rule"), RULES, BUSES, PATTERNS, st.sampled_from(["ENABLED", "DISABLED", None])),
    st.tuples(st.just("put_rule"), RULES, st.just("default"), PATTERNS, st.none()),
    st.tuples(st.just("schedule"), RULES, BUSES, SCHEDULES),
    st.tuples(st.just("delete_rule"), RULES, BUSES),
    st.tuples(st.just("describe_rule"), RULES, BUSES),
    st.tuples(st.just("enable"), RULES, BUSES, st.booleans()),
    st.tuples(st.just("put_targets"), RULES, BUSES, st.lists(TARGET_IDS, min_size=1, max_size=3, unique=True)),
    st.tuples(st.just("put_targets"), st.just("r1"), st.just("default"), st.just(["t1"])),
    st.tuples(st.just("remove_targets"), RULES, BUSES, st.lists(TARGET_IDS, min_size=1, max_size=2, unique=True)),
    st.tuples(st.just("lists"), BUSES),
    st.tuples(st.just("tags"), st.dictionaries(st.sampled_from("xyz"), st.text("ab", max_size=2), max_size=2)),
    st.tuples(st.just("put_events"), ENTRIES),
    st.tuples(st.just("put_events"), GOOD_ENTRIES),
    st.tuples(st.just("permission"), st.sampled_from("ab"), st.booleans()),
)


def run(pair: Pair, operation: tuple[Any, ...]) -> None:
    """One operation on both."""
    kind, *rest = operation
    OPERATIONS[kind](pair, *rest)


def _put_rule(pair: Pair, name: str, bus: str, pattern: str, state: str | None) -> None:
    more = {} if state is None else {"State": state}
    pair.both("put_rule", Name=name, EventBusName=bus, EventPattern=pattern, **more)


def _put_targets(pair: Pair, rule: str, bus: str, ids: list[str]) -> None:
    targets = [{"Id": target_id, "Arn": pair.queue} for target_id in ids]
    pair.both("put_targets", Rule=rule, EventBusName=bus, Targets=targets)


def _enable(pair: Pair, rule: str, bus: str, enabled: bool) -> None:
    pair.both("enable_rule" if enabled else "disable_rule", Name=rule, EventBusName=bus)


def _lists(pair: Pair, bus: str) -> None:
    pair.both("list_event_buses")
    pair.both("list_rules", EventBusName=bus)
    pair.both("list_rule_names_by_target", TargetArn=pair.queue, EventBusName=bus)
    pair.both("list_targets_by_rule", Rule="r1", EventBusName=bus)
    pair.both("describe_event_bus", Name=bus)


def _tags(pair: Pair, tags: dict[str, str]) -> None:
    arn = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/r1"
    given_tags = [{"Key": key, "Value": value} for key, value in tags.items()]
    pair.both("tag_resource", ResourceARN=arn, Tags=given_tags)
    pair.both("list_tags_for_resource", ResourceARN=arn)
    pair.both("untag_resource", ResourceARN=arn, TagKeys=sorted(tags))


def _put_events(pair: Pair, entries: list[dict[str, Any]]) -> None:
    before = pair.deliveries()
    assert before[0] == before[1]
    code, _ = pair.both("put_events", Entries=entries)
    ours, theirs = pair.deliveries()
    there = {bus["Name"] for bus in pair.ours.client.list_event_buses()["EventBuses"]}
    clean = all(_is_clean(entry) and entry.get("EventBusName", "default") in there for entry in entries)
    if clean and not code:  # moto ends at an entry for a bus that is not there
        assert ours == theirs, entries


def _is_clean(entry: dict[str, Any]) -> bool:
    """Whether moto reads the entry as AWS does."""
    given_all = all(name in entry for name in ("Source", "DetailType", "Detail"))
    return given_all and not entry["Source"].startswith("aws.") and entry["Detail"].startswith("{")


def _permission(pair: Pair, statement: str, put: bool) -> None:
    principal = "111111111111" if statement == "a" else "222222222222"  # moto keeps one statement a principal
    if put:
        pair.both("put_permission", Action="events:PutEvents", Principal=principal, StatementId=statement)
    else:
        pair.both("remove_permission", StatementId=statement)


OPERATIONS = {
    "create_bus": lambda pair, name: pair.both("create_event_bus", Name=name),
    "delete_bus": lambda pair, name: pair.both("delete_event_bus", Name=name),
    "put_rule": _put_rule,
    "schedule": lambda pair, name, bus, text: pair.both(
        "put_rule", Name=name, EventBusName=bus, ScheduleExpression=text
    ),
    "delete_rule": lambda pair, name, bus: pair.both("delete_rule", Name=name, EventBusName=bus),
    "describe_rule": lambda pair, name, bus: pair.both("describe_rule", Name=name, EventBusName=bus),
    "enable": _enable,
    "put_targets": _put_targets,
    "remove_targets": lambda pair, rule, bus, ids: pair.both("remove_targets", Rule=rule, EventBusName=bus, Ids=ids),
    "lists": _lists,
    "tags": _tags,
    "put_events": _put_events,
    "permission": _permission,
}


@pytest.mark.filterwarnings("ignore:EventDetail should be:UserWarning")  # moto's, of a detail that is no object
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.lists(OPERATION, min_size=10, max_size=30))
def test_generated_operations_answer_as_moto_does(operations: list[tuple[Any, ...]]) -> None:
    """Any sequence of actions gives the same answers, the same errors and the same messages on both sides."""
    play(operations)


def play(operations: list[tuple[Any, ...]]) -> None:
    """A sequence of operations on a new pair."""
    ours = Ours()
    paths = ModuleType("jsonpath_ng.ext")
    paths.__dict__["parse"] = lambda text: MemberPath(text.removeprefix("$."))
    try:
        with mock_aws(), patch.dict(sys.modules, {"jsonpath_ng": ModuleType("jsonpath_ng"), "jsonpath_ng.ext": paths}):
            pair = Pair(ours, make_client("events"), make_client("sqs"))
            for operation in operations:
                run(pair, operation)
    finally:
        ours.close()
