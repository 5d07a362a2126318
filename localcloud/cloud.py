"""The local cloud put together: services, front, gateway, Lambda, and a stack deployed onto them.

The one place that knows every part. Owns the order of starting and stopping; no rule of any service.
"""

from __future__ import annotations

import asyncio
import os
import platform
import random
import socket
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias, cast

from localcloud.clock import Clock
from localcloud.compute.cloud import Compute, ComputeSettings, open_compute
from localcloud.compute.dependencies import Builder
from localcloud.compute.event_resources import EventSourceMappingHandler, PermissionHandler
from localcloud.compute.policies import FunctionPolicies
from localcloud.compute.resources import FunctionHandler, LayerHandler, refused_handlers
from localcloud.delegate import Delegate, DelegatedService, Keeper
from localcloud.front import Front, open_listener
from localcloud.gateway.backends import IamRoles, LambdaFunctions, UrlPolicies
from localcloud.gateway.function_url import FunctionUrls
from localcloud.gateway.function_url_resources import FunctionUrlHandler
from localcloud.gateway.resources import gateway_handlers
from localcloud.gateway.rest import Backends
from localcloud.gateway.server import Gateway, GatewayServer
from localcloud.gateway.websocket.gateway import WebSocketGateway
from localcloud.gateway.websocket.management import ManagementService
from localcloud.gateway.websocket.resources import websocket_handlers
from localcloud.gateway.websocket.server import WebSocketServer
from localcloud.models.choose import choose_engine
from localcloud.models.engine import Engine
from localcloud.options import CloudOptions, cloud_parameters, read_issuer
from localcloud.persistence import hold_folder
from localcloud.services.bedrock.wire import BedrockService
from localcloud.services.cloudwatch.resources import AlarmHandler, Alarms
from localcloud.services.dynamodb.resources import TableHandler
from localcloud.services.dynamodb.store import Store
from localcloud.services.dynamodb.wire import DynamoService
from localcloud.services.iam.calls import Authoriser, CallRecord
from localcloud.services.iam.model import Iam, Principal
from localcloud.services.iam.policy import Document, parse_document
from localcloud.services.iam.resources import ManagedPolicyHandler, PolicyHandler, RoleHandler
from localcloud.services.lambda_.wire import LambdaService
from localcloud.services.logs.files import LogFiles, log_path
from localcloud.services.logs.model import Logs
from localcloud.services.logs.resources import LogGroupHandler
from localcloud.services.s3.keeping import S3Keeper
from localcloud.services.s3.resources import BucketHandler, BucketPolicyHandler
from localcloud.services.s3.store import Store as ObjectStore
from localcloud.services.s3.wire import open_s3
from localcloud.services.sqs.model import Queues
from localcloud.services.sqs.resources import QueueHandler, QueuePolicyHandler
from localcloud.services.sqs.store import Store as QueueStore
from localcloud.services.sqs.wire import SqsService
from localcloud.state import RunningState
from localcloud.template.deploy import Deployed, deploy, undeploy
from localcloud.template.handler import Resource, ResourceHandler
from localcloud.template.ledger import Ledger, make_ledger
from localcloud.template.source import read_template
from localcloud.template.stack import Settled, Stack, prepare_stack, stack_context
from localcloud.urls import Urls

__all__ = ["LedgerRefused", "PortTaken", "RunningCloud", "open_cloud"]

HTTP_OFFSET: Final = 1  # AWS APIs on the port, HTTP endpoints on the next
WEBSOCKET_OFFSET: Final = 2
_Handlers: TypeAlias = dict[str, ResourceHandler]
_MACHINES: Final = {"amd64": "x86_64", "aarch64": "arm64"}


class LedgerRefused(Exception):
    """The template asks for what is not served, and nobody allowed it; `ledger` says what."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger.summary())
        self.ledger = ledger


class PortTaken(Exception):
    """Somebody listens on a port already; `port` is that one."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} is taken")
        self.port = port


