"""Archives of EventBridge: what they keep, for how long, and the managed rule that feeds them."""

from __future__ import annotations

import json
import logging
import math
from typing import Any

import pytest

from localcloud.services.events.archive import DAY_S, OVERHEAD_BYTES, Archive, ArchiveSettings
from localcloud.services.events.envelope import Entry, Event, make_event
from localcloud.services.events.limits import Limits
from tests.unit.events_setup import ACCOUNT, QUEUE, REGION, World, with_world

NOW = 1_800_000_000.0
PREFIX = f"arn:aws:events:{REGION}:{ACCOUNT}"
DEFAULT_ARN = f"{PREFIX}:event-bus/default"
ARCHIVE = {"ArchiveName": "a", "EventSourceArn": DEFAULT_ARN}
PATTERN = '{"source":["shop"],"detail":{"n":[{"numeric":[">",1.0]}]}}'
MANAGED = "Events-Archive-a is a managed rule. Set 'force' parameter to true to override."


async def counted(world: World, name: str = "a") -> tuple[int, int]:
    """EventCount and SizeBytes of an archive."""
    told = await world.do("DescribeArchive", {"ArchiveName": name})
    return told["EventCount"], told["SizeBytes"]


# ---------------------------------------------------------------------- the API


def test_an_archive_is_made_described_listed_changed_and_deleted() -> None:
    """With the members that AWS answers: no Description, EventPattern or StateReason where there is none."""

    async def test(world: World) -> None:
        await world.do("CreateEventBus", {"Name": "orders"})
        bus = f"{PREFIX}:event-bus/orders"
        arn = f"{PREFIX}:archive/a"
        made = {"ArchiveArn": arn, "CreationTime": NOW, "State": "ENABLED"}
        given = {"ArchiveName": "a", "EventSourceArn": bus, "Description": "d", "EventPattern": PATTERN}
        assert await world.do("CreateArchive", {**given, "RetentionDays": 1}) == made
        await world.settle(5)
        assert await world.do("CreateArchive", {**ARCHIVE, "ArchiveName": "b"}) == {
            **made,
            "ArchiveArn": f"{PREFIX}:archive/b",
            "CreationTime": NOW + 5,
        }
        first = {
            "ArchiveName": "a",
            "EventSourceArn": bus,
            "RetentionDays": 1,
            "EventCount": 0,
            "SizeBytes": 0,
            "CreationTime": NOW,
            "State": "ENABLED",
        }
        second = {
            **first,
            "ArchiveName": "b",
            "EventSourceArn": DEFAULT_ARN,
            "RetentionDays": 0,
            "CreationTime": NOW + 5,
        }
        described = {**first, "ArchiveArn": arn, "Description": "d", "EventPattern": PATTERN}
        assert await world.do("DescribeArchive", {"ArchiveName": "a"}) == described
        assert await world.do("DescribeArchive", {"ArchiveName": "b"}) == {
            **second,
            "ArchiveArn": f"{PREFIX}:archive/b",
        }
        assert await world.do("ListArchives") == {"Archives": [first, second]}
        assert await world.do("ListArchives", {"EventSourceArn": bus}) == {"Archives": [first]}
        assert await world.do("ListArchives", {"NamePrefix": "b"}) == {"Archives": [second]}
        assert await world.do("ListArchives", {"State": "ENABLED"}) == {"Archives": [first, second]}
        assert await world.do("ListArchives", {"State": "DISABLED"}) == {"Archives": []}
        page = await world.do("ListArchives", {"Limit": 1})
        assert page["Archives"] == [first]
        assert await world.do("ListArchives", {"NextToken": page["NextToken"]}) == {"Archives": [second]}
        assert await world.do("ListArchives", region="us-east-1") == {"Archives": []}
        changed = {"ArchiveName": "a", "EventPattern": '{"source":["bank"]}', "RetentionDays": 2}
        assert await world.do("UpdateArchive", changed) == made
        assert await world.do("DescribeArchive", {"ArchiveName": "a"}) == {**described, **changed}
        assert await world.do("UpdateArchive", {"ArchiveName": "a", "Description": ""}) == made
        del described["Description"]
        assert await world.do("DescribeArchive", {"ArchiveName": "a"}) == {**described, **changed}
        assert await world.do("DeleteArchive", {"ArchiveName": "a"}) == {}
        assert await world.do("ListArchives") == {"Archives": [second]}

    with_world(test)


