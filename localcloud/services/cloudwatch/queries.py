"""GetMetricData: the statistics of up to 500 metrics and expressions over them, in pages of data points.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
"""

from __future__ import annotations

import re
from typing import Any, Final

from localcloud.services.cloudwatch.cbor import Stamp
from localcloud.services.cloudwatch.errors import bad_token, missing, validation
from localcloud.services.cloudwatch.expressions import Series, Span
from localcloud.services.cloudwatch.members import Members
from localcloud.services.cloudwatch.model import Metrics
from localcloud.services.cloudwatch.operations import round_start
from localcloud.services.cloudwatch.sought import Sought, evaluate, period_of, read_sought

__all__ = ["get_metric_data"]

MAX_QUERIES: Final = 500  # API_GetMetricData.html
MAX_POINTS: Final = 100_800  # the same
MAX_READ: Final = 500_000  # points that are looked at for one page, half a second's work; AWS ends pages early, too
_TOKEN: Final = re.compile(r"([0-9]{1,3}):([0-9]{1,6})\Z", re.ASCII)
_ORDERS: Final = ("TimestampDescending", "TimestampAscending")


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
    sought = _parse_queries(request)
    queries = [query for query in sought if query.is_shown]
    place, offset = _read_token(request.text("NextToken"), len(queries))
    results: list[dict[str, Any]] = []
    work = MAX_READ
    while place < len(queries) and room > 0 and work > 0:
        query = queries[place]
        work -= sum(metrics.size(each.metric_id) for each in sought if each.metric_id and _reads(query, each))
        period_s = period_of(query, sought)
        span = Span(round_start(start_s, period_s, now_s), int(end_s), period_s)
        found = [
            _order(series, is_descending=is_descending) for series in evaluate(metrics, sought, wanted=query, span=span)
        ]
        shown = [values[offset : offset + room] for values in found]
        room -= sum(map(len, shown))
        is_whole = all(offset + len(part) >= len(values) for part, values in zip(shown, found, strict=True))
        results += [_describe(query, part, is_whole=is_whole) for part in shown]
        place, offset = (place + 1, 0) if is_whole else (place, offset + max(map(len, shown)))
    answer: dict[str, Any] = {"MetricDataResults": results, "Messages": []}
    if place < len(queries):
        answer["NextToken"] = f"{place}:{offset}"
    return answer


def _parse_queries(request: Members) -> list[Sought]:
    given = request.structures("MetricDataQueries")
    if not given:
        raise missing("MetricDataQueries")
    if len(given) > MAX_QUERIES:
        raise validation(f"The collection MetricDataQueries must not have a size greater than {MAX_QUERIES}.")
    return read_sought(given)


def _reads(query: Sought, other: Sought) -> bool:
    """Whether a query reads what another is of; an expression may read everything."""
    return query is other or query.expression is not None


def _order(series: Series, *, is_descending: bool) -> list[tuple[int, float]]:
    return sorted(series.items(), reverse=is_descending)


def _describe(query: Sought, values: list[tuple[int, float]], *, is_whole: bool) -> dict[str, Any]:
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
