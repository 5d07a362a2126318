"""CloudFormation's parameters: `AWS::SSM::Parameter`, made in moto when it is loaded.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ssm-parameter.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from localcloud.services.delegated_setup import letters_of, make, unmake
from localcloud.services.ssm.wire import SsmService
from localcloud.template.handler import Physical, Resource, Support, Supported
from localcloud.template.properties import read_properties

__all__ = ["ParameterHandler"]

_RESERVED: Final = ("aws", "ssm")  # no parameter's name begins so; API_PutParameter


class ParameterHandler:
    """`AWS::SSM::Parameter`. Ref is the name; attributes Type and Value.

    `service` opens the Parameter Store; `keeps` says that other services keep their state (`--persist`).
    """

    type: str = "AWS::SSM::Parameter"
    properties: Mapping[str, Supported] = {
        "AllowedPattern": Supported(),
        "DataType": Supported(reason="no other data type is served here", values=("text",)),
        "Description": Supported(Support.DELEGATED),
        "Name": Supported(Support.DELEGATED),
        "Policies": Supported(Support.REFUSED, "parameters here do not expire and notify nobody"),
        "Tags": Supported(Support.DELEGATED),
        "Tier": Supported(reason="no such tier", values=("Standard", "Advanced", "Intelligent-Tiering")),
        "Type": Supported(reason="CloudFormation makes no parameters of another type", values=("String", "StringList")),
        "Value": Supported(Support.DELEGATED),
    }

    def __init__(self, service: Callable[[], SsmService], *, keeps: bool = False) -> None:
        self._service = service
        self._made: set[str] = set()
        lost = "answered by moto; values that were put later end with the process, with --persist as well"
        self.support: Supported = Supported(Support.DELEGATED, lost if keeps else "answered by moto")

    async def create(self, resource: Resource) -> Physical:
        """Put the parameter. Raises TemplateError for what PutParameter refuses."""
        read, context = read_properties(resource), resource.context
        name = read.text("Name", f"CFN-{resource.logical_id}-{letters_of(resource, 12)}")
        if name.lower().lstrip("/").startswith(_RESERVED):
            raise read.error("Name", f'can\'t be prefixed with "aws" or "ssm" (case-insensitive), is {name!r}')
        if name in self._made:
            raise read.error("Name", f"the parameter {name} is made by another resource of this template")
        kind, value = read.text("Type"), read.text("Value")
        body = {
            "Region": context.region,
            "Name": name,
            "Type": kind,
            "Value": value,
            "Description": read.text("Description", "") or None,
            "AllowedPattern": read.text("AllowedPattern", "") or None,
            "DataType": read.text("DataType", "text"),
            "Tier": read.text("Tier", "Standard"),
            "Tags": [{"Key": key, "Value": text} for key, text in read.text_map("Tags").items()],
        }
        await make(self._service(), "PutParameter", body, read=read)
        self._made.add(name)
        return Physical(name, {"Type": kind, "Value": value})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Delete it."""
        self._made.discard(physical.ref)
        await unmake(self._service(), "DeleteParameter", {"Name": physical.ref}, region=resource.context.region)
