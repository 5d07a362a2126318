"""Alarms in a running cloud: a function's log line to a metric, an alarm, one over it, and all whom they tell."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.local.conftest import RunningCloud, start_cloud

pytestmark = pytest.mark.local

HERE = Path(__file__).parent / "alarms" / "template.yaml"
PATIENCE_S = 60.0


@dataclass
class Kiln:
    """The stack of tests/local/alarms, and clients of its cloud."""

    cloud: RunningCloud

    def client(self, service: str) -> Any:
        sdk: Any = boto3
        return sdk.client(
            service,
            endpoint_url=self.cloud.status["endpoints"]["aws"],
            region_name=self.cloud.status["region"],
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def output(self, name: str) -> str:
        return self.cloud.status["outputs"][name]

    def receive(self, queue: str) -> dict[str, Any]:
        """The next message of a queue, waited for."""
        for _ in range(int(PATIENCE_S / 20) + 1):
            found = self.client("sqs").receive_message(QueueUrl=self.output(queue), WaitTimeSeconds=20).get("Messages")
            if found:
                return json.loads(found[0]["Body"])
        pytest.fail(f"nothing came into {queue}")

    def history(self, name: str, item_type: str) -> list[str]:
        """What happened to an alarm, the oldest first."""
        items = self.client("cloudwatch").describe_alarm_history(
            AlarmName=self.output(name),
            AlarmTypes=["MetricAlarm", "CompositeAlarm"],
            HistoryItemType=item_type,
            ScanBy="TimestampAscending",
        )
        return [item["HistorySummary"] for item in items["AlarmHistoryItems"]]


@pytest.fixture(scope="module")
def kiln(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kiln]:
    """The stack, hot: a function has said so once, in high resolution."""
    cloud = start_cloud(tmp_path_factory.mktemp("alarms") / "state", "--template", str(HERE))
    cloud.sluiceway("invoke", "Measure", "--event", "-", text=json.dumps({"heat": 120}))
    yield Kiln(cloud)
    cloud.sluiceway("down")


def until(holds: Callable[[], bool]) -> None:
    """Ask again until it holds, for a minute at most: the log of a process is a file."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_topics_subscribers_get_the_notice_of_a_composite_alarm(kiln: Kiln) -> None:
    """From the function's log to the queue: the metric alarm within its ten seconds, the composite one with it."""
    told = kiln.receive("Inbox")
    hot = f"arn:aws:cloudwatch:{kiln.cloud.status['region']}:123456789012:alarm:{kiln.output('Hot')}"
    assert (told["AlarmName"], told["OldStateValue"], told["NewStateValue"]) == (kiln.output("Busy"), "OK", "ALARM")
    assert told["NewStateReason"].startswith(f"{hot} transitioned to ALARM at ")
    assert [(child["Arn"], child["State"]["Value"]) for child in told["TriggeringChildren"]] == [(hot, "ALARM")]
    assert told["AlarmRule"] == f'ALARM("{kiln.output("Hot")}") AND TRUE'


def test_the_metric_alarm_says_which_value_it_was(kiln: Kiln) -> None:
    """In CloudWatch's words, with the value of the log line."""
    until(lambda: kiln.history("Hot", "StateUpdate") != [])
    (alarm,) = kiln.client("cloudwatch").describe_alarms(AlarmNames=[kiln.output("Hot")])["MetricAlarms"]
    assert (alarm["StateValue"], alarm["Period"]) == ("ALARM", 10)
    assert alarm["StateReason"].startswith("Threshold Crossed: 1 datapoint [120.0 (")
    assert alarm["StateReason"].endswith(")] was greater than the threshold (100.0).")
    data = json.loads(alarm["StateReasonData"])
    assert (data["recentDatapoints"], data["evaluatedDatapoints"][0]["sampleCount"]) == ([120.0], 1.0)


def test_actions_that_were_done_and_refused_are_in_the_history(kiln: Kiln) -> None:
    """A topic and a function that allow CloudWatch take it; those that do not, do not."""
    until(lambda: len(kiln.history("Busy", "Action")) == 4)
    done = {line.partition(". Received error")[0] for line in kiln.history("Busy", "Action")}
    assert done == {
        f"Successfully executed action {kiln.output('Told')}",
        f"Successfully executed action {kiln.output('Act')}",
        f"Failed to execute action {kiln.output('Guarded')}",
        f"Failed to execute action {kiln.output('Closed')}",
    }


def test_a_function_is_invoked_with_the_alarm(kiln: Kiln) -> None:
    """As documented for alarm actions; the function that allows nobody never began."""
    log = Path(kiln.cloud.status["logs"][kiln.cloud.status["functions"]["Act"]])
    until(lambda: log.exists() and "acted " in log.read_text())
    line = next(line for line in log.read_text().splitlines() if "acted " in line)
    event = json.loads(line.partition("acted ")[2])
    assert (event["source"], event["accountId"]) == ("aws.cloudwatch", "123456789012")
    assert event["alarmData"]["state"]["value"] == "ALARM"
    assert event["alarmData"]["configuration"]["alarmRule"] == f'ALARM("{kiln.output("Hot")}") AND TRUE'
    closed = Path(kiln.cloud.status["logs"][kiln.cloud.status["functions"]["Closed"]])
    assert not closed.exists() or "acted" not in closed.read_text()


def test_rules_of_the_default_bus_hear_of_both_alarms(kiln: Kiln) -> None:
    """One event for each alarm that came into ALARM, from aws.cloudwatch."""
    events = [kiln.receive("Watcher"), kiln.receive("Watcher")]
    assert {event["detail"]["alarmName"] for event in events} == {kiln.output("Hot"), kiln.output("Busy")}
    for event in events:
        arn = f"arn:aws:cloudwatch:{event['region']}:123456789012:alarm:{event['detail']['alarmName']}"
        assert (event["source"], event["detail-type"]) == ("aws.cloudwatch", "CloudWatch Alarm State Change")
        assert (event["resources"], event["detail"]["previousState"]["value"] != "ALARM") == ([arn], True)
