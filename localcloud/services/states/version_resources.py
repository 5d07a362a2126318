"""CloudFormation's versions and aliases of state machines.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-stepfunctions-statemachinealias.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from localcloud.services.states.errors import StatesError
from localcloud.services.states.model import StateMachines
from localcloud.template.handler import Physical, Resource, Support, Supported
from localcloud.template.properties import read_properties

__all__ = ["StateMachineAliasHandler", "StateMachineVersionHandler"]

_SERVED: Final = Supported()
_AT_ONCE: Final = Supported(Support.PARTIAL, "a stack is deployed once here: the alias leads to the version at once")


class StateMachineVersionHandler:
    """`AWS::StepFunctions::StateMachineVersion`. Ref is the ARN; attribute Arn."""

    type: str = "AWS::StepFunctions::StateMachineVersion"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        "Description": _SERVED,
        "StateMachineArn": _SERVED,
        "StateMachineRevisionId": _SERVED,
    }

    def __init__(self, machines: StateMachines) -> None:
        self._machines = machines

    async def create(self, resource: Resource) -> Physical:
        """Publish it. Raises TemplateError."""
        read = read_properties(resource)
        try:
            machine = self._machines.find(read.text("StateMachineArn"))
            if read.text("StateMachineRevisionId", "") not in {"", machine.revision.revision_id}:
                raise read.error("StateMachineRevisionId", "is not that of the machine's current revision")
            version = self._machines.publish(machine, read.text("Description", ""))
        except StatesError as error:
            raise read.error("", error.message) from error
        return Physical(version.arn, {"Arn": version.arn})

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the ARN says it all
        """Forget it, where its machine is still there."""
        arn, _, number = physical.ref.rpartition(":")
        try:
            self._machines.find(arn).versions.remove(int(number))
        except StatesError:
            return  # its machine is gone, or an alias that was left leads to it


class StateMachineAliasHandler:
    """`AWS::StepFunctions::StateMachineAlias`. Ref is the ARN; attribute Arn."""

    type: str = "AWS::StepFunctions::StateMachineAlias"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        "DeploymentPreference.Alarms": _AT_ONCE,
        "DeploymentPreference.Interval": _AT_ONCE,
        "DeploymentPreference.Percentage": _AT_ONCE,
        "DeploymentPreference.StateMachineVersionArn": _SERVED,
        "DeploymentPreference.Type": _AT_ONCE,
        "Description": _SERVED,
        "Name": _SERVED,
        "RoutingConfiguration": _SERVED,
    }

    def __init__(self, machines: StateMachines) -> None:
        self._machines = machines

    async def create(self, resource: Resource) -> Physical:
        """Make it. Raises TemplateError."""
        read = read_properties(resource)
        if ("RoutingConfiguration" in read) is ("DeploymentPreference" in read):
            raise read.error("", "either RoutingConfiguration or DeploymentPreference is needed")
        routing: list[dict[str, Any]] = [
            {"stateMachineVersionArn": each.text("StateMachineVersionArn"), "weight": each.integer("Weight")}
            for each in read.each("RoutingConfiguration")
        ]
        if "DeploymentPreference" in read:
            version = read.nested("DeploymentPreference").text("StateMachineVersionArn")
            routing = [{"stateMachineVersionArn": version, "weight": 100}]
        try:
            machine = self._machines.find(routing[0]["stateMachineVersionArn"].rpartition(":")[0])
            alias = machine.versions.put_alias(
                read.text("Name", resource.logical_id),
                routing,
                read.text("Description", ""),
                now_s=self._machines.world.clock.time(),
            )
        except StatesError as error:
            raise read.error("", error.message) from error
        return Physical(alias.arn, {"Arn": alias.arn})

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the ARN says it all
        """Forget it, where its machine is still there."""
        arn, _, name = physical.ref.rpartition(":")
        try:
            self._machines.find(arn).versions.aliases.pop(name, None)
        except StatesError:
            return
