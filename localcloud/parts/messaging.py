"""What carries messages between services and functions: topics, event buses, pipes and event source mappings.

Opened once Lambda and the front are there, for they invoke functions and call services; each is imported and made when
a call, a resource or another of them first needs it. Knows no resource handler.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Final

from localcloud.compute.functions import Functions, InvokeResult
from localcloud.front import Front
from localcloud.parts.delegated import Lazily
from localcloud.parts.services import Services
from localcloud.services.contract import Service
from localcloud.services.iam.policy import read_resource_policy
from localcloud.services.iam.sessions import RoleSessions

if TYPE_CHECKING:
    from localcloud.compute.mappings.registry import Mappings
    from localcloud.compute.stream_source import StreamSource
    from localcloud.parts.scheduler import Scheduler
    from localcloud.services.events.envelope import Entry
    from localcloud.services.events.model import Buses
    from localcloud.services.pipes.model import Pipes
    from localcloud.services.s3.notifications import Notifications
    from localcloud.services.sns.model import Topics
    from localcloud.services.sns.wire import SnsService
    from localcloud.services.states.model import StateMachines

__all__ = ["Messaging", "open_messaging"]

_TOPICS: Final = "sns.amazonaws.com"
_LAMBDA: Final = "lambda.amazonaws.com"
_SESSION: Final = "awslambda_event_source_mapping"


class Messaging:
    """Topics, buses, pipes, mappings, state machines and schedules.

    Each works from when it is first asked for, until `close`.
    """

    def __init__(self, services: Services, functions: Functions, front: Front, *, group: asyncio.TaskGroup) -> None:
        self._services = services
        self._functions = functions
        self._front = front
        self._group = group
        self._couriers: list[asyncio.Task[None]] = []

    @cached_property
    def topics(self) -> Topics:
        """SNS."""
        topics = _open_topics(self._services, self._functions, self._group)
        topics.endpoint = self._services.queues.endpoint
        return topics

    @cached_property
    def buses(self) -> Buses:
        """EventBridge."""
        buses = _open_buses(self._services, self._outlets)
        self._couriers.append(self._group.create_task(buses.run()))
        return buses

    @cached_property
    def pipes(self) -> Pipes:
        """EventBridge Pipes."""
        return _open_pipes(self._services, self._outlets, self.buses, group=self._group)

    @cached_property
    def mappings(self) -> Mappings:
        """Lambda's event source mappings."""
        return _open_mappings(self._services, self._functions, self._front, group=self._group)

    @cached_property
    def machines(self) -> StateMachines:
        """Step Functions."""
        from localcloud.parts.states import open_states  # noqa: PLC0415 - few stacks have state machines

        return open_states(self._services, lambda: self.buses, self._front, group=self._group)

    @cached_property
    def scheduler(self) -> Scheduler:
        """EventBridge Scheduler."""
        from localcloud.parts.scheduler import Scheduler  # noqa: PLC0415 - few stacks have schedules

        return Scheduler(self._services, self._front, group=self._group)

    @cached_property
    def notifications(self) -> Notifications:
        """What S3's buckets tell."""
        from localcloud.parts.notifications import open_notifications  # noqa: PLC0415 - few stacks' buckets tell

        return open_notifications(self._services, self._functions, self, group=self._group)

    @cached_property
    def sns(self) -> SnsService:
        """SNS's API."""
        from localcloud.services.sns.wire import SnsService  # noqa: PLC0415 - few stacks have topics

        return SnsService(self.topics, principal_of=lambda key: self._services.iam.principal_of(key).arn)

    @cached_property
    def _outlets(self) -> _Outlets:
        return _Outlets(self._services, self._functions, self)

    def serve(self) -> None:
        """Put the APIs behind the front, and tell of the policies and tags of what they have."""

        def events() -> Service:
            from localcloud.services.events.wire import EventsService  # noqa: PLC0415 - as above

            return EventsService(self.buses)

        def pipes() -> Service:
            from localcloud.services.pipes.wire import PipesService  # noqa: PLC0415 - as above

            return PipesService(self.pipes)

        def states() -> Service:
            from localcloud.parts.states import serve_states  # noqa: PLC0415 - as above

            return serve_states(self._services, self.machines)

        for api in (
            Lazily("sns", lambda: self.sns),
            Lazily("events", events),
            Lazily("pipes", pipes),
            Lazily("states", states),
            Lazily("scheduler", lambda: self.scheduler.api),
        ):
            self._front.add(api)
        services = self._services
        services.s3.load_notifications = lambda: self.notifications
        services.resource_policies["sns"] = lambda arn: read_resource_policy(self.topics.policy_text(arn))
        services.resource_policies["events"] = lambda arn: self.buses.policy_of(arn)  # noqa: PLW0108 - made later
        services.resource_tags["sns"] = lambda action, arn: self.sns.tags_of(action, arn)  # noqa: PLW0108 - likewise
        services.resource_tags["events"] = self._tags_of_bus
        services.resource_tags["states"] = self._tags_of_machine

    async def close(self) -> None:
        """End what was made of it."""
        made: Mapping[str, object] = vars(self)
        if "mappings" in made:
            await self.mappings.close()
        if "pipes" in made:
            await self.pipes.close()
        if "machines" in made:
            await self.machines.close()
        if "notifications" in made:
            self.notifications.close()
        if "scheduler" in made:
            self.scheduler.schedules.close()
        for courier in self._couriers:
            courier.cancel()
        if "topics" in made:
            self.topics.close()

    def _tags_of_bus(self, action: str, resource: str) -> Mapping[str, str] | None:
        from localcloud.services.events.access import tags_of  # noqa: PLC0415 - as above

        return tags_of(self.buses, action, resource)

    def _tags_of_machine(self, action: str, resource: str) -> Mapping[str, str] | None:
        from localcloud.services.states.access import tags_of  # noqa: PLC0415 - as above

        return tags_of(self.machines, action, resource)


