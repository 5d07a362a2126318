"""The way of an event: taken, matched, delivered, tried again, given up."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.events.delivery import Undeliverable
from localcloud.services.events.envelope import Entry
from localcloud.services.events.limits import Limits
from localcloud.services.events.model import Buses
from localcloud.services.events.wire import EventsService
from tests.unit.events_setup import ACCOUNT, QUEUE, REGION, START, Port, World, with_world

DEAD = f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead"
RULE_ARN = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/r"


def later(code: str = "THROTTLING") -> Undeliverable:
    """A failure that may pass."""
    return Undeliverable("slow down", code=code, retry=True)


def never(code: str = "NO_PERMISSIONS") -> Undeliverable:
    """A failure that will not."""
    return Undeliverable("not you", code=code, retry=False)


# ---------------------------------------------------------------------- what is taken


def test_an_event_has_the_envelope_of_eventbridge() -> None:
    """Version, id, type, source, account, time, Region, resources, detail: in this order, compact, digits kept."""

    async def test(world: World) -> None:
        await world.add_rule({"source": ["shop"]})
        detail = '{ "n": 1.10, "big": 12345678901234567890, "text": "\\u00e9\\n" }'
        entry = await world.put(Detail=detail, Resources=["arn:a"])
        await world.settle()
        assert world.port.delivered[0][1] == (
            f'{{"version":"0","id":"{entry["EventId"]}","detail-type":"order","source":"shop","account":"{ACCOUNT}",'
            f'"time":"{START}","region":"{REGION}","resources":["arn:a"],'
            '"detail":{"n":1.10,"big":12345678901234567890,"text":"é\\n"}}'
        )

    with_world(test)


def test_an_event_may_say_its_time() -> None:
    """To the second; fractions go."""

    async def test(world: World) -> None:
        await world.add_rule({"source": ["shop"]})
        await world.put(Time=1_234_567_890.9)
        await world.settle()
        assert world.port.bodies()[0]["time"] == "2009-02-13T23:31:30Z"

    with_world(test)


@pytest.mark.parametrize(
    ("members", "code", "message"),
    [
        ({"Source": None}, "InvalidArgument", "Parameter Source is not valid. Reason: Source is a required argument."),
        (
            {"DetailType": None},
            "InvalidArgument",
            "Parameter DetailType is not valid. Reason: DetailType is a required argument.",
        ),
        ({"Detail": None}, "InvalidArgument", "Parameter Detail is not valid. Reason: Detail is a required argument."),
        ({"Source": "aws.s3"}, "NotAuthorizedForSourceException", "Not authorized for the source."),
        ({"Detail": "text"}, "MalformedDetail", "Detail is malformed."),
        ({"Detail": '"text"'}, "MalformedDetail", "Detail is malformed."),
        ({"Detail": "[]"}, "MalformedDetail", "Detail is malformed."),
        ({"Detail": "{'a': 1}"}, "MalformedDetail", "Detail is malformed."),
        ({"Detail": '{"a": NaN}'}, "MalformedDetail", "Detail is malformed."),
        ({"Detail": '{"a": "\\ud800"}'}, "MalformedDetail", "Detail is malformed."),
        ({"Detail": '{"a":' * 300 + "1" + "}" * 300}, "MalformedDetail", "Detail is malformed."),
        ({"Detail": '{"a":' * 100_000}, "MalformedDetail", "Detail is malformed."),
    ],
)
def test_a_bad_entry_fails_alone(members: dict[str, object], code: str, message: str) -> None:
    """Its code and message stand in its place of the answer; the others are delivered."""

    async def test(world: World) -> None:
        await world.add_rule({"detail-type": ["order"]})
        good = {"Source": "shop", "DetailType": "order", "Detail": "{}"}
        told = await world.do("PutEvents", {"Entries": [{**good, **members}, good]})
        assert told["FailedEntryCount"] == 1
        assert told["Entries"][0] == {"ErrorCode": code, "ErrorMessage": message}
        assert list(told["Entries"][1]) == ["EventId"]
        await world.settle()
        assert [body["id"] for body in world.port.bodies()] == [told["Entries"][1]["EventId"]]

    with_world(test)


def test_ten_entries_are_taken_and_a_megabyte() -> None:
    """Time counts 14 bytes; source, type, detail and resources count as UTF-8; all entries together."""

    async def test(world: World) -> None:
        entry = {"Source": "é", "DetailType": "t", "Resources": ["r"], "Time": 1, "Detail": ""}
        overhead = 2 + 1 + 1 + 14
        half = {**entry, "Detail": json.dumps("x" * (524_288 - overhead - 2))}
        told = await world.do("PutEvents", {"Entries": [half, half]})
        assert [each["ErrorCode"] for each in told["Entries"]] == ["MalformedDetail", "MalformedDetail"]
        over = {**half, "Resources": ["rr"]}
        refusal = ("ValidationException", "Total size of the entries in the request is over the limit.")
        assert await world.refused("PutEvents", {"Entries": [half, over]}) == refusal
        assert (await world.do("PutEvents", {"Entries": [entry] * 10}))["FailedEntryCount"] == 10
        code, message = await world.refused("PutEvents", {"Entries": [{"Source": "a"}] * 11})
        assert code == "ValidationException"
        assert message.startswith(
            "1 validation error detected: Value '[PutEventsRequestEntry(time=null, source=a, resources=null, "
            "detailType=null, detail=null, eventBusName=null, traceHeader=null), "
        )
        assert message.endswith(
            "]' at 'entries' failed to satisfy constraint: Member must have length less than or equal to 10"
        )

    with_world(test)


def test_events_for_a_bus_that_is_not_there_are_taken_and_dropped() -> None:
    """As on AWS: the entry has an id. A bus of another Region is not there."""

    async def test(world: World) -> None:
        await world.add_rule({"source": ["shop"]})
        there = f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/default"
        await world.do("PutRule", {"Name": "far", "EventPattern": '{"source":["shop"]}'}, region="us-east-1")
        target = {"Id": "t", "Arn": QUEUE.replace(REGION, "us-east-1")}
        told = await world.do("PutTargets", {"Rule": "far", "Targets": [target]}, region="us-east-1")
        assert told["FailedEntryCount"] == 0
        for bus in ("nowhere", there):
            assert list(await world.put(EventBusName=bus)) == ["EventId"]
        await world.settle()
        assert world.port.delivered == []
        await world.put(EventBusName=f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default")
        await world.settle()
        assert len(world.port.delivered) == 1

    with_world(test)


def test_services_of_the_cloud_may_say_that_they_are_awss() -> None:
    """`emit` puts an event of a source that PutEvents reserves on the default bus."""

    async def test(world: World) -> None:
        await world.add_rule({"source": ["aws.s3"]})
        entry = Entry(source="aws.s3", detail_type="Object Created", detail='{"k":1}', resources=("arn:b",))
        event_id = world.buses.emit(REGION, entry)
        await world.settle()
        (body,) = world.port.bodies()
        assert (body["id"], body["source"], body["resources"]) == (event_id, "aws.s3", ["arn:b"])

    with_world(test)


def test_a_trace_goes_along() -> None:
    """That of the request, or the one that the entry names."""

    async def test(world: World) -> None:
        await world.add_rule({"source": ["shop"]})
        entry = {"Source": "shop", "DetailType": "t", "Detail": "{}"}
        entries = [entry, {**entry, "TraceHeader": "Root=own"}]
        await world.do("PutEvents", {"Entries": entries}, x_amzn_trace_id="Root=request")
        await world.settle()
        assert [parcel.event.trace for parcel in world.port.parcels] == ["Root=request", "Root=own"]

    with_world(test)


# ---------------------------------------------------------------------- which rules


def test_a_rule_that_is_disabled_matches_nothing() -> None:
    """Disabled, enabled again, replaced as disabled, put back: the targets stay all the time."""

    async def test(world: World) -> None:
        await world.add_rule({"source": ["shop"]})
        rule = {"Name": "r", "EventPattern": '{"source":["shop"]}'}
        counts: list[int] = []
        for action, body in (
            ("DisableRule", {"Name": "r"}),
            ("EnableRule", {"Name": "r"}),
            ("PutRule", {**rule, "State": "DISABLED"}),
            ("PutRule", rule),
            ("PutRule", {**rule, "EventPattern": '{"source":["other"]}'}),
        ):
            await world.do(action, body)
            await world.put()
            await world.settle()
            counts.append(len(world.port.delivered))
        assert counts == [0, 1, 1, 2, 2]

    with_world(test)


def test_each_target_of_each_matching_rule_gets_the_event() -> None:
    """Once, with what it is to be given of it: all, a part, a constant."""

    async def test(world: World) -> None:
        await world.add_rule(
            {"source": ["shop"]},
            {"Id": "all", "Arn": QUEUE},
            {"Id": "part", "Arn": QUEUE, "InputPath": "$.detail.n"},
            {"Id": "none", "Arn": QUEUE, "InputPath": "$.detail.unknown"},
            {"Id": "fixed", "Arn": QUEUE, "Input": ' {"a": 1} '},
        )
        await world.add_rule({"detail": {"n": [1]}}, {"Id": "other", "Arn": QUEUE}, name="second")
        await world.put({"n": 1})
        await world.settle()
        bodies = {target: body for target, body, _ in world.port.delivered}
        assert sorted(bodies) == ["all", "fixed", "none", "other", "part"]
        assert bodies["all"] == bodies["other"]
        assert (bodies["part"], bodies["none"], bodies["fixed"]) == ("1", "null", ' {"a": 1} ')

    with_world(test)


def test_an_event_that_nobody_can_decide_triggers_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Nine fields wanted from the elements of nine arrays that all stand in one place: PutEvents has taken it, the log
    says so, and the bus goes on.
    """
    names = [f"c{number}" for number in range(9)]
    elements = [{name: 1} for name in names]
    places = ("a", "b", "c", "d")
    event: dict[str, Any] = {}
    for mask in range(8):  # each way of writing detail.a.b.c.d with and without dots
        path = [places[0]]
        for bit, place in enumerate(places[1:]):
            path = [*path[:-1], f"{path[-1]}.{place}"] if mask >> bit & 1 else [*path, place]
        inner = event
        for name in path[:-1]:
            inner = inner.setdefault(name, {})
        inner[path[-1]] = elements

    async def test(world: World) -> None:
        await world.add_rule({"detail": {"a": {"b": {"c": {"d": {name: [1] for name in names}}}}}})
        assert list(await world.put(event)) == ["EventId"]
        await world.settle()
        assert world.port.delivered == []
        await world.put({"a.b.c.d": dict.fromkeys(names, 1)})
        await world.settle()
        assert len(world.port.delivered) == 1

    with caplog.at_level(logging.WARNING):
        with_world(test)
    assert [record.message for record in caplog.records] == ["events.undecidable"]


