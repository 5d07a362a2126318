"""The operations on alarms as a caller sees them, in each of its three protocols: answers, limits, errors, IAM."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from localcloud.services.cloudwatch.alarm import Definition
from localcloud.services.cloudwatch.reasons import CREATED
from localcloud.services.contract import Permission
from tests.unit.cloudwatch_setup import PROTOCOLS, REGION, World, make_request, read_answer

ARN = f"arn:aws:cloudwatch:{REGION}:123456789012:alarm:"
TOPIC = f"arn:aws:sns:{REGION}:123456789012:t"
NOW = datetime(2027, 1, 15, 8, tzinfo=UTC)  # the virtual clock's epoch
METRIC: dict[str, Any] = {
    "AlarmName": "m",
    "Namespace": "app",
    "MetricName": "m",
    "Dimensions": [{"Name": "b", "Value": "2"}, {"Name": "a", "Value": "1"}],
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 3,
    "Threshold": 1.5,
    "ComparisonOperator": "GreaterThanThreshold",
}


@pytest.fixture(params=list(PROTOCOLS))
def world(request: pytest.FixtureRequest) -> World:
    """The service under each protocol."""
    return World(request.param)


async def put(world: World, name: str = "m", **changes: Any) -> None:
    asked = {**METRIC, "AlarmName": name, **changes}
    await world.ok("PutMetricAlarm", **{member: value for member, value in asked.items() if value is not None})


async def names(world: World, **filters: Any) -> list[str]:
    found = await world.ok("DescribeAlarms", **filters)
    return [alarm["AlarmName"] for alarm in [*found["MetricAlarms"], *found["CompositeAlarms"]]]


async def refusal(world: World, operation: str, **parameters: Any) -> tuple[str, int]:
    response = await world.service.handle(make_request(world.protocol, operation, parameters))
    return read_answer(world.protocol, operation, response)["Error"]["Code"], response.status


async def test_a_metric_alarm_is_described_as_it_was_put(world: World) -> None:
    """With AWS's types and dates, all three lists of actions, and only the members that were given."""
    await put(world, AlarmActions=[TOPIC], DatapointsToAlarm=2, TreatMissingData="breaching", AlarmDescription="")
    (alarm,) = (await world.ok("DescribeAlarms"))["MetricAlarms"]
    assert alarm == {
        **METRIC,
        "Dimensions": METRIC["Dimensions"][::-1],
        "AlarmArn": f"{ARN}m",
        "AlarmDescription": "",
        "ActionsEnabled": True,
        "OKActions": [],
        "AlarmActions": [TOPIC],
        "InsufficientDataActions": [],
        "DatapointsToAlarm": 2,
        "TreatMissingData": "breaching",
        "StateValue": "INSUFFICIENT_DATA",
        "StateReason": CREATED,
        "AlarmConfigurationUpdatedTimestamp": NOW,
        "StateUpdatedTimestamp": NOW,
        "StateTransitionedTimestamp": NOW,
    }


async def test_putting_again_replaces_the_definition_and_keeps_the_state(world: World) -> None:
    """What is not said again is gone; the state stays, and the tags of its making."""
    await put(world, AlarmDescription="old", Tags=[{"Key": "k", "Value": "v"}])
    await world.ok("SetAlarmState", AlarmName="m", StateValue="ALARM", StateReason="r", StateReasonData='{"a":1}')
    world.clock.now += 5
    await put(world, Threshold=9.0, Tags=[{"Key": "other", "Value": "w"}])
    (alarm,) = (await world.ok("DescribeAlarms"))["MetricAlarms"]
    assert ("AlarmDescription" in alarm, alarm["Threshold"]) == (False, 9.0)
    assert (alarm["StateValue"], alarm["StateReason"], alarm["StateReasonData"]) == ("ALARM", "r", '{"a":1}')
    assert alarm["AlarmConfigurationUpdatedTimestamp"] - alarm["StateTransitionedTimestamp"] == timedelta(seconds=5)
    assert (await world.ok("ListTagsForResource", ResourceARN=f"{ARN}m"))["Tags"] == [{"Key": "k", "Value": "v"}]


