"""CloudWatch alarms: recorded, checked, never said to be evaluated."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcloud.clock import run_virtual
from localcloud.services.cloudwatch.resources import AlarmHandler, Alarms
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Physical, Resource, Support
from localcloud.template.stack import stack_context

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


def _create(alarms: Alarms, **changes: object) -> Physical:
    resource = Resource("Old", "AWS::CloudWatch::Alarm", {**PROPERTIES, **changes}, stack_context(Path()))
    return run_virtual(lambda: AlarmHandler(alarms).create(resource))


def test_an_alarm_is_recorded_and_forgotten() -> None:
    """With its ARN, and its properties as declared."""
    alarms = Alarms()
    physical = _create(alarms)
    assert physical.ref == "sluiceway-Old"
    assert physical.attributes["Arn"] == "arn:aws:cloudwatch:us-east-1:123456789012:alarm:sluiceway-Old"
    (alarm,) = alarms.all()
    assert (alarm.name, alarm.properties["Threshold"]) == ("sluiceway-Old", 300)
    alarms.remove(alarm.name)
    assert alarms.all() == ()


def test_the_ledger_says_that_nothing_evaluates_it() -> None:
    """Partial, with the reason."""
    support = AlarmHandler(Alarms()).support
    assert (support.support, support.reason) == (Support.PARTIAL, "recorded and listed; not evaluated here")


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
    ],
)
def test_what_put_metric_alarm_would_refuse_is_refused(changes: dict, message: str) -> None:
    """Named by property."""
    with pytest.raises(TemplateError) as caught:
        _create(Alarms(), **changes)
    assert str(caught.value)[: len(message)] == message
