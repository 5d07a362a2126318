"""Metrics that count at once: each is a line of the embedded format as soon as it is put.

For what goes on long within one invocation, or what an alarm waits for; all else is counted by the `metrics` step, at
the invocation's end. At high resolution an alarm may look every ten seconds; a health check of Route 53 takes an alarm
on standard resolution only.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Final, Literal

from sluiceway.ports import Clock

__all__ = ["EmbeddedGauge"]

_write: Final = json.JSONEncoder(separators=(",", ":")).encode


class EmbeddedGauge:
    """A `Gauge` on standard output. `namespace` is that of the function's other metrics.

    `resolution_s`: 1 for high resolution, 60 for standard.
    """

    def __init__(self, namespace: str, clock: Clock, *, resolution_s: Literal[1, 60]) -> None:
        self._namespace = namespace
        self._clock = clock
        self._resolution_s = resolution_s

    def put(self, values: Mapping[str, float], *, at_ms: int | None = None, **dimensions: str) -> None:
        """As `Gauge.put`; names and dimensions are the program's own words."""
        directive = {
            "Namespace": self._namespace,
            "Dimensions": [list(dimensions)],
            "Metrics": [{"Name": name, "StorageResolution": self._resolution_s} for name in values],
        }
        stamp = self._clock.now_ms() if at_ms is None else at_ms
        told = {"_aws": {"Timestamp": stamp, "CloudWatchMetrics": [directive]}, **dimensions, **values}
        sys.stdout.write(f"{_write(told)}\n")
        sys.stdout.flush()