async def test_tags_are_added_and_taken_away(world: World) -> None:
    """By an alarm's ARN; one that is not there is a 404."""
    await put(world)
    await world.ok("TagResource", ResourceARN=f"{ARN}m", Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}])
    await world.ok("TagResource", ResourceARN=f"{ARN}m", Tags=[{"Key": "c", "Value": "3"}])
    await world.ok("UntagResource", ResourceARN=f"{ARN}m", TagKeys=["a", "x"])
    tags = (await world.ok("ListTagsForResource", ResourceARN=f"{ARN}m"))["Tags"]
    assert tags == [{"Key": "b", "Value": ""}, {"Key": "c", "Value": "3"}]
    assert await refusal(world, "ListTagsForResource", ResourceARN=f"{ARN}no") == ("ResourceNotFoundException", 404)
    assert (await refusal(world, "ListTagsForResource", ResourceARN="m"))[0] == "InvalidParameterValue"
    many = [{"Key": str(number), "Value": "v"} for number in range(50)]
    assert (await refusal(world, "TagResource", ResourceARN=f"{ARN}m", Tags=many))[0] == "ValidationError"


async def test_alarms_are_filtered_and_paged(world: World) -> None:
    """By name, prefix, type, state and action; metric alarms alone where no type is asked for."""
    for name in ("b", "a", "aa"):
        await put(world, name, OKActions=[TOPIC] if name == "b" else [])
    await world.ok("PutCompositeAlarm", AlarmName="c", AlarmRule="ALARM(a) OR ALARM(b)")
    await world.ok("SetAlarmState", AlarmName="b", StateValue="OK", StateReason="r")
    both = {"AlarmTypes": ["MetricAlarm", "CompositeAlarm"]}
    for filters, expected in (
        ({}, ["a", "aa", "b"]),
        (both, ["a", "aa", "b", "c"]),
        ({"AlarmTypes": ["CompositeAlarm"]}, ["c"]),
        ({"AlarmNames": ["b", "x", "c"]}, ["b"]),
        ({"AlarmNamePrefix": "a"}, ["a", "aa"]),
        ({"StateValue": "OK"}, ["b"]),
        ({"StateValue": "OK", **both}, ["b", "c"]),
        ({"ActionPrefix": "arn:aws:sns"}, ["b"]),
        ({"ActionPrefix": "arn:aws:lambda"}, []),
        ({"ChildrenOfAlarmName": "c"}, ["a", "b"]),
        ({"ParentsOfAlarmName": "a"}, ["c"]),
        ({"ParentsOfAlarmName": "x"}, []),
    ):
        assert expected == await names(world, **filters)
    found, token = [], {}
    while token is not None:
        page = await world.ok("DescribeAlarms", MaxRecords=3, **both, **token)
        found.append([alarm["AlarmName"] for alarm in [*page["MetricAlarms"], *page["CompositeAlarms"]]])
        token = {"NextToken": page["NextToken"]} if "NextToken" in page else None
    assert found == [["a", "aa", "b"], ["c"]]
    (parent,) = (await world.ok("DescribeAlarms", ParentsOfAlarmName="a"))["CompositeAlarms"]
    assert parent == {"AlarmName": "c", "AlarmArn": f"{ARN}c"}
    child = (await world.ok("DescribeAlarms", ChildrenOfAlarmName="c"))["MetricAlarms"][0]
    assert set(child) == {"AlarmName", "AlarmArn", "StateValue", "StateUpdatedTimestamp"}


async def test_a_composite_alarm_is_described_with_its_suppressor(world: World) -> None:
    """Its rule, both periods, and what keeps its actions back."""
    await put(world)
    rule, periods = "ALARM(m)", {"ActionsSuppressorWaitPeriod": 10, "ActionsSuppressorExtensionPeriod": 0}
    await world.ok("PutCompositeAlarm", AlarmName="c", AlarmRule=rule, ActionsSuppressor="m", **periods)
    (alarm,) = (await world.ok("DescribeAlarms", AlarmTypes=["CompositeAlarm"]))["CompositeAlarms"]
    assert (alarm["AlarmRule"], alarm["ActionsSuppressor"], alarm["ActionsSuppressorWaitPeriod"]) == (rule, "m", 10)
    assert (alarm["StateValue"], alarm["ActionsSuppressedBy"], alarm["ActionsSuppressedReason"]) == (
        "OK", "WaitPeriod", "Actions suppressed by WaitPeriod",
    )  # fmt: skip


