"""DescribeAlarms, DescribeAlarmsForMetric and DescribeAlarmHistory: what is put, what it is in, what it went through.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
and API_DescribeAlarmsForMetric.html, API_DescribeAlarmHistory.html there
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from localcloud.services.cloudwatch.alarm import ACTIONS, Alarm
from localcloud.services.cloudwatch.alarms import Alarms, alarm_arn
from localcloud.services.cloudwatch.cbor import Stamp
from localcloud.services.cloudwatch.errors import not_served, validation
from localcloud.services.cloudwatch.members import UNITS, Members
from localcloud.services.cloudwatch.model import MetricId
from localcloud.services.cloudwatch.operations import STATISTICS
from localcloud.services.cloudwatch.past import ITEM_TYPES, PastItem
from localcloud.services.cloudwatch.watch import STATES

__all__ = ["describe_alarm_history", "describe_alarms", "describe_alarms_for_metric"]

MAX_RECORDS: Final = 100  # API_DescribeAlarms.html
_TYPES: Final = ("CompositeAlarm", "MetricAlarm")
_CONTRIBUTORS: Final = ("AlarmContributorStateUpdate", "AlarmContributorAction")
_ORDERS: Final = ("TimestampDescending", "TimestampAscending")
_FILTERS: Final = ("AlarmNames", "AlarmNamePrefix", "AlarmTypes", "StateValue", "ActionPrefix")


def describe_alarms(alarms: Alarms, request: Members, region: str) -> dict[str, Any]:
    """DescribeAlarms: a page of a Region's alarms by name, metric alarms alone unless asked. Raises CloudWatchError."""
    request.only(*_FILTERS, "ChildrenOfAlarmName", "ParentsOfAlarmName", "MaxRecords", "NextToken")
    for relation in ("ChildrenOfAlarmName", "ParentsOfAlarmName"):
        if relation in request:
            return _describe_relatives(alarms, request, region, relation=relation)
    names, prefix = request.texts("AlarmNames"), request.text("AlarmNamePrefix")
    if names and prefix is not None:
        raise validation("AlarmNamePrefix and AlarmNames cannot be specified together.")
    if len(names) > MAX_RECORDS:
        raise validation(f"The collection AlarmNames must not have a size greater than {MAX_RECORDS}.")
    types = _read_types(request)
    state, action = request.choice("StateValue", STATES), request.text("ActionPrefix", most=1024) or ""
    found = [
        alarm
        for alarm in alarms.all(region)
        if alarm.definition.kind in types
        and (not names or alarm.name in names)
        and alarm.name.startswith(prefix or "")
        and state in {None, alarm.state.value}
        and _acts(alarm, action)
    ]
    return _page(request, [(alarm, _describe(alarm)) for alarm in found])


def describe_alarms_for_metric(alarms: Alarms, request: Members, region: str) -> dict[str, Any]:
    """DescribeAlarmsForMetric: the metric alarms that watch one metric. Raises CloudWatchError."""
    request.only("Namespace", "MetricName", "Dimensions", "Statistic", "ExtendedStatistic", "Period", "Unit")
    request.need("MetricName", "Namespace")
    metric = MetricId(request.text("Namespace") or "", request.text("MetricName") or "", request.dimensions())
    statistic = request.choice("Statistic", STATISTICS) or request.text("ExtendedStatistic")
    period_s, unit = request.count("Period", low=1, high=2**31 - 1), request.choice("Unit", UNITS)
    found = [
        _describe(alarm)
        for alarm in alarms.all(region)
        if (watch := alarm.definition.watch) is not None
        and watch.metric == metric
        and statistic in {None, watch.statistic}
        and period_s in {None, watch.period_s}
        and (unit is None or unit == watch.unit)
    ]
    return {"MetricAlarms": found}


