"""Versions and aliases of state machines: what an execution begins with, and what may be forgotten."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from tests.unit.states_setup import ROLE, World, one, run_world


def giving(value: str) -> str:
    """A definition that gives a value."""
    return json.dumps(one({"Type": "Pass", "Result": value}))


async def refused(world: World, action: str, /, **values: Any) -> str:
    """The code of a refusal."""
    status, told = await world.call(action, **values)
    assert status == 400, told
    return told["__type"]


async def output(world: World, arn: str) -> str:
    """What an execution of a machine, a version or an alias gives."""
    execution = await world.start(arn)
    await execution.ended.wait()
    return json.loads(execution.output)


def routes(*pairs: tuple[str, int]) -> list[dict[str, Any]]:
    """A routing configuration."""
    return [{"stateMachineVersionArn": arn, "weight": weight} for arn, weight in pairs]


def test_a_version_never_changes() -> None:
    """The same revision is the same version; a number is never given twice."""

    async def story(world: World) -> None:
        made = await world.ask("CreateStateMachine", name="m", definition=giving("1"), roleArn=ROLE, publish=True)
        arn, first = made["stateMachineArn"], made["stateMachineVersionArn"]
        assert first == f"{arn}:1"
        assert (await world.ask("PublishStateMachineVersion", stateMachineArn=arn))["stateMachineVersionArn"] == first
        updated = await world.ask("UpdateStateMachine", stateMachineArn=arn, definition=giving("2"), publish=True)
        assert updated["stateMachineVersionArn"] == f"{arn}:2"
        assert [await output(world, each) for each in (arn, first, f"{arn}:2")] == ["2", "1", "2"]
        described = await world.ask("DescribeStateMachine", stateMachineArn=first)
        assert (described["stateMachineArn"], described["definition"]) == (first, giving("1"))
        listed = (await world.ask("ListStateMachineVersions", stateMachineArn=arn))["stateMachineVersions"]
        assert [each["stateMachineVersionArn"] for each in listed] == [f"{arn}:2", first]
        await world.ask("DeleteStateMachineVersion", stateMachineVersionArn=f"{arn}:2")
        assert await refused(world, "StartExecution", stateMachineArn=f"{arn}:2") == "StateMachineDoesNotExist"
        again = await world.ask("PublishStateMachineVersion", stateMachineArn=arn)
        assert again["stateMachineVersionArn"] == f"{arn}:3"
        stale = {"stateMachineArn": arn, "revisionId": "x"}
        assert await refused(world, "PublishStateMachineVersion", **stale) == "ConflictException"

    run_world(story)


def test_an_alias_leads_to_versions_by_weight() -> None:
    """The execution tells both; a version that an alias leads to stays."""

    async def story(world: World) -> None:
        made = await world.ask("CreateStateMachine", name="m", definition=giving("1"), roleArn=ROLE, publish=True)
        arn = made["stateMachineArn"]
        await world.ask("UpdateStateMachine", stateMachineArn=arn, definition=giving("2"), publish=True)
        one_of_ten = routes((f"{arn}:1", 90), (f"{arn}:2", 10))
        alias = await world.ask("CreateStateMachineAlias", name="live", routingConfiguration=one_of_ten)
        assert alias["stateMachineAliasArn"] == f"{arn}:live"
        drawn = Counter([await output(world, f"{arn}:live") for _ in range(200)])
        assert (drawn["1"] + drawn["2"], 150 < drawn["1"] < 200) == (200, True)
        execution = await world.start(f"{arn}:live")
        await execution.ended.wait()
        told = await world.ask("DescribeExecution", executionArn=execution.arn)
        assert told["stateMachineAliasArn"] == f"{arn}:live"
        assert told["stateMachineVersionArn"] in {f"{arn}:1", f"{arn}:2"}
        begun = execution.history.events[0].details
        assert (begun["stateMachineAliasArn"], begun["stateMachineVersionArn"]) == (
            f"{arn}:live",
            told["stateMachineVersionArn"],
        )
        assert (
            await refused(world, "DeleteStateMachineVersion", stateMachineVersionArn=f"{arn}:1") == "ConflictException"
        )
        to_second = {"stateMachineAliasArn": f"{arn}:live", "routingConfiguration": routes((f"{arn}:2", 100))}
        await world.ask("UpdateStateMachineAlias", **to_second)
        assert {await output(world, f"{arn}:live") for _ in range(20)} == {"2"}
        unled = await world.ask("ListStateMachineAliases", stateMachineArn=f"{arn}:1")
        assert unled["stateMachineAliases"] == []
        await world.ask("DeleteStateMachineVersion", stateMachineVersionArn=f"{arn}:1")
        listed = await world.ask("ListStateMachineAliases", stateMachineArn=f"{arn}:2")
        assert [each["stateMachineAliasArn"] for each in listed["stateMachineAliases"]] == [f"{arn}:live"]
        await world.ask("DeleteStateMachineAlias", stateMachineAliasArn=f"{arn}:live")
        assert (
            await refused(world, "DescribeStateMachineAlias", stateMachineAliasArn=f"{arn}:live") == "ResourceNotFound"
        )

    run_world(story)


def test_a_routing_that_makes_no_sense_is_refused() -> None:
    """Weights are 100 together, versions are there and different, a name is not a number."""

    async def story(world: World) -> None:
        made = await world.ask("CreateStateMachine", name="m", definition=giving("1"), roleArn=ROLE, publish=True)
        version = made["stateMachineVersionArn"]
        for name, routing, code in (
            ("a", routes((version, 99)), "ValidationException"),
            ("a", routes((version, 50), (version, 50)), "ValidationException"),
            ("a", routes((f"{version}9", 100)), "ResourceNotFound"),
            ("12", routes((version, 100)), "InvalidName"),
        ):
            assert await refused(world, "CreateStateMachineAlias", name=name, routingConfiguration=routing) == code
        await world.ask("CreateStateMachineAlias", name="a", routingConfiguration=routes((version, 100)))
        again = {"name": "a", "routingConfiguration": routes((version, 100))}
        await world.ask("CreateStateMachineAlias", **again)
        assert await refused(world, "CreateStateMachineAlias", **again, description="x") == "ConflictException"

    run_world(story)