@asynccontextmanager
async def open_messaging(
    services: Services, functions: Functions, front: Front, *, group: asyncio.TaskGroup
) -> AsyncGenerator[Messaging]:
    """Serve SNS, EventBridge with its Scheduler, Pipes and Step Functions behind `front`, and mappings."""
    messaging = Messaging(services, functions, front, group=group)
    messaging.serve()
    try:
        yield messaging
    finally:
        await messaging.close()


def _open_topics(services: Services, functions: Functions, group: asyncio.TaskGroup) -> Topics:
    from localcloud.services.sns.endpoints import LocalEndpoints  # noqa: PLC0415 - few stacks need it, as those below
    from localcloud.services.sns.model import Topics  # noqa: PLC0415

    endpoints = LocalEndpoints(
        services.queues,
        invoke_event=_event_invoker(functions),
        may_invoke=lambda arn, topic: services.policies.allows(arn, service=_TOPICS, source_arn=topic),
    )
    return Topics(clock=services.clock, rng=services.rng, group=group, endpoints=endpoints)


def _event_invoker(functions: Functions) -> Callable[[str, bytes, str], Awaitable[None]]:
    async def invoke_event(arn: str, payload: bytes, trace_header: str) -> None:
        await functions.invoke(arn, payload, invocation_type="Event", trace_header=trace_header)

    return invoke_event


class _Outlets:
    """What buses and pipes hand messages to; each raises its service's own error."""

    def __init__(self, services: Services, functions: Functions, messaging: Messaging) -> None:
        self.functions = functions
        self._messaging = messaging
        self._services = services

    async def invoke(self, arn: str, payload: bytes, wait: bool) -> InvokeResult:  # noqa: FBT001 - the pipes' port
        """Invoke a function, and wait for its answer or not."""
        kind = "RequestResponse" if wait else "Event"
        return await self.functions.invoke(arn, payload, invocation_type=kind)

    async def start(self, arn: str, text: str) -> None:
        """Start an execution of a machine."""
        machines = self._messaging.machines
        machines.start(machines.resolve(arn), {"input": text})

    async def run_machine(self, arn: str, text: str, wait: bool) -> InvokeResult:  # noqa: FBT001 - the pipes' port
        """Start an execution of a machine, and wait for its end or not."""
        if not wait:
            await self.start(arn, text)
            return InvokeResult(202)
        output = await self._messaging.machines.run_to_end(arn, text)
        return InvokeResult(200, output.encode(), function_error="" if output else "Unhandled")

    async def publish(self, arn: str, message: str) -> None:
        """Publish to a topic."""
        from localcloud.services.sns.message import Publication  # noqa: PLC0415

        topics = self._messaging.topics
        topics.publish(topics.get(arn, arn.split(":")[3]), Publication(message))

    async def put_record(self, arn: str, data: bytes, key: str) -> None:
        """Put a record into a stream."""
        from localcloud.services.kinesis.errors import stream_missing  # noqa: PLC0415
        from localcloud.services.kinesis.shard import Content  # noqa: PLC0415

        stream = self._services.streams.find(arn)
        if stream is None:
            raise stream_missing(arn.rpartition("/")[2])
        stream.put(Content(base64.b64encode(data).decode(), key, len(data) + len(key.encode())))


