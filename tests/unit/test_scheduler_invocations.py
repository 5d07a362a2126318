"""What schedules call, when, and what becomes of calls that fail; on the virtual clock."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from localcloud.services.scheduler.delivery import Failed

from .scheduler_setup import ACCOUNT, ARN, DEAD, FUNCTION, QUEUE, REGION, ROLE, START_S, World, run, settings

URL = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/q"


def test_a_rate_begins_at_once() -> None:
    """Without a StartDate the first invocation comes with the creation, then one each interval."""

    async def test(world: World) -> list[float]:
        await world.create("rate(5 minutes)")
        await asyncio.sleep(601)
        return world.port.times()

    assert run(test) == [0.0, 300.0, 600.0]


def test_a_start_and_an_end_bound_a_rate() -> None:
    """From the one to the other, both counted."""

    async def test(world: World) -> list[float]:
        await world.create("rate(1 minute)", StartDate=START_S + 90, EndDate=START_S + 210)
        await asyncio.sleep(1000)
        return world.port.times()

    assert run(test) == [90.0, 150.0, 210.0]


def test_a_single_date_is_invoked_once_and_stays() -> None:
    """ActionAfterCompletion NONE, the default, leaves the schedule there."""

    async def test(world: World) -> tuple[list[float], str]:
        await world.create("at(2027-01-15T08:10:00)")
        await asyncio.sleep(10_000)
        return world.port.times(), (await world.do("GET", "/schedules/s"))["ActionAfterCompletion"]

    assert run(test) == ([600.0], "NONE")


def test_a_completed_schedule_deletes_itself() -> None:
    """ActionAfterCompletion DELETE: after its only date, or after its end."""

    async def test(world: World) -> list[tuple[int, str]]:
        await world.create("at(2027-01-15T08:10:00)", name="once", ActionAfterCompletion="DELETE")
        await world.create("rate(1 minute)", name="often", ActionAfterCompletion="DELETE", EndDate=START_S + 150)
        await asyncio.sleep(90)
        assert [each["Name"] for each in (await world.do("GET", "/schedules"))["Schedules"]] == ["often", "once"]
        await asyncio.sleep(600)
        return [await world.refused("GET", f"/schedules/{name}") for name in ("once", "often")]

    assert run(test) == [(404, "Schedule once does not exist."), (404, "Schedule often does not exist.")]


def test_a_schedule_that_still_retries_is_not_complete() -> None:
    """It deletes itself when the last attempt is done."""

    async def test(world: World) -> list[int]:
        world.port.refuse(3)
        await world.create("at(2027-01-15T08:00:10)", ActionAfterCompletion="DELETE")
        await asyncio.sleep(11)
        (before, _) = await world.ask("GET", "/schedules/s")
        await asyncio.sleep(60)
        (after, _) = await world.ask("GET", "/schedules/s")
        return [before, after, len(world.port.calls)]

    assert run(test) == [200, 404, 1]


@pytest.mark.parametrize("seed", range(5))
def test_a_schedule_whose_last_invocation_waits_is_not_complete(seed: int) -> None:
    """One that comes first out of its window does not take the others along."""

    async def test(world: World) -> tuple[int, int]:
        window = {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 60}
        await world.create(
            "rate(1 minute)", EndDate=START_S + 60, FlexibleTimeWindow=window, ActionAfterCompletion="DELETE"
        )
        await asyncio.sleep(3700)
        return len(world.port.calls), (await world.ask("GET", "/schedules/s"))[0]

    assert run(test, seed=seed) == (2, 404)


def test_a_window_spreads_invocations_by_chance() -> None:
    """Each comes within the window after its date, and the same seed gives the same moments."""

    async def test(world: World) -> list[float]:
        window = {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 10}
        await world.create("rate(1 hour)", FlexibleTimeWindow=window)
        await asyncio.sleep(5 * 3600 - 1)
        return world.port.times()

    times = run(test)
    offsets = [time_s - 3600 * number for number, time_s in enumerate(times)]
    assert len(times) == 5
    assert all(0 <= offset < 600 for offset in offsets)
    assert max(offsets) - min(offsets) > 60
    assert run(test) == times
    assert run(test, seed=2) != times


@pytest.mark.parametrize("how", ["delete", "disable", "group"])
def test_what_waits_in_a_window_goes_with_the_schedule(how: str) -> None:
    """A schedule that is deleted or disabled invokes nothing any more."""

    async def test(world: World) -> int:
        window = {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 600}
        await world.do("POST", "/schedule-groups/g", {})
        await world.create("rate(12 hours)", GroupName="g", FlexibleTimeWindow=window)
        await asyncio.sleep(1)
        if how == "delete":
            await world.do("DELETE", "/schedules/s", groupName="g")
        elif how == "group":
            await world.do("DELETE", "/schedule-groups/g")
        else:
            body = settings("rate(12 hours)", GroupName="g", FlexibleTimeWindow=window, State="DISABLED")
            await world.do("PUT", "/schedules/s", body)
        await asyncio.sleep(86_400)
        return len(world.port.calls)

    assert run(test) == 0


def test_an_update_replaces_the_whole_schedule() -> None:
    """A new expression counts from the update; what the request leaves out is gone."""

    async def test(world: World) -> tuple[list[tuple[Any, float]], bool]:
        await world.create("rate(1 minute)", Description="old")
        await asyncio.sleep(70)
        await world.do("PUT", "/schedules/s", settings("rate(1 hour)", target={"Input": "new"}))
        await asyncio.sleep(3601)
        shown = await world.do("GET", "/schedules/s")
        return [(given["MessageBody"], at) for _, given, at in world.port.calls], "Description" in shown

    assert run(test) == ([("hello", 0.0), ("hello", 60.0), ("new", 70.0), ("new", 3670.0)], False)


def test_an_update_of_something_else_keeps_the_rhythm() -> None:
    """The same expression goes on from where it was."""

    async def test(world: World) -> list[float]:
        await world.create("rate(1 minute)")
        await asyncio.sleep(70)
        await world.do("PUT", "/schedules/s", settings("rate(1 minute)", target={"Input": "new"}))
        await asyncio.sleep(60)
        return world.port.times()

    assert run(test) == [0.0, 60.0, 120.0]


# ---------------------------------------------------------------- what is called

BUS = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/b"
STREAM = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/s"
MACHINE = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:m"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:t"


@pytest.mark.parametrize(
    ("target", "called", "arguments"),
    [
        (
            {"Arn": FUNCTION, "Input": '{"a":1}'},
            "lambda:invoke",
            {"FunctionName": FUNCTION, "InvocationType": "Event", "Payload": '{"a":1}'},
        ),
        ({"Arn": QUEUE, "Input": "x"}, "sqs:sendMessage", {"QueueUrl": URL, "MessageBody": "x"}),
        (
            {"Arn": f"{QUEUE}.fifo", "Input": "x", "SqsParameters": {"MessageGroupId": "g"}},
            "sqs:sendMessage",
            {"QueueUrl": f"{URL}.fifo", "MessageBody": "x", "MessageGroupId": "g"},
        ),
        ({"Arn": TOPIC, "Input": "x"}, "sns:publish", {"TopicArn": TOPIC, "Message": "x"}),
        (
            {"Arn": BUS, "Input": "{}", "EventBridgeParameters": {"DetailType": "d", "Source": "s"}},
            "events:putEvents",
            {"Entries": [{"Detail": "{}", "DetailType": "d", "Source": "s", "EventBusName": BUS}]},
        ),
        (
            {"Arn": STREAM, "Input": "x", "KinesisParameters": {"PartitionKey": "k"}},
            "kinesis:putRecord",
            {"StreamARN": STREAM, "Data": "x", "PartitionKey": "k"},
        ),
        (
            {"Arn": MACHINE, "Input": "{}"},
            "states:startExecution",
            {"StateMachineArn": MACHINE, "Input": "{}"},
        ),
        (
            {"Arn": "arn:aws:scheduler:::aws-sdk:dynamodb:deleteItem", "Input": '{"TableName":"t"}'},
            "dynamodb:deleteItem",
            {"TableName": "t"},
        ),
        ({"Arn": "arn:aws:scheduler:::aws-sdk:sqs:createQueue", "Input": None}, "sqs:createQueue", {}),
    ],
)
def test_each_target_has_its_operation(target: Any, called: str, arguments: Any) -> None:
    """A templated target makes the request of its resource, a universal one is given the whole of it."""

    async def test(world: World) -> tuple[str, Any, float]:
        await world.create("rate(1 day)", target=target)
        await asyncio.sleep(1)
        return world.port.calls[0]

    assert run(test) == (called, arguments, 0.0)


def test_context_attributes_stand_in_the_input() -> None:
    """The four keywords are replaced, the attempt counted from 1, the execution named anew with every attempt."""

    async def test(world: World) -> list[str]:
        text = "<aws.scheduler.schedule-arn> <aws.scheduler.scheduled-time> <aws.scheduler.attempt-number> <aws.other>"
        world.port.refuse(1)
        await world.create("rate(1 day)", target={"Input": text})
        ids = "<aws.scheduler.execution-id>"
        await world.create("rate(1 hour)", name="ids", target={"Input": ids})
        await asyncio.sleep(3700)
        return [given["MessageBody"] for _, given, _ in world.port.calls]

    first, *others = sorted(run(test), key=len, reverse=True)
    assert first == f"{ARN} 2027-01-15T08:00:00Z 2 <aws.other>"
    assert [len(each) for each in others] == [16, 16]
    assert len(set(others)) == 2


def test_a_target_without_input_is_given_the_default_notification() -> None:
    """As for a function: an event of aws.scheduler that names the schedule."""

    async def test(world: World) -> Any:
        await world.create("rate(1 day)", target={"Arn": FUNCTION, "Input": None})
        await asyncio.sleep(1)
        return json.loads(world.port.calls[0][1]["Payload"])

    event = run(test)
    assert event.pop("id").count("-") == 4
    assert event == {
        "version": "0",
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": ACCOUNT,
        "time": "2027-01-15T08:00:00Z",
        "region": REGION,
        "resources": [ARN],
        "detail": "{}",
    }


# ---------------------------------------------------------------- failures


def test_a_passing_failure_is_tried_again_with_back_off() -> None:
    """After up to 1, 2 and 4 seconds, at least half of them."""

    async def test(world: World) -> list[float]:
        world.port.refuse(3)
        await world.create("rate(1 day)")
        await asyncio.sleep(100)
        return world.port.times()

    (at,) = run(test)
    assert 3.5 <= at <= 7.0


def attributes(letter: Any) -> dict[str, str]:
    """The attributes of a dead letter."""
    return {name: each["StringValue"] for name, each in letter["MessageAttributes"].items()}


@pytest.mark.parametrize(
    ("policy", "retry", "retries", "condition"),
    [
        ({"MaximumRetryAttempts": 2}, True, "2", "MaximumRetryAttempts"),
        ({"MaximumRetryAttempts": 0}, True, "0", "MaximumRetryAttempts"),
        ({"MaximumEventAgeInSeconds": 60}, True, None, "MaximumEventAgeInSeconds"),
        ({}, False, "0", None),
    ],
)
def test_what_is_given_up_is_a_dead_letter(
    policy: Any, retry: bool, retries: str | None, condition: str | None
) -> None:
    """With the input as its body, and the reason in its attributes."""

    async def test(world: World) -> tuple[Any, float]:
        world.port.closed = Failed("X", "no", retry=retry)
        target = {"DeadLetterConfig": {"Arn": DEAD}, "RetryPolicy": policy}
        await world.create("at(2027-01-15T08:00:05)", target=target)
        await asyncio.sleep(1000)
        ((name, letter, at),) = world.port.calls
        assert name == "sqs:sendMessage"
        return letter, at

    letter, at = run(test)
    told = attributes(letter)
    assert letter["QueueUrl"] == URL.replace("/q", "/dead")
    assert letter["MessageBody"] == "hello"
    assert len(told.pop("EXECUTION_ID")) == 16
    assert told.pop("EXHAUSTED_RETRY_CONDITION", None) == condition
    assert told.pop("RETRY_ATTEMPTS") in ({retries} if retries else {"5", "6", "7"})
    assert at <= 65
    assert told == {
        "ERROR_CODE": "X",
        "ERROR_MESSAGE": "no",
        "IS_PAYLOAD_TRUNCATED": "false",
        "SCHEDULED_TIME": "2027-01-15T08:00:05Z",
        "SCHEDULE_ARN": ARN,
        "TARGET_ARN": QUEUE,
    }


def test_a_failure_that_nobody_foresaw_belongs_to_one_invocation(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged and tried again; the schedule goes on."""

    async def test(world: World) -> int:
        world.port.failures.append(RuntimeError("broken"))
        await world.create("rate(1 minute)")
        await asyncio.sleep(61)
        return len(world.port.calls)

    assert run(test) == 2
    assert [record.msg for record in caplog.records] == ["scheduler.invocation_failed"]


def test_a_dead_letter_that_fails_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """There is nowhere else to go."""

    async def test(world: World) -> None:
        world.port.refuse(2, retry=False)
        await world.create("rate(1 day)", target={"DeadLetterConfig": {"Arn": DEAD}})
        await asyncio.sleep(1)

    run(test)
    assert [record.msg for record in caplog.records] == ["scheduler.dead_letter_lost"]
    assert ROLE not in caplog.text


def test_the_end_gives_up_what_is_tried_again() -> None:
    """A cloud that ends does not wait for retries of a day."""

    async def test(world: World) -> int:
        world.port.closed = Failed("X", "no", retry=True)
        await world.create("rate(1 minute)")
        await asyncio.sleep(61)
        world.schedules.close()
        world.port.closed = None
        await asyncio.sleep(86_400)
        return len(world.port.calls)

    assert run(test) == 0
