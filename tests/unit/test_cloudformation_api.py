"""CloudFormation's API over stacks that run here, read with botocore's own parser; nested stacks made and unmade."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import boto3
import botocore.parsers
import pytest

from localcloud.clock import LoopClock, VirtualLoop, run_virtual
from localcloud.services.cloudformation.model import Stacks
from localcloud.services.cloudformation.operations import ACTIONS
from localcloud.services.cloudformation.stacks import Nesting, StackHandler
from localcloud.services.cloudformation.unserved import UNSERVED
from localcloud.services.cloudformation.wire import CloudFormationService
from localcloud.services.contract import Permission, WireRequest
from localcloud.template.deploy import deploy, undeploy
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Physical, Resource, ResourceHandler, Supported
from localcloud.template.ledger import make_ledger
from localcloud.template.source import Source, read_template
from localcloud.template.stack import Settled, prepare_stack, stack_context

BOTO: Any = boto3
PARSERS: Any = botocore.parsers
MODEL: Any = BOTO.client("cloudformation", region_name="us-east-1").meta.service_model
STACK_ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/{}/00000000-0000-0000-0000-000000000000"


class Plain:
    """Makes anything whose properties are `x`; fails where `x` is `fail`."""

    type = "T::S::R"
    support = Supported()
    properties: Mapping[str, Supported] = {"x": Supported()}

    def __init__(self) -> None:
        self.history: list[str] = []

    async def create(self, resource: Resource) -> Physical:
        """Ref is `<stack>.<id>`, the attribute Arn has what `x` is."""
        await asyncio.sleep(1)
        if resource.properties.get("x") == "fail":
            raise TemplateError("no room", where=f"{resource.logical_id}.Properties.x")
        self.history.append(f"+{resource.context.stack_name}.{resource.logical_id}")
        return Physical(
            f"{resource.context.stack_name}.{resource.logical_id}", {"Arn": resource.properties.get("x", "")}
        )

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Remembered."""
        self.history.append(f"-{physical.ref}")


CHILD = {
    "Parameters": {"P": {"Type": "String"}, "Deep": {"Type": "String", "Default": "", "NoEcho": True}},
    "Resources": {"In": {"Type": "T::S::R", "Properties": {"x": {"Ref": "P"}}}},
    "Outputs": {"Arn": {"Value": {"Fn::GetAtt": "In.Arn"}, "Export": {"Name": "child-arn"}}},
}
OUTER = {
    "Description": "for the test",
    "Resources": {
        "A": {"Type": "T::S::R", "Properties": {"x": "v"}},
        "Child": {
            "Type": "AWS::CloudFormation::Stack",
            "Properties": {"TemplateURL": "child.json", "Parameters": {"P": {"Fn::GetAtt": "A.Arn"}}},
        },
        "After": {
            "Type": "T::S::R",
            "DependsOn": "Child",
            "Properties": {"x": {"Fn::ImportValue": "child-arn"}},
        },
    },
    "Outputs": {
        "Up": {"Value": {"Fn::GetAtt": "Child.Outputs.Arn"}, "Description": "from inside", "Export": {"Name": "up"}},
        "Ref": {"Value": {"Ref": "Child"}},
    },
}


class World:
    """A stack made in a folder, with its API."""

    def __init__(
        self,
        folder: Path,
        *,
        child: Mapping[str, Any] = CHILD,
        outer: Mapping[str, Any] = OUTER,
        allow: tuple[str, ...] = (),
    ) -> None:
        (folder / "child.json").write_text(json.dumps(child))
        (folder / "outer.json").write_text(json.dumps(outer))
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.stacks = Stacks(LoopClock(loop), random.Random(1))
        self.plain = Plain()
        self.exports: dict[str, str] = {}
        self.handlers: dict[str, ResourceHandler] = {Plain.type: self.plain}
        nesting = Nesting(
            handlers=self.handlers, stacks=self.stacks, settled=Settled(), exports=self.exports, allow=allow
        )
        self.allow = allow
        self.handlers[StackHandler.type] = StackHandler(nesting)
        self.stack = prepare_stack(
            read_template(folder / "outer.json"), stack_context(folder), Settled(exports=self.exports)
        )
        self.service = CloudFormationService(self.stacks)

    async def make(self) -> Any:
        """Make the stack."""
        watch = self.stacks.begin(self.stack)
        deployed = await deploy(
            self.stack, self.handlers, make_ledger(self.stack.graph, self.handlers, allow=self.allow), watch=watch
        )
        self.stacks.end(deployed)
        return deployed

    async def ask(self, action: str, **parameters: str) -> dict[str, Any]:
        """What boto3 makes of the answer."""
        response = await self.service.handle(_request(action, **parameters))
        body = {"status_code": response.status, "headers": dict(response.headers), "body": response.body}
        shape = MODEL.operation_model(action).output_shape if action in MODEL.operation_names else None
        parser = PARSERS.create_parser("query")
        return parser.parse(body, shape)


