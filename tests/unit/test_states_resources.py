"""State machines as CloudFormation makes them, and rules and pipes that start them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from localcloud.services.events.target import read_target
from localcloud.services.pipes.errors import PipesError
from localcloud.services.pipes.target_settings import read_target as read_pipe_target
from localcloud.services.states.resources import StateMachineHandler, state_machine_handlers
from localcloud.services.states.version_resources import StateMachineAliasHandler, StateMachineVersionHandler
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Physical, Resource, StackContext, Support
from tests.unit.states_setup import REGION, ROLE, World, one, run_world

MACHINE = f"arn:aws:states:{REGION}:123456789012:stateMachine:m"
PASS = one({"Type": "Pass", "Parameters": {"to": "${Table}", "other": "${Other}"}})


def make(world: World, base: Path = Path(), /, **properties: Any) -> Any:
    """A resource `Press` of the stack `shop`, created."""
    context = StackContext("shop", REGION, "123456789012", "aws", base)
    resource = Resource("Press", StateMachineHandler.type, {"RoleArn": ROLE, **properties}, context)
    return StateMachineHandler(world.machines).create(resource)


@pytest.mark.parametrize("form", ["Definition", "DefinitionString", "DefinitionS3Location"])
def test_a_definition_comes_in_three_forms_with_substitutions(form: str, tmp_path: Path) -> None:
    """Placeholders without a value stay; Ref is the ARN."""
    (tmp_path / "m.asl.yaml").write_text(
        "StartAt: S\nStates: {S: {Type: Pass, Parameters: {to: '${Table}'}, End: true}}"
    )
    given = {"Definition": PASS, "DefinitionString": json.dumps(PASS), "DefinitionS3Location": "m.asl.yaml"}[form]

    async def story(world: World) -> None:
        physical: Physical = await make(world, tmp_path, **{form: given}, DefinitionSubstitutions={"Table": 'a"b'})
        assert physical.ref == f"arn:aws:states:{REGION}:123456789012:stateMachine:shop-Press"
        assert (physical.attributes["Arn"], physical.attributes["Name"]) == (physical.ref, "shop-Press")
        machine = world.machines.find(physical.ref)
        assert physical.attributes["StateMachineRevisionId"] == machine.revision.revision_id
        parameters = machine.revision.machine.states["S"].fields["Parameters"]
        assert parameters["to"] == 'a"b'
        assert parameters.get("other", "${Other}") == "${Other}"
        await StateMachineHandler(world.machines).delete(
            Resource("Press", StateMachineHandler.type, {}, StackContext("shop", REGION, "1", "aws", tmp_path)),
            physical,
        )
        assert world.machines.list(REGION) == []

    run_world(story)


def test_settings_are_the_machines() -> None:
    """Type, logs, tracing, tags and name; text for a boolean is one."""

    async def story(world: World) -> None:
        group = f"arn:aws:logs:{REGION}:123456789012:log-group:/g:*"
        logs = {
            "Level": "ERROR",
            "IncludeExecutionData": "true",
            "Destinations": [{"CloudWatchLogsLogGroup": {"LogGroupArn": group}}],
        }
        physical = await make(
            world,
            Definition=PASS,
            StateMachineName="press",
            StateMachineType="EXPRESS",
            LoggingConfiguration=logs,
            TracingConfiguration={"Enabled": True},
            Tags=[{"Key": "a", "Value": 1}],
        )
        told = await world.ask("DescribeStateMachine", stateMachineArn=physical.ref)
        assert (told["name"], told["type"], told["tracingConfiguration"]) == ("press", "EXPRESS", {"enabled": True})
        assert told["loggingConfiguration"] == {
            "level": "ERROR",
            "includeExecutionData": True,
            "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": group}}],
        }
        assert world.machines.find(physical.ref).tags == {"a": "1"}

    run_world(story)


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({}, "exactly one of Definition, DefinitionS3Location, DefinitionString is needed"),
        ({"DefinitionString": "{"}, "INVALID_JSON_DESCRIPTION"),
        ({"Definition": {**PASS, "QueryLanguage": "JSONata"}}, "'Parameters' is only supported for the 'JSONPath'"),
        ({"DefinitionS3Location": "nowhere.json"}, "cannot be read"),
        ({"Definition": PASS, "LoggingConfiguration": {"Level": "ALL"}}, "exactly one log group is needed"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_property(properties: dict[str, Any], said: str) -> None:
    """A TemplateError that names the resource."""

    async def story(world: World) -> None:
        with pytest.raises(TemplateError) as caught:
            await make(world, **properties)
        assert said in str(caught.value)
        assert "Press.Properties" in str(caught.value)

    run_world(story)


def test_every_resource_type_is_served() -> None:
    """Machines, their versions and aliases, activities."""

    async def story(world: World) -> None:
        kinds = {each.type.rpartition(":")[2]: each.support.support for each in state_machine_handlers(world.machines)}
        assert kinds == {
            "Activity": Support.SERVED,
            "StateMachine": Support.SERVED,
            "StateMachineAlias": Support.SERVED,
            "StateMachineVersion": Support.SERVED,
        }

    run_world(story)


def test_a_version_and_an_alias_are_made_of_a_stacks_machine() -> None:
    """As SAM writes AutoPublishAlias; both go with the stack."""

    async def story(world: World) -> None:
        context = StackContext("shop", REGION, "123456789012", "aws", Path())
        machine = await make(world, Definition=PASS)
        given = {
            "StateMachineArn": machine.ref,
            "StateMachineRevisionId": machine.attributes["StateMachineRevisionId"],
        }
        versions, aliases = StateMachineVersionHandler(world.machines), StateMachineAliasHandler(world.machines)
        of_version = Resource("V", versions.type, given, context)
        version = await versions.create(of_version)
        assert (version.ref, version.attributes) == (f"{machine.ref}:1", {"Arn": f"{machine.ref}:1"})
        preference = {"StateMachineVersionArn": version.ref, "Type": "ALL_AT_ONCE"}
        of_alias = Resource("A", aliases.type, {"Name": "live", "DeploymentPreference": preference}, context)
        alias = await aliases.create(of_alias)
        assert alias.ref == f"{machine.ref}:live"
        told = await world.ask("DescribeStateMachineAlias", stateMachineAliasArn=alias.ref)
        assert told["routingConfiguration"] == [{"stateMachineVersionArn": version.ref, "weight": 100}]
        with pytest.raises(TemplateError, match="StateMachineRevisionId"):
            await versions.create(Resource("V", versions.type, {**given, "StateMachineRevisionId": "x"}, context))
        await aliases.delete(of_alias, alias)
        await versions.delete(of_version, version)
        assert (await world.ask("ListStateMachineVersions", stateMachineArn=machine.ref))["stateMachineVersions"] == []

    run_world(story)


def test_a_machine_may_be_a_rules_target_with_a_role() -> None:
    """Of the rule's Region."""
    target = read_target({"Id": "t", "Arn": MACHINE, "RoleArn": ROLE}, REGION)
    assert (target.service, target.role_arn) == ("states", ROLE)


def test_a_machine_may_be_a_pipes_target_and_enrichment() -> None:
    """It waits for the end unless it is told not to; an activity is no target."""
    waits = read_pipe_target(MACHINE, {}, REGION)
    asks = {"StepFunctionStateMachineParameters": {"InvocationType": "FIRE_AND_FORGET"}}
    assert (waits.waits, read_pipe_target(MACHINE, asks, REGION).waits) == (True, False)
    with pytest.raises(PipesError):
        read_pipe_target(MACHINE.replace("stateMachine", "activity"), {}, REGION)
