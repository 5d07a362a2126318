"""CloudFormation's metric filters: `AWS::Logs::MetricFilter`, values made of the events that match a pattern.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-logs-metricfilter.html
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from localcloud.services.delegated_setup import letters_of
from localcloud.services.logs.errors import LogsError
from localcloud.services.logs.json_patterns import read_path, select
from localcloud.services.logs.model import LogEvent, Logs
from localcloud.services.logs.patterns import bounded, parse_pattern
from localcloud.template.handler import Physical, Resource, Support, Supported
from localcloud.template.properties import Properties, read_properties

__all__ = ["MetricFilterHandler", "PutMetric"]

_PATH: Final = re.compile(r"\$(\.[A-Za-z0-9_-]+|\[\d{1,5}\])+")
_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d{1,3})?")


class PutMetric(Protocol):
    """CloudWatch's metrics, which take one value now."""

    def __call__(
        self, namespace: str, name: str, value: float, *, dimensions: Mapping[str, str], unit: str = "None"
    ) -> None:
        """Put it."""
        ...


class MetricFilterHandler:
    """`AWS::Logs::MetricFilter`. Ref is the name."""

    type: str = "AWS::Logs::MetricFilter"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        "ApplyOnTransformedLogs": Supported(reason="log events are not transformed here", values=(False,)),
        "FilterName": Supported(),
        "FilterPattern": Supported(),
        "LogGroupName": Supported(),
        "MetricTransformations.DefaultValue": Supported(Support.REFUSED, "minutes without a match have no value here"),
        "MetricTransformations.Dimensions": Supported(Support.REFUSED, "metrics of log events have no dimensions here"),
        "MetricTransformations.MetricName": Supported(),
        "MetricTransformations.MetricNamespace": Supported(),
        "MetricTransformations.MetricValue": Supported(),
        "MetricTransformations.Unit": Supported(),
    }

    def __init__(self, logs: Logs, put: PutMetric) -> None:
        self._logs = logs
        self._put = put
        self._stops: dict[str, Callable[[], None]] = {}

    async def create(self, resource: Resource) -> Physical:
        """Begin to count. Raises TemplateError for a pattern or a value that Logs refuses."""
        read, context = read_properties(resource), resource.context
        group = read.text("LogGroupName")
        name = read.text("FilterName", f"{context.stack_name}-{resource.logical_id}-{letters_of(resource, 12)}")
        if self._logs.find(group) is None:
            raise read.error("LogGroupName", "The specified log group does not exist.")
        try:
            matches = bounded(parse_pattern(read.text("FilterPattern")))
        except LogsError as error:
            raise read.error("FilterPattern", error.message) from error
        given = read.each("MetricTransformations")
        if len(given) != 1:
            raise read.error("MetricTransformations", "must be one transformation")
        made = given[0]
        value = _read_value(made)
        namespace, metric = made.text("MetricNamespace"), made.text("MetricName")
        unit = made.text("Unit", "None")

        def hear(event: LogEvent) -> None:
            found = value(event.message) if event.group == group and matches(event.message) else None
            if found is not None:
                self._put(namespace, metric, found, dimensions={}, unit=unit)

        self._stops[f"{group}/{name}"] = self._logs.listen(hear)
        return Physical(name)

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Count no more."""
        stop = self._stops.pop(f"{read_properties(resource).text('LogGroupName')}/{physical.ref}", None)
        if stop is not None:
            stop()


def _read_value(made: Properties) -> Callable[[str], float | None]:
    """What a message is worth, None where it has no such number. Raises TemplateError."""
    text = made.text("MetricValue")
    if _NUMBER.fullmatch(text):
        number = float(text)
        return lambda _message: number
    if not _PATH.fullmatch(text):
        raise made.error("MetricValue", f"must be a number, or a path of JSON events ($.latency), is {text!r}")
    steps = read_path(text)

    def read(message: str) -> float | None:
        try:
            found = select(json.loads(message), steps)
        except (ValueError, RecursionError):
            return None
        if isinstance(found, bool) or not isinstance(found, int | float):
            return None
        return float(found) if math.isfinite(found) else None

    return read
