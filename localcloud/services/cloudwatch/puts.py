"""PutMetricData: what somebody measured, checked whole before any of it is kept.

Owns its parameters and limits, in AWS's words; what is kept lies in `model`.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from localcloud.services.cloudwatch.errors import bad_combination, bad_value, missing
from localcloud.services.cloudwatch.members import UNITS, Members
from localcloud.services.cloudwatch.model import MetricId, Metrics, Stats

__all__ = ["put_metric_data"]

MAX_DATA: Final = 1000  # API_PutMetricData.html
MAX_VALUES: Final = 150  # API_MetricDatum.html, Values
LARGEST: Final = 2.0**360  # API_MetricDatum.html, Value
LEAST_COUNT: Final = 2.0**-360  # the same, as older editions have it; an average over less would be infinite
OLDEST_S: Final = 14 * 86_400  # API_PutMetricData.html: two weeks before now
NEWEST_S: Final = 2 * 3600  # and two hours after
_NAMESPACE: Final = re.compile(r"(?!:)[ -~]+\Z", re.ASCII)
_DATUM: Final = (
    "MetricName", "Dimensions", "Timestamp", "Unit", "StorageResolution", "Value", "StatisticValues", "Values", "Counts"
)  # fmt: skip
_SET: Final = ("SampleCount", "Sum", "Minimum", "Maximum")


@dataclass(frozen=True, slots=True)
class _Datum:
    metric_id: MetricId
    stats: tuple[Stats, ...]
    unit: str
    at_s: float | None
    is_fine: bool


def put_metric_data(metrics: Metrics, request: Members, now_s: float) -> None:
    """PutMetricData: all of it, or none. Raises CloudWatchError."""
    request.only("Namespace", "MetricData", "StrictEntityValidation").need("Namespace")
    namespace = request.text("Namespace") or ""
    if namespace.startswith("AWS/"):
        raise bad_value("The value AWS/ for parameter Namespace is invalid.")
    if _NAMESPACE.match(namespace) is None:
        raise bad_value(f"The value {namespace} for parameter Namespace is invalid.")
    given = request.structures("MetricData")
    if not given:
        raise missing("MetricData")
    if len(given) > MAX_DATA:
        raise bad_value(f"The collection MetricData must not have a size greater than {MAX_DATA}.")
    for datum in [_parse_datum(raw, namespace, now_s) for raw in given]:
        for stats in datum.stats:
            metrics.add(datum.metric_id, stats, unit=datum.unit, at_s=datum.at_s, is_fine=datum.is_fine)


def _parse_datum(raw: Members, namespace: str, now_s: float) -> _Datum:
    raw.only(*_DATUM).need("MetricName")
    at_s = raw.date("Timestamp")
    if at_s is not None and not now_s - OLDEST_S <= at_s <= now_s + NEWEST_S:
        bound = "within the past two weeks" if at_s < now_s else "no later than 2 hours in the future"
        raise bad_value(f"The parameter {raw.at('Timestamp')} must specify a time {bound}.")
    resolution = raw.count("StorageResolution", low=1, high=60) or 60
    if resolution not in {1, 60}:
        raise bad_value(f"The parameter {raw.at('StorageResolution')} must be a value in the set [ 1, 60 ].")
    return _Datum(
        metric_id=MetricId(namespace, raw.name("MetricName"), raw.dimensions()),
        stats=tuple(_parse_stats(raw)),
        unit=raw.choice("Unit", UNITS) or "None",
        at_s=at_s,
        is_fine=resolution == 1,
    )


def _parse_stats(raw: Members) -> Iterable[Stats]:
    given = [name for name in ("Value", "StatisticValues", "Values") if name in raw]
    if not given:
        raise missing(raw.at("Value"))
    if len(given) > 1:
        first, second = map(raw.at, given[:2])
        raise bad_combination(
            f"The parameters {first} and {second} are mutually exclusive and you have specified both."
        )
    if "Counts" in raw and given != ["Values"]:
        raise bad_combination(f"The parameter {raw.at('Counts')} needs the parameter {raw.at('Values')}.")
    value = raw.number("Value")
    if value is not None:
        _check_size(value, raw.at("Value"))
        return [Stats(1.0, value, value, value)]
    whole = raw.structure("StatisticValues")
    return _parse_values(raw) if whole is None else [_parse_set(whole)]


def _parse_set(whole: Members) -> Stats:
    whole.only(*_SET).need(*_SET)
    count, total, least, most = (whole.number(name) or 0.0 for name in _SET)
    for name, value in zip(_SET, (count, total, least, most), strict=True):
        _check_size(value, whole.at(name))
    if count < LEAST_COUNT:
        raise bad_value(f"The parameter {whole.at('SampleCount')} must be greater than 0.")
    if least > most:
        raise bad_value(f"The parameter {whole.at('Maximum')} must be greater than {whole.at('Minimum')}.")
    return Stats(count, total, least, most)


def _parse_values(raw: Members) -> list[Stats]:
    values = raw.numbers("Values")
    counts = raw.numbers("Counts") if "Counts" in raw else [1.0] * len(values)
    if not values:
        raise missing(raw.at("Values"))
    if len(values) > MAX_VALUES:
        raise bad_value(f"The collection {raw.at('Values')} must not have a size greater than {MAX_VALUES}.")
    if len(values) != len(counts):
        raise bad_value(f"The parameters {raw.at('Values')} and {raw.at('Counts')} must be of the same size.")
    for value, count in zip(values, counts, strict=True):
        _check_size(value, raw.at("Values"))
        _check_size(count, raw.at("Counts"))
        if count < LEAST_COUNT:
            raise bad_value(f"The value {count:g} for parameter {raw.at('Counts')} is invalid.")
    return [Stats(count, value * count, value, value) for value, count in zip(values, counts, strict=True)]


def _check_size(value: float, place: str) -> None:
    if abs(value) > LARGEST:
        raise bad_value(f"The value {value:g} for parameter {place} is invalid.")
