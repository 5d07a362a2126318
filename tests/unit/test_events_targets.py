"""The services of targets: who is let in, what each is given, what their refusals mean."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.events.envelope import Event
from localcloud.services.events.model import Buses
from localcloud.services.events.targets import Reach, Targets, TargetServices
from localcloud.services.events.wire import EventsService
from localcloud.services.iam.policy import Document, parse_document
from localcloud.services.lambda_.errors import LambdaError, bad_content, no_such_function, throttled
from localcloud.services.sqs.errors import SqsError
from localcloud.services.sqs.model import Queues
from tests.unit.events_setup import ACCOUNT, REGION, Port, World

ROLE = f"arn:aws:iam::{ACCOUNT}:role/deliver"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"
DEAD = f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:topic"
STREAM = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/s"
MACHINE = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:m"
BUS = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/other"
RULE_ARN = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/r"
ACTIONS = {
    QUEUE: "sqs:SendMessage",
    DEAD: "sqs:SendMessage",
    FUNCTION: "lambda:InvokeFunction",
    TOPIC: "sns:Publish",
    STREAM: "kinesis:PutRecord",
    BUS: "events:PutEvents",
    QUEUE + ".fifo": "sqs:SendMessage",
}


class Busy(Exception):
    """An error of a service, as all of them are."""

    code = "ProvisionedThroughputExceededException"
    message = "too fast"
    status = 400


@dataclass
class Cloud:
    """Real queues, and fakes of the other services; whom policies and roles let in."""

    queues: Queues
    calls: list[tuple[str, ...]] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    policies: dict[str, Document] = field(default_factory=dict)
    trusted: set[str] = field(default_factory=set)
    granted: set[tuple[str, str, str]] = field(default_factory=set)
    world: World | None = None

    def allow(self, arn: str, *, effect: str = "Allow", source: str = RULE_ARN, **principal: str) -> None:
        """A resource policy that lets EventBridge in for the rule (or a role, or keeps it out)."""
        statement = {
            "Effect": effect,
            "Principal": principal or {"Service": "events.amazonaws.com"},
            "Action": ACTIONS[arn],
            "Resource": arn,
        }
        if not principal:
            statement["Condition"] = {"ArnEquals": {"aws:SourceArn": source}}
        self.policies[arn] = parse_document({"Statement": statement}, resource_policy=True)

    def reach(self) -> Reach:
        def may_do(role: str, action: str, resource: str) -> bool:
            return (role, action, resource) in self.granted

        def may_assume(role: str, service: str) -> bool:
            return service == "events.amazonaws.com" and role in self.trusted

        return Reach(policy_of=self.policies.get, may_do=may_do, may_assume=may_assume)

    async def call(self, service: str, *given: str) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.calls.append((service, *given))

    def services(self, forward: Callable[[str, Event], bool]) -> TargetServices:
        return TargetServices(
            find_queue=self.queues.find,
            invoke=lambda arn, payload, trace: self.call("lambda", arn, payload.decode(), trace),
            publish=lambda arn, message: self.call("sns", arn, message),
            put_record=lambda arn, data, key: self.call("kinesis", arn, data.decode(), key),
            forward=forward,
            start=lambda arn, text: self.call("states", arn, text),
        )

    async def drain(self, name: str) -> list[Any]:
        """The messages of a queue."""
        return await self.queues.get(name, REGION).receive(10, wait_s=0)


def with_cloud(test: Callable[[Cloud, World], Awaitable[None]]) -> None:
    async def main() -> None:
        clock = LoopClock(asyncio.get_running_loop())
        cloud = Cloud(Queues(clock=clock, rng=random.Random(1)))
        made: list[Buses] = []

        def forward(arn: str, event: Event) -> bool:
            return made[0].forward(arn, event)

        targets = Targets(cloud.services(forward), cloud.reach())
        made.append(Buses(clock=clock, rng=random.Random(2), port=targets))
        for name in ("q", "dead"):
            cloud.queues.create(name, REGION, attributes={}, tags={})
        async with asyncio.TaskGroup() as group:
            running = group.create_task(made[0].run())
            await test(cloud, World(made[0], Port(), EventsService(made[0])))
            running.cancel()

    run_virtual(main)


def dead_letters(messages: list[Any]) -> list[dict[str, str]]:
    """The attributes of dead letters."""
    return [{name: each.value for name, each in message.message_attributes.items()} for message in messages]


async def add(world: World, arn: str, **target: Any) -> None:
    """A rule for everything from the shop, with one target and a dead-letter queue."""
    made = {"Id": "t", "Arn": arn, "DeadLetterConfig": {"Arn": DEAD}, **target}
    await world.add_rule({"source": ["shop"]}, made)


# ---------------------------------------------------------------------- what each is given


def test_a_queue_gets_the_body_the_group_and_the_trace() -> None:
    """The trace as a system attribute, as SQS has it."""

    async def test(cloud: Cloud, world: World) -> None:
        cloud.allow(QUEUE)
        await add(world, QUEUE, SqsParameters={"MessageGroupId": "g"}, InputPath="$.detail")
        trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"
        await world.put({"n": 1}, TraceHeader=trace)
        await world.settle()
        (message,) = await cloud.drain("q")
        assert message.body == '{"n":1}'
        assert (message.content.group_id, message.system["AWSTraceHeader"]) == ("g", trace)

    with_cloud(test)


def test_a_policy_may_ask_for_the_account_and_for_tls() -> None:
    """EventBridge comes on behalf of a rule of the account, as over TLS: conditions on either let it in."""

    async def test(cloud: Cloud, world: World) -> None:
        conditions = {"StringEquals": {"aws:SourceAccount": ACCOUNT}, "Bool": {"aws:SecureTransport": "true"}}
        allowed = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Condition": conditions}
        statement = {**allowed, "Action": "sqs:SendMessage", "Resource": QUEUE}
        cloud.policies[QUEUE] = parse_document({"Statement": statement}, resource_policy=True)
        await add(world, QUEUE, InputPath="$.detail")
        await world.put({"n": 1})
        await world.settle()
        assert [message.body for message in await cloud.drain("q")] == ['{"n":1}']

    with_cloud(test)


def test_a_fifo_queue_gets_the_events_of_a_group_in_order() -> None:
    """Each under the target's group; the queue tells duplicates by their content."""

    async def test(cloud: Cloud, world: World) -> None:
        arn = QUEUE + ".fifo"
        attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
        cloud.queues.create("q.fifo", REGION, attributes=attributes, tags={})
        cloud.allow(arn)
        await add(world, arn, SqsParameters={"MessageGroupId": "g"}, InputPath="$.detail")
        for number in (1, 2, 1):
            await world.put({"n": number})
            await world.settle()
        messages = await cloud.drain("q.fifo")
        assert [(message.body, message.content.group_id) for message in messages] == [
            ('{"n":1}', "g"),
            ('{"n":2}', "g"),
        ]

    with_cloud(test)


