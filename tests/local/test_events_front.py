"""EventBridge over a real socket: boto3 puts events, their messages come out of queues."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from localcloud.clock import SystemClock
from localcloud.front import Front
from localcloud.listening import open_listener
from localcloud.services.contract import Denied, Permission
from localcloud.services.events.envelope import Event
from localcloud.services.events.model import Buses
from localcloud.services.events.targets import Reach, Targets, TargetServices
from localcloud.services.events.wire import EventsService
from localcloud.services.iam.policy import Document, parse_document
from localcloud.services.sqs.model import Queues
from localcloud.services.sqs.wire import SqsService

pytestmark = pytest.mark.local
REGION = "eu-west-1"


@dataclass
class Cloud:
    """A front with SQS and EventBridge; who may not call."""

    queues: Queues
    buses: Buses
    url: str = ""
    denied: str = ""

    def authorise(self, access_key: str, permissions: tuple[Permission, ...]) -> Denied | None:
        for permission in permissions:
            if access_key == self.denied and permission.action == "events:PutEvents":
                reason = "no identity-based policy allows the events:PutEvents action"
                return Denied("arn:aws:sts::123456789012:assumed-role/r/f", permission, reason)
        return None

    def client(self, name: str, key: str = "AK") -> Any:
        return boto3.client(
            name,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=key,
            aws_secret_access_key="secret",
            config=Config(retries={"total_max_attempts": 1}),
        )


async def nobody(*_: object) -> None:
    raise AssertionError("no such target here")


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    """Running, with deliveries."""
    queues = Queues(clock=SystemClock(), rng=random.Random(1))
    made: list[Buses] = []

    def policy_of(arn: str) -> Document | None:
        queue = queues.find(arn)
        text = queue.attributes.get("Policy", "") if queue else ""
        return parse_document(text, resource_policy=True) if text else None

    def forward(arn: str, event: Event) -> bool:
        return made[0].forward(arn, event)

    services = TargetServices(
        find_queue=queues.find, invoke=nobody, publish=nobody, put_record=nobody, forward=forward, start=nobody
    )
    reach = Reach(policy_of=policy_of, may_assume=lambda _role, _service: True, may_do=lambda *_: True)
    buses = Buses(clock=SystemClock(), rng=random.Random(2), port=Targets(services, reach))
    made.append(buses)
    cloud = Cloud(queues, buses)
    front = Front([SqsService(queues), EventsService(buses)], authorise=cloud.authorise, rng=random.Random(3))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(buses.run())
        async with front.serve(open_listener()) as cloud.url:
            queues.endpoint = cloud.url
            yield cloud
        running.cancel()


async def test_an_event_put_with_boto3_comes_out_of_the_queue(cloud: Cloud) -> None:
    """Through a rule of a bus of one's own, transformed on the way; the queue's policy lets it in."""

    def work() -> None:
        sqs, events = cloud.client("sqs"), cloud.client("events")
        url = sqs.create_queue(QueueName="q")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        bus = events.create_event_bus(Name="orders")["EventBusArn"]
        rule = events.put_rule(
            Name="large", EventBusName="orders", EventPattern='{"detail":{"n":[{"numeric":[">",9]}]}}'
        )
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": rule["RuleArn"]}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
        transformer = {"InputPathsMap": {"n": "$.detail.n"}, "InputTemplate": '{"number": <n>}'}
        told = events.put_targets(
            Rule="large", EventBusName="orders", Targets=[{"Id": "t", "Arn": arn, "InputTransformer": transformer}]
        )
        assert told["FailedEntryCount"] == 0
        entries = [
            {"Source": "shop", "DetailType": "order", "Detail": json.dumps({"n": n}), "EventBusName": name}
            for n, name in ((10, "orders"), (9, "orders"), (11, "default"), (12, bus))
        ]
        put = events.put_events(Entries=[*entries, {"Source": "aws.x", "DetailType": "t", "Detail": "{}"}])
        assert put["FailedEntryCount"] == 1
        assert [sorted(entry) for entry in put["Entries"]] == [["EventId"]] * 4 + [["ErrorCode", "ErrorMessage"]]
        bodies: list[str] = []
        while len(bodies) < 2:
            bodies += [
                message["Body"]
                for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=5)["Messages"]
            ]
        assert sorted(bodies) == ['{"number":10}', '{"number":12}']

    await asyncio.to_thread(work)


async def test_boto3_reads_every_answer_and_every_error(cloud: Cloud) -> None:
    """Its parsers, paginators and error classes agree with what is sent."""

    def work() -> None:
        events = cloud.client("events")
        for number in range(3):
            events.put_rule(Name=f"r{number}", EventPattern='{"source":["a"]}', Tags=[{"Key": "k", "Value": "v"}])
        described = events.describe_event_bus()
        assert (described["Name"], described["CreationTime"].tzinfo is not None) == ("default", True)
        first = events.list_rules(Limit=2)
        rest = events.list_rules(Limit=2, NextToken=first["NextToken"])
        assert [rule["Name"] for rule in first["Rules"] + rest["Rules"]] == ["r0", "r1", "r2"]
        rule = events.describe_rule(Name="r0")
        assert events.list_tags_for_resource(ResourceARN=rule["Arn"])["Tags"] == [{"Key": "k", "Value": "v"}]
        event = {"id": "1", "account": "1", "source": "a", "time": "t", "region": "r", "detail-type": "d"}
        tested = events.test_event_pattern(EventPattern=rule["EventPattern"], Event=json.dumps(event))
        assert tested["Result"] is True
        with pytest.raises(events.exceptions.InvalidEventPatternException):
            events.put_rule(Name="x", EventPattern='{"source":[]}')
        with pytest.raises(events.exceptions.ResourceNotFoundException):
            events.describe_rule(Name="x")
        with pytest.raises(events.exceptions.ResourceAlreadyExistsException):
            events.create_event_bus(Name="default")
        with pytest.raises(events.exceptions.OperationDisabledException):
            events.list_event_sources()
        with pytest.raises(ClientError, match="CreateConnection is not served by this local cloud"):
            events.create_connection(
                Name="c",
                AuthorizationType="API_KEY",
                AuthParameters={"ApiKeyAuthParameters": {"ApiKeyName": "k", "ApiKeyValue": "v"}},
            )
        events.delete_rule(Name="r0")

    await asyncio.to_thread(work)


async def test_who_may_not_put_events_is_told_so(cloud: Cloud) -> None:
    """AccessDeniedException, and the bus has heard nothing."""
    cloud.denied = "BAD"

    def work() -> None:
        events = cloud.client("events", key="BAD")
        entry = {"Source": "shop", "DetailType": "order", "Detail": "{}"}
        with pytest.raises(ClientError) as caught:
            events.put_events(Entries=[entry])
        assert caught.value.response["Error"]["Code"] == "AccessDeniedException"
        assert "events:PutEvents on resource: arn:aws:events:eu-west-1:123456789012:event-bus/default" in str(
            caught.value
        )

    await asyncio.to_thread(work)


async def test_archived_events_are_replayed_with_boto3(cloud: Cloud) -> None:
    """Those of the window come out of the queue again, with the replay's name; every answer and error is read."""

    def work() -> None:
        sqs, events = cloud.client("sqs"), cloud.client("events")
        url = sqs.create_queue(QueueName="q")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        bus = events.create_event_bus(Name="orders")["EventBusArn"]
        rule = events.put_rule(Name="again", EventBusName="orders", EventPattern='{"replay-name":[{"exists":true}]}')
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
        events.put_targets(Rule="again", EventBusName="orders", Targets=[{"Id": "t", "Arn": arn}])
        archive = events.create_archive(
            ArchiveName="kept", EventSourceArn=bus, EventPattern='{"source":["shop"]}', RetentionDays=1
        )
        start = datetime(2026, 1, 1, tzinfo=UTC)
        entries = [
            {
                "Source": source,
                "DetailType": "order",
                "Detail": json.dumps({"n": n}),
                "Time": start + timedelta(minutes=n),
                "EventBusName": "orders",
            }
            for n, source in ((2, "shop"), (0, "shop"), (1, "bank"), (1, "shop"), (3, "shop"))
        ]
        events.put_events(Entries=entries)
        described = events.describe_archive(ArchiveName="kept")
        assert (described["EventCount"], described["State"], described["RetentionDays"]) == (4, "ENABLED", 1)
        request = {
            "ReplayName": "once",
            "EventSourceArn": archive["ArchiveArn"],
            "EventStartTime": start,
            "EventEndTime": start + timedelta(minutes=3),
            "Destination": {"Arn": bus, "FilterArns": [rule["RuleArn"]]},
        }
        begun = events.start_replay(**request)
        assert (begun["State"], begun["ReplayStartTime"].tzinfo is not None) == ("STARTING", True)
        bodies: list[dict[str, Any]] = []
        while len(bodies) < 3:
            told = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=5)
            bodies += [json.loads(message["Body"]) for message in told["Messages"]]
        assert sorted(body["detail"]["n"] for body in bodies) == [0, 1, 2]
        assert {body["replay-name"] for body in bodies} == {"once"}
        while (replay := events.describe_replay(ReplayName="once"))["State"] in {"STARTING", "RUNNING"}:
            pass
        assert (replay["State"], replay["EventLastReplayedTime"]) == ("COMPLETED", start + timedelta(minutes=2))
        assert replay["ReplayEndTime"] >= replay["ReplayStartTime"]
        assert [each["ReplayName"] for each in events.list_replays(State="COMPLETED")["Replays"]] == ["once"]
        with pytest.raises(events.exceptions.ResourceAlreadyExistsException):
            events.start_replay(**request)
        with pytest.raises(events.exceptions.IllegalStatusException):
            events.cancel_replay(ReplayName="once")
        with pytest.raises(events.exceptions.ManagedRuleException):
            events.delete_rule(Name="Events-Archive-kept", EventBusName="orders")
        assert events.update_archive(ArchiveName="kept", RetentionDays=2)["State"] == "ENABLED"
        assert [each["EventCount"] for each in events.list_archives()["Archives"]] == [4]
        events.delete_archive(ArchiveName="kept")
        with pytest.raises(events.exceptions.ResourceNotFoundException):
            events.describe_archive(ArchiveName="kept")

    await asyncio.to_thread(work)