@dataclass(frozen=True, slots=True)
class _Services:
    """Every service's state, made without I/O."""

    logs: Logs
    iam: Iam
    record: CallRecord
    queues: Queues
    dynamodb: DynamoService
    delegate: Delegate
    s3: DelegatedService
    engine: Engine
    alarms: Alarms
    policies: FunctionPolicies
    clock: Clock
    rng: random.Random

    def may_do(self, role_arn: str, action: str, resource: str) -> bool:
        """Whether a role may do an action on a resource."""
        principal = Principal(arn=role_arn, account=role_arn.split(":")[4], role_arn=role_arn)
        return self.iam.decide(principal, action, resource).allowed

    def policy_of(self, arn: str) -> Document | None:
        """The resource policy of a queue or a function, None where it has none."""
        if ":lambda:" in arn:
            return self.policies.policy_of(arn)
        queue = self.queues.find(arn)
        text = queue.attributes.get("Policy", "") if queue else ""
        return parse_document(text, name="of the queue", resource_policy=True) if text else None


@dataclass(frozen=True, slots=True)
class RunningCloud:
    """A cloud with its stack deployed. `ledger` tells what is served of it, `handlers` what is served at all."""

    state: RunningState
    ledger: Ledger
    deployed: Deployed
    compute: Compute
    handlers: Mapping[str, ResourceHandler]


@asynccontextmanager
async def open_cloud(options: CloudOptions, *, clock: Clock, rng: random.Random) -> AsyncGenerator[RunningCloud]:
    """Start everything and deploy the template, for the length of the block; nothing is left after it.

    Raises TemplateError, LedgerRefused, PortTaken, KeptStateUnusable, Misconfigured, ValueError (no such model).
    """
    stack = _prepare(options)
    async with AsyncExitStack() as cleanup:
        if options.persist is not None:
            cleanup.enter_context(hold_folder(options.persist))
        listener = _listen(options.port)
        cleanup.callback(listener.close)
        services = await _open_services(options, clock=clock, rng=rng, cleanup=cleanup)
        front = _front(services, rng=rng)
        aws = await cleanup.enter_async_context(front.serve(listener))
        services.queues.endpoint = aws
        compute = await cleanup.enter_async_context(_open_compute(options, services, aws, clock=clock, rng=rng))
        front.add(LambdaService(lambda region: compute.functions if region == options.region else None))
        backends = _backends(services, compute, front)
        function_urls = _function_urls(services, backends)
        gateway = Gateway(backends=backends, clock=clock, random=rng, urls=function_urls)
        http = await _serve_http(gateway, options, cleanup)
        sockets = WebSocketGateway(backends, group=compute.group, clock=clock, random=rng)
        front.add(ManagementService(sockets))
        websocket = await _serve_websocket(sockets, options, compute.group, cleanup=cleanup)
        handlers = _handlers(options, services, compute, gateway=gateway)
        handlers |= {handler.type: handler for handler in websocket_handlers(sockets)}
        handlers |= {"AWS::Lambda::Url": FunctionUrlHandler(compute.functions, function_urls)}
        ledger = make_ledger(stack.graph, handlers, allow=options.allow)
        if ledger.refused:
            raise LedgerRefused(ledger)
        sweeper = compute.group.create_task(services.dynamodb.run())
        cleanup.callback(sweeper.cancel)
        deployed = await deploy(stack, handlers, ledger)
        cleanup.push_async_callback(undeploy, deployed)
        ids = frozenset(api_id for api_id, _ in sockets.stages())
        urls = Urls(aws, http, websocket, options.region, sockets=ids)
        state = _state(options, stack, deployed, ledger=ledger, urls=urls)
        yield RunningCloud(state, ledger, deployed, compute, handlers)