async def test_alarms_of_a_metric_are_found_by_its_whole_identity(world: World) -> None:
    """All its dimensions must be named; statistic, period and unit narrow."""
    await put(world)
    await put(world, "n", Dimensions=[], Statistic=None, ExtendedStatistic="p99", Unit="Count")
    asked = {name: METRIC[name] for name in ("Namespace", "MetricName", "Dimensions")}

    async def found(**changes: Any) -> list[str]:
        answer = await world.ok("DescribeAlarmsForMetric", **{**asked, **changes})
        return [alarm["AlarmName"] for alarm in answer["MetricAlarms"]]

    assert await found() == ["m"]
    assert await found(Statistic="Average") == []
    assert await found(Period=60, Statistic="Sum") == ["m"]
    assert await found(Dimensions=[]) == ["n"]
    assert await found(Dimensions=[], ExtendedStatistic="p99", Unit="Count") == ["n"]
    assert await found(Dimensions=[], Unit="Bytes") == []


async def test_history_is_told_newest_first_and_kept_after_the_alarm(world: World) -> None:
    """Definitions, states and what they were, filtered by name, type and date, in pages."""
    await put(world)
    world.clock.now += 10
    await world.ok("SetAlarmState", AlarmName="m", StateValue="ALARM", StateReason="r", StateReasonData="{}")
    world.clock.now += 10
    await world.ok("DeleteAlarms", AlarmNames=["m"])

    async def told(**asked: Any) -> list[str]:
        items = (await world.ok("DescribeAlarmHistory", **asked))["AlarmHistoryItems"]
        return [item["HistorySummary"] for item in items]

    created, changed, deleted = (
        'Alarm "m" created',
        "Alarm updated from INSUFFICIENT_DATA to ALARM",
        'Alarm "m" deleted',
    )
    assert await told() == [deleted, changed, created]
    assert await told(AlarmName="m", ScanBy="TimestampAscending") == [created, changed, deleted]
    assert await told(AlarmName="n") == []
    assert await told(AlarmTypes=["CompositeAlarm"]) == []
    assert await told(HistoryItemType="StateUpdate") == [changed]
    assert await told(StartDate=NOW + timedelta(seconds=5), EndDate=NOW + timedelta(seconds=15)) == [changed]
    page = await world.ok("DescribeAlarmHistory", MaxRecords=2)
    assert len(page["AlarmHistoryItems"]) == 2
    assert await told(MaxRecords=2, NextToken=page["NextToken"]) == [created]
    (item,) = (await world.ok("DescribeAlarmHistory", HistoryItemType="StateUpdate"))["AlarmHistoryItems"]
    assert json.loads(item["HistoryData"]) == {
        "version": "1.0",
        "oldState": {"stateValue": "INSUFFICIENT_DATA", "stateReason": CREATED},
        "newState": {"stateValue": "ALARM", "stateReason": "r", "stateReasonData": {}},
    }
    assert (item["AlarmName"], item["AlarmType"], item["Timestamp"]) == (
        "m",
        "MetricAlarm",
        NOW + timedelta(seconds=10),
    )
    world.clock.now += 14 * 86_400 + 1
    await put(world, "later")
    assert await told() == ['Alarm "later" created']


async def test_an_entry_of_history_keeps_to_its_length(world: World) -> None:
    """What the old state was is left out before the JSON is too long; another Region's entries are not told."""
    await put(world)
    data = json.dumps({"a": "x" * 3900})
    for value in ("OK", "ALARM"):
        await world.ok("SetAlarmState", AlarmName="m", StateValue=value, StateReason="r", StateReasonData=data)
    (latest, *_) = (await world.ok("DescribeAlarmHistory", HistoryItemType="StateUpdate"))["AlarmHistoryItems"]
    assert len(latest["HistoryData"]) <= 4095
    assert set(json.loads(latest["HistoryData"])) == {"version", "newState"}
    world.alarms.put(Definition(name="e", arn="arn:aws:cloudwatch:us-east-1:123456789012:alarm:e"))
    items = (await world.ok("DescribeAlarmHistory"))["AlarmHistoryItems"]
    assert {item["AlarmName"] for item in items} == {"m"}


