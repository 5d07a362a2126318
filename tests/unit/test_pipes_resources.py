"""A pipe in a template: made as CreatePipe would, with the template's numbers, and unmade."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from localcloud.services.pipes.errors import PipesError
from localcloud.services.pipes.resources import PipeHandler
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Physical, Resource, StackContext, Support
from tests.unit.pipes_setup import ACCOUNT, FUNCTION, OUT, PIPE, QUEUE, REGION, ROLE, STREAM, World, pipe, with_pipes


def resource(properties: dict[str, Any]) -> Resource:
    context = StackContext("shop", REGION, ACCOUNT, "aws", Path())
    return Resource("Orders", "AWS::Pipes::Pipe", properties, context)


async def create(world: World, **properties: Any) -> Physical:
    return await PipeHandler(world.pipes).create(resource({**pipe(), **properties}))


def test_a_pipe_of_a_template_runs_once_it_is_made() -> None:
    """Ref is its name; the numbers of a template are numbers."""

    async def test(world: World) -> None:
        sources = {
            "FilterCriteria": {"Filters": [{"Pattern": '{"body":{"n":[1]}}'}]},
            "SqsQueueParameters": {"BatchSize": "5", "MaximumBatchingWindowInSeconds": "2"},
        }
        made = await create(world, Name="p", SourceParameters=sources, Tags={"a": "b"})
        assert (made.ref, made.attributes["Arn"], made.attributes["CurrentState"]) == ("p", PIPE, "RUNNING")
        assert made.attributes["CreationTime"] == "2027-01-15T08:00:00Z"
        described = await world.do("GET", "/v1/pipes/p")
        assert described["SourceParameters"]["SqsQueueParameters"] == {
            "BatchSize": 5,
            "MaximumBatchingWindowInSeconds": 2,
        }
        assert described["Tags"] == {"a": "b"}
        await world.send({"n": 1}, {"n": 2})
        await asyncio.sleep(5)
        assert len(await world.received()) == 1

    with_pipes(test)


@pytest.mark.parametrize("at", ["2027-01-15T07:59:00Z", "1799999940"])
def test_a_date_in_a_template_is_a_date(at: str) -> None:
    """ISO 8601, or seconds since 1970."""

    async def test(world: World) -> None:
        begin = {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": at}
        parameters = {"KinesisStreamParameters": begin}
        await create(world, Name="p", Source=STREAM, SourceParameters=parameters, Target=FUNCTION)
        described = await world.do("GET", "/v1/pipes/p")
        found = described["SourceParameters"]["KinesisStreamParameters"]["StartingPositionTimestamp"]
        assert found == 1_799_999_940.0

    with_pipes(test)


def test_a_pipe_without_a_name_gets_one_of_its_stack() -> None:
    """At most 64 characters of it."""

    async def test(world: World) -> None:
        assert (await create(world)).ref == "shop-Orders"

    with_pipes(test)


def test_a_pipe_of_a_template_is_unmade() -> None:
    """Once; a second time nothing happens."""

    async def test(world: World) -> None:
        handler = PipeHandler(world.pipes)
        made = await create(world, Name="p")
        for _ in range(2):
            await handler.delete(resource(pipe()), made)
        await world.send("m")
        await asyncio.sleep(5)
        assert (world.pipes.list(REGION), await world.received()) == ([], [])

    with_pipes(test)


@pytest.mark.parametrize(
    ("properties", "detail"),
    [
        ({"Source": "arn:aws:s3:eu-west-1:123456789012:b"}, "Invalid source parameter provided for source."),
        ({"SourceParameters": {"SqsQueueParameters": {"BatchSize": "many"}}}, "BatchSize"),
        ({"Source": QUEUE + "x"}, f"The source queue {QUEUE}x does not exist."),
    ],
)
def test_what_create_pipe_refuses_is_an_error_of_the_template(properties: dict[str, Any], detail: str) -> None:
    """A value of the wrong form and a source that cannot be read as well; no pipe is left."""

    async def test(world: World) -> None:
        with pytest.raises(TemplateError) as caught:
            await create(world, Name="p", **properties)
        assert "Orders" in str(caught.value)
        assert detail.lower() in str(caught.value).lower()
        assert world.pipes.list(REGION) == []

    with_pipes(test)


def test_every_member_of_the_api_is_served_or_refused() -> None:
    """Three levels deep, by botocore's model; what is refused has a reason."""
    table = PipeHandler.properties
    members = (
        botocore.session.get_session().get_service_model("pipes").operation_model("CreatePipe").input_shape.members
    )
    blocks = ("EnrichmentParameters", "SourceParameters", "TargetParameters")
    bus = "TargetParameters.EventBridgeEventBusParameters"
    names = set(members) - set(blocks)
    names |= {f"{block}.{name}" for block in blocks for name in members[block].members} - {bus}
    names |= {f"{bus}.{name}" for name in members["TargetParameters"].members[bus.partition(".")[2]].members}
    assert set(table) == names
    refused = [supported for supported in table.values() if supported.support is Support.REFUSED]
    assert (len(refused), all(supported.reason for supported in refused)) == (15, True)


def test_the_role_is_the_pipes_own() -> None:
    """Another role may do nothing here, so the pipe is not made."""

    async def test(world: World) -> None:
        with pytest.raises(TemplateError, match="is not authorized to assume the role"):
            await create(world, RoleArn=ROLE + "x")
        with pytest.raises(PipesError, match="does not exist"):
            world.pipes.get("shop-Orders", REGION)
        assert (await create(world, Target=OUT)).ref == "shop-Orders"

    with_pipes(test)
