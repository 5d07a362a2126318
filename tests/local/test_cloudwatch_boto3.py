"""boto3 and aioboto3 against CloudWatch on the AWS port, over a real socket: the query protocol, JSON and CBOR."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aioboto3
import boto3
import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from localcloud.clock import SystemClock
from localcloud.front import Front
from localcloud.listening import open_listener
from localcloud.services.cloudwatch.alarms import Alarms
from localcloud.services.cloudwatch.model import Metrics
from localcloud.services.cloudwatch.wire import CloudWatchService
from localcloud.services.contract import WireRequest, WireResponse

pytestmark = pytest.mark.local
OPTIONS: dict[str, Any] = {
    "region_name": "eu-west-1",
    "aws_access_key_id": "key",
    "aws_secret_access_key": "secret",
    "config": Config(retries={"max_attempts": 0}),
}


class Watched(CloudWatchService):
    """The service, with every request that it got."""

    def __init__(self) -> None:
        self.seen: list[WireRequest] = []
        super().__init__(Metrics(SystemClock()), Alarms(clock=SystemClock()))

    async def handle(self, request: WireRequest) -> WireResponse:
        self.seen.append(request)
        return await super().handle(request)


@asynccontextmanager
async def serve(service: CloudWatchService) -> AsyncGenerator[str]:
    front = Front([service], authorise=lambda *_: None, rng=random.Random(1))
    async with front.serve(open_listener("127.0.0.1", 0)) as url:
        yield url


def client(protocol: str, url: str, folder: Path) -> Any:
    """boto3's client; beside the query protocol with the service model's metadata as newer versions have it."""
    session = botocore.session.get_session()
    if protocol != "query":
        loader: Any = session.get_component("data_loader")
        raw = loader.load_service_model("cloudwatch", "service-2")
        changes: dict[str, Any] = {"protocol": protocol, "protocols": [protocol], "jsonVersion": "1.0"}
        changes |= {"targetPrefix": "GraniteServiceVersion20100801", "awsQueryCompatible": {}}
        place = folder / "cloudwatch" / "2010-08-01"
        place.mkdir(parents=True)
        (place / "service-2.json").write_text(json.dumps({**raw, "metadata": {**raw["metadata"], **changes}}))
        session = botocore.session.get_session()
        session.get_component("data_loader").search_paths.insert(0, str(folder))
    sdk: Any = boto3.Session(botocore_session=session)
    return sdk.client("cloudwatch", endpoint_url=url, **OPTIONS)


def use(cloudwatch: Any) -> dict[str, Any]:
    """Every operation once, as an application would call it."""
    now = datetime.now(UTC)
    data = [
        {
            "MetricName": "m",
            "Dimensions": [{"Name": f"d{number}", "Value": "x" * 100}],
            "Timestamp": now,
            "Value": 1.5,
            "Unit": "Count",
        }
        for number in range(300)
    ]
    cloudwatch.put_metric_data(Namespace="app", MetricData=data)
    listed = [metric for page in cloudwatch.get_paginator("list_metrics").paginate() for metric in page["Metrics"]]
    when = {"StartTime": now - timedelta(hours=1), "EndTime": now + timedelta(hours=1)}
    statistics = cloudwatch.get_metric_statistics(
        Namespace="app",
        MetricName="m",
        Dimensions=data[7]["Dimensions"],
        Period=60,
        Statistics=["Average", "SampleCount"],
        **when,
    )
    metric = {"Namespace": "app", "MetricName": "m", "Dimensions": data[7]["Dimensions"]}
    queries = [{"Id": "q", "MetricStat": {"Metric": metric, "Period": 300, "Stat": "Maximum"}}]
    pages = cloudwatch.get_paginator("get_metric_data").paginate(MetricDataQueries=queries, **when)
    results = [result for page in pages for result in page["MetricDataResults"]]
    told = use_alarms(cloudwatch)
    with pytest.raises(ClientError) as caught:
        cloudwatch.put_metric_data(Namespace="AWS/app", MetricData=data[:1])
    error: Any = caught.value
    return {
        "listed": len(listed),
        "point": statistics["Datapoints"][0],
        "values": results[0]["Values"],
        "at": results[0]["Timestamps"][0],
        "alarms": told,
        "error": (error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]),
    }


ALARMS: dict[str, Any] = {
    "metric": ("late", 60, 1.0, [{"Name": "d", "Value": "1"}], "ALARM", False),
    "composite": ("both", 'ALARM("late") AND NOT OK("late")', "ALARM"),
    "relatives": (["late"], ["both"]),
    "for metric": ["late"],
    "history": [
        ("late", "ConfigurationUpdate", 'Alarm "late" updated'),
        ("late", "StateUpdate", "Alarm updated from INSUFFICIENT_DATA to ALARM"),
        ("late", "ConfigurationUpdate", 'Alarm "late" created'),
    ],
    "tags": [{"Key": "k", "Value": "v"}],
    "errors": [("ValidationError", 400), ("ResourceNotFound", 404)],
    "left": 0,
}


def use_alarms(cloudwatch: Any) -> dict[str, Any]:
    """Every operation on alarms once."""
    late = {"MetricName": "m", "Namespace": "app", "Dimensions": [{"Name": "d", "Value": "1"}]}
    counted = {"Statistic": "Sum", "Period": 60, "EvaluationPeriods": 3, "Tags": [{"Key": "k", "Value": "v"}]}
    limit = {"Threshold": 1, "ComparisonOperator": "GreaterThanThreshold"}
    cloudwatch.put_metric_alarm(AlarmName="late", **late, **counted, **limit)
    rule = 'ALARM("late") AND NOT OK("late")'
    cloudwatch.put_composite_alarm(AlarmName="both", AlarmRule=rule)
    cloudwatch.set_alarm_state(AlarmName="late", StateValue="ALARM", StateReason="a test", StateReasonData="{}")
    cloudwatch.disable_alarm_actions(AlarmNames=["late"])
    (metric,) = cloudwatch.describe_alarms(AlarmNames=["late"])["MetricAlarms"]
    (both,) = cloudwatch.describe_alarms(AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
    children = cloudwatch.describe_alarms(ChildrenOfAlarmName="both")["MetricAlarms"]
    parents = cloudwatch.describe_alarms(ParentsOfAlarmName="late")["CompositeAlarms"]
    history = cloudwatch.describe_alarm_history(AlarmName="late")["AlarmHistoryItems"]
    errors: list[tuple[str, int]] = []
    for work in (
        lambda: cloudwatch.delete_alarms(AlarmNames=["late"]),
        lambda: cloudwatch.set_alarm_state(AlarmName="no", StateValue="OK", StateReason="r"),
    ):
        with pytest.raises(ClientError) as caught:
            work()
        told: Any = caught.value.response
        errors.append((told["Error"]["Code"], told["ResponseMetadata"]["HTTPStatusCode"]))
    found = {
        "metric": tuple(
            metric[name] for name in ("AlarmName", "Period", "Threshold", "Dimensions", "StateValue", "ActionsEnabled")
        ),
        "composite": (both["AlarmName"], both["AlarmRule"], both["StateValue"]),
        "relatives": ([each["AlarmName"] for each in children], [each["AlarmName"] for each in parents]),
        "for metric": [each["AlarmName"] for each in cloudwatch.describe_alarms_for_metric(**late)["MetricAlarms"]],
        "history": [(each["AlarmName"], each["HistoryItemType"], each["HistorySummary"]) for each in history],
        "tags": cloudwatch.list_tags_for_resource(ResourceARN=metric["AlarmArn"])["Tags"],
        "errors": errors,
    }
    cloudwatch.delete_alarms(AlarmNames=["late", "both"])
    return found | {
        "left": len(cloudwatch.describe_alarms(AlarmTypes=["CompositeAlarm", "MetricAlarm"])["MetricAlarms"])
    }


async def in_thread(work: Callable[[], Any]) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, work)


@pytest.mark.parametrize(
    ("protocol", "content"),
    [("query", "x-www-form-urlencoded"), ("json", "x-amz-json-1.0"), ("smithy-rpc-v2-cbor", "application/cbor")],
)
async def test_boto3_puts_and_reads(protocol: str, content: str, tmp_path: Path) -> None:
    """Each protocol carries every operation; the large put comes compressed; errors are botocore's."""
    service = Watched()
    async with serve(service) as url:
        found = await in_thread(lambda: use(client(protocol, url, tmp_path)))
    point, at = found.pop("point"), found.pop("at")
    assert found == {
        "listed": 300,
        "values": [1.5],
        "alarms": ALARMS,
        "error": ("InvalidParameterValue", 400),
    }
    assert (point["Average"], point["SampleCount"], point["Unit"]) == (1.5, 1.0, "Count")
    assert abs((datetime.now(UTC) - at).total_seconds()) < 600
    assert point["Timestamp"].second == 0
    assert {content in request.headers["content-type"] for request in service.seen} == {True}
    assert service.seen[0].headers.get("content-encoding") == "gzip"
    assert len(service.seen[0].body) < 10_240


async def test_aioboto3_puts_and_reads() -> None:
    """The asynchronous client that functions use for the long tail speaks with it as well."""
    now = datetime.now(UTC)
    async with serve(Watched()) as url:
        session: Any = aioboto3.Session()
        async with session.client("cloudwatch", endpoint_url=url, **OPTIONS) as cloudwatch:
            await cloudwatch.put_metric_data(Namespace="app", MetricData=[{"MetricName": "m", "Value": 2.0}])
            answer = await cloudwatch.get_metric_statistics(
                Namespace="app",
                MetricName="m",
                StartTime=now - timedelta(hours=1),
                EndTime=now + timedelta(hours=1),
                Period=3600,
                Statistics=["Sum"],
            )
    assert sum(point["Sum"] for point in answer["Datapoints"]) == 2.0