MISSING = ("ResourceNotFoundException", "Archive none does not exist.")
ONE_FILTER = "At most one filter is allowed for ListArchives. Use either : State, EventSourceArn, or NamePrefix."


@pytest.mark.parametrize(
    ("action", "body", "code", "message"),
    [
        ("DescribeArchive", {"ArchiveName": "none"}, *MISSING),
        ("DeleteArchive", {"ArchiveName": "none"}, *MISSING),
        ("UpdateArchive", {"ArchiveName": "none"}, *MISSING),
        ("CreateArchive", ARCHIVE, "ResourceAlreadyExistsException", "Archive a already exists."),
        (
            "CreateArchive",
            {"ArchiveName": "b", "EventSourceArn": f"{PREFIX}:event-bus/none"},
            "ResourceNotFoundException",
            "Event bus none does not exist.",
        ),
        (
            "CreateArchive",
            {"ArchiveName": "b", "EventSourceArn": f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/default"},
            "ResourceNotFoundException",
            "Event bus default does not exist.",
        ),
        (
            "CreateArchive",
            {"ArchiveName": "b" * 49, "EventSourceArn": "x", "RetentionDays": -1},
            "ValidationException",
            None,
        ),
        (
            "CreateArchive",
            {**ARCHIVE, "ArchiveName": "b", "EventPattern": '{"source":"shop"}'},
            "InvalidEventPatternException",
            'Event pattern is not valid. Reason: "source" must be an object or an array\n at source',
        ),
        (
            "CreateArchive",
            {**ARCHIVE, "ArchiveName": "b", "EventPattern": '{"replay-name":[{"exists":true}]}'},
            "InvalidEventPatternException",
            (
                "Event pattern is not valid. Reason: Replayed events are not sent to an archive: "
                "replay-name cannot be in its pattern"
            ),
        ),
        (
            "CreateArchive",
            {**ARCHIVE, "ArchiveName": "b", "EventPattern": json.dumps({"source": ["x" * 2040]})},
            "ValidationException",
            "Parameter EventPattern exceeds limit of 2048.",
        ),
        (
            "UpdateArchive",
            {"ArchiveName": "a", "EventPattern": "{", "Description": "new"},
            "InvalidEventPatternException",
            None,
        ),
        (
            "CreateArchive",
            {**ARCHIVE, "ArchiveName": "b", "KmsKeyIdentifier": "alias/k"},
            "ValidationException",
            "Customer managed keys of archives are not served by this local cloud.",
        ),
        (
            "UpdateArchive",
            {"ArchiveName": "a", "KmsKeyIdentifier": "alias/k"},
            "ValidationException",
            "Customer managed keys of archives are not served by this local cloud.",
        ),
        ("ListArchives", {"NamePrefix": "a", "State": "ENABLED"}, "ValidationException", ONE_FILTER),
        ("ListArchives", {"NamePrefix": "a", "EventSourceArn": DEFAULT_ARN}, "ValidationException", ONE_FILTER),
        (
            "ListArchives",
            {"EventSourceArn": f"{PREFIX}:event-bus/none"},
            "ResourceNotFoundException",
            "Event bus none does not exist.",
        ),
        ("ListArchives", {"State": "OPEN"}, "ValidationException", None),
        ("ListArchives", {"NextToken": "?"}, "ValidationException", "Parameter NextToken is not valid."),
    ],
)
def test_what_makes_no_sense_is_refused(action: str, body: object, code: str, message: str | None) -> None:
    """Code and message, in AWS's words where they are known; and nothing is made or changed."""

    async def test(world: World) -> None:
        await world.do("CreateArchive", ARCHIVE)
        before = await world.do("DescribeArchive", {"ArchiveName": "a"})
        told = await world.refused(action, body)
        assert told == (code, message or told[1])
        assert len((await world.do("ListArchives"))["Archives"]) == 1
        assert len((await world.do("ListRules"))["Rules"]) == 1
        assert await world.do("DescribeArchive", {"ArchiveName": "a"}) == before

    with_world(test)


# ---------------------------------------------------------------------- what is archived


def test_an_archive_keeps_what_matches_at_once() -> None:
    """EventCount counts the events of its bus that match, SizeBytes the bytes of their JSON."""

    async def test(world: World) -> None:
        await world.do("CreateEventBus", {"Name": "orders"})
        await world.do("CreateArchive", {**ARCHIVE, "EventPattern": PATTERN})
        await world.do("CreateArchive", {**ARCHIVE, "ArchiveName": "all"})
        await world.add_rule({"source": ["shop"]})
        await world.put({"n": 2, "text": "ä"})
        await world.put({"n": 1})
        await world.put({"n": 3}, Source="bank")
        await world.put({"n": 4}, EventBusName="orders")
        await world.settle()
        first, second = (len(body.encode()) for _, body, _ in world.port.delivered)
        assert await counted(world) == (1, first)
        assert await counted(world, "all") == (3, first + second + second)

    with_world(test)


def test_events_of_another_bus_are_archived_as_what_they_are() -> None:
    """And replayed as such: the bus that sent them is still known, so that they go to no third one."""

    async def test(world: World) -> None:
        await world.do("CreateArchive", ARCHIVE)
        await world.add_rule({"replay-name": ["p"]})
        sent = make_event(Entry(source="shop", detail_type="t", detail="{}"), REGION, event_id="1", now_s=NOW)
        assert world.buses.forward(DEFAULT_ARN, sent.sent_on(f"{PREFIX}:event-bus/first"))
        request = {
            "ReplayName": "p",
            "EventSourceArn": f"{PREFIX}:archive/a",
            "EventStartTime": NOW,
            "EventEndTime": NOW + 1,
            "Destination": {"Arn": DEFAULT_ARN},
        }
        await world.do("StartReplay", request)
        await world.settle()
        assert [parcel.event.hops for parcel in world.port.parcels] == [(f"{PREFIX}:event-bus/first",)]

    with_world(test)


def test_a_changed_pattern_counts_for_the_events_that_come() -> None:
    """What is in the archive stays; an empty pattern is none; absent members stay as they are."""

    async def test(world: World) -> None:
        await world.do("CreateArchive", {**ARCHIVE, "EventPattern": PATTERN})
        await world.put({"n": 2})
        await world.do("UpdateArchive", {"ArchiveName": "a", "EventPattern": '{"source":["bank"]}'})
        await world.put({"n": 2})
        await world.do("UpdateArchive", {"ArchiveName": "a", "RetentionDays": 3})
        await world.put({"n": 2}, Source="bank")
        assert (await counted(world))[0] == 2
        await world.do("UpdateArchive", {"ArchiveName": "a", "EventPattern": ""})
        await world.put({"n": 2})
        assert (await counted(world))[0] == 3
        assert "EventPattern" not in await world.do("DescribeArchive", {"ArchiveName": "a"})

    with_world(test)


def test_scheduled_events_are_not_archived_and_events_of_services_are() -> None:
    """A scheduled event goes to the targets of its rule alone."""

    async def test(world: World) -> None:
        await world.do("CreateArchive", ARCHIVE)
        await world.do("PutRule", {"Name": "s", "ScheduleExpression": "rate(1 minute)"})
        await world.do("PutTargets", {"Rule": "s", "Targets": [{"Id": "t", "Arn": QUEUE}]})
        await world.settle(61)
        assert len(world.port.delivered) == 1
        assert (await counted(world))[0] == 0
        world.buses.emit(REGION, Entry(source="aws.s3", detail_type="Object Created", detail="{}"))
        assert (await counted(world))[0] == 1

    with_world(test)


def test_the_pattern_of_an_archive_may_be_as_long_as_that_of_a_rule() -> None:
    """What the managed rule adds to it does not count."""

    async def test(world: World) -> None:
        pattern = json.dumps({"source": ["x" * (2048 - 16)]})
        assert len(pattern) == 2048
        await world.do("CreateArchive", {**ARCHIVE, "EventPattern": pattern})
        told = await world.do("DescribeArchive", {"ArchiveName": "a"})
        assert told["EventPattern"] == pattern

    with_world(test)


def test_an_archive_counts_as_a_rule_of_its_bus() -> None:
    """CreateArchive ends where the bus takes no more rules."""

    async def test(world: World) -> None:
        await world.do("PutRule", {"Name": "r", "EventPattern": PATTERN})
        await world.do("CreateArchive", ARCHIVE)
        told = await world.refused("CreateArchive", {**ARCHIVE, "ArchiveName": "b"})
        assert told == ("LimitExceededException", "The requested resource exceeds the maximum number allowed.")
        assert len((await world.do("ListArchives"))["Archives"]) == 1

    with_world(test, limits=Limits(rules=2))


# ---------------------------------------------------------------------- the managed rule


def test_the_managed_rule_of_an_archive_is_there_to_see() -> None:
    """As AWS answers: its name, whose it is, the archive's pattern with no `replay-name` beside it, its target."""

    async def test(world: World) -> None:
        given = '{"source":["shop"],"detail":{"n":[1.50]}}'
        await world.do("CreateArchive", {**ARCHIVE, "EventPattern": given})
        rule = {
            "Name": "Events-Archive-a",
            "Arn": f"{PREFIX}:rule/Events-Archive-a",
            "EventBusName": "default",
            "State": "ENABLED",
            "EventPattern": '{"source":["shop"],"detail":{"n":[1.50]},"replay-name":[{"exists":false}]}',
            "ManagedBy": "prod.vhs.events.aws.internal",
        }
        assert await world.do("ListRules") == {"Rules": [rule]}
        assert await world.do("DescribeRule", {"Name": "Events-Archive-a"}) == {**rule, "CreatedBy": ACCOUNT}
        (target,) = (await world.do("ListTargetsByRule", {"Rule": "Events-Archive-a"}))["Targets"]
        assert (target["Id"], target["Arn"]) == ("Events-Archive-a", f"arn:aws:events:{REGION}:::")
        template = target["InputTransformer"]["InputTemplate"]
        assert template.startswith(f'{{"archive-arn": "{PREFIX}:archive/a:')
        assert template.endswith(
            '", "event": <aws.events.event.json>, "ingestion-time": <aws.events.event.ingestion-time>}'
        )
        await world.do("UpdateArchive", {"ArchiveName": "a", "EventPattern": ""})
        assert (await world.do("ListRules"))["Rules"] == [
            {**rule, "EventPattern": '{"replay-name":[{"exists":false}]}'}
        ]
        assert (await world.do("ListTargetsByRule", {"Rule": "Events-Archive-a"}))["Targets"] == [target]
        await world.do("DeleteArchive", {"ArchiveName": "a"})
        assert await world.do("ListRules") == {"Rules": []}

    with_world(test)


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("PutRule", {"Name": "Events-Archive-a", "EventPattern": PATTERN}),
        ("DeleteRule", {"Name": "Events-Archive-a"}),
        ("EnableRule", {"Name": "Events-Archive-a"}),
        ("DisableRule", {"Name": "Events-Archive-a"}),
        ("PutTargets", {"Rule": "Events-Archive-a", "Targets": [{"Id": "t", "Arn": QUEUE}]}),
        ("RemoveTargets", {"Rule": "Events-Archive-a", "Ids": ["Events-Archive-a"]}),
        ("TagResource", {"ResourceARN": f"{PREFIX}:rule/Events-Archive-a", "Tags": [{"Key": "k", "Value": "v"}]}),
        ("UntagResource", {"ResourceARN": f"{PREFIX}:rule/Events-Archive-a", "TagKeys": ["k"]}),
    ],
)
def test_nobody_changes_a_managed_rule(action: str, body: dict[str, Any]) -> None:
    """ManagedRuleException; and to take it apart by force is refused by name, for the archive would starve."""

    async def test(world: World) -> None:
        await world.do("CreateArchive", ARCHIVE)
        assert await world.refused(action, body) == ("ManagedRuleException", MANAGED)
        if action in {"DeleteRule", "RemoveTargets"}:
            told = await world.refused(action, {**body, "Force": True})
            assert told[1] == "Managed rules that are taken apart by force are not served by this local cloud."
        await world.put({"n": 1})
        assert (await counted(world))[0] == 1

    with_world(test)


