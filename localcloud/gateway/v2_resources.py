"""CloudFormation's `AWS::ApiGatewayV2::*`: APIs of each protocol and their parts, stages and deployments.

The handlers find out whose API a resource is of, and leave it to that protocol's `ProtocolApis`.
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/AWS_ApiGatewayV2.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from localcloud.gateway.resources import make_id
from localcloud.gateway.v2_tables import TABLES
from localcloud.template.handler import Physical, RefusedHandler, Resource, ResourceHandler, Supported
from localcloud.template.properties import Properties, read_properties

__all__ = ["ProtocolApis", "v2_handlers"]

_PARTS: Final = ("Route", "Integration", "IntegrationResponse", "RouteResponse", "Authorizer")


class ProtocolApis(Protocol):
    """The APIs of one protocol. Every method that reads properties raises TemplateError."""

    protocol: str

    def has(self, api_id: str) -> bool:
        """Whether it is one of them."""
        ...

    def make(self, resource: Resource, read: Properties) -> Physical:
        """Make an API."""
        ...

    def forget(self, api_id: str) -> None:
        """Forget an API."""
        ...

    def put(self, kind: str, read: Properties, part_id: str) -> None:
        """Add a part of the kind (`Route`) to the API that `read` names."""
        ...

    def drop(self, api_id: str, part_id: str) -> None:
        """Take a part away."""
        ...

    def deploy(self, read: Properties, deployment_id: str) -> None:
        """Keep the API as it is now, and serve it where a StageName is given."""
        ...

    def undeploy(self, read: Properties, deployment_id: str) -> None:
        """Take away the deployment, and the stage it made, where it made one."""
        ...

    def make_stage(self, read: Properties) -> None:
        """Serve the API at a stage."""
        ...

    def remove_stage(self, api_id: str, name: str) -> None:
        """Serve the stage no longer."""
        ...


class _Known:
    """The APIs of every protocol."""

    def __init__(self, protocols: Sequence[ProtocolApis]) -> None:
        self.protocols = protocols

    def find(self, read: Properties) -> ProtocolApis:
        """Who has the API that ApiId names. Raises TemplateError."""
        api_id = read.text("ApiId")
        found = self.owner(api_id)
        if found is None:
            raise read.error("ApiId", f"{api_id!r} is no API of this stack")
        return found

    def owner(self, api_id: str) -> ProtocolApis | None:
        """Who has the API, None where nobody has it any more."""
        return next((each for each in self.protocols if each.has(api_id)), None)


class _ApiHandler:
    """`AWS::ApiGatewayV2::Api`. Ref and ApiId are the id; attribute ApiEndpoint."""

    type: str = "AWS::ApiGatewayV2::Api"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = TABLES["Api"]

    def __init__(self, known: _Known) -> None:
        self._known = known

    async def create(self, resource: Resource) -> Physical:
        """Make an API. Raises TemplateError."""
        read = read_properties(resource)
        protocols = {each.protocol: each for each in self._known.protocols}
        default = "HTTP" if "Body" in read or "BodyS3Location" in read else None
        return protocols[read.choice("ProtocolType", tuple(protocols), default)].make(resource, read)

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Forget the API."""
        owner = self._known.owner(physical.ref)
        if owner is not None:
            owner.forget(physical.ref)


class _PartHandler:
    """A part of an API. Ref is its id; the attribute of its name (`RouteId`) as well."""

    support: Supported = Supported()

    def __init__(self, known: _Known, name: str) -> None:
        self.type = f"AWS::ApiGatewayV2::{name}"
        self.properties: Mapping[str, Supported] = TABLES[name]
        self._name = name
        self._known = known

    async def create(self, resource: Resource) -> Physical:
        """Add the part to its API. Raises TemplateError."""
        read = read_properties(resource)
        part_id = make_id(7, self._name, resource.context.stack_name, resource.logical_id)
        self._known.find(read).put(self._name, read, part_id)
        return Physical(part_id, {f"{self._name}Id": part_id})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Take the part away."""
        api_id = read_properties(resource).text("ApiId")
        owner = self._known.owner(api_id)
        if owner is not None:
            owner.drop(api_id, physical.ref)


class _DeploymentHandler:
    """`AWS::ApiGatewayV2::Deployment`. Ref and DeploymentId are the id."""

    type: str = "AWS::ApiGatewayV2::Deployment"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = TABLES["Deployment"]

    def __init__(self, known: _Known) -> None:
        self._known = known

    async def create(self, resource: Resource) -> Physical:
        """Keep the API as it is now, and serve it where a StageName is given. Raises TemplateError."""
        read = read_properties(resource)
        deployment_id = make_id(6, "deployment", resource.context.stack_name, resource.logical_id)
        self._known.find(read).deploy(read, deployment_id)
        return Physical(deployment_id, {"DeploymentId": deployment_id})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Take away the stage it made, where it made one."""
        read = read_properties(resource)
        owner = self._known.owner(read.text("ApiId"))
        if owner is not None:
            owner.undeploy(read, physical.ref)


class _StageHandler:
    """`AWS::ApiGatewayV2::Stage`. Ref is the name."""

    type: str = "AWS::ApiGatewayV2::Stage"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = TABLES["Stage"]

    def __init__(self, known: _Known) -> None:
        self._known = known

    async def create(self, resource: Resource) -> Physical:
        """Serve the API at the stage. Raises TemplateError."""
        read = read_properties(resource)
        name = read.text("StageName")
        self._known.find(read).make_stage(read)
        return Physical(name, {"StageName": name})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Serve the stage no longer; its connections are closed."""
        api_id = read_properties(resource).text("ApiId")
        owner = self._known.owner(api_id)
        if owner is not None:
            owner.remove_stage(api_id, physical.ref)


def v2_handlers(*protocols: ProtocolApis) -> tuple[ResourceHandler, ...]:
    """The handlers of the `AWS::ApiGatewayV2::*` types that are served, for APIs of these protocols."""
    known = _Known(protocols)
    return (
        _ApiHandler(known),
        *(_PartHandler(known, name) for name in _PARTS),
        _DeploymentHandler(known),
        _StageHandler(known),
        RefusedHandler("AWS::ApiGatewayV2::VpcLink", "there is no VPC"),
    )
