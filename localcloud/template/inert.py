"""Types that do nothing when a stack is made: metadata, dummies, and what acts on the next deployment alone.

A stack here is made anew, never updated; so what CodeDeploy would do to an alias at an update does not come. On AWS it
does nothing at the making of a stack either, traffic hooks included.
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-attribute-updatepolicy.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from localcloud.template.handler import Physical, Resource, ResourceHandler, Support, Supported
from localcloud.template.properties import read_properties

__all__ = ["InertHandler", "inert_handlers"]

_NO_UPDATE: Final = Supported(Support.PARTIAL, "a stack here is made anew, so no deployment ever shifts traffic")
_TYPES: Final[Mapping[str, tuple[str, Supported, tuple[str, ...]]]] = {
    "AWS::CDK::Metadata": ("", Supported(), ("Analytics",)),
    "AWS::CloudFormation::WaitConditionHandle": ("", Supported(), ()),
    "AWS::CodeDeploy::Application": ("ApplicationName", _NO_UPDATE, ("ApplicationName", "ComputePlatform", "Tags")),
    "AWS::CodeDeploy::DeploymentConfig": (
        "DeploymentConfigName",
        _NO_UPDATE,
        ("ComputePlatform", "DeploymentConfigName", "TrafficRoutingConfig"),
    ),
    "AWS::CodeDeploy::DeploymentGroup": (
        "DeploymentGroupName",
        _NO_UPDATE,
        (
            "AlarmConfiguration",
            "ApplicationName",
            "AutoRollbackConfiguration",
            "DeploymentConfigName",
            "DeploymentGroupName",
            "DeploymentStyle",
            "ServiceRoleArn",
            "Tags",
            "TriggerConfigurations",
        ),
    ),
}
"""By type: the property that is its name, what is said of it, its properties."""


class InertHandler:
    """One such type. Ref is its name, else `<stack>-<logical id>`."""

    def __init__(self, resource_type: str) -> None:
        self.type = resource_type
        self._name, self.support, names = _TYPES[resource_type]
        self.properties: Mapping[str, Supported] = dict.fromkeys(names, Supported())

    async def create(self, resource: Resource) -> Physical:
        """A name, and nothing that has it."""
        default = f"{resource.context.stack_name}-{resource.logical_id}"
        return Physical(read_properties(resource).text(self._name, default) if self._name else default)

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Nothing."""


def inert_handlers() -> Iterator[ResourceHandler]:
    """A handler of each."""
    return map(InertHandler, _TYPES)