def test_a_fifo_queue_that_is_given_no_deduplication_is_a_dead_letter() -> None:
    """EventBridge sends no deduplication id of its own."""

    async def test(cloud: Cloud, world: World) -> None:
        arn = QUEUE + ".fifo"
        cloud.queues.create("q.fifo", REGION, attributes={"FifoQueue": "true"}, tags={})
        cloud.allow(arn)
        cloud.allow(DEAD)
        await add(world, arn, SqsParameters={"MessageGroupId": "g"})
        await world.put({"n": 1})
        await world.settle()
        (letter,) = dead_letters(await cloud.drain("dead"))
        assert (letter["ERROR_CODE"], letter["RETRY_ATTEMPTS"]) == ("INVALID_PARAMETER", "0")

    with_cloud(test)


def test_a_function_is_invoked_with_the_event() -> None:
    """Its ARN, the payload in UTF-8, the trace header."""

    async def test(cloud: Cloud, world: World) -> None:
        cloud.allow(FUNCTION)
        await add(world, FUNCTION, InputPath="$.detail")
        await world.put({"n": "é"}, TraceHeader="Root=1")
        await world.settle()
        assert cloud.calls == [("lambda", FUNCTION, '{"n":"é"}', "Root=1")]

    with_cloud(test)


def test_what_goes_over_a_bus_begins_a_new_chain() -> None:
    """Its trace goes on, and how often functions were in it does not: loops over a bus are not detected, as on AWS."""

    async def test(cloud: Cloud, world: World) -> None:
        cloud.allow(FUNCTION)
        await add(world, FUNCTION, Input="1")
        await world.put({}, TraceHeader="Root=1-a-b;Sampled=1;Lineage=0000000a:3")
        await world.settle()
        assert cloud.calls == [("lambda", FUNCTION, "1", "Root=1-a-b;Sampled=1")]

    with_cloud(test)


