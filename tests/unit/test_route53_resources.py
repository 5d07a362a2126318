"""Route 53 in templates, and its way to CloudWatch: alarms read there, metrics put there."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from localcloud.clock import run_virtual
from localcloud.front import Front
from localcloud.listening import open_listener
from localcloud.regions.measured import OwnMeasures, ToldMeasures, answer_health_metrics
from localcloud.services.cloudwatch.model import Metrics, Reading
from localcloud.services.contract import NoAnswer, WireRequest, WireResponse
from localcloud.services.route53.alarm_data import NoAlarm, UnfitAlarm, evaluate
from localcloud.services.route53.check_config import AlarmName
from localcloud.services.route53.cloudwatch_reader import CloudWatchReader
from localcloud.services.route53.model import Route53
from localcloud.services.route53.resources import route53_handlers
from localcloud.services.route53.snapshot import snapshot
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Physical, Resource, StackContext, Support
from tests.unit.cloudwatch_setup import World as CloudWatch
from tests.unit.route53_setup import EAST, HOME_ALARM, WEST, World, open_route53, pair

CONTEXT = StackContext("stack", "us-east-1", "123456789012", "aws", Path())
ALIAS = {"DNSName": EAST, "HostedZoneId": "Z1", "EvaluateTargetHealth": False}


def resource(kind: str, logical_id: str = "It", **properties: Any) -> Resource:
    return Resource(logical_id, f"AWS::Route53::{kind}", properties, CONTEXT)


async def create(route53: Route53, made: Resource) -> Physical:
    handler = {each.type: each for each in route53_handlers(route53)}[made.type]
    return await handler.create(made)


async def delete(route53: Route53, made: Resource, physical: Physical) -> None:
    handler = {each.type: each for each in route53_handlers(route53)}[made.type]
    await handler.delete(made, physical)


def test_a_stack_makes_and_unmakes_a_zone_with_checks_and_records() -> None:
    """Scalars come as text or not; what is undone leaves nothing."""

    async def main() -> None:
        route53 = open_route53()
        zone = resource("HostedZone", "Zone", Name="example.com", HostedZoneConfig={"Comment": "c"})
        zoned = await create(route53, zone)
        assert zoned.attributes["Id"] == zoned.ref
        assert len(zoned.attributes["NameServers"]) == 4
        config = {"Type": "HTTP", "IPAddress": "127.0.0.1", "Port": "8080", "RequestInterval": 10, "Inverted": "true"}
        check = resource(
            "HealthCheck", "Check", HealthCheckConfig=config, HealthCheckTags=[{"Key": "Name", "Value": "n"}]
        )
        checked = await create(route53, check)
        found = route53.checks.get(checked.attributes["HealthCheckId"])
        assert (found.config.port, found.config.interval_s, found.config.inverted) == (8080, 10, True)
        assert found.tags == {"Name": "n"}
        record = resource(
            "RecordSet",
            "Record",
            HostedZoneName="example.com.",
            Name="api.example.com",
            Type="A",
            SetIdentifier="1",
            Failover="PRIMARY",
            HealthCheckId=checked.ref,
            AliasTarget=ALIAS,
        )
        assert (await create(route53, record)).ref == "api.example.com"
        group = resource(
            "RecordSetGroup",
            "Group",
            HostedZoneId=zoned.ref,
            RecordSets=[
                {"Name": "a.example.com", "Type": "A", "TTL": "5", "ResourceRecords": ["192.0.2.1"]},
                {"Name": "a.example.com", "Type": "TXT", "TTL": 5, "ResourceRecords": ['"x"']},
            ],
        )
        grouped = await create(route53, group)
        assert grouped.ref == "stack-Group"
        assert len(route53.zone(zoned.ref).records) == 3
        for each, physical in ((group, grouped), (record, Physical("x")), (check, checked), (zone, zoned)):
            await delete(route53, each, physical)
        assert (route53.zones(), route53.checks.all()) == ([], ())

    run_virtual(main)


def test_a_zone_that_nobody_made_counts_as_one_that_exists() -> None:
    """The ledger says so; it is gone with its last record; by name a zone has to be there."""

    async def main() -> None:
        route53 = open_route53()
        there = resource("RecordSet", HostedZoneId="Z9", Name="a.example.com", Type="A", AliasTarget=ALIAS)
        await create(route53, there)
        assert [(zone.id, zone.name) for zone in route53.zones()] == [("Z9", "a.example.com.")]
        await delete(route53, there, Physical("x"))
        assert route53.zones() == []
        named = resource("RecordSet", HostedZoneName="example.com", Name="a.example.com", Type="A", AliasTarget=ALIAS)
        with pytest.raises(TemplateError, match=r"there is no hosted zone example\.com\."):
            await create(route53, named)

    run_virtual(main)
    tables = {each.type: each.properties for each in route53_handlers(None)}
    assert tables["AWS::Route53::RecordSet"]["HostedZoneId"].support is Support.PARTIAL
    assert tables["AWS::Route53::RecordSetGroup"]["HostedZoneId"].support is Support.PARTIAL


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (resource("HostedZone", Name="a..b"), "It.Properties"),
        (resource("RecordSet", Name="a.b", Type="A", AliasTarget=ALIAS), "one of HostedZoneId and HostedZoneName"),
        (resource("RecordSet", HostedZoneId="Z", Name="a.b", Type="A"), "Expected exactly one of"),
        (resource("RecordSet", HostedZoneId="Z", Name="com", Type="A", AliasTarget=ALIAS), "is not permitted in zone"),
        (resource("HealthCheck", HealthCheckConfig={"Type": "HTTP"}), "It.Properties.HealthCheckConfig"),
        (
            resource("HealthCheck", HealthCheckConfig={"Type": "CALCULATED", "ChildHealthChecks": ["none"]}),
            "A health check with id none does not exist",
        ),
    ],
)
def test_what_makes_no_sense_ends_the_start(made: Resource, said: str) -> None:
    """With the resource's path and Route 53's words, and nothing is made."""

    async def main() -> str:
        route53 = open_route53()
        with pytest.raises(TemplateError) as refused:
            await create(route53, made)
        assert (route53.zones(), route53.checks.all()) == ([], ())
        return str(refused.value)

    assert said in run_virtual(main)


def test_a_snapshot_tells_what_is_answered_now_and_why() -> None:
    """Names, where they lead and by which record; checks with their state. It is JSON."""

    async def main() -> Any:
        world = World()
        world.definitions["home"] = HOME_ALARM
        route53 = open_route53(world)
        config = {"Type": "CLOUDWATCH_METRIC", "AlarmIdentifier": {"Region": "us-west-2", "Name": "home"}}
        check = await create(route53, resource("HealthCheck", HealthCheckConfig=config))
        pair(route53, primary=check.ref)
        route53.checks.judge(route53.checks.get(check.ref), "ALARM")
        return json.loads(json.dumps(snapshot(route53)))

    told = run_virtual(main)
    ((name,),) = [zone["names"] for zone in told["zones"]]
    assert (name["chosen"], name["target"], name["place"], name["ttl_s"]) == ("secondary", WEST, "127.0.0.1:4621", 60)
    assert [(each["role"], each["healthy"]) for each in name["records"]] == [("PRIMARY", False), ("SECONDARY", True)]
    (check,) = told["checks"]
    assert (check["about"], check["healthy"], check["last"]["ok"]) == ("home in us-west-2", False, False)
    assert check["last_failure"]["said"] == "Failure: home in us-west-2 is ALARM"


ALARM: dict[str, Any] = {
    "AlarmName": "home",
    "Namespace": "app",
    "MetricName": "IsHome",
    "Dimensions": [{"Name": "Group", "Value": "shop"}],
    "Statistic": "Maximum",
    "Period": 60,
    "EvaluationPeriods": 2,
    "Threshold": 1.0,
    "ComparisonOperator": "GreaterThanOrEqualToThreshold",
}


def test_an_alarm_and_its_metric_are_read_from_cloudwatch() -> None:
    """The settings by DescribeAlarms, the last whole periods by GetMetricStatistics; the alarm's state is not asked."""

    async def main() -> list[str]:
        cloudwatch = CloudWatch("query")
        await cloudwatch.ok("PutMetricAlarm", **ALARM)
        reader = CloudWatchReader(cloudwatch.service.handle)
        definition = await reader.define(AlarmName("eu-west-1", "home"))
        assert definition is not None
        assert (definition.dimensions, definition.periods) == ((("Group", "shop"),), 2)
        with pytest.raises(NoAlarm):
            await reader.define(AlarmName("us-east-1", "home"))
        states: list[str] = []
        cloudwatch.clock.now = 1_800_000_000.0
        for values in ((), (1.0,), (1.0, 2.0), (2.0, 0.0), (3.0, 0.0)):
            for value in values:
                metrics = cloudwatch.metrics.in_region("eu-west-1")
                metrics.put("app", "IsHome", value, dimensions={"Group": "shop"})
                cloudwatch.clock.now += 60
            now_s = cloudwatch.clock.now
            states.append(evaluate(definition, await reader.read("eu-west-1", definition, now_s), now_s))
        return states

    assert run_virtual(main) == ["INSUFFICIENT_DATA", "INSUFFICIENT_DATA", "ALARM", "OK", "OK"]