def test_a_rule_that_has_the_name_of_an_archives_rule_is_left_alone() -> None:
    """Such an archive cannot be made."""

    async def test(world: World) -> None:
        rule = await world.add_rule({"source": ["shop"]}, name="Events-Archive-a")
        told = await world.refused("CreateArchive", ARCHIVE)
        assert told == ("ResourceAlreadyExistsException", "Rule Events-Archive-a already exists.")
        assert (await world.do("DescribeRule", {"Name": "Events-Archive-a"}))["Arn"] == rule
        assert (await world.do("DeleteRule", {"Name": "none", "Force": True})) == {}

    with_world(test)


def test_a_bus_with_an_archive_stays() -> None:
    """Its managed rule is one of the rules that DeleteEventBus wants deleted first; the archive takes it along."""

    async def test(world: World) -> None:
        await world.do("CreateEventBus", {"Name": "orders"})
        await world.do("CreateArchive", {"ArchiveName": "a", "EventSourceArn": f"{PREFIX}:event-bus/orders"})
        refusal = ("ValidationException", "Event bus can't be deleted since it has rules.")
        assert await world.refused("DeleteEventBus", {"Name": "orders"}) == refusal
        await world.do("DeleteArchive", {"ArchiveName": "a"})
        assert await world.do("DeleteEventBus", {"Name": "orders"}) == {}

    with_world(test)


