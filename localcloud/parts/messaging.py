"""What carries messages between services and functions: topics, event buses, pipes and event source mappings.

Opened once Lambda and the front are there, for they invoke functions and call services. Knows no resource handler.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from localcloud.compute.functions import Functions, InvokeResult
from localcloud.compute.mappings.destinations import DestinationCaller
from localcloud.compute.mappings.pollers import MappingPollers
from localcloud.compute.mappings.registry import Mappings
from localcloud.compute.source_kinesis import KinesisSource
from localcloud.compute.stream_source import StreamSource
from localcloud.front import Front
from localcloud.parts.services import Services
from localcloud.parts.states import open_states
from localcloud.services.events.access import tags_of
from localcloud.services.events.envelope import Entry, RefusedEntry
from localcloud.services.events.model import Buses, PutEntry
from localcloud.services.events.targets import Reach, Targets, TargetServices
from localcloud.services.events.wire import EventsService
from localcloud.services.iam.policy import read_resource_policy
from localcloud.services.iam.sessions import RoleSessions
from localcloud.services.kinesis.errors import stream_missing
from localcloud.services.kinesis.shard import Content
from localcloud.services.pipes.model import Pipes
from localcloud.services.pipes.services import PipeServices, ServicePort
from localcloud.services.pipes.sources import Sources
from localcloud.services.pipes.wire import PipesService
from localcloud.services.sns.endpoints import LocalEndpoints
from localcloud.services.sns.message import Publication
from localcloud.services.sns.model import Topics
from localcloud.services.sns.wire import SnsService
from localcloud.services.states.model import StateMachines
from sluiceway.codec.kpl import CorruptAggregate, open_aggregate

__all__ = ["Messaging", "open_messaging"]

_TOPICS: Final = "sns.amazonaws.com"
_LAMBDA: Final = "lambda.amazonaws.com"
_SESSION: Final = "awslambda_event_source_mapping"


@dataclass(frozen=True, slots=True)
class Messaging:
    """Topics, buses, pipes, mappings and state machines, working."""

    topics: Topics
    buses: Buses
    pipes: Pipes
    mappings: Mappings
    machines: StateMachines


@asynccontextmanager
async def open_messaging(
    services: Services, functions: Functions, front: Front, *, group: asyncio.TaskGroup
) -> AsyncGenerator[Messaging]:
    """Serve SNS, EventBridge, Pipes and Step Functions behind `front`, and mappings, for the length of the block."""
    topics = _open_topics(services, functions, group)
    topics.endpoint = services.queues.endpoint
    outlets = _Outlets(services, functions, topics)
    buses = _open_buses(services, outlets)
    machines = outlets.machines = open_states(services, buses, front, group=group)
    pipes = _open_pipes(services, outlets, buses, group=group)
    mappings = _open_mappings(services, functions, front, group=group)
    services.resource_policies["sns"] = lambda arn: read_resource_policy(topics.policy_text(arn))
    services.resource_policies["events"] = buses.policy_of
    sns = SnsService(topics, principal_of=lambda key: services.iam.principal_of(key).arn)
    for api in (sns, EventsService(buses), PipesService(pipes)):
        front.add(api)
    services.resource_tags.update(sns=sns.tags_of, events=partial(tags_of, buses))
    courier = group.create_task(buses.run())
    try:
        yield Messaging(topics, buses, pipes, mappings, machines)
    finally:
        await mappings.close()
        await pipes.close()
        await machines.close()
        courier.cancel()
        topics.close()


def _open_topics(services: Services, functions: Functions, group: asyncio.TaskGroup) -> Topics:
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

    machines: StateMachines

    def __init__(self, services: Services, functions: Functions, topics: Topics) -> None:
        self.functions = functions
        self._topics = topics
        self._streams = services.streams

    async def invoke(self, arn: str, payload: bytes, wait: bool) -> InvokeResult:  # noqa: FBT001 - the pipes' port
        """Invoke a function, and wait for its answer or not."""
        kind = "RequestResponse" if wait else "Event"
        return await self.functions.invoke(arn, payload, invocation_type=kind)

    async def start(self, arn: str, text: str) -> None:
        """Start an execution of a machine."""
        self.machines.start(self.machines.resolve(arn), {"input": text})

    async def run_machine(self, arn: str, text: str, wait: bool) -> InvokeResult:  # noqa: FBT001 - the pipes' port
        """Start an execution of a machine, and wait for its end or not."""
        if not wait:
            await self.start(arn, text)
            return InvokeResult(202)
        output = await self.machines.run_to_end(arn, text)
        return InvokeResult(200, output.encode(), function_error="" if output else "Unhandled")

    async def publish(self, arn: str, message: str) -> None:
        """Publish to a topic."""
        self._topics.publish(self._topics.get(arn, arn.split(":")[3]), Publication(message))

    async def put_record(self, arn: str, data: bytes, key: str) -> None:
        """Put a record into a stream."""
        stream = self._streams.find(arn)
        if stream is None:
            raise stream_missing(arn.rpartition("/")[2])
        stream.put(Content(base64.b64encode(data).decode(), key, len(data) + len(key.encode())))


def _open_buses(services: Services, outlets: _Outlets) -> Buses:
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
    return KinesisSource(
        services.streams,
        arn,
        role_arn=role_arn,
        opens_aggregates=opens_aggregates,
        open_aggregate=_open_aggregate,
    )


def _open_mappings(services: Services, functions: Functions, front: Front, *, group: asyncio.TaskGroup) -> Mappings:
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
    try:
        aggregate = open_aggregate(data)
    except CorruptAggregate:
        return None
    return None if aggregate is None else [(each.partition_key, bytes(each.data)) for each in aggregate.records]
