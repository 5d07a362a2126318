"""DescribeAlarms: the metric alarms that templates declared. Nothing evaluates them, so each has INSUFFICIENT_DATA.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from localcloud.services.cloudwatch.errors import validation
from localcloud.services.cloudwatch.members import Members
from localcloud.services.cloudwatch.resources import Alarm, Alarms

__all__ = ["describe_alarms"]

MAX_RECORDS: Final = 100  # API_DescribeAlarms.html
_STATES: Final = ("OK", "ALARM", "INSUFFICIENT_DATA")
_STATE: Final = "INSUFFICIENT_DATA"
_REASON: Final = "Unchecked: Initial alarm creation"  # what AWS says of an alarm that it has not evaluated
_TYPES: Final = ("CompositeAlarm", "MetricAlarm")


def _text(value: Any) -> str:
    return str(value)


def _flag(value: Any) -> bool:
    return value is True or str(value).lower() == "true"


def _texts(value: Any) -> list[str]:
    return [str(each) for each in cast("Sequence[Any]", value)]


def _dimensions(value: Any) -> list[dict[str, str]]:
    given = cast("Sequence[Mapping[str, Any]]", value)
    return [{"Name": str(each["Name"]), "Value": str(each["Value"])} for each in given]


def _queries(value: Any) -> list[Any]:
    return [_typed(each) for each in cast("Sequence[Any]", value)]


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {  # of a template's properties, in the order of the API's answer
    "AlarmDescription": _text,
    "ActionsEnabled": _flag,
    "OKActions": _texts,
    "AlarmActions": _texts,
    "InsufficientDataActions": _texts,
    "MetricName": _text,
    "Namespace": _text,
    "Statistic": _text,
    "ExtendedStatistic": _text,
    "Dimensions": _dimensions,
    "Period": int,
    "Unit": _text,
    "EvaluationPeriods": int,
    "DatapointsToAlarm": int,
    "Threshold": float,
    "ComparisonOperator": _text,
    "TreatMissingData": _text,
    "EvaluateLowSampleCountPercentile": _text,
    "Metrics": _queries,
    "ThresholdMetricId": _text,
}
_TYPED: Final[Mapping[str, Callable[[Any], Any]]] = {"Period": int, "ReturnData": _flag}


def describe_alarms(alarms: Alarms, request: Members, region: str) -> dict[str, Any]:
    """DescribeAlarms: a page of a Region's alarms by name. Raises CloudWatchError."""
    request.only(
        "AlarmNames", "AlarmNamePrefix", "AlarmTypes", "StateValue", "ActionPrefix", "MaxRecords", "NextToken"
    )  # fmt: skip
    names, prefix = request.texts("AlarmNames"), request.text("AlarmNamePrefix")
    if names and prefix is not None:
        raise validation("AlarmNamePrefix and AlarmNames cannot be specified together.")
    if len(names) > MAX_RECORDS:
        raise validation(f"The collection AlarmNames must not have a size greater than {MAX_RECORDS}.")
    types = request.texts("AlarmTypes") or ["MetricAlarm"]
    if not set(types) <= set(_TYPES):
        raise validation(f"The parameter AlarmTypes must hold values in the set [ {', '.join(_TYPES)} ].")
    limit = request.count("MaxRecords", low=1, high=MAX_RECORDS) or MAX_RECORDS
    state, action = request.choice("StateValue", _STATES), request.text("ActionPrefix", most=1024) or ""
    found = [
        alarm
        for alarm in sorted(alarms.all(), key=_name)
        if alarm.arn.split(":")[3] == region
        and (not names or alarm.name in names)
        and alarm.name.startswith(prefix or "")
        and _acts(alarm, action)
    ]
    found = found if state in {None, _STATE} and "MetricAlarm" in types else []
    start = request.start(len(found))
    page = found[start : start + limit]
    answer: dict[str, Any] = {"CompositeAlarms": [], "MetricAlarms": [_describe(alarm) for alarm in page]}
    if start + limit < len(found):
        answer["NextToken"] = str(start + limit)
    return answer


def _describe(alarm: Alarm) -> dict[str, Any]:
    properties = {"ActionsEnabled": True, **alarm.properties}
    return {
        "AlarmName": alarm.name,
        "AlarmArn": alarm.arn,
        "StateValue": _STATE,
        "StateReason": _REASON,
        **{name: read(properties[name]) for name, read in _READERS.items() if name in properties},
    }


def _typed(value: Any) -> Any:
    """A query of a template, with numbers and booleans where the API has them."""
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value)
        return {name: _TYPED.get(name, _typed)(member) for name, member in members.items()}
    return _queries(value) if isinstance(value, list) else str(value)


def _name(alarm: Alarm) -> str:
    return alarm.name


def _acts(alarm: Alarm, prefix: str) -> bool:
    actions = [
        action
        for name in ("OKActions", "AlarmActions", "InsufficientDataActions")
        for action in _texts(alarm.properties.get(name, ()))
    ]
    return not prefix or any(action.startswith(prefix) for action in actions)
