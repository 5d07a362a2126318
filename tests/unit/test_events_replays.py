"""Replays of EventBridge: which events come again, in which order, in which form; states, limits, cancelling."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.events.archive import DAY_S, ArchiveSettings
from localcloud.services.events.archives import Archives
from localcloud.services.events.bus import Bus
from localcloud.services.events.delivery import Courier, Parcel, Undeliverable
from localcloud.services.events.envelope import Entry, Event
from localcloud.services.events.limits import Limits
from localcloud.services.events.model import Buses, PutEntry
from localcloud.services.events.replays import SETTLE_S, Outlet, Replays, ReplaySettings
from localcloud.services.events.wire import EventsService
from tests.unit.events_setup import ACCOUNT, QUEUE, REGION, Port, World, with_world

NOW = 1_800_000_000.0  # a whole minute
PREFIX = f"arn:aws:events:{REGION}:{ACCOUNT}"
BUS = f"{PREFIX}:event-bus/default"
ARCHIVE = f"{PREFIX}:archive/a"


def window(start_s: float = NOW - 3600, end_s: float = NOW + 3600, **more: Any) -> dict[str, Any]:
    """A request of StartReplay."""
    return {
        "ReplayName": "again",
        "EventSourceArn": ARCHIVE,
        "EventStartTime": start_s,
        "EventEndTime": end_s,
        "Destination": {"Arn": BUS},
        **more,
    }


async def archive(world: World, **more: Any) -> None:
    await world.do("CreateArchive", {"ArchiveName": "a", "EventSourceArn": BUS, **more})


async def state(world: World, name: str = "again") -> str:
    return (await world.do("DescribeReplay", {"ReplayName": name}))["State"]


def replayed(world: World) -> list[Any]:
    """The delivered events that come from a replay."""
    return [body for body in world.port.bodies() if "replay-name" in body]


# ---------------------------------------------------------------------- what comes again


def test_a_replayed_event_is_the_event_with_another_id_and_the_replays_name() -> None:
    """`replay-name` stands after the Region, as AWS writes it; numbers keep their digits."""

    async def test(world: World) -> None:
        await world.add_rule({"source": ["shop"]})
        await archive(world)
        put = await world.put(None, Detail='{"price":1.50}', Resources=["arn:x"], TraceHeader="Root=1")
        await world.settle()
        await world.do("StartReplay", window())
        await world.settle()
        (_, first, _), (_, second, _) = world.port.delivered
        event_id = json.loads(second)["id"]
        assert event_id != put["EventId"]
        expected = first.replace(put["EventId"], event_id)
        assert second == expected.replace(f'"region":"{REGION}",', f'"region":"{REGION}","replay-name":"again",')
        assert '"price":1.50' in second
        parcel = world.port.parcels[1]
        assert (parcel.event.trace, parcel.event.event_id) == ("", event_id)
        assert parcel.event.ingested_s == pytest.approx(NOW + 0.5 + SETTLE_S)

    with_world(test)


def test_rules_and_targets_see_the_replays_name() -> None:
    """Patterns may ask for it or for its absence; transformers may write it."""

    async def test(world: World) -> None:
        transformer = {"InputPathsMap": {"r": "$.replay-name"}, "InputTemplate": '{"by": <r>}'}
        await world.add_rule(
            {"replay-name": ["again"]}, {"Id": "named", "Arn": QUEUE, "InputTransformer": transformer}, name="n"
        )
        await world.add_rule({"replay-name": [{"exists": False}]}, {"Id": "live", "Arn": QUEUE}, name="l")
        await archive(world)
        await world.put({})
        await world.do("StartReplay", window())
        await world.settle()
        assert [target for target, _, _ in world.port.delivered] == ["live", "named"]
        assert world.port.bodies()[1] == {"by": "again"}

    with_world(test)


def test_a_replay_takes_the_events_from_its_start_to_just_before_its_end() -> None:
    """By the time that the event says, to the second, not by when it came."""

    async def test(world: World) -> None:
        await world.add_rule({"source": ["shop"]})
        await archive(world)
        for offset in (-3601, -3600, -1, 0, 59, 60, 3599, 3600):
            await world.put({"at": offset}, Time=NOW + offset)
        await world.settle()
        await world.do("StartReplay", window(NOW - 3600, NOW + 60))
        await world.settle()
        assert sorted(body["detail"]["at"] for body in replayed(world)) == [-3600, -1, 0, 59]
        await world.do("StartReplay", window(NOW + 60, NOW + 3600, ReplayName="more"))
        await world.settle()
        assert sorted(body["detail"]["at"] for body in replayed(world)[4:]) == [60, 3599]

    with_world(test)


def test_minutes_come_one_after_the_other_and_within_one_there_is_no_order() -> None:
    """Whatever the order in which the events came."""

    async def test(world: World) -> None:
        await world.add_rule({"source": ["shop"]})
        await archive(world)
        for number in range(60):
            await world.put({"n": number}, Time=NOW + (number * 7 % 60) * 5)
        await world.settle()
        await world.do("StartReplay", window())
        await world.settle()
        numbers = [body["detail"]["n"] for body in replayed(world)]
        minutes = [number * 7 % 60 * 5 // 60 for number in numbers]
        assert minutes == sorted(minutes)
        assert sorted(numbers) == list(range(60))
        in_order = [number for minute in range(5) for number in range(60) if number * 7 % 60 * 5 // 60 == minute]
        backwards = [number for minute in range(5) for number in reversed(in_order[minute * 12 : minute * 12 + 12])]
        assert numbers not in (in_order, backwards)

    with_world(test)


def test_a_replay_goes_to_the_rules_that_it_names() -> None:
    """FilterArns; those of them that match."""

    async def test(world: World) -> None:
        arns = [
            await world.add_rule({"source": [source]}, {"Id": name, "Arn": QUEUE}, name=name)
            for name, source in (("one", "shop"), ("two", "shop"), ("three", "bank"))
        ]
        await archive(world)
        await world.put({})
        await world.settle()
        world.port.delivered.clear()
        await world.do("StartReplay", window(Destination={"Arn": BUS, "FilterArns": arns[1:]}))
        await world.settle()
        assert [target for target, _, _ in world.port.delivered] == ["two"]
        told = await world.do("DescribeReplay", {"ReplayName": "again"})
        assert told["Destination"] == {"Arn": BUS, "FilterArns": arns[1:]}

    with_world(test)


def test_replayed_events_are_archived_by_no_archive() -> None:
    """Neither by their own nor by another one of the bus, with a pattern or without."""

    async def test(world: World) -> None:
        await archive(world)
        await world.do(
            "CreateArchive", {"ArchiveName": "b", "EventSourceArn": BUS, "EventPattern": '{"source":["shop"]}'}
        )
        await world.put({})
        for name in ("x", "y"):
            await world.do("StartReplay", window(ReplayName=name))
            await world.settle()
            assert await state(world, name) == "COMPLETED"
        assert [each["EventCount"] for each in (await world.do("ListArchives"))["Archives"]] == [1, 1]

    with_world(test)


SOURCES = st.sampled_from(["shop", "bank", "post"])
PUTS = st.lists(st.tuples(SOURCES, st.integers(0, 9), st.integers(-150, 150)), max_size=25)
PATTERNS: dict[str, Callable[[str, int], bool]] = {
    "": lambda _source, _n: True,
    '{"source":["shop","post"]}': lambda source, _n: source != "bank",
    '{"detail":{"n":[{"numeric":[">",4]}]}}': lambda _source, n: n > 4,
    '{"source":[{"anything-but":"shop"}],"detail":{"n":[0,1,2,3]}}': lambda source, n: source != "shop" and n < 4,
}


@settings(max_examples=60, deadline=None)
@given(PUTS, st.sampled_from(sorted(PATTERNS)), st.integers(-160, 160), st.integers(1, 200), st.integers(0, 99))
def test_a_replay_gives_exactly_the_archived_events_of_its_window(
    puts: list[tuple[str, int, int]], pattern: str, start: int, length: int, seed: int
) -> None:
    """Each event that matched the archive's pattern, whose time lies in the window, once, and no other; by minutes."""

    async def test(world: World) -> None:
        await world.add_rule({"replay-name": [{"exists": True}]})
        await archive(world, EventPattern=pattern)
        for source, n, offset in puts:
            await world.put({"n": n, "at": offset}, Source=source, Time=NOW + offset)
        await world.do("StartReplay", window(NOW + start, NOW + start + length))
        await world.settle()
        told = [(body["source"], body["detail"]["n"], body["detail"]["at"]) for body in world.port.bodies()]
        kept = [put for put in puts if PATTERNS[pattern](put[0], put[1])]
        assert sorted(told) == sorted(put for put in kept if start <= put[2] < start + length)
        minutes = [at // 60 for _, _, at in told]
        assert minutes == sorted(minutes)
        described = await world.do("DescribeReplay", {"ReplayName": "again"})
        last = max((at for _, _, at in told), default=None)
        assert described.get("EventLastReplayedTime") == (None if last is None else NOW + last)
        assert (await world.do("DescribeArchive", {"ArchiveName": "a"}))["EventCount"] == len(kept)

    with_world(test, seed=seed)


# ---------------------------------------------------------------------- states


def test_a_replay_is_started_described_and_listed() -> None:
    """With the members that AWS answers: dates of the end only once it has ended, of the last event only if one was."""

    async def test(world: World) -> None:
        await archive(world)
        await world.put({}, Time=NOW + 7)
        await world.settle(1)
        arn = f"{PREFIX}:replay/again"
        started = {"ReplayArn": arn, "ReplayStartTime": NOW + 1, "State": "STARTING"}
        assert await world.do("StartReplay", window(Description="d")) == started
        listed = {
            "ReplayName": "again",
            "EventSourceArn": ARCHIVE,
            "State": "STARTING",
            "EventStartTime": NOW - 3600,
            "EventEndTime": NOW + 3600,
            "ReplayStartTime": NOW + 1,
        }
        more = {"ReplayArn": arn, "Description": "d", "Destination": {"Arn": BUS}}
        assert await world.do("DescribeReplay", {"ReplayName": "again"}) == {**listed, **more}
        assert await world.do("ListReplays") == {"Replays": [listed]}
        await world.settle()
        over = {**listed, "State": "COMPLETED", "EventLastReplayedTime": NOW + 7}
        told = await world.do("DescribeReplay", {"ReplayName": "again"})
        assert told.pop("ReplayEndTime") == pytest.approx(NOW + 1 + SETTLE_S)
        assert told == {**over, **more}
        await world.do("StartReplay", window(NOW - 9, NOW - 8, ReplayName="empty"))
        await world.settle()
        told = await world.do("DescribeReplay", {"ReplayName": "empty"})
        assert ("EventLastReplayedTime" in told, "ReplayEndTime" in told, told["State"]) == (False, True, "COMPLETED")

    with_world(test)


def test_replays_are_listed_by_name_archive_or_state() -> None:
    """One filter at a time; in pages; those of their Region."""

    async def names(world: World, body: dict[str, Any], region: str = REGION) -> list[str]:
        return [each["ReplayName"] for each in (await world.do("ListReplays", body, region=region))["Replays"]]

    async def test(world: World) -> None:
        await archive(world)
        other = f"{PREFIX}:archive/b"
        await world.do("CreateArchive", {"ArchiveName": "b", "EventSourceArn": BUS})
        await world.do("StartReplay", window(ReplayName="b1", EventSourceArn=other))
        await world.do("StartReplay", window(ReplayName="a2"))
        await world.settle()
        await world.do("StartReplay", window(ReplayName="a1"))
        assert await names(world, {}) == ["a1", "a2", "b1"]
        assert await names(world, {"NamePrefix": "a"}) == ["a1", "a2"]
        assert await names(world, {"EventSourceArn": other}) == ["b1"]
        assert await names(world, {"EventSourceArn": f"{PREFIX}:archive/none"}) == []
        assert await names(world, {"State": "STARTING"}) == ["a1"]
        assert await names(world, {}, "us-east-1") == []
        page = await world.do("ListReplays", {"Limit": 2})
        assert await names(world, {"NextToken": page["NextToken"]}) == ["b1"]

    with_world(test)


MISSING = ("ResourceNotFoundException", "Replay none does not exist.")
ONE_FILTER = "At most one filter is allowed for ListReplays. Use either : State, EventSourceArn, or NamePrefix."
NOT_VALID = "Parameter {} is not valid. Reason: {}"
ELSEWHERE = f"arn:aws:events:us-east-1:{ACCOUNT}"


@pytest.mark.parametrize(
    ("action", "body", "code", "message"),
    [
        ("DescribeReplay", {"ReplayName": "none"}, *MISSING),
        ("CancelReplay", {"ReplayName": "none"}, *MISSING),
        ("ListReplays", {"NamePrefix": "a", "State": "FAILED"}, "ValidationException", ONE_FILTER),
        ("ListReplays", {"State": "PAUSED"}, "ValidationException", None),
        (
            "StartReplay",
            window(NOW, NOW),
            "ValidationException",
            NOT_VALID.format("EventEndTime", "EventStartTime must be before EventEndTime."),
        ),
        (
            "StartReplay",
            window(NOW, NOW - 1, Destination={"Arn": f"{PREFIX}:event-bus/none"}),
            "ValidationException",
            NOT_VALID.format("EventEndTime", "EventStartTime must be before EventEndTime."),
        ),
        (
            "StartReplay",
            window(Destination={"Arn": f"{PREFIX}:event-bus/none"}),
            "ResourceNotFoundException",
            "Event bus none does not exist.",
        ),
        (
            "StartReplay",
            window(Destination={"Arn": QUEUE}),
            "ValidationException",
            NOT_VALID.format("Destination.Arn", "Must contain an event bus ARN."),
        ),
        (
            "StartReplay",
            window(Destination={"Arn": "default"}),
            "ValidationException",
            NOT_VALID.format("Destination.Arn", "Must contain an event bus ARN."),
        ),
        (
            "StartReplay",
            window(Destination={"Arn": f"{PREFIX}:event-bus/orders"}),
            "ValidationException",
            NOT_VALID.format("Destination.Arn", "Cross event bus replay is not permitted."),
        ),
        (
            "StartReplay",
            window(EventSourceArn=f"{PREFIX}:archive/none"),
            "ValidationException",
            NOT_VALID.format("EventSourceArn", "Archive none does not exist."),
        ),
        (
            "StartReplay",
            window(EventSourceArn=f"{ELSEWHERE}:archive/there"),
            "ValidationException",
            NOT_VALID.format("EventSourceArn", "Archive there does not exist."),
        ),
        (
            "StartReplay",
            window(EventSourceArn=BUS),
            "ValidationException",
            NOT_VALID.format("EventSourceArn", "Must contain an archive ARN."),
        ),
        (
            "StartReplay",
            window(Destination={"Arn": BUS, "FilterArns": [f"{PREFIX}:rule/r"]}),
            "ValidationException",
            NOT_VALID.format("Destination.FilterArns", f"{PREFIX}:rule/r is no rule of event bus default."),
        ),
        ("StartReplay", window(Destination={}), "ValidationException", None),
        ("StartReplay", window(EventStartTime="now"), "SerializationException", None),
        ("StartReplay", window(ReplayName="a b"), "ValidationException", None),
    ],
)
def test_what_makes_no_sense_is_refused(action: str, body: object, code: str, message: str | None) -> None:
    """Code and message, in AWS's words where they are known; and no replay is made."""

    async def test(world: World) -> None:
        await archive(world)
        await world.do("CreateEventBus", {"Name": "orders"})
        there = {"ArchiveName": "there", "EventSourceArn": f"{ELSEWHERE}:event-bus/default"}
        await world.do("CreateArchive", there, region="us-east-1")
        told = await world.refused(action, body)
        assert told == (code, message or told[1])
        assert await world.do("ListReplays") == {"Replays": []}

    with_world(test)


def test_a_name_is_taken_for_ninety_days() -> None:
    """Also once the replay is over, and for another archive; in another Region it is free."""

    async def test(world: World) -> None:
        await archive(world)
        await world.do("CreateArchive", {"ArchiveName": "b", "EventSourceArn": BUS})
        await world.do("StartReplay", window())
        taken = ("ResourceAlreadyExistsException", "Replay again already exists.")
        assert await world.refused("StartReplay", window()) == taken
        await world.settle()
        assert await world.refused("StartReplay", window(EventSourceArn=f"{PREFIX}:archive/b")) == taken
        there = {"ArchiveName": "a", "EventSourceArn": f"{ELSEWHERE}:event-bus/default"}
        await world.do("CreateArchive", there, region="us-east-1")
        destination = {"Arn": f"{ELSEWHERE}:event-bus/default"}
        here = window(EventSourceArn=f"{ELSEWHERE}:archive/a", Destination=destination)
        assert (await world.do("StartReplay", here, region="us-east-1"))["ReplayArn"] == f"{ELSEWHERE}:replay/again"
        await world.settle(90 * DAY_S - 10)
        assert await world.refused("StartReplay", window()) == taken
        await world.settle(10)
        assert await world.do("ListReplays") == {"Replays": []}
        assert await world.refused("DescribeReplay", {"ReplayName": "again"}) == (
            "ResourceNotFoundException",
            "Replay again does not exist.",
        )
        await world.do("StartReplay", window())

    with_world(test)


def test_ten_replays_start_or_run_at_a_time() -> None:
    """The eleventh is a LimitExceededException until one of them is over or being cancelled."""

    async def test(world: World) -> None:
        await archive(world)
        for number in range(10):
            await world.do("StartReplay", window(ReplayName=f"r{number}"))
        full = ("LimitExceededException", "The requested resource exceeds the maximum number allowed.")
        assert await world.refused("StartReplay", window(ReplayName="r10")) == full
        await world.do("CancelReplay", {"ReplayName": "r3"})
        await world.do("StartReplay", window(ReplayName="r10"))
        assert await world.refused("StartReplay", window(ReplayName="r11")) == full
        await world.settle()
        states = [replay["State"] for replay in (await world.do("ListReplays"))["Replays"]]
        assert sorted(states) == ["CANCELLED", *["COMPLETED"] * 10]

    with_world(test)


def test_the_first_of_many_replays_are_forgotten() -> None:
    """As many are remembered as `Limits` says; none that still runs is forgotten."""

    async def test(world: World) -> None:
        await archive(world)
        for number in range(6):
            await world.do("StartReplay", window(ReplayName=f"r{number}"))
            await world.settle()
        assert [each["ReplayName"] for each in (await world.do("ListReplays"))["Replays"]] == ["r3", "r4", "r5"]

    with_world(test, limits=Limits(replays_kept=3))


# ---------------------------------------------------------------------- pace, cancelling, failing


@dataclass
class Slow(Port):
    """A port whose deliveries take a second. `most` were under way at a time."""

    under_way: int = 0
    most: int = 0

    async def deliver(self, parcel: Parcel, body: str) -> None:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(1)
        self.under_way -= 1
        await Port.deliver(self, parcel, body)


def with_slow_world(test: Callable[[World, Slow], Awaitable[None]], *, limits: Limits) -> None:
    """Run `test` in a new world whose deliveries are slow."""
    port = Slow()
    with_world(lambda world: test(world, port), limits=limits, port=port)


@pytest.mark.parametrize("limits", [Limits(replay_backlog=5), Limits(backlog_chars=2 * 4 * 250)])
def test_a_replay_waits_while_much_is_under_way(limits: Limits) -> None:
    """Never more than so many deliveries, or so much of events, at a time; what is put meanwhile finds its place."""

    async def test(world: World, port: Slow) -> None:
        await archive(world)
        for number in range(40):
            await world.put({"n": number})
        await world.add_rule({"source": ["shop"]})
        await world.do("StartReplay", window())
        await world.settle(1)
        assert await state(world) == "RUNNING"
        assert 4 <= port.most <= 5
        assert "EventId" in await world.put({"n": -1})
        await world.settle(30)
        assert sorted(body["detail"]["n"] for body in port.bodies()) == [-1, *range(40)]
        assert port.most <= 6
        assert await state(world) == "COMPLETED"

    with_slow_world(test, limits=limits)


@pytest.mark.parametrize("after_s", [0.0, SETTLE_S / 2, SETTLE_S, 2.5])
def test_a_cancelled_replay_sends_no_more(after_s: float) -> None:
    """CANCELLING at once, whether it starts, runs or waits for room; then CANCELLED, with the date."""

    async def test(world: World, port: Slow) -> None:
        await archive(world)
        for number in range(40):
            await world.put({"n": number})
        await world.add_rule({"source": ["shop"]})
        await world.do("StartReplay", window())
        if after_s:
            await world.settle(after_s)
        told = await world.do("CancelReplay", {"ReplayName": "again"})
        assert told == {"ReplayArn": f"{PREFIX}:replay/again", "State": "CANCELLING"}
        assert await state(world) == "CANCELLING"
        sent = len(port.delivered) + world.buses.under_way
        illegal = ("IllegalStatusException", "Replay again is not in a valid state for this operation.")
        assert await world.refused("CancelReplay", {"ReplayName": "again"}) == illegal
        await world.settle(2 * SETTLE_S)
        described = await world.do("DescribeReplay", {"ReplayName": "again"})
        assert (described["State"], "StateReason" in described) == ("CANCELLED", False)
        assert described["ReplayEndTime"] <= NOW + after_s + 2 * SETTLE_S
        await world.settle(60)
        assert len(port.delivered) == sent
        assert sent < 40
        assert (sent > 0) == (after_s > SETTLE_S)
        assert await world.refused("CancelReplay", {"ReplayName": "again"}) == illegal

    with_slow_world(test, limits=Limits(replay_backlog=5))


def test_a_replay_that_is_over_cannot_be_cancelled() -> None:
    """IllegalStatusException."""

    async def test(world: World) -> None:
        await archive(world)
        await world.do("StartReplay", window())
        await world.settle()
        told = await world.refused("CancelReplay", {"ReplayName": "again"})
        assert told == ("IllegalStatusException", "Replay again is not in a valid state for this operation.")

    with_world(test)


def test_a_replay_of_an_archive_that_is_deleted_fails() -> None:
    """With the reason; what was sent until then is delivered."""

    async def test(world: World, port: Slow) -> None:
        await archive(world)
        for number in range(40):
            await world.put({"n": number})
        await world.add_rule({"source": ["shop"]})
        await world.do("StartReplay", window())
        await world.settle(1.5)
        await world.do("DeleteArchive", {"ArchiveName": "a"})
        await world.settle(30)
        told = await world.do("DescribeReplay", {"ReplayName": "again"})
        assert (told["State"], told["StateReason"]) == ("FAILED", "Archive a does not exist.")
        assert "ReplayEndTime" in told
        assert 5 <= len(port.delivered) <= 15

    with_slow_world(test, limits=Limits(replay_backlog=5))


def test_what_grows_too_old_while_a_replay_runs_is_not_replayed() -> None:
    """Nor what finds no more room; the replay says that its archive has dropped events."""

    async def test(world: World, port: Slow) -> None:
        await archive(world, RetentionDays=1)
        for number in range(10):
            await world.put({"n": number})
        await world.settle(DAY_S - 2)
        for number in range(10, 20):
            await world.put({"n": number}, Time=NOW + 100)
        await world.add_rule({"source": ["shop"]})
        await world.do("StartReplay", window())
        await world.settle(60)
        numbers = {body["detail"]["n"] for body in port.bodies()}
        assert set(range(10, 20)) < numbers
        assert len(numbers) < 20
        assert (await state(world), (await world.do("DescribeArchive", {"ArchiveName": "a"}))["EventCount"]) == (
            "COMPLETED",
            10,
        )

    with_slow_world(test, limits=Limits(replay_backlog=2))


def test_a_replay_of_an_archive_that_has_dropped_events_says_so() -> None:
    """COMPLETED, with the archive's reason."""

    async def test(world: World) -> None:
        await archive(world)
        for number in range(9):
            await world.put({"n": number})
        await world.do("StartReplay", window())
        await world.settle()
        told = await world.do("DescribeReplay", {"ReplayName": "again"})
        assert told["State"] == "COMPLETED"
        assert told["StateReason"].startswith("The oldest events were dropped, ")

    with_world(test, limits=Limits(archive_bytes=4_000))


def test_the_age_of_a_replayed_event_begins_with_its_replay() -> None:
    """An old event is retried for as long as the target's policy says."""

    async def test(world: World) -> None:
        policy = {"MaximumEventAgeInSeconds": 60}
        await world.add_rule({"replay-name": ["again"]}, {"Id": "t", "Arn": QUEUE, "RetryPolicy": policy})
        await archive(world)
        await world.put({})
        await world.settle(3 * DAY_S)
        world.port.failures.append(Undeliverable("busy", code="THROTTLING", retry=True))
        await world.do("StartReplay", window())
        await world.settle(10)
        assert len(world.port.attempts) == 2
        assert len(world.port.delivered) == 1

    with_world(test)


def test_the_loop_has_its_turn_between_two_events() -> None:
    """A replay of many events keeps nobody waiting: something else runs as often as an event is sent."""

    async def test(world: World) -> None:
        await archive(world)
        for _ in range(200):
            await world.put({})
        await world.do("StartReplay", window())
        await world.settle(SETTLE_S)
        turns = 0
        while await state(world) in {"STARTING", "RUNNING"}:
            turns += 1
            await asyncio.sleep(0)
        assert turns >= 200

    with_world(test)


def test_a_replay_that_is_started_before_the_buses_run_waits_for_them() -> None:
    """As deliveries do."""

    async def main() -> None:
        port = Port()
        clock = LoopClock(asyncio.get_running_loop())
        buses = Buses(clock=clock, rng=random.Random(1), port=port)
        world = World(buses, port, EventsService(buses))
        await world.add_rule({"source": ["shop"]})
        await archive(world)
        await world.put({})
        await world.do("StartReplay", window())
        await world.settle(5)
        assert await state(world) == "STARTING"
        async with asyncio.TaskGroup() as group:
            running = group.create_task(buses.run())
            await world.settle()
            assert await state(world) == "COMPLETED"
            running.cancel()
        assert len(replayed(world)) == 1

    run_virtual(main)


def test_a_replay_that_goes_wrong_fails_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Its StateReason says how; the next one runs."""

    async def main() -> list[tuple[str, str]]:
        clock, rng, limits = LoopClock(asyncio.get_running_loop()), random.Random(1), Limits()
        buses = Buses(clock=clock, rng=rng, port=Port())
        archives = Archives(buses, clock=clock, rng=rng, limits=limits)
        archives.create(REGION, ArchiveSettings(name="a", bus_arn=BUS))
        buses.put_events(REGION, [PutEntry(Entry(source="shop", detail_type="order", detail="{}"))])
        errors = [RuntimeError("no way " * 100)]

        def resend(_bus: Bus, _event: Event, _rules: frozenset[str]) -> None:
            if errors:
                raise errors.pop()

        outlet = Outlet(Courier(Port(), clock=clock, rng=rng), buses.get, resend)
        replays = Replays(archives, outlet, clock=clock, rng=rng, limits=limits)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(replays.run())
            for name in ("one", "two"):
                settings = ReplaySettings(name=name, archive_arn=ARCHIVE, bus_arn=BUS, start_s=NOW, end_s=NOW + 60)
                replays.start(REGION, settings)
                await asyncio.sleep(1)
            running.cancel()
        return [(replay.state, replay.reason) for replay in replays.list(REGION)]

    with caplog.at_level(logging.ERROR):
        assert run_virtual(main) == [("FAILED", f"RuntimeError: {'no way ' * 100}"[:512]), ("COMPLETED", "")]
    assert [record.message for record in caplog.records] == ["events.replay_failed"]
