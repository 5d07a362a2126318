"""The local cloud put together: services, front, gateway, Lambda, and a stack deployed onto them.

The one place that knows every part. Owns the order of starting and stopping; no rule of any service.
"""

from __future__ import annotations

import random
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from localcloud.chaos.control import CHAOS_PATH, ChaosControl
from localcloud.chaos.engine import Chaos
from localcloud.clock import Clock
from localcloud.compute.cloud import Compute, ComputeSettings, open_compute
from localcloud.front import Front
from localcloud.gate import HOLD_S
from localcloud.gateway.backends import PRINCIPAL, SESSION, LambdaFunctions, MethodPolicies, UrlPolicies
from localcloud.gateway.function_url import FunctionUrls
from localcloud.gateway.management import ApiGatewayService
from localcloud.gateway.rest import Backends
from localcloud.gateway.server import Gateway, GatewayServer
from localcloud.gateway.telling import Telling
from localcloud.gateway.websocket.gateway import WebSocketGateway
from localcloud.gateway.websocket.management import ManagementService
from localcloud.gateway.websocket.server import WebSocketServer
from localcloud.identity import IdentityProvider
from localcloud.kept import Kept, open_kept
from localcloud.options import CloudOptions
from localcloud.parts.alarms import run_alarms
from localcloud.parts.appsync import open_appsync
from localcloud.parts.console import origin_of, serve_console
from localcloud.parts.description import describe_state
from localcloud.parts.formation import open_formation, prepare, send_to
from localcloud.parts.handlers import Parts, make_handlers
from localcloud.parts.http_apis import Edge, open_gateway
from localcloud.parts.lambda_api import open_lambda
from localcloud.parts.messaging import open_messaging
from localcloud.parts.naming import open_naming
from localcloud.parts.ports import CONSOLE_OFFSET, HTTP_OFFSET, WEBSOCKET_OFFSET, PortTaken
from localcloud.parts.secured import serve_secured
from localcloud.parts.services import Services, open_services
from localcloud.services.bedrock.wire import BedrockService
from localcloud.services.cloudwatch.wire import CloudWatchService
from localcloud.services.iam.sessions import RoleSessions
from localcloud.services.kinesis.wire import KinesisService
from localcloud.services.lambda_.api import ApiParts
from localcloud.services.sqs.wire import SqsService
from localcloud.state import RunningState
from localcloud.template.deploy import Deployed
from localcloud.template.handler import ResourceHandler
from localcloud.template.ledger import Ledger, make_ledger
from localcloud.template.stack import Stack
from localcloud.traces.calls import CallSpans
from localcloud.traces.engine import TracedEngine
from localcloud.urls import Urls

__all__ = ["LedgerRefused", "PortTaken", "RunningCloud", "open_cloud"]


