"""Route 53 as one cloud has it: its own, or the one that it shares with other Regions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol
from urllib.parse import urlsplit

from aiohttp import ClientSession

from localcloud.front import Front
from localcloud.options import CloudOptions
from localcloud.parts.ports import DNS_OFFSET, Sockets, port_of
from localcloud.parts.services import Services
from localcloud.regions.forward import open_forwarder
from localcloud.regions.joined import Beyond, SharedService
from localcloud.regions.measured import METRICS_REGION, OwnMeasures, answer_health_metrics
from localcloud.regions.names import serve_api_names
from localcloud.regions.places import RegionPlaces
from localcloud.regions.sharing import SharedHandler
from localcloud.services.cloudwatch.wire import CloudWatchService
from localcloud.services.contract import Service
from localcloud.services.route53.cloudwatch_reader import CloudWatchReader
from localcloud.services.route53.model import Ports, Route53
from localcloud.services.route53.nameserver import serve_names
from localcloud.services.route53.resources import route53_handlers
from localcloud.services.route53.wire import Route53Service, read_needs
from localcloud.template.handler import ResourceHandler

__all__ = ["Naming", "OwnNaming", "SharedNaming", "answer_names", "open_naming"]

_DNS: Final = "dns"  # no name of an API, which has a dot


class Naming(Protocol):
    """Route 53 for the front and for resources."""

    @property
    def service(self) -> Service: ...
    @property
    def handlers(self) -> tuple[ResourceHandler, ...]: ...

    async def answer(self, cleanup: AsyncExitStack, *, group: asyncio.TaskGroup, ports: Sockets) -> dict[str, str]:
        """Once the stack is there: look at health checks, answer over DNS, and at an address for each API's name.

        Until `cleanup` is run. `ports` are the cloud's. Gives addresses by name.
        """
        ...


@dataclass(frozen=True, slots=True)
class OwnNaming:
    """Of one Region's cloud alone."""

    service: Route53Service
    handlers: tuple[ResourceHandler, ...]
    route53: Route53

    async def answer(self, cleanup: AsyncExitStack, *, group: asyncio.TaskGroup, ports: Sockets) -> dict[str, str]:
        """Look and answer, until `cleanup` is run."""
        cleanup.callback(group.create_task(self.route53.run()).cancel)
        return await answer_names(self.route53, cleanup, ports=ports)


@dataclass(frozen=True, slots=True)
class SharedNaming:
    """Of several Regions, held by their host."""

    service: Service
    handlers: tuple[ResourceHandler, ...]

    async def answer(self, cleanup: AsyncExitStack, *, group: asyncio.TaskGroup, ports: Sockets) -> dict[str, str]:  # noqa: ARG002 - the protocol's
        """Nothing: the host looks and answers."""
        return {}


async def open_naming(
    options: CloudOptions, services: Services, front: Front, *, http: str, cleanup: AsyncExitStack
) -> OwnNaming | SharedNaming:
    """Route 53 as the options say, added to `front`; `http` is the address of this cloud's HTTP gateway."""
    metrics = services.metrics.in_region(METRICS_REGION)
    naming = await _join(options, cleanup) if options.joins else _open_own(options, services, http)
    if options.joins:
        front.answer_own(partial(answer_health_metrics, metrics=metrics))
    front.add(naming.service)
    return naming


async def _join(options: CloudOptions, cleanup: AsyncExitStack) -> SharedNaming:
    forwarder = await cleanup.enter_async_context(open_forwarder(options.region))
    session = await cleanup.enter_async_context(ClientSession())
    service = SharedService("route53", read_needs, Beyond(forwarder, options.joins, options.region))
    return SharedNaming(service, tuple(SharedHandler(each, session, options.joins) for each in route53_handlers(None)))


def _open_own(options: CloudOptions, services: Services, http: str) -> OwnNaming:
    parts = urlsplit(http)
    place = (str(parts.hostname), int(parts.port or 0))
    route53 = Route53(
        Ports(
            clock=services.clock,
            rng=services.rng,
            places=RegionPlaces(lambda region: place if region == options.region else None),
            alarms=CloudWatchReader(CloudWatchService(services.metrics, services.alarms).handle),
            measures=OwnMeasures(services.metrics.in_region(METRICS_REGION)),
        )
    )
    return OwnNaming(Route53Service(route53), route53_handlers(route53), route53)


async def answer_names(
    route53: Route53, cleanup: AsyncExitStack, *, ports: Sockets, known: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Answer over DNS, and at an address for each name of an API; `cleanup` ends it. Gives addresses by name.

    `known` names have an address already. Where it is done again with the same `ports`, all are where they were.
    """
    before = ports.numbers
    port = before.get(_DNS) or port_of(ports.first, DNS_OFFSET)
    dns = before[_DNS] = await cleanup.enter_async_context(serve_names(route53.resolver, port))
    fronts = serve_api_names(route53.zones(), route53.resolver, known=known, before=before)
    names = await cleanup.enter_async_context(fronts)
    before |= {name: int(urlsplit(url).port or 0) for name, url in names.items()}
    return {**names, _DNS: f"dns://127.0.0.1:{dns}"}
