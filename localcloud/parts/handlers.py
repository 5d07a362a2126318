"""A handler for every resource type that the local cloud serves, over the services that are open.

Those of a service are imported and made when a template first names one of its types.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localcloud.options import CloudOptions
from localcloud.parts.handler_groups import Handlers
from localcloud.parts.small_handlers import add_small_handlers, connect_functions
from localcloud.template.handler import ResourceHandler
from localcloud.urls import Reach

if TYPE_CHECKING:
    from localcloud.compute.cloud import Compute
    from localcloud.gateway.function_url import FunctionUrls
    from localcloud.gateway.server import Gateway
    from localcloud.gateway.websocket.gateway import WebSocketGateway
    from localcloud.parts.appsync import AppSync
    from localcloud.parts.formation import Formation
    from localcloud.parts.messaging import Messaging
    from localcloud.parts.naming import Naming
    from localcloud.parts.services import Services
    from localcloud.services.lambda_.api import ApiParts

__all__ = ["Handlers", "Parts", "make_handlers"]


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
    appsync: AppSync
    naming: Naming
    formation: Formation


def make_handlers(options: CloudOptions, parts: Parts) -> Handlers:
    """The handlers by resource type; none is made yet."""
    services = parts.services
    connect_functions(services.delegated, parts.compute.functions, services.policies)
    handlers = Handlers()
    loads = _Loads(parts, keeps=options.persist is not None)
    handlers.add("AWS::IAM::", loads.iam)
    handlers.add("AWS::CloudWatch::", loads.cloudwatch)
    handlers.add("AWS::Logs::", loads.logs)
    handlers.add("AWS::SQS::", loads.sqs)
    handlers.add("AWS::DynamoDB::", lambda: services.tables.handlers)
    handlers.add("AWS::S3::", loads.s3)
    add_small_handlers(handlers, services.delegated, services.rng, keeps=loads.keeps)
    handlers.add("AWS::Kinesis::", loads.kinesis)
    handlers.add("AWS::SNS::", loads.sns)
    handlers.add("AWS::Events::", loads.events)
    handlers.add("AWS::Pipes::", loads.pipes)
    handlers.add("AWS::Scheduler::", loads.scheduler)
    handlers.add("AWS::StepFunctions::", loads.states)
    handlers.add("AWS::Lambda::", lambda: _lambda_handlers(options, services, parts))
    handlers.add("AWS::Lambda::EventSourceMapping", loads.mappings)
    handlers.add("AWS::Lambda::Url", loads.function_urls)
    handlers.add("AWS::ApiGateway::", loads.rest_apis)
    handlers.add("AWS::ApiGatewayV2::", loads.v2_apis)
    handlers.add("AWS::AppSync::", loads.appsync)
    handlers.add("AWS::Route53::", lambda: parts.naming.handlers)
    for prefix in ("AWS::CDK::", "AWS::CloudFormation::", "AWS::CodeDeploy::"):
        handlers.add(prefix, lambda: parts.formation.handlers)
    return handlers


class _Loads:
    """How the handlers of each service are made. What is imported here, few stacks need."""

    def __init__(self, parts: Parts, *, keeps: bool) -> None:
        self._parts = parts
        self._services = parts.services
        self._messaging = parts.messaging
        self.keeps = keeps

    def iam(self) -> Iterable[ResourceHandler]:
        from localcloud.services.iam.resources import ManagedPolicyHandler, PolicyHandler, RoleHandler  # noqa: PLC0415

        iam = self._services.iam
        return RoleHandler(iam), ManagedPolicyHandler(iam), PolicyHandler(iam)

    def cloudwatch(self) -> Iterable[ResourceHandler]:
        from localcloud.services.cloudwatch.resources import AlarmHandler, CompositeAlarmHandler  # noqa: PLC0415

        return AlarmHandler(self._services.alarms), CompositeAlarmHandler(self._services.alarms)

    def logs(self) -> Iterable[ResourceHandler]:
        from localcloud.parts.log_filters import log_handlers  # noqa: PLC0415
        from localcloud.services.logs.resources import LogGroupHandler  # noqa: PLC0415

        return LogGroupHandler(self._services.logs), *log_handlers(self._services, self._parts.compute)

    def sqs(self) -> Iterable[ResourceHandler]:
        from localcloud.services.sqs.resources import QueueHandler, QueuePolicyHandler  # noqa: PLC0415

        return QueueHandler(self._services.queues, keeps=self.keeps), QueuePolicyHandler(self._services.queues)

    def s3(self) -> Iterable[ResourceHandler]:
        from localcloud.services.s3.resources import BucketHandler, BucketPolicyHandler  # noqa: PLC0415

        s3 = self._services.s3
        bucket = BucketHandler(s3.prepare, notifications=lambda: s3.notifications, keeps=self.keeps)
        return bucket, BucketPolicyHandler(s3.prepare)

    def kinesis(self) -> Iterable[ResourceHandler]:
        from localcloud.services.kinesis.resources import (  # noqa: PLC0415
            StreamConsumerHandler,
            StreamHandler,
            StreamPolicyHandler,
        )

        streams = self._services.streams
        return StreamHandler(streams, keeps=self.keeps), StreamConsumerHandler(streams), StreamPolicyHandler(streams)

    def sns(self) -> Iterable[ResourceHandler]:
        from localcloud.services.sns.resources import (  # noqa: PLC0415
            SubscriptionHandler,
            TopicHandler,
            TopicInlinePolicyHandler,
            TopicPolicyHandler,
        )

        kinds = (TopicHandler, SubscriptionHandler, TopicPolicyHandler, TopicInlinePolicyHandler)
        return [kind(self._messaging.topics) for kind in kinds]

    def events(self) -> Iterable[ResourceHandler]:
        from localcloud.services.events.archive_resources import ArchiveHandler  # noqa: PLC0415
        from localcloud.services.events.resources import (  # noqa: PLC0415
            EventBusHandler,
            EventBusPolicyHandler,
            RuleHandler,
            refused_handlers,
        )

        kinds = (EventBusHandler, RuleHandler, EventBusPolicyHandler, ArchiveHandler)
        return *(kind(self._messaging.buses) for kind in kinds), *refused_handlers()

    def pipes(self) -> Iterable[ResourceHandler]:
        from localcloud.services.pipes.resources import PipeHandler  # noqa: PLC0415

        return (PipeHandler(self._messaging.pipes),)

    def scheduler(self) -> Iterable[ResourceHandler]:
        from localcloud.services.scheduler.resources import schedule_handlers  # noqa: PLC0415

        return schedule_handlers(lambda: self._messaging.scheduler.schedules)

    def states(self) -> Iterable[ResourceHandler]:
        from localcloud.services.states.resources import state_machine_handlers  # noqa: PLC0415

        return state_machine_handlers(self._messaging.machines)

    def mappings(self) -> Iterable[ResourceHandler]:
        from localcloud.compute.mappings.resources import EventSourceMappingHandler  # noqa: PLC0415

        return (EventSourceMappingHandler(self._messaging.mappings),)

    def function_urls(self) -> Iterable[ResourceHandler]:
        from localcloud.gateway.function_url_resources import FunctionUrlHandler  # noqa: PLC0415

        return (FunctionUrlHandler(self._parts.compute.functions, self._parts.urls),)

    def rest_apis(self) -> Iterable[ResourceHandler]:
        from localcloud.gateway.domain_resources import domain_handlers  # noqa: PLC0415
        from localcloud.gateway.resources import gateway_handlers  # noqa: PLC0415

        return *gateway_handlers(self._parts.gateway), *domain_handlers(self._parts.gateway)

    def v2_apis(self) -> Iterable[ResourceHandler]:
        from localcloud.gateway.domain_resources import domain_handlers  # noqa: PLC0415
        from localcloud.gateway.http_api.resources import StackHttpApis  # noqa: PLC0415
        from localcloud.gateway.v2_resources import v2_handlers  # noqa: PLC0415
        from localcloud.gateway.websocket.resources import WebSocketApis  # noqa: PLC0415

        gateway = self._parts.gateway
        apis = v2_handlers(WebSocketApis(self._parts.sockets), StackHttpApis(gateway.http_apis))
        return *domain_handlers(gateway), *apis

    def appsync(self) -> Iterable[ResourceHandler]:
        from localcloud.services.appsync.resources import appsync_handlers  # noqa: PLC0415

        return appsync_handlers(self._parts.appsync.apis)


def _lambda_handlers(options: CloudOptions, services: Services, parts: Parts) -> Iterable[ResourceHandler]:
    from localcloud.compute.dependencies import Builder  # noqa: PLC0415
    from localcloud.compute.permission_resources import PermissionHandler  # noqa: PLC0415
    from localcloud.compute.resources import FunctionHandler, LayerHandler, refused_handlers  # noqa: PLC0415
    from localcloud.compute.version_resources import version_handlers  # noqa: PLC0415

    own, layers, runtimes = parts.functions.own, parts.functions.layers, parts.compute.runtimes
    builder = Builder(
        cache_dir=options.cache,
        base=options.template.resolve().parent,
        environ=options.environ,
        progress=options.progress,
        note=parts.compute.reloader.note if parts.compute.reloader is not None else None,
    )
    yield LayerHandler(builder, runtimes, layers=layers, clock=services.clock)
    reach = Reach(
        options.region, lambda: services.queues.endpoint, lambda: parts.gateway.url, parts.sockets.known.__contains__
    )
    yield FunctionHandler(own, layers=layers, builder=builder, runtimes=runtimes, localise=reach.localise)
    yield from version_handlers(own)
    yield PermissionHandler(own.functions, services.policies)
    yield from refused_handlers()
