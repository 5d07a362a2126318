"""PutMetricAlarm and PutCompositeAlarm: a request read into a definition, checked whole.

Owns their parameters and limits, in AWS's words; what is in force lies in `alarms`.
Sources: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
and API_PutCompositeAlarm.html there
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from localcloud.services.cloudwatch.alarm import ACTIONS, Definition, Suppressor
from localcloud.services.cloudwatch.alarms import alarm_arn
from localcloud.services.cloudwatch.errors import bad_combination, missing, not_served, validation
from localcloud.services.cloudwatch.members import UNITS, Members
from localcloud.services.cloudwatch.model import MetricId
from localcloud.services.cloudwatch.operations import STATISTICS
from localcloud.services.cloudwatch.rules import BadRule, parse_rule
from localcloud.services.cloudwatch.sought import Sought, describe_sought, read_sought
from localcloud.services.cloudwatch.watch import COMPARISONS, STATES, TREATMENTS, Watch, read_percent

__all__ = ["check_action", "read_alarm_name", "read_composite_alarm", "read_metric_alarm", "read_tags"]

MAX_ACTIONS: Final = 5  # of each state
MAX_DESCRIPTION: Final = 1024
MAX_ARN: Final = 1024
MAX_RULE: Final = 1_000_000  # of a request; the rule itself says how long it may be
MAX_TAGS: Final = 50
MAX_SPAN_S: Final = 86_400  # EvaluationPeriods times Period, for periods of less than an hour
MAX_LONG_SPAN_S: Final = 604_800  # and for the others
HOUR_S: Final = 3600
MAX_PERIODS: Final = 2**31 - 1
FINE_PERIODS: Final = (10, 20, 30)
MAX_QUERIES: Final = 20  # API_PutMetricAlarm.html, Metrics
MAX_METRICS: Final = 10  # the same
_OF_ONE_METRIC: Final = (
    "MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Dimensions", "Period", "Unit",
)  # fmt: skip
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_ARN: Final = re.compile(r"arn:[^:\s]+:[^:\s]+:[^:\s]*:[^:\s]*:.+")
_BANDS: Final = ("LessThanLowerOrGreaterThanUpperThreshold", "LessThanLowerThreshold", "GreaterThanUpperThreshold")
_COMMON: Final = ("AlarmName", "AlarmDescription", "ActionsEnabled", "Tags", *ACTIONS.values())
_METRIC: Final = (
    *_COMMON, "MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Dimensions", "Period", "Unit",
    "EvaluationPeriods", "DatapointsToAlarm", "Threshold", "ComparisonOperator", "TreatMissingData",
    "EvaluateLowSampleCountPercentile", "Metrics", "ThresholdMetricId",
)  # fmt: skip
_COMPOSITE: Final = (
    *_COMMON, "AlarmRule", "ActionsSuppressor", "ActionsSuppressorWaitPeriod", "ActionsSuppressorExtensionPeriod",
)  # fmt: skip


class _Watched(NamedTuple):
    metric: MetricId
    statistic: str
    period_s: int
    unit: str | None
    queries: tuple[Sought, ...] = ()


def read_metric_alarm(request: Members, region: str) -> Definition:
    """The definition that PutMetricAlarm gives. Raises CloudWatchError."""
    request.only(*_METRIC).need("AlarmName", "EvaluationPeriods", "ComparisonOperator")
    if "ThresholdMetricId" in request:
        raise not_served("anomaly detection in alarms (ThresholdMetricId)")
    watch = _read_watch(request)
    described = _describe(request) | _describe_watched(watch)
    described["EvaluationPeriods"] = watch.evaluation_periods
    described |= {} if watch.datapoints_to_alarm is None else {"DatapointsToAlarm": watch.datapoints_to_alarm}
    described |= {"Threshold": watch.threshold, "ComparisonOperator": watch.comparison}
    described |= {"TreatMissingData": watch.missing} if "TreatMissingData" in request else {}
    described |= {"EvaluateLowSampleCountPercentile": watch.low_samples} if watch.low_samples else {}
    return _define(request, region, described, watch=watch)


def _describe_watched(watch: Watch) -> dict[str, Any]:
    if watch.queries:
        return {"Metrics": [describe_sought(query) for query in watch.queries]}
    described = {
        "MetricName": watch.metric.name,
        "Namespace": watch.metric.namespace,
        "Statistic" if read_percent(watch.statistic) is None else "ExtendedStatistic": watch.statistic,
        "Dimensions": [{"Name": name, "Value": value} for name, value in watch.metric.dimensions],
        "Period": watch.period_s,
    }
    return described | ({} if watch.unit is None else {"Unit": watch.unit})


def read_composite_alarm(request: Members, region: str) -> Definition:
    """The definition that PutCompositeAlarm gives. Raises CloudWatchError."""
    request.only(*_COMPOSITE).need("AlarmName", "AlarmRule")
    try:
        rule = parse_rule(request.text("AlarmRule", most=MAX_RULE) or "")
    except BadRule as error:
        raise validation(str(error)) from error
    described = _describe(request) | {"AlarmRule": rule.text}
    suppressor = _read_suppressor(request)
    if suppressor is not None:
        described |= {
            "ActionsSuppressor": suppressor.alarm,
            "ActionsSuppressorWaitPeriod": suppressor.wait_s,
            "ActionsSuppressorExtensionPeriod": suppressor.extension_s,
        }
    return _define(request, region, described, rule=rule, suppressor=suppressor)


def read_alarm_name(request: Members, name: str = "AlarmName") -> str:
    """An alarm's name. Raises CloudWatchError."""
    found = request.need(name).text(name) or ""
    if _CONTROL.search(found):
        raise validation(f"The value for parameter {name} must not contain control characters.")
    return found