def _request(action: str, **parameters: str) -> WireRequest:
    form = urlencode({"Action": action, "Version": "2010-05-15", **parameters}).encode()
    return WireRequest("cloudformation", "us-east-1", "POST", "/", "", {}, form, "key", "request-1")


def _run(folder: Path, *calls: tuple[str, dict[str, str]]) -> list[dict[str, Any]]:
    async def main() -> list[dict[str, Any]]:
        world = World(folder)
        await world.make()
        return [await world.ask(action, **parameters) for action, parameters in calls]

    return run_virtual(main)


def test_a_nested_stack_is_made_in_order_and_unmade_in_reverse(tmp_path: Path) -> None:
    """Parameters go in, outputs and exports come out, and the resources inside belong to a stack of their own name."""

    async def main() -> tuple[list[str], dict[str, str], list[str], tuple[str, ...]]:
        world = World(tmp_path)
        deployed = await world.make()
        whole = list(deployed.whole)
        left = await undeploy(deployed)
        return world.plain.history, dict(deployed.outputs), whole, left

    history, outputs, whole, left = run_virtual(main)
    made = ["+sluiceway.A", "+sluiceway-Child.In", "+sluiceway.After"]
    assert history == [*made, "-sluiceway.After", "-sluiceway-Child.In", "-sluiceway.A"]
    assert outputs == {"Up": "v", "Ref": STACK_ID.format("sluiceway-Child")}
    assert (whole, left) == (["A", "Child", "Child.In", "After"], ())


def test_a_failure_inside_names_the_path_and_unmakes_everything(tmp_path: Path) -> None:
    """Through both templates; the outer stack is rolled back too."""
    outer = json.loads(json.dumps(OUTER))
    outer["Resources"]["A"]["Properties"]["x"] = "fail-later"
    child = {**CHILD, "Resources": {**CHILD["Resources"], "Bad": {"Type": "T::S::R", "Properties": {"x": "fail"}}}}

    async def main() -> tuple[str, list[str], list[str]]:
        world = World(tmp_path, child=child, outer=outer)
        with pytest.raises(TemplateError) as caught:
            await world.make()
        return str(caught.value), world.plain.history, [each.status for each in world.stacks.all()]

    said, history, statuses = run_virtual(main)
    assert said == "Resources.Child/Bad.Properties.x: no room"
    assert history == ["+sluiceway.A", "+sluiceway-Child.In", "-sluiceway-Child.In", "-sluiceway.A"]
    assert statuses == ["ROLLBACK_COMPLETE", "CREATE_IN_PROGRESS"]


def test_an_import_that_nothing_exports_is_named(tmp_path: Path) -> None:
    """Where nested stacks could still export it, when the resource is made."""
    outer = json.loads(json.dumps(OUTER))
    outer["Resources"]["After"]["Properties"]["x"] = {"Fn::ImportValue": "nope"}

    async def main() -> None:
        await World(tmp_path, outer=outer).make()

    with pytest.raises(TemplateError, match=r"Resources\.After: refers to the export nope, which is made later"):
        run_virtual(main)


def test_stacks_are_described_with_parameters_outputs_and_exports(tmp_path: Path) -> None:
    """What scripts read; a hidden parameter is masked, a nested stack says what it is inside of."""
    everything, inner = _run(
        tmp_path, ("DescribeStacks", {}), ("DescribeStacks", {"StackName": STACK_ID.format("sluiceway-Child")})
    )
    names = [(stack["StackName"], stack["StackStatus"]) for stack in everything["Stacks"]]
    assert names == [("sluiceway-Child", "CREATE_COMPLETE"), ("sluiceway", "CREATE_COMPLETE")]
    outer = everything["Stacks"][1]
    assert (outer["Description"], outer["StackId"], "ParentId" in outer) == (
        "for the test", STACK_ID.format("sluiceway"), False,
    )  # fmt: skip
    assert outer["Outputs"] == [
        {"OutputKey": "Up", "OutputValue": "v", "Description": "from inside", "ExportName": "up"},
        {"OutputKey": "Ref", "OutputValue": STACK_ID.format("sluiceway-Child")},
    ]
    (child,) = inner["Stacks"]
    assert (child["ParentId"], child["RootId"]) == (STACK_ID.format("sluiceway"), STACK_ID.format("sluiceway"))
    assert child["Parameters"] == [
        {"ParameterKey": "P", "ParameterValue": "v"}, {"ParameterKey": "Deep", "ParameterValue": "****"},
    ]  # fmt: skip


