"""CloudFormation's IAM resources."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from localcloud.clock import run_virtual
from localcloud.services.iam.model import Iam
from localcloud.services.iam.resources import ManagedPolicyHandler, PolicyHandler, RoleHandler
from localcloud.template.deploy import Deployed, deploy, undeploy
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Physical, Resource
from localcloud.template.ledger import make_ledger
from localcloud.template.source import Source, read_template
from localcloud.template.stack import Settled, prepare_stack, stack_context

ROOT = Path(__file__).resolve().parents[2]
BASIC = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
QUEUE = "arn:aws:sqs:us-east-1:123456789012:q"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": ["lambda.amazonaws.com"]}, "Action": "sts:AssumeRole"}],
}


def _policy(action: str) -> dict:
    return {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": action, "Resource": QUEUE}}


RESOURCES = {
    "Role": {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": TRUST,
            "Path": "/apps/",
            "ManagedPolicyArns": [BASIC],
            "Policies": [{"PolicyName": "send", "PolicyDocument": _policy("sqs:SendMessage")}],
        },
    },
    "Shared": {
        "Type": "AWS::IAM::ManagedPolicy",
        "Properties": {"PolicyDocument": _policy("sqs:ReceiveMessage"), "Roles": [{"Ref": "Role"}]},
    },
    "More": {
        "Type": "AWS::IAM::Policy",
        "Properties": {
            "PolicyName": "more",
            "PolicyDocument": _policy("sqs:DeleteMessage"),
            "Roles": [{"Ref": "Role"}],
        },
    },
}


async def _deploy(resources: dict, iam: Iam) -> Deployed:
    stack = prepare_stack(Source(Path("t.yaml"), {"Resources": resources}), stack_context(Path()))
    handlers = {handler.type: handler for handler in (RoleHandler(iam), ManagedPolicyHandler(iam), PolicyHandler(iam))}
    return await deploy(stack, handlers, make_ledger(stack.graph, handlers))


def test_roles_and_policies_of_a_stack_decide_about_its_functions() -> None:
    """Inline, attached and separate policies all count; deleting the stack leaves nothing."""
    iam = Iam(random.Random(1))

    async def main() -> None:
        deployed = await _deploy(RESOURCES, iam)
        role = deployed.made["Role"].physical
        name = role.ref
        assert name.startswith("sluiceway-Role-")
        assert role.attributes["Arn"] == f"arn:aws:iam::123456789012:role/apps/{name}"
        principal = iam.principal_of(iam.issue_credentials(role.attributes["Arn"], function_name="f").access_key)
        allowed = [
            action
            for action in ("Send", "Receive", "Delete", "Purge")
            if iam.decide(principal, f"sqs:{action}Message", QUEUE).allowed
        ]
        assert allowed == ["Send", "Receive", "Delete"]
        assert iam.decide(principal, "logs:PutLogEvents", "*").allowed
        assert await undeploy(deployed) == ()

    run_virtual(main)
    assert dict(iam.roles) == {}


@pytest.mark.parametrize(
    ("logical_id", "changes", "message"),
    [
        ("Role", {"AssumeRolePolicyDocument": None}, "Role.Properties.AssumeRolePolicyDocument: is required"),
        (
            "Role",
            {"AssumeRolePolicyDocument": _policy("sts:AssumeRole")},
            "Role.Properties.AssumeRolePolicyDocument: sluiceway-Role-",
        ),
        (
            "Role",
            {"ManagedPolicyArns": [BASIC, "arn:aws:iam::aws:policy/No"]},
            "Role.Properties.ManagedPolicyArns[1]: ",
        ),
        ("Role", {"PermissionsBoundary": "arn:x"}, "Role.Properties.PermissionsBoundary: Policy arn:x does not exist"),
        ("Role", {"Policies": [{"PolicyDocument": {}}]}, "Role.Properties.Policies[0].PolicyName: is required"),
        (
            "Role",
            {"Policies": [{"PolicyName": "p", "PolicyDocument": {"Statement": {"Effect": "Yes"}}}]},
            "Role.Properties.Policies[0].PolicyDocument: p.Statement[0]: Effect must be Allow or Deny",
        ),
        (
            "Role",
            {"Tags": [{"Key": "Team", "Value": "a"}, {"Key": "team", "Value": "b"}]},
            "Role.Properties.Tags: Duplicate tag keys found. Please note that Tag keys are case insensitive.",
        ),
        ("Role", {"Tags": [{"Key": "aws:team", "Value": "a"}]}, "Role.Properties.Tags: The tag 'aws:team' begins with"),
        ("Role", {"Tags": [{"Key": "team"}]}, "Role.Properties.Tags[0].Value: is required"),
        ("Shared", {"Roles": ["nobody"]}, "Shared.Properties.Roles[0]: The role with name nobody cannot be found."),
        ("More", {"Roles": []}, "More.Properties.Roles: at least one role is needed"),
        ("More", {"Users": ["u"]}, "ledger: refused   More.Users (AWS::IAM::Policy): the local cloud has roles, no"),
    ],
)
def test_a_fault_names_resource_and_property(logical_id: str, changes: dict, message: str) -> None:
    """And leaves no role behind."""
    iam = Iam(random.Random(1))
    entry = RESOURCES[logical_id]
    resources = {**RESOURCES, logical_id: {**entry, "Properties": {**entry["Properties"], **changes}}}
    with pytest.raises(TemplateError) as caught:
        run_virtual(lambda: _deploy(resources, iam))
    assert str(caught.value)[: len(message)] == message
    assert dict(iam.roles) == {}


def test_a_functions_role_has_the_functions_tags() -> None:
    """SAM passes them on, beside its own; so they are the function's `aws:PrincipalTag`."""
    function = {
        "Type": "AWS::Serverless::Function",
        "Properties": {
            "Runtime": "python3.13", "Handler": "a.b", "InlineCode": "x",
            "Tags": {"domain": "shop", "clearance": "public"},
            "Policies": [{"Statement": [{
                "Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*",
                "Condition": {"StringEquals": {"aws:PrincipalTag/domain": "shop"}},
            }]}],
        },
    }  # fmt: skip
    body = {"Transform": "AWS::Serverless-2016-10-31", "Resources": {"F": function}}
    stack = prepare_stack(Source(Path("t.yaml"), body), stack_context(Path()))
    iam = Iam(random.Random(1))
    resource = Resource("FRole", "AWS::IAM::Role", stack.graph.nodes["FRole"].properties, stack_context(Path()))
    made = run_virtual(lambda: RoleHandler(iam).create(resource))
    tags = {"domain": "shop", "clearance": "public", "lambda:createdBy": "SAM"}
    assert iam.roles[made.attributes["Arn"]].tags == tags
    key = iam.issue_credentials(made.attributes["Arn"], function_name="F").access_key
    assert iam.decide(iam.principal_of(key), "sqs:SendMessage", QUEUE).allowed
    iam.tag_role(made.ref, {"domain": "billing"})
    assert not iam.decide(iam.principal_of(key), "sqs:SendMessage", QUEUE).allowed