def read_tags(request: Members) -> dict[str, str]:
    """`Tags` by key. Raises CloudWatchError."""
    found: dict[str, str] = {}
    for tag in request.structures("Tags"):
        key = tag.only("Key", "Value").need("Key", "Value").text("Key", most=128) or ""
        if key.lower().startswith("aws:"):
            raise validation(f"The value {key} for parameter {tag.at('Key')} is invalid.")
        found[key] = tag.free_text("Value", most=256)
    if len(found) > MAX_TAGS:
        raise validation(f"The collection Tags must not have a size greater than {MAX_TAGS}.")
    return found


def check_action(arn: str) -> str:
    """An action, if it is one that is done here. Raises CloudWatchError."""
    if len(arn) > MAX_ARN or _ARN.fullmatch(arn) is None:
        raise validation(f"Invalid arn syntax: {arn[:MAX_ARN]}")
    service = arn.split(":")[2]
    if service not in {"sns", "lambda"}:
        raise not_served(f"alarm actions of {service}; it serves those of SNS topics and Lambda functions")
    return arn


def _define(request: Members, region: str, described: Mapping[str, Any], **more: Any) -> Definition:
    name = read_alarm_name(request)
    arn = alarm_arn(name, region) if not name.startswith("arn:") else ""
    if not arn:
        raise validation(f"The value {name} for parameter AlarmName is invalid.")
    return Definition(
        name=name,
        arn=arn,
        actions_enabled=request.flag("ActionsEnabled", default=True),
        actions={state: tuple(described[ACTIONS[state]]) for state in STATES},
        described=described,
        tags=read_tags(request),
        **more,
    )


def _describe(request: Members) -> dict[str, Any]:
    """What every alarm has, in the order of the API's answers."""
    told: dict[str, Any] = {"AlarmName": read_alarm_name(request)}
    if "AlarmDescription" in request:
        told["AlarmDescription"] = request.free_text("AlarmDescription", most=MAX_DESCRIPTION)
    told["ActionsEnabled"] = request.flag("ActionsEnabled", default=True)
    for member in ACTIONS.values():
        given = request.texts(member)
        if len(given) > MAX_ACTIONS:
            raise validation(f"The collection {member} must not have a size greater than {MAX_ACTIONS}.")
        told[member] = [check_action(action) for action in given]
    return told


