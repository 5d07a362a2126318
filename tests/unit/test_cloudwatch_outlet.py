"""How alarms reach topics, functions and buses: what those must allow, and what a refusal means."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.cloudwatch.notices import SnsNotice
from localcloud.services.cloudwatch.outlet import LocalOutlet, Refused
from localcloud.services.events.bus import RuleSettings
from localcloud.services.events.delivery import Parcel
from localcloud.services.events.model import Buses
from localcloud.services.lambda_.errors import LambdaError
from localcloud.services.sns.model import Topics
from localcloud.services.sns.ports import QueueMessage

REGION = "us-east-1"
ALARM = f"arn:aws:cloudwatch:{REGION}:123456789012:alarm:a"
FUNCTION = f"arn:aws:lambda:{REGION}:123456789012:function:f"
QUEUE = f"arn:aws:sqs:{REGION}:123456789012:q"
NOTICE = SnsNotice('ALARM: "a" in x', '{"AlarmName":"a"}', "group", "once")


class Queues:
    """SNS's endpoints: keeps what queues get."""

    def __init__(self) -> None:
        self.sent: list[QueueMessage] = []

    async def send_to_queue(self, queue_arn: str, message: QueueMessage, *, topic_arn: str) -> None:
        self.sent.append(message)

    async def invoke_function(self, function_arn: str, event: bytes, *, topic_arn: str, trace_header: str) -> None:
        raise AssertionError(function_arn)


class Port:
    """EventBridge's targets: keeps what they get."""

    def __init__(self) -> None:
        self.sent: list[Mapping[str, Any]] = []

    async def deliver(self, parcel: Parcel, *_: object) -> None:
        self.sent.append(json.loads(parcel.event.text))

    async def bury(self, *_: object) -> None:
        raise AssertionError


