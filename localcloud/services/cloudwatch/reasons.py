"""Why an alarm is in its state, in CloudWatch's words: StateReason and StateReasonData.

The words are those of the guide's and the API's examples. Pure.
Sources: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html
and https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-actions-Lambda.html
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from localcloud.services.cloudwatch.evaluation import Verdict
from localcloud.services.cloudwatch.watch import Datapoint, Watch, read_percent

__all__ = ["CREATED", "explain", "explain_data", "write_date", "write_number"]

CREATED: Final = "Unchecked: Initial alarm creation"
MAX_REASON: Final = 1023  # API_MetricAlarm.html, StateReason
MAX_DATA: Final = 4000  # the same, StateReasonData
MAX_SHOWN: Final = 25  # data points in a text, so that it keeps to its length
_WORDS: Final = {
    "GreaterThanOrEqualToThreshold": "greater than or equal to",
    "GreaterThanThreshold": "greater than",
    "LessThanThreshold": "less than",
    "LessThanOrEqualToThreshold": "less than or equal to",
}


def explain(watch: Watch, verdict: Verdict) -> str:
    """StateReason of a state that the evaluation gave."""
    periods = watch.evaluation_periods
    if verdict.state == "INSUFFICIENT_DATA":
        return f"Insufficient Data: {_count(periods, 'datapoint')} {_was(periods)} unknown."
    gaps = _gaps(watch, verdict)
    if not verdict.considered:
        return f"Threshold Crossed: no datapoints were received for {_count(periods, 'period')}{gaps}."
    is_alarm = verdict.state == "ALARM"
    told = [point for point in verdict.considered if watch.breaches(point.value) is is_alarm] or verdict.considered
    number = len(told)
    many = watch.datapoints_to_alarm is not None
    subject = f"{number} out of the last {periods} datapoints" if many else _count(number, "datapoint")
    verb = f"{_was(number)}{'' if is_alarm else ' not'} {_WORDS[watch.comparison]}"
    least = watch.needed if is_alarm else periods - watch.needed + 1
    change = "OK -> ALARM" if is_alarm else "ALARM -> OK"
    end = f" (minimum {_count(least, 'datapoint')} for {change} transition)" if many else ""
    threshold = write_number(watch.threshold)
    text = f"Threshold Crossed: {subject} [{_list(told)}] {verb} the threshold ({threshold}){gaps}{end}."
    return text[:MAX_REASON]


def explain_data(watch: Watch, verdict: Verdict, now_s: float) -> str:
    """StateReasonData: JSON, with the data points that were looked at."""
    values = [point.value for point in reversed(verdict.considered)]
    points = [
        {"timestamp": write_date(point.start_s), "sampleCount": point.samples, "value": point.value}
        for point in verdict.considered
    ] or [{"timestamp": write_date(start_s)} for start_s in verdict.starts]
    told: dict[str, Any] = {"version": "1.0", "queryDate": write_date(now_s)}
    if verdict.considered:
        told["startDate"] = write_date(verdict.considered[-1].start_s)
    if watch.unit is not None:
        told["unit"] = watch.unit
    key = "statistic" if read_percent(watch.statistic) is None else "extendedStatistic"
    told |= {} if watch.queries else {key: watch.statistic}
    told |= {"period": watch.period_s, "recentDatapoints": values, "threshold": watch.threshold}
    text = _compact(told | {"evaluatedDatapoints": points})
    while len(text) > MAX_DATA:  # the oldest are left out
        values, points = values[len(values) // 2 :], points[: len(points) // 2]
        text = _compact(told | {"recentDatapoints": values, "evaluatedDatapoints": points})
    return text


def write_date(at_s: float) -> str:
    """A date as alarms tell it: `2023-08-04T12:36:15.490+0000`."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "+0000")


def write_number(value: float) -> str:
    """A number as Java writes one, which is what the texts have: 50.0, 1.34217728E8."""
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(float(value))
    number = Decimal(repr(float(value))).normalize()
    digits = "".join(map(str, number.as_tuple().digits))
    return f"{'-' if value < 0 else ''}{digits[0]}.{digits[1:] or '0'}E{number.adjusted()}"


def _gaps(watch: Watch, verdict: Verdict) -> str:
    names = {"breaching": "Breaching", "notBreaching": "NonBreaching"}
    if not verdict.filled or watch.treatment not in names:
        return ""
    number = verdict.filled
    return f" and {_count(number, 'missing datapoint')} {_was(number)} treated as [{names[watch.treatment]}]"


def _list(points: Sequence[Datapoint]) -> str:
    shown = [
        f"{write_number(point.value)} ({datetime.fromtimestamp(point.start_s, UTC):%d/%m/%y %H:%M:%S})"
        for point in points[:MAX_SHOWN]
    ]
    return ", ".join(shown)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _was(number: int) -> str:
    return "was" if number == 1 else "were"


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