async def test_actions_are_switched(world: World) -> None:
    """For each alarm that is named; names that there are not are passed over."""
    await put(world)
    await world.ok("DisableAlarmActions", AlarmNames=["m", "x"])
    assert (await world.ok("DescribeAlarms"))["MetricAlarms"][0]["ActionsEnabled"] is False
    await world.ok("EnableAlarmActions", AlarmNames=["m"])
    assert (await world.ok("DescribeAlarms"))["MetricAlarms"][0]["ActionsEnabled"] is True


async def test_alarms_that_a_composite_names_stay(world: World) -> None:
    """They go with it, or after it; one composite alarm a request; names that there are not are passed over."""
    await put(world)
    for name in ("c", "d"):
        await world.ok("PutCompositeAlarm", AlarmName=name, AlarmRule="ALARM(m)")
    assert await world.error("DeleteAlarms", AlarmNames=["m"]) == (
        "ValidationError", "Cannot delete m as there are composite alarm(s) depending on it.",
    )  # fmt: skip
    assert (await world.error("DeleteAlarms", AlarmNames=["c", "d"]))[0] == "ValidationError"
    await world.ok("DeleteAlarms", AlarmNames=["c", "nobody"])
    await world.ok("DeleteAlarms", AlarmNames=["d", "m"])
    assert await names(world, AlarmTypes=["MetricAlarm", "CompositeAlarm"]) == []


async def test_regions_have_alarms_of_their_own(world: World) -> None:
    """A name is one Region's."""
    await put(world)
    assert [alarm.arn for alarm in world.alarms.all("us-east-1")] == []
    assert world.alarms.find("m", "us-east-1") is None