def _open_buses(services: Services, outlets: _Outlets) -> Buses:
    from localcloud.services.events.model import Buses  # noqa: PLC0415
    from localcloud.services.events.targets import Reach, Targets, TargetServices  # noqa: PLC0415

    targets = TargetServices(
        find_queue=services.queues.find,
        invoke=_event_invoker(outlets.functions),
        publish=outlets.publish,
        put_record=outlets.put_record,
        forward=lambda arn, event: buses.forward(arn, event),  # noqa: PLW0108 - made below
        start=outlets.start,
    )
    reach = Reach(policy_of=services.policy_of, may_assume=services.iam.may_assume, may_do=services.may_do)
    buses = Buses(clock=services.clock, rng=services.rng, port=Targets(targets, reach))
    return buses


def _open_pipes(services: Services, outlets: _Outlets, buses: Buses, *, group: asyncio.TaskGroup) -> Pipes:
    from localcloud.services.events.envelope import RefusedEntry  # noqa: PLC0415
    from localcloud.services.events.model import PutEntry  # noqa: PLC0415
    from localcloud.services.pipes.model import Pipes  # noqa: PLC0415
    from localcloud.services.pipes.services import PipeServices, ServicePort  # noqa: PLC0415
    from localcloud.services.pipes.sources import Sources  # noqa: PLC0415

    async def put_event(arn: str, entry: Entry) -> None:
        (answer,) = buses.put_events(arn.split(":")[3], [PutEntry(entry, arn)])
        if isinstance(answer, RefusedEntry):
            raise answer

    port = ServicePort(
        PipeServices(
            find_queue=services.queues.find,
            invoke=outlets.invoke,
            publish=outlets.publish,
            put_record=outlets.put_record,
            put_event=put_event,
            run_machine=outlets.run_machine,
            may_do=services.may_do,
        )
    )
    sources = Sources(
        find_queue=services.queues.find,
        open_stream=lambda arn, role_arn: _open_stream(services, arn, role_arn),
        may_do=services.may_do,
        may_assume=services.iam.may_assume,
        port=port,
        clock=services.clock,
        rng=services.rng,
    )
    return Pipes(sources, group=group, clock=services.clock)


def _open_stream(services: Services, arn: str, role_arn: str, *, opens_aggregates: bool = False) -> StreamSource:
    if ":dynamodb:" in arn:
        return services.tables.open_stream(arn)
    from localcloud.compute.source_kinesis import KinesisSource  # noqa: PLC0415

    return KinesisSource(
        services.streams,
        arn,
        role_arn=role_arn,
        opens_aggregates=opens_aggregates,
        open_aggregate=_open_aggregate,
    )


def _open_mappings(services: Services, functions: Functions, front: Front, *, group: asyncio.TaskGroup) -> Mappings:
    from localcloud.compute.mappings.destinations import DestinationCaller  # noqa: PLC0415
    from localcloud.compute.mappings.pollers import MappingPollers  # noqa: PLC0415
    from localcloud.compute.mappings.registry import Mappings  # noqa: PLC0415

    sessions = RoleSessions(services.iam, service=_LAMBDA, session=_SESSION)
    pollers = MappingPollers(
        functions=functions,
        find_queue=services.queues.find,
        open_stream=partial(_open_stream, services),
        destinations=DestinationCaller(dispatch=front.dispatch, assume=sessions.assume, rng=services.rng),
        may_do=services.may_do,
        trace_of=services.queue_spans.header_of,
        metrics=services.metrics,
        clock=services.clock,
        rng=services.rng,
    )
    return Mappings(functions, pollers, group=group, clock=services.clock, rng=services.rng)


def _open_aggregate(data: bytes) -> list[tuple[str, bytes]] | None:
    """The user records of an aggregate; one that is corrupt is a record like any other, for the function to judge."""
    from sluiceway.codec.kpl import CorruptAggregate, open_aggregate  # noqa: PLC0415

    try:
        aggregate = open_aggregate(data)
    except CorruptAggregate:
        return None
    return None if aggregate is None else [(each.partition_key, bytes(each.data)) for each in aggregate.records]
