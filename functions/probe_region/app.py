"""Multi-Region: on a schedule, a look at the other Region's health every few seconds, counted in this one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from sluiceway import settings
from sluiceway.app import App
from sluiceway.aws.failover import HttpProber
from sluiceway.codec import eventbridge
from sluiceway.flows.probe import ProbeDesk, probe_region
from sluiceway.ports import SystemClock
from sluiceway.steps.gauge import EmbeddedGauge
from sluiceway.steps.log_context import log_context
from sluiceway.steps.metrics import metrics
from sluiceway.steps.trace import trace

__all__ = ["handler"]

LEAST_S: Final = 1
MOST_S: Final = 60


@asynccontextmanager
async def lifespan() -> AsyncGenerator[ProbeDesk]:
    """Settings and connections. Raises `Misconfigured` that names the setting."""
    url, region = settings.url("PROBE_URL"), settings.text("OTHER_REGION")
    every_s = settings.integer("PROBE_SECONDS", minimum=LEAST_S, maximum=MOST_S)
    gauge = EmbeddedGauge(settings.text("POWERTOOLS_METRICS_NAMESPACE"), SystemClock(), resolution_s=1)
    yield ProbeDesk(prober=HttpProber(url), gauge=gauge, region=region, every_s=every_s)


handler = App(probe_region, source=eventbridge, steps=[log_context, metrics, trace], lifespan=lifespan)
