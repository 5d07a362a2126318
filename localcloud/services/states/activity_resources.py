"""CloudFormation's `AWS::StepFunctions::Activity`.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-stepfunctions-activity.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from localcloud.services.states.activities import activity_arn
from localcloud.services.states.errors import StatesError
from localcloud.services.states.model import StateMachines
from localcloud.services.states.names import check_name
from localcloud.template.handler import Physical, Resource, Support, Supported
from localcloud.template.properties import read_properties

__all__ = ["ActivityHandler"]

_SERVED: Final = Supported()


class ActivityHandler:
    """`AWS::StepFunctions::Activity`. Ref is the ARN; attributes Arn and Name."""

    type: str = "AWS::StepFunctions::Activity"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        "EncryptionConfiguration": Supported(
            Support.REFUSED, "customer managed keys of activities are not served here"
        ),
        "Name": _SERVED,
        "Tags": _SERVED,
    }

    def __init__(self, machines: StateMachines) -> None:
        self._machines = machines

    async def create(self, resource: Resource) -> Physical:
        """Make it. Raises TemplateError."""
        read, region = read_properties(resource), resource.context.region
        name = read.text("Name")
        try:
            check_name(name)
            if self._machines.activities.get(activity_arn(name, region)) is not None:
                raise read.error("Name", f"Activity Already Exists: '{activity_arn(name, region)}'")
            activity = self._machines.activities.create(name, region, read.tags())
        except StatesError as error:
            raise read.error("Name", error.message) from error
        return Physical(activity.arn, {"Arn": activity.arn, "Name": activity.name})

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the ARN says it all
        """Forget it."""
        self._machines.activities.delete(physical.ref)
