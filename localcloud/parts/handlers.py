"""A handler for every resource type that the local cloud serves, over the services that are open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from localcloud.compute.cloud import Compute
from localcloud.compute.dependencies import Builder
from localcloud.compute.mappings.resources import EventSourceMappingHandler
from localcloud.compute.permission_resources import PermissionHandler
from localcloud.compute.resources import FunctionHandler, LayerHandler, refused_handlers
from localcloud.compute.version_resources import version_handlers
from localcloud.gateway.domain_resources import domain_handlers
from localcloud.gateway.function_url import FunctionUrls
from localcloud.gateway.function_url_resources import FunctionUrlHandler
from localcloud.gateway.http_api.resources import StackHttpApis
from localcloud.gateway.resources import gateway_handlers
from localcloud.gateway.server import Gateway
from localcloud.gateway.v2_resources import v2_handlers
from localcloud.gateway.websocket.gateway import WebSocketGateway
from localcloud.gateway.websocket.resources import WebSocketApis
from localcloud.options import CloudOptions
from localcloud.parts.formation import Formation
from localcloud.parts.log_filters import log_handlers
from localcloud.parts.messaging import Messaging
from localcloud.parts.naming import Naming
from localcloud.parts.services import Services
from localcloud.parts.small_handlers import connect_functions, small_handlers
from localcloud.services.appsync.model import EventApis
from localcloud.services.appsync.resources import appsync_handlers
from localcloud.services.cloudwatch.resources import AlarmHandler, CompositeAlarmHandler
from localcloud.services.events.archive_resources import ArchiveHandler
from localcloud.services.events.resources import EventBusHandler, EventBusPolicyHandler, RuleHandler
from localcloud.services.events.resources import refused_handlers as refused_events_handlers
from localcloud.services.iam.resources import ManagedPolicyHandler, PolicyHandler, RoleHandler
from localcloud.services.kinesis.resources import StreamConsumerHandler, StreamHandler, StreamPolicyHandler
from localcloud.services.lambda_.api import ApiParts
from localcloud.services.logs.resources import LogGroupHandler
from localcloud.services.pipes.resources import PipeHandler
from localcloud.services.s3.resources import BucketHandler, BucketPolicyHandler
from localcloud.services.sns.resources import (
    SubscriptionHandler,
    TopicHandler,
    TopicInlinePolicyHandler,
    TopicPolicyHandler,
)
from localcloud.services.sqs.resources import QueueHandler, QueuePolicyHandler
from localcloud.services.states.resources import state_machine_handlers
from localcloud.template.handler import ResourceHandler

__all__ = ["Handlers", "Parts", "make_handlers"]

Handlers: TypeAlias = dict[str, ResourceHandler]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What handlers make resources in."""

    services: Services
    compute: Compute
    functions: ApiParts
    messaging: Messaging
    gateway: Gateway
    sockets: WebSocketGateway
    urls: FunctionUrls
    appsync: EventApis
    naming: Naming
    formation: Formation


def make_handlers(options: CloudOptions, parts: Parts) -> Handlers:
    """The handlers by resource type."""
    services, messaging = parts.services, parts.messaging
    keeps = options.persist is not None
    connect_functions(services.delegated, parts.compute.functions, services.policies)
    made: list[ResourceHandler] = [
        RoleHandler(services.iam),
        ManagedPolicyHandler(services.iam),
        PolicyHandler(services.iam),
        AlarmHandler(services.alarms),
        CompositeAlarmHandler(services.alarms),
        LogGroupHandler(services.logs),
        *log_handlers(services, parts.compute),
        QueueHandler(services.queues, keeps=keeps),
        QueuePolicyHandler(services.queues),
        *services.tables.handlers,
        BucketHandler(services.s3.prepare, keeps=keeps),
        BucketPolicyHandler(services.s3.prepare),
        *small_handlers(services.delegated, services.rng, keeps=keeps),
        StreamHandler(services.streams, keeps=keeps),
        StreamConsumerHandler(services.streams),
        StreamPolicyHandler(services.streams),
        TopicHandler(messaging.topics),
        SubscriptionHandler(messaging.topics),
        TopicPolicyHandler(messaging.topics),
        TopicInlinePolicyHandler(messaging.topics),
        EventBusHandler(messaging.buses),
        RuleHandler(messaging.buses),
        EventBusPolicyHandler(messaging.buses),
        ArchiveHandler(messaging.buses),
        *refused_events_handlers(),
        PipeHandler(messaging.pipes),
        *state_machine_handlers(messaging.machines),
        *_lambda_handlers(options, services, parts),
        EventSourceMappingHandler(messaging.mappings),
        *gateway_handlers(parts.gateway),
        *domain_handlers(parts.gateway),
        *v2_handlers(WebSocketApis(parts.sockets), StackHttpApis(parts.gateway.http_apis)),
        *appsync_handlers(parts.appsync),
        FunctionUrlHandler(parts.compute.functions, parts.urls),
        *parts.naming.handlers,
        *parts.formation.handlers,
    ]
    return {handler.type: handler for handler in made}


def _lambda_handlers(options: CloudOptions, services: Services, parts: Parts) -> Iterator[ResourceHandler]:
    own, layers, runtimes = parts.functions.own, parts.functions.layers, parts.compute.runtimes
    builder = Builder(
        cache_dir=options.cache,
        base=options.template.resolve().parent,
        environ=options.environ,
        progress=options.progress,
        note=parts.compute.reloader.note if parts.compute.reloader is not None else None,
    )
    yield LayerHandler(builder, runtimes, layers=layers, clock=services.clock)
    yield FunctionHandler(own, layers=layers, builder=builder, runtimes=runtimes)
    yield from version_handlers(own)
    yield PermissionHandler(own.functions, services.policies)
    yield from refused_handlers()