def test_a_role_name_is_taken_once() -> None:
    """The second stack that wants it is told so."""
    iam = Iam(random.Random(1))
    properties = {**RESOURCES["Role"]["Properties"], "RoleName": "mine"}
    resource = Resource("R", "AWS::IAM::Role", properties, stack_context(Path()))

    async def main() -> None:
        made = await RoleHandler(iam).create(resource)
        assert made == Physical("mine", dict(made.attributes))
        with pytest.raises(TemplateError, match=r"R\.Properties\.RoleName: Role with name mine already exists"):
            await RoleHandler(iam).create(resource)

    run_virtual(main)


def test_the_roles_of_this_repositorys_template_make_sense() -> None:
    """Each role of template.yaml is made; generate_answer may do its work and no more."""
    given = {"TokenIssuer": "https://issuer", "TokenKeys": '{"keys":[]}'}
    stack = prepare_stack(read_template(ROOT / "template.yaml"), stack_context(ROOT), Settled(parameters=given))
    iam = Iam(random.Random(1))
    role = RoleHandler(iam)

    class Arns:
        """Every other type: an ARN and the other attributes that roles and outputs refer to."""

        support = role.support

        def __init__(self, kind: str) -> None:
            self.type = kind
            self.properties = {
                name: role.support
                for node in stack.graph.nodes.values()
                if node.type == kind
                for name in node.properties
            }

        async def create(self, resource: Resource) -> Physical:
            names = ("QueueUrl", "QueueName", "ApiId", "FunctionUrl")
            arn = f"arn:aws:service:us-east-1:123456789012:{resource.logical_id}"
            return Physical(resource.logical_id, {"Arn": arn} | dict.fromkeys(names, resource.logical_id))

        async def delete(self, resource: Resource, physical: Physical) -> None:
            raise AssertionError(resource, physical)

    handlers = {node.type: Arns(node.type) for node in stack.graph.nodes.values()} | {role.type: role}
    deployed = run_virtual(lambda: deploy(stack, handlers, make_ledger(stack.graph, handlers)))
    arn = deployed.made["GenerateAnswerRole"].physical.attributes["Arn"]
    principal = iam.principal_of(iam.issue_credentials(arn, function_name="GenerateAnswer").access_key)
    prefix = "arn:aws:service:us-east-1:123456789012:"
    model = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-micro-v1:0"
    assert iam.decide(principal, "dynamodb:UpdateItem", f"{prefix}JobsTable").allowed
    assert iam.decide(principal, "s3:PutObject", f"{prefix}ResultsBucket/results/a/b").allowed
    assert iam.decide(principal, "sqs:SendMessage", f"{prefix}JobsDeadLetters").allowed
    assert iam.decide(principal, "bedrock:InvokeModel", model).allowed
    assert iam.decide(principal, "sqs:ReceiveMessage", f"{prefix}JobsQueue").allowed
    assert not iam.decide(principal, "dynamodb:DeleteItem", f"{prefix}JobsTable").allowed
    assert not iam.decide(principal, "s3:PutObject", f"{prefix}ResultsBucket/other").allowed
    assert not iam.decide(principal, "bedrock:InvokeModel", f"{model}2").allowed