# ---------------------------------------------------------------------- failures


def test_a_failure_that_may_pass_is_tried_again_later_each_time() -> None:
    """After 1, 2, 4, 8 seconds, each shortened by up to half."""

    async def test(world: World) -> None:
        world.port.failures = [later() for _ in range(4)]
        await world.add_rule({"source": ["shop"]})
        await world.put()
        await world.settle(20)
        waits = [after - before for before, after in zip(world.port.attempts, world.port.attempts[1:], strict=False)]
        assert len(waits) == 4
        assert all(2**n / 2 <= wait <= 2**n for n, wait in enumerate(waits))
        assert len(world.port.delivered) == 1
        assert world.port.letters == []
        assert world.buses.under_way == 0

    with_world(test)


def test_a_failure_that_will_not_pass_goes_to_the_dead_letters_at_once() -> None:
    """The event itself, with the reason; no retry condition is exhausted."""

    async def test(world: World) -> None:
        world.port.failures = [never()]
        target = {"Id": "t", "Arn": QUEUE, "InputPath": "$.detail", "DeadLetterConfig": {"Arn": DEAD}}
        await world.add_rule({"source": ["shop"]}, target)
        entry = await world.put({"n": 1})
        await world.settle()
        (letter,) = world.port.letters
        assert (letter.queue_arn, letter.rule_arn) == (DEAD, RULE_ARN)
        assert json.loads(letter.body)["id"] == entry["EventId"]
        assert letter.attributes == {
            "RULE_ARN": RULE_ARN,
            "TARGET_ARN": QUEUE,
            "ERROR_CODE": "NO_PERMISSIONS",
            "ERROR_MESSAGE": "not you",
            "RETRY_ATTEMPTS": "0",
        }
        assert len(world.port.attempts) == 1

    with_world(test)