def _read_watch(request: Members) -> Watch:
    comparison = request.choice("ComparisonOperator", (*COMPARISONS, *_BANDS)) or ""
    if comparison in _BANDS:
        raise not_served(f"anomaly detection ({comparison})")
    request.need("Threshold")
    watched = _read_queries(request) if "Metrics" in request else _read_metric(request)
    statistic, period_s = watched.statistic, watched.period_s
    periods = request.count("EvaluationPeriods", low=1, high=MAX_PERIODS) or 0
    most_s = MAX_SPAN_S if period_s < HOUR_S else MAX_LONG_SPAN_S
    if periods * period_s > most_s:
        span = "a day" if most_s == MAX_SPAN_S else "7 days"
        bound = f"EvaluationPeriods * Period must be <= {most_s}"
        raise validation(f"Metrics cannot be checked across more than {span} ({bound})")
    needed = request.count("DatapointsToAlarm", low=1, high=MAX_PERIODS)
    if needed is not None and needed > periods:
        raise validation("DatapointsToAlarm must be less than or equal to EvaluationPeriods")
    low_samples = _read_option(request, "EvaluateLowSampleCountPercentile", ("evaluate", "ignore")) or ""
    if low_samples and read_percent(statistic) is None:
        raise validation("EvaluateLowSampleCountPercentile is for alarms on percentiles only")
    return Watch(
        metric=watched.metric,
        statistic=statistic,
        period_s=period_s,
        threshold=request.number("Threshold") or 0.0,
        comparison=comparison,
        evaluation_periods=periods,
        datapoints_to_alarm=needed,
        missing=_read_option(request, "TreatMissingData", TREATMENTS) or "missing",
        low_samples=low_samples,
        unit=watched.unit,
        queries=watched.queries,
    )


def _read_metric(request: Members) -> _Watched:
    request.need("MetricName", "Namespace", "Period")
    period_s = request.count("Period", low=1, high=MAX_PERIODS) or 0
    if period_s not in FINE_PERIODS and period_s % 60:
        raise validation("Period must be 10, 20, 30 or a multiple of 60")
    metric = MetricId(request.text("Namespace") or "", request.text("MetricName") or "", request.dimensions())
    return _Watched(metric, _read_statistic(request), period_s, request.choice("Unit", UNITS))


def _read_queries(request: Members) -> _Watched:
    """Metric math: up to ten metrics of one period, and one query whose values count.

    Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html, Metrics
    """
    for name in _OF_ONE_METRIC:
        if name in request:
            raise bad_combination(f"The parameters Metrics and {name} are mutually exclusive.")
    queries = tuple(read_sought(request.structures("Metrics")))
    shown = [query for query in queries if query.is_shown]
    if len(shown) != 1:
        raise validation("Exactly one element of the metrics list should return data.")
    metrics = [query for query in queries if query.metric_id is not None]
    if len(queries) > MAX_QUERIES or len(metrics) > MAX_METRICS:
        raise validation(f"Metrics has at most {MAX_QUERIES} elements, {MAX_METRICS} of them metrics.")
    if not metrics:
        raise validation("At least one element of the metrics list should be a metric.")
    periods = {query.period_s for query in queries if query.period_s}
    if len(periods) != 1:
        raise validation("All elements of the metrics list should have the same Period.")
    period_s = periods.pop()
    if period_s not in FINE_PERIODS and period_s % 60:
        raise validation("Period must be 10, 20, 30 or a multiple of 60")
    return _Watched(MetricId("", ""), "", period_s, None, queries)


def _read_option(request: Members, name: str, options: tuple[str, ...]) -> str | None:
    value = request.text(name)
    if value is not None and value not in options:
        served = f"{', '.join(options[:-1])} and {options[-1]}"
        raise validation(f"Option {value} is not supported. Supported options for parameter {name} are {served}.")
    return value


def _read_statistic(request: Members) -> str:
    plain, extended = request.choice("Statistic", STATISTICS), request.text("ExtendedStatistic")
    if (plain is None) == (extended is None):
        raise bad_combination("Must specify either Statistic or ExtendedStatistic, and not both.")
    if extended is not None and read_percent(extended) is None:
        raise not_served(f"the extended statistic {extended}; it serves percentiles from p0 to p100")
    return plain or extended or ""


def _read_suppressor(request: Members) -> Suppressor | None:
    periods = ("ActionsSuppressorWaitPeriod", "ActionsSuppressorExtensionPeriod")
    alarm = request.text("ActionsSuppressor", most=1600)
    if alarm is None:
        for name in periods:
            if name in request:
                raise validation(f"{name} is only for alarms with an ActionsSuppressor")
        return None
    found = [request.count(name, low=0, high=MAX_PERIODS) for name in periods]
    for name, value in zip(periods, found, strict=True):
        if value is None:
            raise missing(name)
    return Suppressor(alarm, found[0] or 0, found[1] or 0)
