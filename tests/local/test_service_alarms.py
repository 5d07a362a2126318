"""Alarms of the shipped template on what SQS and Lambda measure of themselves, in a running cloud: off and back again.

The alarms' properties are read from template.yaml as they stand; the minutes are a clock that is set ahead.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import urlopen

import boto3
import pytest
from botocore.config import Config

from localcloud.caller import Unreachable
from localcloud.clock import SystemClock
from localcloud.cloud import RunningCloud, open_cloud
from localcloud.options import CloudOptions
from localcloud.template.source import read_template
from tests.local.compute_world import CACHE

pytestmark = pytest.mark.local

ROOT: Final = Path(__file__).parents[2]
ALARMS: Final = ("ErrorsAlarm", "JobsQueueAgeAlarm", "DeadLettersAlarm")
FORMAT: Final = '{"id":"$context.requestId","route":"$context.resourcePath","status":"$context.status"}'
CODE: Final = """
def handler(event, context):
    if event.get("fail"):
        raise ValueError("no answer")
    return {"statusCode": 200, "body": "pong"}
"""
FLOW: Final = {
    "Type": "EXPRESS",
    "Definition": {"StartAt": "Done", "States": {"Done": {"Type": "Pass", "End": True}}},
    "Logging": {
        "Level": "ALL",
        "Destinations": [{"CloudWatchLogsLogGroup": {"LogGroupArn": {"Fn::GetAtt": ["FlowLogs", "Arn"]}}}],
    },
}
PATIENCE_S: Final = 30.0


def make_template(folder: Path) -> Path:
    """A function, a queue with its dead letters, an API, and the shipped alarms on them with a topic that hears all."""
    shipped = read_template(ROOT / "template.yaml").body["Resources"]
    alarms = {name: shipped[name] for name in ALARMS}
    for alarm in alarms.values():
        actions = {"AlarmActions": [{"Ref": "Told"}], "OKActions": [{"Ref": "Told"}]}
        alarm["Properties"] = {**alarm["Properties"], **actions}
    redrive = {"deadLetterTargetArn": {"Fn::GetAtt": ["JobsDeadLetters", "Arn"]}, "maxReceiveCount": 1}
    setting = {"DestinationArn": {"Fn::GetAtt": ["Access", "Arn"]}, "Format": FORMAT}
    ping = {"Path": "/ping", "Method": "get"}
    function = {
        "Runtime": "python3.13", "Handler": "index.handler", "InlineCode": CODE,
        "Events": {"Ping": {"Type": "Api", "Properties": {**ping, "RestApiId": {"Ref": "Api"}}}},
    }  # fmt: skip
    queue = {"VisibilityTimeout": 0, "RedrivePolicy": redrive}
    resources = {
        "GenerateAnswer": {"Type": "AWS::Serverless::Function", "Properties": function},
        "Api": {
            "Type": "AWS::Serverless::Api",
            "Properties": {"Name": "pings", "StageName": "v1", "AccessLogSetting": setting},
        },
        "Access": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "/access/pings"}},
        "Flow": {"Type": "AWS::Serverless::StateMachine", "Properties": FLOW},
        "FlowLogs": {"Type": "AWS::Logs::LogGroup"},
        "Steps": {"Type": "AWS::Serverless::StateMachine", "Properties": {"Definition": FLOW["Definition"]}},
        "JobsQueue": {"Type": "AWS::SQS::Queue", "Properties": queue},
        "JobsDeadLetters": {"Type": "AWS::SQS::Queue"},
        "Told": {"Type": "AWS::SNS::Topic"},
        **alarms,
    }
    names = {
        name: {"Value": {"Ref": name}}
        for name in (*ALARMS, "Flow", "Steps", "GenerateAnswer", "JobsQueue", "JobsDeadLetters", "Api")
    }
    path = folder / "template.json"
    path.write_text(json.dumps({"Transform": "AWS::Serverless-2016-10-31", "Resources": resources, "Outputs": names}))
    return path


class Shop:
    """The stack, with clients."""

    def __init__(self, cloud: RunningCloud) -> None:
        self.cloud = cloud
        self.out = cloud.state.outputs

    @cache  # noqa: B019 - one shop a test
    def client(self, service: str) -> Any:
        sdk: Any = boto3
        return sdk.client(
            service, region_name=self.cloud.state.region, endpoint_url=self.cloud.state.endpoints["aws"],
            aws_access_key_id="AK", aws_secret_access_key="SK",
            config=Config(retries={"total_max_attempts": 1}, inject_host_prefix=False),
        )  # fmt: skip

    async def call(self, service: str, operation: str, **members: Any) -> Any:
        made = self.client(service)
        return await asyncio.to_thread(lambda: getattr(made, operation)(**members))

    async def invoke(self, **event: Any) -> None:
        await self.call("lambda", "invoke", FunctionName=self.out["GenerateAnswer"], Payload=json.dumps(event))

    def pass_minutes(self, count: int) -> None:
        """Set the clock ahead, and wake who waits for it."""
        for _ in range(count):
            self.cloud.services.clock.by_s += 60
            self.cloud.services.counters.hand_over()
        self.cloud.services.alarms.stirred.set()

    async def comes_into(self, alarm: str, state: str) -> None:
        """Wait until an alarm is in a state."""
        arrived = asyncio.Event()

        def hear(_: object) -> None:
            if self.state(alarm) == state:
                arrived.set()

        stop = self.cloud.services.alarms.listen(hear)
        hear(None)
        async with asyncio.timeout(PATIENCE_S):
            await arrived.wait()
        stop()

    def state(self, alarm: str) -> str:
        found = {view.name: view.state for view in self.cloud.services.alarms.snapshot()}
        return found[self.out[alarm]]

    async def sum_of(self, namespace: str, metric: str, **dimensions: str) -> float:
        now = self.cloud.services.clock.time()
        told = await self.call(
            "cloudwatch", "get_metric_data", StartTime=now - 3600, EndTime=now + 60,
            MetricDataQueries=[{"Id": "m", "MetricStat": {
                "Metric": {"Namespace": namespace, "MetricName": metric, "Dimensions": [
                    {"Name": name, "Value": value} for name, value in dimensions.items()]},
                "Period": 60, "Stat": "Sum"}}],
        )  # fmt: skip
        return sum(told["MetricDataResults"][0]["Values"])


@asynccontextmanager
async def open_shop(folder: Path) -> AsyncGenerator[Shop]:
    options = CloudOptions(
        template=make_template(folder), state=folder / "state", cache=CACHE, environ={},
        progress=lambda _: None, overrides={}, port=0,
    )  # fmt: skip
    async with open_cloud(options, clock=SystemClock(), rng=random.Random(1)) as cloud:
        yield Shop(cloud)


def test_shipped_alarms_go_off_and_recover(tmp_path: Path) -> None:
    """On errors of a function, on the age of a queue's oldest message, on a dead letter; metrics and logs are read."""

    async def main() -> None:
        async with open_shop(tmp_path) as shop:
            await check_errors(shop)
            await check_dead_letters(shop)
            await check_age(shop)
            await check_api(shop)
            await check_logs(shop)

    asyncio.run(main())


