"""CloudFormation's alarms: what the ledger says of them, what is put, what is refused by property."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from localcloud.clock import run_virtual
from localcloud.services.cloudwatch.alarms import Alarms, AlarmView
from localcloud.services.cloudwatch.resources import AlarmHandler, CompositeAlarmHandler
from localcloud.template.errors import TemplateError
from localcloud.template.graph import build_graph
from localcloud.template.handler import Physical, Resource, ResourceHandler
from localcloud.template.ledger import make_ledger
from localcloud.template.scope import Scope
from localcloud.template.stack import stack_context
from tests.unit.cloudwatch_setup import HandClock

PROPERTIES = {
    "Namespace": "AWS/SQS",
    "MetricName": "ApproximateAgeOfOldestMessage",
    "Dimensions": [{"Name": "QueueName", "Value": "q"}],
    "Statistic": "Maximum",
    "Period": "60",
    "EvaluationPeriods": 3,
    "Threshold": 300,
    "ComparisonOperator": "GreaterThanThreshold",
    "TreatMissingData": "notBreaching",
}
TOPIC = "arn:aws:sns:us-east-1:123456789012:t"


def create(handler: ResourceHandler, properties: dict[str, Any], name: str = "Old") -> Physical:
    resource = Resource(name, handler.type, properties, stack_context(Path()))
    return run_virtual(lambda: handler.create(resource))


def make(alarms: Alarms, **changes: Any) -> Physical:
    return create(AlarmHandler(alarms), {**PROPERTIES, **changes})


def test_an_alarm_is_put_and_forgotten() -> None:
    """With its ARN, its typed members and actions, without data at first."""
    alarms = Alarms(clock=HandClock())
    physical = make(alarms, AlarmActions=[TOPIC], ActionsEnabled="true", DatapointsToAlarm="2")
    assert physical.ref == "sluiceway-Old"
    assert physical.attributes["Arn"] == "arn:aws:cloudwatch:us-east-1:123456789012:alarm:sluiceway-Old"
    (alarm,) = alarms.all()
    watch = alarm.definition.watch
    assert watch is not None
    assert (watch.threshold, watch.period_s, watch.needed, watch.missing) == (300.0, 60, 2, "notBreaching")
    assert alarm.definition.actions["ALARM"] == (TOPIC,)
    assert [(view.name, view.kind, view.state) for view in alarms.snapshot()] == [
        ("sluiceway-Old", "MetricAlarm", "INSUFFICIENT_DATA")
    ]
    resource = Resource("Old", "AWS::CloudWatch::Alarm", PROPERTIES, stack_context(Path()))
    run_virtual(lambda: AlarmHandler(alarms).delete(resource, physical))
    assert alarms.all() == ()


def test_a_composite_alarm_is_put_over_others() -> None:
    """By the names that Ref gives; its suppressor with both periods."""
    alarms = Alarms(clock=HandClock())
    child = make(alarms).ref
    rule = f'NOT ALARM("{child}")'
    periods = {"ActionsSuppressorWaitPeriod": "60", "ActionsSuppressorExtensionPeriod": 30}
    properties = {"AlarmRule": rule, "ActionsSuppressor": child, **periods}
    physical = create(CompositeAlarmHandler(alarms), properties, "Both")
    alarm = alarms.find(physical.ref, "us-east-1")
    assert alarm is not None
    assert alarm.state.value == "ALARM"
    suppressor = alarm.definition.suppressor
    assert suppressor is not None
    assert (suppressor.alarm, suppressor.wait_s, suppressor.extension_s) == (child, 60, 30)


def test_listeners_hear_of_each_alarm_until_they_stop() -> None:
    """When it is put, when its state changes, when it is gone; and they see what the snapshot has."""
    alarms, heard = Alarms(clock=HandClock()), list[AlarmView]()
    stop = alarms.listen(heard.append)
    make(alarms)
    (alarm,) = alarms.all()
    alarms.change(alarm, "ALARM", reason="hot", data="")
    assert heard[-1] == alarms.snapshot()[0]
    alarms.remove(alarm.arn)
    assert [(view.state, view.reason, view.is_gone) for view in heard] == [
        ("INSUFFICIENT_DATA", "Unchecked: Initial alarm creation", False),
        ("ALARM", "hot", False),
        ("ALARM", "hot", True),
    ]
    stop()
    make(alarms)
    assert len(heard) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ComparisonOperator": "Over"}, "Old.Properties.ComparisonOperator: must be one of"),
        ({"TreatMissingData": "no"}, "Old.Properties.TreatMissingData: must be one of"),
        ({"EvaluationPeriods": 0}, "Old.Properties.EvaluationPeriods: must be from 1"),
        ({"DatapointsToAlarm": 4}, "Old.Properties.DatapointsToAlarm: must be from 1 to 3"),
        ({"Period": 45}, "Old.Properties.Period: must be 10, 20, 30 or a multiple of 60 seconds"),
        ({"Metrics": [{"Id": "m"}]}, "Old.Properties: one of MetricName and Metrics is needed"),
        ({"ExtendedStatistic": "p90"}, "Old.Properties: one of Statistic and ExtendedStatistic is needed"),
        ({"Dimensions": [{"Name": "QueueName"}]}, "Old.Properties.Dimensions[0].Value: is required"),
        ({"Namespace": None}, "Old.Properties.Namespace: is required"),
        ({"Threshold": None}, "Old.Properties: The parameter Threshold is required."),
        ({"AlarmActions": ["topic"]}, "Old.Properties: Invalid arn syntax: topic"),
        ({"EvaluationPeriods": 2000}, "Old.Properties: Metrics cannot be checked across more than a day"),
    ],
)
def test_what_put_metric_alarm_would_refuse_is_refused(changes: dict[str, Any], message: str) -> None:
    """Named by property, or in the API's words."""
    with pytest.raises(TemplateError) as caught:
        make(Alarms(clock=HandClock()), **changes)
    assert str(caught.value)[: len(message)] == message


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({}, "Both.Properties.AlarmRule: is required"),
        ({"AlarmRule": "ALARM("}, "Both.Properties: AlarmRule cannot be read from character 1 on"),
        ({"AlarmRule": "ALARM(x)"}, "Both.Properties: Could not save the composite alarm as alarms [arn:aws:"),
    ],
)
def test_what_put_composite_alarm_would_refuse_is_refused(properties: dict[str, Any], message: str) -> None:
    """A rule that is none, and alarms that are not there."""
    with pytest.raises(TemplateError) as caught:
        create(CompositeAlarmHandler(Alarms(clock=HandClock())), properties, "Both")
    assert str(caught.value)[: len(message)] == message


