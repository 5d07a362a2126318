"""CloudWatch on the wire: a request in one of three protocols, an operation, an answer in the same protocol.

Owns the Regions of a request and what IAM checks; knows no parameter.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/Welcome.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from localcloud.services.cloudwatch.alarms import Alarms, alarm_arn
from localcloud.services.cloudwatch.describing import (
    describe_alarm_history,
    describe_alarms,
    describe_alarms_for_metric,
)
from localcloud.services.cloudwatch.errors import CloudWatchError
from localcloud.services.cloudwatch.members import Members
from localcloud.services.cloudwatch.model import Metrics
from localcloud.services.cloudwatch.operations import get_metric_statistics, list_metrics
from localcloud.services.cloudwatch.protocols import Asked, read_request, write_answer, write_error
from localcloud.services.cloudwatch.puts import put_metric_data
from localcloud.services.cloudwatch.queries import get_metric_data
from localcloud.services.cloudwatch.steering import STEERING
from localcloud.services.contract import Permission, WireRequest, WireResponse

__all__ = ["CloudWatchService"]

_READS: Final = {
    "GetMetricData": get_metric_data,
    "GetMetricStatistics": get_metric_statistics,
    "ListMetrics": list_metrics,
}
_ALARMS: Final = {
    "DescribeAlarmHistory": describe_alarm_history,
    "DescribeAlarms": describe_alarms,
    "DescribeAlarmsForMetric": describe_alarms_for_metric,
    **STEERING,
}
_OPERATIONS: Final = frozenset({"PutMetricData", *_READS, *_ALARMS})
_WIDE: Final = frozenset({"DescribeAlarmsForMetric", "PutCompositeAlarm"})  # IAM knows no alarm for them
_MANY: Final = frozenset({"DeleteAlarms", "DisableAlarmActions", "EnableAlarmActions"})
_TAGGED: Final = frozenset({"ListTagsForResource", "TagResource", "UntagResource"})


class CloudWatchService:
    """The CloudWatch API of every Region (signing name `monitoring`). Not for use by several threads."""

    name = "monitoring"

    def __init__(self, metrics: Metrics, alarms: Alarms) -> None:
        self._metrics = metrics
        self._alarms = alarms
        self._last: tuple[WireRequest, Asked | CloudWatchError] | None = (
            None  # IAM's check and the operation read the same request
        )

    async def handle(self, request: WireRequest) -> WireResponse:
        """Answer one request; API errors are answers."""
        try:
            asked = self._take(request)
            answer = self._perform(asked, request.region)
            return write_answer(request, asked.operation, answer)
        except CloudWatchError as error:
            return write_error(request, error)

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        """What IAM would check; empty for a malformed request or an unknown operation."""
        try:
            asked = read_request(request)
        except CloudWatchError as error:
            self._last = (request, error)
            return ()
        self._last = (request, asked)
        action = f"cloudwatch:{asked.operation}"
        if asked.operation == "PutMetricData":
            namespace = asked.parameters.get("Namespace")
            return (Permission(action, "*", (("cloudwatch:namespace", str(namespace)),)),)
        if asked.operation in _ALARMS:
            return tuple(_alarm_permissions(asked, request.region))
        return (Permission(action, "*"),) if asked.operation in _OPERATIONS else ()

    def _take(self, request: WireRequest) -> Asked:
        last, self._last = self._last, None
        if last is None or last[0] is not request:
            return read_request(request)
        if isinstance(last[1], CloudWatchError):
            raise last[1]
        return last[1]

    def _perform(self, asked: Asked, region: str) -> Mapping[str, Any] | None:
        if asked.operation not in _OPERATIONS:
            raise CloudWatchError(
                "UnknownOperationException",
                f"The local cloud does not serve the CloudWatch operation {asked.operation[:64] or '(none named)'}",
            )
        parameters = Members(asked.parameters)
        if asked.operation in _ALARMS:
            return _ALARMS[asked.operation](self._alarms, parameters, region)
        metrics, now_s = self._metrics.in_region(region), self._metrics.clock.time()
        if asked.operation == "PutMetricData":
            put_metric_data(metrics, parameters, now_s)
            return None
        return _READS[asked.operation](metrics, parameters, now_s)


def _alarm_permissions(asked: Asked, region: str) -> Iterator[Permission]:
    """What IAM checks of an operation on alarms: each that is named, all where none is.

    Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html
    """
    action, parameters = f"cloudwatch:{asked.operation}", asked.parameters
    if asked.operation in _WIDE or "CompositeAlarm" in _texts(parameters.get("AlarmTypes")):
        yield Permission(action, "*")
    elif asked.operation in _MANY:
        for name in _texts(parameters.get("AlarmNames")):
            yield Permission(action, alarm_arn(name, region))
    elif asked.operation in _TAGGED:
        yield Permission(action, str(parameters.get("ResourceARN")))
    elif asked.operation == "DescribeAlarms":
        yield Permission(action, alarm_arn("*", region))
    else:
        yield Permission(action, alarm_arn(str(parameters.get("AlarmName") or "*"), region))
    if asked.operation.startswith("Put") and parameters.get("Tags"):
        yield Permission("cloudwatch:TagResource", alarm_arn(str(parameters.get("AlarmName")), region))


def _texts(value: Any) -> list[str]:
    return [str(each) for each in cast("list[Any]", value)] if isinstance(value, list) else []