@pytest.mark.parametrize(
    ("policy", "attempts", "condition"),
    [
        ({"MaximumRetryAttempts": 0}, 1, "MaximumRetryAttempts"),
        ({"MaximumRetryAttempts": 3}, 4, "MaximumRetryAttempts"),
        ({"MaximumEventAgeInSeconds": 60}, None, "MaximumEventAgeInSeconds"),
        ({"MaximumRetryAttempts": 185, "MaximumEventAgeInSeconds": 60}, None, "MaximumEventAgeInSeconds"),
    ],
)
def test_the_retry_policy_ends_the_retries(policy: dict[str, int], attempts: int | None, condition: str) -> None:
    """By their number or by the event's age, whichever comes first; the dead letter says which."""

    async def test(world: World) -> None:
        world.port.failures = [later() for _ in range(300)]
        target = {"Id": "t", "Arn": QUEUE, "RetryPolicy": policy, "DeadLetterConfig": {"Arn": DEAD}}
        await world.add_rule({"source": ["shop"]}, target)
        await world.put()
        await world.settle(120)
        (letter,) = world.port.letters
        assert letter.attributes["EXHAUSTED_RETRY_CONDITION"] == condition
        assert letter.attributes["RETRY_ATTEMPTS"] == str(len(world.port.attempts) - 1)
        assert letter.attributes["ERROR_CODE"] == "THROTTLING"
        assert attempts in {None, len(world.port.attempts)}
        assert world.port.attempts[-1] - world.port.attempts[0] <= 60

    with_world(test)