def describe_alarm_history(alarms: Alarms, request: Members, region: str) -> dict[str, Any]:
    """DescribeAlarmHistory: a page of entries, the newest first unless asked otherwise. Raises CloudWatchError."""
    request.only(
        "AlarmName", "AlarmContributorId", "AlarmTypes", "HistoryItemType", "StartDate", "EndDate", "MaxRecords",
        "NextToken", "ScanBy",
    )  # fmt: skip
    wanted = request.choice("HistoryItemType", (*ITEM_TYPES, *_CONTRIBUTORS))
    if "AlarmContributorId" in request or wanted in _CONTRIBUTORS:
        raise not_served("contributors of alarms, which Metrics Insights queries have")
    name, types = request.text("AlarmName"), _read_types(request)
    start_s, end_s = request.date("StartDate"), request.date("EndDate")
    is_ascending = request.choice("ScanBy", _ORDERS) == _ORDERS[1]
    found = [
        item
        for item in alarms.past
        if item.arn.split(":")[3] == region
        and item.kind in types
        and (name is None or item.arn == alarm_arn(name, region))
        and wanted in {None, item.item_type}
        and (start_s is None or item.at_s >= start_s)
        and (end_s is None or item.at_s <= end_s)
    ]
    start, limit = request.start(len(found)), _read_limit(request)
    page = (found if is_ascending else found[::-1])[start : start + limit]
    answer: dict[str, Any] = {"AlarmHistoryItems": [_describe_item(item) for item in page]}
    if start + limit < len(found):
        answer["NextToken"] = str(start + limit)
    return answer


def _describe_relatives(alarms: Alarms, request: Members, region: str, *, relation: str) -> dict[str, Any]:
    for name in _FILTERS:
        if name in request:
            raise validation(f"{relation} cannot be specified together with {name}.")
    if relation == "ChildrenOfAlarmName" and "ParentsOfAlarmName" in request:
        raise validation(f"{relation} cannot be specified together with ParentsOfAlarmName.")
    alarm = alarms.find(request.text(relation) or "", region)
    if alarm is None:
        return _page(request, [])
    if relation == "ParentsOfAlarmName":
        parents = alarms.parents(alarm.arn)
        return _page(request, [(each, {"AlarmName": each.name, "AlarmArn": each.arn}) for each in parents])
    children = [alarms.find(arn, region) for arn in alarms.children(alarm.definition)]
    return _page(request, [(each, _describe_briefly(each)) for each in children if each is not None])


def _page(request: Members, found: Sequence[tuple[Alarm, dict[str, Any]]]) -> dict[str, Any]:
    start, limit = request.start(len(found)), _read_limit(request)
    page = found[start : start + limit]
    answer: dict[str, Any] = {
        "CompositeAlarms": [told for alarm, told in page if alarm.definition.kind == "CompositeAlarm"],
        "MetricAlarms": [told for alarm, told in page if alarm.definition.kind == "MetricAlarm"],
    }
    if start + limit < len(found):
        answer["NextToken"] = str(start + limit)
    return answer


def _read_limit(request: Members) -> int:
    return request.count("MaxRecords", low=1, high=MAX_RECORDS) or MAX_RECORDS


def _read_types(request: Members) -> Iterable[str]:
    types = request.texts("AlarmTypes") or ["MetricAlarm"]
    if not set(types) <= set(_TYPES):
        raise validation(f"The parameter AlarmTypes must hold values in the set [ {', '.join(_TYPES)} ].")
    return types


def _describe(alarm: Alarm) -> dict[str, Any]:
    state = alarm.state
    told: dict[str, Any] = {
        **alarm.definition.described,
        "AlarmArn": alarm.arn,
        "AlarmConfigurationUpdatedTimestamp": Stamp(alarm.configured_s),
        "StateValue": state.value,
        "StateReason": state.reason,
        "StateUpdatedTimestamp": Stamp(state.updated_s),
        "StateTransitionedTimestamp": Stamp(state.since_s),
    }
    if state.reason_data:
        told["StateReasonData"] = state.reason_data
    if state.suppressed_by:
        told |= {"ActionsSuppressedBy": state.suppressed_by, "ActionsSuppressedReason": state.suppressed_reason}
    return told


def _describe_briefly(alarm: Alarm) -> dict[str, Any]:
    return {
        "AlarmName": alarm.name,
        "AlarmArn": alarm.arn,
        "StateValue": alarm.state.value,
        "StateUpdatedTimestamp": Stamp(alarm.state.updated_s),
    }


def _describe_item(item: PastItem) -> dict[str, Any]:
    return {
        "AlarmName": item.name,
        "AlarmType": item.kind,
        "Timestamp": Stamp(item.at_s),
        "HistoryItemType": item.item_type,
        "HistorySummary": item.summary,
        "HistoryData": item.data,
    }


def _acts(alarm: Alarm, prefix: str) -> bool:
    actions = alarm.definition.actions
    return not prefix or any(action.startswith(prefix) for state in ACTIONS for action in actions.get(state, ()))
