"""The `metrics` step, `count` and `count_of`: CloudWatch metrics of an invocation, written once at its end as lines of
the embedded format.

Values are gathered in context variables, so concurrent invocations do not mix, and a flow counts without knowing
whether the function lists the step. Powertools Metrics writes those of the invocation; every cold start has a metric,
so it is imported when the environment opens, at init, and not in somebody's request. What has dimensions of its own
(`count_of`: a rule's counts, a topic's) is a document each, a hundred of them an invocation perhaps, and written here:
4 us a document, where Powertools takes 23. Must not know what is counted.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final, NamedTuple

from sluiceway import log, settings
from sluiceway.errors import DeadlineExceeded
from sluiceway.events.invocation import Invocation
from sluiceway.ports import SystemClock
from sluiceway.steps import Next

__all__ = ["MAX_COUNTS", "count", "count_of", "metrics"]

MAX_COUNTS: Final = 100  # metrics of one document: the specification, "MetricDirective object"
MAX_DIMENSIONS: Final = 29  # of one document beside `service`: the specification, "DimensionSet array"

_gathered: ContextVar[list[tuple[str, float, str]] | None] = ContextVar("sluiceway_metrics", default=None)


class _Counts(NamedTuple):
    """Counts of what `dimensions` name."""

    dimensions: Mapping[str, str]
    numbers: Mapping[str, int]


_gathered_of: ContextVar[list[_Counts] | None] = ContextVar("sluiceway_metrics_of", default=None)
_write: Final = json.JSONEncoder(separators=(",", ":")).encode


def count(name: str, value: float = 1, *, unit: str = "Count") -> None:
    """Add `value` to the invocation's metrics; nothing where the function does not list the step.

    `unit` is a CloudWatch unit: `Count`, `Milliseconds`, `Bytes`, ... `name` and `unit` are the program's own words,
    never a caller's.
    """
    gathered = _gathered.get()
    if gathered is not None:
        gathered.append((name, value, unit))


def count_of(dimensions: Mapping[str, str], numbers: Mapping[str, int]) -> None:
    """Add counts of something that `dimensions` name beside the function; those that are 0 are left out.

    Each name with each set of dimensions is a metric of its own, which CloudWatch bills: whoever counts bounds them,
    and how many documents one invocation writes. `dimensions`: 1 to 29, values of 1 to 1,024 printable characters.
    Raises ValueError for more dimensions, or for more than 100 numbers.
    """
    if not 1 <= len(dimensions) <= MAX_DIMENSIONS or len(numbers) > MAX_COUNTS:
        raise ValueError(f"a document has 1 to {MAX_DIMENSIONS} dimensions and {MAX_COUNTS} metrics at most")
    gathered = _gathered_of.get()
    counted = {name: number for name, number in numbers.items() if number}
    if gathered is not None and counted:
        gathered.append(_Counts(dict(dimensions), counted))


def metrics(following: Next) -> Next:
    """Write an invocation's metrics at its end, `ColdStart` and `DeadlineExceeded` among them.

    The dimension is `service`, the function's name; the namespace is the setting POWERTOOLS_METRICS_NAMESPACE.
    Raises: Misconfigured at init where the namespace is unset.
    """
    namespace = settings.text("POWERTOOLS_METRICS_NAMESPACE")
    log.defer_powertools()
    from aws_lambda_powertools.metrics import EphemeralMetrics  # noqa: PLC0415 - only who lists the step pays

    async def run(event: object, call: Invocation) -> object:
        gathered: list[tuple[str, float, str]] = []
        gathered_of: list[_Counts] = []
        token, token_of = _gathered.set(gathered), _gathered_of.set(gathered_of)
        if call.cold_start:
            count("ColdStart")
        try:
            return await following(event, call)
        except DeadlineExceeded:
            count("DeadlineExceeded")
            raise
        finally:
            _gathered.reset(token)
            _gathered_of.reset(token_of)
            if gathered:
                sink = EphemeralMetrics(namespace=namespace, service=call.function_name)
                for name, value, unit in gathered:
                    sink.add_metric(name=name, unit=unit, value=value)
                sink.flush_metrics()
            for counts in gathered_of:
                sys.stdout.write(f"{_document(counts, namespace, call.function_name)}\n")

    return run


def _document(counts: _Counts, namespace: str, service: str) -> str:
    dimensions = {"service": service, **counts.dimensions}
    directive = {
        "Namespace": namespace,
        "Dimensions": [list(dimensions)],
        "Metrics": [{"Name": name, "Unit": "Count"} for name in counts.numbers],
    }
    now_ms = SystemClock().now_ms()
    return _write({"_aws": {"Timestamp": now_ms, "CloudWatchMetrics": [directive]}, **dimensions, **counts.numbers})