def test_a_topic_gets_the_body_as_its_message() -> None:
    """As text."""

    async def test(cloud: Cloud, world: World) -> None:
        cloud.allow(TOPIC)
        await add(world, TOPIC, Input='"hello"')
        await world.put()
        await world.settle()
        assert cloud.calls == [("sns", TOPIC, '"hello"')]

    with_cloud(test)


@pytest.mark.parametrize(
    ("path", "key"),
    [("$.detail.user", "anna"), ("$.detail.n", "7"), ("$.detail.none", None), (None, None), ("$.detail.null", None)],
)
def test_a_stream_gets_a_record_under_the_key_of_the_event(path: str | None, key: str | None) -> None:
    """What lies at PartitionKeyPath in the whole event, whatever the input; else the event's id."""

    async def test(cloud: Cloud, world: World) -> None:
        cloud.trusted.add(ROLE)
        cloud.granted.add((ROLE, "kinesis:PutRecord", STREAM))
        parameters = {"KinesisParameters": {"PartitionKeyPath": path}} if path else {}
        await add(world, STREAM, RoleArn=ROLE, Input="{}", **parameters)
        entry = await world.put({"user": "anna", "n": 7, "null": None})
        await world.settle()
        assert cloud.calls == [("kinesis", STREAM, "{}", key or entry["EventId"])]

    with_cloud(test)


def test_another_bus_gets_the_event_as_it_is() -> None:
    """With its id, time and detail: the rules of that bus are triggered, those of a third are not."""

    async def test(cloud: Cloud, world: World) -> None:
        third = BUS.replace("other", "third")
        for name in ("other", "third"):
            await world.do("CreateEventBus", {"Name": name})
        cloud.trusted.add(ROLE)
        cloud.granted |= {(ROLE, "events:PutEvents", BUS), (ROLE, "events:PutEvents", third)}
        await add(world, BUS, RoleArn=ROLE)
        cloud.allow(QUEUE, source=f"arn:aws:events:{REGION}:{ACCOUNT}:rule/other/r")
        onward = {"Id": "on", "Arn": third, "RoleArn": ROLE, "DeadLetterConfig": {"Arn": DEAD}}
        await world.add_rule({"source": ["shop"]}, {"Id": "q", "Arn": QUEUE}, onward, bus="other")
        await world.add_rule({"source": ["shop"]}, {"Id": "q", "Arn": QUEUE}, bus="third")
        entry = await world.put({"n": 1.5})
        await world.settle()
        (message,) = await cloud.drain("q")
        assert (json.loads(message.body)["id"], json.loads(message.body)["detail"]) == (entry["EventId"], {"n": 1.5})
        assert cloud.policies.keys() == {QUEUE}

    with_cloud(test)