def status_of(url: str) -> int:
    """The status of a GET."""
    try:
        with urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def read_lines(path: str) -> list[Any]:
    """The lines of a log's file."""
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


async def check_errors(shop: Shop) -> None:
    """Three minutes with an error each are an alarm; minutes without any are not."""
    for _ in range(3):
        await shop.invoke(fail=True)
        shop.pass_minutes(1)
    shop.cloud.services.clock.by_s += 1
    shop.cloud.services.alarms.stirred.set()
    await shop.comes_into("ErrorsAlarm", "ALARM")
    assert await shop.sum_of("AWS/Lambda", "Errors", FunctionName=shop.out["GenerateAnswer"]) == 3
    assert await shop.sum_of("AWS/Lambda", "Invocations", FunctionName=shop.out["GenerateAnswer"]) == 3
    await shop.invoke()
    shop.pass_minutes(6)
    await shop.comes_into("ErrorsAlarm", "OK")


async def check_dead_letters(shop: Shop) -> None:
    """A message that is received once too often is a dead letter; the alarm ends when somebody has taken it away."""
    url, dead = shop.out["JobsQueue"], shop.out["JobsDeadLetters"]
    await shop.call("sqs", "send_message", QueueUrl=url, MessageBody="poison")
    for _ in range(2):
        await shop.call("sqs", "receive_message", QueueUrl=url)
    shop.pass_minutes(2)
    await shop.comes_into("DeadLettersAlarm", "ALARM")
    await shop.call("sqs", "purge_queue", QueueUrl=dead)
    shop.pass_minutes(4)
    await shop.comes_into("DeadLettersAlarm", "OK")


async def check_age(shop: Shop) -> None:
    """A job that has waited more than five minutes, for three of them."""
    url = shop.out["JobsQueue"]
    await shop.call("sqs", "send_message", QueueUrl=url, MessageBody="late")
    shop.pass_minutes(10)
    await shop.comes_into("JobsQueueAgeAlarm", "ALARM")
    await shop.call("sqs", "purge_queue", QueueUrl=url)
    shop.pass_minutes(6)
    await shop.comes_into("JobsQueueAgeAlarm", "OK")


async def check_api(shop: Shop) -> None:
    """A request of an API is counted, and has its line in the log group."""
    base = shop.cloud.state.endpoints["api"]
    for path, status in (("/ping", 200), ("/nowhere", 403)):
        assert await asyncio.to_thread(status_of, f"{base}{path}") == status
    assert await shop.sum_of("AWS/ApiGateway", "Count", ApiName="pings", Stage="v1") == 2
    assert await shop.sum_of("AWS/ApiGateway", "4XXError", ApiName="pings") == 1
    events = (await shop.call("logs", "filter_log_events", logGroupName="/access/pings"))["events"]
    lines = [json.loads(event["message"]) for event in events]
    assert [(line["route"], line["status"]) for line in lines] == [("/ping", "200"), ("-", "403")]


async def check_logs(shop: Shop) -> None:
    """What `sluiceway logs` reads: a log group's file, and a state machine's, by logical id or name."""
    state = shop.cloud.state
    assert [line["route"] for line in read_lines(state.find_log("Access"))] == ["/ping", "-"]
    assert state.find_log("/access/pings") == state.find_log("Access")
    arn = shop.out["Flow"]
    await shop.call("stepfunctions", "start_sync_execution", stateMachineArn=arn)
    told = [line["type"] for line in read_lines(state.find_log("Flow"))]
    assert (told[0], told[-1]) == ("ExecutionStarted", "ExecutionSucceeded")
    assert state.find_log(arn.rpartition(":")[2]) == state.find_log("FlowLogs") == state.find_log("Flow")
    await shop.call("stepfunctions", "start_execution", stateMachineArn=shop.out["Steps"])
    assert await shop.sum_of("AWS/States", "ExecutionsStarted", StateMachineArn=shop.out["Steps"]) == 1
    with pytest.raises(Unreachable, match="logs beside theirs: /access/pings, Access, Flow, FlowLogs"):
        state.find_log("Nothing")
