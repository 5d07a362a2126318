"""Metrics in the lines of logs: the embedded metric format, as CloudWatch Logs takes them out of any group's events.

A line is a document where it is one JSON object with `_aws.CloudWatchMetrics`; what it names is put as PutMetricData
would put it, under the same limits. A document that is wrong puts nothing from the directive on that is wrong, and is
counted where AWS counts it: `EMFParsingErrors` and `EMFValidationErrors` of `AWS/Logs`, by group.
Sources: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html,
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch-Logs-Monitoring-CloudWatch-Metrics.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final, cast

from localcloud.json_text import MalformedJson, read_json
from localcloud.services.cloudwatch.errors import CloudWatchError
from localcloud.services.cloudwatch.members import MAX_DIMENSIONS, Members
from localcloud.services.cloudwatch.model import Metrics
from localcloud.services.cloudwatch.puts import MAX_DATA, put_metric_data
from localcloud.services.logs.model import LogEvent

__all__ = ["EmbeddedMetrics"]

MAX_BYTES: Final = 1_048_576  # of an event: API_PutLogEvents.html
MAX_METRICS: Final = 100  # of a directive: the specification, "MetricDirective object"
MAX_VALUES: Final = 100  # of a metric: the specification, "Target members"
_NAMESPACE: Final = "AWS/Logs"
_Object = Mapping[str, Any]


class _Wrong(Exception):
    """The document does not keep to the format."""


class EmbeddedMetrics:
    """A listener of `Logs` that puts what their lines hold into `metrics`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def hear(self, event: LogEvent) -> None:
        """One event of any group. Raises nothing: a line may be anybody's."""
        if '"_aws"' not in event.message or '"CloudWatchMetrics"' not in event.message:
            return
        encoded = event.message.encode(errors="replace")
        try:
            document: object = read_json(encoded) if len(encoded) <= MAX_BYTES else None
        except MalformedJson:
            document = None
        if not isinstance(document, dict):
            self._count("EMFParsingErrors", event.group)
            return
        try:
            self._put(cast("_Object", document))
        except (_Wrong, CloudWatchError):
            self._count("EMFValidationErrors", event.group)

    def _put(self, document: _Object) -> None:
        about = _object(document.get("_aws"))
        stamp = about.get("Timestamp")
        if isinstance(stamp, bool) or not isinstance(stamp, int | float):
            raise _Wrong("Timestamp")
        for directive in map(_object, _array(about.get("CloudWatchMetrics"))):
            data = _read_data(document, directive, stamp / 1000)
            while together := list(islice(data, MAX_DATA)):
                request = Members({"Namespace": directive.get("Namespace"), "MetricData": together})
                put_metric_data(self._metrics, request, self._metrics.clock.time())

    def _count(self, name: str, group: str) -> None:
        self._metrics.put(_NAMESPACE, name, 1.0, dimensions={"LogGroupName": group}, unit="Count")


def _read_data(document: _Object, directive: _Object, at_s: float) -> Iterator[_Object]:
    """The data of PutMetricData that a directive points at, each metric with each set of dimensions."""
    metrics = list(map(_object, _array(directive.get("Metrics"))))
    if len(metrics) > MAX_METRICS:
        raise _Wrong("Metrics")
    sets = [_read_dimensions(document, names) for names in map(_array, _array(directive.get("Dimensions")))]
    for metric in metrics:
        datum = {
            "MetricName": metric.get("Name"),
            "Values": _read_values(document, metric.get("Name")),
            "Unit": metric.get("Unit"),
            "StorageResolution": metric.get("StorageResolution"),
            "Timestamp": at_s,
        }
        for dimensions in sets or [[]]:
            yield {**datum, "Dimensions": dimensions}


def _read_dimensions(document: _Object, names: list[Any]) -> list[_Object]:
    if len(names) > MAX_DIMENSIONS or not all(isinstance(document.get(name), str) for name in map(str, names)):
        raise _Wrong("Dimensions")
    return [{"Name": name, "Value": document[name]} for name in names]


def _read_values(document: _Object, name: object) -> list[Any]:
    value = document.get(name) if isinstance(name, str) else None
    values = cast("list[Any]", value) if isinstance(value, list) else [value]
    if not 1 <= len(values) <= MAX_VALUES or any(
        isinstance(each, bool) or not isinstance(each, int | float) for each in values
    ):
        raise _Wrong("Metrics")
    return values


def _object(value: object) -> _Object:
    if not isinstance(value, dict):
        raise _Wrong("an object")
    return cast("_Object", value)


def _array(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise _Wrong("an array")
    return cast("list[Any]", value)
