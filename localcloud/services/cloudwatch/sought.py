"""What is asked of metrics: single statistics and expressions over them, each with an id, as GetMetricData and alarms
on metric math name them.

Owns the rules of ids and of what may name what; knows no page and no alarm.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDataQuery.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from localcloud.services.cloudwatch.errors import CloudWatchError, not_served, validation
from localcloud.services.cloudwatch.expressions import (
    BadExpression,
    Expression,
    NotServed,
    Series,
    Span,
    Value,
    parse_expression,
)
from localcloud.services.cloudwatch.members import UNITS, Members
from localcloud.services.cloudwatch.model import MetricId, Metrics, Reading, Stats
from localcloud.services.cloudwatch.operations import STATISTICS, read_period
from localcloud.services.cloudwatch.watch import Datapoint, Watch, read_datapoints, read_percent
from localcloud.services.contract import ACCOUNT_ID

__all__ = ["Sought", "describe_sought", "evaluate", "period_of", "read_series", "read_sought", "read_watched"]

MAX_PERIODS: Final = 100_800  # API_GetMetricData.html: data points of a request
_ID: Final = re.compile(r"[a-z][a-zA-Z0-9_]*\Z", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """One query: a statistic of a metric, or an expression (`metric_id` None). `is_shown`: its values are asked for."""

    query_id: str
    label: str
    is_shown: bool
    period_s: int
    metric_id: MetricId | None = None
    statistic: str = ""
    unit: str | None = None
    expression: Expression | None = None


def read_sought(given: Sequence[Members]) -> list[Sought]:
    """The queries of a request; expressions have their period from what they name. Raises CloudWatchError."""
    found: dict[str, Sought] = {}
    for raw in given:
        query = _read_expression(raw) if "Expression" in raw else _read_metric(raw)
        if query.query_id in found:
            raise validation("The values for parameter Id in MetricDataQueries are not unique.")
        found[query.query_id] = query
    done: set[str] = set()
    for query in found.values():
        _check_ids(query, found, above=(), done=done)
    return list(found.values())


def evaluate(metrics: Metrics, sought: Sequence[Sought], *, wanted: Sought, span: Span) -> list[Series]:
    """The time series that a query gives in the periods of `span`. Raises CloudWatchError."""
    by_id = {query.query_id: query for query in sought}
    plain = {
        query.query_id: read_series(metrics, query, Span(span.start_s, span.end_s, query.period_s))
        for query in named_by(wanted, by_id)
        if query.metric_id is not None
    }
    if wanted.expression is None:
        return [plain[wanted.query_id]]
    if (span.end_s - span.start_s) // span.period_s > MAX_PERIODS:
        raise validation(f"An expression has more than {MAX_PERIODS} periods; make the period longer.")
    known: dict[str, Value] = dict(plain)
    try:
        value = _value(wanted, by_id, known, plain=plain, span=span)
    except BadExpression as error:
        raise validation(f"Error in expression '{wanted.query_id}': {error}") from error
    if isinstance(value, dict):
        return [value]
    if isinstance(value, list):
        return value
    raise validation(f"Error in expression '{wanted.query_id}': it gives a number, and a time series is needed")


def read_series(metrics: Metrics, query: Sought, span: Span) -> Series:
    """A statistic by period; values of every unit count together where no unit is asked for."""
    if query.metric_id is None:
        return {}
    merged: dict[int, Stats] = {}
    for point in metrics.read(query.metric_id, Reading(span.start_s, span.end_s, span.period_s, query.unit)):
        if point.start_s in merged:
            merged[point.start_s].add(point.stats)
        else:
            merged[point.start_s] = point.stats
    percent = read_percent(query.statistic)
    found: Series = {}
    for start_s, stats in sorted(merged.items()):
        value = stats.statistic(query.statistic) if percent is None else stats.percentile(percent)
        if value is not None:
            found[start_s] = value
    return found


def _value(
    wanted: Sought, sought: Mapping[str, Sought], known: dict[str, Value], *, plain: Mapping[str, Series], span: Span
) -> Value:
    expression = wanted.expression
    if expression is None:
        return known[wanted.query_id]
    for query_id in expression.ids:
        if query_id not in known:
            known[query_id] = _value(sought[query_id], sought, known, plain=plain, span=span)
    return expression.value(known, plain, span)


def named_by(query: Sought, by_id: Mapping[str, Sought]) -> list[Sought]:
    """A query and all that its expression needs, in the order of the request."""
    reached = {query.query_id}
    waiting = [query]
    while waiting:
        expression = waiting.pop().expression
        if expression is None:
            continue
        metrics = (each.query_id for each in by_id.values() if expression.all_metrics and each.metric_id is not None)
        for query_id in {*expression.ids, *metrics} - reached:
            reached.add(query_id)
            waiting.append(by_id[query_id])
    return [each for each in by_id.values() if each.query_id in reached]


def _check_ids(query: Sought, by_id: Mapping[str, Sought], *, above: tuple[str, ...], done: set[str]) -> None:
    """Every id that an expression names is there, and none leads back to it."""
    if query.query_id in above:
        raise validation(f"Error in expression '{query.query_id}': it names itself")
    if query.query_id in done:
        return
    for query_id in query.expression.ids if query.expression is not None else ():
        if query_id not in by_id:
            raise validation(f"Error in expression '{query.query_id}': the id {query_id} is unknown")
        _check_ids(by_id[query_id], by_id, above=(*above, query.query_id), done=done)
    done.add(query.query_id)


def _read_id(raw: Members) -> str:
    query_id = raw.need("Id").text("Id") or ""
    if _ID.match(query_id) is None:
        raise validation(f"The value {query_id} for parameter {raw.at('Id')} is invalid.")
    if raw.text("AccountId") not in {None, ACCOUNT_ID}:
        raise not_served("metrics of other accounts (AccountId)")
    return query_id


def _read_label(raw: Members, otherwise: str) -> str:
    label = raw.text("Label", most=1024)
    if label is not None and "${" in label:
        raise not_served("dynamic labels")
    return label or otherwise


def _read_expression(raw: Members) -> Sought:
    raw.only("Id", "Expression", "Label", "ReturnData", "AccountId", "Period")
    query_id = _read_id(raw)
    text = raw.text("Expression", most=2048) or ""
    if text.lstrip().upper().startswith("SELECT"):
        raise not_served(f"Metrics Insights queries ({raw.at('Expression')})")
    try:
        expression = parse_expression(text)
    except NotServed as error:
        raise not_served(str(error)) from error
    except BadExpression as error:
        raise validation(f"Error in expression '{query_id}': {error}") from error
    return Sought(
        query_id=query_id,
        label=_read_label(raw, query_id),
        is_shown=raw.flag("ReturnData", default=True),
        period_s=read_period(raw) if "Period" in raw else 0,
        expression=expression,
    )


def _read_metric(raw: Members) -> Sought:
    raw.only("Id", "MetricStat", "Label", "ReturnData", "AccountId").need("Id", "MetricStat")
    query_id = _read_id(raw)
    stat = (raw.structure("MetricStat") or Members({})).only("Metric", "Period", "Stat", "Unit")
    stat.need("Metric", "Period", "Stat")
    metric = (stat.structure("Metric") or Members({})).only("Namespace", "MetricName", "Dimensions")
    metric.need("Namespace", "MetricName")
    statistic = stat.text("Stat") or ""
    if statistic not in STATISTICS and read_percent(statistic) is None:
        raise not_served(f"the statistic {statistic}; it serves {', '.join(STATISTICS)} and percentiles")
    name = metric.text("MetricName") or ""
    return Sought(
        query_id=query_id,
        label=_read_label(raw, name),
        is_shown=raw.flag("ReturnData", default=True),
        period_s=read_period(stat),
        metric_id=MetricId(metric.text("Namespace") or "", name, metric.dimensions()),
        statistic=statistic,
        unit=stat.choice("Unit", UNITS),
    )


def period_of(query: Sought, sought: Sequence[Sought]) -> int:
    """The period of a query: its own, else the longest of the metrics that it needs; a minute where it needs none."""
    if query.period_s:
        return query.period_s
    named = named_by(query, {each.query_id: each for each in sought})
    return max((each.period_s for each in named if each.period_s), default=60)


def read_watched(metrics: Metrics, watch: Watch, now_s: float) -> list[Datapoint]:
    """What a metric alarm looks at, by date: a statistic's data points, or those of its expression."""
    if not watch.queries:
        return read_datapoints(metrics, watch, now_s)
    starts = watch.starts(now_s)
    wanted = next(query for query in watch.queries if query.is_shown)
    span = Span(starts[-1], starts[0] + watch.period_s, watch.period_s)
    try:
        found = evaluate(metrics, watch.queries, wanted=wanted, span=span)
    except CloudWatchError:
        return []  # it gives no time series of what there is now
    return [Datapoint(at_s, value) for at_s, value in sorted(found[0].items())] if len(found) == 1 else []


def describe_sought(query: Sought) -> dict[str, Any]:
    """A query in the API's names."""
    told: dict[str, Any] = {"Id": query.query_id}
    if query.metric_id is not None:
        metric = {
            "Namespace": query.metric_id.namespace,
            "MetricName": query.metric_id.name,
            "Dimensions": [{"Name": name, "Value": value} for name, value in query.metric_id.dimensions],
        }
        told["MetricStat"] = {"Metric": metric, "Period": query.period_s, "Stat": query.statistic}
        told["MetricStat"] |= {} if query.unit is None else {"Unit": query.unit}
    elif query.expression is not None:
        told["Expression"] = query.expression.text
        told |= {"Period": query.period_s} if query.period_s else {}
    if query.label not in {query.query_id, query.metric_id.name if query.metric_id is not None else ""}:
        told["Label"] = query.label
    return told | {"ReturnData": query.is_shown}