# ---------------------------------------------------------------------- retention


def test_events_are_kept_for_as_many_days_as_the_archive_says() -> None:
    """Counted from when they came, whatever time they say; without RetentionDays for ever."""

    async def test(world: World) -> None:
        await world.do("CreateArchive", {**ARCHIVE, "RetentionDays": 2})
        await world.do("CreateArchive", {**ARCHIVE, "ArchiveName": "ever"})
        await world.put({"n": 1}, Time=NOW + 30 * DAY_S)
        await world.settle(DAY_S)
        await world.put({"n": 2}, Time=NOW - 30 * DAY_S)
        await world.settle(DAY_S - 1)
        assert (await counted(world))[0] == 2
        await world.settle(1)
        one = await counted(world)
        assert one[0] == 1
        assert one[1] > 0
        await world.settle(DAY_S)
        assert await counted(world) == (0, 0)
        assert (await counted(world, "ever"))[0] == 2
        (listed, _) = (await world.do("ListArchives"))["Archives"]
        assert (listed["EventCount"], listed["SizeBytes"]) == (0, 0)

    with_world(test)


def test_a_shorter_retention_counts_at_once_and_a_longer_one_brings_nothing_back() -> None:
    """What was too old before the change is gone."""

    async def test(world: World) -> None:
        await world.do("CreateArchive", {**ARCHIVE, "RetentionDays": 1})
        await world.put({"n": 1})
        await world.settle(DAY_S / 2)
        await world.put({"n": 2})
        archive = world.buses.archives.get("a", REGION)
        await world.settle(DAY_S / 2)
        world.buses.archives.update(archive, description=None, pattern=None, retention_days=9)
        assert (await counted(world))[0] == 1
        await world.settle(DAY_S)
        assert (await counted(world))[0] == 1
        await world.do("UpdateArchive", {"ArchiveName": "a", "RetentionDays": 1})
        assert (await counted(world))[0] == 0

    with_world(test)