def test_resources_and_events_are_told(tmp_path: Path) -> None:
    """Each with its physical id, its type and its latest status; events the latest first."""
    listed, described, one, of, events = _run(
        tmp_path,
        ("ListStackResources", {"StackName": "sluiceway"}),
        ("DescribeStackResources", {"StackName": "sluiceway", "LogicalResourceId": "A"}),
        ("DescribeStackResource", {"StackName": "sluiceway", "LogicalResourceId": "After"}),
        ("DescribeStackResources", {"PhysicalResourceId": "sluiceway-Child.In"}),
        ("DescribeStackEvents", {"StackName": "sluiceway"}),
    )
    members = ("LogicalResourceId", "PhysicalResourceId", "ResourceStatus")
    assert [tuple(each[name] for name in members) for each in listed["StackResourceSummaries"]] == [
        ("A", "sluiceway.A", "CREATE_COMPLETE"),
        ("Child", STACK_ID.format("sluiceway-Child"), "CREATE_COMPLETE"),
        ("After", "sluiceway.After", "CREATE_COMPLETE"),
    ]
    assert [each["ResourceType"] for each in described["StackResources"]] == ["T::S::R"]
    assert one["StackResourceDetail"]["PhysicalResourceId"] == "sluiceway.After"
    assert [each["StackName"] for each in of["StackResources"]] == ["sluiceway-Child"]
    told = [(each["LogicalResourceId"], each["ResourceStatus"]) for each in events["StackEvents"]]
    assert told[0] == ("sluiceway", "CREATE_COMPLETE")
    assert told[-1] == ("sluiceway", "CREATE_IN_PROGRESS")
    assert len({each["EventId"] for each in events["StackEvents"]}) == len(told) == 8


def test_exports_imports_and_templates_are_told(tmp_path: Path) -> None:
    """Exports by name with their stack; who imports one; the template as written and as processed."""
    exports, imports, original, processed, listed, none = _run(
        tmp_path,
        ("ListExports", {}),
        ("ListImports", {"ExportName": "child-arn"}),
        ("GetTemplate", {"StackName": "sluiceway"}),
        ("GetTemplate", {"StackName": "sluiceway", "TemplateStage": "Processed"}),
        ("ListStacks", {"StackStatusFilter.member.1": "CREATE_COMPLETE"}),
        ("ListStacks", {"StackStatusFilter.member.1": "DELETE_COMPLETE"}),
    )
    assert exports["Exports"] == [
        {"ExportingStackId": STACK_ID.format("sluiceway-Child"), "Name": "child-arn", "Value": "v"},
        {"ExportingStackId": STACK_ID.format("sluiceway"), "Name": "up", "Value": "v"},
    ]
    assert imports["Imports"] == ["sluiceway"]
    assert json.loads(original["TemplateBody"]) == OUTER
    assert json.loads(processed["TemplateBody"]) == OUTER
    assert [each["StackName"] for each in listed["StackSummaries"]] == ["sluiceway-Child", "sluiceway"]
    assert none["StackSummaries"] == []


@pytest.mark.parametrize(
    ("action", "parameters", "code", "message"),
    [
        ("DescribeStacks", {"StackName": "no"}, "ValidationError", "Stack with id no does not exist"),
        ("DescribeStackEvents", {}, "ValidationError", "Value null at 'stackName' failed to satisfy constraint"),
        ("DescribeStackResource", {"StackName": "sluiceway", "LogicalResourceId": "X"}, "ValidationError",
         "Resource X does not exist for stack sluiceway"),
        ("DescribeStackResources", {}, "ValidationError", "Exactly one of StackName and PhysicalResourceId"),
        ("DescribeStackResources", {"PhysicalResourceId": "x"}, "ValidationError", "Stack for x does not exist"),
        ("ListImports", {"ExportName": "x"}, "ValidationError", "Export 'x' is not imported by any stack."),
        ("ListExports", {"NextToken": "!"}, "ValidationError", "Invalid NextToken"),
        ("GetTemplate", {"StackName": "sluiceway", "TemplateStage": "x"}, "ValidationError", "x is no stage"),
        ("ListStacks", {"StackStatusFilter.a.1.b": "x"}, "MalformedInput", "StackStatusFilter must be a list"),
        ("UpdateStack", {"StackName": "sluiceway"}, "UnsupportedOperation", "UpdateStack is not served"),
        ("Nonsense", {}, "InvalidAction", "The action Nonsense is not valid"),
    ],
)  # fmt: skip
def test_errors_are_cloudformations_own(
    tmp_path: Path, action: str, parameters: dict[str, str], code: str, message: str
) -> None:
    """400, by code; what changes a stack is refused by name."""
    (told,) = _run(tmp_path, (action, parameters))
    assert (told["ResponseMetadata"]["HTTPStatusCode"], told["Error"]["Code"]) == (400, code)
    assert message in told["Error"]["Message"]


