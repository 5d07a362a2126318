"""boto3 reads a stream's metrics over a real socket, as an alarm or a dashboard would."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from localcloud.clock import SystemClock
from localcloud.front import Front
from localcloud.listening import open_listener
from localcloud.services.cloudwatch.model import Metrics
from localcloud.services.cloudwatch.resources import Alarms
from localcloud.services.cloudwatch.wire import CloudWatchService
from localcloud.services.contract import Permission
from localcloud.services.kinesis.model import Streams
from localcloud.services.kinesis.wire import KinesisService

pytestmark = pytest.mark.local

REGION = "eu-west-1"
KEYS = {"region_name": REGION, "aws_access_key_id": "key", "aws_secret_access_key": "secret"}
STREAM = [{"Name": "StreamName", "Value": "orders"}]


def allow(_key: str, _permissions: tuple[Permission, ...]) -> None:
    """Everybody may do everything."""


def clients(url: str) -> tuple[Any, Any]:
    """Kinesis and CloudWatch, which try once."""
    sdk: Any = boto3
    made: dict[str, Any] = {"endpoint_url": url, "config": Config(retries={"max_attempts": 0}), **KEYS}
    return sdk.client("kinesis", **made), sdk.client("cloudwatch", **made)


def write_and_read(kinesis: Any) -> None:
    """Of three records one is throttled; of seven reads at least one."""
    kinesis.create_stream(StreamName="orders", ShardCount=1)
    kinesis.get_waiter("stream_exists").wait(StreamName="orders", WaiterConfig={"Delay": 1})
    big = {"Data": b"x" * 999_999, "PartitionKey": "k"}
    told = kinesis.put_records(StreamName="orders", Records=[{"Data": b"x", "PartitionKey": "k"}, big, big])
    assert told["FailedRecordCount"] == 1
    start = {"ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"}
    iterator = kinesis.get_shard_iterator(StreamName="orders", **start)["ShardIterator"]
    codes: list[str] = []
    for _ in range(7):
        try:
            assert len(kinesis.get_records(ShardIterator=iterator, Limit=1)["Records"]) == 1
        except ClientError as error:
            told = cast("dict[str, Any]", error.response)
            codes.append(told["Error"]["Code"])
    assert set(codes) == {"ProvisionedThroughputExceededException"}


def ask(cloudwatch: Any) -> tuple[dict[str, list[tuple[str, float]]], dict[str, list[float]]]:
    """Units and sums of what comes in, from GetMetricStatistics; the highest of what readers do, from GetMetricData."""
    now = datetime.now(UTC)
    period: dict[str, Any] = {"StartTime": now - timedelta(minutes=5), "EndTime": now + timedelta(minutes=1)}
    sums: dict[str, list[tuple[str, float]]] = {}
    for name in ("IncomingRecords", "IncomingBytes", "WriteProvisionedThroughputExceeded"):
        told = cloudwatch.get_metric_statistics(
            Namespace="AWS/Kinesis", MetricName=name, Dimensions=STREAM, Statistics=["Sum"], Period=600, **period
        )
        sums[name] = [(point["Unit"], point["Sum"]) for point in told["Datapoints"]]
    names = ("GetRecords.IteratorAgeMilliseconds", "GetRecords.Records", "ReadProvisionedThroughputExceeded")
    queries: list[dict[str, Any]] = []
    for at, name in enumerate(names):
        metric = {"Namespace": "AWS/Kinesis", "MetricName": name, "Dimensions": STREAM}
        queries.append({"Id": f"q{at}", "MetricStat": {"Metric": metric, "Period": 600, "Stat": "Maximum"}})
    found = cloudwatch.get_metric_data(MetricDataQueries=queries, **period)["MetricDataResults"]
    return sums, {names[int(each["Id"][1:])]: each["Values"] for each in found}


async def test_boto3_reads_what_alarms_are_on() -> None:
    """Sums of records, bytes and throttles; the highest age of what was read; by stream, with AWS's units."""
    metrics = Metrics(SystemClock())
    streams = Streams(clock=SystemClock(), rng=random.Random(1), delay_s=0.0, metrics=metrics)
    services = [KinesisService(streams), CloudWatchService(metrics, Alarms(clock=SystemClock()))]
    front = Front(services, authorise=allow, rng=random.Random(1))
    async with front.serve(open_listener("127.0.0.1", 0)) as url:
        kinesis, cloudwatch = clients(url)
        await asyncio.to_thread(write_and_read, kinesis)
        sums, data = await asyncio.to_thread(ask, cloudwatch)
    assert sums == {
        "IncomingRecords": [("Count", 2)],
        "IncomingBytes": [("Bytes", 1_000_002)],
        "WriteProvisionedThroughputExceeded": [("Count", 1)],
    }
    (age_ms,) = data["GetRecords.IteratorAgeMilliseconds"]
    assert 0 <= age_ms < 10_000
    assert data["GetRecords.Records"] == [1]
    assert data["ReadProvisionedThroughputExceeded"] == [1]