def test_an_archive_knows_the_minutes_in_which_its_events_are() -> None:
    """By the events' own times, whatever the order in which they came; a minute goes with the last of its events."""

    def event(number: int, time_s: float) -> Event:
        entry = Entry(source="shop", detail_type="t", detail="{}", time_s=time_s)
        return make_event(entry, REGION, event_id=str(number), now_s=NOW)

    archive = Archive(ArchiveSettings(name="a", bus_arn=DEFAULT_ARN, retention_days=1), f"{PREFIX}:archive/a", now_s=0)
    for number, time_s in enumerate((600.0, 59.9, 0.0, 661.0)):
        archive.add(event(number, time_s), now_s=number)
    assert [archive.numbers_in(minute) for minute in (0, 5, 10, 11)] == [[1, 2], [], [0], [3]]
    assert [archive.next_minute(low, 10) for low in (-5, 0, 1, 10, 11)] == [0, 0, 10, 10, None]
    archive.expire(DAY_S + 1)
    assert (archive.next_minute(0, 99), archive.numbers_in(0), archive.count) == (0, [2], 2)
    archive.expire(DAY_S + 2)
    assert (archive.next_minute(0, 99), archive.find(2), archive.oldest_s) == (11, None, 3)
    archive.expire(DAY_S + 3)
    assert (archive.next_minute(0, 99), archive.size_bytes, archive.oldest_s) == (None, 0, math.inf)