def test_every_operation_of_the_api_is_served_or_refused_by_name() -> None:
    """As botocore knows them."""
    assert set(MODEL.operation_names) == {*ACTIONS, *UNSERVED}


def test_a_call_needs_the_action_on_the_stack(tmp_path: Path) -> None:
    """On everything where none is named or there is none; nothing where the request is malformed."""

    async def main() -> list[tuple[Permission, ...]]:
        service = World(tmp_path).service
        await asyncio.sleep(0)
        return [
            service.permissions(_request("DescribeStacks")),
            service.permissions(_request("ListStacks", StackName="x")),
            service.permissions(_request("CreateStack")),
        ]

    on_all, listed, refused = run_virtual(main)
    assert on_all == (Permission("cloudformation:DescribeStacks", "*"),)
    assert (listed, refused) == ((Permission("cloudformation:ListStacks", "*"),), ())


def test_a_stack_of_many_resources_is_told_in_pages(tmp_path: Path) -> None:
    """A token leads from one to the next."""
    many = {"Resources": {f"R{number}": {"Type": "T::S::R"} for number in range(150)}}

    async def main() -> tuple[int, int, bool]:
        world = World(tmp_path, outer=many)
        await world.make()
        first = await world.ask("ListStackResources", StackName="sluiceway")
        second = await world.ask("ListStackResources", StackName="sluiceway", NextToken=first["NextToken"])
        return len(first["StackResourceSummaries"]), len(second["StackResourceSummaries"]), "NextToken" in second

    assert run_virtual(main) == (100, 50, False)


def test_a_source_without_a_file_is_told_as_it_was_read(tmp_path: Path) -> None:
    """Its body as JSON."""

    async def main() -> dict[str, Any]:
        world = World(tmp_path)
        body = {"Resources": {"R": {"Type": "T::S::R"}}}
        world.stack = prepare_stack(Source(tmp_path / "gone.yaml", body), stack_context(tmp_path), Settled())
        await world.make()
        return await world.ask("GetTemplate", StackName="sluiceway")

    assert json.loads(run_virtual(main)["TemplateBody"]) == {"Resources": {"R": {"Type": "T::S::R"}}}


@pytest.mark.parametrize("allowed", ["Child.Net", "AWS::EC2::VPC"])
def test_what_is_refused_inside_may_be_allowed(tmp_path: Path, allowed: str) -> None:
    """By its dotted id, or by its type: the rest of the nested stack is made."""
    child = {**CHILD, "Resources": {**CHILD["Resources"], "Net": {"Type": "AWS::EC2::VPC"}}}

    async def main(*allow: str) -> list[str]:
        world = World(tmp_path, child=child, allow=allow)
        await world.make()
        return world.plain.history

    assert run_virtual(lambda: main(allowed)) == ["+sluiceway.A", "+sluiceway-Child.In", "+sluiceway.After"]
    with pytest.raises(TemplateError, match=r"ledger: refused   Child\.Net \(AWS::EC2::VPC\)"):
        run_virtual(main)


def test_a_nested_stack_has_the_minutes_that_it_was_given(tmp_path: Path) -> None:
    """What was made in them is deleted."""
    outer = json.loads(json.dumps(OUTER))
    outer["Resources"]["Child"]["Properties"]["TimeoutInMinutes"] = 1
    many = {**CHILD, "Resources": {**CHILD["Resources"], **{f"R{n}": {"Type": "T::S::R"} for n in range(70)}}}

    async def main() -> list[str]:
        world = World(tmp_path, child=many, outer=outer)
        with pytest.raises(
            TemplateError, match=r"Child\.Properties\.TimeoutInMinutes: the stack was not made within 1 min"
        ):
            await world.make()
        return world.plain.history

    history = run_virtual(main)
    made = {name[1:] for name in history if name.startswith("+")}
    assert len(made) == 60
    assert made == {name[1:] for name in history if name.startswith("-")}