def _prepare(options: CloudOptions) -> Stack:
    source = read_template(options.template)
    machine = platform.machine().lower()
    parameters = cloud_parameters(options, source, _MACHINES.get(machine, machine))
    context = stack_context(options.template.resolve().parent, region=options.region)
    return prepare_stack(source, context, Settled(parameters=parameters, cache=options.cache / "translations"))


def _listen(port: int) -> socket.socket:
    try:
        return open_listener(port=port)
    except OSError as error:
        raise PortTaken(port) from error


async def _open_services(
    options: CloudOptions, *, clock: Clock, rng: random.Random, cleanup: AsyncExitStack
) -> _Services:
    queues = _open_queues(options, clock=clock, rng=rng, cleanup=cleanup)
    delegate = _open_delegate(options, cleanup)
    tables = Store(options.persist) if options.persist else None
    dynamodb = DynamoService(clock, store=tables, randomness=rng)
    cleanup.callback(dynamodb.close)
    engine = choose_engine(options.model, progress=options.progress, api_key=options.model_key)
    await engine.start()
    cleanup.push_async_callback(engine.close)
    logs = Logs(clock=clock)
    files = LogFiles(options.state / "logs")
    cleanup.callback(files.close)
    cleanup.callback(logs.listen(files.write))
    calls = options.state / "calls.jsonl"
    calls.unlink(missing_ok=True)
    iam = Iam(rng)

    def may_list(access_key: str, bucket_arn: str) -> bool:
        return iam.decide(iam.principal_of(access_key), "s3:ListBucket", bucket_arn).allowed

    return _Services(
        logs=logs,
        iam=iam,
        record=CallRecord(calls),
        queues=queues,
        dynamodb=dynamodb,
        delegate=delegate,
        s3=open_s3(delegate, may_list=may_list),
        engine=engine,
        alarms=Alarms(),
        policies=FunctionPolicies(),
        clock=clock,
        rng=rng,
    )


def _open_queues(options: CloudOptions, *, clock: Clock, rng: random.Random, cleanup: AsyncExitStack) -> Queues:
    if options.persist is None:
        return Queues(clock=clock, rng=rng)
    store = QueueStore(options.persist, clock)
    cleanup.callback(store.close)
    return Queues(clock=clock, rng=rng, keeper=store)


def _open_delegate(options: CloudOptions, cleanup: AsyncExitStack) -> Delegate:
    keepers: dict[str, Keeper] = {}
    if options.persist is not None:
        store = ObjectStore(options.persist)
        cleanup.callback(store.close)
        keepers["s3"] = S3Keeper(store)
    delegate = Delegate(keepers)
    cleanup.callback(delegate.close)
    return delegate


def _backends(services: _Services, compute: Compute, front: Front) -> Backends:
    def may_invoke(function_arn: str, *, principal: str, source_arn: str) -> bool:
        return services.policies.allows(function_arn, service=principal, source_arn=source_arn)

    functions = LambdaFunctions(compute.functions, may_invoke)
    return Backends(functions=functions, dispatch=front.dispatch, roles=IamRoles(services.iam))


def _function_urls(services: _Services, backends: Backends) -> FunctionUrls:
    access = UrlPolicies(services.iam, _authoriser(services), services.policies)
    return FunctionUrls(backends.functions, access, clock=services.clock, random=services.rng)


async def _serve_http(gateway: Gateway, options: CloudOptions, cleanup: AsyncExitStack) -> str:
    server = GatewayServer(gateway)
    port = options.port and options.port + HTTP_OFFSET
    try:
        await server.start(port)
    except OSError as error:
        raise PortTaken(port) from error
    cleanup.push_async_callback(server.stop)
    return f"http://127.0.0.1:{server.port}"


async def _serve_websocket(
    gateway: WebSocketGateway, options: CloudOptions, group: asyncio.TaskGroup, *, cleanup: AsyncExitStack
) -> str:
    server = WebSocketServer(gateway, group=group)
    port = options.port and options.port + WEBSOCKET_OFFSET
    try:
        await server.start(port)
    except OSError as error:
        raise PortTaken(port) from error
    cleanup.push_async_callback(server.stop)
    return f"ws://127.0.0.1:{server.port}"


