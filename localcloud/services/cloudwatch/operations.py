"""ListMetrics and GetMetricStatistics: the names of metrics, and the statistics of one.

Owns their parameters and limits, in AWS's words; what is kept lies in `model`.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

from typing import Any, Final

from localcloud.services.cloudwatch.cbor import Stamp
from localcloud.services.cloudwatch.errors import bad_combination, bad_value, not_served
from localcloud.services.cloudwatch.members import UNITS, Members
from localcloud.services.cloudwatch.model import Metric, MetricId, Metrics, Reading

__all__ = ["STATISTICS", "describe_metric", "get_metric_statistics", "list_metrics", "read_period", "round_start"]

MAX_LISTED: Final = 500  # API_ListMetrics.html
LISTED_S: Final = 14 * 86_400  # API_ListMetrics.html: metrics with data in the past two weeks
RECENT_S: Final = 3 * 3600  # API_ListMetrics.html, PT3H
MAX_POINTS: Final = 1440  # API_GetMetricStatistics.html
STATISTICS: Final = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")
_FINE_PERIODS: Final = (1, 5, 10, 20, 30)  # API_GetMetricStatistics.html, Period
_MAX_PERIOD: Final = 86_400 * 365


def list_metrics(metrics: Metrics, request: Members, now_s: float) -> dict[str, Any]:
    """ListMetrics: a page of the metrics of the last two weeks. Raises CloudWatchError."""
    request.only("Namespace", "MetricName", "Dimensions", "NextToken", "RecentlyActive", "IncludeLinkedAccounts")
    if request.flag("IncludeLinkedAccounts", default=False):
        raise not_served("metrics of linked accounts (IncludeLinkedAccounts)")
    namespace, name = request.text("Namespace"), request.text("MetricName")
    filters = [
        (dimension.only("Name", "Value").need("Name").text("Name"), dimension.text("Value", most=1024))
        for dimension in request.structures("Dimensions")
    ]
    if len(filters) > 10:  # API_ListMetrics.html
        raise bad_value("The collection Dimensions must not have a size greater than 10.")
    oldest_s = now_s - (RECENT_S if request.choice("RecentlyActive", ("PT3H",)) else LISTED_S)
    found = [
        metric
        for metric in metrics.all()
        if metric.last_s > oldest_s
        and namespace in {None, metric.id.namespace}
        and name in {None, metric.id.name}
        and _has(metric, filters)
    ]
    start = request.start(len(found))
    answer: dict[str, Any] = {
        "Metrics": [describe_metric(metric.id) for metric in found[start : start + MAX_LISTED]],
    }
    if start + MAX_LISTED < len(found):
        answer["NextToken"] = str(start + MAX_LISTED)
    return answer


def get_metric_statistics(metrics: Metrics, request: Members, now_s: float) -> dict[str, Any]:
    """GetMetricStatistics: up to 1,440 points. Raises CloudWatchError."""
    request.only(
        "Namespace", "MetricName", "Dimensions", "StartTime", "EndTime", "Period", "Statistics", "ExtendedStatistics",
        "Unit",
    )  # fmt: skip
    request.need("Namespace", "MetricName", "StartTime", "EndTime", "Period")
    if request.texts("ExtendedStatistics"):
        raise not_served("percentiles and other ExtendedStatistics")
    wanted = request.texts("Statistics")
    if not wanted:
        raise bad_combination("Must specify either Statistics or ExtendedStatistics.")
    for place, name in enumerate(wanted, 1):
        if name not in STATISTICS:
            allowed = ", ".join(STATISTICS)
            raise bad_value(f"The parameter Statistics.member.{place} must be a value in the set [ {allowed} ].")
    metric_id = MetricId(request.text("Namespace") or "", request.text("MetricName") or "", request.dimensions())
    period_s = read_period(request)
    start_s, end_s = request.date("StartTime") or 0.0, request.date("EndTime") or 0.0
    if start_s >= end_s:
        raise bad_value("The parameter StartTime must be less than the parameter EndTime.")
    points = int(-(-(end_s - start_s) // period_s))
    if points > MAX_POINTS:
        raise bad_combination(
            f"You have requested up to {points:,} datapoints, which exceeds the limit of {MAX_POINTS:,}. "
            "You may reduce the datapoints requested by increasing Period, or decreasing the time range."
        )
    reading = Reading(round_start(start_s, period_s, now_s), int(end_s), period_s, request.choice("Unit", UNITS))
    return {
        "Label": metric_id.name,
        "Datapoints": [
            {
                "Timestamp": Stamp(point.start_s),
                **{name: point.stats.statistic(name) for name in STATISTICS if name in wanted},
                "Unit": point.unit,
            }
            for point in metrics.read(metric_id, reading)
        ],
    }


def describe_metric(metric_id: MetricId) -> dict[str, Any]:
    """A metric as ListMetrics shows it."""
    dimensions = [{"Name": name, "Value": value} for name, value in metric_id.dimensions]
    return {"Namespace": metric_id.namespace, "MetricName": metric_id.name, "Dimensions": dimensions}


def read_period(request: Members) -> int:
    """`Period` in seconds. Raises CloudWatchError where it is none that metrics are kept for."""
    period_s = request.need("Period").count("Period", low=1, high=_MAX_PERIOD) or 0
    if period_s not in _FINE_PERIODS and period_s % 60:
        raise bad_value(f"The parameter {request.at('Period')} must be a value in the set [ 1, 5, 10, 20, 30 ] or a "
                        "multiple of 60.")  # fmt: skip
    return period_s


def round_start(start_s: float, period_s: int, now_s: float) -> int:
    """Where a reading begins: rounded down, the coarser the longer ago it is.

    Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricStatistics.html, StartTime
    """
    age_s = now_s - start_s
    step_s = 60 if age_s < 15 * 86_400 else 300 if age_s < 63 * 86_400 else 3600
    step_s = period_s if period_s < 60 else step_s
    return int(start_s) // step_s * step_s


def _has(metric: Metric, filters: list[tuple[str | None, str | None]]) -> bool:
    dimensions = dict(metric.id.dimensions)
    return all(name in dimensions and value in {None, dimensions[name]} for name, value in filters)
