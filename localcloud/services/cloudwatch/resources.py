"""CloudFormation's CloudWatch alarms: recorded and listed. Nothing here evaluates them, and the ledger says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from localcloud.template.handler import Physical, Resource, Support, Supported
from localcloud.template.properties import Properties, read_properties

__all__ = ["Alarm", "AlarmHandler", "Alarms"]

_COMPARISONS: Final = (
    "GreaterThanOrEqualToThreshold",
    "GreaterThanThreshold",
    "LessThanThreshold",
    "LessThanOrEqualToThreshold",
    "LessThanLowerOrGreaterThanUpperThreshold",
    "LessThanLowerThreshold",
    "GreaterThanUpperThreshold",
)
_MISSING: Final = ("breaching", "notBreaching", "ignore", "missing")
_NAMES: Final = (
    "ActionsEnabled", "AlarmActions", "AlarmDescription", "AlarmName", "ComparisonOperator", "DatapointsToAlarm",
    "Dimensions", "EvaluateLowSampleCountPercentile", "EvaluationPeriods", "ExtendedStatistic",
    "InsufficientDataActions", "MetricName", "Metrics", "Namespace", "OKActions", "Period", "Statistic", "Tags",
    "Threshold", "ThresholdMetricId", "TreatMissingData", "Unit",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm as declared. `properties` with every intrinsic resolved."""

    name: str
    arn: str
    properties: Mapping[str, Any]


class Alarms:
    """Every alarm of the account, by name."""

    def __init__(self) -> None:
        self._alarms: dict[str, Alarm] = {}

    def put(self, alarm: Alarm) -> None:
        """Record `alarm`, in place of one with its name, as PutMetricAlarm does."""
        self._alarms[alarm.name] = alarm

    def remove(self, name: str) -> None:
        """Forget it, where it is there."""
        self._alarms.pop(name, None)

    def all(self) -> tuple[Alarm, ...]:
        """In the order in which they were made."""
        return tuple(self._alarms.values())


class AlarmHandler:
    """`AWS::CloudWatch::Alarm`. Ref is the name; attribute Arn."""

    type: str = "AWS::CloudWatch::Alarm"
    support: Supported = Supported(Support.PARTIAL, "recorded and listed; not evaluated here")
    properties: Mapping[str, Supported] = dict.fromkeys(_NAMES, Supported())  # as recorded as the alarm itself

    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms

    async def create(self, resource: Resource) -> Physical:
        """Record the alarm. Raises TemplateError for what PutMetricAlarm would refuse."""
        read = read_properties(resource)
        _check(read)
        context = resource.context
        name = read.text("AlarmName", f"{context.stack_name}-{resource.logical_id}")
        arn = f"arn:{context.partition}:cloudwatch:{context.region}:{context.account_id}:alarm:{name}"
        self._alarms.put(Alarm(name=name, arn=arn, properties=resource.properties))
        return Physical(name, {"Arn": arn})

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Forget the alarm."""
        self._alarms.remove(physical.ref)


def _check(read: Properties) -> None:
    """Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html."""
    read.choice("ComparisonOperator", _COMPARISONS)
    read.choice("TreatMissingData", _MISSING, "missing")
    periods = read.integer("EvaluationPeriods", low=1)
    read.integer("DatapointsToAlarm", 1, low=1, high=periods)
    if ("MetricName" in read) == ("Metrics" in read):
        raise read.error("", "one of MetricName and Metrics is needed")
    if "MetricName" in read:
        read.text("Namespace")
        period = read.integer("Period", low=10)
        if period not in {10, 20, 30} and period % 60:
            raise read.error("Period", f"must be 10, 20, 30 or a multiple of 60 seconds, is {period}")
        if ("Statistic" in read) == ("ExtendedStatistic" in read):
            raise read.error("", "one of Statistic and ExtendedStatistic is needed")
    for dimension in read.each("Dimensions"):
        dimension.text("Name")
        dimension.text("Value")
