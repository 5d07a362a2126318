"""Event source mappings of versions and aliases: whom their batches reach, and which there are."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from localcloud.clock import run_virtual
from localcloud.compute.mappings.destinations import DestinationCaller
from localcloud.compute.mappings.pollers import MappingPollers
from localcloud.compute.mappings.registry import Mappings
from localcloud.compute.versions import Alias
from localcloud.services.lambda_.errors import LambdaError
from localcloud.services.lambda_.wire import LambdaService
from localcloud.services.sqs.message import Content
from localcloud.services.sqs.model import Queues
from localcloud.template.properties import Properties
from tests.lambda_parts import ask, make_request
from tests.unit.lambda_setup import ARN, World, world

QUEUE = "arn:aws:sqs:us-east-1:123456789012:q"


def open_mappings(there: World, group: asyncio.TaskGroup) -> tuple[Mappings, Queues]:
    rng, nothing = random.Random(1), None
    queues = Queues(clock=there.clock, rng=rng)
    unused: Any = nothing
    pollers = MappingPollers(
        functions=there.functions,
        find_queue=queues.find,
        open_stream=unused,
        destinations=DestinationCaller(dispatch=unused, assume=unused, rng=rng),
        may_do=lambda *_: True,
        trace_of=lambda _: "",
        metrics=unused,
        clock=there.clock,
        rng=rng,
    )
    return Mappings(there.functions, pollers, group=group, clock=there.clock, rng=rng), queues


def create(mappings: Mappings, name: str) -> Any:
    return mappings.create(Properties({"FunctionName": name, "EventSourceArn": QUEUE}, where=""), tags={})


def test_a_mapping_of_an_alias_invokes_its_version() -> None:
    """Messages reach the version that the alias names by then, and nobody else."""

    async def main() -> None:
        async with world() as there, asyncio.TaskGroup() as group:
            mappings, queues = open_mappings(there, group)
            queue = queues.create("q", "us-east-1", attributes={}, tags={})
            for _ in range(2):
                there.record.publish(there.record.spec)
            there.record.aliases["live"] = Alias(name="live", version="1")
            made = create(mappings, f"{ARN}:live")
            assert made.function_arn == f"{ARN}:live"
            await queue.send(Content("one"))
            await asyncio.sleep(30)
            there.record.aliases["live"] = Alias(name="live", version="2")
            await queue.send(Content("two"))
            await asyncio.sleep(30)
            assert [(room.spec.version, room.served) for room in there.made] == [("1", 1), ("2", 1)]
            await mappings.close()

    run_virtual(main)


def test_a_source_is_mapped_once_to_each_qualifier() -> None:
    """Twice to the same is a conflict; a list by a qualified name has only that one's."""

    async def main() -> None:
        async with world() as there, asyncio.TaskGroup() as group:
            mappings, queues = open_mappings(there, group)
            queues.create("q", "us-east-1", attributes={}, tags={})
            there.record.publish(there.record.spec)
            there.record.aliases["live"] = Alias(name="live", version="1")
            for name in ("f", "f:live", "f:1"):
                create(mappings, name)
            with pytest.raises(LambdaError, match="ResourceConflictException"):
                create(mappings, f"{ARN}:live")
            with pytest.raises(LambdaError, match=f"Function not found: {ARN}:gone"):
                create(mappings, "f:gone")
            service = LambdaService(lambda _: there.functions, lambda _: mappings)
            for name, arns in (("f", [ARN, f"{ARN}:live", f"{ARN}:1"]), (f"{ARN}:live", [f"{ARN}:live"])):
                request = make_request("GET", "/2015-03-31/event-source-mappings", query={"FunctionName": name})
                _, answer = await ask(service, request)
                assert [each["FunctionArn"] for each in answer["EventSourceMappings"]] == arns
            await mappings.close()

    run_virtual(main)