# ---------------------------------------------------------------------- memory


def test_full_archives_drop_their_oldest_events_and_say_so(caplog: pytest.LogCaptureFixture) -> None:
    """The oldest of all archives goes first; StateReason and the log say so; the archive that lost none is silent."""

    async def test(world: World) -> None:
        for name in ("shop", "bank"):
            given = {**ARCHIVE, "ArchiveName": name, "EventPattern": json.dumps({"source": [name]})}
            await world.do("CreateArchive", given)
        for number in range(20):
            await world.put({"n": number, "text": "x" * 1000})
            await world.settle(1)
        for number in range(4):
            await world.put({"n": number, "text": "x" * 1000}, Source="bank")
        kept = world.buses.archives.get("shop", REGION), world.buses.archives.get("bank", REGION)
        assert sum(archive.held_bytes for archive in kept) <= 16_000
        assert kept[1].count == 4
        shop = await world.do("DescribeArchive", {"ArchiveName": "shop"})
        lost = 20 - shop["EventCount"]
        assert lost > 10
        reason = f"The oldest events were dropped, {lost} of them: the archives of this local cloud are full."
        assert (shop["State"], shop["StateReason"]) == ("ENABLED", reason)
        assert "StateReason" not in await world.do("DescribeArchive", {"ArchiveName": "bank"})
        numbers = [json.loads(event.text)["detail"]["n"] for event in map(kept[0].find, range(20)) if event is not None]
        assert numbers == list(range(lost, 20))

    with caplog.at_level(logging.WARNING):
        with_world(test, limits=Limits(archive_bytes=16_000))
    full = [record for record in caplog.records if record.message == "events.archive_full"]
    assert [record.__dict__["archive"] for record in full] == [f"{PREFIX}:archive/shop"]


def test_what_an_archive_held_is_free_once_it_is_deleted_or_too_old() -> None:
    """Neither counts against the room of the others."""

    async def test(world: World) -> None:
        await world.do("CreateArchive", {**ARCHIVE, "RetentionDays": 1})
        for _ in range(6):
            await world.put({"text": "x" * 1000})
        await world.settle(DAY_S)
        await world.do("CreateArchive", {**ARCHIVE, "ArchiveName": "b"})
        for _ in range(3):
            await world.put({"text": "x" * 1000})
        told = await world.do("DescribeArchive", {"ArchiveName": "a"})
        assert (told["EventCount"], "StateReason" in told) == (3, False)
        await world.do("DeleteArchive", {"ArchiveName": "a"})
        for _ in range(3):
            await world.put({"text": "x" * 1000})
        told = await world.do("DescribeArchive", {"ArchiveName": "b"})
        assert (told["EventCount"], "StateReason" in told) == (6, False)

    with_world(test, limits=Limits(archive_bytes=6 * (1_300 + OVERHEAD_BYTES)))


def test_an_event_that_is_larger_than_all_room_is_dropped_itself() -> None:
    """And the archive goes on."""

    async def test(world: World) -> None:
        await world.do("CreateArchive", ARCHIVE)
        await world.put({"text": "x" * 5000})
        assert await counted(world) == (0, 0)
        await world.put({"n": 1})
        assert (await counted(world))[0] == 1

    with_world(test, limits=Limits(archive_bytes=2_000))