def test_an_event_goes_to_a_bus_of_another_region() -> None:
    """And keeps its own Region; from there it goes to no third one, and the dead letter says why."""

    async def test(cloud: Cloud, world: World) -> None:
        far = BUS.replace(REGION, "us-east-1").replace("other", "default")
        back = BUS
        dead_far = DEAD.replace(REGION, "us-east-1")
        cloud.queues.create("dead", "us-east-1", attributes={}, tags={})
        cloud.trusted.add(ROLE)
        cloud.granted |= {(ROLE, "events:PutEvents", far), (ROLE, "events:PutEvents", back)}
        await add(world, far, RoleArn=ROLE)
        await world.do("PutRule", {"Name": "r", "EventPattern": '{"source":["shop"]}'}, region="us-east-1")
        onward = {"Id": "on", "Arn": back, "RoleArn": ROLE, "DeadLetterConfig": {"Arn": dead_far}}
        await world.do("PutTargets", {"Rule": "r", "Targets": [onward]}, region="us-east-1")
        ACTIONS[dead_far] = "sqs:SendMessage"
        cloud.allow(dead_far, source=RULE_ARN.replace(REGION, "us-east-1"))
        await world.put()
        await world.settle()
        messages = await cloud.queues.get("dead", "us-east-1").receive(10, wait_s=0)
        assert [letter["ERROR_CODE"] for letter in dead_letters(messages)] == ["THIRD_REGION_HOP_DETECTED"]
        assert json.loads(messages[0].body)["region"] == REGION

    with_cloud(test)


# ---------------------------------------------------------------------- who is let in


@pytest.mark.parametrize("arn", [QUEUE, FUNCTION, TOPIC])
def test_without_a_role_the_policy_of_the_target_decides(arn: str) -> None:
    """It must let events.amazonaws.com in for this very rule; else the event is a dead letter at once."""

    async def test(cloud: Cloud, world: World) -> None:
        cloud.allow(DEAD)
        await add(world, arn)

        async def code() -> str:
            await world.put()
            await world.settle()
            letters = dead_letters(await cloud.drain("dead"))
            return letters[0]["ERROR_CODE"] if letters else ""

        assert await code() == "NO_PERMISSIONS"
        cloud.allow(arn, source=RULE_ARN + "x")
        assert await code() == "NO_PERMISSIONS"
        cloud.allow(arn, AWS=ACCOUNT)
        assert await code() == "NO_PERMISSIONS"
        cloud.allow(arn)
        assert await code() == ""
        cloud.allow(arn, effect="Deny")
        assert await code() == "NO_PERMISSIONS"

    with_cloud(test)


def test_with_a_role_the_role_decides() -> None:
    """EventBridge must be able to assume it, and its policies must allow; a resource policy may deny, or allow it."""

    async def test(cloud: Cloud, world: World) -> None:
        cloud.allow(DEAD)
        await add(world, QUEUE, RoleArn=ROLE)

        async def code() -> str:
            await world.put()
            await world.settle()
            letters = dead_letters(await cloud.drain("dead"))
            assert letters or await cloud.drain("q")
            return letters[0]["ERROR_CODE"] if letters else ""

        assert await code() == "FAILED_TO_ASSUME_ROLE"
        cloud.trusted.add(ROLE)
        assert await code() == "NO_PERMISSIONS"
        cloud.allow(QUEUE)  # lets the service in, not the role
        assert await code() == "NO_PERMISSIONS"
        cloud.allow(QUEUE, AWS=ROLE)
        assert await code() == ""
        del cloud.policies[QUEUE]
        cloud.granted.add((ROLE, "sqs:SendMessage", QUEUE))
        assert await code() == ""
        cloud.allow(QUEUE, effect="Deny", AWS=ROLE)
        assert await code() == "NO_PERMISSIONS"

    with_cloud(test)