COMPOSITE = {"AlarmName": "c", "AlarmRule": "TRUE"}
BAD: list[tuple[str, dict[str, Any], str, str]] = [
    ("PutMetricAlarm", {**METRIC, "AlarmName": None}, "MissingParameter", "The parameter AlarmName is required."),
    ("PutMetricAlarm", {**METRIC, "AlarmName": "a\nb"}, "ValidationError", "control characters"),
    ("PutMetricAlarm", {**METRIC, "AlarmName": "x" * 256}, "InvalidParameterValue", "shorter than 256"),
    ("PutMetricAlarm", {**METRIC, "Threshold": None}, "MissingParameter", "The parameter Threshold is required."),
    ("PutMetricAlarm", {**METRIC, "Period": 45}, "ValidationError", "Period must be 10, 20, 30 or a multiple of 60"),
    ("PutMetricAlarm", {**METRIC, "EvaluationPeriods": 0}, "InvalidParameterValue", "The value 0 for parameter"),
    ("PutMetricAlarm", {**METRIC, "EvaluationPeriods": 1441}, "ValidationError", "Period must be <= 86400"),
    ("PutMetricAlarm", {**METRIC, "Period": 3600, "EvaluationPeriods": 169}, "ValidationError", "<= 604800"),
    ("PutMetricAlarm", {**METRIC, "DatapointsToAlarm": 4}, "ValidationError", "less than or equal"),
    ("PutMetricAlarm", {**METRIC, "Statistic": None}, "InvalidParameterCombination", "Statistic or Extended"),
    ("PutMetricAlarm", {**METRIC, "ExtendedStatistic": "p9"}, "InvalidParameterCombination", "and not both"),
    ("PutMetricAlarm", {**METRIC, "Statistic": None, "ExtendedStatistic": "tm9"}, "InvalidParameterValue", "tm9"),
    ("PutMetricAlarm", {**METRIC, "ComparisonOperator": "Over"}, "InvalidParameterValue", "must be a value in the set"),
    (
        "PutMetricAlarm",
        {**METRIC, "ComparisonOperator": "GreaterThanUpperThreshold"},
        "InvalidParameterValue",
        "anomaly",
    ),
    ("PutMetricAlarm", {**METRIC, "Metrics": [{"Id": "m"}]}, "InvalidParameterCombination", "mutually exclusive"),
    ("PutMetricAlarm", {**METRIC, "ThresholdMetricId": "a"}, "InvalidParameterValue", "does not serve anomaly"),
    ("PutMetricAlarm", {**METRIC, "TreatMissingData": "x"}, "ValidationError", "Option x is not supported."),
    ("PutMetricAlarm", {**METRIC, "EvaluateLowSampleCountPercentile": "ignore"}, "ValidationError", "percentiles only"),
    ("PutMetricAlarm", {**METRIC, "AlarmActions": ["x"]}, "ValidationError", "Invalid arn syntax: x"),
    ("PutMetricAlarm", {**METRIC, "AlarmActions": [TOPIC] * 6}, "ValidationError", "greater than 5"),
    ("PutMetricAlarm", {**METRIC, "OKActions": ["arn:aws:automate:r:ec2:stop"]}, "InvalidParameterValue", "automate"),
    ("PutMetricAlarm", {**METRIC, "AlarmDescription": "x" * 1025}, "InvalidParameterValue", "shorter than 1025"),
    ("PutMetricAlarm", {**METRIC, "AlarmName": "arn:x"}, "ValidationError", "The value arn:x for parameter AlarmName"),
    ("PutCompositeAlarm", {"AlarmName": "c"}, "MissingParameter", "The parameter AlarmRule is required."),
    ("PutCompositeAlarm", {**COMPOSITE, "AlarmRule": "TRUE OR"}, "ValidationError", "AlarmRule ends too early"),
    ("PutCompositeAlarm", {**COMPOSITE, "AlarmRule": "ALARM(x)"}, "ValidationError", f"alarms [{ARN}x] in the alarm"),
    ("PutCompositeAlarm", {**COMPOSITE, "AlarmRule": "ALARM(c)"}, "InvalidParameterValue", "a cycle of composite"),
    ("PutCompositeAlarm", {**COMPOSITE, "ActionsSuppressor": "x"}, "MissingParameter", "SuppressorWaitPeriod"),
    ("PutCompositeAlarm", {**COMPOSITE, "ActionsSuppressorWaitPeriod": 1}, "ValidationError", "only for alarms with"),
    (
        "PutCompositeAlarm",
        {
            **COMPOSITE,
            "ActionsSuppressor": "x",
            "ActionsSuppressorWaitPeriod": 1,
            "ActionsSuppressorExtensionPeriod": 1,
        },
        "ValidationError",
        "the suppressor x does not exist",
    ),
    (
        "SetAlarmState",
        {"AlarmName": "m", "StateValue": "BAD", "StateReason": "r"},
        "InvalidParameterValue",
        "in the set",
    ),
    ("SetAlarmState", {"AlarmName": "m", "StateValue": "OK"}, "MissingParameter", "StateReason is required"),
    (
        "SetAlarmState",
        {"AlarmName": "m", "StateValue": "OK", "StateReason": "r", "StateReasonData": "{"},
        "InvalidFormat",
        "not valid JSON",
    ),
    ("DeleteAlarms", {"AlarmNames": []}, "MissingParameter", "AlarmNames is required"),
    ("DeleteAlarms", {"AlarmNames": ["a"] * 101}, "ValidationError", "greater than 100"),
    ("EnableAlarmActions", {}, "MissingParameter", "AlarmNames is required"),
    ("DescribeAlarms", {"AlarmTypes": ["LogAlarm"]}, "ValidationError", "AlarmTypes must hold values in the set"),
    ("DescribeAlarms", {"ChildrenOfAlarmName": "a", "StateValue": "OK"}, "ValidationError", "specified together"),
    ("DescribeAlarms", {"NextToken": "9"}, "InvalidNextToken", "next token"),
    ("DescribeAlarmHistory", {"AlarmContributorId": "a"}, "InvalidParameterValue", "does not serve contributors"),
    ("DescribeAlarmHistory", {"HistoryItemType": "Other"}, "InvalidParameterValue", "must be a value in the set"),
    ("DescribeAlarmsForMetric", {"MetricName": "m"}, "MissingParameter", "The parameter Namespace is required."),
]


@pytest.mark.parametrize(("operation", "parameters", "code", "part"), BAD)
async def test_bad_requests_are_refused(
    world: World, operation: str, parameters: dict[str, Any], code: str, part: str
) -> None:
    """With a code and words that name the parameter; nothing is kept of them."""
    found, message = await world.error(
        operation, **{name: value for name, value in parameters.items() if value is not None}
    )
    assert (found, part in message) == (code, True), message
    assert world.alarms.all() == ()