def _front(services: _Services, *, rng: random.Random) -> Front:
    apis = [SqsService(services.queues), services.dynamodb, services.s3, BedrockService(services.engine)]
    return Front(apis, authorise=_authoriser(services), rng=rng)


def _authoriser(services: _Services) -> Authoriser:
    return Authoriser(services.iam, services.record, policy_of=services.policy_of)


@asynccontextmanager
async def _open_compute(
    options: CloudOptions, services: _Services, aws: str, *, clock: Clock, rng: random.Random
) -> AsyncGenerator[Compute]:
    settings = ComputeSettings(
        cache_dir=options.cache, environ=options.environ, endpoint_url=lambda: aws, progress=options.progress
    )
    async with open_compute(
        settings, clock=clock, logs=services.logs, credentials=services.iam.issue_credentials, rng=rng
    ) as compute:
        yield compute


def _handlers(options: CloudOptions, services: _Services, compute: Compute, *, gateway: Gateway) -> _Handlers:
    made: list[ResourceHandler] = [
        RoleHandler(services.iam),
        ManagedPolicyHandler(services.iam),
        PolicyHandler(services.iam),
        AlarmHandler(services.alarms),
        LogGroupHandler(services.logs),
        QueueHandler(services.queues, keeps=options.persist is not None),
        QueuePolicyHandler(services.queues),
        TableHandler(services.dynamodb.database, keeps=options.persist is not None),
        BucketHandler(services.s3.prepare, keeps=options.persist is not None),
        BucketPolicyHandler(services.s3.prepare),
        *_lambda_handlers(options, services, compute),
        *gateway_handlers(gateway),
    ]
    return {handler.type: handler for handler in made}


def _lambda_handlers(options: CloudOptions, services: _Services, compute: Compute) -> Iterator[ResourceHandler]:
    builder = Builder(
        cache_dir=options.cache,
        base=options.template.resolve().parent,
        environ=options.environ,
        progress=options.progress,
    )
    layers = LayerHandler(builder, compute.runtimes)
    yield layers
    yield FunctionHandler(
        compute.functions,
        layers=layers,
        builder=builder,
        runtimes=compute.runtimes,
        clock=services.clock,
    )
    yield PermissionHandler(compute.functions, services.policies)
    yield EventSourceMappingHandler(
        compute.functions,
        find_queue=services.queues.find,
        group=compute.group,
        rng=services.rng,
        may_do=services.may_do,
    )
    yield from refused_handlers()


def _state(options: CloudOptions, stack: Stack, deployed: Deployed, *, ledger: Ledger, urls: Urls) -> RunningState:
    made = deployed.made.values()
    functions = [entry for entry in made if entry.resource.type == "AWS::Lambda::Function"]
    outputs = {name: urls.localise(value) for name, value in deployed.outputs.items()}
    issuer = read_issuer(stack.metadata, stack.declared)
    return RunningState(
        pid=os.getpid(),
        template=str(options.template.resolve()),
        region=options.region,
        audience=str(stack.graph.scope.parameters.get(issuer.audience, "")),
        endpoints={"aws": urls.aws} | urls.endpoints(deployed),
        outputs=outputs,
        functions={entry.resource.logical_id: entry.physical.ref for entry in functions},
        logs={entry.physical.ref: str(_log_of(options, entry.resource)) for entry in functions},
        ledger=ledger.to_json(),
    )


def _log_of(options: CloudOptions, function: Resource) -> Path:
    logging = cast("dict[str, str]", function.properties.get("LoggingConfig") or {})
    group = logging.get("LogGroup")
    name = function.properties.get("FunctionName") or f"{function.context.stack_name}-{function.logical_id}"
    return log_path((options.state / "logs").resolve(), str(group or f"/aws/lambda/{name}"))
