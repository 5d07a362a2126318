"""Several Regions on one machine: a process for each, and this one, which holds what all of them share.

Here are DynamoDB (global tables, with the links between Regions), Route 53 with its health checks and the names that
lead to a Region, the way from one Region's AWS APIs to another's, and the console of all of them.
A Region's cloud is the same program as a cloud of its own (`sluiceway up`); it is told where this process answers.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localcloud.chaos.control import CHAOS_PATH
from localcloud.chaos.hosting import host_chaos
from localcloud.clock import Clock, SystemClock
from localcloud.compute.reaper import Reaper
from localcloud.console.regions.reading import open_readers, read_term
from localcloud.console.regions.server import serve_regions_console
from localcloud.console.regions.watch import Host
from localcloud.console.site import origin_of
from localcloud.front import Front
from localcloud.identity import IdentityProvider
from localcloud.options import CloudOptions
from localcloud.parts.naming import answer_names
from localcloud.parts.ports import CONSOLE_OFFSET, PortTaken, Sockets, listen, port_of
from localcloud.parts.tables import table_handlers
from localcloud.regions.control import Control
from localcloud.regions.crossing import Linked, ToRegions
from localcloud.regions.doors import open_doors
from localcloud.regions.forward import open_forwarder
from localcloud.regions.naming import open_host_naming
from localcloud.regions.processes import RegionProcess
from localcloud.resetting import RESET_PATH, SHARED, refuse_reset
from localcloud.services.dynamodb.store import Store
from localcloud.services.dynamodb.wire import DynamoService
from localcloud.services.route53.resources import route53_handlers
from localcloud.services.route53.snapshot import snapshot
from localcloud.services.route53.wire import CONTROL_REGION, Route53Service
from localcloud.state import RunningState, read_state

__all__ = ["PORTS_OF_A_REGION", "HostOptions", "RunningHost", "open_host"]

PORTS_OF_A_REGION = 10  # those of the first begin so many after the host's own


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOptions:
    """One start. `cloud` is what every Region's cloud is started with; its `region`, `port` and folders are the host's.

    `environments` names each Region's environment of samconfig.toml, "" for none.
    """

    cloud: CloudOptions
    environments: Mapping[str, str]
    environ: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class RunningHost:
    """Regions that run. `state` is what other processes read."""

    state: RunningState
    regions: Mapping[str, RegionProcess]
    control: Control


@asynccontextmanager
async def open_host(options: HostOptions, *, clock: Clock, rng: random.Random) -> AsyncGenerator[RunningHost]:
    """Start what is shared, and then each Region in turn, the first one last; all of it is gone after the block.

    Raises PortTaken, KeptStateUnusable, RegionFailed, TemplateError.
    """
    cloud = options.cloud
    async with AsyncExitStack() as cleanup:
        listener = cleanup.enter_context(closing(listen(cloud.port)))
        store = Store(cloud.persist) if cloud.persist else None
        dynamodb = DynamoService(clock, store=store, randomness=rng)
        dynamodb.holds_policies = False  # each Region asks its own IAM, which knows of none here
        cleanup.callback(dynamodb.close)
        reaper = Reaper()
        cleanup.callback(reaper.close)
        regions = {
            region: RegionProcess(region, cloud.state / region, reaper=reaper, tell=cloud.progress)
            for region in options.environments
        }
        addresses: dict[str, str] = {}
        forwarder = await cleanup.enter_async_context(open_forwarder(""))
        own = frozenset({dynamodb.name, Route53Service.name})
        beyond = ToRegions(forwarder, dynamodb.links, addresses=addresses, own=own)
        naming = open_host_naming(regions, beyond, addresses=addresses, clock=clock, rng=rng)
        control_plane = Linked(Route53Service(naming.route53), dynamodb.links, home=CONTROL_REGION)
        services = [Linked(dynamodb, dynamodb.links), control_plane]
        front = Front(services, authorise=_nobody_is_bound, rng=rng, elsewhere=beyond)
        makers = (*table_handlers(dynamodb, keeps=cloud.persist is not None), *route53_handlers(naming.route53))
        shared = {each.type: each for each in makers}
        control = Control(regions, dynamodb.links, handlers=shared, identity=IdentityProvider(cloud.issuer_folder))
        front.answer_own(control.answer)
        front.answer_own(host_chaos(addresses, dynamodb, control).answer, under=CHAOS_PATH)
        front.answer_own(refuse_reset(SHARED), under=RESET_PATH)
        aws = await cleanup.enter_async_context(front.serve(listener))
        sweeper = asyncio.create_task(dynamodb.run())  # noqa: TID251 - ended below, and fails only with the process
        cleanup.callback(sweeper.cancel)
        doors = await open_doors(cloud, options.environments, naming.route53.resolver, cleanup=cleanup)
        for number, process in reversed(list(enumerate(regions.values()))):  # the primary goes by what the others made
            cleanup.push_async_callback(process.end)
            words = _words(options, process.region, number, aws=aws, told=doors.parameters.get(process.region, {}))
            await process.start(words, options.environ)
            addresses[process.region] = process.state.endpoints["aws"]
        for work in (naming.route53.run(), naming.measures.run()):
            cleanup.callback(asyncio.create_task(work).cancel)  # noqa: TID251 - as above
        names = await answer_names(naming.route53, cleanup, ports=Sockets(cloud.port), known=doors.urls)
        console = cleanup.enter_context(closing(_listen_for_console(cloud.port)))
        state = _describe(options, regions, {"aws": aws, "console": origin_of(console), **names})
        await cleanup.enter_async_context(
            _serve_console(state, control, console, roles=options.environments, naming=lambda: snapshot(naming.route53))
        )
        yield RunningHost(state, regions, control)


@asynccontextmanager
async def _serve_console(
    state: RunningState,
    control: Control,
    listener: socket.socket,
    *,
    roles: Mapping[str, str],
    naming: Callable[[], dict[str, Any]],
) -> AsyncGenerator[None]:
    states = [read_state(Path(folder)) for folder in state.regions.values()]
    async with open_readers(states) as readers:
        host = Host(
            control=control,
            readers=readers,
            roles=roles,
            naming=naming,
            term=lambda settings: read_term(settings, state.endpoints["aws"]),
            clock=SystemClock(),
        )
        async with serve_regions_console(host, state, listener):
            yield


def _listen_for_console(port: int) -> socket.socket:
    """Beside the host's own port, or where there is room."""
    try:
        return listen(port_of(port, CONSOLE_OFFSET))
    except PortTaken:
        return listen(0)