def test_without_a_policy_it_takes_a_day_and_185_retries() -> None:
    """They are spread so that the one takes about as long as the other."""

    async def test(world: World) -> None:
        world.port.failures = [later() for _ in range(300)]
        await world.add_rule({"source": ["shop"]}, {"Id": "t", "Arn": QUEUE, "DeadLetterConfig": {"Arn": DEAD}})
        await world.put()
        await world.settle(86_401)
        (letter,) = world.port.letters
        assert 160 <= int(letter.attributes["RETRY_ATTEMPTS"]) <= 185
        assert world.port.attempts[-1] > 70_000

    with_world(test)


def test_an_error_of_the_clouds_own_is_a_failure_like_others() -> None:
    """It belongs to its delivery: the next ones go on."""

    async def test(world: World) -> None:
        world.port.failures = [RuntimeError("boom")]
        await world.add_rule({"source": ["shop"]})
        await world.put({"n": 1})
        await world.settle(5)
        assert len(world.port.delivered) == 1
        assert len(world.port.attempts) == 2

    with_world(test)


def test_what_cannot_be_buried_is_dropped_aloud(caplog: pytest.LogCaptureFixture) -> None:
    """And so is what has no dead-letter queue."""

    async def test(world: World) -> None:
        world.port.lost = True
        world.port.failures = [never(), never()]
        await world.add_rule({"source": ["shop"]}, {"Id": "t", "Arn": QUEUE, "DeadLetterConfig": {"Arn": DEAD}})
        await world.put()
        await world.settle()
        await world.do("PutTargets", {"Rule": "r", "Targets": [{"Id": "t", "Arn": QUEUE}]})
        await world.put()
        await world.settle()
        assert world.buses.under_way == 0

    with caplog.at_level(logging.WARNING):
        with_world(test)
    assert [record.message for record in caplog.records] == ["events.dead_letter_lost", "events.dropped"]


def test_a_backlog_throttles_put_events() -> None:
    """While deliveries wait, entries get a ThrottlingException, which SDKs try again; then they are taken."""

    async def test(world: World) -> None:
        world.port.failures = [later(), later()]
        await world.add_rule({"source": ["shop"]})
        await world.put()
        await world.put()
        throttled = {"ErrorCode": "ThrottlingException", "ErrorMessage": "Rate exceeded"}
        assert await world.put() == throttled
        await world.settle(5)
        assert list(await world.put()) == ["EventId"]

    with_world(test, limits=Limits(backlog=2))


def test_a_backlog_is_counted_in_characters_too() -> None:
    """Few large events fill it as many small ones do."""

    async def test(world: World) -> None:
        world.port.failures = [later()]
        await world.add_rule({"source": ["shop"]})
        await world.put({"text": "x" * 2000})
        assert (await world.put())["ErrorCode"] == "ThrottlingException"
        await world.settle(5)
        assert list(await world.put()) == ["EventId"]

    with_world(test, limits=Limits(backlog_chars=2000))


def test_the_end_of_run_ends_deliveries_and_schedules() -> None:
    """Nothing of it happens any more, and no task is left."""
    port = Port(failures=[later() for _ in range(9)])

    async def main() -> None:
        buses = Buses(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(1), port=port)
        world = World(buses, port, EventsService(buses))
        async with asyncio.TaskGroup() as group:
            running = group.create_task(buses.run())
            await world.add_rule({"source": ["shop"]})
            await world.do("PutRule", {"Name": "s", "ScheduleExpression": "rate(1 minute)"})
            await world.do("PutTargets", {"Rule": "s", "Targets": [{"Id": "t", "Arn": QUEUE}]})
            await world.put()
            await world.settle()
            assert (buses.under_way, len(port.attempts)) == (1, 1)
            running.cancel()
        await world.settle(86_400)
        assert (buses.under_way, len(port.attempts)) == (0, 1)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main)


