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
from localcloud.services.cloudwatch.model import Metrics
from localcloud.services.cloudwatch.resources import Alarm, Alarms
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
        alarms = Alarms()
        properties = {"MetricName": "m", "Namespace": "app", "Period": "60", "Threshold": 1}
        alarms.put(Alarm("late", "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:late", properties))
        super().__init__(Metrics(SystemClock()), alarms)

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
    alarms = cloudwatch.describe_alarms(AlarmNames=["late"])["MetricAlarms"]
    with pytest.raises(ClientError) as caught:
        cloudwatch.put_metric_data(Namespace="AWS/app", MetricData=data[:1])
    error: Any = caught.value
    return {
        "listed": len(listed),
        "point": statistics["Datapoints"][0],
        "values": results[0]["Values"],
        "at": results[0]["Timestamps"][0],
        "alarms": [(alarm["AlarmName"], alarm["Period"], alarm["Threshold"]) for alarm in alarms],
        "error": (error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]),
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
        "alarms": [("late", 60, 1.0)],
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