@pytest.mark.parametrize(
    "change",
    [{"DatapointsToAlarm": 1}, {"Period": 10}, {"Statistic": None, "ExtendedStatistic": "p90"}],
)
def test_alarms_that_route_53_cannot_go_by(change: dict[str, Any]) -> None:
    """M out of N, high resolution, and extended statistics; as DescribeAlarms tells them."""

    async def ask(_request: WireRequest) -> WireResponse:
        told = {name: value for name, value in {**ALARM, **change}.items() if value is not None}
        return WireResponse(200, json.dumps({"MetricAlarms": [told]}).encode())

    async def main() -> None:
        with pytest.raises(UnfitAlarm):
            await CloudWatchReader(ask).define(AlarmName("eu-west-1", "home"))

    run_virtual(main)


def test_a_region_that_gives_no_answer_gives_no_data() -> None:
    """Silence ends after 5 s; a connection that breaks off, a refusal and nonsense are the same."""

    async def broken(_request: WireRequest) -> WireResponse:
        raise NoAnswer

    async def refused(_request: WireRequest) -> WireResponse:
        return WireResponse(501, b"{}")

    async def nonsense(_request: WireRequest) -> WireResponse:
        return WireResponse(200, b"<html>")

    async def silent(_request: WireRequest) -> WireResponse:
        await asyncio.sleep(60)
        return WireResponse(200, b"{}")

    async def main() -> list[Any]:
        found: list[Any] = []
        for ask in (broken, refused, nonsense, silent):
            reader = CloudWatchReader(ask)
            found += [await reader.define(AlarmName("r", "a")), await reader.read("r", HOME_ALARM, 1_000.0)]
        return found

    assert run_virtual(main) == [None, {}] * 4