# ---------------------------------------------------------------------- schedules


def test_a_rate_is_due_one_interval_after_the_rule_and_then_on() -> None:
    """With the event that EventBridge makes of it, for this rule's targets alone."""

    async def test(world: World) -> None:
        await world.add_rule({"source": ["aws.events"]}, name="watcher")
        arn = (await world.do("PutRule", {"Name": "s", "ScheduleExpression": "rate(5 minutes)"}))["RuleArn"]
        await world.do("PutTargets", {"Rule": "s", "Targets": [{"Id": "tick", "Arn": QUEUE}]})
        await world.settle(299)
        assert world.port.delivered == []
        await world.settle(602)
        assert [(target, round(at)) for target, _, at in world.port.delivered] == [
            ("tick", 300), ("tick", 600), ("tick", 900)
        ]  # fmt: skip
        body = world.port.bodies()[0]
        assert body | {"id": ""} == {
            "version": "0",
            "id": "",
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": ACCOUNT,
            "time": "2027-01-15T08:05:00Z",
            "region": REGION,
            "resources": [arn],
            "detail": {},
        }

    with_world(test)


def test_a_cron_expression_is_due_at_its_dates() -> None:
    """In UTC, on the minute."""

    async def test(world: World) -> None:
        await world.settle(17)
        await world.do("PutRule", {"Name": "s", "ScheduleExpression": "cron(0/30 9-10 ? * MON-FRI *)"})
        await world.do("PutTargets", {"Rule": "s", "Targets": [{"Id": "t", "Arn": QUEUE}]})
        await world.settle(4 * 86_400)  # the clock begins on a Friday
        times = [body["time"] for body in world.port.bodies()]
        assert times == [
            f"2027-01-{day}T{hour}:{minute}:00Z"
            for day in ("15", "18")
            for hour in ("09", "10")
            for minute in ("00", "30")
        ]

    with_world(test)


def test_a_schedule_stops_with_its_rule_and_starts_with_it() -> None:
    """Disabled, enabled, replaced, deleted. EnableRule of a rule that is enabled does not begin its rate again."""

    async def test(world: World) -> None:
        async def put(expression: str) -> None:
            await world.do("PutRule", {"Name": "s", "ScheduleExpression": expression})

        async def ticks(seconds: float) -> int:
            before = len(world.port.delivered)
            await world.settle(seconds)
            return len(world.port.delivered) - before

        await put("rate(1 minute)")
        await world.do("PutTargets", {"Rule": "s", "Targets": [{"Id": "t", "Arn": QUEUE}]})
        assert await ticks(30.5) == 0
        await world.do("EnableRule", {"Name": "s"})
        assert await ticks(30) == 1
        await world.do("DisableRule", {"Name": "s"})
        assert await ticks(300) == 0
        await world.do("EnableRule", {"Name": "s"})
        assert await ticks(59) == 0
        assert await ticks(2) == 1
        await put("rate(1 hour)")
        assert await ticks(3_590) == 0
        assert await ticks(20) == 1
        await world.do("PutRule", {"Name": "s", "EventPattern": '{"source":["x"]}'})
        assert await ticks(7_200) == 0
        await put("rate(1 minute)")
        await world.do("RemoveTargets", {"Rule": "s", "Ids": ["t"]})
        await world.do("DeleteRule", {"Name": "s"})
        assert await ticks(300) == 0

    with_world(test)


def test_schedules_are_for_the_default_bus() -> None:
    """As EventBridge has it; and what is no schedule is refused without a reason, as there."""

    async def test(world: World) -> None:
        await world.do("CreateEventBus", {"Name": "orders"})
        rule = {"Name": "s", "ScheduleExpression": "rate(1 minute)"}
        refusal = ("ValidationException", "ScheduleExpression is supported only on the default event bus.")
        assert await world.refused("PutRule", {**rule, "EventBusName": "orders"}) == refusal
        refusal = ("ValidationException", "Parameter ScheduleExpression is not valid.")
        assert await world.refused("PutRule", {**rule, "ScheduleExpression": "rate(1 minutes)"}) == refusal

    with_world(test)