class LedgerRefused(Exception):
    """The template asks for what is not served, and nobody allowed it; `ledger` says what."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger.summary())
        self.ledger = ledger


@dataclass(frozen=True, slots=True)
class RunningCloud:
    """A cloud with its stack deployed. `ledger` tells what is served of it, `handlers` what is served at all.

    `services` has the state of each service, `chaos` puts faults in.
    """

    state: RunningState
    ledger: Ledger
    deployed: Deployed
    compute: Compute
    handlers: Mapping[str, ResourceHandler]
    services: Services
    chaos: Chaos


@asynccontextmanager
async def open_cloud(
    options: CloudOptions, *, clock: Clock, rng: random.Random, kept: Kept | None = None
) -> AsyncGenerator[RunningCloud]:
    """Start everything and deploy the template, for the length of the block; nothing is left after it but `kept`.

    Raises TemplateError, LedgerRefused, PortTaken, KeptStateUnusable, Misconfigured, ValueError (no such model).
    """
    async with AsyncExitStack() as cleanup:
        kept = kept or await cleanup.enter_async_context(open_kept(options))
        listener, console = (_take(kept, offset, cleanup) for offset in (0, CONSOLE_OFFSET))
        services = await open_services(options, clock=clock, rng=rng, cleanup=cleanup, engine=kept.engine)
        stack = await _prepare(kept, services, console=origin_of(console), aws=options.joins or origin_of(listener))
        front = _front(services, kept)
        aws = services.queues.endpoint = await cleanup.enter_async_context(front.serve(listener, among=kept.servers))
        compute, chaos = await cleanup.enter_async_context(_open_compute(kept, services, front, aws=aws))
        opening = open_messaging(services, compute.functions, front, group=compute.group)
        messaging = await cleanup.enter_async_context(opening)
        await cleanup.enter_async_context(run_alarms(services, compute.functions, messaging, group=compute.group))
        lambda_ = open_lambda(options, services, compute.functions, messaging=messaging, front=front)
        backends = _backends(services, compute, front)
        function_urls = _function_urls(services, backends, lambda_)
        appsync = open_appsync(services, compute.functions, front, group=compute.group, state=options.issuer_folder)
        gateway = open_gateway(services, front, backends, edge=Edge(function_urls, appsync, options.joins or aws))
        http = await _serve_http(gateway, kept, cleanup)
        naming = await open_naming(options, services, front, http=http, cleanup=cleanup)
        sockets = WebSocketGateway(backends, group=compute.group, clock=services.clock, random=rng)
        _manage(sockets, front)
        server = WebSocketServer(sockets, group=compute.group, others=appsync, gate=kept.gate)
        websocket = await _serve_websocket(server, kept, cleanup)
        formation = open_formation(options, stack, services, front=front, send=send_to(compute, messaging))
        parts = Parts(
            services=services,
            compute=compute,
            functions=lambda_,
            messaging=messaging,
            gateway=gateway,
            sockets=sockets,
            urls=function_urls,
            appsync=appsync,
            naming=naming,
            formation=formation,
        )
        handlers = make_handlers(options, parts)
        ledger = _accept(make_ledger(stack.graph, handlers, allow=options.allow))
        deployed = await cleanup.enter_async_context(formation.deployed(handlers, ledger))
        names = await naming.answer(cleanup, group=compute.group, ports=kept.sockets)
        urls = Urls(aws, http, websocket, origin_of(console), options.region, sockets=sockets.api_ids(), names=names)
        state = describe_state(options, stack, deployed, ledger=ledger, urls=formation.tell_by(urls))
        await cleanup.enter_async_context(serve_console(options, parts, state, listener=console, among=kept.servers))
        yield RunningCloud(state, ledger, deployed, compute, handlers, services, chaos)


def _accept(ledger: Ledger) -> Ledger:
    """Raises LedgerRefused."""
    if ledger.refused:
        raise LedgerRefused(ledger)
    return ledger


def _take(kept: Kept, offset: int, cleanup: AsyncExitStack) -> socket.socket:
    return cleanup.enter_context(closing(kept.sockets.take(offset)))


async def _prepare(kept: Kept, services: Services, *, console: str, aws: str) -> Stack:
    """The stack of the template, as the first cloud read it. Raises TemplateError."""
    if kept.stack is None:
        kept.stack = await prepare(kept.options, services, console=console, aws=aws)
    return kept.stack


def _front(services: Services, kept: Kept) -> Front:
    bedrock = BedrockService(TracedEngine(services.engine, services.recorder))
    apis = [
        SqsService(services.queues),
        KinesisService(services.streams),
        CloudWatchService(services.metrics, services.alarms),
        services.tables.service,
        services.s3,
        *services.delegated.services.values(),
        bedrock,
    ]
    front = Front(
        apis,
        authorise=services.authoriser(),
        rng=services.rng,
        spans=CallSpans(services.recorder),
        elsewhere=services.tables.elsewhere,
    )
    for under, answer in kept.own.items():
        front.answer_own(answer, under=under)

    async def hold(access_key: str) -> None:
        if kept.gate.is_shut and not services.iam.principal_of(access_key).role_arn:
            await kept.gate.wait(HOLD_S)

    front.hold = hold
    return front


@asynccontextmanager
async def _open_compute(
    kept: Kept, services: Services, front: Front, *, aws: str
) -> AsyncGenerator[tuple[Compute, Chaos]]:
    options = kept.options
    chaos = Chaos(front, services.iam, region=options.region, clock=services.clock)
    front.answer_own(ChaosControl(chaos).answer, under=CHAOS_PATH)
    if not options.joins:  # the host has the provider of several Regions
        front.answer_own(IdentityProvider(options.issuer_folder).answer)
    secured = serve_secured(kept.stack, front, options.cache, sockets=kept.sockets, among=kept.servers)
    settings = ComputeSettings(
        runtimes=kept.runtimes,
        reaper=kept.reaper,
        cache_dir=options.cache,
        environ=options.environ,
        endpoint_url=lambda: aws,
        progress=options.progress,
        recorder=services.recorder,
        interpose=chaos.interpose,
        reloads=options.reloads,
        writes=options.writes,
        debugger=options.debugger,
    )
    credentials = services.iam.issue_credentials
    async with (
        secured as roots,
        open_compute(
            replace(settings, roots=roots),
            clock=services.clock.true,
            logs=services.logs,
            credentials=credentials,
            rng=services.rng,
        ) as compute,
    ):
        chaos.join(compute)
        tables = compute.group.create_task(services.tables.run())
        try:
            yield compute, chaos
        finally:
            tables.cancel()


def _manage(sockets: WebSocketGateway, front: Front) -> None:
    front.add(ManagementService(sockets))
    sockets.callback_host = urlsplit(front.secured).netloc


def _backends(services: Services, compute: Compute, front: Front) -> Backends:
    def may_invoke(function_arn: str, *, principal: str, source_arn: str) -> bool:
        return services.policies.allows(function_arn, service=principal, source_arn=source_arn)

    functions = LambdaFunctions(compute.functions, may_invoke)
    roles = RoleSessions(services.iam, service=PRINCIPAL, session=SESSION)
    access = MethodPolicies(services.iam, services.record)
    telling = Telling(services.counters, services.logs)
    backends = Backends(functions, front.dispatch, roles, services.recorder, access, telling=telling)
    front.add(ApiGatewayService(backends.plans))
    return backends


def _function_urls(services: Services, backends: Backends, lambda_: ApiParts) -> FunctionUrls:
    access = UrlPolicies(services.iam, services.authoriser(), services.policies)
    urls = FunctionUrls(
        backends.functions, access, clock=services.clock, random=services.rng, recorder=services.recorder
    )
    lambda_.urls = urls.list
    return urls


async def _serve_http(gateway: Gateway, kept: Kept, cleanup: AsyncExitStack) -> str:
    server = GatewayServer(gateway, among=kept.servers, gate=kept.gate)
    await server.start(listener=_take(kept, HTTP_OFFSET, cleanup))
    cleanup.push_async_callback(server.stop)
    gateway.url = f"http://127.0.0.1:{server.port}"
    return gateway.url


async def _serve_websocket(server: WebSocketServer, kept: Kept, cleanup: AsyncExitStack) -> str:
    await server.start(listener=_take(kept, WEBSOCKET_OFFSET, cleanup))
    cleanup.push_async_callback(server.stop)
    return f"ws://127.0.0.1:{server.port}"