def test_a_dead_letter_needs_the_policy_of_its_queue() -> None:
    """Without it the event is lost."""

    async def test(cloud: Cloud, world: World) -> None:
        await add(world, QUEUE)
        await world.put()
        await world.settle()
        assert await cloud.drain("dead") == []
        cloud.allow(DEAD)
        entry = await world.put({"n": 1})
        await world.settle()
        (letter,) = await cloud.drain("dead")
        assert json.loads(letter.body)["id"] == entry["EventId"]
        (attributes,) = dead_letters([letter])
        assert attributes == {
            "RULE_ARN": RULE_ARN,
            "TARGET_ARN": QUEUE,
            "ERROR_CODE": "NO_PERMISSIONS",
            "ERROR_MESSAGE": (
                f"events.amazonaws.com is not authorized to perform: sqs:SendMessage on resource: {QUEUE}"
            ),
            "RETRY_ATTEMPTS": "0",
        }

    with_cloud(test)


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("failure", "code", "retried"),
    [
        (throttled("ConcurrentInvocationLimitExceeded"), "THROTTLING", True),
        (LambdaError("ServiceException", "boom", 500), "ERROR_FROM_TARGET", True),
        (Busy(), "THROTTLING", True),
        (SqsError("OverLimit", "too many"), "THROTTLING", True),
        (RuntimeError("boom"), "INTERNAL_ERROR", True),
        (no_such_function(FUNCTION), "NO_RESOURCE", False),
        (bad_content("no"), "INVALID_JSON", False),
        (SqsError("InvalidParameterValueException", "no"), "INVALID_PARAMETER", False),
        (LambdaError("RequestTooLargeException", "large", 413), "SDK_CLIENT_ERROR", False),
    ],
)
def test_what_a_service_refuses_is_tried_again_or_is_dead(failure: Exception, code: str, retried: bool) -> None:
    """Throttling and errors of the service's own may pass; the rest will not."""

    async def test(cloud: Cloud, world: World) -> None:
        cloud.allow(FUNCTION)
        cloud.allow(DEAD)
        cloud.failures = [failure]
        await add(world, FUNCTION, RetryPolicy={"MaximumRetryAttempts": 1})
        await world.put()
        await world.settle(5)
        letters = dead_letters(await cloud.drain("dead"))
        if retried:
            assert (letters, len(cloud.calls)) == ([], 1)
            cloud.failures = [failure, failure]
            await world.put()
            await world.settle(5)
            (letter,) = dead_letters(await cloud.drain("dead"))
            assert (letter["ERROR_CODE"], letter["RETRY_ATTEMPTS"]) == (code, "1")
        else:
            assert ([letter["ERROR_CODE"] for letter in letters], cloud.calls) == ([code], [])

    with_cloud(test)


@pytest.mark.parametrize("arn", [QUEUE.replace(":q", ":gone"), BUS])
def test_a_target_that_is_not_there_is_a_dead_letter(arn: str) -> None:
    """At once, with the code for it."""

    async def test(cloud: Cloud, world: World) -> None:
        cloud.allow(DEAD)
        cloud.trusted.add(ROLE)
        cloud.granted |= {(ROLE, "sqs:SendMessage", arn), (ROLE, "events:PutEvents", arn)}
        await add(world, arn, RoleArn=ROLE)
        await world.put()
        await world.settle()
        (letter,) = dead_letters(await cloud.drain("dead"))
        assert (letter["ERROR_CODE"], letter["RETRY_ATTEMPTS"]) == ("NO_RESOURCE", "0")

    with_cloud(test)


def test_what_a_queue_does_not_take_is_a_dead_letter() -> None:
    """A message over the queue's own maximum."""

    async def test(cloud: Cloud, world: World) -> None:
        cloud.allow(QUEUE)
        cloud.allow(DEAD)
        cloud.queues.configure(cloud.queues.get("q", REGION), {"MaximumMessageSize": "1024"})
        await add(world, QUEUE)
        await world.put({"text": "x" * 2000})
        await world.settle()
        assert [letter["ERROR_CODE"] for letter in dead_letters(await cloud.drain("dead"))] == ["INVALID_PARAMETER"]

    with_cloud(test)


def test_a_state_machine_is_started_with_what_the_target_is_given() -> None:
    """By a role that may start it."""

    async def test(cloud: Cloud, world: World) -> None:
        cloud.trusted.add(ROLE)
        cloud.granted.add((ROLE, "states:StartExecution", MACHINE))
        await add(world, MACHINE, RoleArn=ROLE, InputPath="$.detail")
        await world.put({"n": 1})
        await world.settle()
        assert cloud.calls == [("states", MACHINE, '{"n":1}')]

    with_cloud(test)
