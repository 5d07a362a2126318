"""What every shard of one mapping shares: whom it reads, whom it invokes, by which rules, and what it reports.

Owns the ports of a mapping and what is told of it: metrics, and the text that the API calls LastProcessingResult.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from localcloud.clock import Clock
from localcloud.compute.destinations import FailureDestination
from localcloud.compute.event_source import NOTHING_YET, Criteria
from localcloud.compute.functions import InvokeResult
from localcloud.compute.stream_config import FOREVER, StreamMappingConfig
from localcloud.compute.stream_source import StreamSource

__all__ = ["Invoke", "Mandate", "MappingFacts", "MetricSink"]

log = logging.getLogger(__name__)


class Invoke(Protocol):
    """Invokes the mapping's function synchronously. Raises LambdaError where the function was not reached."""

    async def __call__(self, payload: bytes) -> InvokeResult:
        """The function's answer to an event."""
        ...


class MetricSink(Protocol):
    """Keeps CloudWatch metrics."""

    def put(self, namespace: str, name: str, value: float, *, dimensions: Mapping[str, str], unit: str) -> None:
        """One data point, at the time of the call."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingFacts:
    """Who a mapping is, as failure documents and metrics name it."""

    mapping_id: str
    function_arn: str
    function_name: str


@dataclass(slots=True, kw_only=True)
class Mandate:
    """The parts and settings of a mapping. `last_result` is in the API's words.

    `stopping`: no further invocation begins, those that run are waited for.
    """

    source: StreamSource
    invoke: Invoke
    config: StreamMappingConfig
    facts: MappingFacts
    criteria: Criteria | None
    destination: FailureDestination | None
    metrics: MetricSink | None
    clock: Clock
    rng: random.Random
    last_result: str = NOTHING_YET
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def max_age_s(self) -> float:
        """Seconds after its arrival at which a record is not tried any more: by the mapping, or by the stream."""
        kept_s, allowed_s = self.source.retention_s, self.config.max_record_age_s
        return kept_s if allowed_s == FOREVER else min(kept_s, allowed_s)

    def put_metric(self, name: str, value: float, unit: str) -> None:
        """A metric of the function, in the namespace AWS/Lambda. What goes wrong with it costs no record anything."""
        if self.metrics is None:
            return
        dimensions = {"FunctionName": self.facts.function_name}
        try:
            self.metrics.put("AWS/Lambda", name, value, dimensions=dimensions, unit=unit)
        except Exception:
            log.exception("mapping.metric_lost", extra={"metric": name})