def _nobody_is_bound(_access_key: str, _needs: Sequence[object]) -> None:
    """IAM was asked in the Region that a request came from; who asks here directly is a person at this machine."""


def _words(options: HostOptions, region: str, number: int, *, aws: str, told: Mapping[str, str]) -> list[str]:
    """The words of `sluiceway up` for a Region; `told` are parameters that only the host knows."""
    cloud = options.cloud
    port = cloud.port and cloud.port + PORTS_OF_A_REGION * (number + 1)
    words = ["--template", str(cloud.template), "--region", region, "--port", str(port), "--joins", aws]
    words += ["--issuer", str(cloud.issuer_folder), "--model", cloud.model]
    if options.environments[region]:
        words += ["--config-env", options.environments[region]]
    if cloud.persist is not None:
        words += ["--persist", str(cloud.persist / region)]
    if overrides := {**told, **cloud.overrides}:
        words += ["--parameter-overrides", *(f"{name}={value}" for name, value in overrides.items())]
    for allowed in cloud.allow:
        words += ["--allow", allowed]
    if not cloud.reloads:
        words.append("--no-reload")
    return words


def _describe(options: HostOptions, regions: Mapping[str, RegionProcess], endpoints: Mapping[str, str]) -> RunningState:
    cloud = options.cloud
    first = next(iter(regions.values())).state
    known = dict(endpoints)
    for region, process in regions.items():
        known |= {f"{name}-{region}": address for name, address in process.state.endpoints.items()}
    return RunningState(
        pid=os.getpid(),
        template=str(cloud.template.resolve()),
        region=first.region,
        audience=first.audience,
        endpoints=known,
        outputs={},
        functions={},
        logs={},
        issuer=str(cloud.issuer_folder.resolve()),
        regions={region: str(process.folder.resolve()) for region, process in regions.items()},
    )