async def test_an_alarm_that_is_not_there_has_no_state(world: World) -> None:
    """A 404."""
    asked = {"AlarmName": "no", "StateValue": "OK", "StateReason": "r"}
    assert await refusal(world, "SetAlarmState", **asked) == ("ResourceNotFound", 404)


async def test_cycles_are_refused_however_long(world: World) -> None:
    """And a name stays of its type."""
    await world.ok("PutCompositeAlarm", AlarmName="a", AlarmRule="TRUE")
    await world.ok("PutCompositeAlarm", AlarmName="b", AlarmRule="ALARM(a)")
    await world.ok("PutCompositeAlarm", AlarmName="c", AlarmRule="ALARM(b)")
    assert "a cycle" in (await world.error("PutCompositeAlarm", AlarmName="a", AlarmRule="NOT ALARM(c)"))[1]
    assert "another type" in (await world.error("PutMetricAlarm", **{**METRIC, "AlarmName": "a"}))[1]


async def test_an_alarm_is_in_no_more_than_150_rules(world: World) -> None:
    """One that names it already may be put again."""
    await put(world)
    for number in range(150):
        await world.ok("PutCompositeAlarm", AlarmName=f"c{number}", AlarmRule="ALARM(m)")
    assert "150 composite alarms" in (await world.error("PutCompositeAlarm", AlarmName="c", AlarmRule="OK(m)"))[1]
    await world.ok("PutCompositeAlarm", AlarmName="c7", AlarmRule="OK(m)")


async def test_a_region_has_no_more_than_so_many_alarms(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """LimitExceeded; those that there are may be put again."""
    monkeypatch.setattr("localcloud.services.cloudwatch.alarms.MAX_ALARMS", 2)
    await put(world, "a")
    await put(world, "b")
    assert (await world.error("PutMetricAlarm", **METRIC))[0] == "LimitExceeded"
    await put(world, "b", Threshold=2.0)


async def test_permissions_name_the_alarms(world: World) -> None:
    """Each alarm that an operation names; all of them where it names none, or where composite ones are asked for."""

    def needed(operation: str, **parameters: Any) -> list[tuple[str, str]]:
        found: tuple[Permission, ...] = world.service.permissions(make_request(world.protocol, operation, parameters))
        return [(each.action.removeprefix("cloudwatch:"), each.resource) for each in found]

    tags = [{"Key": "k", "Value": "v"}]
    assert needed("PutMetricAlarm", **METRIC) == [("PutMetricAlarm", f"{ARN}m")]
    assert needed("PutMetricAlarm", **METRIC, Tags=tags) == [("PutMetricAlarm", f"{ARN}m"), ("TagResource", f"{ARN}m")]
    assert needed("PutCompositeAlarm", **COMPOSITE) == [("PutCompositeAlarm", "*")]
    assert needed("DeleteAlarms", AlarmNames=["a", "b"]) == [("DeleteAlarms", f"{ARN}a"), ("DeleteAlarms", f"{ARN}b")]
    assert needed("EnableAlarmActions", AlarmNames=["a"]) == [("EnableAlarmActions", f"{ARN}a")]
    state = {"StateValue": "OK", "StateReason": "r"}
    assert needed("SetAlarmState", AlarmName="a", **state) == [("SetAlarmState", f"{ARN}a")]
    assert needed("DescribeAlarms") == [("DescribeAlarms", f"{ARN}*")]
    assert needed("DescribeAlarms", AlarmTypes=["CompositeAlarm"]) == [("DescribeAlarms", "*")]
    assert needed("DescribeAlarmHistory", AlarmName="a") == [("DescribeAlarmHistory", f"{ARN}a")]
    assert needed("DescribeAlarmHistory") == [("DescribeAlarmHistory", f"{ARN}*")]
    assert needed("DescribeAlarmsForMetric", Namespace="n", MetricName="m") == [("DescribeAlarmsForMetric", "*")]
    assert needed("ListTagsForResource", ResourceARN=f"{ARN}a") == [("ListTagsForResource", f"{ARN}a")]
