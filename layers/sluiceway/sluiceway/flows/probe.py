"""One Region's look at the other, every few seconds, counted where the look was made.

Owns when the other Region is asked and what counts as an answer. Must not know what follows from it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sluiceway import log
from sluiceway.events.eventbridge import EventBridgeEvent
from sluiceway.events.invocation import Invocation
from sluiceway.ports.failover import Gauge, Prober

__all__ = ["ANSWER_S", "ProbeDesk", "is_well", "probe_region"]

SPAN_S: Final = 60.0  # a schedule comes once a minute at most
ANSWER_S: Final = 4.0  # a health checker of Route 53 has 4 s to connect and 2 s for the answer
LEAST_S: Final = 1.0  # before the deadline no probe begins that could not be counted any more


@dataclass(frozen=True, slots=True)
class ProbeDesk:
    """What probing needs. `region` is the other one, `every_s` (1 to 60) the seconds from one probe to the next."""

    prober: Prober
    gauge: Gauge
    region: str
    every_s: float


async def probe_region(_event: EventBridgeEvent, call: Invocation, desk: ProbeDesk) -> Mapping[str, object]:
    """Probe for a minute, or for as long as this invocation may last; give how many probes, and how many were well."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    ends = min(began + SPAN_S, call.deadline - LEAST_S)
    probes = well = 0
    while (due := began + probes * desk.every_s) < ends:
        await asyncio.sleep(max(0.0, due - loop.time()))
        asked = loop.time()
        status = await desk.prober.status(within_s=min(ANSWER_S, desk.every_s, max(0.1, ends + LEAST_S - asked)))
        probes += 1
        healthy = is_well(status)
        well += healthy
        if not healthy:
            log.warning("probe.unwell", region=desk.region, status=status)
        taken_ms = (loop.time() - asked) * 1000
        desk.gauge.put({"RegionHealthy": int(healthy), "ProbeTime": taken_ms}, Region=desk.region)
    return {"region": desk.region, "probes": probes, "well": well}


def is_well(status: int) -> bool:
    """Whether a health checker takes an HTTP status for a healthy answer.

    Source: https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
    """
    return 200 <= status < 400
