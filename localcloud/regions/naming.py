"""Route 53 of several Regions: held by their host, which is in none of them.

Health checks reach a Region's APIs and its CloudWatch from outside, so a dark Region gives them no answer, and a cut
between two Regions takes nothing from them.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from localcloud.clock import Clock
from localcloud.regions.crossing import ToRegions
from localcloud.regions.measured import METRICS_REGION, ToldMeasures
from localcloud.regions.places import RegionPlaces, gateway_of
from localcloud.regions.processes import RegionProcess
from localcloud.services.route53.answers import Place
from localcloud.services.route53.cloudwatch_reader import CloudWatchReader
from localcloud.services.route53.model import Ports, Route53

__all__ = ["HostNaming", "open_host_naming"]


@dataclass(frozen=True, slots=True)
class HostNaming:
    """Route 53, and its metrics on their way to us-east-1. Both `run` once every Region is there."""

    route53: Route53
    measures: ToldMeasures


def open_host_naming(
    regions: Mapping[str, RegionProcess],
    beyond: ToRegions,
    *,
    addresses: Mapping[str, str],
    clock: Clock,
    rng: random.Random,
) -> HostNaming:
    """Route 53 of `regions`. `addresses` are their AWS ports, as they become known."""

    def find(region: str) -> Place | None:
        process = regions.get(region)
        return gateway_of(process.state.endpoints) if process is not None and region in addresses else None

    measures = ToldMeasures(lambda: addresses.get(METRICS_REGION, ""))
    ports = Ports(clock, rng, RegionPlaces(find), CloudWatchReader(beyond.handle), measures)
    return HostNaming(Route53(ports), measures)