def refused(kind: str, properties: dict[str, Any]) -> list[tuple[str, str]]:
    """The properties that the ledger refuses, each with why."""
    scope = Scope(context=stack_context(Path()), parameters={}, conditions={})
    resources = {"Old": {"Type": kind, "Properties": properties}, "T": {"Type": "AWS::SNS::Topic"}}
    graph = build_graph({"Resources": resources}, scope)
    alarms = Alarms(clock=HandClock())
    handlers: list[ResourceHandler] = [AlarmHandler(alarms), CompositeAlarmHandler(alarms)]
    made = make_ledger(graph, {handler.type: handler for handler in handlers})
    return [(line.property, line.reason) for line in made.refused if line.logical_id == "Old"]


def test_the_ledger_serves_alarms_whole() -> None:
    """Actions of topics and functions, also those that only a Ref names; percentiles."""
    function = "arn:aws:lambda:us-east-1:123456789012:function:f"
    given = {**PROPERTIES, "AlarmActions": [TOPIC, function, {"Ref": "T"}], "OKActions": {"Ref": "T"}}
    given.pop("Statistic")
    assert refused("AWS::CloudWatch::Alarm", {**given, "ExtendedStatistic": "p99.9"}) == []
    assert refused("AWS::CloudWatch::CompositeAlarm", {"AlarmRule": "TRUE", "AlarmActions": [TOPIC]}) == []


@pytest.mark.parametrize(
    "action",
    [
        "arn:aws:automate:us-east-1:ec2:stop",
        "arn:aws:ssm:us-east-1:123456789012:opsitem:1",
        "arn:aws:autoscaling:us-east-1:123456789012:scalingPolicy:p",
        {"Fn::Sub": "arn:aws:automate:${AWS::Region}:ec2:reboot"},
    ],
)
@pytest.mark.parametrize("member", ["AlarmActions", "OKActions", "InsufficientDataActions"])
def test_the_ledger_refuses_other_actions(member: str, action: Any) -> None:
    """By property, whatever else stands in the list, and says what is served."""
    for kind in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"):
        ((name, reason),) = refused(kind, {member: [TOPIC, action]})
        assert (name, "only SNS topics and Lambda functions are told here" in reason) == (member, True)
        assert "served: ARNs of SNS topics, ARNs of Lambda functions" in reason


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ThresholdMetricId", "ad1"),
        ("ComparisonOperator", "LessThanLowerThreshold"),
        ("ExtendedStatistic", "tm90"),
        ("EvaluationInterval", 10),
    ],
)
def test_the_ledger_refuses_what_is_not_evaluated(name: str, value: Any) -> None:
    """Anomaly bands, other extended statistics, and what it does not know."""
    assert [found for found, _ in refused("AWS::CloudWatch::Alarm", {name: value})] == [name]


def test_an_overruled_ledger_gives_an_alarm_that_stays_without_data() -> None:
    """On an anomaly band: it has its name, is listed, and is never evaluated."""
    alarms = Alarms(clock=HandClock())
    given = {"Metrics": [{"Id": "m"}], "EvaluationPeriods": 1, "ComparisonOperator": "LessThanLowerThreshold"}
    create(AlarmHandler(alarms), given)
    assert [(alarm.name, alarm.definition.watch) for alarm in alarms.all()] == [("sluiceway-Old", None)]


@pytest.mark.parametrize(
    ("namespace", "told"),
    [
        ("Mine", ""),
        ("AWS/Kinesis", ""),
        ("AWS/SQS", ""),
        ("AWS/Lambda", ""),
        ("AWS/ApiGateway", ""),
        ("AWS/Firehose", "nothing here puts metrics into AWS/Firehose: the alarm sees missing data alone"),
    ],
)
def test_the_ledger_tells_of_namespaces_that_stay_empty(namespace: str, told: str) -> None:
    """An alarm on what nobody counts is made, and never goes off: its line says so."""
    body = {"Resources": {"A": {"Type": AlarmHandler.type, "Properties": {**PROPERTIES, "Namespace": namespace}}}}
    handler = AlarmHandler(Alarms(clock=HandClock()))
    graph = build_graph(body, Scope(context=stack_context(Path())))
    lines = make_ledger(graph, {handler.type: handler}).lines
    assert next(line.reason for line in lines if line.property == "Namespace") == told
