"""Types that do nothing when a stack is made: they have names, and the ledger says what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcloud.clock import run_virtual
from localcloud.template.handler import Resource, Support
from localcloud.template.inert import InertHandler, inert_handlers
from localcloud.template.stack import stack_context


@pytest.mark.parametrize(
    ("resource_type", "properties", "ref"),
    [
        ("AWS::CDK::Metadata", {"Analytics": "x"}, "sluiceway-R"),
        ("AWS::CloudFormation::WaitConditionHandle", {}, "sluiceway-R"),
        ("AWS::CodeDeploy::Application", {"ApplicationName": "a"}, "a"),
        ("AWS::CodeDeploy::DeploymentGroup", {"ApplicationName": "a"}, "sluiceway-R"),
        ("AWS::CodeDeploy::DeploymentConfig", {"DeploymentConfigName": "c"}, "c"),
    ],
)
def test_ref_is_the_name(resource_type: str, properties: dict[str, str], ref: str) -> None:
    """The one given, else one of the stack's."""
    handler = InertHandler(resource_type)
    resource = Resource("R", resource_type, properties, stack_context(Path()))
    assert run_virtual(lambda: handler.create(resource)).ref == ref
    assert set(properties) <= set(handler.properties)


def test_what_codedeploy_would_do_is_said_to_be_missing() -> None:
    """A stack here is never updated."""
    found = {handler.type: handler.support for handler in inert_handlers()}
    partial = {name for name, support in found.items() if support.support is Support.PARTIAL}
    assert partial == {name for name in found if name.startswith("AWS::CodeDeploy::")}
    assert {found[name].reason for name in partial} == {
        "a stack here is made anew, so no deployment ever shifts traffic"
    }
