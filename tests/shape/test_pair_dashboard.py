"""The one picture of a pair, and the alarms beside it."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from tests.shape.paired import EAST, WEST, Deployment, Role, deployed

PAIR: Final[tuple[Role, ...]] = ("primary", "secondary")
OTHER: Final = {"primary": WEST, "secondary": EAST}
OWN: Final = {"primary": EAST, "secondary": WEST}


def widgets(role: Role) -> list[dict[str, Any]]:
    made = deployed(role, Dashboard="true")
    body = json.loads(made.resources["PairDashboard"]["DashboardBody"])
    return [each["properties"] for each in body["widgets"]]


def alarms_with_actions(made: Deployment) -> set[str]:
    return {
        name
        for type_ in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
        for name, each in made.of(type_).items()
        if each.get("AlarmActions")
    }


@pytest.mark.parametrize("role", PAIR)
def test_every_widget_has_both_regions(role: Role) -> None:
    """One picture: no graph shows a Region without the other one."""
    found = widgets(role)
    for widget in found:
        assert {metric[-1]["region"] for metric in widget["metrics"]} == {EAST, WEST}, widget["title"]
        assert widget["region"] == OWN[role]
    shown = {metric[1] if len(metric) > 1 else metric[0]["expression"] for each in found for metric in each["metrics"]}
    text = " ".join(shown)
    for name in (
        "IsHome",
        "RegionHealthy",
        "ReplicationLatency",
        "5XXError",
        "Latency",
        "Throttles",
        "JobsInDoubt",
        "KeysUnavailable",
    ):
        assert name in text


@pytest.mark.parametrize("role", PAIR)
def test_health_is_shown_from_the_region_that_looks(role: Role) -> None:
    """What a Region's probes count is in its own CloudWatch, under the name of the one that they look at."""
    (health,) = [each for each in widgets(role) if each["title"].startswith("Healthy")]
    assert {(metric[3], metric[-1]["region"]) for metric in health["metrics"]} == {(EAST, WEST), (WEST, EAST)}


@pytest.mark.parametrize("role", PAIR)
def test_metrics_are_those_that_alarms_watch(role: Role) -> None:
    """The same namespace and dimensions: a graph that can never have a value would look like peace."""
    made = deployed(role, Dashboard="true")
    watched = {
        (each["Namespace"], each["MetricName"], tuple((one["Name"], str(one["Value"])) for one in each["Dimensions"]))
        for each in made.of("AWS::CloudWatch::Alarm").values()
    }
    shown = {
        (metric[0], metric[1], tuple(zip(metric[2:-1:2], metric[3:-1:2], strict=True)))
        for widget in widgets(role)
        for metric in widget["metrics"]
        if len(metric) > 1 and metric[-1]["region"] == OWN[role]
    }
    names = {"RegionHealthy", "ReplicationLatency", "5XXError"} | ({"IsHome"} if role == "secondary" else set())
    assert {each for each in shown if each[1] in names} == {each for each in watched if each[1] in names}


def test_there_is_none_unless_a_pair_asks_for_it() -> None:
    """By default, and in a stack on its own."""
    for made in (deployed("primary"), deployed("secondary"), deployed("alone", Dashboard="true")):
        assert made.of("AWS::CloudWatch::Dashboard") == {}


@pytest.mark.parametrize("seconds", ["10", "30", "60", "300"])
def test_replication_is_held_to_the_recovery_point(seconds: str) -> None:
    """In milliseconds, towards the other Region; the secondary's counts too, once it is home."""
    for role in PAIR:
        alarm = deployed(role, RecoveryPointSeconds=seconds).resources["ReplicationLateAlarm"]
        assert int(alarm["Threshold"]) == int(seconds) * 1000
        assert alarm["Dimensions"][1] == {"Name": "ReceivingRegion", "Value": OTHER[role]}
        assert alarm["TreatMissingData"] == "notBreaching"


def test_what_asks_for_an_approval_goes_to_the_topic() -> None:
    """Failover and failback are asked for by SNS, as every alarm that people have to act on."""
    made = deployed("secondary", AlarmTopicArn=f"arn:aws:sns:{WEST}:123456789012:pager")
    assert alarms_with_actions(made) >= {
        "FailoverAskedAlarm",
        "FailbackAskedAlarm",
        "ReplicationLateAlarm",
        "SwitchRegionErrorsAlarm",
    }
    assert alarms_with_actions(deployed("secondary")) == set()
