"""CloudWatch on the wire: a request in one of three protocols, an operation, an answer in the same protocol.

Owns the Regions of a request and what IAM checks; knows no parameter.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/Welcome.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from localcloud.services.cloudwatch.describing import describe_alarms
from localcloud.services.cloudwatch.errors import CloudWatchError
from localcloud.services.cloudwatch.members import Members
from localcloud.services.cloudwatch.model import Metrics
from localcloud.services.cloudwatch.operations import get_metric_statistics, list_metrics
from localcloud.services.cloudwatch.protocols import Asked, read_request, write_answer, write_error
from localcloud.services.cloudwatch.puts import put_metric_data
from localcloud.services.cloudwatch.queries import get_metric_data
from localcloud.services.cloudwatch.resources import Alarms
from localcloud.services.contract import ACCOUNT_ID, Permission, WireRequest, WireResponse

__all__ = ["CloudWatchService"]

_READS: Final = {
    "GetMetricData": get_metric_data,
    "GetMetricStatistics": get_metric_statistics,
    "ListMetrics": list_metrics,
}
_OPERATIONS: Final = frozenset({"DescribeAlarms", "PutMetricData", *_READS})


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
        if asked.operation == "DescribeAlarms":
            return (Permission(action, f"arn:aws:cloudwatch:{request.region}:{ACCOUNT_ID}:alarm:*"),)
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
        if asked.operation == "DescribeAlarms":
            return describe_alarms(self._alarms, parameters, region)
        metrics, now_s = self._metrics.in_region(region), self._metrics.clock.time()
        if asked.operation == "PutMetricData":
            put_metric_data(metrics, parameters, now_s)
            return None
        return _READS[asked.operation](metrics, parameters, now_s)
