"""The members of CreateEventSourceMapping and UpdateEventSourceMapping: what the API's model says of each.

Owns types, ranges and what is not served at all; what goes with what is for `localcloud.compute.mappings.settings`.
A member that the model does not have is left out, as Lambda leaves it out.
Source: https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias, cast

from localcloud.json_text import MalformedJson, parse_json
from localcloud.services.lambda_.errors import LambdaError, bad_constraint, refused

__all__ = ["read_members"]

_Shape: TypeAlias = "str | list[_Shape] | dict[str, _Shape]"

_ARN: Final = re.compile(
    r"arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:([a-z]{2}(-gov)?-[a-z]+-\d{1})?:(\d{12})?:(.*)", re.ASCII
)
_LAST_DATE_S: Final = 253_402_300_800  # the year 10000
_DESTINATION: Final[_Shape] = {"Destination": "String"}
_SHAPES: Final[Mapping[str, _Shape]] = {
    "BatchSize": "Integer",
    "BisectBatchOnFunctionError": "Boolean",
    "DestinationConfig": {"OnFailure": _DESTINATION, "OnSuccess": _DESTINATION},
    "Enabled": "Boolean",
    "EventSourceArn": "String",
    "FilterCriteria": {"Filters": [{"Pattern": "String"}]},
    "FunctionName": "String",
    "FunctionResponseTypes": ["String"],
    "MaximumBatchingWindowInSeconds": "Integer",
    "MaximumRecordAgeInSeconds": "Integer",
    "MaximumRetryAttempts": "Integer",
    "MetricsConfig": {"Metrics": ["String"]},
    "ParallelizationFactor": "Integer",
    "ProvisionedPollerConfig": {"MaximumPollers": "Integer", "MinimumPollers": "Integer", "PollerGroupName": "String"},
    "ScalingConfig": {"MaximumConcurrency": "Integer"},
    "StartingPosition": "String",
    "StartingPositionTimestamp": "Timestamp",
    "TumblingWindowInSeconds": "Integer",
}
# Members with a range: outside it the request is refused before Lambda looks at it.
_RANGES: Final[Mapping[str, tuple[int, int]]] = {
    "BatchSize": (1, 10_000),
    "MaximumBatchingWindowInSeconds": (0, 300),
    "MaximumRecordAgeInSeconds": (-1, 604_800),
    "MaximumRetryAttempts": (-1, 10_000),
    "ParallelizationFactor": (1, 10),
    "TumblingWindowInSeconds": (0, 900),
}
_OF_NEW: Final = frozenset({"EventSourceArn", "StartingPosition", "StartingPositionTimestamp"})
_METRICS: Final = "EventCount"
_UNSERVED: Final[Mapping[str, str]] = {
    "AmazonManagedKafkaEventSourceConfig": "Kafka",
    "DocumentDBEventSourceConfig": "DocumentDB",
    "KMSKeyArn": "encrypted filter criteria",
    "LoggingConfig": "Kafka",
    "Queues": "Amazon MQ",
    "SelfManagedEventSource": "Kafka",
    "SelfManagedKafkaEventSourceConfig": "Kafka",
    "SourceAccessConfigurations": "Kafka and Amazon MQ",
    "Topics": "Kafka",
}


def read_members(text: bytes, *, is_new: bool) -> dict[str, Any]:
    """A request's members that are not null, with `Tags`; an update has fewer. Raises LambdaError."""
    try:
        body = parse_json(text or b"{}")
    except MalformedJson as error:
        raise LambdaError("SerializationException", f"Could not parse request body into json: {error}", 400) from error
    if not isinstance(body, dict):
        raise LambdaError("SerializationException", "The request body is no JSON object.", 400)
    given = {name: value for name, value in cast("dict[str, Any]", body).items() if value is not None}
    for name, source in _UNSERVED.items():
        if given.get(name):
            raise refused(f"{name}: {source} is not served by this local cloud")
    members: dict[str, Any] = {
        name: _read(given[name], shape, place=name)
        for name, shape in _SHAPES.items()
        if name in given and (is_new or name not in _OF_NEW)
    }
    _check(members)
    return members | {"Tags": _read_tags(given.get("Tags", {}) if is_new else {})}


def _read(value: Any, shape: _Shape, *, place: str) -> Any:
    """`value` with what its shape has. Raises LambdaError where it is of another type."""
    if isinstance(shape, str):
        if not _is(value, shape):
            raise _unreadable(place, f"{'an' if shape == 'Integer' else 'a'} {shape}")
        return value
    if isinstance(shape, list):
        if not isinstance(value, list):
            raise _unreadable(place, "a List")
        return [_read(each, shape[0], place=f"{place}[{at}]") for at, each in enumerate(cast("list[Any]", value))]
    if not isinstance(value, dict):
        raise _unreadable(place, "a Structure")
    inner = cast("dict[str, Any]", value)
    return {
        name: _read(inner[name], part, place=f"{place}.{name}")
        for name, part in shape.items()
        if inner.get(name) is not None
    }


def _is(value: Any, kind: str) -> bool:
    if kind == "Boolean":
        return isinstance(value, bool)
    if kind == "String":
        return isinstance(value, str)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) if kind == "Integer" else 0 <= value < _LAST_DATE_S


def _check(members: Mapping[str, Any]) -> None:
    for name, (low, high) in _RANGES.items():
        value = members.get(name, low)
        if value < low:
            raise bad_constraint(name, value, f"Member must have value greater than or equal to {low}")
        if value > high:
            raise bad_constraint(name, value, f"Member must have value less than or equal to {high}")
    arn = members.get("EventSourceArn")
    if arn is not None and _ARN.fullmatch(arn) is None:
        constraint = f"Member must satisfy regular expression pattern: {_ARN.pattern}"
        raise bad_constraint("EventSourceArn", arn, constraint)
    for metric in members.get("MetricsConfig", {}).get("Metrics", ()):
        if metric != _METRICS:
            raise bad_constraint("MetricsConfig.metrics", metric, f"Member must satisfy enum value set: [{_METRICS}]")
    if members.get("ProvisionedPollerConfig", {}).get("PollerGroupName"):
        raise refused("ProvisionedPollerConfig.PollerGroupName: Kafka is not served by this local cloud")


def _read_tags(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in cast("dict[str, Any]", value).values()):
        raise _unreadable("Tags", "a map of String to String")
    return cast("dict[str, str]", value)


def _unreadable(name: str, said: str) -> LambdaError:
    return LambdaError("SerializationException", f"{name} must be {said}", 400)