class Standing:
    """A date that stands still."""

    def time(self) -> float:
        return 1_800_000_000.0


def test_measures_of_the_host_reach_the_metrics_of_us_east_1() -> None:
    """Over the Region's own port; without that Region they are gone, and nothing else is."""

    async def main() -> tuple[list[float], int]:
        metrics = Metrics(Standing(), region="us-west-2")
        home = metrics.in_region("us-east-1")
        front = Front([], authorise=lambda *_: None, rng=random.Random(1))
        front.answer_own(lambda request: answer_health_metrics(request, home))
        async with front.serve(open_listener()) as address:
            measures = ToldMeasures(lambda: address)
            async with asyncio.TaskGroup() as group:
                task = group.create_task(measures.run())
                measures.put("check", "HealthCheckStatus", 1.0, unit="None")
                while not list(home.all()):  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.01)
                task.cancel()
            async with (
                ClientSession() as session,
                session.post(f"{address}/_sluiceway/health-metrics", data=b"[1]") as bad,
            ):
                status = bad.status
        (metric,) = home.all()
        assert (metric.id.namespace, metric.id.dimensions) == ("AWS/Route53", (("HealthCheckId", "check"),))
        now = int(Standing().time())
        points = home.read(metric.id, Reading(now - 60, now + 60, 60))
        assert list(metrics.all()) == []
        OwnMeasures(home).put("check", "HealthCheckStatus", 0.0, unit="None")
        return [point.stats.total for point in points], status

    with asyncio.Runner() as runner:
        assert runner.run(main()) == ([1.0], 400)
