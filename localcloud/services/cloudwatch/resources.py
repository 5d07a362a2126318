"""CloudFormation's CloudWatch alarms over the model: metric alarms and composite ones.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_CloudWatch.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Self, cast

from localcloud.services.cloudwatch.alarm import ACTIONS, Definition
from localcloud.services.cloudwatch.alarms import Alarms, alarm_arn
from localcloud.services.cloudwatch.errors import CloudWatchError
from localcloud.services.cloudwatch.members import Members
from localcloud.services.cloudwatch.putting import read_composite_alarm, read_metric_alarm
from localcloud.services.cloudwatch.watch import COMPARISONS, TREATMENTS
from localcloud.template.handler import Physical, Resource, Support, Supported
from localcloud.template.properties import Properties, read_properties, scalar_text

__all__ = ["AlarmHandler", "CompositeAlarmHandler"]

_BANDS: Final = ("LessThanLowerOrGreaterThanUpperThreshold", "LessThanLowerThreshold", "GreaterThanUpperThreshold")
_MATH: Final = "anomaly detection is not evaluated here"
_MATH_SERVED: Final = "expressions; SEARCH, Metrics Insights and other accounts are refused when the alarm is made"


class _Like(str):
    """A value of the ledger's table that stands for every text of a form; as text, how people are told of it."""

    __slots__ = ("_form",)
    _form: re.Pattern[str]

    def __new__(cls, told: str, form: str) -> Self:
        made = super().__new__(cls, told)
        made._form = re.compile(form)
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self._form.fullmatch(other) is not None

    __hash__ = str.__hash__


_TOPICS: Final = _Like("ARNs of SNS topics", r"arn:[^:]+:sns:.*")
_FUNCTIONS: Final = _Like("ARNs of Lambda functions", r"arn:[^:]+:lambda:.*")
_PERCENTILES: Final = _Like("percentiles p0 to p100", r"p([0-9]{1,2}(\.[0-9]{1,10})?|100)")
_ACTION: Final = Supported(reason="only SNS topics and Lambda functions are told here", values=(_TOPICS, _FUNCTIONS))
_PUT_HERE: Final = {
    "AWS/ApiGateway": "",
    "AWS/Kinesis": "",
    "AWS/Lambda": "",
    "AWS/Logs": "",
    "AWS/Route53": "",
    "AWS/SQS": "",
    "AWS/States": "of Step Functions' metrics those of standard executions are put here",
}  # what differs, by the namespaces that anything here puts metrics into


def _unfed(namespace: str) -> str:
    if not namespace.startswith("AWS/"):
        return ""
    return _PUT_HERE.get(namespace, f"nothing here puts metrics into {namespace}: the alarm sees missing data alone")


_COMMON: Final[Mapping[str, Supported]] = {
    "ActionsEnabled": Supported(),
    "AlarmDescription": Supported(),
    "AlarmName": Supported(),
    "Tags": Supported(),
    **dict.fromkeys(ACTIONS.values(), _ACTION),
}


class AlarmHandler:
    """`AWS::CloudWatch::Alarm`. Ref is the name; attribute Arn."""

    type: str = "AWS::CloudWatch::Alarm"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        **_COMMON,
        "ComparisonOperator": Supported(reason=_MATH, values=tuple(COMPARISONS)),
        "DatapointsToAlarm": Supported(),
        "Dimensions": Supported(),
        "EvaluateLowSampleCountPercentile": Supported(),
        "EvaluationPeriods": Supported(),
        "ExtendedStatistic": Supported(reason="other extended statistics are not kept here", values=(_PERCENTILES,)),
        "MetricName": Supported(),
        "Metrics": Supported(reason=_MATH_SERVED),
        "Namespace": Supported(differs=_unfed),
        "Period": Supported(),
        "Statistic": Supported(),
        "Threshold": Supported(),
        "ThresholdMetricId": Supported(Support.REFUSED, _MATH),
        "TreatMissingData": Supported(),
        "Unit": Supported(),
    }

    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms

    async def create(self, resource: Resource) -> Physical:
        """Put the alarm. Raises TemplateError for what PutMetricAlarm would refuse."""
        read = read_properties(resource)
        _check(read)
        return _put(self._alarms, resource, read)

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Forget the alarm."""
        self._alarms.remove(alarm_arn(physical.ref, resource.context.region))


class CompositeAlarmHandler:
    """`AWS::CloudWatch::CompositeAlarm`. Ref is the name; attribute Arn."""

    type: str = "AWS::CloudWatch::CompositeAlarm"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        **_COMMON,
        "ActionsSuppressor": Supported(),
        "ActionsSuppressorExtensionPeriod": Supported(),
        "ActionsSuppressorWaitPeriod": Supported(),
        "AlarmRule": Supported(),
    }

    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms

    async def create(self, resource: Resource) -> Physical:
        """Put the alarm. Raises TemplateError for what PutCompositeAlarm would refuse."""
        read = read_properties(resource)
        read.text("AlarmRule")
        return _put(self._alarms, resource, read)

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Forget the alarm."""
        self._alarms.remove(alarm_arn(physical.ref, resource.context.region))


def _put(alarms: Alarms, resource: Resource, read: Properties) -> Physical:
    context = resource.context
    name = read.text("AlarmName", f"{context.stack_name}-{resource.logical_id}")
    try:
        alarms.put(_define(resource, name))
    except CloudWatchError as error:
        raise read.error("", error.message) from error
    return Physical(name, {"Arn": alarm_arn(name, context.region)})


def _define(resource: Resource, name: str) -> Definition:
    """As the API's operation reads it. An alarm on what is not evaluated, which the ledger was overruled to take, only
    has its name and its state: it stays without data."""
    properties, region = resource.properties, resource.context.region
    if "ThresholdMetricId" in properties or properties.get("ComparisonOperator") in _BANDS:
        return Definition(name=name, arn=alarm_arn(name, region), described={"AlarmName": name})
    request = Members({**cast("dict[str, Any]", _plain(properties)), "AlarmName": name})
    return (read_composite_alarm if "AlarmRule" in properties else read_metric_alarm)(request, region)


def _plain(value: Any) -> Any:
    """Resolved properties with every scalar as text, which the API's own reader takes."""
    if isinstance(value, Mapping):
        return {name: _plain(member) for name, member in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list):
        return [_plain(member) for member in cast("list[Any]", value)]
    return None if value is None else scalar_text(value)


def _check(read: Properties) -> None:
    """Name the property that is wrong. Source: see `putting`."""
    read.choice("ComparisonOperator", (*COMPARISONS, *_BANDS))
    read.choice("TreatMissingData", TREATMENTS, "missing")
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
