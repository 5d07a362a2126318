"""A handler for every resource type that the local cloud serves, over the services that are open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from localcloud.compute.cloud import Compute
from localcloud.compute.dependencies import Builder
from localcloud.compute.event_resources import EventSourceMappingHandler, PermissionHandler
from localcloud.compute.resources import FunctionHandler, LayerHandler, refused_handlers
from localcloud.gateway.function_url import FunctionUrls
from localcloud.gateway.function_url_resources import FunctionUrlHandler
from localcloud.gateway.resources import gateway_handlers
from localcloud.gateway.server import Gateway
from localcloud.gateway.websocket.gateway import WebSocketGateway
from localcloud.gateway.websocket.resources import websocket_handlers
from localcloud.options import CloudOptions
from localcloud.parts.services import Services
from localcloud.services.cloudwatch.resources import AlarmHandler
from localcloud.services.dynamodb.resources import TableHandler
from localcloud.services.iam.resources import ManagedPolicyHandler, PolicyHandler, RoleHandler
from localcloud.services.logs.resources import LogGroupHandler
from localcloud.services.s3.resources import BucketHandler, BucketPolicyHandler
from localcloud.services.sqs.resources import QueueHandler, QueuePolicyHandler
from localcloud.template.handler import ResourceHandler

__all__ = ["Handlers", "Parts", "make_handlers"]

Handlers: TypeAlias = dict[str, ResourceHandler]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What handlers make resources in."""

    services: Services
    compute: Compute
    gateway: Gateway
    sockets: WebSocketGateway
    urls: FunctionUrls


def make_handlers(options: CloudOptions, parts: Parts) -> Handlers:
    """The handlers by resource type."""
    services = parts.services
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
        *_lambda_handlers(options, services, parts.compute),
        *gateway_handlers(parts.gateway),
        *websocket_handlers(parts.sockets),
        FunctionUrlHandler(parts.compute.functions, parts.urls),
    ]
    return {handler.type: handler for handler in made}


def _lambda_handlers(options: CloudOptions, services: Services, compute: Compute) -> Iterator[ResourceHandler]:
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
        trace_of=services.queue_spans.header_of,
    )
    yield from refused_handlers()