class World:
    """An outlet over real topics and buses; functions are this test's."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        clock, rng = LoopClock(asyncio.get_running_loop()), random.Random(1)
        self.queues, self.port = Queues(), Port()
        self.topics = Topics(clock=clock, rng=rng, group=group, endpoints=self.queues)
        self.buses = Buses(clock=clock, rng=rng, port=self.port)
        self.error: LambdaError | None = None
        self.allowed = True
        self.invoked: list[tuple[str, bytes]] = []
        self.asked: list[tuple[str, str]] = []
        self.outlet = LocalOutlet(self.topics, self.buses, invoke_event=self._invoke, may_invoke=self._may)

    async def _invoke(self, arn: str, payload: bytes) -> None:
        if self.error is not None:
            raise self.error
        self.invoked.append((arn, payload))

    def _may(self, arn: str, alarm: str) -> bool:
        self.asked.append((arn, alarm))
        return self.allowed

    def topic(self, policy: Mapping[str, Any] | None = None, name: str = "t") -> str:
        attributes = {"FifoTopic": "true"} if name.endswith(".fifo") else {}
        topic = self.topics.create(name, REGION, attributes=attributes, tags={})
        if policy is not None:
            statement = {"Effect": "Allow", "Action": "sns:Publish", "Resource": topic.arn, **policy}
            self.topics.configure(topic, {"Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]})})
        self.topics.subscribe(
            topic, "sqs", f"{QUEUE}{'.fifo' if attributes else ''}", attributes={"RawMessageDelivery": "true"}
        )
        return topic.arn


def play(story: Callable[[World], Awaitable[None]]) -> World:
    async def main() -> World:
        async with asyncio.TaskGroup() as group:
            world = World(group)
            task = group.create_task(world.buses.run())
            await story(world)
            await asyncio.sleep(1)
            task.cancel()
            world.topics.close()
        return world

    return run_virtual(main)


SERVICE = {"Principal": {"Service": "cloudwatch.amazonaws.com"}}
POLICIES: list[tuple[Mapping[str, Any] | None, bool]] = [
    (None, True),  # the one that a topic has at first
    (SERVICE, True),
    ({**SERVICE, "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:cloudwatch:*:123456789012:alarm:*"}}}, True),
    ({**SERVICE, "Condition": {"ArnLike": {"aws:SourceArn": f"{ALARM}bc"}}}, False),
    ({**SERVICE, "Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}}}, True),
    ({**SERVICE, "Condition": {"StringEquals": {"aws:SourceAccount": "000000000000"}}}, False),
    ({"Principal": {"Service": "events.amazonaws.com"}}, False),
    ({"Principal": {"AWS": "arn:aws:iam::123456789012:role/r"}}, False),
    ({**SERVICE, "Action": "sns:Subscribe"}, False),
    ({**SERVICE, "Effect": "Deny"}, False),
]


@pytest.mark.parametrize(("policy", "is_allowed"), POLICIES)
def test_a_topic_takes_what_its_policy_allows(policy: Mapping[str, Any] | None, is_allowed: bool) -> None:
    """CloudWatch publishes on behalf of the alarm, by its ARN and account."""

    async def story(world: World) -> None:
        topic = world.topic(policy)
        with suppress(Refused):
            world.outlet.publish(topic, NOTICE, alarm_arn=ALARM)

    assert [message.body for message in play(story).queues.sent] == [NOTICE.message] * is_allowed


def test_a_fifo_topic_gets_the_alarms_group() -> None:
    """And an id for each change, so that it is told once."""

    async def story(world: World) -> None:
        topic = world.topic(name="t.fifo")
        for _ in range(2):
            world.outlet.publish(topic, NOTICE, alarm_arn=ALARM)

    (message,) = play(story).queues.sent
    assert (message.group_id, message.deduplication_id) == ("group", "once")


def test_a_topic_that_is_not_there_refuses() -> None:
    """In words for the history."""

    async def story(world: World) -> None:
        with pytest.raises(Refused, match="Topic does not exist") as caught:
            world.outlet.publish(f"arn:aws:sns:{REGION}:123456789012:no", NOTICE, alarm_arn=ALARM)
        assert caught.value.retry is False

    play(story)


@pytest.mark.parametrize(("status", "retry"), [(404, False), (413, False), (429, True), (500, True)])
def test_a_function_that_refuses_may_be_asked_again_or_not(status: int, retry: bool) -> None:
    """Throttled or broken: again; not there, or with a payload that it does not take: not."""

    async def story(world: World) -> None:
        world.error = LambdaError("Code", "words", status=status)
        with pytest.raises(Refused, match="words") as caught:
            await world.outlet.invoke(FUNCTION, b"{}", alarm_arn=ALARM)
        assert caught.value.retry is retry

    play(story)


def test_a_function_must_allow_the_alarm() -> None:
    """It is asked for the alarm's own ARN, and not invoked where it does not."""

    async def story(world: World) -> None:
        await world.outlet.invoke(FUNCTION, b"1", alarm_arn=ALARM)
        world.allowed = False
        with pytest.raises(Refused, match=r"lambda\.alarms\.cloudwatch\.amazonaws\.com is not authorized"):
            await world.outlet.invoke(FUNCTION, b"2", alarm_arn=ALARM)

    world = play(story)
    assert (world.invoked, world.asked) == ([(FUNCTION, b"1")], [(FUNCTION, ALARM)] * 2)


def test_events_are_on_the_default_bus_from_cloudwatch() -> None:
    """With the alarm as resource and the detail as given."""

    async def story(world: World) -> None:
        bus = world.buses.get("default", REGION)
        world.buses.put_rule(bus, RuleSettings(name="r", pattern='{"source":["aws.cloudwatch"]}'))
        world.buses.put_targets(bus, "r", [{"Id": "q", "Arn": QUEUE}])
        world.outlet.emit(ALARM, "CloudWatch Alarm State Change", {"alarmName": "a"})

    (event,) = play(story).port.sent
    assert (event["source"], event["detail-type"], event["resources"], event["detail"], event["region"]) == (
        "aws.cloudwatch", "CloudWatch Alarm State Change", [ALARM], {"alarmName": "a"}, REGION,
    )  # fmt: skip
