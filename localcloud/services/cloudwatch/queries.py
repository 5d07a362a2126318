"""GetMetricData: the statistics of up to 500 metrics, in pages of data points.

Serves queries of one metric each (MetricStat); expressions are refused by name. Values of every unit count together
where no unit is asked for.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from localcloud.services.cloudwatch.cbor import Stamp
from localcloud.services.cloudwatch.errors import bad_token, missing, not_served, validation
from localcloud.services.cloudwatch.members import UNITS, Members
from localcloud.services.cloudwatch.model import MetricId, Metrics, Reading, Stats
from localcloud.services.cloudwatch.operations import STATISTICS, read_period, round_start
from localcloud.services.contract import ACCOUNT_ID

__all__ = ["get_metric_data"]

MAX_QUERIES: Final = 500  # API_GetMetricData.html
MAX_POINTS: Final = 100_800  # the same
MAX_READ: Final = 500_000  # points that are looked at for one page, half a second's work; AWS ends pages early, too
_ID: Final = re.compile(r"[a-z][a-zA-Z0-9_]*\Z", re.ASCII)  # API_MetricDataQuery.html
_TOKEN: Final = re.compile(r"([0-9]{1,3}):([0-9]{1,6})\Z", re.ASCII)
_ORDERS: Final = ("TimestampDescending", "TimestampAscending")


@dataclass(frozen=True, slots=True)
class _Query:
    """One metric and statistic. `is_shown`: its values are asked for."""

    query_id: str
    label: str
    metric_id: MetricId
    statistic: str
    reading: Reading
    is_shown: bool


def get_metric_data(metrics: Metrics, request: Members, now_s: float) -> dict[str, Any]:
    """GetMetricData: a page of values. Raises CloudWatchError."""
    request.only("MetricDataQueries", "StartTime", "EndTime", "NextToken", "ScanBy", "MaxDatapoints")
    request.need("MetricDataQueries", "StartTime", "EndTime")
    start_s, end_s = request.date("StartTime") or 0.0, request.date("EndTime") or 0.0
    if start_s > end_s:
        raise validation("The parameter EndTime must be greater than StartTime.")
    if start_s == end_s:
        raise validation("The parameter StartTime must not equal parameter EndTime.")
    is_descending = (request.choice("ScanBy", _ORDERS) or _ORDERS[0]) == _ORDERS[0]
    room = request.count("MaxDatapoints", low=1, high=MAX_POINTS) or MAX_POINTS
    queries = [query for query in _parse_queries(request, (start_s, end_s), now_s) if query.is_shown]
    place, offset = _read_token(request.text("NextToken"), len(queries))
    results: list[dict[str, Any]] = []
    work = MAX_READ
    while place < len(queries) and room and work > 0:
        query = queries[place]
        work -= metrics.size(query.metric_id)
        values = _values(metrics, query, is_descending=is_descending)
        shown = values[offset : offset + room]
        room -= len(shown)
        is_whole = offset + len(shown) >= len(values)
        results.append(_describe(query, shown, is_whole=is_whole))
        place, offset = (place + 1, 0) if is_whole else (place, offset + len(shown))
    answer: dict[str, Any] = {"MetricDataResults": results, "Messages": []}
    if place < len(queries):
        answer["NextToken"] = f"{place}:{offset}"
    return answer


def _parse_queries(request: Members, times: tuple[float, float], now_s: float) -> list[_Query]:
    given = request.structures("MetricDataQueries")
    if not given:
        raise missing("MetricDataQueries")
    if len(given) > MAX_QUERIES:
        raise validation(f"The collection MetricDataQueries must not have a size greater than {MAX_QUERIES}.")
    queries = [_parse_query(raw, times, now_s) for raw in given]
    if len({query.query_id for query in queries}) != len(queries):
        raise validation("The values for parameter Id in MetricDataQueries are not unique.")
    return queries


def _parse_query(raw: Members, times: tuple[float, float], now_s: float) -> _Query:
    if "Expression" in raw:
        raise not_served(f"metric math and Metrics Insights queries ({raw.at('Expression')})")
    raw.only("Id", "MetricStat", "Label", "ReturnData", "AccountId").need("Id", "MetricStat")
    query_id = raw.text("Id") or ""
    if _ID.match(query_id) is None:
        raise validation(f"The value {query_id} for parameter {raw.at('Id')} is invalid.")
    if raw.text("AccountId") not in {None, ACCOUNT_ID}:
        raise not_served("metrics of other accounts (AccountId)")
    stat = (raw.structure("MetricStat") or Members({})).only("Metric", "Period", "Stat", "Unit")
    stat.need("Metric", "Period", "Stat")
    metric = (stat.structure("Metric") or Members({})).only("Namespace", "MetricName", "Dimensions")
    metric.need("Namespace", "MetricName")
    statistic = stat.text("Stat") or ""
    if statistic not in STATISTICS:
        raise not_served(f"the statistic {statistic}; it serves {', '.join(STATISTICS)}")
    label = raw.text("Label", most=1024)
    if label is not None and "${" in label:
        raise not_served("dynamic labels")
    period_s = read_period(stat)
    name = metric.text("MetricName") or ""
    return _Query(
        query_id=query_id,
        label=label or name,
        metric_id=MetricId(metric.text("Namespace") or "", name, metric.dimensions()),
        statistic=statistic,
        reading=Reading(round_start(times[0], period_s, now_s), int(times[1]), period_s, stat.choice("Unit", UNITS)),
        is_shown=raw.flag("ReturnData", default=True),
    )


def _values(metrics: Metrics, query: _Query, *, is_descending: bool) -> list[tuple[int, float]]:
    """(where a period begins, the statistic of its values), in order."""
    merged: dict[int, Stats] = {}
    for point in metrics.read(query.metric_id, query.reading):
        found = merged.get(point.start_s)
        if found is None:
            merged[point.start_s] = point.stats
        else:
            found.add(point.stats)
    values = [(start_s, stats.statistic(query.statistic)) for start_s, stats in sorted(merged.items(), key=_start)]
    return values[::-1] if is_descending else values


def _start(entry: tuple[int, Stats]) -> int:
    return entry[0]


def _describe(query: _Query, values: list[tuple[int, float]], *, is_whole: bool) -> dict[str, Any]:
    return {
        "Id": query.query_id,
        "Label": query.label,
        "Timestamps": [Stamp(start_s) for start_s, _ in values],
        "Values": [value for _, value in values],
        "StatusCode": "Complete" if is_whole else "PartialData",
    }


def _read_token(token: str | None, count: int) -> tuple[int, int]:
    """(query to go on with, its values that were shown)."""
    if token is None:
        return 0, 0
    found = _TOKEN.match(token)
    if found is None or int(found[1]) >= count:
        raise bad_token()
    return int(found[1]), int(found[2])
